//! Gazelle, the server's half: linear layers on encrypted shares, and garbled activations.

use std::any::Any;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use kernel::seed::Seed;
use model::fixed::Params;
use protocol::encrypted::Digest;
use protocol::garbled::{BaseOt, Wishes};
use protocol::handshake::Plan;
use protocol::interactive::keys::{Held, Host, ServerKeys};
use protocol::interactive::server::{Weights, predict};
use protocol::interactive::{self, Plan as Agreed, WEIGHTS_MEMORY};
use protocol::{Error, Reveal, Session};

use super::engine::Engine;
use super::keys::{KeyStore, Owner, Room, owner};

/// What a server grants to the protocol `gazelle`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GazelleConfig {
    /// Bytes of encoded weights that are kept for each model; other weights are encoded when they are needed.
    pub weights_memory: usize,
    /// The base transfers that this server insists on.
    pub base_ot: Option<BaseOt>,
    /// Bytes of clients' rotation keys that are kept.
    pub key_memory: u64,
}

impl Default for GazelleConfig {
    /// 1 GB of weights, 1 GB of keys.
    fn default() -> Self {
        Self { weights_memory: WEIGHTS_MEMORY, base_ot: None, key_memory: 1_000_000_000 }
    }
}

/// The protocol `gazelle` ([`protocol::interactive`]).
pub struct Gazelle {
    config: GazelleConfig,
    keys: KeyStore<ServerKeys>,
}

impl Gazelle {
    /// The protocol with what the server grants to it.
    pub fn new(config: GazelleConfig) -> Self {
        Self { config, keys: KeyStore::new(config.key_memory) }
    }
}

impl Default for Gazelle {
    fn default() -> Self {
        Self::new(GazelleConfig::default())
    }
}

impl Engine for Gazelle {
    fn name(&self) -> &'static str {
        interactive::GAZELLE
    }

    fn for_model(&self, plan: &Plan, params: &Params) -> Result<Option<Arc<dyn Engine>>, Error> {
        let agreed = Agreed::of(plan)?;
        let weights = Weights::encode(&plan.graph, &agreed, params, self.config.weights_memory)?;
        let base_ot = self.config.base_ot;
        Ok(Some(Arc::new(Served { base_ot, weights: Arc::new(weights), keys: self.keys.clone() })))
    }

    fn predict(&self, _: &Plan, _: &Params, _: Reveal, _: &mut Session, _: &Seed) -> Result<(), Error> {
        Err(Error::Refused("this model was not prepared for this protocol".into()))
    }
}

/// A model with its weights encoded.
struct Served {
    base_ot: Option<BaseOt>,
    weights: Arc<Weights>,
    keys: KeyStore<ServerKeys>,
}

impl Engine for Served {
    fn name(&self) -> &'static str {
        interactive::GAZELLE
    }

    fn for_connection(&self, client: Option<IpAddr>) -> Option<Box<dyn Engine>> {
        let kept = Kept { store: self.keys.clone(), owner: owner(client) };
        Some(Box::new(Connected {
            base_ot: self.base_ot,
            weights: self.weights.clone(),
            kept,
            held: Mutex::new(Held::default()),
        }))
    }

    fn predict(&self, _: &Plan, _: &Params, _: Reveal, _: &mut Session, _: &Seed) -> Result<(), Error> {
        Err(Error::Refused("there is no connection to predict over".into()))
    }
}

/// A model for one client, with its keys once they are there.
struct Connected {
    base_ot: Option<BaseOt>,
    weights: Arc<Weights>,
    kept: Kept,
    held: Mutex<Held>,
}

impl Engine for Connected {
    fn name(&self) -> &'static str {
        interactive::GAZELLE
    }

    fn agree(&self, plan: &Plan, wishes: &serde_json::Value) -> Result<serde_json::Value, Error> {
        let client = Wishes { base_ot: Wishes::read(wishes)?.base_ot, ..Wishes::default() };
        let options = Wishes { base_ot: self.base_ot, ..Wishes::default() }.agree(client)?;
        Agreed { base_ot: options.base_ot, ..Agreed::of(plan)? }.payload()
    }

    fn predict(
        &self,
        plan: &Plan,
        params: &Params,
        reveal: Reveal,
        session: &mut Session,
        seed: &Seed,
    ) -> Result<(), Error> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let agreed = Agreed::of(plan)?;
        let weights = (params, self.weights.as_ref());
        predict((&plan.graph, &agreed), weights, reveal, (session, &mut held, &self.kept), seed)
    }
}

/// The store of keys, for a client.
struct Kept {
    store: KeyStore<ServerKeys>,
    owner: Owner,
}

impl Host for Kept {
    fn find(&self, digest: Digest) -> Option<Arc<ServerKeys>> {
        self.store.find(digest)
    }

    fn room(&self, bytes: u64) -> Result<Box<dyn Any + Send>, Error> {
        Ok(Box::new(self.store.room(self.owner, bytes)?))
    }

    fn keep(&self, digest: Digest, keys: ServerKeys, room: Box<dyn Any + Send>) -> Arc<ServerKeys> {
        match room.downcast::<Room<ServerKeys>>() {
            Ok(room) => self.store.keep(digest, keys, *room),
            // Room of another store: the keys live as long as their connection.
            Err(_) => Arc::new(keys),
        }
    }
}
