//! Gazelle over TLS: the reference's integers, base transfers of either kind, two inputs' transcripts, peers that leave or stall.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod common;

use std::io::Read;
use std::net::{Shutdown, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use common::{Running, example, model, serve_model};
use model::fixed::NumberFormat;
use oribi::client::{Gazelle, KeyFolder};
use oribi::server::{self, GazelleConfig};
use oribi::{Client, ClientConfig, Connection, ServerConfig, Trust, Wanted};
use protocol::garbled::BaseOt;
use protocol::interactive::{Method, Plan};
use protocol::session::{Direction, Limits};
use protocol::{Phase, Reveal};

fn serve(config: GazelleConfig) -> Running {
    serve_by(Method::HeCoefficients, config)
}

fn serve_by(method: Method, config: GazelleConfig) -> Running {
    let mut model = model("tiny");
    let variant = &mut model.variants[0];
    variant.protocol = "gazelle".into();
    variant.reveals = vec![Reveal::Scores, Reveal::Label];
    variant.graph.number = NumberFormat::Ring { bits: 34 };
    variant.payload = Plan::choose(&variant.graph, method).unwrap().payload().unwrap();
    let limits = Limits { wait: Duration::from_secs(20), ..common::config().limits };
    let engines: Vec<Arc<dyn server::Engine>> = vec![Arc::new(server::Gazelle::new(config))];
    serve_model(model, ServerConfig { engines, limits, max_sessions: 20, ..common::config() })
}

fn open(
    server: &Running,
    address: &str,
    base_ot: Option<BaseOt>,
    reveal: Reveal,
) -> Result<Client, oribi::Error> {
    let engines: Vec<Arc<dyn oribi::client::Engine>> = vec![Arc::new(Gazelle { base_ot, keys: None })];
    let config = ClientConfig { engines, ..ClientConfig::new(Trust::Pinned(server.fingerprint)) };
    Connection::open(address, config)?.choose(Wanted { model: None, protocol: None, reveal })
}

fn connect(server: &Running, base_ot: Option<BaseOt>, reveal: Reveal) -> Client {
    open(server, &server.address, base_ot, reveal).unwrap()
}

#[test]
fn scores_and_labels_by_either_base_transfer() {
    let server = serve(GazelleConfig::default());
    let mut bytes = Vec::new();
    for base_ot in [None, Some(BaseOt::MlKem)] {
        for reveal in [Reveal::Scores, Reveal::Label] {
            let mut client = connect(&server, base_ot, reveal);
            for number in 0..2 {
                let (input, expected) = example(number);
                let prediction = client.predict(&input, &()).unwrap();
                let class = (0..expected[0].len()).rev().max_by_key(|&i| expected[0][i]).unwrap();
                assert_eq!(prediction.class, class);
                match reveal {
                    Reveal::Scores => assert_eq!(prediction.integers, expected),
                    Reveal::Label => assert!(prediction.outputs.is_empty()),
                }
                let setup = prediction.cost.phase(Phase::Setup);
                bytes.push(setup.sent + setup.received);
            }
            client.close().unwrap();
        }
    }
    // The post-quantum transfers are the larger ones.
    assert!(bytes[4] > bytes[0] + 100_000, "{bytes:?}");
    server.settle();
    server.stop();
}

#[test]
fn base_transfers_that_contradict_each_other_are_refused() {
    let server = serve(GazelleConfig { base_ot: Some(BaseOt::MlKem), ..GazelleConfig::default() });
    let refused = open(&server, &server.address, Some(BaseOt::Ristretto), Reveal::Scores);
    let why = refused.err().expect("a refusal").to_string();
    assert!(why.contains("ristretto") && why.contains("ml-kem"), "{why}");
    let (input, expected) = example(1);
    let mut client = connect(&server, None, Reveal::Scores);
    assert_eq!(client.predict(&input, &()).unwrap().integers, expected);
    drop(client);
    server.stop();
}

#[test]
fn keys_for_slots_are_sent_once_and_kept_under_their_name() {
    let server = serve_by(Method::HeSlots, GazelleConfig::default());
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    // Bytes that the client sends for set-up, of two predictions over a connection.
    let sent = |folder: usize| {
        let gazelle = Gazelle { keys: Some(KeyFolder::new(folders[folder].path())), ..Gazelle::default() };
        let engines: Vec<Arc<dyn oribi::client::Engine>> = vec![Arc::new(gazelle)];
        let config = ClientConfig { engines, ..ClientConfig::new(Trust::Pinned(server.fingerprint)) };
        let wanted = Wanted { model: None, protocol: None, reveal: Reveal::Scores };
        let mut client = Connection::open(&server.address, config).unwrap().choose(wanted).unwrap();
        let sent = [0, 1].map(|number| {
            let (input, expected) = example(number);
            let prediction = client.predict(&input, &()).unwrap();
            assert_eq!(prediction.integers, expected);
            prediction.cost.phase(Phase::Setup).sent
        });
        client.close().unwrap();
        sent
    };
    let [first, again, other] = [sent(0), sent(0), sent(1)];
    assert!(first[0] > 100_000 && first[1] < 10_000, "{first:?}");
    assert!(again[0] < 10_000 && again[1] < 10_000, "{again:?}");
    // Another client's name is another.
    assert_eq!(first, other);
    server.settle();
    server.stop();
    // No room: refused in words.
    let server = serve_by(Method::HeSlots, GazelleConfig { key_memory: 1000, ..GazelleConfig::default() });
    let mut client = connect(&server, None, Reveal::Scores);
    let why = client.predict(&example(0).0, &()).expect_err("a refusal").to_string();
    assert!(why.contains("--key-memory"), "{why}");
    drop(client);
    server.stop();
}

#[test]
fn transcripts_of_two_inputs_are_alike() {
    let server = serve(GazelleConfig::default());
    let transcript = |number: usize| {
        let mut client = connect(&server, None, Reveal::Scores);
        let transcript = client.record();
        let rounds = client.predict(&example(number).0, &()).unwrap().cost.phases.map(|phase| phase.rounds);
        (transcript.direction(Direction::Sent), transcript.direction(Direction::Received), rounds)
    };
    let first = transcript(0);
    assert!(first.0.len() > 2 && first.1.len() > 2);
    assert_eq!(first, transcript(1));
    server.stop();
}

/// Carries an honest client's connection up to some byte of one direction; then it ends, or nothing moves any more.
fn disturbed(server: &Running, bytes: usize, from_client: bool, stalls: bool) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let far = server.socket();
    let carrier = thread::spawn(move || {
        let (near, _) = listener.accept().unwrap();
        let (counted, free) =
            if from_client { ((&near, &far), (&far, &near)) } else { ((&far, &near), (&near, &far)) };
        thread::scope(|scope| {
            scope.spawn(|| {
                let _ = std::io::copy(&mut { free.0 }, &mut { free.1 });
                let _ = free.1.shutdown(Shutdown::Write);
            });
            let _ = std::io::copy(&mut { counted.0 }.take(bytes as u64), &mut { counted.1 });
            if stalls {
                thread::sleep(Duration::from_secs(2));
            }
            let _ = near.shutdown(Shutdown::Both);
            let _ = far.shutdown(Shutdown::Both);
        });
    });
    let outcome = open(server, &address, None, Reveal::Scores)
        .and_then(|mut client| client.predict(&example(0).0, &()).map(|prediction| prediction.integers));
    if let Ok(integers) = outcome {
        assert_eq!(integers, example(0).1);
    }
    carrier.join().unwrap();
}

#[test]
fn a_connection_cut_or_stalled_at_any_byte_leaves_nothing() {
    let server = serve(GazelleConfig::default());
    // An honest session is some 100 kB each way: keys, transfers, ciphertexts; tables and replies.
    thread::scope(|scope| {
        for from_client in [true, false] {
            let server = &server;
            scope.spawn(move || {
                (0..20).for_each(|step| disturbed(server, 997 + step * 6_007, from_client, false));
                (0..3).for_each(|step| disturbed(server, 4_000 + step * 33_000, from_client, true));
            });
        }
    });
    let (input, expected) = example(1);
    let mut client = connect(&server, None, Reveal::Scores);
    assert_eq!(client.predict(&input, &()).unwrap().integers, expected);
    drop(client);
    server.settle();
    assert!(!server.handle.is_predicting());
    server.stop();
}
