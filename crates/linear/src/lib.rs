//! Linear layers on ciphertexts, and in the clear.
//!
//! [`slots`] packs values in slots and rotates them, and [`gazelle`] makes any convolution and matrix product of that;
//! [`coefficients`] packs values in coefficients and needs no keys. Each is written once, over a trait of operations, and run by
//! several interpreters: in the clear, counting, on ciphertexts. [`plain`] has neither keys nor ciphertexts: products modulo a power
//! of two by a party that knows both operands.

pub mod coefficients;
mod error;
pub mod gazelle;
pub mod plain;
pub mod slots;

pub use error::Error;
