//! Gazelle, the client's half: it encrypts shares, and evaluates garbled activations.

use std::sync::Arc;

use kernel::seed::Seed;
use protocol::garbled::{BaseOt, Options, Wishes};
use protocol::handshake::Plan;
use protocol::interactive::{self, Plan as Agreed, client};
use protocol::{Error, Progress, Reveal, Session};

use super::engine::{Agreement, Engine, Integers};
use crate::identity::Fingerprint;

/// The protocol `gazelle` ([`protocol::interactive`]).
#[derive(Clone, Copy, Debug, Default)]
pub struct Gazelle {
    /// The base transfers that this client asks for.
    pub base_ot: Option<BaseOt>,
}

impl Gazelle {
    fn wish(&self) -> Wishes {
        Wishes { base_ot: self.base_ot, ..Wishes::default() }
    }
}

impl Engine for Gazelle {
    fn name(&self) -> &'static str {
        interactive::GAZELLE
    }

    fn wishes(&self) -> serde_json::Value {
        self.wish().to_payload()
    }

    fn accept(&self, agreed: &Agreement<'_>) -> Result<(), crate::error::Error> {
        let base_ot = Agreed::of(agreed.plan)?.base_ot;
        Ok(self.wish().accept(Options { base_ot, ..Options::default() })?)
    }

    fn for_connection(&self, plan: &Plan, _: Fingerprint) -> Result<Option<Arc<dyn Engine>>, Error> {
        Ok(Some(Arc::new(Connected { agreed: Agreed::of(plan)? })))
    }

    fn predict(
        &self,
        plan: &Plan,
        input: &[Vec<i64>],
        reveal: Reveal,
        session: &mut Session,
        seed: &Seed,
        progress: &dyn Progress,
    ) -> Result<Integers, Error> {
        Connected { agreed: Agreed::of(plan)? }.predict(plan, input, reveal, session, seed, progress)
    }
}

/// A client that has read its plan.
struct Connected {
    agreed: Agreed,
}

impl Engine for Connected {
    fn name(&self) -> &'static str {
        interactive::GAZELLE
    }

    fn predict(
        &self,
        plan: &Plan,
        input: &[Vec<i64>],
        reveal: Reveal,
        session: &mut Session,
        seed: &Seed,
        progress: &dyn Progress,
    ) -> Result<Integers, Error> {
        let outputs = client::predict((&plan.graph, &self.agreed), input, reveal, session, seed, progress)?;
        Ok(outputs.into_iter().map(|values| values.into_iter().map(i128::from).collect()).collect())
    }
}
