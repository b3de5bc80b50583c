//! LoLa (ICML '19), Table 2 and the CIFAR-10 network: networks on ciphertexts, one request and one reply.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use model::fixed::{FixedGraph, Params};
use model::reference;
use oribi::input::Example;
use serde::Deserialize;

use super::Arguments;
use super::labelled::Labelled;
use super::table::{Figures, Row, Table, heading};
use crate::builtin;
use crate::child::ServerProcess;
use crate::choice::Protocol;
use crate::failure::{FAILED, Failure};
use crate::npy;
use crate::source::{Number, Source};

/// The table `lola`.
pub struct Lola;

/// Digits that are predicted under encryption, of those whose accuracy is measured by the integer reference.
const ENCRYPTED: usize = 200;

/// A row.
struct Entry {
    table: &'static str,
    row: &'static str,
    network: &'static str,
    /// The file with real weights, and what stands for it.
    file: &'static str,
    builtin: &'static str,
    /// A plan of the paper by its name.
    plan: Option<&'static str>,
    batch: bool,
    kind: Kind,
    accuracy: Option<f64>,
    seconds: f64,
    memory: Option<u64>,
    hourly: Option<u64>,
}

/// Where a row's inputs come from.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Handwritten digits.
    Digits,
    /// The examples of an `.npz` with an array `labels` below `--data`, or else generated inputs; so many of them under encryption.
    Labelled(&'static str, usize),
}

const MNIST: Entry = Entry {
    table: "lola-2",
    row: "LoLa",
    network: "28x28-5C5-Square-100FC-Square-10FC",
    file: "cryptonets.onnx",
    builtin: builtin::SQUARES,
    plan: None,
    batch: false,
    kind: Kind::Digits,
    accuracy: Some(98.95),
    seconds: 2.2,
    memory: None,
    hourly: None,
};

const SMALL: Entry = Entry {
    row: "LoLa-Small",
    network: "28x28-5C5-Square-10FC",
    file: "lola_small.onnx",
    builtin: builtin::SMALL,
    accuracy: Some(96.92),
    seconds: 0.29,
    ..MNIST
};

const CIFAR: Entry = Entry {
    table: "lola-cifar",
    row: "LoLa CIFAR-10",
    network: "32x32x3-83C8-Square-163C6-Square-10FC",
    file: "lola_cifar.onnx",
    builtin: "builtin:lola-cifar",
    kind: Kind::Labelled("cifar10_test.npz", 3),
    accuracy: Some(74.1),
    seconds: 730.0,
    memory: Some(12_000_000_000),
    ..MNIST
};

const HEAD: Entry = Entry {
    table: "lola-transfer",
    row: "linear head on deep features",
    network: "4096-101FC",
    file: "lola_head.onnx",
    builtin: "builtin:lola-head",
    kind: Kind::Labelled("lola_head_test.npz", 20),
    accuracy: None,
    seconds: 0.16,
    memory: None,
    ..CIFAR
};

const ENTRIES: [Entry; 9] = [
    MNIST,
    Entry { row: "LoLa, the paper's plan", plan: Some("lola-paper"), ..MNIST },
    Entry { row: "LoLa-Dense, the paper's plan", plan: Some("lola-dense-paper"), seconds: 7.2, ..MNIST },
    SMALL,
    Entry { row: "LoLa-Small, the paper's plan", plan: Some("lola-small-paper"), ..SMALL },
    CIFAR,
    HEAD,
    Entry {
        row: "linear head on deep features of CIFAR-10",
        network: "1280-10FC on EfficientNet-Lite0 (the paper: 4096-101FC on AlexNet, Caltech-101)",
        file: "cifar10_head.onnx",
        builtin: "builtin:lola-head-1280",
        kind: Kind::Labelled("cifar10_head_test.npz", 200),
        accuracy: Some(81.6),
        ..HEAD
    },
    Entry {
        row: "CryptoNets, a batch in one pass",
        batch: true,
        seconds: 205.0,
        hourly: Some(59_000),
        ..MNIST
    },
];

