//! Networks for measuring costs: the papers' shapes with weights drawn from fixed seeds. They classify nothing.
//!
//! `builtin:NAME` stands for them wherever a model file is wanted.

pub mod residual;

use std::sync::Arc;

use model::fixed::{Output, Post, Window};
use model::graph::{Graph, Layer};
use model::{Error, Side, Tensor};

/// What names of generated networks begin with.
const PREFIX: &str = "builtin:";

/// A network to be generated.
struct Recipe {
    name: &'static str,
    seed: u64,
    input: &'static [usize],
    side: &'static str,
    layers: &'static [Step],
}

/// A step of a network.
enum Step {
    /// A convolution: output channels, kernel, stride, zeros above, to the left, below, to the right.
    Conv(usize, usize, usize, [usize; 4]),
    /// A convolution of 3 by 3 to so many channels whose squares keep to their range, layer after layer: see [`residual::BEFORE_SQUARE`].
    CentredConv(usize),
    /// A fully connected layer of so many outputs; a picture is made flat before it.
    Dense(usize),
    Relu,
    Square,
    Sigmoid,
    Tanh,
    /// The largest value of each square of two by two.
    MaxPool,
    /// The mean of each square of two by two.
    AveragePool,
}

/// Squares of two by two, side by side.
const HALVES: Window = Window { kernel: [2; 2], stride: [2; 2], dilation: [1; 2], pads: [0; 4] };

const PICTURE: &str = "[input]\nrange = [0.0, 1.0]\n";
/// Means of what is cut off at 6.
const MEANS: &str = "[input]\nrange = [0.0, 6.0]\n";
/// Standard normal features, nearly all of them.
const FEATURES: &str = "[input]\nrange = [-4.5, 4.5]\n";

