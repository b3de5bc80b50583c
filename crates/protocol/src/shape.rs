//! A connection slowed to a stated bandwidth and round-trip time, so that one machine gives the papers' tables.
//!
//! The writing half departs at the link's rate and arrives half a round trip later. The delay does not take
//! from the bandwidth: bytes under way queue in a thread of their own, as they would on a cable.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::channel::{Deadline, Sink};

/// A link's bandwidth, each way, and its round-trip time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Bits a second from client to server.
    pub up: u64,
    /// Bits a second from server to client.
    pub down: u64,
    /// Round-trip time.
    pub rtt: Duration,
}

impl Link {
    /// 3 Gbit/s and 0.3 ms, the local network of CrypTFlow2 and Cheetah.
    pub const LAN: Self = Self::even(3_000_000_000, Duration::from_micros(300));
    /// 400 Mbit/s and 40 ms, the wide network of CrypTFlow2 and Cheetah.
    pub const WAN: Self = Self::even(400_000_000, Duration::from_millis(40));

    /// A link of the same rate, in bits a second, each way.
    pub const fn even(rate: u64, rtt: Duration) -> Self {
        Self { up: rate, down: rate, rtt }
    }

    /// The link as the server sees it: what it sends goes `down`.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self { up: self.down, down: self.up, rtt: self.rtt }
    }

    /// Bits a second of something of which half goes each way.
    pub fn mean(self) -> f64 {
        2.0 / (1.0 / (self.up as f64).max(1.0) + 1.0 / (self.down as f64).max(1.0))
    }

    /// Time that `bytes` bytes take to depart.
    fn time(self, bytes: usize) -> Duration {
        Duration::from_secs_f64(bytes as f64 * 8.0 / self.up as f64)
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}mbit", self.up as f64 / 1e6)?;
        if self.down != self.up {
            write!(f, "/{}mbit", self.down as f64 / 1e6)?;
        }
        write!(f, ",{}ms", self.rtt.as_nanos() as f64 / 1e6)
    }
}

impl FromStr for Link {
    type Err = String;

    /// `lan`, `wan`, `RATE,RTT` such as `100mbit,40ms`, or `UP/DOWN,RTT`: units kbit, mbit, gbit and us, ms, s.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "no such link {text:?}: use lan, wan, RATE,RTT such as 100mbit,40ms or UP/DOWN,RTT such as 20mbit/100mbit,40ms (1kbit \
                 to 1000gbit, up to 60s)"
            )
        };
        match text {
            "lan" => return Ok(Self::LAN),
            "wan" => return Ok(Self::WAN),
            _ => {}
        }
        let (rates, rtt) = text.split_once(',').ok_or_else(wrong)?;
        let (up, down) = rates.split_once('/').unwrap_or((rates, rates));
        let rate = |text| {
            let rate = number(text, &[("kbit", 1e3), ("mbit", 1e6), ("gbit", 1e9)]);
            rate.filter(|rate| (1e3..=1e12).contains(rate)).map(|rate| rate as u64).ok_or_else(wrong)
        };
        let rtt = number(rtt, &[("us", 1e-6), ("ms", 1e-3), ("s", 1.0)]);
        let rtt = rtt.filter(|rtt| (0.0..=60.0).contains(rtt)).ok_or_else(wrong)?;
        Ok(Self { up: rate(up)?, down: rate(down)?, rtt: Duration::from_secs_f64(rtt) })
    }
}

/// A number with one of some units after it, in base units.
fn number(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let text = text.trim().to_ascii_lowercase();
    let (digits, factor) =
        units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))?;
    let value: f64 = digits.trim().parse().ok()?;
    value.is_finite().then_some(value * factor)
}

/// Bytes are cut into pieces of this size, so that a long write arrives as it departs.
const PIECE: usize = 16 << 10;

/// Departures run ahead of the clock by up to this much before the writer waits; sleeping is no finer.
const SLACK: Duration = Duration::from_millis(1);

/// Pieces under way at most; a rate times a delay that needs more is held to this.
const PIECES: usize = 1 << 14;

/// A writing half whose bytes depart at a link's rate `up` and arrive half a round trip later. A server slows its own by [`Link::reversed`].
pub struct Shaped {
    link: Link,
    /// When the bytes written so far have departed.
    departed: Instant,
    deadline: Option<Instant>,
    queue: Option<SyncSender<Piece>>,
    failure: Arc<Mutex<Option<io::Error>>>,
    carrier: Option<JoinHandle<()>>,
}

/// Bytes under way.
struct Piece {
    arrival: Instant,
    bytes: Vec<u8>,
    deadline: Option<Instant>,
}

