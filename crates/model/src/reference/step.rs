//! One node of a reference run.

use rayon::prelude::*;

use crate::fixed::{FixedGraph, Format, Node, NodeId, NumberFormat, Op, ParamData, ParamId, Params};
use crate::float::{along, arg_max};
use crate::kernels::{self, ConvShape, Num};
use crate::movement::Move;

use super::int::Int;

/// Integers up to this are exact in a double.
const EXACT: f64 = (1u64 << 53) as f64;

/// An operand: its shape, format and integers.
#[derive(Clone, Copy)]
pub(super) struct Operand<'a, T> {
    pub shape: &'a [usize],
    pub format: Format,
    pub values: &'a [T],
}

/// One node being computed.
pub(super) struct Step<'a> {
    pub graph: &'a FixedGraph,
    pub params: &'a Params,
    pub node: &'a Node,
    pub id: NodeId,
}

impl Step<'_> {
    /// A sum as an element of the ring where there is one, shifted, and saturated in words.
    #[inline(always)]
    fn settle<T: Int>(&self, sum: T, shift: u32) -> T {
        match self.graph.number {
            NumberFormat::Word16 => {
                let (low, high) = self.node.format.limits();
                sum.right(shift).clamp(T::of(low), T::of(high))
            }
            NumberFormat::Ring { .. } => ring(sum, shift, self.graph.sum_bits(self.id, shift)),
            NumberFormat::Exact => sum.right(shift),
        }
    }

    fn param(&self, id: ParamId) -> &ParamData {
        &self.params.tensors[id]
    }

    pub(super) fn compute<T: Int>(&self, operands: &[Operand<T>]) -> Vec<T> {
        let node = self.node;
        if let Some(movement) = node.op.movement() {
            let fill = if let Op::Pad { value, .. } = node.op { value } else { 0 };
            let views: Vec<(&[usize], &[T])> = operands.iter().map(|o| (o.shape, o.values)).collect();
            return movement.apply(&views, &node.shape, T::of(fill));
        }
        if let Op::Constant { values } = &node.op {
            return values.iter().map(|&v| T::of(v)).collect();
        }
        let Some(&x) = operands.first() else { return Vec::new() };
        match &node.op {
            Op::Conv { .. } | Op::Dense { .. } => self.linear(x),
            Op::Affine { weight, left, bias, shift } => self.affine(x, *weight, *left, *bias, *shift),
            Op::Sum { .. } => self.sum(operands),
            Op::AveragePool { .. } | Op::MaxPool { .. } => self.pool(x),
            Op::Product { shift } => {
                let other = operands.get(1).map_or(x.values, |o| o.values);
                x.values
                    .iter()
                    .zip(other)
                    .map(|(&a, &b)| self.settle(half::<T>(*shift).mul_add(a, b), *shift))
                    .collect()
            }
            Op::PRelu { slope, shift } => {
                let slopes = self.broadcast::<T>(*slope);
                x.values.iter().zip(slopes).map(|(&v, s)| self.leaky(v, s, *shift)).collect()
            }
            Op::Sigmoid => self.smooth(x, garble::meaning::sigmoid),
            Op::Tanh => self.smooth(x, garble::meaning::tanh),
            Op::PiecewiseSigmoid => self.smooth(x, garble::meaning::piecewise_sigmoid),
            Op::PiecewiseTanh => self.smooth(x, garble::meaning::piecewise_tanh),
            Op::ArgMax { axis, last } => {
                along(x.shape, *axis, |line| T::of(arg_max(line.map(|i| x.values[i]), *last) as i64))
            }
            _ => self.each(x),
        }
    }

    /// Operations on each element by itself, with public numbers.
    fn each<T: Int>(&self, x: Operand<T>) -> Vec<T> {
        match &self.node.op {
            Op::PublicAffine { factor, addend, shift } => {
                let (factor, addend) = (T::of(*factor), T::of(*addend));
                map(x.values, |v| self.settle(addend.mul_add(v, factor), *shift))
            }
            Op::Relu => map(x.values, |v| v.max(T::ZERO)),
            Op::Clamp { low, high } => map(x.values, |v| v.max(T::of(*low)).min(T::of(*high))),
            Op::LeakyRelu { factor, shift } => map(x.values, |v| self.leaky(v, T::of(*factor), *shift)),
            _ => Vec::new(),
        }
    }

    fn leaky<T: Int>(&self, v: T, slope: T, shift: u32) -> T {
        if v >= T::ZERO {
            return v;
        }
        let product = half::<T>(shift).mul_add(v, slope);
        match self.graph.number {
            NumberFormat::Ring { bits } => ring(product, shift, bits),
            _ => self.settle(product, shift),
        }
    }

    fn sum<T: Int>(&self, operands: &[Operand<T>]) -> Vec<T> {
        let (Op::Sum { terms, shift }, Some(first)) = (&self.node.op, operands.first()) else {
            return Vec::new();
        };
        let mut sums = vec![half::<T>(*shift); first.values.len()];
        for (operand, term) in operands.iter().zip(terms) {
            for (sum, &v) in sums.iter_mut().zip(operand.values) {
                let v = v.left(term.left);
                *sum = if term.negative { sum.minus(v) } else { sum.plus(v) };
            }
        }
        sums.iter_mut().for_each(|s| *s = self.settle(*s, *shift));
        sums
    }

    fn pool<T: Int>(&self, x: Operand<T>) -> Vec<T> {
        let out = &self.node.shape;
        match &self.node.op {
            Op::AveragePool { window, factor, shift } => {
                kernels::pool(x.values, x.shape, out, window, |p, taps| {
                    let f = if factor.len() == 1 { factor[0] } else { factor[p] };
                    let sum = taps.fold(T::ZERO, T::plus);
                    self.settle(half::<T>(*shift).mul_add(sum, T::of(f)), *shift)
                })
            }
            Op::MaxPool { window } => {
                kernels::pool(x.values, x.shape, out, window, |_, taps| taps.fold(T::LEAST, T::max))
            }
            _ => Vec::new(),
        }
    }

    fn smooth<T: Int>(
        &self,
        x: Operand<T>,
        f: fn(i64, garble::meaning::Format, garble::meaning::Format) -> i64,
    ) -> Vec<T> {
        let word = |f: Format| garble::meaning::Format { bits: f.bits, frac: f.frac };
        let (low, high) = x.format.limits();
        let (from, to) = (word(x.format), word(self.node.format));
        map(x.values, |v| T::of(f(v.small().clamp(low, high), from, to)))
    }

    /// A small parameter against every element of the node.
    fn broadcast<T: Int>(&self, id: ParamId) -> Vec<T> {
        let data = self.param(id);
        let small: Vec<T> = (0..data.len()).map(|i| T::of_param(data, i)).collect();
        Move::Expand.apply(&[(&self.graph.params[id].shape, &small)], &self.node.shape, T::ZERO)
    }

    fn affine<T: Int>(
        &self,
        x: Operand<T>,
        weight: Option<ParamId>,
        left: u32,
        bias: ParamId,
        shift: u32,
    ) -> Vec<T> {
        let bias = self.broadcast::<T>(bias);
        match weight.map(|w| self.broadcast::<T>(w)) {
            Some(w) => {
                let sums = x.values.iter().zip(w).zip(bias).map(|((&v, w), b)| b.mul_add(v, w));
                sums.map(|s| self.settle(s, shift)).collect()
            }
            None => {
                x.values.iter().zip(bias).map(|(&v, b)| self.settle(v.left(left).plus(b), shift)).collect()
            }
        }
    }

    /// A convolution or matrix product: in doubles where every partial sum is exact, else in 64 bits where they suffice.
    fn linear<T: Int>(&self, x: Operand<T>) -> Vec<T> {
        let (weight, bias, shift) = match &self.node.op {
            Op::Conv { weight, bias, shift, .. } | Op::Dense { weight, bias, shift } => {
                (*weight, *bias, shift)
            }
            _ => return Vec::new(),
        };
        let (weights, bias) = (self.param(weight), self.param(bias));
        let finish = |o: usize, sum: T| {
            let shift = if shift.len() == 1 { shift[0] } else { shift[o] };
            self.settle(sum.plus(T::of_param(bias, o)), shift)
        };
        let top = x.values.par_iter().with_min_len(4096).map(|v| v.double().abs()).reduce(|| 0.0, f64::max);
        let terms = weights.len() / bias.len().max(1);
        let largest = top * 2f64.powi(self.graph.params[weight].bits as i32 - 1) * terms as f64;
        if largest <= EXACT {
            let doubles: Vec<f64> = x.values.iter().map(|v| v.double()).collect();
            let sum = |o, sum| finish(o, T::of_double(sum));
            self.multiply(x.shape, &doubles, weights, f64::from, |i| weights.get(i) as f64, sum)
        } else if largest <= 2f64.powi(62) {
            let small: Vec<i64> = x.values.iter().map(|v| v.small()).collect();
            self.multiply(
                x.shape,
                &small,
                weights,
                i64::from,
                |i| weights.get(i),
                |o, sum| finish(o, T::of(sum)),
            )
        } else {
            let narrow = |w: i32| T::of(i64::from(w));
            self.multiply(x.shape, x.values, weights, narrow, |i| T::of_param(weights, i), finish)
        }
    }

    /// `narrow` lifts weights of 32 bits; `at` reads any weight.
    fn multiply<N: Num, T: Int>(
        &self,
        shape: &[usize],
        x: &[N],
        weights: &ParamData,
        narrow: impl Fn(i32) -> N + Sync + Copy,
        at: impl Fn(usize) -> N + Sync,
        finish: impl Fn(usize, N) -> T + Sync,
    ) -> Vec<T> {
        let width = shape.last().copied().unwrap_or(1);
        match (&self.node.op, weights) {
            (Op::Conv { window, groups, .. }, weights) => {
                let conv = ConvShape::new(shape, &self.node.shape, *groups, *window);
                match weights {
                    ParamData::I32(w) => kernels::convolve(&conv, x, |i| narrow(w[i]), finish),
                    _ => kernels::convolve(&conv, x, at, finish),
                }
            }
            (_, ParamData::I32(w)) => kernels::dense(x, w, width, narrow, finish),
            _ => {
                let lifted: Vec<N> = (0..weights.len()).map(at).collect();
                kernels::dense(x, &lifted, width, |w| w, finish)
            }
        }
    }
}

/// The low bits of a sum as a signed number, shifted to the right.
#[inline(always)]
fn ring<T: Int>(sum: T, shift: u32, bits: u32) -> T {
    T::of(sum.small() << (64 - bits) >> (64 - bits)).right(shift)
}

fn map<T: Int>(x: &[T], f: impl Fn(T) -> T + Sync) -> Vec<T> {
    x.par_iter().with_min_len(4096).map(|&v| f(v)).collect()
}

/// Half a unit of what a shift keeps.
#[inline(always)]
fn half<T: Int>(shift: u32) -> T {
    if shift == 0 { T::ZERO } else { T::of(1 << (shift - 1)) }
}
