//! Gradients against finite differences, and scores against the float reference, for every kind of layer.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::sync::Arc;

use candle_core::{Device, Tensor};
use common::{Net, numbers};
use model::fixed::Window;
use model::graph::{Graph, Layer};
use planner::draws::Draws;
use planner::network::{Activations, Role};
use planner::{Data, Network, train};

fn network(graph: &Graph) -> Network {
    Network::new(graph).unwrap()
}

/// Some examples with labels.
fn data(graph: &Graph, count: usize) -> Data {
    let widths: Vec<usize> = graph.inputs.iter().map(|&i| graph.nodes[i].shape.iter().product()).collect();
    let inputs = widths.iter().enumerate().map(|(i, w)| numbers(9 + i as u64, w * count)).collect();
    let classes: usize = graph.nodes[graph.outputs[0].node].shape.iter().product();
    Data::new(inputs, &widths, (0..count).map(|i| (i % classes) as u32).collect(), classes).unwrap()
}

/// The slope of the loss along a direction in one tensor, by the gradient and by differences.
fn check(network: &mut Network, data: &Data) {
    let examples: Vec<usize> = (0..data.len()).collect();
    let (inputs, labels) = data.batch(&examples).unwrap();
    let gradients = train::gradients(network, &inputs, &labels).unwrap();
    for (index, gradient) in gradients.iter().enumerate() {
        let start = network.values(index).unwrap();
        let mut draws = Draws::new(index as u64, 5);
        let direction: Vec<f32> = start.iter().map(|_| draws.normal() as f32).collect();
        let slope: f64 = gradient.iter().zip(&direction).map(|(g, d)| f64::from(*g) * f64::from(*d)).sum();
        let mut loss = |by: f32| {
            let moved: Vec<f32> = start.iter().zip(&direction).map(|(w, d)| w + by * d).collect();
            network.set(index, &moved).unwrap();
            let scores = network.scores(&inputs).unwrap();
            train::loss(&scores, &labels, network.classes()).unwrap()
        };
        // Short, so that few values cross a corner of their activation on the way.
        let step = 4e-4;
        let measured = (loss(step) - loss(-step)) / (2.0 * f64::from(step));
        network.set(index, &start).unwrap();
        let parameter = &network.parameters()[index];
        let name = &network.graph().nodes[parameter.node].name;
        let tolerance = 0.04 * slope.abs().max(measured.abs()).max(0.1);
        assert!((slope - measured).abs() < tolerance, "{name} {:?}: {slope} {measured}", parameter.role);
    }
}

/// Scores are the float reference's.
fn same_as_reference(network: &Network, graph: &Graph, data: &Data) {
    let (inputs, _) = data.batch(&[0, 1, 2]).unwrap();
    let scores = network.scores(&inputs).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for (example, row) in scores.chunks(network.classes()).enumerate() {
        let tensors: Vec<model::Tensor> = graph
            .inputs
            .iter()
            .enumerate()
            .map(|(i, &id)| {
                model::Tensor::new(graph.nodes[id].shape.clone(), data.input(example, i).to_vec()).unwrap()
            })
            .collect();
        let wanted = model::float::trace(graph, &tensors, |_, _| {}).unwrap();
        for (got, wanted) in row.iter().zip(wanted[0].data()) {
            assert!((got - wanted).abs() < 1e-4 * (1.0 + wanted.abs()), "{got} {wanted}");
        }
    }
}

fn all(graph: &Graph) {
    let data = data(graph, 6);
    let mut network = network(graph);
    same_as_reference(&network, graph, &data);
    check(&mut network, &data);
    // A written network says the same.
    let again =
        model::onnx::from_bytes(&model::onnx::to_bytes(&network.to_graph().unwrap()).unwrap(), None).unwrap();
    same_as_reference(&network, &again, &data);
}

#[test]
fn convolutions_of_every_shape() {
    for (window, groups) in [
        (Window::new([3, 3]), 1),
        (Window { kernel: [3, 2], stride: [2, 1], dilation: [1, 2], pads: [1, 0, 0, 2] }, 1),
        (Window { kernel: [3, 3], stride: [1, 2], dilation: [2, 1], pads: [2, 1, 2, 1] }, 2),
        (Window { kernel: [1, 1], stride: [2, 2], dilation: [1, 1], pads: [0; 4] }, 4),
    ] {
        let mut net = Net::new(&[1, 4, 7, 8]);
        net.conv(6, window, 1);
        net.push(Layer::Tanh);
        net.conv(8, Window { pads: [1; 4], ..Window::new([3, 3]) }, 2);
        net.conv(8, window, if groups == 4 { 4 } else { groups });
        net.dense(5);
        all(&net.finish());
    }
}

#[test]
fn pools_and_activations() {
    let halves = Window { kernel: [2, 2], stride: [2, 2], dilation: [1, 1], pads: [0; 4] };
    let odd = Window { kernel: [3, 2], stride: [1, 2], dilation: [1, 1], pads: [1, 0, 1, 1] };
    for (layer, window) in [(0, halves), (1, odd), (2, halves), (3, odd)] {
        let mut net = Net::new(&[1, 2, 6, 6]);
        net.conv(3, Window { pads: [1; 4], ..Window::new([3, 3]) }, 1);
        net.push(match layer {
            0 => Layer::MaxPool { window },
            1 => Layer::MaxPool { window },
            _ => Layer::AveragePool { window, factor: vec![1.0 / window.taps() as f32] },
        });
        net.push(
            [
                Layer::Sigmoid,
                Layer::LeakyRelu { slope: 0.3 },
                Layer::Clamp { low: -0.7, high: 0.9 },
                Layer::Relu,
            ][layer]
                .clone(),
        );
        net.dense(4);
        all(&net.finish());
    }
}

