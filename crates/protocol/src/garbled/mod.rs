//! The garbled engine: a whole network as one garbled circuit (DeepSecure, section 3.1).
//!
//! The client garbles, the server evaluates with its weights as private inputs, the client decodes. Flights: the
//! client's transfer request; the server's reply and, behind it, the extension messages of all weights; the garbled
//! tables; the colour bits of the outputs. Semi-honest; see SECURITY.md.

pub mod client;
mod dots;
mod elementwise;
mod inputs;
mod linear;
mod pool;
mod schedule;
pub mod server;
mod sums;
mod tiles;
mod transfers;
mod walk;
mod weights;
mod wire;

pub use schedule::{Price, price};

/// Told how far a long computation is, in garbled table bytes.
pub trait Progress {
    /// `done` of `total` are behind us.
    fn report(&self, done: u64, total: u64);
}

impl Progress for () {
    fn report(&self, _done: u64, _total: u64) {}
}

#[cfg(test)]
mod tests;
