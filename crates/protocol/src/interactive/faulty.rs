//! A connection that goes wrong at a byte of what one side receives: for tests.

use std::io::{self, Read};
use std::time::Instant;

use crate::channel::{Deadline, Source, Transport};
use crate::session::{Direction, Entry};

/// What happens to the bytes on their way, from some byte on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// They end.
    Cut,
    /// None comes any more, and the connection stays.
    Stall,
    /// One byte is another.
    Flip,
}

/// A reading half that fails.
struct Faulty {
    inner: Box<dyn Source>,
    /// Bytes until then; none once it has happened.
    left: Option<usize>,
    fault: Fault,
    deadline: Option<Instant>,
}

impl Deadline for Faulty {
    fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
        self.inner.set_deadline(deadline);
    }
}

impl Read for Faulty {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(left) = self.left else { return self.inner.read(buffer) };
        let most = if self.fault == Fault::Flip { buffer.len() } else { buffer.len().min(left) };
        if most == 0 {
            if self.fault == Fault::Stall
                && let Some(deadline) = self.deadline
            {
                std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
                return Err(io::ErrorKind::TimedOut.into());
            }
            return Ok(0);
        }
        let count = self.inner.read(&mut buffer[..most])?;
        self.left = match self.fault {
            Fault::Flip if left < count => {
                buffer[left] ^= 0x41;
                None
            }
            _ => Some(left - count),
        };
        Ok(count)
    }
}

/// The connection of the side that reads, with a fault behind `left` bytes.
pub fn faulty(transport: Transport, (left, fault): (usize, Fault)) -> Transport {
    let source = Faulty { inner: transport.source, left: Some(left), fault, deadline: None };
    Transport { source: Box::new(source), ..transport }
}

/// Where the frames of a transcript that went in a direction begin, and how many bytes they have with their headers.
pub fn frames(transcript: &[Entry], direction: Direction) -> Vec<(Entry, usize, usize)> {
    let mut start = 0;
    let mut places = Vec::new();
    for frame in transcript.iter().filter(|frame| frame.direction == direction) {
        let length = crate::frame::HEADER_BYTES + frame.length as usize;
        places.push((*frame, start, length));
        start += length;
    }
    places
}
