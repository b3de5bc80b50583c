//! What a plan costs and in which order the server's choice bits go: the circuit's own walk, under the interpreter that
//! only counts.

use std::convert::Infallible;
use std::ops::Range;

use garble::count::Counter;
use garble::gates::Gates;
use garble::known;
use model::fixed::{FixedGraph, ParamId, Params};
use zeroize::Zeroizing;

use super::inputs;
use super::options::FirstLayer;
use super::products::message_bytes;
use super::shared::join;
use super::split::{Product, Split};
use super::walk::{Observer, walk};
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
    /// Oblivious transfers into the circuit: bits of recoded weights, of biases, of shares.
    pub transfers: u64,
    /// Oblivious transfers of the layers that are computed by them.
    pub product_transfers: u64,
    /// Bytes of the other messages of these layers.
    pub product_bytes: u64,
    /// Bytes of garbled tables.
    pub table_bytes: u64,
}

/// Prices a plan without any secret. It takes as many steps as the plan has products: [`super::check`] a peer's plan first.
pub fn price(plan: &FixedGraph, reveal: Reveal, first: FirstLayer) -> Price {
    let split = Split::of(plan, first);
    let products = || split.products.iter();
    Price {
        product_transfers: products().map(Product::transfers).fold(0, u64::saturating_add),
        product_bytes: products().map(message_bytes).fold(0, u64::saturating_add),
        ..circuit(plan, &split, reveal)
    }
}

/// What the circuit costs that a split leaves.
pub fn circuit(plan: &FixedGraph, split: &Split, reveal: Reveal) -> Price {
    let mut transfers = 0u64;
    let mut count = |_: ParamId, indices: &[usize], encoding: Encoding| {
        transfers = transfers.saturating_add(encoding.wires() as u64 * indices.len() as u64);
        Ok::<(), Infallible>(())
    };
    let Ok(counts) = count_gates((plan, split), reveal, &mut count, &mut ());
    Price {
        ands: counts.ands,
        known_ands: counts.known_ands,
        xors: counts.xors,
        transfers,
        table_bytes: counts.table_bytes(),
        ..Price::default()
    }
}

/// Hands out the server's choice bits in the order in which the circuit will read them.
///
/// # Errors
/// What `each` fails with; it is not asked again then.
pub fn choices<E>(
    (plan, split): (&FixedGraph, &Split),
    secrets: &Secrets<'_>,
    reveal: Reveal,
    each: &mut dyn FnMut(&[bool]) -> Result<(), E>,
) -> Result<(), E> {
    let mut load = |param: ParamId, indices: &[usize], encoding: Encoding| {
        each(&encode(secrets, param, indices, encoding))
    };
    count_gates((plan, split), reveal, &mut load, &mut ()).map(|_| ())
}

/// What the server puts into the circuit.
pub struct Secrets<'a> {
    /// Weights and biases.
    pub params: &'a Params,
    /// Its shares of products by transfers, numbered on behind the parameters.
    pub shares: &'a [Zeroizing<Vec<i64>>],
}

impl Secrets<'_> {
    fn get(&self, param: ParamId, index: usize) -> i64 {
        match self.params.tensors.get(param) {
            Some(tensor) => tensor.get(index),
            None => self.shares[param - self.params.tensors.len()][index],
        }
    }
}

/// The bits of some weights: wire by wire, one bit for each index. Erased on drop.
fn encode(
    secrets: &Secrets<'_>,
    param: ParamId,
    indices: &[usize],
    encoding: Encoding,
) -> Zeroizing<Vec<bool>> {
    let wires = encoding.wires();
    let mut rows = Zeroizing::new(Vec::with_capacity(wires * indices.len()));
    for index in indices {
        let value = secrets.get(param, *index);
        match encoding {
            Encoding::Digits { bits } => known::encode(value, bits, &mut rows),
            Encoding::Plain { bits } => rows.extend((0..bits).map(|bit| value >> bit.min(63) & 1 == 1)),
        }
    }
    let mut bits = Zeroizing::new(Vec::with_capacity(rows.len()));
    bits.extend((0..wires).flat_map(|wire| rows.iter().skip(wire).step_by(wires)));
    bits
}

pub(super) type Load<'a, E> = dyn FnMut(ParamId, &[usize], Encoding) -> Result<(), E> + 'a;

struct Loads<'a, E>(&'a mut Load<'a, E>);

pub(super) fn count_gates<'a, E>(
    (plan, split): (&FixedGraph, &Split),
    reveal: Reveal,
    load: &'a mut Load<'a, E>,
    observer: &mut dyn Observer<Counter<E>>,
) -> Result<garble::count::Counts, E> {
    let mut gates = Counter::default();
    let inputs = inputs::words((plan, split), |_, _, lanes| gates.input(lanes));
    let mut loads = Loads(load);
    let inputs = join(&mut gates, &mut loads, (plan, split), inputs)?;
    walk(&mut gates, (plan, split), inputs, &mut loads, reveal, observer)?;
    Ok(gates.counts())
}

impl<E> Weights<Counter<E>> for Loads<'_, E> {
    fn load(
        &mut self,
        gates: &mut Counter<E>,
        param: ParamId,
        indices: &[usize],
        encoding: Encoding,
    ) -> Result<Vec<<Counter<E> as Gates>::Known>, E> {
        (self.0)(param, indices, encoding)?;
        Ok((0..encoding.wires()).map(|_| gates.known(indices.len())).collect())
    }

    fn garblers_share(
        &mut self,
        gates: &mut Counter<E>,
        _product: usize,
        lanes: Range<usize>,
        bits: u32,
    ) -> Result<Vec<<Counter<E> as Gates>::Wires>, E> {
        Ok((0..bits).map(|_| gates.input(lanes.len())).collect())
    }
}
