//! `oribi demo`: a server and a client as two processes on this machine.

use std::path::Path;
use std::sync::Arc;

use oribi::input::{Example, InputSpec, Projection};
use protocol::shape::Link;

use crate::builtin::{self, DIGITS};
use crate::child::ServerProcess;
use crate::choice::{Asked, Encryption, Garbler, Garbling, Numbers, Output, Protocol};
use crate::client::{Client, Wanted};
use crate::console::{Human, Progress, out};
use crate::failure::Failure;
use crate::report::{self, Line};
use crate::screen::{Ink, Picture};

/// See private inference at work: a server and a client as two processes on this machine.
///
/// Without arguments: a small network and ten handwritten digits that are built into the program.
#[derive(clap::Args)]
pub struct Arguments {
    /// The server's network, an ONNX file. A small one that is built in by default: builtin:digits, or builtin:lola-small for lola.
    #[arg(value_name = "MODEL")]
    model: Option<String>,
    /// The client's inputs: PNG, JPEG, .npy, .npz, IDX or JSON; FILE#3 is one of several. The built-in digits by default.
    #[arg(value_name = "INPUT")]
    inputs: Vec<String>,
    /// How to compute: deepsecure, lola, gazelle or delphi, or auto, the cheapest on the link.
    #[arg(long, value_name = "PROTOCOL")]
    protocol: Option<Asked>,
    #[command(flatten)]
    numbers: Numbers,
    /// Slow the connection down: lan, wan, or RATE,RTT such as 100mbit,40ms.
    #[arg(long, value_name = "LINK")]
    link: Option<Link>,
    /// What to reveal: all scores, or the best label alone.
    #[arg(long, value_name = "WHAT", default_value = "scores")]
    output: Output,
    #[command(flatten)]
    garbling: Garbling,
    /// delphi: which party garbles, server (the default) or client.
    #[arg(long, value_name = "PARTY")]
    garbler: Option<Garbler>,
    #[command(flatten)]
    encryption: Encryption,
    /// Print one JSON object a line; the report for people goes to standard error.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// The protocol that is asked for by name.
    fn named(&self) -> Option<Protocol> {
        self.protocol.and_then(Asked::named)
    }
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    check_files(arguments)?;
    let human = Human::new(arguments.json);
    let server = ServerProcess::start(&server_arguments(arguments))?;
    let announced = &server.announcement;
    let wanted = Wanted {
        model: None,
        protocol: arguments.named(),
        auto: false,
        output: arguments.output,
        link: arguments.link,
        garbling: arguments.garbling,
        garbler: arguments.garbler,
        proxy: None,
        threads: arguments.encryption.threads,
        batch: arguments.encryption.batch,
        keys: None,
        supply: None,
        parts: false,
    };
    let fingerprint = announced.fingerprint.parse().map_err(Failure::running)?;
    let mut client = Client::connect(&announced.listen, Some(fingerprint), &wanted)?;
    let projection = client.projection(None)?;
    let inputs = Inputs::open(&arguments.inputs, client.inputs(), projection.as_ref())?;
    human.line(&format!("server   process {}, holding the network {}", server.id(), client.model()))?;
    human.line(&format!("client   process {}, holding {}", std::process::id(), inputs.describe()))?;
    human.line(&format!("between  TLS 1.3 at {}, protocol {}", announced.listen, client.protocol()))?;
    human.line("")?;
    let progress = Progress::new(inputs.count as u64, "predicting", arguments.link);
    let mut tally = Tally::default();
    let mut entries = inputs.entries;
    loop {
        let (examples, truths): (Vec<Example>, Vec<_>) =
            entries.by_ref().take(client.batch()).collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        if examples.is_empty() {
            break;
        }
        let lines = client.predict(&examples, &progress)?;
        for ((line, example), truth) in lines.iter().zip(&examples).zip(truths) {
            let picture = match client.inputs() {
                [only] => Picture::from_tensor(&only.shape, &example.tensors[0]),
                _ => None,
            };
            tally.add(line, truth);
            progress.step();
            progress.suspend(|| {
                show(human, picture.as_ref(), line, truth, client.labels())?;
                if arguments.json { out(&line.to_json()?) } else { Ok(()) }
            })?;
        }
    }
    drop(progress);
    client.finish()?;
    human.line(&tally.sentence())
}

/// Refuses what cannot be, and files that are not there, before a server is started.
fn check_files(arguments: &Arguments) -> Result<(), Failure> {
    if let Some(protocol) = arguments.named() {
        protocol.reveals(arguments.output.into()).map_err(Failure::bad)?;
    }
    match &arguments.model {
        Some(path) if !is_built_in(path) && !Path::new(path).exists() => {
            Err(Failure::bad(format!("{path}: no such file; wanted an ONNX model")))
        }
        _ => Ok(()),
    }
}

fn is_built_in(path: &str) -> bool {
    builtin::NETWORKS.iter().any(|network| network.path == path)
}

