//! The hyperbolic tangent and the logistic function: the circuits of [`crate::meaning::tanh`] and
//! [`crate::meaning::sigmoid`], step by step.

use super::add::{add_with_carry, add_wrapping, invert, invert_if};
use super::divide::quotient_digits;
use super::{resize, saturate, shift_left, shift_right, zero_extend};
use crate::gates::Gates;
use crate::meaning::Format;
use crate::meaning::smooth::{Smooth, Steps, TABLED};
use crate::word::{Bit, Word};

/// The logistic function of a word of `input.bits` bits; see [`crate::meaning::sigmoid`]. 591 ANDs for 16 bits with 12 fraction
/// bits.
///
/// # Errors
/// When the stream of tables fails.
pub fn sigmoid<G: Gates>(
    g: &mut G,
    x: &Word<G::Wires>,
    input: Format,
    output: Format,
) -> Result<Word<G::Wires>, G::Error> {
    smooth(g, Smooth::Sigmoid, x, input, output)
}

/// The hyperbolic tangent; see [`crate::meaning::tanh`]. 703 ANDs for 16 bits with 12 fraction bits.
///
/// # Errors
/// When the stream of tables fails.
pub fn tanh<G: Gates>(
    g: &mut G,
    x: &Word<G::Wires>,
    input: Format,
    output: Format,
) -> Result<Word<G::Wires>, G::Error> {
    smooth(g, Smooth::Tanh, x, input, output)
}

fn smooth<G: Gates>(
    g: &mut G,
    function: Smooth,
    x: &Word<G::Wires>,
    input: Format,
    output: Format,
) -> Result<Word<G::Wires>, G::Error> {
    let steps = Steps::new(function, input, output);
    let x = resize(x, input.bits as usize);
    let negative = x.sign();
    let t = magnitude(g, &steps, &x)?;
    let reduced = reduce(g, &steps, &t)?;
    let e = exponential(g, &steps, &reduced.rest)?;
    let e = shift_by(g, &steps, &e, &reduced.half_multiple)?;
    let u = quotient(g, &steps, &e)?;
    // Rounding and the sign in one addition: -(u + r) is !u + !r in two's complement.
    let width = steps.quotient as usize + 2;
    let round = u.bit(0).xor(g, &negative);
    let whole = invert_if(g, &negative, &zero_extend(&shift_right(&u, 1)));
    let signed = add_with_carry(g, &whole, &Word::public(0, 1, x.lanes()), &round, width)?;
    let value = match function {
        Smooth::Tanh => signed,
        Smooth::Sigmoid => {
            // Never negative, so that the sign is public.
            let half = Word::public(1 << steps.quotient, width, x.lanes());
            zero_extend(&add_wrapping(g, &signed, &half, width)?)
        }
    };
    let scaled = if steps.scale >= 0 {
        shift_left(&value, steps.scale.min(90) as usize)
    } else {
        shift_right(&value, -steps.scale as usize)
    };
    saturate(g, &scaled, output.bits as usize)
}

/// t in `fraction` fraction bits: |x| scaled (as the ones' complement for negative x), saturated; the sign is public.
fn magnitude<G: Gates>(g: &mut G, steps: &Steps, x: &Word<G::Wires>) -> Result<Word<G::Wires>, G::Error> {
    let scaled = if steps.shift >= 0 {
        shift_left(x, steps.shift as usize)
    } else {
        shift_right(x, -steps.shift as usize)
    };
    let scaled = invert_if(g, &x.sign(), &scaled);
    let without_sign = resize(&scaled, scaled.width().saturating_sub(1));
    let most = (steps.ceiling + steps.fraction) as usize;
    if without_sign.width() <= most {
        return Ok(zero_extend(&without_sign));
    }
    let mut beyond = Bit::Public(false);
    for bit in &without_sign.bits()[most..] {
        beyond = beyond.or(g, bit)?;
    }
    let mut bits = Vec::with_capacity(most + 1);
    for bit in &without_sign.bits()[..most] {
        bits.push(bit.or(g, &beyond)?);
    }
    bits.push(Bit::Public(false));
    Ok(Word::new(bits, x.lanes()))
}

/// `z - c` where z is not negative, else `z + c`, in `width` bits.
fn towards_zero<G: Gates>(
    g: &mut G,
    z: &Word<G::Wires>,
    c: i64,
    width: usize,
) -> Result<Word<G::Wires>, G::Error> {
    let positive = z.sign().not(g);
    let c = Word::public(c, crate::meaning::width_of(c), z.lanes());
    let change = invert_if(g, &positive, &c);
    add_with_carry(g, z, &change, &positive, width)
}

/// t without an odd multiple of ln 2.
struct Reduced<W> {
    /// What is left, within ln 2 of zero.
    rest: Word<W>,
    /// The bits of half the multiple, rounded down, lowest first.
    half_multiple: Vec<Bit<W>>,
}

/// Takes multiples of ln 2 out of t.
fn reduce<G: Gates>(g: &mut G, steps: &Steps, t: &Word<G::Wires>) -> Result<Reduced<G::Wires>, G::Error> {
    // After level j what is left is within 2^j ln 2 of zero.
    let width = |j: u32| (steps.fraction + j) as usize + 1;
    let first = Word::public(-steps.ln_2(steps.levels - 1), width(steps.levels), t.lanes());
    let top = t.width().max(width(steps.levels - 1));
    let mut z = resize(&add_wrapping(g, t, &first, top)?, width(steps.levels - 1));
    let mut more = Vec::new();
    for j in (0..steps.levels - 1).rev() {
        more.push(z.sign().not(g));
        z = towards_zero(g, &z, steps.ln_2(j), width(j + 1))?;
        z = resize(&z, width(j));
    }
    more.reverse();
    Ok(Reduced { rest: z, half_multiple: more })
}

