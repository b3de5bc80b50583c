//! Training, pruning, and the search for activations.

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
use planner::prune::{Pruning, products, prune};
use planner::search::report::{Row, Table};
use planner::search::{Candidate, Search, Watcher};
use planner::train::{Observer, Progress, Settings, State, train};
use planner::{Data, Error, Network};
use protocol::Reveal;
use protocol::interactive::Garbler;

use super::Arguments;
use super::budget::{self, Found};
use crate::calibration;
use crate::choice::{Numbers, Protocol};
use crate::console::{Human, note, out};
use crate::dataset::{self, Part};
use crate::failure::Failure;
use crate::pricing::{self, Variant};
use crate::source::{Number, Source};

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
pub(super) struct Work<'a> {
    arguments: &'a Arguments,
    /// Where results go.
    pub folder: &'a Path,
    /// The model's name.
    name: String,
    pub graph: Graph,
    /// Its side file's text.
    side: String,
    data: Data,
    test: Option<Data>,
    human: Human,
}

/// Runs the command.
pub fn run(arguments: &Arguments, train: &str, out: &Path) -> Result<(), Failure> {
    let source = Source::load(&arguments.model, &arguments.numbers)?;
    let network = Network::new(&source.graph).map_err(|error| failed(error).at(&arguments.model))?;
    let (specs, classes) = (source.inputs(), network.classes());
    let labels = arguments.labels.as_deref();
    let data = dataset::load(train, labels, Part::Train, &specs, classes, arguments.examples)?;
    let test = match &arguments.test {
        Some(test) => Some(dataset::load(
            test,
            arguments.test_labels.as_deref(),
            Part::Test,
            &specs,
            classes,
            arguments.examples,
        )?),
        None if Path::new(train).is_dir() => {
            dataset::load(train, None, Part::Test, &specs, classes, arguments.examples).ok()
        }
        None => None,
    };
    std::fs::create_dir_all(out).map_err(|error| Failure::bad(format!("{}: {error}", out.display())))?;
    stop_on_interrupt()?;
    let (name, side) = (source.meta.name.clone(), source.side_text());
    let mut work = Work {
        arguments,
        folder: out,
        name,
        graph: source.graph,
        side,
        data,
        test,
        human: Human::new(arguments.json),
    };
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
        let file = format!("{}.basis.npy", self.name);
        let path = self.folder.join(&file);
        std::fs::write(&path, basis.to_npy())
            .map_err(|error| Failure::running(format!("{}: {error}", path.display())))?;
        // A client's data may be somewhat larger than the owner's.
        let values = (0..self.data.len()).flat_map(|example| self.data.input(example, 0));
        let most = values.fold(0f32, |most, value| most.max(value.abs())) * 1.1;
        let labels = serde_json::to_string(labels).map_err(Failure::running)?;
        let file = serde_json::to_string(&file).map_err(Failure::running)?;
        self.side =
            format!("labels = {labels}\nprojection = {file}\n\n[input]\nrange = [-{most:?}, {most:?}]\n");
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
    pub fn write(&self, graph: &model::Graph, name: &str, sparse: bool) -> Result<PathBuf, Failure> {
        let path = self.folder.join(format!("{name}.onnx"));
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
        let path = self.folder.join("training.checkpoint");
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

    fn prune(&self, network: Network, keep: f64) -> Result<(), Failure> {
        let (network, path) = self.pruned(network, keep)?;
        self.result(&network, &path, Protocol::DeepSecure)
    }

    /// Prunes, retrains and writes; tells of the products.
    fn pruned(&self, mut network: Network, keep: f64) -> Result<(Network, PathBuf), Failure> {
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
        Ok((network, path))
    }

    /// The pruned network as one that a budget may choose.
    fn also_pruned(&self, keep: f64) -> Result<Found, Failure> {
        let (network, path) = self.pruned(Network::new(&self.graph).map_err(failed)?, keep)?;
        let accuracy = match self.tested(&path, Protocol::DeepSecure)? {
            Some(tested) => tested,
            None => network.accuracy(&self.data.first(10_000)).map_err(failed)?,
        };
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Found { file, accuracy, quadratic: Vec::new() })
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
        let mut networks: Vec<Found> = rows
            .iter()
            .zip(&found)
            .map(|(row, candidate)| Found::new(&row.file, candidate, row.test_accuracy))
            .collect();
        networks.extend(self.arguments.prune.map(|keep| self.also_pruned(keep)).transpose()?);
        let table = Table { cost: "MB, delphi", rows };
        let text = serde_json::to_string_pretty(&table).map_err(Failure::running)?;
        let seconds = format!("seconds once the input is known, delphi, {}", self.arguments.link);
        let files = [
            ("table.json", text),
            ("accuracy-against-cost.svg", table.svg(table.cost, |row| row.cost)),
            ("accuracy-against-seconds.svg", table.svg(&seconds, |row| row.online_seconds)),
        ];
        for (name, content) in files {
            let path = self.folder.join(name);
            std::fs::write(&path, content)
                .map_err(|error| Failure::running(format!("{}: {error}", path.display())))?;
        }
        match (self.arguments.json, self.arguments.has_budget()) {
            (true, true) => {}
            (true, false) => out(&serde_json::to_string(&table).map_err(Failure::running)?)?,
            (false, _) => table.lines().iter().try_for_each(|line| out(line))?,
        }
        budget::choose(self, self.arguments, &networks)
    }

    /// Writes a candidate, tests it and prices it.
    fn row(&self, candidate: &Candidate) -> Result<Row, Failure> {
        let name = match candidate.count {
            0 => "relu6".to_owned(),
            count => format!("quadratic-{count}"),
        };
        let path = self.write(&candidate.graph, &name, false)?;
        let source = Source::load(&path.to_string_lossy(), &Numbers::default())?;
        let prices = (&calibration::rates().0, self.arguments.link.0);
        let delphi = pricing::price(&source, &[Variant::Delphi(Garbler::Server)], Reveal::Scores, prices);
        let estimate = delphi.into_iter().next().and_then(|priced| priced.estimate.ok());
        Ok(Row {
            file: format!("{name}.onnx"),
            quadratic_layers: candidate.layers.clone(),
            quadratic_elements: candidate.elements[0],
            elements: candidate.elements[1],
            validation_accuracy: candidate.validation,
            test_accuracy: self.tested(&path, Protocol::Delphi)?,
            score: candidate.score,
            cost: estimate.as_ref().map(|estimate| estimate.total().bytes() as f64 / 1e6),
            online_seconds: estimate.as_ref().map(|estimate| estimate.online.seconds),
        })
    }
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
