//! Weights as bits that the evaluator knows, recoded for multiplication.
//!
//! A weight w of b bits enters as the digits of the odd number `2 w + 1`. With `B = w + 2^(b-1)` (the bits of w with the sign
//! flipped) and signs `s_i = 2 B_i - 1`, that number is `sum_i s_i 2^i`: a recoding that needs no carries and has no
//! zero digit. Two signs make a radix-4 digit `2 s_(2k+1) + s_(2k)` in {-3, -1, 1, 3}: one AND with a known bit chooses
//! between x and 3 x, negation is an XOR and a carry-in. Compared with Booth's digits {-2, ..., 2} that saves one of two
//! known ANDs per bit of a partial product and one of three transfers per digit; 3 x is made once for all weights that meet x, and
//! the sum of the x, which `2 w + 1` brings in, is one addition per input.

/// Number of known bits that a weight of `bits` bits takes: as many.
pub const fn encoded_bits(bits: u32) -> usize {
    bits as usize
}

/// Appends the known bits of `value` in `[-2^(bits-1), 2^(bits-1))`, `bits` from 1 to 64: for each radix-4 digit whether its
/// magnitude is 3, then whether it is negative; for an odd width, last, whether the top digit of magnitude 1 is negative.
/// No step depends on the value.
pub fn encode(value: i64, bits: u32, out: &mut Vec<bool>) {
    let flipped = value ^ (1_u64 << (bits - 1)) as i64;
    let bit = |i: u32| (flipped >> i) & 1 == 1;
    for low in (0..bits).step_by(2) {
        if low + 1 < bits {
            out.push(bit(low) == bit(low + 1));
            out.push(!bit(low + 1));
        } else {
            out.push(!bit(low));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_sum_to_twice_the_weight_and_one() {
        for bits in 1..=12_u32 {
            for value in -(1_i64 << (bits - 1))..1 << (bits - 1) {
                let mut digits = Vec::new();
                encode(value, bits, &mut digits);
                assert_eq!(digits.len(), encoded_bits(bits));
                let mut sum = 0;
                for (k, digit) in digits.chunks(2).enumerate() {
                    let (three, negative) =
                        if let [three, negative] = digit { (*three, *negative) } else { (false, digit[0]) };
                    sum +=
                        (if negative { -1 } else { 1 }) * (if three { 3 } else { 1 }) * 4_i64.pow(k as u32);
                }
                assert_eq!(sum, 2 * value + 1, "{value} in {bits} bits");
            }
        }
    }
}
