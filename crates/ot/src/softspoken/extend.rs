//! The extension itself: streams, their sums, corrections, and a transposition.

use kernel::aes::Aes128;
use kernel::block::{Block, as_bytes, as_bytes_mut};
use kernel::prg_fold::fold;
use kernel::transpose::transpose;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{MAX_BATCH, MAX_OTS, Width};
use crate::Error;

/// Blocks of each stream worked on at a time: 128 times as many OTs. The streams of a group then fit in the first-level
/// cache, and the columns of all groups in the second.
const TILE: usize = 64;

/// Bytes of the message that extends by `n` OTs at the default width.
pub const fn message_len(n: usize) -> usize {
    Width::DEFAULT.message_len(n)
}

/// The receiver's message of one batch: for each group the XOR of the choice bits and the group's own pseudorandom
/// bits, 128 OTs a block, groups one after another.
#[derive(Clone, Debug)]
pub struct ExtendMessage {
    blocks: Vec<Block>,
}

impl ExtendMessage {
    /// The wire form, [`Width::message_len`] bytes.
    pub fn encode(&self) -> Vec<u8> {
        as_bytes(&self.blocks).to_vec()
    }

    /// Reads a message. Whether it has the length of the batch at hand is checked by [`Sender::extend`]; the caller
    /// bounds it by [`Width::message_len`] before it is received.
    ///
    /// # Errors
    /// [`Error::Length`] if the bytes are no whole number of blocks.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        if !bytes.len().is_multiple_of(16) {
            let expected = bytes.len().next_multiple_of(16);
            return Err(Error::Length { what: "OT extension message", expected, found: bytes.len() });
        }
        let mut blocks = vec![Block::ZERO; bytes.len() / 16];
        as_bytes_mut(&mut blocks).copy_from_slice(bytes);
        Ok(Self { blocks })
    }
}

/// The pseudorandom streams of all groups, and how far they are used. Erased on drop.
pub(super) struct Streams {
    width: Width,
    /// One key a stream, group after group. The sender lacks the first stream of each group.
    keys: Vec<Aes128>,
    /// Blocks of each stream used so far.
    counter: u64,
}

/// What is computed on one tile: kept from tile to tile, erased on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
struct Workspace {
    /// The counters of the tile: the plain text of every stream.
    counters: Vec<Block>,
    /// The streams of a group.
    streams: Vec<Block>,
    /// Their sum: the receiver's pseudorandom choice bits.
    sum: Vec<Block>,
    /// For each bit of the offset, 128 OTs a block.
    columns: Vec<Block>,
    /// The OTs of a last tile that ends within a block.
    rows: Vec<Block>,
}

impl Workspace {
    /// Transposes the columns of the tile of `length` blocks into the OTs of `output`, which may be up to 127 fewer.
    fn transpose(&mut self, length: usize, output: &mut [Block]) {
        let columns = &self.columns[..length * 128];
        if output.len() == columns.len() {
            transpose(columns, 128, length * 128, output);
        } else {
            self.rows.resize(columns.len(), Block::ZERO);
            transpose(columns, 128, length * 128, &mut self.rows);
            output.copy_from_slice(&self.rows[..output.len()]);
        }
    }
}

impl Streams {
    pub(super) fn new(width: Width, keys: Vec<Aes128>) -> Self {
        Self { width, keys, counter: 0 }
    }

    /// The blocks of each stream that a batch of `n` takes, if it may be had.
    fn admit(&self, n: usize) -> Result<usize, Error> {
        if n > MAX_BATCH {
            return Err(Error::Batch(n));
        }
        let blocks = n.div_ceil(128);
        if blocks as u64 > MAX_OTS / 128 - self.counter {
            return Err(Error::Exhausted);
        }
        Ok(blocks)
    }

    fn workspace(&self, blocks: usize) -> Workspace {
        let tile = blocks.min(TILE);
        Workspace {
            counters: vec![Block::ZERO; tile],
            streams: vec![Block::ZERO; tile << self.width.bits()],
            sum: vec![Block::ZERO; tile],
            columns: vec![Block::ZERO; tile * 128],
            rows: Vec::new(),
        }
    }

