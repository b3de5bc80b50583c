//! The client's half: it evaluates, encrypts and decrypts.

use std::sync::mpsc::{Sender as Queue, channel};
use std::thread;

use garble::evaluator::Evaluator;
use garble::labels::{ActiveLabels, Labels};
use garble::word::Word;
use kernel::block::{Block, as_bytes_mut};
use kernel::seed::Seed;
use model::fixed::{FixedGraph, NodeId, ParamId};
use ot::ferret::CorrectionMessage;
use zeroize::{Zeroize, Zeroizing};

use super::ahead::{gilboa, streams};
use super::circuit::{Entry, Party, run};
use super::keys::ClientKeys;
use super::lanes::Lanes;
use super::linear::Setting;
use super::material::{ClientStage, groups};
use super::plan::Plan;
use super::price::Survey;
use super::products::{Kept, Quadratic};
use super::program::{Form, Program};
use super::shares::{Addends, compute};
use super::transfers::{self, Batches, Received, Receiving};
use super::wire::{self, Stored};
use super::{labels_bytes, names};
use crate::error::Error;
use crate::frame::Length;
use crate::garbled::client::OutputWord;
use crate::garbled::wire::{packed_length, unpack};
use crate::handshake::Reveal;
use crate::meter::Phase;
use crate::session::{Inbox, Outbox, Progress, Session};

/// What a prediction works with.
struct Half<'a> {
    program: Program<'a>,
    surveys: Vec<Survey>,
    setting: Option<Setting>,
    keys: &'a ClientKeys,
    seed: &'a Seed,
    evaluator: Evaluator<Stored>,
    active: ActiveLabels,
    transfers: Receiving,
    /// Batches of silent transfers to come, if they are silent.
    batches: Option<Batches>,
    /// This party's shares of tensors.
    shares: Vec<Vec<u64>>,
    /// This party's shares of sums whose low bits are yet to be dropped.
    sums: Vec<Vec<u64>>,
    /// What was revealed: the output's index and its values.
    results: Vec<(usize, Vec<i64>)>,
}

impl Drop for Half<'_> {
    fn drop(&mut self) {
        self.shares.zeroize();
        self.sums.zeroize();
    }
}

/// A private prediction: `input` holds the integers of each of the graph's inputs in row-major order; the result has the
/// integers of each output, or, for [`Reveal::Label`], the index of the largest value of the first output alone.
///
/// The graph has been validated; the plan is checked here. All secrets derive from `seed`, which must be fresh, and from `keys`, which are
/// those of the connection.
///
/// # Errors
/// When the engine does not take the graph or the plan, the input does not fit, or the session fails.
pub fn predict(
    (graph, plan): (&FixedGraph, &Plan),
    (input, keys): (&[Vec<i64>], &mut ClientKeys),
    reveal: Reveal,
    session: &mut Session,
    seed: &Seed,
    progress: &dyn Progress,
) -> Result<Vec<Vec<i64>>, Error> {
    let mut half = set_up((graph, plan), (input, keys), reveal, session, seed)?;
    let bytes: Vec<usize> = half.surveys.iter().map(labels_bytes).collect();
    let mut steps = Steps { progress, done: 0, total: 2 * bytes.len() as u64 };
    for group in groups(&bytes) {
        let material = half.offline(group.clone(), session, &mut steps)?;
        for (stage, material) in group.zip(material) {
            half.online(stage, material, session, &mut steps)?;
            steps.end();
        }
    }
    collect(&half.program, &half.results)
}

/// Tells how far a prediction is: each stage is two steps, before and after its input is known.
struct Steps<'a> {
    progress: &'a dyn Progress,
    done: u64,
    total: u64,
}

impl Steps<'_> {
    /// A layer begins.
    fn begin(&self, name: &str) {
        self.progress.layer(name);
    }

    /// A step ends.
    fn end(&mut self) {
        self.done += 1;
        self.progress.report(self.done, self.total);
    }
}

