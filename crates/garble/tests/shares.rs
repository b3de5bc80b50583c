//! Activations on additive shares: late inputs, projection, and what they cost.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod common;

use common::Random;
use garble::clear::{Clear, ClearWires};
use garble::count::{Count, Counts};
use garble::evaluator::{Evaluator, TableSource};
use garble::gadgets;
use garble::garbler::{Garbler, TableSink};
use garble::gates::Gates;
use garble::labels::{ActiveLabels, Labels, Stopped};
use garble::late::LatePads;
use garble::modulus::ShareModulus;
use garble::projection::Project;
use garble::word::{Bit, Word};
use kernel::block::Block;
use kernel::prg::Prg;

#[derive(Debug)]
enum Failed {
    Tweaks,
    Short,
}

impl From<Stopped> for Failed {
    fn from(_: Stopped) -> Self {
        Self::Tweaks
    }
}

#[derive(Default)]
struct Memory(Vec<Block>);

impl TableSink for Memory {
    type Error = Failed;

    fn room(&mut self, count: usize) -> Result<&mut [Block], Failed> {
        let from = self.0.len();
        self.0.resize(from + count, Block::ZERO);
        Ok(&mut self.0[from..])
    }
}

struct Reader<'a>(&'a [Block]);

impl TableSource for Reader<'_> {
    type Error = Failed;

    fn rows(&mut self, count: usize) -> Result<&[Block], Failed> {
        let (now, later) = self.0.split_at_checked(count).ok_or(Failed::Short)?;
        self.0 = later;
        Ok(now)
    }
}

/// ReLU of a shared number, its low bits dropped, shared again.
fn relu<G: Project>(
    g: &mut G,
    a: &Word<G::Wires>,
    b: &Word<G::Wires>,
    (modulus, drop): (&ShareModulus, usize),
    signed: bool,
) -> Result<Vec<u64>, G::Error> {
    let x = gadgets::reconstruct_modulo(g, (a, b), modulus, drop)?;
    let y = if signed { x } else { gadgets::relu(g, &x)? };
    g.project_modulo(&y, modulus)
}

/// Instances counted together, since a number's bits are packed with those of its neighbours.
const LANES: u64 = 512;

fn counts(modulus: ShareModulus, drop: usize) -> Counts {
    let mut g = Count::default();
    let word = Word::from_wires(vec![g.input(LANES as usize); modulus.bits() as usize], LANES as usize);
    let Ok(_) = relu(&mut g, &word, &word, (&modulus, drop), false);
    g.counts()
}

/// The same with the result masked by a subtractor, as the papers do.
fn with_subtractor(ring: usize, drop: usize) -> u64 {
    let mut g = Count::default();
    let word = Word::from_wires(vec![g.input(1); ring], 1);
    let modulus = ShareModulus::PowerOfTwo(ring as u32);
    let Ok(x) = gadgets::reconstruct_modulo(&mut g, (&word, &word), &modulus, drop);
    let Ok(y) = gadgets::relu(&mut g, &x);
    let Ok(_) = gadgets::sub_wrapping(&mut g, &y, &word, ring);
    g.counts().ands
}

/// Gazelle's circuit modulo a prime p of w bits: add the shares modulo p, the larger of the sum and p / 2, add the mask modulo
/// p. A reduction is a subtraction of p and a choice.
fn modulo_a_prime(width: usize) -> u64 {
    let mut g = Count::default();
    let word = || Word::from_wires(vec![Count::default().input(1); width], 1);
    // Wires stand for p's bits: the paper's circuit takes it as an input, and so can serve any prime.
    let add = |g: &mut Count, a: &Word<_>, b: &Word<_>| {
        let [a, b, p] = [a, b, &word()].map(gadgets::zero_extend);
        // One more place than a word has, for the carry.
        let Ok(sum) = gadgets::add_wrapping(g, &a, &b, width + 1);
        let Ok(reduced) = gadgets::sub_wrapping(g, &gadgets::zero_extend(&sum), &p, width + 2);
        let low = gadgets::resize(&sum, width);
        let Ok(chosen) = gadgets::mux(g, &reduced.sign(), &low, &gadgets::resize(&reduced, width));
        chosen
    };
    let x = add(&mut g, &word(), &word());
    let Ok(y) = gadgets::max(&mut g, &x, &word());
    add(&mut g, &y, &word());
    g.counts().ands
}

