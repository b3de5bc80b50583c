//! Which layers of a plan are computed by transfers instead of gates, and what is left for the circuit.
//!
//! A linear layer whose operand the client can compute alone, from its input and what is public, is a product of a
//! matrix that only the server knows and a vector that only the client knows. [`super::products`] makes additive shares of its sums,
//! which enter the circuit instead of the operand. Both parties derive the split from the plan.

use model::fixed::{FixedGraph, Node, NodeId, Op, Output, ParamId, Params, Post};
use model::reference;

use super::dots::Dots;
use super::options::{FirstLayer, Options, Part};
use crate::error::Error;

/// Most bits of an accumulator: sums are kept in 64-bit words.
const MOST_BITS: u32 = 62;

/// Most results of all products together: shares are in memory, some 16 bytes a result. What is beyond goes into the circuit.
const MOST_RESULTS: usize = 1 << 22;

/// A linear layer that is computed by transfers.
pub struct Product {
    /// The layer's node.
    pub node: NodeId,
    /// What it reads, known to the client.
    pub operand: NodeId,
    /// Its weights, and their width.
    pub weight: ParamId,
    /// Width of the weights.
    pub weight_bits: u32,
    /// Its biases, one a row.
    pub bias: ParamId,
    /// Right shift of each row's sum (one entry for all, or one a row).
    pub shift: Vec<u32>,
    /// Width of the sums: wide enough for any weights, biases and inputs of their formats.
    pub bits: u32,
    /// Which inputs and weights meet.
    pub dots: Dots,
}

/// A plan's layers by transfers.
#[derive(Default)]
pub struct Split {
    /// The layers, in the plan's order.
    pub products: Vec<Product>,
    /// Whether garbler and evaluator have a share of the input each.
    pub shared: bool,
    /// For each node whether the circuit needs it; all of them where this is empty.
    wanted: Vec<bool>,
}

impl Split {
    /// Derives the split of a validated plan.
    pub fn of(plan: &FixedGraph, first: FirstLayer) -> Self {
        if first == FirstLayer::Garbled {
            return Self::default();
        }
        let public = public_nodes(plan);
        let mut products: Vec<Product> =
            (0..plan.nodes.len()).filter_map(|id| Product::of(plan, id, &public)).collect();
        let wanted = wanted_nodes(plan, &products);
        products.retain(|product| wanted[product.node]);
        let mut results = 0usize;
        let kept = products.iter().take_while(|product| {
            results = results.saturating_add(product.elements());
            results <= MOST_RESULTS
        });
        let kept = kept.count();
        if kept < products.len() {
            products.truncate(kept);
            let wanted = wanted_nodes(plan, &products);
            return Self { products, shared: false, wanted };
        }
        Self { products, shared: false, wanted }
    }

    /// The split of a session.
    pub fn agreed(plan: &FixedGraph, options: Options) -> Self {
        match options.part {
            Part::Client => Self::of(plan, options.first_layer),
            // Nobody has the input whole.
            Part::Holder | Part::Garbler => Self { shared: true, ..Self::default() },
        }
    }

    /// The layer of a node and its number, if it is computed by transfers.
    pub fn product(&self, node: NodeId) -> Option<(usize, &Product)> {
        let number = self.products.binary_search_by_key(&node, |product| product.node).ok()?;
        Some((number, self.products.get(number)?))
    }

    /// Whether the circuit computes a node or reads it as an input.
    pub fn wants(&self, node: NodeId) -> bool {
        self.wanted.get(node).copied().unwrap_or(true)
    }

    /// The operands of the products, computed by the client from its input.
    ///
    /// # Errors
    /// When the plan breaks a rule of the reference.
    pub fn operands(&self, plan: &FixedGraph, input: &[Vec<i64>]) -> Result<Vec<Vec<i64>>, Error> {
        let mut needed = vec![false; plan.nodes.len()];
        for product in &self.products {
            needed[product.operand] = true;
        }
        for id in (0..plan.nodes.len()).rev().filter(|id| needed[*id]).collect::<Vec<_>>() {
            mark_operands(plan, id, &mut needed);
        }
        let mut places = vec![0; plan.nodes.len()];
        let mut prefix = FixedGraph {
            number: plan.number,
            nodes: Vec::new(),
            params: Vec::new(),
            inputs: Vec::new(),
            input_levels: Vec::new(),
            result_bits: Vec::new(),
            outputs: Vec::new(),
        };
        for (id, node) in plan.nodes.iter().enumerate() {
            if needed[id] {
                places[id] = prefix.nodes.len();
                let inputs = node.inputs.iter().map(|input| places[*input]).collect();
                prefix.nodes.push(Node { inputs, ..node.clone() });
            }
        }
        let given = plan.inputs.iter().zip(input).filter(|(id, _)| needed[**id]);
        let (inputs, values): (Vec<NodeId>, Vec<Vec<i64>>) =
            given.map(|(id, values)| (places[*id], values.clone())).unzip();
        prefix.inputs = inputs;
        prefix.outputs = self.products.iter().map(|p| output(places[p.operand])).collect();
        let computed = reference::trace(&prefix, &Params { tensors: Vec::new() }, &values, |_, _| {});
        computed.map_err(|error| Error::Refused(error.to_string()))
    }
}

fn output(node: NodeId) -> Output {
    Output { name: String::new(), node, post: Post::None }
}

/// Marks what a marked node reads, and what that reads.
fn mark_operands(plan: &FixedGraph, id: NodeId, marked: &mut [bool]) {
    let mut waiting = vec![id];
    while let Some(id) = waiting.pop() {
        for input in &plan.nodes[id].inputs {
            if !std::mem::replace(&mut marked[*input], true) {
                waiting.push(*input);
            }
        }
    }
}

