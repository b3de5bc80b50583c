//! What additive shares are modulo: a power of two, or an odd number.

use kernel::modular::Modulus;

/// The modulus of shares, as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShareModulus {
    /// `2^k`, with k from 1 to 64.
    PowerOfTwo(u32),
    /// An odd number of at most 62 bits: slots of an encryption have such.
    Odd(Modulus),
}

impl ShareModulus {
    /// An odd modulus; `None` unless it is odd, above 2 and below 2^62.
    pub fn odd(value: u64) -> Option<Self> {
        Modulus::new(value).filter(|modulus| modulus.value() % 2 == 1).map(Self::Odd)
    }

    /// Bits of a share.
    pub const fn bits(&self) -> u32 {
        match self {
            Self::PowerOfTwo(bits) => *bits,
            Self::Odd(modulus) => modulus.bits(),
        }
    }

    /// The residue of a number.
    pub const fn of(&self, x: i64) -> u64 {
        match self {
            Self::PowerOfTwo(_) => self.reduce(x as u64),
            Self::Odd(modulus) => modulus.from_signed(x),
        }
    }

    /// The residue of a word.
    pub const fn reduce(&self, x: u64) -> u64 {
        match self {
            Self::PowerOfTwo(bits) => x & (u64::MAX >> (64 - *bits)),
            Self::Odd(modulus) => modulus.reduce(x),
        }
    }

    /// `a + b`, of residues.
    pub const fn add(&self, a: u64, b: u64) -> u64 {
        match self {
            Self::PowerOfTwo(_) => self.reduce(a.wrapping_add(b)),
            Self::Odd(modulus) => modulus.add(a, b),
        }
    }

    /// `a - b`, of residues.
    pub const fn sub(&self, a: u64, b: u64) -> u64 {
        match self {
            Self::PowerOfTwo(_) => self.reduce(a.wrapping_sub(b)),
            Self::Odd(modulus) => modulus.sub(a, b),
        }
    }

    /// `a factor`, of a residue and any number.
    pub const fn scale(&self, a: u64, factor: i64) -> u64 {
        match self {
            Self::PowerOfTwo(_) => self.reduce(a.wrapping_mul(factor as u64)),
            Self::Odd(modulus) => modulus.mul(a, modulus.from_signed(factor)),
        }
    }

    /// `a 2^left`, of a residue and a shift below 64.
    pub const fn shift(&self, a: u64, left: u32) -> u64 {
        match self {
            Self::PowerOfTwo(_) => self.reduce(a.wrapping_shl(left)),
            Self::Odd(modulus) => modulus.mul(a, 1 << left),
        }
    }

    /// The form in which the garbler's share enters [`crate::gadgets::reconstruct_modulo`], of as many bits as a share. Modulo `2^k` it is the
    /// share; modulo p the share plus `(p - 1) / 2`, less p, modulo `2^bits`: with the evaluator's it then carries where
    /// a reduction is due.
    pub const fn entering(&self, share: u64) -> u64 {
        match self {
            Self::PowerOfTwo(_) => share,
            Self::Odd(modulus) => {
                let p = modulus.value();
                modulus.add(share, p / 2).wrapping_add((1 << modulus.bits()) - p)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic() {
        for modulus in [ShareModulus::PowerOfTwo(13), ShareModulus::odd(7681).unwrap()] {
            let p = match modulus {
                ShareModulus::PowerOfTwo(bits) => 1i128 << bits,
                ShareModulus::Odd(p) => i128::from(p.value()),
            };
            for (a, b) in [(0u64, 0u64), (1, 7680), (7000, 6000), (3, 5000)] {
                let is = |found: u64, expected: i128| assert_eq!(i128::from(found), expected.rem_euclid(p));
                let (x, y) = (i128::from(a), i128::from(b));
                is(modulus.add(a, b), x + y);
                is(modulus.sub(a, b), x - y);
                is(modulus.scale(a, -(b as i64)), -x * y);
                is(modulus.shift(a, 40), x << 40);
                is(modulus.of(-(a as i64)), -x);
                is(modulus.reduce(u64::MAX - a), (1 << 64) - 1 - x);
            }
            assert_eq!(modulus.bits(), 13);
        }
        assert!(ShareModulus::odd(1 << 20).is_none() && ShareModulus::odd(1 << 63 | 1).is_none());
    }
}
