//! The search for scales: the fewest bits of the widest integer at an error on samples.
//!
//! Rounding one layer's weights (or the input) is measured alone first, for each scale. Errors of different layers hardly
//! depend on each other, so that their squares add; a price for a unit of squared error then gives each layer its own
//! best scale, and the price at which the sum meets the goal gives a first answer. Exchanges of a bit here for one there,
//! each tried on the samples, improve it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::Error;
use crate::float;
use crate::graph::{Graph, Layer};
use crate::tensor::Tensor;

use super::exact::{LARGE, Subject, WIDEST};
use super::feedback::Columns;
use super::scale::fraction_for;
use super::{Trial, WeightBits, relative_error};

/// Samples on which scales are compared.
const SAMPLES: usize = 24;
/// Scales that are measured for each layer, the coarsest one first.
const SCALES: i32 = 15;
/// Layers beyond which each is measured at one scale, and the others follow from it.
const MANY: usize = 12;
/// Scales between those that are measured in a large network; what lies between follows from its neighbours.
const STRIDE: usize = 3;
/// Multiplications that the search may cost.
const BUDGET: u64 = 8_000_000_000;
/// Evaluations that it may take in any network, beside those of the single values.
const LEAST: u64 = 10;

/// What a search found.
pub(super) struct Found {
    /// Fraction bits of the input, then of each layer's weights.
    pub values: Vec<i32>,
    /// Bits of the widest integer.
    pub bits: i32,
    /// The error on samples.
    pub error: f64,
}

/// One search.
pub(super) struct Search<'a> {
    subject: &'a Subject,
    trial: Trial<'a>,
    /// The layer of each value; none for the input.
    layers: Vec<Option<usize>>,
    /// The coarsest scale of each value.
    coarsest: Vec<i32>,
    /// Squared errors by value, scale and sample.
    alone: Vec<Vec<Vec<f64>>>,
    /// Evaluations that the budget leaves.
    left: u64,
    rounded: Rounded<'a>,
}

/// A network whose weights are rounded, and the layers already made for it.
pub(super) struct Rounded<'a> {
    subject: &'a Subject,
    columns: Columns,
    made: HashMap<(usize, i32), Layer>,
}

impl<'a> Search<'a> {
    /// Measures each scale alone.
    pub(super) fn new(subject: &'a Subject, weights: WeightBits) -> Result<Self, Error> {
        let graph = &subject.graph;
        let layers: Vec<Option<usize>> =
            std::iter::once(None).chain(subject.scaled().into_iter().map(Some)).collect();
        let trial = Trial::new(graph, &subject.ranges, if layers.len() > MANY { 3 } else { SAMPLES })?;
        let each = graph.products().max(1).saturating_mul(trial.samples.len() as u64);
        let coarsest = layers.iter().map(|&layer| coarsest(subject, layer, weights)).collect();
        let alone = if layers.len() > MANY { 1 } else { (SCALES as u64).div_ceil(STRIDE as u64) };
        let left = (BUDGET / each).clamp(layers.len() as u64 * alone + LEAST, 2000);
        let rounded = Rounded::new(subject)?;
        let mut search = Self { subject, trial, layers, coarsest, alone: Vec::new(), left, rounded };
        if subject.bits(&search.coarsest) > WIDEST {
            return Ok(search);
        }
        for at in 0..search.layers.len() {
            let errors = search.measure(at, weights)?;
            search.alone.push(errors);
        }
        Ok(search)
    }

    /// Squared errors on each sample with one value rounded and nothing else.
    fn measure(&mut self, at: usize, weights: WeightBits) -> Result<Vec<Vec<f64>>, Error> {
        let fixed = self.layers[at].is_some() && weights != WeightBits::Auto
            || self.layers[at].is_none() && self.subject.bytes.iter().all(|&b| b);
        let count = if fixed { 1 } else { SCALES };
        let mut only: Vec<Option<i32>> = vec![None; self.layers.len()];
        if self.layers.len() > MANY {
            let middle = SCALES / 2;
            only[at] = Some(self.coarsest[at] + middle);
            let errors = self.errors(&only)?;
            let scaled = |step: i32| errors.iter().map(|e| e * 4f64.powi(middle - step)).collect();
            return Ok((0..count).map(scaled).collect());
        }
        let stride = if self.subject.graph.products() > LARGE { STRIDE } else { 1 };
        let mut measured = Vec::new();
        for step in (0..count).step_by(stride) {
            only[at] = Some(self.coarsest[at] + step);
            measured.push(self.errors(&only)?);
        }
        Ok((0..count as usize).map(|step| between(&measured, step, stride)).collect())
    }

    /// Squared errors on each sample.
    fn errors(&mut self, values: &[Option<i32>]) -> Result<Vec<f64>, Error> {
        self.left = self.left.saturating_sub(1);
        let graph = self.rounded.graph(values);
        let input = values[0];
        let samples = self.trial.samples.iter().map(|(inputs, wanted)| {
            let inputs: Vec<Tensor> =
                inputs.iter().enumerate().map(|(i, t)| self.input(i, t, input)).collect();
            let got = float::trace(&graph, &inputs, |_, _| {})?;
            let error = got.iter().zip(wanted).map(|(g, w)| relative_error(g.data(), w.data()));
            Ok(error.fold(0f64, f64::max).powi(2))
        });
        samples.collect()
    }

