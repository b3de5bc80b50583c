//! The gates of each element of a network at the paper's words, 16 bits with 12 of fraction: DeepSecure's Table 2 (DAC '18).

use crate::count::{Count, CountedWires, Counts};
use crate::gadgets::{self, Multiples};
use crate::known::encoded_bits;
use crate::meaning::Format;
use crate::word::Word;

/// The paper's words.
const FORMAT: Format = Format { bits: 16, frac: 12 };

/// Operands of softmax.
const CLASSES: usize = 10;

/// An element with its gates.
#[derive(Clone, Copy, Debug)]
pub struct Element {
    /// What it computes.
    pub name: &'static str,
    /// Its gates here.
    pub counts: Counts,
    /// XOR and non-XOR gates in Table 2, where it has the element.
    pub paper: Option<(u64, u64)>,
    /// What the count should be read with; why it is above the paper's where it is.
    pub remark: &'static str,
}

impl Element {
    /// Gates that are no XORs, those of one row included.
    pub fn non_xors(&self) -> u64 {
        self.counts.ands + self.counts.known_ands
    }

    fn remark(self, remark: &'static str) -> Self {
        Self { remark, ..self }
    }
}

/// The paper's multiplier.
const MULT: Option<(u64, u64)> = Some((381, 212));

/// A product and a sum of the paper's matrix product.
const MATRIX: Option<(u64, u64)> = Some((397, 228));

const TRUNCATED: &str = "the columns from 2^9 to 2^27 have 205 of the 256 partial products, a low half has 136: a word with its fraction \
    takes more gates than the low half that 212 gates are about";

const EXACT: &str =
    "all 256 partial products and 32 columns; the low half that 212 gates are about has 136 and 16";

const EXACT_SUM: &str = "a sum of exact products is rounded once, at its end, and needs all 32 columns, of which the paper's words keep 16; \
    in rows of tables it is below the paper's 456, as the evaluator's bits take one row for two";

/// All elements: the table's, and other forms of them.
pub fn elements() -> Vec<Element> {
    [smooth(), sums(), products(), matrices()].concat()
}

type Words<'a> = &'a [Word<CountedWires>];

/// Counts a circuit of `words` words of 16 bits. Counting cannot fail.
fn element<T>(
    name: &'static str,
    paper: Option<(u64, u64)>,
    words: usize,
    circuit: impl FnOnce(&mut Count, Words<'_>) -> Result<T, core::convert::Infallible>,
) -> Element {
    let mut g = Count::default();
    let words: Vec<_> = (0..words).map(|_| Word::from_wires(vec![g.input(1); 16], 1)).collect();
    let Ok(_) = circuit(&mut g, &words);
    Element { name, counts: g.counts(), paper, remark: "" }
}

fn smooth() -> Vec<Element> {
    let softmax = CLASSES as u64 - 1;
    let softmax = Some((softmax * 48, softmax * 32));
    vec![
        element("tanh, CORDIC", Some((8415, 3900)), 1, |g, x| gadgets::tanh(g, &x[0], FORMAT, FORMAT)),
        element("sigmoid, CORDIC", Some((8447, 3932)), 1, |g, x| gadgets::sigmoid(g, &x[0], FORMAT, FORMAT)),
        element("softmax of 10: index", softmax, CLASSES, |g, x| gadgets::arg_max(g, x, false)),
        element("softmax of 10: largest value", softmax, CLASSES, gadgets::max_of),
        element("ReLU", Some((30, 15)), 1, |g, x| gadgets::relu(g, &x[0])),
        element("sigmoid, straight lines (error 0.019)", None, 1, |g, x| {
            gadgets::piecewise_sigmoid(g, &x[0], FORMAT, FORMAT)
        }),
        element("tanh, straight lines (error 0.038)", None, 1, |g, x| {
            gadgets::piecewise_tanh(g, &x[0], FORMAT, FORMAT)
        }),
    ]
}

fn sums() -> Vec<Element> {
    let paper = Some((16, 16));
    vec![
        element("ADD, modulo 2^16", paper, 2, |g, x| gadgets::add_wrapping(g, &x[0], &x[1], 16)),
        element("ADD, exact", paper, 2, |g, x| gadgets::add_signed(g, &x[0], &x[1])),
    ]
}

fn products() -> Vec<Element> {
    vec![
        element("MULT, x w / 2^12 truncated, 3 guard columns (error below 1.25 units)", MULT, 2, |g, x| {
            gadgets::mul_truncated(g, &x[0], &x[1], (12, 3), 16)
        })
        .remark(TRUNCATED),
        element("MULT, low half", MULT, 2, |g, x| gadgets::mul_low(g, &x[0], &x[1], 16)),
        element("MULT, exact (32 bits; floor(x w / 2^12) drops wires)", MULT, 2, |g, x| {
            gadgets::mul(g, &x[0], &x[1])
        })
        .remark(EXACT),
        element("MULT, exact, evaluator's weight", None, 1, |g, x| {
            let digits = vec![g.known(1); encoded_bits(16)];
            gadgets::mul_known(g, &x[0], &digits)
        }),
        element("square, exact", None, 1, |g, x| gadgets::square(g, &x[0])),
        element("DIV", Some((545, 361)), 2, |g, x| gadgets::divide(g, &x[0], &x[1], 12, 16)),
    ]
}

/// One product of a matrix product and its addition.
fn matrices() -> Vec<Element> {
    vec![
        element("A B, per product: low half, sum modulo 2^16", MATRIX, 3, |g, x| {
            let product = gadgets::mul_low(g, &x[0], &x[1], 16)?;
            gadgets::add_wrapping(g, &product, &x[2], 16)
        }),
        element("A B, per product: x w / 2^12 truncated, sum modulo 2^16", MATRIX, 3, |g, x| {
            let product = gadgets::mul_truncated(g, &x[0], &x[1], (12, 3), 16)?;
            gadgets::add_wrapping(g, &product, &x[2], 16)
        })
        .remark(TRUNCATED),
        element("A B, per product: exact, sum of 33 bits", MATRIX, 3, |g, x| {
            let product = gadgets::mul(g, &x[0], &x[1])?;
            gadgets::add_signed(g, &product, &x[2])
        })
        .remark(EXACT),
        product_and_sum("A B, per product: exact, evaluator's weight", 16).remark(EXACT_SUM),
        product_and_sum("A B, per product: exact, evaluator's weight of 8 bits (a network's usual)", 8),
    ]
}

/// The same as a layer has it. Three times x, and the sum of the x, are made once for all outputs that
/// x meets, and are left out.
fn product_and_sum(name: &'static str, weight: u32) -> Element {
    let mut g = Count::default();
    let x = Word::from_wires(vec![g.input(1); 16], 1);
    let digits = vec![g.known(1); encoded_bits(weight)];
    let Ok(multiples) = Multiples::new(&mut g, &x);
    let before = g.counts();
    let Ok(product) = gadgets::mul_known_odd(&mut g, &multiples, &digits);
    let known_ands = g.counts().known_ands;
    let Ok(_) = product.add(&mut g, &product);
    let (ands, xors) = (g.counts().ands - before.ands, g.counts().xors - before.xors);
    let counts = Counts { ands, known_ands, xors, ..Counts::default() };
    Element { name, counts, paper: MATRIX, remark: "" }
}
