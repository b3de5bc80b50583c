//! The client's half: it chooses masks, encrypts them, and evaluates.

use std::collections::HashMap;
use std::thread;

use garble::evaluator::Evaluator;
use garble::labels::{ActiveLabels, Labels};
use garble::word::Word;
use kernel::block::{Block, as_bytes_mut};
use kernel::seed::Seed;
use linear::coefficients::Client as Holder;
use model::fixed::{FixedGraph, NodeId, ParamId};
use ot::random::Pads;
use ot::softspoken::Receiver;
use zeroize::Zeroizing;

use super::super::circuit::{Entry, Party, run};
use super::super::client::collect;
use super::super::lanes::Lanes;
use super::super::plan::Plan;
use super::super::program::Program;
use super::super::shares::Addends;
use super::super::wire::{self, Stored};
use super::super::{names, transfers};
use super::bundle::{ClientBundle, Material};
use super::gilboa::{self, Job};
use super::products::{Kept, Masked, Quadratic};
use super::state::State;
use super::streams::{self, BitString, mask, numbers, push_bits, start_of};
use super::{NAMELESS, Work};
use crate::error::Error;
use crate::frame::Length;
use crate::garbled::client::OutputWord;
use crate::garbled::wire::{packed_length, unpack};
use crate::handshake::Reveal;
use crate::meter::Phase;
use crate::session::{Inbox, Outbox, Progress, Session};

/// A client with a key for a session, ready to prepare.
pub struct Preparer<'a> {
    work: &'a Work<'a>,
    holder: Option<Holder>,
}

impl<'a> Preparer<'a> {
    /// Makes a key and sends its public half. `seed` must be fresh.
    ///
    /// # Errors
    /// When the session fails.
    pub fn new(work: &'a Work<'a>, session: &mut Session, seed: &Seed) -> Result<Self, Error> {
        let mut holder = None;
        if let Some(setting) = &work.setting {
            let made = Holder::new(&setting.parameters, &seed.child("ahead/key", 0));
            let (made, key) = made.map_err(failed)?;
            session.outbox.send(wire::KEY, &key)?;
            session.outbox.flush()?;
            holder = Some(made);
        }
        Ok(Self { work, holder })
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
        let mut receiver = transfers::respond(session, self.work.base, &seed.child("ahead/transfers", 0))?;
        session.outbox.flush()?;
        let mut start = [Block::ZERO; 2];
        session.inbox.recv_into(wire::START, as_bytes_mut(&mut start))?;
        let mut state = self.masks(&seed);
        let doubled = self.linear(session, &state, &seed)?;
        self.halve(session, &mut receiver, &doubled, &mut state)?;
        for stage in 0..self.work.program.stages.len() {
            state.merge(&self.work.program, stage, &Addends::Client);
        }
        let products = self.products(session, &mut receiver, &state, &seed)?;
        let mut stages = self.material(session, &mut receiver, &state, progress)?;
        let mut products = products.into_iter();
        for (stage, material) in stages.iter_mut().enumerate() {
            let count = self.work.program.stages[stage].products.len();
            material.products.extend(products.by_ref().take(count));
        }
        Ok(ClientBundle { digest: self.work.digest, seed, start, stages })
    }

    /// The client's shares of all values: masks, and what follows from them.
    fn masks(&self, seed: &Seed) -> State {
        let program = &self.work.program;
        let mut state = State::new(program);
        for stage in 0..program.stages.len() {
            for node in self.work.opened(stage) {
                state.tensors[node] = drawn(program, seed, node);
            }
            state.local(program, stage, &Addends::Client);
        }
        state
    }

