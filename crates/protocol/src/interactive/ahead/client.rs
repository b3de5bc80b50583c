//! The client's half: it chooses masks, encrypts them, and evaluates or garbles.

use std::collections::HashMap;
use std::sync::Arc;

use kernel::seed::Seed;
use model::fixed::{FixedGraph, NodeId};
use zeroize::Zeroizing;

use super::super::client::collect;
use super::super::linear::Holder;
use super::super::names;
use super::super::plan::{Garbler, Plan};
use super::super::shares::Addends;
use super::super::wire;
use super::bundle::{self, ClientBundle, Half as Bundle, Stages};
use super::evaluator::{Evaluating, both, entering, evaluate};
use super::garbler::{Garbling, Own, labels, masks_of, offset, sums};
use super::gilboa::Job;
use super::products::{Crossed, Kept, Masked, Quadratic};
use super::state::State;
use super::streams::{self, BitString};
use super::{MOST_BATCH, NAMELESS, Work};
use crate::error::Error;
use crate::frame::Length;
use crate::garbled::wire::{packed_length, unpack};
use crate::handshake::Reveal;
use crate::meter::Phase;
use crate::session::{Inbox, Outbox, Progress, Session};

/// A client's key for a connection: it serves all that is prepared there.
pub struct Keys(Option<Holder>);

impl Keys {
    /// Makes a key and sends what the server needs of it, once a connection. `seed` must be fresh.
    ///
    /// # Errors
    /// When the session fails.
    pub fn set_up(work: &Work<'_>, session: &mut Session, seed: &Seed) -> Result<Self, Error> {
        let set_up =
            |setting| Holder::set_up(setting, &seed.child("ahead/key", 0), Some(&mut session.outbox));
        let holder = work.found.setting.as_ref().map(set_up).transpose()?;
        session.outbox.flush()?;
        Ok(Self(holder))
    }
}

/// A client with a key for a connection, ready to prepare.
pub struct Preparer<'a> {
    work: &'a Work<'a>,
    keys: Arc<Keys>,
}

impl<'a> Preparer<'a> {
    /// With a key that is made now.
    ///
    /// # Errors
    /// As [`Keys::set_up`].
    pub fn new(work: &'a Work<'a>, session: &mut Session, seed: &Seed) -> Result<Self, Error> {
        Ok(Self::with(work, Arc::new(Keys::set_up(work, session, seed)?)))
    }

    /// With the key of this connection.
    pub fn with(work: &'a Work<'a>, keys: Arc<Keys>) -> Self {
        Self { work, keys }
    }

    /// Prepares one prediction. All its secrets derive from `seed`, which must be fresh and is kept in the bundle.
    ///
    /// # Errors
    /// When the session fails.
    pub fn bundle(
        &self,
        session: &mut Session,
        seed: Seed,
        progress: &dyn Progress,
    ) -> Result<ClientBundle, Error> {
        session.meter.enter(Phase::Offline, "");
        let kept = match self.work.garbler {
            Garbler::Server => self.evaluator(session, &seed, progress)?,
            Garbler::Client => self.garbler(session, &seed, progress)?,
        };
        Ok(ClientBundle(Bundle { digest: self.work.found.digest, seed, kept }))
    }

    /// What it keeps if the server garbles.
    fn evaluator(
        &self,
        session: &mut Session,
        seed: &Seed,
        progress: &dyn Progress,
    ) -> Result<bundle::Kept, Error> {
        let (work, program) = (self.work, &self.work.program);
        let mut side = Evaluating::begin(work, session, seed)?;
        let mut state = masks(work, seed);
        let doubled = self.linear(session, &state, seed)?;
        let sums = if work.exact() { side.align(session, doubled)? } else { side.halve(session, &doubled)? };
        state.put_sums(program, sums);
        merge(work, &mut state);
        let products = products(work, session, &mut side, &state, seed)?;
        let choices = |stage: usize| Ok(entering(work, stage, |node| state.of(program, node), |share| share));
        let mut stages = side.material(session, &choices, progress)?;
        let mut products = products.into_iter();
        for (material, stage) in stages.iter_mut().zip(&program.stages) {
            material.products.extend(products.by_ref().take(stage.products.len()));
        }
        Ok(bundle::Kept::Evaluator(side.start, Stages::Made(stages)))
    }

