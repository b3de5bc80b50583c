//! From trained variables back to a graph.

use std::sync::Arc;

use model::fixed::NodeId;
use model::graph::{Graph, Layer};

use super::{Network, Role, Step};
use crate::error::Error;

/// A quadratic as a square between scales: `a x^2 + b x + c = (s (x + d))^2 + e`.
#[derive(Clone, Copy, Debug)]
struct Square {
    scale: f32,
    shift: f32,
    addend: f32,
}

impl Square {
    /// Completes the square; `a` is positive.
    fn of(coefficients: &[f32]) -> Option<Self> {
        let [a, b, c] = *coefficients else { return None };
        let (a, b, c) = (f64::from(a), f64::from(b), f64::from(c));
        let shift = (b / (2.0 * a)) as f32;
        Some(Self { scale: a.sqrt() as f32, shift, addend: (c - b * b / (4.0 * a)) as f32 })
    }
}

impl Network {
    /// The graph with the trained weights. Quadratics become plain squares: shift and factor go into the linear layer before, what is
    /// added afterwards stays a scale of its own, which an import folds into the layer behind wherever that is exact. So nothing but
    /// the square is left for a protocol (DESIGN section 4).
    ///
    /// # Errors
    /// If memory is short.
    pub fn to_graph(&self) -> Result<Graph, Error> {
        let mut old = (*self.graph).clone();
        for (index, parameter) in self.parameters.iter().enumerate() {
            if parameter.role != Role::Quadratic {
                let values = model::Tensor::new(parameter.shape.clone(), self.values(index)?)?;
                put(&mut old.nodes[parameter.node].layer, parameter.role, values);
            }
        }
        let mut graph = Graph { name: old.name.clone(), ..Graph::default() };
        let mut squares = vec![None; old.nodes.len()];
        for (id, step) in self.steps.iter().enumerate() {
            if let Step::Quadratic(index) = step {
                let square = Square::of(&self.values(*index)?);
                squares[id] = square.map(|square| (square, into_layer_before(&mut old, id, square)));
            }
        }
        let mut places: Vec<NodeId> = Vec::with_capacity(old.nodes.len());
        for (id, node) in old.nodes.iter().enumerate() {
            let inputs: Vec<NodeId> = node.inputs.iter().map(|&i| places[i]).collect();
            let place = match (squares[id], &self.steps[id]) {
                (Some((square, folded)), _) => {
                    push_square(&mut graph, &node.name, inputs[0], square, folded)?
                }
                (None, Step::Pointwise(crate::ops::pointwise::Pointwise::Clamp { low, high }))
                    if high.is_finite() =>
                {
                    graph.push(&node.name, Layer::Clamp { low: *low, high: *high }, inputs, &node.shape)?
                }
                _ => graph.push(&node.name, node.layer.clone(), inputs, &node.shape)?,
            };
            places.push(place);
        }
        graph.inputs = old.inputs.iter().map(|&i| places[i]).collect();
        graph.outputs = old.outputs.clone();
        graph.outputs.iter_mut().for_each(|output| output.node = places[output.node]);
        Ok(graph)
    }
}

fn put(layer: &mut Layer, role: Role, values: model::Tensor) {
    let slot = match (layer, role) {
        (Layer::Conv { weight, .. } | Layer::Dense { weight, .. }, Role::Weight) => weight,
        (Layer::Conv { bias, .. } | Layer::Dense { bias, .. }, Role::Bias) => bias,
        (Layer::Affine { factor: Some(slot), .. }, Role::Factor) => slot,
        (Layer::Affine { addend: Some(slot), .. }, Role::Addend) => slot,
        (Layer::PRelu { slope }, Role::Slope) => slope,
        _ => return,
    };
    *slot = Arc::new(values);
}

/// Puts `s (x + d)` into the linear layer that makes x, through what only chooses or moves values (s is positive); says whether it could.
fn into_layer_before(graph: &mut Graph, id: NodeId, square: Square) -> bool {
    let uses = graph.uses();
    let mut at = graph.nodes[id].inputs[0];
    while uses[at] == 1 {
        match &mut graph.nodes[at].layer {
            Layer::MaxPool { .. } | Layer::Reshape | Layer::Transpose { .. } | Layer::Slice { .. } => {
                at = graph.nodes[at].inputs[0];
            }
            Layer::Conv { weight, bias, .. } | Layer::Dense { weight, bias } => {
                Arc::make_mut(weight).data_mut().iter_mut().for_each(|w| *w *= square.scale);
                Arc::make_mut(bias)
                    .data_mut()
                    .iter_mut()
                    .for_each(|b| *b = (*b + square.shift) * square.scale);
                return true;
            }
            _ => return false,
        }
    }
    false
}

fn push_square(
    graph: &mut Graph,
    name: &str,
    x: NodeId,
    square: Square,
    folded: bool,
) -> Result<NodeId, Error> {
    let number = |value: f32| Some(Arc::new(model::Tensor::vector(vec![value])));
    let x = if folded {
        x
    } else {
        let layer =
            Layer::Affine { factor: number(square.scale), addend: number(square.shift * square.scale) };
        graph.push(&format!("{name}.shifted"), layer, vec![x], &[])?
    };
    let product = graph.push(&format!("{name}.square"), Layer::Product, vec![x, x], &[])?;
    let layer = Layer::Affine { factor: None, addend: number(square.addend) };
    Ok(graph.push(name, layer, vec![product], &[])?)
}
