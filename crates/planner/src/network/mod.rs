//! A graph whose weights are variables.

mod export;
mod prepare;

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{Device, Tensor, Var};
use model::fixed::NodeId;
use model::graph::Graph;

use crate::data::Data;
use crate::error::Error;
use crate::kept::{bytes, digest};
use crate::ops::gather::Gather;
use crate::ops::pointwise::Pointwise;
use crate::ops::pool::MaxPool;

/// The coefficients with which a quadratic begins: `0.2 x^2 + 0.5 x + 0.2`, near ReLU between -3 and 3.
pub const QUADRATIC: [f32; 3] = [0.2, 0.5, 0.2];
/// The smallest coefficient of a quadratic's square: below it, completing the square would divide by next to nothing.
const LEAST_SQUARE: f32 = 0.01;

/// What a trained tensor is to its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Weights of a linear layer.
    Weight,
    /// Its bias.
    Bias,
    /// The factor of a scale.
    Factor,
    /// The addend of a scale.
    Addend,
    /// Slopes below zero.
    Slope,
    /// The three coefficients of a quadratic, highest power first.
    Quadratic,
}

/// A trained tensor.
pub struct Parameter {
    /// The node it belongs to.
    pub node: NodeId,
    /// What it is to the node.
    pub role: Role,
    /// Its shape in the graph.
    pub shape: Vec<usize>,
    var: Var,
}

/// What a node does with the values of `[samples, values]` matrices.
enum Step {
    Input(usize),
    Conv {
        windows: Gather,
        groups: usize,
        outputs: usize,
        positions: usize,
        weight: usize,
        bias: usize,
    },
    Dense {
        weight: usize,
        bias: usize,
        inputs: usize,
    },
    Affine {
        factor: Option<(usize, Gather)>,
        addend: Option<(usize, Gather)>,
    },
    PublicAffine {
        factor: f64,
        addend: f64,
    },
    Sum(Vec<bool>),
    Product,
    Average {
        windows: Gather,
        factor: Tensor,
    },
    Max(MaxPool),
    Pointwise(Pointwise),
    Slopes(usize, Gather),
    Move(Gather),
    Same,
    Constant(Tensor),
    /// Between ReLU6 and the quadratic with these coefficients.
    Quadratic(usize),
}

/// A trainable network: the graph, its variables, and the tables of its movements.
pub struct Network {
    graph: Arc<Graph>,
    activations: Activations,
    parameters: Vec<Parameter>,
    steps: Vec<Step>,
    classes: usize,
    /// The share of the quadratic in exchanged activations, from 0 (ReLU6) to 1.
    pub blend: f64,
}

/// Which activations differ from the graph's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activations {
    /// Whether ReLUs become ReLU6.
    pub clipped: bool,
    /// The activations that become quadratic.
    pub quadratic: Vec<NodeId>,
}

/// A network, as little as makes it again over its graph.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Its activations.
    pub activations: Activations,
    /// Its weights, a trained tensor each.
    pub weights: Vec<Vec<f32>>,
}

impl Snapshot {
    /// The network over its graph.
    ///
    /// # Errors
    /// If it is of another graph.
    pub fn network(&self, graph: &Graph) -> Result<Network, Error> {
        let mut network = Network::with_activations(graph, &self.activations)?;
        network.set_weights(&self.weights)?;
        Ok(network)
    }
}

impl Network {
    /// A network with the graph's weights.
    ///
    /// # Errors
    /// A layer that cannot be trained, by name.
    pub fn new(graph: &Graph) -> Result<Self, Error> {
        Self::with_activations(graph, &Activations::default())
    }

    /// A network with some activations exchanged.
    ///
    /// # Errors
    /// As [`Network::new`], and if what is to become quadratic is no ReLU.
    pub fn with_activations(graph: &Graph, activations: &Activations) -> Result<Self, Error> {
        let mut builder = prepare::Builder { graph, activations, parameters: Vec::new() };
        let steps = (0..graph.nodes.len()).map(|id| builder.step(id)).collect::<Result<_, _>>()?;
        let parameters = builder.parameters;
        let output = graph.outputs.first().ok_or_else(|| Error::Setting("the graph has no output".into()))?;
        let classes = graph.shape(output.node)?.iter().product();
        let (graph, activations) = (Arc::new(graph.clone()), activations.clone());
        Ok(Self { graph, activations, parameters, steps, classes, blend: 1.0 })
    }

    /// How many classes its first output tells apart.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The graph it was made from.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Which activations differ from the graph's.
    pub fn activations(&self) -> &Activations {
        &self.activations
    }

    /// The trained tensors in order.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The values of a trained tensor.
    ///
    /// # Errors
    /// If there is no such tensor.
    pub fn values(&self, index: usize) -> Result<Vec<f32>, Error> {
        let parameter = self.parameters.get(index).ok_or_else(|| missing(index))?;
        Ok(parameter.var.as_tensor().flatten_all()?.to_vec1()?)
    }

