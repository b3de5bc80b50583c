//! Clients that say nothing, say nonsense, lie about lengths, leave at any moment, or speak another version: the server
//! serves everybody else and keeps nothing of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use common::between::{self, Cut};
use common::{FRAMES, PANIC_VALUE, Running, WIDTH, example, push, serve};
use oribi::{ServerConfig, Wanted};
use protocol::channel::Transport;
use protocol::error::Error;
use protocol::frame::Header;
use protocol::handshake::{Choice, GREETING_BYTES, Hello, VERSIONS, Versions, receive_hello};
use protocol::session::Limits;
use protocol::{Length, Reveal, Session, Tag};

/// How far an ill-willed client goes along before it shows its will.
const STAGES: [Stage; 5] = [Stage::Tcp, Stage::Tls, Stage::Greeted, Stage::Chosen, Stage::Predicting];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Connected.
    Tcp,
    /// In TLS, nothing said.
    Tls,
    /// Greeted.
    Greeted,
    /// Has chosen a model.
    Chosen,
    /// Has started a prediction.
    Predicting,
}

/// A client at a stage; bytes written to it are what it says next.
enum Guest {
    Raw(TcpStream),
    Tls(Transport),
}

impl Guest {
    fn at(stage: Stage, server: &Running) -> Self {
        if stage == Stage::Tcp {
            return Self::Raw(server.socket());
        }
        let mut transport = server.tls().unwrap();
        if stage == Stage::Tls {
            return Self::Tls(transport);
        }
        push(&mut *transport.sink, &VERSIONS.encode());
        if stage == Stage::Greeted {
            return Self::Tls(transport);
        }
        let mut greeting = [0; GREETING_BYTES];
        transport.source.read_exact(&mut greeting).unwrap();
        let hello: Hello = serde_json::from_slice(&read_frame(&mut transport)).unwrap();
        let choice = Choice {
            model: hello.models[0].id,
            protocol: "clear".into(),
            reveal: Reveal::Scores,
            payload: serde_json::Value::Null,
        };
        let choice = serde_json::to_vec(&choice).unwrap();
        push(&mut *transport.sink, &frame(Tag::CHOICE.id(), choice.len(), &choice));
        read_frame(&mut transport);
        if stage == Stage::Predicting {
            push(&mut *transport.sink, &frame(Tag::START.id(), 0, &[]));
        }
        Self::Tls(transport)
    }

    fn say(&mut self, bytes: &[u8]) {
        match self {
            Self::Raw(stream) => push(stream, bytes),
            Self::Tls(transport) => push(&mut *transport.sink, bytes),
        }
    }

    /// Waits until the server has ended the connection.
    fn outlast(mut self) {
        let mut sink = Vec::new();
        let _ = match &mut self {
            Self::Raw(stream) => stream.read_to_end(&mut sink),
            Self::Tls(transport) => transport.source.read_to_end(&mut sink),
        };
    }
}

