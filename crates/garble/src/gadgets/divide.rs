//! Long division.

use super::add::negate_if;
use super::{resize, shift_left, shift_right, sub_signed, zero_extend};
use crate::gadgets::add::{add_with_carry, invert_if};
use crate::gates::Gates;
use crate::word::{Bit, Word};

/// `a 2^frac / b` rounded towards zero, in `bits` bits; see [`crate::meaning::divide`] for zero and overflow. About
/// `(bits + 4) w` ANDs for operands of w bits: 301 for 16-bit words with 12 fraction bits.
///
/// # Errors
/// When the stream of tables fails.
pub fn divide<G: Gates>(
    g: &mut G,
    a: &Word<G::Wires>,
    b: &Word<G::Wires>,
    frac: usize,
    bits: usize,
) -> Result<Word<G::Wires>, G::Error> {
    let digits = bits.saturating_sub(1);
    let numerator = negate_if(g, &a.sign(), a, a.width())?;
    let divisor = negate_if(g, &b.sign(), b, b.width())?;
    let numerator = shift_left(&zero_extend(&numerator), frac);
    // What is above the quotient's digits must be less than the divisor, or the quotient does not fit.
    let high = shift_right(&numerator, digits);
    let trial = sub_signed(g, &high, &zero_extend(&divisor))?;
    let overflow = trial.sign().not(g);
    let low: Vec<Bit<G::Wires>> = (0..digits).map(|i| numerator.bit(i)).collect();
    let trial = resize(&trial, b.width());
    let quotient = quotient_digits(g, trial, &low, &divisor)?;
    let mut magnitude = Vec::with_capacity(digits);
    for digit in &quotient {
        magnitude.push(digit.or(g, &overflow)?);
    }
    let negative = a.sign().xor(g, &b.sign());
    negate_if(g, &negative, &zero_extend(&Word::new(magnitude, a.lanes())), bits)
}

/// The digits of a quotient by non-restoring division, least significant first. `trial` is what is above the digits less
/// the divisor; it is negative, and so fits in the divisor's unsigned width, as every later one does: each is what restoring
/// division would try, `2 r + next - divisor`, whether or not the one before was restored.
pub(super) fn quotient_digits<G: Gates>(
    g: &mut G,
    trial: Word<G::Wires>,
    low: &[Bit<G::Wires>],
    divisor: &Word<G::Wires>,
) -> Result<Vec<Bit<G::Wires>>, G::Error> {
    let width = divisor.width();
    let (mut trial, mut fits) = (trial, Bit::Public(false));
    let mut digits = Vec::with_capacity(low.len());
    for next in low.iter().rev() {
        let mut doubled = vec![next.clone()];
        doubled.extend(trial.bits().iter().cloned());
        let doubled = resize(&Word::new(doubled, trial.lanes()), width);
        let change = invert_if(g, &fits, divisor);
        trial = add_with_carry(g, &doubled, &change, &fits, width)?;
        fits = trial.sign().not(g);
        digits.push(fits.clone());
    }
    digits.reverse();
    Ok(digits)
}
