//! The client: it has an input, finds a server, and gets a prediction.
//!
//! [`Connection::open`] connects, checks who the server is and receives its list; [`Connection::choose`] agrees on a
//! model and a protocol; [`Client::predict`] predicts, as often as wanted. Nothing here can hold a model's weights.

mod deepsecure;
mod delphi;
mod engine;
mod gazelle;
mod keys;
mod lola;
mod outsourced;
mod prediction;

use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kernel::seed::Seed;
use protocol::handshake::{self, Choice, Hello, ModelInfo, Plan};
use protocol::measure::Measured;
use protocol::message::Message;
use protocol::meter::Snapshot;
use protocol::session::Limits;
use protocol::shape::Link;
use protocol::{Length, Meter, Progress, Reveal, Session, Tag};
use rustls::pki_types::ServerName;

use crate::done::{DONE_BYTES, Done};
use crate::error::Error;
use crate::identity::Fingerprint;
use crate::input::{InputSpec, Pixels, Projection};
use crate::tls;
use crate::trust::{Trust, Trusted};

pub use deepsecure::DeepSecure;
pub use delphi::{Delphi, Supply};
pub use engine::{Agreement, Engine, Integers};
pub use gazelle::Gazelle;
pub use keys::KeyFolder;
pub use lola::Lola;
pub use outsourced::Outsourced;
pub use prediction::{PeakRss, Prediction};

/// A client's limits and habits.
#[derive(Clone)]
pub struct ClientConfig {
    /// How the server is known.
    pub trust: Trust,
    /// Time to connect, and time from then to the server's list.
    pub handshake: Duration,
    /// Time for each frame.
    pub limits: Limits,
    /// Slows this side's half of the connection.
    pub link: Option<Link>,
    /// The protocols this client can run.
    pub engines: Vec<Arc<dyn Engine>>,
}

impl ClientConfig {
    /// 20 s to get to the server's list, ten minutes for the server's computation; all protocols.
    pub fn new(trust: Trust) -> Self {
        let own: [Arc<dyn Engine>; 3] =
            [Arc::new(DeepSecure::default()), Arc::new(Gazelle::default()), Arc::new(Delphi::default())];
        Self {
            trust,
            handshake: Duration::from_secs(20),
            limits: Limits::default(),
            link: None,
            engines: own.into_iter().chain(Lola::engines(0, None)).collect(),
        }
    }

    /// With this engine instead of the one of the same name.
    #[must_use]
    pub fn with_engine(mut self, engine: Arc<dyn Engine>) -> Self {
        self.engines.retain(|other| other.name() != engine.name());
        self.engines.push(engine);
        self
    }
}

/// A connection to a server that is trusted and has shown its list.
pub struct Connection {
    session: Session,
    hello: Hello,
    fingerprint: Fingerprint,
    trusted: Trusted,
    config: ClientConfig,
}

/// What a user asks for; what is left out is the server's first offer.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The model's name; needed where the server has several.
    pub model: Option<&'a str>,
    /// The protocol's name.
    pub protocol: Option<&'a str>,
    /// Scores or label.
    pub reveal: Reveal,
}

impl Connection {
    /// Connects to a server at `HOST:PORT`, checks its fingerprint and receives its list.
    ///
    /// # Errors
    /// Nobody answers, the server is not the expected one, speaks another version, or is busy.
    pub fn open(address: &str, config: ClientConfig) -> Result<Self, Error> {
        Self::open_with(address, config, Meter::new())
    }

    /// [`Connection::open`] on an account that another session has too.
    fn open_with(address: &str, config: ClientConfig, meter: Meter) -> Result<Self, Error> {
        let failed = |doing, source| Error::Connect { address: address.to_owned(), doing, source };
        let (stream, name) = dial(address, config.handshake)?;
        let deadline = Instant::now() + config.handshake;
        let system = |e: rustls::Error| Error::System { doing: "setting up TLS", why: e.to_string() };
        let tls_config = tls::client_config().map_err(system)?;
        let (mut transport, fingerprint) = tls::connect(stream, name, &tls_config, deadline)
            .map_err(|e| failed("it does not answer with TLS 1.3", e))?;
        let trusted = config.trust.check(address, fingerprint)?;
        if let Some(link) = config.link {
            transport = transport.shaped(link).map_err(|e| failed("slowing the link down", e))?;
        }
        let limits = Limits { wait: config.handshake, ..config.limits };
        let mut session = Session::with_meter(transport, limits, meter);
        session.inbox.set_latest(Some(deadline));
        let hello = handshake::receive_hello(&mut session).map_err(|e| session.explain(e))?;
        session.inbox.set_latest(None);
        session.set_limits(config.limits);
        Ok(Self { session, hello, fingerprint, trusted, config })
    }

