//! The format of every tensor, from its range and from what its readers need of it.

use crate::fixed::{Format, NumberFormat};
use crate::graph::{Graph, Layer};
use crate::ranges::Ranges;
use crate::tensor::Tensor;

use super::Width;
use super::scale::{fraction_for, integer_bits};

/// Fraction bits where the range allows them.
const USUAL: i32 = 12;
/// Fraction bits below which a word grows beyond 16 bits.
const LEAST: i32 = 10;
/// Fraction bits that a factor of an exact product has less.
const FACTOR: i32 = 5;
/// Beyond these the functions are flat, at 12 fraction bits.
const SIGMOID_FLAT: f64 = 15.99;
const TANH_FLAT: f64 = 7.99;

/// An interval; empty where low > high.
type Span = [f64; 2];
const EMPTY: Span = [f64::INFINITY, f64::NEG_INFINITY];

fn hull(a: Span, b: Span) -> Span {
    [a[0].min(b[0]), a[1].max(b[1])]
}

/// The part of each tensor's range that matters: what a ReLU cuts off need not fit the word before it, since the value
/// saturates to something the ReLU maps to the same zero.
pub(super) fn needed(graph: &Graph, ranges: &Ranges) -> Vec<Span> {
    let mut wanted = vec![EMPTY; graph.nodes.len()];
    let mut extra = vec![EMPTY; graph.nodes.len()];
    for output in &graph.outputs {
        wanted[output.node] = range(ranges, output.node);
    }
    for id in (0..graph.nodes.len()).rev() {
        let own = range(ranges, id);
        let node = &graph.nodes[id];
        if matches!(node.layer, Layer::Input { .. }) || wanted[id][0] > wanted[id][1] {
            wanted[id] = own;
        }
        let cut = [wanted[id][0].clamp(own[0], own[1]), wanted[id][1].clamp(own[0], own[1])];
        wanted[id] = hull(cut, extra[id]);
        for &operand in &node.inputs {
            let full = range(ranges, operand);
            let (need, beyond) = match &node.layer {
                Layer::Relu => ([0.0, wanted[id][1].max(0.0)], extra[id]),
                Layer::Clamp { .. } | Layer::MaxPool { .. } => (wanted[id], extra[id]),
                Layer::LeakyRelu { .. } | Layer::PRelu { .. } => (full, hull(own, extra[id])),
                Layer::Pad { value, .. } => (wanted[id], hull(extra[id], [f64::from(*value); 2])),
                Layer::Sigmoid => ([full[0].max(-SIGMOID_FLAT), full[1].min(SIGMOID_FLAT)], EMPTY),
                Layer::Tanh => ([full[0].max(-TANH_FLAT), full[1].min(TANH_FLAT)], EMPTY),
                Layer::Concat { .. } => (full, EMPTY),
                layer if layer.movement().is_some() => (wanted[id], extra[id]),
                _ => (full, EMPTY),
            };
            wanted[operand] = hull(wanted[operand], need);
            extra[operand] = hull(extra[operand], beyond);
        }
    }
    wanted
}

fn range(ranges: &Ranges, id: usize) -> Span {
    [f64::from(ranges.nodes[id].low), f64::from(ranges.nodes[id].high)]
}

/// Whether a layer's result has its operand's format.
pub(super) fn shares(layer: &Layer) -> bool {
    match layer {
        Layer::Relu
        | Layer::Clamp { .. }
        | Layer::MaxPool { .. }
        | Layer::LeakyRelu { .. }
        | Layer::PRelu { .. } => true,
        Layer::Concat { .. } => false,
        other => other.movement().is_some(),
    }
}

/// Products of which nothing is dropped, and the tensors from which their factors have their format. Products on shares are exact, so that the
/// bits that a product needs are divided between its factors. Only linear layers may read such a product, since those take it in any
/// format; its factors may be read by other operations.
fn whole_products(graph: &Graph) -> (Vec<bool>, Vec<bool>) {
    let count = graph.nodes.len();
    let (mut linear, mut read) = (vec![true; count], vec![false; count]);
    for output in &graph.outputs {
        linear[output.node] = false;
    }
    for (id, node) in graph.nodes.iter().enumerate().rev() {
        let takes = match &node.layer {
            Layer::Conv { .. } | Layer::Dense { .. } => true,
            Layer::Concat { .. } => false,
            layer => layer.movement().is_some() && linear[id],
        };
        for operand in &node.inputs {
            linear[*operand] &= takes;
            read[*operand] = true;
        }
    }
    let product = |id: usize| linear[id] && read[id] && matches!(graph.nodes[id].layer, Layer::Product);
    let whole: Vec<bool> = (0..count).map(product).collect();
    let mut factor = vec![false; count];
    for (id, node) in graph.nodes.iter().enumerate().rev() {
        if whole[id] || (factor[id] && shares(&node.layer)) {
            node.inputs.iter().for_each(|operand| factor[*operand] = true);
        }
    }
    (whole, factor)
}