    /// What it keeps if it garbles.
    fn garbler(
        &self,
        session: &mut Session,
        seed: &Seed,
        progress: &dyn Progress,
    ) -> Result<bundle::Kept, Error> {
        let work = self.work;
        let mut side = Garbling::begin(work, session, seed)?;
        let state = known(work, seed);
        let doubled = self.linear(session, &state, seed)?;
        if work.exact() {
            side.align(session, &doubled)?
        } else {
            side.halve(session, &doubled)?
        }
        drop(doubled);
        let all = work.quadratics();
        for of in &all {
            let numbers = Kept::bit_numbers(of, &work.program, &state, &tau(of, seed));
            side.multiply(session, &of.bit_jobs(), (&numbers, &Crossed::drawn(of, seed).first()))?;
        }
        for of in &all {
            let crossed = Crossed::drawn(of, seed);
            let (_, numbers) = Kept::begin(of, &work.program, &state, &crossed);
            side.multiply(session, &of.jobs(), (&numbers, &crossed.second()))?;
        }
        let colours = side.material(session, Own::Client(&state), progress)?;
        Ok(bundle::Kept::Garbler(Zeroizing::new(colours)))
    }

    /// Sends the encrypted masks of all layers' operands while replies are received: shares of twice the sums, or one more; of the sums
    /// themselves where these are exact.
    fn linear(
        &self,
        session: &mut Session,
        state: &State,
        seed: &Seed,
    ) -> Result<Vec<Zeroizing<Vec<u64>>>, Error> {
        let (Some(setting), Some(holder)) = (&self.work.found.setting, &self.keys.0) else {
            return Ok(Vec::new());
        };
        let program = &self.work.program;
        let send = |outbox: &mut Outbox| {
            for (layer, id) in program.linear.iter().enumerate() {
                let operand = &state.tensors[program.graph.nodes[*id].inputs[0]];
                let seed = seed.child("ahead/encryption", *id as u64);
                let messages = holder.encrypt(setting, layer, operand, &seed)?;
                messages.iter().try_for_each(|message| outbox.send(wire::CIPHERTEXT, message))?;
                outbox.flush()?;
            }
            Ok(())
        };
        let receive = |inbox: &mut Inbox| {
            let layer = |layer: usize| {
                let receive = |bytes| inbox.recv(wire::MASKED, Length::Exactly(bytes));
                let replies =
                    setting.returned(layer).into_iter().map(receive).collect::<Result<Vec<_>, _>>()?;
                holder.decrypt(setting, layer, &replies).map(Zeroizing::new)
            };
            (0..setting.layers()).map(layer).collect()
        };
        both(session, send, receive).map(|((), shares)| shares)
    }
}

/// The client's shares of all values before linear layers have run: masks, and what follows from them.
fn masks(work: &Work<'_>, seed: &Seed) -> State {
    let program = &work.program;
    let mut state = State::new(program);
    for stage in 0..program.stages.len() {
        for node in work.opened(stage) {
            state.tensors[node] = std::mem::take(&mut *masks_of(program, seed, node));
        }
        state.local(program, stage, &Addends::Client);
    }
    state
}

/// Adds what is added to sums.
fn merge(work: &Work<'_>, state: &mut State) {
    for stage in 0..work.program.stages.len() {
        state.merge(&work.program, stage, &Addends::Client);
    }
}

/// The client's shares of all values where it garbles: they follow from its seed.
fn known(work: &Work<'_>, seed: &Seed) -> State {
    let (program, mut state) = (&work.program, masks(work, seed));
    let drawn = program.linear.iter().map(|id| std::mem::take(&mut *sums(program, seed, *id)));
    state.put_sums(program, drawn);
    merge(work, &mut state);
    state
}

