//! The integer reference: the integers that every protocol must reproduce, exactly as [`crate::fixed::Op`] states them.

use rayon::prelude::*;

use crate::error::{Error, quote};
use crate::fixed::{FixedGraph, Format, Node, NumberFormat, Op, ParamData, ParamId, Params};
use crate::float::{along, arg_max};
use crate::kernels::{self, ConvShape, Num};
use crate::movement::Move;

/// Integers up to this are exact in a double.
const EXACT: f64 = (1u64 << 53) as f64;

/// An operand: its shape, format and integers.
#[derive(Clone, Copy)]
struct Operand<'a> {
    shape: &'a [usize],
    format: Format,
    values: &'a [i64],
}

/// Runs a fixed-point network on the integers of its inputs (see [`FixedGraph::quantise_input`]).
///
/// # Errors
/// If the graph breaks a rule, or inputs or parameters are not the graph's.
pub fn run(graph: &FixedGraph, params: &Params, inputs: &[Vec<i64>]) -> Result<Vec<Vec<i64>>, Error> {
    graph.validate(&crate::fixed::Limits::default())?;
    check(graph, params, inputs)?;
    trace(graph, params, inputs, |_, _| {})
}

/// Runs a checked graph and shows each node's integers to `observe`.
///
/// # Errors
/// If an operand is missing, which a checked graph excludes.
pub fn trace(
    graph: &FixedGraph,
    params: &Params,
    inputs: &[Vec<i64>],
    mut observe: impl FnMut(usize, &[i64]),
) -> Result<Vec<Vec<i64>>, Error> {
    let mut uses = vec![0usize; graph.nodes.len()];
    for id in graph.nodes.iter().flat_map(|n| &n.inputs).chain(graph.outputs.iter().map(|o| &o.node)) {
        uses[*id] += 1;
    }
    let mut values: Vec<Option<Vec<i64>>> = vec![None; graph.nodes.len()];
    for (id, node) in graph.nodes.iter().enumerate() {
        let given = graph.inputs.iter().position(|&i| i == id).and_then(|at| inputs.get(at));
        let value = match given {
            Some(given) => given.clone(),
            None => {
                let operands: Option<Vec<Operand>> = node
                    .inputs
                    .iter()
                    .map(|&i| {
                        let from = &graph.nodes[i];
                        Some(Operand {
                            shape: &from.shape,
                            format: from.format,
                            values: values[i].as_deref()?,
                        })
                    })
                    .collect();
                let missing = || Error::Fixed { node: id, problem: "an operand has no value".into() };
                Step { graph, params, node }.compute(&operands.ok_or_else(missing)?)
            }
        };
        observe(id, &value);
        values[id] = (uses[id] > 0).then_some(value);
        for &operand in &node.inputs {
            uses[operand] -= 1;
            if uses[operand] == 0 {
                values[operand] = None;
            }
        }
    }
    let missing = |node| Error::Fixed { node, problem: "an output has no value".into() };
    graph.outputs.iter().map(|o| values[o.node].clone().ok_or_else(|| missing(o.node))).collect()
}

fn check(graph: &FixedGraph, params: &Params, inputs: &[Vec<i64>]) -> Result<(), Error> {
    if inputs.len() != graph.inputs.len() {
        return Err(Error::Input(format!(
            "count {} where the graph takes {}",
            inputs.len(),
            graph.inputs.len()
        )));
    }
    for (values, &id) in inputs.iter().zip(&graph.inputs) {
        let node = &graph.nodes[id];
        let wanted: usize = node.shape.iter().product();
        let (low, high) = node.format.limits();
        if values.len() != wanted || values.iter().any(|v| *v < low || *v > high) {
            return Err(Error::Input(format!(
                "{} is not {wanted} integers of its format",
                quote(&node.name)
            )));
        }
    }
    if params.tensors.len() != graph.params.len() {
        return Err(Error::Shape(format!("{} parameters, not {}", params.tensors.len(), graph.params.len())));
    }
    for (data, info) in params.tensors.iter().zip(&graph.params) {
        if data.len() != info.shape.iter().product::<usize>() {
            return Err(Error::Shape(format!("parameter {} has {} values", quote(&info.name), data.len())));
        }
    }
    Ok(())
}

