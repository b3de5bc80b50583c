//! Both halves against the integer reference, over memory.

use std::thread;

use kernel::seed::Seed;
use model::fixed::{
    FixedGraph, Format, Node, NodeId, NumberFormat, Op, Output, ParamData, ParamId, ParamInfo, Params, Post,
    Term, Window,
};
use model::reference;

use super::keys::{ClientKeys, Held};
use super::server::Weights;
use super::{Method, Plan, client, price, server};
use crate::Reveal;
use crate::error::Error;
use crate::session::{Entry, Session};
use serde::Deserialize;

mod hostile;
mod networks;
mod slots;

pub(super) use networks::branches;

const RING: u32 = 30;

/// A graph under construction, with weights and inputs drawn from a fixed seed.
pub(super) struct Builder {
    graph: FixedGraph,
    params: Params,
    state: u64,
}

impl Builder {
    pub(super) fn new(seed: u64) -> Self {
        let graph = FixedGraph {
            number: NumberFormat::Ring { bits: RING },
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

    pub(super) fn input(&mut self, shape: &[usize]) -> NodeId {
        let node = self.node(Op::Input, &[], shape);
        self.graph.inputs.push(node);
        node
    }

    pub(super) fn node(&mut self, op: Op, inputs: &[NodeId], shape: &[usize]) -> NodeId {
        let name = format!("node {}", self.graph.nodes.len());
        let frac = if matches!(op, Op::ArgMax { .. }) { 0 } else { 8 };
        let format = Format { bits: 12, frac };
        self.graph.nodes.push(Node { name, op, inputs: inputs.to_vec(), shape: shape.to_vec(), format });
        self.graph.nodes.len() - 1
    }

    pub(super) fn param(&mut self, shape: &[usize], bits: u32) -> ParamId {
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

    pub(super) fn conv(&mut self, x: NodeId, (filters, groups): (usize, usize), window: Window) -> NodeId {
        let shape = self.graph.nodes[x].shape.clone();
        let [height, width] = window.output([shape[2], shape[3]]).expect("a window that fits");
        let kernel = window.kernel;
        let weight = self.param(&[filters, shape[1] / groups, kernel[0], kernel[1]], 8);
        let bias = self.param(&[filters], 14);
        let shift = (0..filters as u32).map(|filter| 7 + filter % 3).collect();
        let op = Op::Conv { window, groups, weight, bias, shift };
        self.node(op, &[x], &[shape[0], filters, height, width])
    }

    pub(super) fn dense(&mut self, x: NodeId, outputs: usize) -> NodeId {
        let mut shape = self.graph.nodes[x].shape.clone();
        let inputs = shape.pop().expect("an axis");
        shape.push(outputs);
        let weight = self.param(&[outputs, inputs], 8);
        let bias = self.param(&[outputs], 14);
        self.node(Op::Dense { weight, bias, shift: vec![9] }, &[x], &shape)
    }

    pub(super) fn same(&mut self, op: Op, inputs: &[NodeId]) -> NodeId {
        let shape = self.graph.nodes[inputs[0]].shape.clone();
        self.node(op, inputs, &shape)
    }

    pub(super) fn output(&mut self, node: NodeId) {
        self.graph.outputs.push(Output { name: "output".into(), node, post: Post::None });
    }

    pub(super) fn finish(mut self, output: NodeId) -> (FixedGraph, Params, Vec<Vec<i64>>) {
        self.output(output);
        let counts: Vec<usize> =
            self.graph.inputs.iter().map(|id| self.graph.nodes[*id].shape.iter().product()).collect();
        let values = counts.into_iter().map(|count| (0..count).map(|_| self.draw(12)).collect()).collect();
        self.graph.validate(&Default::default()).expect("a valid graph");
        (self.graph, self.params, values)
    }
}

/// Keys for a prediction of their own.
fn fresh(seed: &Seed) -> ClientKeys {
    ClientKeys::new(seed.child("keys", 0))
}

/// What a run left behind.
struct Run {
    result: Vec<Vec<i64>>,
    frames: Vec<Entry>,
    rounds: [u64; 3],
}

fn run(graph: &FixedGraph, params: &Params, input: &[Vec<i64>], reveal: Reveal, seed: u8) -> Run {
    run_by(Method::HeCoefficients, (graph, params), input, reveal, seed)
}

fn run_by(
    method: Method,
    (graph, params): (&FixedGraph, &Params),
    input: &[Vec<i64>],
    reveal: Reveal,
    seed: u8,
) -> Run {
    let plan = Plan::choose(graph, method).expect("a plan");
    run_plan((graph, &plan), params, input, reveal, seed)
}

fn run_plan(
    (graph, plan): (&FixedGraph, &Plan),
    params: &Params,
    input: &[Vec<i64>],
    reveal: Reveal,
    seed: u8,
) -> Run {
    let (mut near, mut far) = Session::pair();
    let transcript = near.record();
    let result = thread::scope(|scope| {
        let serving = scope.spawn(move || {
            // Half of the layers fit the memory.
            let weights = Weights::encode(graph, plan, params, 1 << 20).expect("a valid plan");
            let seed = Seed::from_bytes([!seed; 32]);
            server::predict(
                (graph, plan),
                (params, &weights),
                reveal,
                (&mut far, &mut Held::default(), &()),
                &seed,
            )
        });
        let seed = Seed::from_bytes([seed; 32]);
        let result =
            client::predict((graph, plan), (input, &mut fresh(&seed)), reveal, &mut near, &seed, &());
        if result.is_err() {
            near.give_up("the client failed");
        }
        let served = serving.join().expect("no panic");
        let result = result.expect("the client succeeds");
        served.expect("the server succeeds");
        result
    });
    let rounds = near.meter.snapshot().phases.map(|phase| phase.rounds);
    Run { result, frames: transcript.entries(), rounds }
}

/// Runs both ways of revealing and compares with the reference.
fn check((graph, params, input): (FixedGraph, Params, Vec<Vec<i64>>)) {
    let expected = reference::run(&graph, &params, &input).expect("the reference runs");
    assert_eq!(run(&graph, &params, &input, Reveal::Scores, 1).result, expected);
    let label = run(&graph, &params, &input, Reveal::Label, 2).result;
    let best = expected[0].iter().max().expect("an output");
    let position = expected[0].iter().position(|value| value == best).expect("its place");
    assert_eq!(label, [[position as i64]]);
}
