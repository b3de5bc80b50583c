//! From a graph's layers to steps on matrices of samples.

use std::sync::Arc;

use candle_core::{Device, Tensor, Var};
use model::fixed::{NodeId, Window};
use model::graph::{Graph, Layer, Node};
use model::movement::Move;

use super::{Activations, Parameter, QUADRATIC, Role, Step};
use crate::error::Error;
use crate::ops::gather::{Gather, NONE};
use crate::ops::pointwise::Pointwise;
use crate::ops::pool::MaxPool;

/// Entries of a table of windows: what a layer may ask for.
const MAX_TABLE: usize = 1 << 28;

/// Makes steps and collects variables.
pub(super) struct Builder<'a> {
    pub graph: &'a Graph,
    pub activations: &'a Activations,
    pub parameters: Vec<Parameter>,
}

impl Builder<'_> {
    /// The step of a node.
    ///
    /// # Errors
    /// If the layer cannot be trained.
    pub fn step(&mut self, id: NodeId) -> Result<Step, Error> {
        let node = &self.graph.nodes[id];
        let shape = node.inputs.first().map_or(&[][..], |&i| &self.graph.nodes[i].shape[..]);
        if self.activations.quadratic.contains(&id) {
            if !matches!(node.layer, Layer::Relu | Layer::Clamp { low: 0.0, .. }) {
                return Err(Error::Setting(format!("{}: only a ReLU becomes quadratic", node.name)));
            }
            return Ok(Step::Quadratic(self.variable(id, Role::Quadratic, &[1, 3], &QUADRATIC)?));
        }
        Ok(match &node.layer {
            Layer::Input { .. } => {
                Step::Input(self.graph.inputs.iter().position(|&i| i == id).unwrap_or_default())
            }
            Layer::Conv { window, groups, weight, bias } => {
                let [outputs, each, ..] = *weight.shape() else { return Err(untrainable(node)) };
                let filter = [outputs, each * window.taps()];
                let windows = windows(shape, &node.shape, window, true)?;
                Step::Conv {
                    windows: Gather::new(
                        shape.iter().product(),
                        each * groups * window.taps(),
                        &windows,
                        0.0,
                    ),
                    groups: *groups,
                    outputs,
                    positions: node.shape.iter().product::<usize>() / outputs.max(1),
                    weight: self.shaped(id, Role::Weight, weight, &filter)?,
                    bias: self.shaped(id, Role::Bias, bias, &[outputs])?,
                }
            }
            Layer::Dense { weight, bias } => Step::Dense {
                weight: self.shaped(id, Role::Weight, weight, weight.shape())?,
                bias: self.shaped(id, Role::Bias, bias, bias.shape())?,
                inputs: weight.shape().last().copied().unwrap_or(1),
            },
            Layer::Affine { factor, addend } => Step::Affine {
                factor: self.spread(id, Role::Factor, factor.as_ref())?,
                addend: self.spread(id, Role::Addend, addend.as_ref())?,
            },
            Layer::PRelu { slope } => match self.spread(id, Role::Slope, Some(slope))? {
                Some((index, spread)) => Step::Slopes(index, spread),
                None => return Err(untrainable(node)),
            },
            Layer::AveragePool { window, factor } => average(node, shape, window, factor)?,
            Layer::MaxPool { window } => {
                let table = windows(shape, &node.shape, window, false)?;
                Step::Max(MaxPool::new(shape.iter().product(), window.taps(), table))
            }
            Layer::Relu => {
                let high = if self.activations.clipped { 6.0 } else { f32::INFINITY };
                Step::Pointwise(Pointwise::Clamp { low: 0.0, high })
            }
            Layer::Clamp { low, high } => Step::Pointwise(Pointwise::Clamp { low: *low, high: *high }),
            other => self.plain(node, other)?,
        })
    }

    /// Layers without weights of their own.
    fn plain(&self, node: &Node, layer: &Layer) -> Result<Step, Error> {
        Ok(match layer {
            Layer::PublicAffine { factor, addend } => {
                Step::PublicAffine { factor: f64::from(*factor), addend: f64::from(*addend) }
            }
            Layer::Sum { negative } => Step::Sum(negative.clone()),
            Layer::Product => Step::Product,
            Layer::LeakyRelu { slope } => Step::Pointwise(Pointwise::Leaky { slope: *slope }),
            Layer::Sigmoid => Step::Pointwise(Pointwise::Sigmoid),
            Layer::Tanh => Step::Pointwise(Pointwise::Tanh),
            Layer::Reshape => Step::Same,
            Layer::Constant(values) => {
                let count = values.data().len();
                Step::Constant(Tensor::from_slice(values.data(), (1, count), &Device::Cpu)?)
            }
            other => {
                let movement = other.movement().ok_or_else(|| untrainable(node))?;
                let fill = if let Layer::Pad { value, .. } = other { *value } else { 0.0 };
                let (inputs, table) = self.moved(node, movement);
                Step::Move(Gather::new(inputs, 1, &table, fill))
            }
        })
    }

    /// The table of a movement over its operands side by side.
    fn moved(&self, node: &Node, movement: Move<'_>) -> (usize, Vec<u32>) {
        let mut next = 0u32;
        let places: Vec<Vec<u32>> = node
            .inputs
            .iter()
            .map(|&i| {
                let count: usize = self.graph.nodes[i].shape.iter().product();
                let first = next;
                next += count as u32;
                (first..next).collect()
            })
            .collect();
        let operands: Vec<(&[usize], &[u32])> =
            node.inputs.iter().zip(&places).map(|(&i, p)| (&self.graph.nodes[i].shape[..], &p[..])).collect();
        (next as usize, movement.apply(&operands, &node.shape, NONE))
    }

    /// A weight that is broadcast against the node's values.
    fn spread(
        &mut self,
        id: NodeId,
        role: Role,
        tensor: Option<&Arc<model::Tensor>>,
    ) -> Result<Option<(usize, Gather)>, Error> {
        let Some(tensor) = tensor else { return Ok(None) };
        let count = tensor.data().len();
        let index = self.shaped(id, role, tensor, &[1, count])?;
        let places: Vec<u32> = (0..count as u32).collect();
        let table = Move::Expand.apply(&[(tensor.shape(), &places)], &self.graph.nodes[id].shape, NONE);
        Ok(Some((index, Gather::new(count, 1, &table, 0.0))))
    }

    fn shaped(
        &mut self,
        id: NodeId,
        role: Role,
        tensor: &model::Tensor,
        shape: &[usize],
    ) -> Result<usize, Error> {
        let index = self.variable(id, role, shape, tensor.data())?;
        self.parameters[index].shape = tensor.shape().to_vec();
        Ok(index)
    }

    fn variable(
        &mut self,
        node: NodeId,
        role: Role,
        shape: &[usize],
        values: &[f32],
    ) -> Result<usize, Error> {
        let var = Var::from_slice(values, shape, &Device::Cpu)?;
        self.parameters.push(Parameter { node, role, shape: shape.to_vec(), var });
        Ok(self.parameters.len() - 1)
    }
}

