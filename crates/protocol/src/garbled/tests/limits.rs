//! Plans that ask for too much, or for another protocol.

use super::*;
use crate::garbled::{MAX_LABEL_BYTES, MAX_TABLE_BYTES, check as check_limits, supports};

fn refusal(graph: &FixedGraph) -> String {
    graph.validate(&Default::default()).expect("a valid graph");
    let (mut near, _far) = Session::pair();
    let input: Vec<Vec<i64>> =
        graph.inputs.iter().map(|input| vec![0; graph.nodes[*input].shape.iter().product()]).collect();
    let seed = Seed::from_bytes([0; 32]);
    let error = client::predict(graph, Options::default(), &input, Reveal::Scores, &mut near, &seed, &())
        .expect_err("refused");
    assert!(matches!(error, Error::Refused(_)), "{error}");
    assert_eq!(near.meter.snapshot().phases.map(|phase| phase.sent), [0; 3], "nothing was sent");
    error.to_string()
}

#[test]
fn plans_of_other_number_formats_are_refused() {
    for number in [NumberFormat::Ring { bits: 32 }, NumberFormat::Exact] {
        let (mut graph, _, _) = network(1);
        graph.number = number;
        for node in &mut graph.nodes {
            if let Op::Dense { shift, .. } = &mut node.op {
                shift.fill(0);
            }
        }
        assert!(refusal(&graph).contains("another protocol"));
    }
}

#[test]
fn a_computation_of_centuries_is_refused_at_once() {
    let mut builder = Builder::new(1);
    let mut x = builder.input(&[1, 64, 300, 300], 16);
    for _ in 0..100 {
        let (weight, bias) = (builder.param(&[64, 64, 3, 3], 16), builder.param(&[64], 16));
        let window = Window { kernel: [3, 3], stride: [1, 1], dilation: [1, 1], pads: [1; 4] };
        let op = Op::Conv { window, groups: 1, weight, bias, shift: vec![8] };
        x = builder.node(op, &[x], &[1, 64, 300, 300], 16);
    }
    builder.graph.outputs.push(Output { name: "y".into(), node: x, post: Post::None });
    assert!(refusal(&builder.graph).contains("garbled tables"));
}

#[test]
fn windows_far_larger_than_their_input_are_refused_at_once() {
    let mut builder = Builder::new(1);
    let x = builder.input(&[1, 1, 4000, 4000], 3);
    let window = Window { kernel: [2000; 2], stride: [1; 2], dilation: [1; 2], pads: [0; 4] };
    let op = Op::AveragePool { window, factor: vec![1], shift: 0 };
    let y = builder.node(op, &[x], &[1, 1, 2001, 2001], 3);
    builder.graph.outputs.push(Output { name: "y".into(), node: y, post: Post::None });
    assert!(refusal(&builder.graph).contains("garbled tables"));
}

#[test]
fn a_large_layer_of_public_zeros_is_refused_at_once() {
    let mut builder = Builder::new(1);
    let x = builder.input(&[1, 1, 4000, 4000], 3);
    let window = Window { kernel: [2000; 2], stride: [1; 2], dilation: [1; 2], pads: [0; 4] };
    let (weight, bias) = (builder.param(&[1, 1, 2000, 2000], 3), builder.param(&[1], 8));
    builder.graph.params[weight].support = Some(model::Support::new(4_000_000, |_| false));
    let op = Op::Conv { window, groups: 1, weight, bias, shift: vec![0] };
    let y = builder.node(op, &[x], &[1, 1, 2001, 2001], 3);
    builder.graph.outputs.push(Output { name: "y".into(), node: y, post: Post::None });
    assert!(refusal(&builder.graph).contains("garbled tables"));
}

#[test]
fn tensors_that_no_memory_holds_are_refused() {
    let mut builder = Builder::new(1);
    let x = builder.input(&[1], 16);
    let mut sizes = vec![x];
    for _ in 0..10 {
        sizes.push(builder.node(Op::Expand, &[x], &[1 << 26], 16));
    }
    let terms = vec![Term { left: 0, negative: false }; 10];
    let y = builder.node(Op::Sum { terms, shift: 0 }, &sizes[1..], &[1 << 26], 16);
    builder.graph.outputs.push(Output { name: "y".into(), node: y, post: Post::None });
    assert!(refusal(&builder.graph).contains("room for labels"));
}