fn frame(tag: u16, length: usize, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Header { tag, depth: 0, length: length as u32 }.encode().to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

fn read_frame(transport: &mut Transport) -> Vec<u8> {
    let mut header = [0; 8];
    transport.source.read_exact(&mut header).unwrap();
    let mut payload = vec![0; Header::decode(header).length as usize];
    transport.source.read_exact(&mut payload).unwrap();
    payload
}

/// Things that no honest client says, whatever is due.
fn nonsense() -> Vec<Vec<u8>> {
    let mut lies = vec![
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        vec![0; 4096],
        vec![0xff; 100_000],
        // A length of 2^60 where a length could be thought to stand.
        [&[2u8, 0, 0, 0][..], &(1u64 << 60).to_le_bytes(), &[0; 16]].concat(),
        (1u64 << 60).to_be_bytes().to_vec(),
    ];
    let known = [Tag::ERROR, Tag::HELLO, Tag::CHOICE, Tag::PLAN, Tag::START, Tag::DONE, Tag::BYE];
    for tag in known.into_iter().chain([Tag::PROBE, Tag::BASIS]) {
        lies.push(frame(tag.id(), u32::MAX as usize, b"and then nothing"));
    }
    lies.push(frame(0x100, u32::MAX as usize, b""));
    lies.push(frame(0x100, 8 * WIDTH + 1, &[0; 8 * WIDTH + 1]));
    lies.push(frame(Tag::CHOICE.id(), 2, b"{}"));
    lies.push(frame(Tag::CHOICE.id(), 16 << 10, &[b'['; 16 << 10]));
    // Measurements and bases that are not due, or too large.
    lies.push(frame(Tag::PROBE.id(), 8, &[0xff; 8]));
    lies.push(frame(Tag::PROBE.id(), 9, &[0; 9]));
    lies.push([frame(Tag::PROBE.id(), 8, &[9, 0, 0, 0, 0, 0, 0, 0]), frame(8, 1 << 20, &[0; 64])].concat());
    lies.push(frame(Tag::BASIS.id(), 0, b""));
    lies.push(frame(Tag::ERROR.id(), 5, b"\x1b[2J\n"));
    lies
}

#[test]
fn silence_at_every_stage_ends() {
    let server = serve(ServerConfig { max_sessions: 8, ..common::config() });
    let guests: Vec<Guest> = STAGES.iter().map(|&stage| Guest::at(stage, &server)).collect();
    server.predict(2);
    guests.into_iter().for_each(Guest::outlast);
    server.settle();
    server.stop();
}

#[test]
fn nonsense_at_every_stage_ends() {
    let server = serve(ServerConfig { max_sessions: 100, ..common::config() });
    for stage in STAGES {
        let guests: Vec<Guest> = nonsense()
            .iter()
            .map(|bytes| {
                let mut guest = Guest::at(stage, &server);
                guest.say(bytes);
                guest
            })
            .collect();
        server.predict(1);
        guests.into_iter().for_each(Guest::outlast);
        server.settle();
    }
    server.stop();
}

#[test]
fn a_frame_that_drips_in_is_cut_off() {
    let server = serve(common::config());
    let mut guest = Guest::at(Stage::Predicting, &server);
    let bytes = frame(0x100, 8 * WIDTH, &[0; 8 * WIDTH]);
    let address = server.handle.clone();
    for byte in bytes.iter().cycle() {
        if address.counts().sessions == 0 {
            break;
        }
        // Each byte is in time for itself; a frame of forty is not.
        guest.say(&[*byte]);
        thread::sleep(Duration::from_millis(100));
    }
    server.settle();
    server.stop();
}

#[test]
fn leaving_after_any_message_leaves_nothing() {
    let server = serve(ServerConfig { max_sessions: 100, ..common::config() });
    for stage in STAGES {
        drop(Guest::at(stage, &server));
        if let Guest::Tls(transport) = Guest::at(stage, &server) {
            // One half goes, the other stays.
            drop(transport.sink);
        }
    }
    for frames in 0..=FRAMES {
        let mut guest = Guest::at(Stage::Predicting, &server);
        for _ in 0..frames {
            guest.say(&frame(0x100, 8 * WIDTH, &[0; 8 * WIDTH]));
        }
        guest.say(&frame(0x100, 8 * WIDTH, &[0; 8 * WIDTH])[..13]);
    }
    server.predict(1);
    server.settle();
    server.stop();
}

/// An honest client whose connection is cut after some bytes of one direction.
fn cut_after(server: &Running, bytes: usize, from_client: bool) {
    let wanted = Wanted { model: None, protocol: None, reveal: Reveal::Scores };
    between::carried(server, Cut { bytes, from_client, stalls: Duration::ZERO }, |address| {
        let outcome = oribi::Connection::open(address, server.client_config())
            .and_then(|connection| connection.choose(wanted))
            .and_then(|mut client| client.predict(&example(0).0, &()).map(|prediction| (client, prediction)));
        if let Ok((client, prediction)) = outcome {
            assert_eq!(prediction.integers, example(0).1);
            drop(client);
        }
    });
}

#[test]
fn a_connection_cut_at_any_byte_leaves_nothing() {
    let server = serve(ServerConfig { max_sessions: 100, ..common::config() });
    // An honest session is about 1 kB from the client and 3 kB from the server.
    thread::scope(|scope| {
        let server = &server;
        scope.spawn(move || (0..1400).step_by(23).for_each(|bytes| cut_after(server, bytes, true)));
        scope.spawn(move || (0..3500).step_by(59).for_each(|bytes| cut_after(server, bytes, false)));
    });
    server.predict(1);
    server.settle();
    server.stop();
}

#[test]
fn another_version_is_told_what_to_do() {
    let server = serve(common::config());
    let mut session = server.session();
    let theirs = Versions { oldest: 7, newest: 9 };
    // The client pretends to understand, so as to hear the server's words.
    let agreed = protocol::handshake::greet(&mut session, theirs, VERSIONS).unwrap();
    assert_eq!(agreed, VERSIONS.newest);
    let error = session.inbox.recv(Tag::HELLO, Length::AtMost(1 << 20)).unwrap_err();
    let Error::Peer(words) = &error else { panic!("{error}") };
    assert!(words.contains("7 to 9") && words.contains("update"), "{words}");
    session.close();
    server.settle();
    server.stop();
}

#[test]
fn a_refused_choice_is_explained() {
    let server = serve(common::config());
    let mut session = server.session();
    let hello = receive_hello(&mut session).unwrap();
    let choice = Choice {
        model: hello.models[0].id,
        protocol: "gazelle".into(),
        reveal: Reveal::Scores,
        payload: serde_json::Value::Null,
    };
    let error = protocol::handshake::choose(&mut session, &choice).unwrap_err();
    assert!(matches!(&error, Error::Peer(words) if words.contains("clear")), "{error}");
    session.close();
    server.settle();
    server.stop();
}

#[test]
fn a_hundred_at_once_while_an_honest_client_is_served() {
    // Fewer pending places than ill-willed clients: the oldest make room. Sessions have room for all who go that far.
    let config = ServerConfig { max_sessions: 64, max_pending: 32, ..common::config() };
    let server = serve(config);
    let lies = nonsense();
    let mut guests = Vec::new();
    for number in 0..100 {
        // Two thirds never choose, the rest take places for sessions.
        let stage = STAGES[number % 5];
        let mut guest = Guest::at(stage, &server);
        match number % 3 {
            0 => {}
            1 => guest.say(&lies[number % lies.len()]),
            _ => guest.say(&lies[number % lies.len()][..1]),
        }
        guests.push(guest);
        if number % 10 == 0 {
            server.predict(2);
        }
    }
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| server.predict(4));
        }
        scope.spawn(|| {
            let mut input = example(0).0;
            input[0][0] = PANIC_VALUE;
            let wanted = Wanted { model: None, protocol: None, reveal: Reveal::Scores };
            assert!(server.connect().unwrap().choose(wanted).unwrap().predict(&input, &()).is_err());
        });
    });
    guests.into_iter().for_each(Guest::outlast);
    server.settle();
    server.predict(1);
    server.stop();
}

