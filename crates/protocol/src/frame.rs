//! Frames: a header of eight bytes, then the payload.
//!
//! | bytes | field |
//! | --- | --- |
//! | 0..2 | tag, little endian |
//! | 2..4 | depth: the flight's number in the chain of causes ([`crate::meter`]) |
//! | 4..8 | length of the payload in bytes |
//!
//! A reader always knows which frame is due and how long it may be, and refuses any other before it allocates.

use std::fmt;

/// Bytes of a header.
pub const HEADER_BYTES: usize = 8;

/// The kind of a frame. Each part of the program names its own: 0 to 15 belong to the session, 16 to 31 to the
/// garbled engine; further engines take the next sixteen each.
#[derive(Clone, Copy, Debug)]
pub struct Tag {
    id: u16,
    name: &'static str,
}

impl Tag {
    /// The peer gives up; the payload is its reason in words. May come in place of any frame.
    pub const ERROR: Self = Self::new(0, "an error");
    /// The server's list of models.
    pub const HELLO: Self = Self::new(1, "the server's hello");
    /// What the client chose.
    pub const CHOICE: Self = Self::new(2, "the client's choice");
    /// The chosen model's public graph.
    pub const PLAN: Self = Self::new(3, "the plan");
    /// The client starts a prediction.
    pub const START: Self = Self::new(4, "a prediction's start");
    /// The server has done its part of a prediction.
    pub const DONE: Self = Self::new(5, "a prediction's end");
    /// The client ends the session in good order.
    pub const BYE: Self = Self::new(6, "the client's farewell");
    /// The client measures the link ([`crate::measure`]).
    pub const PROBE: Self = Self::new(7, "a measurement of the link");
    /// The client asks for the basis of the model's inputs, and the server sends it.
    pub const BASIS: Self = Self::new(9, "the basis of the inputs");

    /// A kind with its number on the wire and the words that errors use for it.
    pub const fn new(id: u16, name: &'static str) -> Self {
        Self { id, name }
    }

    /// The number on the wire.
    pub const fn id(self) -> u16 {
        self.id
    }
}

impl PartialEq for Tag {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Tag {}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (tag {})", self.name, self.id)
    }
}

/// How long a due frame's payload may be, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// This long.
    Exactly(usize),
    /// Up to this long.
    AtMost(usize),
}

impl Length {
    /// Whether a payload of `length` bytes is allowed.
    pub fn allows(self, length: u32) -> bool {
        usize::try_from(length).is_ok_and(|length| match self {
            Self::Exactly(expected) => length == expected,
            Self::AtMost(most) => length <= most,
        })
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(n) => write!(f, "{n} bytes"),
            Self::AtMost(n) => write!(f, "at most {n} bytes"),
        }
    }
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The tag's number.
    pub tag: u16,
    /// The flight's number.
    pub depth: u16,
    /// Bytes of the payload.
    pub length: u32,
}

impl Header {
    /// The header on the wire.
    pub fn encode(self) -> [u8; HEADER_BYTES] {
        let [t0, t1] = self.tag.to_le_bytes();
        let [d0, d1] = self.depth.to_le_bytes();
        let [l0, l1, l2, l3] = self.length.to_le_bytes();
        [t0, t1, d0, d1, l0, l1, l2, l3]
    }

    /// The header that these bytes are; any eight bytes are one, and the reader judges it.
    pub fn decode(bytes: [u8; HEADER_BYTES]) -> Self {
        let [t0, t1, d0, d1, l0, l1, l2, l3] = bytes;
        Self {
            tag: u16::from_le_bytes([t0, t1]),
            depth: u16::from_le_bytes([d0, d1]),
            length: u32::from_le_bytes([l0, l1, l2, l3]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_the_wire() {
        let header = Header { tag: 0x0102, depth: 0x0304, length: 0x0506_0708 };
        assert_eq!(header.encode(), [2, 1, 4, 3, 8, 7, 6, 5]);
        assert_eq!(Header::decode(header.encode()), header);
    }

    #[test]
    fn lengths_are_bounds() {
        assert!(Length::Exactly(5).allows(5));
        assert!(!Length::Exactly(5).allows(4));
        assert!(Length::AtMost(5).allows(0));
        assert!(!Length::AtMost(5).allows(6));
        assert!(!Length::AtMost(1 << 20).allows(u32::MAX));
    }
}
