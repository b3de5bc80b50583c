//! Pruning by magnitude with retraining (DeepSecure, section 3.2.2).
//!
//! Where zeros stand becomes public, for a garbled circuit leaves their products out. Which weights are small is information about
//! them; [`Mask::Block`] tells less of it, and [`Mask::Seed`] nothing. Each step costs accuracy: of DeepSecure's benchmark 1 with 16.5 % of its
//! products, retrained for 6 epochs on 10,000 images of MNIST, 97.6 % of the test images are right with [`Mask::Free`], 96.0 % with
//! blocks of 4 x 4 and 93.9 % with a seed.

use model::graph::{Graph, Layer};
use serde::{Deserialize, Serialize};

use crate::checkpoint::Checkpoint;
use crate::data::Data;
use crate::draws::Draws;
use crate::error::Error;
use crate::kept::{Kept, digest};
use crate::network::{Network, Role};
use crate::train::{Masks, Observer, Progress, Round, Settings, State, train};

/// Which weights may be left out together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mask {
    /// Each for itself, the smallest first.
    Free,
    /// Square blocks of so many rows and columns of a layer's matrix, those of the smallest sum of squares first.
    Block(usize),
    /// Those that a public seed says.
    Seed(u64),
}

/// A linear layer's matrix.
struct Matrix {
    /// Index among the network's tensors.
    index: usize,
    columns: usize,
    /// How often each weight is multiplied in a prediction.
    positions: usize,
    values: Vec<f32>,
}

fn matrices(network: &Network) -> Result<Vec<Matrix>, Error> {
    let mut all = Vec::new();
    for (index, parameter) in network.parameters().iter().enumerate() {
        let node = &network.graph().nodes[parameter.node];
        let positions = match node.layer {
            Layer::Conv { .. } => node.shape[2..].iter().product(),
            Layer::Dense { .. } => node.shape.iter().rev().skip(1).product(),
            _ => continue,
        };
        if parameter.role == Role::Weight {
            let columns = parameter.shape[1..].iter().product();
            all.push(Matrix { index, columns, positions, values: network.values(index)? });
        }
    }
    Ok(all)
}

/// The products of a prediction that no zero weight saves.
pub fn products(graph: &Graph) -> u64 {
    let each = |node: &model::graph::Node| {
        let (weight, positions) = match &node.layer {
            Layer::Conv { weight, .. } => (weight, node.shape[2..].iter().product::<usize>()),
            Layer::Dense { weight, .. } => (weight, node.shape.iter().rev().skip(1).product()),
            _ => return 0,
        };
        weight.data().iter().filter(|w| **w != 0.0).count() as u64 * positions as u64
    };
    graph.nodes.iter().map(each).sum()
}

/// Masks that keep at most, and about, the share `keep` of the network's products.
///
/// What a weight is worth is its share of its layer's sum of squares, over the products that it costs: so layers are compared, a
/// convolution's weights, which few are but are used everywhere, among them.
///
/// # Errors
/// If the share is not in (0, 1], or a block is empty.
pub fn masks(network: &Network, keep: f64, mask: Mask) -> Result<Masks, Error> {
    if !(keep > 0.0 && keep <= 1.0) {
        return Err(Error::Setting(format!(
            "the share of products that pruning keeps must lie in (0, 1], not {keep}"
        )));
    }
    let matrices = matrices(network)?;
    let total: f64 = matrices.iter().map(|m| (m.values.len() * m.positions) as f64).sum();
    // Groups that stay or go together: what one is worth a product, its products, its matrix, its places.
    let mut groups: Vec<(f64, usize, usize, Vec<usize>)> = Vec::new();
    for (place, matrix) in matrices.iter().enumerate() {
        let energy: f64 = matrix.values.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>().max(1e-30);
        let mut draws = Draws::new(if let Mask::Seed(seed) = mask { seed } else { 0 }, place as u64);
        for places in units(matrix, mask)? {
            let sum: f64 = places.iter().map(|&p| f64::from(matrix.values[p]).powi(2)).sum();
            let cost = places.len() * matrix.positions;
            // A seed's order must not depend on weights, but on the architecture as above.
            let worth = match mask {
                Mask::Seed(_) => draws.normal().powi(2) / (matrix.values.len() * matrix.positions) as f64,
                _ => sum / energy / cost as f64,
            };
            groups.push((worth, cost, place, places));
        }
    }
    groups.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut kept: Vec<Vec<bool>> = matrices.iter().map(|m| vec![false; m.values.len()]).collect();
    let mut left = keep * total;
    for (_, cost, place, places) in groups {
        if cost as f64 > left {
            continue;
        }
        left -= cost as f64;
        places.into_iter().for_each(|p| kept[place][p] = true);
    }
    let mut masks: Masks = vec![None; network.parameters().len()];
    for (matrix, kept) in matrices.iter().zip(kept) {
        masks[matrix.index] = Some(kept);
    }
    Ok(masks)
}

