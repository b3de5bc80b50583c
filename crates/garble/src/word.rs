//! Bits and words of a circuit, in which what is public stays public.

use crate::gates::Gates;

/// One bit of a circuit in n instances: public and the same in all of them, or a wire. Gates on public bits fold away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bit<W> {
    /// Known to both sides while the circuit is being written.
    Public(bool),
    /// A wire.
    Wire(W),
}

impl<W: Clone> Bit<W> {
    /// `!self`.
    pub fn not<G: Gates<Wires = W>>(&self, g: &mut G) -> Self {
        match self {
            Self::Public(bit) => Self::Public(!bit),
            Self::Wire(wire) => Self::Wire(g.not(wire)),
        }
    }

    /// `self ^ other`.
    pub fn xor<G: Gates<Wires = W>>(&self, g: &mut G, other: &Self) -> Self {
        match (self, other) {
            (Self::Public(false), bit) | (bit, Self::Public(false)) => bit.clone(),
            (Self::Public(true), bit) | (bit, Self::Public(true)) => bit.not(g),
            (Self::Wire(a), Self::Wire(b)) => Self::Wire(g.xor(a, b)),
        }
    }

    /// `self & other`: one AND if both are wires.
    ///
    /// # Errors
    /// When the stream of tables fails.
    pub fn and<G: Gates<Wires = W>>(&self, g: &mut G, other: &Self) -> Result<Self, G::Error> {
        Ok(match (self, other) {
            (Self::Public(false), _) | (_, Self::Public(false)) => Self::Public(false),
            (Self::Public(true), bit) | (bit, Self::Public(true)) => bit.clone(),
            (Self::Wire(a), Self::Wire(b)) => Self::Wire(g.and(a, b)?),
        })
    }

    /// `self & known`: one known AND if this is a wire.
    ///
    /// # Errors
    /// When the stream of tables fails.
    pub fn and_known<G: Gates<Wires = W>>(&self, g: &mut G, known: &G::Known) -> Result<Self, G::Error> {
        Ok(match self {
            Self::Public(false) => Self::Public(false),
            Self::Public(true) => Self::Wire(g.forget(known)),
            Self::Wire(wire) => Self::Wire(g.and_known(wire, known)?),
        })
    }

    /// `self | other`: one AND if both are wires.
    ///
    /// # Errors
    /// When the stream of tables fails.
    pub fn or<G: Gates<Wires = W>>(&self, g: &mut G, other: &Self) -> Result<Self, G::Error> {
        let both = self.and(g, other)?;
        let either = self.xor(g, other);
        Ok(both.xor(g, &either))
    }

    /// `(self & other) ^ x`: one AND if both are wires.
    ///
    /// # Errors
    /// When the stream of tables fails.
    pub fn and_xor<G: Gates<Wires = W>>(&self, g: &mut G, other: &Self, x: &Self) -> Result<Self, G::Error> {
        if let (Self::Wire(a), Self::Wire(b), Self::Wire(x)) = (self, other, x) {
            return Ok(Self::Wire(g.and_xor(a, b, x)?));
        }
        Ok(self.and(g, other)?.xor(g, x))
    }

    /// `(self & known) ^ x ^ y`: one known AND if this is a wire.
    ///
    /// # Errors
    /// When the stream of tables fails.
    pub fn and_known_xor<G: Gates<Wires = W>>(
        &self,
        g: &mut G,
        known: &G::Known,
        x: &Self,
        y: &Self,
    ) -> Result<Self, G::Error> {
        if let (Self::Wire(a), Self::Wire(x), Self::Wire(y)) = (self, x, y) {
            return Ok(Self::Wire(g.and_known_xor(a, known, x, y)?));
        }
        Ok(self.and_known(g, known)?.xor(g, x).xor(g, y))
    }