    /// Works on the next tile of `length` blocks: fills the columns of `work` with the weighted sums and hands `each`, for
    /// each group, its number, its sum and its columns. `missing` (0 or 1) first streams of a group are zero.
    fn tile(
        &mut self,
        length: usize,
        missing: usize,
        work: &mut Workspace,
        mut each: impl FnMut(usize, &[Block], &mut [Block]),
    ) {
        let counters = &mut work.counters[..length];
        for (counter, number) in counters.iter_mut().zip(self.counter..) {
            *counter = Block(u128::from(number));
        }
        let mut keys = self.keys.iter();
        let sum = &mut work.sum[..length];
        for (group, bits) in self.width.ranges().enumerate() {
            let streams = &mut work.streams[..length << bits.len()];
            streams[..length * missing].fill(Block::ZERO);
            for (stream, key) in streams.chunks_exact_mut(length).skip(missing).zip(&mut keys) {
                stream.copy_from_slice(counters);
                key.encrypt_blocks(stream);
            }
            let columns = &mut work.columns[bits.start * length..bits.end * length];
            fold(streams, sum, columns);
            each(group, sum, columns);
        }
        self.counter += length as u64;
    }
}

/// The receiver of correlated OTs: has the choice bits.
pub struct Receiver {
    streams: Streams,
    session: Block,
}

/// The sender of correlated OTs: has the offset. Erased on drop.
pub struct Sender {
    streams: Streams,
    session: Block,
    delta: Zeroizing<Block>,
}

impl Receiver {
    pub(super) fn new(streams: Streams, session: Block) -> Self {
        Self { streams, session }
    }

    /// The group size of the set-up.
    pub const fn width(&self) -> Width {
        self.streams.width
    }

    /// A public name of the set-up, the same at both parties and different for each set-up.
    pub const fn session(&self) -> Block {
        self.session
    }

    /// OTs so far, in multiples of 128: the number of the next batch's first OT.
    pub const fn position(&self) -> u64 {
        self.streams.counter * 128
    }

    /// `n` more OTs with the choice bits `choices` (bit `i % 8` of byte `i / 8`, from the lowest; `n.div_ceil(8)` bytes,
    /// whose bits from `n` on are ignored). Returns what to send, and `t[i]` for each OT. A batch takes a multiple of 128
    /// of the sequence.
    ///
    /// # Errors
    /// [`Error::Length`] if `choices` has another length, [`Error::Batch`] above [`MAX_BATCH`], [`Error::Exhausted`]
    /// above [`MAX_OTS`] in all. Nothing is used up then.
    pub fn extend(&mut self, choices: &[u8], n: usize) -> Result<(ExtendMessage, Vec<Block>), Error> {
        self.streams.admit(n)?;
        let mut output = vec![Block::ZERO; n];
        let message = self.extend_into(choices, &mut output)?;
        Ok((message, output))
    }

    /// [`Receiver::extend`] by `output.len()` OTs into memory that the caller has: for a long run of batches this is
    /// markedly faster than fresh memory for each.
    ///
    /// # Errors
    /// As [`Receiver::extend`].
    pub fn extend_into(&mut self, choices: &[u8], output: &mut [Block]) -> Result<ExtendMessage, Error> {
        let n = output.len();
        let blocks = self.streams.admit(n)?;
        if choices.len() != n.div_ceil(8) {
            let (expected, found) = (n.div_ceil(8), choices.len());
            return Err(Error::Length { what: "choice bits", expected, found });
        }
        let choices = whole_blocks(choices, n);
        let mut message = vec![Block::ZERO; blocks * self.streams.width.groups()];
        let mut work = self.streams.workspace(blocks);
        for (tile, output) in output.chunks_mut(TILE * 128).enumerate() {
            let (first, length) = (tile * TILE, output.len().div_ceil(128));
            let choices = &choices[first..first + length];
            self.streams.tile(length, 0, &mut work, |group, sum, _| {
                let first = group * blocks + first;
                let masked = &mut message[first..first + length];
                for ((masked, sum), choices) in masked.iter_mut().zip(sum).zip(choices) {
                    *masked = *sum ^ *choices;
                }
            });
            work.transpose(length, output);
        }
        Ok(ExtendMessage { blocks: message })
    }
}

