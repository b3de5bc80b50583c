//! Honest clients: predictions, accounts, trust, limits, shutdown.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod common;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use common::{Clear, FRAMES, PANIC_VALUE, WIDTH, example, model, serve};
use oribi::input::Projection;
use oribi::server::Event;
use oribi::{ClientConfig, Connection, Identity, ServedModel, Server, ServerConfig, Trust, Trusted, Wanted};
use protocol::session::Direction;
use protocol::{Phase, Reveal};

const WANTED: Wanted<'_> = Wanted { model: None, protocol: None, reveal: Reveal::Scores };

#[test]
fn several_predictions_with_their_accounts() {
    let server = serve(common::config());
    let connection = server.connect().unwrap();
    assert_eq!(connection.models()[0].name, "tiny");
    assert_eq!(connection.trusted(), Trusted::Pinned);
    let mut client = connection.choose(WANTED).unwrap();
    assert_eq!((client.protocol(), client.inputs()[0].shape.as_slice()), ("clear", &[1, WIDTH][..]));
    for number in 0..3 {
        let (input, expected) = example(number);
        let prediction = client.predict(&input, &()).unwrap();
        assert_eq!(prediction.integers, expected);
        assert_eq!(prediction.outputs[0].0, "y");
        assert_eq!(prediction.outputs[0].1[2], expected[0][2] as f32 / 256.0);
        let class = (0..WIDTH).rev().max_by_key(|&i| expected[0][i]).unwrap();
        assert_eq!(prediction.class, class);
        assert_eq!(prediction.label.as_deref(), Some(["a", "b", "c", "d"][class]));
        let online = prediction.cost.phase(Phase::Online);
        assert_eq!(online.sent, (FRAMES * (8 + 8 * WIDTH)) as u64);
        assert_eq!(online.received, online.sent + 16);
        assert_eq!(online.rounds, 2 * FRAMES as u64);
        // Set-up is in the first account alone; later ones have the eight bytes that start them.
        let setup = prediction.cost.phase(Phase::Setup);
        assert_eq!(setup.sent == 8, number > 0);
        assert_eq!(setup.received == 0, number > 0);
        if cfg!(target_os = "linux") {
            assert!(prediction.peak_rss_bytes.client > 0 && prediction.peak_rss_bytes.server > 0);
        }
    }
    client.close().unwrap();
    server.settle();
    let events = server.events.lock().unwrap().clone();
    let served = events.iter().filter(|event| matches!(event, Event::Predicted { .. })).count();
    assert_eq!(served, 3);
    assert!(matches!(events.last(), Some(Event::Closed { predictions: 3, error: None, .. })), "{events:?}");
    server.stop();
}

#[test]
fn transcripts_of_two_inputs_are_alike() {
    let server = serve(common::config());
    let mut transcripts = (0..2).map(|number| {
        let mut client = server.connect().unwrap().choose(WANTED).unwrap();
        let transcript = client.record();
        client.predict(&example(number).0, &()).unwrap();
        client.close().unwrap();
        (transcript.direction(Direction::Sent), transcript.direction(Direction::Received))
    });
    let first = transcripts.next().unwrap();
    assert_eq!(first.0.len(), FRAMES + 2);
    assert_eq!(Some(first), transcripts.next());
    server.stop();
}

#[test]
fn many_clients_at_once() {
    let server = serve(ServerConfig { max_sessions: 16, ..common::config() });
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| server.predict(3));
        }
    });
    server.settle();
    server.stop();
}

#[test]
fn a_slowed_link_carries_the_same() {
    let link = "800mbit,4ms".parse().unwrap();
    let server = serve(ServerConfig { link: Some(link), ..common::config() });
    let config = ClientConfig { link: Some(link), ..server.client_config() };
    let mut client = Connection::open(&server.address, config).unwrap().choose(WANTED).unwrap();
    let (input, expected) = example(1);
    let prediction = client.predict(&input, &()).unwrap();
    assert_eq!(prediction.integers, expected);
    // A lower bound: each round trip takes the link's.
    assert!(prediction.cost.phase(Phase::Online).seconds >= 0.0039 * FRAMES as f64);
    client.close().unwrap();
    server.settle();
    server.stop();
}

