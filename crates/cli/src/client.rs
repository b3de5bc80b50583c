//! The client's side of the commands: a connection, a model, predictions as lines.

use std::net::ToSocketAddrs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use oribi::client::{DeepSecure, Delphi, Engine, Gazelle, KeyFolder, Lola, Outsourced, Supply};
use oribi::input::{Example, InputSpec, Projection};
use oribi::{ClientConfig, Connection, Fingerprint, Prediction, Trust, Trusted};
use protocol::handshake::{ModelInfo, Plan};
use protocol::interactive;
use protocol::measure::Measured;
use protocol::meter::{Phase, Snapshot};
use protocol::shape::Link;
use protocol::{Progress, Reveal};

use crate::calibration;
use crate::choice::{Garbler, Garbling, Output, Protocol};
use crate::commands::inspect::printable;
use crate::console::note;
use crate::failure::Failure;
use crate::pricing::{self, Offer};
use crate::report::{self, Cost, Costs, Line, Outputs, PeakRss};
use crate::source::{beyond, gives_index};

/// What a command asks a server for.
pub struct Wanted<'a> {
    /// The model; needed where the server has several.
    pub model: Option<&'a str>,
    /// The protocol; the server's first offer by default.
    pub protocol: Option<Protocol>,
    /// The cheapest of what the server offers.
    pub auto: bool,
    /// Scores or label.
    pub output: Output,
    /// Slows this side's half of the connection.
    pub link: Option<Link>,
    /// Options of `deepsecure`.
    pub garbling: Garbling,
    /// Who is to garble in `delphi`, where that matters to the user.
    pub garbler: Option<Garbler>,
    /// A proxy that garbles, and its fingerprint.
    pub proxy: Option<(&'a str, Option<Fingerprint>)>,
    /// Threads of `lola`, 0 for all cores.
    pub threads: usize,
    /// Many inputs in one pass.
    pub batch: bool,
    /// A folder for keys that outlive the connection.
    pub keys: Option<&'a Path>,
    /// Bundles that were prepared.
    pub supply: Option<Supply>,
    /// Seconds of each part of the online phase too.
    pub parts: bool,
}

/// A client that has agreed with its server.
pub struct Client {
    inner: oribi::Client,
    /// Whether lines tell the seconds of each part.
    parts: bool,
    /// Whether it was said that input values lie beyond the model's range.
    warned: bool,
}

/// What a server offers.
///
/// # Errors
/// The server cannot be reached, or is not the expected one.
pub fn offers(address: &str, fingerprint: Option<Fingerprint>) -> Result<Vec<ModelInfo>, Failure> {
    let connection = open(address, fingerprint, None, vec![])?;
    let models = connection.models().to_vec();
    connection.close();
    Ok(models)
}

/// How a server is known: by the fingerprint that was given, or by the known-hosts file.
///
/// # Errors
/// There is neither.
pub fn trust(fingerprint: Option<Fingerprint>) -> Result<Trust, Failure> {
    match (fingerprint, Trust::default_known_hosts()) {
        (Some(fingerprint), _) => Ok(Trust::Pinned(fingerprint)),
        (None, Some(file)) => Ok(Trust::KnownHosts(file)),
        (None, None) => Err(Failure::bad(
            "there is no home folder to keep known servers in: give the server's --fingerprint",
        )),
    }
}

/// Connects. A server that is new to the known-hosts file is pointed out.
fn open(
    address: &str,
    fingerprint: Option<Fingerprint>,
    link: Option<Link>,
    engines: Vec<Arc<dyn Engine>>,
) -> Result<Connection, Failure> {
    let config = engines.into_iter().fold(ClientConfig::new(trust(fingerprint)?), ClientConfig::with_engine);
    let config = ClientConfig { link, ..config };
    let connection = Connection::open(address, config)?;
    if connection.trusted() == Trusted::FirstUse {
        let file = Trust::default_known_hosts().unwrap_or_default();
        note(&format!(
            "oribi: {address} is new here; its fingerprint is kept in {}\n  {}\n  Compare it with the one that the \
             server printed.",
            file.display(),
            connection.fingerprint()
        ));
    }
    Ok(connection)
}

