//! The half gates, written once for all registers.
//!
//! Names are those of the paper: a wire's labels are `A` and `A ^ R`, `G` is the garbler's half, `E` the evaluator's, and
//! `p` is the colour of a zero-label.

use crate::block::Block;
use crate::half_gates::lanes::Lanes;
use crate::half_gates::{ROWS_PER_AND, TWEAKS_PER_AND, TWEAKS_PER_KNOWN_AND};

/// What a call's gates share.
#[derive(Clone, Copy)]
pub(super) struct Session {
    /// The start point of the hash's keys.
    pub(super) start: Block,
    /// The garbler's free-XOR offset; the evaluator, who has none, puts zero.
    pub(super) offset: Block,
}

/// More lanes than any register has: the size of the buffers that the last, partly filled step runs in.
const MOST_LANES: usize = 8;

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

#[inline(always)]
pub(super) fn garble_and<L: Lanes>(
    l: L,
    session: Session,
    tweak: u64,
    a: &[Block],
    b: &[Block],
    out: &mut [Block],
    rows: &mut [Block],
) {
    let registers = InRegisters::new(l, session);
    for (tweak, gates) in steps(L::LANES, out.len(), tweak, TWEAKS_PER_AND) {
        let table = ROWS_PER_AND * gates.start..ROWS_PER_AND * gates.end;
        if gates.len() == L::LANES {
            let (a, b) = (&a[gates.clone()], &b[gates.clone()]);
            registers.garble_and(tweak, a, b, &mut out[gates], &mut rows[table]);
        } else {
            let (a, b): ([_; MOST_LANES], [_; MOST_LANES]) =
                (padded(&a[gates.clone()]), padded(&b[gates.clone()]));
            let (mut c, mut t) = ([Block::ZERO; MOST_LANES], [Block::ZERO; ROWS_PER_AND * MOST_LANES]);
            registers.garble_and(tweak, &a, &b, &mut c, &mut t);
            out[gates.clone()].copy_from_slice(&c[..gates.len()]);
            rows[table.clone()].copy_from_slice(&t[..table.len()]);
        }
    }
}

#[inline(always)]
pub(super) fn evaluate_and<L: Lanes>(
    l: L,
    session: Session,
    tweak: u64,
    a: &[Block],
    b: &[Block],
    rows: &[Block],
    out: &mut [Block],
) {
    let registers = InRegisters::new(l, session);
    for (tweak, gates) in steps(L::LANES, out.len(), tweak, TWEAKS_PER_AND) {
        let table = ROWS_PER_AND * gates.start..ROWS_PER_AND * gates.end;
        if gates.len() == L::LANES {
            let (a, b) = (&a[gates.clone()], &b[gates.clone()]);
            registers.evaluate_and(tweak, a, b, &rows[table], &mut out[gates]);
        } else {
            let (a, b): ([_; MOST_LANES], [_; MOST_LANES]) =
                (padded(&a[gates.clone()]), padded(&b[gates.clone()]));
            let t: [_; ROWS_PER_AND * MOST_LANES] = padded(&rows[table]);
            let mut c = [Block::ZERO; MOST_LANES];
            registers.evaluate_and(tweak, &a, &b, &t, &mut c);
            out[gates.clone()].copy_from_slice(&c[..gates.len()]);
        }
    }
}

#[inline(always)]
pub(super) fn garble_known<L: Lanes>(
    l: L,
    session: Session,
    tweak: u64,
    a: &[Block],
    b: &[Block],
    out: &mut [Block],
    rows: &mut [Block],
) {
    let registers = InRegisters::new(l, session);
    for (tweak, gates) in steps(L::LANES, out.len(), tweak, TWEAKS_PER_KNOWN_AND) {
        if gates.len() == L::LANES {
            let (a, b) = (&a[gates.clone()], &b[gates.clone()]);
            registers.garble_known(tweak, a, b, &mut out[gates.clone()], &mut rows[gates]);
        } else {
            let (a, b): ([_; MOST_LANES], [_; MOST_LANES]) =
                (padded(&a[gates.clone()]), padded(&b[gates.clone()]));
            let (mut c, mut t) = ([Block::ZERO; MOST_LANES], [Block::ZERO; MOST_LANES]);
            registers.garble_known(tweak, &a, &b, &mut c, &mut t);
            out[gates.clone()].copy_from_slice(&c[..gates.len()]);
            rows[gates.clone()].copy_from_slice(&t[..gates.len()]);
        }
    }
}