impl Table for Lola {
    fn name(&self) -> &'static str {
        "lola"
    }

    fn run(&self, arguments: &Arguments) -> Result<usize, Failure> {
        heading(
            arguments,
            &[
                "LoLa (Brutzkus, Oren Elisha, Gilad-Bachrach, ICML 2019), Table 2, CIFAR-10 and transfer learning.",
                "Here: two processes over TLS on loopback, each score checked against the integer reference.",
            ],
        )?;
        let wanted = ENTRIES.iter().filter(|entry| arguments.wants(entry.row));
        wanted.map(|entry| entry.run(arguments)).sum()
    }
}

impl Entry {
    fn run(&self, arguments: &Arguments) -> Result<usize, Failure> {
        let (path, origin) = self.network(arguments);
        let source = Source::load(&path, &crate::choice::Numbers::default())?;
        let (graph, params) = source.quantise(Number::Of(Protocol::Lola))?;
        let network = Integers { graph, params };
        let (examples, labels, extent) = self.inputs(&source, arguments)?;
        let figures = match labels.as_slice() {
            [] => Figures::default(),
            labels => Figures::default()
                .real(
                    "accuracy_percent",
                    100.0 * network.right(&examples, labels)? as f64 / labels.len() as f64,
                )
                .whole("accuracy_images", labels.len() as u64),
        };
        let measured = self.measure(&source, &network, examples)?;
        let row = Row {
            table: self.table,
            row: self.row.to_owned(),
            measured: measured.figures(figures, self.batch),
            paper: self.paper(),
            note: format!("{}, {origin}, {extent}", self.network),
        };
        row.print(arguments.json)?;
        Ok(1)
    }

    /// The network to be measured, and what it is.
    fn network(&self, arguments: &Arguments) -> (String, &'static str) {
        let built_in = builtin::NETWORKS.iter().any(|network| network.path == self.builtin);
        match arguments.network(self.file) {
            Some(path) => (path.to_string_lossy().into_owned(), "the given network"),
            None if built_in => (self.builtin.to_owned(), "the built-in network"),
            None => (self.builtin.to_owned(), "weights from a seed"),
        }
    }

    /// Inputs, the labels of those that have some, and words about both.
    fn inputs(
        &self,
        source: &Source,
        arguments: &Arguments,
    ) -> Result<(Vec<Example>, Vec<usize>, String), Failure> {
        match self.kind {
            Kind::Digits => {
                let digits = Labelled::digits(arguments.data.as_deref(), &source.inputs())?;
                let extent = if digits.complete {
                    "accuracy of the integer reference over the whole test set"
                } else {
                    "reduced to the ten built-in digits (--data gives the test set)"
                };
                Ok((digits.examples, digits.labels, extent.to_owned()))
            }
            Kind::Labelled(name, count) => {
                if let Some(found) = Labelled::npz(arguments.data.as_deref(), name, &source.inputs())? {
                    let extent = format!("accuracy of the integer reference over all of {name}");
                    return Ok((found.examples, found.labels, extent));
                }
                let samples = source.ranges.samples.iter().take(count);
                let example = |(number, tensors): (usize, &Vec<model::Tensor>)| Example {
                    name: format!("sample {number}"),
                    tensors: tensors.iter().map(|tensor| tensor.data().to_vec()).collect(),
                };
                let examples: Vec<Example> = samples.enumerate().map(example).collect();
                let extent =
                    format!("{} generated inputs ({name} below --data gives accuracy)", examples.len());
                Ok((examples, Vec::new(), extent))
            }
        }
    }

    /// How many inputs are predicted under encryption.
    fn encrypted(&self) -> usize {
        match self.kind {
            Kind::Digits => ENCRYPTED,
            Kind::Labelled(_, count) => count,
        }
    }

