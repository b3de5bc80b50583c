//! Linear layers on ciphertexts.

pub mod coefficients;
mod error;

pub use error::Error;
