//! One TLS connection, read and written by two threads at once.
//!
//! The connection's state stands behind a lock that is held while bytes are encrypted or decrypted, never while a
//! socket is waited for: the reader reads raw bytes into a buffer of its own, takes the lock and decrypts them; the
//! writer takes the lock, encrypts into a buffer of its own and writes that. Records leave in the order in which
//! they were encrypted because only the writer sends.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::channel::{Deadline, TcpSink, TcpSource, Transport};
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::CertificateDer;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};

/// Raw bytes read at once.
const READ_BYTES: usize = 512 << 10;
/// Room before them for the unfinished record of the read before; a record is at most 18 KiB.
const HEADROOM: usize = 20 << 10;
/// Plain bytes encrypted under one hold of the lock, and written at once: a large frame costs few system calls.
const WRITE_BYTES: usize = 544 << 10;
/// Raw bytes of a handshake that are kept unprocessed.
const HANDSHAKE_BYTES: usize = 128 << 10;
/// Time given to a farewell that the peer may not be reading.
const FAREWELL: Duration = Duration::from_millis(500);

/// Either side's connection.
pub(super) enum Connection {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

impl Connection {
    fn is_handshaking(&self) -> bool {
        match self {
            Self::Client(connection) => connection.is_handshaking(),
            Self::Server(connection) => connection.is_handshaking(),
        }
    }

    fn certificate(&self) -> Option<CertificateDer<'static>> {
        let certificates = match self {
            Self::Client(connection) => connection.peer_certificates(),
            Self::Server(connection) => connection.peer_certificates(),
        };
        certificates.and_then(|chain| chain.first()).map(|certificate| certificate.clone().into_owned())
    }
}

/// What the writer wants of the connection.
#[derive(Clone, Copy)]
enum Outgoing<'a> {
    Nothing,
    Data(&'a [u8]),
    Close,
}

/// Where a round through the connection ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// There is more to process.
    Again,
    /// Everything that came is processed.
    Idle,
    /// Both sides have said farewell.
    Closed,
}

/// The connection and what it has processed.
struct State {
    connection: Connection,
    /// Raw bytes in `incoming[start..end]`: an unfinished record.
    incoming: Vec<u8>,
    start: usize,
    end: usize,
    flow: Flow,
}

/// Bytes that the connection has made.
#[derive(Default)]
struct Flow {
    /// Decrypted and not yet read, from `plain_start` on.
    plain: Vec<u8>,
    plain_start: usize,
    /// The connection's own records; they go out before anything encrypted later.
    control: Vec<u8>,
    /// The peer has said farewell.
    ended: bool,
}

impl Flow {
    /// Hands decrypted bytes to the reader's buffer as far as they fit.
    fn deliver(&mut self, bytes: &[u8], target: &mut [u8], filled: &mut usize) {
        let count = bytes.len().min(target.len() - *filled);
        target[*filled..*filled + count].copy_from_slice(&bytes[..count]);
        *filled += count;
        self.plain.extend_from_slice(&bytes[count..]);
    }

    /// Takes decrypted bytes that were left over.
    fn take_plain(&mut self, target: &mut [u8]) -> usize {
        let rest = &self.plain[self.plain_start..];
        let count = rest.len().min(target.len());
        target[..count].copy_from_slice(&rest[..count]);
        self.plain_start += count;
        if self.plain_start == self.plain.len() {
            self.plain.clear();
            self.plain_start = 0;
        }
        count
    }
}

/// A reader's buffer and how much of it is filled.
struct Target<'a> {
    bytes: &'a mut [u8],
    filled: usize,
}

impl State {
    /// Processes all raw bytes there are: decrypted ones go to `target`, then to the left-overs. When nothing is left to
    /// process, does what the writer wants and appends the records to `out`.
    fn pump(
        &mut self,
        target: &mut Target<'_>,
        outgoing: Outgoing<'_>,
        out: &mut Records,
    ) -> Result<Step, rustls::Error> {
        loop {
            let incoming = &mut self.incoming[self.start..self.end];
            let (discard, step) = match &mut self.connection {
                Connection::Client(connection) => {
                    advance(connection.process_tls_records(incoming), &mut self.flow, target, outgoing, out)
                }
                Connection::Server(connection) => {
                    advance(connection.process_tls_records(incoming), &mut self.flow, target, outgoing, out)
                }
            };
            self.start = (self.start + discard).min(self.end);
            match step? {
                Step::Again => {}
                step => return Ok(step),
            }
        }
    }

