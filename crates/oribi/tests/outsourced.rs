//! Outsourced predictions whose connections are cut: at every record between client, proxy and server in turn.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use common::{Running, example, model, serve_model};
use oribi::client::Outsourced;
use oribi::proxy::{Handle, Proxy, ProxyConfig};
use oribi::server::{DeepSecure, Event};
use oribi::{ClientConfig, Connection, Fingerprint, Identity, ServerConfig, Trust, Wanted};
use protocol::Reveal;
use protocol::garbled::Wishes;

/// How long a prediction of a few gates may take before it counts as hanging.
const HANGS: Duration = Duration::from_secs(60);

/// A line that carries connections, and cuts them after so many TLS records in both directions together.
#[derive(Clone)]
struct Line {
    address: String,
    left: Arc<AtomicUsize>,
    cut: Arc<AtomicBool>,
}

impl Line {
    fn to(far: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let line = Self { address, left: Arc::new(AtomicUsize::new(usize::MAX)), cut: Arc::default() };
        let carrying = line.clone();
        // It ends with the test.
        thread::spawn(move || {
            for near in listener.incoming() {
                let (near, far) = (near.unwrap(), TcpStream::connect(&far).unwrap());
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let line = carrying.clone();
                    thread::spawn(move || line.carry(from, to));
                }
            }
        });
        line
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut record = Vec::new();
        loop {
            let mut header = [0; 5];
            if from.read_exact(&mut header).is_err() {
                break;
            }
            record.resize(usize::from(u16::from_be_bytes([header[3], header[4]])), 0);
            if from.read_exact(&mut record).is_err() {
                break;
            }
            let less = |left: usize| if left == usize::MAX { Some(left) } else { left.checked_sub(1) };
            if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_err() {
                self.cut.store(true, Ordering::SeqCst);
                break;
            }
            if to.write_all(&header).and_then(|()| to.write_all(&record)).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }

    /// Lets so many records pass.
    fn allow(&self, records: usize) {
        self.left.store(records, Ordering::SeqCst);
        self.cut.store(false, Ordering::SeqCst);
    }
}

/// A server, a proxy for it, and the three lines: client to server, client to proxy, proxy to server.
struct Parties {
    server: Running,
    proxy: Handle,
    proxying: JoinHandle<bool>,
    fingerprint: Fingerprint,
    events: Arc<Mutex<Vec<Event>>>,
    lines: [Line; 3],
    _state: tempfile::TempDir,
}

impl Parties {
    fn new() -> Self {
        let mut model = model("tiny");
        model.variants[0].protocol = "deepsecure".into();
        let config = ServerConfig {
            engines: vec![Arc::new(DeepSecure::default())],
            max_sessions: 100,
            ..common::config()
        };
        let server = serve_model(model, config);
        let between = Line::to(server.address.clone());
        let events = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&events);
        let config = ProxyConfig {
            max_sessions: 100,
            observer: Arc::new(move |event| seen.lock().unwrap().push(event.clone())),
            ..ProxyConfig::new(&between.address, Trust::Pinned(server.fingerprint))
        };
        let state = tempfile::tempdir().unwrap();
        let proxy =
            Proxy::bind("127.0.0.1:0", &Identity::load_or_create(state.path()).unwrap(), config).unwrap();
        let (handle, fingerprint) = (proxy.handle(), proxy.fingerprint());
        let lines = [Line::to(server.address.clone()), Line::to(proxy.address().to_string()), between];
        let proxying = thread::spawn(move || proxy.run());
        Self { server, proxy: handle, proxying, fingerprint, events, lines, _state: state }
    }

    /// Two predictions of one client; what the first that fails fails with.
    fn predict(&self) -> Result<(), String> {
        let (to_server, to_proxy) = (self.lines[0].address.clone(), self.lines[1].address.clone());
        let (server, proxy) = (Trust::Pinned(self.server.fingerprint), Trust::Pinned(self.fingerprint));
        let (done, outcome) = channel();
        thread::spawn(move || {
            let engine = Outsourced::new(Wishes::default(), &to_proxy, ClientConfig::new(proxy));
            let config = ClientConfig { engines: vec![Arc::new(engine)], ..ClientConfig::new(server) };
            let wanted = Wanted { model: None, protocol: None, reveal: Reveal::Scores };
            let predicted = Connection::open(&to_server, config)
                .and_then(|open| open.choose(wanted))
                .and_then(|mut client| {
                    let outputs = (0..2).map(|number| client.predict(&example(number).0, &()));
                    let outputs = outputs.collect::<Result<Vec<_>, _>>()?;
                    Ok((outputs, client.close()))
                });
            let _ = done.send(predicted.map(|(outputs, _)| outputs).map_err(|error| error.to_string()));
        });
        let outputs = outcome.recv_timeout(HANGS).expect("the client hangs or panicked")?;
        for (number, output) in outputs.iter().enumerate() {
            assert_eq!(output.integers, example(number).1);
        }
        Ok(())
    }

    fn stop(self) {
        self.server.settle();
        self.proxy.stop();
        assert!(self.proxying.join().unwrap(), "a session of the proxy is left");
        for events in [&self.events, &self.server.events] {
            let events = events.lock().unwrap();
            assert!(!events.iter().any(|event| matches!(event, Event::Panicked { .. })), "{events:?}");
        }
        self.server.stop();
    }
}

#[test]
fn a_line_cut_at_any_record_is_said_and_the_others_go_on() {
    let parties = Parties::new();
    parties.predict().expect("whole lines");
    for (number, line) in parties.lines.iter().enumerate() {
        for records in 0.. {
            assert!(records < 1000, "line {number} is never whole");
            line.allow(records);
            let outcome = parties.predict();
            let cut = line.cut.load(Ordering::SeqCst);
            line.allow(usize::MAX);
            match outcome {
                Err(text) => {
                    assert!(cut, "line {number} was whole: {text}");
                    assert!(text.len() > 10 && text.len() < 300 && !text.contains("panic"), "{text}");
                }
                // What comes after the second prediction is missed by nobody.
                Ok(()) if !cut => break,
                Ok(()) => {}
            }
        }
        parties.predict().expect("whole lines again");
    }
    parties.stop();
}
