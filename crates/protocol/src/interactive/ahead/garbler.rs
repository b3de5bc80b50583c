//! The garbler's half of both phases, whichever party that is. It keeps its seed alone.

use std::collections::HashMap;
use std::sync::mpsc::sync_channel;
use std::thread;

use garble::garbler::Garbler as Circuit;
use garble::labels::{ActiveLabels, Labels};
use garble::word::Word;
use kernel::block::{Block, as_bytes};
use kernel::prg::Prg;
use kernel::seed::Seed;
use model::fixed::{NodeId, ParamId, Params};
use ot::random::Pads;
use ot::softspoken::Sender;
use zeroize::Zeroizing;

use super::super::circuit::{Entry, Party, run};
use super::super::lanes::Lanes;
use super::super::program::Program;
use super::super::server::{bits, send};
use super::super::wire::{self, Frames};
use super::super::{names, transfers};
use super::Work;
use super::bundle::start;
use super::gilboa::{self, Job};
use super::state::State;
use super::streams::{self, BitString, mask, shares, start_of};
use crate::error::Error;
use crate::garbled::client::OutputWord;
use crate::meter::Phase;
use crate::session::{Inbox, Outbox, Progress, Session};

/// Frames of tables that wait to be sent while garbling goes on.
const AHEAD: usize = 8;

/// A garbler that makes a bundle.
pub struct Garbling<'b> {
    work: &'b Work<'b>,
    seed: &'b Seed,
    offset: Zeroizing<Block>,
    start: [Block; 2],
    sender: Sender,
}

