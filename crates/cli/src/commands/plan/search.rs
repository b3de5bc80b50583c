//! The search for activations, and pruning of what it found: networks, their plans, a table and pictures.

use std::path::Path;

use planner::network::Snapshot;
use planner::prune::{Pruning, clear, masks};
use planner::search::report::{MeasuredOn, Row, Table};
use planner::search::{Candidate, Search};
use planner::train::Settings;
use planner::{Data, Error, Network};
use protocol::interactive::{Garbler, Method};

use super::budget::{self, Budget, Prices};
use super::progress::Searching;
use super::train::{Pruned, ROUNDS, Work, failed};
use crate::choice::Protocol;
use crate::console::{note, out};
use crate::failure::Failure;
use crate::pricing::{Priced, Variant};
use crate::source::Number;

/// A network that was found, and how it may run.
pub struct Found {
    /// Its file's name.
    pub file: String,
    /// What makes it trainable again, over the model's graph.
    pub snapshot: Snapshot,
    /// Its quadratic layers.
    pub quadratic: Vec<String>,
    /// Elements of its quadratic activations, and of all.
    elements: [usize; 2],
    /// Accuracy on the data that are held out from training, in floats.
    pub validation: f64,
    /// On test data, or held-out ones where there are none, in the integers of `delphi`, or of `deepsecure` if it is pruned.
    integers: f64,
    /// Products that stay, if it is pruned, as a share.
    pub products: Option<f64>,
    /// What it was pruned from: a path.
    pub whole: Option<String>,
    /// Every choice of protocol with its price.
    pub priced: Vec<Priced>,
}

impl Found {
    /// As a row of the table.
    fn row(&self) -> Row {
        let delphi = self
            .priced
            .iter()
            .find(|priced| priced.variant == Variant::Delphi(Garbler::Server, Method::HeCoefficients));
        let delphi = delphi.and_then(|priced| priced.estimate.as_ref().ok());
        let [quadratic, all] = self.elements;
        Row {
            file: self.file.clone(),
            quadratic_layers: self.quadratic.clone(),
            quadratic_elements: quadratic,
            elements: all,
            products: self.products.unwrap_or(1.0),
            validation_accuracy: self.validation,
            integer_accuracy: self.integers,
            score: self.validation * (1.0 + quadratic as f64 / all.max(1) as f64),
            cost: delphi.map(|estimate| estimate.total().bytes() as f64 / 1e6),
            online_seconds: delphi.map(|estimate| estimate.online.seconds),
        }
    }
}

/// The command with `--min-accuracy`.
pub fn run(work: &Work<'_>, min_accuracy: f64) -> Result<(), Failure> {
    let arguments = work.arguments;
    let settings = Settings { clip: Some(2.0), exchange: 0.5, ..work.settings(2) };
    let search = Search {
        first_epochs: settings.epochs,
        settings,
        population: arguments.population,
        placements: arguments.steps,
        hyper: arguments.steps,
        workers: arguments.workers,
        validation: 0.2,
        min_accuracy,
        // Within a budget it may be the best.
        alone: arguments.has_budget(),
    };
    if let Some(keep) = arguments.prune {
        // A share that makes no sense is said before anything is trained.
        let network = Network::new(&work.graph).map_err(failed)?;
        masks(&network, keep, arguments.mask).map_err(failed)?;
    }
    search.check(&work.graph).map_err(failed)?;
    let kept = work.kept("search", search.digest(&work.graph, &work.data))?;
    let later = |failure: Failure| {
        failure.and(&format!(
            "{}: what was trained is kept; another accuracy or budget goes on from it",
            kept.folder().display()
        ))
    };
    let found =
        search.run(&work.graph, &work.data, Some(&kept), &Searching::new()).map_err(|error| match error {
            error @ Error::Unreached { .. } => later(failed(error)),
            other => failed(other),
        })?;
    let split = search.split(&work.data);
    let joint = Joint {
        work,
        prices: Prices::new(arguments),
        budget: Budget::of(arguments),
        split: (&split.0, &split.1),
    };
    let mut networks =
        found.iter().map(|candidate| joint.candidate(candidate)).collect::<Result<Vec<_>, Failure>>()?;
    let mut prunings = Vec::new();
    if let Some(keep) = arguments.prune {
        let pruning = Pruning {
            keep,
            mask: arguments.mask,
            rounds: ROUNDS,
            // As many epochs as the networks of the last population have seen.
            settings: Settings {
                epochs: search.settings.epochs * (1 + 2 * arguments.steps),
                exchange: 0.0,
                ..search.settings
            },
        };
        prunings = joint.prune(&pruning, &mut networks)?;
    }
    write_table(work, &networks)?;
    budget::choose(work, &joint.prices, joint.budget.as_ref(), (&networks, &split.1)).map_err(later)?;
    prunings.iter().chain([&kept]).for_each(planner::kept::Kept::remove);
    Ok(())
}