    /// An input rounded as the client rounds it.
    fn input(&self, at: usize, tensor: &Tensor, frac: Option<i32>) -> Tensor {
        let whole = matches!(
            self.subject.graph.nodes[self.subject.graph.inputs[at]].layer,
            Layer::Input { bytes: true }
        );
        let mut tensor = tensor.clone();
        if let Some(frac) = frac
            && !self.subject.bytes[at]
        {
            round(tensor.data_mut(), if whole { 0 } else { frac });
        }
        tensor
    }

    /// What the errors of the single values add up to.
    fn predicted(&self, values: &[i32]) -> f64 {
        let sum = |sample: usize| -> f64 {
            values
                .iter()
                .enumerate()
                .map(|(at, v)| {
                    let step = (v - self.coarsest[at]).max(0) as usize;
                    self.alone[at].get(step).or(self.alone[at].last()).map_or(0.0, |e| e[sample])
                })
                .sum()
        };
        (0..self.trial.samples.len()).map(sum).fold(0f64, f64::max).sqrt()
    }

    /// The narrowest scales with an error below the goal, or the best there are.
    ///
    /// What would take more than [`WIDEST`] bits is not tried; the error is then infinite, and `bits` are those it is
    /// expected to take.
    pub(super) fn run(&mut self, goal: f64) -> Result<Found, Error> {
        let bits = self.subject.bits(&self.coarsest);
        let mut best = Found { values: self.coarsest.clone(), bits, error: f64::INFINITY };
        if self.alone.is_empty() {
            return Ok(best);
        }
        for values in self.sweep() {
            let bits = self.subject.bits(&values);
            if self.predicted(&values) > 1.2 * goal {
                continue;
            }
            // An exchange may take back a few bits.
            if bits > WIDEST + 4 || self.left == 0 {
                return Ok(if best.error <= goal {
                    best
                } else {
                    Found { bits, values, error: f64::INFINITY }
                });
            }
            let error = self.error(&values)?;
            best = Found { bits, values, error };
            if error <= goal {
                break;
            }
        }
        while best.error <= goal
            && let Some(better) = self.exchange(&best, goal)?
        {
            best = better;
        }
        Ok(best)
    }

    /// The network with its weights rounded so.
    pub(super) fn graph(&mut self, values: &[i32]) -> Graph {
        self.rounded.graph(&some(values))
    }

    fn error(&mut self, values: &[i32]) -> Result<f64, Error> {
        Ok(self.errors(&some(values))?.into_iter().fold(0f64, f64::max).sqrt())
    }

    /// For each price of a squared error the best scales, the coarse ones first.
    fn sweep(&self) -> Vec<Vec<i32>> {
        let whole = self.subject.bits(&self.finest());
        let cost: Vec<f64> = (0..self.layers.len())
            .map(|at| {
                let mut fewer = self.finest();
                fewer[at] -= 1;
                f64::from((whole - self.subject.bits(&fewer)).max(0)) + 0.01
            })
            .collect();
        let mean = |errors: &[f64]| errors.iter().sum::<f64>() / errors.len().max(1) as f64;
        let mut plans: Vec<Vec<i32>> = Vec::new();
        for half_bits in 0..120 {
            let price = 2f64.powf(f64::from(half_bits) / 4.0);
            let plan = (0..self.layers.len())
                .map(|at| {
                    let total = |step: usize| cost[at] * step as f64 + price * mean(&self.alone[at][step]);
                    let steps = 0..self.alone[at].len();
                    let step = steps.min_by(|&a, &b| total(a).total_cmp(&total(b))).unwrap_or(0);
                    self.coarsest[at] + step as i32
                })
                .collect();
            if plans.last() != Some(&plan) {
                plans.push(plan);
            }
        }
        plans
    }

    fn finest(&self) -> Vec<i32> {
        self.coarsest.iter().zip(&self.alone).map(|(c, e)| c + e.len() as i32 - 1).collect()
    }

