//! Small networks with every operation in every form.

use super::*;
use crate::session::Direction;

const SHAPE: [usize; 4] = [1, 2, 3, 4];

/// An operation on shares that enter, and on wires of the same circuit.
fn check_op(op: Op, shape: &[usize]) {
    for wires in [false, true] {
        let mut builder = Builder::new(7);
        let x = builder.input(&SHAPE);
        let x = if wires { builder.same(Op::Clamp { low: -1500, high: 1400 }, &[x]) } else { x };
        let y = builder.node(op.clone(), &[x], shape);
        check(builder.finish(y));
    }
}

#[test]
fn activations_on_inputs() {
    check_op(Op::Relu, &SHAPE);
    check_op(Op::Clamp { low: -300, high: 100 }, &SHAPE);
    check_op(Op::LeakyRelu { factor: 41, shift: 12 }, &SHAPE);
    check_op(Op::Sigmoid, &SHAPE);
    check_op(Op::Tanh, &SHAPE);
    check_op(Op::PublicAffine { factor: -37, addend: 1000, shift: 3 }, &SHAPE);
    check_op(Op::ArgMax { axis: 1, last: false }, &[1, 1, 3, 4]);
    check_op(Op::ArgMax { axis: 3, last: true }, &[1, 2, 3, 1]);
}

#[test]
fn pools_and_movements_on_inputs() {
    let window = Window { kernel: [2, 3], stride: [1, 2], dilation: [1, 1], pads: [1, 1, 0, 0] };
    check_op(Op::MaxPool { window }, &[1, 2, 3, 2]);
    let factor = vec![4096 / 6, 1000, 77, 5, 4096, 341];
    check_op(Op::AveragePool { window, factor, shift: 12 }, &[1, 2, 3, 2]);
    check_op(Op::AveragePool { window, factor: vec![2048], shift: 12 }, &[1, 2, 3, 2]);
    check_op(Op::Reshape, &[6, 4]);
    check_op(Op::Transpose { perm: vec![3, 1, 0, 2] }, &[4, 2, 1, 3]);
    check_op(Op::Slice { start: vec![0, 1, 2, 0], step: vec![1, 1, -1, 2] }, &[1, 1, 3, 2]);
    check_op(Op::Pad { before: vec![0, 0, 1, 0], after: vec![0, 1, 0, 2], value: -5 }, &[1, 3, 4, 6]);
    check_op(Op::Expand, &[5, 2, 3, 4]);
}

#[test]
fn several_operands_and_secret_parameters() {
    for wires in [false, true] {
        let shape = [1, 2, 3];
        let mut builder = Builder::new(5);
        let (a, b) = (builder.input(&shape), builder.input(&shape));
        let a = if wires { builder.same(Op::Relu, &[a]) } else { a };
        let terms = vec![Term { left: 0, negative: true }, Term { left: 3, negative: false }];
        let sum = builder.same(Op::Sum { terms: terms.clone(), shift: 1 }, &[a, b]);
        let exact = builder.same(Op::Sum { terms, shift: 0 }, &[b, a]);
        let product = builder.same(Op::Product { shift: 6 }, &[sum, exact]);
        let square = builder.same(Op::Product { shift: 7 }, &[product, product]);
        let (weight, bias) = (builder.param(&[2, 1], 7), builder.param(&[3], 15));
        let affine = builder.same(Op::Affine { weight: Some(weight), left: 0, bias, shift: 5 }, &[square]);
        let bias = builder.param(&[1], 14);
        let shifted = builder.same(Op::Affine { weight: None, left: 2, bias, shift: 1 }, &[affine]);
        let slope = builder.param(&[1, 2, 1], 6);
        let prelu = builder.same(Op::PRelu { slope, shift: 4 }, &[shifted]);
        let constant = builder.node(Op::Constant { values: vec![1, -2, 3, 4, -5, 6] }, &[], &shape);
        let joined = builder.node(Op::Concat { axis: 1 }, &[prelu, constant, b], &[1, 6, 3]);
        let bias = builder.param(&[1], 14);
        let local = builder.same(Op::Affine { weight: None, left: 1, bias, shift: 2 }, &[b]);
        builder.output(local);
        check(builder.finish(joined));
    }
}

#[test]
fn dense_layers() {
    let mut builder = Builder::new(3);
    let x = builder.input(&[3, 20]);
    let y = builder.dense(x, 17);
    let y = builder.same(Op::Relu, &[y]);
    let y = builder.dense(y, 9);
    let y = builder.same(Op::Product { shift: 8 }, &[y, y]);
    let y = builder.dense(y, 4);
    check(builder.finish(y));
}

