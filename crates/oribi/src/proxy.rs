//! The proxy: it garbles predictions for clients that only share their input between it and the server.
//!
//! To a client it is a server that offers what the server offers; to the server it is a client that joins the session of another. It
//! sees one uniform share of each input and what decodes the outputs, but not the outputs' colours. With the server's help it could see
//! everything: the two must not be in one hand.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use kernel::seed::Seed;
use protocol::garbled::shared::Beats;
use protocol::garbled::{self, FirstLayer, Options, Part, Wishes};
use protocol::handshake::{self, Choice, Plan, Request, VERSIONS};
use protocol::message::Message;
use protocol::session::Limits;
use protocol::{Error as Wrong, Length, Session, Tag};

use zeroize::Zeroizing;

use crate::client::{ClientConfig, Connection};
use crate::done::{DONE_BYTES, Done};
use crate::error::Error;
use crate::identity::{Fingerprint, Identity};
use crate::server::registry::{Registry, Ticket};
use crate::server::{self, Event, Observer};
use crate::tls;
use crate::trust::Trust;
use crate::usage::peak_rss_bytes;

/// A proxy's limits and habits.
#[derive(Clone)]
pub struct ProxyConfig {
    /// The server's address and port.
    pub server: String,
    /// How the server is known.
    pub trust: Trust,
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
    /// Time that predictions under way are given when the proxy is stopped.
    pub grace: Duration,
    /// Told what happens.
    pub observer: Observer,
}

impl ProxyConfig {
    /// The limits of a server.
    pub fn new(server: &str, trust: Trust) -> Self {
        let limits = server::ServerConfig::default();
        Self {
            server: server.to_owned(),
            trust,
            max_sessions: limits.max_sessions,
            max_pending: limits.max_pending,
            handshake: limits.handshake,
            idle: limits.idle,
            session: limits.session,
            limits: limits.limits,
            grace: limits.grace,
            observer: limits.observer,
        }
    }
}

/// A proxy that listens. It answers once [`Proxy::run`] is called.
pub struct Proxy {
    listener: TcpListener,
    shared: Arc<Shared>,
}

struct Shared {
    config: ProxyConfig,
    tls: Arc<rustls::ServerConfig>,
    registry: Arc<Registry>,
    fingerprint: Fingerprint,
    address: SocketAddr,
}

/// Stops a running proxy.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Proxy {
    /// Listens on an address; port 0 picks a free one. The server is called when a client comes.
    ///
    /// # Errors
    /// The address is taken or none, or the certificate cannot be used.
    pub fn bind(address: &str, identity: &Identity, config: ProxyConfig) -> Result<Self, Error> {
        let tls = tls::server_config(identity)
            .map_err(|e| Error::System { doing: "the certificate cannot be used", why: e.to_string() })?;
        let listener = server::listen(address)?;
        let local = listener
            .local_addr()
            .map_err(|e| Error::Address { address: address.to_owned(), why: e.to_string() })?;
        let registry = Registry::new(config.max_pending, config.max_sessions);
        let fingerprint = identity.fingerprint();
        let shared = Shared { config, tls, registry, fingerprint, address: local };
        Ok(Self { listener, shared: Arc::new(shared) })
    }

    /// Where the proxy listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// The fingerprint that clients should see.
    pub fn fingerprint(&self) -> Fingerprint {
        self.shared.fingerprint
    }

    /// The proxy's handle.
    pub fn handle(&self) -> Handle {
        Handle { shared: Arc::clone(&self.shared) }
    }

    /// Answers clients until [`Handle::stop`]; tells whether all threads have ended.
    pub fn run(self) -> bool {
        let Self { listener, shared } = self;
        for stream in listener.incoming() {
            if shared.registry.is_stopping() {
                break;
            }
            if let Err(e) = stream.and_then(|stream| start(stream, &shared)) {
                (shared.config.observer)(&Event::Refused { why: e.to_string() });
                thread::sleep(Duration::from_millis(50));
            }
        }
        drop(listener);
        server::wind_down(&shared.registry, shared.config.grace)
    }
}

impl Handle {
    /// Stops the proxy: no new clients, no new predictions.
    pub fn stop(&self) {
        self.shared.registry.stop();
        server::knock(self.shared.address);
    }
}

fn start(stream: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    let Some(ticket) = shared.registry.admit(stream.try_clone()?) else { return Ok(()) };
    let shared = Arc::clone(shared);
    thread::Builder::new().name("proxy".into()).spawn(move || serve(stream, &ticket, &shared))?;
    Ok(())
}

/// Serves a connection; returns when it has ended.
fn serve(stream: TcpStream, ticket: &Ticket, shared: &Shared) {
    let client = stream.peer_addr().ok();
    let mut predictions = 0;
    let error = match open(stream, shared) {
        Err(error) => Some(error.to_string()),
        Ok(mut session) => {
            let mut conversation = Conversation { shared, ticket, client, predictions: &mut predictions };
            let outcome = server::guarded(
                || conversation.run(&mut session),
                |why| {
                    (shared.config.observer)(&Event::Panicked { client, why });
                },
            );
            let error = outcome.err().map(|error| server::part(&mut session, error));
            session.close();
            error
        }
    };
    (shared.config.observer)(&Event::Closed { client, predictions, error });
}

/// TLS, and a session in which all up to the client's choice must happen in time.
fn open(stream: TcpStream, shared: &Shared) -> io::Result<Session> {
    let config = &shared.config;
    let deadline = Instant::now() + config.handshake;
    let transport = tls::accept(stream, &shared.tls, deadline)?;
    let mut session = Session::new(transport, Limits { wait: config.handshake, ..config.limits });
    session.inbox.set_latest(Some(deadline));
    Ok(session)
}

