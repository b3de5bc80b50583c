//! DeepSecure, the client's half: it garbles the whole network.

use kernel::seed::Seed;
use protocol::handshake::Plan;
use protocol::{Progress, Reveal, Session, garbled};

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
        input: &[Vec<i64>],
        reveal: Reveal,
        session: &mut Session,
        seed: &Seed,
        progress: &dyn Progress,
    ) -> Result<Vec<Vec<i64>>, protocol::Error> {
        garbled::client::predict(&plan.graph, input, reveal, session, seed, progress)
    }
}
