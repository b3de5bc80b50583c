//! Products.

use super::columns::Columns;
use crate::gates::Gates;
use crate::known::DIGIT_WIRES;
use crate::word::{Bit, Word, and, and_known, xor};

/// `a * b`, exact: as wide as both operands together.
///
/// # Errors
/// When the stream of tables fails.
pub fn mul<G: Gates>(
    gates: &mut G,
    a: &Word<G::Wires>,
    b: &Word<G::Wires>,
) -> Result<Word<G::Wires>, G::Error> {
    let mut columns = Columns::new(a.width() + b.width());
    for (i, a_bit) in a.bits().iter().enumerate() {
        for (j, b_bit) in b.bits().iter().enumerate() {
            let product = and(gates, a_bit, b_bit)?;
            // A product with exactly one of the two sign bits counts negatively.
            if (i + 1 == a.width()) == (j + 1 == b.width()) {
                columns.add(product, i + j);
            } else {
                columns.subtract(gates, &product, i + j);
            }
        }
    }
    columns.sum(gates, a.lanes())
}

/// `x * x`, exact, twice as wide: each pair of bits is multiplied once.
///
/// # Errors
/// When the stream of tables fails.
pub fn square<G: Gates>(gates: &mut G, x: &Word<G::Wires>) -> Result<Word<G::Wires>, G::Error> {
    let sign = x.width() - 1;
    let mut columns = Columns::new(2 * x.width());
    for (i, low) in x.bits().iter().enumerate() {
        columns.add(low.clone(), 2 * i);
        for (j, high) in x.bits().iter().enumerate().skip(i + 1) {
            let product = and(gates, low, high)?;
            if j == sign {
                columns.subtract(gates, &product, i + j + 1);
            } else {
                columns.add(product, i + j + 1);
            }
        }
    }
    columns.sum(gates, x.lanes())
}

/// `x * w`, exact, for a number w that the evaluator knows, given as the wires of [`crate::known::encode`]; as wide as x and two
/// bits a digit.
///
/// A digit's partial product has two half gates of 16 bytes a bit, and one AND a bit adds it.
///
/// # Errors
/// When the stream of tables fails.
pub fn mul_known<G: Gates>(
    gates: &mut G,
    x: &Word<G::Wires>,
    wires: &[G::Known],
) -> Result<Word<G::Wires>, G::Error> {
    let digits = wires.len() / DIGIT_WIRES;
    let mut columns = Columns::new(x.width() + 2 * digits);
    for (digit, wires) in wires.chunks_exact(DIGIT_WIRES).enumerate() {
        let multiple = digit_multiple(gates, x, wires)?;
        let negative = Bit::Wire(gates.forget(&wires[2]));
        let inverted = multiple.bits().iter().map(|bit| xor(gates, bit, &negative)).collect();
        // -m is !m + 1.
        columns.add_word(gates, &Word::new(inverted, x.lanes()), 2 * digit);
        columns.add(negative, 2 * digit);
    }
    columns.sum(gates, x.lanes())
}

/// `x`, `2x` or `0`, one bit wider than x.
fn digit_multiple<G: Gates>(
    gates: &mut G,
    x: &Word<G::Wires>,
    wires: &[G::Known],
) -> Result<Word<G::Wires>, G::Error> {
    let (one, two) = (&wires[0], &wires[1]);
    let mut bits = Vec::with_capacity(x.width() + 1);
    for index in 0..x.width() {
        let once = and_known(gates, x.bit(index), one)?;
        let twice = match index.checked_sub(1) {
            Some(below) => and_known(gates, x.bit(below), two)?,
            None => Bit::Public(false),
        };
        bits.push(xor(gates, &once, &twice));
    }
    // The sign is that of x where the digit is not zero.
    let nonzero = gates.xor_known(one, two);
    bits.push(and_known(gates, x.sign(), &nonzero)?);
    Ok(Word::new(bits, x.lanes()))
}
