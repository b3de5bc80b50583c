//! Delphi, the server's half: ciphertexts and garbling beforehand, plain integers once the input is known.

use std::sync::Arc;

use kernel::seed::Seed;
use model::fixed::Params;
use protocol::handshake::Plan;
use protocol::interactive::Plan as Agreed;
use protocol::interactive::ahead::DELPHI;
use protocol::interactive::ahead::server::{Weights, prepare_and_predict};
use protocol::{Error, Reveal, Session};

use super::engine::Engine;

/// What a server grants to the protocol `delphi`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelphiConfig {
    /// Bytes of encoded weights that are kept for each model; other weights are encoded when they are needed. Plain weights come on top.
    pub weights_memory: usize,
}

impl Default for DelphiConfig {
    /// 1 GiB.
    fn default() -> Self {
        Self { weights_memory: 1 << 30 }
    }
}

/// The protocol `delphi` ([`protocol::interactive::ahead`]), prepared in the session that uses it.
#[derive(Default)]
pub struct Delphi {
    config: DelphiConfig,
}

impl Delphi {
    /// The protocol with what the server grants to it.
    pub fn new(config: DelphiConfig) -> Self {
        Self { config }
    }
}

impl Engine for Delphi {
    fn name(&self) -> &'static str {
        DELPHI
    }

    fn for_model(&self, plan: &Plan, params: &Params) -> Result<Option<Arc<dyn Engine>>, Error> {
        let agreed = Agreed::of(plan)?;
        let weights = Weights::encode(&plan.graph, &agreed, params, self.config.weights_memory)?;
        Ok(Some(Arc::new(Served { agreed, weights })))
    }

    fn predict(&self, _: &Plan, _: &Params, _: Reveal, _: &mut Session, _: &Seed) -> Result<(), Error> {
        Err(Error::Refused("this model was not prepared for this protocol".into()))
    }
}

/// A model with its weights encoded.
struct Served {
    agreed: Agreed,
    weights: Weights,
}

impl Engine for Served {
    fn name(&self) -> &'static str {
        DELPHI
    }

    fn predict(
        &self,
        plan: &Plan,
        params: &Params,
        reveal: Reveal,
        session: &mut Session,
        seed: &Seed,
    ) -> Result<(), Error> {
        let weights = (params, &self.weights);
        prepare_and_predict((&plan.graph, &self.agreed), weights, reveal, session, seed)
    }
}
