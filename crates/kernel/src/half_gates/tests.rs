//! The kernels against a slow transcription of the paper, and the tiers against each other.

use super::*;
use crate::aes::Aes128;

const SIZES: [usize; 8] = [0, 1, 2, 3, 7, 8, 9, 100];

fn stream(seed: u128, n: usize) -> Vec<Block> {
    let mut blocks = vec![Block::ZERO; n];
    Aes128::with_tier(Block(seed), Tier::Portable).ctr_fill(0, &mut blocks);
    blocks
}

/// H(x, j), one block at a time.
fn hash(start: Block, x: Block, tweak: u64) -> Block {
    let (left, right) = (x.0 >> 64, x.0 & u128::from(u64::MAX));
    let sigma = Block(((left ^ right) << 64) | left);
    Aes128::with_tier(start ^ Block(u128::from(tweak)), Tier::Portable).encrypt(sigma) ^ sigma
}

struct Case {
    start: Block,
    offset: Block,
    tweak: u64,
    a: Vec<Block>,
    b: Vec<Block>,
    bits: Vec<(bool, bool)>,
}

impl Case {
    fn new(n: usize, known: bool) -> Self {
        let all = stream(n as u128, 3 * n + 2);
        let clear_colour = |block: Block| if known { Block(block.0 & !1) } else { block };
        Self {
            start: all[0],
            offset: all[1].with_lsb(),
            // So that the counter carries into its high half within a call.
            tweak: (1 << 32) - 5,
            a: all[2..][..n].to_vec(),
            b: all[2 + n..][..n].iter().map(|b| clear_colour(*b)).collect(),
            bits: all[2 + 2 * n..].iter().map(|x| (x.0 & 2 != 0, x.0 & 4 != 0)).collect(),
        }
    }

    fn active(&self) -> (Vec<Block>, Vec<Block>) {
        let a = self.a.iter().zip(&self.bits).map(|(a, bits)| *a ^ self.offset.and_bit(bits.0));
        let b = self.b.iter().zip(&self.bits).map(|(b, bits)| *b ^ self.offset.and_bit(bits.1));
        (a.collect(), b.collect())
    }

    fn check_out(&self, zero: &[Block], active: &[Block], tier: Tier) {
        for (i, (a, b)) in self.bits.iter().enumerate() {
            let expected = zero[i] ^ self.offset.and_bit(a & b);
            assert!(active[i] == expected, "gate {i} of {} on {}", zero.len(), tier.name());
        }
    }
}

fn check_and(tier: Tier) {
    for n in SIZES {
        let case = Case::new(n, false);
        let gates = HalfGates::with_tier(case.start, tier);
        let (mut zero, mut rows) = (vec![Block::ZERO; n], vec![Block::ZERO; 2 * n]);
        gates.garble(And, (case.offset, case.tweak), [&case.a, &case.b], [&mut zero], &mut rows);
        for i in 0..n {
            let (a, b, r) = (case.a[i], case.b[i], case.offset);
            let (j, k) = (case.tweak + 2 * i as u64, case.tweak + 2 * i as u64 + 1);
            let (ha, hb) = (hash(case.start, a, j), hash(case.start, b, k));
            let generator = ha ^ hash(case.start, a ^ r, j) ^ r.and_bit(b.lsb());
            let evaluator = hb ^ hash(case.start, b ^ r, k) ^ a;
            assert!(rows[2 * i] == generator && rows[2 * i + 1] == evaluator, "row {i} on {}", tier.name());
            let out = ha ^ generator.and_bit(a.lsb()) ^ hb ^ (evaluator ^ a).and_bit(b.lsb());
            assert!(zero[i] == out, "label {i} on {}", tier.name());
        }
        let (a, b) = case.active();
        let mut out = vec![Block::ZERO; n];
        gates.evaluate(And, case.tweak, [&a, &b], &rows, [&mut out]);
        case.check_out(&zero, &out, tier);
    }
}

fn check_known(tier: Tier) {
    for n in SIZES {
        let case = Case::new(n, true);
        let gates = HalfGates::with_tier(case.start, tier);
        let (mut zero, mut rows) = (vec![Block::ZERO; n], vec![Block::ZERO; n]);
        gates.garble(Known, (case.offset, case.tweak), [&case.a, &case.b], [&mut zero], &mut rows);
        for i in 0..n {
            let j = case.tweak + i as u64;
            let (h0, h1) = (hash(case.start, case.b[i], j), hash(case.start, case.b[i] ^ case.offset, j));
            assert!(zero[i] == h0 && rows[i] == h0 ^ h1 ^ case.a[i], "gate {i} on {}", tier.name());
        }
        let (a, b) = case.active();
        let mut out = vec![Block::ZERO; n];
        gates.evaluate(Known, case.tweak, [&a, &b], &rows, [&mut out]);
        case.check_out(&zero, &out, tier);
    }
}

