//! Plans: found, checked in the clear against the reference, run on ciphertexts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

use ::kernel::seed::Seed;
use model::fixed::{
    FixedGraph, Format, Node, NumberFormat, Op, Output, ParamData, ParamInfo, Params, Post, Term, Window,
};

use super::*;
use crate::encrypted::Service;
use crate::encrypted::outline::MAX_SHARED_BITS;

/// A network being written down.
struct Draw {
    graph: FixedGraph,
    params: Params,
}

impl Draw {
    fn new(shape: &[usize]) -> Self {
        let graph = FixedGraph {
            number: NumberFormat::Exact,
            nodes: Vec::new(),
            params: Vec::new(),
            inputs: vec![0],
            input_levels: Vec::new(),
            result_bits: Vec::new(),
            outputs: Vec::new(),
        };
        let mut draw = Self { graph, params: Params { tensors: Vec::new() } };
        draw.node(Op::Input, &[], shape, 5);
        draw
    }

    fn node(&mut self, op: Op, inputs: &[usize], shape: &[usize], bits: u32) -> usize {
        let name = format!("layer {}", self.graph.nodes.len());
        let format = Format { bits, frac: 0 };
        self.graph.nodes.push(Node { name, op, inputs: inputs.to_vec(), shape: shape.to_vec(), format });
        self.graph.nodes.len() - 1
    }

    fn param(&mut self, shape: &[usize], bits: u32) -> usize {
        let (count, id) = (shape.iter().product::<usize>() as i32, self.graph.params.len());
        let values = (0..count).map(|i| (i * 29 + 7 * id as i32) % 15 - 7).collect();
        self.graph.params.push(ParamInfo {
            name: format!("p{id}"),
            shape: shape.to_vec(),
            bits,
            support: None,
        });
        self.params.tensors.push(ParamData::I32(values));
        id
    }

    fn conv(
        &mut self,
        input: usize,
        maps: usize,
        kernel: usize,
        stride: usize,
        pad: usize,
        bits: u32,
    ) -> usize {
        let shape = self.graph.nodes[input].shape.clone();
        let out = (shape[2] + 2 * pad - kernel) / stride + 1;
        let (weight, bias) = (self.param(&[maps, shape[1], kernel, kernel], 4), self.param(&[maps], 8));
        let window = Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [1; 2], pads: [pad; 4] };
        let op = Op::Conv { window, groups: 1, weight, bias, shift: vec![0] };
        self.node(op, &[input], &[1, maps, out, out], bits)
    }

    fn dense(&mut self, input: usize, outputs: usize, bits: u32) -> usize {
        let width: usize = self.graph.nodes[input].shape.iter().product();
        let flat = self.node(Op::Reshape, &[input], &[1, width], self.graph.nodes[input].format.bits);
        let (weight, bias) = (self.param(&[outputs, width], 4), self.param(&[outputs], 8));
        self.node(Op::Dense { weight, bias, shift: vec![0] }, &[flat], &[1, outputs], bits)
    }

    fn square(&mut self, input: usize, bits: u32) -> usize {
        let shape = self.graph.nodes[input].shape.clone();
        self.node(Op::Product { shift: 0 }, &[input, input], &shape, bits)
    }

    fn done(mut self, output: usize) -> (FixedGraph, Params) {
        self.graph.outputs.push(Output { name: "y".into(), node: output, post: Post::None });
        (self.graph, self.params)
    }
}

/// A LoLa network in small: convolution, square, fully connected, square, fully connected.
fn lola() -> (FixedGraph, Params) {
    let mut draw = Draw::new(&[1, 1, 8, 8]);
    let conv = draw.conv(0, 3, 3, 2, 1, 12);
    let square = draw.square(conv, 24);
    let hidden = draw.dense(square, 6, 34);
    let square = draw.square(hidden, 58);
    let last = draw.dense(square, 3, 64);
    draw.done(last)
}

fn small() -> (FixedGraph, Params) {
    let mut draw = Draw::new(&[1, 1, 8, 8]);
    let conv = draw.conv(0, 3, 3, 2, 1, 12);
    let square = draw.square(conv, 24);
    let last = draw.dense(square, 3, 34);
    draw.done(last)
}

