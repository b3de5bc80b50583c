//! A modulus and its scalar operations.

use crate::tier::Tier;

/// A modulus of at most 62 bits with its reduction constants and the tier its vector operations run on.
#[derive(Clone, Copy, Debug)]
pub struct Modulus {
    value: u64,
    /// `floor(2^128 / q)`, high and low word, for Barrett reduction of 128-bit numbers.
    ratio: (u64, u64),
    /// Whether the vector operations use AVX-512 IFMA.
    vector: bool,
}

impl PartialEq for Modulus {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Eq for Modulus {}

/// A constant factor `w` with `floor(w 2^64 / q)`: a product by it costs two multiplications and no division
/// (Shoup; Harvey, "Faster arithmetic for number-theoretic transforms", section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shoup {
    /// The factor, below the modulus.
    pub value: u64,
    /// `floor(value 2^64 / q)`.
    pub quotient: u64,
}

impl Modulus {
    /// The modulus `value`, on the widest tier of this machine. `None` unless `2 <= value < 2^62`.
    pub fn new(value: u64) -> Option<Self> {
        Self::with_tier(value, Tier::current())
    }

    /// The modulus `value` with vector operations on `tier`, which must be available on this machine (a wider
    /// one than the machine has falls back to plain Rust). `None` unless `2 <= value < 2^62`.
    pub fn with_tier(value: u64, tier: Tier) -> Option<Self> {
        if !(2..1 << 62).contains(&value) {
            return None;
        }
        let high = (u128::MAX / u128::from(value)).wrapping_add(u128::from(value.is_power_of_two()));
        let vector = tier == Tier::Avx512
            && Tier::available().any(|available| available == Tier::Avx512)
            && value < 1 << super::VECTOR_BITS
            && cfg!(target_arch = "x86_64");
        Some(Self { value, ratio: ((high >> 64) as u64, high as u64), vector })
    }

    /// The number itself.
    pub const fn value(&self) -> u64 {
        self.value
    }

    /// Bits of the number: `2^(bits-1) <= q < 2^bits`.
    pub const fn bits(&self) -> u32 {
        64 - self.value.leading_zeros()
    }

    /// Whether vector operations run on AVX-512 IFMA.
    pub(crate) const fn is_vector(&self) -> bool {
        self.vector
    }

    /// `x mod q` for any word.
    pub const fn reduce(&self, x: u64) -> u64 {
        self.reduce_wide(x as u128)
    }

    /// `x mod q` for any 128-bit number, by Barrett's method, without a branch on `x`.
    pub const fn reduce_wide(&self, x: u128) -> u64 {
        let (x0, x1) = (x as u64 as u128, (x >> 64) as u64 as u128);
        let (r0, r1) = (self.ratio.1 as u128, self.ratio.0 as u128);
        // The quotient floor(x ratio / 2^128), short by at most two.
        let carry = (x0 * r0) >> 64;
        let (a, b) = (x0 * r1, x1 * r0);
        let middle = carry + (a as u64 as u128) + (b as u64 as u128);
        let quotient = (x1 * r1).wrapping_add(a >> 64).wrapping_add(b >> 64).wrapping_add(middle >> 64);
        let rest = (x as u64).wrapping_sub((quotient as u64).wrapping_mul(self.value));
        self.correct(self.correct(rest))
    }

    /// Subtracts `q` once if that does not go below zero; for `x < 2 q` this is `x mod q`. Branch-free.
    #[inline(always)]
    pub const fn correct(&self, x: u64) -> u64 {
        let less = x.wrapping_sub(self.value);
        // The top bit says that x < q: both are below 2^63.
        let borrow = (less >> 63).wrapping_neg();
        less.wrapping_add(self.value & borrow)
    }

    /// `a + b mod q` for residues.
    #[inline(always)]
    pub const fn add(&self, a: u64, b: u64) -> u64 {
        self.correct(a + b)
    }

    /// `a - b mod q` for residues.
    #[inline(always)]
    pub const fn sub(&self, a: u64, b: u64) -> u64 {
        self.correct(a + self.value - b)
    }

    /// `-a mod q` for a residue.
    #[inline(always)]
    pub const fn neg(&self, a: u64) -> u64 {
        self.correct(self.value - a)
    }

    /// `a b mod q` for any words.
    #[inline(always)]
    pub const fn mul(&self, a: u64, b: u64) -> u64 {
        self.reduce_wide(a as u128 * b as u128)
    }

