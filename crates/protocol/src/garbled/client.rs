//! The client's half: it garbles, and decodes the result.

use std::ops::Range;

use garble::garbler::Garbler;
use garble::labels::{ActiveLabels, Labels};
use garble::word::{Bit, Word};
use kernel::block::Block;
use kernel::seed::Seed;
use model::fixed::{FixedGraph, Node, ParamId};
use ot::softspoken::{ExtendMessage, Sender, SenderSetup, SetupReply, Width, message_len};
use zeroize::{Zeroize, Zeroizing};

use super::schedule::{Price, circuit};
use super::shared::{join, widths};
use super::spill::spill;
use super::split::Split;
use super::transfers::{Chunk, Reader, chunks};
use super::walk::{Observer, walk};
use super::weights::{Encoding, Weights};
use super::wire::{self, Account, Start, TableWriter};
use super::{FirstLayer, Options, Progress, check, inputs, products};
use crate::error::Error;
use crate::frame::Length;
use crate::handshake::Reveal;
use crate::meter::{Meter, Phase};
use crate::session::{Inbox, Session};

/// A private prediction: `input` holds the integers of each of the plan's inputs in row-major order; the result has the
/// integers of each output, or, for [`Reveal::Label`], the index of the largest value of the first output alone.
///
/// The plan has been validated; [`check`] bounds what it may ask for. All secrets derive from `seed`, which must be fresh.
///
/// # Errors
/// When the plan is too large, the input does not fit it, or the session fails.
pub fn predict(
    plan: &FixedGraph,
    options: Options,
    input: &[Vec<i64>],
    reveal: Reveal,
    session: &mut Session,
    seed: &Seed,
    progress: &dyn Progress,
) -> Result<Vec<Vec<i64>>, Error> {
    check(plan, reveal, options.first_layer)?;
    check_input(plan, input)?;
    let split = Split::agreed(plan, options);
    let Price { transfers, table_bytes, .. } = circuit(plan, &split, reveal);
    progress.expect(table_bytes);
    let (mut sender, offset) = set_up(session, options, seed)?;
    let shares = products(plan, &split, input, session, &mut sender)?;
    session.meter.enter(Phase::Online, "input");
    let secrets = Secrets { input, shares: &shares, offset, seed };
    let account = Account { progress, total: table_bytes };
    let zeros = garble((plan, &split), reveal, session, (sender, transfers), &secrets, account)?;
    session.meter.enter(Phase::Online, "result");
    let outputs = decode(&zeros, session)?;
    check_label(plan, reveal, &outputs)?;
    Ok(outputs)
}

/// Garbles a prediction of which this party, a proxy, has a share of the input alone ([`super::shared`]); returns what decodes the
/// outputs' colours, output by output, bit by bit. All secrets derive from `seed`, which must be fresh.
///
/// # Errors
/// When the plan is too large or is not one for a proxy, or the session fails.
pub fn garble_shared(
    plan: &FixedGraph,
    options: Options,
    share: &[Vec<i64>],
    reveal: Reveal,
    session: &mut Session,
    seed: &Seed,
    progress: &dyn Progress,
) -> Result<Zeroizing<Vec<bool>>, Error> {
    let split = Split::agreed(plan, options);
    check(plan, reveal, FirstLayer::Garbled)?;
    if !split.shared {
        return Err(Error::Refused("the plan is not one for a proxy".into()));
    }
    let (sender, offset) = set_up(session, options, seed)?;
    let Price { transfers, table_bytes, .. } = circuit(plan, &split, reveal);
    session.meter.enter(Phase::Online, "input");
    let secrets = Secrets { input: share, shares: &[], offset, seed };
    let account = Account { progress, total: table_bytes };
    let zeros = garble((plan, &split), reveal, session, (sender, transfers), &secrets, account)?;
    Ok(dense(&zeros, plan, reveal, true))
}

