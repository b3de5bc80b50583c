//! Completing the square: a polynomial of degree two costs one square.
//!
//! `a x^2 + b x + c` is `a (x + h)^2 + c - a h^2` with `h = b / 2a`. Written as it stands it would need x twice: its square, and itself
//! times b. Written as a square, the shift belongs to the layer that makes x. If all a are positive and that layer is a linear one, it takes
//! their roots too: `(sqrt(a) x + sqrt(a) h)^2` needs nothing behind the square but what is added.

use std::sync::Arc;

use super::{combine, prune};
use crate::error::Error;
use crate::graph::{Graph, Layer, Node};
use crate::tensor::Tensor;

/// Largest shift h: a square that hardly bends would lose the linear part's low bits.
const MOST_SHIFT: f32 = 64.0;

/// A sum of a square and its root, both scaled.
struct Quadratic {
    /// The product, for its name.
    square: usize,
    /// What is squared.
    root: usize,
    /// Factors of the square, and of the root.
    factors: [Tensor; 2],
    /// What is added.
    addend: Tensor,
}

/// A scaled node: which, its factor, and what is added.
type Scaled = (usize, Tensor, Tensor);

fn number(value: f32) -> Result<Tensor, Error> {
    Tensor::new(Vec::new(), vec![value])
}

/// A node behind scales that nothing else reads.
fn peel(graph: &Graph, uses: &[usize], mut id: usize, sign: f32) -> Result<Scaled, Error> {
    let (mut factor, mut addend) = (number(sign)?, number(0.0)?);
    loop {
        let node = &graph.nodes[id];
        let [own, added] = match &node.layer {
            _ if uses[id] != 1 => return Ok((id, factor, addend)),
            Layer::Affine { factor, addend } => [factor, addend].map(|part| part.as_deref().cloned()),
            Layer::PublicAffine { factor, addend } => [Some(number(*factor)?), Some(number(*addend)?)],
            _ => return Ok((id, factor, addend)),
        };
        if let Some(added) = added {
            addend = combine(&addend, &combine(&factor, &added, |x, y| x * y)?, |x, y| x + y)?;
        }
        if let Some(own) = own {
            factor = combine(&factor, &own, |x, y| x * y)?;
        }
        id = node.inputs[0];
    }
}

/// The two factors of a product, one of them the other scaled: `(a x + b) x`.
fn product(graph: &Graph, uses: &[usize], id: usize) -> Result<Option<(usize, [Tensor; 2])>, Error> {
    let node = &graph.nodes[id];
    let (Layer::Product, [left, right]) = (&node.layer, &node.inputs[..]) else { return Ok(None) };
    if left == right {
        return Ok(Some((*left, [number(1.0)?, number(0.0)?])));
    }
    for (scaled, plain) in [(*left, *right), (*right, *left)] {
        let (root, factor, addend) = peel(graph, uses, scaled, 1.0)?;
        if root == plain && scaled != plain {
            return Ok(Some((root, [factor, addend])));
        }
    }
    Ok(None)
}

/// What a node computes, if it is a quadratic with a linear part.
fn quadratic(graph: &Graph, uses: &[usize], id: usize) -> Result<Option<Quadratic>, Error> {
    let node = &graph.nodes[id];
    match (&node.layer, &node.inputs[..]) {
        (Layer::Product, [left, right]) if left != right => {
            let found = product(graph, uses, id)?;
            let addend = number(0.0)?;
            Ok(found.map(|(root, factors)| Quadratic { square: id, root, factors, addend }))
        }
        (Layer::Sum { negative }, [left, right]) if left != right => {
            let sign = |negative: bool| if negative { -1.0 } else { 1.0 };
            let terms =
                [peel(graph, uses, *left, sign(negative[0]))?, peel(graph, uses, *right, sign(negative[1]))?];
            for (square, linear) in [(&terms[0], &terms[1]), (&terms[1], &terms[0])] {
                let Some((root, [a, b])) = product(graph, uses, square.0)? else { continue };
                if root != linear.0 || uses[square.0] != 1 {
                    continue;
                }
                let times = |x: &Tensor, y: &Tensor| combine(x, y, |x, y| x * y);
                let a = times(&square.1, &a)?;
                let b = combine(&times(&square.1, &b)?, &linear.1, |x, y| x + y)?;
                let addend = combine(&square.2, &linear.2, |x, y| x + y)?;
                return Ok(Some(Quadratic { square: square.0, root, factors: [a, b], addend }));
            }
            Ok(None)
        }
        _ => Ok(None),
    }
}

