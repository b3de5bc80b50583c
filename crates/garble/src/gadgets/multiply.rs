//! Products of two secret numbers.

use super::add::invert_if;
use super::digits::{Digit, Multiples, Selector, product, truncated};
use super::{add_wrapping, resize, shift_right};
use crate::gates::Gates;
use crate::word::{Bit, Word};

/// The recoding of [`crate::known`] inside the circuit, where it is free.
fn recode<G: Gates>(g: &mut G, w: &Word<G::Wires>) -> Vec<Digit<G>> {
    let mut flipped = w.bits().to_vec();
    if let Some(sign) = flipped.last_mut() {
        *sign = sign.not(g);
    }
    flipped
        .chunks(2)
        .map(|pair| match pair {
            [low, high] => {
                let differ = low.xor(g, high);
                let three = Selector::Secret(differ.not(g));
                Digit { three: Some(three), negative: Selector::Secret(high.not(g)) }
            }
            _ => Digit { three: None, negative: Selector::Secret(pair[0].not(g)) },
        })
        .collect()
}

/// `x * w` exactly, in as many bits as both have together: about `(n + 1.5) w` ANDs for n and w bits.
///
/// # Errors
/// When the stream of tables fails.
pub fn mul<G: Gates>(g: &mut G, x: &Word<G::Wires>, w: &Word<G::Wires>) -> Result<Word<G::Wires>, G::Error> {
    mul_low(g, x, w, x.width() + w.width())
}

/// The low `width` bits of `x * w`.
///
/// # Errors
/// When the stream of tables fails.
pub fn mul_low<G: Gates>(
    g: &mut G,
    x: &Word<G::Wires>,
    w: &Word<G::Wires>,
    width: usize,
) -> Result<Word<G::Wires>, G::Error> {
    let x = resize(x, x.width().min(width));
    let w = resize(w, w.width().min(width));
    let digits = recode(g, &w);
    // Three times x first counts at bit 1 of the product.
    let multiples = Multiples::modulo(g, &x, width.saturating_sub(1))?;
    product(g, &multiples, &digits, width)
}

/// About `x w / 2^drop`, modulo `2^width`: the product without its columns below `drop - guard`. The exact integer, and the bound of
/// its error, are those of [`crate::meaning::mul_truncated`].
///
/// # Errors
/// When the stream of tables fails.
pub fn mul_truncated<G: Gates>(
    g: &mut G,
    x: &Word<G::Wires>,
    w: &Word<G::Wires>,
    (drop, guard): (usize, usize),
    width: usize,
) -> Result<Word<G::Wires>, G::Error> {
    let guard = guard.min(drop);
    let digits = recode(g, w);
    let multiples = Multiples::new(g, x)?;
    let half = if guard > 0 { 1 << (guard - 1) } else { 0 };
    let sum = truncated(g, &multiples, &digits, (drop - guard, half), guard + width)?;
    Ok(resize(&shift_right(&sum, guard), width))
}

/// `x * x` exactly, in `2 w` bits: about `w^2` ANDs, a sixth fewer than a product.
///
/// With s the sign and y the number of w - 1 bits that is x or `-x - 1`, the square is `s (2 y + 1) + y^2`, and each pair of
/// different bits of y is multiplied once.
///
/// # Errors
/// When the stream of tables fails.
pub fn square<G: Gates>(g: &mut G, x: &Word<G::Wires>) -> Result<Word<G::Wires>, G::Error> {
    square_low(g, x, 2 * x.width())
}

/// `x * x` modulo `2^width`: [`square`] without the columns above.
///
/// # Errors
/// When the stream of tables fails.
pub fn square_low<G: Gates>(g: &mut G, x: &Word<G::Wires>, width: usize) -> Result<Word<G::Wires>, G::Error> {
    let lanes = x.lanes();
    let Some(magnitude) = x.width().checked_sub(1) else { return Ok(x.clone()) };
    let width = width.min(2 * x.width());
    let sign = x.sign();
    let y = invert_if(g, &sign, &resize(x, magnitude));
    let mut row = vec![sign.clone()];
    for bit in y.bits().iter().take(width - 1) {
        row.push(sign.and(g, bit)?);
    }
    row.push(Bit::Public(false));
    let mut sum = Word::new(row, lanes);
    let mut low = Vec::new();
    for i in 0..magnitude.min(width.div_ceil(2)) {
        // The columns that are left.
        let columns = width - 2 * i;
        let mut row = vec![y.bit(i), Bit::Public(false)];
        for j in (i + 1..magnitude).take(columns.saturating_sub(2)) {
            row.push(y.bit(i).and(g, &y.bit(j))?);
        }
        row.push(Bit::Public(false));
        let row = Word::new(row, lanes);
        let wide = sum.width().max(row.width()) + 1;
        sum = add_wrapping(g, &sum, &row, wide.min(columns))?;
        low.extend([sum.bit(0), sum.bit(1)]);
        sum = shift_right(&sum, 2);
    }
    low.extend(sum.bits().iter().cloned());
    Ok(resize(&Word::new(low, lanes), width))
}