    /// The server's models.
    pub fn models(&self) -> &[ModelInfo] {
        &self.hello.models
    }

    /// The server's program and version.
    pub fn server(&self) -> &str {
        &self.hello.server
    }

    /// The server's fingerprint.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// How the server came to be trusted; at [`Trusted::FirstUse`] the user should see the fingerprint.
    pub fn trusted(&self) -> Trusted {
        self.trusted
    }

    /// Measures the link: its round trip, and its bandwidth both ways, in a second or so. It counts as part of the set-up.
    ///
    /// # Errors
    /// The server is busy, answers no measurements, or is too slow.
    pub fn measure(&mut self) -> Result<Measured, Error> {
        let wait = self.config.handshake;
        let until = Instant::now() + wait;
        self.session.set_limits(Limits { wait, ..self.config.limits });
        self.session.inbox.set_latest(Some(until));
        let measured = protocol::measure::measure(&mut self.session, until);
        self.session.inbox.set_latest(None);
        self.session.set_limits(self.config.limits);
        measured.map_err(|error| self.session.explain(error).into())
    }

    /// The session, before a choice, and the server's list.
    pub(crate) fn into_parts(self) -> (Session, Hello) {
        (self.session, self.hello)
    }

    /// Ends the connection without a choice.
    pub fn close(mut self) {
        // A server that has left already does not miss it.
        let _ = handshake::farewell(&mut self.session);
        self.session.close();
    }

    /// Agrees with the server on a model and a protocol.
    ///
    /// # Errors
    /// What is wanted is not on offer, or the server is busy.
    pub fn choose(mut self, wanted: Wanted<'_>) -> Result<Client, Error> {
        let model = pick_model(&self.hello.models, wanted.model)?.clone();
        let engine = pick_engine(&model, wanted, &self.config.engines)?;
        let choice = Choice {
            model: model.id,
            protocol: engine.name().to_owned(),
            reveal: wanted.reveal,
            payload: engine.wishes(),
        };
        let plan = match handshake::choose(&mut self.session, &choice) {
            Ok(plan) => plan,
            Err(error) => return Err(self.session.explain(error).into()),
        };
        let agreed =
            Agreement { model: &model, reveal: wanted.reveal, plan: &plan, meter: &self.session.meter };
        if let Err(error) = engine.accept(&agreed) {
            self.session.give_up("the client does not take what was agreed");
            return Err(error);
        }
        let inputs = input_specs(&model, &plan)?;
        let engine = match engine.for_connection(&plan, self.fingerprint) {
            Ok(own) => own.unwrap_or(engine),
            Err(error) => {
                self.session.give_up("the client cannot use this plan");
                return Err(error.into());
            }
        };
        Ok(Client { session: self.session, model, plan, inputs, engine, reveal: wanted.reveal, runs: 0 })
    }
}

/// A client that has agreed with its server.
pub struct Client {
    session: Session,
    model: ModelInfo,
    plan: Plan,
    inputs: Vec<InputSpec>,
    engine: Arc<dyn Engine>,
    reveal: Reveal,
    /// Predictions and preparations so far.
    runs: u64,
}

impl Client {
    /// The model.
    pub fn model(&self) -> &ModelInfo {
        &self.model
    }

