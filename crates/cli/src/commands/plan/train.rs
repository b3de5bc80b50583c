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
use crate::choice::Protocol;
use crate::console::{Human, note, out, patiently};
use crate::dataset::{self, Part};
use crate::failure::Failure;
use crate::npy;
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
/// Examples, from all over the data, of which the accuracy is told.
const TOLD: usize = 10_000;
/// Examples, likewise, that a basis is found on.
const SKETCHED: usize = 10_000;

/// How a pruned network's side file begins.
const PUBLIC: &str = "# Pruned: clients may know where weights are zero.\nsparsity = \"public\"\n";

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
    pub test: Option<Data>,
    pub human: Human,
}

/// A network that was pruned and written.
pub(super) struct Pruned {
    pub path: PathBuf,
    /// What was kept on the way, to be removed in the end.
    pub kept: Kept,
    /// The share of products that stay.
    pub share: f64,
}

/// Makes the folder, and finds out before an hour of training whether files can be written there.
fn writable(folder: &Path) -> Result<(), Failure> {
    let probe = folder.join(".writable");
    let tried = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&probe, ""));
    let tried = tried.and_then(|()| std::fs::remove_file(&probe));
    tried.map_err(|error| Failure::bad(format!("{}: cannot be written: {error}", folder.display())))
}

/// How pictures are moved, if the first input is one.
fn picture(graph: &Graph, shift: usize, flip: bool) -> Option<Augment> {
    let shape = graph.inputs.first().map_or(&[][..], |&id| &graph.nodes[id].shape);
    Augment::for_shape(shape, shift, flip)
}

/// Refuses to write over what is read.
fn apart(source: &Source, out: &Path) -> Result<(), Failure> {
    let model = Path::new(&source.path);
    let folder = model.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let same = folder.canonicalize().is_ok_and(|folder| out.canonicalize().is_ok_and(|out| out == folder));
    if model.is_file() && same {
        return Err(Failure::bad(format!(
            "--out {}: the model lies there, and would be written over; name another folder",
            out.display()
        )));
    }
    Ok(())
}

/// Puts the basis of a model beside what is made of it.
fn copied(basis: &Path, out: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::running(format!("{}: {error}", basis.display()));
    std::fs::copy(basis, out.join(basis.file_name().unwrap_or_default())).map(drop).map_err(failed)
}

/// A model's name as that of a file.
fn file_stem(name: &str) -> String {
    let kept = |letter: char| if letter.is_alphanumeric() || "._-".contains(letter) { letter } else { '-' };
    let name: String = name.chars().map(kept).take(80).collect();
    match name.trim_start_matches('.') {
        "" => "model".to_owned(),
        name => name.to_owned(),
    }
}

