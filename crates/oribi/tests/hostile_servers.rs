//! Servers that are not what they should be: the client ends with words, and nothing is trusted too far.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod common;

use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::{Clear, WIDTH, example, model, push};
use oribi::{ClientConfig, Connection, Error, Identity, Trust, Wanted};
use protocol::channel::Transport;
use protocol::frame::Header;
use protocol::handshake::{Hello, InputInfo, ModelId, ModelInfo, Plan, ProtocolInfo, VERSIONS, Versions};
use protocol::session::Limits;
use protocol::{Reveal, Tag};

const WANTED: Wanted<'_> = Wanted { model: None, protocol: None, reveal: Reveal::Scores };

/// Runs a client against a server that says these bytes after TLS, then stays silent for as long as the client stays.
fn against(bytes: Vec<u8>) -> Error {
    doing(bytes, |connection| connection.choose(WANTED)?.predict(&example(0).0, &()))
}

/// The same for a client that does this once it has the server's list.
fn doing<T>(bytes: Vec<u8>, act: impl FnOnce(Connection) -> Result<T, Error>) -> Error {
    let directory = tempfile::tempdir().unwrap();
    let identity = Identity::load_or_create(directory.path()).unwrap();
    let tls = oribi::tls::server_config(&identity).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = thread::spawn(move || {
        let deadline = Instant::now() + Duration::from_secs(60);
        let Transport { mut source, mut sink, .. } =
            oribi::tls::accept(listener.accept().unwrap().0, &tls, deadline).unwrap();
        push(&mut *sink, &bytes);
        let _ = std::io::copy(&mut source, &mut std::io::sink());
    });
    let soon = Duration::from_millis(500);
    let config = ClientConfig {
        engines: vec![Arc::new(Clear)],
        handshake: Duration::from_secs(5),
        limits: Limits { wait: soon, frame: soon, rate: 1 << 30 },
        ..ClientConfig::new(Trust::Pinned(identity.fingerprint()))
    };
    let outcome = Connection::open(&address, config).and_then(act);
    server.join().unwrap();
    outcome.err().unwrap()
}

fn frame(tag: Tag, payload: &[u8]) -> Vec<u8> {
    let header = Header { tag: tag.id(), depth: u16::MAX, length: payload.len() as u32 };
    [&header.encode()[..], payload].concat()
}

fn announce(tag: Tag, length: u32) -> Vec<u8> {
    Header { tag: tag.id(), depth: 0, length }.encode().to_vec()
}

fn greeting() -> Vec<u8> {
    VERSIONS.encode().to_vec()
}

fn hello() -> Hello {
    let input = InputInfo {
        name: "x".into(),
        shape: vec![1, WIDTH],
        pixel_scale: vec![1.0],
        pixel_offset: vec![0.0],
        bgr: false,
        range: None,
    };
    let protocols = vec![ProtocolInfo { name: "clear".into(), reveals: vec![Reveal::Scores] }];
    let info = ModelInfo {
        id: ModelId([1; 16]),
        name: "m".into(),
        inputs: vec![input],
        labels: vec![],
        protocols,
        projected_from: None,
    };
    Hello { server: "x".into(), models: vec![info] }
}

/// What a server says up to its list.
fn up_to_hello() -> Vec<u8> {
    [greeting(), frame(Tag::HELLO, &serde_json::to_vec(&hello()).unwrap())].concat()
}

fn plan() -> Plan {
    Plan { graph: model("m").variants.remove(0).graph, payload: serde_json::Value::Null }
}

/// What a server says up to its plan.
fn up_to_plan() -> Vec<u8> {
    [up_to_hello(), frame(Tag::PLAN, &serde_json::to_vec(&plan()).unwrap())].concat()
}

#[track_caller]
fn refused(bytes: Vec<u8>, words: &str) {
    let error = against(bytes).to_string();
    assert!(error.contains(words), "{error}");
}

#[test]
fn greetings() {
    refused(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "does not speak Oribi's protocol");
    refused(Versions { oldest: 5, newest: 6 }.encode().to_vec(), "update this side");
    refused(greeting()[..7].to_vec(), "silent or too slow");
}

#[test]
fn lists() {
    refused(greeting(), "silent or too slow");
    refused([greeting(), frame(Tag::HELLO, b"nonsense")].concat(), "hello is malformed");
    refused([greeting(), frame(Tag::HELLO, &[b'['; 1 << 20])].concat(), "hello is malformed");
    refused([greeting(), announce(Tag::HELLO, u32::MAX)].concat(), "announced 4294967295 bytes");
    refused([greeting(), announce(Tag::PLAN, 7)].concat(), "got tag 3");
    refused([greeting(), frame(Tag::ERROR, b"full\x1b[31m")].concat(), "the peer says: full [31m");
    let mut huge = hello();
    huge.models[0].inputs[0].shape = vec![usize::MAX, usize::MAX];
    refused(
        [greeting(), frame(Tag::HELLO, &serde_json::to_vec(&huge).unwrap())].concat(),
        "hello is malformed",
    );
}

