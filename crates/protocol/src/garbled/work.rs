//! What each layer of a garbled prediction takes: the circuit's own walk, looked at before each node.

use std::cell::Cell;
use std::convert::Infallible;

use garble::count::{Count, Counts};
use model::fixed::{FixedGraph, Node, ParamId};
use ot::softspoken::message_len;

use super::options::FirstLayer;
use super::products::message_bytes;
use super::schedule::count_gates;
use super::split::Split;
use super::walk::Observer;
use super::weights::Encoding;
use crate::handshake::Reveal;
use crate::meter::Phase;
use crate::work::{Amounts, Layer, Step, Unit, Work};

/// Flights of the agreement with the base transfers, of a prediction, and those that products by transfers add.
const SETUP_FLIGHTS: u64 = 6;
const FLIGHTS: u64 = 2;
const PRODUCT_FLIGHTS: u64 = 2;

/// Gates and transfers up to some node.
#[derive(Clone, Copy, Default)]
struct Mark {
    counts: Counts,
    transfers: u64,
}

/// Notes them at each node.
struct Marks<'a> {
    transfers: &'a Cell<u64>,
    names: Vec<String>,
    marks: Vec<Mark>,
}

impl Observer<Count> for Marks<'_> {
    fn node(&mut self, gates: &Count, node: &Node) {
        self.names.push(node.name.clone());
        self.marks.push(Mark { counts: gates.counts(), transfers: self.transfers.get() });
    }
}

/// What a prediction takes, layer by layer. As [`super::price`] it takes as many steps as the plan has products.
pub fn work(plan: &FixedGraph, reveal: Reveal, first: FirstLayer) -> Work {
    let split = Split::of(plan, first);
    let transfers = Cell::new(0u64);
    let mut marks = Marks { transfers: &transfers, names: Vec::new(), marks: Vec::new() };
    let mut load = |_: ParamId, indices: &[usize], encoding: Encoding| {
        let more = encoding.wires() as u64 * indices.len() as u64;
        transfers.set(transfers.get().saturating_add(more));
        Ok::<(), Infallible>(())
    };
    let Ok(counts) = count_gates((plan, &split), reveal, &mut load, &mut marks);
    let Marks { names, mut marks, .. } = marks;
    marks.push(Mark { counts, transfers: transfers.get() });
    // Shares of the input are joined before the first node.
    if let Some(first) = marks.first_mut() {
        *first = Mark::default();
    }
    // Base transfers are those of one prediction, and made before its input is needed.
    let session = Step {
        amounts: Amounts::default().with(Unit::BaseTransfers, 1),
        flights: SETUP_FLIGHTS,
        ..Step::default()
    };
    let products = if split.products.is_empty() { 0 } else { PRODUCT_FLIGHTS };
    let prediction = Step {
        amounts: Amounts::default().with(Unit::Circuit, 1),
        flights: FLIGHTS + products,
        ..Step::default()
    };
    let mut layers = vec![Layer::new("").with(Phase::Setup, session).with(Phase::Online, prediction)];
    layers.extend(names.iter().zip(marks.windows(2)).enumerate().map(|(id, (name, pair))| {
        let mut step = between(pair[0], pair[1]);
        if let Some((_, product)) = split.product(id) {
            let (count, bytes) = (product.transfers(), message_bytes(product));
            step.amounts = step.amounts.with(Unit::ProductTransfer, count).with(Unit::ProductByte, bytes);
            step.bytes[0] += bytes;
            step.bytes[1] += message_bytes_of(count);
        }
        Layer::new(name).with(Phase::Online, step)
    }));
    Work { layers: layers.into_iter().filter(Layer::is_any).collect(), streamed: [false, false, true] }
}

fn message_bytes_of(transfers: u64) -> u64 {
    message_len(usize::try_from(transfers).unwrap_or(usize::MAX)) as u64
}

/// What a node takes.
fn between(before: Mark, after: Mark) -> Step {
    let (a, b) = (before.counts, after.counts);
    let transfers = after.transfers.saturating_sub(before.transfers);
    let amounts = Amounts::default()
        .with(Unit::StreamedAnd, b.ands.saturating_sub(a.ands))
        .with(Unit::StreamedKnownAnd, b.known_ands.saturating_sub(a.known_ands))
        .with(Unit::StreamedXor, b.xors.saturating_sub(a.xors))
        .with(Unit::WeightTransfer, transfers);
    let tables = b.table_bytes().saturating_sub(a.table_bytes());
    Step { amounts, bytes: [tables, message_bytes_of(transfers)], flights: 0 }
}
