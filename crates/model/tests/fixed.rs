//! The integer reference against the float outputs of onnxruntime.

// Helpers outside of test functions may fail a test as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::path::Path;

use common::{Array, data, error, mnist, npz};
use model::fixed::{FixedGraph, NumberFormat, Params};
use model::quantise::{Options, Scales, quantise};
use model::ranges::Ranges;
use model::{Error, Graph, Side, Tensor, onnx, reference};

fn build(graph: &Graph, options: &Options, data: &[Vec<Tensor>]) -> Result<(FixedGraph, Params), Error> {
    let ranges = Ranges::measure(graph, &Side::default(), data)?;
    quantise(graph, &ranges, options)
}

fn scores(made: &(FixedGraph, Params), input: &Tensor) -> Vec<f32> {
    let x = made.0.quantise_input(0, input.data()).unwrap();
    reference::predict(&made.0, &made.1, &[x]).unwrap().swap_remove(0)
}

/// Quantises a model and returns the largest error over its stored inputs.
fn worst(
    path: &Path,
    options: &Options,
    inputs: &[Tensor],
    y: &Array,
    calibrate: bool,
) -> Result<f64, Error> {
    let graph = onnx::load(path)?;
    let data: Vec<Vec<Tensor>> =
        if calibrate { inputs.iter().map(|x| vec![x.clone()]).collect() } else { vec![] };
    let made = build(&graph, options, &data)?;
    let each = y.values.len() / y.shape[0];
    let mut worst = 0f64;
    for (x, wanted) in inputs.iter().zip(y.values.chunks(each)) {
        let got = scores(&made, x);
        worst = worst.max(error(&got, wanted));
        if made.0.number == NumberFormat::Exact {
            let best = |v: &dyn Fn(usize) -> f64| (0..each).max_by(|&a, &b| v(a).total_cmp(&v(b)));
            assert_eq!(best(&|i| f64::from(got[i])), best(&|i| wanted[i]), "{}: the class", path.display());
        }
    }
    let words = made.0.params.iter().map(|p| p.bits).collect::<Vec<_>>();
    let bits = made.0.nodes.iter().map(|n| n.format.bits).max();
    println!(
        "{:<24} {:?} widest tensor {bits:?} parameters {:?}: {worst:.5}",
        path.file_stem().unwrap().display(),
        made.0.number,
        words.iter().max()
    );
    Ok(worst)
}

const ALL: [&str; 11] = [
    "gazelle_a",
    "cryptonets",
    "lola_small",
    "deepsecure_b1",
    "deepsecure_b2",
    "minionn_mnist",
    "minionn_cifar10",
    "lola_cifar",
    "deepsecure_b3",
    "resnet32_cifar100",
    "resnet32_cifar100_bn",
];

/// The stored inputs of a model.
fn stored(data: &Path, name: &str) -> (Vec<Tensor>, Array) {
    let arrays = npz(&data.join(format!("models/{name}.npz")));
    let y = arrays["y"].clone();
    let inputs = match arrays.get("x") {
        Some(x) => (0..x.shape[0]).map(|i| x.row(i)).collect(),
        None => {
            let images = mnist().unwrap();
            let shape = onnx::load(&data.join(format!("models/{name}.onnx"))).unwrap().nodes[0].shape.clone();
            (0..100).map(|i| Tensor::new(shape.clone(), images[i].clone()).unwrap()).collect()
        }
    };
    (inputs, y)
}

fn all_within(options: &Options) {
    let Some(data) = data() else { return };
    for name in ALL {
        let (inputs, y) = stored(&data, name);
        let e = worst(&data.join(format!("models/{name}.onnx")), options, &inputs, &y, false).unwrap();
        assert!(e < 0.02, "{name}: {e}");
    }
}

#[test]
fn words_stay_within_two_percent() {
    all_within(&Options::word16());
}

#[test]
fn rings_stay_within_two_percent() {
    all_within(&Options::ring());
}

/// The networks of polynomials among them.
const POLYNOMIAL: [&str; 4] = ["gazelle_a", "cryptonets", "lola_small", "lola_cifar"];

#[test]
fn exact_integers_stay_within_two_percent() {
    let Some(data) = data() else { return };
    for name in POLYNOMIAL {
        let (inputs, y) = stored(&data, name);
        let path = data.join(format!("models/{name}.onnx"));
        for calibrate in [false, true] {
            let e = worst(&path, &Options::exact(), &inputs, &y, calibrate).unwrap();
            assert!(e < 0.02, "{name}: {e}");
        }
    }
}

