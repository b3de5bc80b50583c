//! The client's half of a protocol, by name.

use std::sync::Arc;

use kernel::seed::Seed;
use protocol::handshake::{ModelInfo, Plan};
use protocol::{Meter, Progress, Reveal, Session};

use crate::error::Error;
use crate::identity::Fingerprint;

/// The integers of each of the graph's outputs.
pub type Integers = Vec<Vec<i128>>;

/// What client and server agreed on.
pub struct Agreement<'a> {
    /// The model.
    pub model: &'a ModelInfo,
    /// The outputs that the client learns.
    pub reveal: Reveal,
    /// The plan.
    pub plan: &'a Plan,
    /// The session's account.
    pub meter: &'a Meter,
}

/// The client's half of a protocol. Each is a file of its own beside this one.
pub trait Engine: Send + Sync {
    /// The protocol's name on the wire and on the command line.
    fn name(&self) -> &'static str;

    /// What this side asks for, the payload of its choice.
    fn wishes(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    /// Whether what was agreed is what this side takes; asked once, before the first prediction.
    ///
    /// # Errors
    /// Why not.
    fn accept(&self, _agreed: &Agreement<'_>) -> Result<(), Error> {
        Ok(())
    }

    /// The engine for one connection, where the protocol checks the plan or keeps something from one prediction to the next.
    ///
    /// # Errors
    /// Where the plan is one that this client must not or cannot use.
    fn for_connection(
        &self,
        _plan: &Plan,
        _server: Fingerprint,
    ) -> Result<Option<Arc<dyn Engine>>, protocol::Error> {
        Ok(None)
    }

    /// Makes one-time material for a later prediction, and keeps it on both sides.
    ///
    /// # Errors
    /// The protocol has none or a side keeps none, a store is full, or the session fails.
    fn prepare(
        &self,
        _plan: &Plan,
        _reveal: Reveal,
        _session: &mut Session,
        _seed: &Seed,
        _progress: &dyn Progress,
    ) -> Result<(), protocol::Error> {
        Err(protocol::Error::Refused(format!("{} prepares nothing ahead of a prediction", self.name())))
    }

    /// How many predictions' material the server would like this client to have; 0 where it does not say.
    ///
    /// # Errors
    /// As [`Engine::prepare`].
    fn target(&self, _plan: &Plan, _reveal: Reveal, _session: &mut Session) -> Result<u64, protocol::Error> {
        Err(protocol::Error::Refused(format!("{} prepares nothing ahead of a prediction", self.name())))
    }

    /// For how many predictions material is kept; `None` where that is not known, or not yet.
    ///
    /// # Errors
    /// The store cannot be read.
    fn held(&self) -> Result<Option<usize>, protocol::Error> {
        Ok(None)
    }

    /// Inputs that one prediction may carry.
    fn batch(&self) -> usize {
        1
    }

    /// Inputs that one prediction may carry at most, where [`Engine::batch`] says how many it had best carry now.
    fn most(&self) -> usize {
        self.batch()
    }

    /// Predictions of up to [`Engine::most`] inputs in one pass; as [`Engine::predict`] for each.
    ///
    /// # Errors
    /// As [`Engine::predict`].
    fn predict_batch(
        &self,
        plan: &Plan,
        batch: &[Vec<Vec<i64>>],
        reveal: Reveal,
        session: &mut Session,
        seed: &Seed,
        progress: &dyn Progress,
    ) -> Result<Vec<Integers>, protocol::Error> {
        match batch {
            [input] => Ok(vec![self.predict(plan, input, reveal, session, seed, progress)?]),
            _ => Err(protocol::Error::Refused("this protocol takes one input at a time".into())),
        }
    }

    /// One prediction of a valid plan: `input` holds the integers of each of the graph's inputs, the result those of each
    /// output, or, for [`Reveal::Label`], the index of the first output's largest value alone. All secrets derive from
    /// `seed`, which is fresh.
    ///
    /// # Errors
    /// When the input does not fit the plan or the session fails.
    fn predict(
        &self,
        plan: &Plan,
        input: &[Vec<i64>],
        reveal: Reveal,
        session: &mut Session,
        seed: &Seed,
        progress: &dyn Progress,
    ) -> Result<Integers, protocol::Error>;
}
