//! Multiplication by public constants.

use super::{add_signed, neg, resize, saturate, shift_left, shift_right, sub_signed};
use crate::gates::Gates;
use crate::word::Word;

/// The non-adjacent form of a number: `(shift, negative)` for each digit that is not zero, lowest first. No two are
/// neighbours, and no other signed-digit form has fewer.
fn signed_digits(factor: i64) -> Vec<(usize, bool)> {
    let mut rest = i128::from(factor);
    let mut digits = Vec::new();
    let mut shift = 0;
    while rest != 0 {
        if rest & 1 == 1 {
            let negative = rest & 3 == 3;
            digits.push((shift, negative));
            rest += if negative { 1 } else { -1 };
        }
        rest >>= 1;
        shift += 1;
    }
    digits
}

/// Bits that hold `x * factor` for every x of `width` bits.
fn product_width(width: usize, factor: i128) -> usize {
    let magnitude = 128 - factor.unsigned_abs().leading_zeros() as usize;
    // |x| = 2^(width-1) occurs with a minus sign only, so that a positive power of two adds exactly its exponent.
    let exact = factor > 0 && factor.count_ones() == 1;
    width + magnitude - usize::from(exact)
}

/// `x * factor`, exactly: one addition or subtraction for each digit but the first of the non-adjacent form.
///
/// # Errors
/// When the stream of tables fails.
pub fn mul_constant<G: Gates>(
    g: &mut G,
    x: &Word<G::Wires>,
    factor: i64,
) -> Result<Word<G::Wires>, G::Error> {
    let mut digits = signed_digits(factor).into_iter();
    let Some((shift, negative)) = digits.next() else { return Ok(Word::public(0, 1, x.lanes())) };
    // The value so far is `sum`, or its negative: the first digit's sign waits for a subtraction that can absorb it.
    let (mut sum, mut owed) = (shift_left(x, shift), negative);
    let mut so_far = if negative { -1_i128 << shift } else { 1 << shift };
    for (shift, negative) in digits {
        let part = shift_left(x, shift);
        so_far += if negative { -1_i128 << shift } else { 1 << shift };
        sum = match (owed, negative) {
            (false, false) | (true, true) => add_signed(g, &sum, &part)?,
            (false, true) => sub_signed(g, &sum, &part)?,
            (true, false) => sub_signed(g, &part, &sum)?,
        };
        owed &= negative;
        let width = product_width(x.width(), if owed { -so_far } else { so_far });
        sum = resize(&sum, width.min(sum.width()));
    }
    if owed { neg(g, &sum) } else { Ok(sum) }
}

/// `saturate((x * factor + addend) >> shift)` to `bits` bits, with public numbers.
///
/// # Errors
/// When the stream of tables fails.
pub fn affine<G: Gates>(
    g: &mut G,
    x: &Word<G::Wires>,
    factor: i64,
    addend: i64,
    shift: u32,
    bits: u32,
) -> Result<Word<G::Wires>, G::Error> {
    let product = mul_constant(g, x, factor)?;
    let addend = Word::public(addend, crate::meaning::width_of(addend), x.lanes());
    let sum = add_signed(g, &product, &addend)?;
    saturate(g, &shift_right(&sum, shift as usize), bits as usize)
}