    /// Replaces the raw buffer by `raw`, whose bytes stand in `raw[HEADROOM..HEADROOM + count]`, with the unfinished
    /// record put before them.
    fn swap_in(&mut self, raw: &mut Vec<u8>, count: usize) -> io::Result<()> {
        let left = &self.incoming[self.start..self.end];
        let start = HEADROOM.checked_sub(left.len()).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "the peer's TLS records are too long")
        })?;
        raw[start..HEADROOM].copy_from_slice(left);
        std::mem::swap(&mut self.incoming, raw);
        (self.start, self.end) = (start, HEADROOM + count);
        raw.resize(HEADROOM + READ_BYTES, 0);
        Ok(())
    }
}

/// Handles one state of the connection; gives the raw bytes to discard.
fn advance<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    flow: &mut Flow,
    target: &mut Target<'_>,
    outgoing: Outgoing<'_>,
    out: &mut Records,
) -> (usize, Result<Step, rustls::Error>) {
    let UnbufferedStatus { mut discard, state } = status;
    let step = match state {
        Err(error) => Err(error),
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                None => break Ok(Step::Again),
                Some(Err(error)) => break Err(error),
                Some(Ok(record)) => {
                    discard += record.discard;
                    flow.deliver(record.payload, target.bytes, &mut target.filled);
                }
            }
        },
        Ok(ConnectionState::EncodeTlsData(mut data)) => append(&mut flow.control, |room| {
            data.encode(room).map_err(|e| match e {
                EncodeError::InsufficientSize(size) => Some(size.required_size),
                EncodeError::AlreadyEncoded => None,
            })
        }),
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Ok(Step::Again)
        }
        Ok(ConnectionState::WriteTraffic(mut traffic)) => {
            let encrypted = match outgoing {
                Outgoing::Nothing => Ok(()),
                Outgoing::Data(bytes) => {
                    out.take_control(&mut flow.control);
                    out.push(|room| traffic.encrypt(bytes, room))
                }
                Outgoing::Close => {
                    out.take_control(&mut flow.control);
                    out.push(|room| traffic.queue_close_notify(room))
                }
            };
            encrypted.map(|()| Step::Idle)
        }
        Ok(ConnectionState::BlockedHandshake) => Ok(Step::Idle),
        Ok(ConnectionState::PeerClosed) => {
            flow.ended = true;
            Ok(Step::Again)
        }
        Ok(ConnectionState::Closed) => Ok(Step::Closed),
        Ok(_) => Err(rustls::Error::General("a state that this program does not ask for".into())),
    };
    (discard, step)
}