/// Runs the command.
pub fn run(arguments: &Arguments, train: &str, out: &Path) -> Result<(), Failure> {
    let source = Source::load(&arguments.model, &arguments.numbers)?;
    apart(&source, out)?;
    let network = Network::new(&source.graph).map_err(|error| failed(error).at(&arguments.model))?;
    let (specs, classes) = (source.inputs(), network.classes());
    let basis = source.basis()?;
    if basis.is_some() && arguments.projection_error.is_some() {
        return Err(Failure::bad(format!("{}: it takes coordinates already", arguments.model)));
    }
    let load = |data: &str, labels: Option<&str>, part| {
        let inputs = (&specs[..], basis.as_ref());
        dataset::load_projected(data, labels, part, inputs, classes, arguments.examples)
    };
    let data = load(train, arguments.labels.as_deref(), Part::Train)?;
    let test = match &arguments.test {
        Some(test) => Some(load(test, arguments.test_labels.as_deref(), Part::Test)?),
        None if dataset::mnist(Path::new(train), Part::Test).is_some() => {
            Some(load(train, None, Part::Test)?)
        }
        None => None,
    };
    if (arguments.shift > 0 || arguments.flip) && picture(&source.graph, 0, false).is_none() {
        return Err(Failure::bad(format!(
            "{}: its input is no picture that could be shifted or flipped",
            arguments.model
        )));
    }
    writable(out)?;
    if let Some(path) = source.projection() {
        copied(path, out)?;
    }
    stop_on_interrupt()?;
    let (name, side) = (file_stem(&source.meta.name), source.side_text());
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
        let augments = arguments.shift > 0 || arguments.flip;
        let optimiser = arguments.momentum.map_or(Optimiser::Adam, |momentum| Optimiser::Sgd { momentum });
        Settings {
            epochs: arguments.epochs.unwrap_or(epochs),
            batch: arguments.batch,
            optimiser,
            rate: arguments.rate.unwrap_or(if optimiser == Optimiser::Adam { 1e-3 } else { 0.02 }),
            augment: picture(&self.graph, arguments.shift, arguments.flip).filter(|_| augments),
            seed: arguments.seed,
            ..Settings::default()
        }
    }

    /// Goes over to coordinates: writes the basis, and makes data, network and side file those of the coordinates.
    fn project(&mut self, error: f64, labels: &[String]) -> Result<Network, Failure> {
        let place = |error: Error| failed(error).at(&self.arguments.model);
        let basis = Basis::find(&self.data.spread(SKETCHED), error).map_err(place)?;
        let graph = basis.apply(&self.graph).map_err(place)?;
        self.data = self.data.projected(&basis.values).map_err(failed)?;
        self.test =
            self.test.as_ref().map(|test| test.projected(&basis.values)).transpose().map_err(failed)?;
        self.graph = graph;
        self.name += "-projected";
        let file = format!("{}.basis.npy", self.name);
        let path = self.folder.join(&file);
        std::fs::write(&path, npy::array(&[basis.rows(), basis.width], &basis.values))
            .map_err(|error| Failure::running(format!("{}: {error}", path.display())))?;
        // A client's data may be somewhat larger than the owner's.
        let values = (0..self.data.len()).flat_map(|example| self.data.input(example, 0));
        let most = values.fold(0f32, |most, value| most.max(value.abs())) * 1.1;
        let labels = serde_json::to_string(labels).map_err(Failure::running)?;
        let file = serde_json::to_string(&file).map_err(Failure::running)?;
        let (line, table) = match self.zeros() {
            Sparsities::All(_) => (self.zeros().to_toml(), String::new()),
            Sparsities::Layers(_) => (String::new(), self.zeros().to_toml()),
        };
        self.side = format!(
            "labels = {labels}\nprojection = {file}\n{line}\n[input]\nrange = [-{most:?}, {most:?}]\n\n{table}"
        );
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
            // The word stands before all tables, if at all.
            let (mut text, mut tables) = (PUBLIC.to_owned(), false);
            for line in self.side.lines() {
                tables |= line.trim_start().starts_with('[');
                if tables || !line.trim_start().starts_with("sparsity") {
                    text += line;
                    text += "\n";
                }
            }
            text
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
        let source = Source::load(&path.to_string_lossy(), &self.arguments.numbers)?;
        let (graph, params) = source.quantise(number)?;
        let what = format!("{}: measuring the accuracy in integers", path.display());
        patiently(&what, || integer_accuracy(&graph, &params, data)).map_err(failed)
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
        drop(shown);
        let graph = network.to_graph().map_err(failed)?;
        let path = self.write(&graph, &self.name, false)?;
        checkpoint.remove();
        self.result(&network, &path, Protocol::Gazelle)
    }

    fn prune(&self, mut network: Network, keep: f64) -> Result<(), Failure> {
        let pruning =
            Pruning { keep, mask: self.arguments.mask, rounds: ROUNDS, settings: self.settings(12) };
        let pruned = self.pruned(&mut network, &pruning, &self.data, &self.name)?;
        self.result(&network, &pruned.path, Protocol::DeepSecure)?;
        pruned.kept.remove();
        Ok(())
    }

    /// Prunes, retrains and writes; tells of the products that stay.
    pub fn pruned(
        &self,
        network: &mut Network,
        pruning: &Pruning,
        data: &Data,
        name: &str,
    ) -> Result<Pruned, Failure> {
        let name = format!("{name}-pruned");
        if let Sparsities::Layers(_) = self.zeros() {
            note(
                "[sparsity] in the side file stays as it is: zeros of layers that it does not make public buy nothing",
            );
        }
        let kept = self.kept(&name, pruning.digest(network, data))?;
        let mut shown = Shown::new(&pruning.settings, data.len(), None);
        prune(network, data, pruning, Some(&kept), &mut shown).map_err(failed)?;
        drop(shown);
        let graph = network.to_graph().map_err(failed)?;
        let (before, after) = (products(&self.graph), products(&graph));
        let share = after as f64 / before.max(1) as f64;
        let path = self.write(&graph, &name, true)?;
        self.human.line(&format!("{name}: {after} of {before} products stay ({:.1} %)", 100.0 * share))?;
        Ok(Pruned { path, kept, share })
    }

    fn result(&self, network: &Network, path: &Path, protocol: Protocol) -> Result<(), Failure> {
        let training = network.accuracy(&self.data.spread(TOLD)).map_err(failed)?;
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
