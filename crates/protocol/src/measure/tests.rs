//! Links of known speed, and peers of both sides that do not keep to the exchange.

use std::thread;

use super::*;
use crate::handshake::{Hello, Request, receive_request};
use crate::memory;
use crate::session::Limits;

/// What a peer says.
type Frames = Vec<(Tag, Vec<u8>)>;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(600)
}

/// Answers probes until something else comes; gives how that ended.
fn serve(mut session: Session, until: Instant) -> Result<(), Error> {
    let hello = Hello { server: "test".into(), models: Vec::new() };
    let mut allowance = Allowance::new(until);
    session.inbox.set_latest(Some(until));
    loop {
        match receive_request(&mut session, &hello)? {
            Request::Probe(probe) => allowance.answer(&mut session, probe)?,
            _ => return Ok(()),
        }
    }
}

/// What a client measures over this link, and over memory where there is none.
fn over(link: Option<Link>) -> Measured {
    let (near, far) = memory::pair();
    let shaped = |transport: crate::channel::Transport, link: Option<Link>| match link {
        Some(link) => transport.shaped(link).unwrap(),
        None => transport,
    };
    let server = shaped(far, link.map(Link::reversed));
    let server = thread::spawn(move || serve(Session::new(server, Limits::default()), later()));
    let mut client = Session::new(shaped(near, link), Limits::default());
    let measured = measure(&mut client, later()).unwrap();
    crate::handshake::farewell(&mut client).unwrap();
    drop(client);
    server.join().unwrap().unwrap();
    measured
}

#[test]
fn a_slowed_link_is_seen_as_what_it_is() {
    for text in ["8mbit,10ms", "100mbit,20ms", "4mbit/40mbit,20ms"] {
        let link: Link = text.parse().unwrap();
        let measured = over(Some(link));
        // A slowed link is never faster than it says; how much slower it looks is the machine's load.
        assert!(measured.round_trip_seconds >= link.rtt.as_secs_f64(), "{text}: {measured:?}");
        assert!(measured.round_trip_seconds < 100.0 * link.rtt.as_secs_f64(), "{text}: {measured:?}");
        for (rate, seen) in
            [(link.up, measured.up_bits_per_second), (link.down, measured.down_bits_per_second)]
        {
            let factor = seen / rate as f64;
            assert!((0.01..3.0).contains(&factor), "{text}: {factor} in {measured:?}");
        }
        assert!(measured.bytes < 2 * ALLOWED && measured.probes <= PROBES);
        let found = measured.link();
        assert_eq!(found.to_string().parse(), Ok(found));
    }
}

#[test]
fn no_link_at_all_is_fast_and_bounded() {
    let measured = over(None);
    assert!(measured.up_bits_per_second > 1e6 && measured.down_bits_per_second > 1e6, "{measured:?}");
    assert!(measured.bytes <= 2 * ALLOWED && measured.probes <= PROBES, "{measured:?}");
}

#[test]
fn numbers_that_mean_nothing_make_a_link_within_bounds() {
    let odd = |rate, trip| Measured {
        up_bits_per_second: rate,
        down_bits_per_second: 94_123_456.0,
        round_trip_seconds: trip,
        bytes: 0,
        probes: 0,
    };
    for (rate, trip) in [(f64::NAN, 1e9), (0.0, f64::NAN), (f64::INFINITY, -1.0), (1e300, 0.020_345_678)] {
        let link = odd(rate, trip).link();
        assert!((1000..=1_000_000_000_000).contains(&link.up) && link.rtt <= Duration::from_secs(60));
        assert_eq!(link.to_string().parse(), Ok(link));
    }
    let link = odd(1234.5, 0.020_345_678).link();
    assert_eq!((link.up, link.down, link.rtt), (1230, 94_100_000, Duration::from_micros(20_300)));
}

#[test]
fn probes_are_refused_before_they_are_believed() {
    for (up, down) in [(MOST + 1, 0), (0, MOST + 1), (u32::MAX, u32::MAX)] {
        assert!(Probe::from_bytes(&Probe { up, down }.to_bytes()).is_err());
    }
    let probe = Probe { up: MOST, down: 7 };
    assert_eq!(Probe::from_bytes(&probe.to_bytes()).unwrap(), probe);
    assert!(Probe::from_bytes(&[0; 7]).is_err() && Probe::from_bytes(&[0; 9]).is_err());
}

/// A server against a client that says frames, reading its answers into nothing; gives how it ended.
fn against_client(frames: Frames) -> Error {
    let (mut client, server) = Session::pair();
    let server = thread::spawn(move || serve(server, soon()));
    let session = &mut client;
    thread::scope(|scope| {
        let (outbox, inbox) = (&mut session.outbox, &mut session.inbox);
        scope.spawn(move || {
            let mut room = vec![0; PIECE];
            while inbox.recv_up_to(FILLING, &mut room).is_ok() {}
        });
        for (tag, payload) in frames {
            // A server that has given up does not read the rest.
            if outbox.send(tag, &payload).and_then(|()| outbox.flush()).is_err() {
                break;
            }
        }
        let error = server.join().unwrap();
        error.unwrap_err()
    })
}

