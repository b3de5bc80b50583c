//! The gate trait that every circuit is written over.

use core::ops::Range;

/// An interpreter of gates, each applied to many independent instances ("lanes") at once.
///
/// One `Wires` value is one wire of the circuit in `n` parallel instances, stored contiguously (gate-major), so that the
/// vector lanes of the hash fill. XOR and NOT are free (Kolesnikov and Schneider 2008); AND is a pair of half gates
/// (Zahur, Rosulek and Evans 2015), or one half gate where the evaluator knows an operand.
pub trait Gates {
    /// One wire in n instances.
    type Wires: Clone;
    /// One wire in n instances whose values the evaluator knows (its own inputs).
    type Known: Clone;
    /// What reading or writing garbled tables may fail with.
    type Error;

    /// `a & b`, 32 bytes an instance. Both operands have the same number of lanes.
    ///
    /// # Errors
    /// When the stream of tables fails.
    fn and(&mut self, a: &Self::Wires, b: &Self::Wires) -> Result<Self::Wires, Self::Error>;

    /// `a & b` where the evaluator knows b: 16 bytes an instance.
    ///
    /// # Errors
    /// When the stream of tables fails.
    fn and_known(&mut self, a: &Self::Wires, b: &Self::Known) -> Result<Self::Wires, Self::Error>;

    /// `(a & b) ^ x`, 32 bytes an instance: in one pass over the labels where the interpreter has one.
    ///
    /// # Errors
    /// When the stream of tables fails.
    fn and_xor(
        &mut self,
        a: &Self::Wires,
        b: &Self::Wires,
        x: &Self::Wires,
    ) -> Result<Self::Wires, Self::Error> {
        let both = self.and(a, b)?;
        Ok(self.xor(&both, x))
    }

    /// `(a & b) ^ x ^ y` where the evaluator knows b, 16 bytes an instance: in one pass as above.
    ///
    /// # Errors
    /// When the stream of tables fails.
    fn and_known_xor(
        &mut self,
        a: &Self::Wires,
        b: &Self::Known,
        x: &Self::Wires,
        y: &Self::Wires,
    ) -> Result<Self::Wires, Self::Error> {
        let both = self.and_known(a, b)?;
        let sum = self.xor(&both, x);
        Ok(self.xor(&sum, y))
    }

    /// The sum `a ^ b ^ c` and the carry, their majority, 32 bytes an instance: in one pass as above.
    ///
    /// # Errors
    /// When the stream of tables fails.
    fn full_add(
        &mut self,
        a: &Self::Wires,
        b: &Self::Wires,
        c: &Self::Wires,
    ) -> Result<(Self::Wires, Self::Wires), Self::Error> {
        let (x, y) = (self.xor(a, c), self.xor(b, c));
        let carry = self.and_xor(&x, &y, c)?;
        Ok((self.xor(a, &y), carry))
    }

    /// `a ^ b`, of the same number of lanes. Free: no table.
    fn xor(&mut self, a: &Self::Wires, b: &Self::Wires) -> Self::Wires;

    /// `!a`. Free.
    fn not(&mut self, a: &Self::Wires) -> Self::Wires;

    /// A public constant in n instances.
    fn constant(&mut self, bit: bool, lanes: usize) -> Self::Wires;

    /// Forgets that the evaluator knows the values.
    fn forget(&self, known: &Self::Known) -> Self::Wires;

    /// The wire whose instance i is instance `lanes[i]` of `a`. Free: it moves labels.
    fn gather(&self, a: &Self::Wires, lanes: &[u32]) -> Self::Wires;

    /// The instances in a range, which lies within those of `a`. Free: it may share the memory of the whole wire.
    fn slice(&self, a: &Self::Wires, lanes: Range<usize>) -> Self::Wires;

    /// As [`Self::gather`], of a known wire.
    fn gather_known(&self, known: &Self::Known, lanes: &[u32]) -> Self::Known;

    /// The instances of all parts, one part after the other. Free.
    fn concat(&self, parts: &[&Self::Wires]) -> Self::Wires;
}
