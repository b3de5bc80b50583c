//! DeepSecure, the server's half: it evaluates the garbled network with its weights as private inputs.

use kernel::seed::Seed;
use model::fixed::Params;
use protocol::garbled::{self, Options, Wishes};
use protocol::handshake::Plan;
use protocol::{Reveal, Session};

use super::engine::Engine;

/// The protocol `deepsecure` ([`protocol::garbled`]).
#[derive(Clone, Copy, Debug, Default)]
pub struct DeepSecure {
    /// What this server insists on.
    pub wishes: Wishes,
}

impl Engine for DeepSecure {
    fn name(&self) -> &'static str {
        "deepsecure"
    }

    fn agree(&self, _plan: &Plan, wishes: &serde_json::Value) -> Result<serde_json::Value, protocol::Error> {
        Ok(self.wishes.agree(Wishes::read(wishes)?)?.to_payload())
    }

    fn predict(
        &self,
        plan: &Plan,
        params: &Params,
        reveal: Reveal,
        session: &mut Session,
        seed: &Seed,
    ) -> Result<(), protocol::Error> {
        garbled::server::predict(&plan.graph, Options::read(&plan.payload)?, params, reveal, session, seed)
    }
}
