//! Gadgets as values, so that each is run under every interpreter and compared with plain integers.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use garble::clear::{Clear, ClearWires};
use garble::count::{Count, CountedWires, Counts};
use garble::gadgets::{self, Multiples};
use garble::gates::Gates;
use garble::meaning::{self, Format};
use garble::word::{Bit, Word};

/// A small generator with a fixed seed (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A value of `bits` bits; one in four is at an end of the range or around zero.
    pub fn value(&mut self, bits: u32) -> i64 {
        let high = (1_i64 << (bits - 1)) - 1;
        match self.next() % 16 {
            0 => -high - 1,
            1 => high,
            2 => 0,
            3 => (-1_i64).max(-high - 1),
            _ => self.next() as i64 >> (64 - bits),
        }
    }
}

/// A circuit with its meaning.
#[derive(Clone, Copy, Debug)]
pub enum Gadget {
    Add,
    AddWrapping(usize),
    Sub,
    Neg,
    Less,
    Equal,
    Mux,
    MuxSign,
    Relu,
    Max,
    Min,
    MaxOf,
    ArgMax {
        last: bool,
    },
    ArgMaxWithValue {
        last: bool,
    },
    Clamp(i64, i64),
    Saturate(usize),
    ShiftRight(usize),
    MulConstant(i64),
    Affine {
        factor: i64,
        addend: i64,
        shift: u32,
        bits: u32,
    },
    Mul,
    MulLow(usize),
    /// Columns dropped and guard columns kept; bits of the factors; bits of the result.
    MulTruncated {
        drop: usize,
        guard: usize,
        w: usize,
        bits: usize,
    },
    Square,
    SquareLow(usize),
    /// Of the first word and the first weight.
    MulKnown,
    /// Of all words and weights, and the first word once more as a bias.
    Dot,
    Divide {
        frac: u32,
        bits: u32,
    },
    Sigmoid(Format, Format),
    Tanh(Format, Format),
    PiecewiseSigmoid(Format, Format),
    PiecewiseTanh(Format, Format),
}

fn pick<W: Clone>(x: &[Word<W>], i: usize) -> &Word<W> {
    &x[i % x.len()]
}

fn bit<W>(bit: Bit<W>, lanes: usize) -> Word<W> {
    Word::new(vec![bit, Bit::Public(false)], lanes)
}

impl Gadget {
    /// The circuit, on words and recoded weights.
    pub fn run<G: Gates>(
        &self,
        g: &mut G,
        x: &[Word<G::Wires>],
        weights: &[Vec<G::Known>],
    ) -> Result<Vec<Word<G::Wires>>, G::Error> {
        let (a, b) = (pick(x, 0), pick(x, 1));
        let lanes = a.lanes();
        Ok(vec![match *self {
            Self::Add => gadgets::add_signed(g, a, b)?,
            Self::AddWrapping(width) => gadgets::add_wrapping(g, a, b, width)?,
            Self::Sub => gadgets::sub_signed(g, a, b)?,
            Self::Neg => gadgets::neg(g, a)?,
            Self::Less => bit(gadgets::less_than(g, a, b)?, lanes),
            Self::Equal => bit(gadgets::equal(g, a, b)?, lanes),
            Self::Mux => {
                let less = gadgets::less_than(g, a, b)?;
                gadgets::mux(g, &less, pick(x, 2), b)?
            }
            Self::MuxSign => gadgets::mux_sign(g, a, b)?,
            Self::Relu => gadgets::relu(g, a)?,
            Self::Max => gadgets::max(g, a, b)?,
            Self::Min => gadgets::min(g, a, b)?,
            Self::MaxOf => gadgets::max_of(g, x)?,
            Self::ArgMax { last } => gadgets::arg_max(g, x, last)?,
            Self::ArgMaxWithValue { last } => {
                let largest = gadgets::arg_max_with_value(g, x, last)?;
                return Ok(vec![largest.value, largest.index]);
            }
            Self::Clamp(low, high) => gadgets::clamp(g, a, low, high)?,
            Self::Saturate(width) => gadgets::saturate(g, a, width)?,
            Self::ShiftRight(by) => gadgets::shift_right(a, by),
            Self::MulConstant(factor) => gadgets::mul_constant(g, a, factor)?,
            Self::Affine { factor, addend, shift, bits } => {
                gadgets::affine(g, a, factor, addend, shift, bits)?
            }
            Self::Mul => gadgets::mul(g, a, b)?,
            Self::MulLow(width) => gadgets::mul_low(g, a, b, width)?,
            Self::MulTruncated { drop, guard, bits, .. } => {
                gadgets::mul_truncated(g, a, b, (drop, guard), bits)?
            }
            Self::Square => gadgets::square(g, a)?,
            Self::SquareLow(width) => gadgets::square_low(g, a, width)?,
            Self::MulKnown => gadgets::mul_known(g, a, &weights[0])?,
            Self::Dot => dot(g, x, weights)?,
            Self::Divide { frac, bits } => gadgets::divide(g, a, b, frac as usize, bits as usize)?,
            Self::Sigmoid(input, output) => gadgets::sigmoid(g, a, input, output)?,
            Self::Tanh(input, output) => gadgets::tanh(g, a, input, output)?,
            Self::PiecewiseSigmoid(input, output) => gadgets::piecewise_sigmoid(g, a, input, output)?,
            Self::PiecewiseTanh(input, output) => gadgets::piecewise_tanh(g, a, input, output)?,
        }])
    }