fn untrainable(node: &Node) -> Error {
    Error::Untrainable {
        layer: node.name.clone(),
        kind: node.layer.kind(),
        advice: "cut the model before it, and add it again afterwards",
    }
}

fn average(node: &Node, shape: &[usize], window: &Window, factor: &[f32]) -> Result<Step, Error> {
    let table = windows(shape, &node.shape, window, false)?;
    let (taps, count) = (window.taps(), node.shape.iter().product::<usize>());
    // From taps side by side to one row a tap.
    let rows: Vec<u32> = (0..taps)
        .flat_map(|tap| (0..count).map(move |o| (o, tap)))
        .map(|(o, tap)| table[o * taps + tap])
        .collect();
    let each: Vec<f32> = (0..count).map(|o| factor[o % factor.len().max(1)]).collect();
    Ok(Step::Average {
        windows: Gather::new(shape.iter().product(), taps, &rows, 0.0),
        factor: Tensor::from_vec(each, (1, count), &Device::Cpu)?,
    })
}

/// Where the taps of windows lie in `[N, C, H, W]`: for a convolution `[C, taps]` rows of `[N, positions]`; for a pool the taps of one
/// result after the other.
fn windows(x: &[usize], y: &[usize], window: &Window, convolution: bool) -> Result<Vec<u32>, Error> {
    let ([n, c, h, w], [_, _, rows, columns]) = (x, y) else {
        return Err(Error::Setting(format!("a window over a tensor of shape {x:?}")));
    };
    let (n, c, h, w, rows, columns) = (*n, *c, *h, *w, *rows, *columns);
    if n != 1 && convolution {
        return Err(Error::Setting(format!(
            "a convolution of {n} images at a time; export the model for one"
        )));
    }
    let taps = window.taps();
    let size = [n, c, taps, rows, columns].into_iter().fold(1usize, usize::saturating_mul);
    if size > MAX_TABLE {
        return Err(Error::Setting(format!(
            "a window's table would have {size} entries; the layer is too large to train here"
        )));
    }
    let place = |image: usize, channel: usize, tap: usize, row: usize, column: usize| {
        let [ky, kx] = [tap / window.kernel[1], tap % window.kernel[1]];
        let at = |o: usize, k: usize, axis: usize, length: usize| {
            (o * window.stride[axis] + k * window.dilation[axis])
                .checked_sub(window.pads[axis])
                .filter(|&i| i < length)
        };
        match (at(row, ky, 0, h), at(column, kx, 1, w)) {
            (Some(i), Some(j)) => (((image * c + channel) * h + i) * w + j) as u32,
            _ => NONE,
        }
    };
    let mut table = Vec::with_capacity(size);
    if convolution {
        for channel in 0..c {
            for tap in 0..taps {
                for image in 0..n {
                    (0..rows).for_each(|row| {
                        table.extend((0..columns).map(|column| place(image, channel, tap, row, column)))
                    });
                }
            }
        }
    } else {
        for plane in 0..n * c {
            for position in 0..rows * columns {
                let (row, column) = (position / columns, position % columns);
                table.extend((0..taps).map(|tap| place(plane / c, plane % c, tap, row, column)));
            }
        }
    }
    Ok(table)
}
