//! Correlated transfers of random bits, in chunks.

use kernel::block::Block;
use kernel::prg::Prg;
use kernel::seed::Seed;
use ot::base::Suite;
use ot::softspoken::{
    ExtendMessage, Receiver, ReceiverSetup, Sender, SenderSetup, SetupReply, SetupRequest, Width, message_len,
};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::wire;
use crate::error::Error;
use crate::frame::Length;
use crate::session::{Inbox, Outbox, Session};

/// Transfers in one chunk: 256 KiB of extension message.
const CHUNK: usize = 1 << 16;

/// Lengths of the chunks of `total` transfers.
fn chunks(total: usize) -> impl Iterator<Item = usize> {
    (0..total).step_by(CHUNK).map(move |from| CHUNK.min(total - from))
}

/// The receiver's transfers: random bits, and `t = q ^ bit * offset` for each. Erased on drop.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
pub struct Received {
    /// Labels.
    pub t: Vec<Block>,
    /// Bits, packed eight to a byte.
    pub bits: Vec<u8>,
}

/// Sends the set-up's request: the server is the sender, with its garbling's offset.
///
/// # Errors
/// When the session fails.
pub fn request(session: &mut Session, offset: Block, seed: &Seed) -> Result<SenderSetup, Error> {
    let (setup, request) = SenderSetup::new(offset, seed);
    session.outbox.send(wire::REQUEST, &request.encode())?;
    Ok(setup)
}

/// Receives the reply to [`request`].
///
/// # Errors
/// When the session fails or the reply is malformed.
pub fn finish(session: &mut Session, setup: SenderSetup) -> Result<Sender, Error> {
    let length = Length::Exactly(SetupReply::encoded_len(Suite::Ristretto255, Width::DEFAULT));
    let reply = session.inbox.recv(wire::REPLY, length)?;
    Ok(setup.finish(&SetupReply::decode(&reply)?)?)
}

/// The client's half of the set-up.
///
/// # Errors
/// When the session fails or the request is malformed.
pub fn respond(session: &mut Session, seed: &Seed) -> Result<Receiver, Error> {
    let length = Length::Exactly(SetupRequest::encoded_len(Suite::Ristretto255));
    let request = SetupRequest::decode(&session.inbox.recv(wire::REQUEST, length)?)?;
    if request.width() != Width::DEFAULT || request.suite() != Suite::Ristretto255 {
        return Err(Error::malformed(
            "transfer request",
            "another width or base transfer than the protocol's",
        ));
    }
    let (receiver, reply) = ReceiverSetup::respond(&request, seed);
    session.outbox.send(wire::REPLY, &reply.encode())?;
    Ok(receiver)
}

/// Receives `total` transfers of random bits.
///
/// # Errors
/// When the session fails.
pub fn receive(
    receiver: &mut Receiver,
    outbox: &mut Outbox,
    random: &mut Prg,
    total: usize,
) -> Result<Received, Error> {
    let mut received = Received { t: vec![Block::ZERO; total], bits: vec![0; total.div_ceil(8)] };
    random.fill_bytes(&mut received.bits);
    let mut from = 0;
    for count in chunks(total) {
        let bits = &received.bits[from / 8..(from + count).div_ceil(8)];
        let message = receiver.extend_into(bits, &mut received.t[from..from + count])?;
        outbox.send(wire::EXTENSION, &message.encode())?;
        outbox.flush()?;
        from += count;
    }
    Ok(received)
}

/// The sender's half of [`receive`]: q for each transfer.
///
/// # Errors
/// When the session fails or a message is malformed.
pub fn send(sender: &mut Sender, inbox: &mut Inbox, total: usize) -> Result<Vec<Block>, Error> {
    let mut q = vec![Block::ZERO; total];
    let mut from = 0;
    for count in chunks(total) {
        let message = inbox.recv(wire::EXTENSION, Length::Exactly(message_len(count)))?;
        sender.extend_into(&ExtendMessage::decode(&message)?, &mut q[from..from + count])?;
        from += count;
    }
    Ok(q)
}
