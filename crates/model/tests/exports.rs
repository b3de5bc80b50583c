//! Small networks as real exporters write them, against onnxruntime and the reference evaluator of onnx: import, float reference, integer references.

// Helpers outside of test functions may fail a test as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::path::PathBuf;

use common::{error, npz};
use model::fixed::NumberFormat;
use model::quantise::{Options, quantise};
use model::ranges::Ranges;
use model::{Error, Graph, Side, Tensor, float, onnx, reference};

/// Those of make.py, then those of make_exporters.py.
const NAMES: [&str; 12] = [
    "norms",
    "keras",
    "torch_shapes",
    "branches",
    "signals",
    "matrices",
    "opset9",
    "keras_tf2onnx",
    "keras_blocks",
    "torch_mobile",
    "sklearn_mlp",
    "sklearn_regressor",
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// A network, its input and the wanted outputs.
fn load(name: &str) -> (Graph, Vec<Tensor>, Vec<Vec<f64>>) {
    let graph = onnx::load(&folder().join(format!("{name}.onnx"))).unwrap();
    let arrays = npz(&folder().join(format!("{name}.npz")));
    let inputs =
        graph.inputs.iter().map(|&i| arrays[&format!("in_{}", graph.nodes[i].name)].tensor()).collect();
    let wanted = graph.outputs.iter().map(|o| arrays[&format!("out_{}", o.name)].values.clone()).collect();
    (graph, inputs, wanted)
}

#[test]
fn float_outputs_are_those_of_the_reference() {
    for name in NAMES {
        let (graph, inputs, wanted) = load(name);
        for (got, wanted) in float::run(&graph, &inputs).unwrap().iter().zip(&wanted) {
            let e = error(got.data(), wanted);
            assert!(e < 1e-5, "{name}: {e}");
        }
    }
}

fn integers(
    graph: &Graph,
    side: &Side,
    inputs: &[Tensor],
    data: bool,
    options: &Options,
) -> Result<Vec<Vec<f32>>, Error> {
    let data = if data { vec![inputs.to_vec()] } else { vec![] };
    let ranges = Ranges::measure(graph, side, &data)?;
    let (fixed, params) = quantise(graph, &ranges, options)?;
    let x: Vec<Vec<i64>> = inputs
        .iter()
        .enumerate()
        .map(|(i, t)| fixed.quantise_input(i, t.data()))
        .collect::<Result<_, _>>()?;
    reference::predict(&fixed, &params, &x)
}

#[test]
fn integer_outputs_stay_within_two_percent() {
    for name in NAMES {
        let (graph, inputs, wanted) = load(name);
        let side = match name {
            "keras" | "matrices" | "keras_tf2onnx" => Side::default(),
            name if name.starts_with("sklearn") => Side::parse("[input]\nrange = [0.0, 1.0]\n").unwrap(),
            _ => Side::parse("[input]\nrange = [-1.0, 1.0]\n").unwrap(),
        };
        for options in [Options::word16(), Options::ring(), Options::exact()] {
            for data in [true, false] {
                match integers(&graph, &side, &inputs, data, &options) {
                    Ok(got) => {
                        for (got, wanted) in got.iter().zip(&wanted) {
                            let e = error(got, wanted);
                            println!("{name} {:?} {data}: {e:.4}", options.number);
                            // Where nothing is truncated, deep networks end at a coarser goal.
                            let deep = name == "torch_mobile" && options.number == NumberFormat::Exact;
                            assert!(
                                e < if deep { 0.03 } else { 0.02 },
                                "{name}, {:?}, data {data}: {e}",
                                options.number
                            );
                        }
                    }
                    Err(error) => {
                        let text = error.to_string();
                        println!("{name} {:?} {data}: {text}", options.number);
                        assert!(options.number == NumberFormat::Exact, "{name}: {text}");
                        assert!(text.contains("truncat"), "{name}: {text}");
                    }
                }
            }
        }
    }
}

#[test]
fn batch_normalisation_folds_wherever_it_can() {
    let (graph, ..) = load("norms");
    let kinds: Vec<&str> = graph.nodes.iter().map(|n| n.layer.kind()).collect();
    // The one before the padded convolution keeps its addend: zeros in the padding come after it.
    let scales = kinds.iter().filter(|k| **k == "scale").count();
    assert_eq!(scales, 1, "{kinds:?}");
}

#[test]
fn constants_and_shapes_fold() {
    let (graph, ..) = load("torch_shapes");
    assert!(graph.nodes.iter().all(|n| n.layer.kind() != "constant"));
    assert_eq!(graph.inputs.len(), 1);
    let (graph, ..) = load("opset9");
    assert_eq!(graph.inputs.len(), 1);
    for name in ["keras_tf2onnx", "keras_blocks", "torch_mobile"] {
        let (graph, ..) = load(name);
        assert!(graph.nodes.iter().all(|n| n.layer.kind() != "constant"), "{name}");
    }
}