/// What the garbler knows of its own inputs before.
#[derive(Clone, Copy)]
pub enum Own<'b> {
    /// The server: its parameters.
    Server(&'b Params),
    /// The client: its shares.
    Client(&'b State),
}

impl<'b> Garbling<'b> {
    /// Sets transfers up.
    ///
    /// # Errors
    /// When the session fails.
    pub fn begin(work: &'b Work<'b>, session: &mut Session, seed: &'b Seed) -> Result<Self, Error> {
        let (offset, start) = (offset(seed), start(seed));
        let setup = transfers::request(session, work.base, *offset, &seed.child("ahead/transfers", 0))?;
        session.outbox.send(wire::START, as_bytes(&start))?;
        session.outbox.flush()?;
        let sender = transfers::finish(session, work.base, setup)?;
        Ok(Self { work, seed, offset, start, sender })
    }

    /// From shares of twice the sums, or one more, to shares of the sums, this party's being [`sums`].
    ///
    /// # Errors
    /// When the session fails.
    pub fn halve(&mut self, session: &mut Session, doubled: &[Zeroizing<Vec<u64>>]) -> Result<(), Error> {
        let (program, first) = (&self.work.program, self.sender.position());
        let count = doubled.iter().map(|layer| layer.len()).sum();
        let q = Zeroizing::new(transfers::send(&mut self.sender, &mut session.inbox, count)?);
        let pads = Pads::new(self.sender.session());
        let (mut done, mask) = (0, mask(program.ring));
        for (id, doubled) in program.linear.iter().zip(doubled) {
            let wanted = sums(program, self.seed, *id);
            let q = &q[done..done + doubled.len()];
            let pads = Zeroizing::new(pads.of_sender(first + done as u64, *self.offset, q));
            let words: Vec<u64> = doubled
                .iter()
                .zip(wanted.iter())
                .zip(pads.iter())
                .flat_map(|((doubled, wanted), [zero, one])| {
                    let rest = wanted.wrapping_sub(doubled >> 1);
                    let other = rest.wrapping_sub(doubled & 1);
                    // The peer takes its pad off: its half, with the carry, less what this party's drawn share has too much.
                    [(zero.0 as u64).wrapping_sub(rest) & mask, (one.0 as u64).wrapping_sub(other) & mask]
                })
                .collect();
            streams::send(&mut session.outbox, wire::HALVES, &words, program.ring)?;
            done += doubled.len();
        }
        session.outbox.flush()
    }

    /// From shares of the sums that follow from replies to this party's drawn ones ([`sums`]): the peer is told what they differ by.
    ///
    /// # Errors
    /// When the session fails.
    pub fn align(&mut self, session: &mut Session, exact: &[Zeroizing<Vec<u64>>]) -> Result<(), Error> {
        let program = &self.work.program;
        for (id, exact) in program.linear.iter().zip(exact) {
            let wanted = sums(program, self.seed, *id);
            let rest = |(exact, wanted): (&u64, &u64)| program.modulus.sub(*exact, *wanted);
            let rests: Vec<u64> = exact.iter().zip(wanted.iter()).map(rest).collect();
            streams::send_shares(&mut session.outbox, wire::HALVES, &rests, &program.modulus)?;
        }
        session.outbox.flush()
    }

    /// Products of this party's numbers and the peer's, its own shares being `drawn`.
    ///
    /// # Errors
    /// When the session fails.
    pub fn multiply(
        &mut self,
        session: &mut Session,
        jobs: &[Job],
        (numbers, drawn): (&[u64], &[u64]),
    ) -> Result<(), Error> {
        let Session { outbox, inbox, .. } = session;
        gilboa::send((jobs, numbers, drawn), &mut self.sender, (inbox, outbox))
    }

    /// Garbles all stages while a thread sends. Gives the colours of the results' zero-labels where the peer does not get them.
    ///
    /// # Errors
    /// When the session fails.
    pub fn material(
        &mut self,
        session: &mut Session,
        own: Own<'_>,
        progress: &dyn Progress,
    ) -> Result<Vec<bool>, Error> {
        let Session { outbox, inbox, meter, .. } = session;
        let (queue, frames) = sync_channel(AHEAD);
        let (mut colours, total) = (Vec::new(), self.work.program.stages.len());
        thread::scope(|scope| {
            let sending = scope.spawn(move || send(outbox, frames));
            let mut sink = Frames::default();
            sink.open(queue);
            let made = (0..total).try_for_each(|stage| {
                meter.enter(Phase::Offline, &names(&self.work.program, stage).1);
                sink = self.garble(stage, (std::mem::take(&mut sink), inbox), own, &mut colours)?;
                progress.report(stage as u64 + 1, total as u64);
                Ok::<(), Error>(())
            });
            let closed = sink.close();
            drop(sink);
            let joined = sending.join();
            let sent =
                joined.unwrap_or_else(|_| Err(Error::Refused("a thread of the garbler failed".into())));
            // Garbling only starved where sending failed, whose reason is the one to tell.
            sent?;
            made?;
            closed
        })?;
        Ok(colours)
    }

    /// One stage's tables, corrections and colours.
    fn garble(
        &mut self,
        stage: usize,
        (sink, inbox): (Frames, &mut Inbox),
        own: Own<'_>,
        kept: &mut Vec<bool>,
    ) -> Result<Frames, Error> {
        let (work, survey) = (self.work, &self.work.found.surveys[stage]);
        let program = &work.program;
        let q = transfers::send(&mut self.sender, inbox, work.transfers(stage))?;
        let q = Zeroizing::new(q);
        let (q, secret) = q.split_at(survey.late);
        let mut circuit = Circuit::new(*self.offset, start_of(self.start[0], stage), sink);
        let mut party = Offline {
            program,
            own,
            active: ActiveLabels::new(start_of(self.start[1], stage)),
            fresh: late(self.seed, stage),
            q,
            secret,
            exports: HashMap::new(),
            revealed: Vec::new(),
        };
        run(&mut circuit, program, stage, &mut party)?;
        let Offline { exports, revealed, .. } = party;
        circuit.sink().flush()?;
        for node in work.exports(stage) {
            let missing = || Error::Refused("a tensor did not leave its circuit".into());
            let shares = Zeroizing::new(exports.get(&node).cloned().ok_or_else(missing)?);
            let wanted = match own {
                Own::Server(_) => shares_of(program, self.seed, node),
                Own::Client(_) => masks_of(program, self.seed, node),
            };
            let shift = |(share, wanted): (&u64, &u64)| program.modulus.sub(*share, *wanted);
            let shifts: Vec<u64> = shares.iter().zip(wanted.iter()).map(shift).collect();
            circuit.sink().numbers(shifts, program.modulus.bits())?;
        }
        let colours: Vec<bool> = revealed.iter().flat_map(OutputWord::colours).collect();
        match own {
            Own::Server(_) if survey.colours > 0 => circuit.sink().colours(&colours)?,
            Own::Server(_) => {}
            Own::Client(_) => kept.extend(colours),
        }
        Ok(std::mem::take(circuit.sink()))
    }
}

/// The offset of a bundle's labels.
pub fn offset(seed: &Seed) -> Zeroizing<Block> {
    Zeroizing::new(seed.block("ahead/offset", 0).with_lsb())
}

/// The garbler's shares of a linear layer's sums.
pub fn sums(program: &Program<'_>, seed: &Seed, node: NodeId) -> Zeroizing<Vec<u64>> {
    shares(seed, "ahead/sums", node, program.elements(node), &program.modulus)
}

/// A server's shares of what leaves a circuit that it garbles.
pub fn shares_of(program: &Program<'_>, seed: &Seed, node: NodeId) -> Zeroizing<Vec<u64>> {
    shares(seed, "ahead/shares", node, program.elements(node), &program.modulus)
}

/// The client's mask of a tensor.
pub fn masks_of(program: &Program<'_>, seed: &Seed, node: NodeId) -> Zeroizing<Vec<u64>> {
    shares(seed, "ahead/mask", node, program.elements(node), &program.modulus)
}

/// What makes the labels of the server's late numbers in a stage: the zero-labels themselves, or, where the server evaluates, what they
/// differ by from the outputs of transfers.
fn late(seed: &Seed, stage: usize) -> Prg {
    Prg::new(&seed.child("ahead/late", stage as u64))
}

/// Sends the labels of late bits: the server's numbers, in the order in which they enter the circuit, or, where the server evaluates, what
/// these differ by from the bits of its transfers. Once for each bundle and stage.
///
/// # Errors
/// When the session fails.
pub fn labels(
    (seed, offset): (&Seed, Block),
    stage: usize,
    bits: &BitString,
    outbox: &mut Outbox,
) -> Result<(), Error> {
    let mut fresh = late(seed, stage);
    let mut frame = Zeroizing::new(vec![Block::ZERO; bits.len().min(wire::FRAME_ROWS)]);
    for from in (0..bits.len()).step_by(wire::FRAME_ROWS) {
        let count = (bits.len() - from).min(wire::FRAME_ROWS);
        fresh.fill_blocks(&mut frame[..count]);
        for (at, label) in frame[..count].iter_mut().enumerate() {
            *label ^= offset.and_bit(bits.get(from + at));
        }
        outbox.send(wire::LABELS, as_bytes(&frame[..count]))?;
    }
    Ok(())
}

/// The garbler's side of a circuit.
struct Offline<'b, 'a> {
    program: &'b Program<'a>,
    own: Own<'b>,
    active: ActiveLabels,
    fresh: Prg,
    /// The transfers of numbers that are left.
    q: &'b [Block],
    /// Those of parameters.
    secret: &'b [Block],
    exports: HashMap<NodeId, Vec<u64>>,
    revealed: Vec<OutputWord>,
}

/// The next of some transfers.
pub fn next<'b>(of: &mut &'b [Block], count: usize) -> Result<&'b [Block], Error> {
    let short = || Error::Refused("fewer transfers than the circuit has inputs".into());
    let (now, rest) = of.split_at_checked(count).ok_or_else(short)?;
    *of = rest;
    Ok(now)
}