    /// Sends the encrypted masks of all layers' operands while replies are received: shares of twice the sums, or one more.
    fn linear(
        &self,
        session: &mut Session,
        state: &State,
        seed: &Seed,
    ) -> Result<Vec<Zeroizing<Vec<u64>>>, Error> {
        let (Some(setting), Some(holder)) = (&self.work.setting, &self.holder) else {
            return Ok(Vec::new());
        };
        let program = &self.work.program;
        let send = |outbox: &mut Outbox| {
            for (layout, id) in setting.layouts.iter().zip(&program.linear) {
                let operand = &state.tensors[program.graph.nodes[*id].inputs[0]];
                let seed = seed.child("ahead/encryption", *id as u64);
                let messages = holder.encrypt(layout, operand, &seed).map_err(failed)?;
                messages.iter().try_for_each(|message| outbox.send(wire::CIPHERTEXT, message))?;
                outbox.flush()?;
            }
            Ok(())
        };
        let receive = |inbox: &mut Inbox| {
            let layers = setting.layouts.iter().zip(&setting.replies);
            let layer = |(layout, reply): (&linear::coefficients::Layout, &bfv::ReplyShape)| {
                let replies = (0..layout.filter_tiles() * layout.blocks())
                    .map(|at| {
                        let bytes = Holder::reply_bytes(&setting.parameters, layout, *reply, at);
                        inbox.recv(wire::MASKED, Length::Exactly(bytes))
                    })
                    .collect::<Result<Vec<_>, _>>()?;
                let share = holder.decrypt(layout, *reply, &replies);
                let malformed = |error: linear::Error| Error::malformed("masked reply", error.to_string());
                share.map(Zeroizing::new).map_err(malformed)
            };
            layers.map(layer).collect()
        };
        both(session, send, receive).map(|((), shares)| shares)
    }

    /// From shares of twice the sums, or one more, to shares of the sums.
    fn halve(
        &self,
        session: &mut Session,
        receiver: &mut Receiver,
        doubled: &[Zeroizing<Vec<u64>>],
        state: &mut State,
    ) -> Result<(), Error> {
        let (count, ring) = (self.work.sums(), self.work.program.ring);
        let all = || doubled.iter().flat_map(|layer| layer.iter().copied());
        let mut bits = BitString::with_capacity(count);
        all().for_each(|share| bits.push(share & 1 == 1));
        let (first, pads) = (receiver.position(), Pads::new(receiver.session()));
        let send = |outbox: &mut Outbox| transfers::receive_chosen(receiver, outbox, bits.bytes(), count);
        let receive = |inbox: &mut Inbox| {
            let words =
                |layer: &Zeroizing<Vec<u64>>| streams::receive(inbox, wire::HALVES, (2 * layer.len(), ring));
            doubled.iter().map(words).collect::<Result<Vec<_>, Error>>()
        };
        let (t, words) = both(session, send, receive)?;
        let words = words.concat();
        let pads = Zeroizing::new(pads.of_receiver(first, &Zeroizing::new(t)));
        let mask = mask(ring);
        let mut halves = all().zip(words.chunks_exact(2)).zip(pads.iter()).map(|((share, words), pad)| {
            let chosen = (share & 1).wrapping_neg();
            let word = words[0] ^ ((words[0] ^ words[1]) & chosen);
            (share >> 1).wrapping_add(word.wrapping_sub(pad.0 as u64)) & mask
        });
        for id in &self.work.program.linear {
            state.sums[*id] = halves.by_ref().take(self.work.program.elements(*id)).collect();
        }
        Ok(())
    }

    /// The products of masks that products on shares need: bits, then numbers.
    fn products(
        &self,
        session: &mut Session,
        receiver: &mut Receiver,
        state: &State,
        seed: &Seed,
    ) -> Result<Vec<Kept>, Error> {
        let (all, program) = (self.work.quadratics(), &self.work.program);
        let numbers: Vec<Vec<u64>> =
            all.iter().map(|of| Kept::bit_numbers(of, program, state, &tau(of, seed))).collect();
        let jobs: Vec<Vec<Job>> = all.iter().map(Quadratic::bit_jobs).collect();
        let shares = multiply(session, receiver, &jobs, &numbers)?;
        let begin = |(of, shares): (&Quadratic, &Vec<u64>)| Kept::begin(of, program, state, shares);
        let (mut kept, numbers): (Vec<Kept>, Vec<Vec<u64>>) = all.iter().zip(&shares).map(begin).unzip();
        let jobs: Vec<Vec<Job>> = all.iter().map(Quadratic::jobs).collect();
        let shares = multiply(session, receiver, &jobs, &numbers)?;
        for ((kept, of), shares) in kept.iter_mut().zip(&all).zip(&shares) {
            kept.finish(of, shares);
        }
        Ok(kept)
    }

