//! Linear parts of a network: every element of a node as a weighted sum of elements of other nodes, and a constant.
//!
//! Layers between two products of tensors are linear; however many there are, and whatever moves data between them, they make one
//! matrix. Its elements are found by walking back from an output element to the sources.

use model::fixed::{FixedGraph, Node, NodeId, Op, ParamId, Params, Window};
use model::movement::{Source, sources};

use super::Refusal;

/// Walks linear nodes back to their sources.
pub(super) struct Affine<'a> {
    graph: &'a FixedGraph,
    /// The weights; without them every weight is one and constants are zero: the pattern.
    params: Option<&'a Params>,
    /// Nodes whose values are ciphertexts of their own.
    materialised: &'a [bool],
    /// Where the elements of moving nodes come from.
    moves: Vec<Vec<Source>>,
}

/// What a walk finds: a weighted element of a source, or a constant.
pub(super) trait Visit {
    /// `value +=  coefficient * element` of a source node.
    fn element(&mut self, source: NodeId, element: usize, coefficient: i128);
    /// `value += constant`.
    fn constant(&mut self, constant: i128);
}

impl<'a> Affine<'a> {
    pub(super) fn new(graph: &'a FixedGraph, params: Option<&'a Params>, materialised: &'a [bool]) -> Self {
        let moves = graph
            .nodes
            .iter()
            .map(|node| match node.op {
                Op::Reshape => Vec::new(),
                _ if node.op.movement().is_some() => sources(graph, node),
                _ => Vec::new(),
            })
            .collect();
        Self { graph, params, materialised, moves }
    }

    fn param(&self, id: ParamId, index: usize) -> i128 {
        match self.params {
            Some(params) => params.tensors[id].get_wide(index),
            None => 1,
        }
    }

    fn bias(&self, id: ParamId, index: usize) -> i128 {
        if self.params.is_some() { self.param(id, index) } else { 0 }
    }

    /// Finds what element `element` of a node is, as its operation says, times `coefficient`. The node's own
    /// operation is looked at even where it is materialised; its operands' only where they are not.
    pub(super) fn walk(&self, id: NodeId, element: usize, coefficient: i128, visit: &mut dyn Visit) {
        let node = &self.graph.nodes[id];
        match &node.op {
            Op::Conv { window, groups, weight, bias, .. } => {
                let out = planes(&node.shape);
                let map = element / out.1 % out.0;
                visit.constant(coefficient.wrapping_mul(self.bias(*bias, map)));
                let channels = planes(&self.graph.nodes[node.inputs[0]].shape).0 / groups;
                let (maps, taps) = (out.0 / groups, window.kernel[0] * window.kernel[1]);
                let first = element / (out.0 * out.1) * channels * groups;
                self.window(node, window, element, |plane, tap, index| {
                    for channel in 0..channels {
                        let value = self.param(*weight, (map * channels + channel) * taps + tap);
                        let source = (first + map / maps * channels + channel) * plane + index;
                        self.step(node.inputs[0], source, coefficient.wrapping_mul(value), visit);
                    }
                });
            }
            Op::AveragePool { window, factor, .. } => {
                let out = planes(&node.shape);
                let factor = factor[if factor.len() == 1 { 0 } else { element % out.1 }];
                let channel = element / out.1;
                self.window(node, window, element, |plane, _, index| {
                    let coefficient = coefficient.wrapping_mul(i128::from(factor));
                    self.step(node.inputs[0], channel * plane + index, coefficient, visit);
                });
            }
            Op::Dense { weight, bias, .. } => {
                let width = self.graph.nodes[node.inputs[0]].shape.last().copied().unwrap_or(1);
                let outputs = node.shape.last().copied().unwrap_or(1);
                let (row, output) = (element / outputs, element % outputs);
                visit.constant(coefficient.wrapping_mul(self.bias(*bias, output)));
                for input in 0..width {
                    let value = self.param(*weight, output * width + input);
                    self.step(node.inputs[0], row * width + input, coefficient.wrapping_mul(value), visit);
                }
            }
            _ => self.walk_elementwise(node, id, element, coefficient, visit),
        }
    }