impl Party<Circuit<Frames>> for Offline<'_, '_> {
    fn enter(&mut self, g: &mut Circuit<Frames>, entry: &Entry) -> Result<[Word<Labels>; 2], Error> {
        let (count, width) = (entry.lanes.len(), entry.width as usize);
        let q = next(&mut self.q, count * width)?;
        let chunks = q.chunks(count.max(1));
        let (servers, clients) = match self.own {
            Own::Server(_) => {
                let servers = (0..width).map(|_| g.fresh(&mut self.fresh, count)).collect();
                (servers, chunks.map(|labels| g.given(labels)).collect())
            }
            Own::Client(state) => {
                // Never the outputs themselves: a correction would be answered by the offset.
                let mut zeros = Zeroizing::new(vec![Block::ZERO; count]);
                let servers = chunks
                    .map(|q| {
                        self.fresh.fill_blocks(&mut zeros);
                        zeros.iter_mut().zip(q).for_each(|(zero, q)| *zero ^= *q);
                        g.given(&zeros)
                    })
                    .collect();
                let values = Zeroizing::new(entry.lanes.pick(state.of(self.program, entry.node)));
                let own = (0..entry.width).map(|bit| g.input(&mut self.active, &bits(&values, bit)));
                (servers, own.collect())
            }
        };
        Ok([Word::from_wires(servers, count), Word::from_wires(clients, count)])
    }

    fn parameter(
        &mut self,
        g: &mut Circuit<Frames>,
        param: ParamId,
        indices: &[usize],
        width: u32,
    ) -> Result<Word<Labels>, Error> {
        let count = indices.len();
        let Own::Server(params) = self.own else {
            let q = next(&mut self.secret, count * width as usize)?;
            return Ok(Word::from_wires(q.chunks(count.max(1)).map(|q| g.given(q)).collect(), count));
        };
        let data = &params.tensors[param];
        let values = Zeroizing::new(indices.iter().map(|index| data.get(*index) as u64).collect::<Vec<_>>());
        let wires = (0..width).map(|bit| g.input(&mut self.active, &bits(&values, bit.min(63)))).collect();
        Ok(Word::from_wires(wires, count))
    }

    fn export(&mut self, node: NodeId, lanes: &Lanes, shares: &[u64]) {
        let count = self.program.elements(node);
        lanes.put(shares, self.exports.entry(node).or_insert_with(|| vec![0; count]));
    }

    fn reveal(&mut self, g: &mut Circuit<Frames>, _output: usize, word: &Word<Labels>) {
        self.revealed.push(OutputWord::of(word, |wire| g.colours(wire)));
    }
}