/// The products of masks that products on shares need: bits, then numbers.
fn products(
    work: &Work<'_>,
    session: &mut Session,
    side: &mut Evaluating<'_>,
    state: &State,
    seed: &Seed,
) -> Result<Vec<Kept>, Error> {
    let (all, program) = (work.quadratics(), &work.program);
    let numbers: Vec<Zeroizing<Vec<u64>>> =
        all.iter().map(|of| Kept::bit_numbers(of, program, state, &tau(of, seed))).collect();
    let jobs: Vec<Vec<Job>> = all.iter().map(Quadratic::bit_jobs).collect();
    let first = side.multiply(session, &jobs, &numbers)?;
    let mut crossed: Vec<Crossed> =
        all.iter().zip(&first).map(|(of, shares)| Crossed::begin(of, shares)).collect();
    let begun = all.iter().zip(&crossed).map(|(of, crossed)| Kept::begin(of, program, state, crossed));
    let (mut kept, numbers): (Vec<Kept>, Vec<Zeroizing<Vec<u64>>>) = begun.unzip();
    let jobs: Vec<Vec<Job>> = all.iter().map(Quadratic::jobs).collect();
    let second = side.multiply(session, &jobs, &numbers)?;
    for ((of, crossed), shares) in all.iter().zip(&mut crossed).zip(&second) {
        crossed.finish(of, shares);
    }
    kept.iter_mut().zip(crossed).for_each(|(kept, crossed)| kept.finish(crossed));
    Ok(kept)
}

/// The client's masks of the bits that it sends for a product.
fn tau(quadratic: &Quadratic, seed: &Seed) -> Zeroizing<Vec<u64>> {
    if quadratic.shift == 0 { Zeroizing::default() } else { quadratic.drawn(seed, "tau", 0, 1) }
}

/// A prediction with what was prepared: `input` holds the integers of each of the graph's inputs in row-major order; the result has the
/// integers of each output, or, for [`Reveal::Label`], the index of the largest value of the first output alone.
///
/// # Errors
/// When the bundle is of another plan, the input does not fit, or the session fails.
pub fn predict(
    work: &Work<'_>,
    bundle: ClientBundle,
    input: &[Vec<i64>],
    session: &mut Session,
    progress: &dyn Progress,
) -> Result<Vec<Vec<i64>>, Error> {
    let mut results = predict_batch(work, vec![bundle], &[input], session, progress)?;
    results.pop().ok_or_else(|| Error::Refused("an output is missing".into()))
}

/// Predictions with a bundle each, as [`predict`], that share flights: as many as one takes. The server must use the other halves of these
/// bundles in the same order.
///
/// # Errors
/// As [`predict`], or if there are none, or more than [`MOST_BATCH`].
pub fn predict_batch(
    work: &Work<'_>,
    bundles: Vec<ClientBundle>,
    inputs: &[&[Vec<i64>]],
    session: &mut Session,
    progress: &dyn Progress,
) -> Result<Vec<Vec<Vec<i64>>>, Error> {
    if bundles.len() != inputs.len() || !(1..=MOST_BATCH).contains(&bundles.len()) {
        return Err(Error::Refused(format!("{} bundles for {} inputs", bundles.len(), inputs.len())));
    }
    let half = |(ClientBundle(bundle), input): (ClientBundle, &&[Vec<i64>])| {
        if bundle.digest != work.found.digest {
            return Err(Error::Refused(
                "the bundle was prepared for another model, other weights or another plan".into(),
            ));
        }
        Half::new(work, bundle, input)
    };
    let mut halves = bundles.into_iter().zip(inputs).map(half).collect::<Result<Vec<_>, Error>>()?;
    let total = work.program.stages.len();
    for stage in 0..total {
        let (linear, circuit) = names(&work.program, stage);
        session.meter.enter(Phase::Online, &linear);
        if work.garbler == Garbler::Server || stage == 0 {
            halves.iter_mut().try_for_each(|half| half.open(work.opened(stage), &mut session.outbox))?;
            session.outbox.flush()?;
        }
        match work.garbler {
            Garbler::Server => {
                session.meter.enter(Phase::Online, &circuit);
                halves.iter_mut().try_for_each(|half| half.evaluate(stage, &mut session.inbox))?;
            }
            Garbler::Client => {
                halves.iter_mut().try_for_each(|half| half.corrections(stage, &mut session.inbox))?;
                session.meter.enter(Phase::Online, &circuit);
                halves.iter_mut().try_for_each(|half| half.answer(stage, &mut session.outbox))?;
                session.outbox.flush()?;
            }
        }
        progress.report(stage as u64 + 1, total as u64);
    }
    if work.garbler == Garbler::Client && work.colours() > 0 {
        halves.iter_mut().try_for_each(|half| half.decode(&mut session.inbox))?;
    }
    halves.iter().map(|half| collect(&work.program, &half.results)).collect()
}

