//! The interpreter that only counts: the cost model.

use core::convert::Infallible;
use core::marker::PhantomData;

use kernel::half_gates::{ROWS_PER_AND, ROWS_PER_KNOWN_AND};

use crate::gates::Gates;

/// Gates of a circuit, over all instances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// AND gates of two rows.
    pub ands: u64,
    /// AND gates of one row, where the evaluator knows an operand.
    pub known_ands: u64,
    /// XOR gates.
    pub xors: u64,
    /// Numbers of projections ([`crate::projection`]).
    pub words: u64,
    /// Rows that they take.
    pub word_rows: u64,
}

impl Counts {
    /// Bytes of garbled tables.
    pub fn table_bytes(&self) -> u64 {
        let ands = self.ands.saturating_mul(ROWS_PER_AND as u64);
        let rows = ands.saturating_add(self.known_ands.saturating_mul(ROWS_PER_KNOWN_AND as u64));
        rows.saturating_add(self.word_rows).saturating_mul(size_of::<kernel::block::Block>() as u64)
    }
}

/// Counts gates; a wire is just its number of instances. Counting itself cannot fail: E is what a caller's supply of inputs
/// may end the circuit with.
#[derive(Clone, Copy, Debug)]
pub struct Counter<E> {
    counts: Counts,
    error: PhantomData<fn() -> E>,
}

/// A count that always comes to its end.
pub type Count = Counter<Infallible>;

impl<E> Default for Counter<E> {
    fn default() -> Self {
        Self { counts: Counts::default(), error: PhantomData }
    }
}

/// One wire of a counted circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountedWires(usize);

impl<E> Counter<E> {
    /// What has been counted; counters stop at their largest value.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    pub(crate) fn words(&mut self, words: u64, rows: u64) {
        self.counts.words = self.counts.words.saturating_add(words);
        self.counts.word_rows = self.counts.word_rows.saturating_add(rows);
    }

    /// An input wire.
    pub fn input(&self, lanes: usize) -> CountedWires {
        CountedWires(lanes)
    }

    /// A wire that the evaluator knows.
    pub fn known(&self, lanes: usize) -> CountedWires {
        CountedWires(lanes)
    }
}

impl<E> Gates for Counter<E> {
    type Wires = CountedWires;
    type Known = CountedWires;
    type Error = E;

    fn and(&mut self, a: &CountedWires, b: &CountedWires) -> Result<CountedWires, E> {
        debug_assert_eq!(a, b);
        self.counts.ands = self.counts.ands.saturating_add(a.0 as u64);
        Ok(*a)
    }

    fn and_known(&mut self, a: &CountedWires, b: &CountedWires) -> Result<CountedWires, E> {
        debug_assert_eq!(a, b);
        self.counts.known_ands = self.counts.known_ands.saturating_add(a.0 as u64);
        Ok(*a)
    }

    fn xor(&mut self, a: &CountedWires, b: &CountedWires) -> CountedWires {
        debug_assert_eq!(a, b);
        self.counts.xors = self.counts.xors.saturating_add(a.0 as u64);
        *a
    }

    fn not(&mut self, a: &CountedWires) -> CountedWires {
        *a
    }

    fn constant(&mut self, _bit: bool, lanes: usize) -> CountedWires {
        CountedWires(lanes)
    }

    fn forget(&self, known: &CountedWires) -> CountedWires {
        *known
    }

    fn gather(&self, _a: &CountedWires, lanes: &[u32]) -> CountedWires {
        CountedWires(lanes.len())
    }

    fn slice(&self, _a: &CountedWires, lanes: core::ops::Range<usize>) -> CountedWires {
        CountedWires(lanes.len())
    }

    fn gather_known(&self, _known: &CountedWires, lanes: &[u32]) -> CountedWires {
        CountedWires(lanes.len())
    }

    fn concat(&self, parts: &[&CountedWires]) -> CountedWires {
        CountedWires(parts.iter().map(|part| part.0).sum())
    }
}
