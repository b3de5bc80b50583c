//! Messages as polynomials: coefficients directly, or slots through the transform modulo t.
//!
//! Slots form two rows of N/2. Slot j of the first row is the value at `zeta^(3^j)`, slot j of the second at
//! `zeta^(-3^j)`, where zeta is a primitive 2 N-th root of unity modulo t; so sums and products act slot by slot, `X ->
//! X^(3^k)` rotates both rows left by k and `X -> X^-1` swaps them.

use kernel::modular::Words;
use kernel::ntt::Ntt;

use crate::error::Error;
use crate::parameters::{Literal, Parameters};
use crate::plain::PlainModulus;

/// Generator of the rotations modulo 2 N.
pub(crate) const GENERATOR: usize = 3;

/// A message: N residues modulo t, the coefficients of a polynomial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plaintext {
    pub(crate) id: u64,
    pub(crate) coefficients: Words,
}

impl Plaintext {
    /// The N coefficients, in `[0, t)`.
    pub fn coefficients(&self) -> &[u64] {
        &self.coefficients
    }
}

/// The tables of slot encoding.
#[derive(Debug)]
pub(crate) struct Slots {
    ntt: Ntt,
    /// Position in evaluation form of each slot.
    positions: Vec<u32>,
}

impl Slots {
    /// `None` if the plaintext modulus has no slots.
    pub(crate) fn new(literal: &Literal) -> Option<Self> {
        let PlainModulus::Prime(t) = literal.plain else { return None };
        let ntt = Ntt::new(literal.degree, t).ok()?;
        let mask = 2 * literal.degree - 1;
        let mut position_of = vec![0; literal.degree];
        for (position, exponent) in ntt.exponents().into_iter().enumerate() {
            position_of[exponent as usize / 2] = position as u32;
        }
        let mut positions = vec![0; literal.degree];
        let mut exponent = 1;
        for slot in 0..literal.degree / 2 {
            positions[slot] = position_of[exponent / 2];
            positions[slot + literal.degree / 2] = position_of[(mask + 1 - exponent) / 2];
            exponent = (exponent * GENERATOR) & mask;
        }
        Some(Self { ntt, positions })
    }
}

/// Encodes and decodes messages of one parameter set.
#[derive(Clone, Debug)]
pub struct Encoder {
    parameters: Parameters,
}

impl Encoder {
    /// The encoder of a parameter set.
    pub fn new(parameters: &Parameters) -> Self {
        Self { parameters: parameters.clone() }
    }

    fn checked(&self, values: &[u64]) -> Result<Words, Error> {
        let (degree, max) = (self.parameters.degree(), self.parameters.plain_ring().max());
        if values.len() > degree {
            return Err(Error::TooMany(values.len(), degree));
        }
        if let Some(value) = values.iter().find(|value| **value > max) {
            return Err(Error::Value(i128::from(*value)));
        }
        let mut words = Words::zeros(degree);
        words[..values.len()].copy_from_slice(values);
        Ok(words)
    }

    fn residues(&self, values: &[i64]) -> Result<Vec<u64>, Error> {
        let plain = self.parameters.plain_ring();
        values.iter().map(|value| plain.signed(*value).ok_or(Error::Value(i128::from(*value)))).collect()
    }

    /// The polynomial with these coefficients, lowest first; missing ones are zero.
    ///
    /// # Errors
    /// If there are more than N, or one is not below t.
    pub fn coefficients(&self, values: &[u64]) -> Result<Plaintext, Error> {
        Ok(Plaintext { id: self.parameters.id(), coefficients: self.checked(values)? })
    }

    /// As [`Self::coefficients`], from signed numbers of magnitude below t.
    ///
    /// # Errors
    /// As [`Self::coefficients`].
    pub fn coefficients_signed(&self, values: &[i64]) -> Result<Plaintext, Error> {
        self.coefficients(&self.residues(values)?)
    }

    /// The polynomial with these slots: the first N/2 are the first row.
    ///
    /// # Errors
    /// If there are more than N, one is not below t, or t has no slots.
    pub fn slots(&self, values: &[u64]) -> Result<Plaintext, Error> {
        let slots = self.parameters.slots()?;
        let values = self.checked(values)?;
        let mut words = Words::zeros(values.len());
        for (value, position) in values.iter().zip(&slots.positions) {
            words[*position as usize] = *value;
        }
        slots.ntt.inverse(&mut words);
        Ok(Plaintext { id: self.parameters.id(), coefficients: words })
    }

    /// As [`Self::slots`], from signed numbers of magnitude below t.
    ///
    /// # Errors
    /// As [`Self::slots`].
    pub fn slots_signed(&self, values: &[i64]) -> Result<Plaintext, Error> {
        self.slots(&self.residues(values)?)
    }

    /// The N slots of a message.
    ///
    /// # Errors
    /// If t has no slots, or the message is of another parameter set.
    pub fn decode_slots(&self, plaintext: &Plaintext) -> Result<Vec<u64>, Error> {
        self.parameters.check(plaintext.id, "plaintext")?;
        let slots = self.parameters.slots()?;
        let mut words = plaintext.coefficients.clone();
        slots.ntt.forward(&mut words);
        let mut out = vec![0; words.len()];
        slots.ntt.modulus().gather(&mut out, &words, &slots.positions);
        Ok(out)
    }

    /// The N slots as numbers in `[-t/2, t/2)`.
    ///
    /// # Errors
    /// As [`Self::decode_slots`].
    pub fn decode_slots_signed(&self, plaintext: &Plaintext) -> Result<Vec<i64>, Error> {
        Ok(self
            .decode_slots(plaintext)?
            .into_iter()
            .map(|x| self.parameters.plain_ring().centred(x))
            .collect())
    }

    /// The N coefficients as numbers in `[-t/2, t/2)`.
    ///
    /// # Errors
    /// If the message is of another parameter set.
    pub fn decode_coefficients_signed(&self, plaintext: &Plaintext) -> Result<Vec<i64>, Error> {
        self.parameters.check(plaintext.id, "plaintext")?;
        Ok(plaintext.coefficients.iter().map(|x| self.parameters.plain_ring().centred(*x)).collect())
    }
}

/// The number in `[0, product)` with these residues modulo coprime plaintext moduli, by the Chinese remainder
/// theorem: for values that are encrypted once for each modulus of a product.
///
/// `None` if the moduli are not coprime primes, the product exceeds 127 bits, or a residue is out of range.
pub fn compose(moduli: &[PlainModulus], residues: &[u64]) -> Option<u128> {
    let (mut value, mut product) = (0u128, 1u128);
    for (modulus, residue) in moduli.iter().zip(residues) {
        let PlainModulus::Prime(t) = *modulus else { return None };
        let ring = kernel::modular::Modulus::new(t)?;
        if *residue >= t || product.checked_mul(u128::from(t))? >> 127 != 0 {
            return None;
        }
        let inverse = ring.inverse(ring.reduce_wide(product))?;
        let step = ring.mul(ring.sub(*residue, ring.reduce_wide(value)), inverse);
        value += product * u128::from(step);
        product *= u128::from(t);
    }
    (moduli.len() == residues.len()).then_some(value)
}