impl Sender {
    pub(super) fn new(delta: Block, streams: Streams, session: Block) -> Self {
        Self { streams, session, delta: Zeroizing::new(delta) }
    }

    /// The group size of the set-up.
    pub const fn width(&self) -> Width {
        self.streams.width
    }

    /// A public name of the set-up, the same at both parties and different for each set-up.
    pub const fn session(&self) -> Block {
        self.session
    }

    /// OTs so far, in multiples of 128: the number of the next batch's first OT.
    pub const fn position(&self) -> u64 {
        self.streams.counter * 128
    }

    /// The offset.
    pub fn delta(&self) -> Block {
        *self.delta
    }

    /// `n` more OTs: `q[i]` for each, from the receiver's message of the same `n`.
    ///
    /// # Errors
    /// [`Error::Length`] if the message is not that of `n` OTs, [`Error::Batch`] above [`MAX_BATCH`],
    /// [`Error::Exhausted`] above [`MAX_OTS`] in all. Nothing is used up then.
    pub fn extend(&mut self, message: &ExtendMessage, n: usize) -> Result<Vec<Block>, Error> {
        self.streams.admit(n)?;
        let mut output = vec![Block::ZERO; n];
        self.extend_into(message, &mut output)?;
        Ok(output)
    }

    /// [`Sender::extend`] by `output.len()` OTs into memory that the caller has.
    ///
    /// # Errors
    /// As [`Sender::extend`].
    pub fn extend_into(&mut self, message: &ExtendMessage, output: &mut [Block]) -> Result<(), Error> {
        let n = output.len();
        let blocks = self.streams.admit(n)?;
        let expected = self.streams.width.message_len(n);
        let found = message.blocks.len() * 16;
        if found != expected {
            return Err(Error::Length { what: "OT extension message", expected, found });
        }
        let mut work = self.streams.workspace(blocks);
        let (delta, bits) = (*self.delta, self.streams.width.bits());
        for (tile, output) in output.chunks_mut(TILE * 128).enumerate() {
            let (first, length) = (tile * TILE, output.len().div_ceil(128));
            self.streams.tile(length, 1, &mut work, |group, _, columns| {
                let first = group * blocks + first;
                let masked = &message.blocks[first..first + length];
                for (bit, column) in columns.chunks_exact_mut(length).enumerate() {
                    let chosen = Block((delta.0 >> (group * bits + bit) & 1).wrapping_neg());
                    for (column, masked) in column.iter_mut().zip(masked) {
                        column.0 ^= masked.0 & chosen.0;
                    }
                }
            });
            work.transpose(length, output);
        }
        Ok(())
    }
}

#[cfg(test)]
impl Receiver {
    /// Leaves `rest` OTs, for tests of the end.
    pub(super) fn skip_to_the_end_but(&mut self, rest: u64) {
        self.streams.counter = (MAX_OTS - rest) / 128;
    }
}

#[cfg(test)]
impl Sender {
    /// Leaves `rest` OTs, for tests of the end.
    pub(super) fn skip_to_the_end_but(&mut self, rest: u64) {
        self.streams.counter = (MAX_OTS - rest) / 128;
    }
}

/// `n` bits as blocks, the rest of the last one zero.
fn whole_blocks(bits: &[u8], n: usize) -> Zeroizing<Vec<Block>> {
    let mut blocks = Zeroizing::new(vec![Block::ZERO; n.div_ceil(128)]);
    as_bytes_mut(&mut blocks)[..bits.len()].copy_from_slice(bits);
    if let Some(last) = blocks.last_mut()
        && !n.is_multiple_of(128)
    {
        last.0 &= (1 << (n % 128)) - 1;
    }
    blocks
}
