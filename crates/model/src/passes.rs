//! Rewrites that make an imported graph small: softmax moves to the outputs, scales fold into the layers next to them,
//! reshapes merge, quadratics become squares, and what nothing needs goes.

mod squares;

use std::sync::Arc;

use squares::complete_squares;

use crate::error::Error;
use crate::fixed::Post;
use crate::graph::{Graph, Layer};
use crate::movement::Move;
use crate::tensor::Tensor;

/// The largest number of values of all tensors of a network.
const MAX_TOTAL: usize = 1 << 29;

/// Applies all passes.
///
/// # Errors
/// If a softmax stands where the client cannot apply it, or the network is absurdly large.
pub fn simplify(mut graph: Graph) -> Result<Graph, Error> {
    // Each round may expose work for the next; the number of rounds is bounded by what can still be absorbed.
    for _ in 0..64 {
        let before = graph.nodes.len();
        let mut changed = sink_softmax(&mut graph);
        changed |= merge_reshapes(&mut graph);
        changed |= complete_squares(&mut graph)?;
        changed |= fold_scales(&mut graph)?;
        changed |= pool_first(&mut graph);
        graph = prune(graph);
        if !changed && graph.nodes.len() == before {
            break;
        }
    }
    finish_softmax(&mut graph)?;
    let graph = prune(graph);
    let total = graph.nodes.iter().map(|n| n.shape.iter().product::<usize>()).fold(0, usize::saturating_add);
    if total > MAX_TOTAL {
        return Err(Error::Shape(format!(
            "the network's tensors hold {total} values in all, more than 2^29"
        )));
    }
    Ok(graph)
}

/// Drops nodes that no output needs; inputs stay.
pub fn prune(graph: Graph) -> Graph {
    let mut needed = vec![false; graph.nodes.len()];
    for id in graph.inputs.iter().chain(graph.outputs.iter().map(|o| &o.node)) {
        needed[*id] = true;
    }
    for id in (0..graph.nodes.len()).rev() {
        if needed[id] {
            graph.nodes[id].inputs.iter().for_each(|&i| needed[i] = true);
        }
    }
    let mut index = vec![0; graph.nodes.len()];
    let mut nodes = Vec::new();
    for (id, mut node) in graph.nodes.into_iter().enumerate().filter(|(id, _)| needed[*id]) {
        node.inputs.iter_mut().for_each(|i| *i = index[*i]);
        index[id] = nodes.len();
        nodes.push(node);
    }
    let mut outputs = graph.outputs;
    outputs.iter_mut().for_each(|o| o.node = index[o.node]);
    Graph { name: graph.name, nodes, inputs: graph.inputs.iter().map(|&i| index[i]).collect(), outputs }
}

/// Moves softmax behind reshapes, and drops it before an arg-max, which it does not change.
fn sink_softmax(graph: &mut Graph) -> bool {
    let uses = graph.uses();
    let mut changed = false;
    for id in 0..graph.nodes.len() {
        let Some(&from) = graph.nodes[id].inputs.first() else { continue };
        let Layer::Softmax { axis, log } = graph.nodes[from].layer else { continue };
        let before = graph.nodes[from].inputs[0];
        match graph.nodes[id].layer {
            Layer::ArgMax { axis: over, .. } if over == axis => {
                graph.nodes[id].inputs[0] = before;
                changed = true;
            }
            Layer::Reshape if uses[from] == 1 => {
                let Some(axis) = axis_after(&graph.nodes[from].shape, axis, &graph.nodes[id].shape) else {
                    continue;
                };
                graph.nodes[from].layer = Layer::Reshape;
                graph.nodes[from].shape = graph.nodes[id].shape.clone();
                graph.nodes[id].layer = Layer::Softmax { axis, log };
                changed = true;
            }
            _ => {}
        }
    }
    changed
}

/// The axis of a reshaped tensor that runs over the same elements.
fn axis_after(shape: &[usize], axis: usize, target: &[usize]) -> Option<usize> {
    let inner: usize = shape[axis + 1..].iter().product();
    (0..target.len())
        .find(|&a| target[a] == shape[axis] && target[a + 1..].iter().product::<usize>() == inner)
}

