//! Both halves against the integer reference, over memory.

use std::thread;

use kernel::seed::Seed;
use model::fixed::{
    FixedGraph, Format, Node, NodeId, NumberFormat, Op, Output, ParamData, ParamId, ParamInfo, Params, Post,
    Term, Window,
};
use model::reference;

mod hostile;
mod large;
mod limits;
mod odd;
mod sparse;

use super::split::Split;
use super::{BaseOt, FirstLayer, Options, Part, client, price, server, shared};
use crate::Reveal;
use crate::Tag;
use crate::error::Error;
use crate::session::{Entry, Session};

const BITS: u32 = 16;
const FRAC: i32 = 8;

/// A graph under construction, with weights and inputs drawn from a fixed seed.
struct Builder {
    graph: FixedGraph,
    params: Params,
    state: u64,
}

impl Builder {
    fn new(seed: u64) -> Self {
        let graph = FixedGraph {
            number: NumberFormat::Word16,
            nodes: Vec::new(),
            params: Vec::new(),
            inputs: Vec::new(),
            input_levels: Vec::new(),
            result_bits: Vec::new(),
            outputs: Vec::new(),
        };
        Self { graph, params: Params { tensors: Vec::new() }, state: seed }
    }

    /// A number of `bits` bits.
    fn draw(&mut self, bits: u32) -> i64 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state as i64) >> (64 - bits)
    }

    fn input(&mut self, shape: &[usize], bits: u32) -> NodeId {
        let node = self.node(Op::Input, &[], shape, bits);
        self.graph.inputs.push(node);
        node
    }

    fn node(&mut self, op: Op, inputs: &[NodeId], shape: &[usize], bits: u32) -> NodeId {
        let name = format!("node {}", self.graph.nodes.len());
        let format = Format { bits, frac: FRAC };
        self.graph.nodes.push(Node { name, op, inputs: inputs.to_vec(), shape: shape.to_vec(), format });
        self.graph.nodes.len() - 1
    }

    fn param(&mut self, shape: &[usize], bits: u32) -> ParamId {
        let values = (0..shape.iter().product()).map(|_| self.draw(bits)).collect();
        self.graph.params.push(ParamInfo {
            name: "weights".into(),
            shape: shape.to_vec(),
            bits,
            support: None,
        });
        self.params.tensors.push(ParamData::I64(values));
        self.params.tensors.len() - 1
    }

    fn finish(mut self, output: NodeId) -> (FixedGraph, Params, Vec<Vec<i64>>) {
        self.graph.outputs.push(Output { name: "output".into(), node: output, post: Post::None });
        let inputs: Vec<(u32, usize)> = self
            .graph
            .inputs
            .iter()
            .map(|input| {
                (self.graph.nodes[*input].format.bits, self.graph.nodes[*input].shape.iter().product())
            })
            .collect();
        let values =
            inputs.into_iter().map(|(bits, count)| (0..count).map(|_| self.draw(bits)).collect()).collect();
        self.graph.validate(&Default::default()).expect("a valid graph");
        (self.graph, self.params, values)
    }
}

/// What a run left behind: the result, the frames of the client, and flights.
struct Run {
    result: Vec<Vec<i64>>,
    frames: Vec<Entry>,
    table_bytes: u64,
    product_bytes: u64,
    rounds: u64,
}

fn run_with(
    options: Options,
    graph: &FixedGraph,
    params: &Params,
    input: &[Vec<i64>],
    reveal: Reveal,
    seed: u8,
) -> Run {
    let (mut near, mut far) = Session::pair();
    let transcript = near.record();
    let (mine, theirs) = (Seed::from_bytes([seed; 32]), Seed::from_bytes([!seed; 32]));
    let result = thread::scope(|scope| {
        let serving = scope.spawn(|| server::predict(graph, options, params, reveal, &mut far, &theirs));
        let result = client::predict(graph, options, input, reveal, &mut near, &mine, &());
        serving.join().expect("no panic").expect("the server succeeds");
        result.expect("the client succeeds")
    });
    let frames = transcript.entries();
    let bytes = |tags: &[Tag]| {
        let frames = frames.iter().filter(|entry| tags.iter().any(|tag| tag.id() == entry.tag));
        frames.map(|entry| entry.length as u64).sum()
    };
    let table_bytes = bytes(&[super::wire::TABLES]);
    let product_bytes = bytes(&[super::wire::PRODUCTS, super::wire::SHARES]);
    let rounds = near.meter.snapshot().phases.iter().map(|phase| phase.rounds).max().unwrap_or(0);
    Run { result, frames, table_bytes, product_bytes, rounds }
}