/// Appends what `encode` writes; it says how much room it needs.
fn append(
    out: &mut Vec<u8>,
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> Result<Step, rustls::Error> {
    let used = out.len();
    let written = encode(&mut []).or_else(|needed| {
        out.resize(used + needed.unwrap_or(0), 0);
        encode(&mut out[used..])
    });
    out.truncate(used + written.as_ref().map_or(0, |written| *written));
    written
        .map(|_| Step::Again)
        .map_err(|_| rustls::Error::General("a handshake record was not encoded".into()))
}

/// Records to send, in a buffer that keeps its room.
#[derive(Default)]
struct Records {
    room: Vec<u8>,
    used: usize,
}

impl Records {
    /// Appends the connection's own records.
    fn take_control(&mut self, control: &mut Vec<u8>) {
        if !control.is_empty() {
            self.grow(control.len());
            self.room[self.used..self.used + control.len()].copy_from_slice(control);
            self.used += control.len();
            control.clear();
        }
    }

    /// Appends what `encrypt` writes.
    fn push(
        &mut self,
        mut encrypt: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
    ) -> Result<(), rustls::Error> {
        loop {
            match encrypt(&mut self.room[self.used..]) {
                Ok(written) => {
                    self.used += written;
                    return Ok(());
                }
                Err(EncryptError::InsufficientSize(size)) => self.grow(size.required_size),
                Err(EncryptError::EncryptExhausted) => return Err(rustls::Error::EncryptError),
            }
        }
    }

    fn grow(&mut self, more: usize) {
        self.room.resize((self.used + more).max(self.room.len()), 0);
    }

    fn send(&mut self, sink: &mut TcpSink) -> io::Result<()> {
        let bytes = &self.room[..self.used];
        self.used = 0;
        sink.write_all(bytes)
    }
}

/// A failure of TLS in the transport's terms.
fn tls_error(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Runs the handshake to its end, then parts the connection into its halves.
pub(super) fn handshake(
    connection: Connection,
    mut source: TcpSource,
    mut sink: TcpSink,
    deadline: Instant,
) -> io::Result<(Transport, Option<CertificateDer<'static>>)> {
    source.set_deadline(Some(deadline));
    sink.set_deadline(Some(deadline));
    let mut state = State {
        connection,
        incoming: vec![0; HEADROOM + READ_BYTES],
        start: 0,
        end: 0,
        flow: Flow::default(),
    };
    let mut out = Records::default();
    loop {
        let result = state.pump(&mut Target { bytes: &mut [], filled: 0 }, Outgoing::Nothing, &mut out);
        if result.is_err() {
            // The connection has words for its peer about what went wrong.
            let _ = state.pump(&mut Target { bytes: &mut [], filled: 0 }, Outgoing::Nothing, &mut out);
        }
        out.take_control(&mut state.flow.control);
        out.send(&mut sink)?;
        if result.map_err(tls_error)? == Step::Closed || state.flow.ended {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !state.connection.is_handshaking() {
            break;
        }
        read_more(&mut state, &mut source)?;
    }
    let certificate = state.connection.certificate();
    let shared = Arc::new(Mutex::new(state));
    let raw = vec![0; HEADROOM + READ_BYTES];
    let source = TlsSource { shared: Arc::clone(&shared), source, raw };
    Ok((Transport::new(source, TlsSink { shared, sink, out, broken: false }), certificate))
}

/// Appends raw bytes of the handshake.
fn read_more(state: &mut State, source: &mut TcpSource) -> io::Result<()> {
    state.incoming.copy_within(state.start..state.end, 0);
    (state.start, state.end) = (0, state.end - state.start);
    let limit = state.incoming.len().min(HANDSHAKE_BYTES);
    if state.end >= limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the peer's TLS handshake is too long"));
    }
    match source.read(&mut state.incoming[state.end..limit])? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        count => {
            state.end += count;
            Ok(())
        }
    }
}

fn lock(shared: &Mutex<State>) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The reading half.
struct TlsSource {
    shared: Arc<Mutex<State>>,
    source: TcpSource,
    /// Where raw bytes are read to, behind [`HEADROOM`].
    raw: Vec<u8>,
}

/// The writing half.
struct TlsSink {
    shared: Arc<Mutex<State>>,
    sink: TcpSink,
    out: Records,
    /// A record went out in part: no other may follow.
    broken: bool,
}

impl Deadline for TlsSource {
    fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.source.set_deadline(deadline);
    }
}

impl Deadline for TlsSink {
    fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.sink.set_deadline(deadline);
    }
}

impl Read for TlsSource {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            {
                let mut state = lock(&self.shared);
                let count = state.flow.take_plain(buffer);
                if count > 0 || state.flow.ended {
                    return Ok(count);
                }
            }
            let count = self.source.read(&mut self.raw[HEADROOM..])?;
            if count == 0 {
                // No farewell came before the end: someone cut the connection.
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let mut state = lock(&self.shared);
            state.swap_in(&mut self.raw, count)?;
            let mut target = Target { bytes: buffer, filled: 0 };
            // The writer sends whatever records the connection has of its own.
            state.pump(&mut target, Outgoing::Nothing, &mut Records::default()).map_err(tls_error)?;
            if target.filled > 0 {
                return Ok(target.filled);
            }
        }
    }
}

impl TlsSink {
    fn send(&mut self, outgoing: Outgoing<'_>) -> io::Result<()> {
        if self.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.broken = true;
        let mut nowhere = Target { bytes: &mut [], filled: 0 };
        let step = lock(&self.shared).pump(&mut nowhere, outgoing, &mut self.out).map_err(tls_error)?;
        if step == Step::Closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.out.send(&mut self.sink)?;
        self.broken = false;
        Ok(())
    }
}

impl Write for TlsSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(WRITE_BYTES)];
        self.send(Outgoing::Data(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for TlsSink {
    fn drop(&mut self) {
        self.sink.set_deadline(Some(Instant::now() + FAREWELL));
        // A peer that is gone needs no farewell.
        let _ = self.send(Outgoing::Close);
    }
}