    /// The protocol's name.
    pub fn protocol(&self) -> &'static str {
        self.engine.name()
    }

    /// The public graph as the protocol computes it.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What the model takes.
    pub fn inputs(&self) -> &[InputSpec] {
        &self.inputs
    }

    /// The public basis that the server publishes for the model's one input: what inputs are multiplied by before they are predicted. To be asked
    /// for once, before the first prediction.
    ///
    /// # Errors
    /// What the server sends is no basis, or the session fails.
    pub fn projection(&mut self) -> Result<Option<Projection>, Error> {
        let values = handshake::receive_basis(&mut self.session, &self.model);
        let values = values.map_err(|error| self.fail(error))?;
        Ok(values.zip(self.model.projected_from).and_then(|(values, width)| Projection::new(width, values)))
    }

    /// Notes every frame from now on.
    pub fn record(&mut self) -> protocol::session::Transcript {
        self.session.record()
    }

    /// Inputs that [`Client::predict_batch`] takes in one pass.
    pub fn batch(&self) -> usize {
        self.engine.batch()
    }

    /// A private prediction: one tensor of input values for each of the model's inputs.
    ///
    /// # Errors
    /// The input does not fit ([`Error::Choice`], and the client can go on), or the session fails (and it cannot).
    pub fn predict(&mut self, input: &[Vec<f32>], progress: &dyn Progress) -> Result<Prediction, Error> {
        let mut predictions = self.predict_batch(&[input], progress)?;
        predictions.pop().ok_or_else(|| protocol::Error::malformed("result", "it is empty").into())
    }

    /// Private predictions of up to [`Client::batch`] inputs in one pass, in order. Each has the account of the whole pass.
    ///
    /// # Errors
    /// As [`Client::predict`].
    pub fn predict_batch(
        &mut self,
        batch: &[&[Vec<f32>]],
        progress: &dyn Progress,
    ) -> Result<Vec<Prediction>, Error> {
        let most = self.engine.most();
        if batch.is_empty() || batch.len() > most {
            let got = batch.len();
            return Err(Error::Choice(format!("{got} inputs in one pass; from 1 to {most} are possible")));
        }
        let integers = batch.iter().map(|input| self.quantise(input)).collect::<Result<Vec<_>, _>>()?;
        let outputs = self.exchange(&integers, progress);
        let (outputs, done) = outputs.map_err(|error| self.fail(error))?;
        let cost = self.session.meter.snapshot();
        let read = |outputs: Integers| {
            let (graph, labels) = (&self.plan.graph, &self.model.labels);
            Prediction::read(graph, labels, self.reveal, outputs, cost.clone(), done.peak_rss_bytes)
        };
        outputs.into_iter().map(read).collect()
    }

    /// Makes one-time material for a later prediction, and keeps it on both sides; gives what it cost.
    ///
    /// # Errors
    /// The protocol has none or a side keeps none, a store is full, or the session fails. The client cannot go on.
    pub fn prepare(&mut self, progress: &dyn Progress) -> Result<Snapshot, Error> {
        let run = |client: &mut Self, seed: &Seed| {
            client.engine.prepare(&client.plan, client.reveal, &mut client.session, seed, progress)
        };
        self.bracket(run).map_err(|error| self.fail(error))?;
        Ok(self.session.meter.snapshot())
    }

    /// How many predictions' material the server would like this client to have; 0 where it does not say.
    ///
    /// # Errors
    /// As [`Client::prepare`].
    pub fn target(&mut self) -> Result<u64, Error> {
        let run = |client: &mut Self, _: &Seed| {
            client.engine.target(&client.plan, client.reveal, &mut client.session)
        };
        self.bracket(run).map(|(target, _)| target).map_err(|error| self.fail(error))
    }

    /// For how many predictions material is kept; `None` before the first run of this connection, and where there is no store.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn held(&self) -> Result<Option<usize>, Error> {
        Ok(self.engine.held()?)
    }

    /// What ended a run, in the peer's words where it has any.
    fn fail(&mut self, error: protocol::Error) -> Error {
        match self.session.explain(error) {
            error @ protocol::Error::Peer(_) => error.into(),
            error => {
                // The server need not wait for a client that has given up.
                if !error.is_disconnect() {
                    self.session.give_up("the client gave up");
                }
                error.into()
            }
        }
    }

    /// The integers of an input.
    fn quantise(&self, input: &[Vec<f32>]) -> Result<Vec<Vec<i64>>, Error> {
        let graph = &self.plan.graph;
        if input.len() != graph.inputs.len() {
            return Err(Error::Choice(format!(
                "the model has {} inputs, not {}",
                graph.inputs.len(),
                input.len()
            )));
        }
        let integers = input.iter().enumerate().map(|(index, values)| graph.quantise_input(index, values));
        integers.collect::<Result<_, _>>().map_err(|e| Error::Choice(e.to_string()))
    }

    /// The protocol's run.
    fn exchange(
        &mut self,
        batch: &[Vec<Vec<i64>>],
        progress: &dyn Progress,
    ) -> Result<(Vec<Integers>, Done), protocol::Error> {
        self.bracket(|client, seed| {
            let session = &mut client.session;
            client.engine.predict_batch(&client.plan, batch, client.reveal, session, seed, progress)
        })
    }

    /// A run between its two brackets.
    fn bracket<T>(
        &mut self,
        run: impl FnOnce(&mut Self, &Seed) -> Result<T, protocol::Error>,
    ) -> Result<(T, Done), protocol::Error> {
        let seed = Seed::from_os()
            .map_err(|e| protocol::Error::Refused(format!("this machine has no randomness: {e}")))?;
        if self.runs > 0 {
            self.session.meter.restart();
        }
        self.runs += 1;
        self.session.outbox.send(Tag::START, &[])?;
        self.session.outbox.flush()?;
        let result = run(self, &seed)?;
        self.session.outbox.unpin();
        let done = self.session.inbox.recv(Tag::DONE, Length::Exactly(DONE_BYTES))?;
        Ok((result, Done::from_bytes(&done)?))
    }

    /// Ends the session in good order.
    ///
    /// # Errors
    /// The connection failed before that.
    pub fn close(mut self) -> Result<(), Error> {
        handshake::farewell(&mut self.session)?;
        self.session.close();
        Ok(())
    }
}

