//! The link between two parties, measured: a short exchange between the server's list and the client's choice.
//!
//! | who | what |
//! | --- | --- |
//! | client | [`Probe`]: how many bytes of filling follow, and how many it asks for |
//! | client | that much filling, in frames of [`PIECE`] bytes, the last one shorter |
//! | server | as much filling as it was asked for, likewise, and an empty frame |
//!
//! The client alone keeps the time. Probes without filling give the round trip, the least of a few; then more and more filling goes up,
//! until it takes long beside the round trip, and then down. Bandwidth is filling over the time beyond a round trip, so that neither side has to
//! believe what the other says of itself: a peer that dawdles makes the link look slow, and no more. Filling is zeros: inside TLS
//! nothing on the way can tell, or make it shorter.
//!
//! Both sides bound the exchange: each probe to [`MOST`] bytes each way, a connection to [`PROBES`] probes and [`ALLOWED`] bytes each way, and all of it to a moment.
//! Filling is read into one buffer of a piece and forgotten.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::Error;
use crate::frame::{Length, Tag};
use crate::message::{Message, Reader};
use crate::session::Session;
use crate::shape::Link;

/// What a probe's filling is cut into, in bytes.
pub const PIECE: usize = 32 << 10;
/// Most bytes of filling of one probe, each way.
pub const MOST: u32 = 4 << 20;
/// Most probes that a server answers on one connection.
pub const PROBES: u32 = 32;
/// Most bytes of filling that a server takes, and sends, on one connection.
pub const ALLOWED: u64 = 8 << 20;

/// Bytes of the first filling; each next one is [`STEP`] times as long.
const FIRST: u32 = 16 << 10;
/// See [`FIRST`].
const STEP: u32 = 4;
/// Probes for the round trip.
const PINGS: usize = 4;
/// A filling is long enough once it takes this long and [`TRIPS`] round trips.
const LONG: Duration = Duration::from_millis(50);
/// See [`LONG`].
const TRIPS: u32 = 3;

/// A probe's filling.
const FILLING: Tag = Tag::new(8, "filling of a measurement");

/// A request of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Bytes of filling that follow.
    pub up: u32,
    /// Bytes of filling that are asked for.
    pub down: u32,
}

/// Bytes of a probe on the wire.
pub const PROBE_BYTES: usize = 8;

impl Message for Probe {
    const NAME: &'static str = "probe";

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.up.to_le_bytes());
        out.extend_from_slice(&self.down.to_le_bytes());
    }

    fn decode_fields(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let probe = Self { up: reader.u32()?, down: reader.u32()? };
        let longest = probe.up.max(probe.down);
        if longest > MOST {
            return Err(reader.malformed(format!("{longest} bytes of filling, at most {MOST} are possible")));
        }
        Ok(probe)
    }
}

/// What a measurement found, as the client saw it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// Bits a second from client to server.
    pub up_bits_per_second: f64,
    /// Bits a second from server to client.
    pub down_bits_per_second: f64,
    /// Seconds of a round trip of next to nothing.
    pub round_trip_seconds: f64,
    /// Bytes of filling that it took, both ways.
    pub bytes: u64,
    /// Probes that it took.
    pub probes: u32,
}

impl Measured {
    /// The link, to three digits, which is more than a measurement is good for; within what [`Link`] can be.
    pub fn link(&self) -> Link {
        let rate = |bits: f64| rounded(bits).clamp(1e3, 1e12) as u64;
        let micros = rounded(self.round_trip_seconds * 1e6).clamp(0.0, 60e6);
        Link {
            up: rate(self.up_bits_per_second),
            down: rate(self.down_bits_per_second),
            rtt: Duration::from_micros(micros as u64),
        }
    }
}

/// To three digits.
fn rounded(value: f64) -> f64 {
    if value.is_nan() || value <= 0.0 {
        return 0.0;
    }
    let value = value.min(1e18);
    let unit = 10f64.powf(value.log10().floor() - 2.0);
    (value / unit).round() * unit
}

/// Measures the link to a server that has shown its list and has not been told a choice, by `until` at the latest.
///
/// # Errors
/// The server does not answer measurements, answers something else, or is too slow.
pub fn measure(session: &mut Session, until: Instant) -> Result<Measured, Error> {
    let mut client = Client { session, until, buffer: vec![0; PIECE], bytes: 0, probes: 0 };
    let mut trip = Duration::MAX;
    for _ in 0..PINGS {
        trip = trip.min(client.round(Probe { up: 0, down: 0 })?);
    }
    let up = client.rate(trip, |bytes| Probe { up: bytes, down: 0 })?;
    let down = client.rate(trip, |bytes| Probe { up: 0, down: bytes })?;
    Ok(Measured {
        up_bits_per_second: up,
        down_bits_per_second: down,
        round_trip_seconds: trip.as_secs_f64(),
        bytes: client.bytes,
        probes: client.probes,
    })
}

