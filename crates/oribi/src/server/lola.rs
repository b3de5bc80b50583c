//! LoLa, the server's half: it computes the network on the client's ciphertexts.
//!
//! A model is prepared and checked against the integer reference before it is served. Evaluation keys are kept in a store that
//! all connections share; queries wait for their memory; one pool of threads computes, all of it on one query
//! where there is only one.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kernel::seed::Seed;
use model::fixed::Params;
use protocol::encrypted::{Digest, EvaluationKeys, Host, Service, check, plans};
use protocol::handshake::Plan;
use protocol::{Error, Reveal, Session};
use rayon::ThreadPool;

use super::engine::Engine;
use super::gate::Gate;
use super::keys::{KeyStore, Owner, Room, owner};

/// What a server grants to queries under encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LolaConfig {
    /// Threads of one query and of all; 0 takes one for each core.
    pub threads: usize,
    /// Bytes of evaluation keys that are kept.
    pub key_memory: u64,
    /// Bytes that all queries at one time may take.
    pub memory: u64,
    /// Time that a query may wait for its memory.
    pub patience: Duration,
}

impl Default for LolaConfig {
    /// All cores, 1 GB of keys, 8 GB for queries, two minutes.
    fn default() -> Self {
        Self {
            threads: 0,
            key_memory: 1_000_000_000,
            memory: 8_000_000_000,
            patience: Duration::from_secs(120),
        }
    }
}

/// The protocols `lola` and `lola-batch` ([`protocol::encrypted`]).
pub struct Lola {
    shared: Arc<Shared>,
    name: &'static str,
}

/// What all models and connections share.
struct Shared {
    config: LolaConfig,
    keys: KeyStore,
    gate: Gate,
    pool: ThreadPool,
}

impl Lola {
    /// Both protocols over one store, one budget and one pool.
    ///
    /// # Errors
    /// Where the system refuses threads.
    pub fn engines(config: LolaConfig) -> Result<Vec<Arc<dyn Engine>>, crate::Error> {
        let pool = crate::threads(config.threads)?;
        let (keys, gate) = (KeyStore::new(config.key_memory), Gate::new(config.memory));
        let shared = Arc::new(Shared { config, keys, gate, pool });
        let engine = |name| -> Arc<dyn Engine> { Arc::new(Self { shared: shared.clone(), name }) };
        Ok(vec![engine(plans::LOLA), engine(plans::BATCH)])
    }
}

impl Engine for Lola {
    fn name(&self) -> &'static str {
        self.name
    }

    fn for_model(&self, plan: &Plan, params: &Params) -> Result<Option<Arc<dyn Engine>>, Error> {
        let service = plans::service(self.name, plan, params)?;
        let seed =
            Seed::from_os().map_err(|e| Error::Refused(format!("this machine has no randomness: {e}")))?;
        check::check(&service, &plan.graph, params, &self.shared.pool, &seed)?;
        let served = Served { shared: self.shared.clone(), name: self.name, service: Arc::new(service) };
        Ok(Some(Arc::new(served)))
    }

    fn predict(&self, _: &Plan, _: &Params, _: Reveal, _: &mut Session, _: &Seed) -> Result<(), Error> {
        Err(not_prepared())
    }
}

fn not_prepared() -> Error {
    Error::Refused("this model was not prepared for queries under encryption".into())
}

/// A checked model.
struct Served {
    shared: Arc<Shared>,
    name: &'static str,
    service: Arc<Service>,
}

impl Engine for Served {
    fn name(&self) -> &'static str {
        self.name
    }

    fn for_connection(&self, client: Option<IpAddr>) -> Option<Box<dyn Engine>> {
        Some(Box::new(Connected {
            shared: self.shared.clone(),
            name: self.name,
            service: self.service.clone(),
            owner: owner(client),
            keys: Mutex::new(None),
        }))
    }

    fn predict(&self, _: &Plan, _: &Params, _: Reveal, _: &mut Session, _: &Seed) -> Result<(), Error> {
        Err(not_prepared())
    }
}

/// A model for one client, with its keys once they are there.
struct Connected {
    shared: Arc<Shared>,
    name: &'static str,
    service: Arc<Service>,
    owner: Owner,
    keys: Mutex<Option<Arc<EvaluationKeys>>>,
}

impl Engine for Connected {
    fn name(&self) -> &'static str {
        self.name
    }

    fn predict(
        &self,
        _: &Plan,
        _: &Params,
        _: Reveal,
        session: &mut Session,
        seed: &Seed,
    ) -> Result<(), Error> {
        let mut held = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = match &*held {
            Some(keys) => keys.clone(),
            None => held.insert(self.service.receive_keys(session, self)?).clone(),
        };
        self.service.predict(&keys, session, self, seed)
    }
}

impl Host for Connected {
    fn find(&self, digest: Digest) -> Option<Arc<EvaluationKeys>> {
        self.shared.keys.find(digest)
    }

    fn room_for_keys(&self, bytes: u64) -> Result<Box<dyn std::any::Any + Send>, Error> {
        Ok(Box::new(self.shared.keys.room(self.owner, bytes)?))
    }

    fn keep(
        &self,
        digest: Digest,
        keys: EvaluationKeys,
        room: Box<dyn std::any::Any + Send>,
    ) -> Arc<EvaluationKeys> {
        match room.downcast::<Room>() {
            Ok(room) => self.shared.keys.keep(digest, keys, *room),
            // Room of another store: the keys live as long as their connection.
            Err(_) => Arc::new(keys),
        }
    }

    fn memory(&self, bytes: u64) -> Result<Box<dyn Send>, Error> {
        Ok(Box::new(self.shared.gate.enter(bytes, self.shared.config.patience)?))
    }

    fn pool(&self) -> &ThreadPool {
        &self.shared.pool
    }
}
