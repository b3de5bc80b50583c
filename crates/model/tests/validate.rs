//! Fixed-point graphs from a peer: whatever they hold, `validate` refuses or the reference runs.

// Helpers outside of test functions may fail a test as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::PathBuf;

use model::fixed::{FixedGraph, Limits, NumberFormat, Op, ParamData, Params};
use model::movement::{Source, sources};
use model::quantise::{Options, WeightBits, quantise};
use model::ranges::Ranges;
use model::{Side, onnx, reference};

fn made(name: &str, options: &Options) -> (FixedGraph, Params) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/{name}.onnx"));
    let graph = onnx::load(&path).unwrap();
    let ranges = Ranges::measure(&graph, &Side::default(), &[]).unwrap();
    quantise(&graph, &ranges, options).unwrap()
}

fn fixed(number: NumberFormat) -> Options {
    Options { weight_bits: WeightBits::Fixed(8), ..Options::new(number) }
}

const WORD: NumberFormat = NumberFormat::Word16;
const RING: NumberFormat = NumberFormat::Ring { bits: 0 };

#[test]
fn graphs_survive_their_wire_form() {
    for name in ["norms", "keras", "torch_shapes", "branches", "signals", "matrices", "opset9"] {
        for number in [WORD, RING] {
            let (graph, _) = made(name, &fixed(number));
            let json = serde_json::to_string(&graph).unwrap();
            let back: FixedGraph = serde_json::from_str(&json).unwrap();
            assert_eq!(graph, back);
            back.validate(&Limits::default()).unwrap();
        }
    }
}

#[test]
fn limits_are_kept() {
    let (graph, _) = made("norms", &fixed(WORD));
    for limits in [
        Limits { nodes: 3, ..Limits::default() },
        Limits { elements: 10, ..Limits::default() },
        Limits { total: 100, ..Limits::default() },
        Limits { parameters: 20, ..Limits::default() },
    ] {
        assert!(graph.validate(&limits).is_err());
    }
}

/// Each way to break the graph must be noticed.
#[test]
fn broken_graphs_are_refused() {
    let (graph, _) = made("branches", &fixed(WORD));
    type Break = fn(&mut FixedGraph);
    let breaks: [Break; 12] = [
        |g| g.nodes.clear(),
        |g| g.inputs.clear(),
        |g| g.outputs.clear(),
        |g| g.outputs[0].node = 1000,
        |g| g.nodes[2].inputs = vec![2],
        |g| g.nodes[2].inputs.push(0),
        |g| g.nodes[1].shape = vec![usize::MAX, usize::MAX],
        |g| g.nodes[1].shape.push(1),
        |g| g.nodes[0].format.bits = 0,
        |g| g.nodes[0].format.bits = 60,
        |g| g.number = NumberFormat::Ring { bits: 70 },
        |g| g.params[0].shape = vec![1],
    ];
    for (i, f) in breaks.iter().enumerate() {
        let mut broken = graph.clone();
        f(&mut broken);
        assert!(broken.validate(&Limits::default()).is_err(), "break {i}");
    }
    for shift in [63, 200, u32::MAX] {
        let mut broken = graph.clone();
        for node in &mut broken.nodes {
            if let Op::Conv { shift: s, .. } = &mut node.op {
                *s = vec![shift];
            }
        }
        assert!(broken.validate(&Limits::default()).is_err());
    }
}

fn noise(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Replaces a few numbers of a JSON text.
fn mutate(json: &str, state: &mut u64) -> String {
    let spots: Vec<usize> = json
        .char_indices()
        .filter(|&(i, c)| c.is_ascii_digit() && !json[..i].ends_with(|p: char| p.is_ascii_alphanumeric()))
        .map(|(i, _)| i)
        .collect();
    let mut text = json.to_owned();
    for _ in 0..1 + noise(state) % 3 {
        let at = spots[noise(state) as usize % spots.len()];
        let Some(rest) = text.get(at..) else { continue };
        let length = rest.bytes().take_while(u8::is_ascii_digit).count();
        let values =
            ["0", "1", "2", "3", "5", "7", "12", "31", "63", "64", "65", "255", "100000", "4294967295"];
        let wide = ["9223372036854775807", "18446744073709551615"];
        let pick = noise(state) as usize % (values.len() + wide.len());
        let value = values.get(pick).copied().unwrap_or_else(|| wide[pick - values.len()]);
        text.replace_range(at..at + length, value);
    }
    text
}

#[test]
fn damaged_graphs_never_panic() {
    let mut state = 7;
    let mut accepted = 0;
    for name in ["keras", "torch_shapes", "branches", "signals", "matrices"] {
        for number in [WORD, RING] {
            let (graph, _) = made(name, &fixed(number));
            let json = serde_json::to_string(&graph).unwrap();
            for _ in 0..400 {
                let Ok(graph) = serde_json::from_str::<FixedGraph>(&mutate(&json, &mut state)) else {
                    continue;
                };
                let limits = Limits { elements: 1 << 16, total: 1 << 20, parameters: 1 << 20, nodes: 1000 };
                if graph.validate(&limits).is_err() {
                    continue;
                }
                accepted += 1;
                let zeros = |n: usize| ParamData::I64(vec![-1; n]);
                let tensors = graph.params.iter().map(|p| zeros(p.shape.iter().product())).collect();
                let inputs: Vec<Vec<i64>> = graph
                    .inputs
                    .iter()
                    .map(|&i| vec![graph.nodes[i].format.limits().0; graph.nodes[i].shape.iter().product()])
                    .collect();
                reference::run(&graph, &Params { tensors }, &inputs).unwrap();
                for node in &graph.nodes {
                    let sources = sources(&graph, node);
                    assert!(sources.is_empty() || sources.len() == node.shape.iter().product::<usize>());
                }
            }
        }
    }
    assert!(accepted > 50, "{accepted}");
}

#[test]
fn movements_say_where_their_elements_come_from() {
    let mut seen = 0;
    for name in ["signals", "branches", "keras", "torch_shapes"] {
        let (graph, params) = made(name, &fixed(WORD));
        let inputs: Vec<Vec<i64>> = graph
            .inputs
            .iter()
            .map(|&i| {
                let (low, high) = graph.nodes[i].format.limits();
                let count: usize = graph.nodes[i].shape.iter().product();
                (0..count as i64).map(|v| low + v * 7 % (high - low)).collect()
            })
            .collect();
        let mut values: Vec<Vec<i64>> = Vec::new();
        reference::trace(&graph, &params, &inputs, |_, v| values.push(v.to_vec())).unwrap();
        for (node, result) in graph.nodes.iter().zip(&values) {
            for (source, v) in sources(&graph, node).iter().zip(result) {
                seen += 1;
                match *source {
                    Source::Element { operand, index } => assert_eq!(values[node.inputs[operand]][index], *v),
                    Source::Constant(c) => assert_eq!(c, *v),
                }
            }
        }
    }
    assert!(seen > 500);
}
