//! `oribi serve`: models for private predictions.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use oribi::input::Projection;
use oribi::server::{DeepSecure, Delphi, DelphiConfig, Event, Gazelle, GazelleConfig, Lola, LolaConfig};
use oribi::{Identity, ServedModel, Server, ServerConfig, Variant};
use protocol::Reveal;
use protocol::encrypted::plans;
use protocol::handshake::{MAX_BASIS, Plan};
use protocol::meter::Phase;
use protocol::shape::Link;

use crate::calibration;
use crate::child::{Announcement, wait_for_parent};
use crate::choice::{Asked, Encryption, Garbler, Garbling, Linear, Numbers, Output, Protocol, Size};
use crate::console::{note, out, patiently};
use crate::failure::{FAILED, Failure};
use crate::pricing::Offer;
use crate::report::{bytes, seconds};
use crate::source::Source;
use crate::stores;

/// Serve models for private predictions until Ctrl-C.
///
/// Clients learn predictions and nothing of the weights; the server learns nothing of the inputs.
#[derive(clap::Args)]
pub struct Arguments {
    /// The networks, ONNX files; a side file MODEL.oribi.toml beside each is read too.
    #[arg(value_name = "MODEL", required = true)]
    models: Vec<String>,
    /// Where to listen; port 0 picks a free one. 0.0.0.0:6174 listens for other machines too.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:6174")]
    listen: String,
    /// Offer this protocol alone: deepsecure, lola, gazelle or delphi. All that the model supports by default; with auto too, the cheapest
    /// on --link first, which is what clients get that name none.
    #[arg(long, value_name = "PROTOCOL")]
    protocol: Option<Asked>,
    /// Offer this output alone: scores or label. Both by default.
    #[arg(long, value_name = "WHAT")]
    output: Option<Output>,
    #[command(flatten)]
    numbers: Numbers,
    /// Most clients at a time; others are told to come back.
    #[arg(long, value_name = "COUNT", default_value_t = 32)]
    sessions: usize,
    /// A certificate chain of your own, in PEM, with --key. By default one is made at the first start and kept.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The certificate's private key, in PEM.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Where the server's own certificate is kept; in the user's data folder by default.
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
    #[command(flatten)]
    garbling: Garbling,
    #[command(flatten)]
    encryption: Encryption,
    /// lola, gazelle by he-slots: most memory for clients' evaluation keys, which are kept so that they are sent once.
    #[arg(long, value_name = "SIZE", default_value = "1GB")]
    key_memory: Size,
    /// lola: most memory for queries at one time; others wait.
    #[arg(long, value_name = "SIZE", default_value = "8GB")]
    memory: Size,
    /// gazelle, delphi: how linear layers meet ciphertexts, he-slots (the papers' kernels, with rotations), he-coefficients or auto: the faster for
    /// gazelle, coefficients for delphi.
    #[arg(long, value_name = "METHOD", default_value = "auto")]
    linear: Linear,
    /// delphi: which party garbles, server or client. The other stores what is garbled, 1.6 kB a ReLU, and receives it beforehand; once the
    /// input is there the garbler sends 0.4 kB a ReLU. A garbler that departs from the protocol may learn more than it should.
    #[arg(long, value_name = "PARTY", default_value = "server")]
    garbler: Garbler,
    /// gazelle, delphi: most memory for encoded weights of each model; others are encoded when they are needed.
    #[arg(long, value_name = "SIZE", default_value = "1GB")]
    weights_memory: Size,
    /// delphi: the folder of this side's halves of prepared bundles (oribi prepare), some 100 bytes each; in the user's data folder by default.
    #[arg(long, value_name = "FOLDER")]
    store: Option<PathBuf>,
    /// delphi: most bytes of bundles in the folder; a client may take a quarter.
    #[arg(long, value_name = "SIZE", default_value = "20GB")]
    store_limit: Size,
    /// delphi: bundles that each following client (prepare --follow) is asked to keep ready. They are made when no prediction is under way.
    #[arg(long, value_name = "COUNT", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=4096))]
    prefill: u64,
    /// Slow the connections down: lan, wan, or RATE,RTT such as 100mbit,40ms.
    #[arg(long, value_name = "LINK")]
    link: Option<Link>,
    /// End with the process at the other end of standard input, and announce the address in one line of JSON.
    #[arg(long, hide = true)]
    tether: bool,
}