impl Wanted<'_> {
    /// The protocol's name on the wire.
    fn wire_name(&self) -> Result<Option<&'static str>, Failure> {
        if let Some(protocol) = self.protocol {
            protocol.reveals(Reveal::from(self.output)).map_err(Failure::bad)?;
        }
        match (self.batch, self.protocol) {
            (false, protocol) => Ok(protocol.map(Protocol::name)),
            (true, protocol) => {
                let protocol = protocol.unwrap_or(Protocol::Lola);
                let one =
                    || Failure::bad(format!("--batch is for lola; {} has no such plan", protocol.name()));
                protocol.batch_name().map(Some).ok_or_else(one)
            }
        }
    }

    /// The engines with the options that were given.
    fn engines(&self) -> Result<Vec<Arc<dyn Engine>>, Failure> {
        let wishes = self.garbling.wishes();
        let garbling: Arc<dyn Engine> = match self.proxy {
            None => Arc::new(DeepSecure { wishes }),
            Some((address, fingerprint)) => {
                // A proxy that is new to the known-hosts file is pointed out, like a server.
                if fingerprint.is_none() {
                    open(address, None, None, Vec::new())?.close();
                }
                Arc::new(Outsourced::new(wishes, address, ClientConfig::new(trust(fingerprint)?)))
            }
        };
        let mut engines = Lola::engines(self.threads, self.keys.map(KeyFolder::new));
        let delphi = self.supply.clone().map_or_else(Delphi::default, Delphi::with_store);
        let gazelle = Gazelle { base_ot: wishes.base_ot, keys: self.keys.map(KeyFolder::new) };
        engines.extend([garbling, Arc::new(gazelle), Arc::new(delphi)]);
        Ok(engines)
    }
}

/// A link to a loopback address that is at least this good is this machine, and no tunnel to another.
const HERE: Link = Link::even(500_000_000, Duration::from_millis(5));

/// The link to a server as it was measured.
pub struct Way {
    /// What was found.
    pub measured: Measured,
    /// The link that this is; none where both parties are on this machine.
    pub link: Option<Link>,
}

/// Measures the link to a server.
///
/// # Errors
/// The server cannot be reached, is not the expected one, is busy, or does not answer measurements.
pub fn measure(address: &str, fingerprint: Option<Fingerprint>) -> Result<Way, Failure> {
    let mut connection = open(address, fingerprint, None, vec![])?;
    let measured = connection.measure()?;
    connection.close();
    let link = measured.link();
    let loopback =
        address.to_socket_addrs().is_ok_and(|mut found| found.any(|found| found.ip().is_loopback()));
    let here = loopback && link.up.min(link.down) >= HERE.up && link.rtt <= HERE.rtt;
    Ok(Way { measured, link: (!here).then_some(link) })
}

/// The protocol of least time among those that a server offers for a model and what is to be revealed. The server knows the model and
/// this side the link: plans are public, so it is this side that prices them. Each takes a connection of its own until it is known, and
/// so does measuring the link, where it is not given and matters.
fn cheapest(
    address: &str,
    fingerprint: Option<Fingerprint>,
    wanted: &Wanted<'_>,
) -> Result<Protocol, Failure> {
    let reveal = Reveal::from(wanted.output);
    let models = offers(address, fingerprint)?;
    let model = models.iter().find(|model| wanted.model.is_none_or(|name| name == model.name));
    if let (None, Some(name)) = (model, wanted.model) {
        let known: Vec<String> = models.iter().map(|model| printable(&model.name)).collect();
        return Err(Failure::bad(format!("{address}: it has no model {name}; it has {}", known.join(", "))));
    }
    let offered = model.iter().flat_map(|model| &model.protocols);
    let offered = offered.filter(|offer| offer.reveals.contains(&reveal));
    let offered: Vec<Protocol> = offered.filter_map(|offer| offer.name.parse().ok()).collect();
    let rates = calibration::told(false);
    let mut offers = Vec::new();
    for protocol in offered {
        let connection = open(address, fingerprint, None, wanted.engines()?)?;
        let choice = oribi::Wanted { model: wanted.model, protocol: Some(protocol.name()), reveal };
        let client = connection.choose(choice)?;
        let prepared = protocol == Protocol::Delphi && wanted.supply.is_some();
        offers.push(Offer::new((protocol, client.plan()), reveal, prepared));
        // It has agreed on nothing that lasts.
        let _ = client.close();
    }
    let none =
        || Failure::bad(format!("{address}: it offers no protocol that reveals the {}", reveal.name()));
    if let Some(protocol) = pricing::cheapest_anywhere(&offers, &rates) {
        let why = if offers.len() > 1 { "cheapest on any link" } else { "all that it offers" };
        note(&format!("oribi: {} is {why}", protocol.name()));
        return Ok(protocol);
    }
    let (link, how) = match wanted.link {
        Some(link) => (Some(link), ""),
        None => (measure(address, fingerprint)?.link, ", as measured"),
    };
    let (seconds, protocol) = pricing::cheapest(&offers, &rates, link).ok_or_else(none)?;
    let on = link.map_or_else(|| "this machine".to_owned(), |link| format!("a link of {link}{how}"));
    let seconds = report::seconds(seconds);
    note(&format!("oribi: {} is cheapest on {on}: {seconds} a prediction", protocol.name()));
    Ok(protocol)
}

