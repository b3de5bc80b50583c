//! The server's half: it computes on encrypted masks beforehand, and on plain integers once the input is known; it garbles or evaluates.

use std::collections::HashMap;
use std::sync::Arc;

use garble::modulus::ShareModulus;
use kernel::seed::Seed;
use linear::plain::Layer;
use model::fixed::{FixedGraph, NodeId, Op, Params};
use zeroize::Zeroizing;

use super::super::linear::{Computer, failed};
use super::super::names;
use super::super::plan::{Garbler, Plan};
use super::super::server::{Weights as Encoded, masks, weight};
use super::super::shares::Addends;
use super::super::wire;
use super::bundle::{self, Half as Bundle, Material, ServerBundle, Stages};
use super::evaluator::{Evaluating, entering, evaluate, secrets};
use super::garbler::{Garbling, Own, labels, offset, shares_of, sums};
use super::gilboa::Job;
use super::products::{Crossed, Pending, Quadratic};
use super::state::State;
use super::streams::{self, BitString};
use super::{MOST_BATCH, NAMELESS, Work};
use crate::error::Error;
use crate::garbled::wire::pack;
use crate::handshake::Reveal;
use crate::meter::Phase;
use crate::session::{Inbox, Outbox, Session};

/// A model's weights: for products with encrypted masks, as far as the memory allowed, and as plain integers.
pub struct Weights {
    encoded: Encoded,
    plain: HashMap<NodeId, Layer>,
}

impl Weights {
    /// Encodes the weights of a plan's layers: with up to `budget` bytes for those that meet ciphertexts.
    ///
    /// # Errors
    /// If the plan does not fit the graph.
    pub fn encode(graph: &FixedGraph, plan: &Plan, params: &Params, budget: usize) -> Result<Self, Error> {
        let program = plan.program_ahead(graph, Reveal::Scores)?;
        // Sums modulo an odd number are exact integers before they are reduced.
        let bits = match program.modulus {
            ShareModulus::PowerOfTwo(ring) => ring,
            ShareModulus::Odd(_) => 64,
        };
        let online = Plan { garbler: Garbler::Server, ..plan.clone() };
        let mut plain = HashMap::new();
        for (node, need) in program.linear.iter().zip(program.needs()) {
            let layer = Layer::new(&need.shape, bits, weight(&program, params, *node));
            plain.insert(*node, layer.map_err(failed)?);
        }
        Ok(Self { encoded: Encoded::encode(graph, &online, params, budget)?, plain })
    }
}

/// A client's key at the server, for a connection.
pub struct Keys(Option<Computer>);

impl Keys {
    /// Receives the client's key, once a connection.
    ///
    /// # Errors
    /// When the session fails or the key is malformed.
    pub fn set_up(work: &Work<'_>, session: &mut Session) -> Result<Self, Error> {
        let set_up = |setting| Computer::set_up(setting, &mut session.inbox);
        Ok(Self(work.found.setting.as_ref().map(set_up).transpose()?))
    }
}

/// A server that has a client's key for a connection, ready to prepare.
pub struct Preparer<'a> {
    work: &'a Work<'a>,
    params: &'a Params,
    weights: &'a Weights,
    keys: Arc<Keys>,
}

impl<'a> Preparer<'a> {
    /// With a key that comes now.
    ///
    /// # Errors
    /// As [`Keys::set_up`].
    pub fn new(
        work: &'a Work<'a>,
        weights: (&'a Params, &'a Weights),
        session: &mut Session,
    ) -> Result<Self, Error> {
        Ok(Self::with(work, weights, Arc::new(Keys::set_up(work, session)?)))
    }

    /// With the key of this connection.
    pub fn with(work: &'a Work<'a>, (params, weights): (&'a Params, &'a Weights), keys: Arc<Keys>) -> Self {
        Self { work, params, weights, keys }
    }

