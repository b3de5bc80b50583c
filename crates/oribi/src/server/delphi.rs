//! Delphi, the server's half: ciphertexts and garbling beforehand, plain integers once the input is known.

use std::io::Write;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use kernel::seed::Seed;
use model::fixed::Params;
use protocol::handshake::{ModelId, Plan};
use protocol::interactive::ahead::bundle::ServerBundle;
use protocol::interactive::ahead::server::{Keys, Preparer, Weights, announced, predict_batch};
use protocol::interactive::ahead::{DELPHI, Findings, Work};
use protocol::interactive::{Plan as Agreed, WEIGHTS_MEMORY};
use protocol::{Error, Phase, Reveal, Session};

use super::engine::Engine;
use super::traffic::Traffic;
use crate::bundles;
use crate::store::{Prepared, Request, ServerSide, Store};

/// What a server grants to the protocol `delphi`.
#[derive(Clone)]
pub struct DelphiConfig {
    /// Bytes of encoded weights that are kept for each model; other weights are encoded when they are needed. Plain weights come on top.
    pub weights_memory: usize,
    /// Where this side's halves of prepared bundles are kept; without it, each prediction prepares its own.
    pub store: Option<Arc<Store>>,
    /// Bundles that a client is asked to keep ready, where it follows.
    pub prefill: u64,
    /// Told what an operator should be able to look up: which bundle a prediction uses, before its first online byte is read; and bundles that
    /// were discarded.
    pub tell: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Default for DelphiConfig {
    /// 1 GB; no store.
    fn default() -> Self {
        Self { weights_memory: WEIGHTS_MEMORY, store: None, prefill: 0, tell: Arc::new(|_| {}) }
    }
}

/// The protocol `delphi` ([`protocol::interactive::ahead`]).
#[derive(Default)]
pub struct Delphi {
    config: DelphiConfig,
    traffic: Traffic,
}

impl Delphi {
    /// The protocol with what the server grants to it.
    pub fn new(config: DelphiConfig) -> Self {
        Self { config, traffic: Traffic::default() }
    }
}

impl Engine for Delphi {
    fn name(&self) -> &'static str {
        DELPHI
    }

    fn for_model(&self, plan: &Plan, params: &Params) -> Result<Option<Arc<dyn Engine>>, Error> {
        let agreed = Agreed::of(plan)?;
        let weights = Weights::encode(&plan.graph, &agreed, params, self.config.weights_memory)?;
        let identify = |store: &Arc<Store>| {
            let id = store.model_identifier(&content(plan, params)?)?;
            Ok::<_, Error>((Arc::clone(store), id))
        };
        let store = self.config.store.as_ref().map(identify).transpose()?;
        let config = self.config.clone();
        let (traffic, findings) = (self.traffic.clone(), Mutex::default());
        let model = Model { agreed, weights, store, config, traffic, findings };
        Ok(Some(Arc::new(Served(Arc::new(model)))))
    }

    fn predict(&self, _: &Plan, _: &Params, _: Reveal, _: &mut Session, _: &Seed) -> Result<(), Error> {
        Err(unprepared())
    }
}

fn unprepared() -> Error {
    Error::Refused("this model was not prepared for this protocol".into())
}

/// Digest of a graph and its weights. A secret: it would confirm a guess at them.
fn content(plan: &Plan, params: &Params) -> Result<[u8; 32], Error> {
    let graph = serde_json::to_vec(&plan.graph).map_err(|error| Error::Refused(error.to_string()))?;
    let mut hasher = blake3::Hasher::new_derive_key("oribi: a model's graph and weights, version 1");
    hasher.update(&(graph.len() as u64).to_le_bytes()).update(&graph);
    for tensor in &params.tensors {
        hasher.update(&(tensor.len() as u64).to_le_bytes());
        (0..tensor.len()).for_each(|index| {
            hasher.update(&tensor.get(index).to_le_bytes());
        });
    }
    Ok(*hasher.finalize().as_bytes())
}

/// An output, and a name of the weights.
type Named = (Reveal, [u8; 16]);

