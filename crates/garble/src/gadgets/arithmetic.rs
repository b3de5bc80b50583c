//! Sums, shifts, saturation and selection.

use super::columns::Columns;
use super::compare::{max, min};
use super::lanes::public;
use crate::gates::Gates;
use crate::word::{Bit, Word, and, mux, not, or, xor};

/// `a + b`, one bit wider than the wider operand.
///
/// # Errors
/// When the stream of tables fails.
pub fn add_signed<G: Gates>(
    gates: &mut G,
    a: &Word<G::Wires>,
    b: &Word<G::Wires>,
) -> Result<Word<G::Wires>, G::Error> {
    add_wrapping(gates, a, b, a.width().max(b.width()) + 1)
}

/// `(a + b) mod 2^width`, `width - 1` ANDs.
///
/// # Errors
/// When the stream of tables fails.
pub fn add_wrapping<G: Gates>(
    gates: &mut G,
    a: &Word<G::Wires>,
    b: &Word<G::Wires>,
    width: usize,
) -> Result<Word<G::Wires>, G::Error> {
    ripple(gates, a, b, Bit::Public(false), width)
}

/// `a - b`, one bit wider than the wider operand.
///
/// # Errors
/// When the stream of tables fails.
pub fn sub_signed<G: Gates>(
    gates: &mut G,
    a: &Word<G::Wires>,
    b: &Word<G::Wires>,
) -> Result<Word<G::Wires>, G::Error> {
    let inverted = complement(gates, b);
    ripple(gates, a, &inverted, Bit::Public(true), a.width().max(b.width()) + 1)
}

/// `-x`, one bit wider.
///
/// # Errors
/// When the stream of tables fails.
pub fn neg<G: Gates>(gates: &mut G, x: &Word<G::Wires>) -> Result<Word<G::Wires>, G::Error> {
    sub_signed(gates, &public(0, 1, x.lanes()), x)
}

fn complement<G: Gates>(gates: &mut G, x: &Word<G::Wires>) -> Word<G::Wires> {
    Word::new(x.bits().iter().map(|bit| not(gates, bit)).collect(), x.lanes())
}

fn ripple<G: Gates>(
    gates: &mut G,
    a: &Word<G::Wires>,
    b: &Word<G::Wires>,
    mut carried: Bit<G::Wires>,
    width: usize,
) -> Result<Word<G::Wires>, G::Error> {
    let mut bits = Vec::with_capacity(width);
    for index in 0..width {
        let (a, b) = (a.bit(index), b.bit(index));
        let half = xor(gates, a, b);
        bits.push(xor(gates, &half, &carried));
        if index + 1 < width {
            carried = crate::word::carry(gates, a, b, &carried)?;
        }
    }
    Ok(Word::new(bits, a.lanes()))
}

/// The word at another width: sign-extended, or its low bits.
pub fn resize<W: Clone>(x: &Word<W>, width: usize) -> Word<W> {
    Word::new((0..width).map(|index| x.bit(index).clone()).collect(), x.lanes())
}

/// `x << by`, as much wider.
pub fn shift_left<W: Clone>(x: &Word<W>, by: usize) -> Word<W> {
    let zeros = std::iter::repeat_n(Bit::Public(false), by);
    Word::new(zeros.chain(x.bits().iter().cloned()).collect(), x.lanes())
}

/// `x >> by` (floor), as much narrower, at least one bit.
pub fn shift_right<W: Clone>(x: &Word<W>, by: usize) -> Word<W> {
    Word::new(x.bits()[by.min(x.width() - 1)..].to_vec(), x.lanes())
}

/// The nearest number of `width` bits.
///
/// # Errors
/// When the stream of tables fails.
pub fn saturate<G: Gates>(
    gates: &mut G,
    x: &Word<G::Wires>,
    width: usize,
) -> Result<Word<G::Wires>, G::Error> {
    if x.width() <= width {
        return Ok(resize(x, width));
    }
    let sign = x.sign().clone();
    let mut outside = Bit::Public(false);
    for bit in &x.bits()[width - 1..x.width() - 1] {
        let differs = xor(gates, bit, &sign);
        outside = or(gates, &outside, &differs)?;
    }
    let extreme = not(gates, &sign);
    let mut bits = Vec::with_capacity(width);
    for bit in &x.bits()[..width - 1] {
        bits.push(mux(gates, &outside, &extreme, bit)?);
    }
    bits.push(sign);
    Ok(Word::new(bits, x.lanes()))
}

