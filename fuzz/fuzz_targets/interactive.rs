//! A plan on shares from a server: any bytes give an error, or a plan that fits its graph and has a price.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::fixed::{
    FixedGraph, Format, Limits, Node, NumberFormat, Op, Output, ParamInfo, Post, Window,
};
use protocol::Reveal;
use protocol::handshake::Plan;
use protocol::interactive::{Plan as Agreed, check, price};

/// A convolution, a ReLU and a matrix.
fn network() -> FixedGraph {
    let node = |op, inputs, shape: &[usize]| Node {
        name: "x".into(),
        op,
        inputs,
        shape: shape.to_vec(),
        format: Format { bits: 12, frac: 8 },
    };
    let param = |shape: &[usize]| ParamInfo { name: "w".into(), shape: shape.to_vec(), bits: 8, support: None };
    let window = Window { kernel: [3, 3], stride: [2, 2], dilation: [1, 1], pads: [1, 1, 1, 1] };
    FixedGraph {
        number: NumberFormat::Ring { bits: 30 },
        nodes: vec![
            node(Op::Input, vec![], &[1, 2, 6, 6]),
            node(Op::Conv { window, groups: 1, weight: 0, bias: 1, shift: vec![8] }, vec![0], &[1, 3, 3, 3]),
            node(Op::Relu, vec![1], &[1, 3, 3, 3]),
            node(Op::Reshape, vec![2], &[1, 27]),
            node(Op::Dense { weight: 2, bias: 3, shift: vec![8] }, vec![3], &[1, 4]),
        ],
        params: vec![param(&[3, 2, 3, 3]), param(&[3]), param(&[4, 27]), param(&[4])],
        inputs: vec![0],
        input_levels: Vec::new(),
        result_bits: Vec::new(),
        outputs: vec![Output { name: "y".into(), node: 4, post: Post::None }],
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
    // The payload beside a good graph.
    let plan = Plan { graph: network(), payload: value.clone() };
    if let Ok(agreed) = Agreed::of(&plan) {
        let _ = agreed.ciphertext_bytes(&plan.graph);
    }
    // A whole plan: small graphs are walked as a client would before it begins.
    let Ok(plan) = serde_json::from_value::<Plan>(value) else { return };
    let small = Limits { nodes: 20, elements: 200, total: 1000, parameters: 1000 };
    if plan.graph.validate(&small).is_ok() {
        for reveal in [Reveal::Scores, Reveal::Label] {
            let _ = check(&plan.graph, reveal);
            let _ = price(&plan.graph, reveal);
        }
        if let Ok(agreed) = Agreed::of(&plan) {
            let _ = agreed.ciphertext_bytes(&plan.graph);
        }
    }
});
