//! Queries under encryption over TLS: batches, keys that are held, keys on disk, clients that leave.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{Running, serve_model};
use model::fixed::{FixedGraph, Format, Node, NumberFormat, Op, Output, ParamData, ParamInfo, Params, Post};
use oribi::client::KeyFolder;
use oribi::input::{InputSpec, Pixels};
use oribi::server::{Lola, LolaConfig};
use oribi::{Client, ClientConfig, Connection, ServedModel, ServerConfig, Trust, Variant, Wanted};
use protocol::encrypted::{batch, plans};
use protocol::session::Limits;
use protocol::{Phase, Reveal, Tag};

/// A dense layer and a square, without truncation.
fn network() -> (FixedGraph, Params) {
    let node = |name: &str, op, inputs: &[usize], bits, frac| Node {
        name: name.into(),
        op,
        inputs: inputs.to_vec(),
        shape: vec![1, 4],
        format: Format { bits, frac },
    };
    let info = |name: &str, shape: &[usize], bits| ParamInfo {
        name: name.into(),
        shape: shape.to_vec(),
        bits,
        support: None,
    };
    let graph = FixedGraph {
        number: NumberFormat::Exact,
        nodes: vec![
            node("x", Op::Input, &[], 8, 4),
            node("fc", Op::Dense { weight: 0, bias: 1, shift: vec![0] }, &[0], 17, 10),
            node("square", Op::Product { shift: 0 }, &[1, 1], 34, 20),
        ],
        params: vec![info("w", &[4, 4], 8), info("b", &[4], 16)],
        inputs: vec![0],
        input_levels: Vec::new(),
        result_bits: Vec::new(),
        outputs: vec![Output { name: "y".into(), node: 2, post: Post::None }],
    };
    let weights = (0..16).map(|i| (i * 37) % 200 - 100).collect();
    let bias = (0..4).map(|i| i * 1000 - 99).collect();
    (graph, Params { tensors: vec![ParamData::I32(weights), ParamData::I32(bias)] })
}

fn example(number: usize) -> (Vec<Vec<f32>>, Vec<Vec<i128>>) {
    let (graph, params) = network();
    let input: Vec<f32> = (0..4).map(|i| ((i * 7 + number * 5) % 16) as f32 / 2.0 - 4.0).collect();
    let integers = graph.quantise_input(0, &input).unwrap();
    (vec![input], model::reference::run_wide(&graph, &params, &[integers]).unwrap())
}

fn serve_with(lola: LolaConfig) -> Running {
    let (graph, params) = network();
    let payload = serde_json::to_value(batch::Plan::derive(&graph).unwrap()).unwrap();
    let model = ServedModel {
        name: "tiny".into(),
        labels: vec![],
        inputs: vec![InputSpec {
            name: "x".into(),
            shape: vec![1, 4],
            pixels: Pixels::default(),
            range: None,
        }],
        projection: None,
        variants: vec![Variant {
            protocol: plans::BATCH.into(),
            reveals: vec![Reveal::Scores],
            graph,
            payload,
            params,
        }],
    };
    // The checks of a debug build take their time.
    let limits = Limits { wait: std::time::Duration::from_secs(60), ..common::config().limits };
    serve_model(model, ServerConfig { engines: Lola::engines(lola).unwrap(), limits, ..common::config() })
}

fn serve() -> Running {
    serve_with(LolaConfig { threads: 2, ..LolaConfig::default() })
}

fn connect(server: &Running, folder: Option<&Path>) -> Result<Client, oribi::Error> {
    let engines = oribi::client::Lola::engines(1, folder.map(KeyFolder::new));
    let config = ClientConfig { engines, ..ClientConfig::new(Trust::Pinned(server.fingerprint)) };
    let wanted = Wanted { model: None, protocol: None, reveal: Reveal::Scores };
    Connection::open(&server.address, config).unwrap().choose(wanted)
}

