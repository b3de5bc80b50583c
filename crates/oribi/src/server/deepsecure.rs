//! DeepSecure, the server's half: it evaluates the garbled network with its weights as private inputs.

use kernel::seed::Seed;
use model::fixed::Params;
use protocol::handshake::Plan;
use protocol::{Reveal, Session, garbled};

use super::engine::Engine;

/// The protocol `deepsecure` ([`protocol::garbled`]).
pub struct DeepSecure;

impl Engine for DeepSecure {
    fn name(&self) -> &'static str {
        "deepsecure"
    }

    fn predict(
        &self,
        plan: &Plan,
        params: &Params,
        reveal: Reveal,
        session: &mut Session,
        seed: &Seed,
    ) -> Result<(), protocol::Error> {
        garbled::server::predict(&plan.graph, params, reveal, session, seed)
    }
}