/// Both forms of first layers.
const FORMS: [FirstLayer; 2] = [FirstLayer::Garbled, FirstLayer::Ot];

/// Runs both forms and both ways of revealing, and compares with the reference and the price.
fn check(graph: FixedGraph, params: Params, input: Vec<Vec<i64>>) {
    let expected = reference::run(&graph, &params, &input).expect("the reference runs");
    let best = expected[0].iter().max().expect("an output");
    let position = expected[0].iter().position(|value| value == best).expect("its place");
    for first_layer in FORMS {
        let options = Options { first_layer, ..Options::default() };
        let scores = run_with(options, &graph, &params, &input, Reveal::Scores, 1);
        assert_eq!(scores.result, expected, "{first_layer:?}");
        let price = price(&graph, Reveal::Scores, first_layer);
        assert_eq!(scores.table_bytes, price.table_bytes);
        assert!((price.product_bytes..price.product_bytes + 64).contains(&scores.product_bytes));
        let label = run_with(options, &graph, &params, &input, Reveal::Label, 2);
        assert_eq!(label.result, [[position as i64]], "{first_layer:?}");
    }
}

/// One operation on one input of shape 1 x 2 x 3 x 4.
fn check_op(op: Op, shape: &[usize], bits: u32) {
    let mut builder = Builder::new(7);
    let x = builder.input(&[1, 2, 3, 4], 12);
    let index = matches!(op, Op::ArgMax { .. });
    let y = builder.node(op, &[x], shape, bits);
    if index {
        builder.graph.nodes[y].format.frac = 0;
    }
    let (graph, params, input) = builder.finish(y);
    check(graph, params, input);
}

#[test]
fn dense_layers_with_shifts_per_row() {
    for (inputs, rows, weight_bits) in [(1, 1, 8), (20, 70, 8), (33, 3, 5), (9, 2, 16), (3, 4, 1)] {
        let mut builder = Builder::new(inputs as u64);
        let x = builder.input(&[2, inputs], 13);
        let weight = builder.param(&[rows, inputs], weight_bits);
        let bias = builder.param(&[rows], 20);
        let shift = (0..rows as u32).map(|row| row % 3 + 4).collect();
        let y = builder.node(Op::Dense { weight, bias, shift }, &[x], &[2, rows], BITS);
        let z = builder.node(Op::Relu, &[y], &[2, rows], BITS);
        let (graph, params, input) = builder.finish(z);
        check(graph, params, input);
    }
}

#[test]
fn convolutions_with_padding_groups_and_strides() {
    let windows = [
        (Window { kernel: [3, 3], stride: [1, 1], dilation: [1, 1], pads: [1, 1, 1, 1] }, 1, [6, 7]),
        (Window { kernel: [5, 5], stride: [2, 2], dilation: [1, 1], pads: [1, 1, 0, 0] }, 1, [2, 2]),
        (Window { kernel: [2, 2], stride: [1, 2], dilation: [2, 1], pads: [0, 3, 0, 3] }, 2, [4, 6]),
        (Window { kernel: [1, 3], stride: [1, 1], dilation: [1, 1], pads: [0, 0, 0, 0] }, 4, [6, 5]),
    ];
    for (window, groups, [oh, ow]) in windows {
        let mut builder = Builder::new(groups as u64);
        let x = builder.input(&[1, 4, 6, 7], 10);
        let weight = builder.param(&[8, 4 / groups, window.kernel[0], window.kernel[1]], 6);
        let bias = builder.param(&[8], 14);
        let op = Op::Conv { window, groups, weight, bias, shift: vec![5] };
        let y = builder.node(op, &[x], &[1, 8, oh, ow], BITS);
        let (graph, params, input) = builder.finish(y);
        check(graph, params, input);
    }
}

