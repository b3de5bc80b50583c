//! The server's half: it garbles, and computes linear layers on ciphertexts.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver as Queue, sync_channel};
use std::thread;

use bfv::Ciphertext;
use garble::garbler::Garbler;
use garble::labels::{ActiveLabels, Labels};
use garble::late::LatePads;
use garble::word::Word;
use kernel::block::{Block, as_bytes};
use kernel::prg::Prg;
use kernel::seed::Seed;
use model::fixed::{FixedGraph, NodeId, Op, ParamId, Params};
use zeroize::Zeroizing;

use super::ahead::{gilboa, streams};
use super::circuit::{Entry, Party, run, share_modulus};
use super::keys::{Held, Host, ServerKeys};
use super::lanes::Lanes;
use super::linear::{Computer, Factors, Setting};
use super::material::{ServerStage, groups};
use super::plan::Plan;
use super::price::Survey;
use super::products::Quadratic;
use super::program::{Form, Program};
use super::shares::{Addends, compute};
use super::transfers::Sending;
use super::wire::{self, Frames};
use super::{labels_bytes, names, transfers};
use crate::error::Error;
use crate::frame::Length;
use crate::garbled::client::OutputWord;
use crate::handshake::Reveal;
use crate::meter::Phase;
use crate::session::{Inbox, Outbox, Session};

/// Frames of tables that wait to be sent while garbling goes on.
const AHEAD: usize = 8;

/// A model's weights, encoded for the linear method as far as the memory allowed.
#[derive(Default)]
pub struct Weights {
    pub(super) factors: HashMap<NodeId, Factors>,
}

impl Weights {
    /// Encodes weights of a plan's layers, in order, as long as they take no more than `budget` bytes together; others are
    /// encoded when they are needed.
    ///
    /// # Errors
    /// If the plan does not fit the graph.
    pub fn encode(graph: &FixedGraph, plan: &Plan, params: &Params, budget: usize) -> Result<Self, Error> {
        let program = plan.program(graph, Reveal::Scores)?;
        let mut factors = HashMap::new();
        let Some(setting) = plan.linear_setting(&program)? else { return Ok(Self { factors }) };
        let mut left = budget;
        for (layer, node) in program.linear.iter().enumerate() {
            let encoded = Factors::encode((&setting, layer), weight(&program, params, *node), left)?;
            if let Some((encoded, bytes)) = encoded {
                left -= bytes;
                factors.insert(*node, encoded);
            }
        }
        Ok(Self { factors })
    }
}

/// Reads the weights of a linear layer.
pub(super) fn weight<'a>(
    program: &Program,
    params: &'a Params,
    node: NodeId,
) -> impl Fn(usize) -> i64 + Sync + use<'a> {
    let param = match program.graph.nodes[node].op {
        Op::Conv { weight, .. } | Op::Dense { weight, .. } => weight,
        _ => 0,
    };
    let data = &params.tensors[param];
    move |index| data.get(index)
}

/// What a prediction works with.
struct Half<'a> {
    program: Program<'a>,
    surveys: Vec<Survey>,
    params: &'a Params,
    weights: &'a Weights,
    setting: Option<Setting>,
    keys: Option<Arc<ServerKeys>>,
    seed: &'a Seed,
    offset: Zeroizing<Block>,
    garbler: Garbler<Frames>,
    active: ActiveLabels,
    fresh: Prg,
    transfers: Sending,
    /// This party's shares of tensors.
    shares: Vec<Vec<u64>>,
    /// This party's shares of sums whose low bits are yet to be dropped.
    sums: Vec<Vec<u64>>,
}

/// Serves one prediction of a validated graph with the parameters that it describes. All secrets derive from `seed`, which must be
/// fresh. The client's keys are those of the connection, or come, and are kept by the host.
///
/// # Errors
/// When the engine does not take the graph or the plan, or the session fails.
pub fn predict(
    (graph, plan): (&FixedGraph, &Plan),
    (params, weights): (&Params, &Weights),
    reveal: Reveal,
    (session, held, host): (&mut Session, &mut Held, &dyn Host),
    seed: &Seed,
) -> Result<(), Error> {
    let mut half = set_up((graph, plan), (params, weights), reveal, (session, held, host), seed)?;
    let bytes: Vec<usize> = half.surveys.iter().map(labels_bytes).collect();
    for group in groups(&bytes) {
        let material = half.offline(group.clone(), session)?;
        for (stage, material) in group.zip(material) {
            half.online(stage, material, session)?;
        }
    }
    Ok(())
}

