//! The training loop.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::data::{Augment, Data};
use crate::draws::Draws;
use crate::error::Error;
use crate::network::Network;
use crate::ops::entropy::Entropy;
use crate::optimise::{Memory, Optimiser, Step};

/// How to train. Two runs with the same settings, data and network give the same weights, bit by bit, on the same kind of machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Passes over the data.
    pub epochs: usize,
    /// Examples a step.
    pub batch: usize,
    /// The rule for steps.
    pub optimiser: Optimiser,
    /// The rate at the start; it falls to zero along half a cosine.
    pub rate: f64,
    /// Decay of weights.
    pub decay: f64,
    /// Gradients beyond this are cut to it.
    pub clip: Option<f32>,
    /// Changes of pictures.
    pub augment: Option<Augment>,
    /// The share of all steps during which exchanged activations go from ReLU6 to quadratic.
    pub exchange: f64,
    /// Where shuffles and changes come from.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch: 64,
            optimiser: Optimiser::Adam,
            rate: 1e-3,
            decay: 0.0,
            clip: None,
            augment: None,
            exchange: 0.0,
            seed: 1,
        }
    }
}

impl Settings {
    /// All of them as text, exactly.
    pub(crate) fn text(&self) -> String {
        format!("{self:?}")
    }

    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// The first such setting.
    pub fn check(&self) -> Result<(), Error> {
        let bad = |what: &str| Err(Error::Setting(what.into()));
        if self.batch == 0 || self.epochs == 0 {
            return bad("a training needs at least one epoch and one example a step");
        }
        if !(self.rate > 0.0 && self.rate < 1e3 && self.decay >= 0.0 && self.decay < 1e3) {
            return bad("the rate must be above 0, the decay at least 0, and both below 1000");
        }
        match self.optimiser {
            Optimiser::Sgd { momentum } if !(0.0..1.0).contains(&momentum) => {
                bad("the momentum must lie in [0, 1)")
            }
            _ => Ok(()),
        }
    }
}

/// Where a training stands, besides the weights: after whole epochs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Epochs done.
    pub epoch: usize,
    /// The optimiser's memory.
    pub memory: Memory,
}

/// What an observer is told.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The epoch, counted from 0.
    pub epoch: usize,
    /// Steps done of it.
    pub step: usize,
    /// Its steps.
    pub steps: usize,
    /// Mean loss of the epoch so far.
    pub loss: f32,
}

/// A round of a pruning, which is a training of its own.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// Which, counted from 1.
    pub round: usize,
    /// Of how many.
    pub rounds: usize,
    /// The share of products that stay from now on.
    pub keep: f64,
    /// Its epochs.
    pub epochs: usize,
    /// How many of them are done already.
    pub done: usize,
}

/// What training asks of its surroundings.
pub trait Observer {
    /// Before each round of a pruning.
    fn round(&mut self, _round: Round) {}

    /// After each step; `false` stops.
    fn step(&mut self, _progress: Progress) -> bool {
        true
    }

    /// After each epoch.
    ///
    /// # Errors
    /// What the observer could not do; it ends the training.
    fn epoch(&mut self, _network: &Network, _state: &State) -> Result<(), Error> {
        Ok(())
    }
}

/// Nobody looks.
pub struct Silent;

impl Observer for Silent {}

/// Places that stay zero: for each trained tensor, which values are kept, if not all.
pub type Masks = Vec<Option<Vec<bool>>>;