    /// Transfers the labels of the shares while tables are received.
    fn material(
        &self,
        session: &mut Session,
        receiver: &mut Receiver,
        state: &State,
        progress: &dyn Progress,
    ) -> Result<Vec<Material>, Error> {
        let (work, program) = (self.work, &self.work.program);
        let stages = || 0..program.stages.len();
        let send = |outbox: &mut Outbox| {
            let labels = |stage: usize| {
                let survey = &work.surveys[stage];
                let mut bits = BitString::with_capacity(survey.late);
                for entry in &survey.entries {
                    push_bits(&mut bits, &entry.lanes.pick(state.of(program, entry.node)), entry.width);
                }
                debug_assert_eq!(bits.len(), survey.late);
                transfers::receive_chosen(receiver, outbox, bits.bytes(), survey.late)
            };
            stages().map(labels).collect::<Result<Vec<_>, Error>>()
        };
        let meter = session.meter.clone();
        let receive = |inbox: &mut Inbox| {
            let stored = |stage: usize| {
                meter.enter(Phase::Offline, &names(program, stage).1);
                let material = store(work, stage, inbox);
                progress.report(stage as u64 + 1, program.stages.len() as u64);
                material
            };
            stages().map(stored).collect::<Result<Vec<_>, Error>>()
        };
        let (labels, stages) = both(session, send, receive)?;
        let join = |(labels, mut material): (Vec<Block>, Material)| {
            material.labels = labels;
            material
        };
        Ok(labels.into_iter().zip(stages).map(join).collect())
    }
}

/// The mask of a tensor.
fn drawn(program: &Program<'_>, seed: &Seed, node: NodeId) -> Vec<u64> {
    numbers(seed, "ahead/mask", node, (program.elements(node), program.ring))
}

/// An error of the linear layers that no message of the peer's caused.
fn failed(error: linear::Error) -> Error {
    Error::Refused(format!("a linear layer failed: {error}"))
}

/// The client's masks of the bits that it sends for a product.
fn tau(quadratic: &Quadratic, seed: &Seed) -> Vec<u64> {
    if quadratic.shift == 0 { Vec::new() } else { quadratic.drawn(seed, "tau", 0, 1) }
}

/// Shares of products of this party's numbers and the server's, list by list.
fn multiply(
    session: &mut Session,
    receiver: &mut Receiver,
    jobs: &[Vec<Job>],
    numbers: &[Vec<u64>],
) -> Result<Vec<Vec<u64>>, Error> {
    let lists = || jobs.iter().zip(numbers);
    let send = |outbox: &mut Outbox| {
        let choose =
            |(jobs, numbers): (&Vec<Job>, &Vec<u64>)| gilboa::choose((jobs, numbers), receiver, outbox);
        lists().map(choose).collect::<Result<Vec<_>, Error>>()
    };
    let receive = |inbox: &mut Inbox| {
        jobs.iter().map(|jobs| gilboa::receive(jobs, inbox)).collect::<Result<Vec<_>, Error>>()
    };
    let (strings, frames) = both(session, send, receive)?;
    let shares = lists().zip(strings.iter().zip(&frames));
    Ok(shares
        .map(|((jobs, numbers), (strings, frames))| gilboa::shares((jobs, numbers), strings, frames))
        .collect())
}

/// Sends in a thread what depends on nothing that is received meanwhile.
fn both<S: Send, R>(
    session: &mut Session,
    send: impl FnOnce(&mut Outbox) -> Result<S, Error> + Send,
    receive: impl FnOnce(&mut Inbox) -> Result<R, Error>,
) -> Result<(S, R), Error> {
    let Session { outbox, inbox, .. } = session;
    outbox.pin();
    let joined = thread::scope(|scope| {
        let sending = scope.spawn(|| send(outbox));
        let received = receive(inbox);
        let sent =
            sending.join().unwrap_or_else(|_| Err(Error::Refused("a thread of the client failed".into())));
        // What the peer said is the reason where both failed.
        let received = received?;
        Ok((sent?, received))
    });
    session.outbox.unpin();
    joined
}