    /// Gives a trained tensor other values.
    ///
    /// # Errors
    /// If there is no such tensor, or the number of values differs.
    pub fn set(&mut self, index: usize, values: &[f32]) -> Result<(), Error> {
        let parameter = self.parameters.get(index).ok_or_else(|| missing(index))?;
        let mut values = values.to_vec();
        if parameter.role == Role::Quadratic
            && let Some(first) = values.first_mut()
        {
            *first = first.max(LEAST_SQUARE);
        }
        let tensor = Tensor::from_vec(values, parameter.var.as_tensor().shape(), &Device::Cpu)?;
        Ok(parameter.var.set(&tensor)?)
    }

    /// All weights, in the parameters' order.
    ///
    /// # Errors
    /// If memory is short.
    pub fn weights(&self) -> Result<Vec<Vec<f32>>, Error> {
        (0..self.parameters.len()).map(|index| self.values(index)).collect()
    }

    /// Takes all weights.
    ///
    /// # Errors
    /// If they are those of another network.
    pub fn set_weights(&mut self, weights: &[Vec<f32>]) -> Result<(), Error> {
        if weights.len() != self.parameters.len() {
            return Err(Error::Setting("the weights are those of another network".into()));
        }
        weights.iter().enumerate().try_for_each(|(index, values)| self.set(index, values))
    }

    /// Takes the weights of a network over the same graph, wherever both have the same tensor.
    ///
    /// # Errors
    /// If a tensor of the same name has another size.
    pub fn adopt(&mut self, other: &Self) -> Result<(), Error> {
        let own: BTreeMap<_, _> =
            self.parameters.iter().enumerate().map(|(i, p)| ((p.node, p.role as u8), i)).collect();
        for (index, parameter) in other.parameters.iter().enumerate() {
            if let Some(&to) = own.get(&(parameter.node, parameter.role as u8)) {
                self.set(to, &other.values(index)?)?;
            }
        }
        Ok(())
    }

    /// A digest of the network that it stands for, with its weights.
    ///
    /// # Errors
    /// If memory is short.
    pub fn digest(&self) -> Result<String, Error> {
        let mut things = vec![model::onnx::to_bytes(&self.to_graph()?)?];
        for values in self.weights()? {
            things.push(bytes(&values));
        }
        Ok(digest(things.iter().map(Vec::as_slice)))
    }