    /// Prepares one prediction. All its secrets derive from `seed`, which must be fresh and is kept in the bundle.
    ///
    /// # Errors
    /// When the session fails.
    pub fn bundle(&self, session: &mut Session, seed: Seed) -> Result<ServerBundle, Error> {
        session.meter.enter(Phase::Offline, "");
        let kept = match self.work.garbler {
            Garbler::Server => self.garbler(session, &seed)?,
            Garbler::Client => self.evaluator(session, &seed)?,
        };
        Ok(ServerBundle(Bundle { digest: self.work.found.digest, seed, kept }))
    }

    /// What it keeps if it garbles.
    fn garbler(&self, session: &mut Session, seed: &Seed) -> Result<bundle::Kept, Error> {
        let mut side = Garbling::begin(self.work, session, seed)?;
        self.linear(session, seed)?;
        let shares = self.shares(seed)?;
        if self.work.exact() {
            side.align(session, &shares)?
        } else {
            side.halve(session, &shares)?
        }
        drop(shares);
        let all = self.work.quadratics();
        for of in &all {
            let (masks, drawn) = (of.server_bits(seed), Crossed::drawn(of, seed).first());
            side.multiply(session, &of.bit_jobs(), (&masks, &drawn))?;
        }
        for of in &all {
            let (masks, drawn) = (of.server_masks(seed), Crossed::drawn(of, seed).second());
            side.multiply(session, &of.jobs(), (&masks, &drawn))?;
        }
        side.material(session, Own::Server(self.params), &())?;
        Ok(bundle::Kept::Garbler(Zeroizing::default()))
    }

    /// What it keeps if the client garbles.
    fn evaluator(&self, session: &mut Session, seed: &Seed) -> Result<bundle::Kept, Error> {
        let work = self.work;
        let mut side = Evaluating::begin(work, session, seed)?;
        self.linear(session, seed)?;
        let shares = self.shares(seed)?;
        let mut sums =
            if work.exact() { side.align(session, shares)? } else { side.halve(session, &shares)? };
        let all = work.quadratics();
        let jobs: Vec<Vec<Job>> = all.iter().map(Quadratic::bit_jobs).collect();
        let masks: Vec<Zeroizing<Vec<u64>>> = all.iter().map(|of| of.server_bits(seed)).collect();
        let first = side.multiply(session, &jobs, &masks)?;
        let jobs: Vec<Vec<Job>> = all.iter().map(Quadratic::jobs).collect();
        let masks: Vec<Zeroizing<Vec<u64>>> = all.iter().map(|of| of.server_masks(seed)).collect();
        let second = side.multiply(session, &jobs, &masks)?;
        let mut crossed = all.iter().zip(first.iter().zip(&second)).map(|(of, (first, second))| {
            let mut crossed = Crossed::begin(of, first);
            crossed.finish(of, second);
            crossed
        });
        let choices = |stage: usize| {
            let mut bits = choices(seed, stage, work.found.surveys[stage].late);
            secrets(work, stage, self.params, &mut bits)?;
            Ok(bits)
        };
        let mut stages = side.material(session, &choices, &())?;
        for (material, stage) in stages.iter_mut().zip(&work.program.stages) {
            material.sums.extend(stage.linear.iter().map(|index| std::mem::take(&mut sums[*index])));
            material.crossed.extend(crossed.by_ref().take(stage.products.len()));
        }
        Ok(bundle::Kept::Evaluator(side.start, Stages::Made(stages)))
    }

    /// This party's shares of twice the sums, or one more; of the sums themselves where these are exact.
    fn shares(&self, seed: &Seed) -> Result<Vec<Zeroizing<Vec<u64>>>, Error> {
        let (Some(setting), Some(computer)) = (&self.work.found.setting, &self.keys.0) else {
            return Ok(Vec::new());
        };
        let layers = self.work.program.linear.iter().enumerate();
        let shares =
            layers.map(|(layer, id)| computer.shares(setting, layer, &masks(seed, *id)).map(Zeroizing::new));
        shares.collect()
    }

