//! How large each tensor gets: stated, seen on samples and widened by a margin, or bounded by intervals.
//!
//! The order is the one a user expects: the side file first, then the data of a calibration, else inputs generated over
//! the input range. Interval bounds follow from the weights and the input range alone, so they hold for every input
//! (inputs are clamped to their range); they only ever tighten a range. A range they do not reach is *not proven*: an
//! input may exist that leaves it, and the number format says what happens then.

use crate::error::Error;
use crate::float;
use crate::generated;
use crate::graph::{Graph, Layer, Node};
use crate::side::Side;
use crate::tensor::Tensor;

/// The values a tensor takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Smallest value.
    pub low: f32,
    /// Largest value.
    pub high: f32,
    /// Whether no input can leave the range.
    pub proven: bool,
}

impl Range {
    /// The largest absolute value.
    pub fn magnitude(&self) -> f32 {
        self.low.abs().max(self.high.abs())
    }
}

/// The range of every node of a graph, and the samples it was seen on.
#[derive(Clone, Debug)]
pub struct Ranges {
    /// One range a node.
    pub nodes: Vec<Range>,
    /// Inputs on which a quantised network may be tried: those of the calibration, or the generated ones.
    pub samples: Vec<Vec<Tensor>>,
    /// Whether the samples were generated.
    pub generated: bool,
}

/// Multiplications that looking at samples may cost.
const BUDGET: u64 = 20_000_000_000;
/// Samples generated where none are given.
const GENERATED: u64 = 40;
/// Elements of all tensors of all generated samples: what the largest networks are allowed in memory and time.
const ELEMENTS: u64 = 1 << 27;

impl Ranges {
    /// The range of each input, in order.
    pub fn inputs(&self, graph: &Graph) -> Vec<[f32; 2]> {
        graph.inputs.iter().map(|&i| [self.nodes[i].low, self.nodes[i].high]).collect()
    }

    /// Measures a graph. `data` holds calibration inputs, each one tensor an input of the graph; it may be empty.
    ///
    /// # Errors
    /// If an input is not the graph's, or the side file does not fit the graph.
    pub fn measure(graph: &Graph, side: &Side, data: &[Vec<Tensor>]) -> Result<Self, Error> {
        let margin = side.margin.unwrap_or(match data.len() {
            0 | 8..64 => 1.5,
            1..8 => 2.0,
            _ => 1.25,
        });
        let inputs = input_ranges(graph, side, data, margin)?;
        let bounds = intervals(graph, &inputs);
        let samples = if data.is_empty() {
            generated::inputs(graph, &inputs, samples_for(graph))?
        } else {
            data.to_vec()
        };
        let mut seen = vec![[f32::INFINITY, f32::NEG_INFINITY]; graph.nodes.len()];
        for sample in &samples {
            let clamped = clamp_inputs(sample, &inputs);
            float::trace(graph, &clamped, |id, values| {
                for &v in values {
                    seen[id] = [seen[id][0].min(v), seen[id][1].max(v)];
                }
            })?;
        }
        let mut nodes: Vec<Range> =
            (0..graph.nodes.len()).map(|id| settle(seen[id], bounds[id], margin)).collect();
        for (&id, range) in graph.inputs.iter().zip(&inputs) {
            nodes[id] = Range { low: range[0], high: range[1], proven: true };
        }
        state(graph, side, &bounds, &mut nodes)?;
        Ok(Self { nodes, samples, generated: data.is_empty() })
    }
}

/// How many samples are generated for a graph.
fn samples_for(graph: &Graph) -> usize {
    let elements =
        |node: &Node| node.shape.iter().fold(1u64, |count, &axis| count.saturating_mul(axis as u64));
    let total = graph.nodes.iter().map(elements).fold(0, u64::saturating_add);
    let count = (BUDGET / graph.products().max(1)).clamp(4, GENERATED);
    count.min((ELEMENTS / total.max(1)).max(1)) as usize
}

/// A sample's range widened by the margin and cut to the interval bound.
fn settle([low, high]: [f32; 2], bound: [f64; 2], margin: f32) -> Range {
    if low > high {
        return Range { low: bound[0] as f32, high: bound[1] as f32, proven: true };
    }
    let wide = |v: f32, outwards: bool| if outwards { v * margin } else { v / margin };
    let (low, high) = (f64::from(wide(low, low < 0.0)), f64::from(wide(high, high > 0.0)));
    let slack = 1e-5 * (1.0 + bound[0].abs().max(bound[1].abs()));
    let proven = bound[0] >= low - slack && bound[1] <= high + slack;
    Range { low: low.max(bound[0]) as f32, high: high.min(bound[1]) as f32, proven }
}

