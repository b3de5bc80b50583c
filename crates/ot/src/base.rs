//! Base OT: 128 random OTs from public-key cryptography, one message each way.
//!
//! The chooser (who will be the *sender* of the extension, since the roles of a base OT are reversed there) speaks
//! first. For each of the 128 indices the responder gets two random pads and the chooser the one that its bit selects.
//!
//! ```text
//! chooser                                   responder
//!   Chooser::new(bits)    --- Request --->
//!                         <--- Reply -----    respond(request) -> 128 x two pads
//!   finish(reply) -> 128 pads
//! ```
//!
//! How the keys are made is the [`Suite`]'s matter; it is named in the first byte of each message.

mod mlkem;
mod ristretto;

use kernel::block::Block;
use kernel::seed::Seed;
use zeroize::Zeroizing;

use crate::Error;
use crate::wire::Reader;

/// OTs in a batch: one for each bit of the extension's offset.
pub const BASE_OTS: usize = 128;

/// Both pads of each OT, as the responder has them. Erased on drop.
pub type PadPairs = Zeroizing<Vec<[Block; 2]>>;

/// The chosen pad of each OT, as the chooser has them. Erased on drop.
pub type Pads = Zeroizing<Vec<Block>>;

/// The public-key cryptography of a base OT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// The group ristretto255: 128-bit security against classical computers.
    Ristretto255,
    /// ML-KEM-768 of FIPS 203: security category 3, against quantum computers too, for 420 KB more.
    MlKem768,
}

impl Suite {
    /// All suites.
    pub const ALL: [Self; 2] = [Self::Ristretto255, Self::MlKem768];

    /// Bytes of an encoded [`Request`].
    pub const fn request_len(self) -> usize {
        1 + match self {
            Self::Ristretto255 => ristretto::REQUEST_LEN,
            Self::MlKem768 => mlkem::REQUEST_LEN,
        }
    }

    /// Bytes of an encoded [`Reply`].
    pub const fn reply_len(self) -> usize {
        1 + match self {
            Self::Ristretto255 => ristretto::REPLY_LEN,
            Self::MlKem768 => mlkem::REPLY_LEN,
        }
    }

    const fn tag(self) -> u8 {
        match self {
            Self::Ristretto255 => 1,
            Self::MlKem768 => 2,
        }
    }

    fn read(reader: &mut Reader) -> Result<Self, Error> {
        let tag = reader.byte()?;
        Self::ALL.into_iter().find(|suite| suite.tag() == tag).ok_or(Error::Value("unknown base OT suite"))
    }
}

/// The chooser's message: one public key for each OT. It says nothing of the bits.
#[derive(Clone, Debug)]
pub struct Request(RequestBody);

#[derive(Clone, Debug)]
enum RequestBody {
    Ristretto255(ristretto::Request),
    MlKem768(mlkem::Request),
}

/// The responder's message.
#[derive(Clone, Debug)]
pub struct Reply(ReplyBody);

#[derive(Clone, Debug)]
enum ReplyBody {
    Ristretto255(ristretto::Reply),
    MlKem768(mlkem::Reply),
}

/// The chooser between its two steps.
pub struct Chooser(ChooserBody);

enum ChooserBody {
    Ristretto255(ristretto::Chooser),
    MlKem768(mlkem::Chooser),
}

impl Request {
    /// The suite that the chooser wants.
    pub const fn suite(&self) -> Suite {
        match &self.0 {
            RequestBody::Ristretto255(_) => Suite::Ristretto255,
            RequestBody::MlKem768(_) => Suite::MlKem768,
        }
    }

    /// The wire form: the suite, then [`Suite::request_len`]` - 1` bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.suite().tag()];
        match &self.0 {
            RequestBody::Ristretto255(request) => request.write(&mut bytes),
            RequestBody::MlKem768(request) => request.write(&mut bytes),
        }
        bytes
    }

    /// # Errors
    /// [`Error::Length`], or [`Error::Value`] for an unknown suite or an invalid public key.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new("base OT request", bytes);
        let request = Self::read(&mut reader)?;
        reader.end()?;
        Ok(request)
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, Error> {
        match Suite::read(reader)? {
            Suite::Ristretto255 => ristretto::Request::read(reader).map(RequestBody::Ristretto255),
            Suite::MlKem768 => mlkem::Request::read(reader).map(RequestBody::MlKem768),
        }
        .map(Self)
    }
}

