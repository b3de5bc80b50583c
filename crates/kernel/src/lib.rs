//! Portable and vector kernels, each with the same results on every tier.
//!
//! This is the only crate with `unsafe` code, and the only one that asks what the processor can do: [`tier`]
//! is the single detection point. Everything above it sees safe functions.

pub mod aes;
pub mod block;
pub mod half_gates;
pub mod modular;
pub mod ntt;
pub mod prg;
pub mod prg_fold;
pub mod seed;
pub mod tier;
pub mod transpose;
pub mod wrapping;
