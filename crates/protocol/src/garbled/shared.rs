//! Predictions for a client that does not garble: it shares its input between a proxy, which garbles, and the server, which evaluates,
//! and puts the result together (DeepSecure's constrained clients).
//!
//! Each share alone is uniform. The circuit begins with the XOR of the shares, which is free; the server's share comes with the weights'
//! transfers. The server sends the outputs' colours and the proxy what decodes them to the client, neither to the other.
//!
//! ```text
//! client --- share ---> proxy                 client --- share ---> server
//!                       proxy  --- garbled circuit ---------------> server
//! client <-- decoding - proxy                 client <-- colours -- server
//! ```

use garble::gates::Gates;
use garble::word::{Bit, Word};
use kernel::prg::Prg;
use kernel::seed::Seed;
use model::fixed::FixedGraph;
use zeroize::Zeroizing;

use super::split::Split;
use super::weights::{Encoding, Weights};
use super::{FirstLayer, check, client, inputs, wire};
use crate::error::Error;
use crate::handshake::Reveal;
use crate::meter::Phase;
use crate::session::{Inbox, Outbox, Session};

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
) -> Result<Vec<Vec<i64>>, Error> {
    check(plan, reveal, FirstLayer::Garbled)?;
    client::check_input(plan, input)?;
    server.meter.enter(Phase::Online, "input");
    let bits: Zeroizing<Vec<bool>> = Zeroizing::new(bits_of(plan, input).collect());
    let mut mask = Zeroizing::new(vec![0; bits.len().div_ceil(8)]);
    Prg::new(&seed.child("garbled/share", 0)).fill_bytes(&mut mask);
    let mask = wire::unpack(&mask, bits.len());
    let other: Vec<bool> = bits.iter().zip(&mask).map(|(bit, mask)| bit ^ mask).collect();
    for (session, share) in [(&mut *server, mask), (&mut *proxy, other)] {
        session.outbox.send(wire::INPUT, &wire::pack(&share))?;
        session.outbox.flush()?;
    }
    server.meter.enter(Phase::Online, "result");
    let widths = widths(plan, reveal);
    let count = widths.iter().map(|(bits, lanes)| bits * lanes).sum();
    let receive = |session: &mut Session, tag| {
        let packed = session.inbox.recv(tag, wire::packed_length(count))?;
        Ok::<_, Error>(wire::unpack(&packed, count))
    };
    let decoding = receive(proxy, wire::DECODING)?;
    let colours = receive(server, wire::COLOURS)?;
    let mut result = decoding.iter().zip(&colours).map(|(decoding, colour)| decoding ^ colour);
    let outputs: Vec<Vec<i64>> =
        widths.iter().map(|(bits, lanes)| numbers(*bits, *lanes, &mut result)).collect();
    client::check_label(plan, reveal, &outputs)?;
    Ok(outputs)
}

/// Sends the client what decodes the outputs' colours.
///
/// # Errors
/// When the session fails.
pub fn send_decoding(outbox: &mut Outbox, decoding: &[bool]) -> Result<(), Error> {
    outbox.send(wire::DECODING, &wire::pack(decoding))
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
    let mut bits = wire::unpack(&packed, count).into_iter();
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
        let indices: Vec<usize> = (0..word.lanes()).collect();
        let encoding = Encoding::Plain { bits: word.width() as u32 };
        let other = weights.load(gates, plan.params.len() + input, &indices, encoding)?;
        let bits = word.bits().iter().zip(&other).map(|(bit, other)| {
            let other = Bit::Wire(gates.forget(other));
            bit.xor(gates, &other)
        });
        *word = Word::new(bits.collect(), word.lanes());
    }
    Ok(words)
}
