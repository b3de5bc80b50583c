//! What several targets use.

use std::sync::OnceLock;

use model::fixed::{FixedGraph, Format, Node, NumberFormat, Op, Output, Post};

/// A square and a ReLU of four inputs.
pub fn graph() -> &'static FixedGraph {
    static GRAPH: OnceLock<FixedGraph> = OnceLock::new();
    GRAPH.get_or_init(|| {
        let node = |op, inputs| Node {
            name: String::new(),
            op,
            inputs,
            shape: vec![1, 4],
            format: Format { bits: 12, frac: 8 },
        };
        FixedGraph {
            number: NumberFormat::Ring { bits: 30 },
            nodes: vec![node(Op::Input, vec![]), node(Op::Product { shift: 8 }, vec![0, 0]), node(Op::Relu, vec![1])],
            params: vec![],
            inputs: vec![0],
            input_levels: vec![],
            result_bits: vec![],
            outputs: vec![Output { name: String::new(), node: 2, post: Post::None }],
        }
    })
}
