//! `oribi plan`: training, pruning, and the search for activations.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use indicatif::ProgressBar;
use model::{Graph, onnx};
use planner::checkpoint::Checkpoint;
use planner::data::Augment;
use planner::measure::integer_accuracy;
use planner::optimise::Optimiser;
use planner::project::Basis;
use planner::prune::{Mask, Pruning, products, prune};
use planner::search::report::{Row, Table};
use planner::search::{Candidate, Search, Watcher};
use planner::train::{Observer, Progress, Settings, State, train};
use planner::{Data, Error, Network};
use protocol::Reveal;
use protocol::interactive::{Method, Plan, ahead};

use crate::choice::{Numbers, Protocol};
use crate::console::{Human, note, out};
use crate::dataset::{self, Part};
use crate::failure::Failure;
use crate::source::{Number, Source};

/// Train a network, prune it, or find out which of its activations can be quadratic.
///
/// With --min-accuracy, Delphi's search: networks with more and more quadratic activations, each a standard ONNX file in the folder
/// --out, with a table and a picture of accuracy against cost. With --prune, DeepSecure's: fewer products, and a side file that makes
/// the places of zeros public. --projection-error trains on fewer
/// coordinates of the data, pruned or not. With none of them, training alone.
#[derive(clap::Args)]
pub struct Arguments {
    /// The network, an ONNX file.
    #[arg(value_name = "MODEL")]
    model: String,
    /// Labelled examples: a folder with MNIST's files, an IDX file of pictures, or an .npz with an array "labels".
    #[arg(long, value_name = "DATA", required = true)]
    train: String,
    /// Where the labels are, if not beside the pictures.
    #[arg(long, value_name = "FILE")]
    labels: Option<String>,
    /// Examples that training never sees, to measure the result on; by default the test set of the same folder.
    #[arg(long, value_name = "DATA")]
    test: Option<String>,
    /// Where the labels of --test are.
    #[arg(long, value_name = "FILE", requires = "test")]
    test_labels: Option<String>,
    /// Use only so many examples.
    #[arg(long, value_name = "COUNT")]
    examples: Option<usize>,
    /// The folder for what results; it is made.
    #[arg(long, value_name = "FOLDER", required = true)]
    out: PathBuf,
    /// Search for networks with quadratic activations of at least this accuracy, such as 0.987.
    #[arg(long, value_name = "SHARE", conflicts_with = "prune")]
    min_accuracy: Option<f64>,
    /// Prune until this share of the products stays, such as 0.1.
    #[arg(long, value_name = "SHARE")]
    prune: Option<f64>,
    /// Project the data onto as few coordinates as leave out at most this share of their norm, such as 0.3, and train on these. Clients
    /// multiply their inputs by the published basis (--projection) before the protocol. For networks that begin with a fully connected layer.
    #[arg(long, value_name = "SHARE", conflicts_with = "min_accuracy")]
    projection_error: Option<f64>,
    /// Which weights are pruned: free (the smallest; their places tell something of the weights), block:N (blocks of N x N), or seed:N
    /// (those that a public number says; tells nothing).
    #[arg(long, value_name = "KIND", default_value = "free", value_parser = mask, requires = "prune")]
    mask: Mask,
    /// Passes over the data; for a search those of one step of a population.
    #[arg(long, value_name = "COUNT")]
    epochs: Option<usize>,
    /// Examples a step.
    #[arg(long, value_name = "COUNT", default_value_t = 64)]
    batch: usize,
    /// The rate at the start.
    #[arg(long, value_name = "RATE")]
    rate: Option<f64>,
    /// Plain gradient descent with this momentum, instead of Adam.
    #[arg(long, value_name = "SHARE")]
    momentum: Option<f64>,
    /// Move pictures by up to so many pixels at random.
    #[arg(long, value_name = "PIXELS", default_value_t = 0)]
    shift: usize,
    /// Mirror pictures, left to right, half of the time.
    #[arg(long)]
    flip: bool,
    /// The number that everything random comes from.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Members of a population.
    #[arg(long, value_name = "COUNT", default_value_t = 4)]
    population: usize,
    /// Steps of a population over placements, and over rates.
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    steps: usize,
    /// Threads of a search.
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    workers: usize,
    /// Print the table as JSON.
    #[arg(long)]
    json: bool,
}