    /// `a^exponent mod q`. Variable time in the exponent.
    pub const fn pow(&self, a: u64, mut exponent: u64) -> u64 {
        let (mut power, mut out) = (self.reduce(a), self.reduce(1));
        while exponent > 0 {
            if exponent & 1 == 1 {
                out = self.mul(out, power);
            }
            power = self.mul(power, power);
            exponent >>= 1;
        }
        out
    }

    /// The inverse of `a` modulo `q`, also when `q` is no prime; `None` if they share a factor. Variable time.
    pub fn inverse(&self, a: u64) -> Option<u64> {
        let (mut r0, mut r1) = (i128::from(self.value), i128::from(self.reduce(a)));
        let (mut s0, mut s1) = (0i128, 1i128);
        while r1 != 0 {
            let quotient = r0 / r1;
            (r0, r1) = (r1, r0 - quotient * r1);
            (s0, s1) = (s1, s0 - quotient * s1);
        }
        (r0 == 1).then(|| s0.rem_euclid(i128::from(self.value)) as u64)
    }

    /// The residue of a signed number.
    pub const fn from_signed(&self, x: i64) -> u64 {
        let magnitude = self.reduce(x.unsigned_abs());
        let negative = (x >> 63) as u64;
        self.correct((self.value - magnitude) & negative | magnitude & !negative)
    }

    /// The residue's representative in `[-q/2, q/2)`; for odd `q` in `[-(q-1)/2, (q-1)/2]`.
    pub const fn centred(&self, x: u64) -> i64 {
        if x >= self.value.div_ceil(2) { x as i64 - self.value as i64 } else { x as i64 }
    }

    /// The constant factor `w` (any word; it is reduced) prepared for many products.
    pub const fn shoup(&self, w: u64) -> Shoup {
        let value = self.reduce(w);
        Shoup { value, quotient: (((value as u128) << 64) / self.value as u128) as u64 }
    }

    /// `x w mod q` in `[0, 2q)` for any word `x`.
    #[inline(always)]
    pub const fn mul_shoup_lazy(&self, x: u64, w: Shoup) -> u64 {
        let quotient = ((x as u128 * w.quotient as u128) >> 64) as u64;
        x.wrapping_mul(w.value).wrapping_sub(quotient.wrapping_mul(self.value))
    }

    /// `x w mod q` for any word `x`.
    #[inline(always)]
    pub const fn mul_shoup(&self, x: u64, w: Shoup) -> u64 {
        self.correct(self.mul_shoup_lazy(x, w))
    }

    /// A primitive root of unity of order `order`, a power of two: the one whose generator is smallest, so that
    /// both ends of a connection agree. `None` unless `q` is a prime with `order | q - 1`.
    pub fn root_of_unity(&self, order: u64) -> Option<u64> {
        if !order.is_power_of_two()
            || order < 2
            || !(self.value - 1).is_multiple_of(order)
            || !is_prime(self.value)
        {
            return None;
        }
        (2..self.value).map(|base| self.pow(base, (self.value - 1) / order)).find(|root| {
            // Of order exactly `order` if its half power is -1.
            self.pow(*root, order / 2) == self.value - 1
        })
    }
}

/// Whether `n` is prime: Miller–Rabin with the first twelve primes as bases, which is a proof for all words
/// (Sorenson and Webster 2015).
pub fn is_prime(n: u64) -> bool {
    const BASES: [u64; 12] = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37];
    if n < 2 {
        return false;
    }
    if let Some(divisor) = BASES.iter().find(|base| n.is_multiple_of(**base)) {
        return n == *divisor;
    }
    let multiply = |a: u64, b: u64| (u128::from(a) * u128::from(b) % u128::from(n)) as u64;
    let twos = (n - 1).trailing_zeros();
    let odd = (n - 1) >> twos;
    BASES.iter().all(|base| {
        let (mut power, mut square, mut left) = (1, *base, odd);
        while left > 0 {
            if left & 1 == 1 {
                power = multiply(power, square);
            }
            square = multiply(square, square);
            left >>= 1;
        }
        let mut witness = power != 1 && power != n - 1;
        for _ in 1..twos {
            power = multiply(power, power);
            witness &= power != n - 1;
        }
        !witness
    })
}

/// The largest prime below `bound` that is 1 modulo `step` (twice the ring degree, for a negacyclic
/// transform), or `None`.
pub fn next_ntt_prime(bound: u64, step: u64) -> Option<u64> {
    let mut candidate = bound.checked_sub(2)? / step * step + 1;
    while candidate > step {
        if is_prime(candidate) {
            return Some(candidate);
        }
        candidate -= step;
    }
    None
}
