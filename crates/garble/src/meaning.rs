//! What the gadgets compute, in plain integers.
//!
//! The integer reference of a model calls these, so that a garbled network and its reference have one meaning. Sums, products and
//! comparisons need no entry: they are exact.

pub(crate) mod constants;
pub(crate) mod piecewise;
pub(crate) mod smooth;

pub use piecewise::{piecewise_sigmoid, piecewise_tanh};
pub use smooth::{sigmoid, tanh};

/// How a word's integers stand for real numbers: `v / 2^frac`, v in `[-2^(bits-1), 2^(bits-1))`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Width, 1 to 63.
    pub bits: u32,
    /// Fraction bits; may be negative.
    pub frac: i32,
}

/// Bits of the narrowest two's-complement word that holds a value.
pub const fn width_of(value: i64) -> usize {
    65 - (value ^ (value >> 63)).leading_zeros() as usize
}

/// The nearest value in `[-2^(bits-1), 2^(bits-1))`; `bits` is 1 to 63.
pub const fn saturate(value: i128, bits: u32) -> i64 {
    let high = (1_i128 << (bits - 1)) - 1;
    let low = -high - 1;
    let inside = if value > high {
        high
    } else if value < low {
        low
    } else {
        value
    };
    inside as i64
}

/// `a 2^frac / b` rounded towards zero, its magnitude at most `2^(bits-1) - 1`. Division by zero gives that magnitude with
/// the sign of a (plus for 0 / 0). `bits` is 2 to 63, `frac` at most 63.
pub const fn divide(a: i64, b: i64, frac: u32, bits: u32) -> i64 {
    let largest = (1_u128 << (bits - 1)) - 1;
    let numerator = (a.unsigned_abs() as u128) << frac;
    let quotient = match numerator.checked_div(b.unsigned_abs() as u128) {
        Some(quotient) if quotient < largest => quotient,
        _ => largest,
    } as i64;
    if (a < 0) != (b < 0) { -quotient } else { quotient }
}

/// About `x w / 2^drop` in `width` bits (wrapped), w of `w_bits` bits: the product without the columns below
/// `drop - guard`. The meaning of [`crate::gadgets::mul_truncated`].
///
/// w is a sum of digits in {-3, -1, 1, 3} times powers of four, the lowest in {-2, -1, 0, 1} ([`crate::known`]). Of each digit's
/// multiple of x the magnitude's bits below column `c = drop - guard` are cut off, and half a unit of the result is
/// added. The digits that are cut, at most `(c + 3) / 2` of them, err by less than `2^-guard` units each, to either side: with the
/// rounding the error is below `1/2 + (c + 3) / 2 * 2^-guard` units of the result.
pub const fn mul_truncated(x: i64, w: i64, w_bits: u32, (drop, guard): (u32, u32), width: u32) -> i64 {
    let guard = if guard < drop { guard } else { drop };
    let column = drop - guard;
    let flipped = (w as i128 + (1 << (w_bits - 1))) as u128;
    let mut sum: i128 = if guard > 0 { 1 << (guard - 1) } else { 0 };
    let mut low = 0;
    while low < w_bits {
        let (first, second) = (flipped >> low & 1 == 1, flipped >> (low + 1) & 1 == 1);
        let pair = low + 1 < w_bits;
        // The digit of 2 w + 1; what it contributes to w stands one place lower, and the unit is taken off the lowest.
        let mut digit = if first { 1 } else { -1 };
        if pair {
            digit += if second { 2 } else { -2 };
        }
        let (multiple, place) = if low == 0 { ((digit - 1) / 2, 0) } else { (digit, low - 1) };
        let magnitude = x as i128 * (if multiple < 0 { -multiple } else { multiple });
        let cut = magnitude << place >> column;
        sum += if multiple < 0 { -cut } else { cut };
        low += 2;
    }
    let result = sum >> guard;
    (result << (128 - width) >> (128 - width)) as i64
}

/// `saturate((x * factor + addend) >> shift)` to `bits` bits: the meaning of [`crate::gadgets::affine`].
pub const fn affine(x: i64, factor: i64, addend: i64, shift: u32, bits: u32) -> i64 {
    let sum = x as i128 * factor as i128 + addend as i128;
    saturate(sum >> if shift > 127 { 127 } else { shift }, bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_the_narrowest() {
        for (value, width) in
            [(0, 1), (-1, 1), (1, 2), (-2, 2), (2, 3), (-3, 3), (i64::MAX, 64), (i64::MIN, 64)]
        {
            assert_eq!(width_of(value), width, "{value}");
        }
    }

    #[test]
    fn quotients_round_towards_zero_and_saturate() {
        assert_eq!(divide(7, 2, 0, 16), 3);
        assert_eq!(divide(-7, 2, 0, 16), -3);
        assert_eq!(divide(1, 3, 12, 16), 1365);
        assert_eq!(divide(1, 0, 12, 16), 32767);
        assert_eq!(divide(-1, 0, 12, 16), -32767);
        assert_eq!(divide(0, 0, 12, 16), 32767);
        assert_eq!(divide(-32768, 1, 12, 16), -32767);
    }

    #[test]
    fn saturation_clamps() {
        assert_eq!([saturate(127, 8), saturate(128, 8), saturate(-129, 8)], [127, 127, -128]);
        assert_eq!(affine(-5, 3, 1, 1, 8), -7);
    }
}
