//! `oribi predict`: private inputs, a server's model.

use std::path::PathBuf;

use oribi::Fingerprint;
use protocol::shape::Link;

use crate::choice::{Asked, Garbler, Garbling, Output, Protocol};
use crate::client::{Client, Wanted};
use crate::console::{Human, Progress, note, out};
use crate::failure::Failure;
use crate::report;
use crate::stores;

/// Predict private inputs with a server's model.
///
/// The server learns nothing about the inputs. INPUT is a PNG, JPEG, .npy, .npz, IDX or JSON file; FILE#3 is one input
/// of a file that holds several.
#[derive(clap::Args)]
pub struct Arguments {
    /// Files with inputs.
    #[arg(value_name = "INPUT", required = true)]
    inputs: Vec<String>,
    /// The server's address and port.
    #[arg(long, value_name = "ADDRESS")]
    server: String,
    /// The fingerprint of the server's certificate, as `oribi serve` prints it; without it, the one seen at first contact.
    #[arg(long, value_name = "FINGERPRINT")]
    fingerprint: Option<Fingerprint>,
    /// Which of the server's models; needed where it has several.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// How to compute: deepsecure, lola, gazelle or delphi, or auto: the cheapest of what the server offers, by this machine's rates and the
    /// link to the server, which is measured where it matters (or --link). The server's first offer by default.
    #[arg(long, value_name = "PROTOCOL")]
    protocol: Option<Asked>,
    /// What to reveal: all scores, or the best label alone.
    #[arg(long, value_name = "WHAT", default_value = "scores")]
    output: Output,
    /// The public basis that inputs are multiplied by, where the model takes coordinates; an .npy of the model's owner. By default the one that
    /// the server publishes, if it does.
    #[arg(long, value_name = "FILE")]
    projection: Option<String>,
    /// How many of the best classes to print.
    #[arg(long, value_name = "K", default_value_t = 3)]
    top: usize,
    /// Slow the connection down: lan, wan, or RATE,RTT such as 100mbit,40ms.
    #[arg(long, value_name = "LINK")]
    link: Option<Link>,
    /// deepsecure: a proxy that garbles (oribi proxy). The input is shared between it and the server, and this side has next to nothing to
    /// compute or to send; the two must not work together.
    #[arg(long, value_name = "ADDRESS")]
    proxy: Option<String>,
    /// The fingerprint of the proxy's certificate, as `oribi proxy` prints it.
    #[arg(long, value_name = "FINGERPRINT", requires = "proxy")]
    proxy_fingerprint: Option<Fingerprint>,
    #[command(flatten)]
    garbling: Garbling,
    /// delphi: refuse a server that has the other party garble (see oribi serve --garbler).
    #[arg(long, value_name = "PARTY")]
    garbler: Option<Garbler>,
    /// lola: threads of this side; all cores by default.
    #[arg(long, value_name = "COUNT", default_value_t = 0, hide_default_value = true)]
    threads: usize,
    /// lola: all inputs in one pass, or in as few as they fit. The server must offer it (serve --batch).
    #[arg(long)]
    batch: bool,
    /// lola, gazelle by he-slots: keep this client's keys in a folder, so that a server that knows them need not be sent them again. delphi:
    /// the folder of prepared bundles (oribi prepare); a prediction for which there is none prepares its own.
    #[arg(long, value_name = "FOLDER")]
    store: Option<PathBuf>,
    /// With --json: the seconds of each part of the online phase, as the client sees them.
    #[arg(long, hide = true)]
    parts: bool,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let named = arguments.protocol.and_then(Asked::named);
    let wanted = Wanted {
        model: arguments.model.as_deref(),
        protocol: named.or(arguments.proxy.as_ref().map(|_| Protocol::DeepSecure)),
        auto: arguments.protocol == Some(Asked::Auto) && arguments.proxy.is_none() && !arguments.batch,
        output: arguments.output,
        link: arguments.link,
        garbling: arguments.garbling,
        garbler: arguments.garbler,
        proxy: arguments.proxy.as_deref().map(|address| (address, arguments.proxy_fingerprint)),
        threads: arguments.threads,
        batch: arguments.batch,
        keys: arguments.store.as_deref(),
        supply: stores::for_predictions(arguments.store.as_deref(), named)?,
        parts: arguments.parts,
    };
    let mut client = Client::connect(&arguments.server, arguments.fingerprint, &wanted)?;
    let projection = client.projection(arguments.projection.as_deref())?;
    // All files are opened before anything is sent, so that a wrong one is found at once.
    let files = arguments
        .inputs
        .iter()
        .map(|input| oribi::input::open_projected(input, client.inputs(), projection.as_ref()))
        .collect::<Result<Vec<_>, _>>()?;
    let progress =
        Progress::new(files.iter().map(|file| file.len() as u64).sum(), "predicting", arguments.link);
    let human = Human::new(arguments.json);
    let mut examples = files.into_iter().flatten();
    loop {
        let batch = examples.by_ref().take(client.batch()).collect::<Result<Vec<_>, _>>()?;
        if batch.is_empty() {
            break;
        }
        for line in client.predict(&batch, &progress)? {
            progress.step();
            progress.suspend(|| match arguments.json {
                true => out(&line.to_json()?),
                false => print(human, &line, client.labels(), arguments.top),
            })?;
        }
    }
    drop(progress);
    if let Err(failure) = client.finish() {
        failure.lines().iter().for_each(|line| note(line));
    }
    Ok(())
}

/// One prediction for people.
fn print(human: Human, line: &report::Line, labels: &[String], top: usize) -> Result<(), Failure> {
    human.line(&format!("{}: {}", line.input, line.label))?;
    for text in report::best(&line.output, labels, top) {
        human.line(&format!("  {text}"))?;
    }
    for text in line.costs.iter().flat_map(report::phase_lines) {
        human.line(&format!("  {text}"))?;
    }
    Ok(())
}