/// Tells the server how many predictions a run has. They share flights in groups of [`Work::together`].
///
/// # Errors
/// When the session fails.
pub fn announce(count: usize, session: &mut Session) -> Result<(), Error> {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    session.outbox.send(wire::BATCH, &count.to_le_bytes())
}

/// Prepares and predicts in one go, as [`predict_batch`], the server being told how many there are. All secrets derive from `seed`, which must be fresh.
///
/// # Errors
/// As [`Preparer::bundle`] and [`predict_batch`].
pub fn prepare_and_predict(
    (graph, plan): (&FixedGraph, &Plan),
    inputs: &[&[Vec<i64>]],
    reveal: Reveal,
    session: &mut Session,
    seed: &Seed,
    progress: &dyn Progress,
) -> Result<Vec<Vec<Vec<i64>>>, Error> {
    let work = Work::new((graph, plan), reveal, NAMELESS)?;
    // Before anything is sent.
    inputs.iter().try_for_each(|input| values(&work, input).map(drop))?;
    announce(inputs.len(), session)?;
    let preparer = Preparer::new(&work, session, seed)?;
    let (mut results, mut made) = (Vec::with_capacity(inputs.len()), 0u64..);
    for group in inputs.chunks(work.together()) {
        let seeds = group.iter().zip(&mut made).map(|(_, at)| seed.child("ahead/bundle", at));
        let bundles = seeds.map(|seed| preparer.bundle(session, seed, progress));
        let bundles = bundles.collect::<Result<Vec<_>, _>>()?;
        results.extend(predict_batch(&work, bundles, group, session, progress)?);
    }
    Ok(results)
}

/// The inputs as ring elements, by tensor.
fn values(work: &Work<'_>, input: &[Vec<i64>]) -> Result<Vec<Vec<u64>>, Error> {
    let (program, graph) = (&work.program, work.program.graph);
    let fits = input.len() == graph.inputs.len()
        && graph.inputs.iter().zip(input).all(|(id, values)| {
            let (low, high) = graph.nodes[*id].format.limits();
            values.len() == program.elements(*id) && values.iter().all(|v| (low..=high).contains(v))
        });
    if !fits {
        return Err(Error::Refused("the input does not have the plan's shape and range".into()));
    }
    let mut all = vec![Vec::new(); graph.nodes.len()];
    for (id, values) in graph.inputs.iter().zip(input) {
        all[*id] = values.iter().map(|value| program.modulus.of(*value)).collect();
    }
    Ok(all)
}

/// A prediction under way.
struct Half<'a> {
    work: &'a Work<'a>,
    bundle: Bundle,
    /// This party's shares of what is to be opened.
    values: Vec<Vec<u64>>,
    /// The masked bits that go with products.
    bits: HashMap<NodeId, Vec<u64>>,
    /// Where it garbles: its shares, and the server's masked bits.
    state: State,
    corrections: BitString,
    /// What was revealed: the output's index and its values.
    results: Vec<(usize, Vec<i64>)>,
}

impl Drop for Half<'_> {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.values);
    }
}

impl<'a> Half<'a> {
    fn new(work: &'a Work<'a>, bundle: Bundle, input: &[Vec<i64>]) -> Result<Self, Error> {
        let state = match bundle.kept {
            bundle::Kept::Garbler(_) => known(work, &bundle.seed),
            bundle::Kept::Evaluator(..) => State::default(),
        };
        Ok(Self {
            work,
            bundle,
            values: values(work, input)?,
            bits: HashMap::new(),
            state,
            corrections: BitString::default(),
            results: Vec::new(),
        })
    }

    /// Sends masked values.
    fn open(&mut self, nodes: Vec<NodeId>, outbox: &mut Outbox) -> Result<(), Error> {
        let program = &self.work.program;
        for node in nodes {
            let masks = masks_of(program, &self.bundle.seed, node);
            let values = Zeroizing::new(std::mem::take(&mut self.values[node]));
            let open = |(value, mask): (&u64, &u64)| program.modulus.sub(*value, *mask);
            let opened: Vec<u64> = values.iter().zip(masks.iter()).map(open).collect();
            streams::send_shares(outbox, wire::OPENED, &opened, &program.modulus)?;
            if let Some(bits) = self.bits.remove(&node) {
                streams::send(outbox, wire::OPENED, &bits, 1)?;
            }
        }
        Ok(())
    }