/// Receives a stage's tables, corrections and colours.
fn store(work: &Work<'_>, stage: usize, inbox: &mut Inbox) -> Result<Material, Error> {
    let survey = &work.surveys[stage];
    let tables = wire::receive_rows(inbox, wire::TABLES, survey.rows)?;
    let mut shifts = Vec::new();
    for node in work.exports(stage) {
        let count = work.program.elements(node);
        shifts.push(streams::receive(inbox, wire::SHIFTS, (count, work.program.ring))?);
    }
    let colours = match survey.colours {
        0 => Vec::new(),
        count => unpack(&inbox.recv(wire::COLOURS, packed_length(count))?, count),
    };
    Ok(Material { tables, labels: Vec::new(), shifts, colours, products: Vec::new() })
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
    if bundle.digest != work.digest {
        return Err(Error::Refused("the bundle was prepared for another model or plan".into()));
    }
    let mut half = Half {
        work,
        seed: bundle.seed,
        start: bundle.start,
        values: values(work, input)?,
        bits: HashMap::new(),
        results: Vec::new(),
    };
    let total = bundle.stages.len() as u64;
    for (stage, material) in bundle.stages.into_iter().enumerate() {
        half.online(stage, material, session)?;
        progress.report(stage as u64 + 1, total);
    }
    half.results()
}

/// Prepares and predicts in one go, as [`predict`]. All secrets derive from `seed`, which must be fresh.
///
/// # Errors
/// As [`Preparer::bundle`] and [`predict`].
pub fn prepare_and_predict(
    (graph, plan): (&FixedGraph, &Plan),
    input: &[Vec<i64>],
    reveal: Reveal,
    session: &mut Session,
    seed: &Seed,
    progress: &dyn Progress,
) -> Result<Vec<Vec<i64>>, Error> {
    let work = Work::new((graph, plan), reveal, NAMELESS)?;
    // Before anything is sent.
    values(&work, input)?;
    let bundle =
        Preparer::new(&work, session, seed)?.bundle(session, seed.child("ahead/bundle", 0), progress)?;
    predict(&work, bundle, input, session, progress)
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
        all[*id] = values.iter().map(|value| *value as u64 & mask(program.ring)).collect();
    }
    Ok(all)
}

/// A prediction under way.
struct Half<'a> {
    work: &'a Work<'a>,
    seed: Seed,
    start: [Block; 2],
    /// This party's shares of what is to be opened.
    values: Vec<Vec<u64>>,
    /// The masked bits that go with products.
    bits: HashMap<NodeId, Vec<u64>>,
    /// What was revealed: the output's index and its values.
    results: Vec<(usize, Vec<i64>)>,
}

impl Drop for Half<'_> {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.values);
    }
}

impl Half<'_> {
    fn online(&mut self, stage: usize, mut material: Material, session: &mut Session) -> Result<(), Error> {
        let program = &self.work.program;
        let (linear, circuit) = names(program, stage);
        session.meter.enter(Phase::Online, &linear);
        for node in self.work.opened(stage) {
            let masks = Zeroizing::new(drawn(program, &self.seed, node));
            let values = Zeroizing::new(std::mem::take(&mut self.values[node]));
            let open = |(value, mask_): (&u64, &u64)| value.wrapping_sub(*mask_) & mask(program.ring);
            let opened: Vec<u64> = values.iter().zip(masks.iter()).map(open).collect();
            streams::send(&mut session.outbox, wire::OPENED, &opened, program.ring)?;
            if let Some(bits) = self.bits.remove(&node) {
                streams::send(&mut session.outbox, wire::OPENED, &bits, 1)?;
            }
        }
        session.outbox.flush()?;
        self.products(stage, &material.products, &mut session.inbox)?;
        session.meter.enter(Phase::Online, &circuit);
        let mut evaluator =
            Evaluator::new(start_of(self.start[0], stage), Stored::new(std::mem::take(&mut material.tables)));
        let mut colours = material.colours.iter().copied();
        let mut party = Online {
            program,
            active: ActiveLabels::new(start_of(self.start[1], stage)),
            labels: &material.labels,
            late: Late::new(self.work.surveys[stage].late, &mut session.inbox),
            values: &mut self.values,
            colours: &mut colours,
            results: &mut self.results,
        };
        run(&mut evaluator, program, stage, &mut party)?;
        for (node, shifts) in self.work.exports(stage).into_iter().zip(&material.shifts) {
            self.values[node]
                .iter_mut()
                .zip(shifts)
                .for_each(|(value, shift)| *value = value.wrapping_add(*shift));
        }
        if evaluator.source().is_read() {
            Ok(())
        } else {
            Err(Error::malformed("garbled tables", "more rows than the circuit has"))
        }
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
            let (shares, bits) = quadratic.client(kept, &masked, &tau(quadratic, &self.seed));
            self.values[quadratic.node] = shares;
            self.bits.insert(quadratic.node, bits);
        }
        Ok(())
    }

    fn results(&self) -> Result<Vec<Vec<i64>>, Error> {
        collect(&self.work.program, &self.results)
    }
}