fn write_table(work: &Work<'_>, networks: &[Found]) -> Result<(), Failure> {
    let integers_on = if work.test.is_some() { MeasuredOn::Test } else { MeasuredOn::Validation };
    let table = Table { cost: "MB, delphi", integers_on, rows: networks.iter().map(Found::row).collect() };
    let text = serde_json::to_string_pretty(&table).map_err(Failure::running)?;
    let seconds = format!("seconds once the input is known, delphi, {}", work.arguments.way());
    let files = [
        ("table.json", text),
        ("accuracy-against-cost.svg", table.svg(table.cost, |row| row.cost)),
        ("accuracy-against-seconds.svg", table.svg(&seconds, |row| row.online_seconds)),
    ];
    for (name, content) in files {
        let path = work.folder.join(name);
        std::fs::write(&path, content)
            .map_err(|error| Failure::running(format!("{}: {error}", path.display())))?;
    }
    match (work.arguments.json, work.arguments.has_budget()) {
        (true, true) => Ok(()),
        (true, false) => out(&serde_json::to_string(&table).map_err(Failure::running)?),
        (false, _) => table.lines().iter().try_for_each(|line| out(line)),
    }
}

/// Which networks there are to choose from.
struct Joint<'a> {
    work: &'a Work<'a>,
    prices: Prices,
    budget: Option<Budget>,
    /// What is trained on, and what is held out.
    split: (&'a Data, &'a Data),
}

