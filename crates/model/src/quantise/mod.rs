//! From floats to fixed point.
//!
//! Every tensor gets a format from its range, every layer an exact integer meaning with the rounding in it (see
//! [`crate::fixed`]). Weights have a power-of-two scale for each output channel, which costs nothing: the shift after the
//! sum takes it back. Three number formats:
//!
//! - **word16**: 16 bits with 12 fraction bits where the range allows it; with a larger range fewer fraction bits, and
//!   wider words where fewer than 10 would be left. Small ranges take fewer bits, since each costs gates. Results saturate.
//! - **ring**: integers modulo 2^k. Tensors keep 12 fraction bits; k follows from the largest sum.
//! - **exact**: nothing is shifted away, so that fraction bits add up from layer to layer.

mod emit;
mod exact;
mod feedback;
mod formats;
mod gauge;
mod scale;
mod search;

use crate::error::Error;
use crate::fixed::{FixedGraph, NumberFormat, Op, Params};
use crate::float;
use crate::graph::Graph;
use crate::ranges::Ranges;
use crate::reference;
use crate::sparsity::{Sparsities, Sparsity};
use crate::support::{Support, linear_layers};
use crate::tensor::Tensor;

/// The width of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightBits {
    /// So many bits, sign included.
    Fixed(u32),
    /// The smallest of a few widths whose output error on samples is below 1%.
    Auto,
}

/// Scales of a network without truncation, in fraction bits: a value v becomes `round(v 2^bits)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scales {
    /// The inputs'.
    pub input: i32,
    /// The weights' of each layer that has some (convolutions, fully connected layers, factors, averages), in order.
    pub layers: Vec<i32>,
}

/// How to quantise.
#[derive(Clone, Debug)]
pub struct Options {
    /// The number format. `Ring { bits: 0 }` lets the ranges choose the ring; another width must suffice.
    pub number: NumberFormat,
    /// The width of weights.
    pub weight_bits: WeightBits,
    /// The error of outputs on samples, relative to `max(1, largest output)`, that is aimed at; none for the format's own.
    pub goal: Option<f64>,
    /// For [`NumberFormat::Exact`]: these scales, as LoLa's paper gives its networks', instead of the narrowest ones that
    /// reach the goal.
    pub scales: Option<Scales>,
    /// Whether the places of zero weights go into the public graph, of words: no other engine makes use of them.
    pub sparsity: Sparsities,
    /// How words compute tanh and sigmoid.
    pub activations: Activations,
    /// Bits that the ranges' ring has beyond its widest sum where tensors are multiplied: truncation on shares wants one.
    pub spare: u32,
    /// For rings: whether nothing is dropped of products that linear layers read, so that shares can be multiplied exactly.
    pub whole_products: bool,
    /// For rings: whether nothing is dropped of linear layers that are added up and read by nothing else, but of their sum: shares are added
    /// for nothing.
    pub whole_sums: bool,
}

/// How words compute tanh and sigmoid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activations {
    /// By CORDIC, to a unit in the last place.
    #[default]
    Cordic,
    /// By straight lines ([`garble::meaning::piecewise_sigmoid`]), a tenth of the gates, with an error of 0.019 (sigmoid) or 0.038 (tanh).
    Piecewise,
}

impl Options {
    /// A number format with its defaults: weights as wide as accuracy asks for.
    pub fn new(number: NumberFormat) -> Self {
        Self {
            number,
            weight_bits: WeightBits::Auto,
            goal: None,
            scales: None,
            sparsity: Sparsities::default(),
            activations: Activations::Cordic,
            spare: 0,
            whole_products: false,
            whole_sums: false,
        }
    }

    /// DeepSecure's words.
    pub fn word16() -> Self {
        Self::new(NumberFormat::Word16)
    }

    /// A ring as wide as the ranges ask for.
    pub fn ring() -> Self {
        Self { whole_products: true, ..Self::new(NumberFormat::Ring { bits: 0 }) }
    }

    /// A ring as narrow as words' accuracy allows, for protocols whose every bit of a share costs labels.
    pub fn narrow_ring() -> Self {
        Self { goal: Some(GOAL), spare: 1, whole_products: false, whole_sums: true, ..Self::ring() }
    }

    /// Integers without truncation.
    pub fn exact() -> Self {
        Self::new(NumberFormat::Exact)
    }

