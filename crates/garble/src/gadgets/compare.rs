//! Comparisons and extremes.

use super::arithmetic::mux_word;
use super::lanes::public;
use crate::gates::Gates;
use crate::word::{Bit, Word, and, carry, not, xor};

/// `a < b`, one AND a bit.
///
/// # Errors
/// When the stream of tables fails.
pub fn less_than<G: Gates>(
    gates: &mut G,
    a: &Word<G::Wires>,
    b: &Word<G::Wires>,
) -> Result<Bit<G::Wires>, G::Error> {
    let width = a.width().max(b.width());
    // The carry out of a + !b + 1 says a >= b for unsigned numbers; flipping the signs makes signed ones so.
    let mut carried = Bit::Public(true);
    for index in 0..width {
        let last = index + 1 == width;
        let a = if last { not(gates, a.bit(index)) } else { a.bit(index).clone() };
        let b = if last { b.bit(index).clone() } else { not(gates, b.bit(index)) };
        carried = carry(gates, &a, &b, &carried)?;
    }
    Ok(not(gates, &carried))
}

/// `a == b`.
///
/// # Errors
/// When the stream of tables fails.
pub fn equal<G: Gates>(
    gates: &mut G,
    a: &Word<G::Wires>,
    b: &Word<G::Wires>,
) -> Result<Bit<G::Wires>, G::Error> {
    let mut same = Bit::Public(true);
    for index in 0..a.width().max(b.width()) {
        let differ = xor(gates, a.bit(index), b.bit(index));
        let agree = not(gates, &differ);
        same = and(gates, &same, &agree)?;
    }
    Ok(same)
}

/// `max(a, b)`, two ANDs a bit.
///
/// # Errors
/// When the stream of tables fails.
pub fn max<G: Gates>(
    gates: &mut G,
    a: &Word<G::Wires>,
    b: &Word<G::Wires>,
) -> Result<Word<G::Wires>, G::Error> {
    let less = less_than(gates, a, b)?;
    mux_word(gates, &less, b, a)
}

/// `min(a, b)`, two ANDs a bit.
///
/// # Errors
/// When the stream of tables fails.
pub fn min<G: Gates>(
    gates: &mut G,
    a: &Word<G::Wires>,
    b: &Word<G::Wires>,
) -> Result<Word<G::Wires>, G::Error> {
    let less = less_than(gates, a, b)?;
    mux_word(gates, &less, a, b)
}

/// Index of the largest of several words, lane by lane; the first of several largest, or the last. The result has a public
/// sign of zero.
///
/// # Errors
/// When the stream of tables fails.
pub fn arg_max<G: Gates>(
    gates: &mut G,
    words: &[Word<G::Wires>],
    last: bool,
) -> Result<Word<G::Wires>, G::Error> {
    let Some((first, others)) = words.split_first() else { return Ok(Word::default()) };
    let width = (usize::BITS - (words.len() - 1).leading_zeros()) as usize + 1;
    let mut best = first.clone();
    let mut index = public(0, width, first.lanes());
    for (position, word) in others.iter().enumerate() {
        let better = if last {
            let worse = less_than(gates, word, &best)?;
            not(gates, &worse)
        } else {
            less_than(gates, &best, word)?
        };
        index = mux_word(gates, &better, &public(position as i64 + 1, width, first.lanes()), &index)?;
        if position + 1 < others.len() {
            best = mux_word(gates, &better, word, &best)?;
        }
    }
    Ok(index)
}
