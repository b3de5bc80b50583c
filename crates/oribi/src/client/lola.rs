//! LoLa, the client's half: it encrypts its input and decrypts the result.

use std::sync::{Arc, Mutex, PoisonError};

use kernel::seed::Seed;
use protocol::encrypted::{Client, ClientKeys, Outline, plans};
use protocol::handshake::Plan;
use protocol::{Error, Progress, Reveal, Session};
use rayon::ThreadPool;

use super::engine::Engine;
use super::keys::{self, KeyFolder};
use crate::identity::Fingerprint;

/// The protocols `lola` and `lola-batch` ([`protocol::encrypted`]).
pub struct Lola {
    name: &'static str,
    threads: usize,
    folder: Option<KeyFolder>,
}

impl Lola {
    /// Both protocols, with so many threads (0 for one a core), and a folder for keys that outlive a connection.
    pub fn engines(threads: usize, folder: Option<KeyFolder>) -> Vec<Arc<dyn Engine>> {
        let engine = |name| -> Arc<dyn Engine> { Arc::new(Self { name, threads, folder: folder.clone() }) };
        vec![engine(plans::LOLA), engine(plans::BATCH)]
    }
}

impl Engine for Lola {
    fn name(&self) -> &'static str {
        self.name
    }

    fn for_connection(&self, plan: &Plan, server: Fingerprint) -> Result<Option<Arc<dyn Engine>>, Error> {
        let outline = plans::outline(self.name, plan)?;
        let pool = crate::threads(self.threads).map_err(|e| Error::Refused(e.to_string()))?;
        let made = pool.install(|| match &self.folder {
            Some(folder) => folder.load_or_create(&outline, server),
            None => keys::fresh(&outline),
        });
        let (keys, made) = made?;
        let state = Mutex::new(State { shared: false, made });
        Ok(Some(Arc::new(Connected { name: self.name, outline, keys, pool, state })))
    }

    fn predict(
        &self,
        _: &Plan,
        _: &[Vec<i64>],
        _: Reveal,
        _: &mut Session,
        _: &Seed,
        _: &dyn Progress,
    ) -> Result<Vec<Vec<i128>>, Error> {
        Err(Error::Refused("there is no connection to predict over".into()))
    }
}

/// A client with its keys, for one connection.
struct Connected {
    name: &'static str,
    outline: Outline,
    keys: ClientKeys,
    pool: ThreadPool,
    state: Mutex<State>,
}

struct State {
    /// Whether the server has the keys.
    shared: bool,
    /// The keys' wire forms, until they are sent.
    made: Option<Vec<Vec<u8>>>,
}

impl Engine for Connected {
    fn name(&self) -> &'static str {
        self.name
    }

    fn batch(&self) -> usize {
        self.outline.batch
    }

    fn predict_batch(
        &self,
        plan: &Plan,
        batch: &[Vec<Vec<i64>>],
        reveal: Reveal,
        session: &mut Session,
        seed: &Seed,
        progress: &dyn Progress,
    ) -> Result<Vec<Vec<Vec<i128>>>, Error> {
        if reveal == Reveal::Label {
            return Err(Error::Refused(plans::NO_LABEL.into()));
        }
        let client =
            Client { outline: &self.outline, graph: &plan.graph, keys: &self.keys, pool: &self.pool };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.shared {
            client.share_keys(session, state.made.take())?;
            state.shared = true;
        }
        client.predict(batch, session, seed, progress)
    }

    fn predict(
        &self,
        plan: &Plan,
        input: &[Vec<i64>],
        reveal: Reveal,
        session: &mut Session,
        seed: &Seed,
        progress: &dyn Progress,
    ) -> Result<Vec<Vec<i128>>, Error> {
        let results = self.predict_batch(plan, &[input.to_vec()], reveal, session, seed, progress)?;
        results.into_iter().next().ok_or_else(|| Error::malformed("result", "it is empty"))
    }
}