    /// Predictions under encryption, each held against the reference.
    fn measure(
        &self,
        source: &Source,
        network: &Integers,
        examples: Vec<Example>,
    ) -> Result<Measured, Failure> {
        let mut arguments =
            vec!["--listen", "127.0.0.1:0", "--protocol", Protocol::Lola.name(), "--output", "scores"];
        arguments.extend(self.plan.iter().flat_map(|plan| ["--plan", plan]));
        arguments.extend(self.batch.then_some("--batch"));
        arguments.extend(["--", &source.path]);
        let server = ServerProcess::start(&arguments.into_iter().map(str::to_owned).collect::<Vec<_>>())?;
        let examples: Vec<Example> = examples.into_iter().take(self.encrypted()).collect();
        let files = Files::new(source, &examples)?;
        let lines = self.client(&server, &files)?;
        let same = lines.len() == examples.len()
            && lines
                .iter()
                .zip(&examples)
                .map(|(line, example)| Ok(network.predict(example)?.first() == Some(&line.output)))
                .collect::<Result<Vec<bool>, Failure>>()?
                .into_iter()
                .all(|same| same);
        if !same {
            return Err(Failure::running(format!(
                "{}: the scores are not those of the integer reference",
                source.path
            )));
        }
        Ok(Measured { lines, slots: self.slots(network)? })
    }

    /// Inputs that one pass takes.
    fn slots(&self, network: &Integers) -> Result<usize, Failure> {
        if !self.batch {
            return Ok(1);
        }
        let plan = protocol::encrypted::batch::Plan::derive(&network.graph).map_err(Failure::running)?;
        Ok(plan.degree)
    }

    /// The client as a process of its own.
    fn client(&self, server: &ServerProcess, files: &Files) -> Result<Vec<Line>, Failure> {
        let cannot = |error: std::io::Error| {
            Failure::running(format!("the client process cannot be started: {error}"))
        };
        let announced = &server.announcement;
        let mut client = Command::new(std::env::current_exe().map_err(cannot)?);
        client.arg("predict").args(&files.paths).args([
            "--json",
            "--parts",
            "--protocol",
            Protocol::Lola.name(),
        ]);
        client.args(["--server", &announced.listen, "--fingerprint", &announced.fingerprint]);
        client.args(self.batch.then_some("--batch"));
        let output = client.stdin(Stdio::null()).stderr(Stdio::inherit()).output().map_err(cannot)?;
        if !output.status.success() {
            return Err(Failure::silent(FAILED));
        }
        let line = |line: &[u8]| {
            serde_json::from_slice(line)
                .map_err(|error| Failure::running(format!("the client process speaks otherwise: {error}")))
        };
        output.stdout.split(|byte| *byte == b'\n').filter(|text| !text.is_empty()).map(line).collect()
    }

    fn paper(&self) -> Figures {
        let mut figures = Figures::default();
        if let Some(accuracy) = self.accuracy {
            figures = figures.real("accuracy_percent", accuracy);
        }
        figures = figures.real("latency_seconds", self.seconds);
        if let Some(hourly) = self.hourly {
            figures = figures.whole("predictions_per_hour", hourly);
        }
        match self.memory {
            Some(memory) => figures.whole("server_peak_rss_bytes", memory),
            None => figures,
        }
    }
}

/// A network on integers.
struct Integers {
    graph: FixedGraph,
    params: Params,
}

impl Integers {
    fn predict(&self, example: &Example) -> Result<Vec<Vec<f32>>, Failure> {
        let quantise = |(index, values): (usize, &Vec<f32>)| self.graph.quantise_input(index, values);
        let integers = example.tensors.iter().enumerate().map(quantise).collect::<Result<Vec<_>, _>>();
        let scores = integers.and_then(|integers| reference::predict(&self.graph, &self.params, &integers));
        scores.map_err(|error| Failure::running(format!("{}: {error}", example.name)))
    }

