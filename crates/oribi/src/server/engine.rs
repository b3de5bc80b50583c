//! The server's half of a protocol, by name.

use std::net::IpAddr;
use std::sync::Arc;

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

    /// The engine for one model, where the protocol prepares or checks something before it is served.
    ///
    /// # Errors
    /// Where the model must not be served, with the reason.
    fn for_model(&self, _plan: &Plan, _params: &Params) -> Result<Option<Arc<dyn Engine>>, protocol::Error> {
        Ok(None)
    }

    /// The engine for one connection, from what it agrees to the end, where the protocol keeps something meanwhile.
    fn for_connection(&self, _client: Option<IpAddr>) -> Option<Box<dyn Engine>> {
        None
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
