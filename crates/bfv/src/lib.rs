//! RNS rings and the BFV homomorphic encryption scheme.

mod ciphertext;
pub mod derive;
mod encoder;
mod error;
mod evaluator;
mod keys;
mod noise;
mod parameters;
mod plain;
mod random;
mod reply;
mod ring;
pub mod security;
#[cfg(test)]
mod tests;
mod wire;

pub use ciphertext::{Ciphertext, Multiplicand, Product};
pub use encoder::{Encoder, Plaintext, compose};
pub use error::Error;
pub use evaluator::{Evaluator, Hoisted};
pub use keys::{GaloisKeys, PublicKey, RelinearisationKey, SecretKey};
pub use noise::{MeasuredNoise, Noise, NoiseModel, TAIL};
pub use parameters::{Literal, MAX_LIMBS, Parameters};
pub use plain::PlainModulus;
pub use random::Randomness;
pub use reply::{MAX_REPLY_LIMBS, Reply, ReplyShape};
pub use wire::VERSION as WIRE_VERSION;
