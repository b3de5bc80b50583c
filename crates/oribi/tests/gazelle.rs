//! Gazelle over TLS: the reference's integers, base transfers of either kind, two inputs' transcripts, peers that leave or stall.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod common;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use common::between::{self, Cut, Harm, Meddling};
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
    serve_for(method, config, Duration::from_secs(20))
}

/// A server that waits for its clients for so long.
fn serve_for(method: Method, config: GazelleConfig, wait: Duration) -> Running {
    let mut model = model("tiny");
    let variant = &mut model.variants[0];
    variant.protocol = "gazelle".into();
    variant.reveals = vec![Reveal::Scores, Reveal::Label];
    variant.graph.number = NumberFormat::Ring { bits: 34 };
    variant.payload = Plan::choose(&variant.graph, method).unwrap().payload().unwrap();
    let limits = Limits { wait, ..common::config().limits };
    let engines: Vec<Arc<dyn server::Engine>> = vec![Arc::new(server::Gazelle::new(config))];
    serve_model(model, ServerConfig { engines, limits, max_sessions: 100, ..common::config() })
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

/// A prediction by a client that waits for so long.
fn predicted(server: &Running, address: &str, wait: Duration) -> Result<Vec<Vec<i128>>, oribi::Error> {
    let engines: Vec<Arc<dyn oribi::client::Engine>> = vec![Arc::new(Gazelle::default())];
    let limits = Limits { wait, frame: wait, ..Limits::default() };
    let trust = Trust::Pinned(server.fingerprint);
    let config = ClientConfig { engines, limits, handshake: wait, ..ClientConfig::new(trust) };
    let wanted = Wanted { model: None, protocol: None, reveal: Reveal::Scores };
    let mut client = Connection::open(address, config)?.choose(wanted)?;
    client.predict(&example(0).0, &()).map(|prediction| prediction.integers)
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

/// An honest client whose connection ends, or in which nothing moves any more, after some bytes of one direction.
fn disturbed(server: &Running, bytes: usize, from_client: bool, stalls: bool) {
    let stalls = Duration::from_secs(if stalls { 2 } else { 0 });
    let outcome = between::carried(server, Cut { bytes, from_client, stalls }, |address| {
        let mut client = open(server, address, None, Reveal::Scores)?;
        client.predict(&example(0).0, &()).map(|prediction| prediction.integers)
    });
    if let Ok(integers) = outcome {
        assert_eq!(integers, example(0).1);
    }
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

/// Every message of both directions.
fn messages(server: &Running) -> impl Iterator<Item = (bool, usize)> + use<> {
    let patient = Duration::from_secs(60);
    let (integers, counts) = between::meddled(server, None, |address| predicted(server, address, patient));
    assert_eq!(integers.unwrap(), example(0).1);
    // Choice, start, key, transfers, ciphertexts, corrections; list, plan, set-up, tables, replies, labels, account.
    assert!(counts[0] > 6 && counts[1] > 7, "{counts:?}");
    [true, false]
        .into_iter()
        .zip(counts)
        .flat_map(|(from_client, count)| (0..count).map(move |i| (from_client, i)))
}

/// An honest client is served, nothing of the others is left, and no thread fell over.
fn still_serving(server: Running) {
    let (input, expected) = example(1);
    let mut client = connect(&server, None, Reveal::Scores);
    assert_eq!(client.predict(&input, &()).unwrap().integers, expected);
    drop(client);
    server.settle();
    assert!(!server.handle.is_predicting());
    let events = server.events.lock().unwrap().clone();
    let fallen = events.iter().find(|event| matches!(event, server::Event::Panicked { .. }));
    assert!(fallen.is_none(), "{fallen:?}");
    server.stop();
}

#[test]
fn whoever_loses_or_changes_any_message_is_told_and_the_server_serves_on() {
    let server = serve(GazelleConfig::default());
    for (from_client, index) in messages(&server) {
        for harm in [Harm::Lost, Harm::Broken, Harm::Kind, Harm::Length, Harm::Content] {
            let wait = Duration::from_secs(20);
            let run = |address: &str| predicted(&server, address, wait);
            let (outcome, _) = between::meddled(&server, Some(Meddling { from_client, index, harm }), run);
            match outcome {
                // A label or a row that was changed may give another result.
                Ok(_) if harm == Harm::Content => {}
                // The last word of a client comes when it has its result.
                Ok(integers) => assert!(from_client && integers == example(0).1, "{harm:?} at {index}"),
                Err(error) => assert!(error.to_string().len() > 10, "{error}"),
            }
        }
    }
    still_serving(server);
}

#[test]
fn silence_at_any_message_ends_in_time() {
    let wait = Duration::from_secs(3);
    let server = serve_for(Method::HeCoefficients, GazelleConfig::default(), wait);
    let messages: Vec<(bool, usize)> = messages(&server).collect();
    thread::scope(|scope| {
        for (from_client, index) in messages {
            let (server, harm) = (&server, Harm::Stalled);
            scope.spawn(move || {
                let run = |address: &str| predicted(server, address, wait);
                let (outcome, _) = between::meddled(server, Some(Meddling { from_client, index, harm }), run);
                if let Ok(integers) = outcome {
                    assert!(from_client && integers == example(0).1, "stalled at {index}");
                }
            });
        }
    });
    still_serving(server);
}
