//! Comparison, choice, and what is made of them.

use super::add::invert;
use super::{resize, zero_extend};
use crate::gates::Gates;
use crate::word::{Bit, Word};

/// `a < b`: w ANDs.
///
/// # Errors
/// When the stream of tables fails.
pub fn less_than<G: Gates>(
    g: &mut G,
    a: &Word<G::Wires>,
    b: &Word<G::Wires>,
) -> Result<Bit<G::Wires>, G::Error> {
    let width = a.width().max(b.width()).max(1);
    let (a, b) = (resize(a, width), resize(b, width));
    let not_b = invert(g, &b);
    // The carry out of a - b, with both signs flipped so that the order is that of unsigned numbers, says a >= b.
    let mut at_least = Bit::Public(true);
    for i in 0..width - 1 {
        at_least = at_least.carry(g, &a.bit(i), &not_b.bit(i))?;
    }
    let (a_sign, b_sign) = (a.sign().not(g), b.sign());
    at_least = at_least.carry(g, &a_sign, &b_sign)?;
    Ok(at_least.not(g))
}

/// `a == b`: w - 1 ANDs.
///
/// # Errors
/// When the stream of tables fails.
pub fn equal<G: Gates>(g: &mut G, a: &Word<G::Wires>, b: &Word<G::Wires>) -> Result<Bit<G::Wires>, G::Error> {
    let mut differs = Bit::Public(false);
    for i in 0..a.width().max(b.width()) {
        let bit = a.bit(i).xor(g, &b.bit(i));
        differs = differs.or(g, &bit)?;
    }
    Ok(differs.not(g))
}

/// `if choice { a } else { b }`, in the wider width: w ANDs.
///
/// # Errors
/// When the stream of tables fails.
pub fn mux<G: Gates>(
    g: &mut G,
    choice: &Bit<G::Wires>,
    a: &Word<G::Wires>,
    b: &Word<G::Wires>,
) -> Result<Word<G::Wires>, G::Error> {
    let width = a.width().max(b.width());
    let mut bits = Vec::with_capacity(width);
    for i in 0..width {
        // A repeated sign needs choosing once.
        match bits.last() {
            Some(last) if i >= a.width() && i >= b.width() => bits.push(Bit::clone(last)),
            _ => bits.push(choice.choose(g, &a.bit(i), &b.bit(i))?),
        }
    }
    Ok(Word::new(bits, a.lanes()))
}

/// `if x >= 0 { x } else { negative }`: w ANDs.
///
/// # Errors
/// When the stream of tables fails.
pub fn mux_sign<G: Gates>(
    g: &mut G,
    x: &Word<G::Wires>,
    negative: &Word<G::Wires>,
) -> Result<Word<G::Wires>, G::Error> {
    mux(g, &x.sign(), negative, x)
}

/// `max(x, 0)`: w - 1 ANDs; the sign of the result is public.
///
/// # Errors
/// When the stream of tables fails.
pub fn relu<G: Gates>(g: &mut G, x: &Word<G::Wires>) -> Result<Word<G::Wires>, G::Error> {
    let positive = x.sign().not(g);
    let mut bits = Vec::with_capacity(x.width());
    for bit in x.bits().iter().take(x.width().saturating_sub(1)) {
        bits.push(bit.and(g, &positive)?);
    }
    Ok(resize(&zero_extend(&Word::new(bits, x.lanes())), x.width()))
}

/// The larger of two: 2 w ANDs.
///
/// # Errors
/// When the stream of tables fails.
pub fn max<G: Gates>(g: &mut G, a: &Word<G::Wires>, b: &Word<G::Wires>) -> Result<Word<G::Wires>, G::Error> {
    let less = less_than(g, a, b)?;
    mux(g, &less, b, a)
}

/// The smaller of two: 2 w ANDs.
///
/// # Errors
/// When the stream of tables fails.
pub fn min<G: Gates>(g: &mut G, a: &Word<G::Wires>, b: &Word<G::Wires>) -> Result<Word<G::Wires>, G::Error> {
    let less = less_than(g, a, b)?;
    mux(g, &less, a, b)
}

/// The largest of several (the empty word of none): 2 w ANDs for each but one.
///
/// # Errors
/// When the stream of tables fails.
pub fn max_of<G: Gates>(g: &mut G, words: &[Word<G::Wires>]) -> Result<Word<G::Wires>, G::Error> {
    let Some((first, rest)) = words.split_first() else { return Ok(Word::default()) };
    rest.iter().try_fold(first.clone(), |largest, word| max(g, &largest, word))
}

