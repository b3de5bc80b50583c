//! Predictions for a client that does not garble: it shares its input between a proxy, which garbles, and the server, which evaluates,
//! and puts the result together (DeepSecure's constrained clients).
//!
//! Each share alone is uniform. The circuit begins with the XOR of the shares, which is free; the server's share comes with the weights'
//! transfers. The server sends the outputs' colours and the proxy what decodes them to the client, neither to the other.
//!
//! ```text
//! client --- share ---> proxy                 client --- share ---> server
//!                       proxy  --- garbled circuit ---------------> server
//! client <-- progress - proxy
//! client <-- decoding - proxy                 client <-- colours -- server
//! ```

use std::sync::{Mutex, PoisonError};

use garble::gadgets;
use garble::gates::Gates;
use garble::word::{Bit, Word};
use kernel::prg::Prg;
use kernel::seed::Seed;
use model::fixed::FixedGraph;
use zeroize::Zeroizing;

use super::elementwise::in_tiles;
use super::limits::table_bytes;
use super::split::Split;
use super::weights::{Encoding, Weights};
use super::{FirstLayer, check, client, inputs, wire};
use crate::error::Error;
use crate::frame::Length;
use crate::handshake::Reveal;
use crate::meter::Phase;
use crate::session::{Inbox, Outbox, Progress, Session};

/// Bits of a class's index, where the label alone is revealed.
const LABEL_BITS: usize = 32;

/// The client's part: shares the input, and puts the result together. The sessions with server and proxy have agreed on `plan`.
///
/// # Errors
/// When the input does not fit the plan, or a session fails.
pub fn predict(
    plan: &FixedGraph,
    input: &[Vec<i64>],
    reveal: Reveal,
    (server, proxy): (&mut Session, &mut Session),
    seed: &Seed,
    progress: &dyn Progress,
) -> Result<Vec<Vec<i64>>, Error> {
    check(plan, reveal, FirstLayer::Garbled)?;
    client::check_input(plan, input)?;
    server.meter.enter(Phase::Online, "input");
    let count = inputs::shapes(plan).map(|(bits, lanes)| bits * lanes).sum();
    let mut mask = Zeroizing::new(vec![0; usize::div_ceil(count, 8)]);
    Prg::new(&seed.child("garbled/share", 0)).fill_bytes(&mut mask);
    let mask = Zeroizing::new(wire::unpack(&mask, count));
    let mut other = Zeroizing::new(Vec::with_capacity(count));
    other.extend(bits_of(plan, input).zip(mask.iter()).map(|(bit, mask)| bit ^ mask));
    for (session, share) in [(&mut *server, mask), (&mut *proxy, other)] {
        session.outbox.send(wire::INPUT, &Zeroizing::new(wire::pack(&share)))?;
        session.outbox.flush()?;
    }
    server.meter.enter(Phase::Online, "result");
    let widths = widths(plan, reveal);
    let count = widths.iter().map(|(bits, lanes)| bits * lanes).sum();
    let decoding = Zeroizing::new(wire::unpack(&receive_decoding(plan, proxy, count, progress)?, count));
    let packed = Zeroizing::new(server.inbox.recv(wire::COLOURS, wire::packed_length(count))?);
    let colours = Zeroizing::new(wire::unpack(&packed, count));
    let mut result = decoding.iter().zip(colours.iter()).map(|(decoding, colour)| decoding ^ colour);
    let outputs: Vec<Vec<i64>> =
        widths.iter().map(|(bits, lanes)| numbers(*bits, *lanes, &mut result)).collect();
    client::check_label(plan, reveal, &outputs)?;
    Ok(outputs)
}

/// Waits for what decodes the outputs' colours, as long as the proxy says that it goes on.
fn receive_decoding(
    plan: &FixedGraph,
    proxy: &mut Session,
    count: usize,
    progress: &dyn Progress,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    // Not less than an honest proxy says: the estimate is within a factor of four.
    let expected = table_bytes(plan, &Split::default());
    let most = (expected / BEAT_BYTES).saturating_mul(4).saturating_add(16);
    let due = [(wire::BEAT, Length::Exactly(0)), (wire::DECODING, wire::packed_length(count))];
    for beats in 1..=most {
        let (tag, frame) = proxy.inbox.recv_one_of(&due)?;
        if tag == wire::DECODING {
            progress.report(1, 1);
            return Ok(Zeroizing::new(frame));
        }
        progress.report((beats * BEAT_BYTES).min(expected), expected.max(1));
    }
    Err(Error::malformed("progress", "the proxy says that it goes on for longer than the network can take"))
}

/// Bytes of tables after which the proxy tells the client that it goes on: well below what the slowest line carries in the time that a
/// client waits for a frame.
const BEAT_BYTES: u64 = 1 << 21;

/// Tells a proxy's client, each time so many bytes of tables have gone to the server, that the prediction goes on.
pub struct Beats<'a> {
    /// Where to, frames sent, and why no more are.
    state: Mutex<(&'a mut Outbox, u64, Option<Error>)>,
}