    /// How many of some examples the reference gets right, on all cores.
    fn right(&self, examples: &[Example], labels: &[usize]) -> Result<usize, Failure> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let pairs: Vec<(&Example, &usize)> = examples.iter().zip(labels).collect();
        let count = |part: &[(&Example, &usize)]| {
            let right = |(example, label): &(&Example, &usize)| -> Result<usize, Failure> {
                let scores = self.predict(example)?;
                let best = scores.first().and_then(|scores| {
                    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    scores.iter().position(|score| *score == largest)
                });
                Ok(usize::from(best == Some(**label)))
            };
            part.iter().map(right).sum::<Result<usize, Failure>>()
        };
        let size = pairs.len().div_ceil(threads).max(1);
        std::thread::scope(|scope| {
            let running: Vec<_> = pairs.chunks(size).map(|part| scope.spawn(move || count(part))).collect();
            let failed = || Failure::running("a thread failed");
            running.into_iter().map(|thread| thread.join().map_err(|_| failed())?).sum()
        })
    }
}

/// The part of a client's line that is read here.
#[derive(Deserialize)]
struct Line {
    output: Vec<f32>,
    setup: Phase,
    online: Phase,
    peak_rss_bytes: Peaks,
    #[serde(default)]
    parts: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct Phase {
    seconds: f64,
    client_bytes: u64,
    server_bytes: u64,
}

#[derive(Deserialize)]
struct Peaks {
    client: u64,
    server: u64,
}

/// What the predictions cost.
struct Measured {
    lines: Vec<Line>,
    /// Inputs that one pass takes.
    slots: usize,
}

impl Measured {
    /// The figures after others. Seconds are medians over the passes.
    fn figures(&self, figures: Figures, batch: bool) -> Figures {
        // A batch's pass is charged to its first line.
        let passes: Vec<&Line> = self.lines.iter().filter(|line| line.online.client_bytes > 0).collect();
        let median = |of: &dyn Fn(&Line) -> f64| {
            let mut values: Vec<f64> = passes.iter().map(|line| of(line)).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or(0.0)
        };
        let part = |name: &'static str| move |line: &Line| line.parts.get(name).copied().unwrap_or(0.0);
        let [encrypt, wait, decrypt] = [part("encrypt"), part("wait"), part("decrypt")];
        let latency = median(&|line| line.online.seconds);
        let most = |of: fn(&Line) -> u64| self.lines.iter().map(of).max().unwrap_or(0);
        let figures = figures
            .whole("encrypted_inputs", self.lines.len() as u64)
            .real("latency_seconds", latency)
            .real("client_seconds", median(&|line| encrypt(line) + decrypt(line)))
            .real("server_seconds", median(&|line| wait(line)))
            .whole("request_bytes", most(|line| line.online.client_bytes))
            .whole("reply_bytes", most(|line| line.online.server_bytes))
            .whole("key_bytes", most(|line| line.setup.client_bytes))
            .real("setup_seconds", self.lines.first().map_or(0.0, |line| line.setup.seconds))
            .whole("client_peak_rss_bytes", most(|line| line.peak_rss_bytes.client))
            .whole("server_peak_rss_bytes", most(|line| line.peak_rss_bytes.server));
        if !batch {
            return figures;
        }
        figures
            .whole("inputs_in_a_pass", self.slots as u64)
            .whole("predictions_per_hour", (self.slots as f64 * 3600.0 / latency.max(1e-9)) as u64)
    }
}

/// Inputs as files in a folder that goes when this does.
struct Files {
    folder: PathBuf,
    paths: Vec<PathBuf>,
}

impl Files {
    fn new(source: &Source, examples: &[Example]) -> Result<Self, Failure> {
        let folder =
            std::env::temp_dir().join(format!("oribi-bench-{}-{}", std::process::id(), source.meta.name));
        let failed = |error: std::io::Error| Failure::running(format!("{}: {error}", folder.display()));
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let mut files = Self { folder: folder.clone(), paths: Vec::new() };
        let shape = source.meta.inputs.first().map(|input| input.shape.clone()).unwrap_or_default();
        for (number, example) in examples.iter().enumerate() {
            let path = folder.join(format!("{number}.npy"));
            let values = example.tensors.first().map_or(&[][..], Vec::as_slice);
            std::fs::write(&path, npy::array(&shape, values)).map_err(failed)?;
            files.paths.push(path);
        }
        Ok(files)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // What is left in the temporary folder harms nobody.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
