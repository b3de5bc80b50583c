//! Training and pruning.

use std::path::{Path, PathBuf};

use model::sparsity::Sparsities;
use model::{Graph, onnx};
use planner::checkpoint::Checkpoint;
use planner::data::Augment;
use planner::kept::Kept;
use planner::measure::integer_accuracy;
use planner::optimise::Optimiser;
use planner::project::Basis;
use planner::prune::{Pruning, products, prune};
use planner::train::{Settings, train};
use planner::{Data, Error, Network};

use super::Arguments;
use super::progress::{Shown, stop_on_interrupt};
use super::search;
use crate::choice::{Numbers, Protocol};
use crate::console::{Human, note, out};
use crate::dataset::{self, Part};
use crate::failure::Failure;
use crate::source::{Number, Source};

pub(super) fn failed(error: Error) -> Failure {
    match error {
        Error::Stopped => Failure::running("stopped; the same command goes on from here"),
        Error::Diverged { .. } | Error::Unreached { .. } | Error::Tensors(_) => Failure::running(error),
        other => Failure::bad(other),
    }
}

/// Steps in which a network is pruned.
pub(super) const ROUNDS: usize = 4;
/// Examples that a basis is found on.
const SKETCHED: usize = 10_000;

/// What all modes share.
pub(super) struct Work<'a> {
    pub arguments: &'a Arguments,
    /// Where results go.
    pub folder: &'a Path,
    /// The model's name.
    pub name: String,
    pub graph: Graph,
    /// Its side file's text.
    side: String,
    pub data: Data,
    test: Option<Data>,
    pub human: Human,
}

/// Makes the folder, and finds out before an hour of training whether files can be written there.
fn writable(folder: &Path) -> Result<(), Failure> {
    let probe = folder.join(".writable");
    let tried = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&probe, ""));
    let tried = tried.and_then(|()| std::fs::remove_file(&probe));
    tried.map_err(|error| Failure::bad(format!("{}: cannot be written: {error}", folder.display())))
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
    writable(out)?;
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
        (Some(least), _) => search::run(&work, least),
        (None, Some(keep)) => work.prune(network, keep),
        (None, None) => work.train(network),
    }
}

impl Work<'_> {
    pub fn settings(&self, epochs: usize) -> Settings {
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
        let side = if sparse && self.zeros() == Sparsities::default() {
            let others = self.side.lines().filter(|line| !line.starts_with("sparsity"));
            others.fold(
                String::from("# Pruned: clients may know where weights are zero.\nsparsity = \"public\"\n"),
                |text, line| text + line + "\n",
            )
        } else {
            self.side.clone()
        };
        if !side.is_empty() {
            std::fs::write(model::Side::path(&path), side).map_err(|error| failed(&error))?;
        }
        Ok(path)
    }

    /// Whose zeros are public as the model came. More than the one word `secret` is its owner's decision, which stays.
    fn zeros(&self) -> Sparsities {
        model::Side::parse(&self.side).map(|side| side.sparsity).unwrap_or_default()
    }

    /// The accuracy of a written network on some data, under a protocol's integers.
    pub fn accuracy(&self, path: &Path, number: Number, data: &Data) -> Result<f64, Failure> {
        let source = Source::load(&path.to_string_lossy(), &Numbers::default())?;
        let (graph, params) = source.quantise(number)?;
        integer_accuracy(&graph, &params, data).map_err(failed)
    }

    /// The same on the test data, where there are some.
    pub fn tested(&self, path: &Path, number: Number) -> Result<Option<f64>, Failure> {
        self.test.as_ref().map(|test| self.accuracy(path, number, test)).transpose()
    }

    /// The folder for finished parts of something long; tells if it goes on from there.
    pub fn kept(&self, name: &str, of: Result<String, Error>) -> Result<Kept, Failure> {
        let folder = self.folder.join(format!("unfinished-{name}"));
        let kept = Kept::open(&folder, of.map_err(failed)?).map_err(failed)?;
        if kept.parts() > 0 {
            note(&format!("{}: going on from what an earlier run left there", folder.display()));
        }
        Ok(kept)
    }

    fn train(&self, mut network: Network) -> Result<(), Failure> {
        let settings = self.settings(10);
        let path = self.folder.join("training.checkpoint");
        let checkpoint = Checkpoint::new(&path, &network, &settings, &self.data).map_err(failed)?;
        let state = checkpoint.load(&mut network).map_err(failed)?;
        let mut shown = Shown::new(&settings, self.data.len(), Some(&checkpoint));
        if let Some(state) = &state {
            note(&format!("{}: going on after epoch {}", path.display(), state.epoch));
            shown.skip(state.epoch);
        }
        train(&mut network, &self.data, &settings, &[], state, &mut shown).map_err(failed)?;
        let graph = network.to_graph().map_err(failed)?;
        let path = self.write(&graph, &self.name, false)?;
        checkpoint.remove();
        self.result(&network, &path, Protocol::Gazelle)
    }

    fn prune(&self, mut network: Network, keep: f64) -> Result<(), Failure> {
        let pruning =
            Pruning { keep, mask: self.arguments.mask, rounds: ROUNDS, settings: self.settings(12) };
        let (path, kept) = self.pruned(&mut network, &pruning, &self.data, &self.name)?;
        self.result(&network, &path, Protocol::DeepSecure)?;
        kept.remove();
        Ok(())
    }

    /// Prunes, retrains and writes; tells of the products.
    pub fn pruned(
        &self,
        network: &mut Network,
        pruning: &Pruning,
        data: &Data,
        name: &str,
    ) -> Result<(PathBuf, Kept), Failure> {
        let before = products(&self.graph);
        let name = format!("{name}-pruned");
        let kept = self.kept(&name, pruning.digest(network, data))?;
        let mut shown = Shown::new(&pruning.settings, data.len(), None);
        prune(network, data, pruning, Some(&kept), &mut shown).map_err(failed)?;
        let graph = network.to_graph().map_err(failed)?;
        let after = products(&graph);
        let path = self.write(&graph, &name, true)?;
        if let Sparsities::Layers(_) = self.zeros() {
            note(
                "[sparsity] in the side file stays as it is: zeros of layers that it does not make public buy nothing",
            );
        }
        self.human.line(&format!(
            "{name}: {after} of {before} products stay ({:.1} %)",
            100.0 * after as f64 / before.max(1) as f64
        ))?;
        Ok((path, kept))
    }

    fn result(&self, network: &Network, path: &Path, protocol: Protocol) -> Result<(), Failure> {
        let training = network.accuracy(&self.data.first(10_000)).map_err(failed)?;
        let test = self.tested(path, Number::Of(protocol))?;
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
}