#[test]
fn trust_on_first_use_and_not_after_a_change() {
    let server = serve(common::config());
    let directory = tempfile::tempdir().unwrap();
    let known = directory.path().join("known_hosts");
    let config = || ClientConfig {
        engines: vec![Arc::new(Clear)],
        ..ClientConfig::new(Trust::KnownHosts(known.clone()))
    };
    let open = || Connection::open(&server.address, config());
    assert_eq!(open().unwrap().trusted(), Trusted::FirstUse);
    assert_eq!(open().unwrap().trusted(), Trusted::Known);
    let text = std::fs::read_to_string(&known).unwrap();
    assert_eq!(text, format!("{} {}\n", server.address, server.fingerprint));
    std::fs::write(&known, format!("{} sha256:{}\n", server.address, "0".repeat(64))).unwrap();
    let error = open().err().unwrap();
    assert!(error.is_usage() && error.to_string().contains("line 1 of"), "{error}");
    let pinned = ClientConfig::new(Trust::Pinned("1".repeat(64).parse().unwrap()));
    let error = Connection::open(&server.address, pinned).err().unwrap();
    assert!(error.to_string().contains(&server.fingerprint.to_string()), "{error}");
    server.settle();
    server.stop();
}

#[test]
fn a_full_server_says_so_and_recovers() {
    let server = serve(ServerConfig { max_sessions: 1, ..common::config() });
    let client = server.connect().unwrap().choose(WANTED).unwrap();
    let error = server.connect().unwrap().choose(WANTED).err().unwrap();
    assert!(error.to_string().contains("busy") && error.to_string().contains("try again"), "{error}");
    client.close().unwrap();
    server.settle();
    server.predict(1);
    server.stop();
}

#[test]
fn a_link_is_measured_before_a_choice_and_takes_a_place() {
    let link = "80mbit/8mbit,20ms".parse().unwrap();
    let patient = Duration::from_secs(60);
    let server =
        serve(ServerConfig { max_sessions: 1, handshake: patient, link: Some(link), ..common::config() });
    let mut connection = server.connect().unwrap();
    let measured = connection.measure().unwrap();
    // The server's half alone is slowed: what comes down, and half of the round trip.
    assert!((8e4..3e7).contains(&measured.down_bits_per_second), "{measured:?}");
    assert!(measured.round_trip_seconds >= 0.010, "{measured:?}");
    assert_eq!(server.handle.counts().sessions, 1);
    let error = server.connect().unwrap().choose(WANTED).err().unwrap().to_string();
    assert!(error.contains("busy"), "{error}");
    let error = server.connect().unwrap().measure().unwrap_err().to_string();
    assert!(error.contains("busy"), "{error}");
    // It has its place already.
    let mut client = connection.choose(WANTED).unwrap();
    let (input, expected) = common::example(0);
    assert_eq!(client.predict(&input, &()).unwrap().integers, expected);
    client.close().unwrap();
    server.settle();
    // What one connection may ask for is bounded.
    let mut connection = server.connect().unwrap();
    let error = (0..9).find_map(|_| connection.measure().err()).unwrap().to_string();
    assert!(error.contains("measured enough"), "{error}");
    drop(connection);
    server.settle();
    server.stop();
}

#[test]
fn a_basis_is_published_once_a_session() {
    let basis = Projection::new(3, (0..3 * WIDTH).map(|i| i as f32 / 8.0).collect()).unwrap();
    let served = ServedModel { projection: Some(basis.clone()), ..common::model("tiny") };
    let server = common::serve_model(served, common::config());
    let mut client = server.connect().unwrap().choose(WANTED).unwrap();
    assert_eq!(client.projection().unwrap(), Some(basis));
    let (input, expected) = common::example(0);
    assert_eq!(client.predict(&input, &()).unwrap().integers, expected);
    client.close().unwrap();
    let mut client = server.connect().unwrap().choose(WANTED).unwrap();
    assert!(client.projection().unwrap().is_some());
    let error = client.projection().unwrap_err().to_string();
    assert!(error.contains("sent before"), "{error}");
    drop(client);
    server.settle();
    server.stop();
    // Where there is none, nothing is asked for; and a basis of another model is not served.
    let server = serve(common::config());
    let mut client = server.connect().unwrap().choose(WANTED).unwrap();
    assert_eq!(client.projection().unwrap(), None);
    client.close().unwrap();
    server.settle();
    let wrong = Projection::new(WIDTH, vec![1.0; 3 * WIDTH]);
    let wrong = ServedModel { projection: wrong, ..common::model("tiny") };
    let refused = oribi::Server::bind("127.0.0.1:0", &server.identity(), vec![wrong], common::config());
    let error = refused.err().unwrap().to_string();
    assert!(error.contains("its basis gives 3 values, and the model takes 4"), "{error}");
    server.stop();
}

