//! A small network, a protocol that computes it in the clear, and a server on loopback.
#![allow(dead_code, reason = "each test file uses a part")]

pub mod between;

use std::any::Any;
use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kernel::seed::Seed;
use model::fixed::{FixedGraph, Format, Node, NumberFormat, Op, Output, ParamData, ParamInfo, Params, Post};
use oribi::input::{InputSpec, Pixels};
use oribi::server::{Event, Handle};
use oribi::{
    ClientConfig, Connection, Fingerprint, Identity, ServedModel, Server, ServerConfig, Trust, Variant,
};
use protocol::channel::Transport;
use protocol::encrypted::{Digest, EvaluationKeys, Host};
use protocol::handshake::Plan;
use protocol::session::Limits;
use protocol::{Length, Phase, Progress, Reveal, Session, Tag};
use rustls::pki_types::ServerName;

/// Values of the network's input and output.
pub const WIDTH: usize = 4;
/// Frames that the clear protocol sends each way.
pub const FRAMES: usize = 3;

const INPUT: Tag = Tag::new(0x100, "an input in the clear");
const OUTPUT: Tag = Tag::new(0x101, "an output in the clear");

/// A dense layer and a ReLU.
pub fn network() -> (FixedGraph, Params) {
    let format = Format { bits: 16, frac: 8 };
    let node = |name: &str, op, inputs: &[usize]| Node {
        name: name.into(),
        op,
        inputs: inputs.to_vec(),
        shape: vec![1, WIDTH],
        format,
    };
    let dense = Op::Dense { weight: 0, bias: 1, shift: vec![8] };
    let graph = FixedGraph {
        number: NumberFormat::Word16,
        nodes: vec![node("x", Op::Input, &[]), node("fc", dense, &[0]), node("relu", Op::Relu, &[1])],
        params: vec![
            ParamInfo { name: "w".into(), shape: vec![WIDTH, WIDTH], bits: 16, support: None },
            ParamInfo { name: "b".into(), shape: vec![WIDTH], bits: 24, support: None },
        ],
        inputs: vec![0],
        input_levels: Vec::new(),
        result_bits: Vec::new(),
        outputs: vec![Output { name: "y".into(), node: 2, post: Post::None }],
    };
    let weights = (0..WIDTH * WIDTH).map(|i| (i as i32 * 37) % 400 - 200).collect();
    let bias = (0..WIDTH).map(|i| i as i32 * 1000 + 128).collect();
    (graph, Params { tensors: vec![ParamData::I32(weights), ParamData::I32(bias)] })
}

/// An input by number, and what the network makes of it.
pub fn example(number: usize) -> (Vec<Vec<f32>>, Vec<Vec<i128>>) {
    let (graph, params) = network();
    let input: Vec<f32> = (0..WIDTH).map(|i| ((i * 7 + number * 5) % 16) as f32 / 4.0 - 2.0).collect();
    let integers = graph.quantise_input(0, &input).unwrap();
    let output = model::reference::run(&graph, &params, &[integers]).unwrap();
    (vec![input], widen(output))
}

/// The integers as predictions have them.
fn widen(tensors: Vec<Vec<i64>>) -> Vec<Vec<i128>> {
    tensors.into_iter().map(|tensor| tensor.into_iter().map(i128::from).collect()).collect()
}

fn to_bytes(tensors: &[Vec<i64>]) -> Vec<u8> {
    tensors.iter().flatten().flat_map(|value| value.to_le_bytes()).collect()
}

fn from_bytes(bytes: &[u8]) -> Vec<i64> {
    bytes.chunks_exact(8).map(|chunk| i64::from_le_bytes(chunk.try_into().unwrap())).collect()
}

/// A protocol without privacy: the input goes to the server and the output comes back, a few times over.
pub struct Clear;

impl oribi::client::Engine for Clear {
    fn name(&self) -> &'static str {
        "clear"
    }

    fn predict(
        &self,
        _plan: &Plan,
        input: &[Vec<i64>],
        _reveal: Reveal,
        session: &mut Session,
        _seed: &Seed,
        progress: &dyn Progress,
    ) -> Result<Vec<Vec<i128>>, protocol::Error> {
        session.meter.enter(Phase::Online, "all");
        let mut output = Vec::new();
        for frame in 0..FRAMES {
            session.outbox.send(INPUT, &to_bytes(input))?;
            session.outbox.flush()?;
            output = session.inbox.recv(OUTPUT, Length::Exactly(8 * WIDTH))?;
            progress.report(frame as u64 + 1, FRAMES as u64);
        }
        Ok(widen(vec![from_bytes(&output)]))
    }
}

impl oribi::server::Engine for Clear {
    fn name(&self) -> &'static str {
        "clear"
    }

    fn predict(
        &self,
        plan: &Plan,
        params: &Params,
        _reveal: Reveal,
        session: &mut Session,
        _seed: &Seed,
    ) -> Result<(), protocol::Error> {
        session.meter.enter(Phase::Online, "all");
        for _ in 0..FRAMES {
            let input = from_bytes(&session.inbox.recv(INPUT, Length::Exactly(8 * WIDTH))?);
            assert!(input[0] != PANIC, "asked to panic");
            let output = model::reference::run(&plan.graph, params, &[input]).unwrap();
            session.outbox.send(OUTPUT, &to_bytes(&output))?;
            session.outbox.flush()?;
        }
        Ok(())
    }
}