    /// A stage where the server garbles.
    fn evaluate(&mut self, stage: usize, inbox: &mut Inbox) -> Result<(), Error> {
        let bundle::Kept::Evaluator(start, stages) = &mut self.bundle.kept else { return Err(misfit()) };
        let (start, mut material) = (*start, stages.take(self.work, stage)?);
        self.products(stage, &material.products, inbox)?;
        let bundle::Kept::Evaluator(_, stages) = &mut self.bundle.kept else { return Err(misfit()) };
        let tables = stages.tables(self.work, stage, &mut material);
        let shown = evaluate(self.work, (stage, start), (&material, tables), inbox, &mut self.values)?;
        let mut colours = material.colours.iter().copied();
        self.results.extend(shown.iter().map(|(output, word)| (*output, word.values(&mut colours))));
        Ok(())
    }

    /// The server's message of a stage where the client garbles.
    fn corrections(&mut self, stage: usize, inbox: &mut Inbox) -> Result<(), Error> {
        let kept: Vec<Kept> = Quadratic::of(&self.work.program, stage)
            .iter()
            .map(|of| {
                let crossed = Crossed::drawn(of, &self.bundle.seed);
                let (mut kept, _) = Kept::begin(of, &self.work.program, &self.state, &crossed);
                kept.finish(crossed);
                kept
            })
            .collect();
        self.products(stage, &kept, inbox)?;
        let late = self.work.found.surveys[stage].late;
        if late > 0 {
            let bytes = inbox.recv(wire::CORRECTIONS, Length::Exactly(late.div_ceil(8)))?;
            self.corrections = BitString::from_bytes(bytes, late);
        }
        Ok(())
    }

    /// The client's.
    fn answer(&mut self, stage: usize, outbox: &mut Outbox) -> Result<(), Error> {
        let corrections = std::mem::take(&mut self.corrections);
        let seed = &self.bundle.seed;
        labels((seed, *offset(seed)), stage, &corrections, outbox)?;
        self.open(self.work.program.stages[stage].products.clone(), outbox)
    }

    /// The results, where the server evaluated.
    fn decode(&mut self, inbox: &mut Inbox) -> Result<(), Error> {
        let bundle::Kept::Garbler(zeros) = &self.bundle.kept else { return Err(misfit()) };
        let count = self.work.colours();
        let active = unpack(&inbox.recv(wire::COLOURS, packed_length(count))?, count);
        let mut colours = zeros.iter().zip(active).map(|(zero, active)| zero ^ active);
        for (output, word) in self.work.found.surveys.iter().flat_map(|survey| &survey.shown) {
            self.results.push((*output, word.values(&mut colours)));
        }
        Ok(())
    }

    /// Receives the server's masked halves of a stage's products on shares.
    fn products(&mut self, stage: usize, kept: &[Kept], inbox: &mut Inbox) -> Result<(), Error> {
        for (quadratic, kept) in Quadratic::of(&self.work.program, stage).iter().zip(kept) {
            let bits = |wanted: bool| (if wanted { quadratic.count } else { 0 }, 1);
            let mut factors = Vec::new();
            for factor in &quadratic.factors {
                let numbers = streams::receive(inbox, wire::FACTORS, (quadratic.count, quadratic.ring))?;
                factors.push((numbers, streams::receive(inbox, wire::FACTORS, bits(factor.shifted()))?));
            }
            let masked =
                Masked { factors, bits: streams::receive(inbox, wire::FACTORS, bits(quadratic.shift > 0))? };
            let (shares, bits) = quadratic.client(kept, &masked, &tau(quadratic, &self.bundle.seed));
            self.values[quadratic.node] = shares;
            self.bits.insert(quadratic.node, bits);
        }
        Ok(())
    }
}

/// Bundles are made for one plan.
fn misfit() -> Error {
    Error::Refused("the bundle is not one of this plan".into())
}