fn set_up<'a>(
    (graph, plan): (&'a FixedGraph, &Plan),
    (params, weights): (&'a Params, &'a Weights),
    reveal: Reveal,
    (session, held, host): (&mut Session, &mut Held, &dyn Host),
    seed: &'a Seed,
) -> Result<Half<'a>, Error> {
    let program = plan.program(graph, reveal)?;
    let surveys =
        (0..program.stages.len()).map(|stage| Survey::new(&program, stage)).collect::<Result<_, _>>()?;
    let setting = plan.linear_setting(&program)?;
    let offset = Zeroizing::new(seed.block("interactive/offset", 0).with_lsb());
    let start = [seed.block("interactive/start", 0), seed.block("interactive/input", 0)];
    let base = seed.child("interactive/transfers", 0);
    let setup = transfers::request(session, plan.base_ot, *offset, &base)?;
    session.outbox.send(wire::START, as_bytes(&start))?;
    session.outbox.flush()?;
    let coming = setting.as_ref().map(|setting| held.hear(setting, session, host)).transpose()?;
    let transfers = Sending::new(transfers::finish(session, plan.base_ot, setup)?, plan.silent);
    let keys = match (&setting, coming) {
        (Some(setting), Some(coming)) => Some(held.receive(coming, setting, session, host)?),
        _ => None,
    };
    let tensors = graph.nodes.len();
    Ok(Half {
        program,
        surveys,
        params,
        weights,
        setting,
        keys,
        seed,
        garbler: Garbler::new(*offset, start[0], Frames::default()),
        active: ActiveLabels::new(start[1]),
        fresh: Prg::new(&seed.child("interactive/labels", 0)),
        offset,
        transfers,
        shares: vec![Vec::new(); tensors],
        sums: vec![Vec::new(); tensors],
    })
}