/// All bits of the outputs, public ones included, at the widths that a proxy's client expects: on the garbler's side public bits stand as
/// they are, on the evaluator's as zeros.
pub(super) fn dense(
    zeros: &[OutputWord],
    plan: &FixedGraph,
    reveal: Reveal,
    garbler: bool,
) -> Zeroizing<Vec<bool>> {
    let words = zeros.iter().zip(widths(plan, reveal));
    let mut all =
        Zeroizing::new(Vec::with_capacity(words.clone().map(|(_, (bits, lanes))| bits * lanes).sum()));
    words.for_each(|(word, (bits, lanes))| word.dense(bits, lanes, garbler, &mut all));
    all
}

/// This party's shares of the layers that are computed by transfers.
fn products(
    plan: &FixedGraph,
    split: &Split,
    input: &[Vec<i64>],
    session: &mut Session,
    sender: &mut Sender,
) -> Result<Vec<Zeroizing<Vec<u64>>>, Error> {
    let operands = split.operands(plan, input)?;
    let Session { outbox, inbox, meter } = session;
    let each = split.products.iter().zip(&operands);
    each.map(|(product, operand)| {
        meter.enter(Phase::Online, &plan.nodes[product.node].name);
        products::client(product, operand, sender, (inbox, outbox))
    })
    .collect()
}

pub(super) fn check_input(plan: &FixedGraph, input: &[Vec<i64>]) -> Result<(), Error> {
    let fits = input.len() == plan.inputs.len()
        && inputs::shapes(plan).zip(input).all(|((bits, lanes), values)| {
            let bound = 1i64 << (bits - 1).min(62);
            values.len() == lanes && values.iter().all(|value| (-bound..bound).contains(value))
        });
    if fits {
        Ok(())
    } else {
        Err(Error::Refused("the input does not have the plan's shape and range".into()))
    }
}

/// The server's colours can be made to say any index: one that no class has is refused.
pub(super) fn check_label(plan: &FixedGraph, reveal: Reveal, outputs: &[Vec<i64>]) -> Result<(), Error> {
    let classes =
        plan.outputs.first().map_or(0, |output| plan.nodes[output.node].shape.iter().product::<usize>());
    let index = outputs.first().and_then(|output| output.first());
    match (reveal, index) {
        (Reveal::Label, Some(index)) if !usize::try_from(*index).is_ok_and(|index| index < classes) => {
            Err(Error::malformed("outputs' colours", format!("class {index} of {classes}")))
        }
        _ => Ok(()),
    }
}

/// What only the garbler knows.
struct Secrets<'a> {
    input: &'a [Vec<i64>],
    shares: &'a [Zeroizing<Vec<u64>>],
    offset: Zeroizing<Block>,
    seed: &'a Seed,
}

/// Base transfers: this party chooses by the bits of its offset.
fn set_up(session: &mut Session, options: Options, seed: &Seed) -> Result<(Sender, Zeroizing<Block>), Error> {
    let suite = options.base_ot.suite();
    let offset = Zeroizing::new(seed.block("garbled/offset", 0).with_lsb());
    let (setup, request) =
        SenderSetup::with(suite, Width::DEFAULT, *offset, &seed.child("garbled/transfers", 0));
    session.outbox.send(wire::REQUEST, &request.encode())?;
    session.outbox.flush()?;
    let reply =
        session.inbox.recv(wire::REPLY, Length::Exactly(SetupReply::encoded_len(suite, Width::DEFAULT)))?;
    Ok((setup.finish(&SetupReply::decode(&reply)?)?, offset))
}

