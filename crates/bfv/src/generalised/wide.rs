//! Arithmetic modulo an odd number of up to 120 bits, in Montgomery's form.
//!
//! Everything but [`Wide::pow`] and what is built on it runs in constant time: no branch, address or division depends on a
//! residue.

/// Most bits of a modulus: eight times it must fit a signed 128-bit number.
pub(crate) const MAX_BITS: u32 = 120;

/// An odd modulus p below 2^120 with its constants. Residues are in `[0, p)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wide {
    value: u128,
    /// `-1 / p mod 2^64`.
    minus_inverse: u64,
    /// `2^256 mod p`.
    square: u128,
}

/// A constant factor, times 2^128: a product by it needs no conversion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Factor(u128);

impl Wide {
    /// `None` unless the number is odd, above 2 and below 2^120.
    pub(crate) fn new(value: u128) -> Option<Self> {
        if value < 3 || value & 1 == 0 || value >> MAX_BITS != 0 {
            return None;
        }
        let low = value as u64;
        // Newton's iteration doubles the correct low bits; an odd number is its own inverse modulo 8.
        let inverse = (0..5).fold(low, |x, _| x.wrapping_mul(2u64.wrapping_sub(low.wrapping_mul(x))));
        let mut out = Self { value, minus_inverse: inverse.wrapping_neg(), square: 0 };
        // Doubling 2^0 up to 2^256.
        out.square = (0..256).fold(1, |x, _| out.add(x, x));
        Some(out)
    }

    pub(crate) const fn value(&self) -> u128 {
        self.value
    }

    /// Subtracts `bound` once if that does not go below zero; both below 2^127.
    #[inline(always)]
    const fn correct_by(x: u128, bound: u128) -> u128 {
        let less = x.wrapping_sub(bound);
        less.wrapping_add(bound & (less >> 127).wrapping_neg())
    }

    #[inline(always)]
    pub(crate) const fn add(&self, a: u128, b: u128) -> u128 {
        Self::correct_by(a + b, self.value)
    }

    #[inline(always)]
    pub(crate) const fn sub(&self, a: u128, b: u128) -> u128 {
        Self::correct_by(a + self.value - b, self.value)
    }

    /// `a b / 2^128 mod p`, for any `a` and a residue `b`: two rounds of Montgomery's reduction by words.
    #[inline(always)]
    const fn montgomery(&self, a: u128, b: u128) -> u128 {
        let (b0, b1) = (b as u64 as u128, b >> 64);
        let (p0, p1) = (self.value as u64 as u128, self.value >> 64);
        let mut sum = 0u128;
        let words = [a as u64, (a >> 64) as u64];
        let mut index = 0;
        while index < 2 {
            let word = words[index] as u128;
            let low = word * b0 + (sum as u64 as u128);
            let high = word * b1 + (sum >> 64) + (low >> 64);
            let multiple = (low as u64).wrapping_mul(self.minus_inverse) as u128;
            let carry = (multiple * p0 + (low as u64 as u128)) >> 64;
            let middle = multiple * p1 + (high as u64 as u128) + carry;
            sum = middle + ((high >> 64) << 64);
            index += 1;
        }
        // Below b + p.
        Self::correct_by(sum, self.value)
    }

    /// `a w mod p` for any `a`.
    #[inline(always)]
    pub(crate) const fn mul(&self, a: u128, w: Factor) -> u128 {
        self.montgomery(a, w.0)
    }

    /// A residue as a constant factor.
    pub(crate) const fn factor(&self, w: u128) -> Factor {
        Factor(self.montgomery(w, self.square))
    }

    /// The residue of a signed number of magnitude at most 4 p.
    #[inline(always)]
    pub(crate) const fn residue(&self, x: i128) -> u128 {
        let shifted = (x + 4 * self.value as i128) as u128;
        let shifted = Self::correct_by(shifted, 4 * self.value);
        let shifted = Self::correct_by(shifted, 4 * self.value);
        Self::correct_by(Self::correct_by(shifted, 2 * self.value), self.value)
    }

    /// The representative in `[-(p-1)/2, (p-1)/2]`.
    #[inline(always)]
    pub(crate) const fn centred(&self, x: u128) -> i128 {
        let above = ((self.value >> 1) as i128 - x as i128) >> 127;
        x as i128 - (self.value as i128 & above)
    }

    /// `a^exponent mod p` for a residue. Variable time in the exponent.
    pub(crate) fn pow(&self, a: u128, mut exponent: u128) -> u128 {
        let (mut power, mut out) = (self.factor(a), self.factor(1));
        while exponent > 0 {
            if exponent & 1 == 1 {
                out = Factor(self.montgomery(out.0, power.0));
            }
            power = Factor(self.montgomery(power.0, power.0));
            exponent >>= 1;
        }
        self.montgomery(1, out.0)
    }

    /// The inverse of a residue, for a prime modulus. Variable time in the modulus alone.
    pub(crate) fn inverse(&self, a: u128) -> u128 {
        self.pow(a, self.value - 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Schoolbook product modulo p, bit by bit.
    fn slow(p: &Wide, a: u128, b: u128) -> u128 {
        (0..120).rev().fold(0, |sum, bit| {
            let sum = p.add(sum, sum);
            if b >> bit & 1 == 1 { p.add(sum, a) } else { sum }
        })
    }

    #[test]
    fn products_match_the_schoolbook() {
        for value in [3u128, 5, 65537, (1 << 61) - 1, (1 << 64) + 13, (1 << 89) - 1, (1 << 120) - 1] {
            let p = Wide::new(value).unwrap();
            let mut x = 0x0123_4567_89ab_cdef_1122_3344_5566_7788u128;
            for _ in 0..200 {
                x = x
                    .wrapping_mul(0xda94_2042_e4dd_58b5_0000_0000_0000_0001)
                    .wrapping_add(0x1234_5678_9abc_def1);
                let (a, b) = (x % value, (x >> 7) % value);
                assert_eq!(p.mul(a, p.factor(b)), slow(&p, a, b), "{value}");
                assert_eq!(p.mul(u128::MAX, p.factor(b)), slow(&p, u128::MAX % value, b));
                assert_eq!(p.residue(p.centred(a)), a);
                assert!(p.centred(a).unsigned_abs() <= value / 2);
            }
            for edge in [0, 1, value - 1, value / 2, value / 2 + 1] {
                assert_eq!(p.mul(edge, p.factor(value - 1)), p.sub(0, edge));
                assert_eq!(p.residue(p.centred(edge)), edge);
                assert_eq!(p.residue(edge as i128 - 4 * value as i128), edge);
                assert_eq!(p.residue(edge as i128 + 3 * value as i128), edge);
                assert_eq!(p.residue(4 * value as i128), 0);
            }
            assert_eq!(p.pow(2, 5), 32 % value);
        }
        assert!(Wide::new(4).is_none() && Wide::new(1).is_none() && Wide::new(1 << 120 | 1).is_none());
    }

    #[test]
    fn inverses_of_a_prime() {
        let p = Wide::new((1 << 89) - 1).unwrap();
        for a in [1u128, 2, 12345, (1 << 88) + 7] {
            assert_eq!(p.mul(a, p.factor(p.inverse(a))), 1);
        }
    }
}