/// Rewrites quadratics with a linear part as squares.
///
/// # Errors
/// If shapes do not fit, which an imported graph's do.
pub fn complete_squares(graph: &mut Graph) -> Result<bool, Error> {
    let uses = graph.uses();
    let mut changed = false;
    let mut nodes: Vec<Node> = Vec::with_capacity(graph.nodes.len());
    let mut index = Vec::with_capacity(graph.nodes.len());
    for id in 0..graph.nodes.len() {
        let found = quadratic(graph, &uses, id)?;
        let completed = match &found {
            Some(found) => completed(graph, &uses, id, found)?,
            None => None,
        };
        match completed {
            Some([half, square, whole]) => {
                let last = nodes.len();
                let root = found.as_ref().map_or(0, |found| index[found.root]);
                nodes.push(Node { inputs: vec![root], ..half });
                nodes.push(Node { inputs: vec![last, last], ..square });
                nodes.push(Node { inputs: vec![last + 1], ..whole });
                changed = true;
            }
            None => {
                let mut node = graph.nodes[id].clone();
                node.inputs.iter_mut().for_each(|input| *input = index[*input]);
                nodes.push(node);
            }
        }
        index.push(nodes.len() - 1);
    }
    if changed {
        graph.nodes = nodes;
        graph.inputs.iter_mut().for_each(|input| *input = index[*input]);
        graph.outputs.iter_mut().for_each(|output| output.node = index[output.node]);
        *graph = prune(std::mem::take(graph));
    }
    Ok(changed)
}

/// The shift, the square and what follows, without their operands; `None` where the square would lose too much.
fn completed(
    graph: &Graph,
    uses: &[usize],
    id: usize,
    found: &Quadratic,
) -> Result<Option<[Node; 3]>, Error> {
    let [a, b] = &found.factors;
    let shift = combine(a, b, |a, b| b / (2.0 * a))?;
    let fits = |shift: &f32| shift.is_finite() && shift.abs() <= MOST_SHIFT;
    if !shift.data().iter().all(fits) || shift.shape().len() > graph.nodes[id].shape.len() {
        return Ok(None);
    }
    let less = combine(a, &combine(&shift, &shift, |x, y| x * y)?, |a, square| a * square)?;
    let addend = combine(&found.addend, &less, |c, less| c - less)?;
    let root = &graph.nodes[found.root];
    // Where the quadratic is all that reads a layer, that takes the factors.
    let reads = if matches!(graph.nodes[id].layer, Layer::Sum { .. }) { 3 } else { 2 };
    let linear = matches!(root.layer, Layer::Conv { .. } | Layer::Dense { .. });
    let roots = linear && uses[found.root] == reads && a.data().iter().all(|a| *a > 0.0);
    let (before, after) = if roots {
        let root = Tensor::new(a.shape().to_vec(), a.data().iter().map(|a| a.sqrt()).collect())?;
        let addend = combine(&root, &shift, |x, y| x * y)?;
        ((Some(root), addend), None)
    } else {
        ((None, shift), Some(a.clone()))
    };
    let node =
        |name: String, layer: Layer| Node { name, layer, inputs: Vec::new(), shape: root.shape.clone() };
    let affine = |factor: Option<Tensor>, addend: Tensor| Layer::Affine {
        factor: factor.map(Arc::new),
        addend: Some(Arc::new(addend)),
    };
    let name = &graph.nodes[id].name;
    Ok(Some([
        node(format!("{name}.shifted"), affine(before.0, before.1)),
        node(graph.nodes[found.square].name.clone(), Layer::Product),
        node(name.clone(), affine(after, addend)),
    ]))
}

#[cfg(test)]
mod tests {
    use super::super::simplify;
    use super::*;
    use crate::fixed::{Output, Post, Window};
    use crate::float;

