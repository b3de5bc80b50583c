//! The whole network as one circuit: a walk over the fixed-point graph, generic over the interpreter.

use garble::gates::Gates;
use garble::word::Word;
use model::fixed::{FixedGraph, Node, NodeId, Op, ParamId};

use super::dots::Dots;
use super::elementwise;
use super::linear::Layer;
use super::pool;
use super::products::open;
use super::split::Split;
use super::weights::Weights;
use super::zeros::{InputSum, settle};
use crate::handshake::Reveal;

/// Told before each node, for meters, progress and prices.
pub trait Observer<G> {
    /// A node is about to be computed.
    fn node(&mut self, gates: &G, node: &Node);
}

impl<G> Observer<G> for () {
    fn node(&mut self, _gates: &G, _node: &Node) {}
}

/// Runs the graph as a circuit, without what the split takes out of it. `inputs` are the graph's inputs, lane i being element i; the result has one word for each
/// output, or the index of the largest score alone.
///
/// # Errors
/// When the stream of tables or of weights fails.
pub fn walk<G: Gates, W: Weights<G>>(
    gates: &mut G,
    (plan, split): (&FixedGraph, &Split),
    inputs: Vec<Word<G::Wires>>,
    weights: &mut W,
    reveal: Reveal,
    observer: &mut dyn Observer<G>,
) -> Result<Vec<Word<G::Wires>>, G::Error> {
    let mut tensors: Vec<Option<Word<G::Wires>>> = vec![None; plan.nodes.len()];
    // The graph's inputs need not stand in the order of its nodes.
    for (node, word) in plan.inputs.iter().zip(inputs) {
        tensors[*node] = Some(word);
    }
    let last_use = last_uses(plan);
    for (index, node) in plan.nodes.iter().enumerate() {
        observer.node(gates, node);
        if let Some(product) = split.product(index) {
            tensors[index] = Some(open(gates, weights, (plan, node), product)?);
        } else if !matches!(node.op, Op::Input) && split.wants(index) {
            let operands: Vec<Word<G::Wires>> =
                node.inputs.iter().map(|input| tensors[*input].clone().unwrap_or_default()).collect();
            tensors[index] = Some(compute(gates, plan, node, &operands, weights)?);
        }
        // The node itself is among them if nothing reads it.
        for dead in node.inputs.iter().chain([&index]).filter(|node| last_use[**node] == index) {
            tensors[*dead] = None;
        }
    }
    let outputs = plan.outputs.iter().map(|output| tensors[output.node].clone().unwrap_or_default());
    match reveal {
        Reveal::Scores => Ok(outputs.collect()),
        Reveal::Label => {
            let scores = outputs.into_iter().next().unwrap_or_default();
            Ok(vec![elementwise::arg_max_of_lanes(gates, &scores)?])
        }
    }
}

/// For each node the last one that reads it, itself if there is none; outputs are never dropped.
pub fn last_uses(plan: &FixedGraph) -> Vec<NodeId> {
    let mut last: Vec<NodeId> = (0..plan.nodes.len()).collect();
    for (index, node) in plan.nodes.iter().enumerate() {
        for input in &node.inputs {
            last[*input] = index;
        }
    }
    for output in &plan.outputs {
        last[output.node] = NodeId::MAX;
    }
    last
}

fn compute<G: Gates, W: Weights<G>>(
    gates: &mut G,
    plan: &FixedGraph,
    node: &Node,
    operands: &[Word<G::Wires>],
    weights: &mut W,
) -> Result<Word<G::Wires>, G::Error> {
    let Some(x) = operands.first() else { return Ok(elementwise::movement(gates, plan, node, operands)) };
    match &node.op {
        Op::Conv { weight, bias, shift, .. } | Op::Dense { weight, bias, shift } => {
            match Dots::of(plan, node) {
                Some(dots) => {
                    let input = plan.nodes[node.inputs[0]].format.bits;
                    let dots = settle(dots, input, plan.params[*weight].bits);
                    layer(plan, node, &dots, (*weight, *bias), shift).run(gates, weights, x)
                }
                None => Ok(Word::default()),
            }
        }
        Op::AveragePool { window, factor, shift } => {
            pool::average(gates, (plan, node), window, factor, *shift, x)
        }
        Op::MaxPool { window } => pool::max(gates, (plan, node), window, x),
        Op::Reshape
        | Op::Transpose { .. }
        | Op::Slice { .. }
        | Op::Concat { .. }
        | Op::Pad { .. }
        | Op::Expand => Ok(elementwise::movement(gates, plan, node, operands)),
        _ => elementwise::compute(gates, plan, node, operands, weights),
    }
}

/// A linear layer with accumulators wide enough for any weights and inputs of their formats.
fn layer<'a>(
    plan: &'a FixedGraph,
    node: &'a Node,
    dots: &'a (Dots, Vec<InputSum>),
    (weight, bias): (ParamId, ParamId),
    shift: &'a [u32],
) -> Layer<'a> {
    let input = plan.nodes[node.inputs[0]].format.bits;
    let (weight_bits, bias_bits) = (plan.params[weight].bits, plan.params[bias].bits);
    let products = input + weight_bits + dots.0.terms.next_power_of_two().trailing_zeros();
    Layer {
        dots,
        weight: (weight, weight_bits),
        bias: (bias, bias_bits),
        shift,
        // One bit for the bias, one for the doubling, one for the unit that makes weights odd.
        accumulator: products.max(bias_bits) as usize + 3,
        bits: node.format.bits,
    }
}
