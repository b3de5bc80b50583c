//! The float reference against stored outputs of onnxruntime.

// Helpers outside of test functions may fail a test as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{data, error, mnist, npz};
use model::{Tensor, float, onnx};

const TRAINED: [&str; 6] =
    ["gazelle_a", "cryptonets", "lola_small", "deepsecure_b1", "deepsecure_b2", "minionn_mnist"];
const RANDOM: [&str; 5] =
    ["minionn_cifar10", "resnet32_cifar100", "resnet32_cifar100_bn", "lola_cifar", "deepsecure_b3"];

#[test]
fn trained_models_give_the_stored_scores() {
    let (Some(data), Some(images)) = (data(), mnist()) else { return };
    for name in TRAINED {
        let graph = onnx::load(&data.join(format!("models/{name}.onnx"))).unwrap();
        let wanted = &npz(&data.join(format!("models/{name}.npz")))["y"];
        for (i, image) in images.iter().take(100).enumerate() {
            let shape = graph.nodes[graph.inputs[0]].shape.clone();
            let y = float::run(&graph, &[Tensor::new(shape, image.clone()).unwrap()]).unwrap();
            let e = error(y[0].data(), &wanted.values[i * 10..(i + 1) * 10]);
            assert!(e < 1e-4, "{name}, image {i}: {e}");
        }
    }
}

#[test]
fn random_models_give_the_stored_outputs() {
    let Some(data) = data() else { return };
    for name in RANDOM {
        let graph = onnx::load(&data.join(format!("models/{name}.onnx"))).unwrap();
        let arrays = npz(&data.join(format!("models/{name}.npz")));
        let (x, y) = (&arrays["x"], &arrays["y"]);
        for i in 0..x.shape[0] {
            let got = float::run(&graph, &[x.row(i)]).unwrap();
            let e = error(got[0].data(), &y.values[i * y.shape[1]..(i + 1) * y.shape[1]]);
            assert!(e < 1e-4, "{name}, input {i}: {e}");
        }
    }
}

#[test]
fn a_real_network_gives_the_stored_outputs() {
    let Some(data) = data() else { return };
    let graph = onnx::load(&data.join("real/open-nsfw.onnx")).unwrap();
    let wanted = &npz(&data.join("real/open-nsfw-reference.npz"))["y"];
    for (i, name) in ["china", "flower", "china_mirror_crop"].iter().enumerate() {
        let x = common::npy(&std::fs::read(data.join(format!("real/{name}.npy"))).unwrap()).unwrap();
        let y = float::run(&graph, &[x.tensor()]).unwrap();
        let e = error(y[0].data(), &wanted.values[i * 2..i * 2 + 2]);
        assert!(e < 1e-4, "{name}: {e}");
    }
}
