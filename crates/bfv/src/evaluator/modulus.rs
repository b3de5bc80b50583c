//! Modulus switching.

use crate::ciphertext::Ciphertext;
use crate::error::Error;
use crate::evaluator::Evaluator;
use crate::ring::Rows;

impl Evaluator {
    /// Switches to the first `limbs` limbs: each step divides by the last limb and rounds. The message stays; the
    /// noise shrinks with the modulus, down to the rounding's own.
    ///
    /// # Errors
    /// If the ciphertext is of other parameters or has fewer limbs.
    pub fn switch_down(&self, a: &Ciphertext, limbs: usize) -> Result<Ciphertext, Error> {
        self.check(a)?;
        if !(1..=a.limbs()).contains(&limbs) {
            return Err(Error::Level(limbs, a.limbs()));
        }
        if limbs == a.limbs() {
            return Ok(a.clone());
        }
        let parts = [0, 1].map(|half| self.divide(&a.parts[half], limbs));
        Ok(Ciphertext { id: a.id, parts, seed: None })
    }

    fn divide(&self, part: &Rows, limbs: usize) -> Rows {
        let ring = self.parameters.ring();
        let mut poly = part.clone();
        (limbs..part.count()).rev().for_each(|last| ring.divide_round(&mut poly, last));
        poly
    }
}
