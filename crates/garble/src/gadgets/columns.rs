//! Sums of many bits of different weight, column by column.
//!
//! A full adder takes three bits of a column and leaves one there and one in the next, with one AND: every AND makes one bit
//! less. Working from the lowest column up, at most one half adder a column is wasted, so a sum of b bits that leaves r
//! bits takes b - r ANDs and little more. All multi-operand arithmetic here goes this way.

use crate::gates::Gates;
use crate::word::{Bit, Word, carry, not, xor};

/// Bits to be added, by weight; results are modulo `2^width`.
pub struct Columns<W> {
    columns: Vec<Vec<Bit<W>>>,
    constant: i128,
}

impl<W: Clone> Columns<W> {
    /// No bits, modulo `2^width`, `width` up to 126.
    pub fn new(width: usize) -> Self {
        debug_assert!(width <= 126, "sums are at most 126 bits wide");
        Self { columns: vec![Vec::new(); width], constant: 0 }
    }

    /// Adds a public number.
    pub fn add_constant(&mut self, value: i128) {
        self.constant = self.constant.wrapping_add(value);
    }

    /// Adds `bit * 2^weight`.
    pub fn add(&mut self, bit: Bit<W>, weight: usize) {
        if weight >= self.columns.len() {
            return;
        }
        match bit {
            Bit::Public(value) => self.add_constant(i128::from(value) << weight),
            Bit::Wire(_) => self.columns[weight].push(bit),
        }
    }

    /// Adds `-bit * 2^weight`, as `(1 - bit) * 2^weight - 2^weight`.
    pub fn subtract<G: Gates<Wires = W>>(&mut self, gates: &mut G, bit: &Bit<W>, weight: usize) {
        if weight >= self.columns.len() {
            return;
        }
        self.add(not(gates, bit), weight);
        self.add_constant(-(1i128 << weight));
    }

    /// Adds a signed word times `2^weight`.
    pub fn add_word<G: Gates<Wires = W>>(&mut self, gates: &mut G, word: &Word<W>, weight: usize) {
        let sign = word.width() - 1;
        for (index, bit) in word.bits()[..sign].iter().enumerate() {
            self.add(bit.clone(), weight + index);
        }
        self.subtract(gates, word.sign(), weight + sign);
    }

    /// Subtracts a signed word times `2^weight`.
    pub fn subtract_word<G: Gates<Wires = W>>(&mut self, gates: &mut G, word: &Word<W>, weight: usize) {
        let sign = word.width() - 1;
        for (index, bit) in word.bits()[..sign].iter().enumerate() {
            self.subtract(gates, bit, weight + index);
        }
        self.add(word.sign().clone(), weight + sign);
    }

    /// The sum.
    ///
    /// # Errors
    /// When the stream of tables fails.
    pub fn sum<G: Gates<Wires = W>>(mut self, gates: &mut G, lanes: usize) -> Result<Word<W>, G::Error> {
        let width = self.columns.len();
        let mut bits = Vec::with_capacity(width);
        for weight in 0..width {
            let mut column = std::mem::take(&mut self.columns[weight]);
            if self.constant >> weight & 1 == 1 {
                column.push(Bit::Public(true));
            }
            let last = weight + 1 == width;
            bits.push(self.reduce(gates, column, weight, last)?);
        }
        Ok(Word::new(bits, lanes))
    }

    /// Leaves one bit of a column and sends the carries to the next. In the last column carries are lost, and only XOR is left.
    fn reduce<G: Gates<Wires = W>>(
        &mut self,
        gates: &mut G,
        mut column: Vec<Bit<W>>,
        weight: usize,
        last: bool,
    ) -> Result<Bit<W>, G::Error> {
        while column.len() > 1 {
            let (Some(a), Some(b)) = (column.pop(), column.pop()) else { break };
            let c = column.pop().unwrap_or(Bit::Public(false));
            if !last {
                let carried = carry(gates, &a, &b, &c)?;
                if let Bit::Wire(_) = carried {
                    self.columns[weight + 1].push(carried);
                } else if let Bit::Public(true) = carried {
                    self.add_constant(1i128 << (weight + 1));
                }
            }
            let ab = xor(gates, &a, &b);
            column.push(xor(gates, &ab, &c));
        }
        Ok(column.pop().unwrap_or(Bit::Public(false)))
    }
}