impl Half<'_> {
    /// The offline phase of some stages: garbles while a thread sends.
    fn offline(
        &mut self,
        stages: std::ops::Range<usize>,
        session: &mut Session,
    ) -> Result<Vec<ServerStage>, Error> {
        let Session { outbox, inbox, meter } = session;
        let (queue, frames) = sync_channel(AHEAD);
        self.garbler.sink().open(queue);
        meter.enter(Phase::Offline, "");
        thread::scope(|scope| {
            let sending = scope.spawn(move || send(outbox, frames));
            let made = stages
                .map(|stage| {
                    meter.enter(Phase::Offline, &names(&self.program, stage).1);
                    self.make(stage, inbox)
                })
                .collect::<Result<Vec<_>, Error>>();
            let closed = self.garbler.sink().close();
            let sent = sending
                .join()
                .unwrap_or_else(|_| Err(Error::Refused("a thread of the server failed".into())));
            // Garbling only starved where sending failed, whose reason is the one to tell.
            sent?;
            let made = made?;
            closed.map(|()| made)
        })
    }

    /// One stage's material.
    fn make(&mut self, stage: usize, inbox: &mut Inbox) -> Result<ServerStage, Error> {
        let (mut operands, mut products) = (Vec::new(), Vec::new());
        for node in self.program.stages[stage].local.clone() {
            match Quadratic::at(&self.program, node) {
                Some(quadratic) => products.push(self.begin(&quadratic, inbox)?),
                None if self.program.places[node].late => {}
                None => self.local(node),
            }
        }
        for index in self.program.stages[stage].linear.clone() {
            operands.push(self.mask(index)?);
        }
        let sink = self.garbler.sink();
        let q = self.transfers.next(self.surveys[stage].late, inbox, &mut |bytes| sink.silent(bytes))?;
        let mut party = Offline {
            program: &self.program,
            params: self.params,
            active: &mut self.active,
            fresh: &mut self.fresh,
            shares: &self.shares,
            sums: &self.sums,
            q: &q,
            pads: LatePads::default(),
            exports: HashMap::new(),
            revealed: Vec::new(),
        };
        run(&mut self.garbler, &self.program, stage, &mut party)?;
        let Offline { pads, exports, revealed, .. } = party;
        for (node, shares) in exports {
            self.shares[node] = shares;
        }
        self.garbler.sink().flush()?;
        if self.surveys[stage].colours > 0 {
            let colours: Vec<bool> = revealed.iter().flat_map(OutputWord::colours).collect();
            self.garbler.sink().colours(&colours)?;
        }
        Ok(ServerStage { operands, products, pads })
    }

    /// The oblivious products of a product on shares; returns what is known of this party's share.
    fn begin(&mut self, quadratic: &Quadratic, inbox: &mut Inbox) -> Result<Vec<u64>, Error> {
        let shares: Vec<Vec<u64>> = quadratic.factors.iter().map(|factor| self.operand(*factor)).collect();
        let shares: Vec<&[u64]> = shares.iter().map(Vec::as_slice).collect();
        let (numbers, drawn) = quadratic.servers(&shares, self.seed);
        let (numbers, drawn) = (Zeroizing::new(numbers), Zeroizing::new(drawn));
        let sink = self.garbler.sink();
        let factors = (quadratic.jobs(), &numbers, &drawn);
        gilboa::answer((&factors.0, factors.1, factors.2), self.transfers.base(), inbox, &mut |frame| {
            sink.crossed(frame)
        })?;
        Ok(quadratic.begin(&shares, &drawn))
    }

    /// The shares that this party has once the client has sent what products need.
    fn late(&mut self, stage: usize, begun: &[Vec<u64>], session: &mut Session) -> Result<(), Error> {
        let mut begun = begun.iter();
        for node in self.program.stages[stage].local.clone() {
            if let Some(quadratic) = Quadratic::at(&self.program, node) {
                let size = (quadratic.count, quadratic.ring);
                let receive = |_: &NodeId| streams::receive(&mut session.inbox, wire::OPENED, size);
                let opened = quadratic.factors.iter().map(receive).collect::<Result<Vec<_>, _>>()?;
                let shares: Vec<Vec<u64>> =
                    quadratic.factors.iter().map(|factor| self.operand(*factor)).collect();
                let shares: Vec<&[u64]> = shares.iter().map(Vec::as_slice).collect();
                let begun = begun.next().map_or(&[][..], Vec::as_slice);
                self.shares[node] = quadratic.finish(begun, &shares, &opened);
            } else if self.program.places[node].late {
                self.local(node);
            }
        }
        Ok(())
    }

    /// This party's share of a tensor.
    fn operand(&self, node: NodeId) -> Vec<u64> {
        if self.program.places[node].clients {
            vec![0; self.program.elements(node)]
        } else {
            self.shares[node].clone()
        }
    }

    /// An operation on shares.
    fn local(&mut self, id: NodeId) {
        let node = &self.program.graph.nodes[id];
        let operands: Vec<Vec<u64>> = node.inputs.iter().map(|input| self.operand(*input)).collect();
        let operands: Vec<&[u64]> = operands.iter().map(Vec::as_slice).collect();
        let params = self.params;
        let parameter = |param: usize, index: usize| params.tensors[param].get(index);
        let result = match &node.op {
            Op::Constant { values } => values.iter().map(|value| self.program.modulus.of(*value)).collect(),
            _ => compute(&self.program, id, &operands, &Addends::Server(&parameter)),
        };
        match self.program.places[id].form {
            Form::Sum { .. } => self.sums[id] = result,
            _ => self.shares[id] = result,
        }
    }

    /// This party's share of a linear layer's sums, which is a mask and the bias; returns that of its operand.
    fn mask(&mut self, index: usize) -> Result<Vec<u64>, Error> {
        let (id, missing) =
            (self.program.linear[index], || Error::Refused("a layer has no parameters".into()));
        let setting = self.setting.as_ref().ok_or_else(missing)?;
        let computer = self.keys.as_ref().ok_or_else(missing)?.computer();
        let mut sums = computer.shares(setting, index, &masks(self.seed, id))?;
        let node = &self.program.graph.nodes[id];
        let (bias, inner) = match &node.op {
            Op::Conv { bias, .. } => (*bias, node.shape[2..].iter().product()),
            Op::Dense { bias, .. } => (*bias, 1),
            _ => return Err(missing()),
        };
        let (bias, modulus) = (&self.params.tensors[bias], share_modulus(&self.program, id));
        let Form::Sum { guard } = self.program.places[id].form else { return Err(missing()) };
        for (lane, sum) in sums.iter_mut().enumerate() {
            // Sums with a guard are doubled: the bit below takes the rounding of replies.
            let addend = modulus.shift(modulus.of(bias.get(lane / inner % bias.len())), guard);
            *sum = modulus.add(*sum, addend);
        }
        self.sums[id] = sums;
        Ok(self.operand(node.inputs[0]))
    }

    /// The online phase of a stage.
    fn online(
        &mut self,
        stage: usize,
        mut material: ServerStage,
        session: &mut Session,
    ) -> Result<(), Error> {
        let (linear, circuit) = names(&self.program, stage);
        session.meter.enter(Phase::Online, &linear);
        self.late(stage, &material.products, session)?;
        if let (Some(setting), Some(keys)) = (&self.setting, &self.keys) {
            let computer = keys.computer();
            let operands = std::mem::take(&mut material.operands);
            let layers = self.program.stages[stage].linear.iter().copied().zip(operands);
            let received = layers
                .map(|(index, mut share)| {
                    let operand = self.program.graph.nodes[self.program.linear[index]].inputs[0];
                    if self.program.places[operand].late {
                        share.clone_from(&self.shares[operand]);
                    }
                    Ok((index, computer.receive(setting, index, &share, &mut session.inbox)?))
                })
                .collect::<Result<Vec<_>, Error>>()?;
            for (index, ciphertexts) in received {
                let replies = self.linear((setting, computer), index, &ciphertexts)?;
                replies.iter().try_for_each(|reply| session.outbox.send(wire::MASKED, reply))?;
                session.outbox.flush()?;
            }
        }
        session.meter.enter(Phase::Online, &circuit);
        let late = self.surveys[stage].late;
        if late > 0 {
            let corrections =
                Zeroizing::new(session.inbox.recv(wire::CORRECTIONS, Length::Exactly(late.div_ceil(8)))?);
            let pads = std::mem::take(&mut material.pads);
            let answers = pads.answer(*self.offset, &corrections);
            wire::send_rows(&mut session.outbox, wire::LABELS, &answers)?;
            session.outbox.flush()?;
        }
        Ok(())
    }

    fn linear(
        &self,
        (setting, computer): (&Setting, &Computer),
        index: usize,
        operands: &[Ciphertext],
    ) -> Result<Vec<Vec<u8>>, Error> {
        let id = self.program.linear[index];
        let weights = (self.weights.factors.get(&id), weight(&self.program, self.params, id));
        computer.run((setting, index), weights, operands, &masks(self.seed, id))
    }
}

