//! The network as a graph of float layers: what an import makes, what passes rewrite and what quantisation reads.
//!
//! The vocabulary is small on purpose and mirrors [`crate::fixed::Op`]: each layer here has one integer meaning there.

use std::sync::Arc;

use crate::error::Error;
use crate::fixed::{NodeId, Output, Window};
use crate::movement::Move;
use crate::shapes;
use crate::tensor::{Tensor, elements};

/// The largest number of nodes of a graph.
pub const MAX_NODES: usize = 100_000;

/// A network in floats. Nodes stand in an order in which inputs come first.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// The model's name for itself; may be empty.
    pub name: String,
    /// The nodes, each making one tensor.
    pub nodes: Vec<Node>,
    /// The graph's inputs in order.
    pub inputs: Vec<NodeId>,
    /// The graph's outputs in order.
    pub outputs: Vec<Output>,
}

/// One layer and the tensor it makes.
#[derive(Clone, Debug)]
pub struct Node {
    /// The name of the ONNX node or tensor it came from.
    pub name: String,
    /// What is computed.
    pub layer: Layer,
    /// The operands, all smaller than this node's own index.
    pub inputs: Vec<NodeId>,
    /// Shape of the result.
    pub shape: Vec<usize>,
}

/// What a node computes, in real numbers. Weights are shared, so that a graph is cheap to copy.
#[derive(Clone, Debug)]
pub enum Layer {
    /// One of the graph's inputs.
    Input {
        /// Whether the file declares bytes (0 to 255).
        bytes: bool,
    },
    /// Convolution of `[N, in, H, W]` with weights `[out, in / groups, kh, kw]` and one bias an output channel.
    Conv {
        /// The window.
        window: Window,
        /// Groups of channels.
        groups: usize,
        /// Weights.
        weight: Arc<Tensor>,
        /// Bias, `[out]`.
        bias: Arc<Tensor>,
    },
    /// `y[r, o] = sum_i x[r, i] w[o, i] + b[o]` over the last axis; weights `[out, in]`.
    Dense {
        /// Weights.
        weight: Arc<Tensor>,
        /// Bias, `[out]`.
        bias: Arc<Tensor>,
    },
    /// `x * factor + addend`, both secret and broadcast against x.
    Affine {
        /// Factor; none stands for 1.
        factor: Option<Arc<Tensor>>,
        /// Addend; none stands for 0.
        addend: Option<Arc<Tensor>>,
    },
    /// `x * factor + addend` with public numbers that belong to the architecture.
    PublicAffine {
        /// Factor.
        factor: f32,
        /// Addend.
        addend: f32,
    },
    /// Sum of operands of one shape; `true` marks those that are subtracted.
    Sum {
        /// One sign an operand.
        negative: Vec<bool>,
    },
    /// Product of two operands of one shape; a square where both are the same node.
    Product,
    /// Sum of the window's taps inside the plane, times a factor; one factor, or one a position of the output plane.
    AveragePool {
        /// The window.
        window: Window,
        /// Factors.
        factor: Vec<f32>,
    },
    /// Largest value under the window; taps in the padding are left out.
    MaxPool {
        /// The window.
        window: Window,
    },
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, low), high)`.
    Clamp {
        /// Smallest result, may be minus infinity.
        low: f32,
        /// Largest result, may be infinity.
        high: f32,
    },
    /// `x` where `x >= 0`, else `x * slope`.
    LeakyRelu {
        /// The public slope.
        slope: f32,
    },
    /// As `LeakyRelu` with secret slopes broadcast against x.
    PRelu {
        /// The slopes.
        slope: Arc<Tensor>,
    },
    /// The logistic function.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// Softmax over an axis. Only an import makes it; it ends as an output's [`crate::fixed::Post`].
    Softmax {
        /// The axis.
        axis: usize,
        /// Whether its logarithm is wanted.
        log: bool,
    },
    /// Index of the largest value along an axis, which keeps length 1.
    ArgMax {
        /// The axis.
        axis: usize,
        /// Whether the last of several largest counts.
        last: bool,
    },
    /// Same order, other shape.
    Reshape,
    /// Axis i of the result is axis `perm[i]` of the operand.
    Transpose {
        /// The permutation.
        perm: Vec<usize>,
    },
    /// First index and step on each axis.
    Slice {
        /// First indices.
        start: Vec<usize>,
        /// Steps; may be negative.
        step: Vec<i64>,
    },
    /// Operands joined along an axis.
    Concat {
        /// The axis.
        axis: usize,
    },
    /// Constant margins.
    Pad {
        /// Elements before, for each axis.
        before: Vec<usize>,
        /// Elements after, for each axis.
        after: Vec<usize>,
        /// The margin's value.
        value: f32,
    },
    /// Broadcast to the node's shape.
    Expand,
    /// A constant tensor.
    Constant(Arc<Tensor>),
}

impl Layer {
    /// The data movement that this layer is, if it is one.
    pub fn movement(&self) -> Option<Move<'_>> {
        Some(match self {
            Self::Reshape => Move::Reshape,
            Self::Transpose { perm } => Move::Transpose(perm),
            Self::Slice { start, step } => Move::Slice(start, step),
            Self::Concat { axis } => Move::Concat(*axis),
            Self::Pad { before, after, .. } => Move::Pad(before, after),
            Self::Expand => Move::Expand,
            _ => return None,
        })
    }

    /// A word for people.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Input { .. } => "input",
            Self::Conv { .. } => "convolution",
            Self::Dense { .. } => "fully connected",
            Self::Affine { .. } => "scale",
            Self::PublicAffine { .. } => "public scale",
            Self::Sum { .. } => "sum",
            Self::Product => "product",
            Self::AveragePool { .. } => "average pool",
            Self::MaxPool { .. } => "max pool",
            Self::Relu => "relu",
            Self::Clamp { .. } => "clamp",
            Self::LeakyRelu { .. } => "leaky relu",
            Self::PRelu { .. } => "prelu",
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
            Self::Softmax { .. } => "softmax",
            Self::ArgMax { .. } => "arg-max",
            Self::Reshape => "reshape",
            Self::Transpose { .. } => "transpose",
            Self::Slice { .. } => "slice",
            Self::Concat { .. } => "concat",
            Self::Pad { .. } => "pad",
            Self::Expand => "expand",
            Self::Constant(_) => "constant",
        }
    }

    /// Shape of the result; `target` is the shape wanted where the operands do not determine it (inputs, reshapes,
    /// slices, expansions).
    ///
    /// # Errors
    /// If the operands do not suit the layer.
    pub fn shape(&self, inputs: &[&[usize]], target: &[usize]) -> Result<Vec<usize>, Error> {
        if let Some(movement) = self.movement() {
            return movement.shape(inputs, target);
        }
        let arity = match self {
            Self::Input { .. } | Self::Constant(_) => 0,
            Self::Product => 2,
            Self::Sum { negative } if !negative.is_empty() => negative.len(),
            _ => 1,
        };
        if inputs.len() != arity {
            return Err(Error::Shape(format!(
                "{} needs {arity} operands, not {}",
                self.kind(),
                inputs.len()
            )));
        }
        match self {
            Self::Input { .. } => elements(target).map(|_| target.to_vec()),
            Self::Constant(tensor) => Ok(tensor.shape().to_vec()),
            Self::Conv { window, groups, weight, bias } => {
                let shape = shapes::convolution(inputs[0], weight.shape(), *groups, window)?;
                same(bias.shape(), &[shape[1]], "bias")?;
                Ok(shape)
            }
            Self::Dense { weight, bias } => dense(inputs[0], weight.shape(), bias.shape()),
            Self::Affine { factor, addend } => {
                for tensor in [factor, addend].into_iter().flatten() {
                    same(&shapes::broadcast(inputs[0], tensor.shape())?, inputs[0], "operand")?;
                }
                Ok(inputs[0].to_vec())
            }
            Self::PRelu { slope } => {
                same(&shapes::broadcast(inputs[0], slope.shape())?, inputs[0], "operand")?;
                Ok(inputs[0].to_vec())
            }
            Self::Sum { .. } | Self::Product => {
                for other in inputs {
                    same(other, inputs[0], "operand")?;
                }
                Ok(inputs[0].to_vec())
            }
            Self::AveragePool { window, factor } => {
                let shape = shapes::pool(inputs[0], window)?;
                if factor.len() != 1 && factor.len() != shape[2] * shape[3] {
                    return Err(Error::Shape(format!(
                        "{} factors for a plane of {:?}",
                        factor.len(),
                        &shape[2..]
                    )));
                }
                Ok(shape)
            }
            Self::MaxPool { window } => {
                let shape = shapes::pool(inputs[0], window)?;
                if !window.always_sees([inputs[0][2], inputs[0][3]], [shape[2], shape[3]]) {
                    return Err(Error::Shape("a pool's window lies in the padding alone".into()));
                }
                Ok(shape)
            }
            Self::Softmax { axis, .. } => inside(*axis, inputs[0]).map(|()| inputs[0].to_vec()),
            Self::ArgMax { axis, .. } => {
                inside(*axis, inputs[0])?;
                let mut shape = inputs[0].to_vec();
                shape[*axis] = 1;
                Ok(shape)
            }
            _ => Ok(inputs[0].to_vec()),
        }
    }
}

fn inside(axis: usize, shape: &[usize]) -> Result<(), Error> {
    if axis < shape.len() {
        Ok(())
    } else {
        Err(Error::Shape(format!("axis {axis} of a tensor of shape {shape:?}")))
    }
}

fn same(a: &[usize], b: &[usize], what: &str) -> Result<(), Error> {
    if a == b { Ok(()) } else { Err(Error::Shape(format!("{what} of shape {a:?} where {b:?} is needed"))) }
}

/// Shape of a fully connected layer's result.
pub(crate) fn dense(x: &[usize], weight: &[usize], bias: &[usize]) -> Result<Vec<usize>, Error> {
    let ([out, width], Some((&last, rows))) = (weight, x.split_last()) else {
        return Err(Error::Shape(format!("a matrix product of {x:?} and weights {weight:?}")));
    };
    if last != *width {
        return Err(Error::Shape(format!("the input has {last} features where the weights take {width}")));
    }
    same(bias, &[*out], "bias")?;
    let mut shape = rows.to_vec();
    shape.push(*out);
    elements(&shape)?;
    Ok(shape)
}

impl Graph {
    /// Adds a node and returns its index. `target` is the result's shape where the operands do not determine it.
    ///
    /// # Errors
    /// If the operands do not exist or do not suit the layer, or the graph is full.
    pub fn push(
        &mut self,
        name: &str,
        layer: Layer,
        inputs: Vec<NodeId>,
        target: &[usize],
    ) -> Result<NodeId, Error> {
        if self.nodes.len() >= MAX_NODES {
            return Err(Error::at(name, format!("more than {MAX_NODES} nodes")));
        }
        let mut operands = Vec::with_capacity(inputs.len());
        for &id in &inputs {
            operands.push(self.shape(id)?);
        }
        let shape = layer.shape(&operands, target).map_err(|error| Error::at(name, error.to_string()))?;
        self.nodes.push(Node { name: name.to_owned(), layer, inputs, shape });
        Ok(self.nodes.len() - 1)
    }

    /// Shape of a node's tensor.
    ///
    /// # Errors
    /// If there is no such node.
    pub fn shape(&self, id: NodeId) -> Result<&[usize], Error> {
        self.nodes
            .get(id)
            .map(|node| node.shape.as_slice())
            .ok_or_else(|| Error::Shape(format!("no node {id}")))
    }

    /// For each node, how many operands and outputs refer to it.
    pub fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.nodes.len()];
        for id in self.nodes.iter().flat_map(|n| &n.inputs).chain(self.outputs.iter().map(|o| &o.node)) {
            uses[*id] += 1;
        }
        uses
    }
}

impl Graph {
    /// Multiplications of one prediction: those with weights and those of private values.
    pub fn products(&self) -> u64 {
        (0..self.nodes.len()).map(|id| self.node_products(id)).sum()
    }

    /// Multiplications of one node.
    pub fn node_products(&self, id: NodeId) -> u64 {
        let node = &self.nodes[id];
        let results: u64 = node.shape.iter().map(|&l| l as u64).product();
        match &node.layer {
            Layer::Conv { weight, .. } => results * (weight.data().len() / weight.shape()[0]) as u64,
            Layer::Dense { weight, .. } => results * weight.shape()[1] as u64,
            Layer::Affine { factor: Some(_), .. } | Layer::PRelu { .. } | Layer::Product => results,
            _ => 0,
        }
    }

    /// Number of weights.
    pub fn parameters(&self) -> u64 {
        self.nodes.iter().map(Node::parameters).sum()
    }
}

impl Node {
    /// Number of weights of the node.
    pub fn parameters(&self) -> u64 {
        let count = |t: &Arc<Tensor>| t.data().len() as u64;
        match &self.layer {
            Layer::Conv { weight, bias, .. } | Layer::Dense { weight, bias } => count(weight) + count(bias),
            Layer::Affine { factor, addend } => factor.iter().chain(addend).map(count).sum(),
            Layer::PRelu { slope } => count(slope),
            _ => 0,
        }
    }
}