#[test]
fn and_gates_follow_the_paper_on_every_tier() {
    Tier::available().for_each(check_and);
}

#[test]
fn known_gates_follow_the_paper_on_every_tier() {
    Tier::available().for_each(check_known);
}

fn xored(blocks: [&[Block]; 2]) -> Vec<Block> {
    blocks[0].iter().zip(blocks[1]).map(|(a, b)| *a ^ *b).collect()
}

/// The gates with XORs beside them are the plain gates and slices of XORs.
fn check_fused(tier: Tier) {
    for n in SIZES {
        let (case, known) = (Case::new(n, false), Case::new(n, true));
        let gates = HalfGates::with_tier(case.start, tier);
        let more = stream(n as u128 + 1000, 2 * n);
        let (c, d) = more.split_at(n);
        let new = || (vec![Block::ZERO; n], vec![Block::ZERO; n], vec![Block::ZERO; 2 * n]);
        let ((mut plain, _, mut rows), (mut out, mut sum, mut fused_rows)) = (new(), new());
        let at = (case.offset, case.tweak);

        gates.garble(And, at, [&case.a, &case.b], [&mut plain], &mut rows);
        gates.garble(AndXor, at, [&case.a, &case.b, c], [&mut out], &mut fused_rows);
        assert!(out == xored([&plain, c]) && fused_rows == rows, "and xor of {n} on {}", tier.name());
        gates.evaluate(And, at.1, [&case.a, &case.b], &rows, [&mut plain]);
        gates.evaluate(AndXor, at.1, [&case.a, &case.b, c], &rows, [&mut out]);
        assert!(out == xored([&plain, c]), "and xor of {n} on {}", tier.name());

        let (x, y) = (xored([&case.a, c]), xored([&case.b, c]));
        gates.garble(And, at, [&x, &y], [&mut plain], &mut rows);
        gates.garble(FullAdder, at, [&case.a, &case.b, c], [&mut sum, &mut out], &mut fused_rows);
        assert!(fused_rows == rows && out == xored([&plain, c]), "adder of {n} on {}", tier.name());
        assert!(sum == xored([&x, &case.b]), "adder of {n} on {}", tier.name());
        gates.evaluate(And, at.1, [&x, &y], &rows, [&mut plain]);
        gates.evaluate(FullAdder, at.1, [&case.a, &case.b, c], &rows, [&mut sum, &mut out]);
        assert!(out == xored([&plain, c]) && sum == xored([&x, &case.b]), "adder of {n} on {}", tier.name());

        let (rows, fused_rows) = (&mut rows[..n], &mut fused_rows[..n]);
        let flip = xored([c, d]);
        gates.garble(Known, at, [&known.a, &known.b], [&mut plain], rows);
        gates.garble(KnownXor, at, [&known.a, &known.b, c, d], [&mut out], fused_rows);
        assert!(out == xored([&plain, &flip]) && fused_rows == rows, "known xor of {n} on {}", tier.name());
        gates.evaluate(Known, at.1, [&known.a, &known.b], rows, [&mut plain]);
        gates.evaluate(KnownXor, at.1, [&known.a, &known.b, c, d], rows, [&mut out]);
        assert!(out == xored([&plain, &flip]), "known xor of {n} on {}", tier.name());
    }
}

#[test]
fn fused_gates_are_gates_and_xors_on_every_tier() {
    Tier::available().for_each(check_fused);
}

#[test]
fn how_calls_are_cut_does_not_show() {
    let case = Case::new(100, false);
    for tier in Tier::available() {
        let gates = HalfGates::with_tier(case.start, tier);
        let (mut whole, mut rows) = (vec![Block::ZERO; 100], vec![Block::ZERO; 200]);
        gates.garble(And, (case.offset, case.tweak), [&case.a, &case.b], [&mut whole], &mut rows);
        let (mut cut, mut cut_rows) = (vec![Block::ZERO; 100], vec![Block::ZERO; 200]);
        for (from, to) in [(0, 1), (1, 14), (14, 77), (77, 100)] {
            gates.garble(
                And,
                (case.offset, case.tweak + 2 * from as u64),
                [&case.a[from..to], &case.b[from..to]],
                [&mut cut[from..to]],
                &mut cut_rows[2 * from..2 * to],
            );
        }
        assert!(whole == cut && rows == cut_rows, "{}", tier.name());
    }
}
