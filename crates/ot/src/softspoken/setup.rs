//! The set-up: a base OT on the bits of the offset, and the corrections of the punctured trees.

use kernel::aes::Aes128;
use kernel::block::Block;
use kernel::seed::Seed;
use zeroize::Zeroizing;

use super::extend::{Receiver, Sender};
use super::pprf::{self, Correction};
use super::{Width, extend::Streams};
use crate::Error;
use crate::base::{self, Chooser, Suite};
use crate::wire::Reader;

/// The sender's message: the width, and the request of the base OT. It says nothing of the offset.
#[derive(Clone, Debug)]
pub struct SetupRequest {
    width: Width,
    base: base::Request,
}

/// The receiver's message: the width, the reply of the base OT, and a correction for each level of each tree but its
/// first.
#[derive(Clone, Debug)]
pub struct SetupReply {
    width: Width,
    base: base::Reply,
    corrections: Vec<Correction>,
}

/// The sender between its two steps.
pub struct SenderSetup {
    width: Width,
    delta: Zeroizing<Block>,
    chooser: Chooser,
    request: Vec<u8>,
}

/// The receiver's side of the set-up, which is one step and has no state.
pub struct ReceiverSetup;

/// Corrections of a set-up: one for each bit of the offset that is not the top bit of its group.
const fn correction_count(width: Width) -> usize {
    128 - width.groups()
}

impl SetupRequest {
    /// Bytes of an encoded request.
    pub const fn encoded_len(suite: Suite) -> usize {
        1 + suite.request_len()
    }

    /// The wire form: one byte for the width, then the base OT's request.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.width.0];
        bytes.extend(self.base.encode());
        bytes
    }

    /// # Errors
    /// [`Error::Length`], or [`Error::Value`] for a width outside 1..=8 or an invalid base OT request.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new("OT set-up request", bytes);
        let width = Width::new(reader.byte()?)?;
        let base = base::Request::read(&mut reader)?;
        reader.end()?;
        Ok(Self { width, base })
    }

    /// The width that the sender wants.
    pub const fn width(&self) -> Width {
        self.width
    }

    /// The base OT that the sender wants.
    pub const fn suite(&self) -> Suite {
        self.base.suite()
    }
}

impl SetupReply {
    /// Bytes of an encoded reply.
    pub const fn encoded_len(suite: Suite, width: Width) -> usize {
        1 + suite.reply_len() + 32 * correction_count(width)
    }

    /// The wire form: one byte for the width, the base OT's reply, the corrections.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.width.0];
        bytes.extend(self.base.encode());
        bytes.extend_from_slice(kernel::block::as_bytes(self.corrections.as_flattened()));
        bytes
    }

    /// # Errors
    /// [`Error::Length`], or [`Error::Value`] for a width outside 1..=8 or an invalid base OT reply.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new("OT set-up reply", bytes);
        let width = Width::new(reader.byte()?)?;
        let base = base::Reply::read(&mut reader)?;
        let (blocks, _) = reader.take(32 * correction_count(width))?.as_chunks::<32>();
        let corrections = blocks.iter().map(correction).collect();
        reader.end()?;
        Ok(Self { width, base, corrections })
    }
}

fn correction(bytes: &[u8; 32]) -> Correction {
    let mut pair = [Block::ZERO; 2];
    kernel::block::as_bytes_mut(&mut pair).copy_from_slice(bytes);
    pair
}

impl SenderSetup {
    /// Begins the set-up of a sender with this offset, of the default width and base OT. `delta` should be uniform but
    /// for bits that the caller fixes (a garbler's lowest bit is 1), and it and `seed` must be fresh.
    pub fn new(delta: Block, seed: &Seed) -> (Self, SetupRequest) {
        Self::with(Suite::Ristretto255, Width::DEFAULT, delta, seed)
    }

    /// [`SenderSetup::new`] with a choice of base OT and width.
    pub fn with(suite: Suite, width: Width, delta: Block, seed: &Seed) -> (Self, SetupRequest) {
        let (chooser, base) = Chooser::new(suite, delta, &seed.child("base OT", 0));
        let request = SetupRequest { width, base };
        (Self { width, delta: Zeroizing::new(delta), chooser, request: request.encode() }, request)
    }

    /// Ends the set-up.
    ///
    /// # Errors
    /// [`Error::Value`] if the reply is of another width or base OT than the request.
    pub fn finish(self, reply: &SetupReply) -> Result<Sender, Error> {
        if reply.width != self.width {
            return Err(Error::Value("the set-up reply is of another width"));
        }
        let pads = self.chooser.finish(&reply.base)?;
        let mut corrections = reply.corrections.as_slice();
        let mut keys = Vec::with_capacity(self.width.groups() << self.width.bits());
        for range in self.width.ranges() {
            // The top bit of a leaf's number is decided first.
            let alpha = range.clone().rev().map(|bit| (self.delta.0 >> bit & 1) as u8);
            let alpha = Zeroizing::new(alpha.collect::<Vec<_>>());
            let path = Zeroizing::new(range.clone().rev().map(|bit| pads[bit]).collect::<Vec<_>>());
            let (mine, rest) = corrections.split_at(range.len() - 1);
            corrections = rest;
            let leaves = pprf::puncture(&alpha, &path, mine);
            // Place 0 is the leaf that the sender lacks.
            keys.extend(leaves.iter().skip(1).map(|leaf| Aes128::new(*leaf)));
        }
        let session = session(&self.request, reply);
        Ok(Sender::new(*self.delta, Streams::new(self.width, keys), session))
    }
}

impl ReceiverSetup {
    /// The whole of the receiver's set-up. `seed` must be fresh.
    pub fn respond(request: &SetupRequest, seed: &Seed) -> (Receiver, SetupReply) {
        let width = request.width;
        let (base, pads) = base::respond(&request.base, &seed.child("base OT", 0));
        let mut corrections = Vec::with_capacity(correction_count(width));
        let mut keys = Vec::with_capacity(width.groups() << width.bits());
        for range in width.ranges() {
            let path = Zeroizing::new(range.rev().map(|bit| pads[bit]).collect::<Vec<_>>());
            let (leaves, mut mine) = pprf::grow(&path);
            corrections.append(&mut mine);
            keys.extend(leaves.iter().map(|leaf| Aes128::new(*leaf)));
        }
        let reply = SetupReply { width, base, corrections };
        let session = session(&request.encode(), &reply);
        (Receiver::new(Streams::new(width, keys), session), reply)
    }
}

/// A public name of the set-up that no other has: a hash of its two messages.
fn session(request: &[u8], reply: &SetupReply) -> Block {
    let mut hasher = blake3::Hasher::new_derive_key("oribi OT session, version 1");
    hasher.update(request);
    hasher.update(&reply.encode());
    let mut name = [0; 16];
    hasher.finalize_xof().fill(&mut name);
    Block::from_bytes(name)
}
