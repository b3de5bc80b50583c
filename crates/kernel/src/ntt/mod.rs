//! The negacyclic number-theoretic transform: polynomials modulo `X^n + 1` and a prime, as values at the odd powers
//! of a root of unity.
//!
//! Forward maps coefficients in natural order to evaluations in the order of [`Ntt::exponents`]; inverse is its
//! inverse. Both take and return canonical residues; forward also takes residues below `2 q`. The order is
//! bit-reversed with every block of 64 transposed as an 8 x 8 matrix, which saves the vector backend half of its
//! shuffles; nothing depends on it but the table of exponents, and all backends produce it.
//!
//! The butterflies are Harvey's ("Faster arithmetic for number-theoretic transforms", 2014): values stay below a
//! small multiple of the modulus and are reduced at the end. Primes below 2^50 run on AVX-512 IFMA where the tier
//! allows it, others up to 2^62 in plain Rust.

mod automorphism;
#[cfg(target_arch = "x86_64")]
mod ifma;
mod portable;
#[cfg(test)]
mod tests;

use core::fmt;

use crate::modular::Modulus;
use crate::tier::Tier;

/// Smallest degree of a transform: one block of the evaluation order.
pub const MIN_DEGREE: usize = 64;

/// Largest degree of a transform.
pub const MAX_DEGREE: usize = 1 << 16;

/// Why a transform does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NttError {
    /// The degree is no power of two between [`MIN_DEGREE`] and [`MAX_DEGREE`].
    Degree(usize),
    /// The modulus is no prime that is 1 modulo twice the degree.
    Modulus(u64),
}

impl fmt::Display for NttError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Degree(n) => write!(f, "{n} is no power of two from {MIN_DEGREE} to {MAX_DEGREE}"),
            Self::Modulus(q) => write!(f, "{q} is no prime that is 1 modulo twice the ring degree"),
        }
    }
}

impl core::error::Error for NttError {}

/// The transform of one degree modulo one prime, with its tables.
#[derive(Clone, Debug)]
pub struct Ntt {
    degree: usize,
    modulus: Modulus,
    root: u64,
    backend: Backend,
}

#[derive(Clone, Debug)]
enum Backend {
    Portable(Box<portable::Tables>),
    #[cfg(target_arch = "x86_64")]
    Ifma(Box<ifma::Tables>),
}

impl Ntt {
    /// The transform of `degree` modulo the prime `q`, on the widest tier of this machine.
    ///
    /// # Errors
    /// If the degree is out of range, or `q` is no prime that is 1 modulo `2 degree`.
    pub fn new(degree: usize, q: u64) -> Result<Self, NttError> {
        Self::with_tier(degree, q, Tier::current())
    }