    /// The linear layers on encrypted masks.
    fn linear(&self, session: &mut Session, seed: &Seed) -> Result<(), Error> {
        let (Some(setting), Some(computer)) = (&self.work.found.setting, &self.keys.0) else { return Ok(()) };
        let program = &self.work.program;
        for (layer, id) in program.linear.iter().enumerate() {
            let node = &program.graph.nodes[*id];
            session.meter.enter(Phase::Offline, &node.name);
            // The client's masks are all there is to the operand.
            let zeros = vec![0; program.elements(node.inputs[0])];
            let operands = computer.receive(setting, layer, &zeros, &mut session.inbox)?;
            let weights = (self.weights.encoded.factors.get(id), weight(program, self.params, *id));
            let replies = computer.run((setting, layer), weights, &operands, &masks(seed, *id))?;
            replies.iter().try_for_each(|reply| session.outbox.send(wire::MASKED, reply))?;
            session.outbox.flush()?;
        }
        Ok(())
    }
}

/// The bits of a server's transfers for a stage's shares, where it evaluates.
fn choices(seed: &Seed, stage: usize, count: usize) -> BitString {
    BitString::drawn(seed, "ahead/choices", stage, count)
}

/// Serves one prediction with what was prepared.
///
/// # Errors
/// When the bundle is of another plan, or the session fails.
pub fn predict(
    work: &Work<'_>,
    bundle: ServerBundle,
    weights: (&Params, &Weights),
    session: &mut Session,
) -> Result<(), Error> {
    predict_batch(work, vec![bundle], weights, session)
}

/// Serves predictions that share flights, with a bundle each, in the client's order.
///
/// # Errors
/// As [`predict`], or if there are none, or more than [`MOST_BATCH`].
pub fn predict_batch(
    work: &Work<'_>,
    bundles: Vec<ServerBundle>,
    weights: (&Params, &Weights),
    session: &mut Session,
) -> Result<(), Error> {
    if !(1..=MOST_BATCH).contains(&bundles.len()) {
        return Err(Error::Refused(format!("{} bundles", bundles.len())));
    }
    let half = |ServerBundle(bundle): ServerBundle| {
        if bundle.digest != work.found.digest {
            return Err(Error::Refused(
                "the bundle was prepared for another model, other weights or another plan".into(),
            ));
        }
        Ok(Half::new(work, bundle, weights))
    };
    let mut halves = bundles.into_iter().map(half).collect::<Result<Vec<_>, Error>>()?;
    let evaluates = work.garbler == Garbler::Client;
    for stage in 0..work.program.stages.len() {
        let (linear, circuit) = names(&work.program, stage);
        session.meter.enter(Phase::Online, &linear);
        // All of it before anything is sent: neither side writes while the other does not read.
        if !evaluates || stage == 0 {
            halves.iter_mut().try_for_each(|half| half.receive(work.opened(stage), &mut session.inbox))?;
        }
        for half in &mut halves {
            half.compute(stage)?;
            half.factors(stage, &mut session.outbox)?;
            half.late(stage, &mut session.outbox)?;
        }
        session.outbox.flush()?;
        session.meter.enter(Phase::Online, &circuit);
        if evaluates {
            halves.iter_mut().try_for_each(|half| half.evaluate(stage, &mut session.inbox))?;
        }
    }
    if evaluates && work.colours() > 0 {
        for half in &halves {
            session.outbox.send(wire::COLOURS, &pack(&half.shown))?;
        }
        session.outbox.flush()?;
    }
    Ok(())
}

/// How many predictions the client's run has.
///
/// # Errors
/// When the session fails, or there are none, or more than [`MOST_BATCH`].
pub fn announced(session: &mut Session) -> Result<usize, Error> {
    let mut count = [0; 4];
    session.inbox.recv_into(wire::BATCH, &mut count)?;
    match u32::from_le_bytes(count) as usize {
        count if (1..=MOST_BATCH).contains(&count) => Ok(count),
        count => Err(Error::malformed("batch", format!("{count} inputs, at most {MOST_BATCH} go together"))),
    }
}