#[test]
fn the_table_of_activations() {
    println!("{:<50} {:>5} {:>6}", "ReLU of a shared number", "ANDs", "words");
    let ring = counts(ShareModulus::PowerOfTwo(32), 12);
    println!(
        "{:<50} {:>5} {:>6}",
        "ring of 32 bits, 12 dropped, projection",
        ring.ands / LANES,
        ring.words / LANES
    );
    // The lowest bit of the ring is the guard of masked replies.
    let guarded = counts(ShareModulus::PowerOfTwo(32), 13);
    println!(
        "{:<50} {:>5} {:>6}",
        "the same, one bit being the guard",
        guarded.ands / LANES,
        guarded.words / LANES
    );
    let subtractor = with_subtractor(32, 12);
    println!("{:<50} {:>5} {:>6}", "ring of 32 bits, 12 dropped, subtractor", subtractor, "-");
    let prime = modulo_a_prime(32);
    println!("{:<50} {:>5} {:>6}", "modulo a prime of 32 bits (Gazelle: 8 w + 2)", prime, "-");
    let mut ours = Vec::new();
    // What numbers of 32 bits need: a prime of one bit more.
    for (p, drop, name) in [
        (PRIME_32, 0, "modulo a prime of 32 bits, nothing dropped"),
        (PRIME_32, 12, "modulo a prime of 32 bits, 12 dropped"),
        (PRIME_33, 12, "modulo a prime of 33 bits, 12 dropped"),
    ] {
        let counts = counts(ShareModulus::odd(p).expect("odd"), drop);
        println!("{name:<50} {:>5} {:>6}", counts.ands / LANES, counts.words / LANES);
        ours.push((counts.ands / LANES, counts.words / LANES));
    }
    // 2 w - 1 ANDs for the sum, and one a bit that is left for the larger of it and zero.
    assert_eq!(ours, [(63 + 31, 31), (63 + 19, 19), (65 + 20, 20)]);
    assert_eq!((ring.ands, ring.words), (50 * LANES, 19 * LANES));
    assert_eq!((guarded.ands, guarded.words), (49 * LANES, 18 * LANES));
    assert!(subtractor <= 82, "{subtractor}");
    assert!(prime <= 8 * 32 + 2, "{prime}");
    // In tables, without labels: below 1.7 kB.
    assert_eq!(ring.table_bytes(), (50 * 32 + 19 * 4) * LANES);
}

/// The largest primes of 32 and 33 bits with slots in a ring of degree 8192.
const PRIME_32: u64 = 4_294_475_777;
const PRIME_33: u64 = 8_589_852_673;

struct Shared {
    garblers: Vec<u64>,
    evaluators: Vec<u64>,
    values: Vec<i64>,
}

fn shared(modulus: &ShareModulus, lanes: usize, random: &mut Random) -> Shared {
    let values: Vec<i64> = (0..lanes)
        .map(|_| {
            let x = modulus.reduce(random.next());
            match modulus {
                ShareModulus::PowerOfTwo(bits) => (x << (64 - bits)) as i64 >> (64 - bits),
                ShareModulus::Odd(p) => p.centred(x),
            }
        })
        .collect();
    let garblers: Vec<u64> = values.iter().map(|_| modulus.reduce(random.next())).collect();
    let evaluators = values.iter().zip(&garblers).map(|(v, g)| modulus.sub(modulus.of(*v), *g)).collect();
    Shared { garblers, evaluators, values }
}

fn bits(values: &[u64], bit: usize) -> Vec<bool> {
    values.iter().map(|value| value >> bit & 1 == 1).collect()
}

const OFFSET: Block = Block(0xfedc_ba98_7654_3210_8796_a5b4_c3d2_e1f1);