#[test]
fn a_pool_before_a_first_layer_two_of_them_and_an_input_that_gates_read_too() {
    let window = Window { kernel: [2, 2], stride: [2, 2], dilation: [1, 1], pads: [0; 4] };
    let mut builder = Builder::new(11);
    let x = builder.input(&[1, 2, 4, 6], 10);
    let op = Op::AveragePool { window, factor: vec![1024], shift: 12 };
    let pooled = builder.node(op, &[x], &[1, 2, 2, 3], 10);
    let flat = builder.node(Op::Reshape, &[pooled], &[1, 12], 10);
    let other = builder.input(&[1, 12], 9);
    let mut dense = |operand| {
        let (weight, bias) = (builder.param(&[12, 12], 7), builder.param(&[12], 15));
        builder.node(Op::Dense { weight, bias, shift: vec![5] }, &[operand], &[1, 12], 13)
    };
    let (first, second) = (dense(flat), dense(other));
    let terms = vec![Term { left: 0, negative: false }; 3];
    let sum = builder.node(Op::Sum { terms, shift: 1 }, &[first, second, flat], &[1, 12], 14);
    let (graph, params, input) = builder.finish(sum);
    check(graph, params, input);
}

#[test]
fn pools() {
    let window = Window { kernel: [2, 3], stride: [1, 2], dilation: [1, 1], pads: [1, 1, 0, 0] };
    check_op(Op::MaxPool { window }, &[1, 2, 3, 2], 12);
    let factor = vec![4096 / 6, 1000, 77, 5, 4096, 341];
    check_op(Op::AveragePool { window, factor, shift: 12 }, &[1, 2, 3, 2], 12);
    check_op(Op::AveragePool { window, factor: vec![2048], shift: 12 }, &[1, 2, 3, 2], 9);
}

#[test]
fn activations() {
    let shape = [1, 2, 3, 4];
    check_op(Op::Relu, &shape, 12);
    check_op(Op::Clamp { low: 0, high: 600 }, &shape, 12);
    check_op(Op::Clamp { low: -300, high: 100 }, &shape, 12);
    check_op(Op::LeakyRelu { factor: 41, shift: 12 }, &shape, 12);
    check_op(Op::Sigmoid, &shape, 12);
    check_op(Op::Tanh, &shape, 12);
    check_op(Op::PiecewiseSigmoid, &shape, 12);
    check_op(Op::PiecewiseTanh, &shape, 12);
    check_op(Op::PublicAffine { factor: -37, addend: 1000, shift: 3 }, &shape, 10);
    check_op(Op::ArgMax { axis: 1, last: false }, &[1, 1, 3, 4], 3);
    check_op(Op::ArgMax { axis: 3, last: true }, &[1, 2, 3, 1], 4);
}

#[test]
fn movements() {
    check_op(Op::Reshape, &[6, 4], 12);
    check_op(Op::Transpose { perm: vec![3, 1, 0, 2] }, &[4, 2, 1, 3], 12);
    check_op(Op::Slice { start: vec![0, 1, 2, 0], step: vec![1, 1, -1, 2] }, &[1, 1, 3, 2], 12);
    let (before, after) = (vec![0, 0, 1, 0], vec![0, 1, 0, 2]);
    check_op(Op::Pad { before, after, value: -5 }, &[1, 3, 4, 6], 12);
    check_op(Op::Expand, &[5, 2, 3, 4], 12);
}

#[test]
fn elementwise_with_several_operands_and_secret_weights() {
    let shape = [1, 2, 3];
    let mut builder = Builder::new(5);
    let (a, b) = (builder.input(&shape, 12), builder.input(&shape, 9));
    let terms = vec![Term { left: 0, negative: false }, Term { left: 3, negative: true }];
    let sum = builder.node(Op::Sum { terms, shift: 1 }, &[a, b], &shape, 12);
    let product = builder.node(Op::Product { shift: 6 }, &[sum, b], &shape, 12);
    let square = builder.node(Op::Product { shift: 7 }, &[product, product], &shape, 12);
    let (weight, bias) = (builder.param(&[2, 1], 7), builder.param(&[3], 15));
    let op = Op::Affine { weight: Some(weight), left: 0, bias, shift: 5 };
    let affine = builder.node(op, &[square], &shape, 13);
    let bias = builder.param(&[1], 14);
    let shifted = builder.node(Op::Affine { weight: None, left: 2, bias, shift: 1 }, &[affine], &shape, 14);
    let slope = builder.param(&[1, 2, 1], 6);
    let prelu = builder.node(Op::PRelu { slope, shift: 4 }, &[shifted], &shape, 14);
    let constant = builder.node(Op::Constant { values: vec![1, -2, 3, 4, -5, 6] }, &[], &shape, 14);
    let joined = builder.node(Op::Concat { axis: 1 }, &[prelu, constant], &[1, 4, 3], 14);
    let (graph, params, input) = builder.finish(joined);
    check(graph, params, input);
}

