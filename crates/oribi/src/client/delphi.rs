//! Delphi, the client's half: masks beforehand, labels once the input is known.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use kernel::seed::Seed;
use protocol::handshake::{ModelId, Plan};
use protocol::interactive::Plan as Agreed;
use protocol::interactive::ahead::bundle::ClientBundle;
use protocol::interactive::ahead::client::{self, Keys, Preparer};
use protocol::interactive::ahead::{DELPHI, Findings, Work};
use protocol::{Error, Phase, Progress, Reveal, Session};

use super::engine::{Engine, Integers};
use crate::bundles;
use crate::identity::Fingerprint;
use crate::store::{ClientSide, Peer, Store, Ticket};

/// Where bundles are kept, and who is told about it.
#[derive(Clone)]
pub struct Supply {
    /// The client's store.
    pub store: Arc<Store>,
    /// Told what a person should know: that bundles were discarded, or that a prediction had none.
    pub tell: Arc<dyn Fn(&str) + Send + Sync>,
}

/// The protocol `delphi` ([`protocol::interactive::ahead`]): prepared in the session that uses it, or from a store.
#[derive(Clone, Default)]
pub struct Delphi {
    supply: Option<Supply>,
}

impl Delphi {
    /// The protocol with bundles that outlive a connection.
    pub fn with_store(supply: Supply) -> Self {
        Self { supply: Some(supply) }
    }
}

impl Engine for Delphi {
    fn name(&self) -> &'static str {
        DELPHI
    }

    fn wishes(&self) -> serde_json::Value {
        bundles::wish(self.supply.is_some())
    }

    fn for_connection(&self, plan: &Plan, server: Fingerprint) -> Result<Option<Arc<dyn Engine>>, Error> {
        let agreed = Agreed::of(plan)?;
        let mut stored = None;
        if let Some(supply) = &self.supply {
            match bundles::granted(plan)? {
                Some(model) => {
                    let (supply, side) = (supply.clone(), Mutex::new(None));
                    stored = Some(Stored { supply, model, server: server.into(), side });
                }
                None => {
                    (supply.tell)("the server keeps no prepared bundles: each prediction prepares its own")
                }
            }
        }
        Ok(Some(Arc::new(Connected::new(agreed, stored))))
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
        let inline = Connected::new(Agreed::of(plan)?, None);
        inline.predict(plan, input, reveal, session, seed, progress)
    }
}

/// Predictions of one run, at most.
const BATCH: usize = 16;

/// A client that has read its plan.
struct Connected {
    agreed: Agreed,
    stored: Option<Stored>,
    /// The key that the server has.
    keys: Mutex<Option<Arc<Keys>>>,
    /// What was found of the plan.
    findings: Mutex<Option<(Reveal, Findings)>>,
}

/// A client and a server that both keep bundles.
struct Stored {
    supply: Supply,
    model: [u8; 16],
    server: Peer,
    /// Where the two stores have agreed, which they do at the first run of a connection.
    side: Mutex<Option<Arc<ClientSide>>>,
}

fn file(error: std::io::Error) -> Error {
    Error::Refused(error.to_string())
}

impl Stored {
    fn side(
        &self,
        (plan, work): (&Plan, &Work<'_>),
        reveal: Reveal,
        session: &mut Session,
    ) -> Result<Arc<ClientSide>, Error> {
        let mut side = self.side.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(side) = side.as_ref() {
            return Ok(Arc::clone(side));
        }
        let offer = bundles::offer(plan, work, reveal, self.model);
        let agreed = ClientSide::agree(session, &self.supply.store, self.server, &offer)?;
        if let Some(warning) = agreed.outcome().warning() {
            (self.supply.tell)(&warning);
        }
        Ok(Arc::clone(side.insert(Arc::new(agreed))))
    }

    /// How many bundles there are; before the stores have agreed, how many are likely to be left.
    fn held(&self) -> usize {
        let side = self.side.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(side) = side {
            return side.numbers().map_or(0, |numbers| numbers.len());
        }
        let store = &self.supply.store;
        let groups = store.list().unwrap_or_default();
        let own =
            groups.iter().filter(|group| group.kind.peer == self.server && group.kind.model == self.model);
        own.map(|group| store.held(&group.kind).map_or(0, |numbers| numbers.len())).sum()
    }

    /// A bundle that can be read, as far as its beginning tells; those that cannot are struck off as well, and lost.
    fn take(&self, side: &ClientSide, work: &Work<'_>) -> Result<Option<(Ticket, ClientBundle)>, Error> {
        while let Some(bundle) = side.take()? {
            let (ticket, number) = (bundle.ticket(), bundle.number());
            match ClientBundle::open(work, bundle.len(), Box::new(bundle)) {
                Ok(bundle) => return Ok(Some((ticket, bundle))),
                Err(error) => (self.supply.tell)(&format!("bundle {number} is lost: {error}")),
            }
        }
        Ok(None)
    }
}

impl Connected {
    fn new(agreed: Agreed, stored: Option<Stored>) -> Self {
        Self { agreed, stored, keys: Mutex::default(), findings: Mutex::default() }
    }

