//! The server: it holds models and answers clients, one thread a connection.
//!
//! A connection passes through TLS, greeting, the list of models and the client's choice within one deadline
//! ([`ServerConfig::handshake`]); only then does it take one of the places for sessions. Every frame has a deadline
//! of its own. A session that fails, stalls or panics takes nobody else with it.

mod connection;
mod deepsecure;
mod delphi;
mod engine;
mod gate;
mod gazelle;
mod keys;
mod lola;
mod meetings;
mod model;
pub(crate) mod registry;
mod traffic;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use kernel::seed::Seed;
use protocol::handshake::{Hello, MAX_HELLO_BYTES, ModelId};
use protocol::session::Limits;
use protocol::shape::Link;

use crate::error::Error;
use crate::identity::{Fingerprint, Identity};
use crate::tls;

use model::Offered;
use registry::Registry;

pub use connection::Event;
pub(crate) use connection::{guarded, part};
pub use deepsecure::DeepSecure;
pub use delphi::{Delphi, DelphiConfig};
pub use engine::Engine;
pub use gazelle::{Gazelle, GazelleConfig};
pub use lola::{Lola, LolaConfig};
pub use model::{ServedModel, Variant};
pub use registry::Counts;

/// Told what happens on a server; called from the connections' threads.
pub type Observer = Arc<dyn Fn(&Event) + Send + Sync>;

/// A server's limits and habits.
#[derive(Clone)]
pub struct ServerConfig {
    /// Sessions at a time; a client beyond that is told to come back.
    pub max_sessions: usize,
    /// Connections at a time whose client has not chosen a model yet; beyond that the oldest is cut off.
    pub max_pending: usize,
    /// Time from a connection to the client's choice.
    pub handshake: Duration,
    /// Time a client may take from one prediction to the next.
    pub idle: Duration,
    /// Time for a whole session.
    pub session: Duration,
    /// Time for each frame.
    pub limits: Limits,
    /// Time that predictions under way are given when the server is stopped.
    pub grace: Duration,
    /// Slows this side's half of each connection.
    pub link: Option<Link>,
    /// The protocols this server can run.
    pub engines: Vec<Arc<dyn Engine>>,
    /// Told what happens.
    pub observer: Observer,
}

impl Default for ServerConfig {
    /// 32 sessions, 256 pending connections; 20 s for the choice, 2 min between predictions, 2 min without a frame from a
    /// client, a day for a session, 30 s to finish.
    fn default() -> Self {
        Self {
            max_sessions: 32,
            max_pending: 256,
            handshake: Duration::from_secs(20),
            idle: Duration::from_secs(120),
            session: Duration::from_secs(24 * 3600),
            limits: Limits { wait: Duration::from_secs(120), ..Limits::default() },
            grace: Duration::from_secs(30),
            link: None,
            engines: vec![
                Arc::new(DeepSecure::default()),
                Arc::new(Gazelle::default()),
                Arc::new(Delphi::default()),
            ],
            observer: Arc::new(|_| {}),
        }
    }
}

impl ServerConfig {
    /// With this engine instead of the one of the same name.
    #[must_use]
    pub fn with_engine(mut self, engine: Arc<dyn Engine>) -> Self {
        self.engines.retain(|other| other.name() != engine.name());
        self.engines.push(engine);
        self
    }
}

/// A server that listens. It answers once [`Server::run`] is called.
pub struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
}

/// What all connections of a server use.
struct Shared {
    config: ServerConfig,
    tls: Arc<rustls::ServerConfig>,
    hello: Hello,
    /// The models of `hello`.
    models: Vec<Offered>,
    registry: Arc<Registry>,
    fingerprint: Fingerprint,
    address: SocketAddr,
}

