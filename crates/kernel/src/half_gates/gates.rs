//! The half gates, written once for all registers.
//!
//! Names are those of the paper: a wire's labels are `A` and `A ^ R`, `G` is the garbler's half, `E` the evaluator's, and
//! `p` is the colour of a zero-label.

use crate::block::Block;
use crate::half_gates::lanes::Lanes;

/// What a call's gates share.
#[derive(Clone, Copy)]
pub struct Session {
    /// The start point of the hash's keys.
    pub(super) start: Block,
    /// The garbler's free-XOR offset; the evaluator, who has none, puts zero.
    pub(super) offset: Block,
}

/// A gate of I inputs, O outputs and R rows of table, `LANES` at a time. Each half gate has a row and a tweak of its own.
pub trait Circuit<const I: usize, const O: usize, const R: usize>: Copy {
    /// The outputs' zero-labels and the rows, from the inputs' zero-labels.
    fn garble<L: Lanes>(
        self,
        session: &InRegisters<L>,
        tweak: u64,
        inputs: [L::Register; I],
    ) -> ([L::Register; O], [L::Register; R]);

    /// The outputs' active labels, from the inputs' and the rows.
    fn evaluate<L: Lanes>(
        self,
        session: &InRegisters<L>,
        tweak: u64,
        inputs: [L::Register; I],
        rows: [L::Register; R],
    ) -> [L::Register; O];
}

/// More lanes than any register has, and more rows than any gate: the size of the buffers that the last, partly filled
/// step runs in.
const MOST_LANES: usize = 8;
const MOST_ROWS: usize = 2;

/// A partly filled step's blocks, padded with zeros.
#[inline(always)]
fn padded<const N: usize>(blocks: &[Block]) -> [Block; N] {
    let mut all = [Block::ZERO; N];
    all[..blocks.len()].copy_from_slice(blocks);
    all
}

/// The steps of a call: (first tweak, gates), each of `lanes` gates but the last. (A loop, not a closure: a closure would be
/// a function of its own, compiled without the tier's instructions.)
#[inline(always)]
fn steps(
    lanes: usize,
    gates: usize,
    tweak: u64,
    tweaks_per_gate: u64,
) -> impl Iterator<Item = (u64, core::ops::Range<usize>)> {
    (0..gates)
        .step_by(lanes)
        .map(move |from| (tweak.wrapping_add(tweaks_per_gate * from as u64), from..gates.min(from + lanes)))
}

/// Garbles as many gates as each slice of `inputs` and `outputs` has blocks.
#[inline(always)]
pub(super) fn garble<L: Lanes, G: Circuit<I, O, R>, const I: usize, const O: usize, const R: usize>(
    l: L,
    gate: G,
    session: Session,
    tweak: u64,
    inputs: [&[Block]; I],
    mut outputs: [&mut [Block]; O],
    rows: &mut [Block],
) {
    let registers = InRegisters::new(l, session);
    for (tweak, gates) in steps(L::LANES, inputs[0].len(), tweak, R as u64) {
        let table = &mut rows[R * gates.start..R * gates.end];
        if gates.len() == L::LANES {
            let mut labels = [registers.offset; I];
            for (label, input) in labels.iter_mut().zip(&inputs) {
                *label = l.load(&input[gates.clone()]);
            }
            let (out, made) = gate.garble(&registers, tweak, labels);
            for (output, out) in outputs.iter_mut().zip(out) {
                l.store(out, &mut output[gates.clone()]);
            }
            l.store_rows(made, table);
        } else {
            let mut labels = [registers.offset; I];
            for (label, input) in labels.iter_mut().zip(&inputs) {
                *label = l.load(&padded::<MOST_LANES>(&input[gates.clone()]));
            }
            let (out, made) = gate.garble(&registers, tweak, labels);
            for (output, out) in outputs.iter_mut().zip(out) {
                let mut blocks = [Block::ZERO; MOST_LANES];
                l.store(out, &mut blocks);
                output[gates.clone()].copy_from_slice(&blocks[..gates.len()]);
            }
            let mut blocks = [Block::ZERO; MOST_LANES * MOST_ROWS];
            l.store_rows(made, &mut blocks);
            table.copy_from_slice(&blocks[..table.len()]);
        }
    }
}

