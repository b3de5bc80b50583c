//! The client's side of the commands: a connection, a model, predictions as lines.

use std::sync::Arc;

use oribi::client::DeepSecure;
use oribi::input::{Example, InputSpec};
use oribi::{ClientConfig, Connection, Fingerprint, Prediction, Trust, Trusted};
use protocol::handshake::ModelInfo;
use protocol::meter::Phase;
use protocol::shape::Link;
use protocol::{Progress, Reveal};

use crate::choice::{Garbling, Output, Protocol};
use crate::console::note;
use crate::failure::Failure;
use crate::report::{self, Cost, Costs, Line, Outputs, PeakRss};
use crate::source::gives_index;

/// What a command asks a server for.
pub struct Wanted<'a> {
    /// The model; needed where the server has several.
    pub model: Option<&'a str>,
    /// The protocol; the server's first offer by default.
    pub protocol: Option<Protocol>,
    /// Scores or label.
    pub output: Output,
    /// Slows this side's half of the connection.
    pub link: Option<Link>,
    /// Options of `deepsecure`.
    pub garbling: Garbling,
}

/// A client that has agreed with its server.
pub struct Client(oribi::Client);

/// What a server offers.
///
/// # Errors
/// The server cannot be reached, or is not the expected one.
pub fn offers(address: &str, fingerprint: Option<Fingerprint>) -> Result<Vec<ModelInfo>, Failure> {
    let connection = open(address, fingerprint, None, Garbling::default())?;
    let models = connection.models().to_vec();
    connection.close();
    Ok(models)
}

/// Connects. A server that is new to the known-hosts file is pointed out.
fn open(
    address: &str,
    fingerprint: Option<Fingerprint>,
    link: Option<Link>,
    garbling: Garbling,
) -> Result<Connection, Failure> {
    let known_hosts = Trust::default_known_hosts();
    let trust = match (fingerprint, &known_hosts) {
        (Some(fingerprint), _) => Trust::Pinned(fingerprint),
        (None, Some(file)) => Trust::KnownHosts(file.clone()),
        (None, None) => {
            return Err(Failure::bad(
                "there is no home folder to keep known servers in: give the server's --fingerprint",
            ));
        }
    };
    let engine = Arc::new(DeepSecure { wishes: garbling.wishes() });
    let config = ClientConfig { link, ..ClientConfig::new(trust).with_engine(engine) };
    let connection = Connection::open(address, config)?;
    if connection.trusted() == Trusted::FirstUse {
        let file = known_hosts.unwrap_or_default();
        note(&format!(
            "oribi: {address} is new here; its fingerprint is kept in {}\n  {}\n  Compare it with the one that the \
             server printed.",
            file.display(),
            connection.fingerprint()
        ));
    }
    Ok(connection)
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
        let connection = open(address, fingerprint, wanted.link, wanted.garbling)?;
        if wanted.model.is_none() && connection.models().len() > 1 {
            let names: Vec<&str> = connection.models().iter().map(|model| model.name.as_str()).collect();
            let several =
                format!("the server has several models: choose one with --model: {}", names.join(", "));
            connection.close();
            return Err(Failure::bad(several));
        }
        let client = connection.choose(oribi::Wanted {
            model: wanted.model,
            protocol: wanted.protocol.map(Protocol::name),
            reveal: Reveal::from(wanted.output),
        })?;
        Ok(Self(client))
    }

    /// What the model takes.
    pub fn inputs(&self) -> &[InputSpec] {
        self.0.inputs()
    }

    /// Names of the model's classes, or none.
    pub fn labels(&self) -> &[String] {
        &self.0.model().labels
    }

    /// The model's name.
    pub fn model(&self) -> &str {
        &self.0.model().name
    }

    /// The protocol's name.
    pub fn protocol(&self) -> &'static str {
        self.0.protocol()
    }

    /// A private prediction.
    ///
    /// # Errors
    /// The input does not fit, or the session fails.
    pub fn predict(&mut self, example: &Example, progress: &dyn Progress) -> Result<Line, Failure> {
        let prediction = self.0.predict(&example.tensors, progress).map_err(|error| {
            let failure = Failure::from(error);
            failure.at(&example.name)
        })?;
        let costs = costs(&prediction);
        let (class, label_only) = (prediction.class, prediction.outputs.is_empty());
        let outputs =
            prediction.outputs.iter().map(|(name, values)| (name.as_str(), values.clone())).collect();
        let index = gives_index(&self.0.plan().graph);
        let mut line =
            Outputs::new(outputs, index).line(self.model(), self.protocol(), &example.name, self.labels());
        if label_only {
            line.class = class;
            line.label = report::label(class, self.labels());
        }
        line.costs = Some(costs);
        Ok(line)
    }

    /// Ends the session in good order.
    ///
    /// # Errors
    /// The connection failed before that.
    pub fn finish(self) -> Result<(), Failure> {
        Ok(self.0.close()?)
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