#[inline(always)]
pub(super) fn evaluate_known<L: Lanes>(
    l: L,
    session: Session,
    tweak: u64,
    a: &[Block],
    b: &[Block],
    rows: &[Block],
    out: &mut [Block],
) {
    let registers = InRegisters::new(l, session);
    for (tweak, gates) in steps(L::LANES, out.len(), tweak, TWEAKS_PER_KNOWN_AND) {
        if gates.len() == L::LANES {
            let (a, b) = (&a[gates.clone()], &b[gates.clone()]);
            registers.evaluate_known(tweak, a, b, &rows[gates.clone()], &mut out[gates]);
        } else {
            let (a, b): ([_; MOST_LANES], [_; MOST_LANES]) =
                (padded(&a[gates.clone()]), padded(&b[gates.clone()]));
            let t: [_; MOST_LANES] = padded(&rows[gates.clone()]);
            let mut c = [Block::ZERO; MOST_LANES];
            registers.evaluate_known(tweak, &a, &b, &t, &mut c);
            out[gates.clone()].copy_from_slice(&c[..gates.len()]);
        }
    }
}

/// A [`Session`] in registers. Each method does `LANES` gates.
struct InRegisters<L: Lanes> {
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

    #[inline(always)]
    fn garble_and(&self, tweak: u64, a: &[Block], b: &[Block], out: &mut [Block], rows: &mut [Block]) {
        let l = self.l;
        let (a, b) = (l.load(a), l.load(b));
        let keys = [self.keys(tweak, TWEAKS_PER_AND), self.keys(tweak.wrapping_add(1), TWEAKS_PER_AND)];
        let [[ha0, ha1], [hb0, hb1]] = l.compress(keys, [self.both(a), self.both(b)]);
        let generator = l.xor(l.xor(ha0, ha1), l.select(b, self.offset));
        let b_difference = l.xor(hb0, hb1);
        let evaluator = l.xor(b_difference, a);
        // W_G = H(A) ^ p_a T_G and W_E = H(B) ^ p_b (T_E ^ A), where T_E ^ A = H(B) ^ H(B ^ R).
        let w_generator = l.xor(ha0, l.select(a, generator));
        let w_evaluator = l.xor(hb0, l.select(b, b_difference));
        l.store(l.xor(w_generator, w_evaluator), out);
        l.store_pairs(generator, evaluator, rows);
    }

    #[inline(always)]
    fn evaluate_and(&self, tweak: u64, a: &[Block], b: &[Block], rows: &[Block], out: &mut [Block]) {
        let l = self.l;
        let (a, b) = (l.load(a), l.load(b));
        let keys = [self.keys(tweak, TWEAKS_PER_AND), self.keys(tweak.wrapping_add(1), TWEAKS_PER_AND)];
        let [[ha], [hb]] = l.compress(keys, [[l.sigma(a)], [l.sigma(b)]]);
        let (generator, evaluator) = l.load_pairs(rows);
        let w_generator = l.xor(ha, l.select(a, generator));
        let w_evaluator = l.xor(hb, l.select(b, l.xor(evaluator, a)));
        l.store(l.xor(w_generator, w_evaluator), out);
    }

    #[inline(always)]
    fn garble_known(&self, tweak: u64, a: &[Block], b: &[Block], out: &mut [Block], rows: &mut [Block]) {
        let l = self.l;
        let keys = [self.keys(tweak, TWEAKS_PER_KNOWN_AND)];
        let [[hb0, hb1]] = l.compress(keys, [self.both(l.load(b))]);
        l.store(l.xor(l.xor(hb0, hb1), l.load(a)), rows);
        l.store(hb0, out);
    }

    #[inline(always)]
    fn evaluate_known(&self, tweak: u64, a: &[Block], b: &[Block], rows: &[Block], out: &mut [Block]) {
        let l = self.l;
        let b = l.load(b);
        let [[hb]] = l.compress([self.keys(tweak, TWEAKS_PER_KNOWN_AND)], [[l.sigma(b)]]);
        let w = l.xor(hb, l.select(b, l.xor(l.load(rows), l.load(a))));
        l.store(w, out);
    }
}