/// Softmax at an output becomes the client's step; anywhere else it has no private form.
fn finish_softmax(graph: &mut Graph) -> Result<(), Error> {
    for output in &mut graph.outputs {
        if let Layer::Softmax { axis, log } = graph.nodes[output.node].layer {
            output.post = if log { Post::LogSoftmax { axis } } else { Post::Softmax { axis } };
            output.node = graph.nodes[output.node].inputs[0];
        }
    }
    for node in &graph.nodes {
        for &operand in &node.inputs {
            if matches!(graph.nodes[operand].layer, Layer::Softmax { .. }) {
                let problem = "a softmax inside the network has no private form; only at an output, where the \
                               client applies it";
                return Err(Error::at(&graph.nodes[operand].name, problem));
            }
        }
    }
    Ok(())
}

/// The largest of some values and a function that never falls may change places: the function is then computed on what the pool
/// leaves, a quarter for windows of 2 x 2.
fn pool_first(graph: &mut Graph) -> bool {
    let uses = graph.uses();
    let mut changed = false;
    for id in 0..graph.nodes.len() {
        let [from] = graph.nodes[id].inputs[..] else { continue };
        let rising = match graph.nodes[from].layer {
            Layer::Relu | Layer::Clamp { .. } | Layer::Sigmoid | Layer::Tanh => true,
            Layer::LeakyRelu { slope } => slope >= 0.0,
            _ => false,
        };
        let pools = matches!(graph.nodes[id].layer, Layer::MaxPool { .. });
        let shrinks =
            graph.nodes[id].shape.iter().product::<usize>() < graph.nodes[from].shape.iter().product();
        if rising && pools && shrinks && uses[from] == 1 {
            let pool = std::mem::replace(&mut graph.nodes[id].layer, Layer::Relu);
            graph.nodes[id].layer = std::mem::replace(&mut graph.nodes[from].layer, pool);
            graph.nodes[from].shape = graph.nodes[id].shape.clone();
            // What the pool's name stands for is made here still; the other tensor is a new one.
            graph.nodes[from].name = format!("{}.max", graph.nodes[id].name);
            changed = true;
        }
    }
    changed
}

/// A reshape of a reshape is one; a reshape to the same shape is none.
fn merge_reshapes(graph: &mut Graph) -> bool {
    let mut changed = false;
    for id in 0..graph.nodes.len() {
        if !matches!(graph.nodes[id].layer, Layer::Reshape) {
            continue;
        }
        while matches!(graph.nodes[graph.nodes[id].inputs[0]].layer, Layer::Reshape) {
            graph.nodes[id].inputs[0] = graph.nodes[graph.nodes[id].inputs[0]].inputs[0];
            changed = true;
        }
    }
    let same: Vec<Option<usize>> = graph
        .nodes
        .iter()
        .map(|n| {
            let from = *n.inputs.first()?;
            (matches!(n.layer, Layer::Reshape) && graph.nodes[from].shape == n.shape).then_some(from)
        })
        .collect();
    for node in &mut graph.nodes {
        for input in &mut node.inputs {
            if let Some(from) = same[*input] {
                *input = from;
                changed = true;
            }
        }
    }
    for output in &mut graph.outputs {
        if let Some(from) = same[output.node] {
            output.node = from;
            changed = true;
        }
    }
    changed
}

