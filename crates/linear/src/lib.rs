//! Linear layers on ciphertexts, and in the clear.
//!
//! [`slots`] packs values in slots and rotates them; [`coefficients`] packs them in coefficients and needs no keys. Each is written
//! once, over a trait of operations, and run by several interpreters: in the clear, counting, on ciphertexts. [`plain`] has neither keys nor
//! ciphertexts: products modulo a power of two by a party that knows both operands.

pub mod coefficients;
mod error;
pub mod plain;
pub mod slots;

pub use error::Error;