/// Prepares and serves predictions in one go, as many as the client says. All secrets derive from `seed`, which must be fresh.
///
/// # Errors
/// As [`Preparer::bundle`] and [`predict_batch`].
pub fn prepare_and_predict(
    (graph, plan): (&FixedGraph, &Plan),
    (params, weights): (&Params, &Weights),
    reveal: Reveal,
    session: &mut Session,
    seed: &Seed,
) -> Result<(), Error> {
    let work = Work::new((graph, plan), reveal, NAMELESS)?;
    let mut left = 0..announced(session)?;
    let preparer = Preparer::new(&work, (params, weights), session)?;
    while !left.is_empty() {
        let group = left.by_ref().take(work.together());
        let bundles = group.map(|at| preparer.bundle(session, seed.child("ahead/bundle", at as u64)));
        let bundles = bundles.collect::<Result<Vec<_>, _>>()?;
        predict_batch(&work, bundles, (params, weights), session)?;
    }
    Ok(())
}

/// A prediction under way.
struct Half<'a> {
    work: &'a Work<'a>,
    params: &'a Params,
    weights: &'a Weights,
    bundle: Bundle,
    offset: Zeroizing<kernel::block::Block>,
    state: State,
    /// Products between this party's message and the client's.
    pending: HashMap<NodeId, (Quadratic, Crossed, Pending)>,
    /// What a stage takes of the bundle, where it evaluates.
    material: Material,
    /// Colours of results, where it evaluates.
    shown: Vec<bool>,
}

impl<'a> Half<'a> {
    fn new(work: &'a Work<'a>, bundle: Bundle, (params, weights): (&'a Params, &'a Weights)) -> Self {
        let (offset, state) = (offset(&bundle.seed), State::new(&work.program));
        let (pending, material, shown) = (HashMap::new(), Material::default(), Vec::new());
        Self { work, params, weights, bundle, offset, state, pending, material, shown }
    }

    /// Receives masked values.
    fn receive(&mut self, nodes: Vec<NodeId>, inbox: &mut Inbox) -> Result<(), Error> {
        let program = &self.work.program;
        for node in nodes {
            let count = program.elements(node);
            let mut values = streams::receive_shares(inbox, wire::OPENED, count, &program.modulus)?;
            if let Some((quadratic, crossed, pending)) = self.pending.remove(&node) {
                let count = if quadratic.shift > 0 { quadratic.count } else { 0 };
                let bits = streams::receive(inbox, wire::OPENED, (count, 1))?;
                values = quadratic.open((&self.bundle.seed, &crossed), &pending, &values, &bits);
            } else if !program.graph.inputs.contains(&node) {
                let own = shares_of(program, &self.bundle.seed, node);
                let add = |(value, own): (&mut u64, &u64)| *value = program.modulus.add(*value, *own);
                values.iter_mut().zip(own.iter()).for_each(add);
            }
            self.state.tensors[node] = values;
        }
        Ok(())
    }

    /// What a stage computes on masked values.
    fn compute(&mut self, stage: usize) -> Result<(), Error> {
        let (program, params) = (&self.work.program, self.params);
        let parameter = |param: usize, index: usize| params.tensors[param].get(index);
        let addends = Addends::Server(&parameter);
        if let bundle::Kept::Evaluator(_, stages) = &mut self.bundle.kept {
            self.material = stages.take(self.work, stage)?;
        }
        self.state.local(program, stage, &addends);
        for (at, index) in program.stages[stage].linear.iter().enumerate() {
            self.linear(program.linear[*index], at)?;
        }
        self.state.merge(program, stage, &addends);
        Ok(())
    }