/// A matrix's places in groups.
fn units(matrix: &Matrix, mask: Mask) -> Result<Vec<Vec<usize>>, Error> {
    let (columns, count) = (matrix.columns, matrix.values.len());
    let side = match mask {
        Mask::Block(0) => {
            return Err(Error::Setting("blocks of pruned weights need at least one row".into()));
        }
        Mask::Block(side) => side,
        _ => return Ok((0..count).map(|place| vec![place]).collect()),
    };
    let mut units = Vec::new();
    for top in (0..count / columns.max(1)).step_by(side) {
        for left in (0..columns).step_by(side) {
            let rows = top..(top + side).min(count / columns);
            let unit =
                rows.flat_map(|row| (left..(left + side).min(columns)).map(move |c| row * columns + c));
            units.push(unit.collect());
        }
    }
    Ok(units)
}

/// How to prune.
#[derive(Clone, Debug)]
pub struct Pruning {
    /// The share of products that stay.
    pub keep: f64,
    /// Which weights go together.
    pub mask: Mask,
    /// In how many steps, each with its retraining; the last has as many epochs as all before it.
    pub rounds: usize,
    /// Retraining; its epochs are shared out among the rounds.
    pub settings: Settings,
}

impl Pruning {
    /// A digest of all that a pruning's result depends on.
    ///
    /// # Errors
    /// If memory is short.
    pub fn digest(&self, network: &Network, data: &Data) -> Result<String, Error> {
        let rest = format!("{self:?} {}", env!("CARGO_PKG_VERSION"));
        Ok(digest([rest.as_bytes(), network.digest()?.as_bytes(), data.digest().as_bytes()]))
    }

    /// The epochs of a round, counted from 1, of so many.
    fn epochs(&self, round: usize, rounds: usize) -> usize {
        let each = self.settings.epochs / 2 / rounds;
        if round == rounds { self.settings.epochs - each * (rounds - 1) } else { each }
    }
}

/// Prunes and retrains a network step by step. With `kept`, opened for [`Pruning::digest`], each epoch is kept there, and what is there
/// is gone on with.
///
/// # Errors
/// As [`train`] and [`masks`].
pub fn prune(
    network: &mut Network,
    data: &Data,
    pruning: &Pruning,
    kept: Option<&Kept>,
    observer: &mut dyn Observer,
) -> Result<Masks, Error> {
    // A seed's mask is one from the beginning: it is not the weights that choose.
    let rounds = if matches!(pruning.mask, Mask::Seed(_)) { 1 } else { pruning.rounds.max(1) };
    let mut last = Masks::new();
    for round in 1..=rounds {
        let keep = pruning.keep.powf(round as f64 / rounds as f64);
        let masks = masks(network, keep, pruning.mask)?;
        clear(network, &masks)?;
        let epochs = pruning.epochs(round, rounds);
        if epochs > 0 {
            let seed = pruning.settings.seed.wrapping_add(round as u64);
            let settings = Settings { epochs, seed, ..pruning.settings.clone() };
            // What a round begins with follows from the rounds before it: a later round's file fits only if theirs do.
            let checkpoint = kept
                .map(|kept| Checkpoint::new(&kept.path(&format!("round-{round}")), network, &settings, data));
            let checkpoint = checkpoint.transpose()?;
            let state = checkpoint.as_ref().map(|checkpoint| checkpoint.load(network)).transpose()?.flatten();
            let done = state.as_ref().map_or(0, |state| state.epoch);
            observer.round(Round { round, rounds, keep, epochs, done });
            train(network, data, &settings, &masks, state, &mut Keeping { checkpoint, observer })?;
        }
        last = masks;
    }
    Ok(last)
}

/// Keeps each epoch, and passes on what an observer is told.
struct Keeping<'a> {
    checkpoint: Option<Checkpoint>,
    observer: &'a mut dyn Observer,
}

impl Observer for Keeping<'_> {
    fn step(&mut self, progress: Progress) -> bool {
        self.observer.step(progress)
    }

    fn epoch(&mut self, network: &Network, state: &State) -> Result<(), Error> {
        if let Some(checkpoint) = &self.checkpoint {
            checkpoint.save(network, state)?;
        }
        self.observer.epoch(network, state)
    }
}

/// Puts zeros where nothing is kept.
///
/// # Errors
/// If the masks are of another network.
pub fn clear(network: &mut Network, masks: &[Option<Vec<bool>>]) -> Result<(), Error> {
    for (index, mask) in masks.iter().enumerate() {
        let Some(kept) = mask else { continue };
        let mut values = network.values(index)?;
        values.iter_mut().zip(kept).filter(|(_, kept)| !**kept).for_each(|(value, _)| *value = 0.0);
        network.set(index, &values)?;
    }
    Ok(())
}
