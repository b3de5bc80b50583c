//! A party's shares, and what it computes on them alone. Both parties run the same operations: the client on masks, before the
//! input is known, the server on masked values, afterwards.

use model::fixed::{NodeId, Op};
use zeroize::Zeroize;

use super::super::program::{Form, Program};
use super::super::shares::{Addends, compute};
use crate::garbled::pool::half;

/// Shares of tensors, and of sums whose low bits are yet to be dropped. Erased on drop.
#[derive(Default)]
pub struct State {
    /// Of values.
    pub tensors: Vec<Vec<u64>>,
    /// Of sums.
    pub sums: Vec<Vec<u64>>,
}

impl Drop for State {
    fn drop(&mut self) {
        self.tensors.zeroize();
        self.sums.zeroize();
    }
}

impl State {
    /// Room for a graph's tensors.
    pub fn new(program: &Program<'_>) -> Self {
        let count = program.graph.nodes.len();
        Self { tensors: vec![Vec::new(); count], sums: vec![Vec::new(); count] }
    }

    /// Takes shares of the sums of linear layers.
    pub fn put_sums(&mut self, program: &Program<'_>, sums: impl IntoIterator<Item = Vec<u64>>) {
        for (id, sums) in program.linear.iter().zip(sums) {
            self.sums[*id] = sums;
        }
    }

    /// The operations on shares with which a stage begins.
    pub fn local(&mut self, program: &Program<'_>, stage: usize, addends: &Addends<'_>) {
        for id in &program.stages[stage].local {
            let node = &program.graph.nodes[*id];
            let operands: Vec<&[u64]> =
                node.inputs.iter().map(|input| self.tensors[*input].as_slice()).collect();
            let result = match &node.op {
                Op::Constant { values } => {
                    values.iter().map(|value| program.modulus.of(addends.public(*value))).collect()
                }
                _ => compute(program, *id, &operands, addends),
            };
            match program.places[*id].form {
                Form::Sum { .. } => self.sums[*id] = result,
                _ => self.tensors[*id] = result,
            }
        }
    }

    /// The sums of a layer and of other tensors with which a stage's linear part ends.
    pub fn merge(&mut self, program: &Program<'_>, stage: usize, addends: &Addends<'_>) {
        for id in &program.stages[stage].merged {
            let node = &program.graph.nodes[*id];
            let (Op::Sum { terms, shift }, Some(base)) = (&node.op, program.places[*id].base) else {
                continue;
            };
            let layer = node.inputs[base];
            let modulus = &program.modulus;
            let (shifts, inner) = program.shifts(layer);
            let below = |lane: usize| shifts[lane / inner % shifts.len()];
            let half = modulus.of(addends.public(half(*shift)));
            let mut sums = self.sums[layer].clone();
            for (lane, sum) in sums.iter_mut().enumerate() {
                *sum = modulus.add(*sum, modulus.shift(half, below(lane)));
            }
            let terms = node.inputs.iter().zip(terms).enumerate().filter(|(at, _)| *at != base);
            for (_, (input, term)) in terms {
                for (lane, (sum, share)) in sums.iter_mut().zip(self.of(program, *input)).enumerate() {
                    let part = modulus.shift(*share, term.left + below(lane));
                    *sum = if term.negative { modulus.sub(*sum, part) } else { modulus.add(*sum, part) };
                }
            }
            self.sums[*id] = sums;
        }
    }

    /// The shares with which a tensor enters a circuit.
    pub fn of(&self, program: &Program<'_>, node: NodeId) -> &[u64] {
        match program.places[node].form {
            Form::Sum { .. } => &self.sums[node],
            _ => &self.tensors[node],
        }
    }
}