/// Labels as they come.
struct Late<'b> {
    inbox: &'b mut Inbox,
    /// Of the stage, not received yet.
    due: usize,
    frame: Vec<Block>,
    at: usize,
}

impl<'b> Late<'b> {
    fn new(due: usize, inbox: &'b mut Inbox) -> Self {
        Self { inbox, due, frame: Vec::new(), at: 0 }
    }

    /// The next labels.
    fn fill(&mut self, mut labels: &mut [Block]) -> Result<(), Error> {
        while !labels.is_empty() {
            if self.at == self.frame.len() {
                let length = self.due.min(wire::FRAME_ROWS);
                self.frame.resize(length, Block::ZERO);
                self.inbox.recv_into(wire::LABELS, as_bytes_mut(&mut self.frame))?;
                (self.due, self.at) = (self.due - length, 0);
                if length == 0 {
                    return Err(Error::Refused("fewer labels than the circuit has inputs".into()));
                }
            }
            let count = labels.len().min(self.frame.len() - self.at);
            let (now, rest) = labels.split_at_mut(count);
            now.copy_from_slice(&self.frame[self.at..self.at + count]);
            self.at += count;
            labels = rest;
        }
        Ok(())
    }
}

/// The evaluator's side of a circuit.
struct Online<'b, 'a> {
    program: &'b Program<'a>,
    active: ActiveLabels,
    /// Labels of the client's shares that are left.
    labels: &'b [Block],
    late: Late<'b>,
    values: &'b mut [Vec<u64>],
    colours: &'b mut dyn Iterator<Item = bool>,
    results: &'b mut Vec<(usize, Vec<i64>)>,
}

impl Party<Evaluator<Stored>> for Online<'_, '_> {
    fn enter(&mut self, g: &mut Evaluator<Stored>, entry: &Entry) -> Result<[Word<Labels>; 2], Error> {
        let (count, width) = (entry.lanes.len(), entry.width as usize);
        let short = || Error::Refused("fewer transfers than the circuit has inputs".into());
        let (own, rest) = self.labels.split_at_checked(count * width).ok_or_else(short)?;
        self.labels = rest;
        let mut late = vec![Block::ZERO; count];
        let mut servers = Vec::with_capacity(width);
        for _ in 0..width {
            self.late.fill(&mut late)?;
            servers.push(g.given(&late));
        }
        let clients = own.chunks(count.max(1)).map(|labels| g.given(labels)).collect();
        Ok([Word::from_wires(servers, count), Word::from_wires(clients, count)])
    }

    fn parameter(
        &mut self,
        g: &mut Evaluator<Stored>,
        _param: ParamId,
        indices: &[usize],
        width: u32,
    ) -> Result<Word<Labels>, Error> {
        let wires = (0..width).map(|_| g.input(&mut self.active, indices.len())).collect();
        Ok(Word::from_wires(wires, indices.len()))
    }

    fn export(&mut self, node: NodeId, lanes: &Lanes, shares: &[u64]) {
        let all = &mut self.values[node];
        all.resize(self.program.elements(node), 0);
        lanes.put(shares, all);
    }

    fn reveal(&mut self, g: &mut Evaluator<Stored>, output: usize, word: &Word<Labels>) {
        let shown = OutputWord::of(word, |wire| g.colours(wire));
        self.results.push((output, shown.values(&mut self.colours)));
    }
}
