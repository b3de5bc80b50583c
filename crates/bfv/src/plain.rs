//! The plaintext modulus.

use kernel::modular::{Modulus, is_prime};

use crate::error::Error;

/// What messages are counted modulo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlainModulus {
    /// A prime of 2 to 60 bits. Slots exist if it is 1 modulo twice the ring degree.
    Prime(u64),
    /// 2^k for k from 1 to 64: coefficient encoding only.
    PowerOfTwo(u32),
}

impl PlainModulus {
    /// The largest prime of `bits` bits with slots at `degree`, the `index`-th from above.
    pub fn slots(bits: u32, degree: usize, index: usize) -> Option<Self> {
        let step = 2 * degree as u64;
        let mut bound = 1u64.checked_shl(bits)?;
        for _ in 0..=index {
            bound = kernel::modular::next_ntt_prime(bound, step)?;
        }
        (bits <= 60 && bound >> (bits - 1) == 1).then_some(Self::Prime(bound))
    }

    /// Bits of a residue.
    pub const fn bits(&self) -> u32 {
        match self {
            Self::Prime(t) => 64 - t.leading_zeros(),
            Self::PowerOfTwo(k) => *k,
        }
    }

    /// The base-2 logarithm.
    pub fn log2(&self) -> f64 {
        match self {
            Self::Prime(t) => (*t as f64).log2(),
            Self::PowerOfTwo(k) => f64::from(*k),
        }
    }

    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Prime(t) => t.to_string(),
            Self::PowerOfTwo(k) => format!("2^{k}"),
        }
    }
}

/// Arithmetic modulo the plaintext modulus.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PlainRing {
    /// Below 2^62.
    Word(Modulus),
    /// 2^62, 2^63 or 2^64, as a mask.
    Binary(u64),
}

impl PlainRing {
    pub(crate) fn new(plain: PlainModulus) -> Result<Self, Error> {
        let refused = || Error::Plain(plain.describe());
        let word = |value| Modulus::new(value).map(Self::Word).ok_or_else(refused);
        match plain {
            PlainModulus::Prime(t) if (3..1 << 60).contains(&t) && is_prime(t) => word(t),
            PlainModulus::PowerOfTwo(k @ 1..=61) => word(1 << k),
            PlainModulus::PowerOfTwo(k @ 62..=64) => Ok(Self::Binary(u64::MAX >> (64 - k))),
            _ => Err(refused()),
        }
    }

    /// The largest residue.
    pub(crate) const fn max(&self) -> u64 {
        match self {
            Self::Word(t) => t.value() - 1,
            Self::Binary(mask) => *mask,
        }
    }

    /// The modulus, if the vector kernels take it (below 2^50).
    pub(crate) fn narrow(&self) -> Option<&Modulus> {
        match self {
            Self::Word(t) if t.bits() <= kernel::modular::VECTOR_BITS => Some(t),
            _ => None,
        }
    }

    pub(crate) const fn mul(&self, a: u64, b: u64) -> u64 {
        match self {
            Self::Word(t) => t.mul(a, b),
            Self::Binary(mask) => a.wrapping_mul(b) & *mask,
        }
    }

    pub(crate) const fn add(&self, a: u64, b: u64) -> u64 {
        match self {
            Self::Word(t) => t.add(a, b),
            Self::Binary(mask) => a.wrapping_add(b) & *mask,
        }
    }

    pub(crate) const fn neg(&self, a: u64) -> u64 {
        match self {
            Self::Word(t) => t.neg(a),
            Self::Binary(mask) => a.wrapping_neg() & *mask,
        }
    }

    /// The residue of a word.
    pub(crate) const fn reduce(&self, a: u64) -> u64 {
        match self {
            Self::Word(t) => t.reduce(a),
            Self::Binary(mask) => a & *mask,
        }
    }

    /// The inverse of an odd number that is prime to the modulus.
    pub(crate) fn inverse(&self, a: u64) -> Option<u64> {
        match self {
            Self::Word(t) => t.inverse(t.reduce(a)),
            // Newton's iteration doubles the correct low bits; an odd number is its own inverse modulo 8.
            Self::Binary(mask) => (a & 1 == 1)
                .then(|| (0..5).fold(a, |x, _| x.wrapping_mul(2u64.wrapping_sub(a.wrapping_mul(x)))) & mask),
        }
    }

    /// The representative in `[-t/2, t/2)`.
    pub(crate) const fn centred(&self, a: u64) -> i64 {
        match self {
            Self::Word(t) => t.centred(a),
            Self::Binary(mask) => {
                let unused = mask.leading_zeros();
                ((a << unused) as i64) >> unused
            }
        }
    }

    /// The residue of a signed number, or `None` where it is outside `(-t, t)`.
    pub(crate) fn signed(&self, a: i64) -> Option<u64> {
        let magnitude = a.unsigned_abs();
        (magnitude <= self.max()).then(|| if a < 0 { self.neg(magnitude) } else { magnitude })
    }

    /// `out = centred(a) mod q`.
    pub(crate) fn lift_into(&self, q: &Modulus, out: &mut [u64], a: &[u64]) {
        match self.narrow() {
            Some(t) => q.rebase_into(out, a, t),
            None => {
                for (out, a) in out.iter_mut().zip(a) {
                    *out = q.from_signed(self.centred(*a));
                }
            }
        }
    }

    /// `a *= w`.
    pub(crate) fn scale_assign(&self, a: &mut [u64], w: u64) {
        match self {
            Self::Word(t) => t.scale_assign(a, t.shoup(w)),
            Self::Binary(mask) => a.iter_mut().for_each(|a| *a = a.wrapping_mul(w) & mask),
        }
    }
}
