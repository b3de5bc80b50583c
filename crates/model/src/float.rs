//! The float reference: what the network means in real numbers.

use std::borrow::Cow;

use rayon::prelude::*;

use crate::error::{Error, quote};
use crate::fixed::{NodeId, Post};
use crate::graph::{Graph, Layer, Node};
use crate::kernels::{self, ConvShape};
use crate::tensor::Tensor;

/// Runs a network on its inputs and returns its outputs, each with its last step (softmax) applied.
///
/// # Errors
/// If the inputs are not those of the graph, or one holds a NaN or an infinity.
pub fn run(graph: &Graph, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
    let mut outputs = trace(graph, inputs, |_, _| {})?;
    for (tensor, output) in outputs.iter_mut().zip(&graph.outputs) {
        let shape = tensor.shape().to_vec();
        apply_post(output.post, &shape, tensor.data_mut());
    }
    Ok(outputs)
}

/// Runs a network, shows each node's values to `observe`, and returns the outputs before their last step.
///
/// # Errors
/// As [`run`].
pub fn trace(
    graph: &Graph,
    inputs: &[Tensor],
    mut observe: impl FnMut(NodeId, &[f32]),
) -> Result<Vec<Tensor>, Error> {
    check_inputs(graph, inputs)?;
    let mut uses = graph.uses();
    let mut values: Vec<Option<Vec<f32>>> = vec![None; graph.nodes.len()];
    let mut given = inputs.iter();
    for (id, node) in graph.nodes.iter().enumerate() {
        let value = match node.layer {
            Layer::Input { .. } => given.next().map(|t| t.data().to_vec()).unwrap_or_default(),
            _ => {
                let operands: Option<Vec<(&[usize], &[f32])>> = node
                    .inputs
                    .iter()
                    .map(|&i| Some((&*graph.nodes[i].shape, values[i].as_deref()?)))
                    .collect();
                layer(node, &operands.ok_or_else(|| Error::at(&node.name, "operand without a value"))?)?
            }
        };
        observe(id, &value);
        values[id] = (uses[id] > 0).then_some(value);
        for &operand in &node.inputs {
            uses[operand] -= 1;
            if uses[operand] == 0 {
                values[operand] = None;
            }
        }
    }
    let tensor = |id: NodeId| {
        let data =
            values[id].clone().ok_or_else(|| Error::at(&graph.nodes[id].name, "output without a value"))?;
        Tensor::new(graph.nodes[id].shape.clone(), data)
    };
    graph.outputs.iter().map(|output| tensor(output.node)).collect()
}

fn check_inputs(graph: &Graph, inputs: &[Tensor]) -> Result<(), Error> {
    if inputs.len() != graph.inputs.len() {
        return Err(Error::Input(format!(
            "count {} where the model takes {}",
            inputs.len(),
            graph.inputs.len()
        )));
    }
    for (tensor, &id) in inputs.iter().zip(&graph.inputs) {
        let node = &graph.nodes[id];
        if tensor.shape() != node.shape {
            let name = quote(&node.name);
            return Err(Error::Input(format!("{name} has shape {:?}, not {:?}", tensor.shape(), node.shape)));
        }
        if let Some(at) = tensor.data().iter().position(|v| !v.is_finite()) {
            return Err(Error::Input(format!(
                "{} holds a NaN or an infinity at element {at}",
                quote(&node.name)
            )));
        }
    }
    Ok(())
}

