//! The engine's frames, and garbled tables on both sides of the wire.

use std::sync::mpsc::SyncSender;

use garble::evaluator::TableSource;
use garble::garbler::TableSink;
use kernel::block::{Block, as_bytes, as_bytes_mut};

use super::ahead::streams;
use crate::error::Error;
use crate::frame::Tag;
use crate::garbled::wire::pack;
use crate::session::{Inbox, Outbox};

/// The client's public key.
pub const KEY: Tag = Tag::new(48, "the public key");
/// The server's half of the base transfers.
pub const REQUEST: Tag = Tag::new(49, "the transfer request");
/// The client's half of the base transfers and the seed corrections.
pub const REPLY: Tag = Tag::new(50, "the transfer reply");
/// The hash's start point and the seed of the labels of the server's shares.
pub const START: Tag = Tag::new(51, "the garbling's start");
/// An extension message.
pub const EXTENSION: Tag = Tag::new(52, "a transfer extension");
/// Garbled tables.
pub const TABLES: Tag = Tag::new(53, "garbled tables");
/// The colours of the outputs' zero-labels.
pub const COLOURS: Tag = Tag::new(54, "the outputs' colours");
/// An encrypted share.
pub const CIPHERTEXT: Tag = Tag::new(55, "an encrypted share");
/// A masked reply.
pub const MASKED: Tag = Tag::new(56, "a masked reply");
/// Corrections of transfers for a stage's shares.
pub const CORRECTIONS: Tag = Tag::new(57, "corrections of transfers");
/// Labels of a stage's shares.
pub const LABELS: Tag = Tag::new(58, "labels");
/// Numbers that make halved shares exact.
pub const HALVES: Tag = Tag::new(60, "carries of shares");
/// Numbers that the client adds to shares that leave a circuit.
pub const SHIFTS: Tag = Tag::new(61, "corrections of shares");
/// Products of numbers that both parties know before the input.
pub const CROSSED: Tag = Tag::new(63, "products of masks");
/// Factors of products less the server's masks.
pub const FACTORS: Tag = Tag::new(112, "masked factors");
/// How many predictions share flights.
pub const BATCH: Tag = Tag::new(113, "the number of inputs");
/// Values less the client's masks.
pub const OPENED: Tag = Tag::new(62, "masked values");

/// The correction of a batch of silent transfers.
pub const SILENT: Tag = Tag::new(59, "a correction of silent transfers");
/// The key of a rotation.
pub const ROTATION: Tag = Tag::new(70, "the key of a rotation");

/// The name of a client's keys.
pub const NAME: Tag = Tag::new(71, "the name of keys");
/// Whether the server holds keys.
pub const HELD: Tag = Tag::new(72, "whether keys are held");

/// Most rows of a frame of tables or labels: 512 KiB.
pub const FRAME_ROWS: usize = 32 << 10;

/// What a thread sends for the garbler.
pub enum Frame {
    /// Tables.
    Tables(Vec<Block>),
    /// Colours of zero-labels, packed.
    Colours(Vec<u8>),
    /// A correction of silent transfers.
    Silent(Vec<u8>),
    /// Oblivious products.
    Crossed(Vec<u8>),
    /// Numbers, and their bits.
    Numbers(Vec<u64>, u32),
}

impl Frame {
    /// Sends it.
    ///
    /// # Errors
    /// When the session fails.
    pub fn send(&self, outbox: &mut Outbox) -> Result<(), Error> {
        match self {
            Self::Tables(rows) => outbox.send(TABLES, as_bytes(rows)),
            Self::Colours(bytes) => outbox.send(COLOURS, bytes),
            Self::Silent(bytes) => outbox.send(SILENT, bytes),
            Self::Crossed(bytes) => outbox.send(CROSSED, bytes),
            Self::Numbers(numbers, bits) => streams::send(outbox, SHIFTS, numbers, *bits),
        }
    }
}

/// Tables on their way to a thread that sends them, in frames of nearly [`FRAME_ROWS`] rows.
#[derive(Default)]
pub struct Frames {
    queue: Option<SyncSender<Frame>>,
    frame: Vec<Block>,
}

impl Frames {
    /// Sends to this queue from now on.
    pub fn open(&mut self, queue: SyncSender<Frame>) {
        self.queue = Some(queue);
    }