/// Two convolutions, an average pool, a residual addition and a polynomial.
fn residual() -> (FixedGraph, Params) {
    let mut draw = Draw::new(&[1, 2, 6, 6]);
    let first = draw.conv(0, 2, 3, 1, 1, 12);
    let square = draw.square(first, 24);
    let second = draw.conv(square, 2, 3, 1, 1, 32);
    let terms = vec![Term { left: 0, negative: false }, Term { left: 1, negative: true }];
    let sum = draw.node(Op::Sum { terms, shift: 0 }, &[second, square], &[1, 2, 6, 6], 33);
    let affine = draw.node(Op::PublicAffine { factor: 3, addend: -5, shift: 0 }, &[sum], &[1, 2, 6, 6], 36);
    let square = draw.square(affine, 72);
    let window = Window { kernel: [2; 2], stride: [2; 2], dilation: [1; 2], pads: [0; 4] };
    let op = Op::AveragePool { window, factor: vec![1], shift: 0 };
    let pool = draw.node(op, &[square], &[1, 2, 3, 3], 74);
    let last = draw.dense(pool, 4, 84);
    draw.done(last)
}

fn checked(network: &(FixedGraph, Params), options: &Options) -> Plan {
    let (graph, params) = network;
    let plan = Plan::find(graph, options).unwrap();
    plan.check(graph, params, 2, 7).unwrap();
    let text = serde_json::to_string(&plan).unwrap();
    let back: Plan = serde_json::from_str(&text).unwrap();
    assert_eq!(back, plan);
    back.validate(graph).unwrap();
    plan
}

fn encrypted(plan: &Plan, (graph, params): &(FixedGraph, Params), memory: u64) {
    let program = plan.program(graph, params, memory).unwrap();
    let service = Service::new(plan.outline(graph).unwrap(), Box::new(program)).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    crate::encrypted::check::check(&service, graph, params, &pool, &Seed::from_bytes([3; 32])).unwrap();
}

fn total(plan: &Plan, graph: &FixedGraph) -> Operations {
    plan.operations(graph).unwrap().into_iter().fold(Operations::default(), |a, b| a + b)
}

#[test]
fn a_small_lola() {
    let network = lola();
    let plan = checked(&network, &Options::default());
    encrypted(&plan, &network, 1 << 30);
    let paper = checked(&network, &Options { preset: Some(Preset::Lola), ..Options::default() });
    assert_eq!(paper.name, "lola-paper");
    encrypted(&paper, &network, 0);
    let (found, paper) = (total(&plan, &network.0), total(&paper, &network.0));
    assert!(found.key_switches() < paper.key_switches(), "{found:?} {paper:?}");
}

#[test]
fn a_network_from_a_dense_image() {
    let network = lola();
    checked(&network, &Options { preset: Some(Preset::LolaDense), ..Options::default() });
}

/// Several moduli are no wider than an outline allows, each and together, whatever the width of the results.
#[test]
fn wide_results_have_a_space() {
    for (slots, bits) in
        [256, 512, 1024, 2048].into_iter().flat_map(|s| (20..=MOST_BITS).map(move |b| (s, b)))
    {
        let found = search::spaces(Cycle::single(slots), bits);
        // Moduli of few slots are rare.
        assert!(slots < 2048 || !found.is_empty(), "{bits} bits");
        for (_, spaces) in found {
            let wide: f64 = spaces.iter().map(bfv::PlainModulus::log2).sum();
            assert!((f64::from(bits)..=126.0).contains(&wide), "{slots} slots, {bits} bits: {wide}");
            let shared =
                |one: &bfv::PlainModulus| one.slot_modulus().is_some_and(|t| t >> MAX_SHARED_BITS == 0);
            assert!(spaces.len() == 1 || spaces.iter().all(shared), "{slots} slots, {bits} bits");
        }
    }
}