    /// Integers without truncation at the given scales.
    pub fn exact_at(scales: Scales) -> Self {
        Self { scales: Some(scales), ..Self::exact() }
    }
}

/// The error of outputs on samples, relative to `max(1, largest output)`, that words aim at: each bit costs gates.
const GOAL: f64 = 0.01;
/// The same for the other formats, where accuracy is cheaper and inputs unlike the samples should find it too.
const FINE_GOAL: f64 = 0.004;
/// Multiplications that trying widths may cost, for each width.
const BUDGET: u64 = 4_000_000_000;

/// Samples on which widths are compared.
const SAMPLES: usize = 16;

/// What a quantisation can choose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Width {
    /// Bits of weights.
    pub weight: u32,
    /// Fraction bits of tensors beyond the usual.
    pub extra: i32,
    /// Whether nothing is dropped of products that linear layers read.
    pub whole: bool,
    /// Whether nothing is dropped of linear layers that are added up.
    pub summed: bool,
}

/// Quantises a graph.
///
/// # Errors
/// If the number format cannot hold the network; the text says why and what to use instead.
pub fn quantise(graph: &Graph, ranges: &Ranges, options: &Options) -> Result<(FixedGraph, Params), Error> {
    let (mut fixed, params) = choose(graph, ranges, options)?;
    if let (NumberFormat::Ring { bits }, NumberFormat::Ring { bits: 0 }) = (fixed.number, options.number)
        && fixed.nodes.iter().any(|node| matches!(node.op, Op::Product { .. }))
    {
        fixed.number = NumberFormat::Ring { bits: (bits + options.spare).min(64) };
    }
    // The width of weights is chosen with the exact functions: the error of straight lines would hide what it costs.
    if options.activations == Activations::Piecewise {
        for node in &mut fixed.nodes {
            match node.op {
                Op::Sigmoid => node.op = Op::PiecewiseSigmoid,
                Op::Tanh => node.op = Op::PiecewiseTanh,
                _ => {}
            }
        }
    }
    if options.number == NumberFormat::Word16 {
        publish(graph, &mut fixed, &params, &options.sparsity.of_layers(graph)?);
    }
    Ok((fixed, params))
}

/// Adds the maps of zeros that are public: what `sparsities` says of each linear layer.
fn publish(graph: &Graph, fixed: &mut FixedGraph, params: &Params, sparsities: &[Sparsity]) {
    let weights = fixed.nodes.iter().filter_map(|node| match node.op {
        Op::Conv { weight, .. } | Op::Dense { weight, .. } => Some(weight),
        _ => None,
    });
    // Each linear layer becomes one node, in order.
    for ((param, (_, floats)), sparsity) in weights.zip(linear_layers(graph)).zip(sparsities) {
        let (Some(info), Some(integers)) = (fixed.params.get_mut(param), params.tensors.get(param)) else {
            continue;
        };
        let floats = floats.data();
        info.support = match sparsity {
            Sparsity::Secret => None,
            Sparsity::Public => Some(Support::new(floats.len(), |index| floats[index] != 0.0)),
            Sparsity::Rounded => Some(Support::new(floats.len(), |index| integers.get(index) != 0)),
        };
    }
}

/// Chooses widths and formats.
fn choose(graph: &Graph, ranges: &Ranges, options: &Options) -> Result<(FixedGraph, Params), Error> {
    if ranges.nodes.len() != graph.nodes.len() {
        return Err(Error::Quantise("the ranges are those of another graph".into()));
    }
    if options.number == NumberFormat::Exact {
        return exact::quantise(graph, ranges, options);
    }
    if matches!(options.number, NumberFormat::Ring { .. }) {
        // Dividing takes a truncation, which a ring has only where something leaves it.
        let (graph, ranges) = gauge::sum_averages(graph, ranges);
        return narrowest(&graph, &ranges, options);
    }
    narrowest(graph, ranges, options)
}

