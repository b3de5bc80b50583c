//! The public key, its encryption and re-randomisation.

use crate::ciphertext::Ciphertext;
use crate::encoder::Plaintext;
use crate::error::Error;
use crate::keys::secret::{check_limbs, scaled_message};
use crate::keys::{SecretKey, secret};
use crate::parameters::Parameters;
use crate::random::{Randomness, SEED_BYTES, Small};
use crate::ring::{Rows, SecretRows};

/// An encryption of zero, `(e - a s, a)`, whose second half is a seed on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    pub(crate) ring_id: u64,
    pub(crate) body: Rows,
    pub(crate) uniform: Rows,
    pub(crate) seed: [u8; SEED_BYTES],
}

impl PublicKey {
    /// A public key of a secret key.
    ///
    /// # Errors
    /// If the secret key is of another ring.
    pub fn new(parameters: &Parameters, key: &SecretKey, randomness: &mut Randomness) -> Result<Self, Error> {
        parameters.check_ring(key.ring_id, "secret key")?;
        let (ring, seed) = (parameters.ring(), randomness.draw());
        let public = seed.child("uniform", 0);
        let error = Small::gaussian(parameters.degree(), &seed.child("error", 0));
        let mut body = ring.small(&error.0, ring.data());
        let uniform = ring.uniform(&public, ring.data());
        // a s alone would give the secret away: it is erased.
        let mut product = SecretRows(uniform.clone());
        ring.mul_assign(&mut product.0, &key.rows.0);
        ring.sub_assign(&mut body, &product.0);
        Ok(Self { ring_id: key.ring_id, body, uniform, seed: *public.as_bytes() })
    }

    pub(crate) fn from_wire(parameters: &Parameters, body: Rows, seed: [u8; SEED_BYTES]) -> Self {
        let uniform = secret::expand(parameters, &seed, parameters.limbs());
        Self { ring_id: parameters.ring_id(), body, uniform, seed }
    }

    /// Encrypts a message: `(b u + e0 + scaled message, a u + e1)` with ternary u and Gaussian e0, e1.
    ///
    /// # Errors
    /// If the message or the key is of other parameters.
    pub fn encrypt(
        &self,
        parameters: &Parameters,
        plaintext: &Plaintext,
        randomness: &mut Randomness,
    ) -> Result<Ciphertext, Error> {
        parameters.check(plaintext.id, "plaintext")?;
        let message = scaled_message(parameters, plaintext, parameters.limbs());
        self.mask(parameters, Some(message), parameters.limbs(), randomness)
    }

    /// A fresh encryption of zero with `limbs` limbs. Added to a ciphertext it re-randomises both halves.
    ///
    /// # Errors
    /// If the key is of another ring, or there are no such limbs.
    pub fn encrypt_zero(
        &self,
        parameters: &Parameters,
        limbs: usize,
        randomness: &mut Randomness,
    ) -> Result<Ciphertext, Error> {
        self.mask(parameters, None, limbs, randomness)
    }

    fn mask(
        &self,
        parameters: &Parameters,
        message: Option<Rows>,
        limbs: usize,
        randomness: &mut Randomness,
    ) -> Result<Ciphertext, Error> {
        parameters.check_ring(self.ring_id, "public key")?;
        check_limbs(parameters, limbs)?;
        let (ring, seed) = (parameters.ring(), randomness.draw());
        let mask = Small::ternary(parameters.degree(), &seed.child("mask", 0));
        let errors = [0, 1].map(|index| Small::gaussian(parameters.degree(), &seed.child("error", index)));
        let mut parts = [message.unwrap_or_else(|| ring.zeros(limbs)), ring.zeros(limbs)];
        let mut factor = SecretRows(ring.zeros(1));
        for index in 0..limbs {
            let ntt = ring.ntt(index);
            let factor = factor.0.row_mut(0);
            ntt.modulus().small_into(factor, &mask.0);
            ntt.forward(factor);
            for ((part, error), key) in parts.iter_mut().zip(&errors).zip([&self.body, &self.uniform]) {
                let row = part.row_mut(index);
                ntt.modulus().small_add_assign(row, &error.0);
                ntt.forward(row);
                ntt.modulus().mul_add_assign(row, factor, key.row(index));
            }
        }
        Ok(Ciphertext { id: parameters.id(), parts, seed: None })
    }
}