    /// What it differs by from others over the same graph.
    ///
    /// # Errors
    /// If memory is short.
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        Ok(Snapshot { activations: self.activations.clone(), weights: self.weights()? })
    }

    /// A tensor's variable, for gradients.
    pub(crate) fn variable(&self, index: usize) -> Option<&Tensor> {
        self.parameters.get(index).map(|parameter| parameter.var.as_tensor())
    }

    /// Scores `[samples, classes]` for one `[samples, values]` matrix an input of the graph.
    ///
    /// # Errors
    /// If the inputs are not the graph's.
    pub fn scores(&self, inputs: &[Tensor]) -> Result<Tensor, Error> {
        let output = self.graph.outputs.first().map_or(0, |output| output.node);
        let mut uses = self.graph.uses();
        let mut made: Vec<Option<Tensor>> = vec![None; self.steps.len()];
        for (id, step) in self.steps.iter().enumerate().take(output + 1) {
            let node = &self.graph.nodes[id];
            let operands: Vec<Tensor> = node.inputs.iter().filter_map(|&i| made[i].clone()).collect();
            made[id] = Some(self.step(step, inputs, &operands)?);
            for &operand in &node.inputs {
                uses[operand] -= 1;
                if uses[operand] == 0 {
                    made[operand] = None;
                }
            }
        }
        made[output].take().ok_or_else(|| Error::Setting("the graph's output has no value".into()))
    }

    fn step(&self, step: &Step, inputs: &[Tensor], operands: &[Tensor]) -> Result<Tensor, Error> {
        let x = || operands.first().ok_or_else(|| Error::Setting("an operand has no value".into()));
        let var = |index: usize| self.parameters[index].var.as_tensor();
        Ok(match step {
            Step::Input(index) => inputs
                .get(*index)
                .cloned()
                .ok_or_else(|| Error::Data(format!("the network takes more than {} inputs", inputs.len())))?,
            Step::Conv { windows, groups, outputs, positions, weight, bias } => {
                convolve(&windows.apply(x()?)?, var(*weight), var(*bias), *groups, *outputs, *positions)?
            }
            Step::Dense { weight, bias, inputs } => {
                let (samples, values) = x()?.dims2()?;
                let rows = x()?.reshape((samples * (values / inputs), *inputs))?;
                let y = rows.matmul(&var(*weight).t()?)?.broadcast_add(var(*bias))?;
                y.reshape((samples, ()))?
            }
            Step::Affine { factor, addend } => {
                let mut y = x()?.clone();
                if let Some((index, spread)) = factor {
                    y = y.broadcast_mul(&spread.apply(var(*index))?)?;
                }
                if let Some((index, spread)) = addend {
                    y = y.broadcast_add(&spread.apply(var(*index))?)?;
                }
                y
            }
            Step::PublicAffine { factor, addend } => x()?.affine(*factor, *addend)?,
            Step::Sum(negative) => sum(operands, negative)?,
            Step::Product => match operands {
                [x] => x.sqr()?,
                [a, b, ..] if a.id() == b.id() => a.sqr()?,
                [a, b, ..] => (a * b)?,
                [] => return Err(Error::Setting("a product has no operand".into())),
            },
            Step::Average { windows, factor } => {
                let taps = windows.apply(x()?)?;
                let sum = if taps.rank() == 3 { taps.sum(0)? } else { taps };
                sum.broadcast_mul(factor)?
            }
            Step::Max(pool) => pool.apply(x()?)?,
            Step::Pointwise(function) => function.apply(x()?)?,
            Step::Slopes(index, spread) => {
                let positive = Pointwise::Clamp { low: 0.0, high: f32::INFINITY };
                let below = positive.apply(&x()?.neg()?)?;
                (positive.apply(x()?)? - below.broadcast_mul(&spread.apply(var(*index))?)?)?
            }
            Step::Move(gather) => match operands {
                [x] => gather.apply(x)?,
                several => gather.apply(&Tensor::cat(several, 1)?)?,
            },
            Step::Same => x()?.clone(),
            Step::Constant(values) => {
                let samples = inputs.first().map_or(Ok(1), |input| input.dim(0))?;
                values.broadcast_as((samples, values.elem_count()))?.contiguous()?
            }
            Step::Quadratic(index) => self.quadratic(x()?, var(*index))?,
        })
    }

    /// `w quadratic(x) + (1 - w) relu6(x)`, where w is the blend.
    fn quadratic(&self, x: &Tensor, coefficients: &Tensor) -> Result<Tensor, Error> {
        let relu6 = || Pointwise::Clamp { low: 0.0, high: 6.0 }.apply(x);
        if self.blend <= 0.0 {
            return Ok(relu6()?);
        }
        let of = |place: usize| coefficients.narrow(1, place, 1);
        let linear = x.broadcast_mul(&of(0)?)?.broadcast_add(&of(1)?)?;
        let quadratic = (linear * x)?.broadcast_add(&of(2)?)?;
        if self.blend >= 1.0 {
            return Ok(quadratic);
        }
        Ok(((quadratic * self.blend)? + (relu6()? * (1.0 - self.blend))?)?)
    }

    /// The share of a set that is classified as labelled, computed in floats.
    ///
    /// # Errors
    /// If the data are not the network's.
    pub fn accuracy(&self, data: &Data) -> Result<f64, Error> {
        let order: Vec<usize> = (0..data.len()).collect();
        let mut right = 0;
        for batch in order.chunks(256) {
            let (inputs, labels) = data.batch(batch)?;
            let scores = self.scores(&inputs)?.detach().contiguous()?.flatten_all()?.to_vec1::<f32>()?;
            let rows = scores.chunks(self.classes.max(1)).zip(&labels);
            right += rows.filter(|(row, label)| largest(row) == **label as usize).count();
        }
        Ok(right as f64 / data.len().max(1) as f64)
    }
}

/// Index of the largest score, the first of several.
pub(crate) fn largest(row: &[f32]) -> usize {
    (1..row.len()).fold(0, |best, index| if row[index] > row[best] { index } else { best })
}

fn missing(index: usize) -> Error {
    Error::Setting(format!("the network has no tensor {index}"))
}

/// Windows `[taps, samples, positions]` times filters: `[samples, outputs * positions]`.
fn convolve(
    windows: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    groups: usize,
    outputs: usize,
    positions: usize,
) -> Result<Tensor, Error> {
    let taps = if windows.rank() == 3 { windows.dim(0)? } else { 1 };
    let columns = windows.elem_count() / taps.max(1);
    let windows = windows.reshape((taps, columns))?;
    let y = if groups == 1 {
        weight.matmul(&windows)?
    } else {
        let (rows, each) = (outputs / groups, taps / groups);
        let parts = (0..groups).map(|group| {
            weight.narrow(0, group * rows, rows)?.matmul(&windows.narrow(0, group * each, each)?)
        });
        Tensor::cat(&parts.collect::<candle_core::Result<Vec<_>>>()?, 0)?
    };
    let y = y.broadcast_add(&bias.reshape((outputs, 1))?)?;
    let samples = columns / positions.max(1);
    let y = y.reshape((outputs, samples, positions))?.transpose(0, 1)?.contiguous()?;
    Ok(y.reshape((samples, outputs * positions))?)
}

fn sum(operands: &[Tensor], negative: &[bool]) -> Result<Tensor, Error> {
    let mut sum: Option<Tensor> = None;
    for (operand, minus) in operands.iter().zip(negative) {
        sum = Some(match (sum, minus) {
            (None, false) => operand.clone(),
            (None, true) => operand.neg()?,
            (Some(sum), false) => (sum + operand)?,
            (Some(sum), true) => (sum - operand)?,
        });
    }
    sum.ok_or_else(|| Error::Setting("a sum has no operands".into()))
}
