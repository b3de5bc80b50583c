//! Networks drawn from a seed: layers of every kind in any order, with branches, by way of an ONNX file.

use std::sync::Arc;

use model::fixed::{NodeId, Output, Post, Window};
use model::graph::{Graph, Layer};
use model::{Side, Tensor, onnx};

/// The range of inputs.
const RANGE: f32 = 2.0;

/// A side file that states it.
pub fn side() -> Side {
    Side::parse(&format!("[input]\nrange = [-{RANGE:.1}, {RANGE:.1}]\n")).expect("a side file")
}

/// Draws from a seed.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) ^ (self.0 >> 51)
    }

    /// A number below another.
    fn below(&mut self, end: usize) -> usize {
        self.next() as usize % end
    }

    /// A number of a list.
    fn one_of(&mut self, list: &[usize]) -> usize {
        list[self.below(list.len())]
    }

    /// A tensor of numbers up to some size.
    fn tensor(&mut self, shape: &[usize], most: f32) -> Arc<Tensor> {
        let count = shape.iter().product();
        let values = (0..count).map(|_| most * (self.below(2001) as f32 / 1000.0 - 1.0)).collect();
        Arc::new(Tensor::new(shape.to_vec(), values).expect("as many values as the shape has"))
    }
}

struct Sketch {
    graph: Graph,
    draws: Draws,
    last: NodeId,
}

impl Sketch {
    fn push(&mut self, layer: Layer, inputs: Vec<NodeId>, target: &[usize]) {
        let name = format!("node{}", self.graph.nodes.len());
        // What does not fit, such as a window larger than its plane, is left out.
        if let Ok(id) = self.graph.push(&name, layer, inputs, target) {
            self.last = id;
        }
    }

    fn shape(&self) -> Vec<usize> {
        self.graph.nodes[self.last].shape.clone()
    }

    /// An earlier tensor, or this one, that fits it but for the number of channels.
    fn earlier(&mut self, channels: bool) -> NodeId {
        let shape = self.shape();
        let fits = |other: &[usize]| {
            other.len() == shape.len()
                && other.iter().zip(&shape).enumerate().all(|(axis, (a, b))| axis == 1 && channels || a == b)
        };
        let found: Vec<NodeId> =
            (0..self.graph.nodes.len()).filter(|id| fits(&self.graph.nodes[*id].shape)).collect();
        self.draws.one_of(&found)
    }

    fn conv(&mut self) {
        let shape = self.shape();
        let draws = &mut self.draws;
        let groups = if draws.below(3) == 0 { shape[1] } else { 1 };
        let filters = groups * (1 + draws.below(if groups > 1 { 2 } else { 5 }));
        let window = Window {
            kernel: [0; 2].map(|_| 1 + draws.below(3)),
            stride: [0; 2].map(|_| draws.one_of(&[1, 1, 2])),
            dilation: [0; 2].map(|_| draws.one_of(&[1, 1, 2])),
            pads: [0; 4].map(|_| draws.below(2)),
        };
        let weights = [filters, shape[1] / groups, window.kernel[0], window.kernel[1]];
        let terms = weights[1..].iter().product::<usize>() as f32;
        let weight = draws.tensor(&weights, 1.6 / terms.sqrt());
        let bias = draws.tensor(&[filters], 0.5);
        self.push(Layer::Conv { window, groups, weight, bias }, vec![self.last], &[]);
    }

    fn pool(&mut self) {
        let kernel = [0; 2].map(|_| 1 + self.draws.below(3));
        let window = Window {
            kernel,
            stride: [0; 2].map(|_| 1 + self.draws.below(2)),
            dilation: [1; 2],
            pads: [0; 4],
        };
        let layer = match self.draws.below(2) {
            0 => Layer::MaxPool { window },
            _ => Layer::AveragePool { window, factor: vec![1.0 / (kernel[0] * kernel[1]) as f32] },
        };
        self.push(layer, vec![self.last], &[]);
    }

    fn activation(&mut self) {
        let channels = self.shape()[1];
        let layer = match self.draws.below(6) {
            0 => Layer::Clamp { low: 0.0, high: 6.0 },
            1 => Layer::LeakyRelu { slope: 0.125 },
            2 => Layer::PRelu { slope: self.draws.tensor(&[channels, 1, 1], 0.5) },
            3 => Layer::Sigmoid,
            _ => Layer::Relu,
        };
        self.push(layer, vec![self.last], &[]);
    }

    /// A step of any kind; convolutions and activations are the most frequent.
    fn step(&mut self) {
        match self.draws.below(12) {
            0..=3 => self.conv(),
            4 | 5 => self.activation(),
            6 => self.pool(),
            7 => self.push(Layer::Product, vec![self.last; 2], &[]),
            8 => {
                let other = self.earlier(false);
                let negative = vec![false, self.draws.below(2) == 1];
                self.push(Layer::Sum { negative }, vec![self.last, other], &[]);
            }
            9 => {
                let other = self.earlier(true);
                self.push(Layer::Concat { axis: 1 }, vec![self.last, other], &[]);
            }
            10 => self.push(Layer::PublicAffine { factor: -0.75, addend: 0.25 }, vec![self.last], &[]),
            _ => {
                let channels = self.shape()[1];
                let factor = Some(self.draws.tensor(&[channels, 1, 1], 1.0));
                let addend = Some(self.draws.tensor(&[channels, 1, 1], 0.5));
                self.push(Layer::Affine { factor, addend }, vec![self.last], &[]);
            }
        }
    }
}

/// The network of a seed, as it is read from its file.
pub fn network(seed: u64) -> Graph {
    let mut draws = Draws(seed);
    let input = [1, 1 + draws.below(3), 5 + draws.below(4), 5 + draws.below(4)];
    let mut sketch = Sketch { graph: Graph::default(), draws, last: 0 };
    sketch.push(Layer::Input { bytes: false }, vec![], &input);
    sketch.graph.inputs.push(0);
    for _ in 0..4 + sketch.draws.below(5) {
        sketch.step();
    }
    let flat = sketch.shape().iter().product();
    sketch.push(Layer::Reshape, vec![sketch.last], &[1, flat]);
    let weight = sketch.draws.tensor(&[6, flat], 1.6 / (flat as f32).sqrt());
    let bias = sketch.draws.tensor(&[6], 0.5);
    sketch.push(Layer::Dense { weight, bias }, vec![sketch.last], &[]);
    let output = Output { name: "output".to_owned(), node: sketch.last, post: Post::None };
    sketch.graph.outputs.push(output);
    let bytes = onnx::to_bytes(&sketch.graph).expect("a file");
    onnx::from_bytes(&bytes, None).expect("what was written")
}