/// Products that only linear layers read: squares, products of two tensors of different stages, of inputs, and moved; one is shown too.
fn products() -> (FixedGraph, Params, Vec<Vec<i64>>) {
    let product = || Op::Product { shift: 0 };
    let mut builder = Builder::new(17);
    let x = builder.input(&[2, 6]);
    let (a, b) = (builder.dense(x, 8), builder.dense(x, 8));
    let b = builder.same(Op::Relu, &[b]);
    let square = builder.same(product(), &[a, a]);
    let both = builder.same(product(), &[a, b]);
    let joined = builder.node(Op::Concat { axis: 1 }, &[square, both], &[2, 16]);
    let turned = builder.node(Op::Transpose { perm: vec![1, 0] }, &[joined], &[16, 2]);
    let turned = builder.node(Op::Reshape, &[turned], &[2, 16]);
    let c = builder.dense(turned, 8);
    let inputs = builder.same(product(), &[x, x]);
    let d = builder.dense(inputs, 8);
    let later = builder.same(product(), &[c, b]);
    let e = builder.dense(later, 8);
    let terms = vec![Term { left: 0, negative: false }; 2];
    let sum = builder.same(Op::Sum { terms, shift: 0 }, &[d, e]);
    let shown = builder.same(product(), &[c, c]);
    builder.output(shown);
    let f = builder.dense(shown, 8);
    let both = builder.node(Op::Concat { axis: 1 }, &[sum, f], &[2, 16]);
    builder.finish(both)
}

#[test]
fn products_on_shares() {
    let (graph, params, input) = products();
    let expected = reference::run(&graph, &params, &input).expect("the reference runs");
    let run = run(&graph, &params, &input, Reveal::Scores, 5);
    assert_eq!(run.result, expected);
    // Squares take one mask an element, others two; what is shown is computed in a circuit.
    let priced = price(&graph, Reveal::Scores).expect("a price");
    assert_eq!(priced.crossed, u64::from(RING) * (16 + 32 + 12 + 32));
    let bytes = |tag: crate::frame::Tag| -> u64 {
        run.frames.iter().filter(|frame| frame.tag == tag.id()).map(|frame| u64::from(frame.length)).sum()
    };
    use super::super::wire;
    assert_eq!(bytes(wire::CROSSED), priced.crossed_bytes);
    assert_eq!(bytes(wire::OPENED), priced.opened_bytes);
    check((graph, params, input));
}

#[test]
fn sums_that_products_alone_read_are_shifted_on_shares() {
    let mut builder = Builder::new(23);
    let same = Window { kernel: [3, 3], stride: [1, 1], dilation: [1, 1], pads: [1, 1, 1, 1] };
    let x = builder.input(&[1, 2, 5, 5]);
    let a = builder.conv(x, (6, 1), same);
    let square = builder.same(Op::Product { shift: 0 }, &[a, a]);
    let y = builder.conv(square, (3, 1), Window::new([1, 1]));
    let (mut graph, params, input) = builder.finish(y);
    let expected = reference::run(&graph, &params, &input).expect("the reference runs");
    let labels = |graph: &FixedGraph| price(graph, Reveal::Scores).expect("a price").late_bits;
    let whole = labels(&graph);
    // Sums of two bits fewer than the ring: their low bits, the rounding's, and the highest enter; shifts are 7, 8 and 9.
    graph.result_bits = vec![RING; graph.nodes.len()];
    graph.result_bits[a] = 19;
    assert_eq!(labels(&graph), whole - 6 * 25 * u64::from(RING + 1) + 2 * 25 * (9 + 10 + 11));
    for seed in 1..6 {
        assert_eq!(run(&graph, &params, &input, Reveal::Scores, seed).result, expected);
    }
    let run = run(&graph, &params, &input, Reveal::Scores, 9);
    let priced = price(&graph, Reveal::Scores).expect("a price");
    let tables = run.frames.iter().filter(|frame| frame.tag == super::super::wire::TABLES.id());
    assert_eq!(tables.map(|frame| u64::from(frame.length)).sum::<u64>(), priced.table_bytes);
    // An AND for each bit that is dropped and one for the wrap; the output's sums enter whole.
    assert_eq!(priced.ands, 2 * 25 * (9 + 10 + 11) + 3 * 25 * u64::from(RING));
    // Without a bit to spare they enter as wide as they are stated.
    graph.result_bits[a] = 21;
    assert_eq!(labels(&graph), whole - 2 * 25 * (2 + 1));
    check((graph, params, input));
}