impl Arguments {
    /// The only protocol that is offered, if there is one.
    fn named(&self) -> Option<Protocol> {
        self.protocol.and_then(Asked::named)
    }
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let protocols = arguments.named().map_or(Protocol::ALL.to_vec(), |protocol| vec![protocol]);
    let load = |model: &String| Source::load_for(model, &arguments.numbers, &protocols);
    let sources = arguments.models.iter().map(load).collect::<Result<Vec<_>, _>>()?;
    let models = sources.iter().map(|source| served(source, arguments)).collect::<Result<Vec<_>, _>>()?;
    let config = ServerConfig {
        max_sessions: arguments.sessions,
        link: arguments.link,
        observer: if arguments.tether { Arc::new(complain) } else { Arc::new(log) },
        ..ServerConfig::default()
    }
    .with_engine(Arc::new(DeepSecure::new(arguments.garbling.wishes())));
    let lola = LolaConfig {
        threads: arguments.encryption.threads,
        key_memory: arguments.key_memory.0,
        memory: arguments.memory.0,
        ..LolaConfig::default()
    };
    let weights_memory = usize::try_from(arguments.weights_memory.0).unwrap_or(usize::MAX);
    let gazelle = GazelleConfig {
        weights_memory,
        base_ot: arguments.garbling.wishes().base_ot,
        key_memory: arguments.key_memory.0,
    };
    let config = config
        .with_engine(Arc::new(Gazelle::new(gazelle)))
        .with_engine(Arc::new(Delphi::new(delphi(arguments, weights_memory)?)));
    let config = Lola::engines(lola)?.into_iter().fold(config, ServerConfig::with_engine);
    let pem = arguments.cert.as_deref().zip(arguments.key.as_deref());
    let identity = identity(pem, arguments.tether, arguments.state.as_deref())?;
    let server = patiently(
        "weights are made ready; plans under encryption are checked against the integers, which takes a prediction's time",
        || Server::bind(&arguments.listen, &identity, models, config),
    )?;
    stop_on_interrupt(&server)?;
    if arguments.tether {
        stop_with_parent(&server);
    }
    announce(arguments, &sources, &server)?;
    if server.run() {
        Ok(())
    } else {
        Err(Failure::running("some predictions did not end in time and were cut off"))
    }
}

/// What is granted to `delphi`. A server that its parent ends keeps nothing, unless it is told where.
fn delphi(arguments: &Arguments, weights_memory: usize) -> Result<DelphiConfig, Failure> {
    let offered = arguments.named().is_none_or(|protocol| protocol == Protocol::Delphi);
    let store = match (&arguments.store, arguments.tether) {
        (None, true) => None,
        (folder, _) if offered => stores::server(folder.as_deref(), arguments.store_limit.0)?,
        _ => None,
    };
    let silent = arguments.tether;
    let tell = move |words: &str| {
        if !silent {
            note(words);
        }
    };
    Ok(DelphiConfig { weights_memory, store, prefill: arguments.prefill, tell: Arc::new(tell) })
}

/// A model with the protocols and outputs that are offered: all that it supports, or the one that is asked for.
fn served(source: &Source, arguments: &Arguments) -> Result<ServedModel, Failure> {
    let mut variants = Vec::new();
    match arguments.named() {
        Some(protocol) => variants.extend(offer(source, protocol, arguments)?),
        None => {
            let mut refusals = Vec::new();
            for protocol in Protocol::ALL {
                match offer(source, protocol, arguments) {
                    Ok(offered) => variants.extend(offered),
                    Err(refusal) => refusals.push(refusal),
                }
            }
            if variants.is_empty() {
                let none = || Failure::bad(format!("{}: no protocol can run it", source.path));
                return Err(refusals.into_iter().next().unwrap_or_else(none));
            }
        }
    }
    if arguments.protocol == Some(Asked::Auto) {
        sort(&mut variants, arguments.link);
    }
    Ok(ServedModel {
        name: source.meta.name.clone(),
        labels: source.meta.labels.clone(),
        inputs: source.inputs(),
        projection: published(source)?,
        variants,
    })
}

