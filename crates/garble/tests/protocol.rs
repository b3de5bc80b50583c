//! Garbling and evaluation through memory, against the clear interpreter's meaning and the counting interpreter's price.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod common;

use common::{Gadget, Random, count, join, known_bits};
use garble::evaluator::{Evaluator, TableSource};
use garble::garbler::{Garbler, TableSink};
use garble::labels::{ActiveLabels, Labels, MOST_ROWS, Stopped};
use garble::meaning::Format;
use garble::word::{Bit, Word};
use kernel::aes::Aes128;
use kernel::block::Block;
use kernel::half_gates::HalfGates;
use kernel::prg::Prg;
use kernel::tier::Tier;

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
        assert!(count <= MOST_ROWS);
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

/// A gadget's inputs, and all that both sides derive from fixed seeds.
struct Session {
    gadget: Gadget,
    widths: Vec<usize>,
    x: Vec<Vec<i64>>,
    weight_bits: u32,
    w: Vec<Vec<i64>>,
    tier: Tier,
}

const START: Block = Block(0x0123_4567_89ab_cdef_0f1e_2d3c_4b5a_6978);
const OFFSET: Block = Block(0xfedc_ba98_7654_3210_8796_a5b4_c3d2_e1f1);
const INPUT: Block = Block(17);
const TRANSFERS: Block = Block(23);

/// The colours of an output word's labels; public bits have their value.
type Colours = Vec<Bit<Vec<bool>>>;

fn colours(word: &Word<Labels>, colours: impl Fn(&Labels) -> Vec<bool>) -> Colours {
    word.bits()
        .iter()
        .map(|bit| match bit {
            Bit::Public(bit) => Bit::Public(*bit),
            Bit::Wire(wire) => Bit::Wire(colours(wire)),
        })
        .collect()
}

impl Session {
    fn lanes(&self) -> usize {
        self.x[0].len()
    }

    fn input_bits(values: &[i64], i: usize) -> Vec<bool> {
        values.iter().map(|value| value >> i & 1 == 1).collect()
    }

    fn garble(&self) -> (Vec<Block>, Vec<Colours>) {
        let hash = HalfGates::with_tier(START, self.tier);
        let mut g = Garbler::with_hash(OFFSET, hash, Memory::default());
        let mut labels = ActiveLabels::new(INPUT);
        let mut words = Vec::new();
        for (values, width) in self.x.iter().zip(&self.widths) {
            let wires = (0..*width).map(|i| g.input(&mut labels, &Self::input_bits(values, i))).collect();
            words.push(Word::from_wires(wires, self.lanes()));
        }
        let mut q = Prg::from_key(TRANSFERS);
        let mut weights = Vec::new();
        for w in &self.w {
            let mut wires = Vec::new();
            for bits in known_bits(w, self.weight_bits) {
                let mut labels = vec![Block::ZERO; bits.len()];
                q.fill_blocks(&mut labels);
                wires.push(g.known(&labels));
            }
            weights.push(wires);
        }
        let out = self.gadget.run(&mut g, &words, &weights).expect("memory");
        let zeros = out.iter().map(|word| colours(word, |wire| g.colours(wire))).collect();
        (std::mem::take(&mut g.sink().0), zeros)
    }

    fn evaluate(&self, tables: &[Block]) -> Result<Vec<Colours>, Failed> {
        let hash = HalfGates::with_tier(START, self.tier);
        let mut g = Evaluator::with_hash(hash, Reader(tables));
        let mut labels = ActiveLabels::new(INPUT);
        let mut words = Vec::new();
        for width in &self.widths {
            let wires = (0..*width).map(|_| g.input(&mut labels, self.lanes())).collect();
            words.push(Word::from_wires(wires, self.lanes()));
        }
        let mut q = Prg::from_key(TRANSFERS);
        let mut weights = Vec::new();
        for w in &self.w {
            let mut wires = Vec::new();
            for bits in known_bits(w, self.weight_bits) {
                let mut labels = vec![Block::ZERO; bits.len()];
                q.fill_blocks(&mut labels);
                for (label, bit) in labels.iter_mut().zip(&bits) {
                    *label ^= OFFSET.and_bit(*bit);
                }
                wires.push(g.known(&labels, &bits));
            }
            weights.push(wires);
        }
        let out = self.gadget.run(&mut g, &words, &weights)?;
        assert!(g.source().0.is_empty(), "tables are left over");
        Ok(out.iter().map(|word| colours(word, |wire| g.colours(wire))).collect())
    }