/// Connects; gives the name that TLS asks for.
fn dial(address: &str, timeout: Duration) -> Result<(TcpStream, ServerName<'static>), Error> {
    let wrong = |why: String| Error::Address { address: address.to_owned(), why };
    let (host, port) = address
        .rsplit_once(':')
        .filter(|(host, _)| !host.is_empty())
        .ok_or_else(|| wrong("no server's address and port, such as 127.0.0.1:6174".into()))?;
    port.parse::<u16>().map_err(|_| wrong(format!("{port:?} is not a port")))?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host).map_err(|_| wrong("that is not a host's name".into()))?;
    let candidates = address.to_socket_addrs().map_err(|e| wrong(format!("no such host: {e}")))?;
    let mut failure = None;
    for candidate in candidates {
        match TcpStream::connect_timeout(&candidate, timeout) {
            Ok(stream) => return Ok((stream, name)),
            Err(e) => failure = Some(e),
        }
    }
    let source = failure.unwrap_or_else(|| std::io::Error::other("the host has no address"));
    Err(Error::Connect { address: address.to_owned(), doing: "no server answers there", source })
}

fn pick_model<'a>(models: &'a [ModelInfo], wanted: Option<&str>) -> Result<&'a ModelInfo, Error> {
    let names = || models.iter().map(|model| model.name.as_str()).collect::<Vec<_>>().join(", ");
    match (wanted, models) {
        (None, [model]) => Ok(model),
        (None, []) => Err(Error::Choice("the server has no models".into())),
        (None, _) => Err(Error::Choice(format!("the server has several models, choose one: {}", names()))),
        (Some(name), _) => models
            .iter()
            .find(|model| model.name == name)
            .ok_or_else(|| Error::Choice(format!("the server has no model {name}, but {}", names()))),
    }
}

/// The wanted protocol, or the server's first one that this client can run.
fn pick_engine(
    model: &ModelInfo,
    wanted: Wanted<'_>,
    engines: &[Arc<dyn Engine>],
) -> Result<Arc<dyn Engine>, Error> {
    let fits = model.protocols.iter().filter(|protocol| protocol.reveals.contains(&wanted.reveal));
    let mut fits = fits.filter(|protocol| wanted.protocol.is_none_or(|name| name == protocol.name));
    let engine = fits.find_map(|protocol| engines.iter().find(|engine| engine.name() == protocol.name));
    engine.cloned().ok_or_else(|| {
        let offer = |protocol: &handshake::ProtocolInfo| {
            let reveals: Vec<&str> = protocol.reveals.iter().map(|reveal| reveal.name()).collect();
            format!("{} ({})", protocol.name, reveals.join(" or "))
        };
        let offers: Vec<String> = model.protocols.iter().map(offer).collect();
        let asked = wanted.protocol.unwrap_or("a protocol of this program");
        Error::Choice(format!(
            "{} is not offered with {asked} and {}, but with {}",
            model.name,
            wanted.reveal.name(),
            offers.join(", ")
        ))
    })
}

/// What the model takes, from the server's list, which must agree with the plan.
fn input_specs(model: &ModelInfo, plan: &Plan) -> Result<Vec<InputSpec>, Error> {
    let shapes = plan.graph.inputs.iter().filter_map(|&id| Some(&plan.graph.nodes.get(id)?.shape));
    if !model.inputs.iter().map(|input| &input.shape).eq(shapes) {
        return Err(protocol::Error::malformed("plan", "its inputs are not those of the model").into());
    }
    let spec = |input: &handshake::InputInfo| InputSpec {
        name: input.name.clone(),
        shape: input.shape.clone(),
        pixels: Pixels {
            scale: input.pixel_scale.clone(),
            offset: input.pixel_offset.clone(),
            bgr: input.bgr,
        },
        range: input.range,
    };
    Ok(model.inputs.iter().map(spec).collect())
}