/// Stops a running server and counts its connections.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Server {
    /// Listens on an address (port 0 picks a free one), with models to serve. Variants whose protocol has no engine in
    /// `config` are an error.
    ///
    /// # Errors
    /// The address is taken or none, a model contradicts itself, or the certificate cannot be used.
    pub fn bind(
        address: &str,
        identity: &Identity,
        models: Vec<ServedModel>,
        config: ServerConfig,
    ) -> Result<Self, Error> {
        let tls = tls::server_config(identity)
            .map_err(|e| Error::System { doing: "the certificate cannot be used", why: e.to_string() })?;
        let (hello, models) = prepare(models, &config)?;
        let listener = listen(address)?;
        let local = listener
            .local_addr()
            .map_err(|e| Error::Address { address: address.to_owned(), why: e.to_string() })?;
        let registry = Registry::new(config.max_pending, config.max_sessions);
        let fingerprint = identity.fingerprint();
        let shared = Shared { config, tls, hello, models, registry, fingerprint, address: local };
        Ok(Self { listener, shared: Arc::new(shared) })
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// The fingerprint that clients should see.
    pub fn fingerprint(&self) -> Fingerprint {
        self.shared.fingerprint
    }

    /// The server's handle.
    pub fn handle(&self) -> Handle {
        Handle { shared: Arc::clone(&self.shared) }
    }

    /// Answers clients until [`Handle::stop`]. Then predictions under way are given [`ServerConfig::grace`] to end; the
    /// result tells whether all threads of the server have ended.
    pub fn run(self) -> bool {
        let Self { listener, shared } = self;
        for stream in listener.incoming() {
            if shared.registry.is_stopping() {
                break;
            }
            match stream.and_then(|stream| start(stream, &shared)) {
                Ok(()) => {}
                Err(e) => {
                    (shared.config.observer)(&Event::Refused { why: e.to_string() });
                    // Out of descriptors or threads: some come back when connections end.
                    thread::sleep(Duration::from_millis(50));
                }
            }
        }
        drop(listener);
        wind_down(&shared.registry, shared.config.grace)
    }
}

/// Gives sessions time to end, then cuts them off; tells whether all have ended.
pub(crate) fn wind_down(registry: &Registry, grace: Duration) -> bool {
    if registry.wait_empty(Instant::now() + grace) {
        return true;
    }
    registry.cut_all();
    registry.wait_empty(Instant::now() + CUT)
}

/// Time in which a thread notices that its connection was cut off, where it is not computing.
const CUT: Duration = Duration::from_secs(5);

/// Time for the server's own knock at its door.
const KNOCK: Duration = Duration::from_secs(1);

impl Handle {
    /// Stops the server: no new clients, no new predictions.
    pub fn stop(&self) {
        self.shared.registry.stop();
        knock(self.shared.address);
    }

    /// Whether a prediction is under way.
    pub fn is_predicting(&self) -> bool {
        self.shared.registry.is_running()
    }

    /// The connections at this moment.
    pub fn counts(&self) -> Counts {
        self.shared.registry.counts()
    }
}

/// Wakes a listening thread, which sits in `accept`, by a connection.
pub(crate) fn knock(mut door: SocketAddr) {
    match door.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => door.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => door.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    let _ = TcpStream::connect_timeout(&door, KNOCK);
}

/// Gives a connection a place and a thread.
fn start(stream: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    let Some(ticket) = shared.registry.admit(stream.try_clone()?) else { return Ok(()) };
    let shared = Arc::clone(shared);
    thread::Builder::new()
        .name("session".into())
        .spawn(move || connection::serve(stream, &ticket, &shared))?;
    Ok(())
}

/// Listens on an address.
pub(crate) fn listen(address: &str) -> Result<TcpListener, Error> {
    let wrong = |why: String| Error::Address { address: address.to_owned(), why };
    let addresses: Vec<_> = address
        .to_socket_addrs()
        .map_err(|e| wrong(format!("no address to listen on, such as 127.0.0.1:6174: {e}")))?
        .collect();
    TcpListener::bind(&addresses[..]).map_err(|e| wrong(format!("cannot listen there: {e}")))
}

/// Gives the models their identifiers and checks that each can be run.
fn prepare(models: Vec<ServedModel>, config: &ServerConfig) -> Result<(Hello, Vec<Offered>), Error> {
    let system = |why: String| Error::System { doing: "making model identifiers", why };
    let seed = Seed::from_os().map_err(|e| system(e.to_string()))?;
    let mut hello = Hello { server: format!("oribi {}", env!("CARGO_PKG_VERSION")), models: Vec::new() };
    let mut prepared = Vec::new();
    for (index, model) in models.into_iter().enumerate() {
        let name = model.name.clone();
        let wrong = |why: String| Error::Model { name: name.clone(), why };
        if hello.models.iter().any(|other| other.name == name) {
            return Err(wrong("another model has the same name".into()));
        }
        let mut id = [0; 16];
        id.copy_from_slice(&seed.child("model", index as u64).as_bytes()[..16]);
        let (info, offered) = model.prepare(ModelId(id), &config.engines)?;
        hello.models.push(info);
        prepared.push(offered);
    }
    match serde_json::to_vec(&hello) {
        Ok(bytes) if bytes.len() <= MAX_HELLO_BYTES => Ok((hello, prepared)),
        _ => Err(Error::Model { name: name_of_all(&hello), why: "their list is too long to send".into() }),
    }
}

fn name_of_all(hello: &Hello) -> String {
    let names: Vec<&str> = hello.models.iter().map(|model| model.name.as_str()).take(10).collect();
    names.join(", ")
}
