//! The engine's frames: tags, and garbled tables as a stream of frames of known sizes.

use garble::evaluator::TableSource;
use garble::garbler::TableSink;
use garble::labels::{MOST_ROWS, Stopped};
use kernel::block::{Block, as_bytes_mut};

use crate::error::Error;
use crate::frame::{HEADER_BYTES, Length, Tag};
use crate::session::{Inbox, Outbox, Progress};

/// The client's half of the base transfers.
pub const REQUEST: Tag = Tag::new(16, "the transfer request");
/// The server's half of the base transfers and the seed corrections.
pub const REPLY: Tag = Tag::new(17, "the transfer reply");
/// An extension message for a chunk of weights.
pub const EXTENSION: Tag = Tag::new(18, "a transfer extension");
/// The hash's start point and the seed of the client's active labels.
pub const START: Tag = Tag::new(19, "the garbling's start");
/// Garbled tables.
pub const TABLES: Tag = Tag::new(20, "garbled tables");
/// The colour bits of the outputs.
pub const COLOURS: Tag = Tag::new(21, "the outputs' colours");

/// Corrections of products by transfers.
pub const PRODUCTS: Tag = Tag::new(22, "corrections of products");
/// The server's masked sums of products by transfers.
pub const SHARES: Tag = Tag::new(23, "masked sums");

/// A share of the client's input.
pub const INPUT: Tag = Tag::new(24, "a share of the input");
/// What decodes the outputs' colours.
pub const DECODING: Tag = Tag::new(25, "the outputs' decoding");
/// So much of the circuit is garbled.
pub const BEAT: Tag = Tag::new(26, "progress");

impl From<Stopped> for Error {
    fn from(error: Stopped) -> Self {
        Self::Refused(error.to_string())
    }
}

impl From<ot::Error> for Error {
    fn from(error: ot::Error) -> Self {
        Self::malformed("oblivious transfer", error.to_string())
    }
}

/// Most rows in a frame of tables: 512 KiB, large enough that a frame's cost vanishes, small enough for the second-level
/// cache.
const FRAME_ROWS: usize = 32 << 10;

/// Bytes of a row.
const ROW: usize = size_of::<Block>();

/// Who is told how far the tables are.
#[derive(Clone, Copy)]
pub struct Account<'a> {
    /// Told after every frame.
    pub progress: &'a dyn Progress,
    /// Bytes of all tables.
    pub total: u64,
}

/// Sends tables in frames of nearly [`FRAME_ROWS`] rows, or shorter ones where this side must wait for the peer: what it
/// waits for may need the tables so far.
pub struct TableWriter<'a> {
    outbox: &'a mut Outbox,
    account: Account<'a>,
    /// Bytes of tables that are sent.
    sent: u64,
    /// Room for the header in the first block, then rows; `used` blocks are filled.
    frame: Vec<Block>,
    used: usize,
}

impl<'a> TableWriter<'a> {
    /// A writer with an empty buffer.
    pub fn new(outbox: &'a mut Outbox, account: Account<'a>) -> Self {
        Self { outbox, account, sent: 0, frame: vec![Block::ZERO; 1 + FRAME_ROWS], used: 1 }
    }

    /// Sends what is left.
    ///
    /// # Errors
    /// When the session fails.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.send()?;
        self.outbox.flush()
    }

    fn send(&mut self) -> Result<(), Error> {
        if self.used > 1 {
            let frame = &mut as_bytes_mut(&mut self.frame[..self.used])[ROW - HEADER_BYTES..];
            self.outbox.send_in_place(TABLES, frame)?;
            self.sent += ((self.used - 1) * ROW) as u64;
            self.account.progress.report(self.sent, self.account.total);
            self.used = 1;
        }
        Ok(())
    }
}

impl TableSink for TableWriter<'_> {
    type Error = Error;

    fn room(&mut self, count: usize) -> Result<&mut [Block], Error> {
        if self.frame.len() - self.used < count {
            self.send()?;
        }
        let from = self.used;
        self.used += count;
        Ok(&mut self.frame[from..self.used])
    }
}

/// Receives the frames that a [`TableWriter`] sends.
pub struct TableReader<'a> {
    inbox: &'a mut Inbox,
    /// Rows not yet read are `rows[position..end]`.
    rows: Vec<Block>,
    position: usize,
    end: usize,
}

impl<'a> TableReader<'a> {
    /// A reader before the first frame.
    pub fn new(inbox: &'a mut Inbox) -> Self {
        Self { inbox, rows: vec![Block::ZERO; MOST_ROWS + FRAME_ROWS], position: 0, end: 0 }
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// When the peer has sent more than the circuit wanted.
    pub fn finish(&self) -> Result<(), Error> {
        match self.end - self.position {
            0 => Ok(()),
            spare => Err(Error::malformed("garbled tables", format!("{} bytes too many", spare * ROW))),
        }
    }

    /// Receives a frame behind the rows that are left, which are fewer than are asked for at a time.
    fn receive(&mut self) -> Result<(), Error> {
        self.rows.copy_within(self.position..self.end, 0);
        (self.position, self.end) = (0, self.end - self.position);
        let frame = &mut self.rows[self.end..self.end + FRAME_ROWS];
        match self.inbox.recv_up_to(TABLES, as_bytes_mut(frame))? {
            0 => Err(Error::malformed("garbled tables", "an empty frame")),
            bytes if !bytes.is_multiple_of(ROW) => Err(Error::malformed("garbled tables", "half a row")),
            bytes => {
                self.end += bytes / ROW;
                Ok(())
            }
        }
    }
}

impl TableSource for TableReader<'_> {
    type Error = Error;

    fn rows(&mut self, count: usize) -> Result<&[Block], Error> {
        while self.end - self.position < count {
            self.receive()?;
        }
        let from = self.position;
        self.position += count;
        Ok(&self.rows[from..self.position])
    }
}

/// The start of a garbling as the client sends it.
pub struct Start {
    /// Start point of the hash's keys.
    pub hash: Block,
    /// Seed of the active labels of the client's input.
    pub input: Block,
}

impl Start {
    /// Bytes on the wire.
    pub const BYTES: usize = 32;

    /// Wire form.
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..16].copy_from_slice(&self.hash.to_bytes());
        bytes[16..].copy_from_slice(&self.input.to_bytes());
        bytes
    }

    /// Receives a start.
    ///
    /// # Errors
    /// When the session fails.
    pub fn receive(inbox: &mut Inbox) -> Result<Self, Error> {
        let mut blocks = [Block::ZERO; 2];
        inbox.recv_into(START, as_bytes_mut(&mut blocks))?;
        let [hash, input] = blocks;
        Ok(Self { hash, input })
    }
}

/// Bits packed eight to a byte, the first in the lowest place.
pub fn pack(bits: &[bool]) -> Vec<u8> {
    bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |packed, bit| packed << 1 | u8::from(*bit))).collect()
}

/// The first `count` bits of packed bytes.
pub fn unpack(bytes: &[u8], count: usize) -> Vec<bool> {
    (0..count).map(|index| bytes.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)).collect()
}

/// Length of `count` packed bits.
pub fn packed_length(count: usize) -> Length {
    Length::Exactly(count.div_ceil(8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_bits_come_back() {
        let bits: Vec<bool> = (0..19).map(|index| index % 3 == 0).collect();
        let packed = pack(&bits);
        assert_eq!(packed.len(), 3);
        assert_eq!(packed[0], 0b0100_1001);
        assert_eq!(unpack(&packed, 19), bits);
    }
}
