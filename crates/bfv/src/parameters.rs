//! Parameters: an open literal, one checked constructor, one immutable value.

use std::sync::{Arc, OnceLock};

use kernel::modular::{Converter, Modulus, VECTOR_BITS, is_prime, next_ntt_prime};

use crate::encoder::{GENERATOR, SlotShape, Slots};
use crate::error::Error;
use crate::evaluator::Multiplier;
use crate::generalised::{Generalised, PolynomialScaling, rotation_generator};
use crate::noise::NoiseModel;
use crate::plain::{PlainModulus, PlainRing};
use crate::ring::Ring;
use crate::security;

/// Most data limbs.
pub const MAX_LIMBS: usize = 32;

/// The choices that make a parameter set. [`Parameters::new`] checks them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Literal {
    /// Ring degree N: a power of two from 1024 to 32768.
    pub degree: usize,
    /// The plaintext modulus.
    pub plain: PlainModulus,
    /// The primes of the ciphertext modulus, each of 20 to 50 bits and 1 modulo 2 N. Modulus switching drops the last
    /// first.
    pub data: Vec<u64>,
    /// The special prime of hybrid key switching, if any. It should not be smaller than the data primes.
    pub special: Option<u64>,
    /// Key switching splits each residue into digits of this many bits; `None` takes residues whole, which is
    /// right with a special prime.
    pub digit_bits: Option<u32>,
}

impl Literal {
    /// A literal with primes of given sizes: the largest distinct NTT primes below each power of two.
    ///
    /// # Errors
    /// [`Error::Limb`] with the size where there is no such prime.
    pub fn with_sizes(
        degree: usize,
        plain: PlainModulus,
        data_bits: &[u32],
        special_bits: Option<u32>,
    ) -> Result<Self, Error> {
        let mut taken: Vec<u64> = plain.slot_modulus().and_then(|t| t.try_into().ok()).into_iter().collect();
        let mut take = |bits: u32| {
            if !(20..=VECTOR_BITS).contains(&bits) {
                return Err(Error::Limb(u64::from(bits)));
            }
            let mut bound = 1 << bits;
            loop {
                let prime = next_ntt_prime(bound, 2 * degree as u64).filter(|prime| prime >> (bits - 1) == 1);
                let prime = prime.ok_or(Error::Limb(u64::from(bits)))?;
                if !taken.contains(&prime) {
                    taken.push(prime);
                    return Ok(prime);
                }
                bound = prime;
            }
        };
        // The special prime first: it should be the largest of its size.
        let special = special_bits.map(&mut take).transpose()?;
        let data = data_bits.iter().map(|bits| take(*bits)).collect::<Result<_, _>>()?;
        Ok(Self { degree, plain, data, special, digit_bits: None })
    }
}

/// A checked parameter set. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Parameters(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    literal: Literal,
    id: u64,
    ring_id: u64,
    ring: Arc<Ring>,
    plain: PlainRing,
    slots: Option<Slots>,
    generalised: Option<Arc<Generalised>>,
    levels: Vec<Level>,
}

/// What depends on the number of limbs.
#[derive(Debug)]
pub(crate) struct Level {
    pub(crate) scaling: Scaling,
    multiplier: OnceLock<Option<Multiplier>>,
}

/// Between messages and phases.
#[derive(Debug)]
pub(crate) enum Scaling {
    Integer(IntegerScaling),
    Polynomial(PolynomialScaling),
}

/// For a plaintext modulus t that is a number.
#[derive(Debug)]
pub(crate) struct IntegerScaling {
    /// `-Q mod t`.
    pub(crate) minus_modulus: u64,
    /// `1/t mod q_j` for each limb.
    pub(crate) plain_inverses: Vec<u64>,
    /// `t (Q/q_i)^-1 mod q_i` for each limb.
    pub(crate) quotient_factors: Vec<u64>,
    /// `-1/q_i mod t` for each limb.
    pub(crate) quotient_row: Vec<u64>,
    /// The rounded quotient `t x / Q mod t`, where the vector kernels take `t`.
    pub(crate) quotient: Option<Converter>,
}