/// Ranges that the side file states for tensors.
fn state(graph: &Graph, side: &Side, bounds: &[[f64; 2]], nodes: &mut [Range]) -> Result<(), Error> {
    for (name, &[low, high]) in &side.tensors {
        let mut found = false;
        let outputs = graph.outputs.iter().filter(|o| o.name == *name).map(|o| o.node);
        let named = (0..graph.nodes.len()).filter(|&id| graph.nodes[id].name == *name);
        for id in named.chain(outputs) {
            let proven = bounds[id][0] >= f64::from(low) && bounds[id][1] <= f64::from(high);
            nodes[id] =
                Range { low, high, proven: proven || matches!(graph.nodes[id].layer, Layer::Input { .. }) };
            found = true;
        }
        if !found {
            return Err(Error::Side(format!(
                "[tensors]: the model has no tensor {}",
                crate::error::quote(name)
            )));
        }
    }
    Ok(())
}

/// The range of each input: stated, else that of the data, else what its shape suggests.
fn input_ranges(
    graph: &Graph,
    side: &Side,
    data: &[Vec<Tensor>],
    margin: f32,
) -> Result<Vec<[f32; 2]>, Error> {
    let only = graph.inputs.len() == 1;
    let mut ranges = Vec::new();
    for (index, &id) in graph.inputs.iter().enumerate() {
        let node = &graph.nodes[id];
        let bytes = matches!(node.layer, Layer::Input { bytes: true });
        let stated = match side.input(&node.name, only) {
            Some(input) => input.range(&node.shape, bytes)?,
            None => None,
        };
        let usual = usual_range(&node.shape, bytes);
        let values = data.iter().filter_map(|sample| sample.get(index)).flat_map(Tensor::data);
        let seen = values.fold([0f32, 0f32], |[low, high], &v| [low.min(v), high.max(v)]);
        let fits = seen[0] >= usual[0] && seen[1] <= usual[1];
        ranges.push(match stated {
            Some(range) => range,
            None if fits => usual,
            None => [seen[0] * margin, seen[1] * margin],
        });
    }
    Ok(ranges)
}

/// Where nothing is known: bytes are 0 to 255, pictures 0 to 1, and anything else stays within 8, DeepSecure's words.
fn usual_range(shape: &[usize], bytes: bool) -> [f32; 2] {
    let few = |c: usize| c == 1 || c == 3;
    match *shape {
        _ if bytes => [0.0, 255.0],
        [_, c, _, w] if few(c) || few(w) => [0.0, 1.0],
        [_, n] | [n] if n == 784 => [0.0, 1.0],
        _ => [-8.0, 8.0],
    }
}

fn clamp_inputs(sample: &[Tensor], ranges: &[[f32; 2]]) -> Vec<Tensor> {
    let mut clamped = sample.to_vec();
    for (tensor, range) in clamped.iter_mut().zip(ranges) {
        for v in tensor.data_mut() {
            // A NaN stays, so that the run names it.
            if *v < range[0] || *v > range[1] {
                *v = v.clamp(range[0], range[1]);
            }
        }
    }
    clamped
}

/// Interval bounds of every node, from the input ranges and the weights.
fn intervals(graph: &Graph, inputs: &[[f32; 2]]) -> Vec<[f64; 2]> {
    let mut bounds: Vec<[f64; 2]> = Vec::with_capacity(graph.nodes.len());
    let mut given = inputs.iter();
    for node in &graph.nodes {
        let x = node.inputs.first().map_or([0.0; 2], |&i| bounds[i]);
        bounds.push(match &node.layer {
            Layer::Input { .. } => given.next().map_or([0.0; 2], |r| r.map(f64::from)),
            Layer::Sum { negative } => {
                node.inputs.iter().zip(negative).fold([0.0; 2], |sum, (&i, &minus)| {
                    let [low, high] = bounds[i];
                    if minus { [sum[0] - high, sum[1] - low] } else { [sum[0] + low, sum[1] + high] }
                })
            }
            Layer::Product if node.inputs[0] == node.inputs[1] => {
                let top = x[0].abs().max(x[1].abs());
                let least = if x[0] <= 0.0 && x[1] >= 0.0 { 0.0 } else { x[0].abs().min(x[1].abs()) };
                [least * least, top * top]
            }
            Layer::Product => times(x, bounds[node.inputs[1]]),
            Layer::Concat { .. } => node.inputs.iter().map(|&i| bounds[i]).fold(x, hull),
            _ => bound(node, graph.nodes[node.inputs.first().copied().unwrap_or(0)].shape.as_slice(), x),
        });
    }
    bounds
}

