//! The encrypted engine: a whole network on ciphertexts, one request and one reply (LoLa, section 4).
//!
//! The client encrypts its input under its own key and sends it; the server computes the network on the ciphertexts
//! with its weights in the clear, hides what the result does not say, and sends the encrypted scores back. There is no
//! interaction in between.
//!
//! | module | what |
//! | --- | --- |
//! | [`outline`] | what both parties know: parameters, how inputs and results stand in slots, keys, noise |
//! | [`program`] | what the server computes; the keys it needs for that |

pub mod outline;
pub mod program;

pub use outline::{Answer, EMPTY, Outline, Place, Request};
pub use program::{EvaluationKeys, Program};
