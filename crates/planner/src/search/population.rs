//! Population-based training (Jaderberg et al., 2017): members train side by side; after each step the worst are replaced by mutated
//! copies of the best.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use model::fixed::NodeId;
use model::graph::Graph;
use serde::{Deserialize, Serialize};

use super::{Search, Watched, Watcher};
use crate::data::Data;
use crate::draws::Draws;
use crate::error::Error;
use crate::kept::{Kept, damaged, tensors};
use crate::network::{Activations, Network};
use crate::optimise::Optimiser;
use crate::train::{Settings, train};

/// A network of the population, as little as makes it.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// Its quadratic layers in order.
    pub quadratic: Vec<NodeId>,
    weights: Vec<Vec<f32>>,
    pub rate: f64,
    pub optimiser: Optimiser,
    /// On the validation data.
    pub accuracy: f64,
    /// Whether its quadratics are new, so that they are to be brought in gradually.
    fresh: bool,
}

/// What all members share.
pub(super) struct Round<'a> {
    pub search: &'a Search,
    pub graph: &'a Graph,
    pub all: &'a [NodeId],
    pub training: &'a Data,
    pub validation: &'a Data,
    pub kept: Option<&'a Kept>,
    pub watcher: &'a dyn Watcher,
}

/// A member in a file: floats as their bits, since decimals may be rounded.
#[derive(Serialize, Deserialize)]
struct Record {
    quadratic: Vec<NodeId>,
    sizes: Vec<usize>,
    rate: u64,
    momentum: Option<u64>,
    accuracy: u64,
}

impl Record {
    fn of(member: &Member) -> Self {
        Self {
            quadratic: member.quadratic.clone(),
            sizes: member.weights.iter().map(Vec::len).collect(),
            rate: member.rate.to_bits(),
            momentum: match member.optimiser {
                Optimiser::Sgd { momentum } => Some(momentum.to_bits()),
                Optimiser::Adam => None,
            },
            accuracy: member.accuracy.to_bits(),
        }
    }

    fn member(self, weights: Vec<Vec<f32>>) -> Member {
        let momentum = self.momentum.map(f64::from_bits);
        Member {
            quadratic: self.quadratic,
            weights,
            rate: f64::from_bits(self.rate),
            optimiser: momentum.map_or(Optimiser::Adam, |momentum| Optimiser::Sgd { momentum }),
            accuracy: f64::from_bits(self.accuracy),
            fresh: false,
        }
    }
}

impl Round<'_> {
    /// Steps of so many epochs.
    pub fn steps(&self, epochs: usize) -> u64 {
        let each = self.training.len().div_ceil(self.search.settings.batch.max(1));
        (epochs as u64).saturating_mul(each as u64)
    }

    /// Keeps trained members.
    pub fn save(&self, name: &str, members: &[Member]) -> Result<(), Error> {
        let Some(kept) = self.kept else { return Ok(()) };
        let records: Vec<Record> = members.iter().map(Record::of).collect();
        kept.save(name, records, members.iter().flat_map(|member| &member.weights))
    }

    /// Members that were kept.
    pub fn load(&self, name: &str) -> Result<Option<Vec<Member>>, Error> {
        let Some(kept) = self.kept else { return Ok(None) };
        let Some((records, floats)) = kept.load::<Vec<Record>>(name)? else { return Ok(None) };
        let damaged = || damaged(&kept.path(name));
        let sizes: Vec<usize> = records.iter().flat_map(|record| record.sizes.iter().copied()).collect();
        let mut weights = tensors(&floats, &sizes).ok_or_else(damaged)?.into_iter();
        let mut members = Vec::with_capacity(records.len());
        for record in records {
            let own = weights.by_ref().take(record.sizes.len()).collect();
            let member = record.member(own);
            // The digest is no signature: whatever the file says must make a network.
            if !member.quadratic.iter().all(|id| self.all.contains(id)) || member.network(self.graph).is_err()
            {
                return Err(damaged());
            }
            members.push(member);
        }
        Ok(Some(members))
    }

    /// Forgets the members of a count, which is done.
    pub fn forget_members(&self, count: usize) {
        if let Some(kept) = self.kept {
            kept.remove_some(&format!("member-{count}-"));
        }
    }
}

impl Member {
    /// With these weights, not yet trained.
    pub fn first(weights: &[Vec<f32>], quadratic: Vec<NodeId>, settings: &Settings, accuracy: f64) -> Self {
        let (rate, optimiser) = (settings.rate, settings.optimiser);
        Self { quadratic, weights: weights.to_vec(), rate, optimiser, accuracy, fresh: true }
    }

    /// The network it stands for.
    pub fn network(&self, graph: &Graph) -> Result<Network, Error> {
        let activations = Activations { clipped: true, quadratic: self.quadratic.clone() };
        let mut network = Network::with_activations(graph, &activations)?;
        network.set_weights(&self.weights)?;
        Ok(network)
    }