/// The seed of a layer's masks.
pub(super) fn masks(seed: &Seed, node: NodeId) -> Seed {
    seed.child("interactive/masks", node as u64)
}

/// Sends what the garbler makes, until it ends.
pub(super) fn send(outbox: &mut Outbox, frames: Queue<wire::Frame>) -> Result<(), Error> {
    for frame in frames {
        frame.send(outbox)?;
    }
    outbox.flush()
}

/// The garbler's side of a circuit.
struct Offline<'b, 'a> {
    program: &'b Program<'a>,
    params: &'b Params,
    active: &'b mut ActiveLabels,
    fresh: &'b mut Prg,
    shares: &'b [Vec<u64>],
    sums: &'b [Vec<u64>],
    /// The transfers that are left.
    q: &'b [Block],
    pads: LatePads,
    exports: HashMap<NodeId, Vec<u64>>,
    revealed: Vec<OutputWord>,
}

/// Some bits of numbers, as wires take them.
pub(super) fn bits(values: &[u64], bit: u32) -> Zeroizing<Vec<bool>> {
    Zeroizing::new(values.iter().map(|value| value >> bit & 1 == 1).collect())
}

impl Party<Garbler<Frames>> for Offline<'_, '_> {
    fn enter(&mut self, g: &mut Garbler<Frames>, entry: &Entry) -> Result<[Word<Labels>; 2], Error> {
        let (count, width) = (entry.lanes.len(), entry.width as usize);
        let short = || Error::Refused("fewer transfers than the circuit has inputs".into());
        let (now, later) = self.q.split_at_checked(count * width).ok_or_else(short)?;
        self.q = later;
        let late = now.chunks(count.max(1)).map(|q| g.late(q, self.fresh, &mut self.pads)).collect();
        let client = Word::from_wires(late, count);
        if entry.clients {
            return Ok([Word::public(0, width, count), client]);
        }
        let all = match self.program.places[entry.node].form {
            Form::Sum { .. } => &self.sums[entry.node],
            _ => &self.shares[entry.node],
        };
        let mut values = Zeroizing::new(entry.lanes.pick(all));
        let modulus = &self.program.modulus;
        let lifted = |value: u64| entry.entering(modulus.entering(value).wrapping_add(entry.lift()));
        values.iter_mut().for_each(|value| *value = lifted(*value));
        let own = (0..entry.width).map(|bit| g.input(self.active, &bits(&values, bit))).collect();
        Ok([Word::from_wires(own, count), client])
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
        let wires = (0..width).map(|bit| g.input(self.active, &bits(&values, bit.min(63)))).collect();
        Ok(Word::from_wires(wires, indices.len()))
    }

    fn settled(&self, entry: &Entry) -> Vec<u64> {
        let lift = entry.lift();
        let share = |lane: usize| entry.settle(self.sums[entry.node][lane].wrapping_add(lift));
        entry.lanes.iter().map(|lane| share(lane).wrapping_sub(entry.settle(lift))).collect()
    }

    fn export(&mut self, node: NodeId, lanes: &Lanes, shares: &[u64]) {
        let count = self.program.elements(node);
        lanes.put(shares, self.exports.entry(node).or_insert_with(|| vec![0; count]));
    }

    fn reveal(&mut self, g: &mut Garbler<Frames>, _output: usize, word: &Word<Labels>) {
        self.revealed.push(OutputWord::of(word, |wire| g.colours(wire)));
    }
}
