//! Connections inside one process, for tests and for both parties in one program.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::channel::{Deadline, Transport};

/// Bytes that a pipe of [`pair`] holds before its writer waits.
pub const CAPACITY: usize = 1 << 20;

/// The two ends of a connection in memory.
pub fn pair() -> (Transport, Transport) {
    pair_with_capacity(CAPACITY)
}

/// The two ends of a connection in memory that holds up to `capacity` bytes each way.
pub fn pair_with_capacity(capacity: usize) -> (Transport, Transport) {
    let (there_sink, there_source) = pipe(capacity);
    let (back_sink, back_source) = pipe(capacity);
    (Transport::new(back_source, there_sink), Transport::new(there_source, back_sink))
}

/// One direction: a bounded queue of bytes.
fn pipe(capacity: usize) -> (PipeSink, PipeSource) {
    let pipe = Arc::new(Pipe {
        state: Mutex::new(State { bytes: VecDeque::new(), closed: false }),
        changed: Condvar::new(),
        capacity: capacity.max(1),
    });
    (PipeSink { pipe: Arc::clone(&pipe), deadline: None }, PipeSource { pipe, deadline: None })
}

struct Pipe {
    state: Mutex<State>,
    changed: Condvar,
    capacity: usize,
}

struct State {
    bytes: VecDeque<u8>,
    /// Set when either end is dropped.
    closed: bool,
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `ready` or the deadline.
    fn wait(
        &self,
        deadline: Option<Instant>,
        ready: impl Fn(&State) -> bool,
    ) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        while !ready(&state) {
            state = match deadline {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        Ok(state)
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }
}

struct PipeSource {
    pipe: Arc<Pipe>,
    deadline: Option<Instant>,
}

struct PipeSink {
    pipe: Arc<Pipe>,
    deadline: Option<Instant>,
}

impl Deadline for PipeSource {
    fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }
}

impl Deadline for PipeSink {
    fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }
}

impl Read for PipeSource {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.pipe.wait(self.deadline, |state| state.closed || !state.bytes.is_empty())?;
        let count = state.bytes.read(buffer)?;
        self.pipe.changed.notify_all();
        Ok(count)
    }
}

impl Write for PipeSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let capacity = self.pipe.capacity;
        let mut state =
            self.pipe.wait(self.deadline, |state| state.closed || state.bytes.len() < capacity)?;
        if state.closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let count = bytes.len().min(capacity - state.bytes.len());
        state.bytes.extend(&bytes[..count]);
        self.pipe.changed.notify_all();
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for PipeSource {
    fn drop(&mut self) {
        self.pipe.close();
    }
}

impl Drop for PipeSink {
    fn drop(&mut self) {
        self.pipe.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn bytes_cross_in_order_through_a_small_buffer() {
        let (mut near, mut far) = pair_with_capacity(7);
        let sent: Vec<u8> = (0..1000u32).map(|i| (i % 251) as u8).collect();
        let expected = sent.clone();
        let writer = std::thread::spawn(move || near.sink.write_all(&sent));
        let mut got = vec![0; 1000];
        far.source.read_exact(&mut got).unwrap();
        writer.join().unwrap().unwrap();
        assert_eq!(got, expected);
    }

    #[test]
    fn a_dropped_end_is_the_end_of_the_stream() {
        let (near, mut far) = pair();
        drop(near);
        assert_eq!(far.source.read(&mut [0; 4]).unwrap(), 0);
        assert_eq!(far.sink.write(&[0; 4]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn both_directions_keep_their_deadlines() {
        let (mut near, _far) = pair_with_capacity(4);
        let soon = || Some(Instant::now() + Duration::from_millis(20));
        near.source.set_deadline(soon());
        assert_eq!(near.source.read(&mut [0; 4]).unwrap_err().kind(), io::ErrorKind::TimedOut);
        near.sink.set_deadline(soon());
        assert_eq!(near.sink.write_all(&[0; 5]).unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
