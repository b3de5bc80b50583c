//! Numbers that the evaluator knows, recoded for cheap multiplication.
//!
//! A weight enters the circuit as radix-4 Booth digits in {-2, -1, 0, 1, 2}, each as three bits: the evaluator recodes in the
//! clear, so that half as many partial products need adding as with plain bits.

/// Wires of one digit: `one` (digit is 1 or -1), `two` (digit is 2 or -2), `negative`.
pub const DIGIT_WIRES: usize = 3;

/// Number of digits of a number of `bits` bits.
pub const fn digits(bits: u32) -> usize {
    bits.div_ceil(2) as usize
}

/// Number of known wires that a number of `bits` bits takes.
pub const fn encoded_bits(bits: u32) -> usize {
    DIGIT_WIRES * digits(bits)
}

/// Appends the digits of `value`, which lies in `[-2^(bits-1), 2^(bits-1))`, lowest first, each as `one`, `two`, `negative`.
/// No branch depends on the value.
pub fn encode(value: i64, bits: u32, out: &mut Vec<bool>) {
    let bit = |index: i64| -> bool {
        // Below the lowest bit stands a zero, above the highest the sign.
        index >= 0 && value >> index.clamp(0, 63) & 1 == 1
    };
    for digit in 0..digits(bits) as i64 {
        let (high, middle, low) = (bit(2 * digit + 1), bit(2 * digit), bit(2 * digit - 1));
        out.push(middle ^ low);
        out.push(!(middle ^ low) & (high ^ middle));
        out.push(high & !(middle & low));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_add_up_to_the_number() {
        for bits in 1..=12 {
            for value in -(1i64 << (bits - 1))..1 << (bits - 1) {
                let mut wires = Vec::new();
                encode(value, bits, &mut wires);
                assert_eq!(wires.len(), encoded_bits(bits));
                let sum: i64 = wires
                    .chunks(DIGIT_WIRES)
                    .enumerate()
                    .map(|(digit, wires)| {
                        assert!(!(wires[0] && wires[1]));
                        let size = i64::from(wires[0]) + 2 * i64::from(wires[1]);
                        (if wires[2] { -size } else { size }) << (2 * digit)
                    })
                    .sum();
                assert_eq!(sum, value, "{bits} bits");
            }
        }
    }
}
