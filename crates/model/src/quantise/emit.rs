//! Writes the fixed-point graph, once the formats are chosen.

use rayon::prelude::*;

use crate::error::{Error, quote};
use crate::fixed::{
    FixedGraph, Format, Node, NodeId, NumberFormat, Op, Output, ParamData, ParamId, ParamInfo, Params, Term,
};
use crate::graph::{Graph, Layer};
use crate::ranges::Ranges;
use crate::tensor::Tensor;

use super::scale::{bits_of, ceil_log2, dyadic, fraction_for, half, integer_bits, scaled, scaled_wide};
use super::{Width, formats};

/// The widest accumulator of the integer reference.
const ACCUMULATOR: u32 = 62;
/// Relative precision of public factors: 2^-11.
pub(super) const PRECISION: u32 = 11;

/// A graph under construction.
pub(super) struct Emitter<'a> {
    pub graph: &'a Graph,
    pub ranges: &'a Ranges,
    pub number: NumberFormat,
    pub width: Width,
    pub formats: &'a [Format],
    nodes: Vec<Node>,
    params: Vec<ParamInfo>,
    tensors: Vec<ParamData>,
    /// The fixed node of each float node.
    ids: Vec<NodeId>,
    /// The widest sum so far, in bits: what a ring must hold.
    widest: u32,
    /// For each fixed node how many bits its result needs after a shift; none where it was not noted.
    results: Vec<Option<u32>>,
    /// That of the node under way.
    noted: Option<u32>,
}

/// Writes the graph with the given formats.
pub(super) fn emit(
    graph: &Graph,
    ranges: &Ranges,
    number: NumberFormat,
    width: Width,
    formats: &[Format],
) -> Result<(FixedGraph, Params), Error> {
    let mut emitter = Emitter {
        graph,
        ranges,
        number,
        width,
        formats,
        nodes: Vec::new(),
        params: Vec::new(),
        tensors: Vec::new(),
        ids: Vec::with_capacity(graph.nodes.len()),
        widest: 2,
        results: Vec::new(),
        noted: None,
    };
    for id in 0..graph.nodes.len() {
        let fixed = emitter.node(id)?;
        emitter.ids.push(fixed);
    }
    emitter.finish()
}