fn mask(text: &str) -> Result<Mask, String> {
    let wrong = || "wanted free, block:N or seed:N".to_owned();
    match text.split_once(':') {
        None if text == "free" => Ok(Mask::Free),
        Some(("block", side)) => side.parse().map(Mask::Block).map_err(|_| wrong()),
        Some(("seed", seed)) => seed.parse().map(Mask::Seed).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

fn failed(error: Error) -> Failure {
    match error {
        Error::Stopped => Failure::running("stopped; the same command goes on where a checkpoint is"),
        Error::Diverged { .. } | Error::Unreached { .. } | Error::Tensors(_) => Failure::running(error),
        other => Failure::bad(other),
    }
}

/// Examples that a basis is found on.
const SKETCHED: usize = 10_000;

/// What all modes share.
struct Work<'a> {
    arguments: &'a Arguments,
    /// The model's name.
    name: String,
    graph: Graph,
    /// Its side file's text.
    side: String,
    data: Data,
    test: Option<Data>,
    human: Human,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let source = Source::load(&arguments.model, &Numbers::default())?;
    let network = Network::new(&source.graph).map_err(|error| failed(error).at(&arguments.model))?;
    let (specs, classes) = (source.inputs(), network.classes());
    let labels = arguments.labels.as_deref();
    let data = dataset::load(&arguments.train, labels, Part::Train, &specs, classes, arguments.examples)?;
    let test = match &arguments.test {
        Some(test) => Some(dataset::load(
            test,
            arguments.test_labels.as_deref(),
            Part::Test,
            &specs,
            classes,
            arguments.examples,
        )?),
        None if Path::new(&arguments.train).is_dir() => {
            dataset::load(&arguments.train, None, Part::Test, &specs, classes, arguments.examples).ok()
        }
        None => None,
    };
    std::fs::create_dir_all(&arguments.out)
        .map_err(|error| Failure::bad(format!("{}: {error}", arguments.out.display())))?;
    stop_on_interrupt()?;
    let (name, side) = (source.meta.name.clone(), source.side_text());
    let mut work =
        Work { arguments, name, graph: source.graph, side, data, test, human: Human::new(arguments.json) };
    let network = match arguments.projection_error {
        Some(error) => work.project(error, &source.meta.labels)?,
        None => network,
    };
    match (arguments.min_accuracy, arguments.prune) {
        (Some(least), _) => work.search(least),
        (None, Some(keep)) => work.prune(network, keep),
        (None, None) => work.train(network),
    }
}

static STOP: AtomicBool = AtomicBool::new(false);

/// Ctrl-C ends the training after the step it is in; checkpoints stay.
fn stop_on_interrupt() -> Result<(), Failure> {
    ctrlc::set_handler(|| STOP.store(true, Ordering::Relaxed))
        .map_err(|error| Failure::running(format!("Ctrl-C cannot be caught: {error}")))
}

impl Work<'_> {
    fn settings(&self, epochs: usize) -> Settings {
        let arguments = self.arguments;
        let shape = self.graph.inputs.first().map_or(&[][..], |&id| &self.graph.nodes[id].shape);
        let augments = arguments.shift > 0 || arguments.flip;
        let optimiser = arguments.momentum.map_or(Optimiser::Adam, |momentum| Optimiser::Sgd { momentum });
        Settings {
            epochs: arguments.epochs.unwrap_or(epochs),
            batch: arguments.batch,
            optimiser,
            rate: arguments.rate.unwrap_or(if optimiser == Optimiser::Adam { 1e-3 } else { 0.02 }),
            augment: Augment::for_shape(shape, arguments.shift, arguments.flip).filter(|_| augments),
            seed: arguments.seed,
            ..Settings::default()
        }
    }

    /// Goes over to coordinates: writes the basis, and makes data, network and side file those of the coordinates.
    fn project(&mut self, error: f64, labels: &[String]) -> Result<Network, Failure> {
        let place = |error: Error| failed(error).at(&self.arguments.model);
        let basis = Basis::find(&self.data.first(SKETCHED), error).map_err(place)?;
        let graph = basis.apply(&self.graph).map_err(place)?;
        self.data = self.data.projected(&basis.values).map_err(failed)?;
        self.test =
            self.test.as_ref().map(|test| test.projected(&basis.values)).transpose().map_err(failed)?;
        self.graph = graph;
        self.name += "-projected";
        let path = self.arguments.out.join(format!("{}.basis.npy", self.name));
        std::fs::write(&path, basis.to_npy())
            .map_err(|error| Failure::running(format!("{}: {error}", path.display())))?;
        // A client's data may be somewhat larger than the owner's.
        let values = (0..self.data.len()).flat_map(|example| self.data.input(example, 0));
        let most = values.fold(0f32, |most, value| most.max(value.abs())) * 1.1;
        let labels = serde_json::to_string(labels).map_err(Failure::running)?;
        self.side = format!("labels = {labels}\n\n[input]\nrange = [-{most:?}, {most:?}]\n");
        self.human.line(&format!(
            "{} coordinates for {} values, {:.3} of the norm left out; clients take {}",
            basis.rows(),
            basis.width,
            basis.error,
            path.display()
        ))?;
        Network::new(&self.graph).map_err(failed)
    }

    /// Writes a network with its side file; returns where.
    fn write(&self, graph: &model::Graph, name: &str, sparse: bool) -> Result<PathBuf, Failure> {
        let path = self.arguments.out.join(format!("{name}.onnx"));
        let failed = |error: &dyn std::fmt::Display| Failure::running(format!("{}: {error}", path.display()));
        let bytes = onnx::to_bytes(graph).map_err(|error| failed(&error))?;
        std::fs::write(&path, bytes).map_err(|error| failed(&error))?;
        let mut side = self.side.clone();
        if sparse {
            side = side.lines().filter(|line| !line.starts_with("sparsity")).fold(
                String::from("# Pruned: clients may know where weights are zero.\nsparsity = \"public\"\n"),
                |text, line| text + line + "\n",
            );
        }
        if !side.is_empty() {
            std::fs::write(model::Side::path(&path), side).map_err(|error| failed(&error))?;
        }
        Ok(path)
    }

    /// The accuracy of a written network on the test data, under a protocol's integers.
    fn tested(&self, path: &Path, protocol: Protocol) -> Result<Option<f64>, Failure> {
        let Some(test) = &self.test else { return Ok(None) };
        let source = Source::load(&path.to_string_lossy(), &Numbers::default())?;
        let (graph, params) = source.quantise(Number::Of(protocol))?;
        integer_accuracy(&graph, &params, test).map(Some).map_err(failed)
    }

    fn train(&self, mut network: Network) -> Result<(), Failure> {
        let settings = self.settings(10);
        let path = self.arguments.out.join("training.checkpoint");
        let checkpoint = Checkpoint::new(&path, &network, &settings, self.data.len()).map_err(failed)?;
        let state = checkpoint.load(&mut network).map_err(failed)?;
        if let Some(state) = &state {
            note(&format!("{}: going on after epoch {}", path.display(), state.epoch));
        }
        let mut shown = Shown::new(&settings, self.data.len(), Some(&checkpoint));
        train(&mut network, &self.data, &settings, &[], state, &mut shown).map_err(failed)?;
        let graph = network.to_graph().map_err(failed)?;
        let path = self.write(&graph, &self.name, false)?;
        checkpoint.remove();
        self.result(&network, &path, Protocol::Gazelle)
    }

    fn prune(&self, mut network: Network, keep: f64) -> Result<(), Failure> {
        let settings = self.settings(12);
        let before = products(&self.graph);
        let pruning = Pruning { keep, mask: self.arguments.mask, rounds: 4, settings };
        let mut shown = Shown::new(&pruning.settings, self.data.len(), None);
        prune(&mut network, &self.data, &pruning, &mut shown).map_err(failed)?;
        let graph = network.to_graph().map_err(failed)?;
        let after = products(&graph);
        let path = self.write(&graph, &format!("{}-pruned", self.name), true)?;
        self.human.line(&format!(
            "{after} of {before} products stay ({:.1} %)",
            100.0 * after as f64 / before.max(1) as f64
        ))?;
        self.result(&network, &path, Protocol::DeepSecure)
    }

    fn result(&self, network: &Network, path: &Path, protocol: Protocol) -> Result<(), Failure> {
        let training = network.accuracy(&self.data.first(10_000)).map_err(failed)?;
        let test = self.tested(path, protocol)?;
        if self.arguments.json {
            let object = serde_json::json!({
                "file": path.display().to_string(),
                "training_accuracy": training,
                "test_accuracy": test,
            });
            return out(&object.to_string());
        }
        let tested = test.map_or(String::new(), |test| {
            format!(", {:.2} % on the test data in the integers of {}", 100.0 * test, protocol.name())
        });
        out(&format!("{}: {:.2} % on training data{tested}", path.display(), 100.0 * training))
    }

    fn search(&self, min_accuracy: f64) -> Result<(), Failure> {
        let settings = Settings { clip: Some(2.0), exchange: 0.5, ..self.settings(2) };
        let search = Search {
            first_epochs: settings.epochs,
            settings,
            population: self.arguments.population,
            placements: self.arguments.steps,
            hyper: self.arguments.steps,
            workers: self.arguments.workers,
            validation: 0.2,
            min_accuracy,
        };
        let watch = Watch { begun: Instant::now(), quiet: !self.human.is_terminal() };
        let found = search.run(&self.graph, &self.data, &watch).map_err(failed)?;
        let rows = found.iter().map(|candidate| self.row(candidate)).collect::<Result<Vec<_>, _>>()?;
        let table = Table { cost: "MB, delphi", rows };
        let text = serde_json::to_string_pretty(&table).map_err(Failure::running)?;
        for (name, content) in [("table.json", text.clone()), ("accuracy-against-cost.svg", table.svg())] {
            let path = self.arguments.out.join(name);
            std::fs::write(&path, content)
                .map_err(|error| Failure::running(format!("{}: {error}", path.display())))?;
        }
        if self.arguments.json {
            return out(&serde_json::to_string(&table).map_err(Failure::running)?);
        }
        table.lines().iter().try_for_each(|line| out(line))
    }

    /// Writes a candidate, tests it and prices it.
    fn row(&self, candidate: &Candidate) -> Result<Row, Failure> {
        let name = match candidate.count {
            0 => "relu6".to_owned(),
            count => format!("quadratic-{count}"),
        };
        let path = self.write(&candidate.graph, &name, false)?;
        Ok(Row {
            file: format!("{name}.onnx"),
            quadratic_layers: candidate.layers.clone(),
            quadratic_elements: candidate.elements[0],
            elements: candidate.elements[1],
            validation_accuracy: candidate.validation,
            test_accuracy: self.tested(&path, Protocol::Delphi)?,
            score: candidate.score,
            cost: delphi_megabytes(&path).ok(),
        })
    }
}

