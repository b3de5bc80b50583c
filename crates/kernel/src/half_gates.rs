//! Half gates (Zahur, Rosulek and Evans, "Two Halves Make a Whole", 2015) over slices of independent gates, with the
//! re-keyed hash of Guo, Katz, Wang and Yu.
//!
//! # The hash
//!
//! `H(x, j) = E_{S xor j}(sigma(x)) xor sigma(x)`, where E is AES-128, j a 64-bit tweak in the low half of the key, S the
//! session's *start point* (16 public random bytes chosen after nothing but the session began), and
//! `sigma(l || r) = (l xor r) || l` on halves of 64 bits, a linear orthomorphism: both sigma and x -> sigma(x) xor x are
//! bijections, and sigma(x xor D) = sigma(x) xor sigma(D) lets one sigma serve both labels of a wire.
//! This is the multi-instance tweakable circular-correlation-robust hash of "Better Concrete Security for
//! Half-Gates Garbling (in the Multi-Instance Setting)" (eprint 2019/1168), built on the analysis of eprint 2019/074.
//!
//! Every tweak belongs to one half gate, so a garbler hashes two labels under a key and an evaluator one. In the ideal-cipher
//! model an attacker learns the offset D of a garbling only by asking the cipher, or its inverse, at a point under
//! the right key that involves D. A question under key k tests at most as many offsets as there are sessions that ever
//! use k; call the largest such number m. With p questions and q hashes in all sessions the advantage is at most about
//! `2 m p / 2^127 + 2 m q / 2^127`: an offset has 127 unknown bits, since its colour bit is set; the second term is the
//! difference between permutations and functions under keys that sessions share. Start points are uniform, so that of u
//! sessions with 2^t tweaks each, m + 1 share a key with probability at most `u^(m+1) / 2^((128-t) m)`: for 2^40
//! sessions of 2^40 tweaks m > 2 has probability 2^-56. The security level does not fall with the number of gates, as it
//! does for one fixed key (where the loss is the whole q times p), which is what the key schedules pay for.
//!
//! (This is the shape of the paper's theorem; the constants are those of the counting argument just given, which stands here so
//! that it can be checked.)
//!
//! The bound needs that a tweak is never used for two gates under one offset. The callers hold the counter.
//!
//! # Tiers
//!
//! One description of the gates runs over eight bit-sliced lanes (`Portable`), two 128-bit registers (`AesNi`) or
//! two 512-bit registers (`Avx512`), key schedules lane by lane beside the rounds. All give the same bytes.

mod gates;
mod lanes;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use crate::block::Block;
use crate::half_gates::gates::Session;
use crate::half_gates::portable::Portable;
use crate::tier::Tier;

pub use gates::{And, AndXor, FullAdder, Known, KnownXor};

/// Blocks of table that one AND gate takes, and tweaks: one for each half.
pub const ROWS_PER_AND: usize = 2;
/// Blocks of table, and tweaks, that one AND with a bit known to the evaluator takes.
pub const ROWS_PER_KNOWN_AND: usize = 1;

/// A kind of gate with I inputs, O outputs and R rows of table: [`And`], [`AndXor`], [`FullAdder`], [`Known`], [`KnownXor`]. Free
/// XORs beside an AND are made in registers.
pub trait Gate<const I: usize, const O: usize, const R: usize>: gates::Circuit<I, O, R> {}

impl<G: gates::Circuit<I, O, R>, const I: usize, const O: usize, const R: usize> Gate<I, O, R> for G {}

/// Garbles and evaluates slices of gates in one session.
///
/// Gate i of a call has the R tweaks from `tweak + R i` on. Tables are `[generator row, evaluator row]` per gate, or one row where
/// the evaluator knows an operand, in gate order, so that how calls are cut does not show.
#[derive(Clone, Copy, Debug)]
pub struct HalfGates {
    start: Block,
    tier: Tier,
}

/// Runs a call on the tier's lanes. A target-feature function is named for each vector tier, so that the generic gates
/// are compiled with its instructions.
macro_rules! dispatch {
    ($self:ident, $name:ident ( $($argument:expr),* )) => {
        match $self.tier {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the constructor has reduced the tier to what the processor has.
            Tier::AesNi => unsafe { x86::ni::$name($($argument),*) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Tier::Avx512 => unsafe { x86::wide::$name($($argument),*) },
            _ => gates::$name(Portable, $($argument),*),
        }
    };
}

impl HalfGates {
    /// The hash of a session with this public random start point, on the tier in use.
    pub fn new(start: Block) -> Self {
        Self::with_tier(start, Tier::current())
    }

    /// The same on a given tier (or a plainer one, if the processor lacks it).
    pub fn with_tier(start: Block, tier: Tier) -> Self {
        Self { start, tier: tier.or_widest() }
    }

    fn session(&self, offset: Block) -> Session {
        Session { start: self.start, offset }
    }

    /// Garbles n independent gates: the zero-labels of the inputs give those of the outputs, and R rows a gate.
    ///
    /// # Panics
    /// When the slices do not fit: inputs and outputs of n blocks each, `rows` of R n.
    pub fn garble<G: Gate<I, O, R>, const I: usize, const O: usize, const R: usize>(
        &self,
        gate: G,
        (offset, tweak): (Block, u64),
        inputs: [&[Block]; I],
        outputs: [&mut [Block]; O],
        rows: &mut [Block],
    ) {
        check(&inputs, &outputs, rows.len(), R);
        dispatch!(self, garble(gate, self.session(offset), tweak, inputs, outputs, rows));
    }

    /// Evaluates n independent gates on active labels.
    ///
    /// # Panics
    /// When the slices do not fit, as for [`Self::garble`].
    pub fn evaluate<G: Gate<I, O, R>, const I: usize, const O: usize, const R: usize>(
        &self,
        gate: G,
        tweak: u64,
        inputs: [&[Block]; I],
        rows: &[Block],
        outputs: [&mut [Block]; O],
    ) {
        check(&inputs, &outputs, rows.len(), R);
        dispatch!(self, evaluate(gate, self.session(Block::ZERO), tweak, inputs, rows, outputs));
    }
}

/// All inputs and outputs have the same number of blocks, and there are so many rows for each.
fn check(inputs: &[&[Block]], outputs: &[&mut [Block]], rows: usize, rows_per_gate: usize) {
    let n = inputs[0].len();
    assert!(inputs.iter().all(|input| input.len() == n) && outputs.iter().all(|output| output.len() == n));
    assert!(rows == rows_per_gate * n);
}

#[cfg(test)]
mod tests;