impl Shaped {
    /// Slows `inner` to `link`.
    ///
    /// # Errors
    /// Where the system refuses a thread.
    pub fn new(inner: Box<dyn Sink>, link: Link) -> io::Result<Self> {
        let (queue, pieces) = mpsc::sync_channel(PIECES);
        let failure = Arc::new(Mutex::new(None));
        let seen = Arc::clone(&failure);
        let carrier =
            thread::Builder::new().name("link".into()).spawn(move || carry(inner, pieces, &seen))?;
        Ok(Self {
            link,
            departed: Instant::now(),
            deadline: None,
            queue: Some(queue),
            failure,
            carrier: Some(carrier),
        })
    }
}

/// Delivers pieces at their time; drops the queue at the first failure, so that the writer learns of it.
fn carry(mut inner: Box<dyn Sink>, pieces: Receiver<Piece>, failure: &Mutex<Option<io::Error>>) {
    for piece in pieces {
        thread::sleep(piece.arrival.saturating_duration_since(Instant::now()));
        inner.set_deadline(piece.deadline);
        if let Err(e) = inner.write_all(&piece.bytes).and_then(|()| inner.flush()) {
            *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(e);
            return;
        }
    }
}

impl Deadline for Shaped {
    fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }
}

impl Write for Shaped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(PIECE);
        let now = Instant::now();
        self.departed = self.departed.max(now) + self.link.time(count);
        let ahead = self.departed.saturating_duration_since(now);
        if ahead > SLACK {
            if self.deadline.is_some_and(|deadline| now + ahead > deadline) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::sleep(ahead);
        }
        let arrival = self.departed + self.link.rtt / 2;
        // The delay on the way is the link's, not the peer's.
        let deadline = self.deadline.map(|deadline| deadline + self.link.rtt);
        let piece = Piece { arrival, bytes: bytes[..count].to_vec(), deadline };
        match self.queue.as_ref().map(|queue| queue.send(piece)) {
            Some(Ok(())) => Ok(count),
            _ => {
                let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
                Err(failure.unwrap_or_else(|| io::ErrorKind::BrokenPipe.into()))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Shaped {
    fn drop(&mut self) {
        // What is under way still arrives; the carrier then drops the inner half.
        self.queue = None;
        if let Some(carrier) = self.carrier.take() {
            let _ = carrier.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory;
    use std::io::Read;

    #[test]
    fn links_parse_and_print() {
        assert_eq!("lan".parse(), Ok(Link::LAN));
        assert_eq!("wan".parse(), Ok(Link::WAN));
        let link: Link = "100mbit,40ms".parse().unwrap();
        assert_eq!(link, Link::even(100_000_000, Duration::from_millis(40)));
        assert_eq!(link.to_string().parse(), Ok(link));
        assert_eq!("2.5 gbit, 100us".parse::<Link>().unwrap().down, 2_500_000_000);
        let uneven: Link = "20mbit/100mbit,30ms".parse().unwrap();
        assert_eq!((uneven.up, uneven.down), (20_000_000, 100_000_000));
        assert_eq!(uneven.to_string().parse(), Ok(uneven));
        assert_eq!(uneven.reversed().to_string(), "100mbit/20mbit,30ms");
        assert!((uneven.mean() / 33_333_333.3 - 1.0).abs() < 1e-6 && (link.mean() / 1e8 - 1.0).abs() < 1e-9);
        let wrong = ["", "fast", "1mbit", "0mbit,1ms", "-1mbit,1ms", "1mbit,-1ms", "nanmbit,1ms", "1mbit,1h"];
        for wrong in wrong.into_iter().chain(["1mbit/,1ms", "/1mbit,1ms", "1mbit/2mbit/3mbit,1ms"]) {
            assert!(wrong.parse::<Link>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn bytes_take_at_least_the_links_time_and_stay_in_order() {
        let (near, mut far) = memory::pair();
        let link = Link::even(8_000_000, Duration::from_millis(20));
        let mut near = near.shaped(link).unwrap();
        let sent: Vec<u8> = (0..50_000u32).map(|i| (i % 251) as u8).collect();
        let expected = sent.clone();
        let start = Instant::now();
        let writer = thread::spawn(move || near.sink.write_all(&sent));
        let mut got = Vec::new();
        far.source.read_to_end(&mut got).unwrap();
        writer.join().unwrap().unwrap();
        assert_eq!(got, expected);
        // A lower bound holds on any machine: 50 ms to depart, 10 ms on the way.
        assert!(start.elapsed() >= Duration::from_millis(59));
    }

    #[test]
    fn a_peer_that_left_is_noticed() {
        let (near, far) = memory::pair();
        let mut near = near.shaped(Link::even(1 << 40, Duration::ZERO)).unwrap();
        drop(far);
        let failed = (0..1000).any(|_| {
            thread::sleep(Duration::from_millis(1));
            near.sink.write_all(&[0; 100]).is_err()
        });
        assert!(failed);
    }
}