/// Folds scales (batch normalisation among them) into the linear layer before or after, wherever that is exact.
fn fold_scales(graph: &mut Graph) -> Result<bool, Error> {
    let mut uses = graph.uses();
    let mut changed = false;
    for id in 0..graph.nodes.len() {
        let [from] = graph.nodes[id].inputs[..] else { continue };
        if uses[from] != 1 {
            continue;
        }
        let (before, node) = (&graph.nodes[from], &graph.nodes[id]);
        let merged = match (&before.layer, &node.layer) {
            (Layer::Conv { .. } | Layer::Dense { .. }, Layer::Affine { factor, addend }) => {
                scale_after(&before.layer, &before.shape, factor.as_deref(), addend.as_deref())?
            }
            (Layer::Affine { factor, addend }, Layer::Affine { factor: f, addend: a }) => {
                compose(&node.shape, [factor.as_deref(), addend.as_deref()], [f.as_deref(), a.as_deref()])?
            }
            (Layer::Affine { factor, addend }, Layer::Conv { .. } | Layer::Dense { .. }) => {
                scale_before(&node.layer, &before.shape, factor.as_deref(), addend.as_deref())?
            }
            // A flatten between a scale and a matrix: the scale moves behind it and folds in the next round.
            (Layer::Affine { factor, addend }, Layer::Reshape) => {
                let flat = |t: &Option<Arc<Tensor>>| match t {
                    Some(t) => {
                        spread(t, &before.shape)?.reshaped(node.shape.clone()).map(|t| Some(Arc::new(t)))
                    }
                    None => Ok(None),
                };
                let next_is_dense = graph.nodes[id + 1..]
                    .iter()
                    .any(|n| n.inputs == [id] && matches!(n.layer, Layer::Dense { .. }));
                if next_is_dense && uses[id] == 1 {
                    let moved = Layer::Affine { factor: flat(factor)?, addend: flat(addend)? };
                    let shape = node.shape.clone();
                    graph.nodes[from].layer = Layer::Reshape;
                    graph.nodes[from].shape = shape;
                    graph.nodes[id].layer = moved;
                    changed = true;
                }
                None
            }
            _ => None,
        };
        // Padding is zero after the scale: its factor alone moves into the layer.
        if merged.is_none()
            && let (Layer::Affine { factor: Some(f), addend: Some(a) }, conv @ Layer::Conv { .. }) =
                (&graph.nodes[from].layer, &graph.nodes[id].layer)
            && f.data().iter().all(|f| *f != 0.0)
            && let Some(layer) = scale_before(conv, &graph.nodes[from].shape, Some(f), None)?
        {
            let addend = combine(a, f, |a, f| a / f)?;
            graph.nodes[id].layer = layer;
            graph.nodes[from].layer = Layer::Affine { factor: None, addend: Some(Arc::new(addend)) };
            changed = true;
            continue;
        }
        if let Some(layer) = merged {
            let inputs = graph.nodes[from].inputs.clone();
            if !matches!(graph.nodes[from].layer, Layer::Affine { .. }) {
                graph.nodes[id].name = graph.nodes[from].name.clone();
            }
            graph.nodes[id].layer = layer;
            graph.nodes[id].inputs = inputs;
            uses[from] = 0;
            changed = true;
        }
    }
    Ok(changed)
}

/// A tensor broadcast to a shape.
fn spread(tensor: &Tensor, shape: &[usize]) -> Result<Tensor, Error> {
    let data = Move::Expand.apply(&[(tensor.shape(), tensor.data())], shape, 0.0);
    Tensor::new(shape.to_vec(), data)
}

/// One value for each index of an axis, if the tensor, broadcast to `shape`, varies along that axis only.
fn along_axis(tensor: Option<&Tensor>, shape: &[usize], axis: usize, default: f32) -> Option<Vec<f32>> {
    let Some(tensor) = tensor else { return Some(vec![default; shape[axis]]) };
    let own = tensor.shape();
    let skip = shape.len().checked_sub(own.len())?;
    if (0..own.len()).any(|i| own[i] != 1 && i + skip != axis) {
        return None;
    }
    Some(if tensor.data().len() == 1 { vec![tensor.data()[0]; shape[axis]] } else { tensor.data().to_vec() })
}

/// The axis that holds a layer's channels.
fn channel_axis(layer: &Layer, shape: &[usize]) -> usize {
    if matches!(layer, Layer::Conv { .. }) { 1 } else { shape.len() - 1 }
}