/// Garbles the network and streams it; returns the zero-labels of the outputs.
fn garble(
    (plan, split): (&FixedGraph, &Split),
    reveal: Reveal,
    session: &mut Session,
    (sender, transfers): (Sender, u64),
    secrets: &Secrets,
    account: Account<'_>,
) -> Result<Vec<OutputWord>, Error> {
    let Session { outbox, inbox, meter } = session;
    let Secrets { input, shares, offset, seed } = secrets;
    let start = Start { hash: seed.block("garbled/start", 0), input: seed.block("garbled/input", 0) };
    outbox.send(wire::START, &start.encode())?;
    let mut gates = Garbler::new(**offset, start.hash, TableWriter::new(outbox, account)).spilling(spill()?);
    let mut active = ActiveLabels::new(start.input);
    let words = inputs::words((plan, split), |index, bit, _| {
        let bits = input[index].iter().map(|value| value >> bit & 1 == 1);
        gates.input(&mut active, &Zeroizing::new(bits.collect::<Vec<bool>>()))
    });
    let reader = Reader::new(extensions(inbox, sender, transfers));
    let mut weights = Transfers { reader, active, shares };
    let mut observer = Watch { meter, progress: account.progress };
    let words = join(&mut gates, &mut weights, (plan, split), words)?;
    let outputs = walk(&mut gates, (plan, split), words, &mut weights, reveal, &mut observer)?;
    let zeros = outputs.iter().map(|word| OutputWord::of(word, |wire| gates.colours(wire))).collect();
    gates.check()?;
    gates.sink().flush()?;
    account.progress.report(account.total, account.total);
    Ok(zeros)
}

/// Receives extension messages, a chunk each time.
fn extensions(
    inbox: &mut Inbox,
    mut sender: Sender,
    total: u64,
) -> impl FnMut() -> Result<Chunk, Error> + use<'_> {
    let mut left = chunks(total);
    move || {
        let Some(count) = left.next() else { return Ok(Chunk::default()) };
        let message = inbox.recv(wire::EXTENSION, Length::Exactly(message_len(count)))?;
        let labels = sender.extend(&ExtendMessage::decode(&message)?, count)?;
        Ok(Chunk { labels, bits: Vec::new() })
    }
}

struct Transfers<'a, F> {
    reader: Reader<F>,
    active: ActiveLabels,
    shares: &'a [Zeroizing<Vec<u64>>],
}

impl<F: FnMut() -> Result<Chunk, Error>> Weights<Garbler<TableWriter<'_>>> for Transfers<'_, F> {
    fn load(
        &mut self,
        gates: &mut Garbler<TableWriter<'_>>,
        _param: ParamId,
        indices: &[usize],
        encoding: Encoding,
    ) -> Result<Vec<Labels>, Error> {
        let count = indices.len();
        let wire = |_| {
            if self.reader.lacks(count) {
                // The server may need these tables before it gets to send what this side waits for.
                gates.sink().flush()?;
            }
            Ok(gates.known(&self.reader.take(count)?.labels))
        };
        (0..encoding.wires()).map(wire).collect()
    }

    fn garblers_share(
        &mut self,
        gates: &mut Garbler<TableWriter<'_>>,
        product: usize,
        lanes: Range<usize>,
        bits: u32,
    ) -> Result<Vec<Labels>, Error> {
        let shares = &self.shares[product][lanes];
        let wire = |bit| {
            let bits = shares.iter().map(|share| share >> bit & 1 == 1);
            gates.input(&mut self.active, &Zeroizing::new(bits.collect::<Vec<bool>>()))
        };
        Ok((0..bits).map(wire).collect())
    }
}

/// Accounts to layers and reports progress.
struct Watch<'a> {
    meter: &'a Meter,
    progress: &'a dyn Progress,
}

impl<G> Observer<G> for Watch<'_> {
    fn node(&mut self, _gates: &G, node: &Node) {
        self.meter.enter(Phase::Online, &node.name);
        self.progress.layer(&node.name);
    }
}

/// What the garbler needs to decode a word: for each bit either its public value or the zero-labels' colours.
///
/// Erased on drop.
#[derive(Clone, Debug)]
pub struct OutputWord {
    bits: Vec<Bit<Vec<bool>>>,
    lanes: usize,
}

