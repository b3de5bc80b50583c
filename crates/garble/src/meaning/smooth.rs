//! The hyperbolic tangent and the logistic function without tables: CORDIC on a reduced range.
//!
//! Both are made of `u(t) = (1 - e^-t) / (1 + e^-t)` for t >= 0: `tanh x = +-u(2 |x|)` and
//! `sigmoid x = 1/2 +- u(|x|) / 2`. The steps, all on integers with `fraction` fraction bits:
//!
//! 1. *Range.* `t = k ln 2 + z` with k odd and |z| <= ln 2, by subtracting or adding `2^j ln 2` as the sign of what is left
//!    says, j falling to 0. Larger t than u can tell from infinity saturate first.
//! 2. *Exponential.* `e^-z` as a product of factors `1 -+ 2^-i`: `1 -+ 2^-i = e^(-+artanh 2^-i) sqrt(1 - 4^-i)`, and the square
//!    roots are one constant. That is the hyperbolic CORDIC (Walther 1971) in the variable cosh + sinh: one addition
//!    a step, not two. The signs follow z down to the step `explicit` (4 is done twice, as convergence demands); from there
//!    on `artanh 2^-i` is `2^-i` to the precision at hand, so the bits of z *are* the signs and z needs no more steps.
//! 3. *Quotient.* `e = e^-z >> k`, and `(1 - e) / (1 + e)` by long division, rounded to nearest.
//!
//! The result is faithful: less than 1 unit in the last place from the real function (1.1 from 24 fraction bits on). DeepSecure's
//! Table 2 spends 3900 gates on 14 two-variable steps and a divider.

use super::constants::{ARTANH, FRACTION, INVERSE_GAIN, LN_2};
use super::{Format, saturate};

/// Which function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Smooth {
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// `tanh x`.
    Tanh,
}

/// The most fraction bits that are computed; more are filled with zeros.
pub(crate) const MOST_FRACTION: i32 = 32;

/// The numbers that a function with given formats works with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steps {
    /// Fraction bits of u.
    pub(crate) quotient: u32,
    /// Fraction bits of everything before the quotient.
    pub(crate) fraction: u32,
    /// Left shift that brings the input to `fraction` bits and doubles it for tanh; negative is right.
    pub(crate) shift: i32,
    /// t saturates below `2^ceiling`.
    pub(crate) ceiling: u32,
    /// Multiples of ln 2: j runs from `levels - 1` down to 0.
    pub(crate) levels: u32,
    /// The last step whose sign is that of z.
    pub(crate) explicit: u32,
    /// The last step.
    pub(crate) last: u32,
    /// Left shift of the result to the output's fraction; negative is right.
    pub(crate) scale: i32,
}

/// The widest table of constants that replaces first steps: 2^4 entries.
pub(crate) const TABLED: usize = 4;

impl Steps {
    /// For a function and its formats.
    pub(crate) fn new(function: Smooth, input: Format, output: Format) -> Self {
        let computed = output.frac.clamp(1, MOST_FRACTION);
        let (quotient, doubled) = match function {
            Smooth::Sigmoid => (computed as u32 - 1, 0),
            Smooth::Tanh => (computed as u32, 1),
        };
        let explicit = ((quotient + 5) / 3).max(5);
        let last = (quotient + 1).max(explicit + 1);
        let fraction = (quotient + 4 + quotient / 20).max(last + 3);
        // From t = 2^ceiling ln 2 on, 2 e^-t is below a quarter of a unit of u.
        let ceiling = (quotient + 3).next_power_of_two().trailing_zeros();
        // A shift beyond this saturates everything that is not zero already.
        let shift = (fraction as i32 - input.frac + doubled).min((ceiling + fraction) as i32);
        // t < 2^magnitude on entry.
        let magnitude = input.bits as i32 - 1 + shift - fraction as i32;
        let levels = (magnitude.min(ceiling as i32) + 1).max(1) as u32;
        let scale = output.frac - computed;
        Self { quotient, fraction, shift, ceiling, levels, explicit, last, scale }
    }

