//! DeepSecure, the client's half: it garbles the whole network.

use kernel::seed::Seed;
use protocol::garbled::{self, Options, Wishes};
use protocol::handshake::Plan;
use protocol::{Progress, Reveal, Session};

use super::engine::{Agreement, Engine};
use crate::error::Error;

/// The protocol `deepsecure` ([`protocol::garbled`]).
#[derive(Clone, Copy, Debug, Default)]
pub struct DeepSecure {
    /// What this client asks for.
    pub wishes: Wishes,
}

impl Engine for DeepSecure {
    fn name(&self) -> &'static str {
        "deepsecure"
    }

    fn wishes(&self) -> serde_json::Value {
        self.wishes.to_payload()
    }

    fn accept(&self, agreed: &Agreement<'_>) -> Result<(), Error> {
        Ok(self.wishes.accept(Options::read(&agreed.plan.payload)?)?)
    }

    fn predict(
        &self,
        plan: &Plan,
        input: &[Vec<i64>],
        reveal: Reveal,
        session: &mut Session,
        seed: &Seed,
        progress: &dyn Progress,
    ) -> Result<Vec<Vec<i128>>, protocol::Error> {
        let outputs = garbled::client::predict(
            &plan.graph,
            Options::read(&plan.payload)?,
            input,
            reveal,
            session,
            seed,
            progress,
        )?;
        Ok(outputs.into_iter().map(|values| values.into_iter().map(i128::from).collect()).collect())
    }
}
