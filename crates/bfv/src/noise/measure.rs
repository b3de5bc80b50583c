//! Measured noise, with the secret key. For tests and tuning: it is variable-time.

use crate::ciphertext::Ciphertext;
use crate::encoder::Plaintext;
use crate::error::Error;
use crate::keys::{SecretKey, rounded_message, scaled_message};
use crate::parameters::Parameters;
use crate::ring::{Ring, Rows, SecretRows};

/// The noise of one ciphertext.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeasuredNoise {
    /// The base-2 logarithm of the largest coefficient's magnitude.
    pub log2_max: f64,
    /// The base-2 logarithm of the root mean square over the coefficients.
    pub log2_deviation: f64,
    /// The base-2 logarithm of `Q / 2t` over the largest coefficient: zero or less where decryption fails.
    pub budget: f64,
}

impl SecretKey {
    /// The noise of a ciphertext, against the message that it decrypts to.
    ///
    /// # Errors
    /// If the ciphertext or the key is of other parameters.
    pub fn measure_noise(
        &self,
        parameters: &Parameters,
        ciphertext: &Ciphertext,
    ) -> Result<MeasuredNoise, Error> {
        let message = rounded_message(parameters, &self.phase(parameters, ciphertext)?.0);
        self.measure_noise_of(parameters, ciphertext, &message)
    }

    /// The noise of a ciphertext, against the message that it should hold.
    ///
    /// # Errors
    /// As [`Self::measure_noise`], or if the message is of other parameters.
    pub fn measure_noise_of(
        &self,
        parameters: &Parameters,
        ciphertext: &Ciphertext,
        message: &Plaintext,
    ) -> Result<MeasuredNoise, Error> {
        parameters.check(message.id, "plaintext")?;
        let limbs = ciphertext.limbs();
        let magnitudes = noise_magnitudes(parameters, self.phase(parameters, ciphertext)?, message);
        let max = magnitudes.iter().fold(0f64, |max, x| max.max(*x)).max(0.5);
        // Scaled by the largest, so that squares stay in range.
        let mean = magnitudes.iter().map(|x| (x / max).powi(2)).sum::<f64>() / magnitudes.len() as f64;
        let log2_max = max.log2();
        Ok(MeasuredNoise {
            log2_max,
            log2_deviation: log2_max + mean.log2() / 2.0,
            budget: parameters.log2_modulus(limbs) - parameters.plain().log2_norm() - 1.0 - log2_max,
        })
    }
}

/// The magnitudes of the noise in a phase that should hold a message.
pub(crate) fn noise_magnitudes(
    parameters: &Parameters,
    mut phase: SecretRows,
    message: &Plaintext,
) -> Vec<f64> {
    let scaled = scaled_message(parameters, message, phase.0.count());
    parameters.ring().sub_assign(&mut phase.0, &scaled);
    magnitudes(parameters.ring(), &phase.0)
}

/// The magnitudes of centred coefficients, from the mixed-radix digits (Garner) of each and of its negative: the
/// smaller one.
fn magnitudes(ring: &Ring, poly: &Rows) -> Vec<f64> {
    let moduli: Vec<_> = ring.moduli(poly.count()).copied().collect();
    let inverses: Vec<Vec<_>> = moduli
        .iter()
        .enumerate()
        .map(|(j, q)| {
            moduli[..j].iter().map(|p| q.shoup(q.inverse(q.reduce(p.value())).unwrap_or(0))).collect()
        })
        .collect();
    let value = |residues: &[u64]| {
        let mut digits: Vec<u64> = Vec::with_capacity(residues.len());
        for (j, q) in moduli.iter().enumerate() {
            let digit = digits
                .iter()
                .zip(&inverses[j])
                .fold(residues[j], |x, (digit, inverse)| q.mul_shoup(q.sub(x, q.reduce(*digit)), *inverse));
            digits.push(digit);
        }
        digits.iter().zip(&moduli).rev().fold(0f64, |sum, (digit, q)| sum * q.value() as f64 + *digit as f64)
    };
    (0..ring.degree())
        .map(|index| {
            let residues: Vec<u64> = poly.iter().map(|row| row[index]).collect();
            let negative: Vec<u64> = residues.iter().zip(&moduli).map(|(x, q)| q.neg(*x)).collect();
            value(&residues).min(value(&negative))
        })
        .collect()
}
