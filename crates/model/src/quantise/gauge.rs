//! Scales that are no powers of two, moved into weights.
//!
//! Where nothing is truncated each fraction bit of an input or of an average costs several bits of the result, so those
//! that buy nothing are dropped: a picture's bytes over 255 become the bytes themselves, and an average over 9 values
//! becomes their sum over 8. Both leave tensors that are a factor off. A linear layer further on takes the factor back
//! in its weights, which are rounded anyway.

use std::sync::Arc;

use crate::graph::{Graph, Layer};
use crate::ranges::Ranges;
use crate::tensor::Tensor;

/// What a byte of a picture is divided by.
pub(super) const LEVELS: u32 = 255;
/// Fraction bits at which a byte over [`LEVELS`], times [`BYTE`], is a whole number.
pub(super) const BYTE_BITS: i32 = 8;
/// How far such an input is off.
const BYTE: f64 = LEVELS as f64 / 256.0;

/// Inputs of which every sample is made of bytes over 255.
pub(super) fn byte_inputs(graph: &Graph, ranges: &Ranges) -> Vec<bool> {
    let whole = |v: &f32| {
        let v = f64::from(*v) * f64::from(LEVELS);
        (-0.01..=255.01).contains(&v) && (v - v.round()).abs() < 0.01
    };
    let each = |i: usize| {
        let samples = || ranges.samples.iter().filter_map(|sample| sample.get(i));
        let float = matches!(graph.nodes[graph.inputs[i]].layer, Layer::Input { bytes: false });
        float && samples().next().is_some() && samples().all(|t| t.data().iter().all(whole))
    };
    (0..graph.inputs.len()).map(each).collect()
}

/// The same network with the given inputs times 255/256 and, if wanted, with averages that are sums over a power of two;
/// none where a factor would reach an output or a layer that it changes.
pub(super) fn absorb(
    graph: &Graph,
    ranges: &Ranges,
    bytes: &[bool],
    averages: bool,
) -> Option<(Graph, Ranges)> {
    let mut graph = graph.clone();
    let mut ranges = ranges.clone();
    let mut gauges = vec![1.0f64; graph.nodes.len()];
    for id in 0..graph.nodes.len() {
        let operands: Vec<f64> = graph.nodes[id].inputs.iter().map(|&i| gauges[i]).collect();
        let position = graph.inputs.iter().position(|&i| i == id);
        gauges[id] = match position {
            Some(at) if bytes.get(at) == Some(&true) => BYTE,
            Some(_) => 1.0,
            None => layer(&mut graph.nodes[id].layer, &operands, averages)?,
        };
        let range = &mut ranges.nodes[id];
        range.low = (f64::from(range.low) * gauges[id]) as f32;
        range.high = (f64::from(range.high) * gauges[id]) as f32;
    }
    if graph.outputs.iter().any(|o| gauges[o.node] != 1.0) {
        return None;
    }
    for sample in &mut ranges.samples {
        for (tensor, &id) in sample.iter_mut().zip(&graph.inputs) {
            scale(tensor, gauges[id]);
        }
    }
    Some((graph, ranges))
}

fn scale(tensor: &mut Tensor, factor: f64) {
    if factor != 1.0 {
        tensor.data_mut().iter_mut().for_each(|v| *v = (f64::from(*v) * factor) as f32);
    }
}

fn scaled(tensor: &mut Arc<Tensor>, factor: f64) {
    if factor != 1.0 {
        scale(Arc::make_mut(tensor), factor);
    }
}

/// Suits a layer to operands that are `factors` off, and says how far off its result is; none where it cannot.
fn layer(layer: &mut Layer, factors: &[f64], averages: bool) -> Option<f64> {
    let first = factors.first().copied().unwrap_or(1.0);
    let same = factors.iter().all(|&f| f == first);
    match layer {
        Layer::Conv { weight, .. } | Layer::Dense { weight, .. } => {
            scaled(weight, 1.0 / first);
            return Some(1.0);
        }
        Layer::Affine { factor: Some(factor), .. } => {
            scaled(factor, 1.0 / first);
            return Some(1.0);
        }
        Layer::Product => return Some(factors.iter().product()),
        Layer::Affine { addend: Some(addend), .. } => scaled(addend, first),
        Layer::PublicAffine { addend, .. } => *addend = (f64::from(*addend) * first) as f32,
        Layer::AveragePool { factor, .. } => {
            if let [each] = factor.as_mut_slice()
                && *each > 0.0
                && averages
            {
                let power = f64::from(*each).log2().ceil().exp2();
                let off = power / f64::from(*each);
                *each = power as f32;
                return Some(first * off);
            }
        }
        Layer::Clamp { low, high } => {
            *low = (f64::from(*low) * first) as f32;
            *high = (f64::from(*high) * first) as f32;
        }
        Layer::Pad { value, .. } => *value = (f64::from(*value) * first) as f32,
        Layer::Sigmoid | Layer::Tanh | Layer::Softmax { .. } if first != 1.0 => return None,
        _ if !same => return None,
        _ => {}
    }
    match layer {
        Layer::ArgMax { .. } => Some(1.0),
        _ => Some(first),
    }
}