#[test]
fn a_flood_of_silent_connections_does_not_shut_the_door() {
    let server = serve(ServerConfig { max_pending: 16, ..common::config() });
    let mut flood = Vec::new();
    for _ in 0..100 {
        flood.push(server.socket());
        if flood.len() % 20 == 0 {
            server.predict(1);
        }
    }
    let (mut first, first_bytes) = (flood.remove(0), &mut [0; 1]);
    assert!(matches!(first.read(first_bytes), Ok(0) | Err(_)), "the oldest is cut off");
    drop(flood);
    server.settle();
    server.stop();
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let server = serve(common::config());
    let Guest::Tls(mut transport) = Guest::at(Stage::Predicting, &server) else { unreachable!() };
    // It asks and asks, and takes no answer; the next prediction may start only after the one before.
    transport.sink.set_deadline(Some(std::time::Instant::now() + Duration::from_secs(20)));
    let mut requests = Vec::new();
    for _ in 0..2000 {
        (0..FRAMES).for_each(|_| requests.extend(frame(0x100, 8 * WIDTH, &[0; 8 * WIDTH])));
        requests.extend(frame(Tag::START.id(), 0, &[]));
    }
    while transport.sink.write_all(&requests).is_ok() {}
    server.settle();
    server.stop();
}

#[test]
fn limits_of_a_session_are_kept() {
    let server = serve(ServerConfig { session: Duration::from_millis(300), ..common::config() });
    let wanted = Wanted { model: None, protocol: None, reveal: Reveal::Scores };
    let mut client = server.connect().unwrap().choose(wanted).unwrap();
    let error = loop {
        match client.predict(&example(0).0, &()) {
            Ok(_) => thread::sleep(Duration::from_millis(20)),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().starts_with("the peer"), "{error}");
    server.settle();
    server.stop();
}

/// A session whose own limits are short.
#[test]
fn an_error_from_the_client_ends_the_session_quietly() {
    let server = serve(common::config());
    let mut session = Session::new(server.tls().unwrap(), Limits::default());
    receive_hello(&mut session).unwrap();
    session.give_up("changed my mind\x1b[2J");
    session.close();
    server.settle();
    let events = server.events.lock().unwrap().clone();
    let closed = events.iter().any(|event| {
        matches!(event, oribi::server::Event::Closed { error: Some(why), .. } if why == "the peer says: changed my mind [2J")
    });
    assert!(closed, "{events:?}");
    server.stop();
}