/// `min(max(x, low), high)` with public bounds, `low <= high`: at most 4 w ANDs, none for a bound that x cannot pass.
///
/// # Errors
/// When the stream of tables fails.
pub fn clamp<G: Gates>(
    g: &mut G,
    x: &Word<G::Wires>,
    low: i64,
    high: i64,
) -> Result<Word<G::Wires>, G::Error> {
    let limit = 1_i128 << x.width().saturating_sub(1).min(64);
    let bound = |value: i64| Word::public(value, crate::meaning::width_of(value), x.lanes());
    let mut result = x.clone();
    if low == 0 {
        result = relu(g, &result)?;
    } else if i128::from(low) > -limit {
        result = max(g, &result, &bound(low))?;
    }
    if i128::from(high) < limit - 1 {
        result = min(g, &result, &bound(high))?;
    }
    // Bounds on both sides of zero, or within reach of x, leave x's width.
    let reached = i128::from(low) < limit && i128::from(high) >= -limit;
    Ok(if reached { resize(&result, x.width()) } else { result })
}

/// The nearest value that fits in `width` bits: w - 2 ANDs for a word of w > width bits.
///
/// # Errors
/// When the stream of tables fails.
pub fn saturate<G: Gates>(g: &mut G, x: &Word<G::Wires>, width: usize) -> Result<Word<G::Wires>, G::Error> {
    if x.width() <= width || width == 0 {
        return Ok(resize(x, width));
    }
    let sign = x.sign();
    let mut outside = Bit::Public(false);
    for i in width - 1..x.width() - 1 {
        let differs = x.bit(i).xor(g, &sign);
        outside = outside.or(g, &differs)?;
    }
    // The largest and the smallest value are the inverted sign in every bit below it.
    let limit = sign.not(g);
    let mut bits = Vec::with_capacity(width);
    for i in 0..width - 1 {
        bits.push(outside.choose(g, &limit, &x.bit(i))?);
    }
    bits.push(sign);
    Ok(Word::new(bits, x.lanes()))
}

/// The largest of several words, and which it was.
#[derive(Clone, Debug)]
pub struct Largest<W> {
    /// The value.
    pub value: Word<W>,
    /// Its index, with a public zero sign.
    pub index: Word<W>,
}

/// Index of the largest of several words, the first on ties or the last, as a word with a public zero sign: for n words at most
/// `(n - 1) 2 w - w + n` ANDs, since the last round needs no value.
///
/// # Errors
/// When the stream of tables fails.
pub fn arg_max<G: Gates>(
    g: &mut G,
    words: &[Word<G::Wires>],
    last: bool,
) -> Result<Word<G::Wires>, G::Error> {
    Ok(tournament(g, words, last, false)?.index)
}

/// The largest of several words, and its index as [`arg_max`] gives it.
///
/// # Errors
/// When the stream of tables fails.
pub fn arg_max_with_value<G: Gates>(
    g: &mut G,
    words: &[Word<G::Wires>],
    last: bool,
) -> Result<Largest<G::Wires>, G::Error> {
    tournament(g, words, last, true)
}

/// Rounds of neighbours. In the first the index is a public number a side, so that choosing it is free; later rounds
/// choose between few bits.
fn tournament<G: Gates>(
    g: &mut G,
    words: &[Word<G::Wires>],
    last: bool,
    with_value: bool,
) -> Result<Largest<G::Wires>, G::Error> {
    let width = crate::meaning::width_of(words.len().saturating_sub(1) as i64);
    let mut round: Vec<Largest<G::Wires>> = words
        .iter()
        .enumerate()
        .map(|(index, word)| Largest {
            value: word.clone(),
            index: Word::public(index as i64, width, word.lanes()),
        })
        .collect();
    while round.len() > 1 {
        let value_wanted = with_value || round.len() > 2;
        let mut winners = Vec::with_capacity(round.len().div_ceil(2));
        for pair in round.chunks(2) {
            let [a, b] = pair else {
                winners.extend_from_slice(pair);
                continue;
            };
            let second = if last {
                less_than(g, &b.value, &a.value)?.not(g)
            } else {
                less_than(g, &a.value, &b.value)?
            };
            let value = if value_wanted { mux(g, &second, &b.value, &a.value)? } else { Word::default() };
            winners.push(Largest { value, index: mux(g, &second, &b.index, &a.index)? });
        }
        round = winners;
    }
    Ok(round.pop().unwrap_or(Largest { value: Word::default(), index: Word::default() }))
}