impl Joint<'_> {
    /// Writes a candidate of the search, tests it and prices it.
    fn candidate(&self, candidate: &Candidate) -> Result<Found, Failure> {
        let name = match candidate.count {
            0 => "relu6".to_owned(),
            count => format!("quadratic-{count}"),
        };
        let path = self.work.write(&candidate.graph, &name, false)?;
        Ok(Found {
            file: format!("{name}.onnx"),
            snapshot: candidate.snapshot.clone(),
            quadratic: candidate.layers.clone(),
            elements: candidate.elements,
            validation: candidate.validation,
            integers: self.integers(&path, Protocol::Delphi)?,
            products: None,
            whole: None,
            priced: self.prices.of(&path)?,
        })
    }

    /// The accuracy of a written network in a protocol's integers.
    fn integers(&self, path: &Path, protocol: Protocol) -> Result<f64, Failure> {
        self.work.accuracy(path, Number::Of(protocol), self.work.test.as_ref().unwrap_or(self.split.1))
    }

    /// Prunes networks, the most accurate first: with a budget those alone that pruning brings within it, and only until one within it is
    /// as accurate as the next was before.
    fn prune(
        &self,
        pruning: &Pruning,
        networks: &mut Vec<Found>,
    ) -> Result<Vec<planner::kept::Kept>, Failure> {
        let mut order: Vec<usize> = (0..networks.len()).collect();
        order.sort_by(|a, b| networks[*b].validation.total_cmp(&networks[*a].validation));
        let least = self.work.arguments.min_accuracy.unwrap_or(0.0);
        let fits = |found: &Found| {
            let budget = self.budget.as_ref();
            found.validation >= least && budget.is_some_and(|budget| budget.holds(&found.priced))
        };
        let within = networks.iter().filter(|found| fits(found)).map(|found| found.validation);
        let mut best = within.fold(f64::NEG_INFINITY, f64::max);
        let (mut prunings, mut beyond) = (Vec::new(), Vec::new());
        for index in order {
            let base = &networks[index];
            if self.budget.is_some() && base.validation <= best {
                if prunings.is_empty() && beyond.is_empty() {
                    note("nothing is pruned: the most accurate network keeps within the budget as it is");
                }
                break;
            }
            let base = self.base(base)?;
            if let Some(budget) = &self.budget
                && !budget.holds(&self.masked(&base, pruning)?)
            {
                beyond.push(base.name);
                continue;
            }
            let (found, kept) = self.pruned(base, pruning)?;
            if fits(&found) {
                best = best.max(found.validation);
            }
            networks.push(found);
            prunings.push(kept);
        }
        if !beyond.is_empty() {
            note(&format!(
                "beyond the budget even pruned, by every protocol, and so not pruned: {}",
                beyond.join(", ")
            ));
        }
        Ok(prunings)
    }

    /// What is pruned in a candidate's place: itself, or, without quadratic layers, the model with its ReLUs as they were.
    fn base(&self, found: &Found) -> Result<Base, Failure> {
        let (quadratic, elements) = (found.quadratic.clone(), found.elements);
        if quadratic.is_empty() {
            let network = Network::new(&self.work.graph).map_err(failed)?;
            let (name, whole) = (self.work.name.clone(), self.work.arguments.model.clone());
            return Ok(Base { network, name, whole, quadratic, elements });
        }
        let network = found.snapshot.network(&self.work.graph).map_err(failed)?;
        let name = found.file.trim_end_matches(".onnx").to_owned();
        let whole = self.work.folder.join(&found.file).to_string_lossy().into_owned();
        Ok(Base { network, name, whole, quadratic, elements })
    }

    /// The prices of a network with zeros where pruning would put them, before anything is trained.
    fn masked(&self, base: &Base, pruning: &Pruning) -> Result<Vec<Priced>, Failure> {
        let mut network =
            Network::with_activations(&self.work.graph, base.network.activations()).map_err(failed)?;
        network.adopt(&base.network).map_err(failed)?;
        let zeros = masks(&network, pruning.keep, pruning.mask).map_err(failed)?;
        clear(&mut network, &zeros).map_err(failed)?;
        let graph = network.to_graph().map_err(failed)?;
        self.prices.of_unwritten(self.work, &graph, true, &Variant::ALL)
    }

    fn pruned(&self, mut base: Base, pruning: &Pruning) -> Result<(Found, planner::kept::Kept), Failure> {
        let (training, validation) = self.split;
        let Pruned { path, kept, share } =
            self.work.pruned(&mut base.network, pruning, training, &base.name)?;
        let found = Found {
            file: file_name(&path),
            snapshot: base.network.snapshot().map_err(failed)?,
            quadratic: base.quadratic,
            elements: base.elements,
            validation: base.network.accuracy(validation).map_err(failed)?,
            integers: self.integers(&path, Protocol::DeepSecure)?,
            products: Some(share),
            whole: Some(base.whole),
            priced: self.prices.of(&path)?,
        };
        Ok((found, kept))
    }
}

/// A network to be pruned.
struct Base {
    network: Network,
    name: String,
    /// Its file.
    whole: String,
    quadratic: Vec<String>,
    elements: [usize; 2],
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
impl Found {
    /// One of which only this is known.
    pub fn named(file: &str, validation: f64) -> Self {
        Self {
            file: file.to_owned(),
            snapshot: Snapshot::default(),
            quadratic: Vec::new(),
            elements: [0, 0],
            validation,
            integers: 0.0,
            products: None,
            whole: None,
            priced: Vec::new(),
        }
    }
}