/// Computes one layer.
pub(crate) fn layer(node: &Node, operands: &[(&[usize], &[f32])]) -> Result<Vec<f32>, Error> {
    if let Some(movement) = node.layer.movement() {
        let fill = if let Layer::Pad { value, .. } = node.layer { value } else { 0.0 };
        return Ok(movement.apply(operands, &node.shape, fill));
    }
    if let Layer::Constant(tensor) = &node.layer {
        return Ok(tensor.data().to_vec());
    }
    let Some(&(shape, x)) = operands.first() else {
        return Err(Error::at(&node.name, "no operand"));
    };
    Ok(match &node.layer {
        Layer::Conv { window, groups, weight, bias } => {
            let conv = ConvShape::new(shape, &node.shape, *groups, *window);
            let (w, b) = (weight.data(), bias.data());
            kernels::convolve(&conv, x, |i| w[i], |o, sum| sum + b[o])
        }
        Layer::Dense { weight, bias } => {
            let b = bias.data();
            let width = shape.last().copied().unwrap_or(1);
            kernels::dense(x, weight.data(), width, |w| w, |o, sum| sum + b[o])
        }
        Layer::Affine { factor, addend } => {
            let mut y = x.to_vec();
            if let Some(factor) = factor {
                y.iter_mut().zip(&*broadcast(factor, shape)).for_each(|(y, f)| *y *= f);
            }
            if let Some(addend) = addend {
                y.iter_mut().zip(&*broadcast(addend, shape)).for_each(|(y, a)| *y += a);
            }
            y
        }
        Layer::PublicAffine { factor, addend } => each(x, |v| v * factor + addend),
        Layer::Sum { negative } => {
            let mut y = vec![0.0; x.len()];
            for ((_, x), minus) in operands.iter().zip(negative) {
                let sign = if *minus { -1.0 } else { 1.0 };
                y.iter_mut().zip(*x).for_each(|(y, v)| *y += sign * v);
            }
            y
        }
        Layer::Product => x.iter().zip(operands.get(1).map_or(x, |o| o.1)).map(|(a, b)| a * b).collect(),
        Layer::AveragePool { window, factor } => kernels::pool(x, shape, &node.shape, window, |p, taps| {
            let f = if factor.len() == 1 { factor[0] } else { factor[p] };
            (taps.map(f64::from).sum::<f64>() * f64::from(f)) as f32
        }),
        Layer::MaxPool { window } => {
            kernels::pool(x, shape, &node.shape, window, |_, taps| taps.fold(f32::NEG_INFINITY, f32::max))
        }
        Layer::Relu => each(x, |v| v.max(0.0)),
        Layer::Clamp { low, high } => each(x, |v| v.max(*low).min(*high)),
        Layer::LeakyRelu { slope } => each(x, |v| if v >= 0.0 { v } else { v * slope }),
        Layer::PRelu { slope } => {
            let slope = broadcast(slope, shape);
            x.iter().zip(&*slope).map(|(&v, s)| if v >= 0.0 { v } else { v * s }).collect()
        }
        Layer::Sigmoid => each(x, |v| 1.0 / (1.0 + (-v).exp())),
        Layer::Tanh => each(x, f32::tanh),
        Layer::Softmax { axis, log } => {
            let mut y = x.to_vec();
            softmax(shape, *axis, *log, &mut y);
            y
        }
        Layer::ArgMax { axis, last } => {
            along(shape, *axis, |at| arg_max(at.map(|i| x[i]), *last)).into_iter().map(|i| i as f32).collect()
        }
        other => return Err(Error::at(&node.name, format!("a {} has no value of its own", other.kind()))),
    })
}

fn each(x: &[f32], f: impl Fn(f32) -> f32 + Sync) -> Vec<f32> {
    x.par_iter().with_min_len(4096).map(|&v| f(v)).collect()
}

/// A small tensor as if it had the shape `shape`.
fn broadcast<'a>(tensor: &'a Tensor, shape: &[usize]) -> Cow<'a, [f32]> {
    if tensor.shape() == shape {
        return Cow::Borrowed(tensor.data());
    }
    Cow::Owned(crate::movement::Move::Expand.apply(&[(tensor.shape(), tensor.data())], shape, 0.0))
}

/// Index of the largest of several values; of equal ones the first, or the last.
pub(crate) fn arg_max<T: PartialOrd>(values: impl Iterator<Item = T>, last: bool) -> usize {
    let mut best: Option<(usize, T)> = None;
    for (i, v) in values.enumerate() {
        if best.as_ref().is_none_or(|(_, b)| v > *b || (last && v >= *b)) {
            best = Some((i, v));
        }
    }
    best.map_or(0, |(i, _)| i)
}

/// Calls `f` with the indices of each line along an axis, lines in row-major order.
pub(crate) fn along<R>(
    shape: &[usize],
    axis: usize,
    mut f: impl FnMut(&mut dyn Iterator<Item = usize>) -> R,
) -> Vec<R> {
    let inner: usize = shape[axis + 1..].iter().product();
    let outer: usize = shape[..axis].iter().product();
    let length = shape[axis];
    (0..outer * inner)
        .map(|line| {
            let base = line / inner * inner * length + line % inner;
            f(&mut (0..length).map(|i| base + i * inner))
        })
        .collect()
}

/// The step that a client applies to an output in the clear.
pub fn apply_post(post: Post, shape: &[usize], values: &mut [f32]) {
    match post {
        Post::None => {}
        Post::Softmax { axis } => softmax(shape, axis, false, values),
        Post::LogSoftmax { axis } => softmax(shape, axis, true, values),
    }
}

fn softmax(shape: &[usize], axis: usize, log: bool, values: &mut [f32]) {
    along(shape, axis, |line| {
        let line: Vec<usize> = line.collect();
        let top = line.iter().map(|&i| values[i]).fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = line.iter().map(|&i| f64::from(values[i] - top).exp()).sum();
        for &i in &line {
            let v = f64::from(values[i] - top);
            values[i] = if log { v - sum.ln() } else { v.exp() / sum } as f32;
        }
    });
}
