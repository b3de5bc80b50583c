//! Messages as polynomials: coefficients directly, or slots through the transform modulo t.
//!
//! For a prime t slots form two rows of N/2. Slot j of the first row is the value at `zeta^(3^j)`, slot j of the second at
//! `zeta^(-3^j)`, where zeta is a primitive 2 N-th root of unity modulo t; so sums and products act slot by slot, `X ->
//! X^(3^k)` rotates both rows left by k and `X -> X^-1` swaps them.
//!
//! A generalised plaintext modulus has one row of k slots, modulo a larger prime: see [`PlainModulus::Generalised`].

use kernel::modular::Words;
use kernel::ntt::Ntt;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::parameters::{Literal, Parameters};
use crate::plain::PlainModulus;
use crate::random::{Randomness, Stream};

/// Generator of the rotations modulo 2 N.
pub(crate) const GENERATOR: usize = 3;

/// How slots are laid out: sums and products act slot by slot, a rotation acts on each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SlotShape {
    /// Rows: two, which an automorphism swaps, or one.
    pub rows: usize,
    /// Slots of a row, the length of the rotations' cycle.
    pub columns: usize,
}

impl SlotShape {
    /// All slots.
    pub const fn slots(&self) -> usize {
        self.rows * self.columns
    }
}

/// A message: N residues modulo t, the coefficients of a polynomial. Of a generalised plaintext modulus they are small signed
/// numbers modulo a power of two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plaintext {
    pub(crate) id: u64,
    pub(crate) coefficients: Words,
}

impl Plaintext {
    /// The N coefficients, in `[0, t)`; for a generalised plaintext modulus N numbers of magnitude at most `b`, modulo
    /// a power of two above `2 b`.
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
    /// If there are more than N, one is not below t, or the plaintext modulus is a generalised one.
    pub fn coefficients(&self, values: &[u64]) -> Result<Plaintext, Error> {
        self.parameters.check_integer()?;
        Ok(Plaintext { id: self.parameters.id(), coefficients: self.checked(values)? })
    }

    /// As [`Self::coefficients`], from signed numbers of magnitude below t.
    ///
    /// # Errors
    /// As [`Self::coefficients`].
    pub fn coefficients_signed(&self, values: &[i64]) -> Result<Plaintext, Error> {
        self.parameters.check_integer()?;
        self.coefficients(&self.residues(values)?)
    }

    /// The polynomial with these slots, row by row; missing ones are zero.
    ///
    /// # Errors
    /// If there are more than slots, one is not below their modulus, or there are no slots.
    pub fn slots(&self, values: &[u64]) -> Result<Plaintext, Error> {
        if self.parameters.generalised().is_some() {
            return self.generalised(values.iter().map(|value| i128::from(*value)));
        }
        let slots = self.parameters.slots()?;
        let values = self.checked(values)?;
        let mut words = Words::zeros(values.len());
        for (value, position) in values.iter().zip(&slots.positions) {
            words[*position as usize] = *value;
        }
        slots.ntt.inverse(&mut words);
        Ok(Plaintext { id: self.parameters.id(), coefficients: words })
    }

    /// As [`Self::slots`], from signed numbers of magnitude below the slots' modulus.
    ///
    /// # Errors
    /// As [`Self::slots`].
    pub fn slots_signed(&self, values: &[i64]) -> Result<Plaintext, Error> {
        if self.parameters.generalised().is_some() {
            return self.generalised(values.iter().map(|value| i128::from(*value)));
        }
        self.slots(&self.residues(values)?)
    }

    /// As [`Self::slots_signed`], from wide numbers.
    ///
    /// ```
    /// use bfv::{Encoder, Evaluator, Literal, Parameters, PlainModulus, Randomness, RelinearisationKey, SecretKey};
    ///
    /// # fn main() -> Result<(), bfv::Error> {
    /// // 1024 slots modulo a prime of 81 bits, in one ciphertext of degree 8192.
    /// let plain = PlainModulus::generalised(8192, 1024, 1 << 80).ok_or(bfv::Error::NoSlots)?;
    /// let parameters = Parameters::new(Literal::with_sizes(8192, plain, &[44; 4], None)?)?;
    /// let mut randomness = Randomness::from_os()?;
    /// let secret = SecretKey::new(&parameters, &mut randomness);
    /// let (encoder, evaluator) = (Encoder::new(&parameters), Evaluator::new(&parameters));
    ///
    /// let large = 500_000_000_000;
    /// let message = encoder.slots_wide(&[large, -large, 3])?;
    /// let a = secret.encrypt(&parameters, &message, &mut randomness)?;
    /// let product = evaluator.multiply_lazy(&a, &a)?;
    /// # let key = RelinearisationKey::new(&parameters, &secret, &mut randomness)?;
    /// # let square = evaluator.relinearise(&product, &key)?;
    /// let slots = encoder.decode_slots_wide(&secret.decrypt(&parameters, &square)?)?;
    /// assert_eq!(slots[..4], [large * large, large * large, 9, 0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Self::slots`].
    pub fn slots_wide(&self, values: &[i128]) -> Result<Plaintext, Error> {
        if self.parameters.generalised().is_some() {
            return self.generalised(values.iter().copied());
        }
        let narrow = |value: &i128| i64::try_from(*value).map_err(|_| Error::Value(*value));
        self.slots_signed(&values.iter().map(narrow).collect::<Result<Vec<_>, _>>()?)
    }