/// The bounds are on estimates: they must be of the size of what is counted.
#[test]
fn estimates_are_of_the_size_of_the_price() {
    let near = |graph: &FixedGraph| {
        let exact = price(graph, Reveal::Scores, FirstLayer::Garbled).table_bytes;
        let estimate = crate::garbled::limits::table_bytes(graph, &Split::default());
        assert!(exact / 2 <= estimate && estimate / 4 <= exact, "{estimate} for {exact}: {:?}", graph.nodes);
    };
    near(&network(1).0);
    let window = Window { kernel: [3, 3], stride: [1, 1], dilation: [1, 1], pads: [1; 4] };
    let shape = [1, 8, 12, 12];
    let ops = [
        Op::MaxPool { window },
        Op::AveragePool { window, factor: vec![455], shift: 12 },
        Op::Product { shift: 8 },
        Op::Relu,
        Op::Clamp { low: -100, high: 700 },
        Op::LeakyRelu { factor: 41, shift: 12 },
        Op::PublicAffine { factor: 1234, addend: 99, shift: 10 },
        Op::Sigmoid,
        Op::Tanh,
    ];
    for op in ops {
        let mut builder = Builder::new(9);
        let x = builder.input(&shape, 16);
        let y = match op {
            Op::Product { .. } => {
                let other = builder.input(&shape, 16);
                builder.node(op, &[x, other], &shape, 16)
            }
            _ => builder.node(op, &[x], &shape, 16),
        };
        let (graph, _, _) = builder.finish(y);
        near(&graph);
    }
    let mut builder = Builder::new(9);
    let x = builder.input(&shape, 16);
    let (weight, bias) = (builder.param(&[8, 8, 3, 3], 8), builder.param(&[8], 20));
    let y = builder.node(Op::Conv { window, groups: 1, weight, bias, shift: vec![8] }, &[x], &shape, 16);
    near(&builder.finish(y).0);
}

#[test]
fn ordinary_networks_are_far_from_the_bounds() {
    let (graph, _, _) = network(1);
    check_limits(&graph, Reveal::Scores, FirstLayer::Garbled).expect("allowed");
    check_limits(&graph, Reveal::Label, FirstLayer::Garbled).expect("allowed");
    assert!(crate::garbled::limits::table_bytes(&graph, &Split::default()) < MAX_TABLE_BYTES / 1000);
    assert!(
        crate::garbled::limits::label_bytes(&graph, &Split::default(), Reveal::Label) < MAX_LABEL_BYTES / 100
    );
}

#[test]
fn products_alone_refuse_a_network_before_it_has_integers() {
    use model::graph::{Graph, Layer, Node};
    use model::{Tensor, fixed::Window};
    use std::sync::Arc;
    let network = |depth: usize, width: usize| {
        let shape = vec![1, 64, width, width];
        let node =
            |name: &str, layer, inputs| Node { name: name.into(), layer, inputs, shape: shape.clone() };
        let mut nodes = vec![node("x", Layer::Input { bytes: false }, vec![])];
        let weight = Arc::new(Tensor::new(vec![64, 64, 3, 3], vec![0.5; 64 * 64 * 9]).expect("a tensor"));
        let bias = Arc::new(Tensor::new(vec![64], vec![0.0; 64]).expect("a tensor"));
        for id in 0..depth {
            let window = Window { kernel: [3, 3], stride: [1, 1], dilation: [1, 1], pads: [1; 4] };
            let (weight, bias) = (weight.clone(), bias.clone());
            nodes.push(node("conv", Layer::Conv { window, groups: 1, weight, bias }, vec![id]));
        }
        let output = Output { name: "y".into(), node: depth, post: Post::None };
        Graph { name: String::new(), nodes, inputs: vec![0], outputs: vec![output] }
    };
    let refusal = supports(&network(10, 300)).expect_err("refused").to_string();
    assert!(refusal.contains("garbled tables") && refusal.contains("another protocol"), "{refusal}");
    // What reads the input alone goes by transfers.
    assert!(supports(&network(1, 300)).is_ok() && supports(&network(10, 8)).is_ok());
}