    /// Trains for one step of the population. A member that diverges is worth nothing, and is replaced.
    fn train(&mut self, round: &Round<'_>, seed: u64) -> Result<(), Error> {
        let mut network = self.network(round.graph)?;
        let exchange = if self.fresh { round.search.settings.exchange } else { 0.0 };
        let settings = Settings {
            seed,
            rate: self.rate,
            optimiser: self.optimiser,
            exchange,
            ..round.search.settings.clone()
        };
        let mut observer = Watched { watcher: round.watcher, steps: 0 };
        match train(&mut network, round.training, &settings, &[], None, &mut observer) {
            Ok(_) => self.accuracy = network.accuracy(round.validation)?,
            Err(Error::Diverged { .. }) => {
                self.accuracy = 0.0;
                round.watcher.skipped(round.steps(settings.epochs).saturating_sub(observer.steps));
            }
            Err(other) => return Err(other),
        }
        self.weights = network.weights()?;
        self.fresh = false;
        Ok(())
    }

    /// Tells that it was trained.
    fn tell(&self, round: &Round<'_>) -> Result<(), Error> {
        let names: Vec<&str> = self.quadratic.iter().map(|&id| round.graph.nodes[id].name.as_str()).collect();
        if round.watcher.trained(&names.join(", "), self.accuracy) { Ok(()) } else { Err(Error::Stopped) }
    }

    /// A child: another placement with the parent's weights, or other hyper-parameters.
    fn mutated(
        &self,
        round: &Round<'_>,
        others: &[Self],
        hyper: bool,
        draws: &mut Draws,
    ) -> Result<Self, Error> {
        let mut child = self.clone();
        if hyper {
            child.rate *= if draws.below(2) == 0 { 0.5 } else { 2.0 };
            if let Optimiser::Sgd { momentum } = &mut child.optimiser {
                *momentum =
                    (1.0 - (1.0 - *momentum) * if draws.below(2) == 0 { 0.8 } else { 1.25 }).clamp(0.0, 0.99);
            }
            return Ok(child);
        }
        let outside: Vec<NodeId> =
            round.all.iter().copied().filter(|id| !self.quadratic.contains(id)).collect();
        for _ in 0..20 {
            if outside.is_empty() || self.quadratic.is_empty() {
                break;
            }
            let mut places = self.quadratic.clone();
            places[draws.below(self.quadratic.len())] = outside[draws.below(outside.len())];
            places.sort_unstable();
            if others.iter().all(|member| member.quadratic != places) {
                let activations = Activations { clipped: true, quadratic: places.clone() };
                let mut network = Network::with_activations(round.graph, &activations)?;
                network.adopt(&self.network(round.graph)?)?;
                child = Self { quadratic: places, weights: network.weights()?, fresh: true, ..child };
                break;
            }
        }
        Ok(child)
    }
}

/// Trains a population, over placements or over hyper-parameters, and returns its members, the best first.
pub(super) fn run(round: &Round<'_>, members: Vec<Member>, hyper: bool) -> Result<Vec<Member>, Error> {
    let search = round.search;
    let steps = if hyper { search.hyper } else { search.placements };
    let mut members = members;
    for step in 0..steps {
        let count = members.first().map_or(0, |member| member.quadratic.len()) as u64;
        let purpose = (count << 20) | ((step as u64) << 1) | u64::from(hyper);
        let mut draws = Draws::new(search.settings.seed, (1 << 40) | purpose);
        // The first step over hyper-parameters needs different ones.
        if hyper && step == 0 {
            for member in members.iter_mut().skip(1) {
                *member = member.mutated(round, &[], true, &mut draws)?;
            }
        }
        let name = format!("member-{count}-{}-{step}", if hyper { "rates" } else { "places" });
        members = trained(round, members, draws.next(), &name)?;
        members.sort_by(|a, b| {
            let score = |member: &Member| search.score(round.graph, round.all, member);
            score(b).total_cmp(&score(a))
        });
        let worst = members.len() / 4 + usize::from(members.len() > 1 && members.len() < 4);
        if step + 1 < steps {
            for place in 0..worst {
                let child = members[place].mutated(round, &members, hyper, &mut draws)?;
                let last = members.len() - 1 - place;
                members[last] = child;
            }
        }
    }
    Ok(members)
}

/// All members, trained for a step by the workers.
fn trained(round: &Round<'_>, members: Vec<Member>, seed: u64, name: &str) -> Result<Vec<Member>, Error> {
    let next = AtomicUsize::new(0);
    let members: Vec<Mutex<Member>> = members.into_iter().map(Mutex::new).collect();
    let work = || -> Result<(), Error> {
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(member) = members.get(place) else { break };
            let mut member = member.lock().map_err(|_| Error::Stopped)?;
            let name = format!("{name}-{place}");
            let before = round.load(&name)?.and_then(|mut members| members.pop());
            if let Some(before) = before.filter(|before| before.quadratic == member.quadratic) {
                *member = before;
                round.watcher.skipped(round.steps(round.search.settings.epochs));
                continue;
            }
            // A seed for each placement, so that no schedule of threads shows in the result.
            let own =
                member.quadratic.iter().fold(seed, |sum, &id| sum.wrapping_mul(31).wrapping_add(id as u64));
            member.train(round, own)?;
            round.save(&name, std::slice::from_ref(&*member))?;
            member.tell(round)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..round.search.workers.min(members.len())).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| Error::Stopped)?)
    })?;
    members.into_iter().map(|member| member.into_inner().map_err(|_| Error::Stopped)).collect()
}
