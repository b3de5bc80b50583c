//! The two halves of a connection, each with a deadline.
//!
//! A [`Transport`] is what a session runs over: bytes out, bytes in, and on each half a point in time after which
//! an operation fails. The halves are independent, so that one thread may read while another writes.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::shape::{Link, Shaped};

/// Half of a connection whose operations end by a point in time.
pub trait Deadline {
    /// Operations that are not complete at `deadline` fail with [`io::ErrorKind::TimedOut`]; `None` waits for ever.
    fn set_deadline(&mut self, deadline: Option<Instant>);
}

/// The reading half of a connection.
pub trait Source: Read + Deadline + Send {}

impl<T: Read + Deadline + Send> Source for T {}

/// The writing half of a connection. Dropping it tells the peer that nothing more comes.
pub trait Sink: Write + Deadline + Send {}

impl<T: Write + Deadline + Send> Sink for T {}

/// A duplex connection as two independent halves.
pub struct Transport {
    /// The reading half.
    pub source: Box<dyn Source>,
    /// The writing half.
    pub sink: Box<dyn Sink>,
    /// What only the two ends of this connection know, where its security gives them such a thing: a signature over it is
    /// good for this connection alone (RFC 9266).
    pub binding: Option<[u8; 32]>,
}

impl Transport {
    /// Joins two halves.
    pub fn new(source: impl Source + 'static, sink: impl Sink + 'static) -> Self {
        Self { source: Box::new(source), sink: Box::new(sink), binding: None }
    }

    /// The same connection with what only its two ends know.
    #[must_use]
    pub fn bound(self, binding: [u8; 32]) -> Self {
        Self { binding: Some(binding), ..self }
    }

    /// A TCP connection in the clear: for measurements, and for tests.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn tcp(stream: TcpStream) -> io::Result<Self> {
        let (source, sink) = tcp_halves(stream)?;
        Ok(Self::new(source, sink))
    }

    /// The same connection with its writing half slowed to `link`'s rate `up`; the peer does likewise with its own.
    ///
    /// # Errors
    /// Where the system refuses the thread that holds bytes back.
    pub fn shaped(self, link: Link) -> io::Result<Self> {
        Ok(Self { sink: Box::new(Shaped::new(self.sink, link)?), ..self })
    }
}

/// How long a socket call blocks before it looks at its deadline.
const SLICE: Duration = Duration::from_millis(100);

/// The halves of a TCP connection.
///
/// # Errors
/// Those of the socket.
pub fn tcp_halves(stream: TcpStream) -> io::Result<(TcpSource, TcpSink)> {
    stream.set_nodelay(true)?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(SLICE))?;
    stream.set_write_timeout(Some(SLICE))?;
    let source = TcpSource { stream: stream.try_clone()?, deadline: None };
    Ok((source, TcpSink { stream, deadline: None }))
}

/// The reading half of a TCP connection.
pub struct TcpSource {
    stream: TcpStream,
    deadline: Option<Instant>,
}

/// The writing half of a TCP connection; dropped, it ends the stream.
pub struct TcpSink {
    stream: TcpStream,
    deadline: Option<Instant>,
}

/// Repeats a socket call that gave up after [`SLICE`] until its deadline.
fn until<T>(deadline: Option<Instant>, mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match call() {
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            result => return result,
        }
    }
}

impl Deadline for TcpSource {
    fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }
}

impl Read for TcpSource {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        until(self.deadline, || self.stream.read(buffer))
    }
}

impl Deadline for TcpSink {
    fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }
}

impl Write for TcpSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        until(self.deadline, || self.stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for TcpSink {
    fn drop(&mut self) {
        // The peer may be gone already; then there is nobody to tell.
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}