/// Whether the party garbles that the user wants.
fn agreed_garbler(client: &oribi::Client, wanted: Garbler) -> Result<(), Failure> {
    if client.protocol() != Protocol::Delphi.name() {
        return Err(Failure::bad(format!("--garbler is for delphi, and this is {}", client.protocol())));
    }
    let plan = interactive::Plan::of(client.plan()).map_err(Failure::running)?;
    if plan.garbler != wanted.into() {
        let wanted = wanted.name();
        return Err(Failure::bad(format!(
            "the server has the other party garble: ask its owner for oribi serve --garbler {wanted}, or leave --garbler out"
        )));
    }
    Ok(())
}

impl Client {
    /// Connects to a server and agrees on a model and a protocol.
    ///
    /// # Errors
    /// The server cannot be reached, is not the expected one, or does not offer what is wanted.
    pub fn connect(
        address: &str,
        fingerprint: Option<Fingerprint>,
        wanted: &Wanted<'_>,
    ) -> Result<Self, Failure> {
        let protocol = match wanted.auto {
            true => Some(cheapest(address, fingerprint, wanted)?.name()),
            false => wanted.wire_name()?,
        };
        let connection = open(address, fingerprint, wanted.link, wanted.engines()?)?;
        if wanted.model.is_none() && connection.models().len() > 1 {
            let names: Vec<&str> = connection.models().iter().map(|model| model.name.as_str()).collect();
            let several =
                format!("the server has several models: choose one with --model: {}", names.join(", "));
            connection.close();
            return Err(Failure::bad(several));
        }
        let client = connection.choose(oribi::Wanted {
            model: wanted.model,
            protocol,
            reveal: Reveal::from(wanted.output),
        })?;
        if let Some(garbler) = wanted.garbler {
            agreed_garbler(&client, garbler)?;
        }
        Ok(Self { inner: client, parts: wanted.parts, warned: false })
    }

    /// What the model takes.
    pub fn inputs(&self) -> &[InputSpec] {
        self.inner.inputs()
    }

    /// What inputs are multiplied by before they are predicted: the basis that the server publishes, if there is one, or the one in a file, which
    /// must be the same where there are both. To be asked for before the first prediction.
    ///
    /// # Errors
    /// The file is no basis, or not the model's; or the session fails.
    pub fn projection(&mut self, file: Option<&str>) -> Result<Option<Arc<Projection>>, Failure> {
        let given = file.map(Projection::load).transpose()?;
        let published = self.inner.projection()?;
        if let (Some(file), Some(given), Some(published)) = (file, &given, &published)
            && given != published
        {
            return Err(Failure::bad(format!(
                "{file}: this is not the basis that the server publishes for {}, which is applied without --projection",
                self.model()
            )));
        }
        Ok(given.or(published).map(Arc::new))
    }

    /// Names of the model's classes, or none.
    pub fn labels(&self) -> &[String] {
        &self.inner.model().labels
    }

    /// The model's name.
    pub fn model(&self) -> &str {
        &self.inner.model().name
    }

