//! Linear operations as rows: each element of a result is a sum of weighted elements and a constant.

use model::fixed::{FixedGraph, Node, Op, ParamId, Params, Window};
use model::movement::{Source, sources};

use super::supported;
use crate::error::Error;

/// One element of a linear operation's result.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    /// Operand, element of it, weight.
    pub terms: Vec<(usize, usize, i128)>,
    /// What is added.
    pub constant: i128,
}

/// The public size of a node's work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// An input of the graph.
    Input,
    /// Elements are moved or constant.
    Move,
    /// Sums of at most so many terms, with weights of at most so many bits (their magnitude's base-2 logarithm).
    Linear { terms: u64, log2_weight: f64 },
    /// A product of two tensors.
    Product { square: bool },
}

/// What a plan needs to know of a graph: nothing of it depends on weights.
pub(super) struct Shape {
    /// Each node: its operands, its elements, its kind.
    pub nodes: Vec<(Vec<usize>, u64, Kind)>,
    /// The nodes that are outputs.
    pub outputs: Vec<usize>,
}

impl Shape {
    /// The shape of a graph.
    ///
    /// # Errors
    /// [`Error::Refused`] for an operation that ciphertexts cannot do.
    pub fn of(graph: &FixedGraph) -> Result<Self, Error> {
        supported(graph)?;
        let nodes = graph.nodes.iter().map(|node| {
            let elements = node.shape.iter().product::<usize>() as u64;
            (node.inputs.clone(), elements, kind(graph, node))
        });
        Ok(Self { nodes: nodes.collect(), outputs: graph.outputs.iter().map(|output| output.node).collect() })
    }

    /// Elements of each product of tensors, in order.
    pub fn products(&self) -> Vec<u64> {
        let product =
            |(_, elements, kind): &(_, u64, Kind)| matches!(kind, Kind::Product { .. }).then_some(*elements);
        self.nodes.iter().filter_map(product).collect()
    }

    /// Products of a ciphertext and a scalar.
    pub fn terms(&self) -> u64 {
        let terms = |(_, elements, kind): &(_, u64, Kind)| match kind {
            Kind::Linear { terms, .. } => terms.saturating_mul(*elements),
            _ => 0,
        };
        self.nodes.iter().map(terms).fold(0, u64::saturating_add)
    }

    /// The most elements that are alive at one time.
    pub fn alive(&self) -> usize {
        let mut last = vec![0; self.nodes.len()];
        for (id, (operands, ..)) in self.nodes.iter().enumerate() {
            operands.iter().for_each(|operand| last[*operand] = id);
        }
        self.outputs.iter().for_each(|output| last[*output] = self.nodes.len());
        let alive = |id: usize| {
            let nodes = self.nodes[..=id].iter().zip(&last);
            nodes
                .filter(|(_, last)| **last >= id)
                .map(|((_, elements, _), _)| *elements as usize)
                .sum::<usize>()
        };
        (0..self.nodes.len()).map(alive).max().unwrap_or(0)
    }
}

fn kind(graph: &FixedGraph, node: &Node) -> Kind {
    let bits = |id: ParamId| graph.params.get(id).map_or(0.0, |info| f64::from(info.bits) - 1.0);
    let per_row = |id: ParamId| {
        let shape = graph.params.get(id).map_or(&[][..], |info| info.shape.as_slice());
        shape.iter().skip(1).product::<usize>() as u64
    };
    let log2 = |value: i64| (value.unsigned_abs().max(1) as f64).log2();
    match &node.op {
        Op::Input => Kind::Input,
        Op::Product { .. } => {
            Kind::Product { square: node.inputs.first() == node.inputs.get(1) || node.inputs.len() == 1 }
        }
        Op::Conv { weight, .. } | Op::Dense { weight, .. } => {
            Kind::Linear { terms: per_row(*weight), log2_weight: bits(*weight) }
        }
        Op::Affine { weight, left, .. } => {
            Kind::Linear { terms: 1, log2_weight: weight.map_or(f64::from(*left), bits) }
        }
        Op::PublicAffine { factor, .. } => Kind::Linear { terms: 1, log2_weight: log2(*factor) },
        Op::Sum { terms, .. } => {
            let left = terms.iter().map(|term| term.left).max().unwrap_or(0);
            Kind::Linear { terms: terms.len() as u64, log2_weight: f64::from(left) }
        }
        Op::AveragePool { window, factor, .. } => {
            let largest = factor.iter().map(|factor| log2(*factor)).fold(0.0, f64::max);
            Kind::Linear { terms: (window.kernel[0] * window.kernel[1]) as u64, log2_weight: largest }
        }
        _ => Kind::Move,
    }
}

