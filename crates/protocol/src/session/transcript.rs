//! The shape of a conversation: what an eavesdropper sees of it.

use std::sync::{Arc, Mutex, PoisonError};

/// Which way a frame went, as this party saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From this party.
    Sent,
    /// To this party.
    Received,
}

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which way it went.
    pub direction: Direction,
    /// The tag's number.
    pub tag: u16,
    /// Bytes of the payload.
    pub length: u32,
}

/// The frames of a session in the order in which this party handled them; clones share the record. Frames that
/// cross each other have an order that the clock decides: compare two transcripts direction by direction.
#[derive(Clone, Default)]
pub struct Transcript(Arc<Mutex<Vec<Entry>>>);

impl Transcript {
    pub(super) fn note(&self, direction: Direction, tag: u16, length: u32) {
        let entry = Entry { direction, tag, length };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    /// All frames so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tags and lengths of the frames that went one way.
    pub fn direction(&self, direction: Direction) -> Vec<(u16, u32)> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().filter(|e| e.direction == direction).map(|e| (e.tag, e.length)).collect()
    }
}
