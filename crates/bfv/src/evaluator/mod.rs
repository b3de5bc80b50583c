//! Operations on ciphertexts.

mod bgv;
mod dot;
mod linear;
mod masking;
mod modulus;
mod pack;
mod product;
mod rotation;
mod sums;
mod switching;

pub use bgv::{ProductPlan, Scheme};
pub use masking::MAX_FLOOD_BITS;
pub use rotation::Hoisted;

pub(crate) use bgv::product_factor;
pub(crate) use product::Multiplier;

use crate::ciphertext::Ciphertext;
use crate::error::Error;
use crate::parameters::Parameters;

/// Computes on ciphertexts of one parameter set. It holds no key; operations that need one take it.
///
/// What each operation does to the noise is in [`crate::NoiseModel`].
#[derive(Clone, Debug)]
pub struct Evaluator {
    parameters: Parameters,
}

impl Evaluator {
    /// The evaluator of a parameter set.
    pub fn new(parameters: &Parameters) -> Self {
        Self { parameters: parameters.clone() }
    }

    /// The parameters it works with.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn check(&self, ciphertext: &Ciphertext) -> Result<(), Error> {
        self.parameters.check(ciphertext.id, "ciphertext")
    }

    /// Two ciphertexts that can meet.
    pub(crate) fn check_pair(&self, a: &Ciphertext, b: &Ciphertext) -> Result<(), Error> {
        self.check(a)?;
        self.check(b)?;
        if a.limbs() == b.limbs() { Ok(()) } else { Err(Error::Level(b.limbs(), a.limbs())) }
    }
}