/// The rows of a node that is linear or moves elements; none for an input or a product. The graph and the parameters fit
/// together.
pub(super) fn rows(graph: &FixedGraph, params: &Params, node: &Node) -> Vec<Row> {
    let param = |id: ParamId, index: usize| params.tensors[id].get_wide(index);
    let shape = |operand: usize| graph.nodes[node.inputs[operand]].shape.as_slice();
    let count: usize = node.shape.iter().product();
    match &node.op {
        Op::Input | Op::Product { .. } => Vec::new(),
        Op::Conv { window, groups, weight, bias, .. } => {
            let per_row: usize = graph.params[*weight].shape.iter().skip(1).product();
            let (x, plane) = (shape(0), node.shape[2] * node.shape[3]);
            let inside = x[1] / groups;
            let row = |element: usize| {
                let (channel, position) = (element / plane % node.shape[1], element % plane);
                let image = element / plane / node.shape[1];
                let first = image * x[1] + channel / (node.shape[1] / groups) * inside;
                let taps = taps(window, x, node.shape[3], position);
                let terms = (0..inside).flat_map(|c| {
                    let weight = *weight;
                    taps.iter().map(move |(tap, at)| {
                        let index = channel * per_row + c * window.kernel[0] * window.kernel[1] + tap;
                        (0, (first + c) * x[2] * x[3] + at, param(weight, index))
                    })
                });
                Row { terms: terms.collect(), constant: param(*bias, channel) }
            };
            (0..count).map(row).collect()
        }
        Op::Dense { weight, bias, .. } => {
            let (inside, outside) = (graph.params[*weight].shape[1], graph.params[*weight].shape[0]);
            let row = |element: usize| {
                let (line, out) = (element / outside, element % outside);
                let terms = (0..inside).map(|i| (0, line * inside + i, param(*weight, out * inside + i)));
                Row { terms: terms.collect(), constant: param(*bias, out) }
            };
            (0..count).map(row).collect()
        }
        Op::Affine { weight, left, bias, .. } => {
            let broadcast = |id: ParamId| broadcast(&graph.params[id].shape, &node.shape);
            let (factors, addends) = (weight.map(|id| (id, broadcast(id))), broadcast(*bias));
            let row = |element: usize| {
                let factor = factors.as_ref().map_or(1 << left, |(id, index)| param(*id, index[element]));
                Row { terms: vec![(0, element, factor)], constant: param(*bias, addends[element]) }
            };
            (0..count).map(row).collect()
        }
        Op::PublicAffine { factor, addend, .. } => (0..count)
            .map(|element| Row {
                terms: vec![(0, element, i128::from(*factor))],
                constant: i128::from(*addend),
            })
            .collect(),
        Op::Sum { terms, .. } => {
            let row = |element: usize| {
                let weight = |term: &model::fixed::Term| {
                    if term.negative { -(1 << term.left) } else { 1 << term.left }
                };
                let terms = terms.iter().enumerate().map(|(operand, term)| (operand, element, weight(term)));
                Row { terms: terms.collect(), constant: 0 }
            };
            (0..count).map(row).collect()
        }
        Op::AveragePool { window, factor, .. } => {
            let (x, plane) = (shape(0), node.shape[2] * node.shape[3]);
            let row = |element: usize| {
                let position = element % plane;
                let factor = i128::from(if factor.len() == 1 { factor[0] } else { factor[position] });
                let start = element / plane * x[2] * x[3];
                let taps = taps(window, x, node.shape[3], position);
                Row { terms: taps.iter().map(|(_, at)| (0, start + at, factor)).collect(), constant: 0 }
            };
            (0..count).map(row).collect()
        }
        _ => {
            let row = |source: Source| match source {
                Source::Element { operand, index } => Row { terms: vec![(operand, index, 1)], constant: 0 },
                Source::Constant(value) => Row { terms: Vec::new(), constant: i128::from(value) },
            };
            sources(graph, node).into_iter().map(row).collect()
        }
    }
}

/// The taps of a window at a position that lie in the plane: their number, and the element of the plane.
fn taps(window: &Window, x: &[usize], width: usize, position: usize) -> Vec<(usize, usize)> {
    let [top, left] = [position / width * window.stride[0], position % width * window.stride[1]];
    let mut found = Vec::new();
    for tap in 0..window.kernel[0] * window.kernel[1] {
        let [down, right] = [tap / window.kernel[1], tap % window.kernel[1]];
        let row = (top + down * window.dilation[0]).checked_sub(window.pads[0]);
        let column = (left + right * window.dilation[1]).checked_sub(window.pads[1]);
        if let (Some(row), Some(column)) = (row, column)
            && row < x[2]
            && column < x[3]
        {
            found.push((tap, row * x[3] + column));
        }
    }
    found
}

/// For each element of `out` the element of a tensor of `shape` that is broadcast to it.
fn broadcast(shape: &[usize], out: &[usize]) -> Vec<usize> {
    let skip = out.len().saturating_sub(shape.len());
    let one = |element: usize| {
        let (mut rest, mut index, mut step) = (element, 0, 1);
        for axis in (0..out.len()).rev() {
            let at = rest % out[axis];
            rest /= out[axis];
            if axis >= skip {
                let own = shape[axis - skip];
                index += if own == 1 { 0 } else { at * step };
                step *= own;
            }
        }
        index
    };
    (0..out.iter().product()).map(one).collect()
}
