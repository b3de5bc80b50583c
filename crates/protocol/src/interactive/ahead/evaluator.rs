//! The evaluator's half of both phases, whichever party that is.

use std::thread;

use garble::count::{CountedWires, Counter};
use garble::evaluator::Evaluator;
use garble::labels::{ActiveLabels, Labels};
use garble::word::Word;
use kernel::block::{Block, as_bytes_mut};
use kernel::seed::Seed;
use model::fixed::{NodeId, ParamId, Params};
use ot::random::Pads;
use ot::softspoken::Receiver;
use zeroize::Zeroizing;

use super::super::circuit::{Entry, Party, run};
use super::super::lanes::Lanes;
use super::super::plan::Garbler;
use super::super::program::Program;
use super::super::wire;
use super::super::{names, transfers};
use super::Work;
use super::bundle::Material;
use super::feed::Tables;
use super::garbler::next;
use super::gilboa::{self, Job};
use super::streams::{self, BitString, mask, push_bits, start_of};
use crate::error::Error;
use crate::garbled::client::OutputWord;
use crate::garbled::wire::{packed_length, unpack};
use crate::meter::Phase;
use crate::session::{Inbox, Outbox, Progress, Session};

/// An evaluator that makes a bundle.
pub struct Evaluating<'b> {
    work: &'b Work<'b>,
    /// Public start points of the hash, and of the labels of what the garbler knows.
    pub start: [Block; 2],
    receiver: Receiver,
}

impl<'b> Evaluating<'b> {
    /// Sets transfers up.
    ///
    /// # Errors
    /// When the session fails.
    pub fn begin(work: &'b Work<'b>, session: &mut Session, seed: &Seed) -> Result<Self, Error> {
        let receiver = transfers::respond(session, work.base, &seed.child("ahead/transfers", 0))?;
        session.outbox.flush()?;
        let mut start = [Block::ZERO; 2];
        session.inbox.recv_into(wire::START, as_bytes_mut(&mut start))?;
        Ok(Self { work, start, receiver })
    }

    /// From shares of twice the sums, or one more, to shares of the sums.
    ///
    /// # Errors
    /// When the session fails.
    pub fn halve(
        &mut self,
        session: &mut Session,
        doubled: &[Zeroizing<Vec<u64>>],
    ) -> Result<Vec<Vec<u64>>, Error> {
        let ring = self.work.program.ring;
        let count = doubled.iter().map(|layer| layer.len()).sum();
        let mut bits = BitString::with_capacity(count);
        doubled.iter().flat_map(|layer| layer.iter()).for_each(|share| bits.push(share & 1 == 1));
        let receiver = &mut self.receiver;
        let (first, pads) = (receiver.position(), Pads::new(receiver.session()));
        let send = |outbox: &mut Outbox| transfers::receive_chosen(receiver, outbox, bits.bytes(), count);
        let receive = |inbox: &mut Inbox| {
            let words =
                |layer: &Zeroizing<Vec<u64>>| streams::receive(inbox, wire::HALVES, (2 * layer.len(), ring));
            doubled.iter().map(words).collect::<Result<Vec<_>, Error>>()
        };
        let (t, words) = both(session, send, receive)?;
        let pads = Zeroizing::new(pads.of_receiver(first, &Zeroizing::new(t)));
        let (mask, mut pads) = (mask(ring), pads.iter());
        let halve = |(layer, words): (&Zeroizing<Vec<u64>>, &Vec<u64>)| {
            let parts = layer.iter().zip(words.chunks_exact(2)).zip(&mut pads);
            parts
                .map(|((share, words), pad)| {
                    let chosen = (share & 1).wrapping_neg();
                    let word = words[0] ^ ((words[0] ^ words[1]) & chosen);
                    (share >> 1).wrapping_add(word.wrapping_sub(pad.0 as u64)) & mask
                })
                .collect()
        };
        Ok(doubled.iter().zip(&words).map(halve).collect())
    }

    /// The shares of the sums that go with the garbler's drawn ones.
    ///
    /// # Errors
    /// When the session fails.
    pub fn align(
        &mut self,
        session: &mut Session,
        exact: Vec<Zeroizing<Vec<u64>>>,
    ) -> Result<Vec<Vec<u64>>, Error> {
        let modulus = &self.work.program.modulus;
        let align = |mut layer: Zeroizing<Vec<u64>>| {
            let rests = streams::receive_shares(&mut session.inbox, wire::HALVES, layer.len(), modulus)?;
            layer.iter_mut().zip(rests).for_each(|(share, rest)| *share = modulus.add(*share, rest));
            Ok(std::mem::take(&mut *layer))
        };
        exact.into_iter().map(align).collect()
    }

