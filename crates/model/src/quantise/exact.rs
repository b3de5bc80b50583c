//! Integers without truncation: fraction bits add up from layer to layer.
//!
//! A fraction bit of the input is squared with the activations and counts once for each factor of the result, one of a
//! last layer's weights counts once. So every layer has a scale of its own, found by [`super::search`], or given as the
//! papers give theirs.

use crate::error::{Error, quote};
use crate::fixed::{FixedGraph, Format, NumberFormat, Params};
use crate::graph::{Graph, Layer};
use crate::ranges::Ranges;

use super::formats::shares;
use super::gauge::{self, BYTE_BITS};
use super::scale::{ceil_log2, dyadic, integer_bits};
use super::search::{Rounded, Search};
use super::{Options, Scales, Width, emit};

/// The widest integer of this format.
pub(super) const WIDEST: i32 = 124;
/// The error on samples that is aimed at.
const GOAL: f64 = 0.008;
/// The same on generated samples, which are less like what comes.
const GENERATED_GOAL: f64 = 0.005;
/// Goals that are tried where no scale within [`WIDEST`] bits reaches the first.
const RELAXED: [f64; 2] = [0.016, 0.03];

/// Multiplications of a prediction beyond which a network is searched once only, and at fewer scales.
pub(super) const LARGE: u64 = 2_000_000;

/// A network as it is quantised: factors absorbed, and how inputs become integers.
pub(super) struct Subject {
    pub graph: Graph,
    pub ranges: Ranges,
    /// Which inputs are bytes over 255.
    pub bytes: Vec<bool>,
}

/// Finds the scales with the fewest bits, or takes the given ones.
pub(super) fn quantise(
    graph: &Graph,
    ranges: &Ranges,
    options: &Options,
) -> Result<(FixedGraph, Params), Error> {
    supported(graph)?;
    if let Some(scales) = &options.scales {
        let subject = Subject::plain(graph, ranges, true);
        let values = subject.given(scales)?;
        let graph = Rounded::new(&subject)?.graph(&values.iter().map(|&v| Some(v)).collect::<Vec<_>>());
        return subject.emit(&graph, &values);
    }
    let mut subjects = vec![Subject::plain(graph, ranges, true)];
    let bytes = gauge::byte_inputs(graph, ranges);
    if bytes.contains(&true) {
        let absorbed =
            [true, false].iter().find_map(|&averages| gauge::absorb(graph, ranges, &bytes, averages));
        subjects.extend(absorbed.map(|(graph, ranges)| Subject { graph, ranges, bytes }));
        if subjects.len() > 1 && graph.products() > LARGE {
            // Bytes are nearly always better; a large network is not searched twice to be sure.
            subjects.remove(0);
        }
    }
    let goals: Vec<f64> = match options.goal {
        Some(goal) => vec![goal],
        None => {
            std::iter::once(if ranges.generated { GENERATED_GOAL } else { GOAL }).chain(RELAXED).collect()
        }
    };
    let mut searches =
        subjects.iter().map(|s| Search::new(s, options.weight_bits)).collect::<Result<Vec<_>, Error>>()?;
    let mut least: Option<(i32, f64)> = None;
    for goal in goals {
        let found = searches.iter_mut().map(|search| search.run(goal)).collect::<Result<Vec<_>, Error>>()?;
        let best = (0..found.len()).filter(|&i| found[i].error <= goal).min_by_key(|&i| found[i].bits);
        if let Some(i) = best
            && found[i].bits <= WIDEST
        {
            let graph = searches[i].graph(&found[i].values);
            return subjects[i].emit(&graph, &found[i].values);
        }
        least = found.iter().map(|f| (f.bits, goal)).min_by_key(|f| f.0);
    }
    Err(Error::Quantise(match least {
        Some((bits, goal)) => format!(
            "without truncation its numbers grow to {bits} bits for outputs within {:.1}% where {WIDEST} are supported; \
             calibrate with data, or use a plan that truncates (gazelle, delphi, deepsecure)",
            100.0 * goal
        ),
        None => "no goal was given".into(),
    }))
}

/// Refuses what has no integer form without a truncation.
fn supported(graph: &Graph) -> Result<(), Error> {
    let needs = |layer: &Layer| {
        matches!(layer, Layer::LeakyRelu { .. } | Layer::PRelu { .. } | Layer::Sigmoid | Layer::Tanh)
    };
    match graph.nodes.iter().find(|node| needs(&node.layer)) {
        None => Ok(()),
        Some(node) => Err(Error::Quantise(format!(
            "{}: a {} needs a truncation, which this number format does not have; use a square or a ReLU, or a plan that \
             truncates (gazelle, delphi, deepsecure)",
            quote(&node.name),
            node.layer.kind()
        ))),
    }
}

/// Whether a layer has a scale of its own.
pub(super) fn has_scale(layer: &Layer) -> bool {
    matches!(
        layer,
        Layer::Conv { .. }
            | Layer::Dense { .. }
            | Layer::Affine { factor: Some(_), .. }
            | Layer::AveragePool { .. }
    )
}