impl Parameters {
    /// Checks a literal: the 128-bit table, the primes, the plaintext modulus and the room for an encryption.
    ///
    /// # Errors
    /// One for each rule, with the value refused.
    pub fn new(literal: Literal) -> Result<Self, Error> {
        let limit = security::max_modulus_bits(literal.degree).ok_or(Error::Degree(literal.degree))?;
        let primes: Vec<u64> = literal.data.iter().chain(&literal.special).copied().collect();
        let bits = product_bits(&primes);
        if bits > limit {
            return Err(Error::Insecure { degree: literal.degree, bits, limit });
        }
        Self::without_security(literal)
    }

    /// A toy set that skips the security table: for tests of this crate and of crates above it, which enable the
    /// feature `insecure-toys` among their development dependencies. It protects nothing.
    ///
    /// # Errors
    /// As [`Self::new`], without [`Error::Insecure`].
    #[cfg(any(test, feature = "insecure-toys"))]
    #[allow(non_snake_case)]
    pub fn new_INSECURE(literal: Literal) -> Result<Self, Error> {
        if !literal.degree.is_power_of_two() || !(128..=1 << 15).contains(&literal.degree) {
            return Err(Error::Degree(literal.degree));
        }
        Self::without_security(literal)
    }

    fn without_security(literal: Literal) -> Result<Self, Error> {
        check_primes(&literal)?;
        let ring_id = ring_identifier(&literal);
        let ring = Arc::new(Ring::new(literal.degree, &literal.data, literal.special)?);
        Self::over(literal, ring, ring_id)
    }

    /// The same ring and keys with another plaintext modulus: one secret key serves all moduli of a product.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_plain(&self, plain: PlainModulus) -> Result<Self, Error> {
        let literal = Literal { plain, ..self.0.literal.clone() };
        check_primes(&literal)?;
        Self::over(literal, self.0.ring.clone(), self.0.ring_id)
    }

    fn over(literal: Literal, ring: Arc<Ring>, ring_id: u64) -> Result<Self, Error> {
        let plain = PlainRing::new(literal.plain)?;
        let generalised = Generalised::new(literal.plain, literal.degree)?.map(Arc::new);
        let levels = (1..=literal.data.len())
            .map(|limbs| {
                let scaling = match &generalised {
                    Some(space) => PolynomialScaling::new(space, &ring, limbs)
                        .map(Scaling::Polynomial)
                        .ok_or_else(|| Error::Plain(literal.plain.describe()))?,
                    None => Scaling::Integer(IntegerScaling::new(&ring, limbs, plain, literal.plain)?),
                };
                Ok(Level { scaling, multiplier: OnceLock::new() })
            })
            .collect::<Result<_, Error>>()?;
        let slots = Slots::new(&literal);
        let id = identifier(ring_id, literal.plain);
        let parameters =
            Self(Arc::new(Inner { literal, id, ring_id, ring, plain, slots, generalised, levels }));
        let model = NoiseModel::new(&parameters);
        if !model.decrypts(model.fresh_public(), parameters.limbs()) {
            return Err(Error::NoRoom {
                modulus_bits: product_bits(&parameters.0.literal.data),
                plain_bits: parameters.plain().bits(),
            });
        }
        Ok(parameters)
    }

    /// The literal these were made from.
    pub fn literal(&self) -> &Literal {
        &self.0.literal
    }

    /// Ring degree N: coefficients of a plaintext.
    pub fn degree(&self) -> usize {
        self.0.literal.degree
    }

    /// Limbs of a fresh ciphertext.
    pub fn limbs(&self) -> usize {
        self.0.literal.data.len()
    }

    /// The plaintext modulus.
    pub fn plain(&self) -> PlainModulus {
        self.0.literal.plain
    }

    /// Whether values can be encoded in slots.
    pub fn has_slots(&self) -> bool {
        self.0.slots.is_some() || self.0.generalised.is_some()
    }

    /// How the slots are laid out: two rows of N/2 for a prime plaintext modulus, one row of k for a generalised one. `None`
    /// without slots.
    pub fn slot_shape(&self) -> Option<SlotShape> {
        match &self.0.generalised {
            Some(space) => Some(SlotShape { rows: 1, columns: space.slots() }),
            None => self.0.slots.is_some().then(|| SlotShape { rows: 2, columns: self.degree() / 2 }),
        }
    }

    /// What slots count modulo. `None` without slots.
    pub fn slot_modulus(&self) -> Option<u128> {
        if self.has_slots() { self.plain().slot_modulus() } else { None }
    }

    /// The exponent g of the automorphism `X -> X^g` that rotates each row of slots left by `steps` (right if
    /// negative), modulo the row's length.
    pub fn rotation_exponent(&self, steps: i64) -> usize {
        let (generator, columns) = match &self.0.generalised {
            Some(space) => (rotation_generator(self.degree(), space.slots()), space.slots()),
            None => (GENERATOR, self.degree() / 2),
        };
        let mask = 2 * self.degree() - 1;
        let (mut left, mut power, mut out) = (steps.rem_euclid(columns as i64), generator, 1);
        while left > 0 {
            if left & 1 == 1 {
                out = (out * power) & mask;
            }
            power = (power * power) & mask;
            left >>= 1;
        }
        out
    }

    /// The base-2 logarithm of the modulus of `limbs` limbs.
    pub fn log2_modulus(&self, limbs: usize) -> f64 {
        self.0.ring.log2_modulus(limbs)
    }

    /// A digest of the literal that ciphertexts and plaintexts carry.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// A digest of all but the plaintext modulus, that keys carry: keys serve every plaintext modulus.
    pub fn ring_id(&self) -> u64 {
        self.0.ring_id
    }

    pub(crate) fn ring(&self) -> &Ring {
        &self.0.ring
    }

    pub(crate) fn plain_ring(&self) -> &PlainRing {
        &self.0.plain
    }

    pub(crate) fn generalised(&self) -> Option<&Generalised> {
        self.0.generalised.as_deref()
    }

    /// Refuses what has no meaning on the coefficients of a generalised plaintext.
    pub(crate) fn check_integer(&self) -> Result<(), Error> {
        if self.0.generalised.is_none() { Ok(()) } else { Err(Error::NoCoefficients) }
    }

    pub(crate) fn slots(&self) -> Result<&Slots, Error> {
        self.0.slots.as_ref().ok_or(Error::NoSlots)
    }

    pub(crate) fn level(&self, limbs: usize) -> &Level {
        &self.0.levels[limbs - 1]
    }

    /// The tables of the ciphertext product at a level, made when first used.
    pub(crate) fn multiplier(&self, limbs: usize) -> Option<&Multiplier> {
        self.level(limbs).multiplier.get_or_init(|| Multiplier::new(self, limbs)).as_ref()
    }

    /// Refuses another set's object.
    pub(crate) fn check(&self, id: u64, what: &'static str) -> Result<(), Error> {
        if id == self.0.id { Ok(()) } else { Err(Error::Mismatch(what)) }
    }

    /// Refuses another ring's key.
    pub(crate) fn check_ring(&self, id: u64, what: &'static str) -> Result<(), Error> {
        if id == self.0.ring_id { Ok(()) } else { Err(Error::Mismatch(what)) }
    }
}