    /// The values of the output words.
    fn decode(&self, zeros: &[Colours], active: &[Colours]) -> Vec<Vec<i64>> {
        let word = |(zeros, active): (&Colours, &Colours)| {
            let bits: Vec<Vec<bool>> = zeros
                .iter()
                .zip(active)
                .map(|bits| match bits {
                    (Bit::Public(zero), Bit::Public(active)) => {
                        assert_eq!(zero, active);
                        vec![*zero; self.lanes()]
                    }
                    (Bit::Wire(zero), Bit::Wire(active)) => {
                        zero.iter().zip(active).map(|(a, b)| a ^ b).collect()
                    }
                    _ => panic!("both sides see the same public bits"),
                })
                .collect();
            join(&bits, self.lanes())
        };
        zeros.iter().zip(active).map(word).collect()
    }

    fn expected(&self) -> Vec<Vec<i64>> {
        let lanes: Vec<Vec<i64>> = (0..self.lanes())
            .map(|lane| {
                let at = |values: &Vec<i64>| values[lane];
                let (x, w): (Vec<i64>, Vec<i64>) =
                    (self.x.iter().map(at).collect(), self.w.iter().map(at).collect());
                self.gadget.expected(&x, &w)
            })
            .collect();
        (0..lanes[0].len()).map(|word| lanes.iter().map(|lane| lane[word]).collect()).collect()
    }
}

fn session(gadget: Gadget, lanes: usize, tier: Tier) -> Session {
    let mut random = Random(lanes as u64);
    let mut list = |bits: u32| (0..lanes).map(|_| random.value(bits)).collect::<Vec<_>>();
    let weight_bits = 7;
    let x: Vec<Vec<i64>> = (0..3).map(|_| list(16)).collect();
    let w = (0..3).map(|_| list(weight_bits)).collect();
    Session { gadget, widths: vec![16; x.len()], x, weight_bits, w, tier }
}

const FORMAT: Format = Format { bits: 16, frac: 12 };

const GADGETS: [Gadget; 20] = [
    Gadget::Add,
    Gadget::Sub,
    Gadget::Neg,
    Gadget::Less,
    Gadget::Equal,
    Gadget::Mux,
    Gadget::Relu,
    Gadget::Max,
    Gadget::Clamp(-100, 2000),
    Gadget::Saturate(11),
    Gadget::ArgMaxWithValue { last: false },
    Gadget::Affine { factor: -77, addend: 12345, shift: 5, bits: 12 },
    Gadget::Mul,
    Gadget::MulLow(16),
    Gadget::Square,
    Gadget::MulKnown,
    Gadget::Dot,
    Gadget::Divide { frac: 12, bits: 16 },
    Gadget::Sigmoid(FORMAT, FORMAT),
    Gadget::Tanh(FORMAT, FORMAT),
];

#[test]
fn garbled_gadgets_compute_what_they_mean_at_the_counted_price() {
    for gadget in GADGETS {
        let price = count(gadget, &[16; 3], &[7; 3]).table_bytes();
        for lanes in [1, 3, 64, 100, 1100] {
            let session = session(gadget, lanes, Tier::current());
            let (tables, zeros) = session.garble();
            assert_eq!(16 * tables.len() as u64, price * lanes as u64, "{gadget:?}");
            let active = session.evaluate(&tables).expect("tables");
            assert_eq!(session.decode(&zeros, &active), session.expected(), "{gadget:?} in {lanes} lanes");
        }
    }
}

