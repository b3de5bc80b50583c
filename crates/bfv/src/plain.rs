//! The plaintext modulus.

use kernel::modular::{Modulus, is_prime};

use crate::error::Error;
use crate::generalised::{MIN_SLOTS, coefficient_bits, prime};

/// What messages are counted modulo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlainModulus {
    /// A prime of 2 to 60 bits. Slots exist if it is 1 modulo twice the ring degree.
    Prime(u64),
    /// 2^k for k from 1 to 64: coefficient encoding only.
    PowerOfTwo(u32),
    /// The polynomial `X^(N/power) - base` of generalised BFV (eprint 2024/1587): N/power slots, in one cycle, modulo the prime
    /// `base^power + 1` of up to 120 bits, while noise grows as if the plaintext modulus were the base. [`Self::generalised`]
    /// finds one.
    Generalised {
        /// The base b: even, below 2^48.
        base: u64,
        /// The power d: a power of two from 2 to N / 64.
        power: u32,
    },
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

    /// The plaintext modulus of `slots` slots (a power of two from 64 to `degree`) with the smallest slot modulus that is at
    /// least `least`: numbers of magnitude below `least / 2` fit a slot. With `slots = degree` that is a prime,
    /// otherwise a polynomial. `None` if there is none.
    ///
    /// ```
    /// use bfv::PlainModulus;
    /// // Room for numbers of 80 bits with their sign in 1024 slots of a ring of degree 8192.
    /// let plain = PlainModulus::generalised(8192, 1024, 1 << 80);
    /// assert_eq!(plain, Some(PlainModulus::Generalised { base: 1028, power: 8 }));
    /// ```
    pub fn generalised(degree: usize, slots: usize, least: u128) -> Option<Self> {
        if !slots.is_power_of_two() || !degree.is_power_of_two() || !(MIN_SLOTS..=degree).contains(&slots) {
            return None;
        }
        if slots == degree {
            let step = 2 * degree as u64;
            let start = u64::try_from(least.max(2)).ok()?.checked_sub(1)?.div_ceil(step);
            return (start.max(1)..=(1 << 60) / step)
                .map(|index| index * step + 1)
                .find(|t| is_prime(*t))
                .map(Self::Prime);
        }
        let power = (degree / slots) as u32;
        Some(Self::Generalised { base: prime::smallest_base(degree, power, least)?, power })
    }

    /// The modulus of a slot, where there are slots: a prime, or the prime `base^power + 1`.
    pub fn slot_modulus(&self) -> Option<u128> {
        match self {
            Self::Prime(t) => Some(u128::from(*t)),
            Self::PowerOfTwo(_) => None,
            Self::Generalised { base, power } => prime::modulus(*base, *power),
        }
    }

    /// Bits of a residue: of a coefficient or of a slot.
    pub fn bits(&self) -> u32 {
        match self {
            Self::PowerOfTwo(k) => *k,
            _ => 128 - self.slot_modulus().unwrap_or(0).leading_zeros(),
        }
    }

    /// The base-2 logarithm of the modulus of a coefficient or slot: what messages may hold.
    pub fn log2(&self) -> f64 {
        match self {
            Self::Prime(t) => (*t as f64).log2(),
            Self::PowerOfTwo(k) => f64::from(*k),
            Self::Generalised { base, power } => (*base as f64).log2() * f64::from(*power),
        }
    }

    /// The base-2 logarithm of the norm of the modulus as a polynomial: what noise grows by. For a number it is
    /// [`Self::log2`], for `X^k - b` it is that of `sqrt(b^2 + 1)`.
    pub fn log2_norm(&self) -> f64 {
        match self {
            Self::Generalised { base, .. } => ((*base as f64).powi(2) + 1.0).log2() / 2.0,
            _ => self.log2(),
        }
    }

    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Prime(t) => t.to_string(),
            Self::PowerOfTwo(k) => format!("2^{k}"),
            Self::Generalised { base, power } => format!("X^(N/{power}) - {base}"),
        }
    }
}

/// Arithmetic on the coefficients of messages: modulo the plaintext modulus or, where that is a polynomial, modulo a power of
/// two that holds them.
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
            // Signed coefficients are residues of a power of two that holds them.
            PlainModulus::Generalised { base, .. } if base >> 48 == 0 => word(1 << coefficient_bits(base)),
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