/// A small network in which several chunks of transfers are needed.
fn network(seed: u64) -> (FixedGraph, Params, Vec<Vec<i64>>) {
    let mut builder = Builder::new(seed);
    let x = builder.input(&[1, 100], 9);
    let (weight, bias) = (builder.param(&[90, 100], 8), builder.param(&[90], 16));
    let hidden = builder.node(Op::Dense { weight, bias, shift: vec![6] }, &[x], &[1, 90], 12);
    let hidden = builder.node(Op::Relu, &[hidden], &[1, 90], 12);
    let (weight, bias) = (builder.param(&[10, 90], 8), builder.param(&[10], 16));
    let y = builder.node(Op::Dense { weight, bias, shift: vec![6] }, &[hidden], &[1, 10], BITS);
    builder.finish(y)
}

#[test]
fn transcripts_do_not_depend_on_secrets_and_rounds_are_constant() {
    let (graph, params, input) = network(1);
    let (_, other_params, other_input) = network(2);
    for (first_layer, flights) in FORMS.into_iter().zip([4, 6]) {
        let options = Options { first_layer, ..Options::default() };
        let first = run_with(options, &graph, &params, &input, Reveal::Scores, 3);
        let second = run_with(options, &graph, &other_params, &other_input, Reveal::Scores, 4);
        assert_ne!(first.result, second.result);
        let by_direction = |run: &Run| {
            let sent = |entry: &Entry| entry.direction == crate::session::Direction::Sent;
            let (sent, received): (Vec<Entry>, Vec<Entry>) = run.frames.iter().cloned().partition(sent);
            (sent, received)
        };
        assert_eq!(by_direction(&first), by_direction(&second));
        assert_eq!(first.rounds, second.rounds);
        assert!(first.rounds <= flights, "{} flights", first.rounds);
    }
}

#[test]
fn base_transfers_from_ml_kem() {
    let (graph, params, input) = network(1);
    let expected = reference::run(&graph, &params, &input).expect("the reference runs");
    let options = Options { base_ot: BaseOt::MlKem, ..Options::default() };
    let run = run_with(options, &graph, &params, &input, Reveal::Scores, 3);
    assert_eq!(run.result, expected);
    let plain = run_with(Options::default(), &graph, &params, &input, Reveal::Scores, 3);
    let bytes = |run: &Run| run.frames.iter().map(|entry| entry.length as u64).sum::<u64>();
    assert!((400_000..450_000).contains(&(bytes(&run) - bytes(&plain))));
    assert_eq!(run.rounds, plain.rounds);
}