impl PartialEq for Parameters {
    fn eq(&self, other: &Self) -> bool {
        self.0.literal == other.0.literal
    }
}

impl Eq for Parameters {}

impl IntegerScaling {
    fn new(ring: &Ring, limbs: usize, plain: PlainRing, modulus: PlainModulus) -> Result<Self, Error> {
        let refused = || Error::Plain(modulus.describe());
        let moduli: Vec<Modulus> = ring.moduli(limbs).copied().collect();
        let product = moduli.iter().fold(plain.reduce(1), |p, q| plain.mul(p, plain.reduce(q.value())));
        let residue = |q: &Modulus| match modulus {
            PlainModulus::PowerOfTwo(k) => q.pow(2, u64::from(k)),
            _ => modulus.slot_modulus().map_or(0, |t| q.reduce_wide(t)),
        };
        let plain_inverses = moduli
            .iter()
            .map(|q| q.inverse(residue(q)).ok_or_else(refused))
            .collect::<Result<Vec<_>, _>>()?;
        let quotient_factors = cofactor_inverses(&moduli)
            .ok_or_else(refused)?
            .into_iter()
            .zip(&moduli)
            .map(|(inverse, q)| q.mul(inverse, residue(q)))
            .collect::<Vec<_>>();
        let quotient_row = moduli
            .iter()
            .map(|q| plain.inverse(q.value()).map(|x| plain.neg(x)).ok_or_else(refused))
            .collect::<Result<Vec<_>, _>>()?;
        let from: Vec<_> = moduli.iter().copied().zip(quotient_factors.iter().copied()).collect();
        let quotient = plain.narrow().and_then(|t| Converter::new(&from, &[(*t, quotient_row.clone(), 1)]));
        Ok(Self {
            minus_modulus: plain.neg(product),
            plain_inverses,
            quotient_factors,
            quotient_row,
            quotient,
        })
    }
}