    /// `a x^2 + b x + c` of a convolution's channels, written in several ways, before another convolution with padding.
    fn network(form: usize, a: [f32; 2]) -> Graph {
        let mut graph = Graph::default();
        let tensor = |shape: &[usize], from: f32| {
            let count: usize = shape.iter().product();
            let values = (0..count).map(|at| from + ((at * 7) % 5) as f32 * 0.25 - 0.5).collect();
            Arc::new(Tensor::new(shape.to_vec(), values).expect("a tensor"))
        };
        let channels = |values: [f32; 2]| Arc::new(Tensor::new(vec![2, 1, 1], values.to_vec()).expect("two"));
        let scale = |factor, addend| Layer::Affine { factor, addend };
        let mut push =
            |layer, inputs: Vec<usize>| graph.push("node", layer, inputs, &[1, 2, 4, 4]).expect("fits");
        let input = push(Layer::Input { bytes: false }, vec![]);
        let window = Window { kernel: [3; 2], stride: [1; 2], dilation: [1; 2], pads: [1; 4] };
        let conv =
            || Layer::Conv { window, groups: 1, weight: tensor(&[2, 2, 3, 3], 0.1), bias: tensor(&[2], 0.2) };
        let x = push(conv(), vec![input]);
        let (b, c) = (channels([0.5, -0.75]), channels([0.2, 0.1]));
        let a = channels(a);
        let y = match form {
            // a (x x) + b x, then c.
            0 => {
                let square = push(Layer::Product, vec![x, x]);
                let square = push(scale(Some(a), None), vec![square]);
                let linear = push(scale(Some(b), None), vec![x]);
                let sum = push(Layer::Sum { negative: vec![false, false] }, vec![linear, square]);
                push(scale(None, Some(c)), vec![sum])
            }
            // Horner's.
            1 => {
                let inner = push(scale(Some(a), Some(b)), vec![x]);
                let product = push(Layer::Product, vec![inner, x]);
                push(scale(None, Some(c)), vec![product])
            }
            // (a x) x - (-b x - c).
            _ => {
                let scaled = push(scale(Some(a), None), vec![x]);
                let product = push(Layer::Product, vec![x, scaled]);
                let negated =
                    Arc::new(Tensor::new(vec![2, 1, 1], b.data().iter().map(|b| -b).collect()).expect("two"));
                let less =
                    Arc::new(Tensor::new(vec![2, 1, 1], c.data().iter().map(|c| -c).collect()).expect("two"));
                let linear = push(scale(Some(negated), Some(less)), vec![x]);
                push(Layer::Sum { negative: vec![false, true] }, vec![product, linear])
            }
        };
        let last = push(conv(), vec![y]);
        graph.inputs.push(input);
        graph.outputs.push(Output { name: "y".into(), node: last, post: Post::None });
        graph
    }

    fn run(graph: &Graph) -> Vec<f32> {
        let input = (0..32).map(|at| (at % 11) as f32 * 0.2 - 1.0).collect();
        let input = Tensor::new(vec![1, 2, 4, 4], input).expect("a tensor");
        float::run(graph, &[input]).expect("it runs").remove(0).into_data()
    }

    #[test]
    fn quadratics_cost_one_square_and_are_the_same() {
        for form in 0..3 {
            for a in [[0.2, 1.5], [0.2, -1.5], [-0.3, -0.1]] {
                let written = network(form, a);
                let small = simplify(written.clone()).expect("it is simplified");
                let products: Vec<&Node> =
                    small.nodes.iter().filter(|node| matches!(node.layer, Layer::Product)).collect();
                assert!(
                    products.len() == 1 && products[0].inputs[0] == products[0].inputs[1],
                    "{form} {a:?}"
                );
                // What is left beside the layers and the square adds numbers alone: coefficients are the layers'.
                let factors = small
                    .nodes
                    .iter()
                    .filter(|node| matches!(node.layer, Layer::Affine { factor: Some(_), .. }));
                assert_eq!(factors.count(), 0, "{form} {a:?}");
                assert!(small.nodes.len() <= 5, "{form} {a:?}: {}", small.nodes.len());
                for (was, is) in run(&written).iter().zip(run(&small)) {
                    assert!((was - is).abs() <= 1e-4 * was.abs().max(1.0), "{form} {a:?}: {was} {is}");
                }
            }
        }
    }

    #[test]
    fn squares_that_hardly_bend_and_other_products_stay() {
        let flat = simplify(network(0, [1e-4, 1e-4])).expect("it is simplified");
        assert!(flat.nodes.iter().any(|node| matches!(node.layer, Layer::Sum { .. })));
        let mut graph = Graph::default();
        let x = graph.push("x", Layer::Input { bytes: false }, vec![], &[1, 4]).expect("fits");
        let y = graph.push("y", Layer::Relu, vec![x], &[]).expect("fits");
        let z = graph.push("z", Layer::Product, vec![x, y], &[]).expect("fits");
        graph.inputs.push(x);
        graph.outputs.push(Output { name: "z".into(), node: z, post: Post::None });
        let same = simplify(graph).expect("it is simplified");
        assert_eq!(same.nodes.len(), 3);
    }
}
