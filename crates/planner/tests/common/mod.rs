//! Small graphs for the tests.

#![allow(dead_code, clippy::unwrap_used)]

use std::sync::Arc;

use model::Tensor;
use model::fixed::{NodeId, Output, Post, Window};
use model::graph::{Graph, Layer};
use planner::Data;
use planner::draws::Draws;

/// Normal numbers from a seed.
pub fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut draws = Draws::new(seed, 99);
    (0..count).map(|_| draws.normal() as f32).collect()
}

/// A graph that grows at its end.
pub struct Net {
    graph: Graph,
    seed: u64,
}

impl Net {
    pub fn new(input: &[usize]) -> Self {
        let mut net = Self { graph: Graph::default(), seed: 1 };
        net.input(input);
        net
    }

    pub fn input(&mut self, shape: &[usize]) -> NodeId {
        let name = format!("input{}", self.graph.inputs.len());
        let id = self.graph.push(&name, Layer::Input { bytes: false }, vec![], shape).unwrap();
        self.graph.inputs.push(id);
        id
    }

    pub fn last(&self) -> NodeId {
        self.graph.nodes.len() - 1
    }

    fn weights(&mut self, shape: &[usize]) -> Arc<Tensor> {
        self.seed += 1;
        let fan: usize = shape.iter().skip(1).product();
        let scale = 1.4 / (fan as f32).sqrt();
        let values = numbers(self.seed, shape.iter().product()).into_iter().map(|v| v * scale).collect();
        Arc::new(Tensor::new(shape.to_vec(), values).unwrap())
    }

    pub fn push(&mut self, layer: Layer) {
        self.push_to(layer, &[]);
    }

    pub fn push_to(&mut self, layer: Layer, target: &[usize]) {
        let (last, name) = (self.last(), format!("n{}", self.graph.nodes.len()));
        self.graph.push(&name, layer, vec![last], target).unwrap();
    }

    pub fn push_from(&mut self, layer: Layer, inputs: &[NodeId]) {
        let name = format!("n{}", self.graph.nodes.len());
        self.graph.push(&name, layer, inputs.to_vec(), &[]).unwrap();
    }

    pub fn conv(&mut self, maps: usize, window: Window, groups: usize) {
        let channels = self.graph.nodes[self.last()].shape[1];
        let weight = self.weights(&[maps, channels / groups, window.kernel[0], window.kernel[1]]);
        let bias = self.weights(&[maps]);
        self.push(Layer::Conv { window, groups, weight, bias });
    }

    pub fn dense(&mut self, rows: usize) {
        let shape = self.graph.nodes[self.last()].shape.clone();
        let inputs: usize = shape.iter().product();
        if shape.len() > 2 {
            self.push_to(Layer::Reshape, &[1, inputs]);
        }
        let (weight, bias) = (self.weights(&[rows, inputs]), self.weights(&[rows]));
        self.push(Layer::Dense { weight, bias });
    }

    pub fn finish(mut self) -> Graph {
        let node = self.last();
        self.graph.outputs.push(Output { name: "output".into(), node, post: Post::None });
        self.graph
    }
}

/// Pictures of 8 x 8 with a bright bar whose place and direction is the class, of four, in noise.
pub fn bars(count: usize, seed: u64) -> Data {
    let mut draws = Draws::new(seed, 3);
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let class = draws.below(4);
        let at = 1 + draws.below(2) + if class % 2 == 1 { 4 } else { 0 };
        for (i, j) in (0..64).map(|k| (k / 8, k % 8)) {
            let on = if class < 2 { i == at } else { j == at };
            values.push(f32::from(u8::from(on)) + 0.6 * draws.normal() as f32);
        }
        labels.push(class as u32);
    }
    Data::new(vec![values], &[64], labels, 4).unwrap()
}

/// A small network for [`bars`], with ReLUs of 6 x 6 x 4 and 16 elements.
pub fn bars_network() -> Graph {
    let mut net = Net::new(&[1, 1, 8, 8]);
    net.conv(4, Window::new([3, 3]), 1);
    net.push(Layer::Relu);
    net.dense(16);
    net.push(Layer::Relu);
    net.dense(4);
    net.finish()
}
