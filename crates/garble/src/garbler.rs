//! The interpreter that garbles.

use std::sync::Arc;

use kernel::block::{Block, as_bytes};
use kernel::half_gates::{HalfGates, ROWS_PER_AND, ROWS_PER_KNOWN_AND, TWEAKS_PER_AND, TWEAKS_PER_KNOWN_AND};
use zeroize::Zeroize;

use crate::gates::Gates;
use crate::labels::{ActiveLabels, GATES_PER_CALL, Labels, Pool, Tweaks, TweaksExhausted};

/// Where garbled tables go, in the order of the circuit's gates.
pub trait TableSink {
    /// What writing may fail with.
    type Error: From<TweaksExhausted>;

    /// Takes the next tables. Pieces are at most 16 KiB and a multiple of 16 bytes; how they are cut means nothing, so a sink is
    /// free to join them.
    ///
    /// # Errors
    /// When the tables cannot be handed on.
    fn write(&mut self, tables: &[u8]) -> Result<(), Self::Error>;
}

/// Garbles a circuit with half gates: wires are zero-labels, tables stream into a sink.
///
/// The offset, and every label, is erased when it is no longer held.
pub struct Garbler<S> {
    hash: HalfGates,
    offset: Block,
    tweaks: Tweaks,
    pool: Arc<Pool>,
    rows: Vec<Block>,
    sink: S,
}

impl<S: TableSink> Garbler<S> {
    /// A garbler with a secret free-XOR offset (its lowest bit is taken as set) and a public random start point of the hash, both
    /// used for no other session.
    pub fn new(offset: Block, start: Block, sink: S) -> Self {
        Self::with_hash(offset, HalfGates::new(start), sink)
    }

    /// The same with a hash on a chosen tier.
    pub fn with_hash(offset: Block, hash: HalfGates, sink: S) -> Self {
        Self {
            hash,
            offset: offset.with_lsb(),
            tweaks: Tweaks::default(),
            pool: Arc::default(),
            rows: vec![Block::ZERO; ROWS_PER_AND * GATES_PER_CALL],
            sink,
        }
    }

    /// A wire of the garbler's own input, one bit an instance. The evaluator gets its active labels with
    /// [`crate::evaluator::Evaluator::input`] from the same stream.
    pub fn input(&mut self, labels: &mut ActiveLabels, bits: &[bool]) -> Labels {
        let mut out = self.pool.take(bits.len());
        labels.fill(&mut out);
        for (label, bit) in out.iter_mut().zip(bits) {
            *label ^= self.offset.and_bit(*bit);
        }
        out.freeze()
    }

    /// A wire whose bits the evaluator knows, from the garbler's outputs q of correlated OTs with the offset as correlation (the
    /// evaluator has `q ^ bit * offset`).
    ///
    /// The lowest bit of every label is cleared, so that the colour of the active label is the bit itself; the evaluator sets it
    /// likewise.
    pub fn known(&self, q: &[Block]) -> Labels {
        let mut out = self.pool.take(q.len());
        for (out, q) in out.iter_mut().zip(q) {
            *out = Block(q.0 & !1);
        }
        out.freeze()
    }

    /// The colours of the zero-labels: an output's value is this XOR the colour of the evaluator's active label.
    pub fn colours(&self, wires: &Labels) -> Vec<bool> {
        wires.blocks().iter().map(|label| label.lsb()).collect()
    }

    /// The sink, to be used between gates.
    pub fn sink(&mut self) -> &mut S {
        &mut self.sink
    }
}

/// [`HalfGates::garble_and`] or [`HalfGates::garble_known`].
type GarbleSlices = fn(&HalfGates, Block, u64, &[Block], &[Block], &mut [Block], &mut [Block]);

impl<S: TableSink> Garbler<S> {
    /// Garbles gates that take so many tweaks and rows each, piece by piece.
    fn garble(
        &mut self,
        a: &Labels,
        b: &Labels,
        (tweaks, rows): (u64, usize),
        garble: GarbleSlices,
    ) -> Result<Labels, S::Error> {
        let (a, b) = (a.blocks(), b.blocks());
        debug_assert_eq!(a.len(), b.len());
        let mut tweak = self.tweaks.reserve(a.len(), tweaks)?;
        let mut out = self.pool.take(a.len());
        let operands = a.chunks(GATES_PER_CALL).zip(b.chunks(GATES_PER_CALL));
        for ((a, b), out) in operands.zip(out.chunks_mut(GATES_PER_CALL)) {
            let rows = &mut self.rows[..rows * out.len()];
            garble(&self.hash, self.offset, tweak, a, b, out, rows);
            self.sink.write(as_bytes(rows))?;
            tweak = tweak.wrapping_add(tweaks * GATES_PER_CALL as u64);
        }
        Ok(out.freeze())
    }
}

impl<S> Drop for Garbler<S> {
    fn drop(&mut self) {
        self.offset.zeroize();
    }
}

impl<S: TableSink> Gates for Garbler<S> {
    type Wires = Labels;
    type Known = Labels;
    type Error = S::Error;

    fn and(&mut self, a: &Labels, b: &Labels) -> Result<Labels, S::Error> {
        self.garble(a, b, (TWEAKS_PER_AND, ROWS_PER_AND), HalfGates::garble_and)
    }

    fn and_known(&mut self, a: &Labels, b: &Labels) -> Result<Labels, S::Error> {
        self.garble(a, b, (TWEAKS_PER_KNOWN_AND, ROWS_PER_KNOWN_AND), HalfGates::garble_known)
    }

    fn xor(&mut self, a: &Labels, b: &Labels) -> Labels {
        self.pool.xor(a, b)
    }

    fn not(&mut self, a: &Labels) -> Labels {
        let offset = self.offset;
        self.pool.map(a, |label| label ^ offset)
    }

    /// The active label of every constant is zero.
    fn constant(&mut self, bit: bool, lanes: usize) -> Labels {
        self.pool.fill(self.offset.and_bit(bit), lanes)
    }

    fn forget(&self, known: &Labels) -> Labels {
        known.clone()
    }

    fn gather(&self, a: &Labels, lanes: &[u32]) -> Labels {
        self.pool.gather(a, lanes)
    }

    fn gather_known(&self, known: &Labels, lanes: &[u32]) -> Labels {
        self.pool.gather(known, lanes)
    }

    fn concat(&self, parts: &[&Labels]) -> Labels {
        self.pool.concat(parts)
    }
}
