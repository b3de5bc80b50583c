//! The interpreter that evaluates garbled tables.

use core::ops::Range;
use std::sync::Arc;

use kernel::block::Block;
use kernel::half_gates::{And, AndXor, FullAdder, Gate, HalfGates, Known, KnownXor};

use crate::gates::Gates;
#[cfg(doc)]
use crate::labels::MOST_ROWS;
use crate::labels::{ActiveLabels, Buffer, GATES_PER_CALL, Labels, Pool, Spill, Stopped, Tweaks};

/// Where garbled tables come from.
pub trait TableSource {
    /// What reading may fail with.
    type Error: From<Stopped>;

    /// The next `count` rows, up to [`MOST_ROWS`]; as many as asked for.
    ///
    /// # Errors
    /// When they do not come.
    fn rows(&mut self, count: usize) -> Result<&[Block], Self::Error>;
}

/// Evaluates a garbled circuit: wires are active labels, tables stream from a source.
///
/// No table can make it fail or panic: wrong ones give wrong labels.
pub struct Evaluator<S> {
    pub(crate) hash: HalfGates,
    pub(crate) tweaks: Tweaks,
    pub(crate) pool: Arc<Pool>,
    pub(crate) source: S,
}

impl<S: TableSource> Evaluator<S> {
    /// An evaluator with the garbler's start point of the hash.
    pub fn new(start: Block, source: S) -> Self {
        Self::with_hash(HalfGates::new(start), source)
    }

    /// The same with a hash on a chosen tier.
    pub fn with_hash(hash: HalfGates, source: S) -> Self {
        Self { hash, tweaks: Tweaks::default(), pool: Arc::default(), source }
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

    /// A wire of the garbler's input; see [`crate::garbler::Garbler::input`].
    pub fn input(&mut self, labels: &mut ActiveLabels, lanes: usize) -> Labels {
        self.pool.build(lanes, |_, out| labels.fill(out))
    }

    /// A wire whose bits the evaluator knows, from its outputs `q ^ bit * offset` of correlated OTs and the bits; see
    /// [`crate::garbler::Garbler::known`].
    pub fn known(&self, t: &[Block], bits: &[bool]) -> Labels {
        debug_assert_eq!(t.len(), bits.len());
        let mut out = self.pool.take(t.len());
        for (out, (t, bit)) in out.iter_mut().zip(t.iter().zip(bits)) {
            *out = Block(t.0 & !1 | u128::from(*bit));
        }
        out.freeze()
    }

    /// The colours of the active labels: an output's value is this XOR the colour of the garbler's zero-label.
    pub fn colours(&self, wires: &Labels) -> Vec<bool> {
        wires.blocks().iter().map(|label| label.lsb()).collect()
    }

    /// The source, to be used between gates.
    pub fn source(&mut self) -> &mut S {
        &mut self.source
    }
}

impl<S: TableSource> Evaluator<S> {
    /// Evaluates gates of one kind, piece by piece, the tables read where the source has them.
    fn evaluate<G: Gate<I, O, R>, const I: usize, const O: usize, const R: usize>(
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
            let rows = self.source.rows(R * piece.len())?;
            let inputs = inputs.each_ref().map(|labels| &labels[piece.clone()]);
            let outputs = outputs.each_mut().map(|labels| &mut labels[piece.clone()]);
            self.hash.evaluate(gate, tweak, inputs, rows, outputs);
            tweak = tweak.wrapping_add((R * GATES_PER_CALL) as u64);
        }
        Ok(outputs.map(Buffer::freeze))
    }
}

impl<S: TableSource> Gates for Evaluator<S> {
    type Wires = Labels;
    type Known = Labels;
    type Error = S::Error;

    fn and(&mut self, a: &Labels, b: &Labels) -> Result<Labels, S::Error> {
        self.evaluate(And, [a, b]).map(|[out]| out)
    }

    fn and_known(&mut self, a: &Labels, b: &Labels) -> Result<Labels, S::Error> {
        self.evaluate(Known, [a, b]).map(|[out]| out)
    }

    fn and_xor(&mut self, a: &Labels, b: &Labels, x: &Labels) -> Result<Labels, S::Error> {
        self.evaluate(AndXor, [a, b, x]).map(|[out]| out)
    }

    fn and_known_xor(&mut self, a: &Labels, b: &Labels, x: &Labels, y: &Labels) -> Result<Labels, S::Error> {
        self.evaluate(KnownXor, [a, b, x, y]).map(|[out]| out)
    }

    fn full_add(&mut self, a: &Labels, b: &Labels, c: &Labels) -> Result<(Labels, Labels), S::Error> {
        self.evaluate(FullAdder, [a, b, c]).map(|[sum, carry]| (sum, carry))
    }

    fn xor(&mut self, a: &Labels, b: &Labels) -> Labels {
        self.pool.xor(a, b)
    }

    /// The garbler moves the zero-label; the active one stays.
    fn not(&mut self, a: &Labels) -> Labels {
        a.clone()
    }

    fn constant(&mut self, _bit: bool, lanes: usize) -> Labels {
        self.pool.fill(Block::ZERO, lanes)
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
