//! What can go wrong between two parties, in words a person can act on.

use std::io;
use std::time::Duration;

use crate::frame::{Length, Tag};

/// A failure of a session or of an engine that ran in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The transport failed.
    #[error("the connection failed while {doing}: {source}")]
    Io {
        /// What this side was doing.
        doing: &'static str,
        /// The transport's own words.
        #[source]
        source: io::Error,
    },
    /// The peer is gone; a frame was due.
    #[error("the peer closed the connection while this side was {doing}")]
    Closed {
        /// What this side was doing.
        doing: &'static str,
    },
    /// A deadline of this side passed (see [`crate::session::Limits`]).
    #[error("the peer was silent or too slow: nothing complete within {:.1} s while {doing}", waited.as_secs_f64())]
    Deadline {
        /// What this side was doing.
        doing: &'static str,
        /// How long it waited.
        waited: Duration,
    },
    /// A frame of another kind than the one due.
    #[error("expected a frame of {expected}, got tag {got}")]
    Tag {
        /// The kind that was due.
        expected: Tag,
        /// The number that came.
        got: u16,
    },
    /// A frame of another length than the one due.
    #[error("expected {expected} of {tag}, the peer announced {got} bytes")]
    Length {
        /// The kind of frame.
        tag: Tag,
        /// The length that was due.
        expected: Length,
        /// The length that the peer announced.
        got: u64,
    },
    /// A frame whose content has no meaning.
    #[error("the peer's {what} is malformed: {why}")]
    Malformed {
        /// The message.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The peer's own account of why it gave up. Already without control characters.
    #[error("the peer says: {0}")]
    Peer(String),
    /// The two sides have no protocol version in common.
    #[error("{0}")]
    Version(String),
    /// This side cannot or will not do what is asked; nothing is wrong with the connection.
    #[error("{0}")]
    Refused(String),
    /// The same, for reasons that are not the peer's to know.
    #[error("{why}")]
    Own {
        /// What the peer is told.
        told: &'static str,
        /// The reason.
        why: String,
    },
}

impl Error {
    /// Puts an [`io::Error`] into the session's terms: an end of stream is [`Error::Closed`], a timeout
    /// [`Error::Deadline`].
    pub fn from_io(doing: &'static str, waited: Duration, source: io::Error) -> Self {
        use io::ErrorKind as Kind;
        match source.kind() {
            Kind::TimedOut | Kind::WouldBlock => Self::Deadline { doing, waited },
            Kind::UnexpectedEof | Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe => {
                Self::Closed { doing }
            }
            _ => Self::Io { doing, source },
        }
    }

    /// A malformed message.
    pub fn malformed(what: &'static str, why: impl Into<String>) -> Self {
        Self::Malformed { what, why: why.into() }
    }

    /// The words for the peer.
    pub fn for_peer(&self) -> String {
        match self {
            Self::Own { told, .. } => (*told).to_owned(),
            other => other.to_string(),
        }
    }

    /// Whether the connection itself ended, so that the peer may have left an explanation behind.
    pub fn is_disconnect(&self) -> bool {
        matches!(self, Self::Closed { .. } | Self::Io { .. })
    }
}

impl From<bfv::Error> for Error {
    /// What a ciphertext or a key was refused for: nearly always the peer's doing.
    fn from(error: bfv::Error) -> Self {
        Self::malformed("encrypted message", error.to_string())
    }
}

/// Longest text of a peer that is shown, in bytes.
pub const MAX_PEER_TEXT: usize = 1024;

/// Makes a peer's text safe to print: bytes that are not UTF-8 are replaced, control characters (line breaks and
/// terminal escapes among them) and direction marks become spaces, the length is bounded.
pub fn printable(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(&text[..text.len().min(MAX_PEER_TEXT)]);
    text.chars().map(|c| if c.is_control() || is_direction_mark(c) { ' ' } else { c }).collect()
}

/// Marks that reorder or hide the text around them.
fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_text_is_stripped_and_bounded() {
        assert_eq!(printable(b"red \x1b[31mtext\r\nnext"), "red  [31mtext  next");
        assert_eq!(printable("left\u{202e}right".as_bytes()), "left right");
        assert_eq!(printable(&[0xff, b'a']), "\u{fffd}a");
        assert_eq!(printable(&[b'x'; 5000]).len(), MAX_PEER_TEXT);
    }
}
