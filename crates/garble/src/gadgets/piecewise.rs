//! The circuits of [`crate::meaning::piecewise_sigmoid`] and [`crate::meaning::piecewise_tanh`].

use super::add::invert_if;
use super::{add_wrapping, less_than, mux, resize, saturate, shift_left, shift_right, zero_extend};
use crate::gates::Gates;
use crate::meaning::Format;
use crate::meaning::piecewise::{BEGINS, GUARD, INTEGER, LINES, Lines};
use crate::meaning::smooth::Smooth;
use crate::meaning::width_of;
use crate::word::{Bit, Word};

/// The logistic function by straight lines; see [`crate::meaning::piecewise_sigmoid`].
///
/// # Errors
/// When the stream of tables fails.
pub fn piecewise_sigmoid<G: Gates>(
    g: &mut G,
    x: &Word<G::Wires>,
    input: Format,
    output: Format,
) -> Result<Word<G::Wires>, G::Error> {
    piecewise(g, Smooth::Sigmoid, x, input, output)
}

/// The hyperbolic tangent by straight lines; see [`crate::meaning::piecewise_tanh`].
///
/// # Errors
/// When the stream of tables fails.
pub fn piecewise_tanh<G: Gates>(
    g: &mut G,
    x: &Word<G::Wires>,
    input: Format,
    output: Format,
) -> Result<Word<G::Wires>, G::Error> {
    piecewise(g, Smooth::Tanh, x, input, output)
}

fn piecewise<G: Gates>(
    g: &mut G,
    function: Smooth,
    x: &Word<G::Wires>,
    input: Format,
    output: Format,
) -> Result<Word<G::Wires>, G::Error> {
    let lines = Lines::new(function, input, output);
    let x = resize(x, input.bits as usize);
    let negative = x.sign();
    let magnitude = zero_extend(&resize(&invert_if(g, &negative, &x), x.width() - 1));
    let t = if lines.shift >= 0 {
        shift_left(&magnitude, lines.shift as usize)
    } else {
        shift_right(&magnitude, -lines.shift as usize)
    };
    let u = u(g, &lines, &t)?;
    let mut bits: Vec<Bit<G::Wires>> = Vec::with_capacity(u.width() + 2);
    for bit in u.bits() {
        bits.push(bit.xor(g, &negative));
    }
    match function {
        Smooth::Tanh => bits.push(negative),
        // One half more than a number of `quotient` bits and a sign: the sign turned around, and never negative.
        Smooth::Sigmoid => bits.extend([negative.not(g), Bit::Public(false)]),
    }
    let value = Word::new(bits, x.lanes());
    let scaled = if lines.scale >= 0 {
        shift_left(&value, lines.scale.min(90) as usize)
    } else {
        shift_right(&value, -lines.scale as usize)
    };
    saturate(g, &scaled, output.bits as usize)
}

/// u as the bits of an unsigned number; t is not negative.
fn u<G: Gates>(g: &mut G, lines: &Lines, t: &Word<G::Wires>) -> Result<Word<G::Wires>, G::Error> {
    let most = (lines.fraction + INTEGER) as usize;
    let low = zero_extend(&resize(t, most));
    let mut begun = Vec::with_capacity(BEGINS.len());
    for begin in BEGINS.map(|begin| lines.sixteenths(begin)) {
        let begin = Word::public(begin, width_of(begin), low.lanes());
        begun.push(less_than(g, &low, &begin)?.not(g));
    }
    let mut last = begun.pop().unwrap_or(Bit::Public(false));
    for bit in t.bits().iter().skip(most) {
        last = last.or(g, bit)?;
    }
    let mut chosen = Word::default();
    for (i, (shift, addend)) in LINES.into_iter().enumerate() {
        let addend = lines.sixteenths(addend);
        let addend = Word::public(addend, width_of(addend), low.lanes());
        let line = add_wrapping(g, &shift_right(&low, shift as usize), &addend, lines.fraction as usize)?;
        let line = Word::new(line.bits()[GUARD as usize..].to_vec(), low.lanes());
        chosen = if i == 0 { line } else { mux(g, &begun[i - 1], &line, &chosen)? };
    }
    let mut bits = Vec::with_capacity(chosen.width());
    for bit in chosen.bits() {
        bits.push(bit.or(g, &last)?);
    }
    Ok(Word::new(bits, low.lanes()))
}