    /// A constant to `fraction` fraction bits, times `2^up`.
    fn rounded(&self, constant: u64, up: u32) -> i64 {
        let drop = FRACTION - self.fraction - up;
        ((constant + (1 << (drop - 1))) >> drop) as i64
    }

    /// `2^j ln 2`.
    pub(crate) fn ln_2(&self, j: u32) -> i64 {
        self.rounded(LN_2, j)
    }

    /// artanh(2^-i).
    pub(crate) fn artanh(&self, i: u32) -> i64 {
        self.rounded(ARTANH[i as usize - 1], 0)
    }

    /// The steps whose signs are those of z, in order.
    pub(crate) fn explicit_steps(&self) -> impl Iterator<Item = u32> + use<> {
        (1..=4).chain(4..=self.explicit)
    }

    /// The product of all the steps' square roots, inverted: where the exponential starts.
    pub(crate) fn start(&self) -> i64 {
        let gain = |i: u32| INVERSE_GAIN.get(i as usize - 1).copied().unwrap_or(1 << FRACTION);
        let steps = self.explicit_steps().chain(self.explicit..=self.last);
        let product =
            steps.fold(1_u128 << FRACTION, |product, i| (product * u128::from(gain(i))) >> FRACTION);
        self.rounded(product as u64, 0)
    }

    /// The exponential after the first [`TABLED`] steps, for each combination of their signs; bit i of the index is set if
    /// step i + 1 divides.
    pub(crate) fn tabled(&self) -> Vec<i64> {
        (0..1 << TABLED)
            .map(|signs: u32| {
                (0..TABLED as u32).fold(self.start(), |e, i| step(e, i + 1, (signs >> i) & 1 == 1))
            })
            .collect()
    }
}

/// One factor of the exponential: `1 - 2^-i` if `divides`, else `1 + 2^-i`.
fn step(exponential: i64, i: u32, divides: bool) -> i64 {
    let part = exponential >> i;
    if divides { exponential - part } else { exponential + part }
}

/// `2^quotient u(t)`, one bit more precise and rounded down.
fn quotient(steps: &Steps, t: i64) -> i64 {
    let (mut z, mut k) = (t - steps.ln_2(steps.levels - 1), 1);
    for j in (0..steps.levels - 1).rev() {
        if z >= 0 {
            z -= steps.ln_2(j);
            k += 2 << j;
        } else {
            z += steps.ln_2(j);
        }
    }
    let mut e = steps.start();
    for i in steps.explicit_steps() {
        e = step(e, i, z >= 0);
        z += if z >= 0 { -steps.artanh(i) } else { steps.artanh(i) };
    }
    // z lies in (-2^(1-explicit), 2^(1-explicit)): its bits from there down, the first inverted, are the signs.
    let signs = z >> (steps.fraction - steps.last + 1);
    for i in steps.explicit..=steps.last {
        let bit = (signs >> (steps.last - i)) & 1 == 1;
        e = step(e, i, bit != (i == steps.explicit));
    }
    let one = 1_i64 << steps.fraction;
    let e = (e >> 1).min(one - 1) >> (k - 1_u32).min(63);
    // 1 - e, a unit less than exact so that the quotient stays below 1.
    (((one - 1 - e) as i128) << (steps.quotient + 1)).div_euclid((one + e) as i128) as i64
}

