//! Powers of two: how many bits a range needs, and how a number becomes an integer with a shift.

/// Smallest i (at least -40) with every value of the range in `[-2^i, 2^i - 2^-frac]` for a fraction of 2^-30.
pub(super) fn integer_bits(low: f64, high: f64) -> i32 {
    (-40..=60)
        .find(|&i| {
            let top = 2f64.powi(i);
            low >= -top && high < top
        })
        .unwrap_or(60)
}

/// Smallest number of bits (at least 2) of a two's complement word that holds the value.
pub(super) fn signed_bits(value: i128) -> u32 {
    let magnitude = if value < 0 { !value } else { value };
    (129 - magnitude.leading_zeros()).max(2)
}

/// Smallest word that holds all values.
pub(super) fn bits_of(values: &[i128]) -> u32 {
    values.iter().map(|&v| signed_bits(v)).max().unwrap_or(2)
}

/// Largest f such that `|value| 2^f` rounds to at most `2^(bits-1) - 1`.
pub(super) fn fraction_for(value: f64, bits: u32) -> i32 {
    if value == 0.0 {
        return i32::MAX;
    }
    let top = 2f64.powi(bits as i32 - 1) - 1.0;
    let guess = (top / value).log2().floor() as i32 + 1;
    (guess - 2..=guess).rev().find(|&f| (value * 2f64.powi(f)).round() <= top).unwrap_or(guess - 2)
}

/// `value 2^frac`, rounded.
pub(super) fn scaled(value: f64, frac: i32) -> i64 {
    (value * 2f64.powi(frac)).round() as i64
}

/// As [`scaled`] for the accumulators of networks without truncation.
pub(super) fn scaled_wide(value: f64, frac: i32) -> i128 {
    (value * 2f64.powi(frac)).round() as i128
}

/// A number as `integer / 2^shift` with as few bits as an error of one part in 2^`precision` allows.
pub(super) fn dyadic(value: f64, precision: u32) -> (i64, i32) {
    if value == 0.0 {
        return (0, 0);
    }
    let first = -(value.abs().log2().floor() as i32);
    for extra in 0..=precision as i32 + 1 {
        let shift = first + extra;
        let integer = scaled(value, shift);
        let error = (integer as f64 * 2f64.powi(-shift) - value).abs();
        if integer != 0 && error <= value.abs() * 2f64.powi(-(precision as i32)) {
            return (integer, shift);
        }
    }
    (scaled(value, first + precision as i32 + 1), first + precision as i32 + 1)
}

/// Half a unit of what a shift keeps.
pub(super) fn half(shift: u32) -> i64 {
    if shift == 0 { 0 } else { 1 << (shift - 1) }
}

/// Bits of a count: the smallest b with `count <= 2^b`.
pub(super) fn ceil_log2(count: usize) -> u32 {
    count.max(1).next_power_of_two().trailing_zeros()
}
