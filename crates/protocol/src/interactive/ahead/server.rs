//! The server's half: it garbles, computes on encrypted masks beforehand, and on plain integers once the input is there.

use std::collections::HashMap;
use std::sync::mpsc::sync_channel;
use std::thread;

use bfv::Ciphertext;
use garble::garbler::Garbler;
use garble::labels::{ActiveLabels, Labels};
use garble::word::Word;
use kernel::block::{Block, as_bytes};
use kernel::prg::Prg;
use kernel::seed::Seed;
use linear::coefficients::{Client as Holder, Factors, Server as Computer, Setting};
use linear::plain::Layer;
use model::fixed::{FixedGraph, NodeId, Op, ParamId, Params};
use ot::random::Pads;
use ot::softspoken::Sender;
use zeroize::Zeroizing;

use super::super::circuit::{Entry, Party, run};
use super::super::lanes::Lanes;
use super::super::linear::{Factors as Kept, failed};
use super::super::plan::Plan;
use super::super::program::Program;
use super::super::server::{Weights as Encoded, bits, masks, send, weight};
use super::super::shares::Addends;
use super::super::wire::{self, Frames};
use super::super::{names, transfers};
use super::bundle::{ServerBundle, start};
use super::gilboa;
use super::products::{Pending, Quadratic};
use super::state::State;
use super::streams::{self, mask, numbers, start_of};
use super::{NAMELESS, Work};
use crate::error::Error;
use crate::frame::Length;
use crate::garbled::client::OutputWord;
use crate::handshake::Reveal;
use crate::meter::Phase;
use crate::session::{Inbox, Outbox, Session};

/// Frames of tables that wait to be sent while garbling goes on.
const AHEAD: usize = 8;

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
        let program = Program::ahead(graph, Reveal::Scores)?;
        let mut plain = HashMap::new();
        for (node, need) in program.linear.iter().zip(program.needs()) {
            let layer = Layer::new(&need.shape, program.ring, weight(&program, params, *node));
            plain.insert(*node, layer.map_err(failed)?);
        }
        Ok(Self { encoded: Encoded::encode(graph, plan, params, budget)?, plain })
    }
}

/// A server that has a client's key for a session, ready to prepare.
pub struct Preparer<'a> {
    work: &'a Work<'a>,
    params: &'a Params,
    weights: &'a Weights,
    computer: Option<Computer>,
}

/// What a bundle is made with.
struct Making<'b> {
    seed: &'b Seed,
    offset: Zeroizing<Block>,
    start: [Block; 2],
    sender: Sender,
}

impl<'a> Preparer<'a> {
    /// Receives the client's key.
    ///
    /// # Errors
    /// When the session fails or the key is malformed.
    pub fn new(
        work: &'a Work<'a>,
        (params, weights): (&'a Params, &'a Weights),
        session: &mut Session,
    ) -> Result<Self, Error> {
        let mut computer = None;
        if let Some(setting) = &work.setting {
            let length = Length::Exactly(bfv::PublicKey::wire_bytes(&setting.parameters));
            let key = session.inbox.recv(wire::KEY, length)?;
            let made = Computer::new(&setting.parameters, &key);
            computer = Some(made.map_err(|error| Error::malformed("public key", error.to_string()))?);
        }
        Ok(Self { work, params, weights, computer })
    }

    /// Prepares one prediction. All its secrets derive from `seed`, which must be fresh and is kept in the bundle.
    ///
    /// # Errors
    /// When the session fails.
    pub fn bundle(&self, session: &mut Session, seed: Seed) -> Result<ServerBundle, Error> {
        session.meter.enter(Phase::Offline, "");
        let offset = offset(&seed);
        let start = start(&seed);
        let setup = transfers::request(session, self.work.base, *offset, &seed.child("ahead/transfers", 0))?;
        session.outbox.send(wire::START, as_bytes(&start))?;
        session.outbox.flush()?;
        let sender = transfers::finish(session, self.work.base, setup)?;
        let mut making = Making { seed: &seed, offset, start, sender };
        self.linear(session, &seed)?;
        self.halve(session, &mut making)?;
        self.products(session, &mut making)?;
        self.material(session, &mut making)?;
        drop(making);
        Ok(ServerBundle { digest: self.work.digest, seed })
    }