/// `(Q/q_i)^-1 mod q_i` for each modulus, or `None` if they are not coprime.
pub(crate) fn cofactor_inverses(moduli: &[Modulus]) -> Option<Vec<u64>> {
    moduli.iter().map(|q| q.inverse(cofactor(moduli, q.value(), q))).collect()
}

/// `Q/q_i mod m`, the product of all moduli but `without`.
pub(crate) fn cofactor(moduli: &[Modulus], without: u64, m: &Modulus) -> u64 {
    moduli.iter().filter(|q| q.value() != without).fold(m.reduce(1), |p, q| m.mul(p, m.reduce(q.value())))
}

/// Bits of a product, by schoolbook multiplication.
fn product_bits(factors: &[u64]) -> u32 {
    let mut product = vec![1u64];
    for factor in factors {
        let mut carry = 0u128;
        for word in &mut product {
            carry += u128::from(*word) * u128::from(*factor);
            *word = carry as u64;
            carry >>= 64;
        }
        if carry > 0 {
            product.push(carry as u64);
        }
    }
    let top = product.last().map_or(0, |word| 64 - word.leading_zeros());
    64 * (product.len() as u32 - 1) + top
}

fn check_primes(literal: &Literal) -> Result<(), Error> {
    if !(1..=MAX_LIMBS).contains(&literal.data.len()) {
        return Err(Error::Limbs(literal.data.len()));
    }
    let primes: Vec<u64> = literal.data.iter().chain(&literal.special).copied().collect();
    for (index, q) in primes.iter().enumerate() {
        let sized = (20..=VECTOR_BITS).contains(&(64 - q.leading_zeros()));
        if !sized || q % (2 * literal.degree as u64) != 1 || !is_prime(*q) || primes[..index].contains(q) {
            return Err(Error::Limb(*q));
        }
    }
    if literal.digit_bits.is_some_and(|bits| !(4..=VECTOR_BITS).contains(&bits)) {
        return Err(Error::DigitBits(literal.digit_bits.unwrap_or(0)));
    }
    let plain = literal.plain.slot_modulus();
    if primes.iter().any(|q| plain == Some(u128::from(*q))) {
        return Err(Error::Plain(literal.plain.describe()));
    }
    Ok(())
}

/// The first eight bytes of a digest of everything but the plaintext modulus.
fn ring_identifier(literal: &Literal) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key("oribi bfv ring, version 1");
    let mut absorb = |x: u64| {
        hasher.update(&x.to_le_bytes());
    };
    absorb(literal.degree as u64);
    absorb(literal.data.len() as u64);
    literal.data.iter().for_each(|q| absorb(*q));
    absorb(literal.special.unwrap_or(0));
    absorb(u64::from(literal.digit_bits.unwrap_or(0)));
    first_word(&hasher)
}

fn identifier(ring_id: u64, plain: PlainModulus) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key("oribi bfv parameters, version 1");
    let mut absorb = |word: u64| {
        hasher.update(&word.to_le_bytes());
    };
    absorb(ring_id);
    match plain {
        PlainModulus::Prime(t) => [0, t].map(&mut absorb),
        PlainModulus::PowerOfTwo(k) => [1, u64::from(k)].map(&mut absorb),
        PlainModulus::Generalised { base, power } => {
            absorb(2);
            [base, u64::from(power)].map(&mut absorb)
        }
    };
    first_word(&hasher)
}

fn first_word(hasher: &blake3::Hasher) -> u64 {
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_of_products() {
        assert_eq!(product_bits(&[]), 1);
        assert_eq!(product_bits(&[255]), 8);
        assert_eq!(product_bits(&[1 << 49, 1 << 49]), 99);
        assert_eq!(product_bits(&[(1 << 50) - 1; 4]), 200);
        assert_eq!(product_bits(&[1 << 49; 4]), 197);
    }
}
