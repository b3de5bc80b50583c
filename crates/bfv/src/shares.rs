//! From a ciphertext to additive shares of its message: masked replies.
//!
//! One party holds a ciphertext of phase `P = Q m / t + e`, the other the key. The first adds a polynomial R, *uniform
//! modulo Q*, and half a step `Q / 2t`, and sends the result as a [`Reply`]; its own share is `-round(t R / Q)`, and what
//! the other decrypts is `round(t (P + R + Q / 2t) / Q)`. Because of the half step the real numbers behind the two
//! roundings differ by `m + 1/2 + t e / Q`, which is strictly between m and m + 1, so that the shares add up to **m or
//! m + 1** modulo t, and to nothing else. A caller that wants m itself encodes `2 m` and drops the lowest bit after the sum.
//!
//! R is uniform, so that the coefficients sent say nothing of the noise, which depends on the factors that the
//! ciphertext met, nor of the message. (A mask modulo t would leave the noise to be seen.) The other half of the ciphertext
//! must have been re-randomised ([`Evaluator::rerandomise`]) first.
//!
//! Shares depend on R alone, so they can be made before the ciphertext exists.

use crate::ciphertext::Ciphertext;
use crate::encoder::Plaintext;
use crate::error::Error;
use crate::evaluator::Evaluator;
use crate::keys::rounded_message;
use crate::random::Randomness;
use crate::reply::{MAX_REPLY_LIMBS, Reply, ReplyShape, check_positions, modulus};
use crate::ring::SecretRows;

/// A mask for one reply: a polynomial uniform modulo the reply's modulus. For one reply only; erased on drop.
pub struct ReplyMask {
    id: u64,
    /// Coefficient form.
    rows: SecretRows,
}

impl core::fmt::Debug for ReplyMask {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ReplyMask(..)")
    }
}

impl Evaluator {
    /// A fresh mask for a reply of so many limbs.
    ///
    /// # Errors
    /// If no reply has so many limbs.
    pub fn reply_mask(&self, limbs: usize, randomness: &mut Randomness) -> Result<ReplyMask, Error> {
        let parameters = self.parameters();
        if !(1..=MAX_REPLY_LIMBS.min(parameters.limbs())).contains(&limbs) {
            return Err(Error::Level(limbs, MAX_REPLY_LIMBS));
        }
        let seed = randomness.draw();
        Ok(ReplyMask { id: parameters.id(), rows: SecretRows(parameters.ring().uniform(&seed, limbs)) })
    }

    /// The masking party's shares: `-round(t R / Q)` modulo t, a coefficient each.
    ///
    /// # Errors
    /// If the mask is of other parameters.
    pub fn mask_shares(&self, mask: &ReplyMask) -> Result<Plaintext, Error> {
        self.parameters().check(mask.id, "mask")?;
        let mut shares = rounded_message(self.parameters(), &mask.rows.0);
        let plain = self.parameters().plain_ring();
        shares.coefficients.iter_mut().for_each(|share| *share = plain.neg(*share));
        Ok(shares)
    }

    /// As [`Evaluator::reply`], masked. Decryption and [`Evaluator::mask_shares`] add up to the message or the message plus
    /// one, coefficient by coefficient, as long as a reply of this shape would have decrypted.
    ///
    /// # Errors
    /// As [`Evaluator::reply`], or if the mask is of other parameters or limbs.
    pub fn masked_reply(
        &self,
        a: &Ciphertext,
        shape: ReplyShape,
        positions: &[u32],
        mask: &ReplyMask,
    ) -> Result<Reply, Error> {
        let parameters = self.parameters();
        shape.check(parameters)?;
        check_positions(parameters, positions)?;
        parameters.check(mask.id, "mask")?;
        if mask.rows.0.count() != shape.limbs {
            return Err(Error::Level(mask.rows.0.count(), shape.limbs));
        }
        let ring = parameters.ring();
        let mut low = self.switch_down(a, shape.limbs)?;
        low.parts.iter_mut().for_each(|part| ring.inverse(part));
        ring.add_assign(&mut low.parts[0], &mask.rows.0);
        let half_step = modulus(ring, shape.limbs).0 as f64 / parameters.plain().log2().exp2() / 2.0;
        for (q, row) in ring.moduli(shape.limbs).zip(low.parts[0].iter_mut()) {
            let half_step = q.reduce_wide(half_step as u128);
            row.iter_mut().for_each(|x| *x = q.add(*x, half_step));
        }
        Ok(self.shorten(&low, shape, Some(positions)))
    }
}