    fn walk_elementwise(
        &self,
        node: &Node,
        id: NodeId,
        element: usize,
        coefficient: i128,
        visit: &mut dyn Visit,
    ) {
        match &node.op {
            Op::Affine { weight, left, bias, .. } => {
                let at = |param: ParamId| broadcast(&self.graph.params[param].shape, &node.shape, element);
                visit.constant(coefficient.wrapping_mul(self.bias(*bias, at(*bias))));
                let factor = weight.map_or(1 << left, |weight| self.param(weight, at(weight)));
                self.step(node.inputs[0], element, coefficient.wrapping_mul(factor), visit);
            }
            Op::PublicAffine { factor, addend, .. } => {
                visit.constant(coefficient.wrapping_mul(i128::from(*addend)));
                self.step(node.inputs[0], element, coefficient.wrapping_mul(i128::from(*factor)), visit);
            }
            Op::Sum { terms, .. } => {
                for (input, term) in node.inputs.iter().zip(terms) {
                    let factor = if term.negative { -(1i128 << term.left) } else { 1 << term.left };
                    self.step(*input, element, coefficient.wrapping_mul(factor), visit);
                }
            }
            Op::Constant { values } => visit.constant(coefficient.wrapping_mul(i128::from(values[element]))),
            Op::Reshape => self.step(node.inputs[0], element, coefficient, visit),
            _ => match self.moves[id].get(element) {
                Some(Source::Element { operand, index }) => {
                    self.step(node.inputs[*operand], *index, coefficient, visit);
                }
                Some(Source::Constant(value)) => {
                    visit.constant(coefficient.wrapping_mul(i128::from(*value)));
                }
                None => {}
            },
        }
    }

    fn step(&self, id: NodeId, element: usize, coefficient: i128, visit: &mut dyn Visit) {
        if self.materialised[id] {
            visit.element(id, element, coefficient);
        } else {
            self.walk(id, element, coefficient, visit);
        }
    }

    /// Calls `visit` with the size of an input plane, each tap and its place in the plane.
    fn window(
        &self,
        node: &Node,
        window: &Window,
        element: usize,
        mut visit: impl FnMut(usize, usize, usize),
    ) {
        let (from, to) = (&self.graph.nodes[node.inputs[0]].shape, &node.shape);
        let [height, width] = last_two(from);
        let [_, columns] = last_two(to);
        let plane = element % planes(to).1;
        let at = [plane / columns, plane % columns];
        let place = |axis: usize, tap: usize, size: usize| {
            let index = (at[axis] * window.stride[axis] + tap * window.dilation[axis])
                .checked_sub(window.pads[axis])?;
            (index < size).then_some(index)
        };
        for row in 0..window.kernel[0] {
            let Some(y) = place(0, row, height) else { continue };
            for column in 0..window.kernel[1] {
                let Some(x) = place(1, column, width) else { continue };
                visit(height * width, row * window.kernel[1] + column, y * width + x);
            }
        }
    }
}

/// Height and width of an `[N, C, H, W]` shape.
fn last_two(shape: &[usize]) -> [usize; 2] {
    let size = |back: usize| shape.len().checked_sub(back).map_or(1, |axis| shape[axis]);
    [size(2), size(1)]
}

/// Channels, and elements of a plane, of an `[N, C, H, W]` shape.
fn planes(shape: &[usize]) -> (usize, usize) {
    let [height, width] = last_two(shape);
    (shape.get(1).copied().unwrap_or(1).max(1), height * width)
}

/// The element of a small tensor that meets an element of a large one, broadcast as in ONNX.
fn broadcast(small: &[usize], large: &[usize], element: usize) -> usize {
    let (mut rest, mut index, mut stride) = (element, 0, 1);
    for axis in 0..large.len() {
        let position = rest % large[large.len() - 1 - axis];
        rest /= large[large.len() - 1 - axis];
        if let Some(size) = small.len().checked_sub(axis + 1).map(|axis| small[axis]) {
            if size > 1 {
                index += position * stride;
            }
            stride *= size;
        }
    }
    index
}

/// Refuses what cannot be computed under encryption.
pub(super) fn check_node(graph: &FixedGraph, id: NodeId) -> Result<(), Refusal> {
    let node = &graph.nodes[id];
    let refuse = |reason: &str| Err(Refusal::Layer { name: node.name.clone(), reason: reason.into() });
    let unsupported = "under encryption only sums, products and moves of data can be computed: use squares or other \
                       polynomials for activations and averages for pools, or another protocol";
    let shifts = match &node.op {
        Op::Input | Op::Constant { .. } => Vec::new(),
        Op::Conv { shift, .. } | Op::Dense { shift, .. } => shift.clone(),
        Op::Affine { shift, .. }
        | Op::PublicAffine { shift, .. }
        | Op::Sum { shift, .. }
        | Op::Product { shift }
        | Op::AveragePool { shift, .. } => vec![*shift],
        op if op.movement().is_some() => Vec::new(),
        _ => return refuse(unsupported),
    };
    if shifts.iter().any(|shift| *shift != 0) {
        return refuse("it drops low bits, which cannot be done under encryption");
    }
    if let Op::AveragePool { factor, .. } = &node.op {
        let plane = planes(&node.shape).1;
        if factor.len() != 1 && factor.len() != plane {
            return refuse("an average without a factor for each position");
        }
    }
    Ok(())
}