/// The nodes that follow from the inputs without any secret of the server.
fn public_nodes(plan: &FixedGraph) -> Vec<bool> {
    let mut public: Vec<bool> = Vec::with_capacity(plan.nodes.len());
    for node in &plan.nodes {
        let secret =
            matches!(node.op, Op::Conv { .. } | Op::Dense { .. } | Op::Affine { .. } | Op::PRelu { .. });
        public
            .push(!secret && node.format.bits <= MOST_BITS && node.inputs.iter().all(|input| public[*input]));
    }
    public
}

/// The nodes that the circuit needs for the outputs, if products read nothing.
fn wanted_nodes(plan: &FixedGraph, products: &[Product]) -> Vec<bool> {
    let mut wanted = vec![false; plan.nodes.len()];
    for output in &plan.outputs {
        wanted[output.node] = true;
    }
    for (id, node) in plan.nodes.iter().enumerate().rev() {
        if wanted[id] && products.binary_search_by_key(&id, |product| product.node).is_err() {
            for input in &node.inputs {
                wanted[*input] = true;
            }
        }
    }
    wanted
}

impl Product {
    /// The product that a node is, if it is one and its sums are narrow enough.
    fn of(plan: &FixedGraph, id: NodeId, public: &[bool]) -> Option<Self> {
        let node = plan.nodes.get(id)?;
        let (Op::Conv { weight, bias, shift, .. } | Op::Dense { weight, bias, shift }) = &node.op else {
            return None;
        };
        let operand = *node.inputs.first()?;
        let dots = Dots::of(plan, node).filter(|_| public[operand])?;
        let (weight_bits, bias_bits) = (plan.params.get(*weight)?.bits, plan.params.get(*bias)?.bits);
        // A product of two numbers in two's complement, the sum of so many, and the bias.
        let products = plan.nodes[operand].format.bits + weight_bits - 1
            + dots.terms.next_power_of_two().trailing_zeros();
        let bits = products.max(bias_bits) + 1;
        let (weight, bias, shift) = (*weight, *bias, shift.clone());
        (bits <= MOST_BITS).then_some(Self {
            node: id,
            operand,
            weight,
            weight_bits,
            bias,
            shift,
            bits,
            dots,
        })
    }

    /// The shift of a row.
    pub fn shift(&self, row: usize) -> u32 {
        self.shift.get(row).or(self.shift.first()).copied().unwrap_or(0)
    }

    /// Weights that are not known to be zero, those that meet padding alone included.
    pub fn weights(&self) -> usize {
        self.dots.weights()
    }

    /// Results.
    pub fn elements(&self) -> usize {
        self.dots.rows * self.dots.positions
    }

    /// Transfers: one a bit of a weight.
    pub fn transfers(&self) -> u64 {
        self.weights() as u64 * u64::from(self.weight_bits)
    }
}

#[cfg(test)]
mod tests {
    use model::fixed::{Format, NumberFormat, ParamInfo, Window};

    use super::*;

    fn node(op: Op, inputs: &[NodeId], shape: &[usize]) -> Node {
        let format = Format { bits: 12, frac: 4 };
        Node { name: "n".into(), op, inputs: inputs.to_vec(), shape: shape.to_vec(), format }
    }

    fn plan() -> FixedGraph {
        let window = Window { kernel: [2, 2], stride: [2, 2], dilation: [1, 1], pads: [0; 4] };
        let dense = |weight| Op::Dense { weight, bias: weight + 1, shift: vec![3] };
        let param =
            |shape: &[usize]| ParamInfo { name: "p".into(), shape: shape.to_vec(), bits: 8, support: None };
        FixedGraph {
            number: NumberFormat::Word16,
            nodes: vec![
                node(Op::Input, &[], &[1, 1, 4, 4]),
                node(Op::AveragePool { window, factor: vec![1024], shift: 12 }, &[0], &[1, 1, 2, 2]),
                node(Op::Reshape, &[1], &[1, 4]),
                node(dense(0), &[2], &[1, 3]),
                node(Op::Relu, &[3], &[1, 3]),
                node(dense(2), &[4], &[1, 3]),
                node(Op::Relu, &[2], &[1, 4]),
            ],
            params: vec![param(&[3, 4]), param(&[3]), param(&[3, 3]), param(&[3])],
            inputs: vec![0],
            input_levels: Vec::new(),
            result_bits: Vec::new(),
            outputs: vec![output(5)],
        }
    }

    #[test]
    fn the_first_linear_layer_is_one_and_its_prefix_is_the_clients() {
        let plan = plan();
        let split = Split::of(&plan, FirstLayer::Ot);
        let nodes: Vec<NodeId> = split.products.iter().map(|product| product.node).collect();
        assert_eq!(nodes, [3]);
        // 12 + 8 - 1 + 2 for four products, and the bias.
        assert_eq!(split.products[0].bits, 22);
        let wanted: Vec<bool> = (0..7).map(|id| split.wants(id)).collect();
        assert_eq!(wanted, [false, false, false, true, true, true, false]);
        let operands = split.operands(&plan, &[(0..16).collect()]).expect("the prefix runs");
        // Means of 2 x 2 pixels, a quarter as 1024 / 4096, rounded up at one half.
        assert_eq!(operands, [[3, 5, 11, 13]]);
    }

    #[test]
    fn the_pure_form_has_none() {
        let split = Split::of(&plan(), FirstLayer::Garbled);
        assert!(split.products.is_empty() && (0..7).all(|id| split.wants(id)));
        assert!(split.product(3).is_none());
    }
}
