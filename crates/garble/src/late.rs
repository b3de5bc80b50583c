//! Inputs of the evaluator that come after the garbling: labels by corrected transfers.
//!
//! Before, garbler and evaluator have correlated transfers with the garbling's offset D: the garbler has q, the evaluator
//! a random bit b and `t = q ^ b D`. The garbler garbles with a fresh zero-label Z. When the evaluator's bit c comes, it sends
//! the correction `d = b ^ c`, and the garbler answers `Z ^ q ^ d D`, from which t gives `Z ^ c D`, the active label: 16 bytes and
//! a bit. Z must be *independent of q*: with `Z = q` the answer to a correction would be the offset itself.

use kernel::block::Block;
use kernel::prg::Prg;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::evaluator::{Evaluator, TableSource};
use crate::garbler::{Garbler, TableSink};
use crate::labels::Labels;

/// What the garbler keeps of its late wires: `Z ^ q` for each, in the order of the circuit. Erased on drop.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
pub struct LatePads(Vec<Block>);

impl LatePads {
    /// Number of wires' instances.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The answers to corrections, packed eight to a byte, the first in the lowest place. An answer is given once: the pads
    /// are used up. Missing corrections count as zero.
    pub fn answer(mut self, offset: Block, corrections: &[u8]) -> Vec<Block> {
        let mut answers = core::mem::take(&mut self.0);
        for (index, answer) in answers.iter_mut().enumerate() {
            let byte = corrections.get(index / 8).copied().unwrap_or(0);
            *answer ^= offset.with_lsb().and_bit(byte >> (index % 8) & 1 == 1);
        }
        answers
    }
}

impl<S: TableSink> Garbler<S> {
    /// A wire of the evaluator that comes late: q of the transfers, one an instance, and a secret stream for the zero-labels.
    /// What answers the corrections is added to `pads`.
    pub fn late(&mut self, q: &[Block], fresh: &mut Prg, pads: &mut LatePads) -> Labels {
        let mut out = self.pool.take(q.len());
        fresh.fill_blocks(&mut out);
        pads.0.extend(out.iter().zip(q).map(|(zero, q)| *zero ^ *q));
        out.freeze()
    }

    /// A wire of the garbler's that comes late: its zero-labels from a secret stream, from which the garbler makes the active labels
    /// once it knows the bits.
    pub fn fresh(&mut self, stream: &mut Prg, lanes: usize) -> Labels {
        let mut out = self.pool.take(lanes);
        stream.fill_blocks(&mut out);
        out.freeze()
    }

    /// A wire whose zero-labels these are: outputs q of transfers of bits that the evaluator knows already.
    pub fn given(&self, labels: &[Block]) -> Labels {
        let mut out = self.pool.take(labels.len());
        out.copy_from_slice(labels);
        out.freeze()
    }
}

impl<S: TableSource> Evaluator<S> {
    /// The wire of late inputs from the transfers' t and the garbler's answers.
    pub fn late(&mut self, t: &[Block], answers: &[Block]) -> Labels {
        debug_assert_eq!(t.len(), answers.len());
        let mut out = self.pool.take(t.len());
        for (out, (t, answer)) in out.iter_mut().zip(t.iter().zip(answers)) {
            *out = *t ^ *answer;
        }
        out.freeze()
    }

    /// A wire whose active labels these are.
    pub fn given(&self, labels: &[Block]) -> Labels {
        let mut out = self.pool.take(labels.len());
        out.copy_from_slice(labels);
        out.freeze()
    }
}
