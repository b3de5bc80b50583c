//! The interpreter that executes.

use bfv::{Ciphertext, Encoder, Evaluator, Multiplicand, Parameters};

use super::products::Products;
use crate::Error;

/// Polynomials encrypted under BFV.
#[derive(Clone, Debug)]
pub struct Bfv {
    encoder: Encoder,
    evaluator: Evaluator,
}

impl Bfv {
    /// The interpreter of a parameter set.
    pub fn new(parameters: &Parameters) -> Self {
        Self { encoder: Encoder::new(parameters), evaluator: Evaluator::new(parameters) }
    }

    pub(super) fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    pub(super) fn evaluator(&self) -> &Evaluator {
        &self.evaluator
    }
}

impl Products for Bfv {
    type Ciphertext = Ciphertext;
    type Factor = Multiplicand;

    fn factor(&self, coefficients: &[i64]) -> Result<Multiplicand, Error> {
        let message = self.encoder.coefficients_signed(coefficients)?;
        Ok(self.evaluator.multiplicand(&message, self.evaluator.parameters().limbs())?)
    }

    fn dot(&self, terms: &[(&Ciphertext, &Multiplicand)]) -> Result<Ciphertext, Error> {
        if terms.is_empty() {
            return Err(Error::Empty);
        }
        Ok(self.evaluator.dot_plain(terms)?)
    }

    fn factor_bytes(&self) -> usize {
        let parameters = self.evaluator.parameters();
        parameters.degree() * parameters.limbs() * size_of::<u64>()
    }
}
