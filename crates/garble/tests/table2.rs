//! The non-XOR gates of each element beside DeepSecure's Table 2 (DAC '18), at its 16-bit words with 12 fraction bits.

use garble::count::Counts;
use garble::elements::elements;

/// ANDs and ANDs with a known bit, exactly.
const HELD: [(&str, u64, u64); 20] = [
    ("tanh, CORDIC", 703, 0),
    ("sigmoid, CORDIC", 591, 0),
    ("softmax of 10: index", 279, 0),
    ("softmax of 10: largest value", 288, 0),
    ("ReLU", 15, 0),
    ("sigmoid, straight lines", 44, 0),
    ("tanh, straight lines", 48, 0),
    ("ADD, modulo", 15, 0),
    ("ADD, exact", 16, 0),
    ("MULT, x w / 2^12 truncated", 256, 0),
    ("MULT, low half", 172, 0),
    ("MULT, exact (32 bits", 311, 0),
    ("MULT, exact, evaluator", 159, 152),
    ("square", 255, 0),
    ("DIV", 301, 0),
    ("A B, per product: low half", 187, 0),
    ("A B, per product: x w / 2^12 truncated", 271, 0),
    ("A B, per product: exact, sum", 343, 0),
    ("A B, per product: exact, evaluator's weight", 151, 136),
    ("A B, per product: exact, evaluator's weight of 8", 75, 68),
];

#[test]
fn every_element_has_a_form_with_no_more_gates_than_the_papers() {
    println!("{:<72} {:>6} {:>10} {:>6} {:>7}", "element", "ANDs", "known ANDs", "bytes", "paper");
    let elements = elements();
    assert_eq!(elements.len(), HELD.len());
    for (element, (name, ands, known_ands)) in elements.iter().zip(HELD) {
        let Counts { ands: found, known_ands: known, .. } = element.counts;
        let paper = element.paper.map_or("-".into(), |(_, paper)| paper.to_string());
        let bytes = element.counts.table_bytes();
        println!("{:<72} {found:>6} {known:>10} {bytes:>6} {paper:>7}", element.name);
        assert!(element.name.starts_with(name), "{} is not {name}", element.name);
        assert_eq!((found, known), (ands, known_ands), "{name}");
        if !element.remark.is_empty() {
            println!("    {}", element.remark);
        }
        // What is above the paper's says why.
        let above = element.paper.is_some_and(|(_, paper)| element.non_xors() > paper);
        assert_eq!(above, element.paper.is_some() && !element.remark.is_empty(), "{name}");
    }
    // Every element of the table has a form that is not above it.
    let forms = elements.iter().filter_map(|element| Some((element.paper?, element.non_xors())));
    for (paper, _) in forms.clone() {
        assert!(forms.clone().any(|(other, gates)| other == paper && gates <= paper.1), "{paper:?}");
    }
    // A gate with a known operand has half the rows of another: as a layer has it, a product is below the paper's in bytes too.
    for element in elements.iter().filter(|element| element.counts.known_ands > 0) {
        assert!(
            element.paper.is_none_or(|(_, paper)| element.counts.table_bytes() <= 32 * paper),
            "{}",
            element.name
        );
    }
}
