//! Shared numbers in a circuit.

use kernel::modular::Modulus;

use super::{add_wrapping, resize, shift_right};
use crate::gates::Gates;
use crate::modulus::ShareModulus;
use crate::word::{Bit, Word};

/// The number that two shares modulo `2^width` add up to, as a signed word, without its low `drop` bits: width - 1 ANDs.
///
/// # Errors
/// When the stream of tables fails.
pub fn reconstruct<G: Gates>(
    g: &mut G,
    a: &Word<G::Wires>,
    b: &Word<G::Wires>,
    width: usize,
    drop: usize,
) -> Result<Word<G::Wires>, G::Error> {
    let sum = add_wrapping(g, &resize(a, width), &resize(b, width), width)?;
    Ok(shift_right(&sum, drop))
}

/// The same for shares modulo any number. The garbler's share `a` enters as [`ShareModulus::entering`] says. Modulo p of w bits
/// that takes 2 w - 1 ANDs, and the number is the one in `(-p/2, p/2)`.
///
/// # Errors
/// When the stream of tables fails.
pub fn reconstruct_modulo<G: Gates>(
    g: &mut G,
    (a, b): (&Word<G::Wires>, &Word<G::Wires>),
    modulus: &ShareModulus,
    drop: usize,
) -> Result<Word<G::Wires>, G::Error> {
    let width = modulus.bits() as usize;
    match modulus {
        ShareModulus::PowerOfTwo(_) => reconstruct(g, a, b, width, drop),
        ShareModulus::Odd(modulus) => {
            let sum = centred(g, &resize(a, width), &resize(b, width), modulus)?;
            Ok(shift_right(&sum, drop))
        }
    }
}

/// With `a = x + h - p` and `a + b` in `[-p, p)`, h being `(p - 1) / 2`: less h, and p more where that is negative.
fn centred<G: Gates>(
    g: &mut G,
    a: &Word<G::Wires>,
    b: &Word<G::Wires>,
    modulus: &Modulus,
) -> Result<Word<G::Wires>, G::Error> {
    let width = modulus.bits() as usize;
    let (mut carry, mut bits) = (Bit::Public(false), Vec::with_capacity(width));
    for i in 0..width {
        let (sum, next) = carry.full_add(g, &a.bit(i), &b.bit(i))?;
        bits.push(sum);
        carry = next;
    }
    let low = Word::new(bits, a.lanes());
    // Two public numbers, and a wire that says which: each bit is public, or the wire, or its inverse.
    let half = modulus.value() / 2;
    let (less, more) = (half.wrapping_neg(), half + 1);
    let inverse = carry.not(g);
    let correction = (0..width).map(|i| match (less >> i & 1 == 1, more >> i & 1 == 1) {
        (true, false) => carry.clone(),
        (false, true) => inverse.clone(),
        (both, _) => Bit::Public(both),
    });
    let correction = Word::new(correction.collect(), a.lanes());
    add_wrapping(g, &low, &correction, width)
}