impl Drop for OutputWord {
    fn drop(&mut self) {
        for bit in &mut self.bits {
            if let Bit::Wire(colours) = bit {
                colours.zeroize();
            }
        }
    }
}

impl OutputWord {
    /// A word's bits, wires mapped to the colours of their labels.
    pub fn of<W>(word: &Word<W>, mut colours: impl FnMut(&W) -> Vec<bool>) -> Self {
        let bits = word.bits().iter().map(|bit| match bit {
            Bit::Public(value) => Bit::Public(*value),
            Bit::Wire(wire) => Bit::Wire(colours(wire)),
        });
        Self { bits: bits.collect(), lanes: word.lanes() }
    }

    /// The colours of its wires, one after the other.
    pub fn colours(&self) -> impl Iterator<Item = bool> + '_ {
        self.bits
            .iter()
            .filter_map(|bit| if let Bit::Wire(bits) = bit { Some(bits) } else { None })
            .flatten()
            .copied()
    }

    /// The colours of the low `bits` bits of `lanes` lanes, the last bit being the sign.
    fn dense(&self, bits: usize, lanes: usize, garbler: bool, dense: &mut Vec<bool>) {
        for place in 0..bits {
            match self.bits.get(place).or(self.bits.last()) {
                Some(Bit::Wire(colours)) => dense.extend_from_slice(colours),
                Some(Bit::Public(value)) => dense.extend(std::iter::repeat_n(*value && garbler, lanes)),
                None => dense.extend(std::iter::repeat_n(false, lanes)),
            }
        }
    }

    /// The signed values, where `mask` gives the other party's colours in the same order.
    pub(crate) fn values(&self, mask: &mut impl Iterator<Item = bool>) -> Vec<i64> {
        let mut values = vec![0i64; self.lanes];
        for (place, bit) in self.bits.iter().enumerate() {
            for (lane, value) in values.iter_mut().enumerate() {
                let bit = match bit {
                    Bit::Public(value) => *value,
                    Bit::Wire(colours) => colours[lane] ^ mask.next().unwrap_or_default(),
                };
                // The last bit is the sign: it fills all higher places.
                let weight = if place + 1 == self.bits.len() { -1i64 << place } else { 1i64 << place };
                *value |= weight & -i64::from(bit);
            }
        }
        values
    }
}

/// Receives the server's colours and decodes the outputs.
fn decode(zeros: &[OutputWord], session: &mut Session) -> Result<Vec<Vec<i64>>, Error> {
    let count = zeros.iter().flat_map(OutputWord::colours).count();
    let packed = session.inbox.recv(wire::COLOURS, wire::packed_length(count))?;
    let colours = Zeroizing::new(wire::unpack(&packed, count));
    let mut mask = colours.iter().copied();
    Ok(zeros.iter().map(|word| word.values(&mut mask)).collect())
}

#[cfg(test)]
mod tests {
    use model::fixed::{Format, NumberFormat, Op, Output, Post};

    use super::*;

    #[test]
    fn a_label_that_no_class_has_is_refused() {
        let node = Node {
            name: "x".into(),
            op: Op::Input,
            inputs: vec![],
            shape: vec![1, 10],
            format: Format { bits: 16, frac: 0 },
        };
        let plan = FixedGraph {
            number: NumberFormat::Word16,
            nodes: vec![node],
            params: vec![],
            inputs: vec![0],
            input_levels: Vec::new(),
            result_bits: Vec::new(),
            outputs: vec![Output { name: "x".into(), node: 0, post: Post::None }],
        };
        for (index, fits) in [(0, true), (9, true), (10, false), (15, false), (-1, false)] {
            assert_eq!(check_label(&plan, Reveal::Label, &[vec![index]]).is_ok(), fits, "{index}");
            assert!(check_label(&plan, Reveal::Scores, &[vec![index; 10]]).is_ok());
        }
    }
}