    /// As [`Self::new`], on a given tier of this machine.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_tier(degree: usize, q: u64, tier: Tier) -> Result<Self, NttError> {
        if !degree.is_power_of_two() || !(MIN_DEGREE..=MAX_DEGREE).contains(&degree) {
            return Err(NttError::Degree(degree));
        }
        let modulus = Modulus::with_tier(q, tier).ok_or(NttError::Modulus(q))?;
        let root = modulus.root_of_unity(2 * degree as u64).ok_or(NttError::Modulus(q))?;
        #[cfg(target_arch = "x86_64")]
        if modulus.is_vector() && ifma::DEGREES.contains(&degree) {
            let backend = Backend::Ifma(Box::new(ifma::Tables::new(degree, &modulus, root)));
            return Ok(Self { degree, modulus, root, backend });
        }
        let backend = Backend::Portable(Box::new(portable::Tables::new(degree, &modulus, root)));
        Ok(Self { degree, modulus, root, backend })
    }

    /// Number of coefficients.
    pub fn degree(&self) -> usize {
        self.degree
    }

    /// The prime, on the transform's tier.
    pub fn modulus(&self) -> &Modulus {
        &self.modulus
    }

    /// The primitive `2 n`-th root of unity at whose odd powers the transform evaluates.
    pub fn root(&self) -> u64 {
        self.root
    }

    /// Coefficients (below `2 q`) to evaluations (below `q`), in place.
    ///
    /// # Panics
    /// If the length is not the degree.
    pub fn forward(&self, words: &mut [u64]) {
        assert_eq!(words.len(), self.degree);
        debug_assert!(words.iter().all(|word| *word < 2 * self.modulus.value()));
        match &self.backend {
            Backend::Portable(tables) => portable::forward(&self.modulus, tables, words),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this backend is chosen only where the tier with AVX-512 F and IFMA was detected.
            Backend::Ifma(tables) => unsafe { ifma::forward(&self.modulus, tables, words) },
        }
    }

    /// Evaluations (below `q`) to coefficients (below `q`), in place.
    ///
    /// # Panics
    /// If the length is not the degree.
    pub fn inverse(&self, words: &mut [u64]) {
        assert_eq!(words.len(), self.degree);
        debug_assert!(words.iter().all(|word| *word < self.modulus.value()));
        match &self.backend {
            Backend::Portable(tables) => portable::inverse(&self.modulus, tables, words),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this backend is chosen only where the tier with AVX-512 F and IFMA was detected.
            Backend::Ifma(tables) => unsafe { ifma::inverse(&self.modulus, tables, words) },
        }
    }

    /// The automorphism `X -> X^g` in evaluation form, for odd `g`: position by position, the value at `root^e`
    /// becomes the one at `root^(e g)`.
    ///
    /// # Panics
    /// If a length is not the degree, or `g` is even.
    pub fn automorphism_into(&self, out: &mut [u64], words: &[u64], g: usize) {
        assert!(out.len() == self.degree && words.len() == self.degree && g % 2 == 1);
        let g = g & (2 * self.degree - 1);
        #[cfg(target_arch = "x86_64")]
        if self.modulus.is_vector() {
            // SAFETY: a modulus says so only where the tier with AVX-512 F was detected.
            return unsafe { automorphism::vector(self.degree, out, words, g, automorphism::Walk::Gather) };
        }
        automorphism::portable(self.degree, out, words, g, automorphism::Walk::Gather);
    }

    /// As [`Self::automorphism_into`] for a part of the input, the positions from `start` on: their values go to their
    /// places in `out`, and the other places stay. It saves a pass over memory where the input is just being computed.
    ///
    /// # Panics
    /// If `out` is not as long as the degree, `g` is even, or the part is not of whole blocks of 64 inside the degree.
    pub fn automorphism_scatter(&self, out: &mut [u64], part: &[u64], start: usize, g: usize) {
        assert!(out.len() == self.degree && start + part.len() <= self.degree && g % 2 == 1);
        assert!(start.is_multiple_of(64) && part.len().is_multiple_of(64));
        let mask = 2 * self.degree - 1;
        let g = g & mask;
        // Newton's iteration doubles the correct low bits; an odd number is its own inverse modulo 8.
        let inverse = (0..5).fold(g, |x, _| x.wrapping_mul(2usize.wrapping_sub(g.wrapping_mul(x)))) & mask;
        let walk = automorphism::Walk::Scatter(start / 64, inverse);
        #[cfg(target_arch = "x86_64")]
        if self.modulus.is_vector() {
            // SAFETY: a modulus says so only where the tier with AVX-512 F was detected.
            return unsafe { automorphism::vector(self.degree, out, part, g, walk) };
        }
        automorphism::portable(self.degree, out, part, g, walk);
    }

    /// For each position of the evaluation form, the exponent `e` such that it holds the value at `root^e`.
    pub fn exponents(&self) -> Vec<u32> {
        exponents(self.degree)
    }
}

/// The exponents of [`Ntt::exponents`], which depend on the degree alone: an odd number below `2 n` for each
/// position.
pub fn exponents(degree: usize) -> Vec<u32> {
    let shift = 32 - degree.trailing_zeros();
    (0..degree as u32).map(|position| 2 * (untransposed(position).reverse_bits() >> shift) + 1).collect()
}

/// The bit-reversed position that is stored at `position`: within a block of 64, row and column are swapped.
fn untransposed(position: u32) -> u32 {
    (position & !63) | ((position & 7) << 3) | ((position >> 3) & 7)
}

/// `root^brv(k)` for k = 0, 1, ..., n - 1, where `brv` reverses as many bits as `n` has: the factors of the
/// butterflies, level after level.
fn powers_bit_reversed(degree: usize, modulus: &Modulus, root: u64) -> Vec<u64> {
    let shift = 32 - degree.trailing_zeros();
    let mut powers = vec![1; degree];
    let mut power = 1;
    for k in 0..degree as u32 {
        powers[(k.reverse_bits() >> shift) as usize] = power;
        power = modulus.mul(power, root);
    }
    powers
}
