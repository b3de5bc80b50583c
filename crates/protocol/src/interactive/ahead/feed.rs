//! A stored bundle as it is used: piece by piece, by a thread that stays a bounded number of pieces ahead.
//!
//! A bundle is as large as all tables of a network. Each piece is opened while the wire is waited for, and gone once the circuit has read it.

use std::io;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};

use garble::evaluator::TableSource;
use kernel::block::{Block, as_bytes_mut};
use zeroize::Zeroizing;

use super::super::wire::Stored;
use super::bundle::malformed;
use crate::error::Error;

/// Pieces that are opened and wait to be used: of 256 KiB, a fraction of a large layer.
const AHEAD: usize = 24;

/// The bytes of a stored bundle in order. A piece that is given is authentic: what it says is used before the next one is read.
pub trait Pieces: Send {
    /// Puts the next piece in place of what is there; nothing at the end.
    ///
    /// # Errors
    /// It cannot be read, or is not what was stored.
    fn next(&mut self, piece: &mut Vec<u8>) -> io::Result<()>;
}

/// Where a bundle's bytes are taken from, in order.
pub(super) trait Bytes {
    /// Takes as many as there is room for.
    ///
    /// # Errors
    /// There are not so many, or they cannot be read.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Error>;
}

impl Bytes for &[u8] {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Error> {
        let (head, rest) = self.split_at_checked(out.len()).ok_or_else(|| malformed("too short".into()))?;
        out.copy_from_slice(head);
        *self = rest;
        Ok(())
    }
}

/// A piece, or why there is none.
type Piece = io::Result<Zeroizing<Vec<u8>>>;

/// A thread that reads ahead, and the piece that is being used.
pub(super) struct Feed {
    /// None once the feed is being dropped.
    pieces: Option<Receiver<Piece>>,
    used: Sender<Zeroizing<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
    piece: Zeroizing<Vec<u8>>,
    at: usize,
}

/// Reads until the end, a failure, or nobody takes pieces any more.
fn read(mut from: Box<dyn Pieces>, to: &SyncSender<Piece>, used: &Receiver<Zeroizing<Vec<u8>>>) {
    loop {
        let mut piece = used.try_recv().unwrap_or_default();
        let read = from.next(&mut piece);
        let last = read.is_err() || piece.is_empty();
        if to.send(read.map(|()| piece)).is_err() || last {
            return;
        }
    }
}

impl Feed {
    /// Begins to read.
    ///
    /// # Errors
    /// There is no thread left.
    pub fn begin(from: Box<dyn Pieces>) -> Result<Self, Error> {
        let ((to, pieces), (used, again)) = (sync_channel(AHEAD), channel());
        let reading = thread::Builder::new().name("bundle".into()).spawn(move || read(from, &to, &again));
        let thread =
            reading.map_err(|error| Error::Refused(format!("no thread to read a bundle: {error}")))?;
        let (thread, pieces) = (Some(thread), Some(pieces));
        Ok(Self { pieces, used, thread, piece: Zeroizing::default(), at: 0 })
    }

    fn next(&mut self) -> Result<(), Error> {
        let over = || malformed("too short".into());
        let piece = self.pieces.as_ref().ok_or_else(over)?.recv().map_err(|_| over())?;
        let piece = piece.map_err(|error| Error::Refused(format!("{error}; this bundle is lost")))?;
        if piece.is_empty() {
            return Err(over());
        }
        let done = std::mem::replace(&mut self.piece, piece);
        self.at = 0;
        // Where the thread has ended, it is erased here.
        let _ = self.used.send(done);
        Ok(())
    }
}

impl Bytes for Feed {
    fn fill(&mut self, mut out: &mut [u8]) -> Result<(), Error> {
        while !out.is_empty() {
            if self.at == self.piece.len() {
                self.next()?;
            }
            let count = out.len().min(self.piece.len() - self.at);
            let (now, rest) = out.split_at_mut(count);
            now.copy_from_slice(&self.piece[self.at..self.at + count]);
            self.at += count;
            out = rest;
        }
        Ok(())
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.pieces = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A stage's tables: in memory, or as they are read.
pub(super) enum Tables<'f> {
    /// All of them.
    Held(Stored),
    /// So many are left.
    Read {
        /// Where they come from.
        feed: &'f mut Feed,
        /// Rows that were not read.
        left: usize,
        /// Those that were asked for last.
        rows: Vec<Block>,
    },
}

impl<'f> Tables<'f> {
    /// So many rows of what comes next.
    pub fn read(feed: &'f mut Feed, left: usize) -> Self {
        Self::Read { feed, left, rows: Vec::new() }
    }

    /// Whether all rows were used.
    pub fn is_read(&self) -> bool {
        match self {
            Self::Held(stored) => stored.is_read(),
            Self::Read { left, .. } => *left == 0,
        }
    }
}

impl TableSource for Tables<'_> {
    type Error = Error;

    fn rows(&mut self, count: usize) -> Result<&[Block], Error> {
        match self {
            Self::Held(stored) => stored.rows(count),
            Self::Read { feed, left, rows } => {
                let short = || Error::malformed("garbled tables", "fewer rows than the circuit has");
                *left = left.checked_sub(count).ok_or_else(short)?;
                rows.resize(count, Block::ZERO);
                feed.fill(as_bytes_mut(rows))?;
                Ok(rows)
            }
        }
    }
}
