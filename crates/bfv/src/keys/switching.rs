//! Key-switching keys: relinearisation and automorphisms.
//!
//! A residue polynomial `d` modulo `Q` is cut into digits `d_k`: its limbs, or windows of `w` bits of each limb. With
//! gadget factors `g_k = P 2^(w j)` on the digit's own limb and 0 on the others, `sum d_k g_k = P d` modulo `P Q`. The
//! key holds `(e_k - a_k s + g_k s', a_k)` modulo `P Q`, so `sum d_k key_k` is an encryption of `P d s'`, and
//! dividing by the special prime P leaves `d s'` with noise about `sqrt(N digits) digit sigma / P` (hybrid key switching;
//! without a special prime P = 1).

use std::collections::BTreeMap;

use kernel::seed::Seed;

use crate::error::Error;
use crate::keys::{SecretKey, check_limbs};
use crate::parameters::Parameters;
use crate::random::{Randomness, SEED_BYTES, Small};
use crate::ring::{PackedRows, Ring, Rows, SecretRows};

/// The digits of a polynomial with `limbs` limbs: for each the limb and the lowest bit.
pub(crate) fn digit_shape(parameters: &Parameters, limbs: usize) -> Vec<(usize, u32)> {
    (0..limbs)
        .flat_map(|limb| {
            let bits = parameters.ring().modulus(limb).bits();
            let width = parameters.literal().digit_bits.unwrap_or(bits);
            (0..bits.div_ceil(width)).map(move |window| (limb, window * width))
        })
        .collect()
}

/// A key from one secret to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SwitchingKey {
    /// Limbs of the ciphertexts that it serves, at most.
    pub(crate) limbs: usize,
    /// For each digit of these limbs the bodies on them and on the special prime.
    pub(crate) bodies: Vec<PackedRows>,
    pub(crate) uniforms: Vec<PackedRows>,
    pub(crate) seed: [u8; SEED_BYTES],
}

impl SwitchingKey {
    /// The key that turns products with `from` into encryptions under `to`, both in evaluation form on all primes.
    fn new(parameters: &Parameters, from: &Rows, to: &Rows, limbs: usize, seed: &Seed) -> Self {
        let ring = parameters.ring();
        let public = seed.child("uniform", 0);
        let shape = digit_shape(parameters, limbs);
        let (bodies, uniforms) = shape
            .iter()
            .enumerate()
            .map(|(index, (limb, low))| {
                let uniform = Self::uniform(ring, &public, index);
                let error = Small::gaussian(parameters.degree(), &seed.child("error", index as u64));
                let mut body = ring.small(&error.0, ring.all());
                let mut product = SecretRows(uniform.clone());
                ring.mul_assign(&mut product.0, to);
                ring.sub_assign(&mut body, &product.0);
                let q = ring.modulus(*limb);
                let factor = q.shoup(q.mul(ring.special_factor(*limb).value, q.pow(2, u64::from(*low))));
                let mut gadget = SecretRows(Rows::zeros(1, parameters.degree()));
                gadget.0.row_mut(0).copy_from_slice(from.row(*limb));
                q.scale_assign(gadget.0.row_mut(0), factor);
                q.add_assign(body.row_mut(*limb), gadget.0.row(0));
                (ring.pack_extended(&body, limbs), ring.pack_extended(&uniform, limbs))
            })
            .unzip();
        Self { limbs, bodies, uniforms, seed: *public.as_bytes() }
    }

    pub(crate) fn from_wire(
        parameters: &Parameters,
        limbs: usize,
        bodies: Vec<PackedRows>,
        seed: [u8; SEED_BYTES],
    ) -> Self {
        let (ring, public) = (parameters.ring(), Seed::from_bytes(seed));
        let uniforms = (0..bodies.len())
            .map(|digit| ring.pack_extended(&Self::uniform(ring, &public, digit), limbs))
            .collect();
        Self { limbs, bodies, uniforms, seed }
    }

    /// The uniform half of one digit.
    fn uniform(ring: &Ring, public: &Seed, digit: usize) -> Rows {
        ring.uniform(&public.child("digit", digit as u64), ring.all())
    }
}

/// The key from s^2 to s, for products.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelinearisationKey {
    pub(crate) ring_id: u64,
    pub(crate) key: SwitchingKey,
}

impl RelinearisationKey {
    /// A relinearisation key of a secret key.
    ///
    /// # Errors
    /// If the secret key is of another ring.
    pub fn new(parameters: &Parameters, key: &SecretKey, randomness: &mut Randomness) -> Result<Self, Error> {
        parameters.check_ring(key.ring_id, "secret key")?;
        let mut square = SecretRows(key.rows.0.clone());
        parameters.ring().mul_assign(&mut square.0, &key.rows.0);
        let limbs = parameters.limbs();
        let key = SwitchingKey::new(parameters, &square.0, &key.rows.0, limbs, &randomness.draw());
        Ok(Self { ring_id: parameters.ring_id(), key })
    }
}

/// Keys of automorphisms `X -> X^g`.
///
/// The key of g leads from s to the secret `s(X^(1/g))`: the switch comes first and the automorphism last, so that a
/// hoisted ciphertext's digits are never permuted, only the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GaloisKeys {
    pub(crate) ring_id: u64,
    pub(crate) keys: BTreeMap<usize, SwitchingKey>,
}