    /// Sends this party's masked halves of a stage's products on shares.
    fn factors(&mut self, stage: usize, outbox: &mut Outbox) -> Result<(), Error> {
        for (at, quadratic) in Quadratic::of(&self.work.program, stage).into_iter().enumerate() {
            let crossed = match &self.bundle.kept {
                bundle::Kept::Garbler(_) => Crossed::drawn(&quadratic, &self.bundle.seed),
                bundle::Kept::Evaluator(..) => {
                    self.material.crossed.get_mut(at).map(std::mem::take).ok_or_else(misfit)?
                }
            };
            let (masked, pending) =
                quadratic.server((&self.bundle.seed, &crossed), &self.work.program, &self.state);
            for (numbers, bits) in &masked.factors {
                streams::send(outbox, wire::FACTORS, numbers, quadratic.ring)?;
                streams::send(outbox, wire::FACTORS, bits, 1)?;
            }
            streams::send(outbox, wire::FACTORS, &masked.bits, 1)?;
            self.pending.insert(quadratic.node, (quadratic, crossed, pending));
        }
        Ok(())
    }

    /// A linear layer on plain integers: which, and where in the stage.
    fn linear(&mut self, id: NodeId, at: usize) -> Result<(), Error> {
        let program = &self.work.program;
        let missing = || Error::Refused("a layer has no parameters".into());
        let layer = self.weights.plain.get(&id).ok_or_else(missing)?;
        let node = &program.graph.nodes[id];
        let operand = &self.state.tensors[node.inputs[0]];
        let result = match &program.modulus {
            ShareModulus::PowerOfTwo(_) => layer.apply(operand),
            ShareModulus::Odd(modulus) => layer.apply_modulo(operand, modulus),
        };
        let mut result = result.map_err(failed)?;
        let (bias, inner) = match &node.op {
            Op::Conv { bias, .. } => (*bias, node.shape[2..].iter().product()),
            Op::Dense { bias, .. } => (*bias, 1),
            _ => return Err(missing()),
        };
        let (bias, modulus) = (&self.params.tensors[bias], &program.modulus);
        let own = match &self.bundle.kept {
            bundle::Kept::Garbler(_) => sums(program, &self.bundle.seed, id),
            bundle::Kept::Evaluator(..) => {
                let own = self.material.sums.get_mut(at);
                Zeroizing::new(own.map(std::mem::take).ok_or_else(misfit)?)
            }
        };
        for (lane, (sum, own)) in result.iter_mut().zip(own.iter()).enumerate() {
            let addend = modulus.of(bias.get(lane / inner % bias.len()));
            *sum = modulus.add(modulus.add(*sum, *own), addend);
        }
        self.state.sums[id] = result;
        Ok(())
    }

    /// Sends the labels of this party's numbers, or, where it evaluates, their masked bits.
    fn late(&self, stage: usize, outbox: &mut Outbox) -> Result<(), Error> {
        let program = &self.work.program;
        let form = |share| program.modulus.entering(share);
        let mut bits = entering(self.work, stage, |node| self.state.of(program, node), form);
        if self.work.garbler == Garbler::Server {
            return labels((&self.bundle.seed, *self.offset), stage, &bits, outbox);
        }
        if bits.len() > 0 {
            bits.add(&choices(&self.bundle.seed, stage, bits.len()));
            outbox.send(wire::CORRECTIONS, bits.bytes())?;
        }
        Ok(())
    }

    /// Evaluates a stage: what leaves its circuit is masked by the client's masks.
    fn evaluate(&mut self, stage: usize, inbox: &mut Inbox) -> Result<(), Error> {
        let bundle::Kept::Evaluator(start, stages) = &mut self.bundle.kept else { return Err(misfit()) };
        let mut material = std::mem::take(&mut self.material);
        let tables = stages.tables(self.work, stage, &mut material);
        let values = &mut self.state.tensors;
        let shown = evaluate(self.work, (stage, *start), (&material, tables), inbox, values)?;
        self.shown.extend(shown.iter().flat_map(|(_, word)| word.colours()));
        self.receive(self.work.program.stages[stage].products.clone(), inbox)
    }
}

/// Bundles are made for one plan.
fn misfit() -> Error {
    Error::Refused("the bundle is not one of this plan".into())
}
