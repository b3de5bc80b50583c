//! Linear layers on ciphertexts.
//!
//! [`slots`] packs values in slots and rotates them; [`coefficients`] packs them in coefficients and needs no keys. Each is written
//! once, over a trait of operations, and run by several interpreters: in the clear, counting, on ciphertexts.

pub mod coefficients;
mod error;
pub mod slots;

pub use error::Error;