/// One node being computed.
struct Step<'a> {
    graph: &'a FixedGraph,
    params: &'a Params,
    node: &'a Node,
}

impl Step<'_> {
    /// An element of the ring, or the number itself where there is no ring.
    #[inline(always)]
    fn wrap(&self, v: i64) -> i64 {
        match self.graph.number {
            NumberFormat::Ring { bits } => v << (64 - bits) >> (64 - bits),
            _ => v,
        }
    }

    /// A sum shifted and, in words, saturated.
    #[inline(always)]
    fn settle(&self, sum: i64, shift: u32) -> i64 {
        let shifted = self.wrap(sum) >> shift;
        match self.graph.number {
            NumberFormat::Word16 => {
                let (low, high) = self.node.format.limits();
                shifted.clamp(low, high)
            }
            _ => shifted,
        }
    }

    fn param(&self, id: ParamId) -> &ParamData {
        &self.params.tensors[id]
    }

    fn compute(&self, operands: &[Operand]) -> Vec<i64> {
        let node = self.node;
        if let Some(movement) = node.op.movement() {
            let fill = if let Op::Pad { value, .. } = node.op { value } else { 0 };
            let views: Vec<(&[usize], &[i64])> = operands.iter().map(|o| (o.shape, o.values)).collect();
            return movement.apply(&views, &node.shape, fill);
        }
        if let Op::Constant { values } = &node.op {
            return values.clone();
        }
        let Some(&x) = operands.first() else { return Vec::new() };
        match &node.op {
            Op::Conv { .. } | Op::Dense { .. } => self.linear(x),
            Op::Affine { weight, left, bias, shift } => self.affine(x, *weight, *left, *bias, *shift),
            Op::PublicAffine { factor, addend, shift } => {
                each(x.values, |v| self.settle(v.wrapping_mul(*factor).wrapping_add(*addend), *shift))
            }
            Op::Sum { terms, shift } => {
                let mut sums = vec![half(*shift); x.values.len()];
                for (operand, term) in operands.iter().zip(terms) {
                    for (sum, &v) in sums.iter_mut().zip(operand.values) {
                        let v = v << term.left;
                        *sum = if term.negative { sum.wrapping_sub(v) } else { sum.wrapping_add(v) };
                    }
                }
                sums.iter_mut().for_each(|s| *s = self.settle(*s, *shift));
                sums
            }
            Op::Product { shift } => {
                let other = operands.get(1).map_or(x.values, |o| o.values);
                let one = |(&a, &b): (&i64, &i64)| {
                    self.settle(a.wrapping_mul(b).wrapping_add(half(*shift)), *shift)
                };
                x.values.iter().zip(other).map(one).collect()
            }
            Op::AveragePool { window, factor, shift } => {
                kernels::pool(x.values, x.shape, &node.shape, window, |p, taps| {
                    let f = if factor.len() == 1 { factor[0] } else { factor[p] };
                    let sum = taps.fold(0i64, i64::wrapping_add);
                    self.settle(sum.wrapping_mul(f).wrapping_add(half(*shift)), *shift)
                })
            }
            Op::MaxPool { window } => {
                kernels::pool(x.values, x.shape, &node.shape, window, |_, taps| taps.fold(i64::MIN, i64::max))
            }
            Op::Relu => each(x.values, |v| v.max(0)),
            Op::Clamp { low, high } => each(x.values, |v| v.max(*low).min(*high)),
            Op::LeakyRelu { factor, shift } => each(x.values, |v| {
                if v >= 0 {
                    v
                } else {
                    self.settle(v.wrapping_mul(*factor).wrapping_add(half(*shift)), *shift)
                }
            }),
            Op::PRelu { slope, shift } => {
                let slopes = self.broadcast(*slope);
                let one = |(&v, s): (&i64, i64)| {
                    if v >= 0 { v } else { self.settle(v.wrapping_mul(s).wrapping_add(half(*shift)), *shift) }
                };
                x.values.iter().zip(slopes).map(one).collect()
            }
            Op::Sigmoid => self.smooth(x, garble::meaning::sigmoid),
            Op::Tanh => self.smooth(x, garble::meaning::tanh),
            Op::ArgMax { axis, last } => {
                along(x.shape, *axis, |line| arg_max(line.map(|i| x.values[i]), *last) as i64)
            }
            _ => Vec::new(),
        }
    }

    fn smooth(
        &self,
        x: Operand,
        f: fn(i64, garble::meaning::Format, garble::meaning::Format) -> i64,
    ) -> Vec<i64> {
        let word = |f: Format| garble::meaning::Format { bits: f.bits, frac: f.frac };
        let (low, high) = x.format.limits();
        let (from, to) = (word(x.format), word(self.node.format));
        each(x.values, |v| f(v.clamp(low, high), from, to))
    }

    /// A small parameter against every element of the node.
    fn broadcast(&self, id: ParamId) -> Vec<i64> {
        let data = self.param(id);
        let small: Vec<i64> = (0..data.len()).map(|i| data.get(i)).collect();
        Move::Expand.apply(&[(&self.graph.params[id].shape, &small)], &self.node.shape, 0)
    }

    fn affine(&self, x: Operand, weight: Option<ParamId>, left: u32, bias: ParamId, shift: u32) -> Vec<i64> {
        let bias = self.broadcast(bias);
        match weight.map(|w| self.broadcast(w)) {
            Some(w) => {
                let products = x.values.iter().zip(w).map(|(&v, w)| v.wrapping_mul(w));
                products.zip(bias).map(|(p, b)| self.settle(p.wrapping_add(b), shift)).collect()
            }
            None => {
                let one = |(&v, b): (&i64, i64)| self.settle((v << left).wrapping_add(b), shift);
                x.values.iter().zip(bias).map(one).collect()
            }
        }
    }

    /// A convolution or matrix product: in doubles where every partial sum is exact, else in wrapping integers.
    fn linear(&self, x: Operand) -> Vec<i64> {
        let (weight, bias, shift) = match &self.node.op {
            Op::Conv { weight, bias, shift, .. } | Op::Dense { weight, bias, shift } => {
                (*weight, *bias, shift)
            }
            _ => return Vec::new(),
        };
        let (weights, bias) = (self.param(weight), self.param(bias));
        let finish = |o: usize, sum: i64| {
            let shift = if shift.len() == 1 { shift[0] } else { shift[o] };
            self.settle(sum.wrapping_add(bias.get(o)), shift)
        };
        let top = x.values.par_iter().with_min_len(4096).map(|v| v.unsigned_abs()).max().unwrap_or(0) as f64;
        let terms = weights.len() / bias.len().max(1);
        if top * 2f64.powi(self.graph.params[weight].bits as i32 - 1) * terms as f64 <= EXACT {
            let doubles: Vec<f64> = x.values.iter().map(|&v| v as f64).collect();
            self.multiply(x.shape, &doubles, weights, f64::from, |w| w as f64, |o, sum| finish(o, sum as i64))
        } else {
            self.multiply(x.shape, x.values, weights, i64::from, |w| w, finish)
        }
    }

    fn multiply<T: Num>(
        &self,
        shape: &[usize],
        x: &[T],
        weights: &ParamData,
        narrow: impl Fn(i32) -> T + Sync + Copy,
        wide: impl Fn(i64) -> T + Sync + Copy,
        finish: impl Fn(usize, T) -> i64 + Sync,
    ) -> Vec<i64> {
        let width = shape.last().copied().unwrap_or(1);
        match (&self.node.op, weights) {
            (Op::Conv { window, groups, .. }, weights) => {
                let conv = ConvShape::new(shape, &self.node.shape, *groups, *window);
                match weights {
                    ParamData::I32(w) => kernels::convolve(&conv, x, |i| narrow(w[i]), finish),
                    ParamData::I64(w) => kernels::convolve(&conv, x, |i| wide(w[i]), finish),
                }
            }
            (_, ParamData::I32(w)) => kernels::dense(x, w, width, narrow, finish),
            (_, ParamData::I64(w)) => kernels::dense(x, w, width, wide, finish),
        }
    }
}

fn each(x: &[i64], f: impl Fn(i64) -> i64 + Sync) -> Vec<i64> {
    x.par_iter().with_min_len(4096).map(|&v| f(v)).collect()
}

/// Half a unit of what a shift keeps.
#[inline(always)]
fn half(shift: u32) -> i64 {
    if shift == 0 { 0 } else { 1 << (shift - 1) }
}