    /// The linear layers on encrypted masks.
    fn linear(&self, session: &mut Session, seed: &Seed) -> Result<(), Error> {
        let (Some(setting), Some(computer)) = (&self.work.setting, &self.computer) else { return Ok(()) };
        let (program, on_the_fly) = (&self.work.program, Factors::on_the_fly());
        for (index, id) in program.linear.iter().enumerate() {
            let node = &program.graph.nodes[*id];
            session.meter.enter(Phase::Offline, &node.name);
            // The client's masks are all there is to the operand.
            let zeros = vec![0; program.elements(node.inputs[0])];
            let operands = receive(setting, computer, index, &zeros, &mut session.inbox)?;
            let factors = match self.weights.encoded.factors.get(id) {
                Some(Kept::Coefficients(factors)) => factors,
                _ => &on_the_fly,
            };
            let weights = (factors, weight(program, self.params, *id));
            let (layout, reply) = (&setting.layouts[index], setting.replies[index]);
            let replies =
                computer.run(layout, reply, weights, &operands, &masks(seed, *id)).map_err(failed)?;
            replies.iter().try_for_each(|reply| session.outbox.send(wire::MASKED, reply))?;
            session.outbox.flush()?;
        }
        Ok(())
    }

    /// From shares of twice the sums, or one more, to shares of the sums, this party's being drawn.
    fn halve(&self, session: &mut Session, making: &mut Making<'_>) -> Result<(), Error> {
        let (Some(setting), Some(computer)) = (&self.work.setting, &self.computer) else {
            return Ok(());
        };
        let (program, count) = (&self.work.program, self.work.sums());
        let first = making.sender.position();
        let q = Zeroizing::new(transfers::send(&mut making.sender, &mut session.inbox, count)?);
        let pads = Pads::new(making.sender.session());
        let (mut done, mask) = (0, mask(program.ring));
        for (index, id) in program.linear.iter().enumerate() {
            let (layout, reply) = (&setting.layouts[index], setting.replies[index]);
            let doubled = computer.shares(layout, reply, &masks(making.seed, *id)).map_err(failed)?;
            let doubled = Zeroizing::new(doubled);
            let wanted = Zeroizing::new(sums(program, making.seed, *id));
            let q = &q[done..done + doubled.len()];
            let pads = Zeroizing::new(pads.of_sender(first + done as u64, *making.offset, q));
            let words: Vec<u64> = doubled
                .iter()
                .zip(wanted.iter())
                .zip(pads.iter())
                .flat_map(|((doubled, wanted), [zero, one])| {
                    let rest = wanted.wrapping_sub(doubled >> 1);
                    let other = rest.wrapping_sub(doubled & 1);
                    // The client takes its pad off: its half, with the carry, less what this party's drawn share has too much.
                    [(zero.0 as u64).wrapping_sub(rest) & mask, (one.0 as u64).wrapping_sub(other) & mask]
                })
                .collect();
            streams::send(&mut session.outbox, wire::HALVES, &words, program.ring)?;
            done += doubled.len();
        }
        session.outbox.flush()
    }

    /// The products of masks that products on shares need: bits, then numbers.
    fn products(&self, session: &mut Session, making: &mut Making<'_>) -> Result<(), Error> {
        let Session { outbox, inbox, .. } = session;
        let all = self.work.quadratics();
        for quadratic in &all {
            let (masks, drawn) = quadratic.server_bits(making.seed);
            gilboa::send((&quadratic.bit_jobs(), &masks, &drawn), &mut making.sender, (inbox, outbox))?;
        }
        for quadratic in &all {
            let (masks, drawn) = quadratic.server_masks(making.seed);
            gilboa::send((&quadratic.jobs(), &masks, &drawn), &mut making.sender, (inbox, outbox))?;
        }
        Ok(())
    }

