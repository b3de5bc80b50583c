//! Delphi's search for activations (section 5, Figure 6).
//!
//! A network of ReLUs becomes one of ReLU6; then, for each number of quadratic layers from half of all to all, population-based training
//! looks for where they stand best, and again for the hyper-parameters with which they train best. A member that is replaced takes the
//! weights of the one that it is mutated from, so that nothing is trained from scratch.

mod population;
pub mod report;

use model::fixed::NodeId;
use model::graph::{Graph, Layer};

use crate::data::Data;
use crate::draws::Draws;
use crate::error::Error;
use crate::kept::{Kept, digest};
use crate::network::{Activations, Network, Snapshot};
use crate::optimise::Optimiser;
use crate::train::{Observer, Settings, train};

use population::{Member, Round, run};

/// How to search.
#[derive(Clone, Debug)]
pub struct Search {
    /// Training of members; its epochs are those of one step of the population.
    pub settings: Settings,
    /// Epochs that make ReLU6 of ReLU.
    pub first_epochs: usize,
    /// Members of a population.
    pub population: usize,
    /// Steps of the population over placements.
    pub placements: usize,
    /// Steps of the population over hyper-parameters.
    pub hyper: usize,
    /// Threads; what is found does not depend on their number.
    pub workers: usize,
    /// The share of the data that is held out to compare members (the paper: 0.2).
    pub validation: f64,
    /// The least accuracy on it.
    pub min_accuracy: f64,
    /// Whether the network of ReLU6 alone is a result too.
    pub alone: bool,
}

/// A network that was found.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// How many of its activation layers are quadratic.
    pub count: usize,
    /// Which, by name.
    pub layers: Vec<String>,
    /// The network.
    pub graph: Graph,
    /// Its accuracy on the validation data, in floats.
    pub validation: f64,
    /// `accuracy (1 + quadratic elements / elements)`.
    pub score: f64,
    /// Elements of quadratic activations, and of all.
    pub elements: [usize; 2],
    /// The rate with which it was trained last.
    pub rate: f64,
    /// The momentum or nothing.
    pub momentum: Option<f64>,
    /// What makes it trainable again, over the graph that was searched.
    pub snapshot: Snapshot,
}

/// A count of quadratic layers that the search is done with.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    /// Quadratic layers.
    pub count: usize,
    /// Of so many activation layers.
    pub of: usize,
    /// The best accuracy of a network with so many.
    pub best: f64,
    /// Whether it is from an earlier run.
    pub kept: bool,
}

/// What the search tells while it runs.
pub trait Watcher: Sync {
    /// It begins, and takes about so many steps of training.
    fn begins(&self, _steps: u64) {}

    /// So many more of them are made; `false` stops the search.
    fn stepped(&self, _steps: u64) -> bool {
        true
    }

    /// So many need not be made: an earlier run did, or the training ended without them.
    fn skipped(&self, _steps: u64) {}

    /// A member was trained; `false` stops the search.
    fn trained(&self, _what: &str, _accuracy: f64) -> bool {
        true
    }

    /// A count is done.
    fn counted(&self, _counted: Counted) {}
}

/// Nobody watches.
impl Watcher for () {}

/// The activation layers that may become quadratic: ReLUs and clamps from 0, in order.
pub fn activations(graph: &Graph) -> Vec<NodeId> {
    let is = |layer: &Layer| {
        matches!(layer, Layer::Relu) || matches!(layer, Layer::Clamp { low, .. } if *low == 0.0)
    };
    (0..graph.nodes.len()).filter(|&id| is(&graph.nodes[id].layer)).collect()
}

/// Elements of some nodes.
fn elements(graph: &Graph, nodes: &[NodeId]) -> usize {
    nodes.iter().map(|&id| graph.nodes[id].shape.iter().product::<usize>()).sum()
}

/// The counts of quadratic layers, of so many, that are tried.
fn counts(layers: usize) -> std::ops::RangeInclusive<usize> {
    (layers / 2).max(1)..=layers
}

