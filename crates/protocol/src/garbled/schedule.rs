//! What a plan costs and in which order the server's choice bits go: the circuit's own walk, under the interpreter that
//! only counts.

use garble::count::Count;
use garble::gates::Gates;
use garble::known;
use model::fixed::{FixedGraph, ParamId, Params};

use super::inputs;
use super::walk::walk;
use super::weights::{Encoding, Weights};
use crate::handshake::Reveal;

/// What a plan costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Price {
    /// AND gates of two ciphertexts.
    pub ands: u64,
    /// AND gates of one ciphertext, where the evaluator knows an operand.
    pub known_ands: u64,
    /// XOR and NOT gates, which are free.
    pub xors: u64,
    /// Oblivious transfers: bits of recoded weights and biases.
    pub transfers: u64,
    /// Bytes of garbled tables.
    pub table_bytes: u64,
}

/// Prices a plan without any secret.
pub fn price(plan: &FixedGraph, reveal: Reveal) -> Price {
    let mut transfers = 0;
    let mut count = |_: ParamId, indices: &[usize], encoding: Encoding| {
        transfers += (encoding.wires() * indices.len()) as u64;
        true
    };
    let counts = count_gates(plan, reveal, &mut count);
    Price {
        ands: counts.ands,
        known_ands: counts.known_ands,
        xors: counts.xors,
        transfers,
        table_bytes: counts.table_bytes(),
    }
}

/// Hands out the server's choice bits in the order in which the circuit will read them, until `each` returns false.
pub fn choices(plan: &FixedGraph, params: &Params, reveal: Reveal, each: &mut dyn FnMut(&[bool]) -> bool) {
    let mut bits = Vec::new();
    let mut load = |param: ParamId, indices: &[usize], encoding: Encoding| {
        encode(params, param, indices, encoding, &mut bits);
        each(&bits)
    };
    count_gates(plan, reveal, &mut load);
}

/// The bits of some weights: wire by wire, one bit for each index.
fn encode(params: &Params, param: ParamId, indices: &[usize], encoding: Encoding, bits: &mut Vec<bool>) {
    let tensor = &params.tensors[param];
    let wires = encoding.wires();
    let mut rows = Vec::with_capacity(wires * indices.len());
    for index in indices {
        let value = tensor.get(*index);
        match encoding {
            Encoding::Digits { bits } => known::encode(value, bits, &mut rows),
            Encoding::Plain { bits } => rows.extend((0..bits).map(|bit| value >> bit.min(63) & 1 == 1)),
        }
    }
    bits.clear();
    bits.extend((0..wires).flat_map(|wire| rows.iter().skip(wire).step_by(wires)));
}

type Load<'a> = dyn FnMut(ParamId, &[usize], Encoding) -> bool + 'a;

struct Loads<'a> {
    load: &'a mut Load<'a>,
    open: bool,
}

fn count_gates<'a>(plan: &FixedGraph, reveal: Reveal, load: &'a mut Load<'a>) -> garble::count::Counts {
    let mut gates = Count::default();
    let inputs = inputs::words(plan, |_, _, lanes| gates.input(lanes));
    let mut loads = Loads { load, open: true };
    // Counting cannot fail.
    let Ok(_) = walk(&mut gates, plan, inputs, &mut loads, reveal, &mut ());
    gates.counts()
}

impl Weights<Count> for Loads<'_> {
    fn load(
        &mut self,
        gates: &mut Count,
        param: ParamId,
        indices: &[usize],
        encoding: Encoding,
    ) -> Result<Vec<<Count as Gates>::Known>, <Count as Gates>::Error> {
        self.open = self.open && (self.load)(param, indices, encoding);
        Ok((0..encoding.wires()).map(|_| gates.known(indices.len())).collect())
    }
}
