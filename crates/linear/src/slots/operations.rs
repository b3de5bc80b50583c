//! The operations on ciphertexts that kernels are written in.

use crate::error::Error;
use crate::slots::cycle::Cycle;

/// Vectors of slots and what a server can do to them without a key to see them.
///
/// A kernel is written once over this trait and run by [`crate::slots::Clear`] (the meaning), [`crate::slots::Count`] (the price) and
/// [`crate::slots::Bfv`] (the execution). Values are signed integers, taken modulo the interpreter's plaintext modulus.
pub trait Slots: Sync {
    /// A vector of slots.
    type Cipher: Clone + Send + Sync;
    /// A vector prepared for several rotations.
    type Hoisted: Send + Sync;
    /// A vector known to the server, prepared as a factor.
    type Factor: Send + Sync;
    /// A vector known to the server, prepared as an addend.
    type Addend: Send + Sync;

    /// The arrangement of the slots.
    fn cycle(&self) -> Cycle;

    /// Prepares a factor for vectors at a level (a number of limbs).
    ///
    /// # Errors
    /// If there are too many slots or no such level.
    fn factor(&self, slots: &[i128], level: usize) -> Result<Self::Factor, Error>;

    /// Prepares an addend.
    ///
    /// # Errors
    /// If there are too many slots.
    fn addend(&self, slots: &[i128]) -> Result<Self::Addend, Error>;

    /// Rotates: slot `s` of the result is slot `s + step`.
    ///
    /// # Errors
    /// If there is no key for the step.
    fn rotate(&self, a: &Self::Cipher, step: usize) -> Result<Self::Cipher, Error>;

    /// Prepares for rotations.
    ///
    /// # Errors
    /// As the interpreter says.
    fn hoist(&self, a: &Self::Cipher) -> Result<Self::Hoisted, Error>;

    /// Rotates what was prepared.
    ///
    /// # Errors
    /// If there is no key for the step.
    fn rotate_hoisted(&self, a: &Self::Hoisted, step: usize) -> Result<Self::Cipher, Error>;

    /// `a += b`.
    ///
    /// # Errors
    /// If the levels differ.
    fn add_assign(&self, a: &mut Self::Cipher, b: &Self::Cipher) -> Result<(), Error>;

    /// `a += addend`.
    ///
    /// # Errors
    /// As the interpreter says.
    fn add_plain_assign(&self, a: &mut Self::Cipher, addend: &Self::Addend) -> Result<(), Error>;

    /// The sum of products, slot by slot; at least one term.
    ///
    /// # Errors
    /// If there are no terms, or the levels differ.
    fn dot(&self, terms: &[(&Self::Cipher, &Self::Factor)]) -> Result<Self::Cipher, Error>;

    /// The sum of products with numbers; at least one term.
    ///
    /// # Errors
    /// If there are no terms, or the levels differ.
    fn dot_scalars(&self, terms: &[(&Self::Cipher, i128)]) -> Result<Self::Cipher, Error>;

    /// The square, slot by slot.
    ///
    /// # Errors
    /// If there is no relinearisation key.
    fn square(&self, a: &Self::Cipher) -> Result<Self::Cipher, Error>;

    /// The product, slot by slot.
    ///
    /// # Errors
    /// If there is no relinearisation key, or the levels differ.
    fn multiply(&self, a: &Self::Cipher, b: &Self::Cipher) -> Result<Self::Cipher, Error>;

    /// Switches down to a level, if the vector is above it.
    ///
    /// # Errors
    /// If there is no such level.
    fn switch_down(&self, a: &Self::Cipher, level: usize) -> Result<Self::Cipher, Error>;
}
