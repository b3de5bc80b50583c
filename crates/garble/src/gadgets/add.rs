//! Addition and subtraction: one AND a bit.

use crate::gates::Gates;
use crate::word::{Bit, Word};

/// `a + b + carry` modulo `2^width`, signs extended: width - 1 ANDs.
///
/// # Errors
/// When the stream of tables fails.
pub fn add_with_carry<G: Gates>(
    g: &mut G,
    a: &Word<G::Wires>,
    b: &Word<G::Wires>,
    carry: &Bit<G::Wires>,
    width: usize,
) -> Result<Word<G::Wires>, G::Error> {
    let mut carry = carry.clone();
    let mut bits = Vec::with_capacity(width);
    for i in 0..width {
        let (a, b) = (a.bit(i), b.bit(i));
        if i + 1 < width {
            let (sum, next) = carry.full_add(g, &a, &b)?;
            bits.push(sum);
            carry = next;
        } else {
            bits.push(a.xor(g, &b).xor(g, &carry));
        }
    }
    Ok(Word::new(bits, a.lanes()))
}

/// All bits inverted: `-x - 1`. Free.
pub(super) fn invert<G: Gates>(g: &mut G, x: &Word<G::Wires>) -> Word<G::Wires> {
    Word::new(x.bits().iter().map(|bit| bit.not(g)).collect(), x.lanes())
}

/// All bits inverted where `flip` is set. Free.
pub(super) fn invert_if<G: Gates>(g: &mut G, flip: &Bit<G::Wires>, x: &Word<G::Wires>) -> Word<G::Wires> {
    Word::new(x.bits().iter().map(|bit| bit.xor(g, flip)).collect(), x.lanes())
}

/// `a + b` modulo `2^width`: width - 1 ANDs.
///
/// # Errors
/// When the stream of tables fails.
pub fn add_wrapping<G: Gates>(
    g: &mut G,
    a: &Word<G::Wires>,
    b: &Word<G::Wires>,
    width: usize,
) -> Result<Word<G::Wires>, G::Error> {
    add_with_carry(g, a, b, &Bit::Public(false), width)
}

/// `a - b` modulo `2^width`: width - 1 ANDs.
///
/// # Errors
/// When the stream of tables fails.
pub fn sub_wrapping<G: Gates>(
    g: &mut G,
    a: &Word<G::Wires>,
    b: &Word<G::Wires>,
    width: usize,
) -> Result<Word<G::Wires>, G::Error> {
    // The word of no bits is zero, and has no bits to invert.
    if b.width() == 0 {
        return Ok(super::resize(a, width));
    }
    let b = invert(g, b);
    add_with_carry(g, a, &b, &Bit::Public(true), width)
}

/// `a + b`, one bit wider than the wider operand: w ANDs.
///
/// # Errors
/// When the stream of tables fails.
pub fn add_signed<G: Gates>(
    g: &mut G,
    a: &Word<G::Wires>,
    b: &Word<G::Wires>,
) -> Result<Word<G::Wires>, G::Error> {
    add_wrapping(g, a, b, a.width().max(b.width()) + 1)
}

/// `a - b`, one bit wider than the wider operand: w ANDs.
///
/// # Errors
/// When the stream of tables fails.
pub fn sub_signed<G: Gates>(
    g: &mut G,
    a: &Word<G::Wires>,
    b: &Word<G::Wires>,
) -> Result<Word<G::Wires>, G::Error> {
    sub_wrapping(g, a, b, a.width().max(b.width()) + 1)
}

/// `-x`, one bit wider: w - 1 ANDs.
///
/// # Errors
/// When the stream of tables fails.
pub fn neg<G: Gates>(g: &mut G, x: &Word<G::Wires>) -> Result<Word<G::Wires>, G::Error> {
    sub_wrapping(g, &Word::public(0, 1, x.lanes()), x, x.width() + 1)
}

/// `if negative { -x } else { x }` modulo `2^width`: width - 1 ANDs.
pub(super) fn negate_if<G: Gates>(
    g: &mut G,
    negative: &Bit<G::Wires>,
    x: &Word<G::Wires>,
    width: usize,
) -> Result<Word<G::Wires>, G::Error> {
    let flipped = invert_if(g, negative, &super::resize(x, width));
    add_with_carry(g, &flipped, &Word::public(0, 1, x.lanes()), negative, width)
}
