//! The garbled engine: a whole network as one garbled circuit (DeepSecure, section 3.1).
//!
//! The client garbles, the server evaluates with its weights as private inputs, the client decodes. Four flights: the
//! client's transfer request; the server's reply and, behind it, the extension messages of all weights; the garbled
//! tables; the colour bits of the outputs. First layers by transfers (`products`) stand before the circuit and add two: the client's
//! corrections and the server's masked sums. A proxy may garble instead of the client (`shared`). Tables stream; labels of tensors that
//! do not fit in memory go to a file (`spill`). Semi-honest; see SECURITY.md.

pub mod client;
mod dots;
pub(crate) mod elementwise;
mod inputs;
mod limits;
mod linear;
pub mod options;
mod pieces;
pub(crate) mod pool;
pub(crate) mod products;
mod schedule;
pub mod server;
pub mod shared;
mod spill;
mod split;
mod sums;
mod tiles;
mod transfers;
mod walk;
mod weights;
pub(crate) mod wire;
mod work;
mod zeros;

pub use crate::session::Progress;
pub use limits::{MAX_LABEL_BYTES, MAX_RESIDENT_BYTES, MAX_TABLE_BYTES, check, supports};
pub use options::{BaseOt, FirstLayer, Options, Part, SessionId, Wishes};
pub use schedule::{Price, price};
pub use spill::set_label_memory;
pub use work::work;

#[cfg(test)]
mod tests;