#[test]
fn offers_that_are_not_there_are_named() {
    let server = serve(common::config());
    let choose = |wanted| server.connect().unwrap().choose(wanted).err().unwrap().to_string();
    let error = choose(Wanted { model: Some("huge"), ..WANTED });
    assert!(error.contains("huge") && error.contains("tiny"), "{error}");
    let error = choose(Wanted { protocol: Some("gazelle"), ..WANTED });
    assert!(error.contains("gazelle") && error.contains("clear (scores)"), "{error}");
    let error = choose(Wanted { reveal: Reveal::Label, ..WANTED });
    assert!(error.contains("label") && error.contains("clear (scores)"), "{error}");
    for address in ["nonsense", ":1", "127.0.0.1:x", "127.0.0.1:99999"] {
        assert!(Connection::open(address, server.client_config()).err().unwrap().is_usage(), "{address}");
    }
    server.settle();
    server.stop();
}

#[test]
fn a_wrong_input_costs_nothing() {
    let server = serve(common::config());
    let mut client = server.connect().unwrap().choose(WANTED).unwrap();
    for wrong in [vec![], vec![vec![0.0; WIDTH + 1]], vec![vec![f32::NAN; WIDTH]], vec![vec![0.0; WIDTH]; 2]]
    {
        assert!(client.predict(&wrong, &()).unwrap_err().is_usage());
    }
    let (input, expected) = example(0);
    assert_eq!(client.predict(&input, &()).unwrap().integers, expected);
    server.stop();
}

#[test]
fn a_panic_ends_one_session() {
    let server = serve(common::config());
    let mut client = server.connect().unwrap().choose(WANTED).unwrap();
    let mut input = example(0).0;
    input[0][0] = PANIC_VALUE;
    let error = client.predict(&input, &()).unwrap_err();
    assert!(error.to_string().contains("the program failed"), "{error}");
    server.settle();
    let events = server.events.lock().unwrap().clone();
    assert!(
        events.iter().any(|event| matches!(event, Event::Panicked { why, .. } if why == "asked to panic"))
    );
    server.predict(1);
    server.stop();
}

#[test]
fn stopping_ends_idle_sessions_and_refuses_new_ones() {
    let server = serve(common::config());
    let mut client = server.connect().unwrap().choose(WANTED).unwrap();
    client.predict(&example(0).0, &()).unwrap();
    let address = server.address.clone();
    let config = server.client_config();
    server.stop();
    assert!(client.predict(&example(0).0, &()).is_err());
    assert!(Connection::open(&address, config).is_err());
}

#[test]
fn stopping_lets_a_prediction_finish() {
    // At this rate a prediction takes a while: the server is stopped in the midst of it.
    let link = "1mbit,200ms".parse().unwrap();
    let server = serve(ServerConfig { link: Some(link), ..common::config() });
    let mut client = server.connect().unwrap().choose(WANTED).unwrap();
    let handle = server.handle.clone();
    let (input, expected) = example(2);
    let predicting = thread::spawn(move || client.predict(&input, &()));
    while !handle.is_predicting() {
        thread::sleep(Duration::from_millis(1));
    }
    server.stop();
    assert_eq!(predicting.join().unwrap().unwrap().integers, expected);
}

#[test]
fn servers_refuse_what_they_cannot_serve() {
    let directory = tempfile::tempdir().unwrap();
    let identity = Identity::load_or_create(directory.path()).unwrap();
    let bind =
        |address: &str, models, config| Server::bind(address, &identity, models, config).err().unwrap();
    let error = bind("127.0.0.1:0", vec![model("a"), model("a")], common::config()).to_string();
    assert!(error.contains("same name"), "{error}");
    let error = bind("127.0.0.1:0", vec![model("a")], ServerConfig { engines: vec![], ..common::config() });
    assert!(error.to_string().contains("clear"), "{error}");
    let mut damaged = model("a");
    damaged.variants[0].params.tensors.pop();
    let error = bind("127.0.0.1:0", vec![damaged], common::config()).to_string();
    assert!(error.contains("do not fit"), "{error}");
    let taken = Server::bind("127.0.0.1:0", &identity, vec![model("a")], common::config()).unwrap();
    let error = bind(&taken.address().to_string(), vec![model("a")], common::config());
    assert!(error.is_usage() && error.to_string().contains(&taken.address().to_string()), "{error}");
    assert!(bind("nonsense", vec![model("a")], common::config()).is_usage());
}