/// Garbles, and evaluates with late inputs; the sum of both parties' shares.
fn run(shared: &Shared, (modulus, drop): (&ShareModulus, usize), signed: bool) -> Vec<u64> {
    let ring = modulus.bits() as usize;
    let lanes = shared.values.len();
    let (start, input) = (Block(5), Block(6));
    let mut g = Garbler::new(OFFSET, start, Memory::default());
    let (mut active, mut fresh, mut pads) =
        (ActiveLabels::new(input), Prg::from_key(Block(7)), LatePads::default());
    let mut q = vec![Block::ZERO; lanes * ring];
    Prg::from_key(Block(8)).fill_blocks(&mut q);
    let entering: Vec<u64> = shared.garblers.iter().map(|share| modulus.entering(*share)).collect();
    let own: Vec<Labels> = (0..ring).map(|bit| g.input(&mut active, &bits(&entering, bit))).collect();
    let late: Vec<Labels> = q.chunks(lanes).map(|q| g.late(q, &mut fresh, &mut pads)).collect();
    let words = [own, late].map(|wires| Word::from_wires(wires, lanes));
    let mine = relu(&mut g, &words[0], &words[1], (modulus, drop), signed).expect("memory");
    let tables = std::mem::take(&mut g.sink().0);

    // Random choices of the transfers, and the corrections once the share is known.
    let mut choices = vec![0u8; (lanes * ring).div_ceil(8)];
    Prg::from_key(Block(9)).fill_bytes(&mut choices);
    let choice = |i: usize| choices[i / 8] >> (i % 8) & 1 == 1;
    let t: Vec<Block> = q.iter().enumerate().map(|(i, q)| *q ^ OFFSET.and_bit(choice(i))).collect();
    let mut corrections = vec![0u8; choices.len()];
    for bit in 0..ring {
        for (lane, value) in bits(&shared.evaluators, bit).into_iter().enumerate() {
            let i = bit * lanes + lane;
            corrections[i / 8] |= u8::from(value ^ choice(i)) << (i % 8);
        }
    }
    assert_eq!(pads.len(), lanes * ring);
    let answers = pads.answer(OFFSET, &corrections);
    // No answer is the offset, or the other's transfer: what a zero-label tied to q would give.
    assert!(answers.iter().all(|answer| *answer != OFFSET && *answer != Block::ZERO));

    let mut e = Evaluator::new(start, Reader(&tables));
    let mut active = ActiveLabels::new(input);
    let own: Vec<Labels> = (0..ring).map(|_| e.input(&mut active, lanes)).collect();
    let late: Vec<Labels> = t.chunks(lanes).zip(answers.chunks(lanes)).map(|(t, z)| e.late(t, z)).collect();
    let words = [own, late].map(|wires| Word::from_wires(wires, lanes));
    let theirs = relu(&mut e, &words[0], &words[1], (modulus, drop), signed).expect("as many tables");
    assert!(e.source().0.is_empty());
    mine.iter().zip(&theirs).map(|(a, b)| modulus.add(*a, *b)).collect()
}

#[test]
fn garbled_activations_give_shares_of_the_result() {
    let mut random = Random(11);
    let (ring, odd) = (ShareModulus::PowerOfTwo, |p| ShareModulus::odd(p).expect("odd"));
    for (modulus, drop, lanes, signed) in [
        (ring(32), 12, 1200, false),
        (ring(32), 12, 100, true),
        (ring(24), 0, 7, true),
        (ring(63), 20, 513, false),
        (ring(63), 62, 40, true),
        (odd(PRIME_33), 12, 1200, false),
        (odd(PRIME_33), 12, 1200, true),
        (odd(PRIME_32), 0, 1200, true),
        (odd(7681), 0, 5000, true),
        (odd(3), 0, 200, true),
        (odd((1 << 61) - 1), 40, 513, true),
    ] {
        let shared = shared(&modulus, lanes, &mut random);
        let sums = run(&shared, (&modulus, drop), signed);
        for (sum, value) in sums.iter().zip(&shared.values) {
            let expected = value >> drop;
            let expected = if signed { expected } else { expected.max(0) };
            assert_eq!(*sum, modulus.of(expected), "{modulus:?}: {value}");
        }
    }
}

/// Numbers and shares at both ends of their ranges.
#[test]
fn shares_modulo_a_prime_at_their_ends() {
    let p = 7681;
    let modulus = ShareModulus::odd(p).expect("odd");
    let half = p as i64 / 2;
    let values: Vec<i64> = [-half, -half + 1, -1, 0, 1, half - 1, half].into_iter().collect();
    for garblers in [0, 1, p / 2, p / 2 + 1, p - 2, p - 1] {
        let evaluators = values.iter().map(|v| modulus.sub(modulus.of(*v), garblers)).collect();
        let shared = Shared { garblers: vec![garblers; values.len()], evaluators, values: values.clone() };
        let expected: Vec<u64> = values.iter().map(|v| modulus.of(v >> 3)).collect();
        assert_eq!(run(&shared, (&modulus, 3), true), expected);
    }
}

#[test]
fn projection_means_the_words_value() {
    let mut g = Clear;
    let wire = ClearWires::new(&[false, true, true]);
    // -4 y + 1 of a public bit; the middle bit is public and clear.
    let word = Word::new(vec![Bit::Public(true), Bit::Public(false), Bit::Wire(wire)], 3);
    let Ok(values) = g.project(&word, 8);
    assert_eq!(values, [1, 253, 253]);
    let sign = Bit::Public(true);
    let Ok(values) = g.project(&Word::<ClearWires>::new(vec![sign], 2), 16);
    assert_eq!(values, [65535, 65535]);
    let Ok(values) = g.project(&Word::new(Vec::new(), 2), 64);
    assert_eq!(values, [0, 0]);
    assert_eq!(g.constant(true, 2).bits(), [true, true]);
}