impl<'a> Beats<'a> {
    /// Before the first table.
    pub fn new(outbox: &'a mut Outbox) -> Self {
        Self { state: Mutex::new((outbox, 0, None)) }
    }

    /// Whether all could be sent.
    ///
    /// # Errors
    /// When the client has left.
    pub fn finish(self) -> Result<(), Error> {
        let (_, _, error) = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        error.map_or(Ok(()), Err)
    }
}

impl Progress for Beats<'_> {
    fn report(&self, done: u64, _total: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (outbox, sent, error) = &mut *state;
        while error.is_none() && *sent < done / BEAT_BYTES {
            *error = outbox.send(wire::BEAT, &[]).and_then(|()| outbox.flush()).err();
            *sent += 1;
        }
    }
}

/// Sends the client what decodes the outputs' colours.
///
/// # Errors
/// When the session fails.
pub fn send_decoding(outbox: &mut Outbox, decoding: &[bool]) -> Result<(), Error> {
    outbox.send(wire::DECODING, &Zeroizing::new(wire::pack(decoding)))
}

/// Sends the client the outputs' colours.
///
/// # Errors
/// When the session fails.
pub fn send_colours(outbox: &mut Outbox, colours: &[bool]) -> Result<(), Error> {
    outbox.send(wire::COLOURS, &wire::pack(colours))?;
    outbox.flush()
}

/// Receives a share of the input: for each input of the plan its elements' low bits.
///
/// # Errors
/// When the session fails.
pub fn receive_share(plan: &FixedGraph, inbox: &mut Inbox) -> Result<Zeroizing<Vec<Vec<i64>>>, Error> {
    let count = inputs::shapes(plan).map(|(bits, lanes)| bits * lanes).sum();
    let packed = Zeroizing::new(inbox.recv(wire::INPUT, wire::packed_length(count))?);
    let bits = Zeroizing::new(wire::unpack(&packed, count));
    let mut bits = bits.iter().copied();
    let shapes: Vec<(usize, usize)> = inputs::shapes(plan).collect();
    let values = shapes.into_iter().map(|(width, lanes)| {
        let mut values = vec![0i64; lanes];
        for place in 0..width {
            for value in &mut values {
                *value |= i64::from(bits.next().unwrap_or_default()) << place;
            }
        }
        values
    });
    Ok(Zeroizing::new(values.collect()))
}

/// The bits of the inputs: input by input, bit by bit, one an element.
fn bits_of<'a>(plan: &'a FixedGraph, input: &'a [Vec<i64>]) -> impl Iterator<Item = bool> + 'a {
    inputs::shapes(plan).zip(input).flat_map(|((bits, _), values)| {
        (0..bits).flat_map(move |bit| values.iter().map(move |value| value >> bit & 1 == 1))
    })
}

/// Width and number of elements of each output, as it is sent.
pub fn widths(plan: &FixedGraph, reveal: Reveal) -> Vec<(usize, usize)> {
    match reveal {
        Reveal::Label => vec![(LABEL_BITS, 1)],
        Reveal::Scores => {
            let nodes = plan.outputs.iter().filter_map(|output| plan.nodes.get(output.node));
            nodes.map(|node| (node.format.bits as usize, node.shape.iter().product())).collect()
        }
    }
}

/// Signed numbers from their bits, bit by bit, one lane an element.
fn numbers(bits: usize, lanes: usize, next: &mut impl Iterator<Item = bool>) -> Vec<i64> {
    let mut numbers = vec![0i64; lanes];
    for place in 0..bits {
        let weight = if place + 1 == bits { -1i64 << place } else { 1i64 << place };
        for number in &mut numbers {
            *number |= weight & -i64::from(next.next().unwrap_or_default());
        }
    }
    numbers
}

/// The inputs of a circuit whose garbler and evaluator have a share each: the XOR of the garbler's words and the evaluator's, which
/// stand behind the plan's parameters.
///
/// # Errors
/// When the supply of the evaluator's labels fails.
pub fn join<G: Gates, W: Weights<G>>(
    gates: &mut G,
    weights: &mut W,
    (plan, split): (&FixedGraph, &Split),
    mut words: Vec<Word<G::Wires>>,
) -> Result<Vec<Word<G::Wires>>, G::Error> {
    if !split.shared {
        return Ok(words);
    }
    for (input, word) in words.iter_mut().enumerate() {
        let encoding = Encoding::Plain { bits: word.width() as u32 };
        *word = in_tiles(gates, word.lanes(), |gates, lanes| {
            let indices: Vec<usize> = lanes.clone().collect();
            let other = weights.load(gates, plan.params.len() + input, &indices, encoding)?;
            let mine = gadgets::gather(gates, word, &lanes.map(|lane| lane as u32).collect::<Vec<_>>());
            let bits = mine.bits().iter().zip(&other).map(|(bit, other)| {
                let other = Bit::Wire(gates.forget(other));
                bit.xor(gates, &other)
            });
            Ok(Word::new(bits.collect(), mine.lanes()))
        })?;
    }
    Ok(words)
}
