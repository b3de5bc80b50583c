//! Integers without truncation: fraction bits add up from layer to layer.

use crate::error::Error;
use crate::fixed::{FixedGraph, Format, NumberFormat, Params};
use crate::graph::{Graph, Layer};
use crate::ranges::Ranges;
use crate::tensor::Tensor;

use super::formats::shares;
use super::scale::{dyadic, fraction_for, integer_bits};
use super::{Trial, WeightBits, Width, emit};

/// The widest integer of this format.
const WIDEST: i32 = 124;

/// The error on samples that is aimed at.
const GOAL: f64 = 0.007;
/// The error at which a network is refused where no scale reaches the goal.
const TOLERATED: f64 = 0.05;

/// Samples on which scales are compared.
const SAMPLES: usize = 24;

/// Tries scales of inputs and weights, coarse ones first, and takes the narrowest that is accurate enough.
pub(super) fn quantise(
    graph: &Graph,
    ranges: &Ranges,
    weights: WeightBits,
) -> Result<(FixedGraph, Params), Error> {
    let trial = Trial::new(graph, ranges, SAMPLES)?;
    let mut plans = Vec::new();
    let mut narrowest = i32::MAX;
    for input in 3..=12 {
        // An input's error and a weight's count alike in a product: balanced scales waste least.
        let widths = match weights {
            WeightBits::Fixed(bits) => bits as i32..=bits as i32,
            WeightBits::Auto => input - 1..=input + 5,
        };
        for weight in widths {
            let formats = formats(graph, ranges, input, weight)?;
            let widest = formats.iter().map(|f| f.1).max().unwrap_or(0);
            narrowest = narrowest.min(widest);
            if widest <= WIDEST {
                plans.push((widest, weight, formats.into_iter().map(|f| f.0).collect::<Vec<_>>()));
            }
        }
    }
    if plans.is_empty() {
        return Err(Error::Quantise(format!(
            "without truncation its numbers grow to {narrowest} bits where {WIDEST} are supported; use a plan that \
             truncates (gazelle, delphi, deepsecure)"
        )));
    }
    plans.sort_by_key(|(widest, ..)| *widest);
    let mut best: Option<(f64, (FixedGraph, Params))> = None;
    for (_, weight, formats) in plans {
        let width = Width { weight: weight as u32, extra: 0 };
        let made = emit::emit(graph, ranges, NumberFormat::Exact, width, &formats)?;
        let error = trial.error(&made)?;
        if error < GOAL {
            return Ok(made);
        }
        if best.as_ref().is_none_or(|(least, _)| error < *least) {
            best = Some((error, made));
        }
    }
    match best {
        Some((error, made)) if error < TOLERATED || weights != WeightBits::Auto => Ok(made),
        Some((error, _)) => Err(Error::Quantise(format!(
            "without truncation {WIDEST} bits hold its ranges only with an error of {:.0}% of the outputs; state \
             smaller ranges in the side file, calibrate with data, or use a plan that truncates (gazelle, delphi, \
             deepsecure)",
            100.0 * error
        ))),
        None => Err(Error::Quantise("no scale was tried".into())),
    }
}

/// The fraction at which the largest weight is one unit.
fn finest_zero(weight: &Tensor) -> i32 {
    let top = weight.data().iter().fold(0f32, |a, v| a.max(v.abs()));
    fraction_for(f64::from(top), 2).min(40)
}

/// Relative precision of averages: 2^-7.
const AVERAGE: u32 = 7;

/// Formats with `input` fraction bits in inputs and weights of `weight` bits, each with the bits it needs. The widths are
/// those of the ranges and may be too large for a format; the caller looks.
fn formats(graph: &Graph, ranges: &Ranges, input: i32, weight: i32) -> Result<Vec<(Format, i32)>, Error> {
    let mut formats: Vec<(Format, i32)> = Vec::with_capacity(graph.nodes.len());
    let magnitude = |values: &[f32]| values.iter().fold(0f32, |a, v| a.max(v.abs()));
    let finer = |values: &[f32]| fraction_for(f64::from(magnitude(values)), weight as u32).clamp(0, 40);
    for (id, node) in graph.nodes.iter().enumerate() {
        let operands: Vec<Format> = node.inputs.iter().map(|&i| formats[i].0).collect();
        let fx = operands.first().map_or(0, |f| f.frac);
        let most = operands.iter().map(|f| f.frac).max().unwrap_or(0);
        let frac = match &node.layer {
            Layer::Input { bytes: true } | Layer::ArgMax { .. } => 0,
            Layer::Input { .. } => input,
            Layer::Conv { weight: w, bias, .. } | Layer::Dense { weight: w, bias } => {
                // The fraction at which rounding the weights changes the result by about 2^-weight of its range.
                let terms = (w.data().len() / bias.data().len()).max(1) as f64;
                let [x, y] = [node.inputs[0], id].map(|i| f64::from(ranges.nodes[i].magnitude()).max(1e-6));
                let needed = weight + (terms.sqrt() * x / y).log2().round() as i32;
                fx.saturating_add(needed.max(finest_zero(w)).clamp(0, 40))
            }
            Layer::Affine { factor, .. } => fx.saturating_add(factor.as_ref().map_or(0, |f| finer(f.data()))),
            Layer::PublicAffine { factor, .. } => {
                fx.saturating_add(dyadic(f64::from(*factor), emit::PRECISION).1.max(0))
            }
            Layer::Product => operands.iter().fold(0i32, |sum, f| sum.saturating_add(f.frac)),
            Layer::AveragePool { factor, .. } => fx.saturating_add(emit::average_fraction(factor, AVERAGE)),
            Layer::Constant(_) => input,
            Layer::LeakyRelu { .. } | Layer::PRelu { .. } | Layer::Sigmoid | Layer::Tanh => {
                return Err(Error::Quantise(format!(
                    "{}: a {} needs a truncation, which this number format does not have; use a square or a ReLU, or a \
                     plan that truncates (gazelle, delphi, deepsecure)",
                    crate::error::quote(&node.name),
                    node.layer.kind()
                )));
            }
            _ => most,
        };
        let range = &ranges.nodes[id];
        let frac = frac.min(1 << 20);
        let own = integer_bits(f64::from(range.low), f64::from(range.high)) + frac + 1;
        let shared = if shares(&node.layer) { formats[node.inputs[0]].1 } else { own };
        let wide = operands.iter().zip(&node.inputs).map(|(f, &i)| formats[i].1 + (frac - f.frac)).max();
        let bits = match node.layer {
            Layer::Concat { .. } => wide.unwrap_or(own).max(own),
            _ => shared,
        };
        // The public numbers of these are 64 bits wide, at the result's scale.
        let public =
            matches!(node.layer, Layer::Clamp { .. } | Layer::PublicAffine { .. } | Layer::Pad { .. });
        let bits = if public && frac > 50 { bits.max(WIDEST + 1) } else { bits };
        formats.push((Format { bits: bits.clamp(2, WIDEST) as u32, frac }, bits));
    }
    Ok(formats)
}
