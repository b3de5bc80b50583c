//! Frames from the peer, each checked against what is due before anything is allocated.

use std::time::{Duration, Instant};

use super::{Direction, Limits, Transcript};
use crate::channel::Source;
use crate::error::{Error, MAX_PEER_TEXT, printable};
use crate::frame::{HEADER_BYTES, Header, Length, Tag};
use crate::meter::Meter;

/// Bytes read ahead of a small frame; the rest of a large one is read to where it belongs.
const BUFFER_BYTES: usize = 16 << 10;

/// A payload whose length the peer chose is allocated in steps of this size, as it arrives.
const STEP_BYTES: usize = 1 << 20;

/// Bytes looked through for the explanation of a peer that left.
const EXPLANATION_BYTES: u64 = 64 << 20;

/// Time spent on that.
const EXPLANATION_TIME: Duration = Duration::from_secs(2);

/// The receiving half of a session.
pub struct Inbox {
    source: Box<dyn Source>,
    /// See [`crate::channel::Transport::binding`].
    pub(super) binding: Option<[u8; 32]>,
    /// Bytes read and not yet taken: `buffer[start..end]`.
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    meter: Meter,
    limits: Limits,
    /// No operation waits beyond this moment.
    latest: Option<Instant>,
    transcript: Option<Transcript>,
    /// A frame was refused or cut short: what follows is not a header.
    broken: bool,
}

/// The moment by which an operation ends, and how long that was from its start.
#[derive(Clone, Copy)]
struct Due {
    at: Option<Instant>,
    waited: Duration,
}

const DOING: &str = "waiting for a frame";

impl Inbox {
    pub(super) fn new(
        (source, binding): (Box<dyn Source>, Option<[u8; 32]>),
        meter: Meter,
        limits: Limits,
    ) -> Self {
        let buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        Self {
            source,
            binding,
            buffer,
            start: 0,
            end: 0,
            meter,
            limits,
            latest: None,
            transcript: None,
            broken: false,
        }
    }

    pub(super) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    pub(super) fn record(&mut self, transcript: Transcript) {
        self.transcript = Some(transcript);
    }

    /// Bounds all that follows by one moment, whatever each frame is allowed; `None` lifts the bound. For a handshake. Gives the bound so far.
    pub fn set_latest(&mut self, latest: Option<Instant>) -> Option<Instant> {
        std::mem::replace(&mut self.latest, latest)
    }

    /// The payload of the frame that is due.
    ///
    /// # Errors
    /// [`Error::Tag`] or [`Error::Length`] where another frame came, [`Error::Peer`] where the peer gave up, and
    /// those of the connection.
    pub fn recv(&mut self, tag: Tag, length: Length) -> Result<Vec<u8>, Error> {
        Ok(self.recv_one_of(&[(tag, length)])?.1)
    }

    /// Reads the payload of the frame that is due, which is as long as `buffer`, in place.
    ///
    /// # Errors
    /// As [`Inbox::recv`].
    pub fn recv_into(&mut self, tag: Tag, buffer: &mut [u8]) -> Result<(), Error> {
        let (header, due) = self.header()?;
        self.judge(header, &[(tag, Length::Exactly(buffer.len()))], due)?;
        self.fill(buffer, due)?;
        self.account(header);
        Ok(())
    }

    /// Reads the payload of the frame that is due, which is at most as long as `buffer`, in place; gives its length.
    ///
    /// # Errors
    /// As [`Inbox::recv`].
    pub fn recv_up_to(&mut self, tag: Tag, buffer: &mut [u8]) -> Result<usize, Error> {
        let (header, due) = self.header()?;
        self.judge(header, &[(tag, Length::AtMost(buffer.len()))], due)?;
        let length = header.length as usize;
        self.fill(&mut buffer[..length], due)?;
        self.account(header);
        Ok(length)
    }

    /// A frame where one of several kinds is due, with its tag and payload.
    ///
    /// # Errors
    /// As [`Inbox::recv`]; the first kind is the one named.
    pub fn recv_one_of(&mut self, due_frames: &[(Tag, Length)]) -> Result<(Tag, Vec<u8>), Error> {
        let (header, due) = self.header()?;
        let tag = self.judge(header, due_frames, due)?;
        let payload = self.payload(header, due)?;
        self.account(header);
        Ok((tag, payload))
    }

    /// Bytes that are not a frame.
    pub(crate) fn recv_raw(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        let due = self.due(self.limits.frame);
        self.fill(bytes, due)?;
        self.meter.received(0, bytes.len() as u64);
        Ok(())
    }

    /// Looks through what the peer sent before it left for its reason.
    pub(super) fn find_error(&mut self) -> Option<Error> {
        if self.broken {
            return None;
        }
        self.latest = Instant::now().checked_add(EXPLANATION_TIME);
        let mut seen = 0;
        while seen < EXPLANATION_BYTES {
            let (header, due) = self.header().ok()?;
            if header.tag == Tag::ERROR.id() {
                return self.peer_error(header, due).ok();
            }
            seen += u64::from(header.length);
            self.skip(header, due).ok()?;
        }
        None
    }

