//! The encrypted engine: a whole network on ciphertexts, one request and one reply (LoLa, section 4).
//!
//! The client encrypts its input under its own key and sends it; the server computes the network on the ciphertexts
//! with its weights in the clear, hides what the result does not say, and sends the encrypted scores back. There is no
//! interaction in between.
//!
//! | module | what |
//! | --- | --- |
//! | [`outline`] | what both parties know: parameters, how inputs and results stand in slots, keys, noise |
//! | [`plan`] | which representation every tensor has, found by a search |
//! | [`program`] | what the server computes; the keys it needs for that |
//! | [`keys`] | a client's keys: made from a seed, sent in parts, named by their digest |
//! | [`client`], [`server`] | the two halves |
//! | [`batch`] | plans and programs for many inputs in one pass |
//! | [`plans`] | plans as they stand in the handshake |
//! | [`masks`] | what makes a result say nothing beyond itself |
//! | [`check`] | a program held against the integer reference before it is served |
//! | [`wire`] | the frames |

pub mod batch;
pub mod check;
pub mod client;
pub mod keys;
pub mod masks;
pub mod outline;
pub mod plan;
pub mod plans;
pub mod program;
pub mod server;
pub mod values;
pub mod wire;
mod work;

pub use client::Client;
pub use keys::ClientKeys;
pub use outline::{Answer, EMPTY, Outline, Place, Request, Rotation};
pub use program::{EvaluationKeys, Program};
pub use server::{Host, Service};
pub use wire::Digest;
pub use work::work;

#[cfg(test)]
mod tests;