    /// Garbles all stages while a thread sends.
    fn material(&self, session: &mut Session, making: &mut Making<'_>) -> Result<(), Error> {
        let Session { outbox, inbox, meter } = session;
        let (queue, frames) = sync_channel(AHEAD);
        thread::scope(|scope| {
            let sending = scope.spawn(move || send(outbox, frames));
            let mut sink = Frames::default();
            sink.open(queue);
            let made = (0..self.work.program.stages.len()).try_for_each(|stage| {
                meter.enter(Phase::Offline, &names(&self.work.program, stage).1);
                sink = self.garble(stage, std::mem::take(&mut sink), inbox, making)?;
                Ok::<(), Error>(())
            });
            let closed = sink.close();
            drop(sink);
            let sent = sending
                .join()
                .unwrap_or_else(|_| Err(Error::Refused("a thread of the server failed".into())));
            // Garbling only starved where sending failed, whose reason is the one to tell.
            sent?;
            made?;
            closed
        })
    }

    /// One stage's tables, corrections and colours.
    fn garble(
        &self,
        stage: usize,
        sink: Frames,
        inbox: &mut Inbox,
        making: &mut Making<'_>,
    ) -> Result<Frames, Error> {
        let program = &self.work.program;
        let q = Zeroizing::new(transfers::send(&mut making.sender, inbox, self.work.surveys[stage].late)?);
        let mut garbler = Garbler::new(*making.offset, start_of(making.start[0], stage), sink);
        let mut party = Offline {
            program,
            params: self.params,
            active: ActiveLabels::new(start_of(making.start[1], stage)),
            fresh: late(making.seed, stage),
            q: &q,
            exports: HashMap::new(),
            revealed: Vec::new(),
        };
        run(&mut garbler, program, stage, &mut party)?;
        let Offline { exports, revealed, .. } = party;
        garbler.sink().flush()?;
        for node in self.work.exports(stage) {
            let missing = || Error::Refused("a tensor did not leave its circuit".into());
            let shares = Zeroizing::new(exports.get(&node).cloned().ok_or_else(missing)?);
            let wanted = Zeroizing::new(shares_of(program, making.seed, node));
            let shift = |(share, wanted): (&u64, &u64)| share.wrapping_sub(*wanted) & mask(program.ring);
            let shifts: Vec<u64> = shares.iter().zip(wanted.iter()).map(shift).collect();
            garbler.sink().numbers(shifts, program.ring)?;
        }
        if self.work.surveys[stage].colours > 0 {
            let colours: Vec<bool> = revealed.iter().flat_map(OutputWord::colours).collect();
            garbler.sink().colours(&colours)?;
        }
        Ok(std::mem::take(garbler.sink()))
    }
}

/// The offset of a bundle's labels.
fn offset(seed: &Seed) -> Zeroizing<Block> {
    Zeroizing::new(seed.block("ahead/offset", 0).with_lsb())
}

/// This party's shares of a linear layer's sums.
fn sums(program: &Program<'_>, seed: &Seed, node: NodeId) -> Vec<u64> {
    numbers(seed, "ahead/sums", node, (program.elements(node), program.ring))
}

/// This party's shares of what leaves a circuit.
fn shares_of(program: &Program<'_>, seed: &Seed, node: NodeId) -> Vec<u64> {
    numbers(seed, "ahead/shares", node, (program.elements(node), program.ring))
}

/// The zero-labels of this party's late numbers in a stage.
fn late(seed: &Seed, stage: usize) -> Prg {
    Prg::new(&seed.child("ahead/late", stage as u64))
}

/// Serves one prediction with what was prepared.
///
/// # Errors
/// When the bundle is of another plan, or the session fails.
pub fn predict(
    work: &Work<'_>,
    bundle: ServerBundle,
    (params, weights): (&Params, &Weights),
    session: &mut Session,
) -> Result<(), Error> {
    if bundle.digest != work.digest {
        return Err(Error::Refused("the bundle was prepared for another model or plan".into()));
    }
    let offset = offset(&bundle.seed);
    let (state, pending) = (State::new(&work.program), HashMap::new());
    let mut half = Half { work, params, weights, seed: &bundle.seed, offset, state, pending };
    (0..work.program.stages.len()).try_for_each(|stage| half.online(stage, session))
}

