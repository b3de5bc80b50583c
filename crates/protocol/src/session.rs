//! A session: frames out, frames in, and the account of both.
//!
//! The three parts of a [`Session`] are independent: engines borrow them apart or move them into threads of their
//! own, so that one thread streams while another receives.

mod inbox;
mod outbox;
mod transcript;

use std::time::Duration;

use crate::channel::Transport;
use crate::error::Error;
use crate::meter::Meter;

pub use inbox::Inbox;
pub use outbox::{Brake, Outbox};
pub use transcript::{Direction, Entry, Transcript};

/// How long this side waits for its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For a frame's first byte, and for room to write: the peer may be computing.
    pub wait: Duration,
    /// From a frame's first byte to its last, plus the payload's time at `rate`: a frame that drips in is cut off.
    pub frame: Duration,
    /// The slowest link that is served, in bytes a second.
    pub rate: u64,
}

impl Default for Limits {
    /// Ten minutes for the peer's computation, 30 s for a frame, 16 KiB a second.
    fn default() -> Self {
        Self { wait: Duration::from_secs(600), frame: Duration::from_secs(30), rate: 16 << 10 }
    }
}

impl Limits {
    /// Time that `bytes` bytes may take on the slowest link.
    fn transfer(&self, bytes: u64) -> Duration {
        Duration::from_secs(bytes / self.rate.max(1))
    }
}

/// Time given to a peer that is being left.
const LINGER: Duration = Duration::from_secs(1);

/// Told how far a long computation is.
pub trait Progress: Sync {
    /// `done` of `total` parts, in the computation's own measure, are behind us.
    fn report(&self, done: u64, total: u64);

    /// About so many bytes will cross until the computation is over; told before it begins.
    fn expect(&self, _bytes: u64) {}

    /// A layer of this name begins. Names in a plan are the peer's words.
    fn layer(&self, _name: &str) {}
}

impl Progress for () {
    fn report(&self, _done: u64, _total: u64) {}
}

/// One party's end of a connection.
pub struct Session {
    /// Frames to the peer.
    pub outbox: Outbox,
    /// Frames from the peer.
    pub inbox: Inbox,
    /// The account.
    pub meter: Meter,
}

impl Session {
    /// A session over a connection; the account starts now.
    pub fn new(transport: Transport, limits: Limits) -> Self {
        Self::with_meter(transport, limits, Meter::new())
    }

    /// A session on an account that it shares with another.
    pub fn with_meter(transport: Transport, limits: Limits, meter: Meter) -> Self {
        Self {
            outbox: Outbox::new(transport.sink, meter.clone(), limits),
            inbox: Inbox::new((transport.source, transport.binding), meter.clone(), limits),
            meter,
        }
    }

    /// Two sessions joined in memory, for tests and for both parties in one program.
    pub fn pair() -> (Self, Self) {
        let (near, far) = crate::memory::pair();
        (Self::new(near, Limits::default()), Self::new(far, Limits::default()))
    }

    /// What only the two ends of the connection know ([`Transport::binding`]).
    pub fn binding(&self) -> Option<[u8; 32]> {
        self.inbox.binding
    }

    /// Changes how long this side waits.
    pub fn set_limits(&mut self, limits: Limits) {
        self.outbox.set_limits(limits);
        self.inbox.set_limits(limits);
    }

    /// Notes every frame from now on: which way, which tag, how long.
    pub fn record(&mut self) -> Transcript {
        let transcript = Transcript::default();
        self.outbox.record(transcript.clone());
        self.inbox.record(transcript.clone());
        transcript
    }

    /// Tells the peer in words why this side gives up. Whether it arrives is the peer's luck.
    pub fn give_up(&mut self, reason: &str) {
        self.outbox.set_limits(Limits { wait: LINGER, ..Limits::default() });
        if self.outbox.send_error(reason).is_ok() {
            let _ = self.outbox.flush();
        }
    }

    /// Ends this side's stream and waits for the end of the peer's, so that what was sent last is not lost with a
    /// connection that is reset.
    pub fn close(self) {
        let Self { outbox, mut inbox, .. } = self;
        drop(outbox);
        inbox.drain(LINGER);
    }

    /// Where the connection broke, looks for the explanation that the peer may have sent before it left.
    pub fn explain(&mut self, error: Error) -> Error {
        if !error.is_disconnect() {
            return error;
        }
        self.inbox.find_error().unwrap_or(error)
    }
}

#[cfg(test)]
mod tests;