fn set_up<'a>(
    (graph, plan): (&'a FixedGraph, &Plan),
    (input, keys): (&[Vec<i64>], &'a mut ClientKeys),
    reveal: Reveal,
    session: &mut Session,
    seed: &'a Seed,
) -> Result<Half<'a>, Error> {
    let program = plan.program(graph, reveal)?;
    let surveys =
        (0..program.stages.len()).map(|stage| Survey::new(&program, stage)).collect::<Result<_, _>>()?;
    let setting = plan.linear_setting(&program)?;
    if let Some(setting) = &setting {
        keys.announce(setting, &mut session.outbox)?;
        session.outbox.flush()?;
    }
    let receiver = transfers::respond(session, plan.base_ot, &seed.child("interactive/transfers", 0))?;
    session.outbox.flush()?;
    let mut start = [Block::ZERO; 2];
    session.inbox.recv_into(wire::START, as_bytes_mut(&mut start))?;
    if let Some(setting) = &setting {
        keys.share(setting, session)?;
    }
    let mut half = Half {
        surveys,
        setting,
        keys,
        seed,
        evaluator: Evaluator::new(start[0], Stored::default()),
        active: ActiveLabels::new(start[1]),
        transfers: Receiving::new(receiver, plan.silent, seed),
        batches: plan.silent.then(Batches::default),
        shares: vec![Vec::new(); graph.nodes.len()],
        sums: vec![Vec::new(); graph.nodes.len()],
        results: Vec::new(),
        program,
    };
    half.take_input(input)?;
    Ok(half)
}

