//! Gazelle, the server's half: linear layers on encrypted shares, and garbled activations.

use std::sync::Arc;

use kernel::seed::Seed;
use model::fixed::Params;
use protocol::garbled::{BaseOt, Wishes};
use protocol::handshake::Plan;
use protocol::interactive::server::{Weights, predict};
use protocol::interactive::{self, Plan as Agreed};
use protocol::{Error, Reveal, Session};

use super::engine::Engine;

/// What a server grants to the protocol `gazelle`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GazelleConfig {
    /// Bytes of encoded weights that are kept for each model; other weights are encoded when they are needed.
    pub weights_memory: usize,
    /// The base transfers that this server insists on.
    pub base_ot: Option<BaseOt>,
}

impl Default for GazelleConfig {
    /// 1 GiB.
    fn default() -> Self {
        Self { weights_memory: 1 << 30, base_ot: None }
    }
}

/// The protocol `gazelle` ([`protocol::interactive`]).
#[derive(Default)]
pub struct Gazelle {
    config: GazelleConfig,
}

impl Gazelle {
    /// The protocol with what the server grants to it.
    pub fn new(config: GazelleConfig) -> Self {
        Self { config }
    }
}

impl Engine for Gazelle {
    fn name(&self) -> &'static str {
        interactive::GAZELLE
    }

    fn for_model(&self, plan: &Plan, params: &Params) -> Result<Option<Arc<dyn Engine>>, Error> {
        let agreed = Agreed::of(plan)?;
        let weights = Weights::encode(&plan.graph, &agreed, params, self.config.weights_memory)?;
        Ok(Some(Arc::new(Served { base_ot: self.config.base_ot, weights })))
    }

    fn predict(&self, _: &Plan, _: &Params, _: Reveal, _: &mut Session, _: &Seed) -> Result<(), Error> {
        Err(Error::Refused("this model was not prepared for this protocol".into()))
    }
}

/// A model with its weights encoded.
struct Served {
    base_ot: Option<BaseOt>,
    weights: Weights,
}

impl Engine for Served {
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
        predict((&plan.graph, &Agreed::of(plan)?), (params, &self.weights), reveal, session, seed)
    }
}