impl Search {
    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// The first such setting.
    pub fn check(&self, graph: &Graph) -> Result<(), Error> {
        let bad = |what: &str| Err(Error::Setting(what.into()));
        if self.population == 0 || self.workers == 0 {
            return bad("a search needs at least one member and one worker");
        }
        if !(self.validation > 0.0 && self.validation < 1.0) {
            return bad("the share of data that is held out must lie between 0 and 1");
        }
        if !(0.0..=1.0).contains(&self.min_accuracy) {
            return bad("an accuracy lies between 0 and 1; 0.987 for 98.7 %");
        }
        if activations(graph).is_empty() {
            return bad("the network has no ReLU that could become quadratic");
        }
        self.settings.check()
    }

    /// A digest of all that the members of a search depend on: neither the number of threads nor the least accuracy.
    ///
    /// # Errors
    /// If memory is short.
    pub fn digest(&self, graph: &Graph, data: &Data) -> Result<String, Error> {
        let alike = Self { workers: 0, min_accuracy: 0.0, alone: false, ..self.clone() };
        let rest = format!("{alike:?} {}", env!("CARGO_PKG_VERSION"));
        let network = Network::new(graph)?.digest()?;
        Ok(digest([rest.as_bytes(), network.as_bytes(), data.digest().as_bytes()]))
    }

    /// The examples that members are trained on, and those that they are compared on.
    pub fn split(&self, data: &Data) -> (Data, Data) {
        data.split(self.validation, self.settings.seed)
    }

    /// Searches; the first candidate is the network of ReLU6, for comparison, whatever its accuracy. With `kept`, opened for
    /// [`Search::digest`], what is trained is kept there, and what is there is not trained again.
    ///
    /// # Errors
    /// [`Error::Unreached`] if no network with quadratic layers has the least accuracy and that of ReLU6 alone is no result, and as [`train`].
    pub fn run(
        &self,
        graph: &Graph,
        data: &Data,
        kept: Option<&Kept>,
        watcher: &dyn Watcher,
    ) -> Result<Vec<Candidate>, Error> {
        self.check(graph)?;
        let all = activations(graph);
        let (training, validation) = self.split(data);
        let round = Round {
            search: self,
            graph,
            all: &all,
            training: &training,
            validation: &validation,
            kept,
            watcher,
        };
        watcher.begins(self.steps(&round));
        let first = self.first(&round)?;
        let network = first.network(graph)?;
        let mut found = vec![self.candidate(&network, &first, &all)?];
        let mut best = (first.accuracy, "ReLU6 alone".to_owned());
        for count in counts(all.len()) {
            let tuned = self.count(&round, &network, count)?;
            let most = tuned.iter().map(|member| member.accuracy).fold(0.0, f64::max);
            // Of networks with quadratic layers, wherever there is one.
            if found.len() == 1 && (most > best.0 || best.1 == "ReLU6 alone") {
                best = (most, format!("{count} of {} layers quadratic", all.len()));
            }
            let good = tuned.into_iter().filter(|member| member.accuracy >= self.min_accuracy);
            if let Some(member) =
                good.max_by(|a, b| self.score(graph, &all, a).total_cmp(&self.score(graph, &all, b)))
            {
                found.push(self.candidate(&member.network(graph)?, &member, &all)?);
            }
        }
        if found.len() == 1 && !self.alone {
            let (best, which) = best;
            return Err(Error::Unreached { wanted: self.min_accuracy, best, which });
        }
        Ok(found)
    }

    /// Steps of training of all members, should every placement that is looked for exist.
    fn steps(&self, round: &Round<'_>) -> u64 {
        let members = counts(round.all.len()).map(|count| self.members(round.all.len(), count));
        let each = members.map(|members| self.steps_of(round, members));
        each.fold(round.steps(self.first_epochs), u64::saturating_add)
    }

    /// Steps of a population of so many.
    fn steps_of(&self, round: &Round<'_>, members: usize) -> u64 {
        let trainings = (self.placements as u64).saturating_add(self.hyper as u64);
        round.steps(self.settings.epochs).saturating_mul(trainings).saturating_mul(members as u64)
    }

    /// Members of a population with so many quadratic layers: no two are alike.
    fn members(&self, layers: usize, count: usize) -> usize {
        let mut placements = 1usize;
        for place in 0..count.min(layers - count) {
            // Exact: a product of n neighbours is a multiple of n!.
            placements = placements.saturating_mul(layers - place) / (place + 1);
            if placements >= self.population {
                return self.population;
            }
        }
        placements
    }