impl Subject {
    /// The network itself, averages absorbed where that is possible.
    fn plain(graph: &Graph, ranges: &Ranges, averages: bool) -> Self {
        let bytes = vec![false; graph.inputs.len()];
        let (graph, ranges) =
            gauge::absorb(graph, ranges, &bytes, averages).unwrap_or_else(|| (graph.clone(), ranges.clone()));
        Self { graph, ranges, bytes }
    }

    /// The layers with scales, in order.
    pub fn scaled(&self) -> Vec<usize> {
        (0..self.graph.nodes.len()).filter(|&id| has_scale(&self.graph.nodes[id].layer)).collect()
    }

    /// The scales that a caller gives, as fraction bits: the input's, then each layer's.
    fn given(&self, scales: &Scales) -> Result<Vec<i32>, Error> {
        let layers = self.scaled().len();
        if scales.layers.len() != layers {
            return Err(Error::Quantise(format!(
                "{} scales of weights for {layers} layers that have some",
                scales.layers.len()
            )));
        }
        let values: Vec<i32> = std::iter::once(scales.input).chain(scales.layers.iter().copied()).collect();
        if values.iter().any(|v| !(0..=40).contains(v)) {
            return Err(Error::Quantise("scales are 0 to 40 fraction bits".into()));
        }
        Ok(values)
    }

    /// Writes the network, rounded as `graph` is, with these fraction bits: the input's, then each layer's.
    fn emit(&self, graph: &Graph, values: &[i32]) -> Result<(FixedGraph, Params), Error> {
        let formats = self.formats(values);
        let widest = formats.iter().map(|f| f.1).max().unwrap_or(0);
        if widest > WIDEST {
            return Err(Error::Quantise(format!(
                "without truncation its numbers grow to {widest} bits where {WIDEST} are supported; use coarser scales"
            )));
        }
        let formats: Vec<Format> = formats.into_iter().map(|f| f.0).collect();
        let width = Width { weight: 24, extra: 0, whole: false, summed: false };
        let (mut fixed, params) = emit::emit(graph, &self.ranges, NumberFormat::Exact, width, &formats)?;
        if self.bytes.contains(&true) {
            fixed.input_levels = self.bytes.iter().map(|&b| if b { gauge::LEVELS } else { 0 }).collect();
        }
        Ok((fixed, params))
    }

    /// The widest integer of the network, in bits.
    pub fn bits(&self, values: &[i32]) -> i32 {
        self.formats(values).iter().map(|f| f.1).max().unwrap_or(0)
    }

    /// Formats for these fraction bits, each with the bits it needs. The widths are those of the ranges and may be too
    /// large for a format; the caller looks.
    fn formats(&self, values: &[i32]) -> Vec<(Format, i32)> {
        let graph = &self.graph;
        let mut formats: Vec<(Format, i32)> = Vec::with_capacity(graph.nodes.len());
        let input = values.first().copied().unwrap_or(0);
        let mut scales = values.iter().skip(1).copied();
        for (id, node) in graph.nodes.iter().enumerate() {
            let operands: Vec<Format> = node.inputs.iter().map(|&i| formats[i].0).collect();
            let fx = operands.first().map_or(0, |f| f.frac);
            let most = operands.iter().map(|f| f.frac).max().unwrap_or(0);
            let frac = match &node.layer {
                Layer::Input { bytes: true } | Layer::ArgMax { .. } => 0,
                Layer::Input { .. } if self.is_byte(id) => BYTE_BITS,
                Layer::Input { .. } | Layer::Constant(_) => input,
                layer if has_scale(layer) => fx.saturating_add(scales.next().unwrap_or(0)),
                Layer::PublicAffine { factor, .. } => {
                    fx.saturating_add(dyadic(f64::from(*factor), emit::PRECISION).1.max(0))
                }
                Layer::Product => operands.iter().fold(0i32, |sum, f| sum.saturating_add(f.frac)),
                _ => most,
            };
            let frac = frac.clamp(-(1 << 20), 1 << 20);
            let range = &self.ranges.nodes[id];
            let own = integer_bits(f64::from(range.low), f64::from(range.high)) + frac + 1;
            let wide = operands.iter().zip(&node.inputs).map(|(f, &i)| formats[i].1 + (frac - f.frac)).max();
            let bits = match node.layer {
                Layer::Concat { .. } => wide.unwrap_or(own).max(own),
                ref layer if shares(layer) => formats[node.inputs[0]].1,
                // Every class, whatever was seen.
                Layer::ArgMax { axis, .. } => ceil_log2(graph.nodes[node.inputs[0]].shape[axis]) as i32 + 1,
                _ => own,
            };
            // The public numbers of these are 64 bits wide, at the result's scale.
            let public =
                matches!(node.layer, Layer::Clamp { .. } | Layer::PublicAffine { .. } | Layer::Pad { .. });
            let bits = if public && frac > 50 { bits.max(WIDEST + 1) } else { bits };
            formats.push((Format { bits: bits.clamp(2, WIDEST) as u32, frac }, bits));
        }
        formats
    }

    fn is_byte(&self, id: usize) -> bool {
        self.graph.inputs.iter().zip(&self.bytes).any(|(&i, &byte)| i == id && byte)
    }
}