/// A first input integer at which the clear server panics.
pub const PANIC: i64 = 32_000;
/// The input value that becomes it.
pub const PANIC_VALUE: f32 = 125.0;

/// A server on loopback with one model, `tiny`.
pub struct Running {
    pub address: String,
    pub fingerprint: Fingerprint,
    pub handle: Handle,
    pub events: Arc<Mutex<Vec<Event>>>,
    thread: JoinHandle<bool>,
    state: tempfile::TempDir,
}

/// Short deadlines, a few places.
pub fn config() -> ServerConfig {
    ServerConfig {
        max_sessions: 4,
        handshake: Duration::from_secs(2),
        idle: Duration::from_secs(2),
        limits: Limits { wait: Duration::from_secs(2), frame: Duration::from_secs(2), rate: 1 << 20 },
        grace: Duration::from_secs(30),
        engines: vec![Arc::new(Clear)],
        ..ServerConfig::default()
    }
}

pub fn model(name: &str) -> ServedModel {
    let (graph, params) = network();
    ServedModel {
        name: name.into(),
        labels: ["a", "b", "c", "d"].map(String::from).to_vec(),
        inputs: vec![InputSpec {
            name: "x".into(),
            shape: vec![1, WIDTH],
            pixels: Pixels::default(),
            range: None,
        }],
        projection: None,
        variants: vec![Variant {
            protocol: "clear".into(),
            reveals: vec![Reveal::Scores],
            graph,
            payload: serde_json::Value::Null,
            params,
        }],
    }
}

pub fn serve(config: ServerConfig) -> Running {
    serve_model(model("tiny"), config)
}

pub fn serve_model(model: ServedModel, mut config: ServerConfig) -> Running {
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    config.observer = Arc::new(move |event| seen.lock().unwrap().push(event.clone()));
    let state = tempfile::tempdir().unwrap();
    let identity = Identity::load_or_create(state.path()).unwrap();
    let server = Server::bind("127.0.0.1:0", &identity, vec![model], config).unwrap();
    Running {
        address: server.address().to_string(),
        fingerprint: server.fingerprint(),
        handle: server.handle(),
        events,
        thread: std::thread::spawn(move || server.run()),
        state,
    }
}

impl Running {
    pub fn client_config(&self) -> ClientConfig {
        ClientConfig { engines: vec![Arc::new(Clear)], ..ClientConfig::new(Trust::Pinned(self.fingerprint)) }
    }

    /// The key that clients know it by.
    pub fn identity(&self) -> Identity {
        Identity::load_or_create(self.state.path()).unwrap()
    }

    pub fn connect(&self) -> Result<Connection, oribi::Error> {
        Connection::open(&self.address, self.client_config())
    }

    /// An honest client's predictions, held against the reference.
    pub fn predict(&self, count: usize) {
        let wanted = oribi::Wanted { model: None, protocol: None, reveal: Reveal::Scores };
        let mut client = self.connect().unwrap().choose(wanted).unwrap();
        for number in 0..count {
            let (input, expected) = example(number);
            assert_eq!(client.predict(&input, &()).unwrap().integers, expected);
        }
        client.close().unwrap();
    }

    /// A raw TCP connection.
    pub fn socket(&self) -> TcpStream {
        TcpStream::connect(&self.address).unwrap()
    }

    /// A TLS connection without a session.
    pub fn tls(&self) -> io::Result<Transport> {
        let name = ServerName::try_from("localhost").unwrap();
        let config = oribi::tls::client_config().unwrap();
        Ok(oribi::tls::connect(self.socket(), name, &config, Instant::now() + Duration::from_secs(60))?.0)
    }

    /// A session without a handshake.
    pub fn session(&self) -> Session {
        Session::new(self.tls().unwrap(), Limits::default())
    }

    /// Waits until no connection is left.
    pub fn settle(&self) {
        let deadline = Instant::now() + Duration::from_secs(120);
        while self.handle.counts() != oribi::server::Counts::default() {
            assert!(Instant::now() < deadline, "connections are left: {:?}", self.handle.counts());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops the server; every thread of it must end.
    pub fn stop(self) {
        self.handle.stop();
        assert!(self.thread.join().unwrap(), "a session is left");
    }
}

/// Writes all there is, as far as the peer takes it.
pub fn push(sink: &mut dyn Write, bytes: &[u8]) {
    let _ = sink.write_all(bytes).and_then(|()| sink.flush());
}

/// A host of queries under encryption for one client: it keeps nothing.
pub struct OneClient(rayon::ThreadPool);

impl OneClient {
    pub fn new() -> Self {
        Self(rayon::ThreadPoolBuilder::new().build().unwrap())
    }
}

impl Host for OneClient {
    fn find(&self, _: Digest) -> Option<Arc<EvaluationKeys>> {
        None
    }

    fn room_for_keys(&self, _: u64) -> Result<Box<dyn Any + Send>, protocol::Error> {
        Ok(Box::new(()))
    }

    fn keep(&self, _: Digest, keys: EvaluationKeys, _: Box<dyn Any + Send>) -> Arc<EvaluationKeys> {
        Arc::new(keys)
    }

    fn memory(&self, _: u64) -> Result<Box<dyn Send>, protocol::Error> {
        Ok(Box::new(()))
    }

    fn pool(&self) -> &rayon::ThreadPool {
        &self.0
    }
}
