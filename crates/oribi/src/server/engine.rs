//! The server's half of a protocol, by name.

use kernel::seed::Seed;
use model::fixed::Params;
use protocol::handshake::Plan;
use protocol::{Reveal, Session};

/// The server's half of a protocol. Each is a file of its own beside this one.
pub trait Engine: Send + Sync {
    /// The protocol's name on the wire and on the command line.
    fn name(&self) -> &'static str;

    /// What the plan says beside its graph, in answer to the payload of a client's choice.
    ///
    /// # Errors
    /// When the client asks for what this server does not do.
    fn agree(&self, plan: &Plan, _wishes: &serde_json::Value) -> Result<serde_json::Value, protocol::Error> {
        Ok(plan.payload.clone())
    }

    /// Serves one prediction of a valid plan. All secrets derive from `seed`, which is fresh.
    ///
    /// # Errors
    /// When the session fails.
    fn predict(
        &self,
        plan: &Plan,
        params: &Params,
        reveal: Reveal,
        session: &mut Session,
        seed: &Seed,
    ) -> Result<(), protocol::Error>;
}
