//! Sessions between two parties and the engines that run private inference over them.
//!
//! A [`session::Session`] carries frames over a [`channel::Transport`] and keeps the account ([`meter`]). The
//! [`handshake`] agrees on a model and a protocol by name and knows nothing of how the protocol works.

pub mod channel;
pub mod encrypted;
pub mod error;
pub mod frame;
pub mod garbled;
pub mod handshake;
pub mod interactive;
pub mod measure;
pub mod memory;
pub mod message;
pub mod meter;
pub mod session;
pub mod shape;
pub mod work;

pub use error::Error;
pub use frame::{Length, Tag};
pub use handshake::Reveal;
pub use meter::{Meter, Phase};
pub use session::{Inbox, Outbox, Progress, Session};