struct Conversation<'a> {
    shared: &'a Shared,
    ticket: &'a Ticket,
    client: Option<SocketAddr>,
    predictions: &'a mut u64,
}

impl Conversation<'_> {
    fn run(&mut self, client: &mut Session) -> Result<(), Wrong> {
        let config = &self.shared.config;
        // Who says nothing costs the server no connection.
        handshake::greet(client, VERSIONS, VERSIONS)?;
        let server = ClientConfig { limits: config.limits, ..ClientConfig::new(config.trust.clone()) };
        let server = Connection::open(&config.server, ClientConfig { handshake: config.handshake, ..server });
        let (mut server, hello) = server.map_err(unreachable)?.into_parts();
        handshake::offer(client, &hello)?;
        let choice = match handshake::receive_request(client, &hello)? {
            Request::Choice(choice) => choice,
            Request::Farewell => return handshake::farewell(&mut server),
            Request::Probe(_) => {
                handshake::farewell(&mut server)?;
                return Err(Wrong::Refused("this is a proxy: measure the link to its server".into()));
            }
        };
        let wishes = self.wishes(&choice)?;
        let plan = join(&mut server, &choice, wishes).map_err(|error| from_server(&mut server, error))?;
        (config.observer)(&Event::Opened {
            client: self.client,
            model: choice.model.to_string(),
            protocol: choice.protocol.clone(),
        });
        handshake::send_plan(client, &plan)?;
        client.inbox.set_latest(Instant::now().checked_add(config.session));
        while self.next(client)? {
            self.predict(client, &mut server, &choice, &plan)?;
            *self.predictions += 1;
            if !self.ticket.end() {
                return Err(Wrong::Refused("the proxy is shutting down".into()));
            }
        }
        handshake::farewell(&mut server)
    }

    /// What the client wants, if a proxy can do that and has room for it.
    fn wishes(&self, choice: &Choice) -> Result<Wishes, Wrong> {
        let wishes = Wishes::read(&choice.payload)?;
        if choice.protocol != "deepsecure" || wishes.part != Part::Garbler {
            return Err(Wrong::Refused(
                "this is a proxy, which predicts nothing by itself: name it with --proxy, and its server with --server"
                    .into(),
            ));
        }
        if !self.ticket.promote() {
            return Err(Wrong::Refused("the proxy is busy; try again in a few seconds".into()));
        }
        Ok(wishes)
    }

    /// Waits for the client's next prediction; `false` is a farewell.
    fn next(&mut self, client: &mut Session) -> Result<bool, Wrong> {
        let config = &self.shared.config;
        client.set_limits(Limits { wait: config.idle, ..config.limits });
        let due = [(Tag::START, Length::Exactly(0)), (Tag::BYE, Length::Exactly(0))];
        let (tag, _) = client.inbox.recv_one_of(&due)?;
        if tag == Tag::BYE {
            return Ok(false);
        }
        if !self.ticket.begin() {
            return Err(Wrong::Refused("the proxy is shutting down".into()));
        }
        client.set_limits(config.limits);
        Ok(true)
    }

    /// Garbles one prediction.
    fn predict(
        &self,
        client: &mut Session,
        server: &mut Session,
        choice: &Choice,
        plan: &Plan,
    ) -> Result<(), Wrong> {
        let share = garbled::shared::receive_share(&plan.graph, &mut client.inbox)?;
        let beats = Beats::new(&mut client.outbox);
        let decoding = self
            .garble(server, (choice, plan), &share, &beats)
            .map_err(|error| from_server(server, error))?;
        beats.finish()?;
        garbled::shared::send_decoding(&mut client.outbox, &decoding)?;
        client.outbox.send(Tag::DONE, &Done { peak_rss_bytes: peak_rss_bytes() }.to_bytes())?;
        client.outbox.flush()
    }

    fn garble(
        &self,
        server: &mut Session,
        (choice, plan): (&Choice, &Plan),
        share: &[Vec<i64>],
        beats: &Beats<'_>,
    ) -> Result<Zeroizing<Vec<bool>>, Wrong> {
        let seed =
            Seed::from_os().map_err(|e| Wrong::Refused(format!("the proxy has no randomness: {e}")))?;
        let options = Options::read(&plan.payload)?;
        server.outbox.send(Tag::START, &[])?;
        server.outbox.flush()?;
        let decoding =
            garbled::client::garble_shared(&plan.graph, options, share, choice.reveal, server, &seed, beats)?;
        server.outbox.unpin();
        server.inbox.recv(Tag::DONE, Length::Exactly(DONE_BYTES))?;
        server.meter.restart();
        Ok(decoding)
    }
}

/// Joins the client's session on the server; gives a plan that has been checked.
fn join(server: &mut Session, choice: &Choice, wishes: Wishes) -> Result<Plan, Wrong> {
    let plan = handshake::choose(server, choice)?;
    let options = Options::read(&plan.payload)?;
    wishes.accept(options)?;
    if options.session != wishes.session {
        return Err(Wrong::malformed("plan", "it is not that of the client's session"));
    }
    garbled::check(&plan.graph, choice.reveal, FirstLayer::Garbled)?;
    Ok(plan)
}

fn unreachable(error: Error) -> Wrong {
    Wrong::Refused(format!("the proxy does not get to the server: {error}"))
}

/// What went wrong towards the server, in words for the client.
fn from_server(server: &mut Session, error: Wrong) -> Wrong {
    match server.explain(error) {
        error @ Wrong::Refused(_) => {
            server.give_up(&error.to_string());
            error
        }
        error => {
            if !error.is_disconnect() {
                server.give_up("the proxy gave up");
            }
            Wrong::Refused(format!("between proxy and server: {error}"))
        }
    }
}