/// Trains a network from a state on.
///
/// # Errors
/// Settings that make no sense, a loss that is no number, or the observer's wish to stop.
pub fn train(
    network: &mut Network,
    data: &Data,
    settings: &Settings,
    masks: &[Option<Vec<bool>>],
    state: Option<State>,
    observer: &mut dyn Observer,
) -> Result<State, Error> {
    settings.check()?;
    let mut weights = network.weights()?;
    let sizes = weights.iter().map(Vec::len);
    let mut state =
        state.unwrap_or_else(|| State { epoch: 0, memory: Memory::new(settings.optimiser, sizes) });
    if state.memory.first.iter().map(Vec::len).ne(weights.iter().map(Vec::len)) {
        return Err(Error::Setting("the state is that of another network".into()));
    }
    let steps = data.len().div_ceil(settings.batch);
    let total = (steps * settings.epochs) as f64;
    while state.epoch < settings.epochs {
        let epoch = state.epoch;
        let seed = settings.seed.wrapping_add((epoch as u64) << 32);
        let order = Draws::new(seed, 0).shuffled(data.len());
        let data = data.augmented(settings.augment, seed);
        let mut sum = 0.0;
        for (step, batch) in order.chunks(settings.batch).enumerate() {
            let done = (epoch * steps + step) as f64 / total;
            network.blend = if settings.exchange > 0.0 { (done / settings.exchange).min(1.0) } else { 1.0 };
            let rate = settings.rate * 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
            let numbers = Step { rate, decay: settings.decay, clip: settings.clip };
            let loss = step_once(
                network,
                &data,
                batch,
                (settings.optimiser, numbers),
                masks,
                &mut weights,
                &mut state.memory,
            )?;
            if !loss.is_finite() {
                return Err(Error::Diverged { epoch: epoch + 1, loss });
            }
            sum += loss;
            let loss = sum / (step + 1) as f32;
            if !observer.step(Progress { epoch, step: step + 1, steps, loss }) {
                return Err(Error::Stopped);
            }
        }
        state.epoch += 1;
        network.blend = 1.0;
        observer.epoch(network, &state)?;
    }
    Ok(state)
}

/// The mean cross-entropy of scores with labels, one a row.
///
/// # Errors
/// If there is not one label a row.
pub fn loss(scores: &Tensor, labels: &[u32], classes: usize) -> Result<f64, Error> {
    Ok(f64::from(Entropy::of(scores, labels.to_vec(), classes)?.to_scalar::<f32>()?))
}

/// The gradient of the loss by each trained tensor.
///
/// # Errors
/// If inputs or labels are not the network's.
pub fn gradients(network: &Network, inputs: &[Tensor], labels: &[u32]) -> Result<Vec<Vec<f32>>, Error> {
    let scores = network.scores(inputs)?;
    let gradients = Entropy::of(&scores, labels.to_vec(), network.classes())?.backward()?;
    let values = |index: usize| match network.variable(index).and_then(|var| gradients.get(var)) {
        Some(gradient) => Ok(gradient.flatten_all()?.to_vec1::<f32>()?),
        None => Ok(vec![0.0; network.values(index)?.len()]),
    };
    (0..network.parameters().len()).map(values).collect()
}

/// One step; returns the loss before it.
fn step_once(
    network: &mut Network,
    data: &Data,
    batch: &[usize],
    (optimiser, numbers): (Optimiser, Step),
    masks: &[Option<Vec<bool>>],
    weights: &mut [Vec<f32>],
    memory: &mut Memory,
) -> Result<f32, Error> {
    let (inputs, labels) = data.batch(batch)?;
    let scores = network.scores(&inputs)?;
    let loss = Entropy::of(&scores, labels, network.classes())?;
    let gradients = loss.backward()?;
    memory.steps += 1;
    for (index, values) in weights.iter_mut().enumerate() {
        let Some(gradient) = network.variable(index).and_then(|var| gradients.get(var)) else { continue };
        let gradient = gradient.flatten_all()?.to_vec1::<f32>()?;
        optimiser.apply(numbers, memory, index, values, &gradient);
        if let Some(Some(kept)) = masks.get(index) {
            values.iter_mut().zip(kept).filter(|(_, kept)| !**kept).for_each(|(value, _)| *value = 0.0);
        }
        network.set(index, values)?;
        // A network may hold values within bounds.
        if network.parameters()[index].role == crate::network::Role::Quadratic {
            *values = network.values(index)?;
        }
    }
    Ok(loss.to_scalar::<f32>()?)
}
