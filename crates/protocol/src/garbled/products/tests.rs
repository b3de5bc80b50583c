//! Products by transfers alone: shares that add up, and frames of the lengths that the plan gives.

use std::thread;

use kernel::block::Block;
use kernel::prg::Prg;
use kernel::seed::Seed;
use model::fixed::{
    FixedGraph, Format, Node, NumberFormat, Op, Output, ParamData, ParamInfo, Params, Post, Window,
};
use ot::softspoken::{Receiver, ReceiverSetup, Sender, SenderSetup};

use super::*;
use crate::garbled::options::FirstLayer;
use crate::garbled::split::Split;
use crate::session::Session;

/// A plan of one layer, with parameters and an input.
fn layer(
    op: Op,
    shape: &[usize],
    weight: &[usize],
    out: &[usize],
    weight_bits: u32,
) -> (FixedGraph, Params, Vec<i64>) {
    let mut prg = Prg::from_key(Block(u128::from(weight_bits)));
    let mut draw = |count: usize, bits: u32| -> Vec<i64> {
        (0..count).map(|_| (prg.block().0 as i64) >> (64 - bits)).collect()
    };
    let node = |op, inputs: &[usize], shape: &[usize], bits| Node {
        name: "layer".into(),
        op,
        inputs: inputs.to_vec(),
        shape: shape.to_vec(),
        format: Format { bits, frac: 0 },
    };
    let info =
        |shape: &[usize], bits| ParamInfo { name: "p".into(), shape: shape.to_vec(), bits, support: None };
    let graph = FixedGraph {
        number: NumberFormat::Word16,
        nodes: vec![node(Op::Input, &[], shape, 11), node(op, &[0], out, 16)],
        params: vec![info(weight, weight_bits), info(&weight[..1], 20)],
        inputs: vec![0],
        input_levels: Vec::new(),
        result_bits: Vec::new(),
        outputs: vec![Output { name: "y".into(), node: 1, post: Post::None }],
    };
    let tensors =
        vec![ParamData::I64(draw(weight.iter().product(), weight_bits)), ParamData::I64(draw(weight[0], 20))];
    let input = draw(shape.iter().product(), 11);
    (graph, Params { tensors }, input)
}

fn transfers() -> (Sender, Receiver) {
    let delta = Block(0x1234_5678_9abc_def0_0fed_cba9_8765_4321);
    let (setup, request) = SenderSetup::new(delta, &Seed::from_bytes([1; 32]));
    let (receiver, reply) = ReceiverSetup::respond(&request, &Seed::from_bytes([2; 32]));
    (setup.finish(&reply).expect("honest"), receiver)
}

/// Runs the layer and checks that the shares add up to plain sums.
fn check(graph: &FixedGraph, params: &Params, input: &[i64]) {
    let split = Split::of(graph, FirstLayer::Ot);
    let product = &split.products[0];
    let (mut sender, mut receiver) = transfers();
    let (mut near, mut far) = Session::pair();
    let theirs = draw(product, &Seed::from_bytes([3; 32]));
    let mine = thread::scope(|scope| {
        let serving = scope
            .spawn(|| server(product, params, &theirs, &mut receiver, (&mut far.inbox, &mut far.outbox)));
        let mine = client(product, input, &mut sender, (&mut near.inbox, &mut near.outbox));
        serving.join().expect("no panic").expect("the server succeeds");
        mine.expect("the client succeeds")
    });
    let (weights, biases, dots) = (&params.tensors[0], &params.tensors[1], &product.dots);
    for row in 0..dots.rows {
        for position in 0..dots.positions {
            let products = (0..dots.terms).filter_map(|term| {
                Some(weights.get(row * dots.terms + term) * input[dots.input(row, position, term)?])
            });
            let expected = products.sum::<i64>() + biases.get(row);
            let output = dots.output(row, position);
            let sum = mine[output].wrapping_add(theirs[output] as u64) & mask(product.bits);
            let signed = ((sum << (64 - product.bits)) as i64) >> (64 - product.bits);
            assert_eq!(signed, expected, "row {row}, position {position}");
        }
    }
}

#[test]
fn matrices_of_every_width_of_weights() {
    for bits in [1, 2, 7, 8, 16] {
        let op = Op::Dense { weight: 0, bias: 1, shift: vec![0] };
        let (graph, params, input) = layer(op, &[1, 37], &[29, 37], &[1, 29], bits);
        check(&graph, &params, &input);
    }
}

#[test]
fn several_chunks_frames_and_positions() {
    // 300 x 290 weights of 8 bits are more than ten chunks; three positions are stretched strings.
    let op = Op::Dense { weight: 0, bias: 1, shift: vec![0] };
    let (graph, params, input) = layer(op, &[3, 290], &[300, 290], &[3, 300], 8);
    check(&graph, &params, &input);
}

#[test]
fn convolutions_with_padding_strides_and_groups() {
    let window = Window { kernel: [3, 2], stride: [2, 1], dilation: [1, 2], pads: [1, 2, 0, 1] };
    let op = Op::Conv { window, groups: 2, weight: 0, bias: 1, shift: vec![0] };
    let (graph, params, input) = layer(op, &[1, 4, 9, 8], &[6, 2, 3, 2], &[1, 6, 4, 9], 6);
    graph.validate(&Default::default()).expect("a valid graph");
    check(&graph, &params, &input);
}

#[test]
fn frames_are_cut_within_their_bounds() {
    let op = Op::Dense { weight: 0, bias: 1, shift: vec![0] };
    let (graph, ..) = layer(op, &[40, 500], &[50, 500], &[40, 50], 8);
    let split = Split::of(&graph, FirstLayer::Ot);
    let cut = Cut::new(&split.products[0]);
    let mut next = 0;
    for chunk in cut.chunks() {
        for (weights, bits) in cut.pieces(chunk) {
            assert_eq!(weights.start, next);
            assert!(bits > 0 && bits < FRAME_BITS + cut.correction_bits(0));
            next = weights.end;
        }
    }
    assert_eq!(next, 25_000);
}
