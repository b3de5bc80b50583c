//! Frames to the peer.

use std::io;
use std::time::Instant;

use super::{Direction, Limits, Transcript};
use crate::channel::Sink;
use crate::error::{Error, MAX_PEER_TEXT};
use crate::frame::{HEADER_BYTES, Header, Tag};
use crate::meter::Meter;

/// Bytes collected before they are written; larger payloads are written from where they are.
const BUFFER_BYTES: usize = 64 << 10;

/// Called before a large frame.
pub type Brake = Box<dyn Fn() + Send>;

/// The sending half of a session. Frames are collected; [`Outbox::flush`] before waiting for an answer.
pub struct Outbox {
    sink: Box<dyn Sink>,
    buffer: Vec<u8>,
    meter: Meter,
    limits: Limits,
    pinned: Option<u16>,
    brake: Option<Brake>,
    transcript: Option<Transcript>,
    /// A write failed part way: what the peer would read next is not a frame.
    broken: bool,
}

impl Outbox {
    pub(super) fn new(sink: Box<dyn Sink>, meter: Meter, limits: Limits) -> Self {
        let buffer = Vec::with_capacity(BUFFER_BYTES);
        Self { sink, buffer, meter, limits, pinned: None, brake: None, transcript: None, broken: false }
    }

    pub(super) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    pub(super) fn record(&mut self, transcript: Transcript) {
        self.transcript = Some(transcript);
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// Those of the connection; a payload of 4 GiB or more is refused.
    pub fn send(&mut self, tag: Tag, payload: &[u8]) -> Result<(), Error> {
        self.yield_before(payload.len());
        let header = self.header(tag, payload.len())?;
        if self.buffer.len() + HEADER_BYTES + payload.len() > BUFFER_BYTES {
            self.write_buffer()?;
        }
        self.buffer.extend_from_slice(&header);
        if HEADER_BYTES + payload.len() <= BUFFER_BYTES {
            self.buffer.extend_from_slice(payload);
            return Ok(());
        }
        self.write_buffer()?;
        self.write(|sink| sink.write_all(payload), payload.len())
    }

    /// Sends a frame whose payload stands behind [`HEADER_BYTES`] of room for the header: one write, and no copy.
    ///
    /// # Errors
    /// As [`Outbox::send`]; a frame without that room is refused.
    pub fn send_in_place(&mut self, tag: Tag, frame: &mut [u8]) -> Result<(), Error> {
        let room = "a frame without room for its header";
        let length = frame.len().checked_sub(HEADER_BYTES).ok_or_else(|| Error::Refused(room.into()))?;
        self.yield_before(length);
        let header = self.header(tag, length)?;
        frame[..HEADER_BYTES].copy_from_slice(&header);
        if self.buffer.len() + frame.len() <= BUFFER_BYTES {
            self.buffer.extend_from_slice(frame);
            return Ok(());
        }
        self.write_buffer()?;
        self.write(|sink| sink.write_all(frame), frame.len())
    }

    fn yield_before(&self, payload: usize) {
        if let Some(brake) = self.brake.as_ref().filter(|_| payload > BUFFER_BYTES) {
            brake();
        }
    }

    /// Accounts a frame that goes out now, and gives its header.
    fn header(&mut self, tag: Tag, payload: usize) -> Result<[u8; HEADER_BYTES], Error> {
        let length = u32::try_from(payload)
            .map_err(|_| Error::Refused(format!("a frame of {payload} bytes is too long to send")))?;
        let depth = self.meter.sent(self.pinned, HEADER_BYTES as u64 + u64::from(length));
        if let Some(transcript) = &self.transcript {
            transcript.note(Direction::Sent, tag.id(), length);
        }
        Ok(Header { tag: tag.id(), depth, length }.encode())
    }

    /// Asks before each large frame from now on, which may wait: for work that gives way to other work.
    pub fn set_brake(&mut self, brake: Option<Brake>) {
        self.brake = brake;
    }

    /// Sends what is collected.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.write_buffer()?;
        self.write(|sink| sink.flush(), 0)
    }

    /// Keeps the depth of frames sent from now on, whatever is received meanwhile: for a stream that depends on
    /// nothing that comes later ([`crate::meter`]).
    pub fn pin(&mut self) {
        self.pinned = Some(self.meter.depth());
    }

    /// Lets the depth follow what is received again.
    pub fn unpin(&mut self) {
        self.pinned = None;
    }

    /// Sends [`Tag::ERROR`] with the reason, cut to a length that every reader takes.
    pub(super) fn send_error(&mut self, reason: &str) -> Result<(), Error> {
        let mut end = reason.len().min(MAX_PEER_TEXT);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        self.send(Tag::ERROR, &reason.as_bytes()[..end])
    }

    fn write_buffer(&mut self) -> Result<(), Error> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let buffer = std::mem::take(&mut self.buffer);
        let result = self.write(|sink| sink.write_all(&buffer), buffer.len());
        self.buffer = buffer;
        self.buffer.clear();
        result
    }

    /// Runs a write of `bytes` bytes under its deadline.
    fn write(
        &mut self,
        run: impl FnOnce(&mut dyn Sink) -> io::Result<()>,
        bytes: usize,
    ) -> Result<(), Error> {
        let doing = "sending";
        if self.broken {
            return Err(Error::Closed { doing });
        }
        let allowed = self.limits.wait + self.limits.transfer(bytes as u64);
        self.sink.set_deadline(Instant::now().checked_add(allowed));
        run(self.sink.as_mut()).map_err(|e| {
            self.broken = true;
            Error::from_io(doing, allowed, e)
        })
    }
}

/// Bytes before the first frame: the greeting.
impl Outbox {
    /// Sends bytes that are not a frame.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.meter.sent(self.pinned, bytes.len() as u64);
        self.buffer.extend_from_slice(bytes);
        self.flush()
    }
}