impl GaloisKeys {
    /// Keys of the automorphisms `X -> X^g` for the given odd `g` below 2 N; 1 needs none.
    ///
    /// # Errors
    /// If the secret key is of another ring, or a g is even or too large.
    pub fn of_exponents(
        parameters: &Parameters,
        key: &SecretKey,
        exponents: impl IntoIterator<Item = usize>,
        randomness: &mut Randomness,
    ) -> Result<Self, Error> {
        let limbs = parameters.limbs();
        Self::of_levels(parameters, key, exponents.into_iter().map(|g| (g, limbs)), randomness)
    }

    /// As [`Self::of_exponents`], each key for ciphertexts of at most a number of limbs (the largest, where an exponent comes
    /// more than once): with half the limbs a key has a quarter of the bytes.
    ///
    /// # Errors
    /// As [`Self::of_exponents`], or if there are no such limbs.
    pub fn of_levels(
        parameters: &Parameters,
        key: &SecretKey,
        levels: impl IntoIterator<Item = (usize, usize)>,
        randomness: &mut Randomness,
    ) -> Result<Self, Error> {
        parameters.check_ring(key.ring_id, "secret key")?;
        let (ring, degree) = (parameters.ring(), parameters.degree());
        let mut wanted: Vec<(usize, usize)> = Vec::new();
        for (g, limbs) in levels {
            if g % 2 == 0 || g >= 2 * degree {
                return Err(Error::MissingKey(g));
            }
            check_limbs(parameters, limbs)?;
            match wanted.iter_mut().find(|(known, _)| *known == g) {
                Some((_, most)) => *most = limbs.max(*most),
                None if g == 1 => {}
                None => wanted.push((g, limbs)),
            }
        }
        let keys = wanted.into_iter().map(|(g, limbs)| {
            let target = SecretRows(ring.automorphism(&key.rows.0, inverse_exponent(degree, g)));
            (g, SwitchingKey::new(parameters, &key.rows.0, &target.0, limbs, &randomness.draw()))
        });
        Ok(Self { ring_id: parameters.ring_id(), keys: keys.collect() })
    }

    /// Keys of row rotations by the given steps (left; negative is right), and of the column swap if asked. The steps are
    /// those of these parameters' slots: keys serve every plaintext modulus, but each has its own rotations, and
    /// [`Self::of_exponents`] makes keys for several at once.
    ///
    /// # Errors
    /// As [`Self::of_exponents`].
    pub fn of_rotations(
        parameters: &Parameters,
        key: &SecretKey,
        steps: &[i64],
        columns: bool,
        randomness: &mut Randomness,
    ) -> Result<Self, Error> {
        let degree = parameters.degree();
        let swap = columns.then_some(2 * degree - 1);
        let exponents = steps.iter().map(|steps| parameters.rotation_exponent(*steps)).chain(swap);
        Self::of_exponents(parameters, key, exponents, randomness)
    }

    /// Keys of the automorphisms that [packing](crate::Evaluator::pack) uses: `2^k + 1` for k from 1 to log2 N.
    ///
    /// # Errors
    /// As [`Self::of_exponents`].
    pub fn of_packing(
        parameters: &Parameters,
        key: &SecretKey,
        randomness: &mut Randomness,
    ) -> Result<Self, Error> {
        let levels = parameters.degree().trailing_zeros();
        Self::of_exponents(parameters, key, (1..=levels).map(|k| (1 << k) + 1), randomness)
    }

    /// No keys, for the ring of these parameters.
    pub fn none(parameters: &Parameters) -> Self {
        Self { ring_id: parameters.ring_id(), keys: BTreeMap::new() }
    }

    /// Takes the keys of another set in, for those that arrive one by one.
    ///
    /// # Errors
    /// If they are of another ring.
    pub fn absorb(&mut self, other: Self) -> Result<(), Error> {
        if other.ring_id != self.ring_id {
            return Err(Error::Mismatch("Galois key"));
        }
        self.keys.extend(other.keys);
        Ok(())
    }

    /// The exponents there are keys for.
    pub fn exponents(&self) -> impl Iterator<Item = usize> {
        self.keys.keys().copied()
    }

    /// The most limbs of a ciphertext that the key of an exponent serves, if there is one.
    pub fn limbs(&self, exponent: usize) -> Option<usize> {
        self.keys.get(&exponent).map(|key| key.limbs)
    }

    /// The key of an exponent for ciphertexts with this many limbs.
    pub(crate) fn get(&self, g: usize, limbs: usize) -> Result<&SwitchingKey, Error> {
        let key = self.keys.get(&g).ok_or(Error::MissingKey(g))?;
        if limbs <= key.limbs { Ok(key) } else { Err(Error::Level(limbs, key.limbs)) }
    }
}

/// The inverse of an odd exponent modulo 2 N, a power of two, by Newton's iteration.
fn inverse_exponent(degree: usize, g: usize) -> usize {
    (0..6).fold(g, |x, _| x.wrapping_mul(2usize.wrapping_sub(g.wrapping_mul(x)))) & (2 * degree - 1)
}
