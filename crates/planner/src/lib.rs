//! What a network's owner does before serving it: training, pruning, projection, and the search for activations.
//!
//! Any imported graph becomes trainable ([`Network`]): its weights are variables, its layers differentiable operations over
//! `candle`'s tensors, and [`train`](train::train) changes them. The results are graphs again, written as ONNX files. Nothing here
//! is secret from the server, and nothing here runs in a protocol. [`cost`] says what a protocol would take.

pub mod checkpoint;
pub mod cost;
pub mod data;
pub mod draws;
pub mod error;
pub mod kept;
pub mod measure;
pub mod network;
mod ops;
pub mod optimise;
pub mod project;
pub mod prune;
pub mod search;
pub mod train;

pub use data::Data;
pub use error::Error;
pub use network::Network;
