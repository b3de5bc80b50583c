//! Gazelle, the client's half: it encrypts shares, and evaluates garbled activations.

use std::sync::{Arc, Mutex, PoisonError};

use kernel::seed::Seed;
use protocol::garbled::{BaseOt, Options, Wishes};
use protocol::handshake::Plan;
use protocol::interactive::keys::ClientKeys;
use protocol::interactive::{self, Method, Plan as Agreed, client};
use protocol::{Error, Progress, Reveal, Session};

use super::engine::{Agreement, Engine, Integers};
use super::keys::{self, KeyFolder};
use crate::identity::Fingerprint;

/// The protocol `gazelle` ([`protocol::interactive`]).
#[derive(Clone, Debug, Default)]
pub struct Gazelle {
    /// The base transfers that this client asks for.
    pub base_ot: Option<BaseOt>,
    /// Where keys are kept that are too large to be sent with every connection: those of rotations.
    pub keys: Option<KeyFolder>,
}

impl Gazelle {
    fn wish(&self) -> Wishes {
        Wishes { base_ot: self.base_ot, ..Wishes::default() }
    }
}

impl Engine for Gazelle {
    fn name(&self) -> &'static str {
        interactive::GAZELLE
    }

    fn wishes(&self) -> serde_json::Value {
        self.wish().to_payload()
    }

    fn accept(&self, agreed: &Agreement<'_>) -> Result<(), crate::error::Error> {
        let base_ot = Agreed::of(agreed.plan)?.base_ot;
        Ok(self.wish().accept(Options { base_ot, ..Options::default() })?)
    }

    fn for_connection(&self, plan: &Plan, server: Fingerprint) -> Result<Option<Arc<dyn Engine>>, Error> {
        let agreed = Agreed::of(plan)?;
        let seed = match &self.keys {
            Some(folder) if agreed.linear == Method::HeSlots => {
                let Agreed { degree, primes, special, .. } = &agreed;
                let number = &plan.graph.number;
                folder.seed(&format!("gazelle {degree} {primes:?} {special:?} {number:?}"), server)?
            }
            _ => keys::random()?,
        };
        Ok(Some(Arc::new(Connected { agreed, keys: Mutex::new(ClientKeys::new(seed)) })))
    }

    fn predict(
        &self,
        _: &Plan,
        _: &[Vec<i64>],
        _: Reveal,
        _: &mut Session,
        _: &Seed,
        _: &dyn Progress,
    ) -> Result<Integers, Error> {
        Err(Error::Refused("there is no connection to predict over".into()))
    }
}

/// A client that has read its plan, with its keys.
struct Connected {
    agreed: Agreed,
    keys: Mutex<ClientKeys>,
}

impl Engine for Connected {
    fn name(&self) -> &'static str {
        interactive::GAZELLE
    }

    fn predict(
        &self,
        plan: &Plan,
        input: &[Vec<i64>],
        reveal: Reveal,
        session: &mut Session,
        seed: &Seed,
        progress: &dyn Progress,
    ) -> Result<Integers, Error> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let outputs = client::predict(
            (&plan.graph, &self.agreed),
            (input, &mut keys),
            reveal,
            session,
            seed,
            progress,
        )?;
        Ok(outputs.into_iter().map(|values| values.into_iter().map(i128::from).collect()).collect())
    }
}