/// A prediction whose input is shared between a proxy and the server: the result, and the frames that client and proxy saw.
fn outsource(
    (graph, params, input): &(FixedGraph, Params, Vec<Vec<i64>>),
    reveal: Reveal,
    seed: u8,
) -> (Vec<Vec<i64>>, [Vec<Entry>; 3]) {
    let (mut to_server, mut at_server) = Session::pair();
    let (mut to_proxy, mut at_proxy) = Session::pair();
    let (mut garbler, mut evaluator) = Session::pair();
    let transcripts = [to_server.record(), to_proxy.record(), garbler.record()];
    let options = Options { part: Part::Garbler, first_layer: FirstLayer::Garbled, ..Options::default() };
    let seeds = [1, 2, 3].map(|part| Seed::from_bytes([seed + part; 32]));
    let result = thread::scope(|scope| {
        scope.spawn(|| {
            let share = shared::receive_share(graph, &mut at_proxy.inbox).expect("a share");
            let decoding =
                client::garble_shared(graph, options, &share, reveal, &mut garbler, &seeds[0], &());
            shared::send_decoding(&mut at_proxy.outbox, &decoding.expect("the proxy succeeds"))
                .expect("sent");
            at_proxy.outbox.flush().expect("sent");
        });
        scope.spawn(|| {
            let share = shared::receive_share(graph, &mut at_server.inbox).expect("a share");
            let secrets = (params, share.as_slice());
            let colours = server::evaluate_shared(graph, options, secrets, reveal, &mut evaluator, &seeds[1]);
            shared::send_colours(&mut at_server.outbox, &colours.expect("the server succeeds"))
                .expect("sent");
        });
        shared::predict(graph, input, reveal, (&mut to_server, &mut to_proxy), &seeds[2], &())
    });
    (result.expect("the client succeeds"), transcripts.map(|transcript| transcript.entries()))
}

#[test]
fn a_proxy_garbles_for_a_client_that_shares_its_input() {
    let (first, second) = (network(1), network(2));
    for reveal in [Reveal::Scores, Reveal::Label] {
        let (result, frames) = outsource(&first, reveal, 10);
        let expected = reference::run(&first.0, &first.1, &first.2).expect("the reference runs");
        match reveal {
            Reveal::Scores => assert_eq!(result, expected),
            Reveal::Label => {
                let best = expected[0].iter().max().expect("an output");
                let position = expected[0].iter().position(|value| value == best).expect("its place");
                assert_eq!(result, [[position as i64]]);
            }
        }
        // 100 inputs of 9 bits and ten results: the client's own traffic.
        let own = frames[0].iter().chain(&frames[1]).map(|entry| entry.length as u64).sum::<u64>();
        assert!(own <= 2 * 113 + 2 * 20, "{own} bytes");
        // Other secrets, the same lengths in each session.
        let (other_result, other) =
            outsource(&(first.0.clone(), second.1.clone(), second.2.clone()), reveal, 20);
        assert!(result != other_result || reveal == Reveal::Label);
        let each = |entries: &[Entry]| {
            let sent = |entry: &&Entry| entry.direction == crate::session::Direction::Sent;
            let (sent, received): (Vec<&Entry>, Vec<&Entry>) = entries.iter().partition(sent);
            sent.into_iter().chain(received).cloned().collect::<Vec<Entry>>()
        };
        assert_eq!(frames.map(|entries| each(&entries)), other.map(|entries| each(&entries)));
    }
}

#[test]
fn shares_of_an_input_look_alike() {
    let (graph, _, input) = network(1);
    let share = |input: &[Vec<i64>], seed: u8| {
        let ((mut near, mut far), (mut proxy, _at_proxy)) = (Session::pair(), Session::pair());
        let seed = Seed::from_bytes([seed; 32]);
        let (graph, input) = (&graph, input);
        thread::scope(|scope| {
            let predicting = scope.spawn(move || {
                let _ = shared::predict(graph, input, Reveal::Scores, (&mut near, &mut proxy), &seed, &());
            });
            let share = shared::receive_share(graph, &mut far.inbox).expect("a share");
            drop((far, _at_proxy));
            predicting.join().expect("no panic");
            share
        })
    };
    // The server's share does not depend on the input at all, and changes with the seed.
    let zeros = vec![vec![0; 100]];
    assert_eq!(*share(&input, 1), *share(&zeros, 1));
    assert_ne!(*share(&input, 1), *share(&input, 2));
}

#[test]
fn inputs_out_of_shape_or_range_are_refused() {
    let (graph, _, input) = network(1);
    let (mut near, _far) = Session::pair();
    let seed = Seed::from_bytes([0; 32]);
    let mut refused = |input: &[Vec<i64>]| {
        let error = client::predict(&graph, Options::default(), input, Reveal::Scores, &mut near, &seed, &())
            .expect_err("refused");
        assert!(matches!(error, Error::Refused(_)));
    };
    refused(&[]);
    refused(&[vec![0; 99]]);
    let mut large = input.clone();
    large[0][3] = 256;
    refused(&large);
}