#[test]
fn scales_can_be_given() {
    let Some(data) = data() else { return };
    // Those of LoLa's implementation for its small network: 64 for inputs and weights alike.
    let scales = Scales { input: 6, layers: vec![6, 6] };
    let graph = onnx::load(&data.join("models/lola_small.onnx")).unwrap();
    let (inputs, y) = stored(&data, "lola_small");
    let samples: Vec<Vec<Tensor>> = inputs.iter().map(|x| vec![x.clone()]).collect();
    let made = build(&graph, &Options::exact_at(scales), &samples).unwrap();
    assert_eq!(made.0.nodes.iter().map(|n| n.format.frac).max(), Some(30));
    assert!(made.0.nodes.iter().all(|n| n.format.bits <= 36), "30 fraction bits, 5 before them and a sign");
    for (x, y) in inputs.iter().zip(y.values.chunks(10)) {
        let got = scores(&made, x);
        let top = |v: &[f64]| (0..10).max_by(|&a, &b| v[a].total_cmp(&v[b]));
        let wide: Vec<f64> = got.iter().map(|&v| f64::from(v)).collect();
        assert_eq!(top(&wide), top(y));
    }
    let wrong = Scales { input: 6, layers: vec![6] };
    assert!(build(&graph, &Options::exact_at(wrong), &[]).err().unwrap().to_string().contains("2 layers"));
}

#[test]
fn what_needs_a_truncation_is_refused_without_one() {
    let Some(data) = data() else { return };
    for (name, why) in
        [("deepsecure_b2", "sigmoid"), ("deepsecure_b3", "tanh"), ("resnet32_cifar100", "bits")]
    {
        let graph = onnx::load(&data.join(format!("models/{name}.onnx"))).unwrap();
        let error = build(&graph, &Options::exact(), &[]).err().unwrap().to_string();
        assert!(error.contains(why) && error.contains("truncat"), "{name}: {error}");
    }
}

#[test]
fn a_real_network_stays_within_two_percent() {
    let Some(data) = data() else { return };
    let read = |name: &str| {
        common::npy(&std::fs::read(data.join(format!("real/{name}.npy"))).unwrap()).unwrap().tensor()
    };
    let inputs = ["china", "flower", "china_mirror_crop"].map(read);
    let arrays = npz(&data.join("real/open-nsfw-reference.npz"));
    let (path, y, logits) = (data.join("real/open-nsfw.onnx"), &arrays["y"], &arrays["logits"]);
    for options in [Options::word16(), Options::ring()] {
        let e = worst(&path, &options, &inputs, y, true).unwrap();
        assert!(e < 0.02, "{e}");
    }
    let graph = onnx::load(&path).unwrap();
    let side =
        Side::parse("[input]\nscale = 1.0\nmean = [104.0, 117.0, 123.0]\nchannels = \"bgr\"\n").unwrap();
    let ranges = Ranges::measure(&graph, &side, &[]).unwrap();
    for options in [Options::word16(), Options::ring()] {
        let (fixed, params) = quantise(&graph, &ranges, &options).unwrap();
        for (i, input) in inputs.iter().enumerate() {
            let x = fixed.quantise_input(0, input.data()).unwrap();
            let got = fixed.dequantise_raw(0, &reference::run(&fixed, &params, &[x]).unwrap()[0]).unwrap();
            let e = error(&got, &logits.values[2 * i..2 * i + 2]);
            println!("logits {:?}: {e:.5}", fixed.number);
            assert!(e < 0.02, "scores of input {i}: {e}");
        }
    }
}

/// Share of the 10,000 test images on which the integer reference and onnxruntime agree on the class.
fn agreement(name: &str, options: &Options) -> f64 {
    let (Some(data), Some(images)) = (data(), mnist()) else { return 1.0 };
    let graph = onnx::load(&data.join(format!("models/{name}.onnx"))).unwrap();
    let wanted = &npz(&data.join(format!("models/{name}.npz")))["pred_all"];
    let (fixed, params) = build(&graph, options, &[]).unwrap();
    let same = images
        .iter()
        .zip(&wanted.values)
        .filter(|(image, class)| {
            let x = fixed.quantise_input(0, image).unwrap();
            let y = reference::run(&fixed, &params, &[x]).unwrap();
            let top = (0..10).rev().max_by_key(|&c| y[0][c]).unwrap();
            top as f64 == **class
        })
        .count();
    println!("{name:<16} {:?}: {same} of {}", fixed.number, images.len());
    same as f64 / images.len() as f64
}

#[test]
#[ignore = "60,000 predictions"]
fn rings_agree_on_every_class() {
    for name in &ALL[..6] {
        assert!(agreement(name, &Options::ring()) >= 0.999, "{name}");
    }
}

#[test]
#[ignore = "60,000 predictions"]
fn words_agree_on_nearly_every_class() {
    for name in &ALL[..6] {
        assert!(agreement(name, &Options::word16()) >= 0.99, "{name}");
    }
}