#[test]
fn movements_sums_products_and_scales() {
    let mut net = Net::new(&[1, 2, 4, 6]);
    let x = net.last();
    net.push(Layer::Transpose { perm: vec![0, 1, 3, 2] });
    net.push_to(Layer::Slice { start: vec![0, 1, 5, 0], step: vec![1, -1, -2, 1] }, &[1, 2, 3, 4]);
    net.push(Layer::Pad { before: vec![0, 0, 1, 0], after: vec![0, 0, 0, 2], value: 0.5 });
    net.push_to(Layer::Reshape, &[1, 2, 4, 6]);
    let moved = net.last();
    net.push_from(Layer::Concat { axis: 1 }, &[moved, x]);
    net.push_to(Layer::Slice { start: vec![0, 1, 0, 0], step: vec![1; 4] }, &[1, 2, 4, 6]);
    let factor = Arc::new(model::Tensor::new(vec![2, 1, 1], vec![1.5, -0.5]).unwrap());
    let addend = Arc::new(model::Tensor::new(vec![4, 6], numbers(3, 24)).unwrap());
    net.push(Layer::Affine { factor: Some(factor), addend: Some(addend) });
    let a = net.last();
    net.push(Layer::PRelu { slope: Arc::new(model::Tensor::new(vec![2, 1, 1], vec![0.2, -0.1]).unwrap()) });
    let b = net.last();
    net.push_from(Layer::Product, &[a, b]);
    let c = net.last();
    net.push_from(Layer::Sum { negative: vec![false, true, false] }, &[c, x, moved]);
    net.push(Layer::PublicAffine { factor: 0.5, addend: 0.25 });
    let d = net.last();
    net.push_from(Layer::Product, &[d, d]);
    net.dense(3);
    all(&net.finish());
}

#[test]
fn quadratics_between_relu6_and_square() {
    let mut net = Net::new(&[1, 2, 6, 6]);
    net.conv(3, Window::new([3, 3]), 1);
    net.push(Layer::MaxPool { window: Window::new([2, 2]) });
    net.push(Layer::Relu);
    let relu = net.last();
    net.conv(3, Window { pads: [1; 4], ..Window::new([3, 3]) }, 1);
    net.push(Layer::Relu);
    net.dense(4);
    net.push(Layer::Relu);
    let second = net.last();
    net.dense(3);
    let graph = net.finish();
    let data = data(&graph, 6);
    let activations = Activations { clipped: true, quadratic: vec![relu, second] };
    let mut network = Network::with_activations(&graph, &activations).unwrap();
    assert_eq!(network.parameters().iter().filter(|p| p.role == Role::Quadratic).count(), 2);
    for blend in [0.4, 1.0] {
        network.blend = blend;
        check(&mut network, &data);
    }
    // The written network has squares and no ReLU in those places, and the same scores.
    let written = network.to_graph().unwrap();
    let again = model::onnx::from_bytes(&model::onnx::to_bytes(&written).unwrap(), None).unwrap();
    same_as_reference(&network, &written, &data);
    same_as_reference(&network, &again, &data);
    let count =
        |graph: &Graph, wanted: fn(&Layer) -> bool| graph.nodes.iter().filter(|n| wanted(&n.layer)).count();
    assert_eq!(count(&again, |l| matches!(l, Layer::Product)), 2);
    assert_eq!(count(&again, |l| matches!(l, Layer::Clamp { .. })), 1);
    assert_eq!(count(&again, |l| matches!(l, Layer::Relu)), 0);
    // Nothing but sums stays around the squares, and before a matrix not even these.
    assert_eq!(count(&again, |l| matches!(l, Layer::Affine { .. })), 1);
}

#[test]
fn what_cannot_be_trained_is_named() {
    let mut net = Net::new(&[1, 8]);
    net.dense(4);
    net.push(Layer::ArgMax { axis: 1, last: false });
    let error = Network::new(&net.finish()).err().unwrap().to_string();
    assert!(
        error.starts_with("n2: a arg-max cannot be trained") || error.contains("arg-max cannot be trained"),
        "{error}"
    );
}

#[test]
fn several_inputs() {
    let mut net = Net::new(&[1, 5]);
    let first = net.last();
    let second = net.input(&[1, 5]);
    net.push_from(Layer::Sum { negative: vec![false, false] }, &[first, second]);
    net.dense(3);
    all(&net.finish());
}

#[test]
fn one_value_a_sample() {
    let x = Tensor::zeros((2, 4), candle_core::DType::F32, &Device::Cpu).unwrap();
    let mut net = Net::new(&[1, 4]);
    net.dense(1);
    let network = network(&net.finish());
    assert_eq!(network.scores(&[x]).unwrap().dims(), [2, 1]);
}