    /// The protocol's name.
    pub fn protocol(&self) -> &'static str {
        self.inner.protocol()
    }

    /// Inputs that [`Client::predict`] takes in one pass.
    pub fn batch(&self) -> usize {
        self.inner.batch()
    }

    /// The public graph, and what else was agreed.
    pub fn plan(&self) -> &Plan {
        self.inner.plan()
    }

    /// Makes one-time material for a later prediction; gives what it cost.
    ///
    /// # Errors
    /// A side keeps none, a store is full, or the session fails.
    pub fn prepare(&mut self, progress: &dyn Progress) -> Result<Snapshot, Failure> {
        Ok(self.inner.prepare(progress)?)
    }

    /// How many predictions' material the server suggests to keep ready; 0 where it does not.
    ///
    /// # Errors
    /// As [`Client::prepare`].
    pub fn target(&mut self) -> Result<u64, Failure> {
        Ok(self.inner.target()?)
    }

    /// For how many predictions material is ready.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn held(&self) -> Result<usize, Failure> {
        Ok(self.inner.held()?.unwrap_or(0))
    }

    /// Private predictions in one pass. What the pass cost is charged to the first.
    ///
    /// # Errors
    /// An input does not fit, or the session fails.
    pub fn predict(&mut self, examples: &[Example], progress: &dyn Progress) -> Result<Vec<Line>, Failure> {
        for example in examples {
            if !self.warned
                && let Some(text) = beyond(&self.inner.plan().graph, self.inner.inputs(), &example.tensors)
            {
                self.warned = true;
                note(&format!("{}: {text}", example.name));
            }
        }
        let tensors: Vec<&[Vec<f32>]> = examples.iter().map(|example| example.tensors.as_slice()).collect();
        let predictions = self.inner.predict_batch(&tensors, progress).map_err(|error| {
            let failure = Failure::from(error);
            examples.first().map_or_else(|| Failure::running("no inputs"), |first| failure.at(&first.name))
        })?;
        let mut lines: Vec<Line> = predictions
            .iter()
            .zip(examples)
            .map(|(prediction, example)| self.line(prediction, example))
            .collect();
        for line in lines.iter_mut().skip(1) {
            let peak_rss_bytes = line.costs.map(|costs| costs.peak_rss_bytes).unwrap_or_default();
            line.costs = Some(Costs { peak_rss_bytes, ..Costs::default() });
        }
        Ok(lines)
    }

    fn line(&self, prediction: &Prediction, example: &Example) -> Line {
        let costs = costs(prediction);
        let (class, label_only) = (prediction.class, prediction.outputs.is_empty());
        let outputs =
            prediction.outputs.iter().map(|(name, values)| (name.as_str(), values.clone())).collect();
        let index = gives_index(&self.inner.plan().graph);
        let mut line =
            Outputs::new(outputs, index).line(self.model(), self.protocol(), &example.name, self.labels());
        if label_only {
            line.class = class;
            line.label = report::label(class, self.labels());
        }
        line.costs = Some(costs);
        if self.parts {
            let online = prediction.cost.layers.iter().filter(|row| row.phase == Phase::Online);
            line.parts = online.map(|row| (row.layer.clone(), row.totals.seconds)).collect();
        }
        line
    }

    /// Ends the session in good order.
    ///
    /// # Errors
    /// The connection failed before that.
    pub fn finish(self) -> Result<(), Failure> {
        Ok(self.inner.close()?)
    }
}

/// The account of a prediction as it is reported.
fn costs(prediction: &Prediction) -> Costs {
    let cost = |phase| {
        let totals = prediction.cost.phase(phase);
        let used = totals.sent > 0 || totals.received > 0;
        let spent = Cost {
            seconds: totals.seconds,
            client_bytes: totals.sent,
            server_bytes: totals.received,
            rounds: totals.rounds,
        };
        // A phase in which nothing crossed is one that the protocol lacks.
        if used { spent } else { Cost::default() }
    };
    Costs {
        setup: cost(Phase::Setup),
        offline: cost(Phase::Offline),
        online: cost(Phase::Online),
        peak_rss_bytes: PeakRss {
            client: prediction.peak_rss_bytes.client,
            server: prediction.peak_rss_bytes.server,
        },
    }
}
