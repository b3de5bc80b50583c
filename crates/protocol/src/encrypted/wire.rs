//! The engine's frames. Their number and lengths follow from the outline, and from whether the server has the keys.
//!
//! ```text
//! client                                           server
//!   digest of its keys ------------------------------>        once a connection
//!   <------------------------------- held, or lacking
//!   public key, relinearisation key, rotation keys -->        where they were lacking
//!   <---------------------------------------- kept
//!   ciphertexts ------------------------------------->        each prediction
//!   <--------------------- progress, so many times; reply
//! ```

use crate::error::Error;
use crate::frame::Tag;
use crate::message::{Message, Reader};

/// The digest of the client's keys.
pub const DIGEST: Tag = Tag::new(32, "a digest of keys");
/// Whether the server holds them.
pub const STATE: Tag = Tag::new(33, "whether keys are held");
/// One of the keys.
pub const KEY: Tag = Tag::new(34, "an evaluation key");
/// The server has checked and kept the keys.
pub const KEPT: Tag = Tag::new(35, "the keys' receipt");
/// A ciphertext of the request.
pub const REQUEST: Tag = Tag::new(36, "an encrypted input");
/// A part of the computation is done.
pub const PROGRESS: Tag = Tag::new(37, "progress");
/// A ciphertext of the reply.
pub const REPLY: Tag = Tag::new(38, "an encrypted result");

/// Bytes of a [`Digest`].
pub const DIGEST_BYTES: usize = 32;
/// Bytes of a [`State`].
pub const STATE_BYTES: usize = 1;

/// A name for a client's evaluation keys: the hash of all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; DIGEST_BYTES]);

/// Whether the server holds keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It does, and keeps them for this connection.
    Held,
    /// It does not: the client is to send them.
    Lacking,
}

impl Message for Digest {
    const NAME: &'static str = "digest of keys";

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn decode_fields(reader: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(Self(reader.array()?))
    }
}

impl Message for State {
    const NAME: &'static str = "state of keys";

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self == Self::Held));
    }

    fn decode_fields(reader: &mut Reader<'_>) -> Result<Self, Error> {
        match reader.array::<1>()? {
            [0] => Ok(Self::Lacking),
            [1] => Ok(Self::Held),
            [other] => Err(reader.malformed(format!("{other} is no state"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_encoding() {
        for state in [State::Held, State::Lacking] {
            assert_eq!(state.to_bytes().len(), STATE_BYTES);
            assert_eq!(State::from_bytes(&state.to_bytes()).unwrap(), state);
        }
        assert!(State::from_bytes(&[2]).is_err());
        let digest = Digest([7; DIGEST_BYTES]);
        assert_eq!(Digest::from_bytes(&digest.to_bytes()).unwrap(), digest);
        assert!(Digest::from_bytes(&[7; 31]).is_err() && Digest::from_bytes(&[7; 33]).is_err());
    }
}
