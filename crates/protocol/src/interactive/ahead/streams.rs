//! Ring elements: from seeds, and on the wire.

use garble::modulus::ShareModulus;
use kernel::block::Block;
use kernel::prg::Prg;
use kernel::seed::Seed;
use model::fixed::NodeId;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::frame::{Length, Tag};
use crate::garbled::products::bits::{Reader, Writer};
use crate::session::{Inbox, Outbox};

/// Elements of a frame.
const FRAME: usize = 1 << 16;

/// `count` uniform numbers of `bits` bits that belong to a tensor.
pub fn numbers(seed: &Seed, label: &str, node: NodeId, (count, bits): (usize, u32)) -> Zeroizing<Vec<u64>> {
    let mut blocks = Zeroizing::new(vec![Block::ZERO; count.div_ceil(2)]);
    Prg::new(&seed.child(label, node as u64)).fill_blocks(&mut blocks);
    let mask = mask(bits);
    let halves = blocks.iter().flat_map(|block| [block.0 as u64, (block.0 >> 64) as u64]);
    let mut numbers = Zeroizing::new(Vec::with_capacity(count));
    numbers.extend(halves.take(count).map(|number| number & mask));
    numbers
}

/// `count` uniform shares that belong to a tensor. Modulo an odd number each is a block reduced, uniform to within 2^-66.
pub fn shares(
    seed: &Seed,
    label: &str,
    node: NodeId,
    count: usize,
    modulus: &ShareModulus,
) -> Zeroizing<Vec<u64>> {
    let odd = match modulus {
        ShareModulus::PowerOfTwo(bits) => return numbers(seed, label, node, (count, *bits)),
        ShareModulus::Odd(modulus) => u128::from(modulus.value()),
    };
    let mut blocks = Zeroizing::new(vec![Block::ZERO; count]);
    Prg::new(&seed.child(label, node as u64)).fill_blocks(&mut blocks);
    let mut shares = Zeroizing::new(Vec::with_capacity(count));
    shares.extend(blocks.iter().map(|block| (block.0 % odd) as u64));
    shares
}

/// Refuses numbers that are no residues.
///
/// # Errors
/// [`Error::Malformed`].
pub fn residues(numbers: Vec<u64>, modulus: &ShareModulus) -> Result<Vec<u64>, Error> {
    match modulus {
        ShareModulus::Odd(odd) if numbers.iter().any(|number| *number >= odd.value()) => {
            Err(Error::malformed("shares", "a number that is no residue"))
        }
        _ => Ok(numbers),
    }
}

/// Sends shares in frames.
///
/// # Errors
/// When the session fails.
pub fn send_shares(
    outbox: &mut Outbox,
    tag: Tag,
    shares: &[u64],
    modulus: &ShareModulus,
) -> Result<(), Error> {
    send(outbox, tag, shares, modulus.bits())
}

/// Receives shares.
///
/// # Errors
/// When the session fails, or a number is no residue.
pub fn receive_shares(
    inbox: &mut Inbox,
    tag: Tag,
    count: usize,
    modulus: &ShareModulus,
) -> Result<Vec<u64>, Error> {
    residues(receive(inbox, tag, (count, modulus.bits()))?, modulus)
}

/// All ones in so many places, at least one.
pub fn mask(bits: u32) -> u64 {
    u64::MAX >> (64 - bits.clamp(1, 64))
}

/// The public start point of a stage's garbling, or of the labels of the server's own inputs.
pub fn start_of(start: Block, stage: usize) -> Block {
    // Tweaks are the low half of a key, so that no two stages of a bundle have a key in common.
    Block(start.0 ^ (stage as u128) << 64)
}

/// Numbers of `bits` bits one after the other.
pub fn pack(numbers: &[u64], bits: u32) -> Vec<u8> {
    let mut writer = Writer::default();
    numbers.iter().for_each(|number| writer.push(*number, bits));
    writer.finish()
}

/// Bytes of packed numbers.
pub fn packed_bytes(count: usize, bits: u32) -> usize {
    count.saturating_mul(bits as usize).div_ceil(8)
}

/// Reads [`pack`]ed numbers; the caller has checked how many bytes there are.
pub fn unpack(bytes: &[u8], (count, bits): (usize, u32)) -> Vec<u64> {
    let mut reader = Reader::new(bytes);
    (0..count).map(|_| reader.pull(bits)).collect()
}

/// Sends numbers in frames.
///
/// # Errors
/// When the session fails.
pub fn send(outbox: &mut Outbox, tag: Tag, numbers: &[u64], bits: u32) -> Result<(), Error> {
    numbers.chunks(FRAME).try_for_each(|frame| outbox.send(tag, &Zeroizing::new(pack(frame, bits))))
}

/// Receives numbers.
///
/// # Errors
/// When the session fails.
pub fn receive(inbox: &mut Inbox, tag: Tag, (count, bits): (usize, u32)) -> Result<Vec<u64>, Error> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        let some = FRAME.min(count - numbers.len());
        let bytes = Zeroizing::new(inbox.recv(tag, Length::Exactly(packed_bytes(some, bits)))?);
        numbers.extend(unpack(&bytes, (some, bits)));
    }
    Ok(numbers)
}

/// The bits of numbers in the order in which wires take them: all lowest bits, then the next.
pub fn push_bits(bits: &mut BitString, numbers: &[u64], width: u32) {
    for place in 0..width {
        numbers.iter().for_each(|number| bits.push(number >> place & 1 == 1));
    }
}

/// Bits packed eight to a byte, the first in the lowest place.
#[derive(Default)]
pub struct BitString {
    bytes: Zeroizing<Vec<u8>>,
    length: usize,
}

impl BitString {
    /// Room for so many bits.
    pub fn with_capacity(bits: usize) -> Self {
        Self { bytes: Zeroizing::new(Vec::with_capacity(bits.div_ceil(8))), length: 0 }
    }

    /// So many uniform bits of a seed.
    pub fn drawn(seed: &Seed, label: &str, at: usize, bits: usize) -> Self {
        let mut bytes = Zeroizing::new(vec![0; bits.div_ceil(8)]);
        Prg::new(&seed.child(label, at as u64)).fill_bytes(&mut bytes);
        if let Some(last) = bytes.last_mut().filter(|_| !bits.is_multiple_of(8)) {
            *last &= u8::MAX >> (8 - bits % 8);
        }
        Self { bytes, length: bits }
    }

    /// These, packed as here.
    pub fn from_bytes(bytes: Vec<u8>, bits: usize) -> Self {
        Self { bytes: Zeroizing::new(bytes), length: bits }
    }

    /// A bit; those beyond the end are 0.
    pub fn get(&self, at: usize) -> bool {
        self.bytes.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1)
    }

    /// Adds other bits, as many, modulo two.
    pub fn add(&mut self, other: &Self) {
        debug_assert_eq!(self.length, other.length);
        self.bytes.iter_mut().zip(other.bytes.iter()).for_each(|(byte, other)| *byte ^= other);
    }

    /// Appends a bit.
    pub fn push(&mut self, bit: bool) {
        if self.length.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(bit) << (self.length % 8);
        }
        self.length += 1;
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
