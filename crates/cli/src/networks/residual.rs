//! ResNet-32 for CIFAR-100 with some of its ReLUs replaced by squares, as Delphi's planner leaves it.

use model::Error;
use model::fixed::{NodeId, Output, Post, Window};
use model::graph::{Graph, Layer};

use super::Draws;

/// What names of these networks begin with; the number of squares follows.
pub const NAME: &str = "delphi-resnet32";

/// Activations of the three parts: a first layer and five blocks of two, and twice five blocks. Elements of each, and channels.
const PARTS: [(usize, usize, usize); 3] = [(11, 16_384, 16), (10, 8_192, 32), (10, 4_096, 64)];

/// The planner's configurations: squares, and ReLUs that are left.
pub const CONFIGURATIONS: [(usize, usize); 10] = [
    (0, 303_104),
    (6, 245_760),
    (12, 184_320),
    (14, 155_648),
    (16, 139_264),
    (18, 118_784),
    (20, 94_208),
    (22, 65_536),
    (24, 65_536),
    (26, 53_248),
];

/// How many activations of each part stay ReLUs.
fn kept(squares: usize) -> Option<[usize; 3]> {
    let (_, elements) = CONFIGURATIONS.into_iter().find(|(count, _)| *count == squares)?;
    let relus = 31 - squares;
    let fits = |[a, b, c]: &[usize; 3]| {
        [a, b, c].iter().zip(PARTS).map(|(count, (_, each, _))| **count * each).sum::<usize>() == elements
    };
    let all = (0..=PARTS[0].0).flat_map(|a| (0..=PARTS[1].0).map(move |b| (a, b)));
    all.filter_map(|(a, b)| Some([a, b, relus.checked_sub(a + b)?]))
        .find(|kept| kept[2] <= PARTS[2].0 && fits(kept))
}

/// The network with so many squares, if that is a configuration. Blocks have their shortcut where a ReLU follows it.
///
/// # Errors
/// If the shapes are none.
pub fn generate(squares: usize) -> Option<Result<Graph, Error>> {
    kept(squares).map(|kept| build(squares, kept))
}

fn build(squares: usize, kept: [usize; 3]) -> Result<Graph, Error> {
    let mut made =
        Made { graph: Graph { name: format!("{NAME}-{squares}"), ..Graph::default() }, draws: Draws(401) };
    let mut last = made.graph.push("input", Layer::Input { bytes: false }, vec![], &[1, 3, 32, 32])?;
    made.graph.inputs.push(last);
    for (part, ((count, _, channels), kept)) in PARTS.into_iter().zip(kept).enumerate() {
        let mut shortcut = last;
        for index in 0..count {
            // The first part has a layer before its blocks.
            let place = if part == 0 { index.checked_sub(1) } else { Some(index) };
            let relu = index >= count - kept;
            let stride = if part > 0 && index == 0 { 2 } else { 1 };
            let name = format!("{part}-{index}");
            if place.is_some_and(|place| place % 2 == 0) {
                shortcut = last;
            }
            last = made.conv(&name, last, (channels, 3, stride), relu)?;
            if relu && place.is_some_and(|place| place % 2 == 1) {
                let mut other = shortcut;
                if made.graph.shape(other)? != made.graph.shape(last)? {
                    other = made.conv(&format!("shortcut{name}"), other, (channels, 1, 2), true)?;
                }
                let sum = Layer::Sum { negative: vec![false; 2] };
                last = made.graph.push(&format!("sum{name}"), sum, vec![last, other], &[])?;
            }
            let (layer, operands) = if relu { (Layer::Relu, 1) } else { (Layer::Product, 2) };
            last = made.graph.push(&format!("activation{name}"), layer, vec![last; operands], &[])?;
        }
    }
    let window = Window { kernel: [8; 2], stride: [1; 2], dilation: [1; 2], pads: [0; 4] };
    last =
        made.graph.push("mean", Layer::AveragePool { window, factor: vec![1.0 / 64.0] }, vec![last], &[])?;
    last = made.graph.push("flat", Layer::Reshape, vec![last], &[1, 64])?;
    let weight = made.draws.weights(&[100, 64], 4.5)?;
    let dense = Layer::Dense { weight, bias: made.draws.bias(100)? };
    last = made.graph.push("dense", dense, vec![last], &[])?;
    made.graph.outputs.push(Output { name: "output".to_owned(), node: last, post: Post::None });
    Ok(made.graph)
}

/// The spread of a convolution before a square, and what it is centred on: `(x + 1)^2 / 4` is near enough to a ReLU to keep values in
/// their range through many layers.
pub const BEFORE_SQUARE: (f32, f32) = (0.4, 0.5);

struct Made {
    graph: Graph,
    draws: Draws,
}

impl Made {
    /// A convolution, before a square as [`BEFORE_SQUARE`] says.
    fn conv(
        &mut self,
        name: &str,
        from: NodeId,
        (filters, kernel, stride): (usize, usize, usize),
        relu: bool,
    ) -> Result<NodeId, Error> {
        let channels = self.graph.shape(from)?.get(1).copied().unwrap_or(1);
        let (spread, centre) = if relu { (1.0, 0.0) } else { BEFORE_SQUARE };
        let weight = self.draws.weights(&[filters, channels, kernel, kernel], spread)?;
        let bias = self.draws.bias_around(filters, centre)?;
        let pad = kernel / 2;
        let window = Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [1; 2], pads: [pad; 4] };
        self.graph.push(
            &format!("conv{name}"),
            Layer::Conv { window, groups: 1, weight, bias },
            vec![from],
            &[],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_have_the_papers_activations() {
        for (squares, relus) in CONFIGURATIONS {
            let graph = generate(squares).unwrap().unwrap();
            let count = |wanted: &str| -> usize {
                let nodes = graph.nodes.iter().filter(|node| node.layer.kind() == wanted);
                nodes.map(|node| node.shape.iter().product::<usize>()).sum()
            };
            let layers = graph.nodes.iter().filter(|node| matches!(node.layer, Layer::Product)).count();
            assert_eq!(layers, squares);
            let left = count(Layer::Relu.kind());
            assert_eq!(left, relus, "{squares}");
        }
        assert!(generate(1).is_none());
    }
}
