//! Bits that may be public, and words of them.

use crate::gates::Gates;

/// A wire in n lanes, or a constant that both parties know and that costs nothing.
#[derive(Clone, Debug)]
pub enum Bit<W> {
    /// The same value in every lane.
    Public(bool),
    /// A wire.
    Wire(W),
}

/// A two's complement number in each lane: its bits, the lowest first, the last one the sign.
#[derive(Clone, Debug)]
pub struct Word<W> {
    bits: Vec<Bit<W>>,
    lanes: usize,
}

impl<W> Default for Word<W> {
    /// Zero in no lanes.
    fn default() -> Self {
        Self { bits: vec![Bit::Public(false)], lanes: 0 }
    }
}

impl<W> Word<W> {
    /// A word of these bits, the lowest first. No bits at all are a zero.
    pub fn new(mut bits: Vec<Bit<W>>, lanes: usize) -> Self {
        if bits.is_empty() {
            bits.push(Bit::Public(false));
        }
        Self { bits, lanes }
    }

    /// The bits, the lowest first; at least one.
    pub fn bits(&self) -> &[Bit<W>] {
        &self.bits
    }

    /// Number of bits.
    pub fn width(&self) -> usize {
        self.bits.len()
    }

    /// Number of lanes.
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// The highest bit.
    pub fn sign(&self) -> &Bit<W> {
        &self.bits[self.bits.len() - 1]
    }

    /// Bit `index`, the sign where the word is shorter.
    pub fn bit(&self, index: usize) -> &Bit<W> {
        &self.bits[index.min(self.bits.len() - 1)]
    }
}

/// `a & b`; a public operand costs nothing.
///
/// # Errors
/// When the stream of tables fails.
pub fn and<G: Gates>(gates: &mut G, a: &Bit<G::Wires>, b: &Bit<G::Wires>) -> Result<Bit<G::Wires>, G::Error> {
    match (a, b) {
        (Bit::Public(false), _) | (_, Bit::Public(false)) => Ok(Bit::Public(false)),
        (Bit::Public(true), other) | (other, Bit::Public(true)) => Ok(other.clone()),
        (Bit::Wire(a), Bit::Wire(b)) => Ok(Bit::Wire(gates.and(a, b)?)),
    }
}

/// `a & b` where the evaluator knows b.
///
/// # Errors
/// When the stream of tables fails.
pub fn and_known<G: Gates>(
    gates: &mut G,
    a: &Bit<G::Wires>,
    b: &G::Known,
) -> Result<Bit<G::Wires>, G::Error> {
    match a {
        Bit::Public(false) => Ok(Bit::Public(false)),
        Bit::Public(true) => Ok(Bit::Wire(gates.forget(b))),
        Bit::Wire(a) => Ok(Bit::Wire(gates.and_known(a, b)?)),
    }
}

/// `a ^ b`.
pub fn xor<G: Gates>(gates: &mut G, a: &Bit<G::Wires>, b: &Bit<G::Wires>) -> Bit<G::Wires> {
    match (a, b) {
        (Bit::Public(a), Bit::Public(b)) => Bit::Public(a ^ b),
        (Bit::Public(false), other) | (other, Bit::Public(false)) => other.clone(),
        (Bit::Public(true), Bit::Wire(wire)) | (Bit::Wire(wire), Bit::Public(true)) => Bit::Wire(gates.not(wire)),
        (Bit::Wire(a), Bit::Wire(b)) => Bit::Wire(gates.xor(a, b)),
    }
}

/// `!a`.
pub fn not<G: Gates>(gates: &mut G, a: &Bit<G::Wires>) -> Bit<G::Wires> {
    xor(gates, a, &Bit::Public(true))
}

/// `a | b`.
///
/// # Errors
/// When the stream of tables fails.
pub fn or<G: Gates>(gates: &mut G, a: &Bit<G::Wires>, b: &Bit<G::Wires>) -> Result<Bit<G::Wires>, G::Error> {
    let both = and(gates, a, b)?;
    let either = xor(gates, a, b);
    Ok(xor(gates, &either, &both))
}

/// `if select { a } else { b }`, one AND.
///
/// # Errors
/// When the stream of tables fails.
pub fn mux<G: Gates>(
    gates: &mut G,
    select: &Bit<G::Wires>,
    a: &Bit<G::Wires>,
    b: &Bit<G::Wires>,
) -> Result<Bit<G::Wires>, G::Error> {
    let differ = xor(gates, a, b);
    let chosen = and(gates, select, &differ)?;
    Ok(xor(gates, &chosen, b))
}

/// Carry of a full adder, `majority(a, b, c)`, with one AND.
///
/// # Errors
/// When the stream of tables fails.
pub fn carry<G: Gates>(
    gates: &mut G,
    a: &Bit<G::Wires>,
    b: &Bit<G::Wires>,
    c: &Bit<G::Wires>,
) -> Result<Bit<G::Wires>, G::Error> {
    // Two equal public bits decide the majority, two different ones leave it to the third.
    for (a, b, c) in [(a, b, c), (a, c, b), (b, c, a)] {
        if let (Bit::Public(a), Bit::Public(b)) = (a, b) {
            return Ok(if a == b { Bit::Public(*a) } else { c.clone() });
        }
    }
    let ac = xor(gates, a, c);
    let bc = xor(gates, b, c);
    let both = and(gates, &ac, &bc)?;
    Ok(xor(gates, &both, c))
}