fn probe(up: u32, down: u32) -> (Tag, Vec<u8>) {
    (Tag::PROBE, Probe { up, down }.to_bytes())
}

#[test]
fn a_server_bounds_what_a_client_makes_it_do() {
    let cases: Vec<(Frames, &str)> = vec![
        // More at a time, more in all, more often.
        (vec![probe(0, u32::MAX)], "4294967295 bytes of filling"),
        (vec![probe(0, MOST); 3], "measured enough"),
        (vec![probe(0, 0); PROBES as usize + 1], "measured enough"),
        // Filling that is longer or shorter than announced, none, or unasked for.
        (vec![probe(9, 0), (FILLING, vec![0; 10])], "announced 10 bytes"),
        (vec![probe(9, 0), (FILLING, vec![0; 8])], "announced 8 bytes"),
        (vec![probe(9, 0), probe(0, 0)], "got tag 7"),
        (vec![(FILLING, vec![0; 9])], "got tag 8"),
        (vec![(Tag::PROBE, vec![0; 9])], "announced 9 bytes"),
        (vec![(Tag::START, vec![])], "got tag 4"),
    ];
    for (frames, words) in cases {
        let error = against_client(frames).to_string();
        assert!(error.contains(words), "{error}, not {words}");
    }
    let filled = |_| [probe(MOST, 0)].into_iter().chain(pieces(MOST).map(|piece| (FILLING, vec![0; piece])));
    let error = against_client((0..3).flat_map(filled).collect()).to_string();
    assert!(error.contains("measured enough"), "{error}");
}

#[test]
fn a_server_does_not_wait_for_a_client_that_stops_or_does_not_read() {
    let (mut client, server) = Session::pair();
    let until = Instant::now() + Duration::from_millis(200);
    let (tag, bytes) = probe(MOST, 0);
    client.outbox.send(tag, &bytes).unwrap();
    client.outbox.flush().unwrap();
    assert!(matches!(serve(server, until), Err(Error::Deadline { .. })));

    let (mut client, mut server) = Session::pair();
    let (tag, bytes) = probe(0, MOST);
    client.outbox.send(tag, &bytes).unwrap();
    client.outbox.flush().unwrap();
    let wait = Duration::from_millis(200);
    server.set_limits(Limits { wait, frame: wait, rate: 1 << 40 });
    assert!(matches!(serve(server, Instant::now() + wait), Err(Error::Deadline { .. })));
}

/// A client against a server that says frames and then nothing, and reads what comes.
fn against_server(frames: Frames) -> Error {
    let (mut client, mut server) = Session::pair();
    let wait = Duration::from_millis(500);
    client.set_limits(Limits { wait, frame: wait, rate: 1 << 40 });
    let talk = thread::spawn(move || {
        for (tag, payload) in frames {
            if server.outbox.send(tag, &payload).and_then(|()| server.outbox.flush()).is_err() {
                break;
            }
        }
        while server.inbox.recv_one_of(&[DUE, (FILLING, Length::AtMost(PIECE))]).is_ok() {}
    });
    let error = measure(&mut client, soon()).unwrap_err();
    drop(client);
    talk.join().unwrap();
    error
}

#[test]
fn a_client_takes_no_more_than_it_asked_for() {
    let pings = || vec![(FILLING, Vec::new()); PINGS];
    let cases: Vec<(Frames, &str)> = vec![
        (vec![], "silent or too slow"),
        (vec![(FILLING, vec![0; PIECE])], "announced 32768 bytes"),
        (vec![(Tag::PLAN, vec![0; 9])], "got tag 3"),
        (vec![(Tag::ERROR, b"no measurements here".to_vec())], "the peer says: no measurements here"),
        ([pings(), vec![(FILLING, vec![0; 1])]].concat(), "announced 1 bytes"),
        // Answers to what was never asked end where they differ from what is due.
        (vec![(FILLING, Vec::new()); 1000], "announced 0 bytes"),
    ];
    for (frames, words) in cases {
        let error = against_server(frames).to_string();
        assert!(error.contains(words), "{error}, not {words}");
    }
}

#[test]
fn a_client_does_not_wait_for_a_server_that_drips() {
    let (mut client, server) = Session::pair();
    let until = Instant::now() + Duration::from_millis(300);
    client.inbox.set_latest(Some(until));
    let talk = thread::spawn(move || {
        let mut server = server;
        while server.inbox.recv_one_of(&[DUE, (FILLING, Length::AtMost(PIECE))]).is_ok() {
            thread::sleep(Duration::from_millis(100));
            if server.outbox.send(FILLING, &[]).and_then(|()| server.outbox.flush()).is_err() {
                break;
            }
        }
    });
    assert!(matches!(measure(&mut client, until), Err(Error::Deadline { .. })));
    drop(client);
    talk.join().unwrap();
}