/// Prepares and serves one prediction in one go. All secrets derive from `seed`, which must be fresh.
///
/// # Errors
/// As [`Preparer::bundle`] and [`predict`].
pub fn prepare_and_predict(
    (graph, plan): (&FixedGraph, &Plan),
    (params, weights): (&Params, &Weights),
    reveal: Reveal,
    session: &mut Session,
    seed: &Seed,
) -> Result<(), Error> {
    let work = Work::new((graph, plan), reveal, NAMELESS)?;
    let preparer = Preparer::new(&work, (params, weights), session)?;
    let bundle = preparer.bundle(session, seed.child("ahead/bundle", 0))?;
    predict(&work, bundle, (params, weights), session)
}

/// A prediction under way.
struct Half<'a> {
    work: &'a Work<'a>,
    params: &'a Params,
    weights: &'a Weights,
    seed: &'a Seed,
    offset: Zeroizing<Block>,
    state: State,
    /// Products between this party's message and the client's.
    pending: HashMap<NodeId, (Quadratic, Pending)>,
}

impl Half<'_> {
    fn online(&mut self, stage: usize, session: &mut Session) -> Result<(), Error> {
        let program = &self.work.program;
        let (linear, circuit) = names(program, stage);
        session.meter.enter(Phase::Online, &linear);
        for node in self.work.opened(stage) {
            let mut values =
                streams::receive(&mut session.inbox, wire::OPENED, (program.elements(node), program.ring))?;
            if let Some((quadratic, pending)) = self.pending.remove(&node) {
                let count = if quadratic.shift > 0 { quadratic.count } else { 0 };
                let bits = streams::receive(&mut session.inbox, wire::OPENED, (count, 1))?;
                values = quadratic.open(self.seed, &pending, &values, &bits);
            } else if stage > 0 {
                let own = Zeroizing::new(shares_of(program, self.seed, node));
                let add =
                    |(value, own): (&mut u64, &u64)| *value = value.wrapping_add(*own) & mask(program.ring);
                values.iter_mut().zip(own.iter()).for_each(add);
            }
            self.state.tensors[node] = values;
        }
        let params = self.params;
        let parameter = |param: usize, index: usize| params.tensors[param].get(index);
        let addends = Addends::Server(&parameter);
        self.state.local(program, stage, &addends);
        for index in &program.stages[stage].linear {
            self.linear(program.linear[*index])?;
        }
        self.state.merge(program, stage, &addends);
        self.factors(stage, &mut session.outbox)?;
        session.meter.enter(Phase::Online, &circuit);
        self.labels(stage, &mut session.outbox)
    }

    /// Sends this party's masked halves of a stage's products on shares.
    fn factors(&mut self, stage: usize, outbox: &mut Outbox) -> Result<(), Error> {
        for quadratic in Quadratic::of(&self.work.program, stage) {
            let (masked, pending) = quadratic.server(self.seed, &self.work.program, &self.state);
            for (numbers, bits) in &masked.factors {
                streams::send(outbox, wire::FACTORS, numbers, quadratic.ring)?;
                streams::send(outbox, wire::FACTORS, bits, 1)?;
            }
            streams::send(outbox, wire::FACTORS, &masked.bits, 1)?;
            self.pending.insert(quadratic.node, (quadratic, pending));
        }
        Ok(())
    }

    /// A linear layer on plain integers.
    fn linear(&mut self, id: NodeId) -> Result<(), Error> {
        let program = &self.work.program;
        let missing = || Error::Refused("a layer has no parameters".into());
        let layer = self.weights.plain.get(&id).ok_or_else(missing)?;
        let node = &program.graph.nodes[id];
        let mut result = layer.apply(&self.state.tensors[node.inputs[0]]).map_err(failed)?;
        let (bias, inner) = match &node.op {
            Op::Conv { bias, .. } => (*bias, node.shape[2..].iter().product()),
            Op::Dense { bias, .. } => (*bias, 1),
            _ => return Err(missing()),
        };
        let (bias, mask) = (&self.params.tensors[bias], mask(program.ring));
        let own = Zeroizing::new(sums(program, self.seed, id));
        for (lane, (sum, own)) in result.iter_mut().zip(own.iter()).enumerate() {
            let addend = bias.get(lane / inner % bias.len()) as u64;
            *sum = sum.wrapping_add(*own).wrapping_add(addend) & mask;
        }
        self.state.sums[id] = result;
        Ok(())
    }

    /// Sends the labels of this party's numbers, in the order in which they enter the circuit.
    fn labels(&mut self, stage: usize, outbox: &mut Outbox) -> Result<(), Error> {
        let mut fresh = late(self.seed, stage);
        let mut frame = Vec::with_capacity(wire::FRAME_ROWS);
        for entry in &self.work.surveys[stage].entries {
            let values = Zeroizing::new(entry.lanes.pick(self.state.of(&self.work.program, entry.node)));
            let mut labels = vec![Block::ZERO; values.len()];
            for bit in 0..entry.width {
                fresh.fill_blocks(&mut labels);
                for (label, value) in labels.iter_mut().zip(values.iter()) {
                    *label ^= self.offset.and_bit(value >> bit & 1 == 1);
                }
                let mut rest = labels.as_slice();
                while !rest.is_empty() {
                    let (now, later) = rest.split_at(rest.len().min(wire::FRAME_ROWS - frame.len()));
                    frame.extend_from_slice(now);
                    rest = later;
                    if frame.len() == wire::FRAME_ROWS {
                        outbox.send(wire::LABELS, as_bytes(&frame))?;
                        frame.clear();
                    }
                }
            }
        }
        if !frame.is_empty() {
            outbox.send(wire::LABELS, as_bytes(&frame))?;
        }
        outbox.flush()
    }
}