impl Emitter<'_> {
    fn finish(self) -> Result<(FixedGraph, Params), Error> {
        let number = match self.number {
            NumberFormat::Ring { bits: wanted } => {
                let widest = self.nodes.iter().map(|n| n.format.bits).max().unwrap_or(2).max(self.widest);
                let bits = if wanted == 0 { widest.max(24) } else { wanted };
                if bits > 64 || widest > bits {
                    return Err(Error::Quantise(format!(
                        "the largest sum needs {widest} bits and the ring has {}; state smaller ranges or use word16",
                        bits.min(64)
                    )));
                }
                NumberFormat::Ring { bits }
            }
            other => other,
        };
        let inputs = self.graph.inputs.iter().map(|&i| self.ids[i]).collect();
        let outputs = self
            .graph
            .outputs
            .iter()
            .map(|o| Output { name: o.name.clone(), node: self.ids[o.node], post: o.post })
            .collect();
        let result_bits = match number {
            NumberFormat::Ring { bits } => self.results.iter().map(|noted| noted.unwrap_or(bits)).collect(),
            _ => Vec::new(),
        };
        let graph = FixedGraph {
            number,
            nodes: self.nodes,
            params: self.params,
            inputs,
            input_levels: Vec::new(),
            result_bits,
            outputs,
        };
        graph.validate(&crate::fixed::Limits::default())?;
        Ok((graph, Params { tensors: self.tensors }))
    }

    fn push(&mut self, name: &str, op: Op, inputs: Vec<NodeId>, shape: &[usize], format: Format) -> NodeId {
        self.nodes.push(Node { name: name.to_owned(), op, inputs, shape: shape.to_vec(), format });
        self.results.push(self.noted.take());
        self.nodes.len() - 1
    }

    fn param(&mut self, name: String, shape: Vec<usize>, values: Vec<i128>) -> ParamId {
        let bits = bits_of(&values);
        self.params.push(ParamInfo { name, shape, bits, support: None });
        self.tensors.push(match bits {
            0..=32 => ParamData::I32(values.into_iter().map(|v| v as i32).collect()),
            33..=64 => ParamData::I64(values.into_iter().map(|v| v as i64).collect()),
            _ => ParamData::I128(values),
        });
        self.params.len() - 1
    }

    /// Notes a sum whose largest value is that of the node's range, `shift` bits finer than its format.
    fn sum(&mut self, id: usize, frac: i32) {
        let range = &self.ranges.nodes[id];
        let i = integer_bits(f64::from(range.low), f64::from(range.high));
        // One bit of sign and one of guard, for the rounding of weights and for inputs the samples did not show.
        let bits = |frac: i32| (i + frac + 2).max(2) as u32;
        self.widest = self.widest.max(bits(frac));
        self.noted = Some(bits(self.formats[id].frac));
    }

    fn refuse(&self, id: usize, why: &str) -> Error {
        Error::Quantise(format!("{}: {why}", quote(&self.graph.nodes[id].name)))
    }

    /// Writes one layer.
    fn node(&mut self, id: usize) -> Result<NodeId, Error> {
        let graph = self.graph;
        let node = &graph.nodes[id];
        let format = self.formats[id];
        let mut inputs: Vec<NodeId> = node.inputs.iter().map(|&i| self.ids[i]).collect();
        let fx = node.inputs.first().map_or(format.frac, |&i| self.formats[i].frac);
        let op = match &node.layer {
            Layer::Input { .. } => Op::Input,
            Layer::Conv { window, groups, weight, bias } => {
                let (weight, bias, shift) = self.linear(id, weight, bias, fx)?;
                Op::Conv { window: *window, groups: *groups, weight, bias, shift }
            }
            Layer::Dense { weight, bias } => {
                let (weight, bias, shift) = self.linear(id, weight, bias, fx)?;
                Op::Dense { weight, bias, shift }
            }
            Layer::Affine { factor, addend } => self.affine(id, factor.as_deref(), addend.as_deref(), fx)?,
            Layer::PublicAffine { factor, addend } => {
                self.public(id, f64::from(*factor), f64::from(*addend), fx)?
            }
            Layer::Sum { negative } => {
                let fs =
                    node.inputs.iter().map(|&i| self.formats[i].frac).max().unwrap_or(0).max(format.frac);
                let left = |i: usize| (fs - self.formats[i].frac) as u32;
                let terms: Vec<Term> = node
                    .inputs
                    .iter()
                    .zip(negative)
                    .map(|(&i, &negative)| Term { left: left(i), negative })
                    .collect();
                self.sum(id, fs);
                Op::Sum { terms, shift: (fs - format.frac) as u32 }
            }
            Layer::Product => {
                let natural: i32 = node.inputs.iter().map(|&i| self.formats[i].frac).sum();
                self.sum(id, natural);
                Op::Product { shift: (natural - format.frac).max(0) as u32 }
            }
            Layer::AveragePool { window, factor } => {
                let (factor, shift) = self.average(id, factor, fx);
                Op::AveragePool { window: *window, factor, shift }
            }
            Layer::MaxPool { window } => Op::MaxPool { window: *window },
            Layer::Relu => Op::Relu,
            Layer::Clamp { low, high } => {
                let (least, most) = format.limits();
                let bound = |v: f32| (scaled(f64::from(v), format.frac)).clamp(least, most);
                Op::Clamp { low: bound(*low), high: bound(*high) }
            }
            Layer::LeakyRelu { slope } => {
                let (factor, shift) = dyadic(f64::from(*slope), PRECISION);
                let (factor, shift) = whole(factor, shift);
                self.sum(id, format.frac + shift as i32);
                Op::LeakyRelu { factor, shift }
            }
            Layer::PRelu { slope } => {
                let top = slope.data().iter().fold(0f32, |a, v| a.max(v.abs()));
                let frac = fraction_for(f64::from(top), self.width.weight.max(12)).clamp(0, 20);
                let values = slope.data().iter().map(|&v| scaled_wide(f64::from(v), frac)).collect();
                let slope = self.param(format!("{}.slope", node.name), slope.shape().to_vec(), values);
                self.sum(id, format.frac + frac);
                Op::PRelu { slope, shift: frac as u32 }
            }
            Layer::Sigmoid => Op::Sigmoid,
            Layer::Tanh => Op::Tanh,
            Layer::ArgMax { axis, last } => Op::ArgMax { axis: *axis, last: *last },
            Layer::Softmax { .. } => {
                return Err(self.refuse(id, "a softmax inside the network has no integer form"));
            }
            moving => self.moving(id, moving, &mut inputs),
        };
        Ok(self.push(&node.name, op, inputs, &node.shape, format))
    }

    /// Writes a data movement.
    fn moving(&mut self, id: usize, layer: &Layer, inputs: &mut [NodeId]) -> Op {
        let node = &self.graph.nodes[id];
        let format = self.formats[id];
        match layer {
            Layer::Transpose { perm } => Op::Transpose { perm: perm.clone() },
            Layer::Slice { start, step } => Op::Slice { start: start.clone(), step: step.clone() },
            Layer::Concat { axis } => {
                for (place, &i) in node.inputs.iter().enumerate() {
                    inputs[place] = self.rescaled(inputs[place], self.formats[i], format);
                }
                Op::Concat { axis: *axis }
            }
            Layer::Pad { before, after, value } => {
                let value = scaled(f64::from(*value), format.frac);
                Op::Pad { before: before.clone(), after: after.clone(), value }
            }
            Layer::Expand => Op::Expand,
            Layer::Constant(tensor) => {
                let (low, high) = format.limits();
                let each = |&v: &f32| scaled(f64::from(v), format.frac).clamp(low, high);
                Op::Constant { values: tensor.data().iter().map(each).collect() }
            }
            _ => Op::Reshape,
        }
    }

    /// Brings a tensor to another format.
    fn rescaled(&mut self, node: NodeId, from: Format, to: Format) -> NodeId {
        if from.frac == to.frac && from.bits <= to.bits {
            return node;
        }
        let left = (to.frac - from.frac).max(0) as u32;
        let shift = (from.frac - to.frac).max(0) as u32;
        let terms = vec![Term { left, negative: false }];
        let (name, shape) = (self.nodes[node].name.clone(), self.nodes[node].shape.clone());
        self.push(&name, Op::Sum { terms, shift }, vec![node], &shape, to)
    }

    /// Weights, biases and shifts of a linear layer, with a scale for each output channel.
    fn linear(
        &mut self,
        id: usize,
        weight: &Tensor,
        bias: &Tensor,
        fx: i32,
    ) -> Result<(ParamId, ParamId, Vec<u32>), Error> {
        let (graph, node) = (self.graph, &self.graph.nodes[id]);
        let fy = self.formats[id].frac;
        let x = &self.ranges.nodes[node.inputs[0]];
        let terms = (weight.data().len() / bias.data().len()).max(1);
        // Finer weights than this change the result by less than a quarter of a unit.
        let useful =
            fy + 2 + (f64::from(x.magnitude()).max(1e-9) * (terms as f64).sqrt()).log2().ceil() as i32;
        let most = match self.number {
            NumberFormat::Ring { .. } => {
                useful.min(self.width.weight as i32 + 2 + self.summed(node.inputs[0]))
            }
            _ => useful,
        };
        let fractions: Vec<i32> = weight
            .data()
            .par_chunks(terms)
            .map(|row| match self.number {
                // Without truncation the product's scale must be the result's; else it must reach it.
                NumberFormat::Exact => fy - fx,
                _ => {
                    let top = row.iter().fold(0f32, |a, v| a.max(v.abs()));
                    fraction_for(f64::from(top), self.width.weight).min(most).max(fy - fx)
                }
            })
            .collect();
        let whole = formats::whole_sums(graph, self.width)[id];
        let fractions = if whole { vec![fy - fx; fractions.len()] } else { fractions };
        let finest = fractions.iter().copied().max().unwrap_or(0);
        let top = weight.data().iter().fold(0f32, |a, v| a.max(v.abs()));
        if fx + finest - fy > 40 || f64::from(top) * 2f64.powi(finest) >= 2f64.powi(31) {
            return Err(self.refuse(id, "its weights are too small beside its results for any scale"));
        }
        let mut biases = Vec::with_capacity(fractions.len());
        let mut shifts = Vec::with_capacity(fractions.len());
        for (&frac, &b) in fractions.iter().zip(bias.data()) {
            let shift = (fx + frac - fy) as u32;
            let b = f64::from(b) * 2f64.powi(fx + frac);
            if b.abs() >= self.largest_addend() {
                return Err(self.refuse(id, "its bias is too large beside its weights"));
            }
            biases.push(b.round() as i128 + i128::from(half(shift)));
            shifts.push(shift);
            self.sum(id, fx + frac);
        }
        let name = &node.name;
        let mut weights = vec![0i32; weight.data().len()];
        weights.par_chunks_mut(terms).zip(weight.data().par_chunks(terms)).zip(&fractions).for_each(
            |((to, from), &frac)| {
                let scale = 2f64.powi(frac);
                for (to, &w) in to.iter_mut().zip(from) {
                    *to = (f64::from(w) * scale).round() as i32;
                }
            },
        );
        let weight = self.narrow(format!("{name}.weight"), weight.shape().to_vec(), weights);
        let bias = self.param(format!("{name}.bias"), vec![biases.len()], biases);
        self.check_accumulator(id, weight, bias, terms)?;
        if shifts.iter().all(|&s| s == shifts[0]) {
            shifts.truncate(1);
        }
        Ok((weight, bias, shifts))
    }

    /// Bits by which weights are smaller because their operand is a sum instead of an average.
    fn summed(&self, mut id: usize) -> i32 {
        loop {
            let node = &self.graph.nodes[id];
            match (&node.layer, &node.inputs[..]) {
                (Layer::AveragePool { window, factor }, _) if factor == &[1.0] => {
                    return ceil_log2(window.taps()) as i32;
                }
                (layer, [from]) if layer.movement().is_some() => id = *from,
                _ => return 0,
            }
        }
    }

    /// What a bias at its accumulator's scale stays below.
    fn largest_addend(&self) -> f64 {
        2f64.powi(if self.number == NumberFormat::Exact { 124 } else { 58 })
    }

    /// A parameter of small numbers.
    fn narrow(&mut self, name: String, shape: Vec<usize>, values: Vec<i32>) -> ParamId {
        let (low, high) = values
            .par_iter()
            .with_min_len(4096)
            .fold(|| (0, 0), |(a, b), &v| (v.min(a), v.max(b)))
            .reduce(|| (0, 0), |a, b| (a.0.min(b.0), a.1.max(b.1)));
        let bits = bits_of(&[i128::from(low), i128::from(high)]);
        self.params.push(ParamInfo { name, shape, bits, support: None });
        self.tensors.push(ParamData::I32(values));
        self.params.len() - 1
    }

    fn check_accumulator(
        &self,
        id: usize,
        weight: ParamId,
        bias: ParamId,
        terms: usize,
    ) -> Result<(), Error> {
        if self.number != NumberFormat::Word16 {
            return Ok(());
        }
        let x = self.formats[self.graph.nodes[id].inputs[0]].bits;
        let sum = x + self.params[weight].bits + ceil_log2(terms);
        if sum.max(self.params[bias].bits) + 1 > ACCUMULATOR {
            return Err(self.refuse(id, "its sums need more than 62 bits; state smaller ranges"));
        }
        Ok(())
    }

    fn affine(
        &mut self,
        id: usize,
        factor: Option<&Tensor>,
        addend: Option<&Tensor>,
        fx: i32,
    ) -> Result<Op, Error> {
        let name = self.graph.nodes[id].name.clone();
        let fy = self.formats[id].frac;
        let (weight, left, fs) = match factor {
            Some(factor) => {
                let top = factor.data().iter().fold(0f32, |a, v| a.max(v.abs()));
                // One scale serves all channels here, so the small factors among them need the width.
                let frac = match self.number {
                    NumberFormat::Exact => fy - fx,
                    _ => fraction_for(f64::from(top), self.width.weight.max(12)).min(24).max(fy - fx),
                };
                let values = factor.data().iter().map(|&v| scaled_wide(f64::from(v), frac)).collect();
                (Some(self.param(format!("{name}.factor"), factor.shape().to_vec(), values)), 0, fx + frac)
            }
            None => {
                let fs = fx.max(fy);
                (None, (fs - fx) as u32, fs)
            }
        };
        let shift = (fs - fy) as u32;
        let zero = Tensor::filled(vec![1], 0.0)?;
        let addend = addend.unwrap_or(&zero);
        let at_scale = |&v: &f32| scaled_wide(f64::from(v), fs).saturating_add(i128::from(half(shift)));
        let values = addend.data().iter().map(at_scale).collect();
        let bias = self.param(format!("{name}.addend"), addend.shape().to_vec(), values);
        self.sum(id, fs);
        let most = if self.number == NumberFormat::Exact { 124 } else { ACCUMULATOR - 2 };
        if self.params[bias].bits > most || shift > 40 {
            return Err(self.refuse(id, "its addend is too large beside its factor"));
        }
        Ok(Op::Affine { weight, left, bias, shift })
    }

    fn public(&mut self, id: usize, factor: f64, addend: f64, fx: i32) -> Result<Op, Error> {
        let fy = self.formats[id].frac;
        let (mut integer, mut frac) = dyadic(factor, PRECISION);
        let missing = (fy - fx - frac).max(0);
        if missing > 40 {
            return Err(self.refuse(id, "its factor is too small for any scale"));
        }
        (integer, frac) = (integer << missing, frac + missing);
        let shift = (fx + frac - fy) as u32;
        let addend = scaled(addend, fx + frac).saturating_add(half(shift));
        self.sum(id, fx + frac);
        Ok(Op::PublicAffine { factor: integer, addend, shift })
    }

    /// Factors of an average in units of the shift.
    fn average(&mut self, id: usize, factor: &[f32], fx: i32) -> (Vec<i64>, u32) {
        let fy = self.formats[id].frac;
        let frac = match self.number {
            NumberFormat::Exact => fy - fx,
            // The finest factor decides the scale of all.
            _ => average_fraction(factor, PRECISION).max(fy - fx),
        };
        let values = factor.iter().map(|&f| scaled(f64::from(f), frac)).collect();
        self.sum(id, fx + frac);
        (values, (fx + frac - fy) as u32)
    }
}

/// Fraction bits of an average's factors.
pub(super) fn average_fraction(factor: &[f32], precision: u32) -> i32 {
    factor.iter().map(|&f| dyadic(f64::from(f), precision).1).max().unwrap_or(0).max(0)
}

/// A factor without a negative shift.
fn whole(factor: i64, shift: i32) -> (i64, u32) {
    if shift < 0 { (factor << -shift, 0) } else { (factor, shift as u32) }
}
