//! Base oblivious transfer and correlated OT extension.
//!
//! Everything here turns typed messages into typed messages and does no input or output. The security is against
//! semi-honest parties; bytes of a peer are nevertheless bounded and checked before they are used, and no message can
//! make a party panic or allocate more than a constant times the message's length.
//!
//! The two roles are those of a *correlated* OT with offset `delta`: the [`softspoken::Sender`] knows `delta` and gets
//! blocks `q[i]`, the [`softspoken::Receiver`] has bits `c[i]` and gets `t[i] = q[i] ^ c[i] * delta`. With a garbler as
//! the sender and its free-XOR offset as `delta`, `q[i]` is the zero label of a wire and `t[i]` the evaluator's label:
//! the labels cost nothing beyond the extension. [`random`] turns them into OTs of independent strings.
//!
//! | module | what | source |
//! | --- | --- | --- |
//! | [`base`] | 128 OTs from public keys, one message each way | Naor and Pinkas 2001 in ristretto255; with ML-KEM-768 after Masny and Rindal 2019 |
//! | [`softspoken`] | correlated OTs from symmetric cryptography, 4 bytes each | Roy 2022, eprint 2022/192 |
//! | [`ferret`] | silent correlated OTs, a sixth of a byte each | Yang et al. 2020, eprint 2020/924, with half-trees |
//! | [`random`] | random and chosen OTs from correlated ones | Guo, Katz, Wang, Yu 2020, eprint 2019/074 |

pub mod base;
mod error;
pub mod ferret;
pub mod random;
pub mod softspoken;
mod wire;

pub use error::Error;
