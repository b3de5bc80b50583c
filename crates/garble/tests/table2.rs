//! The non-XOR gates of each element beside DeepSecure's Table 2 (DAC '18), at its 16-bit words with 12 fraction bits.

mod common;

use common::{Gadget, count};
use garble::count::{Count, Counts};
use garble::gadgets::{Multiples, mul_known_odd};
use garble::known::encoded_bits;
use garble::meaning::Format;
use garble::word::Word;

const FORMAT: Format = Format { bits: 16, frac: 12 };

const TRUNCATED: Gadget = Gadget::MulTruncated { drop: 12, guard: 3, w: 16, bits: 16 };

struct Row {
    name: &'static str,
    counts: Counts,
    /// What Table 2 says, where it has the row.
    paper: Option<u64>,
    /// ANDs and ANDs with a known bit, exactly.
    held: (u64, u64),
}

fn row(name: &'static str, gadget: Gadget, words: usize, paper: Option<u64>, held: (u64, u64)) -> Row {
    Row { name, counts: count(gadget, &vec![16; words], &vec![16; words]), paper, held }
}

/// One product of a dot product and its addition. Three times x, and the sum of the x, are made once for all outputs that
/// x meets, and are left out.
fn product_and_sum() -> Row {
    let mut g = Count::default();
    let x = Word::from_wires(vec![g.input(1); 16], 1);
    let digits = vec![g.known(1); encoded_bits(16)];
    let Ok(multiples) = Multiples::new(&mut g, &x);
    let before = g.counts();
    let Ok(product) = mul_known_odd(&mut g, &multiples, &digits);
    let after_product = g.counts();
    let Ok(_) = product.add(&mut g, &product);
    let counts = Counts {
        ands: g.counts().ands - before.ands,
        known_ands: after_product.known_ands,
        xors: g.counts().xors - before.xors,
        ..Counts::default()
    };
    Row {
        name: "product and sum of a dot product, evaluator's weight",
        counts,
        paper: Some(228),
        held: (151, 136),
    }
}

fn rows() -> Vec<Row> {
    vec![
        row("tanh, CORDIC", Gadget::Tanh(FORMAT, FORMAT), 1, Some(3900), (703, 0)),
        row("sigmoid, CORDIC", Gadget::Sigmoid(FORMAT, FORMAT), 1, Some(3932), (591, 0)),
        row("softmax of 10: index", Gadget::ArgMax { last: false }, 10, Some(9 * 32), (279, 0)),
        row("softmax of 10: largest value", Gadget::MaxOf, 10, Some(9 * 32), (288, 0)),
        row("ReLU", Gadget::Relu, 1, Some(15), (15, 0)),
        row("ADD, modulo 2^16", Gadget::AddWrapping(16), 2, Some(16), (15, 0)),
        row("ADD, exact", Gadget::Add, 2, Some(16), (16, 0)),
        row(
            "sigmoid, straight lines (error 0.019)",
            Gadget::PiecewiseSigmoid(FORMAT, FORMAT),
            1,
            None,
            (44, 0),
        ),
        row("tanh, straight lines (error 0.038)", Gadget::PiecewiseTanh(FORMAT, FORMAT), 1, None, (48, 0)),
        row(
            "MULT, x w / 2^12 truncated, 3 guard columns (error below 1.25 units)",
            TRUNCATED,
            2,
            None,
            (256, 0),
        ),
        row("MULT, low half", Gadget::MulLow(16), 2, Some(212), (172, 0)),
        row("MULT, exact (32 bits; floor(x w / 2^12) drops wires)", Gadget::Mul, 2, None, (311, 0)),
        row("MULT, exact, evaluator's weight", Gadget::MulKnown, 1, None, (159, 152)),
        row("square, exact", Gadget::Square, 1, None, (255, 0)),
        row("DIV", Gadget::Divide { frac: 12, bits: 16 }, 2, Some(361), (301, 0)),
        product_and_sum(),
    ]
}

#[test]
fn elements_take_no_more_gates_than_the_papers() {
    println!("{:<55} {:>6} {:>10} {:>6} {:>7}", "element", "ANDs", "known ANDs", "bytes", "paper");
    for row in rows() {
        let Counts { ands, known_ands, .. } = row.counts;
        let paper = row.paper.map_or("-".into(), |paper| paper.to_string());
        println!("{:<55} {ands:>6} {known_ands:>10} {:>6} {paper:>7}", row.name, row.counts.table_bytes());
        assert_eq!((ands, known_ands), row.held, "{}", row.name);
        // A gate with a known operand has half the rows of another.
        assert!(row.paper.is_none_or(|paper| row.counts.table_bytes() <= 32 * paper), "{}", row.name);
    }
}