    /// `if self { a } else { b }`: one AND if this is a wire and the others differ.
    ///
    /// # Errors
    /// When the stream of tables fails.
    pub fn choose<G: Gates<Wires = W>>(&self, g: &mut G, a: &Self, b: &Self) -> Result<Self, G::Error> {
        match (self, a, b) {
            (Self::Public(true), a, _) => Ok(a.clone()),
            (Self::Public(false), _, b) => Ok(b.clone()),
            (_, Self::Public(a), Self::Public(b)) if a == b => Ok(Self::Public(*a)),
            _ => {
                let difference = a.xor(g, b);
                self.and_xor(g, &difference, b)
            }
        }
    }

    /// The carry of `a + b + self`, their majority: one AND if all are wires.
    ///
    /// # Errors
    /// When the stream of tables fails.
    pub fn carry<G: Gates<Wires = W>>(&self, g: &mut G, a: &Self, b: &Self) -> Result<Self, G::Error> {
        // With two public bits the majority is one of the three.
        match (a, b, self) {
            (Self::Public(p), Self::Public(q), other)
            | (Self::Public(p), other, Self::Public(q))
            | (other, Self::Public(p), Self::Public(q)) => {
                return Ok(if p == q { Self::Public(*p) } else { other.clone() });
            }
            _ => {}
        }
        let (a, b) = (a.xor(g, self), b.xor(g, self));
        a.and_xor(g, &b, self)
    }

    /// The sum `a ^ b ^ self` and its carry: one AND if all are wires.
    ///
    /// # Errors
    /// When the stream of tables fails.
    pub fn full_add<G: Gates<Wires = W>>(
        &self,
        g: &mut G,
        a: &Self,
        b: &Self,
    ) -> Result<(Self, Self), G::Error> {
        if let (Self::Wire(a), Self::Wire(b), Self::Wire(c)) = (a, b, self) {
            let (sum, carry) = g.full_add(a, b, c)?;
            return Ok((Self::Wire(sum), Self::Wire(carry)));
        }
        let sum = a.xor(g, b).xor(g, self);
        Ok((sum, self.carry(g, a, b)?))
    }
}

/// A two's-complement integer in n instances, least significant bit first. The last bit is the sign, so a word of w bits has
/// values in `[-2^(w-1), 2^(w-1))`; the word of no bits is zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word<W> {
    bits: Vec<Bit<W>>,
    lanes: usize,
}

impl<W> Default for Word<W> {
    /// No bits, no instances.
    fn default() -> Self {
        Self { bits: Vec::new(), lanes: 0 }
    }
}

impl<W> Word<W> {
    /// The word of these bits, in this many instances.
    pub fn new(bits: Vec<Bit<W>>, lanes: usize) -> Self {
        Self { bits, lanes }
    }

    /// The word whose bits are these wires, all of this many instances.
    pub fn from_wires(wires: Vec<W>, lanes: usize) -> Self {
        Self { bits: wires.into_iter().map(Bit::Wire).collect(), lanes }
    }

    /// A public number in its low `width` bits.
    pub fn public(value: i64, width: usize, lanes: usize) -> Self {
        let bit = |i: usize| Bit::Public((value >> i.min(63)) & 1 == 1);
        Self { bits: (0..width).map(bit).collect(), lanes }
    }

    /// Number of bits.
    pub fn width(&self) -> usize {
        self.bits.len()
    }

    /// Number of instances.
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// The bits, least significant first.
    pub fn bits(&self) -> &[Bit<W>] {
        &self.bits
    }
}

impl<W: Clone> Word<W> {
    /// Bit i, the sign being repeated beyond the width.
    pub fn bit(&self, i: usize) -> Bit<W> {
        self.bits.get(i).or(self.bits.last()).cloned().unwrap_or(Bit::Public(false))
    }

    /// The sign.
    pub fn sign(&self) -> Bit<W> {
        self.bit(usize::MAX)
    }

    /// Every bit as a wire: public ones become constants. What the engine reveals or hands on.
    pub fn wires<G: Gates<Wires = W>>(&self, g: &mut G) -> Vec<W> {
        let lanes = self.lanes;
        self.bits
            .iter()
            .map(|bit| match bit {
                Bit::Public(bit) => g.constant(*bit, lanes),
                Bit::Wire(wire) => wire.clone(),
            })
            .collect()
    }
}
