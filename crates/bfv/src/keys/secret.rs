//! The secret key, symmetric encryption and decryption.

use kernel::seed::Seed;
use zeroize::Zeroizing;

use crate::ciphertext::Ciphertext;
use crate::encoder::Plaintext;
use crate::error::Error;
use crate::parameters::{IntegerScaling, Parameters, Scaling};
use crate::random::{Randomness, Small};
use crate::ring::{Rows, SecretRows};

/// A ternary secret, uniform in {-1, 0, 1}^N; erased on drop.
pub struct SecretKey {
    pub(crate) ring_id: u64,
    pub(crate) coefficients: Small,
    /// Evaluation form, on all primes.
    pub(crate) rows: SecretRows,
}

impl core::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

impl SecretKey {
    /// A fresh secret for the ring of these parameters.
    pub fn new(parameters: &Parameters, randomness: &mut Randomness) -> Self {
        let coefficients = Small::ternary(parameters.degree(), &randomness.draw());
        Self::from_coefficients(parameters, coefficients)
    }

    pub(crate) fn from_coefficients(parameters: &Parameters, coefficients: Small) -> Self {
        let ring = parameters.ring();
        let rows = SecretRows(ring.small(&coefficients.0, ring.all()));
        Self { ring_id: parameters.ring_id(), coefficients, rows }
    }

    /// Encrypts a message; the second half is kept as a seed, so the wire form is half a ciphertext's.
    ///
    /// The phase is `round(Q m / t) + e` with e a discrete Gaussian of deviation 3.19.
    ///
    /// # Errors
    /// If the message or the key is of other parameters.
    pub fn encrypt(
        &self,
        parameters: &Parameters,
        plaintext: &Plaintext,
        randomness: &mut Randomness,
    ) -> Result<Ciphertext, Error> {
        self.encrypt_at(parameters, plaintext, parameters.limbs(), randomness)
    }

    /// As [`Self::encrypt`], with the first `limbs` limbs only: smaller, with less room for noise.
    ///
    /// # Errors
    /// As [`Self::encrypt`], or if there are no such limbs.
    pub fn encrypt_at(
        &self,
        parameters: &Parameters,
        plaintext: &Plaintext,
        limbs: usize,
        randomness: &mut Randomness,
    ) -> Result<Ciphertext, Error> {
        parameters.check_ring(self.ring_id, "secret key")?;
        parameters.check(plaintext.id, "plaintext")?;
        check_limbs(parameters, limbs)?;
        let (ring, seed) = (parameters.ring(), randomness.draw());
        // The child is published; the parent and its other children stay secret.
        let public = seed.child("uniform", 0);
        let error = Small::gaussian(parameters.degree(), &seed.child("error", 0));
        let mut body = scaled_message(parameters, plaintext, limbs);
        let uniform = ring.uniform(&public, limbs);
        for (index, row) in body.iter_mut().enumerate() {
            let ntt = ring.ntt(index);
            ntt.modulus().small_add_assign(row, &error.0);
            ntt.forward(row);
            // c0 = scaled message + error - a s.
            ntt.modulus().neg_assign(row);
            ntt.modulus().mul_add_assign(row, uniform.row(index), self.rows.0.row(index));
            ntt.modulus().neg_assign(row);
        }
        Ok(Ciphertext { id: plaintext.id, parts: [body, uniform], seed: Some(*public.as_bytes()) })
    }

    /// Decrypts: the rounded quotient `t (c0 + c1 s) / Q` modulo t. Right as long as the noise is below
    /// `Q / 2t - 1`; beyond it the result is another message, without any sign of it.
    ///
    /// # Errors
    /// If the ciphertext or the key is of other parameters.
    pub fn decrypt(&self, parameters: &Parameters, ciphertext: &Ciphertext) -> Result<Plaintext, Error> {
        let phase = self.phase(parameters, ciphertext)?;
        Ok(rounded_message(parameters, &phase.0))
    }

