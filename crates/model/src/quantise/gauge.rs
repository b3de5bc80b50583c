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

/// Most values of an average that becomes a sum: more would widen the ring by more than dividing costs.
const MOST_SUMMED: f64 = 16.0;

/// The same network with averages that only linear layers read as sums: the division moves into the weights.
pub(super) fn sum_averages(graph: &Graph, ranges: &Ranges) -> (Graph, Ranges) {
    let (mut graph, mut ranges) = (graph.clone(), ranges.clone());
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
    for (id, node) in graph.nodes.iter().enumerate() {
        node.inputs.iter().for_each(|&i| readers[i].push(id));
    }
    for id in 0..graph.nodes.len() {
        let each = match &graph.nodes[id].layer {
            Layer::AveragePool { factor, .. } => match factor[..] {
                [each] if (1.0 / MOST_SUMMED..1.0).contains(&f64::from(each)) => f64::from(each),
                _ => continue,
            },
            _ => continue,
        };
        let Some((moved, linear)) = behind(&graph, &readers, id) else { continue };
        for node in linear {
            if let Layer::Conv { weight, .. } | Layer::Dense { weight, .. } = &mut graph.nodes[node].layer {
                scaled(weight, each);
            }
        }
        if let Layer::AveragePool { factor, .. } = &mut graph.nodes[id].layer {
            *factor = vec![1.0];
        }
        for node in moved {
            let range = &mut ranges.nodes[node];
            (range.low, range.high) =
                ((f64::from(range.low) / each) as f32, (f64::from(range.high) / each) as f32);
        }
    }
    (graph, ranges)
}

/// A tensor with what only moves it, and the linear layers that read these; none if anything else does.
fn behind(graph: &Graph, readers: &[Vec<usize>], id: usize) -> Option<(Vec<usize>, Vec<usize>)> {
    let (mut moved, mut linear, mut at) = (vec![id], Vec::new(), 0);
    while let Some(&node) = moved.get(at) {
        if readers[node].is_empty() || graph.outputs.iter().any(|output| output.node == node) {
            return None;
        }
        for &reader in &readers[node] {
            match &graph.nodes[reader].layer {
                Layer::Conv { .. } | Layer::Dense { .. } => linear.push(reader),
                Layer::Reshape | Layer::Transpose { .. } | Layer::Slice { .. } => moved.push(reader),
                _ => return None,
            }
        }
        at += 1;
    }
    Some((moved, linear))
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