fn smooth(function: Smooth, x: i64, input: Format, output: Format) -> i64 {
    let steps = Steps::new(function, input, output);
    let negative = x < 0;
    let shifted = if steps.shift >= 0 {
        i128::from(x) << steps.shift
    } else {
        i128::from(x) >> (-steps.shift).min(127)
    };
    // The ones' complement: half a unit of the internal fraction from |x| at most, and free in a circuit.
    let t =
        (if negative { !shifted } else { shifted }).min((1 << (steps.ceiling + steps.fraction)) - 1) as i64;
    let u = quotient(&steps, t);
    let rounded = (u >> 1) + (u & 1);
    let signed = if negative { -rounded } else { rounded };
    let value = match function {
        Smooth::Sigmoid => signed + (1 << steps.quotient),
        Smooth::Tanh => signed,
    };
    let value = i128::from(value);
    let scaled =
        if steps.scale >= 0 { value << steps.scale.min(90) } else { value >> (-steps.scale).min(127) };
    saturate(scaled, output.bits)
}

/// The logistic function `1 / (1 + e^-x)` of `x / 2^input.frac`, in units of `2^-output.frac`, saturated to the output's bits; x is
/// a value of its format. Less than 1 unit from the real function up to 20 fraction bits, less than 2 up to 32.
pub fn sigmoid(x: i64, input: Format, output: Format) -> i64 {
    smooth(Smooth::Sigmoid, x, input, output)
}

/// The hyperbolic tangent, with the conventions and the precision of [`sigmoid`].
pub fn tanh(x: i64, input: Format, output: Format) -> i64 {
    smooth(Smooth::Tanh, x, input, output)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(function: Smooth, x: i64, input: Format, output: Format) -> f64 {
        let real = x as f64 / 2_f64.powi(input.frac);
        let real = match function {
            Smooth::Sigmoid => 1.0 / (1.0 + (-real).exp()),
            Smooth::Tanh => real.tanh(),
        };
        (smooth(function, x, input, output) as f64 - real * 2_f64.powi(output.frac)).abs()
    }

    #[test]
    fn sixteen_bits_are_faithful_on_every_input() {
        let format = Format { bits: 16, frac: 12 };
        for function in [Smooth::Sigmoid, Smooth::Tanh] {
            let worst = (-32768..32768).map(|x| error(function, x, format, format)).fold(0.0, f64::max);
            println!("{function:?}: at most {worst:.3} units in the last place from the real function");
            assert!(worst < 1.0);
        }
    }

    #[test]
    fn other_formats_are_as_good() {
        for output_frac in [1, 2, 4, 8, 12, 16, 20, 24, 31] {
            let bound = if output_frac > 20 { 2.0 } else { 1.0 };
            for (bits, frac) in
                [(8, 4), (12, 0), (16, 12), (20, 18), (24, 12), (32, 20), (48, 30), (20, -3), (10, 20)]
            {
                let (input, output) = (Format { bits, frac }, Format { bits: 40, frac: output_frac });
                let half = 1_i64 << (bits - 1);
                let stride = (half / 5000).max(1) | 1;
                for function in [Smooth::Sigmoid, Smooth::Tanh] {
                    // Inputs over the whole range, and every one around zero.
                    for x in (-half..half).step_by(stride as usize).chain((-200).max(-half)..200.min(half)) {
                        let error = error(function, x, input, output);
                        assert!(error < bound, "{function:?}({x}) {input:?} -> {output:?}: {error}");
                    }
                }
            }
        }
    }

    #[test]
    fn extremes_of_formats_do_not_overflow() {
        for input in
            [Format { bits: 63, frac: 62 }, Format { bits: 63, frac: -100 }, Format { bits: 1, frac: 200 }]
        {
            for output in
                [Format { bits: 63, frac: 60 }, Format { bits: 2, frac: -40 }, Format { bits: 8, frac: 12 }]
            {
                for x in [-(1 << (input.bits - 1)), -1, 0, (1 << (input.bits - 1)) - 1] {
                    let one = saturate(1 << output.frac.clamp(0, 100), output.bits);
                    assert!((-1..=one).contains(&sigmoid(x, input, output)));
                    assert!(tanh(x, input, output).abs() <= one + 1);
                }
            }
        }
    }
}