    /// Shares of products of this party's numbers and the garbler's, list by list.
    ///
    /// # Errors
    /// When the session fails.
    pub fn multiply(
        &mut self,
        session: &mut Session,
        jobs: &[Vec<Job>],
        numbers: &[Zeroizing<Vec<u64>>],
    ) -> Result<Vec<Zeroizing<Vec<u64>>>, Error> {
        let receiver = &mut self.receiver;
        let lists = || jobs.iter().zip(numbers);
        let send = |outbox: &mut Outbox| {
            let choose = |(jobs, numbers): (&Vec<Job>, &Zeroizing<Vec<u64>>)| {
                gilboa::choose((jobs, numbers), receiver, outbox)
            };
            lists().map(choose).collect::<Result<Vec<_>, Error>>()
        };
        let receive = |inbox: &mut Inbox| {
            jobs.iter().map(|jobs| gilboa::receive(jobs, inbox)).collect::<Result<Vec<_>, Error>>()
        };
        let (strings, frames) = both(session, send, receive)?;
        let shares = lists().zip(strings.iter().zip(&frames));
        Ok(shares
            .map(|((jobs, numbers), (strings, frames))| {
                Zeroizing::new(gilboa::shares((jobs, numbers), strings, frames))
            })
            .collect())
    }

    /// Transfers the labels of this party's bits, `choices` of each stage, while tables are received.
    ///
    /// # Errors
    /// When the session fails.
    pub fn material(
        &mut self,
        session: &mut Session,
        choices: &(dyn Fn(usize) -> Result<BitString, Error> + Sync),
        progress: &dyn Progress,
    ) -> Result<Vec<Material>, Error> {
        let (work, receiver) = (self.work, &mut self.receiver);
        let stages = || 0..work.program.stages.len();
        let send = |outbox: &mut Outbox| {
            let labels = |stage: usize| {
                let bits = choices(stage)?;
                debug_assert_eq!(bits.len(), work.transfers(stage));
                transfers::receive_chosen(receiver, outbox, bits.bytes(), bits.len())
            };
            stages().map(labels).collect::<Result<Vec<_>, Error>>()
        };
        let meter = session.meter.clone();
        let receive = |inbox: &mut Inbox| {
            let stored = |stage: usize| {
                meter.enter(Phase::Offline, &names(&work.program, stage).1);
                let material = store(work, stage, inbox);
                progress.report(stage as u64 + 1, work.program.stages.len() as u64);
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

/// Sends in a thread what depends on nothing that is received meanwhile.
pub fn both<S: Send, R>(
    session: &mut Session,
    send: impl FnOnce(&mut Outbox) -> Result<S, Error> + Send,
    receive: impl FnOnce(&mut Inbox) -> Result<R, Error>,
) -> Result<(S, R), Error> {
    let Session { outbox, inbox, .. } = session;
    outbox.pin();
    let joined = thread::scope(|scope| {
        let sending = scope.spawn(|| send(outbox));
        let received = receive(inbox);
        let sent = sending.join().unwrap_or_else(|_| Err(Error::Refused("a sending thread failed".into())));
        // What the peer said is the reason where both failed.
        let received = received?;
        Ok((sent?, received))
    });
    session.outbox.unpin();
    joined
}

/// Receives a stage's tables, corrections and colours.
fn store(work: &Work<'_>, stage: usize, inbox: &mut Inbox) -> Result<Material, Error> {
    let survey = &work.found.surveys[stage];
    let mut material = Material::default();
    material.tables = wire::receive_rows(inbox, wire::TABLES, survey.rows)?;
    for node in work.exports(stage) {
        let count = work.program.elements(node);
        material.shifts.push(streams::receive_shares(inbox, wire::SHIFTS, count, &work.program.modulus)?);
    }
    if work.garbler == Garbler::Server && survey.colours > 0 {
        let count = survey.colours;
        material.colours = unpack(&inbox.recv(wire::COLOURS, packed_length(count))?, count);
    }
    Ok(material)
}

/// The bits of a stage's shares in the order in which they enter its circuit, in the `form` of a party's.
pub fn entering<'s>(
    work: &Work<'_>,
    stage: usize,
    shares: impl Fn(NodeId) -> &'s [u64],
    form: impl Fn(u64) -> u64,
) -> BitString {
    let survey = &work.found.surveys[stage];
    let mut bits = BitString::with_capacity(survey.late);
    for entry in &survey.entries {
        let mut numbers = Zeroizing::new(entry.lanes.pick(shares(entry.node)));
        numbers.iter_mut().for_each(|number| *number = form(*number));
        push_bits(&mut bits, &numbers, entry.width);
    }
    debug_assert_eq!(bits.len(), survey.late);
    bits
}

/// The bits of the server's parameters in the order in which they enter a stage's circuit.
///
/// # Errors
/// If the stages do not fit the graph.
pub fn secrets(work: &Work<'_>, stage: usize, params: &Params, bits: &mut BitString) -> Result<(), Error> {
    run(&mut Counter::<Error>::default(), &work.program, stage, &mut Secrets { params, bits })
}

/// A walk that looks at parameters alone.
struct Secrets<'b> {
    params: &'b Params,
    bits: &'b mut BitString,
}

impl Party<Counter<Error>> for Secrets<'_> {
    fn enter(&mut self, g: &mut Counter<Error>, entry: &Entry) -> Result<[Word<CountedWires>; 2], Error> {
        let lanes = entry.lanes.len();
        let word = Word::from_wires(vec![g.input(lanes); entry.width as usize], lanes);
        Ok([word.clone(), word])
    }

    fn parameter(
        &mut self,
        g: &mut Counter<Error>,
        param: ParamId,
        indices: &[usize],
        width: u32,
    ) -> Result<Word<CountedWires>, Error> {
        let data = &self.params.tensors[param];
        for bit in 0..width {
            indices.iter().for_each(|index| self.bits.push(data.get(*index) >> bit.min(63) & 1 == 1));
        }
        Ok(Word::from_wires(vec![g.input(indices.len()); width as usize], indices.len()))
    }

    fn export(&mut self, _node: NodeId, _lanes: &Lanes, _shares: &[u64]) {}

    fn reveal(&mut self, _g: &mut Counter<Error>, _output: usize, _word: &Word<CountedWires>) {}
}

/// What an evaluated circuit shows.
pub type Shown = Vec<(usize, OutputWord)>;

/// Evaluates a stage's circuit with labels as they come. The evaluator's shares of what leaves it are put into `values`.
///
/// # Errors
/// When the session fails.
pub fn evaluate(
    work: &Work<'_>,
    (stage, start): (usize, [Block; 2]),
    (material, tables): (&Material, Tables<'_>),
    inbox: &mut Inbox,
    values: &mut [Vec<u64>],
) -> Result<Shown, Error> {
    let mut circuit = Evaluator::new(start_of(start[0], stage), tables);
    let (labels, secret) = material.labels.split_at(work.found.surveys[stage].late);
    let mut party = Online {
        program: &work.program,
        garbler: work.garbler,
        active: ActiveLabels::new(start_of(start[1], stage)),
        labels,
        secret,
        late: Late::new(work.found.surveys[stage].late, inbox),
        values,
        shown: Vec::new(),
    };
    run(&mut circuit, &work.program, stage, &mut party)?;
    let Online { shown, .. } = party;
    let modulus = &work.program.modulus;
    for (node, shifts) in work.exports(stage).into_iter().zip(&material.shifts) {
        let shift = |(value, shift): (&mut u64, &u64)| *value = modulus.add(*value, *shift);
        values[node].iter_mut().zip(shifts).for_each(shift);
    }
    if circuit.source().is_read() {
        Ok(shown)
    } else {
        Err(Error::malformed("garbled tables", "more rows than the circuit has"))
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
                if length == 0 {
                    return Err(Error::Refused("fewer labels than the circuit has inputs".into()));
                }
                self.frame.resize(length, Block::ZERO);
                self.inbox.recv_into(wire::LABELS, as_bytes_mut(&mut self.frame))?;
                (self.due, self.at) = (self.due - length, 0);
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
    garbler: Garbler,
    active: ActiveLabels,
    /// Transfers that are left: labels of a client's shares, or what makes labels of a server's.
    labels: &'b [Block],
    /// Labels of a server's parameters.
    secret: &'b [Block],
    late: Late<'b>,
    values: &'b mut [Vec<u64>],
    shown: Shown,
}

impl<'t> Party<Evaluator<Tables<'t>>> for Online<'_, '_> {
    fn enter(&mut self, g: &mut Evaluator<Tables<'t>>, entry: &Entry) -> Result<[Word<Labels>; 2], Error> {
        let (count, width) = (entry.lanes.len(), entry.width as usize);
        let own = next(&mut self.labels, count * width)?;
        let mut late = vec![Block::ZERO; count];
        let (mut servers, mut clients) = (Vec::with_capacity(width), Vec::with_capacity(width));
        for own in own.chunks(count.max(1)) {
            self.late.fill(&mut late)?;
            if self.garbler == Garbler::Server {
                clients.push(g.given(own));
            } else {
                late.iter_mut().zip(own).for_each(|(late, own)| *late ^= *own);
                clients.push(g.input(&mut self.active, count));
            }
            servers.push(g.given(&late));
        }
        Ok([Word::from_wires(servers, count), Word::from_wires(clients, count)])
    }

    fn parameter(
        &mut self,
        g: &mut Evaluator<Tables<'t>>,
        _param: ParamId,
        indices: &[usize],
        width: u32,
    ) -> Result<Word<Labels>, Error> {
        let count = indices.len();
        if self.garbler == Garbler::Client {
            let own = next(&mut self.secret, count * width as usize)?;
            return Ok(Word::from_wires(own.chunks(count.max(1)).map(|t| g.given(t)).collect(), count));
        }
        let wires = (0..width).map(|_| g.input(&mut self.active, count)).collect();
        Ok(Word::from_wires(wires, count))
    }

    fn export(&mut self, node: NodeId, lanes: &Lanes, shares: &[u64]) {
        let all = &mut self.values[node];
        all.resize(self.program.elements(node), 0);
        lanes.put(shares, all);
    }

    fn reveal(&mut self, g: &mut Evaluator<Tables<'t>>, output: usize, word: &Word<Labels>) {
        self.shown.push((output, OutputWord::of(word, |wire| g.colours(wire))));
    }
}