/// The basis that clients apply, if the model has one and it is not too long to send.
fn published(source: &Source) -> Result<Option<Projection>, Failure> {
    let Some(basis) = source.basis()? else { return Ok(None) };
    if basis.values().len() > MAX_BASIS {
        note(&format!(
            "oribi: {}: its basis has {} numbers, and at most {MAX_BASIS} are published: clients need the file (predict --projection)",
            source.meta.name,
            basis.values().len()
        ));
        return Ok(None);
    }
    Ok(Some(Arc::unwrap_or_clone(basis)))
}

/// The cheapest first. Plans for many inputs in one pass have no price for one, and stay behind.
fn sort(variants: &mut [Variant], link: Option<Link>) {
    let rates = calibration::told(false);
    let price = |variant: &Variant| {
        let plan = Plan { graph: variant.graph.clone(), payload: variant.payload.clone() };
        let reveal = variant.reveals.first().copied().unwrap_or(Reveal::Scores);
        let offer = |protocol| Offer::new((protocol, &plan), reveal, false).seconds(&rates, link);
        variant.protocol.parse().map_or(f64::INFINITY, offer)
    };
    variants.sort_by_cached_key(|variant| (price(variant) * 1e6) as u64);
}

/// A model as one protocol computes it.
fn offer(source: &Source, protocol: Protocol, arguments: &Arguments) -> Result<Vec<Variant>, Failure> {
    let bad = |why: String| Failure::bad(format!("{}: {why}", source.path));
    let reveals: Vec<Reveal> = match arguments.output {
        Some(output) => vec![Reveal::from(output)],
        None => vec![Reveal::Scores, Reveal::Label],
    };
    let possible: Vec<Reveal> =
        reveals.iter().copied().filter(|reveal| protocol.reveals(*reveal).is_ok()).collect();
    if let ([], Some(reveal)) = (possible.as_slice(), reveals.first()) {
        protocol.reveals(*reveal).map_err(bad)?;
    }
    source.supports(protocol).map_err(bad)?;
    let (graph, params) = patiently(
        &format!("{}: looking for the scales of integers for {}", source.meta.name, protocol.name()),
        || source.quantise(arguments.linear.number(protocol)),
    )?;
    for reveal in &possible {
        protocol.check(&graph, *reveal, arguments.garbling.first_layer).map_err(bad)?;
    }
    let variant = |name: &str, payload| Variant {
        protocol: name.to_owned(),
        reveals: possible.clone(),
        graph: graph.clone(),
        payload,
        params: params.clone(),
    };
    let batch = protocol.batch_name().filter(|_| arguments.encryption.batch);
    let link = arguments.link.unwrap_or(Link::LAN);
    let (mut variants, mut refusal) = (Vec::new(), None);
    for name in std::iter::once(protocol.name()).chain(batch) {
        let payload = match protocol {
            Protocol::DeepSecure => Ok(serde_json::Value::Null),
            Protocol::Gazelle => arguments.linear.plan(&graph, link).and_then(|plan| plan.payload()),
            Protocol::Delphi => {
                let plan = arguments.linear.ahead(&graph, link, arguments.garbler.into());
                plan.and_then(|plan| plan.payload())
            }
            Protocol::Lola => patiently(
                &format!(
                    "{}: looking for the best plan of {name}; large networks take a minute",
                    source.meta.name
                ),
                || plans::make(name, &graph, &plan_options(arguments)),
            ),
        };
        match payload {
            Ok(payload) => variants.push(variant(name, payload)),
            Err(error) => refusal = refusal.or(Some(format!("{name}: {error}"))),
        }
    }
    // A network may be one for one of the two plans alone.
    match refusal {
        Some(why) if variants.is_empty() => Err(bad(why)),
        _ => Ok(variants),
    }
}

