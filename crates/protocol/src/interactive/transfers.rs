//! Correlated transfers of random bits: by extension, in chunks, or, where a network takes many, silent ones in batches.
//!
//! An extension costs the client 4 bytes a transfer. Silent transfers (`ot::ferret`) grow from a reserve of such, which is all that the
//! client sends; the server sends a correction for each batch. Either way a party makes what a stage takes when the stage comes,
//! and what is left of a batch serves the next.

use std::sync::mpsc::Receiver as Queue;

use kernel::block::Block;
use kernel::prg::Prg;
use kernel::seed::Seed;
use ot::ferret;
use ot::softspoken::{
    ExtendMessage, Receiver, ReceiverSetup, Sender, SenderSetup, SetupReply, SetupRequest, Width, message_len,
};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::wire;
use crate::error::Error;
use crate::frame::Length;
use crate::garbled::BaseOt;
use crate::session::{Inbox, Outbox, Session};

/// Transfers in one chunk: 256 KiB of extension message.
const CHUNK: usize = 1 << 16;

/// Lengths of the chunks of `total` transfers.
fn chunks(total: usize) -> impl Iterator<Item = usize> {
    (0..total).step_by(CHUNK).map(move |from| CHUNK.min(total - from))
}

/// Transfers of a network from which on silent ones are used: a reserve and a batch cost as much as a fifth of a million by extension.
pub const SILENT_FROM: u64 = 1 << 20;

/// How many batches of silent transfers it takes, stage by stage.
#[derive(Default)]
pub struct Batches {
    left: usize,
}

impl Batches {
    /// The batches to be made before a stage can take `count` transfers.
    pub fn before(&mut self, count: usize) -> usize {
        let batches = count.saturating_sub(self.left).div_ceil(ferret::BATCH);
        self.left = self.left.saturating_add(batches.saturating_mul(ferret::BATCH)) - count;
        batches
    }
}

/// Silent transfers of which some are left. Erased on drop.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
struct Pool {
    blocks: Vec<Block>,
    taken: usize,
}

impl Pool {
    /// Room for another batch behind what is left.
    fn grow(&mut self) -> &mut [Block] {
        self.blocks.drain(..std::mem::take(&mut self.taken));
        let from = self.blocks.len();
        self.blocks.resize(from + ferret::BATCH, Block::ZERO);
        &mut self.blocks[from..]
    }

    /// The next transfers.
    fn take(&mut self, count: usize) -> Result<Vec<Block>, Error> {
        let short = || Error::Refused("fewer silent transfers than the circuit has inputs".into());
        let taken = self.blocks.get(self.taken..self.taken + count).ok_or_else(short)?.to_vec();
        self.taken += count;
        Ok(taken)
    }
}

/// The server's transfers.
pub struct Sending {
    base: Sender,
    silent: Option<Option<ferret::Sender>>,
    batches: Batches,
    pool: Pool,
}

impl Sending {
    /// Transfers from a set-up, silent ones if that was agreed.
    pub fn new(base: Sender, silent: bool) -> Self {
        Self { base, silent: silent.then_some(None), batches: Batches::default(), pool: Pool::default() }
    }

    /// The extension below, whose transfers are as both parties take them.
    pub fn base(&mut self) -> &mut Sender {
        &mut self.base
    }

    /// The next `count` transfers: q for each. Corrections are handed to `deliver`.
    ///
    /// # Errors
    /// When the session fails or a message is malformed.
    pub fn next(
        &mut self,
        count: usize,
        inbox: &mut Inbox,
        deliver: &mut dyn FnMut(Vec<u8>) -> Result<(), Error>,
    ) -> Result<Vec<Block>, Error> {
        let Some(silent) = &mut self.silent else { return send(&mut self.base, inbox, count) };
        for _ in 0..self.batches.before(count) {
            let sender = match silent {
                Some(sender) => sender,
                None => {
                    let length = Length::Exactly(message_len(ferret::RESERVE));
                    let message = ExtendMessage::decode(&inbox.recv(wire::EXTENSION, length)?)?;
                    silent.insert(ferret::Sender::new(&mut self.base, &message)?)
                }
            };
            let correction = sender.extend_into(self.pool.grow())?;
            deliver(correction.encode())?;
        }
        self.pool.take(count)
    }
}

/// The client's transfers.
pub struct Receiving {
    base: Receiver,
    silent: Option<Option<ferret::Receiver>>,
    batches: Batches,
    pool: Pool,
    random: Prg,
    seed: Seed,
}