/// A model with its weights encoded.
struct Model {
    agreed: Agreed,
    weights: Weights,
    /// The store, and the model's identifier there.
    store: Option<(Arc<Store>, [u8; 16])>,
    config: DelphiConfig,
    traffic: Traffic,
    /// What was found of the plan, for each output and name of the weights that clients ask for.
    findings: Mutex<Vec<(Named, Findings)>>,
}

impl Model {
    fn work<'a>(&self, plan: &'a Plan, reveal: Reveal) -> Result<Work<'a>, Error> {
        // The same names whichever client asks: what is kept stays small.
        let named: Named = (reveal, bundles::granted(plan)?.unwrap_or_default());
        let mut found = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, findings)) = found.iter().find(|(of, _)| *of == named) {
            return Work::again((&plan.graph, &self.agreed), findings);
        }
        let work = Work::new((&plan.graph, &self.agreed), reveal, ModelId(named.1))?;
        found.push((named, work.findings()));
        Ok(work)
    }
}

/// A model that is served.
struct Served(Arc<Model>);

impl Engine for Served {
    fn name(&self) -> &'static str {
        DELPHI
    }

    fn for_connection(&self, _: Option<IpAddr>) -> Option<Box<dyn Engine>> {
        let (side, keys) = (Mutex::default(), Mutex::default());
        Some(Box::new(Connected { model: Arc::clone(&self.0), side, keys }))
    }

    fn predict(&self, _: &Plan, _: &Params, _: Reveal, _: &mut Session, _: &Seed) -> Result<(), Error> {
        Err(unprepared())
    }
}

/// A model for one connection.
struct Connected {
    model: Arc<Model>,
    /// Where the client keeps bundles and the two stores have agreed, which they do at the first run.
    side: Mutex<Option<Arc<ServerSide>>>,
    /// The client's key.
    keys: Mutex<Option<Arc<Keys>>>,
}

impl Connected {
    fn side(
        &self,
        (plan, work): (&Plan, &Work<'_>),
        reveal: Reveal,
        session: &mut Session,
    ) -> Result<Option<Arc<ServerSide>>, Error> {
        // What was agreed is in the plan: a client that keeps no bundles does not speak of them.
        let Some((store, id)) =
            self.model.store.as_ref().filter(|_| bundles::granted(plan).is_ok_and(|id| id.is_some()))
        else {
            return Ok(None);
        };
        let mut side = self.side.lock().unwrap_or_else(PoisonError::into_inner);
        if side.is_none() {
            let offer = bundles::offer(plan, work, reveal, *id);
            let agreed = ServerSide::agree(session, store, &offer)?;
            if let Some((_, bundles)) = agreed.outcome().apart {
                (self.model.config.tell)(&format!(
                    "a client's store has another past: {bundles} of its bundles are discarded, and it is client {:.16} now",
                    agreed.outcome().peer.to_string()
                ));
            }
            *side = Some(Arc::new(agreed));
        }
        Ok(side.clone())
    }

    /// Prepares a bundle that is used at once, or kept.
    fn make(
        &self,
        work: &Work<'_>,
        params: &Params,
        session: &mut Session,
        seed: &Seed,
    ) -> Result<ServerBundle, Error> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let clients = match keys.as_ref() {
            Some(keys) => Arc::clone(keys),
            None => Arc::clone(keys.insert(Arc::new(Keys::set_up(work, session)?))),
        };
        drop(keys);
        let preparer = Preparer::with(work, (params, &self.model.weights), clients);
        preparer.bundle(session, seed.child("ahead/bundle", 0))
    }

    /// Prepares a bundle for later, behind all predictions.
    fn store(
        &self,
        prepared: Prepared<'_>,
        work: &Work<'_>,
        params: &Params,
        session: &mut Session,
        seed: &Seed,
    ) -> Result<(), Error> {
        session.meter.enter(Phase::Offline, "");
        let traffic = self.model.traffic.clone();
        traffic.give_way();
        session.outbox.set_brake(Some(Box::new(move || traffic.give_way())));
        let made = prepared.make(session, ServerBundle::bytes(work) as u64, |session, draft| {
            let bundle = self.make(work, params, session, seed)?;
            draft.write_all(&bundle.encode(work)).map_err(|error| Error::Refused(error.to_string()))
        });
        session.outbox.set_brake(None);
        made
    }
}