    /// What the circuit computes in one instance.
    pub fn expected(&self, x: &[i64], w: &[i64]) -> Vec<i64> {
        let (a, b, c) = (x[0], x[1 % x.len()], x[2 % x.len()]);
        let wide = i128::from(a) * i128::from(b);
        vec![match *self {
            Self::Add => a + b,
            Self::AddWrapping(width) => wrap(i128::from(a + b), width),
            Self::Sub => a - b,
            Self::Neg => -a,
            Self::Less => i64::from(a < b),
            Self::Equal => i64::from(a == b),
            Self::Mux => {
                if a < b {
                    c
                } else {
                    b
                }
            }
            Self::MuxSign => {
                if a >= 0 {
                    a
                } else {
                    b
                }
            }
            Self::Relu => a.max(0),
            Self::Max => a.max(b),
            Self::Min => a.min(b),
            Self::MaxOf => *x.iter().max().expect("words"),
            Self::ArgMax { last } => arg_max(x, last) as i64,
            Self::ArgMaxWithValue { last } => return vec![x[arg_max(x, last)], arg_max(x, last) as i64],
            Self::Clamp(low, high) => a.max(low).min(high),
            Self::Saturate(width) => meaning::saturate(i128::from(a), width as u32),
            Self::ShiftRight(by) => a >> by,
            Self::MulConstant(factor) => a * factor,
            Self::Affine { factor, addend, shift, bits } => meaning::affine(a, factor, addend, shift, bits),
            Self::Mul => a * b,
            Self::MulLow(width) => wrap(wide, width),
            Self::MulTruncated { drop, guard, w, bits } => {
                meaning::mul_truncated(a, b, w as u32, (drop as u32, guard as u32), bits as u32)
            }
            Self::Square => a * a,
            Self::SquareLow(width) => wrap(i128::from(a) * i128::from(a), width),
            Self::MulKnown => a * w[0],
            Self::Dot => a + x.iter().zip(w).map(|(x, w)| x * w).sum::<i64>(),
            Self::Divide { frac, bits } => meaning::divide(a, b, frac, bits),
            Self::Sigmoid(input, output) => meaning::sigmoid(a, input, output),
            Self::Tanh(input, output) => meaning::tanh(a, input, output),
            Self::PiecewiseSigmoid(input, output) => meaning::piecewise_sigmoid(a, input, output),
            Self::PiecewiseTanh(input, output) => meaning::piecewise_tanh(a, input, output),
        }]
    }
}

fn arg_max(x: &[i64], last: bool) -> usize {
    let largest = x.iter().max().expect("words");
    if last { x.iter().rposition(|x| x == largest) } else { x.iter().position(|x| x == largest) }
        .expect("words")
}

fn wrap(value: i128, width: usize) -> i64 {
    (value << (128 - width) >> (128 - width)) as i64
}

