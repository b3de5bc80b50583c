//! Arithmetic modulo a word: scalars, and vectors of residues on two backends with the same results.
//!
//! A [`Modulus`] fixes the number and the backend. Moduli below 2^50 use AVX-512 IFMA where the tier allows it
//! (two instructions give the high and the low 52 bits of eight products); every other case uses plain Rust.
//! All vector functions take and return *canonical* residues, in `[0, q)`, unless they say otherwise: that, and
//! integer-only rounding, is why the two backends give the same bits.

mod convert;
mod dot;
#[cfg(target_arch = "x86_64")]
pub(crate) mod ifma;
mod packed;
pub(crate) mod portable;
pub mod sample;
mod scalar;
#[cfg(test)]
mod tests;
mod vector;
mod words;

pub use convert::Converter;
pub use dot::Operand;
pub use packed::Packed;
pub use scalar::{Modulus, Shoup, is_prime, next_ntt_prime};
pub use words::Words;

/// Products of operands below this many bits fit the 52-bit lanes of AVX-512 IFMA with the lazy margins the
/// kernels need.
pub const VECTOR_BITS: u32 = 50;