    fn generalised(&self, values: impl ExactSizeIterator<Item = i128>) -> Result<Plaintext, Error> {
        let space = self.parameters.generalised().ok_or(Error::NoSlots)?;
        if values.len() > space.slots() {
            return Err(Error::TooMany(values.len(), space.slots()));
        }
        let residue = |value| space.signed(value).ok_or(Error::Value(value));
        let residues = Zeroizing::new(values.map(residue).collect::<Result<Vec<_>, _>>()?);
        Ok(Plaintext { id: self.parameters.id(), coefficients: space.encode(&residues) })
    }

    /// The slots of a message, as numbers in `[-p/2, p/2)` for the slots' modulus p.
    ///
    /// # Errors
    /// If there are no slots, or the message is of another parameter set.
    pub fn decode_slots_wide(&self, plaintext: &Plaintext) -> Result<Vec<i128>, Error> {
        match self.parameters.generalised() {
            Some(space) => {
                self.parameters.check(plaintext.id, "plaintext")?;
                Ok(space.decode(&plaintext.coefficients).into_iter().map(|x| space.centred(x)).collect())
            }
            None => Ok(self.decode_slots_signed(plaintext)?.into_iter().map(i128::from).collect()),
        }
    }

    /// The slots of a generalised message whose modulus has at most `bits` bits.
    fn narrow<T: TryFrom<i128>>(
        &self,
        plaintext: &Plaintext,
        bits: u32,
        value: impl Fn(i128, i128) -> i128,
    ) -> Result<Vec<T>, Error> {
        let modulus = self.parameters.slot_modulus().ok_or(Error::NoSlots)? as i128;
        if self.parameters.plain().bits() > bits {
            return Err(Error::WideSlots(self.parameters.plain().bits()));
        }
        let fit = |x| T::try_from(value(x, modulus)).map_err(|_| Error::Value(x));
        self.decode_slots_wide(plaintext)?.into_iter().map(fit).collect()
    }

    /// A message that is uniformly random in every slot but those of `kept`, where it is zero: added to a reply
    /// it hides what its other slots hold.
    ///
    /// # Errors
    /// If there are no slots, or a kept one does not exist.
    pub fn masks(&self, kept: &[usize], randomness: &mut Randomness) -> Result<Plaintext, Error> {
        let shape = self.parameters.slot_shape().ok_or(Error::NoSlots)?;
        if let Some(slot) = kept.iter().find(|slot| **slot >= shape.slots()) {
            return Err(Error::TooMany(*slot, shape.slots()));
        }
        let mut stream = Stream::new(&randomness.draw().child("masks", 0));
        if let Some(space) = self.parameters.generalised() {
            let mut residues = Zeroizing::new(vec![0; shape.slots()]);
            stream.uniform_wide(space.modulus(), &mut residues);
            kept.iter().for_each(|slot| residues[*slot] = 0);
            return Ok(Plaintext { id: self.parameters.id(), coefficients: space.encode(&residues) });
        }
        let mut residues = Zeroizing::new(vec![0; shape.slots()]);
        stream.uniform(self.parameters.slots()?.ntt.modulus(), &mut residues);
        kept.iter().for_each(|slot| residues[*slot] = 0);
        self.slots(&residues)
    }

    /// The slots of a message, row by row.
    ///
    /// # Errors
    /// If there are no slots, the message is of another parameter set, or the slots' modulus exceeds 64 bits.
    pub fn decode_slots(&self, plaintext: &Plaintext) -> Result<Vec<u64>, Error> {
        if self.parameters.generalised().is_some() {
            return self.narrow(plaintext, 64, |x, modulus| if x < 0 { x + modulus } else { x });
        }
        self.parameters.check(plaintext.id, "plaintext")?;
        let slots = self.parameters.slots()?;
        let mut words = plaintext.coefficients.clone();
        slots.ntt.forward(&mut words);
        let mut out = vec![0; words.len()];
        slots.ntt.modulus().gather(&mut out, &words, &slots.positions);
        Ok(out)
    }

    /// The slots as numbers in `[-p/2, p/2)` for the slots' modulus p.
    ///
    /// # Errors
    /// As [`Self::decode_slots`].
    pub fn decode_slots_signed(&self, plaintext: &Plaintext) -> Result<Vec<i64>, Error> {
        if self.parameters.generalised().is_some() {
            return self.narrow(plaintext, 64, |x, _| x);
        }
        Ok(self
            .decode_slots(plaintext)?
            .into_iter()
            .map(|x| self.parameters.plain_ring().centred(x))
            .collect())
    }

    /// The N coefficients as numbers in `[-t/2, t/2)`.
    ///
    /// # Errors
    /// If the message is of another parameter set, or the plaintext modulus is a generalised one.
    pub fn decode_coefficients_signed(&self, plaintext: &Plaintext) -> Result<Vec<i64>, Error> {
        self.parameters.check_integer()?;
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