#[test]
fn what_is_added_to_inputs_on_shares() {
    for public in [false, true] {
        let mut builder = Builder::new(29);
        let x = builder.input(&[1, 2, 4, 4]);
        let bias = builder.param(&[2, 1, 1], 9);
        let op = match public {
            true => Op::PublicAffine { factor: -3, addend: 100, shift: 0 },
            false => Op::Affine { weight: None, left: 1, bias, shift: 0 },
        };
        let y = builder.same(op, &[x]);
        let y = builder.conv(y, (3, 1), Window::new([2, 2]));
        check(builder.finish(y));
    }
}

#[test]
fn convolutions_with_shifts_of_their_own() {
    let windows = [
        (Window { kernel: [3, 3], stride: [1, 1], dilation: [1, 1], pads: [1, 1, 1, 1] }, 1),
        (Window { kernel: [5, 5], stride: [2, 2], dilation: [1, 1], pads: [1, 1, 0, 0] }, 1),
        (Window { kernel: [2, 2], stride: [1, 2], dilation: [2, 1], pads: [0, 3, 0, 3] }, 2),
        (Window { kernel: [1, 3], stride: [3, 1], dilation: [1, 1], pads: [0, 0, 0, 0] }, 4),
    ];
    for (window, groups) in windows {
        let mut builder = Builder::new(groups as u64);
        let x = builder.input(&[1, 4, 6, 7]);
        let y = builder.conv(x, (8, groups), window);
        check(builder.finish(y));
    }
}

/// Branches of different depth that join, a residual, pools of both kinds, and a sum read by a linear layer as it is.
pub(in super::super) fn branches() -> (FixedGraph, Params, Vec<Vec<i64>>) {
    let mut builder = Builder::new(11);
    let same = Window { kernel: [3, 3], stride: [1, 1], dilation: [1, 1], pads: [1, 1, 1, 1] };
    let point = Window::new([1, 1]);
    let x = builder.input(&[1, 3, 8, 8]);
    let a = builder.conv(x, (4, 1), same);
    let a = builder.same(Op::Relu, &[a]);
    let b = builder.conv(a, (4, 1), same);
    let shortcut = builder.conv(x, (4, 1), point);
    let terms = vec![Term { left: 0, negative: false }; 2];
    let sum = builder.same(Op::Sum { terms: terms.clone(), shift: 0 }, &[b, shortcut]);
    let b = builder.same(Op::Relu, &[sum]);
    let residual = builder.same(Op::Sum { terms, shift: 1 }, &[b, a]);
    let joined = builder.node(Op::Concat { axis: 1 }, &[residual, a], &[1, 8, 8, 8]);
    let c = builder.conv(joined, (5, 1), point);
    let pool = Window { kernel: [2, 2], stride: [2, 2], dilation: [1, 1], pads: [0; 4] };
    let c = builder.same(Op::Relu, &[c]);
    let c = builder.node(Op::MaxPool { window: pool }, &[c], &[1, 5, 4, 4]);
    // A linear layer on a sum without an activation between, and a tensor of two readers at different stages.
    let d = builder.conv(c, (5, 5), same);
    let d = builder.conv(d, (5, 1), point);
    let terms = vec![Term { left: 0, negative: false }, Term { left: 1, negative: true }];
    let d = builder.same(Op::Sum { terms, shift: 1 }, &[c, d]);
    let d = builder.node(
        Op::AveragePool { window: Window { kernel: [2, 2], ..pool }, factor: vec![1024], shift: 12 },
        &[d],
        &[1, 5, 2, 2],
    );
    let all = Window::new([8, 8]);
    let e = builder.node(Op::AveragePool { window: all, factor: vec![64], shift: 12 }, &[b], &[1, 4, 1, 1]);
    let (d, e) = (builder.node(Op::Reshape, &[d], &[1, 20]), builder.node(Op::Reshape, &[e], &[1, 4]));
    let y = builder.node(Op::Concat { axis: 1 }, &[d, e], &[1, 24]);
    let y = builder.dense(y, 10);
    builder.finish(y)
}

#[test]
fn branches_join_at_any_stage() {
    check(branches());
}