/// Evaluates as many gates as each slice of `inputs` and `outputs` has blocks.
#[inline(always)]
pub(super) fn evaluate<L: Lanes, G: Circuit<I, O, R>, const I: usize, const O: usize, const R: usize>(
    l: L,
    gate: G,
    session: Session,
    tweak: u64,
    inputs: [&[Block]; I],
    rows: &[Block],
    mut outputs: [&mut [Block]; O],
) {
    let registers = InRegisters::new(l, session);
    for (tweak, gates) in steps(L::LANES, inputs[0].len(), tweak, R as u64) {
        let table = &rows[R * gates.start..R * gates.end];
        if gates.len() == L::LANES {
            let mut labels = [registers.offset; I];
            for (label, input) in labels.iter_mut().zip(&inputs) {
                *label = l.load(&input[gates.clone()]);
            }
            let out = gate.evaluate(&registers, tweak, labels, l.load_rows(table));
            for (output, out) in outputs.iter_mut().zip(out) {
                l.store(out, &mut output[gates.clone()]);
            }
        } else {
            let mut labels = [registers.offset; I];
            for (label, input) in labels.iter_mut().zip(&inputs) {
                *label = l.load(&padded::<MOST_LANES>(&input[gates.clone()]));
            }
            let table = padded::<{ MOST_LANES * MOST_ROWS }>(table);
            let out = gate.evaluate(&registers, tweak, labels, l.load_rows(&table));
            for (output, out) in outputs.iter_mut().zip(out) {
                let mut blocks = [Block::ZERO; MOST_LANES];
                l.store(out, &mut blocks);
                output[gates.clone()].copy_from_slice(&blocks[..gates.len()]);
            }
        }
    }
}

/// A [`Session`] in registers. Each method does `LANES` gates.
pub struct InRegisters<L: Lanes> {
    l: L,
    start: L::Register,
    /// R.
    offset: L::Register,
    /// sigma(R).
    sigma_offset: L::Register,
}

impl<L: Lanes> InRegisters<L> {
    #[inline(always)]
    fn new(l: L, session: Session) -> Self {
        let offset = l.broadcast(session.offset);
        Self { l, start: l.broadcast(session.start), offset, sigma_offset: l.sigma(offset) }
    }

    /// The keys of `LANES` gates whose tweaks lie `step` apart.
    #[inline(always)]
    fn keys(&self, tweak: u64, step: u64) -> L::Register {
        self.l.xor(self.start, self.l.count(tweak, step))
    }

    /// The sigma of both labels of a wire.
    #[inline(always)]
    fn both(&self, zero: L::Register) -> [L::Register; 2] {
        let sigma = self.l.sigma(zero);
        [sigma, self.l.xor(sigma, self.sigma_offset)]
    }

    /// `a & b`: the zero-label, and the generator's and the evaluator's row.
    #[inline(always)]
    fn garble_and(&self, tweak: u64, a: L::Register, b: L::Register) -> (L::Register, [L::Register; 2]) {
        let l = self.l;
        let keys = [self.keys(tweak, 2), self.keys(tweak.wrapping_add(1), 2)];
        let [[ha0, ha1], [hb0, hb1]] = l.compress(keys, [self.both(a), self.both(b)]);
        let generator = l.xor(l.xor(ha0, ha1), l.select(b, self.offset));
        let b_difference = l.xor(hb0, hb1);
        let evaluator = l.xor(b_difference, a);
        // W_G = H(A) ^ p_a T_G and W_E = H(B) ^ p_b (T_E ^ A), where T_E ^ A = H(B) ^ H(B ^ R).
        let w_generator = l.xor(ha0, l.select(a, generator));
        let w_evaluator = l.xor(hb0, l.select(b, b_difference));
        (l.xor(w_generator, w_evaluator), [generator, evaluator])
    }

    #[inline(always)]
    fn evaluate_and(
        &self,
        tweak: u64,
        a: L::Register,
        b: L::Register,
        [generator, evaluator]: [L::Register; 2],
    ) -> L::Register {
        let l = self.l;
        let keys = [self.keys(tweak, 2), self.keys(tweak.wrapping_add(1), 2)];
        let [[ha], [hb]] = l.compress(keys, [[l.sigma(a)], [l.sigma(b)]]);
        let w_generator = l.xor(ha, l.select(a, generator));
        let w_evaluator = l.xor(hb, l.select(b, l.xor(evaluator, a)));
        l.xor(w_generator, w_evaluator)
    }

    /// `a & b` where the evaluator knows b: the zero-label, and the row.
    #[inline(always)]
    fn garble_known(&self, tweak: u64, a: L::Register, b: L::Register) -> (L::Register, L::Register) {
        let l = self.l;
        let [[hb0, hb1]] = l.compress([self.keys(tweak, 1)], [self.both(b)]);
        (hb0, l.xor(l.xor(hb0, hb1), a))
    }

    #[inline(always)]
    fn evaluate_known(&self, tweak: u64, a: L::Register, b: L::Register, row: L::Register) -> L::Register {
        let l = self.l;
        let [[hb]] = l.compress([self.keys(tweak, 1)], [[l.sigma(b)]]);
        l.xor(hb, l.select(b, l.xor(row, a)))
    }
}

/// `a & b`, two rows.
#[derive(Clone, Copy, Debug)]
pub struct And;

