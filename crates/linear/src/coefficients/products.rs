//! The one operation of these kernels.

use crate::Error;

/// An interpreter of sums of products of polynomials modulo `X^N + 1`.
pub trait Products: Sync {
    /// An operand.
    type Ciphertext: Send + Sync;
    /// A polynomial of weights, prepared.
    type Factor: Send + Sync;

    /// Prepares weights: N signed coefficients.
    ///
    /// # Errors
    /// If they are not of the ring.
    fn factor(&self, coefficients: &[i64]) -> Result<Self::Factor, Error>;

    /// The sum of the products of each ciphertext and its factor.
    ///
    /// # Errors
    /// If there are no terms, or terms of different rings.
    fn dot(&self, terms: &[(&Self::Ciphertext, &Self::Factor)]) -> Result<Self::Ciphertext, Error>;

    /// Bytes of memory that a factor takes.
    fn factor_bytes(&self) -> usize;
}