/// The network that is shown.
fn model(arguments: &Arguments) -> &str {
    match (&arguments.model, arguments.named()) {
        (Some(path), _) => path,
        (None, Some(Protocol::Lola)) => builtin::SMALL,
        (None, _) => builtin::MODEL,
    }
}

/// What the server process is started with.
fn server_arguments(arguments: &Arguments) -> Vec<String> {
    let mut list = vec!["--listen".to_owned(), "127.0.0.1:0".to_owned()];
    if let Some(asked) = arguments.protocol {
        list.extend(["--protocol".to_owned(), asked.name().to_owned()]);
    }
    if let Some(link) = arguments.link {
        list.extend(["--link".to_owned(), link.to_string()]);
    }
    list.extend(arguments.numbers.arguments());
    list.extend(arguments.garbling.arguments());
    if let Some(garbler) = arguments.garbler {
        list.extend(["--garbler".to_owned(), garbler.name().to_owned()]);
    }
    list.extend(arguments.encryption.arguments());
    list.push("--".to_owned());
    list.push(model(arguments).to_owned());
    list
}

/// An input with its true label, where that is known.
type Entry = Result<(Example, Option<&'static str>), Failure>;

/// The client's inputs, read one at a time.
struct Inputs {
    entries: Box<dyn Iterator<Item = Entry>>,
    count: usize,
    built_in: bool,
}

impl Inputs {
    fn open(
        files: &[String],
        specs: &[InputSpec],
        projection: Option<&Arc<Projection>>,
    ) -> Result<Self, Failure> {
        if files.is_empty() {
            return Self::digits(specs);
        }
        let open = |file: &String| oribi::input::open_projected(file, specs, projection);
        let files = files.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let count = files.iter().map(oribi::input::InputFile::len).sum();
        let entries = files.into_iter().flatten().map(|example| Ok((example?, None)));
        Ok(Self { entries: Box::new(entries), count, built_in: false })
    }

    /// The built-in digits, for a model that takes such pictures.
    fn digits(specs: &[InputSpec]) -> Result<Self, Failure> {
        let examples = match specs {
            [only] => DIGITS.iter().map(|digit| digit.example(only)).collect::<Result<Vec<_>, _>>().ok(),
            _ => None,
        };
        let examples = examples.ok_or_else(|| {
            Failure::bad(
                "the model does not take the built-in pictures of 28 x 28 pixels; name inputs after it",
            )
        })?;
        let entries =
            examples.into_iter().zip(&DIGITS).map(|(example, digit)| Ok((example, Some(digit.label))));
        Ok(Self { entries: Box::new(entries), count: DIGITS.len(), built_in: true })
    }

    fn describe(&self) -> String {
        match (self.built_in, self.count) {
            (true, count) => format!("{count} handwritten digits (MNIST test images)"),
            (false, 1) => "1 input".to_owned(),
            (false, count) => format!("{count} inputs"),
        }
    }
}

/// Sums over the predictions.
#[derive(Default)]
struct Tally {
    predictions: u64,
    known: u64,
    right: u64,
    bytes: u64,
    seconds: f64,
}

impl Tally {
    fn add(&mut self, line: &Line, truth: Option<&str>) {
        self.predictions += 1;
        self.known += u64::from(truth.is_some());
        self.right += u64::from(truth == Some(&line.label));
        if let Some(costs) = &line.costs {
            self.bytes += costs.bytes();
            self.seconds += costs.seconds();
        }
    }

    fn sentence(&self) -> String {
        let each = self.predictions.max(1);
        let right =
            if self.known > 0 { format!("{} of {} right; ", self.right, self.known) } else { String::new() };
        format!(
            "{right}{} and {} in all, {} and {} a prediction.\nThe server saw none of the inputs, the client none of the weights.",
            report::bytes(self.bytes),
            report::seconds(self.seconds),
            report::bytes(self.bytes / each),
            report::seconds(self.seconds / each as f64),
        )
    }
}

/// One prediction, its picture to the left.
fn show(
    human: Human,
    picture: Option<&Picture>,
    line: &Line,
    truth: Option<&str>,
    labels: &[String],
) -> Result<(), Failure> {
    let mut text = vec![line.input.clone(), String::new(), format!("prediction  {}", line.label)];
    if let Some(truth) = truth {
        let verdict = if truth == line.label { "right" } else { "wrong" };
        text.push(format!("true label  {truth}   {verdict}"));
    }
    text.push(String::new());
    text.extend(report::best(&line.output, labels, 3));
    text.push(String::new());
    text.extend(line.costs.iter().flat_map(report::phase_lines));
    let Some(picture) = picture else {
        return text.iter().try_for_each(|text| human.line(text));
    };
    let rows = picture.lines(Ink::detect(human.is_terminal()));
    let blank = " ".repeat(picture.columns());
    for index in 0..rows.len().max(text.len()) {
        let row = rows.get(index).unwrap_or(&blank);
        let text = text.get(index).map_or("", String::as_str);
        human.line(format!("{row}   {text}").trim_end())?;
    }
    human.line("")
}