impl Reply {
    /// The suite of the request that this answers.
    pub const fn suite(&self) -> Suite {
        match &self.0 {
            ReplyBody::Ristretto255(_) => Suite::Ristretto255,
            ReplyBody::MlKem768(_) => Suite::MlKem768,
        }
    }

    /// The wire form: the suite, then [`Suite::reply_len`]` - 1` bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.suite().tag()];
        match &self.0 {
            ReplyBody::Ristretto255(reply) => reply.write(&mut bytes),
            ReplyBody::MlKem768(reply) => reply.write(&mut bytes),
        }
        bytes
    }

    /// # Errors
    /// [`Error::Length`], or [`Error::Value`] for an unknown suite or an invalid public key.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new("base OT reply", bytes);
        let reply = Self::read(&mut reader)?;
        reader.end()?;
        Ok(reply)
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, Error> {
        match Suite::read(reader)? {
            Suite::Ristretto255 => ristretto::Reply::read(reader).map(ReplyBody::Ristretto255),
            Suite::MlKem768 => mlkem::Reply::read(reader).map(ReplyBody::MlKem768),
        }
        .map(Self)
    }
}

impl Chooser {
    /// Makes the keys for the choice bits (bit `i` of the block for OT `i`). `seed` must be fresh.
    pub fn new(suite: Suite, choices: Block, seed: &Seed) -> (Self, Request) {
        match suite {
            Suite::Ristretto255 => {
                let (chooser, request) = ristretto::Chooser::new(choices, seed);
                (Self(ChooserBody::Ristretto255(chooser)), Request(RequestBody::Ristretto255(request)))
            }
            Suite::MlKem768 => {
                let (chooser, request) = mlkem::Chooser::new(choices, seed);
                (Self(ChooserBody::MlKem768(chooser)), Request(RequestBody::MlKem768(request)))
            }
        }
    }

    /// The chosen pads.
    ///
    /// # Errors
    /// [`Error::Value`] if the reply is of another suite.
    pub fn finish(self, reply: &Reply) -> Result<Pads, Error> {
        match (self.0, &reply.0) {
            (ChooserBody::Ristretto255(chooser), ReplyBody::Ristretto255(reply)) => Ok(chooser.finish(reply)),
            (ChooserBody::MlKem768(chooser), ReplyBody::MlKem768(reply)) => Ok(chooser.finish(reply)),
            _ => Err(Error::Value("the base OT reply is of another suite")),
        }
    }
}

/// The responder's only step: its message, and both pads of each OT. `seed` must be fresh.
pub fn respond(request: &Request, seed: &Seed) -> (Reply, PadPairs) {
    match &request.0 {
        RequestBody::Ristretto255(request) => {
            let (reply, pads) = ristretto::respond(request, seed);
            (Reply(ReplyBody::Ristretto255(reply)), pads)
        }
        RequestBody::MlKem768(request) => {
            let (reply, pads) = mlkem::respond(request, seed);
            (Reply(ReplyBody::MlKem768(reply)), pads)
        }
    }
}

/// The pad of OT `index` and bit `bit`: a hash of the whole transcript, the place, and the key agreed there.
fn pad(transcript: &[u8; 32], index: usize, bit: u8, key: &[u8; 32]) -> Block {
    let mut hasher = blake3::Hasher::new_derive_key("oribi base OT pad, version 1");
    hasher.update(transcript);
    hasher.update(&(index as u64).to_le_bytes());
    hasher.update(&[bit]);
    hasher.update(key);
    let mut pad = Zeroizing::new([0; 16]);
    hasher.finalize_xof().fill(&mut *pad);
    zeroize::Zeroize::zeroize(&mut hasher);
    Block::from_bytes(*pad)
}

#[cfg(test)]
mod tests;