    /// The network of ReLU6.
    fn first(&self, round: &Round<'_>) -> Result<Member, Error> {
        if let Some(member) = round.load("first")?.and_then(|mut members| members.pop()) {
            round.watcher.skipped(round.steps(self.first_epochs));
            return Ok(member);
        }
        let clipped = Activations { clipped: true, quadratic: Vec::new() };
        let mut network = Network::with_activations(round.graph, &clipped)?;
        if self.first_epochs > 0 {
            let settings = Settings { epochs: self.first_epochs, exchange: 0.0, ..self.settings.clone() };
            let mut observer = Watched { watcher: round.watcher, steps: 0 };
            train(&mut network, round.training, &settings, &[], None, &mut observer)?;
        }
        let accuracy = network.accuracy(round.validation)?;
        let member = Member::first(&network.weights()?, vec![], &self.settings, accuracy);
        round.save("first", std::slice::from_ref(&member))?;
        if round.watcher.trained("ReLU6", accuracy) { Ok(member) } else { Err(Error::Stopped) }
    }

    /// The members of one count of quadratic layers, trained over placements and then over rates.
    fn count(&self, round: &Round<'_>, first: &Network, count: usize) -> Result<Vec<Member>, Error> {
        let name = format!("count-{count}");
        let before = round.load(&name)?;
        let kept = before.is_some();
        let tuned = match before {
            Some(members) => {
                round.watcher.skipped(self.steps_of(round, members.len()));
                members
            }
            None => {
                let placed = run(round, self.placements_of(first, round.all, count)?, false)?;
                run(round, placed, true)?
            }
        };
        if !kept {
            round.save(&name, &tuned)?;
            round.forget_members(count);
        }
        let best = tuned.iter().map(|member| member.accuracy).fold(0.0, f64::max);
        round.watcher.counted(Counted { count, of: round.all.len(), best, kept });
        Ok(tuned)
    }

    /// `acc (1 + #quadratic activations / #activations)` (section 5.1).
    fn score(&self, graph: &Graph, all: &[NodeId], member: &Member) -> f64 {
        let share = elements(graph, &member.quadratic) as f64 / elements(graph, all).max(1) as f64;
        member.accuracy * (1.0 + share)
    }

    /// Different placements of `count` quadratic layers, each with the weights of the network of ReLU6.
    fn placements_of(&self, first: &Network, all: &[NodeId], count: usize) -> Result<Vec<Member>, Error> {
        let mut draws = Draws::new(self.settings.seed, 1000 + count as u64);
        let mut members: Vec<Member> = Vec::new();
        // Few placements may exist; drawing again and again finds most of those.
        for _ in 0..20 * self.population {
            let mut places: Vec<NodeId> =
                draws.shuffled(all.len()).into_iter().take(count).map(|i| all[i]).collect();
            places.sort_unstable();
            if members.len() < self.population && members.iter().all(|member| member.quadratic != places) {
                let activations = Activations { clipped: true, quadratic: places.clone() };
                let mut network = Network::with_activations(first.graph(), &activations)?;
                network.adopt(first)?;
                members.push(Member::first(&network.weights()?, places, &self.settings, 0.0));
            }
        }
        Ok(members)
    }

    fn candidate(&self, network: &Network, member: &Member, all: &[NodeId]) -> Result<Candidate, Error> {
        let graph = network.graph();
        Ok(Candidate {
            count: member.quadratic.len(),
            layers: member.quadratic.iter().map(|&id| graph.nodes[id].name.clone()).collect(),
            graph: network.to_graph()?,
            validation: member.accuracy,
            score: self.score(graph, all, member),
            elements: [elements(graph, &member.quadratic), elements(graph, all)],
            rate: member.rate,
            momentum: match member.optimiser {
                Optimiser::Sgd { momentum } => Some(momentum),
                Optimiser::Adam => None,
            },
            snapshot: network.snapshot()?,
        })
    }
}

/// Tells a watcher of a training's steps, and lets it stop between them.
struct Watched<'a> {
    watcher: &'a dyn Watcher,
    /// Steps that were made.
    steps: u64,
}

impl Observer for Watched<'_> {
    fn step(&mut self, _progress: crate::train::Progress) -> bool {
        self.steps += 1;
        self.watcher.stepped(1)
    }
}