impl Half<'_> {
    fn take_input(&mut self, input: &[Vec<i64>]) -> Result<(), Error> {
        let graph = self.program.graph;
        let fits = input.len() == graph.inputs.len()
            && graph.inputs.iter().zip(input).all(|(id, values)| {
                let (low, high) = graph.nodes[*id].format.limits();
                values.len() == self.program.elements(*id) && values.iter().all(|v| (low..=high).contains(v))
            });
        if !fits {
            return Err(Error::Refused("the input does not have the plan's shape and range".into()));
        }
        for (id, values) in graph.inputs.iter().zip(input) {
            self.shares[*id] = values.iter().map(|value| self.program.modulus.of(*value)).collect();
        }
        Ok(())
    }

    /// The offline phase of some stages: stores what comes while a thread makes transfers.
    fn offline(
        &mut self,
        stages: std::ops::Range<usize>,
        session: &mut Session,
        steps: &mut Steps<'_>,
    ) -> Result<Vec<ClientStage>, Error> {
        let Session { outbox, inbox, meter } = session;
        meter.enter(Phase::Offline, "");
        // The extension messages depend on nothing that comes meanwhile.
        outbox.pin();
        let (transfers, batches, surveys) = (&mut self.transfers, &mut self.batches, &self.surveys);
        let wanted = stages.clone();
        let (program, seed) = (&self.program, self.seed);
        let (corrections, queue) = channel();
        let made = thread::scope(|scope| {
            let transfers = {
                let outbox = &mut *outbox;
                scope.spawn(move || {
                    let next = |stage: usize| {
                        let chosen = choose((program, stage), transfers, outbox, seed)?;
                        Ok((chosen, transfers.next(surveys[stage].late, outbox, &queue)?))
                    };
                    wanted.map(next).collect::<Result<Vec<_>, Error>>()
                })
            };
            let stored = stages
                .map(|stage| {
                    let name = names(program, stage).1;
                    meter.enter(Phase::Offline, &name);
                    steps.begin(&name);
                    let crossed = Quadratic::of(program, stage)
                        .map(|quadratic| gilboa::receive(&quadratic.jobs(), inbox))
                        .collect::<Result<Vec<_>, _>>()?;
                    let coming = batches.as_mut().map_or(0, |batches| batches.before(surveys[stage].late));
                    let stored = (0..coming)
                        .try_for_each(|_| pass_on(inbox, &corrections))
                        .and_then(|()| store(&surveys[stage], inbox));
                    steps.end();
                    Ok((stored?, crossed))
                })
                .collect::<Result<Vec<_>, Error>>();
            drop(corrections);
            let joined = transfers
                .join()
                .unwrap_or_else(|_| Err(Error::Refused("a thread of the client failed".into())));
            let (stored, transfers) = (stored?, joined?);
            type Stage = ((ClientStage, Vec<Vec<Vec<u8>>>), (Vec<Chosen>, Received));
            let join = |((mut stage, crossed), (chosen, transfers)): Stage| {
                stage.transfers = transfers;
                let pairs = chosen.into_iter().zip(&crossed);
                stage.products = pairs.map(|(chosen, frames)| chosen.kept(frames)).collect();
                stage
            };
            Ok(stored.into_iter().zip(transfers).map(join).collect())
        });
        outbox.unpin();
        made
    }

    /// The online phase of a stage.
    fn online(
        &mut self,
        stage: usize,
        mut material: ClientStage,
        session: &mut Session,
        steps: &mut Steps<'_>,
    ) -> Result<(), Error> {
        let (linear, circuit) = names(&self.program, stage);
        session.meter.enter(Phase::Online, &linear);
        steps.begin(&linear);
        let mut products = material.products.iter();
        for id in self.program.stages[stage].local.clone() {
            match (Quadratic::at(&self.program, id), products.as_slice().first()) {
                (Some(quadratic), Some(kept)) => {
                    self.product(&quadratic, kept, session)?;
                    products.next();
                }
                _ => self.local(id),
            }
        }
        self.linear(stage, session)?;
        session.meter.enter(Phase::Online, &circuit);
        steps.begin(&circuit);
        let answers = self.labels(stage, &material, session)?;
        *self.evaluator.source() = Stored::new(std::mem::take(&mut material.tables));
        let mut colours = material.colours.iter().copied();
        let mut party = Online {
            program: &self.program,
            active: &mut self.active,
            t: &material.transfers.t,
            answers: &answers,
            shares: &mut self.shares,
            sums: &self.sums,
            colours: &mut colours,
            results: &mut self.results,
        };
        run(&mut self.evaluator, &self.program, stage, &mut party)?;
        if self.evaluator.source().is_read() {
            Ok(())
        } else {
            Err(Error::malformed("garbled tables", "more rows than the circuit has"))
        }
    }

    /// A product on shares: sends what the server makes its share of; the next layer's ciphertexts follow.
    fn product(&mut self, quadratic: &Quadratic, kept: &Kept, session: &mut Session) -> Result<(), Error> {
        let factors: Vec<&[u64]> =
            quadratic.factors.iter().map(|factor| self.shares[*factor].as_slice()).collect();
        let (opened, share) = quadratic.client(&factors, kept);
        let send =
            |opened: &Vec<u64>| streams::send(&mut session.outbox, wire::OPENED, opened, quadratic.ring);
        opened.iter().try_for_each(send)?;
        self.shares[quadratic.node] = share;
        Ok(())
    }

    /// An operation on shares.
    fn local(&mut self, id: NodeId) {
        let node = &self.program.graph.nodes[id];
        let operands: Vec<&[u64]> = node.inputs.iter().map(|input| self.shares[*input].as_slice()).collect();
        let result = match &node.op {
            model::fixed::Op::Constant { values } => vec![0; values.len()],
            _ => compute(&self.program, id, &operands, &Addends::Client),
        };
        match self.program.places[id].form {
            Form::Sum { .. } => self.sums[id] = result,
            _ => self.shares[id] = result,
        }
    }

    /// The linear layers of a stage: all requests, then all replies.
    fn linear(&mut self, stage: usize, session: &mut Session) -> Result<(), Error> {
        let (Some(setting), Some(holder)) = (&self.setting, self.keys.holder()) else { return Ok(()) };
        let layers = &self.program.stages[stage].linear;
        for index in layers {
            let id = self.program.linear[*index];
            let operand = &self.shares[self.program.graph.nodes[id].inputs[0]];
            let seed = self.seed.child("interactive/encryption", id as u64);
            let messages = holder.encrypt(setting, *index, operand, &seed)?;
            messages.iter().try_for_each(|message| session.outbox.send(wire::CIPHERTEXT, message))?;
        }
        session.outbox.flush()?;
        for index in layers {
            let receive = |bytes| session.inbox.recv(wire::MASKED, Length::Exactly(bytes));
            let replies = setting.returned(*index).into_iter().map(receive).collect::<Result<Vec<_>, _>>()?;
            self.sums[self.program.linear[*index]] = holder.decrypt(setting, *index, &replies)?;
        }
        Ok(())
    }

    /// Sends the corrections of a stage's transfers, and receives the labels.
    fn labels(
        &self,
        stage: usize,
        material: &ClientStage,
        session: &mut Session,
    ) -> Result<Vec<Block>, Error> {
        let survey = &self.surveys[stage];
        if survey.late == 0 {
            return Ok(Vec::new());
        }
        let mut corrections = material.transfers.bits.clone();
        let mut at = 0;
        for entry in &survey.entries {
            let mut values = Zeroizing::new(entry.lanes.pick(self.source(entry.node)));
            values.iter_mut().for_each(|value| *value = entry.entering(*value));
            for bit in 0..entry.width {
                for value in values.iter() {
                    corrections[at / 8] ^= ((value >> bit & 1) as u8) << (at % 8);
                    at += 1;
                }
            }
        }
        if !survey.late.is_multiple_of(8)
            && let Some(last) = corrections.last_mut()
        {
            // Bits that stand for nothing.
            *last &= (1 << (survey.late % 8)) - 1;
        }
        session.outbox.send(wire::CORRECTIONS, &corrections)?;
        session.outbox.flush()?;
        wire::receive_rows(&mut session.inbox, wire::LABELS, survey.late)
    }

    /// The shares with which a tensor enters a circuit.
    fn source(&self, node: NodeId) -> &[u64] {
        match self.program.places[node].form {
            Form::Sum { .. } => &self.sums[node],
            _ => &self.shares[node],
        }
    }
}