/// What is asked of a plan.
fn plan_options(arguments: &Arguments) -> plans::Options {
    plans::Options { preset: arguments.encryption.plan.clone(), threads: arguments.encryption.threads }
}

/// The user's certificate, or the server's own.
pub fn identity(
    pem: Option<(&Path, &Path)>,
    tether: bool,
    state: Option<&Path>,
) -> Result<Identity, Failure> {
    if let Some((certificate, key)) = pem {
        return Identity::from_pem(certificate, key).map_err(Failure::bad);
    }
    if tether && state.is_none() {
        return Identity::ephemeral().map_err(Failure::running);
    }
    let folder = state.map(Path::to_owned).or_else(stores::data_folder);
    let folder = folder
        .ok_or_else(|| Failure::bad("there is no home folder to keep the certificate in: give --state"))?;
    Identity::load_or_create(&folder).map_err(Failure::bad)
}

/// The first Ctrl-C lets predictions finish, the second does not.
fn stop_on_interrupt(server: &Server) -> Result<(), Failure> {
    let (handle, again) = (server.handle(), AtomicBool::new(false));
    ctrlc::set_handler(move || {
        if again.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(FAILED));
        }
        handle.stop();
    })
    .map_err(|error| Failure::running(format!("Ctrl-C cannot be caught: {error}")))
}

fn stop_with_parent(server: &Server) {
    let handle = server.handle();
    std::thread::spawn(move || {
        wait_for_parent();
        handle.stop();
    });
}

/// Says where the server is: one line of JSON for the process at the other end of the tether, else words.
fn announce(arguments: &Arguments, sources: &[Source], server: &Server) -> Result<(), Failure> {
    let (listen, fingerprint) = (server.address().to_string(), server.fingerprint().to_string());
    if arguments.tether {
        let line = serde_json::to_string(&Announcement { listen, fingerprint }).map_err(Failure::running)?;
        return out(&line);
    }
    for source in sources {
        out(&format!("serving      {}", source.meta.name))?;
    }
    out(&format!("address      {listen}"))?;
    out(&format!("fingerprint  {fingerprint}"))?;
    out(&format!("A client:    oribi predict INPUT --server {listen} --fingerprint {fingerprint}"))?;
    out("Ctrl-C ends the server.")
}

/// What an operator wants to see. Peers' words come printable.
pub fn log(event: &Event) {
    let name = |client: &Option<SocketAddr>| {
        client.map_or_else(|| "a client".to_owned(), |client| client.to_string())
    };
    match event {
        Event::Opened { client, model, protocol } => {
            note(&format!("{}: {model} with {protocol}", name(client)))
        }
        Event::Predicted { client, cost, .. } => {
            let online = cost.phase(Phase::Online);
            let traffic = bytes(online.sent + online.received);
            note(&format!("{}: a prediction, {} online, {traffic}", name(client), seconds(online.seconds)));
        }
        Event::Prepared { client, cost, .. } => {
            let offline = cost.phase(Phase::Offline);
            let traffic = bytes(offline.sent + offline.received);
            note(&format!("{}: a bundle prepared, {}, {traffic}", name(client), seconds(offline.seconds)));
        }
        Event::Closed { client, predictions, error: None } => {
            note(&format!("{}: left after {predictions} predictions", name(client)));
        }
        Event::Closed { client, predictions, error: Some(error) } => {
            note(&format!("{}: ended after {predictions} predictions: {error}", name(client)));
        }
        other => complain(other),
    }
}

/// What concerns a tethered server's owner: only what goes wrong on the server itself.
pub fn complain(event: &Event) {
    match event {
        Event::Refused { why } => note(&format!("oribi: a connection could not be begun: {why}")),
        Event::Panicked { .. } => {
            note("oribi: a session ended by an error of the program; the server goes on")
        }
        _ => {}
    }
}
