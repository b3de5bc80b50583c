//! Linear layers in slots: the same networks, on shares modulo a prime.

use super::networks::branches;
use super::*;
use crate::session::Direction;

fn check_in_slots((graph, params, input): (FixedGraph, Params, Vec<Vec<i64>>)) {
    let expected = reference::run(&graph, &params, &input).expect("the reference runs");
    let run = run_by(Method::HeSlots, (&graph, &params), &input, Reveal::Scores, 1);
    assert_eq!(run.result, expected);
}

#[test]
fn branches_join_at_any_stage() {
    let (graph, params, input) = branches();
    let expected = reference::run(&graph, &params, &input).expect("the reference runs");
    let run = run_by(Method::HeSlots, (&graph, &params), &input, Reveal::Label, 1);
    let best = expected[0].iter().max().expect("an output");
    let position = expected[0].iter().position(|value| value == best).expect("its place");
    assert_eq!(run.result, [[position as i64]]);
    check_in_slots((graph, params, input));
}

#[test]
fn products_for_linear_layers() {
    let clamp = || Op::Clamp { low: -60, high: 50 };
    let mut builder = Builder::new(17);
    let x = builder.input(&[2, 6]);
    let (a, b) = (builder.dense(x, 8), builder.dense(x, 8));
    let (a, b) = (builder.same(clamp(), &[a]), builder.same(clamp(), &[b]));
    let square = builder.same(Op::Product { shift: 0 }, &[a, a]);
    let both = builder.same(Op::Product { shift: 0 }, &[a, b]);
    let joined = builder.node(Op::Concat { axis: 1 }, &[square, both], &[2, 16]);
    let y = builder.dense(joined, 5);
    check_in_slots(builder.finish(y));
}

#[test]
fn operations_on_shares_modulo_a_prime() {
    let shape = [1, 2, 3];
    let mut builder = Builder::new(5);
    let (a, b) = (builder.input(&shape), builder.input(&shape));
    let dense = builder.dense(a, 3);
    let terms = vec![Term { left: 0, negative: true }, Term { left: 3, negative: false }];
    let exact = builder.same(Op::Sum { terms: terms.clone(), shift: 0 }, &[b, a]);
    let sum = builder.same(Op::Sum { terms, shift: 1 }, &[exact, dense]);
    let product = builder.same(Op::Product { shift: 6 }, &[sum, exact]);
    let bias = builder.param(&[3], 14);
    let local = builder.same(Op::Affine { weight: None, left: 1, bias, shift: 2 }, &[b]);
    let moved = builder.same(Op::PublicAffine { factor: -37, addend: 1000, shift: 3 }, &[a]);
    let constant = builder.node(Op::Constant { values: vec![1, -2, 3, 4, -5, 6] }, &[], &shape);
    let before = vec![0, 0, 1];
    let padded = builder.node(Op::Pad { before, after: vec![0, 0, 1], value: -5 }, &[b], &[1, 2, 5]);
    let joined = builder.node(Op::Concat { axis: 1 }, &[product, constant, local, moved], &[1, 8, 3]);
    let read = builder.dense(joined, 4);
    let other = builder.dense(padded, 2);
    let squared = builder.same(Op::Product { shift: 7 }, &[other, other]);
    builder.output(squared);
    let read = builder.same(Op::Relu, &[read]);
    check_in_slots(builder.finish(read));
}

#[test]
fn strides_groups_and_shifts_of_their_own() {
    let windows = [
        (Window { kernel: [5, 5], stride: [2, 2], dilation: [1, 1], pads: [1, 1, 0, 0] }, 1),
        (Window { kernel: [2, 2], stride: [1, 2], dilation: [2, 1], pads: [0, 3, 0, 3] }, 2),
        (Window { kernel: [1, 3], stride: [3, 1], dilation: [1, 1], pads: [0, 0, 0, 0] }, 4),
    ];
    for (window, groups) in windows {
        let mut builder = Builder::new(groups as u64);
        let x = builder.input(&[1, 4, 6, 7]);
        let y = builder.conv(x, (8, groups), window);
        check_in_slots(builder.finish(y));
    }
}

#[test]
fn transcript_and_prices_are_those_of_the_plan() {
    let (graph, params, input) = branches();
    let plan = Plan::choose(&graph, Method::HeSlots).expect("a plan");
    let priced = plan.price(&graph, Reveal::Scores).expect("a price");
    let first = run_by(Method::HeSlots, (&graph, &params), &input, Reveal::Scores, 3);
    let bytes = |tag: crate::frame::Tag| -> u64 {
        first.frames.iter().filter(|frame| frame.tag == tag.id()).map(|frame| u64::from(frame.length)).sum()
    };
    use super::super::wire;
    assert_eq!(bytes(wire::TABLES), priced.table_bytes);
    assert_eq!(bytes(wire::LABELS), 16 * priced.late_bits);
    let ciphertexts = plan.ciphertext_bytes(&graph).expect("the plan fits");
    assert_eq!([bytes(wire::CIPHERTEXT), bytes(wire::MASKED)], ciphertexts);
    assert_eq!([bytes(wire::KEY), bytes(wire::ROTATION)], plan.key_bytes(&graph).expect("the plan fits"));
    // Another input and other weights: the same frames.
    let others: Vec<Vec<i64>> =
        input.iter().map(|values| values.iter().map(|value| !value).collect()).collect();
    let negate = |tensor: &ParamData| ParamData::I64((0..tensor.len()).map(|i| !tensor.get(i)).collect());
    let negated = Params { tensors: params.tensors.iter().map(negate).collect() };
    let second = run_by(Method::HeSlots, (&graph, &negated), &others, Reveal::Scores, 4);
    for direction in [Direction::Sent, Direction::Received] {
        let [a, b] = [&first, &second].map(|run| {
            run.frames.iter().filter(|frame| frame.direction == direction).copied().collect::<Vec<_>>()
        });
        assert!(a.len() > 10 && a == b);
    }
    assert_eq!(first.rounds, second.rounds);
}

#[test]
fn plans_that_do_not_fit_are_refused() {
    let (graph, ..) = branches();
    let plan = Plan::choose(&graph, Method::HeSlots).expect("a plan");
    assert!(plan.kernels(&graph).expect("the plan fits").len() == plan.slots.len() && plan.layers.is_empty());
    let written = plan.payload().expect("words");
    assert_eq!(Plan::deserialize(&written).expect("what was written"), plan);
    let changes: [fn(&mut Plan); 9] = [
        |plan| plan.degree = 4096,
        |plan| plan.degree = usize::MAX,
        |plan| plan.primes.extend_from_within(..),
        |plan| plan.primes.truncate(1),
        |plan| plan.special = None,
        |plan| plan.slots[0].method = linear::gazelle::Method::Naive,
        |plan| plan.slots[0].node += 1,
        |plan| plan.slots.truncate(1),
        |plan| plan.linear = Method::HeCoefficients,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut wrong = plan.clone();
        change(&mut wrong);
        assert!(wrong.kernels(&graph).is_err(), "change {number}");
    }
}
