//! The first sixteen bytes each way: who speaks, and which versions of the protocol.
//!
//! They never change, so that any two versions can tell each other what to do.

use crate::error::Error;
use crate::session::Session;

/// Bytes of a greeting.
pub const GREETING_BYTES: usize = 16;

const MAGIC: [u8; 8] = *b"\x89Oribi\r\n";

/// Versions of the protocol that a program speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The oldest.
    pub oldest: u16,
    /// The newest.
    pub newest: u16,
}

/// What this program speaks.
pub const VERSIONS: Versions = Versions { oldest: 1, newest: 1 };

impl Versions {
    /// The greeting on the wire: magic, oldest and newest version, four bytes of zero.
    pub fn encode(self) -> [u8; GREETING_BYTES] {
        let mut bytes = [0; GREETING_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&self.oldest.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.newest.to_le_bytes());
        bytes
    }

    /// The versions in a greeting. What stands after them is left to later versions.
    ///
    /// # Errors
    /// [`Error::Malformed`] where the peer is something else.
    pub fn decode(bytes: [u8; GREETING_BYTES]) -> Result<Self, Error> {
        if bytes[..8] != MAGIC {
            return Err(Error::malformed("greeting", "it does not speak Oribi's protocol"));
        }
        let versions = Self {
            oldest: u16::from_le_bytes([bytes[8], bytes[9]]),
            newest: u16::from_le_bytes([bytes[10], bytes[11]]),
        };
        if versions.oldest > versions.newest {
            return Err(Error::malformed("greeting", "its oldest version is newer than its newest"));
        }
        Ok(versions)
    }

    /// The newest version that both speak.
    ///
    /// # Errors
    /// [`Error::Version`], which says who is behind.
    pub fn agree(self, theirs: Self) -> Result<u16, Error> {
        let (oldest, newest) = (self.oldest.max(theirs.oldest), self.newest.min(theirs.newest));
        if oldest <= newest {
            return Ok(newest);
        }
        let behind = if self.newest < theirs.oldest { "this side" } else { "the peer" };
        Err(Error::Version(format!(
            "this side speaks protocol version {self} and the peer {theirs}: update {behind}"
        )))
    }
}

impl std::fmt::Display for Versions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.newest - self.oldest {
            0 => write!(f, "{}", self.newest),
            _ => write!(f, "{} to {}", self.oldest, self.newest),
        }
    }
}

/// Exchanges greetings; gives the version to speak. `said` is what the greeting says and `meant` what this side
/// speaks: the same, but in a test.
///
/// # Errors
/// As [`Versions::decode`] and [`Versions::agree`], and those of the connection.
pub fn greet(session: &mut Session, said: Versions, meant: Versions) -> Result<u16, Error> {
    session.outbox.send_raw(&said.encode())?;
    let mut bytes = [0; GREETING_BYTES];
    session.inbox.recv_raw(&mut bytes)?;
    meant.agree(Versions::decode(bytes)?)
}
