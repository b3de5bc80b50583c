//! Operations on shares: what only moves, adds, or multiplies by public numbers. Each party does it alone.

use model::fixed::{NodeId, Op};
use model::movement::{Source, sources};

use super::program::Program;
use crate::garbled::elementwise::broadcast_index;
use crate::garbled::pool::{Views, half};

/// What a party's share of a public or of its own addend is.
pub enum Addends<'a> {
    /// The server's: addends count, and it knows its parameters.
    Server(&'a dyn Fn(usize, usize) -> i64),
    /// The client's: zero.
    Client,
}

impl Addends<'_> {
    /// A public number.
    pub fn public(&self, value: i64) -> i64 {
        match self {
            Self::Server(_) => value,
            Self::Client => 0,
        }
    }

    /// An element of a parameter.
    fn parameter(&self, param: usize, index: usize) -> i64 {
        match self {
            Self::Server(parameter) => parameter(param, index),
            Self::Client => 0,
        }
    }
}

/// A party's share of an operation's result, from those of its operands. For operations with a shift it is the share of
/// the sum before the shift, halves for rounding included.
pub fn compute(program: &Program, id: NodeId, operands: &[&[u64]], addends: &Addends) -> Vec<u64> {
    let node = &program.graph.nodes[id];
    let modulus = &program.modulus;
    let public = |value: i64| modulus.of(addends.public(value));
    let count: usize = node.shape.iter().product();
    match &node.op {
        Op::Sum { terms, shift } => {
            let mut sums = vec![public(half(*shift)); count];
            for (operand, term) in operands.iter().zip(terms) {
                for (sum, share) in sums.iter_mut().zip(*operand) {
                    let part = modulus.shift(*share, term.left);
                    *sum = if term.negative { modulus.sub(*sum, part) } else { modulus.add(*sum, part) };
                }
            }
            sums
        }
        Op::PublicAffine { factor, addend, .. } => {
            let addend = public(*addend);
            operands[0].iter().map(|x| modulus.add(modulus.scale(*x, *factor), addend)).collect()
        }
        Op::Affine { left, bias, .. } => {
            let shape = &program.graph.params[*bias].shape;
            let place = |lane| broadcast_index(&node.shape, shape, lane);
            let sum = |(lane, x): (usize, &u64)| {
                modulus.add(modulus.shift(*x, *left), modulus.of(addends.parameter(*bias, place(lane))))
            };
            operands[0].iter().enumerate().map(sum).collect()
        }
        Op::AveragePool { window, factor, shift } => {
            let views = Views::new((program.graph, node), window);
            let half = public(half(*shift));
            let mean = |lane: usize| {
                let view = views.of(lane);
                let taps = (0..view.len()).filter_map(|tap| view.tap(tap)).map(|tap| operands[0][tap]);
                let factor = factor.get(lane % views.positions()).or(factor.first()).copied().unwrap_or(0);
                let sum = taps.fold(0, |sum, tap| modulus.add(sum, tap));
                modulus.add(modulus.scale(sum, factor), half)
            };
            (0..count).map(mean).collect()
        }
        Op::Reshape => operands[0].to_vec(),
        _ => sources(program.graph, node)
            .into_iter()
            .map(|source| match source {
                Source::Element { operand, index } => operands[operand][index],
                Source::Constant(value) => public(value),
            })
            .collect(),
    }
}