    /// Scales of fewer bits that reach the goal too, a bit less here and perhaps one more there.
    fn exchange(&mut self, from: &Found, goal: f64) -> Result<Option<Found>, Error> {
        let count = self.layers.len();
        let finest = self.finest();
        let mut moves: Vec<(i32, f64, Vec<i32>)> = Vec::new();
        let mut consider = |changes: &[(usize, i32)]| {
            let mut values = from.values.clone();
            for &(at, by) in changes {
                values[at] = (values[at] + by).clamp(self.coarsest[at], finest[at]);
            }
            let bits = self.subject.bits(&values);
            let predicted = if bits < from.bits { self.predicted(&values) } else { f64::INFINITY };
            if predicted <= 1.3 * goal {
                moves.push((bits, predicted, values));
            }
        };
        for a in 0..count {
            consider(&[(a, -1)]);
            for b in (0..count).filter(|&b| b != a) {
                consider(&[(a, -1), (b, 1)]);
                consider(&[(a, -1), (b, 2)]);
                for c in (0..count).filter(|&c| c > b && c != a && count <= MANY) {
                    consider(&[(a, -1), (b, 1), (c, 1)]);
                    consider(&[(a, 1), (b, -1), (c, -1)]);
                }
            }
        }
        moves.sort_by(|a, b| (a.0, a.1).partial_cmp(&(b.0, b.1)).unwrap_or(std::cmp::Ordering::Equal));
        moves.dedup_by(|a, b| a.2 == b.2);
        for (bits, _, values) in moves {
            if self.left == 0 {
                break;
            }
            let error = self.error(&values)?;
            if error <= goal {
                return Ok(Some(Found { values, bits, error }));
            }
        }
        Ok(None)
    }
}

/// The scale at which the largest number is one or two units.
fn coarsest(subject: &Subject, layer: Option<usize>, weights: WeightBits) -> i32 {
    let graph = &subject.graph;
    let (largest, least) = match layer {
        None => {
            let magnitude = |&i: &usize| subject.ranges.nodes[i].magnitude();
            (graph.inputs.iter().map(magnitude).fold(0f32, f32::max), -20)
        }
        Some(id) => {
            let magnitude = |values: &[f32]| values.iter().fold(0f32, |a, v| a.max(v.abs()));
            let largest = match &graph.nodes[id].layer {
                Layer::Conv { weight, .. } | Layer::Dense { weight, .. } => magnitude(weight.data()),
                Layer::Affine { factor: Some(factor), .. } => magnitude(factor.data()),
                Layer::AveragePool { factor, .. } => magnitude(factor),
                _ => 1.0,
            };
            (largest, 0)
        }
    };
    let bits = match (layer, weights) {
        (Some(_), WeightBits::Fixed(bits)) => bits,
        _ => 2,
    };
    fraction_for(f64::from(largest), bits).clamp(least, 40 - SCALES)
}

/// Squared errors at a step of which every `stride`th is measured: in between on a logarithmic scale, and a quarter for each step
/// behind the last.
fn between(measured: &[Vec<f64>], step: usize, stride: usize) -> Vec<f64> {
    let (at, beyond) = (step / stride, step % stride);
    let behind = measured.get(at + 1);
    let one = |(sample, &e): (usize, &f64)| match behind.and_then(|errors| errors.get(sample)) {
        _ if beyond == 0 => e,
        Some(&next) if e > 0.0 && next > 0.0 => e * (next / e).powf(beyond as f64 / stride as f64),
        _ => e * 0.25f64.powi(beyond as i32),
    };
    measured.get(at).map(|errors| errors.iter().enumerate().map(one).collect()).unwrap_or_default()
}

fn round(values: &mut [f32], frac: i32) {
    let (up, down) = (2f64.powi(frac), 2f64.powi(-frac));
    values.iter_mut().for_each(|v| *v = ((f64::from(*v) * up).round() * down) as f32);
}

fn some(values: &[i32]) -> Vec<Option<i32>> {
    values.iter().map(|&v| Some(v)).collect()
}

impl<'a> Rounded<'a> {
    /// Looks at what the layers meet.
    pub(super) fn new(subject: &'a Subject) -> Result<Self, Error> {
        let columns = Columns::new(&subject.graph, &subject.ranges)?;
        Ok(Self { subject, columns, made: HashMap::new() })
    }

    /// The network with the values that are given rounded: the input's (which is no part of it), then each layer's.
    pub(super) fn graph(&mut self, values: &[Option<i32>]) -> Graph {
        let mut graph = self.subject.graph.clone();
        for (id, value) in self.subject.scaled().into_iter().zip(values.iter().skip(1)) {
            if let &Some(frac) = value {
                if !self.made.contains_key(&(id, frac)) {
                    let layer = self.layer(id, frac);
                    self.made.insert((id, frac), layer);
                }
                if let Some(layer) = self.made.get(&(id, frac)) {
                    graph.nodes[id].layer = layer.clone();
                }
            }
        }
        graph
    }

    /// A layer with its weights, or the factors of an average, rounded.
    fn layer(&self, id: usize, frac: i32) -> Layer {
        let mut layer = self.subject.graph.nodes[id].layer.clone();
        match &mut layer {
            Layer::Conv { weight, bias, .. } | Layer::Dense { weight, bias } => {
                let weight = Arc::make_mut(weight);
                match self.columns.rounded(id, weight.data(), bias.data().len(), frac) {
                    Some(values) => weight.data_mut().copy_from_slice(&values),
                    None => round(weight.data_mut(), frac),
                }
            }
            Layer::Affine { factor: Some(factor), .. } => round(Arc::make_mut(factor).data_mut(), frac),
            Layer::AveragePool { factor, .. } => round(factor, frac),
            _ => {}
        }
        layer
    }
}
