//! Moving lanes: free.

use crate::gates::Gates;
use crate::word::{Bit, Word};

/// The word whose lane i is lane `lanes[i]` of `x`.
pub fn gather<G: Gates>(gates: &G, x: &Word<G::Wires>, lanes: &[u32]) -> Word<G::Wires> {
    let bits = x
        .bits()
        .iter()
        .map(|bit| match bit {
            Bit::Public(value) => Bit::Public(*value),
            Bit::Wire(wire) => Bit::Wire(gates.gather(wire, lanes)),
        })
        .collect();
    Word::new(bits, lanes.len())
}

/// The lanes of all parts, one part after the other, sign-extended to the widest. A bit stays public where all parts agree.
pub fn concat<G: Gates>(gates: &mut G, parts: &[&Word<G::Wires>]) -> Word<G::Wires> {
    let parts: Vec<&&Word<G::Wires>> = parts.iter().filter(|part| part.lanes() > 0).collect();
    if let [only] = parts[..] {
        return (**only).clone();
    }
    let width = parts.iter().map(|part| part.width()).max().unwrap_or(1);
    let lanes = parts.iter().map(|part| part.lanes()).sum();
    let bits = (0..width).map(|index| concat_bit(gates, &parts, index)).collect();
    Word::new(bits, lanes)
}

fn concat_bit<G: Gates>(gates: &mut G, parts: &[&&Word<G::Wires>], index: usize) -> Bit<G::Wires> {
    let public = |value: bool| {
        parts.iter().all(|part| matches!(part.bit(index), Bit::Public(other) if *other == value))
    };
    if public(false) || public(true) {
        return Bit::Public(public(true));
    }
    let wires: Vec<G::Wires> = parts
        .iter()
        .map(|part| match part.bit(index) {
            Bit::Public(value) => gates.constant(*value, part.lanes()),
            Bit::Wire(wire) => wire.clone(),
        })
        .collect();
    Bit::Wire(gates.concat(&wires.iter().collect::<Vec<_>>()))
}

/// A public number in every lane.
pub fn public<W>(value: i64, width: usize, lanes: usize) -> Word<W> {
    Word::new((0..width).map(|index| Bit::Public(value >> index.min(63) & 1 == 1)).collect(), lanes)
}

/// A word of bits that the evaluator knows, lane i being lane `lanes[i]` of the wires.
pub fn known_word<G: Gates>(gates: &G, wires: &[G::Known], lanes: &[u32]) -> Word<G::Wires> {
    Word::new(wires.iter().map(|wire| Bit::Wire(gates.gather(&gates.forget(wire), lanes))).collect(), lanes.len())
}