/// A linear layer followed by a scale of its output channels.
fn scale_after(
    layer: &Layer,
    shape: &[usize],
    factor: Option<&Tensor>,
    addend: Option<&Tensor>,
) -> Result<Option<Layer>, Error> {
    let axis = channel_axis(layer, shape);
    let (Some(f), Some(a)) = (along_axis(factor, shape, axis, 1.0), along_axis(addend, shape, axis, 0.0))
    else {
        return Ok(None);
    };
    let scaled = |weight: &Tensor, bias: &Tensor| {
        let mut weight = weight.clone();
        let each = weight.data().len() / f.len();
        weight.data_mut().chunks_mut(each).zip(&f).for_each(|(row, f)| row.iter_mut().for_each(|w| *w *= f));
        let bias = bias.data().iter().zip(f.iter().zip(&a)).map(|(b, (f, a))| b * f + a).collect();
        (Arc::new(weight), Arc::new(Tensor::vector(bias)))
    };
    Ok(match layer {
        Layer::Conv { window, groups, weight, bias } => {
            let (weight, bias) = scaled(weight, bias);
            Some(Layer::Conv { window: *window, groups: *groups, weight, bias })
        }
        Layer::Dense { weight, bias } => {
            let (weight, bias) = scaled(weight, bias);
            Some(Layer::Dense { weight, bias })
        }
        _ => None,
    })
}

/// A scale of the input channels followed by a linear layer. Padding is zero after the scale, so that an addend folds
/// into a convolution without padding only.
fn scale_before(
    layer: &Layer,
    shape: &[usize],
    factor: Option<&Tensor>,
    addend: Option<&Tensor>,
) -> Result<Option<Layer>, Error> {
    let axis = channel_axis(layer, shape);
    let (Some(f), Some(a)) = (along_axis(factor, shape, axis, 1.0), along_axis(addend, shape, axis, 0.0))
    else {
        return Ok(None);
    };
    let (weight, bias, groups, taps) = match layer {
        Layer::Conv { window, weight, bias, groups } => {
            if window.pads != [0; 4] && a.iter().any(|&v| v != 0.0) {
                return Ok(None);
            }
            (weight, bias, *groups, window.taps())
        }
        Layer::Dense { weight, bias } => (weight, bias, 1, 1),
        _ => return Ok(None),
    };
    let mut scaled = (**weight).clone();
    let mut sums: Vec<f64> = bias.data().iter().map(|&b| f64::from(b)).collect();
    let per_filter = scaled.data().len() / sums.len();
    let filters_per_group = sums.len() / groups;
    let channels_per_group = f.len() / groups;
    for (o, row) in scaled.data_mut().chunks_mut(per_filter).enumerate() {
        let first = o / filters_per_group * channels_per_group;
        for (i, w) in row.iter_mut().enumerate() {
            let channel = first + i / taps;
            sums[o] += f64::from(*w) * f64::from(a[channel]);
            *w *= f[channel];
        }
    }
    let weight = Arc::new(scaled);
    let bias = Arc::new(Tensor::vector(sums.into_iter().map(|s| s as f32).collect()));
    Ok(Some(match layer {
        Layer::Conv { window, groups, .. } => Layer::Conv { window: *window, groups: *groups, weight, bias },
        _ => Layer::Dense { weight, bias },
    }))
}

/// Two tensors element by element, broadcast against each other.
fn combine(a: &Tensor, b: &Tensor, f: fn(f32, f32) -> f32) -> Result<Tensor, Error> {
    let target = crate::shapes::broadcast(a.shape(), b.shape())?;
    let (a, b) = (spread(a, &target)?, spread(b, &target)?);
    Tensor::new(target, a.data().iter().zip(b.data()).map(|(&x, &y)| f(x, y)).collect())
}

/// Two scales in a row.
fn compose(
    shape: &[usize],
    first: [Option<&Tensor>; 2],
    second: [Option<&Tensor>; 2],
) -> Result<Option<Layer>, Error> {
    let times = |a: Option<&Tensor>, b: Option<&Tensor>| match (a, b) {
        (Some(a), Some(b)) => combine(a, b, |x, y| x * y).map(Some),
        (a, b) => Ok(a.or(b).cloned()),
    };
    let factor = times(first[0], second[0])?;
    let carried = match first[1] {
        Some(a) => times(Some(a), second[0])?,
        None => None,
    };
    let addend = match (&carried, second[1]) {
        (Some(a), Some(b)) => Some(combine(a, b, |x, y| x + y)?),
        (a, b) => a.as_ref().or(b).cloned(),
    };
    let fits = |t: &Option<Tensor>| t.as_ref().is_none_or(|t| t.shape().len() <= shape.len());
    Ok((fits(&factor) && fits(&addend))
        .then(|| Layer::Affine { factor: factor.map(Arc::new), addend: addend.map(Arc::new) }))
}