#[test]
fn silent_transfers_where_there_are_many() {
    let (graph, params, input) = branches();
    let mut plan = Plan::choose(&graph, Method::HeCoefficients).expect("a plan");
    assert!(!plan.silent && !price(&graph, Reveal::Scores).expect("a price").silent());
    let plain = run_plan((&graph, &plan), &params, &input, Reveal::Scores, 9);
    plan.silent = true;
    let silent = run_plan((&graph, &plan), &params, &input, Reveal::Scores, 10);
    assert_eq!(plain.result, silent.result);
    let sizes = |run: &Run, tag: crate::frame::Tag| -> Vec<usize> {
        run.frames.iter().filter(|frame| frame.tag == tag.id()).map(|frame| frame.length as usize).collect()
    };
    use super::super::wire::{EXTENSION, SILENT};
    // One reserve and one batch serve all stages.
    assert_eq!(sizes(&silent, EXTENSION), [ot::softspoken::message_len(ot::ferret::RESERVE)]);
    assert_eq!(sizes(&silent, SILENT), [ot::ferret::CorrectionMessage::ENCODED_LEN]);
    assert!(sizes(&plain, SILENT).is_empty() && sizes(&plain, EXTENSION).len() > 3);

    let many = super::super::price::Price { late_bits: 3 << 20, ..Default::default() };
    assert!(many.silent() && many.offline_bytes().iter().sum::<u64>() < 1_000_000);
}

#[test]
fn results_of_fewer_bits_than_the_ring_leaves() {
    // Widths just above the values, so that what lies beyond the kept bits is dropped on all sides alike; and some below.
    for bits in [30, 17, 13, 9] {
        let (mut graph, params, input) = branches();
        graph.result_bits = (0..graph.nodes.len() as u32).map(|id| bits + id % 3).collect();
        graph.validate(&Default::default()).expect("a valid graph");
        check((graph, params, input));
    }
}

#[test]
fn the_transcript_says_nothing_of_secrets() {
    let (graph, params, input) = branches();
    let first = run(&graph, &params, &input, Reveal::Scores, 3);
    let others: Vec<Vec<i64>> =
        input.iter().map(|values| values.iter().map(|value| !value).collect()).collect();
    let second = run(&graph, &params, &others, Reveal::Scores, 4);
    let negated = Params {
        tensors: params
            .tensors
            .iter()
            .map(|tensor| ParamData::I64((0..tensor.len()).map(|i| !tensor.get(i)).collect()))
            .collect(),
    };
    let third = run(&graph, &negated, &input, Reveal::Scores, 5);
    for direction in [Direction::Sent, Direction::Received] {
        // Frames that cross have an order that the clock decides.
        let [a, b, c] = [&first, &second, &third].map(|run| {
            run.frames.iter().filter(|frame| frame.direction == direction).copied().collect::<Vec<_>>()
        });
        assert!(a.len() > 10 && a == b && a == c);
    }
    assert_ne!(first.result, second.result);
    assert_eq!(first.rounds, second.rounds);
}

#[test]
fn tables_and_labels_are_as_priced() {
    let (graph, params, input) = branches();
    let priced = price(&graph, Reveal::Scores).expect("a price");
    let run = run(&graph, &params, &input, Reveal::Scores, 6);
    let bytes = |tag: crate::frame::Tag| -> u64 {
        run.frames.iter().filter(|frame| frame.tag == tag.id()).map(|frame| u64::from(frame.length)).sum()
    };
    assert_eq!(bytes(super::super::wire::TABLES), priced.table_bytes);
    assert_eq!(bytes(super::super::wire::LABELS), 16 * priced.late_bits);
    // Two round trips a stage; setting up and the offline phase are one each, whatever the depth.
    assert!(run.rounds[2] <= 4 * priced.stages as u64, "{:?}", run.rounds);
    assert!(run.rounds[1] <= 2, "{:?}", run.rounds);
}

#[test]
fn other_number_formats_and_plans_are_refused() {
    let (graph, ..) = branches();
    let words = FixedGraph { number: NumberFormat::Word16, ..graph.clone() };
    assert!(matches!(Plan::choose(&words, Method::HeCoefficients), Err(Error::Refused(_))));
    let wide = FixedGraph { number: NumberFormat::Ring { bits: 64 }, ..graph.clone() };
    assert!(matches!(Plan::choose(&wide, Method::HeCoefficients), Err(Error::Refused(_))));
    let plan = Plan::choose(&graph, Method::HeCoefficients).expect("a plan");
    let program = super::super::program::Program::new(&graph, Reveal::Scores).expect("stages");
    assert!(plan.setting(&program).is_ok());
    let changes: [fn(&mut Plan); 8] = [
        |plan| plan.degree = 1024,
        |plan| plan.degree = usize::MAX,
        |plan| plan.primes.extend_from_within(..),
        |plan| plan.primes.clear(),
        |plan| plan.layers[1].block = [0, 1],
        |plan| plan.layers[0].channels = usize::MAX,
        |plan| plan.layers[0].low_bits = [200, 0],
        |plan| plan.layers.truncate(1),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut wrong = plan.clone();
        change(&mut wrong);
        assert!(wrong.setting(&program).is_err(), "change {number}");
    }
}