/// Megabytes of both phases of a prediction by `delphi`, both ways, from the plan alone.
fn delphi_megabytes(path: &Path) -> Result<f64, Failure> {
    let source = Source::load(&path.to_string_lossy(), &Numbers::default())?;
    let (graph, _) = source.quantise(Number::Of(Protocol::Delphi))?;
    let plan = Plan::choose(&graph, Method::HeCoefficients).map_err(Failure::running)?;
    let price = ahead::price((&graph, &plan), Reveal::Scores).map_err(Failure::running)?;
    let bytes: u64 = price.offline_bytes.iter().chain(&price.online_bytes).sum();
    Ok(bytes as f64 / 1e6)
}

/// A bar on a terminal, and a checkpoint after each epoch.
struct Shown<'a> {
    bar: ProgressBar,
    checkpoint: Option<&'a Checkpoint>,
}

impl<'a> Shown<'a> {
    fn new(settings: &Settings, examples: usize, checkpoint: Option<&'a Checkpoint>) -> Self {
        let steps = examples.div_ceil(settings.batch.max(1)) * settings.epochs;
        // Drawn on standard error, and on a terminal alone.
        let bar = ProgressBar::new(steps as u64);
        Self { bar, checkpoint }
    }
}

impl Observer for Shown<'_> {
    fn step(&mut self, progress: Progress) -> bool {
        self.bar.inc(1);
        if progress.step == progress.steps {
            self.bar.set_message(format!("epoch {}, loss {:.4}", progress.epoch + 1, progress.loss));
        }
        !STOP.load(Ordering::Relaxed)
    }

    fn epoch(&mut self, network: &Network, state: &State) -> Result<(), Error> {
        self.checkpoint.map_or(Ok(()), |checkpoint| checkpoint.save(network, state))
    }
}

/// Says which members were trained.
struct Watch {
    begun: Instant,
    quiet: bool,
}

impl Watcher for Watch {
    fn trained(&self, what: &str, accuracy: f64) -> bool {
        if !self.quiet && !accuracy.is_nan() {
            let line =
                format!("{:>6.0} s  {:.2} %  {what}", self.begun.elapsed().as_secs_f64(), 100.0 * accuracy);
            note(&line);
        }
        !STOP.load(Ordering::Relaxed)
    }
}