#[test]
fn passes_equal_the_reference_and_keys_go_once() {
    let server = serve();
    let mut client = connect(&server, None).unwrap();
    assert!(client.batch() >= 4096);
    let mut key_bytes = Vec::new();
    for count in [1, 30] {
        let examples: Vec<_> = (0..count).map(example).collect();
        let batch: Vec<&[Vec<f32>]> = examples.iter().map(|(input, _)| input.as_slice()).collect();
        let predictions = client.predict_batch(&batch, &()).unwrap();
        for (prediction, (_, expected)) in predictions.iter().zip(&examples) {
            assert_eq!(prediction.integers, *expected);
        }
        assert_eq!(predictions.len(), count);
        let cost = &predictions[0].cost;
        assert_eq!(cost.phase(Phase::Online).rounds, 2, "one request, one reply");
        key_bytes.push(cost.phase(Phase::Setup).sent);
    }
    assert!(key_bytes[0] > 100_000 && key_bytes[1] == 8, "{key_bytes:?}");
    assert!(client.predict_batch(&[], &()).unwrap_err().is_usage());
    client.close().unwrap();
    server.settle();
    server.stop();
}

#[test]
fn keys_on_disk_are_sent_once_and_kept_secret() {
    let server = serve();
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("keys");
    let setup = || {
        let mut client = connect(&server, Some(&folder)).unwrap();
        let (input, expected) = example(3);
        let prediction = client.predict(&input, &()).unwrap();
        assert_eq!(prediction.integers, expected);
        client.close().unwrap();
        prediction.cost.phase(Phase::Setup).sent
    };
    let (first, second) = (setup(), setup());
    assert!(first > 100_000 && second < 1000, "{first} {second}");
    let files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&files[0])), (0o700, 0o600));
        std::fs::set_permissions(&files[0], std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = connect(&server, Some(&folder)).err().unwrap().to_string();
        assert!(error.contains("chmod"), "{error}");
        std::fs::set_permissions(&files[0], std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    // A damaged file is named; a damaged digest is noticed when the server asks for the keys.
    let good = std::fs::read(&files[0]).unwrap();
    std::fs::write(&files[0], &good[1..]).unwrap();
    let error = connect(&server, Some(&folder)).err().unwrap().to_string();
    assert!(error.contains(".key"), "{error}");
    let mut bent = good.clone();
    bent[79] ^= 1;
    std::fs::write(&files[0], &bent).unwrap();
    let error = connect(&server, Some(&folder)).unwrap().predict(&example(1).0, &()).unwrap_err();
    assert!(error.to_string().contains("not those of this plan"), "{error}");
    server.settle();
    server.stop();
}

#[test]
fn keys_that_were_evicted_are_sent_again() {
    // Room for one set of keys: those used least recently go.
    let (graph, _) = network();
    let plan = protocol::handshake::Plan {
        payload: serde_json::to_value(batch::Plan::derive(&graph).unwrap()).unwrap(),
        graph,
    };
    let outline = plans::outline(plans::BATCH, &plan).unwrap();
    let one = protocol::encrypted::keys::memory_bytes(&outline).unwrap();
    let server = serve_with(LolaConfig { threads: 1, key_memory: one * 3 / 2, ..LolaConfig::default() });
    let home = tempfile::tempdir().unwrap();
    let folders = ["first", "second"].map(|name| home.path().join(name));
    let mut sent = Vec::new();
    for (number, client) in [0, 0, 1, 0, 1, 1].into_iter().enumerate() {
        let mut connected = connect(&server, Some(&folders[client])).unwrap();
        let (input, expected) = example(number);
        let prediction = connected.predict(&input, &()).unwrap();
        assert_eq!(prediction.integers, expected);
        connected.close().unwrap();
        server.settle();
        sent.push(prediction.cost.phase(Phase::Setup).sent > 100_000);
    }
    assert_eq!(sent, [true, false, true, true, true, false]);
    // Keys that a connection uses do not go: another client is told to come back.
    let mut held = connect(&server, Some(&folders[1])).unwrap();
    held.predict(&example(1).0, &()).unwrap();
    let error = connect(&server, Some(&folders[0])).unwrap().predict(&example(1).0, &()).unwrap_err();
    assert!(error.to_string().contains("try again"), "{error}");
    assert_eq!(held.predict(&example(2).0, &()).unwrap().integers, example(2).1);
    held.close().unwrap();
    server.settle();
    server.stop();
}

/// What a client was told of a pass.
#[derive(Default)]
struct Told(std::sync::Mutex<Vec<(u64, u64)>>);

impl protocol::Progress for Told {
    fn report(&self, done: u64, total: u64) {
        self.0.lock().unwrap().push((done, total));
    }
}

#[test]
fn long_passes_tell_of_their_progress() {
    let server = serve();
    let mut client = connect(&server, None).unwrap();
    let told = Told::default();
    let (input, expected) = example(4);
    assert_eq!(client.predict(&input, &told).unwrap().integers, expected);
    let told = told.0.into_inner().unwrap();
    assert!(told.len() > 10, "{told:?}");
    // Fractions that only grow, up to the whole.
    assert!(told.windows(2).all(|pair| pair[0].0 * pair[1].1 <= pair[1].0 * pair[0].1), "{told:?}");
    assert!(told.last().is_some_and(|(done, total)| done == total));
    client.close().unwrap();
    server.settle();
    server.stop();
}

#[test]
fn servers_without_room_refuse_and_go_on() {
    let server = serve_with(LolaConfig { threads: 1, key_memory: 1000, ..LolaConfig::default() });
    let error = connect(&server, None).unwrap().predict(&example(1).0, &()).unwrap_err().to_string();
    assert!(error.contains("--key-memory"), "{error}");
    server.settle();
    server.stop();
    let server = serve_with(LolaConfig { threads: 1, memory: 1000, ..LolaConfig::default() });
    let error = connect(&server, None).unwrap().predict(&example(1).0, &()).unwrap_err().to_string();
    assert!(error.contains("grants"), "{error}");
    server.settle();
    server.stop();
}

#[test]
fn a_client_that_leaves_in_the_midst_leaves_nothing() {
    let server = serve();
    for frames in 0..3 {
        let mut session = server.session();
        let hello = protocol::handshake::receive_hello(&mut session).unwrap();
        let choice = protocol::handshake::Choice {
            model: hello.models[0].id,
            protocol: plans::BATCH.into(),
            reveal: Reveal::Scores,
            payload: serde_json::Value::Null,
        };
        protocol::handshake::choose(&mut session, &choice).unwrap();
        if frames > 0 {
            session.outbox.send(Tag::START, &[]).unwrap();
        }
        if frames > 1 {
            session.outbox.send(protocol::encrypted::wire::DIGEST, &[1; 32]).unwrap();
        }
        session.outbox.flush().unwrap();
    }
    server.settle();
    assert!(!server.handle.is_predicting());
    let mut client = connect(&server, None).unwrap();
    assert_eq!(client.predict(&example(5).0, &()).unwrap().integers, example(5).1);
    server.stop();
}

#[test]
fn a_network_that_is_not_the_plans_is_not_served() {
    let (graph, mut params) = network();
    let payload = serde_json::to_value(batch::Plan::derive(&graph).unwrap()).unwrap();
    params.tensors.pop();
    let engines = Lola::engines(LolaConfig::default()).unwrap();
    let engine = engines.iter().find(|engine| engine.name() == plans::BATCH).unwrap();
    let plan = protocol::handshake::Plan { graph, payload };
    assert!(Arc::clone(engine).for_model(&plan, &params).is_err());
    let mut bent = plan.clone();
    bent.payload["degree"] = 4096.into();
    assert!(engine.for_model(&bent, &network().1).is_err());
}