#[test]
fn plans() {
    refused(up_to_hello(), "silent or too slow");
    refused([up_to_hello(), announce(Tag::PLAN, (16 << 20) + 1)].concat(), "at most 16777216 bytes");
    refused([up_to_hello(), announce(Tag::PLAN, 16 << 20)].concat(), "silent or too slow");
    refused([up_to_hello(), frame(Tag::PLAN, b"{\"graph\":{}}")].concat(), "plan is malformed");
    let say = |plan: &Plan| [up_to_hello(), frame(Tag::PLAN, &serde_json::to_vec(plan).unwrap())].concat();
    let mut wrong = plan();
    wrong.graph.nodes[1].inputs = vec![7];
    refused(say(&wrong), "plan is malformed");
    let mut wrong = plan();
    wrong.graph.nodes[0].shape = vec![1 << 30, 1 << 30];
    refused(say(&wrong), "plan is malformed");
    let mut wrong = plan();
    wrong.graph.nodes[0].shape = vec![1, WIDTH, 1];
    refused(say(&wrong), "plan is malformed");
}

#[test]
fn answers() {
    refused(up_to_plan(), "silent or too slow");
    refused([up_to_plan(), announce(Tag::DONE, 8)].concat(), "got tag 5");
    refused([up_to_plan(), frame(Tag::ERROR, b"no more")].concat(), "the peer says: no more");
    let output = Tag::new(0x101, "an output");
    refused([up_to_plan(), announce(output, u32::MAX)].concat(), "announced 4294967295 bytes");
    let outputs: Vec<u8> = (0..3).flat_map(|_| frame(output, &[0; 8 * WIDTH])).collect();
    refused([up_to_plan(), outputs.clone()].concat(), "silent or too slow");
    refused([up_to_plan(), outputs, frame(Tag::DONE, &[0; 9])].concat(), "announced 9 bytes");
}

#[test]
fn measurements() {
    let refused = |said: Vec<u8>, words: &str| {
        let error = doing([up_to_hello(), said].concat(), |mut connection| connection.measure()).to_string();
        assert!(error.contains(words), "{error}");
    };
    let filling = Tag::new(8, "filling");
    refused(vec![], "silent or too slow");
    refused(announce(filling, u32::MAX), "announced 4294967295 bytes");
    refused(frame(filling, &[0; 100]), "announced 100 bytes");
    refused(frame(Tag::PLAN, b"{}"), "got tag 3");
    refused(frame(Tag::ERROR, b"not here"), "the peer says: not here");
    // An end that comes for ever: it is filling that is due next.
    refused((0..100).flat_map(|_| frame(filling, b"")).collect(), "announced 0 bytes");
}

#[test]
fn bases() {
    let say = |width: usize, said: Vec<u8>| {
        let mut list = hello();
        list.models[0].projected_from = Some(width);
        let list = frame(Tag::HELLO, &serde_json::to_vec(&list).unwrap());
        [greeting(), list, frame(Tag::PLAN, &serde_json::to_vec(&plan()).unwrap()), said].concat()
    };
    let refused = |width: usize, said: Vec<u8>, words: &str| {
        let error = doing(say(width, said), |connection| connection.choose(WANTED)?.projection()).to_string();
        assert!(error.contains(words), "{error}");
    };
    let values = |value: f32| value.to_le_bytes().repeat(3 * WIDTH);
    refused(3, vec![], "silent or too slow");
    refused(3, announce(Tag::BASIS, u32::MAX), "announced 4294967295 bytes");
    refused(3, frame(Tag::BASIS, &values(1.0)[1..]), "announced 47 bytes");
    refused(3, frame(Tag::BASIS, &values(f32::NAN)), "no finite number");
    refused(3, frame(Tag::BASIS, &values(f32::NEG_INFINITY)), "no finite number");
    refused(3, frame(Tag::ERROR, b"gone"), "the peer says: gone");
    for width in [0, 1 << 22, usize::MAX] {
        refused(width, vec![], "hello is malformed");
    }
    // Numbers as large as they can be make an input that is beyond any range, and no more.
    let error = doing(say(3, frame(Tag::BASIS, &values(f32::MAX))), |connection| {
        let mut client = connection.choose(WANTED)?;
        let basis = client.projection()?.unwrap();
        assert_eq!((basis.rows(), basis.width()), (WIDTH, 3));
        client.predict(&example(0).0, &())
    });
    assert!(error.to_string().contains("silent or too slow"), "{error}");
}