    fn work<'a>(&self, plan: &'a Plan, reveal: Reveal) -> Result<Work<'a>, Error> {
        let mut found = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, findings)) = found.as_ref().filter(|(of, _)| *of == reveal) {
            return Work::again((&plan.graph, &self.agreed), findings);
        }
        let weights = self.stored.as_ref().map_or([0; 16], |stored| stored.model);
        let work = Work::new((&plan.graph, &self.agreed), reveal, ModelId(weights))?;
        *found = Some((reveal, work.findings()));
        Ok(work)
    }

    /// Prepares a bundle that is used at once, or kept.
    fn make(
        &self,
        work: &Work<'_>,
        session: &mut Session,
        seed: &Seed,
        progress: &dyn Progress,
    ) -> Result<ClientBundle, Error> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let own = match keys.as_ref() {
            Some(own) => Arc::clone(own),
            None => Arc::clone(keys.insert(Arc::new(Keys::set_up(work, session, seed)?))),
        };
        drop(keys);
        // The server answers what this run was announced as, also where it has the key.
        session.outbox.flush()?;
        Preparer::with(work, own).bundle(session, seed.child("ahead/bundle", 0), progress)
    }

    /// Ends a run: the server forgets keys that are large.
    fn forget(&self, work: &Work<'_>) {
        if !work.keeps_keys() {
            *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// A bundle for a prediction, which the server is told of: a stored one, or one that is made now. It is told too how many predictions a run
    /// has, where that is `count`, as soon as it knows that it is one of predictions.
    fn bundle(
        &self,
        (work, count): (&Work<'_>, Option<usize>),
        side: Option<&ClientSide>,
        session: &mut Session,
        seed: &Seed,
        progress: &dyn Progress,
    ) -> Result<(ClientBundle, Option<Ticket>), Error> {
        let tell = |session: &mut Session| count.map_or(Ok(()), |count| client::announce(count, session));
        let (Some(stored), Some(side)) = (&self.stored, side) else {
            tell(session)?;
            return Ok((self.make(work, session, seed, progress)?, None));
        };
        session.meter.enter(Phase::Online, "");
        if let Some((ticket, bundle)) = stored.take(side, work)? {
            side.announce(session, ticket)?;
            tell(session)?;
            return Ok((bundle, Some(ticket)));
        }
        (stored.supply.tell)("no prepared bundle is left: this prediction prepares its own");
        session.meter.enter(Phase::Offline, "");
        side.without(session)?;
        tell(session)?;
        Ok((self.make(work, session, seed, progress)?, None))
    }
}

impl Engine for Connected {
    fn name(&self) -> &'static str {
        DELPHI
    }

    fn batch(&self) -> usize {
        // Those that have a bundle go together, so that none of them waits for one to be made.
        self.stored.as_ref().map_or(BATCH, |stored| stored.held().clamp(1, BATCH))
    }

    fn most(&self) -> usize {
        BATCH
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
        let mut results = self.predict_batch(plan, &[input.to_vec()], reveal, session, seed, progress)?;
        results.pop().ok_or_else(|| Error::Refused("an output is missing".into()))
    }

    fn predict_batch(
        &self,
        plan: &Plan,
        batch: &[Vec<Vec<i64>>],
        reveal: Reveal,
        session: &mut Session,
        seed: &Seed,
        progress: &dyn Progress,
    ) -> Result<Vec<Integers>, Error> {
        let work = self.work(plan, reveal)?;
        let side =
            self.stored.as_ref().map(|stored| stored.side((plan, &work), reveal, session)).transpose()?;
        let mut results = Vec::with_capacity(batch.len());
        for (number, group) in batch.chunks(work.together()).enumerate() {
            let (mut bundles, mut used) = (Vec::with_capacity(group.len()), Vec::new());
            for at in 0..group.len() {
                let seed = seed.child("prediction", (number * BATCH + at) as u64);
                let told = (number == 0 && at == 0).then_some(batch.len());
                let (bundle, ticket) =
                    self.bundle((&work, told), side.as_deref(), session, &seed, progress)?;
                bundles.push(bundle);
                used.extend(ticket);
            }
            let inputs: Vec<&[Vec<i64>]> = group.iter().map(Vec::as_slice).collect();
            results.extend(client::predict_batch(&work, bundles, &inputs, session, progress)?);
            for (side, ticket) in side.iter().flat_map(|side| used.iter().map(move |ticket| (side, *ticket)))
            {
                side.confirm(ticket)?;
            }
        }
        self.forget(&work);
        let wide = |values: Vec<i64>| values.into_iter().map(i128::from).collect();
        Ok(results.into_iter().map(|outputs| outputs.into_iter().map(wide).collect()).collect())
    }

    fn prepare(
        &self,
        plan: &Plan,
        reveal: Reveal,
        session: &mut Session,
        seed: &Seed,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let stored = self.stored.as_ref().ok_or_else(no_store)?;
        let work = self.work(plan, reveal)?;
        let side = stored.side((plan, &work), reveal, session)?;
        session.meter.enter(Phase::Offline, "");
        let make = |session: &mut Session, draft: &mut crate::store::Draft<'_>| {
            let bundle = self.make(&work, session, seed, progress)?;
            draft.write_all(&bundle.encode(&work)).map_err(file)
        };
        let made = side.make(session, ClientBundle::bytes(&work) as u64, make).map(drop);
        self.forget(&work);
        made
    }

    fn target(&self, plan: &Plan, reveal: Reveal, session: &mut Session) -> Result<u64, Error> {
        let stored = self.stored.as_ref().ok_or_else(no_store)?;
        let work = self.work(plan, reveal)?;
        stored.side((plan, &work), reveal, session)?.target(session)
    }

    fn held(&self) -> Result<Option<usize>, Error> {
        let Some(stored) = &self.stored else { return Ok(None) };
        let side = stored.side.lock().unwrap_or_else(PoisonError::into_inner).clone();
        side.map(|side| side.numbers().map(|numbers| numbers.len())).transpose()
    }
}

fn no_store() -> Error {
    Error::Refused(
        "the server keeps no bundles for later: it has to be started with a store (oribi serve --store FOLDER)".into(),
    )
}
