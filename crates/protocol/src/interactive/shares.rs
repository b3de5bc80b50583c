//! Operations on shares: what only moves, adds, or multiplies by public numbers. Each party does it alone.

use model::fixed::{Node, NodeId, Op};
use model::movement::{Source, sources};

use super::program::Program;
use crate::garbled::elementwise::broadcast_index;
use crate::garbled::pool::{Views, half};

/// What a party's share of a public or of its own addend is.
pub enum Addends<'a> {
    /// The server's: addends count, and it knows its parameters.
    Server(&'a dyn Fn(usize, usize) -> u64),
    /// The client's: zero.
    Client,
}

impl Addends<'_> {
    /// A public number.
    pub fn public(&self, value: i64) -> u64 {
        match self {
            Self::Server(_) => value as u64,
            Self::Client => 0,
        }
    }

    /// An element of a parameter.
    fn parameter(&self, param: usize, index: usize) -> u64 {
        match self {
            Self::Server(parameter) => parameter(param, index),
            Self::Client => 0,
        }
    }
}

/// A party's share of an operation's result, from those of its operands, modulo 2^k. For operations with a shift it is the share of
/// the sum before the shift, halves for rounding included.
pub fn compute(program: &Program, id: NodeId, operands: &[&[u64]], addends: &Addends) -> Vec<u64> {
    let node = &program.graph.nodes[id];
    let mask = u64::MAX >> (64 - program.ring);
    let mut shares = unreduced(program, node, operands, addends);
    shares.iter_mut().for_each(|share| *share &= mask);
    shares
}

fn unreduced(program: &Program, node: &Node, operands: &[&[u64]], addends: &Addends) -> Vec<u64> {
    let count: usize = node.shape.iter().product();
    match &node.op {
        Op::Sum { terms, shift } => {
            let mut sums = vec![addends.public(half(*shift)); count];
            for (operand, term) in operands.iter().zip(terms) {
                for (sum, share) in sums.iter_mut().zip(*operand) {
                    let part = share.wrapping_shl(term.left);
                    *sum = if term.negative { sum.wrapping_sub(part) } else { sum.wrapping_add(part) };
                }
            }
            sums
        }
        Op::PublicAffine { factor, addend, .. } => {
            let addend = addends.public(*addend);
            operands[0].iter().map(|x| x.wrapping_mul(*factor as u64).wrapping_add(addend)).collect()
        }
        Op::Affine { left, bias, .. } => {
            let shape = &program.graph.params[*bias].shape;
            let place = |lane| broadcast_index(&node.shape, shape, lane);
            let sum = |(lane, x): (usize, &u64)| {
                x.wrapping_shl(*left).wrapping_add(addends.parameter(*bias, place(lane)))
            };
            operands[0].iter().enumerate().map(sum).collect()
        }
        Op::AveragePool { window, factor, shift } => {
            let views = Views::new((program.graph, node), window);
            let half = addends.public(half(*shift));
            let mean = |lane: usize| {
                let view = views.of(lane);
                let taps = (0..view.len()).filter_map(|tap| view.tap(tap)).map(|tap| operands[0][tap]);
                let factor = factor.get(lane % views.positions()).or(factor.first()).copied().unwrap_or(0);
                taps.fold(0, u64::wrapping_add).wrapping_mul(factor as u64).wrapping_add(half)
            };
            (0..count).map(mean).collect()
        }
        Op::Reshape => operands[0].to_vec(),
        _ => sources(program.graph, node)
            .into_iter()
            .map(|source| match source {
                Source::Element { operand, index } => operands[operand][index],
                Source::Constant(value) => addends.public(value),
            })
            .collect(),
    }
}