const RECIPES: &[Recipe] = &[
    Recipe {
        name: "deepsecure-1",
        seed: 101,
        input: &[1, 1, 28, 28],
        side: PICTURE,
        layers: &[
            Step::Conv(5, 5, 2, [1, 1, 0, 0]),
            Step::Relu,
            Step::Dense(100),
            Step::Relu,
            Step::Dense(10),
        ],
    },
    Recipe {
        name: "deepsecure-2",
        seed: 102,
        input: &[1, 784],
        side: PICTURE,
        layers: &[Step::Dense(300), Step::Sigmoid, Step::Dense(100), Step::Sigmoid, Step::Dense(10)],
    },
    Recipe {
        name: "deepsecure-3",
        seed: 104,
        input: &[1, 617],
        side: FEATURES,
        layers: &[Step::Dense(50), Step::Tanh, Step::Dense(26)],
    },
    Recipe {
        name: "deepsecure-4",
        seed: 105,
        input: &[1, 5625],
        side: FEATURES,
        layers: &[Step::Dense(2000), Step::Tanh, Step::Dense(500), Step::Tanh, Step::Dense(19)],
    },
    Recipe {
        name: "deepsecure-large",
        seed: 106,
        input: &[1, 3, 224, 224],
        side: PICTURE,
        layers: &[
            Step::Conv(64, 3, 1, [1; 4]),
            Step::Relu,
            Step::MaxPool,
            Step::AveragePool,
            Step::AveragePool,
            Step::AveragePool,
            Step::Dense(10),
        ],
    },
    Recipe {
        name: "gazelle-a",
        seed: 301,
        input: &[1, 784],
        side: PICTURE,
        layers: &[Step::Dense(128), Step::Square, Step::Dense(128), Step::Square, Step::Dense(10)],
    },
    Recipe {
        name: "gazelle-b",
        seed: 302,
        input: &[1, 1, 28, 28],
        side: PICTURE,
        layers: &[Step::Conv(5, 5, 2, [2; 4]), Step::Square, Step::Dense(100), Step::Square, Step::Dense(10)],
    },
    Recipe {
        name: "gazelle-c",
        seed: 303,
        input: &[1, 1, 28, 28],
        side: PICTURE,
        layers: &[Step::Conv(5, 5, 2, [2; 4]), Step::Relu, Step::Dense(100), Step::Relu, Step::Dense(10)],
    },
    Recipe {
        name: "gazelle-d",
        seed: 304,
        input: &[1, 1, 28, 28],
        side: PICTURE,
        layers: &[
            Step::Conv(16, 5, 1, [0; 4]),
            Step::Relu,
            Step::MaxPool,
            Step::Conv(16, 5, 1, [0; 4]),
            Step::Relu,
            Step::MaxPool,
            Step::Dense(100),
            Step::Relu,
            Step::Dense(10),
        ],
    },
    Recipe {
        name: "gazelle-cifar10",
        seed: 305,
        input: &[1, 3, 32, 32],
        side: PICTURE,
        layers: &[
            Step::Conv(64, 3, 1, [1; 4]),
            Step::Relu,
            Step::Conv(64, 3, 1, [1; 4]),
            Step::Relu,
            Step::AveragePool,
            Step::Conv(64, 3, 1, [1; 4]),
            Step::Relu,
            Step::Conv(64, 3, 1, [1; 4]),
            Step::Relu,
            Step::AveragePool,
            Step::Conv(64, 3, 1, [1; 4]),
            Step::Relu,
            Step::Conv(64, 1, 1, [0; 4]),
            Step::Relu,
            Step::Conv(16, 1, 1, [0; 4]),
            Step::Relu,
            Step::Dense(10),
        ],
    },
    Recipe {
        name: "lola-cifar",
        seed: 201,
        input: &[1, 3, 32, 32],
        side: PICTURE,
        layers: &[
            Step::Conv(83, 8, 2, [1; 4]),
            Step::Square,
            Step::Conv(163, 6, 2, [0; 4]),
            Step::Square,
            Step::Dense(10),
        ],
    },
    Recipe { name: "lola-head", seed: 202, input: &[1, 4096], side: FEATURES, layers: &[Step::Dense(101)] },
    Recipe { name: "lola-head-1280", seed: 203, input: &[1, 1280], side: MEANS, layers: &[Step::Dense(10)] },
    // What a machine's rates are measured on: each much of some units and little of others.
    Recipe {
        name: "probe-gates",
        seed: 401,
        input: &[1, 256],
        side: FEATURES,
        layers: &[Step::Dense(200), Step::Relu, Step::Dense(64)],
    },
    Recipe {
        name: "probe-transfers",
        seed: 402,
        input: &[1, 1000],
        side: FEATURES,
        layers: &[Step::Dense(400), Step::Tanh, Step::Dense(40)],
    },
    Recipe {
        name: "probe-few",
        seed: 403,
        input: &[1, 1, 28, 28],
        side: PICTURE,
        layers: &[
            Step::Conv(12, 3, 1, [1; 4]),
            Step::Relu,
            Step::MaxPool,
            Step::Dense(64),
            Step::Relu,
            Step::Dense(10),
        ],
    },
    Recipe {
        name: "probe-many",
        seed: 404,
        input: &[1, 3, 32, 32],
        side: PICTURE,
        layers: &[
            Step::Conv(64, 3, 1, [1; 4]),
            Step::Relu,
            Step::AveragePool,
            Step::Conv(64, 3, 1, [1; 4]),
            Step::Relu,
            Step::Conv(64, 3, 1, [1; 4]),
            Step::Relu,
            Step::Dense(10),
        ],
    },
    Recipe {
        name: "probe-squares",
        seed: 405,
        input: &[1, 3, 32, 32],
        side: PICTURE,
        layers: &[
            Step::CentredConv(16),
            Step::Square,
            Step::CentredConv(16),
            Step::Square,
            Step::CentredConv(16),
            Step::Square,
            Step::CentredConv(16),
            Step::Square,
            Step::CentredConv(16),
            Step::Square,
            Step::AveragePool,
            Step::Dense(10),
        ],
    },
    Recipe {
        name: "probe-ciphertexts",
        seed: 407,
        input: &[1, 3, 32, 32],
        side: PICTURE,
        layers: &[
            Step::Conv(24, 8, 2, [1; 4]),
            Step::Square,
            Step::Conv(32, 6, 2, [0; 4]),
            Step::Square,
            Step::Dense(10),
        ],
    },
    Recipe {
        name: "probe-values",
        seed: 409,
        input: &[1, 1, 7, 7],
        side: PICTURE,
        layers: &[Step::Dense(100), Step::Square, Step::Dense(40)],
    },
    Recipe {
        name: "probe-spoken",
        seed: 408,
        input: &[1, 617],
        side: FEATURES,
        layers: &[Step::Dense(24), Step::Relu, Step::Dense(10)],
    },
    Recipe {
        name: "probe-slots",
        seed: 406,
        input: &[1, 1, 28, 28],
        side: PICTURE,
        layers: &[Step::Conv(4, 5, 2, [2; 4]), Step::Square, Step::Dense(64), Step::Square, Step::Dense(10)],
    },
];

/// The generated network of this name with its side file, if there is one.
///
/// # Errors
/// If the recipe is not a network.
pub fn generate(path: &str) -> Option<Result<(String, Graph, Side), Error>> {
    let name = path.strip_prefix(PREFIX)?;
    if let Some(squares) = name.strip_prefix(residual::NAME).and_then(|rest| rest.strip_prefix('-')) {
        let made = residual::generate(squares.parse().ok()?)?;
        return Some(made.and_then(|graph| Ok((name.to_owned(), graph, Side::parse(PICTURE)?))));
    }
    let recipe = RECIPES.iter().find(|recipe| recipe.name == name)?;
    Some(recipe.graph().and_then(|graph| Ok((name.to_owned(), graph, Side::parse(recipe.side)?))))
}