/// The garbler's side of a circuit.
struct Offline<'b, 'a> {
    program: &'b Program<'a>,
    params: &'b Params,
    active: ActiveLabels,
    fresh: Prg,
    /// The transfers that are left.
    q: &'b [Block],
    exports: HashMap<NodeId, Vec<u64>>,
    revealed: Vec<OutputWord>,
}

impl Party<Garbler<Frames>> for Offline<'_, '_> {
    fn enter(&mut self, g: &mut Garbler<Frames>, entry: &Entry) -> Result<[Word<Labels>; 2], Error> {
        let (count, width) = (entry.lanes.len(), entry.width as usize);
        let short = || Error::Refused("fewer transfers than the circuit has inputs".into());
        let (now, later) = self.q.split_at_checked(count * width).ok_or_else(short)?;
        self.q = later;
        let servers = (0..width).map(|_| g.fresh(&mut self.fresh, count)).collect();
        let clients = now.chunks(count.max(1)).map(|labels| g.given(labels)).collect();
        Ok([Word::from_wires(servers, count), Word::from_wires(clients, count)])
    }

    fn parameter(
        &mut self,
        g: &mut Garbler<Frames>,
        param: ParamId,
        indices: &[usize],
        width: u32,
    ) -> Result<Word<Labels>, Error> {
        let data = &self.params.tensors[param];
        let values = Zeroizing::new(indices.iter().map(|index| data.get(*index) as u64).collect::<Vec<_>>());
        let wires = (0..width).map(|bit| g.input(&mut self.active, &bits(&values, bit.min(63)))).collect();
        Ok(Word::from_wires(wires, indices.len()))
    }

    fn export(&mut self, node: NodeId, lanes: &Lanes, shares: &[u64]) {
        let count = self.program.elements(node);
        lanes.put(shares, self.exports.entry(node).or_insert_with(|| vec![0; count]));
    }

    fn reveal(&mut self, g: &mut Garbler<Frames>, _output: usize, word: &Word<Labels>) {
        self.revealed.push(OutputWord::of(word, |wire| g.colours(wire)));
    }
}

/// Receives a layer's encrypted operand and adds this party's share.
fn receive(
    setting: &Setting,
    computer: &Computer,
    index: usize,
    share: &[u64],
    inbox: &mut Inbox,
) -> Result<Vec<Ciphertext>, Error> {
    let layout = &setting.layouts[index];
    let length = Length::Exactly(Holder::sent_bytes(&setting.parameters));
    let messages = (0..layout.channel_tiles() * layout.blocks())
        .map(|_| inbox.recv(wire::CIPHERTEXT, length))
        .collect::<Result<Vec<_>, _>>()?;
    let received = computer.receive(layout, share, &messages);
    received.map_err(|error| Error::malformed("encrypted share", error.to_string()))
}