    /// Reads and forgets what comes, for a while, until the peer ends its stream.
    pub(super) fn drain(&mut self, allowed: Duration) {
        self.latest = None;
        let due = self.due(allowed);
        let mut seen = 0;
        while seen < EXPLANATION_BYTES && self.refill(due).is_ok() {
            seen += self.end as u64;
        }
    }

    fn due(&self, allowed: Duration) -> Due {
        let now = Instant::now();
        let at = match (now.checked_add(allowed), self.latest) {
            (Some(at), Some(latest)) => Some(at.min(latest)),
            (at, latest) => at.or(latest),
        };
        Due { at, waited: at.map_or(allowed, |at| at.saturating_duration_since(now)) }
    }

    /// The next header, and by when its frame must be complete.
    fn header(&mut self) -> Result<(Header, Due), Error> {
        if self.broken {
            return Err(Error::Closed { doing: DOING });
        }
        if self.start == self.end {
            let due = self.due(self.limits.wait);
            self.refill(due)?;
        }
        let due = self.due(self.limits.frame);
        let mut bytes = [0; HEADER_BYTES];
        self.fill(&mut bytes, due)?;
        let header = Header::decode(bytes);
        Ok((header, self.due(self.limits.frame + self.limits.transfer(u64::from(header.length)))))
    }

    /// Whether a frame is one of those due; a peer's error becomes this side's.
    fn judge(&mut self, header: Header, due_frames: &[(Tag, Length)], due: Due) -> Result<Tag, Error> {
        let error = match due_frames.iter().find(|(tag, _)| tag.id() == header.tag) {
            Some((tag, length)) if length.allows(header.length) => return Ok(*tag),
            Some((tag, length)) => {
                Error::Length { tag: *tag, expected: *length, got: u64::from(header.length) }
            }
            None if header.tag == Tag::ERROR.id() => self.peer_error(header, due)?,
            None => Error::Tag {
                expected: due_frames.first().map_or(Tag::ERROR, |(tag, _)| *tag),
                got: header.tag,
            },
        };
        self.broken = true;
        Err(error)
    }

    fn peer_error(&mut self, header: Header, due: Due) -> Result<Error, Error> {
        let expected = Length::AtMost(MAX_PEER_TEXT);
        if !expected.allows(header.length) {
            return Ok(Error::Length { tag: Tag::ERROR, expected, got: u64::from(header.length) });
        }
        let text = self.payload(header, due)?;
        self.account(header);
        Ok(Error::Peer(printable(&text)))
    }

    /// The payload of a frame whose length was found allowed.
    fn payload(&mut self, header: Header, due: Due) -> Result<Vec<u8>, Error> {
        let length = header.length as usize;
        let mut payload = Vec::new();
        while payload.len() < length {
            let from = payload.len();
            // Doubling keeps the copies few; a peer that stops part way has cost at most twice what it sent.
            let step = from.max(STEP_BYTES).min(length - from);
            payload.reserve_exact(step);
            payload.resize(from + step, 0);
            self.fill(&mut payload[from..], due)?;
        }
        Ok(payload)
    }

    /// Passes over a payload.
    fn skip(&mut self, header: Header, due: Due) -> Result<(), Error> {
        let mut left = header.length as usize;
        while left > 0 {
            if self.start == self.end {
                self.refill(due)?;
            }
            let count = left.min(self.end - self.start);
            self.start += count;
            left -= count;
        }
        Ok(())
    }

    /// Fills `target` from what was read ahead, then from the connection.
    fn fill(&mut self, target: &mut [u8], due: Due) -> Result<(), Error> {
        let mut filled = 0;
        while filled < target.len() {
            let rest = &mut target[filled..];
            if self.start == self.end && rest.len() >= BUFFER_BYTES {
                self.source.set_deadline(due.at);
                filled += self.read(due, |source, _| source.read(rest))?;
                continue;
            }
            if self.start == self.end {
                self.refill(due)?;
            }
            let count = rest.len().min(self.end - self.start);
            rest[..count].copy_from_slice(&self.buffer[self.start..self.start + count]);
            self.start += count;
            filled += count;
        }
        Ok(())
    }

    /// Reads ahead; the buffer is empty before and not after.
    fn refill(&mut self, due: Due) -> Result<(), Error> {
        let count = self.read(due, |source, buffer| source.read(buffer))?;
        (self.start, self.end) = (0, count);
        Ok(())
    }

    /// One read, of at least a byte.
    fn read(
        &mut self,
        due: Due,
        mut read: impl FnMut(&mut dyn Source, &mut [u8]) -> std::io::Result<usize>,
    ) -> Result<usize, Error> {
        self.source.set_deadline(due.at);
        let error = loop {
            match read(self.source.as_mut(), &mut self.buffer) {
                Ok(0) => break Error::Closed { doing: DOING },
                Ok(count) => return Ok(count),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => break Error::from_io(DOING, due.waited, e),
            }
        };
        self.broken = true;
        Err(error)
    }

    fn account(&mut self, header: Header) {
        self.meter.received(header.depth, HEADER_BYTES as u64 + u64::from(header.length));
        if let Some(transcript) = &self.transcript {
            transcript.note(Direction::Received, header.tag, header.length);
        }
    }
}