/// A product on shares whose masks were chosen.
struct Chosen {
    masks: Vec<Vec<u64>>,
    numbers: Zeroizing<Vec<u64>>,
    strings: Zeroizing<Vec<Block>>,
    jobs: Vec<gilboa::Job>,
}

impl Chosen {
    /// What is kept of it, from what the server sent.
    fn kept(self, frames: &[Vec<u8>]) -> Kept {
        Kept { masks: self.masks, shares: gilboa::shares((&self.jobs, &self.numbers), &self.strings, frames) }
    }
}

/// Chooses masks for the products of a stage. `seed` is that of the prediction.
fn choose(
    (program, stage): (&Program<'_>, usize),
    transfers: &mut Receiving,
    outbox: &mut Outbox,
    seed: &Seed,
) -> Result<Vec<Chosen>, Error> {
    let choose = |quadratic: Quadratic| {
        let (masks, jobs) = (quadratic.masks(seed), quadratic.jobs());
        let numbers = Zeroizing::new(quadratic.chosen(&masks));
        let strings = gilboa::choose((&jobs, &numbers), transfers.base(), outbox)?;
        Ok(Chosen { masks, numbers, strings, jobs })
    };
    Quadratic::of(program, stage).map(choose).collect()
}

/// The outputs in order, from what circuits revealed: an index and its values each.
pub(super) fn collect(program: &Program, results: &[(usize, Vec<i64>)]) -> Result<Vec<Vec<i64>>, Error> {
    let revealed: Vec<(usize, NodeId)> = program.revealed().collect();
    let value = |(_, node): &(usize, NodeId)| {
        // Outputs of one node are revealed once.
        let first = revealed.iter().find(|(_, other)| other == node).map(|(index, _)| *index);
        let found = results.iter().find(|(index, _)| Some(*index) == first);
        found.map(|(_, values)| values.clone()).ok_or_else(|| Error::Refused("an output is missing".into()))
    };
    let results: Vec<Vec<i64>> = revealed.iter().map(value).collect::<Result<_, _>>()?;
    let classes = revealed.first().map_or(0, |(_, node)| program.elements(*node));
    let index = results.first().and_then(|values| values.first());
    match (program.reveal, index) {
        (Reveal::Label, Some(index)) if !usize::try_from(*index).is_ok_and(|index| index < classes) => {
            Err(Error::malformed("outputs' colours", format!("class {index} of {classes}")))
        }
        _ => Ok(results),
    }
}

/// Receives the correction of a batch of silent transfers for the thread that makes them.
fn pass_on(inbox: &mut Inbox, corrections: &Queue<Vec<u8>>) -> Result<(), Error> {
    let length = Length::Exactly(CorrectionMessage::ENCODED_LEN);
    let correction = inbox.recv(wire::SILENT, length)?.to_vec();
    corrections.send(correction).map_err(|_| Error::Refused("a thread of the client failed".into()))
}

/// Receives a stage's tables and colours.
fn store(survey: &Survey, inbox: &mut Inbox) -> Result<ClientStage, Error> {
    let tables = wire::receive_rows(inbox, wire::TABLES, survey.rows)?;
    let colours = match survey.colours {
        0 => Vec::new(),
        count => unpack(&inbox.recv(wire::COLOURS, packed_length(count))?, count),
    };
    Ok(ClientStage { tables, transfers: Received::default(), colours, products: Vec::new() })
}

/// The evaluator's side of a circuit.
struct Online<'b, 'a> {
    program: &'b Program<'a>,
    active: &'b mut ActiveLabels,
    /// The transfers and the garbler's answers that are left.
    t: &'b [Block],
    answers: &'b [Block],
    shares: &'b mut [Vec<u64>],
    sums: &'b [Vec<u64>],
    colours: &'b mut dyn Iterator<Item = bool>,
    results: &'b mut Vec<(usize, Vec<i64>)>,
}

impl Party<Evaluator<Stored>> for Online<'_, '_> {
    fn enter(&mut self, g: &mut Evaluator<Stored>, entry: &Entry) -> Result<[Word<Labels>; 2], Error> {
        let (count, width) = (entry.lanes.len(), entry.width as usize);
        let short = || Error::Refused("fewer transfers than the circuit has inputs".into());
        let (t, rest) = self.t.split_at_checked(count * width).ok_or_else(short)?;
        let (answers, later) = self.answers.split_at_checked(count * width).ok_or_else(short)?;
        (self.t, self.answers) = (rest, later);
        let pairs = t.chunks(count.max(1)).zip(answers.chunks(count.max(1)));
        let client = Word::from_wires(pairs.map(|(t, answers)| g.late(t, answers)).collect(), count);
        if entry.clients {
            return Ok([Word::public(0, width, count), client]);
        }
        let own = (0..width).map(|_| g.input(self.active, count)).collect();
        Ok([Word::from_wires(own, count), client])
    }

    fn parameter(
        &mut self,
        g: &mut Evaluator<Stored>,
        _param: ParamId,
        indices: &[usize],
        width: u32,
    ) -> Result<Word<Labels>, Error> {
        let wires = (0..width).map(|_| g.input(self.active, indices.len())).collect();
        Ok(Word::from_wires(wires, indices.len()))
    }

    fn settled(&self, entry: &Entry) -> Vec<u64> {
        entry.lanes.iter().map(|lane| entry.settle(self.sums[entry.node][lane])).collect()
    }

    fn export(&mut self, node: NodeId, lanes: &Lanes, shares: &[u64]) {
        let count = self.program.elements(node);
        let all = &mut self.shares[node];
        all.resize(count, 0);
        lanes.put(shares, all);
    }

    fn reveal(&mut self, g: &mut Evaluator<Stored>, output: usize, word: &Word<Labels>) {
        let shown = OutputWord::of(word, |wire| g.colours(wire));
        self.results.push((output, shown.values(&mut self.colours)));
    }
}