fn hull(a: [f64; 2], b: [f64; 2]) -> [f64; 2] {
    [a[0].min(b[0]), a[1].max(b[1])]
}

fn times(a: [f64; 2], b: [f64; 2]) -> [f64; 2] {
    let ends = [a[0] * b[0], a[0] * b[1], a[1] * b[0], a[1] * b[1]];
    ends.iter().fold([f64::INFINITY, f64::NEG_INFINITY], |r, &v| hull(r, [v, v]))
}

/// Interval bound of a layer with one operand.
fn bound(node: &Node, shape: &[usize], x: [f64; 2]) -> [f64; 2] {
    match &node.layer {
        Layer::Conv { window, weight, bias, .. } => {
            let x = if window.pads == [0; 4] { x } else { hull(x, [0.0; 2]) };
            rows(weight, bias, x)
        }
        Layer::Dense { weight, bias } => rows(weight, bias, x),
        Layer::Affine { factor, addend } => {
            let extent = |t: &Option<std::sync::Arc<Tensor>>, default: f64| match t {
                Some(t) => t
                    .data()
                    .iter()
                    .fold([f64::INFINITY, f64::NEG_INFINITY], |r, &v| hull(r, [f64::from(v); 2])),
                None => [default; 2],
            };
            let (product, a) = (times(x, extent(factor, 1.0)), extent(addend, 0.0));
            [product[0] + a[0], product[1] + a[1]]
        }
        Layer::PublicAffine { factor, addend } => {
            let [low, high] = times(x, [f64::from(*factor); 2]);
            [low + f64::from(*addend), high + f64::from(*addend)]
        }
        Layer::AveragePool { window, factor } => {
            let most = factor.iter().fold(0f64, |a, &f| a.max(f64::from(f)));
            // The largest share of a window times its values; padding adds zeros.
            let taps = window.taps().min(shape[2] * shape[3]) as f64;
            let share = most * taps;
            let x = if window.pads == [0; 4] { x } else { hull(x, [0.0; 2]) };
            if share <= 1.0 + 1e-6 { x } else { hull([x[0] * share, x[1] * share], x) }
        }
        Layer::Relu => [x[0].max(0.0), x[1].max(0.0)],
        Layer::Clamp { low, high } => x.map(|v| v.max(f64::from(*low)).min(f64::from(*high))),
        Layer::LeakyRelu { slope } => leaky(x, [f64::from(*slope); 2]),
        Layer::PRelu { slope } => {
            let seen = |r, v: &f32| hull(r, [f64::from(*v); 2]);
            leaky(x, slope.data().iter().fold([f64::INFINITY, f64::NEG_INFINITY], seen))
        }
        Layer::Sigmoid => x.map(|v| 1.0 / (1.0 + (-v).exp())),
        Layer::Tanh => x.map(f64::tanh),
        Layer::Softmax { log: false, .. } => [0.0, 1.0],
        Layer::Softmax { log: true, .. } => [x[0] - x[1] - 20.0, 0.0],
        Layer::ArgMax { axis, .. } => [0.0, shape[*axis] as f64 - 1.0],
        Layer::Pad { value, .. } => hull(x, [f64::from(*value); 2]),
        Layer::Constant(t) => t.data().iter().fold([0.0; 2], |r, &v| hull(r, [f64::from(v); 2])),
        _ => x,
    }
}

fn leaky(x: [f64; 2], slope: [f64; 2]) -> [f64; 2] {
    let below = times([x[0].min(0.0), x[1].min(0.0)], slope);
    let above = [x[0].max(0.0), x[1].max(0.0)];
    if x[0] >= 0.0 {
        above
    } else if x[1] < 0.0 {
        below
    } else {
        hull(below, above)
    }
}

/// The largest and smallest sum of a row of weights over operands in `x`.
fn rows(weight: &Tensor, bias: &Tensor, x: [f64; 2]) -> [f64; 2] {
    use rayon::prelude::*;
    let each = (weight.data().len() / bias.data().len()).max(1);
    let row = |(row, &b): (&[f32], &f32)| {
        let (mut low, mut high) = (f64::from(b), f64::from(b));
        for &w in row {
            let w = f64::from(w);
            let (a, b) = (w * x[0], w * x[1]);
            low += a.min(b);
            high += a.max(b);
        }
        [low, high]
    };
    let none = || [f64::INFINITY, f64::NEG_INFINITY];
    weight.data().par_chunks(each).zip(bias.data()).map(row).reduce(none, hull)
}
