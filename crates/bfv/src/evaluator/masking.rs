//! Hiding how a ciphertext came about: re-randomisation and flooding.

use zeroize::Zeroize;

use crate::ciphertext::Ciphertext;
use crate::error::Error;
use crate::evaluator::Evaluator;
use crate::keys::PublicKey;
use crate::random::{Randomness, Stream};
use crate::ring::SecretRows;

/// Most bits of flooding noise.
pub const MAX_FLOOD_BITS: u32 = 120;

impl Evaluator {
    /// Adds a fresh encryption of zero, after which both halves are independent of how the ciphertext was computed, up to
    /// its noise: without it the second half of a plaintext product shows the factor.
    ///
    /// # Errors
    /// If something is of other parameters.
    pub fn rerandomise(
        &self,
        a: &mut Ciphertext,
        key: &PublicKey,
        randomness: &mut Randomness,
    ) -> Result<(), Error> {
        self.check(a)?;
        let zero = key.encrypt_zero(&self.parameters, a.limbs(), randomness)?;
        self.add_assign(a, &zero)
    }

    /// Adds to the phase noise that is uniform in `[-2^(bits-1), 2^(bits-1))` in each coefficient. If the
    /// ciphertext's own noise is below `2^b`, the result's distance from one with any other such noise is
    /// below `N 2^(b - bits + 1)`: 40 + log2 N + 1 bits above the noise give 2^-40.
    ///
    /// # Errors
    /// If the ciphertext is of other parameters, or `bits` is zero or above [`MAX_FLOOD_BITS`].
    pub fn flood(&self, a: &mut Ciphertext, bits: u32, randomness: &mut Randomness) -> Result<(), Error> {
        self.check(a)?;
        if !(1..=MAX_FLOOD_BITS).contains(&bits) {
            return Err(Error::Bits(bits));
        }
        let (ring, degree) = (self.parameters.ring(), self.parameters.degree());
        let mut words = vec![0u64; 2 * degree];
        Stream::new(&randomness.draw().child("flood", 0)).words(&mut words);
        let mut noise = SecretRows(ring.zeros(1));
        let mask = u128::MAX >> (128 - bits);
        for index in 0..a.limbs() {
            let ntt = ring.ntt(index);
            let q = ntt.modulus();
            let offset = q.pow(2, u64::from(bits - 1));
            for (out, pair) in noise.0.row_mut(0).iter_mut().zip(words.as_chunks::<2>().0) {
                let value = (u128::from(pair[0]) | u128::from(pair[1]) << 64) & mask;
                *out = q.sub(q.reduce_wide(value), offset);
            }
            ntt.forward(noise.0.row_mut(0));
            q.add_assign(a.parts[0].row_mut(index), noise.0.row(0));
        }
        words.zeroize();
        Ok(())
    }
}
