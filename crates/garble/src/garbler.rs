//! The interpreter that garbles.

use core::ops::Range;
use std::sync::Arc;

use kernel::block::Block;
use kernel::half_gates::{And, AndXor, FullAdder, Gate, HalfGates, Known, KnownXor};
use zeroize::Zeroize;

use crate::gates::Gates;
#[cfg(doc)]
use crate::labels::MOST_ROWS;
use crate::labels::{ActiveLabels, Buffer, GATES_PER_CALL, Labels, Pool, Spill, Stopped, Tweaks};

/// Where garbled tables go, in the order of the circuit's gates.
pub trait TableSink {
    /// What writing may fail with.
    type Error: From<Stopped>;

    /// Room for the next `count` rows, up to [`MOST_ROWS`], all of which are written before more is asked for. How rows are
    /// cut means nothing, so a sink is free to join them.
    ///
    /// # Errors
    /// When earlier tables cannot be handed on.
    fn room(&mut self, count: usize) -> Result<&mut [Block], Self::Error>;
}

/// Garbles a circuit with half gates: wires are zero-labels, tables stream into a sink.
///
/// The offset, and every label, is erased when it is no longer held.
pub struct Garbler<S> {
    pub(crate) hash: HalfGates,
    pub(crate) offset: Block,
    pub(crate) tweaks: Tweaks,
    pub(crate) pool: Arc<Pool>,
    pub(crate) sink: S,
}

impl<S: TableSink> Garbler<S> {
    /// A garbler with a secret free-XOR offset (its lowest bit is taken as set) and a public random start point of the hash, both
    /// used for no other session.
    pub fn new(offset: Block, start: Block, sink: S) -> Self {
        Self::with_hash(offset, HalfGates::new(start), sink)
    }

    /// The same with a hash on a chosen tier.
    pub fn with_hash(offset: Block, hash: HalfGates, sink: S) -> Self {
        Self { hash, offset: offset.with_lsb(), tweaks: Tweaks::default(), pool: Arc::default(), sink }
    }

    /// Holds large tensors outside memory beyond a budget; before any wire is made.
    pub fn spilling(mut self, spill: Spill) -> Self {
        self.pool = Arc::new(Pool::with(spill));
        self
    }

    /// Whether all labels so far are right. Gates check by themselves; what is read after the last one must be.
    ///
    /// # Errors
    /// When labels that left memory are lost.
    pub fn check(&self) -> Result<(), Stopped> {
        self.pool.check()
    }

    /// A wire of the garbler's own input, one bit an instance. The evaluator gets its active labels with
    /// [`crate::evaluator::Evaluator::input`] from the same stream.
    pub fn input(&mut self, labels: &mut ActiveLabels, bits: &[bool]) -> Labels {
        let offset = self.offset;
        self.pool.build(bits.len(), |lanes, out| {
            labels.fill(out);
            for (label, bit) in out.iter_mut().zip(&bits[lanes]) {
                *label ^= offset.and_bit(*bit);
            }
        })
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

impl<S: TableSink> Garbler<S> {
    /// Garbles gates of one kind, piece by piece, the tables straight into the sink.
    fn garble<G: Gate<I, O, R>, const I: usize, const O: usize, const R: usize>(
        &mut self,
        gate: G,
        inputs: [&Labels; I],
    ) -> Result<[Labels; O], S::Error> {
        self.pool.check()?;
        let inputs = inputs.map(Labels::blocks);
        let lanes = inputs[0].len();
        let mut tweak = self.tweaks.reserve(lanes, R as u64)?;
        let mut outputs: [_; O] = core::array::from_fn(|_| self.pool.take(lanes));
        for from in (0..lanes).step_by(GATES_PER_CALL) {
            let piece = from..lanes.min(from + GATES_PER_CALL);
            let rows = self.sink.room(R * piece.len())?;
            let inputs = inputs.each_ref().map(|labels| &labels[piece.clone()]);
            let outputs = outputs.each_mut().map(|labels| &mut labels[piece.clone()]);
            self.hash.garble(gate, (self.offset, tweak), inputs, outputs, rows);
            tweak = tweak.wrapping_add((R * GATES_PER_CALL) as u64);
        }
        Ok(outputs.map(Buffer::freeze))
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
        self.garble(And, [a, b]).map(|[out]| out)
    }

    fn and_known(&mut self, a: &Labels, b: &Labels) -> Result<Labels, S::Error> {
        self.garble(Known, [a, b]).map(|[out]| out)
    }

    fn and_xor(&mut self, a: &Labels, b: &Labels, x: &Labels) -> Result<Labels, S::Error> {
        self.garble(AndXor, [a, b, x]).map(|[out]| out)
    }

    fn and_known_xor(&mut self, a: &Labels, b: &Labels, x: &Labels, y: &Labels) -> Result<Labels, S::Error> {
        self.garble(KnownXor, [a, b, x, y]).map(|[out]| out)
    }

    fn full_add(&mut self, a: &Labels, b: &Labels, c: &Labels) -> Result<(Labels, Labels), S::Error> {
        self.garble(FullAdder, [a, b, c]).map(|[sum, carry]| (sum, carry))
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

    fn slice(&self, a: &Labels, lanes: Range<usize>) -> Labels {
        a.slice(lanes)
    }

    fn gather_known(&self, known: &Labels, lanes: &[u32]) -> Labels {
        self.pool.gather(known, lanes)
    }

    fn concat(&self, parts: &[&Labels]) -> Labels {
        self.pool.concat(parts)
    }
}
