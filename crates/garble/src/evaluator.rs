//! The interpreter that evaluates garbled tables.

use std::sync::Arc;

use kernel::block::{Block, as_bytes_mut};
use kernel::half_gates::{HalfGates, ROWS_PER_AND, ROWS_PER_KNOWN_AND, TWEAKS_PER_AND, TWEAKS_PER_KNOWN_AND};

use crate::gates::Gates;
use crate::labels::{ActiveLabels, GATES_PER_CALL, Labels, Pool, Tweaks, TweaksExhausted};

/// Where garbled tables come from.
pub trait TableSource {
    /// What reading may fail with.
    type Error: From<TweaksExhausted>;

    /// Fills the whole buffer (at most 16 KiB, a multiple of 16 bytes) with the next tables.
    ///
    /// # Errors
    /// When they do not come.
    fn read(&mut self, tables: &mut [u8]) -> Result<(), Self::Error>;
}

/// Evaluates a garbled circuit: wires are active labels, tables stream from a source.
///
/// No table can make it fail or panic: wrong ones give wrong labels.
pub struct Evaluator<S> {
    hash: HalfGates,
    tweaks: Tweaks,
    pool: Arc<Pool>,
    rows: Vec<Block>,
    source: S,
}

impl<S: TableSource> Evaluator<S> {
    /// An evaluator with the garbler's start point of the hash.
    pub fn new(start: Block, source: S) -> Self {
        Self::with_hash(HalfGates::new(start), source)
    }

    /// The same with a hash on a chosen tier.
    pub fn with_hash(hash: HalfGates, source: S) -> Self {
        Self {
            hash,
            tweaks: Tweaks::default(),
            pool: Arc::default(),
            rows: vec![Block::ZERO; ROWS_PER_AND * GATES_PER_CALL],
            source,
        }
    }

    /// A wire of the garbler's input; see [`crate::garbler::Garbler::input`].
    pub fn input(&mut self, labels: &mut ActiveLabels, lanes: usize) -> Labels {
        let mut out = self.pool.take(lanes);
        labels.fill(&mut out);
        out.freeze()
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

/// [`HalfGates::evaluate_and`] or [`HalfGates::evaluate_known`].
type EvaluateSlices = fn(&HalfGates, u64, &[Block], &[Block], &[Block], &mut [Block]);

impl<S: TableSource> Evaluator<S> {
    /// Evaluates gates that take so many tweaks and rows each, piece by piece.
    fn evaluate(
        &mut self,
        a: &Labels,
        b: &Labels,
        (tweaks, rows): (u64, usize),
        evaluate: EvaluateSlices,
    ) -> Result<Labels, S::Error> {
        let (a, b) = (a.blocks(), b.blocks());
        debug_assert_eq!(a.len(), b.len());
        let mut tweak = self.tweaks.reserve(a.len(), tweaks)?;
        let mut out = self.pool.take(a.len());
        let operands = a.chunks(GATES_PER_CALL).zip(b.chunks(GATES_PER_CALL));
        for ((a, b), out) in operands.zip(out.chunks_mut(GATES_PER_CALL)) {
            let rows = &mut self.rows[..rows * out.len()];
            self.source.read(as_bytes_mut(rows))?;
            evaluate(&self.hash, tweak, a, b, rows, out);
            tweak = tweak.wrapping_add(tweaks * GATES_PER_CALL as u64);
        }
        Ok(out.freeze())
    }
}

impl<S: TableSource> Gates for Evaluator<S> {
    type Wires = Labels;
    type Known = Labels;
    type Error = S::Error;

    fn and(&mut self, a: &Labels, b: &Labels) -> Result<Labels, S::Error> {
        self.evaluate(a, b, (TWEAKS_PER_AND, ROWS_PER_AND), HalfGates::evaluate_and)
    }

    fn and_known(&mut self, a: &Labels, b: &Labels) -> Result<Labels, S::Error> {
        self.evaluate(a, b, (TWEAKS_PER_KNOWN_AND, ROWS_PER_KNOWN_AND), HalfGates::evaluate_known)
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

    fn gather_known(&self, known: &Labels, lanes: &[u32]) -> Labels {
        self.pool.gather(known, lanes)
    }

    fn concat(&self, parts: &[&Labels]) -> Labels {
        self.pool.concat(parts)
    }
}