#[test]
fn a_changed_table_changes_the_output() {
    for gadget in [Gadget::Add, Gadget::MulKnown, Gadget::Tanh(FORMAT, FORMAT)] {
        let session = session(gadget, 100, Tier::current());
        let (tables, zeros) = session.garble();
        // One bit in each row of the first gate, in all 100 instances: an evaluator uses a row with probability one half.
        let mut changed = tables.clone();
        for row in &mut changed[..100 * 2] {
            *row ^= Block(0x4000_0000);
        }
        let active = session.evaluate(&changed).expect("tables");
        assert_ne!(session.decode(&zeros, &active), session.expected(), "{gadget:?}");
    }
}

#[test]
fn tables_that_end_early_are_an_error() {
    let session = session(Gadget::Add, 3, Tier::current());
    let (tables, _) = session.garble();
    assert!(matches!(session.evaluate(&tables[..tables.len() - 1]), Err(Failed::Short)));
    assert!(matches!(session.evaluate(&[]), Err(Failed::Short)));
}

/// One block that depends on every row, in order.
fn digest(rows: &[Block]) -> u128 {
    let cipher = Aes128::with_tier(Block(1), Tier::Portable);
    let length = Block(rows.len() as u128 * 16);
    rows.iter().fold(length, |state, row| cipher.encrypt(state ^ *row)).0
}

/// The tables of fixed seeds are a format: two versions that disagree cannot talk to each other. If this changes on purpose, the
/// protocol's version changes too.
#[test]
fn tables_are_frozen_and_alike_on_every_tier() {
    for tier in Tier::available() {
        let garbled = [Gadget::Divide { frac: 12, bits: 16 }, Gadget::Dot, Gadget::Tanh(FORMAT, FORMAT)]
            .map(|gadget| digest(&session(gadget, 37, tier).garble().0));
        assert_eq!(
            garbled,
            [
                262047318159654993762425324537801370022,
                157257466367352707618791214162478478531,
                142921737291530593676803890119007527579,
            ],
            "{}",
            tier.name()
        );
    }
}

/// Constants, gathering and concatenation under the garbling interpreters.
#[test]
fn moved_and_constant_lanes_keep_their_values() {
    use garble::gadgets;
    use garble::gates::Gates;

    fn circuit<G: Gates>(g: &mut G, x: &Word<G::Wires>) -> Result<Word<G::Wires>, G::Error> {
        let reversed = gadgets::gather(g, x, &[2, 1, 0]);
        let constant = gadgets::public(-3, 4, 2);
        let joined = gadgets::concat(g, &[&reversed, &constant, x]);
        let ones = Word::from_wires(vec![g.constant(true, 8), g.constant(false, 8)], 8);
        gadgets::add_signed(g, &joined, &ones)
    }
    let x = [5_i64, -4, 7];
    let mut garbler = Garbler::new(OFFSET, START, Memory::default());
    let mut labels = ActiveLabels::new(INPUT);
    let wires = (0..4).map(|i| garbler.input(&mut labels, &Session::input_bits(&x, i))).collect();
    let zeros = circuit(&mut garbler, &Word::from_wires(wires, 3)).expect("memory");
    let mut evaluator = Evaluator::new(START, Reader(&garbler.sink().0));
    let mut labels = ActiveLabels::new(INPUT);
    let wires = (0..4).map(|_| evaluator.input(&mut labels, 3)).collect();
    let active = circuit(&mut evaluator, &Word::from_wires(wires, 3)).expect("tables");
    let bits: Vec<Vec<bool>> = zeros
        .wires(&mut Garbler::new(OFFSET, START, Memory::default()))
        .iter()
        .zip(active.wires(&mut Evaluator::new(START, Reader(&[]))))
        .map(|(zero, active)| {
            zero.blocks().iter().zip(active.blocks().iter()).map(|(a, b)| a.lsb() ^ b.lsb()).collect()
        })
        .collect();
    assert_eq!(join(&bits, 8), [8, -3, 6, -2, -2, 6, -3, 8]);
}