/// A dot product with a bias, as a linear layer makes it.
fn dot<G: Gates>(
    g: &mut G,
    x: &[Word<G::Wires>],
    weights: &[Vec<G::Known>],
) -> Result<Word<G::Wires>, G::Error> {
    let width = x[0].width() + weights[0].len() + 4;
    let mut start = gadgets::shift_left(&x[0], 1);
    let mut products: Option<gadgets::Pending<G::Wires>> = None;
    for (x, digits) in x.iter().zip(weights) {
        start = gadgets::sub_wrapping(g, &start, x, width)?;
        let multiples = Multiples::new(g, x)?;
        let product = gadgets::mul_known_odd(g, &multiples, digits)?;
        products = Some(match products {
            Some(sum) => sum.add(g, &product)?,
            None => product,
        });
    }
    let sum = products.expect("words").add_to(g, &start, width)?;
    Ok(gadgets::shift_right(&sum, 1))
}

/// A word in the clear.
pub fn clear_word(values: &[i64], width: usize) -> Word<ClearWires> {
    let wire =
        |i: usize| ClearWires::new(&values.iter().map(|value| value >> i & 1 == 1).collect::<Vec<_>>());
    Word::from_wires((0..width).map(wire).collect(), values.len())
}

/// Its values.
pub fn clear_values(g: &mut Clear, word: &Word<ClearWires>) -> Vec<i64> {
    let wires = word.wires(g);
    let bits: Vec<&[bool]> = wires.iter().map(ClearWires::bits).collect();
    join(&bits, word.lanes())
}

/// Two's-complement values of bits, lowest first.
pub fn join<B: AsRef<[bool]>>(bits: &[B], lanes: usize) -> Vec<i64> {
    let value = |lane: usize| {
        let value = bits.iter().enumerate().fold(0, |value: i128, (i, bit)| {
            let weight = if i + 1 == bits.len() { -1_i128 << i } else { 1 << i };
            value + weight * i128::from(bit.as_ref()[lane])
        });
        i64::try_from(value).expect("a result within 64 bits")
    };
    (0..lanes).map(value).collect()
}

/// The known bits of weights: wire by wire, one bit an instance.
pub fn known_bits(weights: &[i64], bits: u32) -> Vec<Vec<bool>> {
    let mut encoded = Vec::new();
    for weight in weights {
        garble::known::encode(*weight, bits, &mut encoded);
    }
    let wires = garble::known::encoded_bits(bits);
    (0..wires).map(|wire| encoded.iter().skip(wire).step_by(wires).copied().collect()).collect()
}

/// A word in one instance of which each bit is public or a wire, at random.
pub fn half_public_word(random: &mut Random, value: i64, width: usize) -> Word<ClearWires> {
    let bits = (0..width).map(|i| {
        let bit = value >> i & 1 == 1;
        if random.next() & 1 == 1 { Bit::Public(bit) } else { Bit::Wire(ClearWires::new(&[bit])) }
    });
    Word::new(bits.collect(), 1)
}

/// Checks a gadget in the clear on words (each a list of values, one an instance) of given widths.
pub fn check_clear(gadget: Gadget, widths: &[usize], x: &[Vec<i64>], (bits, w): (u32, &[Vec<i64>])) {
    let mut g = Clear;
    let words: Vec<_> = x.iter().zip(widths).map(|(values, width)| clear_word(values, *width)).collect();
    let weights: Vec<Vec<ClearWires>> =
        w.iter().map(|w| known_bits(w, bits).iter().map(|bits| ClearWires::new(bits)).collect()).collect();
    let Ok(out) = gadget.run(&mut g, &words, &weights);
    let out: Vec<Vec<i64>> = out.iter().map(|word| clear_values(&mut g, word)).collect();
    for lane in 0..x[0].len() {
        let inputs: Vec<i64> = x.iter().map(|x| x[lane]).collect();
        let weights: Vec<i64> = w.iter().map(|w| w[lane]).collect();
        let found: Vec<i64> = out.iter().map(|out| out[lane]).collect();
        assert_eq!(
            found,
            gadget.expected(&inputs, &weights),
            "{gadget:?} of {inputs:?} {weights:?} in {widths:?}"
        );
    }
}

/// Gates of a gadget per instance, on words of given widths and weights of given bits.
pub fn count(gadget: Gadget, widths: &[usize], weights: &[u32]) -> Counts {
    let mut g = Count::default();
    let words: Vec<Word<CountedWires>> =
        widths.iter().map(|width| Word::from_wires(vec![g.input(1); *width], 1)).collect();
    let weights: Vec<Vec<CountedWires>> =
        weights.iter().map(|bits| vec![g.known(1); garble::known::encoded_bits(*bits)]).collect();
    let Ok(_) = gadget.run(&mut g, &words, &weights);
    g.counts()
}
