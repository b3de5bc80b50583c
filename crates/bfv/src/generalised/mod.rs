//! Generalised BFV: a plaintext modulus that is a polynomial, `t = X^k - b`.
//!
//! Geelen and Vercauteren, "Fully homomorphic encryption for cyclotomic prime moduli" (eprint 2024/1587), after Chen, Laine,
//! Player and Xia (eprint 2017/809). With `d = N / k`, `X^N + 1 = (X^k)^d + 1` is `p = b^d + 1` modulo t, so messages form
//! `Z[X] / (X^N + 1, X^k - b) = Z_p[X] / (X^k - b)`. For a prime p that is 1 modulo 2 N this has k slots: the values at
//! the k roots of t modulo p, which are the powers `zeta^j` with `j = 1 mod 2 d` of a primitive 2 N-th root of unity zeta
//! with `zeta^k = b`.
//!
//! A message has two forms:
//!
//! - k *residues* modulo p, the coefficients of the polynomial modulo `X^k - b`;
//! - N small *coefficients*, the balanced digits in base b of the residues: since `X^k = b`, digit j of residue i
//!   stands at `X^(i + k j)`. This is the representative that encryption and products use.
//!
//! Therefore noise grows as if the plaintext modulus were b, although each slot counts modulo `b^d + 1`. Encryption is at
//! `round(Q m / t)`, with `1/t = -(X^(k(d-1)) + b X^(k(d-2)) + ... + b^(d-1)) / p`; decryption is
//! `round(t (c0 + c1 s) / Q)` modulo t; and a ciphertext product is scaled by `t / Q`. `X -> X^j` maps the ideal of t to
//! itself exactly if `j = 1 mod 2 d`; for d >= 2 these form a cyclic group of order k with generator `1 + 2 d`, so that the slots form one
//! cycle. (d = 1 is BFV with the prime b + 1, and two rows.)

mod digits;
pub(crate) mod prime;
mod scaling;
mod transform;
mod wide;

use kernel::modular::{Modulus, Words};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::plain::PlainModulus;
use digits::Digits;
pub(crate) use scaling::{PolynomialScaling, Values};
use transform::Transform;
pub(crate) use transform::rotation_generator;
use wide::Wide;

/// Fewest slots: the transforms of the ciphertext ring keep `X^k` constant on blocks of this size.
pub(crate) const MIN_SLOTS: usize = 64;

/// The plaintext space of one parameter set.
#[derive(Clone, Debug)]
pub(crate) struct Generalised {
    p: Wide,
    base: u64,
    power: usize,
    degree: usize,
    /// A power of two above 2 b: the coefficients are its centred residues.
    coefficient: Modulus,
    digits: Digits,
    transform: Transform,
}

/// Bits of the coefficients of messages in base `base`: `[-2^(w-1), 2^(w-1))` holds `[-b, b]`.
pub(crate) const fn coefficient_bits(base: u64) -> u32 {
    64 - base.leading_zeros() + 1
}

impl Generalised {
    /// The space modulo `X^(N/power) - base`, or `None` where the plaintext modulus is of another kind.
    ///
    /// # Errors
    /// [`Error::Plain`] unless the base is even and below 2^48, the power a power of two from 2 to N / 64, and
    /// `base^power + 1` a prime of at most 120 bits that is 1 modulo 2 N.
    pub(crate) fn new(plain: PlainModulus, degree: usize) -> Result<Option<Self>, Error> {
        let PlainModulus::Generalised { base, power } = plain else { return Ok(None) };
        let refused = || Error::Plain(plain.describe());
        let value = prime::modulus(base, power).ok_or_else(refused)?;
        let slots = degree / power as usize;
        let possible = slots >= MIN_SLOTS && (value - 1).is_multiple_of(2 * degree as u128);
        if !possible || !prime::is_generalised_prime(base, power) {
            return Err(refused());
        }
        let p = Wide::new(value).ok_or_else(refused)?;
        let zeta = root(&p, base, degree, slots).ok_or_else(refused)?;
        let coefficient = Modulus::new(1 << coefficient_bits(base)).ok_or_else(refused)?;
        Ok(Some(Self {
            p,
            base,
            power: power as usize,
            degree,
            coefficient,
            digits: Digits::new(p, base, power as usize),
            transform: Transform::new(p, zeta, degree, slots),
        }))
    }

    /// The slot modulus p.
    pub(crate) fn modulus(&self) -> u128 {
        self.p.value()
    }

    /// Number of slots, k.
    pub(crate) fn slots(&self) -> usize {
        self.degree / self.power
    }

    /// `2 d`: automorphisms must be 1 modulo this.
    pub(crate) fn automorphism_step(&self) -> usize {
        2 * self.power
    }

    /// The representative of a residue in `[-(p-1)/2, (p-1)/2]`.
    pub(crate) fn centred(&self, residue: u128) -> i128 {
        self.p.centred(residue)
    }

    /// The residue of a number of magnitude below p, or `None`.
    pub(crate) fn signed(&self, value: i128) -> Option<u128> {
        (value.unsigned_abs() < self.p.value()).then(|| self.p.residue(value))
    }

    /// The coefficients of the message with these slots (residues), missing ones zero.
    pub(crate) fn encode(&self, slots: &[u128]) -> Words {
        let mut residues = Zeroizing::new(vec![0; self.slots()]);
        for (value, position) in slots.iter().zip(self.transform.positions()) {
            residues[*position as usize] = *value;
        }
        self.transform.inverse(&mut residues);
        self.coefficients(&residues)
    }

    /// The slots (residues) of a message.
    pub(crate) fn decode(&self, coefficients: &[u64]) -> Vec<u128> {
        let mut residues = Zeroizing::new(self.residues(coefficients));
        self.transform.forward(&mut residues);
        self.transform.positions().iter().map(|position| residues[*position as usize]).collect()
    }

    /// The k residues of a message's N coefficients.
    pub(crate) fn residues(&self, coefficients: &[u64]) -> Vec<u128> {
        let k = self.slots();
        let digit = |index: usize| self.coefficient.centred(coefficients[index]);
        (0..k).map(|i| self.digits.combine((0..self.power).rev().map(|j| digit(i + k * j)))).collect()
    }

    /// The N balanced coefficients of a message's k residues.
    pub(crate) fn coefficients(&self, residues: &[u128]) -> Words {
        let k = self.slots();
        let mut out = Words::zeros(self.degree);
        let mask = self.coefficient.value() - 1;
        for (i, residue) in residues.iter().enumerate() {
            self.digits.split(*residue, |j, digit| out[i + k * j] = digit as u64 & mask);
        }
        out
    }
}

/// A primitive 2 N-th root of unity modulo p whose k-th power is the base, from the smallest non-residue: both ends
/// of a connection find the same.
fn root(p: &Wide, base: u64, degree: usize, slots: usize) -> Option<u128> {
    let (value, order) = (p.value(), 2 * degree as u128);
    let generator = (2..value)
        .map(|x| p.pow(x, (value - 1) / order))
        .find(|root| p.pow(*root, order / 2) == value - 1)?;
    (1..2 * degree / slots)
        .step_by(2)
        .map(|exponent| p.pow(generator, exponent as u128))
        .find(|zeta| p.pow(*zeta, slots as u128) == u128::from(base) % value)
}