/// The client's half of a measurement.
struct Client<'a> {
    session: &'a mut Session,
    until: Instant,
    buffer: Vec<u8>,
    bytes: u64,
    probes: u32,
}

impl Client<'_> {
    /// Bits a second of more and more filling in one direction, of the longest.
    fn rate(&mut self, trip: Duration, probe: impl Fn(u32) -> Probe) -> Result<f64, Error> {
        let long = LONG.max(trip * TRIPS);
        let mut bytes = FIRST;
        loop {
            let time = self.round(probe(bytes))?.saturating_sub(trip);
            if time >= long || bytes >= MOST {
                // No clock is finer than this, and no link faster than it gives.
                return Ok(f64::from(bytes) * 8.0 / time.as_secs_f64().max(1e-6));
            }
            bytes = bytes.saturating_mul(STEP).min(MOST);
        }
    }

    /// One probe and its answer; gives the time that they took.
    fn round(&mut self, probe: Probe) -> Result<Duration, Error> {
        self.probes += 1;
        self.bytes += u64::from(probe.up) + u64::from(probe.down);
        let begun = Instant::now();
        self.session.outbox.send(Tag::PROBE, &probe.to_bytes())?;
        send(self.session, &self.buffer, probe.up, self.until)?;
        self.session.outbox.flush()?;
        receive(self.session, &mut self.buffer, probe.down)?;
        self.session.inbox.recv_into(FILLING, &mut [])?;
        Ok(begun.elapsed())
    }
}

/// What a server still grants a connection.
pub struct Allowance {
    until: Instant,
    probes: u32,
    /// Bytes of filling taken and sent.
    bytes: [u64; 2],
}

impl Allowance {
    /// That of a new connection, whose measurements end by a moment.
    pub fn new(until: Instant) -> Self {
        Self { until, probes: 0, bytes: [0; 2] }
    }

    /// Answers a probe: takes its filling and sends what it asks for. What comes in must be bounded by a moment too ([`crate::Inbox::set_latest`]).
    ///
    /// # Errors
    /// [`Error::Refused`] where the client has measured enough, and those of the connection.
    pub fn answer(&mut self, session: &mut Session, probe: Probe) -> Result<(), Error> {
        self.probes += 1;
        for (sum, more) in self.bytes.iter_mut().zip([probe.up, probe.down]) {
            *sum += u64::from(more);
        }
        if self.probes > PROBES || self.bytes.iter().any(|sum| *sum > ALLOWED) {
            return Err(Error::Refused(format!(
                "the link was measured enough: a connection is granted {PROBES} probes and {ALLOWED} bytes each way"
            )));
        }
        let mut buffer = vec![0; PIECE];
        receive(session, &mut buffer, probe.up)?;
        send(session, &buffer, probe.down, self.until)?;
        session.outbox.send(FILLING, &[])?;
        session.outbox.flush()
    }
}

/// Sends so many bytes of filling. Each write has its own deadline; together they have this one.
fn send(session: &mut Session, buffer: &[u8], bytes: u32, until: Instant) -> Result<(), Error> {
    let begun = Instant::now();
    for piece in pieces(bytes) {
        if Instant::now() >= until {
            return Err(Error::Deadline { doing: "measuring the link", waited: begun.elapsed() });
        }
        session.outbox.send(FILLING, &buffer[..piece])?;
    }
    Ok(())
}

/// Takes so many bytes of filling.
fn receive(session: &mut Session, buffer: &mut [u8], bytes: u32) -> Result<(), Error> {
    pieces(bytes).try_for_each(|piece| session.inbox.recv_into(FILLING, &mut buffer[..piece]))
}

/// The lengths of frames of so many bytes.
fn pieces(bytes: u32) -> impl Iterator<Item = usize> {
    let bytes = bytes as usize;
    (0..bytes.div_ceil(PIECE)).map(move |index| (bytes - index * PIECE).min(PIECE))
}

/// The frame that a server takes in place of a choice.
pub const DUE: (Tag, Length) = (Tag::PROBE, Length::Exactly(PROBE_BYTES));

#[cfg(test)]
mod tests;