/// Linear layers of which nothing is dropped because they are added up: two or more in a sum, and nothing else reads them.
pub(super) fn whole_sums(graph: &Graph, width: Width) -> Vec<bool> {
    let mut readers = vec![0; graph.nodes.len()];
    graph.nodes.iter().flat_map(|node| &node.inputs).for_each(|id| readers[*id] += 1);
    graph.outputs.iter().for_each(|output| readers[output.node] += 1);
    let mut whole = vec![false; graph.nodes.len()];
    for node in graph.nodes.iter().filter(|node| width.summed && matches!(node.layer, Layer::Sum { .. })) {
        let linear =
            |id: &&usize| matches!(graph.nodes[**id].layer, Layer::Conv { .. } | Layer::Dense { .. });
        let layers: Vec<usize> =
            node.inputs.iter().filter(linear).filter(|id| readers[**id] == 1).copied().collect();
        if layers.len() > 1 {
            layers.into_iter().for_each(|id| whole[id] = true);
        }
    }
    whole
}

/// The format of a layer of which nothing is dropped: its weights have one scale, a bit finer than each channel's own would have to be.
fn whole_layer(span: Span, operand: i32, weight: &Tensor, width: Width) -> Format {
    let top = weight.data().iter().fold(0f32, |a, v| a.max(v.abs()));
    let frac = operand + fraction_for(f64::from(top), width.weight + 1).clamp(0, 24);
    Format { bits: (integer_bits(span[0], span[1]) + frac + 1).clamp(2, 62) as u32, frac }
}

/// One format a node.
pub(super) fn choose(graph: &Graph, ranges: &Ranges, number: NumberFormat, width: Width) -> Vec<Format> {
    let needed = needed(graph, ranges);
    let (whole, factor) = whole_products(graph);
    let summed = whole_sums(graph, width);
    let exact = |flags: &[bool], id: usize| width.whole && flags[id];
    let mut formats: Vec<Format> = Vec::with_capacity(graph.nodes.len());
    for (id, node) in graph.nodes.iter().enumerate() {
        let format = match &node.layer {
            layer if shares(layer) => formats[node.inputs[0]],
            Layer::ArgMax { axis, .. } => {
                let count = graph.nodes[node.inputs[0]].shape[*axis];
                Format { bits: super::scale::ceil_log2(count) + 1, frac: 0 }
            }
            Layer::Conv { weight, .. } | Layer::Dense { weight, .. } if summed[id] => {
                whole_layer(needed[id], formats[node.inputs[0]].frac, weight, width)
            }
            Layer::Input { bytes: true } => Format { bits: 9, frac: 0 },
            Layer::Product => {
                let natural: i32 = node.inputs.iter().map(|&i| formats[i].frac).sum();
                let [low, high] = needed[id];
                let bits = (integer_bits(low, high) + natural + 1).clamp(2, 62) as u32;
                if exact(&whole, id) {
                    formats.push(Format { bits, frac: natural });
                    continue;
                }
                capped(of_span(needed[id], number, width), natural)
            }
            // A sum on shares: nothing is shifted away.
            Layer::AveragePool { factor, .. }
                if matches!(number, NumberFormat::Ring { .. }) && factor == &[1.0] =>
            {
                let ([low, high], frac) = (needed[id], formats[node.inputs[0]].frac);
                Format { bits: (integer_bits(low, high) + frac + 1).clamp(2, 62) as u32, frac }
            }
            Layer::Input { .. } => of_span(needed[id], number, width),
            _ if exact(&factor, id) => {
                of_span(needed[id], number, Width { extra: width.extra - FACTOR, ..width })
            }
            _ => of_span(needed[id], number, width),
        };
        formats.push(Format { bits: format.bits.max(2), ..format });
    }
    formats
}

/// A format with no more fraction bits than the computation has.
fn capped(format: Format, most: i32) -> Format {
    let drop = (format.frac - most).max(0);
    Format { bits: (format.bits as i32 - drop).max(2) as u32, frac: format.frac - drop }
}

/// The format of a range.
fn of_span([low, high]: Span, number: NumberFormat, width: Width) -> Format {
    let i = integer_bits(low, high);
    let usual = USUAL + width.extra;
    // Small ranges keep at least 11 significant bits.
    let fine = usual.max(usual - 1 - i).min(30);
    let frac = match number {
        NumberFormat::Word16 if width.extra == 0 => fine.min(15 - i).max(LEAST.min(fine)),
        _ => fine,
    };
    Format { bits: (i + frac + 1).clamp(2, 62) as u32, frac }
}