/// `max(x, 0)`; the sign of the result is public.
///
/// # Errors
/// When the stream of tables fails.
pub fn relu<G: Gates>(gates: &mut G, x: &Word<G::Wires>) -> Result<Word<G::Wires>, G::Error> {
    let positive = not(gates, x.sign());
    let mut bits = Vec::with_capacity(x.width());
    for bit in &x.bits()[..x.width() - 1] {
        bits.push(and(gates, bit, &positive)?);
    }
    bits.push(Bit::Public(false));
    Ok(Word::new(bits, x.lanes()))
}

/// `min(max(x, low), high)` with public bounds, at the width of x.
///
/// # Errors
/// When the stream of tables fails.
pub fn clamp<G: Gates>(
    gates: &mut G,
    x: &Word<G::Wires>,
    low: i64,
    high: i64,
) -> Result<Word<G::Wires>, G::Error> {
    let (least, most) = (-(1i128 << (x.width() - 1)), (1i128 << (x.width() - 1)) - 1);
    let mut result = x.clone();
    if low == 0 {
        result = relu(gates, &result)?;
    } else if i128::from(low) > least {
        let bound = public(low, x.width().max(bits_of(low)), x.lanes());
        result = max(gates, &result, &bound)?;
    }
    if i128::from(high) < most {
        let bound = public(high, x.width().max(bits_of(high)), x.lanes());
        result = min(gates, &result, &bound)?;
    }
    Ok(result)
}

/// Width of the narrowest signed word that holds a number.
pub(super) fn bits_of(value: i64) -> usize {
    let magnitude = if value < 0 { !value } else { value };
    65 - magnitude.leading_zeros() as usize
}

/// `if x >= 0 { x } else { other }`, at the wider width.
///
/// # Errors
/// When the stream of tables fails.
pub fn mux_sign<G: Gates>(
    gates: &mut G,
    x: &Word<G::Wires>,
    other: &Word<G::Wires>,
) -> Result<Word<G::Wires>, G::Error> {
    let sign = x.sign().clone();
    mux_word(gates, &sign, other, x)
}

/// `if select { a } else { b }`, at the wider width.
///
/// # Errors
/// When the stream of tables fails.
pub fn mux_word<G: Gates>(
    gates: &mut G,
    select: &Bit<G::Wires>,
    a: &Word<G::Wires>,
    b: &Word<G::Wires>,
) -> Result<Word<G::Wires>, G::Error> {
    let width = a.width().max(b.width());
    let mut bits = Vec::with_capacity(width);
    for index in 0..width {
        bits.push(mux(gates, select, a.bit(index), b.bit(index))?);
    }
    Ok(Word::new(bits, a.lanes()))
}

/// `sat((x * factor + addend) >> shift)` to `width` bits, with public numbers: additions by the signed digits of the factor.
///
/// # Errors
/// When the stream of tables fails.
pub fn affine<G: Gates>(
    gates: &mut G,
    x: &Word<G::Wires>,
    factor: i64,
    addend: i64,
    shift: u32,
    width: u32,
) -> Result<Word<G::Wires>, G::Error> {
    let product_width = (x.width() + bits_of(factor)).max(bits_of(addend)) + 1;
    let mut columns = Columns::new(product_width);
    for (weight, negative) in signed_digits(factor) {
        if negative {
            columns.subtract_word(gates, x, weight);
        } else {
            columns.add_word(gates, x, weight);
        }
    }
    columns.add_constant(i128::from(addend));
    let sum = columns.sum(gates, x.lanes())?;
    saturate(gates, &shift_right(&sum, shift as usize), width as usize)
}

/// The non-adjacent form of a number: positions of its digits, and which are negative. No form has fewer digits.
fn signed_digits(value: i64) -> Vec<(usize, bool)> {
    let (mut rest, mut digits) = (i128::from(value), Vec::new());
    let mut weight = 0;
    while rest != 0 {
        if rest & 1 == 1 {
            let negative = rest & 3 == 3;
            digits.push((weight, negative));
            rest += if negative { 1 } else { -1 };
        }
        rest >>= 1;
        weight += 1;
    }
    digits
}
