//! DeepSecure over TLS: the reference's integers, two inputs' transcripts, peers that leave.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod common;

use std::sync::Arc;
use std::thread;

use common::{Running, example, model, serve_model};
use oribi::server::DeepSecure;
use oribi::{Client, ClientConfig, Connection, ServerConfig, Trust, Wanted};
use protocol::session::Direction;
use protocol::{Phase, Reveal};

fn serve() -> Running {
    let mut model = model("tiny");
    model.variants[0].protocol = "deepsecure".into();
    model.variants[0].reveals = vec![Reveal::Scores, Reveal::Label];
    serve_model(model, ServerConfig { engines: vec![Arc::new(DeepSecure::default())], ..common::config() })
}

fn connect(server: &Running, reveal: Reveal) -> Client {
    let config = ClientConfig::new(Trust::Pinned(server.fingerprint));
    let wanted = Wanted { model: None, protocol: None, reveal };
    Connection::open(&server.address, config).unwrap().choose(wanted).unwrap()
}

#[test]
fn scores_and_labels_equal_the_reference() {
    let server = serve();
    for reveal in [Reveal::Scores, Reveal::Label] {
        let mut client = connect(&server, reveal);
        for number in 0..3 {
            let (input, expected) = example(number);
            let prediction = client.predict(&input, &()).unwrap();
            let class = (0..expected[0].len()).rev().max_by_key(|&i| expected[0][i]).unwrap();
            assert_eq!(prediction.class, class);
            match reveal {
                Reveal::Scores => assert_eq!(prediction.integers, expected),
                Reveal::Label => assert!(prediction.outputs.is_empty()),
            }
            let online = prediction.cost.phase(Phase::Online);
            assert!(online.sent > 0 && online.received > 0 && online.rounds > 0);
        }
        client.close().unwrap();
    }
    server.settle();
    server.stop();
}

#[test]
fn transcripts_of_two_inputs_are_alike() {
    let server = serve();
    let transcript = |number: usize| {
        let mut client = connect(&server, Reveal::Scores);
        let transcript = client.record();
        let rounds = client.predict(&example(number).0, &()).unwrap().cost.phases.map(|phase| phase.rounds);
        (transcript.direction(Direction::Sent), transcript.direction(Direction::Received), rounds)
    };
    let first = transcript(0);
    assert!(first.0.len() > 2 && first.1.len() > 2);
    assert_eq!(first, transcript(1));
    server.stop();
}

#[test]
fn a_client_that_leaves_in_the_midst_leaves_nothing() {
    let server = serve();
    let handle = server.handle.clone();
    for _ in 0..10 {
        let client = connect(&server, Reveal::Scores);
        thread::scope(|scope| {
            scope.spawn(move || {
                let mut client = client;
                // The report comes from the garbling thread: a panic there is a client that dies.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
                    client.predict(&example(0).0, &Dies)
                }));
            });
        });
    }
    server.settle();
    assert!(!handle.is_predicting());
    let mut client = connect(&server, Reveal::Scores);
    assert_eq!(client.predict(&example(1).0, &()).unwrap().integers, example(1).1);
    server.stop();
}

/// Progress that ends its client.
struct Dies;

impl protocol::Progress for Dies {
    fn report(&self, _done: u64, _total: u64) {
        panic!("the client dies");
    }
}