/// The narrowest weights that reach the goal.
fn narrowest(graph: &Graph, ranges: &Ranges, options: &Options) -> Result<(FixedGraph, Params), Error> {
    let (weights, goal): (&[u32], f64) = match options.number {
        NumberFormat::Ring { .. } if options.goal.is_some() => (&[8, 10, 12, 14, 16, 20], GOAL),
        NumberFormat::Ring { .. } => (&[12, 14, 16, 20], FINE_GOAL),
        _ => (&[8, 10, 12, 16], GOAL),
    };
    let goal = options.goal.unwrap_or(goal);
    let (whole, summed) = (options.whole_products, options.whole_sums);
    if let WeightBits::Fixed(weight) = options.weight_bits {
        return with_width(graph, ranges, options.number, Width { weight, extra: 0, whole, summed });
    }
    let trial = Trial::new(graph, ranges, SAMPLES)?;
    let mut widths: Vec<Width> =
        weights.iter().map(|&weight| Width { weight, extra: 0, whole, summed }).collect();
    // Deep networks add up the rounding of every tensor: no width of the weights helps there, finer tensors do.
    widths.extend([2, 4].map(|extra| Width { weight: weights[weights.len() - 1], extra, whole, summed }));
    // Only the width is kept of an attempt that misses the goal: the weights of two would fill the memory.
    let mut best: Option<(f64, Width)> = None;
    let mut failure = None;
    for width in widths {
        match with_width(graph, ranges, options.number, width) {
            Ok(made) => {
                let error = trial.error(&made)?;
                if error < goal {
                    return Ok(made);
                }
                if best.is_none_or(|(least, _)| error < least) {
                    best = Some((error, width));
                }
            }
            Err(error) => failure = Some(error),
        }
    }
    match (best, failure) {
        (Some((_, width)), _) => with_width(graph, ranges, options.number, width),
        (None, Some(error)) => Err(error),
        (None, None) => Err(Error::Quantise("no width was tried".into())),
    }
}

fn with_width(
    graph: &Graph,
    ranges: &Ranges,
    number: NumberFormat,
    width: Width,
) -> Result<(FixedGraph, Params), Error> {
    if !(2..=24).contains(&width.weight) {
        return Err(Error::Quantise(format!("weights of {} bits; 2 to 24 are possible", width.weight)));
    }
    let formats = formats::choose(graph, ranges, number, width);
    emit::emit(graph, ranges, number, width, &formats)
}

/// Samples on which widths are compared, with the float outputs.
pub(crate) struct Trial<'a> {
    pub samples: Vec<(&'a [Tensor], Vec<Tensor>)>,
}

impl<'a> Trial<'a> {
    /// Takes `most` of the samples that the budget allows: the first ones, and those with the smallest outputs. Generated
    /// samples may give far larger outputs than real inputs do, and hide an error that those would show.
    pub(crate) fn new(graph: &Graph, ranges: &'a Ranges, most: usize) -> Result<Self, Error> {
        let count = (BUDGET / graph.products().max(1)).clamp(1, 64) as usize;
        let most = most.min((BUDGET / 16 / graph.products().max(1)).max(4) as usize);
        let mut samples = ranges
            .samples
            .iter()
            .take(count)
            .map(|sample| Ok((sample.as_slice(), float::trace(graph, sample, |_, _| {})?)))
            .collect::<Result<Vec<_>, Error>>()?;
        let largest =
            |outputs: &[Tensor]| outputs.iter().flat_map(Tensor::data).fold(0f32, |a, v| a.max(v.abs()));
        let kept = most.div_ceil(2).min(samples.len());
        samples[kept..].sort_by(|a, b| largest(&a.1).total_cmp(&largest(&b.1)));
        samples.truncate(most);
        Ok(Self { samples })
    }

    /// The largest error of any output over `max(1, its largest value)`.
    pub(crate) fn error(&self, (fixed, params): &(FixedGraph, Params)) -> Result<f64, Error> {
        let mut worst = 0f64;
        for (inputs, wanted) in &self.samples {
            let integers: Vec<Vec<i64>> = inputs
                .iter()
                .enumerate()
                .map(|(i, tensor)| fixed.quantise_input(i, tensor.data()))
                .collect::<Result<_, Error>>()?;
            for (i, got) in reference::scores(fixed, params, &integers)?.into_iter().enumerate() {
                worst = worst.max(relative_error(&got, wanted[i].data()));
            }
        }
        Ok(worst)
    }
}

/// The largest difference over `max(1, largest wanted value)`.
pub fn relative_error(got: &[f32], wanted: &[f32]) -> f64 {
    let top = wanted.iter().fold(1f32, |a, v| a.max(v.abs()));
    largest_difference(got, wanted) / f64::from(top)
}

fn largest_difference(got: &[f32], wanted: &[f32]) -> f64 {
    got.iter().zip(wanted).fold(0f64, |a, (g, w)| a.max((f64::from(*g) - f64::from(*w)).abs()))
}
