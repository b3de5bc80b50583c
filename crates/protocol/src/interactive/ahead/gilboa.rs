//! Products of a number that the client knows and one that the server knows, both before the input: by correlated transfers
//! (Gilboa 1999).
//!
//! Bit i of the client's number chooses whether the server's is added, shifted to the bit's place. From the strings `p0`, `p1` of a
//! transfer the server sends `p0 - p1 + a` modulo `2^(ring-i)`; the client has `p0` or `p0 + a`, the server takes `p0` off. The server's
//! share is one that it drew before: the difference, which that share makes uniform, follows behind.

use kernel::block::Block;
use ot::random::Pads;
use ot::softspoken::{Receiver, Sender};
use zeroize::Zeroizing;

use super::super::{transfers, wire};
use super::streams::{BitString, mask};
use crate::error::Error;
use crate::frame::Length;
use crate::garbled::products::bits::{Reader, Writer};
use crate::session::{Inbox, Outbox};

/// Products whose numbers make a frame.
const FRAME: usize = 2048;

/// A product modulo `2^ring` of a number of `bits` bits of the client's, at most `ring`.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// Bits of the client's number.
    pub bits: u32,
    /// Bits of the server's number and of the product, 1 to 64.
    pub ring: u32,
}

impl Job {
    /// Bits that the server sends.
    pub fn sent_bits(self) -> u64 {
        let (bits, ring) = (u64::from(self.bits), u64::from(self.ring));
        bits * ring - bits * bits.saturating_sub(1) / 2 + ring
    }
}

/// Transfers of some jobs.
pub fn transfers_of(jobs: &[Job]) -> usize {
    jobs.iter().map(|job| job.bits as usize).sum()
}

/// Bytes of the frames that [`send`] sends.
pub fn sent_bytes(jobs: &[Job]) -> u64 {
    jobs.chunks(FRAME).map(|jobs| jobs.iter().map(|job| job.sent_bits()).sum::<u64>().div_ceil(8)).sum()
}

/// The client's transfers of the bits of its numbers.
///
/// # Errors
/// When the session fails.
pub fn choose(
    (jobs, numbers): (&[Job], &[u64]),
    receiver: &mut Receiver,
    outbox: &mut Outbox,
) -> Result<Zeroizing<Vec<Block>>, Error> {
    let mut bits = BitString::with_capacity(transfers_of(jobs));
    for (job, number) in jobs.iter().zip(numbers) {
        (0..job.bits).for_each(|place| bits.push(number >> place & 1 == 1));
    }
    let (first, pads) = (receiver.position(), Pads::new(receiver.session()));
    let t = Zeroizing::new(transfers::receive_chosen(receiver, outbox, bits.bytes(), bits.len())?);
    Ok(Zeroizing::new(pads.of_receiver(first, &t)))
}

/// Receives what the server sends of some jobs, frame by frame.
///
/// # Errors
/// When the session fails.
pub fn receive(jobs: &[Job], inbox: &mut Inbox) -> Result<Vec<Vec<u8>>, Error> {
    let frame = |jobs: &[Job]| {
        let bytes = usize::try_from(sent_bytes(jobs)).unwrap_or(usize::MAX);
        inbox.recv(wire::CROSSED, Length::Exactly(bytes))
    };
    jobs.chunks(FRAME).map(frame).collect()
}

/// The client's shares, from its [`choose`]n strings and what it [`receive`]d.
pub fn shares((jobs, numbers): (&[Job], &[u64]), strings: &[Block], frames: &[Vec<u8>]) -> Vec<u64> {
    let mut strings = strings.iter();
    let mut shares = Vec::with_capacity(jobs.len());
    for ((jobs, numbers), frame) in jobs.chunks(FRAME).zip(numbers.chunks(FRAME)).zip(frames) {
        let mut reader = Reader::new(frame);
        for (job, number) in jobs.iter().zip(numbers) {
            let mut share = 0u64;
            for (place, string) in (0..job.bits).zip(&mut strings) {
                let chosen = (number >> place & 1).wrapping_neg();
                let part = (string.0 as u64).wrapping_add(reader.pull(job.ring - place) & chosen);
                share = share.wrapping_add(part << place);
            }
            shares.push(share.wrapping_add(reader.pull(job.ring)) & mask(job.ring));
        }
    }
    shares
}

/// The server's half: its numbers, and the shares that it drew.
///
/// # Errors
/// When the session fails.
pub fn send(
    factors: (&[Job], &[u64], &[u64]),
    sender: &mut Sender,
    (inbox, outbox): (&mut Inbox, &mut Outbox),
) -> Result<(), Error> {
    answer(factors, sender, inbox, &mut |frame| outbox.send(wire::CROSSED, &frame))?;
    outbox.flush()
}

/// The same where somebody else sends the frames: they are handed to `deliver`.
///
/// # Errors
/// When the session fails.
pub fn answer(
    (jobs, numbers, drawn): (&[Job], &[u64], &[u64]),
    sender: &mut Sender,
    inbox: &mut Inbox,
    deliver: &mut dyn FnMut(Vec<u8>) -> Result<(), Error>,
) -> Result<(), Error> {
    let (first, pads) = (sender.position(), Pads::new(sender.session()));
    let q = Zeroizing::new(transfers::send(sender, inbox, transfers_of(jobs))?);
    let mut done = 0;
    let parts = jobs.chunks(FRAME).zip(numbers.chunks(FRAME).zip(drawn.chunks(FRAME)));
    for (jobs, (numbers, drawn)) in parts {
        let mut writer = Writer::default();
        let count = transfers_of(jobs);
        let strings = pads.of_sender(first + done as u64, sender.delta(), &q[done..done + count]);
        let strings = Zeroizing::new(strings);
        let mut pairs = strings.iter();
        for (job, (number, drawn)) in jobs.iter().zip(numbers.iter().zip(drawn)) {
            let mut share = 0u64;
            for (place, [zero, one]) in (0..job.bits).zip(&mut pairs) {
                let (zero, one) = (zero.0 as u64, one.0 as u64);
                let width = job.ring - place;
                writer.push(zero.wrapping_sub(one).wrapping_add(*number) & mask(width), width);
                share = share.wrapping_sub(zero << place);
            }
            writer.push(share.wrapping_sub(*drawn) & mask(job.ring), job.ring);
        }
        deliver(writer.finish())?;
        done += count;
    }
    Ok(())
}