    /// Sends what is left.
    ///
    /// # Errors
    /// When nobody sends any more.
    pub fn flush(&mut self) -> Result<(), Error> {
        if self.frame.is_empty() {
            return Ok(());
        }
        let frame = std::mem::replace(&mut self.frame, Vec::with_capacity(FRAME_ROWS));
        self.hand_on(Frame::Tables(frame))
    }

    fn hand_on(&self, frame: Frame) -> Result<(), Error> {
        let closed = || Error::Refused("the tables' thread ended early".into());
        self.queue.as_ref().ok_or_else(closed)?.send(frame).map_err(|_| closed())
    }

    /// Sends colours behind the tables so far.
    ///
    /// # Errors
    /// As [`Frames::flush`].
    pub fn colours(&mut self, colours: &[bool]) -> Result<(), Error> {
        self.flush()?;
        self.hand_on(Frame::Colours(pack(colours)))
    }

    /// Sends a correction of silent transfers behind the tables so far.
    ///
    /// # Errors
    /// As [`Frames::flush`].
    pub fn silent(&mut self, correction: Vec<u8>) -> Result<(), Error> {
        self.flush()?;
        self.hand_on(Frame::Silent(correction))
    }

    /// Sends oblivious products behind the tables so far.
    ///
    /// # Errors
    /// As [`Frames::flush`].
    pub fn crossed(&mut self, products: Vec<u8>) -> Result<(), Error> {
        self.flush()?;
        self.hand_on(Frame::Crossed(products))
    }

    /// Sends corrections of `bits` bits behind the tables so far.
    ///
    /// # Errors
    /// As [`Frames::flush`].
    pub fn numbers(&mut self, numbers: Vec<u64>, bits: u32) -> Result<(), Error> {
        self.flush()?;
        self.hand_on(Frame::Numbers(numbers, bits))
    }

    /// Ends the queue.
    ///
    /// # Errors
    /// As [`Frames::flush`].
    pub fn close(&mut self) -> Result<(), Error> {
        let flushed = self.flush();
        self.queue = None;
        flushed
    }
}

impl TableSink for Frames {
    type Error = Error;

    fn room(&mut self, count: usize) -> Result<&mut [Block], Error> {
        if self.frame.len() + count > FRAME_ROWS {
            self.flush()?;
        }
        let from = self.frame.len();
        self.frame.resize(from + count, Block::ZERO);
        Ok(&mut self.frame[from..])
    }
}

/// A stage's tables, received before they are needed.
#[derive(Default)]
pub struct Stored {
    rows: Vec<Block>,
    position: usize,
}

impl Stored {
    /// These rows.
    pub fn new(rows: Vec<Block>) -> Self {
        Self { rows, position: 0 }
    }

    /// Whether all rows were read.
    pub fn is_read(&self) -> bool {
        self.position == self.rows.len()
    }
}

impl TableSource for Stored {
    type Error = Error;

    fn rows(&mut self, count: usize) -> Result<&[Block], Error> {
        let from = self.position;
        let rows = self.rows.get(from..from + count);
        let rows =
            rows.ok_or_else(|| Error::malformed("garbled tables", "fewer rows than the circuit has"))?;
        self.position += count;
        Ok(rows)
    }
}

/// Receives so many rows, in frames of up to [`FRAME_ROWS`].
///
/// # Errors
/// When the session fails, or the frames are not whole rows, empty, or too many.
pub fn receive_rows(inbox: &mut Inbox, tag: Tag, count: usize) -> Result<Vec<Block>, Error> {
    let mut rows = Vec::new();
    let mut frame = vec![Block::ZERO; FRAME_ROWS.min(count)];
    while rows.len() < count {
        let most = (count - rows.len()).min(FRAME_ROWS);
        match inbox.recv_up_to(tag, as_bytes_mut(&mut frame[..most]))? {
            bytes if bytes == 0 || !bytes.is_multiple_of(size_of::<Block>()) => {
                return Err(Error::malformed("rows", format!("a frame of {bytes} bytes")));
            }
            bytes => rows.extend_from_slice(&frame[..bytes / size_of::<Block>()]),
        }
    }
    Ok(rows)
}

/// Sends rows in frames of up to [`FRAME_ROWS`].
///
/// # Errors
/// When the session fails.
pub fn send_rows(outbox: &mut Outbox, tag: Tag, rows: &[Block]) -> Result<(), Error> {
    rows.chunks(FRAME_ROWS).try_for_each(|frame| outbox.send(tag, as_bytes(frame)))
}