impl Recipe {
    fn graph(&self) -> Result<Graph, Error> {
        let mut graph = Graph { name: self.name.to_owned(), ..Graph::default() };
        let mut draws = Draws(self.seed);
        let mut last = graph.push("input", Layer::Input { bytes: false }, vec![], self.input)?;
        graph.inputs.push(last);
        for (index, step) in self.layers.iter().enumerate() {
            let shape = graph.shape(last)?.to_vec();
            // The last layer's scores are spread out, so that there is a best one.
            let spread = if index + 1 == self.layers.len() { 4.5 } else { 1.5 };
            let (layer, flat) = step.layer(&shape, spread, &mut draws)?;
            let operands = if matches!(step, Step::Square) { 2 } else { 1 };
            if let Some(flat) = flat {
                last = graph.push(&format!("flat{index}"), Layer::Reshape, vec![last], &flat)?;
            }
            last = graph.push(&format!("{}{index}", step.name()), layer, vec![last; operands], &[])?;
        }
        graph.outputs.push(Output { name: "output".to_owned(), node: last, post: Post::None });
        Ok(graph)
    }
}

impl Step {
    fn name(&self) -> &'static str {
        match self {
            Self::Conv(..) | Self::CentredConv(_) => "conv",
            Self::Dense(_) => "dense",
            Self::Relu => "relu",
            Self::Square => "square",
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
            Self::MaxPool => "max",
            Self::AveragePool => "mean",
        }
    }

    /// The layer over a tensor of this shape, and the shape that the tensor must be given before.
    fn layer(
        &self,
        shape: &[usize],
        spread: f32,
        draws: &mut Draws,
    ) -> Result<(Layer, Option<Vec<usize>>), Error> {
        Ok(match *self {
            Self::Conv(rows, kernel, stride, pads) => {
                let channels = shape.get(1).copied().unwrap_or(1);
                let weight = draws.weights(&[rows, channels, kernel, kernel], spread)?;
                let window = Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [1; 2], pads };
                (Layer::Conv { window, groups: 1, weight, bias: draws.bias(rows)? }, None)
            }
            Self::CentredConv(rows) => {
                let channels = shape.get(1).copied().unwrap_or(1);
                let (spread, centre) = residual::BEFORE_SQUARE;
                let weight = draws.weights(&[rows, channels, 3, 3], spread)?;
                let window = Window { kernel: [3; 2], stride: [1; 2], dilation: [1; 2], pads: [1; 4] };
                (Layer::Conv { window, groups: 1, weight, bias: draws.bias_around(rows, centre)? }, None)
            }
            Self::Dense(rows) => {
                let inputs = shape.iter().product();
                let weight = draws.weights(&[rows, inputs], spread)?;
                let flat = (shape.len() > 2).then(|| vec![1, inputs]);
                (Layer::Dense { weight, bias: draws.bias(rows)? }, flat)
            }
            Self::Relu => (Layer::Relu, None),
            Self::Square => (Layer::Product, None),
            Self::Sigmoid => (Layer::Sigmoid, None),
            Self::Tanh => (Layer::Tanh, None),
            Self::MaxPool => (Layer::MaxPool { window: HALVES }, None),
            Self::AveragePool => (Layer::AveragePool { window: HALVES, factor: vec![0.25] }, None),
        })
    }
}

/// SplitMix64: the weights need to be the same everywhere, not secret.
struct Draws(u64);

impl Draws {
    /// A number from -1 to 1.
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// Weights of a layer, uniform, of standard deviation `spread / sqrt(inputs)`.
    fn weights(&mut self, shape: &[usize], spread: f32) -> Result<Arc<Tensor>, Error> {
        let count: usize = shape.iter().product();
        let inputs: usize = shape.iter().skip(1).product();
        let scale = spread * 3f32.sqrt() / (inputs as f32).sqrt();
        Tensor::new(shape.to_vec(), (0..count).map(|_| self.next() * scale).collect()).map(Arc::new)
    }

    fn bias(&mut self, rows: usize) -> Result<Arc<Tensor>, Error> {
        self.bias_around(rows, 0.0)
    }

    fn bias_around(&mut self, rows: usize, centre: f32) -> Result<Arc<Tensor>, Error> {
        Tensor::new(vec![rows], (0..rows).map(|_| centre + self.next() * 0.2).collect()).map(Arc::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_are_the_papers_networks() {
        for (name, products) in [
            ("deepsecure-1", 106_625),
            ("deepsecure-2", 266_200),
            ("deepsecure-3", 32_150),
            ("lola-head", 413_696),
        ] {
            let (_, graph, _) = generate(&format!("builtin:{name}")).unwrap().unwrap();
            assert_eq!(graph.products(), products, "{name}");
        }
        assert!(generate("builtin:digits").is_none());
        assert!(generate("deepsecure-1").is_none());
    }
}
