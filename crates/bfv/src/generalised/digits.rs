//! Residues modulo `p = b^d + 1` as d balanced digits in base b, and back. Constant time in the residues.

use super::wide::Wide;

/// The digits of one base.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Digits {
    p: Wide,
    base: u64,
    count: usize,
    /// `sum of (b/2) b^j`: added to a centred residue it makes all digits non-negative.
    shift: i128,
    /// `m = b^(d/2)` and `floor((2^128 - 1) / m)`.
    middle: u128,
    middle_inverse: u128,
    /// `floor((2^64 - 1) / b)`.
    base_inverse: u64,
}

/// The high 128 bits of a product.
#[inline(always)]
const fn mul_high(a: u128, b: u128) -> u128 {
    let (a0, a1, b0, b1) = (a as u64 as u128, a >> 64, b as u64 as u128, b >> 64);
    let (low, cross0, cross1) = (a0 * b0, a0 * b1, a1 * b0);
    let carry = (low >> 64) + (cross0 as u64 as u128) + (cross1 as u64 as u128);
    a1 * b1 + (cross0 >> 64) + (cross1 >> 64) + (carry >> 64)
}

impl Digits {
    /// Digits of residues modulo `p = base^count + 1`, for an even base and a power of two from 2 on.
    pub(crate) fn new(p: Wide, base: u64, count: usize) -> Self {
        let middle = u128::from(base).pow(count as u32 / 2);
        let shift = (0..count).fold(0, |sum, _| sum * i128::from(base) + i128::from(base / 2));
        let (middle_inverse, base_inverse) = (u128::MAX / middle, u64::MAX / base);
        Self { p, base, count, shift, middle, middle_inverse, base_inverse }
    }

    /// Gives each digit, in `[-b/2, b/2]`, with its index. The sum of digit times `b^index` is the centred residue.
    #[inline(always)]
    pub(crate) fn split(&self, residue: u128, mut digit: impl FnMut(usize, i64)) {
        let x = (self.p.centred(residue) + self.shift) as u128;
        // One below the quotient at most.
        let mut high = mul_high(x, self.middle_inverse);
        let mut low = x - high * self.middle;
        let more = (low >= self.middle) as u128;
        high += more;
        low -= self.middle & more.wrapping_neg();
        self.split_word(low as u64, 0, &mut digit);
        self.split_word(high as u64, self.count / 2, &mut digit);
    }

    /// Half of the digits; the last takes what is left.
    #[inline(always)]
    fn split_word(&self, mut x: u64, start: usize, digit: &mut impl FnMut(usize, i64)) {
        let half = (self.base / 2) as i64;
        for index in start..start + self.count / 2 - 1 {
            let mut quotient = ((u128::from(x) * u128::from(self.base_inverse)) >> 64) as u64;
            let mut rest = x - quotient * self.base;
            let more = (rest >= self.base) as u64;
            quotient += more;
            rest -= self.base & more.wrapping_neg();
            digit(index, rest as i64 - half);
            x = quotient;
        }
        digit(start + self.count / 2 - 1, x as i64 - half);
    }

    /// The residue of `sum of digit b^index`, for digits of magnitude at most 2 b, by index from the highest down.
    #[inline(always)]
    pub(crate) fn combine(&self, digits: impl Iterator<Item = i64>) -> u128 {
        let base = i128::from(self.base);
        self.p.residue(digits.fold(0, |sum, digit| sum * base + i128::from(digit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_small_and_recombine() {
        for (base, count) in [(256u64, 2usize), (1 << 40, 2), (1500, 4), (44, 16), (2, 16), (1030, 8), (2, 8)]
        {
            let p = Wide::new(u128::from(base).pow(count as u32) + 1).unwrap();
            let digits = Digits::new(p, base, count);
            let m = p.value();
            let mut residues = vec![0, 1, 2, m - 1, m - 2, m / 2 - 1, m / 2, m / 2 + 1, m / 2 + 2, m / 3];
            residues
                .extend((1..500u128).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) % m));
            for residue in residues {
                let mut out = vec![0i64; count];
                digits.split(residue, |index, digit| out[index] = digit);
                assert!(out.iter().all(|digit| digit.unsigned_abs() <= base / 2), "{base}^{count}: {out:?}");
                assert_eq!(digits.combine(out.iter().rev().copied()), residue, "{base}^{count}");
                let exact = out.iter().rev().fold(0i128, |sum, d| sum * i128::from(base) + i128::from(*d));
                assert_eq!(exact, p.centred(residue));
            }
            let large = 2 * base as i64;
            assert!(digits.combine(vec![large; count].into_iter()) < m);
            assert!(digits.combine(vec![-large; count].into_iter()) < m);
        }
    }
}