#[test]
fn a_row_at_a_time() {
    let network = lola();
    let plan = checked(&network, &Options { preset: Some(Preset::LolaCifar), ..Options::default() });
    let count = total(&plan, &network.0);
    // Combining three maps, six rows and three of log n rotations; the masks need none.
    let log = u64::from(plan.cycle().unwrap().columns.ilog2());
    assert_eq!((count.rotations + count.hoisted, count.squares), (2 + 9 * log, 2));
    encrypted(&plan, &network, 1 << 30);
}

/// The paper's MNIST network at its own size: from the dense image, a row of the first matrix fills all slots.
#[test]
fn the_papers_plans_at_the_papers_size() {
    let mut draw = Draw::new(&[1, 1, 28, 28]);
    let conv = draw.conv(0, 5, 5, 2, 1, 14);
    let square = draw.square(conv, 28);
    let hidden = draw.dense(square, 100, 42);
    let square = draw.square(hidden, 68);
    let last = draw.dense(square, 10, 80);
    let network = draw.done(last);
    for preset in [Preset::Lola, Preset::LolaDense] {
        let plan = checked(&network, &Options { preset: Some(preset), ..Options::default() });
        assert_eq!(plan.name, preset.to_string());
    }
}

#[test]
fn the_papers_small_network() {
    let network = small();
    let plan = checked(&network, &Options { preset: Some(Preset::LolaSmall), ..Options::default() });
    let count = total(&plan, &network.0);
    // Nine scalars for each of three maps, two rotations to combine, a square, three rows of log n rotations.
    let log = u64::from(plan.cycle().unwrap().columns.ilog2());
    assert_eq!((count.scalars, count.rotations + count.hoisted, count.squares), (27, 2 + 3 * log, 1));
    assert!(
        Plan::find(&lola().0, &Options { preset: Some(Preset::LolaSmall), ..Options::default() }).is_err()
    );
}

#[test]
fn residuals_pools_and_polynomials() {
    let network = residual();
    let plan = checked(&network, &Options::default());
    encrypted(&plan, &network, 1 << 20);
}

#[test]
fn what_has_no_plan_is_refused_with_its_layer() {
    let mut draw = Draw::new(&[1, 1, 8, 8]);
    let conv = draw.conv(0, 3, 3, 2, 1, 12);
    let relu = draw.node(Op::Relu, &[conv], &[1, 3, 4, 4], 12);
    let (graph, _) = draw.done(relu);
    let refusal = Plan::find(&graph, &Options::default()).unwrap_err();
    assert!(matches!(&refusal, Refusal::Layer { name, .. } if name == "layer 2"), "{refusal}");

    let (mut graph, _) = small();
    graph.nodes.last_mut().unwrap().format.bits = 126;
    let refusal = Plan::find(&graph, &Options::default()).unwrap_err();
    assert!(matches!(refusal, Refusal::Range { bits: 126, .. }), "{refusal}");
    assert!("lola".parse::<Preset>().is_err());
}

#[test]
fn plans_for_another_network_are_refused() {
    let network = small();
    let plan = checked(&network, &Options::default());
    assert!(plan.validate(&lola().0).is_err());
    let refused = |change: &dyn Fn(&mut Plan)| {
        let mut plan = plan.clone();
        change(&mut plan);
        assert!(plan.validate(&network.0).is_err(), "{plan:?}");
    };
    refused(&|p| p.scheme.degree = 1 << 40);
    refused(&|p| p.scheme.degree /= 2);
    refused(&|p| p.scheme.spaces.clear());
    refused(&|p| p.scheme.spaces = vec![Space::Generalised { base: 2, power: 0 }]);
    refused(&|p| p.scheme.data.push(3));
    refused(&|p| p.limbs = 0);
    refused(&|p| p.limbs = 99);
    refused(&|p| p.noise = f64::NAN);
    refused(&|p| drop(p.steps.pop()));
    refused(&|p| p.steps.swap(0, 1));
    refused(&|p| {
        if let Step::Linear { stages } = &mut p.steps[1] {
            stages.clear();
        }
    });
    refused(&|p| {
        if let Step::Linear { stages } = &mut p.steps[1] {
            stages[0].level = 1000;
        }
    });
    refused(&|p| {
        if let Step::Input { layout, .. } = &mut p.steps[0] {
            layout.ciphertexts = usize::MAX;
        }
    });
}
