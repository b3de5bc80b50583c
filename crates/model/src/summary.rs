//! A network for people to read: what `oribi inspect` shows.

use serde::Serialize;

use crate::fixed::{FixedGraph, Format, NumberFormat, Op, Post};
use crate::graph::Graph;
use crate::ranges::Ranges;

/// A network at a glance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The model's name for itself.
    pub name: String,
    /// Number of weights.
    pub parameters: u64,
    /// Multiplications of one prediction.
    pub products: u64,
    /// How integers behave, where the network is quantised.
    pub number: Option<NumberFormat>,
    /// The inputs' names and shapes.
    pub inputs: Vec<End>,
    /// The outputs' names and shapes.
    pub outputs: Vec<End>,
    /// The layers in order, inputs among them.
    pub layers: Vec<LayerSummary>,
}

/// An input or output.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct End {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// What the client does with it in the clear, where it does something.
    pub post: Option<&'static str>,
}

/// A layer at a glance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerSummary {
    /// The node's name.
    pub name: String,
    /// What it computes.
    pub kind: &'static str,
    /// Shape of the result.
    pub shape: Vec<usize>,
    /// Number of weights.
    pub parameters: u64,
    /// Multiplications.
    pub products: u64,
    /// The result's range, where it was measured.
    pub range: Option<[f32; 2]>,
    /// Whether no input can leave that range.
    pub proven: Option<bool>,
    /// The result's format, where the network is quantised.
    pub format: Option<Format>,
}

/// Summarises a graph, with ranges and formats where there are some.
pub fn summary(graph: &Graph, ranges: Option<&Ranges>, fixed: Option<&FixedGraph>) -> Summary {
    let formats = fixed.map(formats);
    let layers = graph
        .nodes
        .iter()
        .enumerate()
        .map(|(id, node)| {
            let range = ranges.and_then(|r| r.nodes.get(id));
            LayerSummary {
                name: node.name.clone(),
                kind: node.layer.kind(),
                shape: node.shape.clone(),
                parameters: node.parameters(),
                products: graph.node_products(id),
                range: range.map(|r| [r.low, r.high]),
                proven: range.map(|r| r.proven),
                format: formats.as_ref().and_then(|f| f.get(id).copied()),
            }
        })
        .collect();
    let end = |name: &str, node: usize, post| End {
        name: name.to_owned(),
        shape: graph.nodes[node].shape.clone(),
        post,
    };
    let post = |p: Post| match p {
        Post::None => None,
        Post::Softmax { .. } => Some("softmax"),
        Post::LogSoftmax { .. } => Some("log-softmax"),
    };
    Summary {
        name: graph.name.clone(),
        parameters: graph.parameters(),
        products: graph.products(),
        number: fixed.map(|f| f.number),
        inputs: graph.inputs.iter().map(|&i| end(&graph.nodes[i].name, i, None)).collect(),
        outputs: graph.outputs.iter().map(|o| end(&o.name, o.node, post(o.post))).collect(),
        layers,
    }
}

/// The formats of a quantised graph's layers. Quantisation keeps the order of layers and adds sums of one term, which
/// bring an operand to another scale and belong to no layer.
fn formats(fixed: &FixedGraph) -> Vec<Format> {
    let added = |op: &Op| matches!(op, Op::Sum { terms, .. } if terms.len() == 1);
    fixed.nodes.iter().filter(|n| !added(&n.op)).map(|n| n.format).collect()
}