/// e^-z in `fraction` fraction bits and two before the point.
fn exponential<G: Gates>(g: &mut G, steps: &Steps, z: &Word<G::Wires>) -> Result<Word<G::Wires>, G::Error> {
    let width = steps.fraction as usize + 2;
    let mut z = z.clone();
    let mut divides = Vec::new();
    for i in steps.explicit_steps() {
        divides.push((i, z.sign().not(g)));
        // What is left is within 2^(1-i) of zero.
        z = towards_zero(g, &z, steps.artanh(i), (steps.fraction + 2 - i) as usize)?;
    }
    // The bits of what is left, from 2^(1-explicit) down and the first inverted, are the signs of the other steps.
    let signs = shift_right(&z, (steps.fraction - steps.last + 1) as usize);
    for i in steps.explicit..=steps.last {
        let bit = signs.bit((steps.last - i) as usize);
        divides.push((i, if i == steps.explicit { bit.not(g) } else { bit }));
    }
    let tabled: Vec<Bit<G::Wires>> = divides.iter().take(TABLED).map(|(_, bit)| bit.clone()).collect();
    let mut e = lookup(g, &tabled, &steps.tabled(), width + 1, z.lanes())?;
    for (i, divides) in &divides[TABLED..] {
        let part = invert_if(g, divides, &shift_right(&e, *i as usize));
        e = zero_extend(&add_with_carry(g, &e, &part, divides, width)?);
    }
    Ok(e)
}

/// `min(e / 2, 1 - 2^-fraction) >> more` in `fraction` bits and a public sign, `more` being twice the number of these bits.
fn shift_by<G: Gates>(
    g: &mut G,
    steps: &Steps,
    e: &Word<G::Wires>,
    more: &[Bit<G::Wires>],
) -> Result<Word<G::Wires>, G::Error> {
    let one = steps.fraction as usize;
    let half = shift_right(e, 1);
    let too_large = half.bit(one);
    let mut bits = Vec::with_capacity(one + 1);
    for i in 0..one {
        bits.push(half.bit(i).or(g, &too_large)?);
    }
    for (j, shifts) in more.iter().enumerate() {
        let by = 2_usize << j;
        let mut shifted = Vec::with_capacity(one);
        for i in 0..one {
            let from = bits.get(i + by).cloned().unwrap_or(Bit::Public(false));
            shifted.push(shifts.choose(g, &from, &bits[i])?);
        }
        bits = shifted;
    }
    bits.push(Bit::Public(false));
    Ok(Word::new(bits, e.lanes()))
}

/// `(1 - e) / (1 + e)` with `quotient + 1` fraction bits and a public sign.
fn quotient<G: Gates>(g: &mut G, steps: &Steps, e: &Word<G::Wires>) -> Result<Word<G::Wires>, G::Error> {
    let one = steps.fraction as usize;
    // With e below 1, the ones' complement of its bits is 1 - e (a unit less), and 1 + e is a bit on top of them.
    let fraction = resize(e, one);
    let mut divisor = fraction.bits().to_vec();
    divisor.extend([Bit::Public(true), Bit::Public(false)]);
    let divisor = Word::new(divisor, e.lanes());
    let numerator = zero_extend(&invert(g, &fraction));
    // The numerator is below the divisor: the digit before the point is known to be 0.
    let zeros = vec![Bit::Public(false); steps.quotient as usize + 1];
    let minus = invert(g, &divisor);
    let trial = add_with_carry(g, &numerator, &minus, &Bit::Public(true), divisor.width())?;
    let digits = quotient_digits(g, trial, &zeros, &divisor)?;
    Ok(zero_extend(&Word::new(digits, e.lanes())))
}

/// The entry of a public table that some bits name, lowest first, in `width` bits: `2^n - n - 1` ANDs for n bits, however wide
/// the entries. Each bit of the entry is an XOR of products of the bits.
fn lookup<G: Gates>(
    g: &mut G,
    index: &[Bit<G::Wires>],
    table: &[i64],
    width: usize,
    lanes: usize,
) -> Result<Word<G::Wires>, G::Error> {
    let mut products = vec![Bit::Public(true)];
    for bit in index {
        for i in 0..products.len() {
            let product = products[i].and(g, bit)?;
            products.push(product);
        }
    }
    // The algebraic normal form: entry m becomes the XOR of the table over all subsets of m.
    let mut form = table.to_vec();
    for bit in 0..index.len() {
        for m in 0..form.len() {
            if (m >> bit) & 1 == 1 {
                form[m] ^= form[m ^ (1 << bit)];
            }
        }
    }
    let mut bits = Vec::with_capacity(width);
    for i in 0..width {
        let mut sum = Bit::Public(false);
        for (product, form) in products.iter().zip(&form) {
            if (form >> i) & 1 == 1 {
                sum = sum.xor(g, product);
            }
        }
        bits.push(sum);
    }
    Ok(Word::new(bits, lanes))
}
