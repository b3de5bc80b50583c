//! Delphi, the client's half: masks beforehand, labels once the input is known.

use std::sync::Arc;

use kernel::seed::Seed;
use protocol::handshake::Plan;
use protocol::interactive::Plan as Agreed;
use protocol::interactive::ahead::{DELPHI, client};
use protocol::{Error, Progress, Reveal, Session};

use super::engine::{Engine, Integers};
use crate::identity::Fingerprint;

/// The protocol `delphi` ([`protocol::interactive::ahead`]), prepared in the session that uses it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delphi;

impl Engine for Delphi {
    fn name(&self) -> &'static str {
        DELPHI
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
        DELPHI
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
        let agreed = (&plan.graph, &self.agreed);
        let outputs = client::prepare_and_predict(agreed, input, reveal, session, seed, progress)?;
        Ok(outputs.into_iter().map(|values| values.into_iter().map(i128::from).collect()).collect())
    }
}
