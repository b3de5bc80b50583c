//! The logistic function and the hyperbolic tangent by straight lines whose slopes are powers of two: PLAN (Amin, Curtis and
//! Hayes-Gill, "Piecewise linear approximation applied to nonlinear function of a neural network", 1997).
//!
//! Both are made of `u(t) = (1 - e^-t) / (1 + e^-t)` for t >= 0, as those by CORDIC are: `tanh x = +-u(2 |x|)` and
//! `sigmoid x = 1/2 +- u(|x|) / 2`, with
//!
//! | t | u |
//! | --- | --- |
//! | below 1 | `t / 2` |
//! | below 2.375 | `t / 4 + 1/4` |
//! | below 5 | `t / 16 + 11/16` |
//! | from 5 on | the largest number below 1 |
//!
//! A negative number is turned into its ones' complement, and u back, which is free. The error is at most 0.0190 for the
//! logistic function and 0.0379 for the tangent, and two units in the last place, and the slope times a unit of the input.

use super::smooth::{MOST_FRACTION, Smooth};
use super::{Format, saturate};

/// Fraction bits of t and u beyond those of the result: no line drops more.
pub(crate) const GUARD: u32 = 4;
/// Integer bits of t that the lines look at.
pub(crate) const INTEGER: u32 = 3;
/// Where the second, the third and the last line begin, in sixteenths.
pub(crate) const BEGINS: [i64; 3] = [16, 38, 80];
/// The right shifts of the first three lines, and what they add, in sixteenths.
pub(crate) const LINES: [(u32, i64); 3] = [(1, 0), (2, 4), (4, 11)];

/// The formats that a function works with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines {
    /// Fraction bits of u in the result.
    pub(crate) quotient: u32,
    /// Fraction bits of t.
    pub(crate) fraction: u32,
    /// Left shift of the input to `fraction` bits, doubled for tanh; negative is right.
    pub(crate) shift: i32,
    /// Left shift of the result to the output's fraction; negative is right.
    pub(crate) scale: i32,
}

impl Lines {
    /// For a function and its formats.
    pub(crate) fn new(function: Smooth, input: Format, output: Format) -> Self {
        let computed = output.frac.clamp(1, MOST_FRACTION);
        let (quotient, doubled) = match function {
            Smooth::Sigmoid => (computed as u32 - 1, 0),
            Smooth::Tanh => (computed as u32, 1),
        };
        let fraction = quotient + GUARD;
        // Beyond this shift everything but zero lies on the last line.
        let shift = (fraction as i32 - input.frac + doubled).min((fraction + INTEGER) as i32);
        Self { quotient, fraction, shift, scale: output.frac - computed }
    }

    /// Sixteenths in `fraction` fraction bits.
    pub(crate) fn sixteenths(&self, value: i64) -> i64 {
        value << (self.fraction - 4)
    }

    /// u in `quotient` fraction bits.
    fn u(&self, t: u128) -> i64 {
        let [first, second, last] = BEGINS.map(|begin| self.sixteenths(begin) as u128);
        let (shift, addend) = match t {
            t if t >= last => return (1 << self.quotient) - 1,
            t if t >= second => LINES[2],
            t if t >= first => LINES[1],
            _ => LINES[0],
        };
        ((t >> shift) as i64 + self.sixteenths(addend)) >> GUARD
    }
}

fn value(function: Smooth, x: i64, input: Format, output: Format) -> i64 {
    let lines = Lines::new(function, input, output);
    let magnitude = (x ^ (x >> 63)) as u128;
    let t = if lines.shift >= 0 { magnitude << lines.shift } else { magnitude >> (-lines.shift).min(127) };
    let u = lines.u(t) ^ (x >> 63);
    let value = match function {
        Smooth::Tanh => u,
        Smooth::Sigmoid => u + (1 << lines.quotient),
    };
    let scaled = if lines.scale >= 0 {
        i128::from(value) << lines.scale.min(90)
    } else {
        i128::from(value) >> (-lines.scale).min(127)
    };
    saturate(scaled, output.bits)
}

/// The logistic function by straight lines; x is a value of its format.
pub fn piecewise_sigmoid(x: i64, input: Format, output: Format) -> i64 {
    value(Smooth::Sigmoid, x, input, output)
}

/// The hyperbolic tangent by straight lines; x is a value of its format.
pub fn piecewise_tanh(x: i64, input: Format, output: Format) -> i64 {
    value(Smooth::Tanh, x, input, output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_as_stated() {
        for output in
            [Format { bits: 16, frac: 12 }, Format { bits: 10, frac: 6 }, Format { bits: 20, frac: 16 }]
        {
            for input in
                [Format { bits: 16, frac: 12 }, Format { bits: 16, frac: 9 }, Format { bits: 12, frac: 3 }]
            {
                let (unit, step) = (0.5f64.powi(output.frac), 0.5f64.powi(input.frac));
                for x in -1i64 << (input.bits - 1)..1 << (input.bits - 1) {
                    let real = x as f64 * 0.5f64.powi(input.frac);
                    let error = |got: i64, wanted: f64| (got as f64 * unit - wanted).abs();
                    let sigmoid = error(piecewise_sigmoid(x, input, output), 1.0 / (1.0 + (-real).exp()));
                    assert!(sigmoid <= 0.019 + 2.0 * unit + step / 4.0, "sigmoid {real}: {sigmoid}");
                    let tanh = error(piecewise_tanh(x, input, output), real.tanh());
                    assert!(tanh <= 0.0379 + 2.0 * unit + step, "tanh {real}: {tanh}");
                }
            }
        }
    }
}