impl Receiving {
    /// Transfers from a set-up, silent ones if that was agreed. `seed` must be fresh.
    pub fn new(base: Receiver, silent: bool, seed: &Seed) -> Self {
        Self {
            base,
            silent: silent.then_some(None),
            batches: Batches::default(),
            pool: Pool::default(),
            random: Prg::new(&seed.child("interactive/choices", 0)),
            seed: seed.child("interactive/silent", 0),
        }
    }

    /// The extension below.
    pub fn base(&mut self) -> &mut Receiver {
        &mut self.base
    }

    /// The next `count` transfers. Corrections of silent ones come from `corrections`.
    ///
    /// # Errors
    /// When the session fails or a message is malformed.
    pub fn next(
        &mut self,
        count: usize,
        outbox: &mut Outbox,
        corrections: &Queue<Vec<u8>>,
    ) -> Result<Received, Error> {
        let Some(silent) = &mut self.silent else {
            return receive(&mut self.base, outbox, &mut self.random, count);
        };
        for _ in 0..self.batches.before(count) {
            let receiver = match silent {
                Some(receiver) => receiver,
                None => {
                    let (receiver, message) = ferret::Receiver::new(&mut self.base, &self.seed)?;
                    outbox.send(wire::EXTENSION, &message.encode())?;
                    outbox.flush()?;
                    silent.insert(receiver)
                }
            };
            let ended = || Error::Refused("the corrections of silent transfers ended early".into());
            let correction = corrections.recv().map_err(|_| ended())?;
            receiver.extend_into(&ferret::CorrectionMessage::decode(&correction)?, self.pool.grow())?;
        }
        let t = self.pool.take(count)?;
        let mut bits = vec![0; count.div_ceil(8)];
        t.iter().enumerate().for_each(|(at, t)| bits[at / 8] |= u8::from(t.lsb()) << (at % 8));
        Ok(Received { t, bits })
    }
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
pub fn request(
    session: &mut Session,
    base: BaseOt,
    offset: Block,
    seed: &Seed,
) -> Result<SenderSetup, Error> {
    let (setup, request) = SenderSetup::with(base.suite(), Width::DEFAULT, offset, seed);
    session.outbox.send(wire::REQUEST, &request.encode())?;
    Ok(setup)
}

/// Receives the reply to [`request`].
///
/// # Errors
/// When the session fails or the reply is malformed.
pub fn finish(session: &mut Session, base: BaseOt, setup: SenderSetup) -> Result<Sender, Error> {
    let length = Length::Exactly(SetupReply::encoded_len(base.suite(), Width::DEFAULT));
    let reply = session.inbox.recv(wire::REPLY, length)?;
    Ok(setup.finish(&SetupReply::decode(&reply)?)?)
}

/// The client's half of the set-up.
///
/// # Errors
/// When the session fails or the request is malformed.
pub fn respond(session: &mut Session, base: BaseOt, seed: &Seed) -> Result<Receiver, Error> {
    let length = Length::Exactly(SetupRequest::encoded_len(base.suite()));
    let request = SetupRequest::decode(&session.inbox.recv(wire::REQUEST, length)?)?;
    if request.width() != Width::DEFAULT || request.suite() != base.suite() {
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
fn receive(
    receiver: &mut Receiver,
    outbox: &mut Outbox,
    random: &mut Prg,
    total: usize,
) -> Result<Received, Error> {
    let mut bits = vec![0; total.div_ceil(8)];
    random.fill_bytes(&mut bits);
    Ok(Received { t: receive_chosen(receiver, outbox, &bits, total)?, bits })
}

/// Receives `total` transfers of chosen bits, packed eight to a byte.
///
/// # Errors
/// When the session fails.
pub fn receive_chosen(
    receiver: &mut Receiver,
    outbox: &mut Outbox,
    bits: &[u8],
    total: usize,
) -> Result<Vec<Block>, Error> {
    let mut t = vec![Block::ZERO; total];
    let mut from = 0;
    for count in chunks(total) {
        let bits = &bits[from / 8..(from + count).div_ceil(8)];
        let message = receiver.extend_into(bits, &mut t[from..from + count])?;
        outbox.send(wire::EXTENSION, &message.encode())?;
        outbox.flush()?;
        from += count;
    }
    Ok(t)
}

/// The sender's half of [`receive`] and [`receive_chosen`]: q for each transfer.
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