impl Circuit<2, 1, 2> for And {
    #[inline(always)]
    fn garble<L: Lanes>(
        self,
        session: &InRegisters<L>,
        tweak: u64,
        [a, b]: [L::Register; 2],
    ) -> ([L::Register; 1], [L::Register; 2]) {
        let (out, rows) = session.garble_and(tweak, a, b);
        ([out], rows)
    }

    #[inline(always)]
    fn evaluate<L: Lanes>(
        self,
        session: &InRegisters<L>,
        tweak: u64,
        [a, b]: [L::Register; 2],
        rows: [L::Register; 2],
    ) -> [L::Register; 1] {
        [session.evaluate_and(tweak, a, b, rows)]
    }
}

/// `(a & b) ^ x`, two rows.
#[derive(Clone, Copy, Debug)]
pub struct AndXor;

impl Circuit<3, 1, 2> for AndXor {
    #[inline(always)]
    fn garble<L: Lanes>(
        self,
        session: &InRegisters<L>,
        tweak: u64,
        [a, b, x]: [L::Register; 3],
    ) -> ([L::Register; 1], [L::Register; 2]) {
        let (out, rows) = session.garble_and(tweak, a, b);
        ([session.l.xor(out, x)], rows)
    }

    #[inline(always)]
    fn evaluate<L: Lanes>(
        self,
        session: &InRegisters<L>,
        tweak: u64,
        [a, b, x]: [L::Register; 3],
        rows: [L::Register; 2],
    ) -> [L::Register; 1] {
        [session.l.xor(session.evaluate_and(tweak, a, b, rows), x)]
    }
}

/// Sum and carry of three bits, two rows: `s = a ^ b ^ c` and `((a ^ c) & (b ^ c)) ^ c`.
#[derive(Clone, Copy, Debug)]
pub struct FullAdder;

impl Circuit<3, 2, 2> for FullAdder {
    #[inline(always)]
    fn garble<L: Lanes>(
        self,
        session: &InRegisters<L>,
        tweak: u64,
        [a, b, c]: [L::Register; 3],
    ) -> ([L::Register; 2], [L::Register; 2]) {
        let l = session.l;
        let (x, y) = (l.xor(a, c), l.xor(b, c));
        let (both, rows) = session.garble_and(tweak, x, y);
        ([l.xor(a, y), l.xor(both, c)], rows)
    }

    #[inline(always)]
    fn evaluate<L: Lanes>(
        self,
        session: &InRegisters<L>,
        tweak: u64,
        [a, b, c]: [L::Register; 3],
        rows: [L::Register; 2],
    ) -> [L::Register; 2] {
        let l = session.l;
        let (x, y) = (l.xor(a, c), l.xor(b, c));
        let both = session.evaluate_and(tweak, x, y, rows);
        [l.xor(a, y), l.xor(both, c)]
    }
}

/// `a & b` where the evaluator knows b, one row. The zero-labels of b have colour 0, so that the colour of its active label is
/// the known bit.
#[derive(Clone, Copy, Debug)]
pub struct Known;

impl Circuit<2, 1, 1> for Known {
    #[inline(always)]
    fn garble<L: Lanes>(
        self,
        session: &InRegisters<L>,
        tweak: u64,
        [a, b]: [L::Register; 2],
    ) -> ([L::Register; 1], [L::Register; 1]) {
        let (out, row) = session.garble_known(tweak, a, b);
        ([out], [row])
    }

    #[inline(always)]
    fn evaluate<L: Lanes>(
        self,
        session: &InRegisters<L>,
        tweak: u64,
        [a, b]: [L::Register; 2],
        [row]: [L::Register; 1],
    ) -> [L::Register; 1] {
        [session.evaluate_known(tweak, a, b, row)]
    }
}

/// `(a & b) ^ x ^ y` where the evaluator knows b as in [`Known`], one row: one bit of a multiple chosen by a known digit, and
/// its sign.
#[derive(Clone, Copy, Debug)]
pub struct KnownXor;

impl Circuit<4, 1, 1> for KnownXor {
    #[inline(always)]
    fn garble<L: Lanes>(
        self,
        session: &InRegisters<L>,
        tweak: u64,
        [a, b, x, y]: [L::Register; 4],
    ) -> ([L::Register; 1], [L::Register; 1]) {
        let (out, row) = session.garble_known(tweak, a, b);
        ([session.l.xor(out, session.l.xor(x, y))], [row])
    }

    #[inline(always)]
    fn evaluate<L: Lanes>(
        self,
        session: &InRegisters<L>,
        tweak: u64,
        [a, b, x, y]: [L::Register; 4],
        [row]: [L::Register; 1],
    ) -> [L::Register; 1] {
        [session.l.xor(session.evaluate_known(tweak, a, b, row), session.l.xor(x, y))]
    }
}