    /// `c0 + c1 s` in coefficient form.
    pub(crate) fn phase(
        &self,
        parameters: &Parameters,
        ciphertext: &Ciphertext,
    ) -> Result<SecretRows, Error> {
        parameters.check_ring(self.ring_id, "secret key")?;
        parameters.check(ciphertext.id, "ciphertext")?;
        let ring = parameters.ring();
        let mut phase = SecretRows(ciphertext.parts[0].clone());
        ring.mul_add_assign(&mut phase.0, &ciphertext.parts[1], &self.rows.0);
        ring.inverse(&mut phase.0);
        Ok(phase)
    }
}

/// Refuses levels that do not exist.
pub(crate) fn check_limbs(parameters: &Parameters, limbs: usize) -> Result<(), Error> {
    if (1..=parameters.limbs()).contains(&limbs) {
        Ok(())
    } else {
        Err(Error::Level(limbs, parameters.limbs()))
    }
}

/// `round(Q m / t)` in coefficient form: for a number t, with `u = centred(-Q m mod t)`, it is `(Q m + u) / t`, that is
/// `u / t` modulo every limb.
pub(crate) fn scaled_message(parameters: &Parameters, plaintext: &Plaintext, limbs: usize) -> Rows {
    let (ring, plain) = (parameters.ring(), parameters.plain_ring());
    let level = match &parameters.level(limbs).scaling {
        Scaling::Integer(level) => level,
        Scaling::Polynomial(level) => return level.scaled_message(ring, &plaintext.coefficients),
    };
    let mut residue = Zeroizing::new(plaintext.coefficients.clone());
    plain.scale_assign(&mut residue, level.minus_modulus);
    let mut out = ring.scratch(limbs);
    for ((q, row), inverse) in ring.moduli(limbs).zip(out.iter_mut()).zip(&level.plain_inverses) {
        plain.lift_into(q, row, &residue);
        q.scale_assign(row, q.shoup(*inverse));
    }
    out
}

/// The message of a phase in coefficient form.
pub(crate) fn rounded_message(parameters: &Parameters, phase: &Rows) -> Plaintext {
    let level = match &parameters.level(phase.count()).scaling {
        Scaling::Integer(level) => level,
        Scaling::Polynomial(level) => {
            return Plaintext { id: parameters.id(), coefficients: level.rounded_message(phase) };
        }
    };
    let mut coefficients = kernel::modular::Words::zeros(parameters.degree());
    match &level.quotient {
        Some(converter) => {
            converter.apply(&phase.iter().collect::<Vec<_>>(), &mut [&mut coefficients]);
        }
        None => rounded_wide(parameters, level, phase, &mut coefficients),
    }
    Plaintext { id: parameters.id(), coefficients }
}

/// The same for plaintext moduli beyond the vector kernels, in 128-bit arithmetic.
fn rounded_wide(parameters: &Parameters, level: &IntegerScaling, phase: &Rows, out: &mut [u64]) {
    /// Bits of the fixed-point fraction.
    const FRACTION: u32 = 58;
    let (ring, plain) = (parameters.ring(), parameters.plain_ring());
    let mut sums = Zeroizing::new(vec![1u64 << (FRACTION - 1); out.len()]);
    let mut scaled = Zeroizing::new(kernel::modular::Words::zeros(out.len()));
    for (index, row) in phase.iter().enumerate() {
        let q = ring.modulus(index);
        scaled.copy_from_slice(row);
        q.scale_assign(&mut scaled, q.shoup(level.quotient_factors[index]));
        let inverse = (1u128 << (FRACTION + 50)) / u128::from(q.value());
        for ((out, sum), x) in out.iter_mut().zip(sums.iter_mut()).zip(scaled.iter()) {
            *sum += ((u128::from(*x) * inverse) >> 50) as u64;
            *out = plain.add(*out, plain.mul(plain.reduce(*x), level.quotient_row[index]));
        }
    }
    for (out, sum) in out.iter_mut().zip(sums.iter()) {
        *out = plain.add(*out, plain.reduce(sum >> FRACTION));
    }
}

/// The uniform half that a public seed stands for.
pub(crate) fn expand(parameters: &Parameters, seed: &[u8; 32], rows: usize) -> Rows {
    parameters.ring().uniform(&Seed::from_bytes(*seed), rows)
}