impl Engine for Connected {
    fn name(&self) -> &'static str {
        DELPHI
    }

    fn agree(&self, plan: &Plan, wishes: &serde_json::Value) -> Result<serde_json::Value, Error> {
        let payload = plan.payload.clone();
        Ok(match &self.model.store {
            Some((_, id)) if bundles::is_wished(wishes) => bundles::grant(payload, *id),
            _ => payload,
        })
    }

    fn predict(
        &self,
        plan: &Plan,
        params: &Params,
        reveal: Reveal,
        session: &mut Session,
        seed: &Seed,
    ) -> Result<(), Error> {
        let work = self.model.work(plan, reveal)?;
        let done = self.run((plan, &work), params, reveal, session, seed);
        // A session that waits takes little.
        if !work.keeps_keys() {
            *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        done
    }
}

impl Connected {
    /// One run: predictions, or a bundle for later.
    fn run(
        &self,
        (plan, work): (&Plan, &Work<'_>),
        params: &Params,
        reveal: Reveal,
        session: &mut Session,
        seed: &Seed,
    ) -> Result<(), Error> {
        let weights = (params, &self.model.weights);
        let side = self.side((plan, work), reveal, session)?;
        let next = |session: &mut Session| match &side {
            Some(side) => side.next(session),
            None => Ok(Request::Without),
        };
        let first = match next(session)? {
            Request::Make(prepared) => return self.store(prepared, work, params, session, seed),
            Request::Target => {
                let target = self.model.config.prefill;
                return side.as_ref().map_or(Ok(()), |side| side.tell_target(session, target));
            }
            request => request,
        };
        let _under_way = self.model.traffic.enter();
        let client = side.as_ref().map(|side| side.outcome().peer.to_string()).unwrap_or_default();
        let (mut first, mut left) = (Some(first), 0..announced(session)?);
        while !left.is_empty() {
            let mut bundles = Vec::new();
            for at in left.by_ref().take(work.together()) {
                let request = first.take().map_or_else(|| next(session), Ok)?;
                let seed = seed.child("prediction", at as u64);
                bundles.push(self.bundle(request, &client, (work, params), session, &seed)?);
            }
            predict_batch(work, bundles, weights, session)?;
        }
        Ok(())
    }

    /// The bundle of a prediction.
    fn bundle(
        &self,
        request: Request<'_>,
        client: &str,
        (work, params): (&Work<'_>, &Params),
        session: &mut Session,
        seed: &Seed,
    ) -> Result<ServerBundle, Error> {
        match request {
            Request::Without => self.make(work, params, session, seed),
            Request::Bundle(bundle) => {
                (self.model.config.tell)(&format!("client {client:.16} uses bundle {}", bundle.number()));
                session.meter.enter(Phase::Online, "");
                ServerBundle::open(work, bundle.len(), Box::new(bundle)).map_err(|_| {
                    Error::Refused(
                        "the server's half of this bundle is damaged; the next prediction takes another"
                            .into(),
                    )
                })
            }
            Request::Make(_) | Request::Target => {
                Err(Error::Refused("a run is one of predictions, or prepares one for later".into()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::fixed::{FixedGraph, NumberFormat, ParamData};

    #[test]
    fn weights_tell_models_apart() {
        let graph = FixedGraph {
            number: NumberFormat::Word16,
            nodes: Vec::new(),
            params: Vec::new(),
            inputs: Vec::new(),
            input_levels: Vec::new(),
            result_bits: Vec::new(),
            outputs: Vec::new(),
        };
        let plan = Plan { graph, payload: serde_json::Value::Null };
        let of = |tensors: &[&[i32]]| {
            let tensors = tensors.iter().map(|tensor| ParamData::I32(tensor.to_vec())).collect();
            content(&plan, &Params { tensors }).unwrap()
        };
        let all = [of(&[&[1, 2], &[3]]), of(&[&[1], &[2, 3]]), of(&[&[1, 2], &[4]]), of(&[])];
        assert!((0..4).all(|i| (0..i).all(|j| all[i] != all[j])));
        assert_eq!(all[0], of(&[&[1, 2], &[3]]));
    }
}
