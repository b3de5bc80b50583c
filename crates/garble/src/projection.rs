//! From wires to additive shares: projection.
//!
//! For each bit y of a word the garbler sends one number modulo `2^k` (or modulo p), from which the evaluator gets `m + y w`, w being the bit's
//! weight and m random. Its sum over the bits is its share of the word's value, and the garbler's is minus the sum of the m: the
//! re-masking of a garbled activation without a subtractor, an input mask or a decoding bit.
//!
//! The number that belongs to the label of colour 0 is that label's hash itself (row reduction), which fixes m; the one for
//! colour 1 is hashed, and what it lacks is sent. The hash is that of a half gate, with a tweak of its own: both numbers
//! look random to an evaluator with one of the labels, whatever m is, because the other label's hash does.

use kernel::block::Block;
use kernel::half_gates::Known;
use kernel::modular::Modulus;
use zeroize::Zeroizing;

use crate::clear::Clear;
use crate::count::Counter;
use crate::evaluator::{Evaluator, TableSource};
use crate::garbler::{Garbler, TableSink};
use crate::gates::Gates;
use crate::labels::{GATES_PER_CALL, Labels};
use crate::modulus::ShareModulus;
use crate::word::{Bit, Word};

mod odd;

/// Interpreters that can turn a word into additive shares.
pub trait Project: Gates {
    /// This party's share of the value of a word, modulo `2^ring` with ring from 1 to 64, an instance each: the garbler's and the
    /// evaluator's add up to the signed value. One number an instance for each bit that is not public.
    ///
    /// # Errors
    /// When the stream of tables fails.
    fn project(&mut self, word: &Word<Self::Wires>, ring: u32) -> Result<Vec<u64>, Self::Error>;

    /// The same modulo an odd number.
    ///
    /// # Errors
    /// When the stream of tables fails.
    fn project_odd(&mut self, word: &Word<Self::Wires>, modulus: &Modulus) -> Result<Vec<u64>, Self::Error>;

    /// The same modulo either.
    ///
    /// # Errors
    /// When the stream of tables fails.
    fn project_modulo(
        &mut self,
        word: &Word<Self::Wires>,
        modulus: &ShareModulus,
    ) -> Result<Vec<u64>, Self::Error> {
        match modulus {
            ShareModulus::PowerOfTwo(ring) => self.project(word, *ring),
            ShareModulus::Odd(modulus) => self.project_odd(word, modulus),
        }
    }
}

fn mask(ring: u32) -> u64 {
    u64::MAX >> (64 - ring.clamp(1, 64))
}

/// Rows that numbers of `ring` bits take.
fn rows(count: usize, ring: u32) -> usize {
    (count * ring as usize).div_ceil(Block::ZERO.to_bytes().len() * 8)
}

/// What the public bits of a word are worth, and its wires with their weights. The last bit is a sign.
fn parts<W>(word: &Word<W>) -> (u64, Vec<(&W, u64)>) {
    let (mut public, mut wires) = (0u64, Vec::new());
    for (place, bit) in word.bits().iter().enumerate() {
        let weight = u32::try_from(place).ok().and_then(|place| 1u64.checked_shl(place)).unwrap_or(0);
        let weight = if place + 1 == word.width() { weight.wrapping_neg() } else { weight };
        match bit {
            Bit::Public(true) => public = public.wrapping_add(weight),
            Bit::Public(false) => {}
            Bit::Wire(wire) => wires.push((wire, weight)),
        }
    }
    (public, wires)
}

/// Writes numbers of `ring` bits one after the other, lowest bit first.
fn pack(numbers: &[u64], ring: u32, rows: &mut [Block]) {
    rows.fill(Block::ZERO);
    for (index, number) in numbers.iter().enumerate() {
        let at = index * ring as usize;
        let (block, low) = (at / 128, at % 128);
        rows[block].0 |= u128::from(*number) << low;
        if low + ring as usize > 128 {
            rows[block + 1].0 |= u128::from(*number) >> (128 - low);
        }
    }
}

/// Reads the number at an index.
fn unpack(rows: &[Block], index: usize, ring: u32) -> u64 {
    let at = index * ring as usize;
    let (block, low) = (at / 128, at % 128);
    let mut number = rows[block].0 >> low;
    if low + ring as usize > 128 {
        number |= rows[block + 1].0 << (128 - low);
    }
    number as u64 & mask(ring)
}

impl Project for Clear {
    /// The garbler's share is zero.
    fn project(&mut self, word: &Word<Self::Wires>, ring: u32) -> Result<Vec<u64>, Self::Error> {
        let (public, wires) = parts(word);
        let mut values = vec![public; word.lanes()];
        for (wire, weight) in wires {
            for (value, bit) in values.iter_mut().zip(wire.bits()) {
                *value = value.wrapping_add(weight * u64::from(*bit));
            }
        }
        values.iter_mut().for_each(|value| *value &= mask(ring));
        Ok(values)
    }

    fn project_odd(&mut self, word: &Word<Self::Wires>, modulus: &Modulus) -> Result<Vec<u64>, Self::Error> {
        odd::clear(word, modulus)
    }
}

impl<E> Project for Counter<E> {
    fn project(&mut self, word: &Word<Self::Wires>, ring: u32) -> Result<Vec<u64>, E> {
        let wires = parts(word).1.len() as u64;
        let lanes = word.lanes();
        let pieces = (0..lanes)
            .step_by(GATES_PER_CALL)
            .map(|from| rows(lanes.min(from + GATES_PER_CALL) - from, ring));
        self.words(
            wires.saturating_mul(lanes as u64),
            wires.saturating_mul(pieces.map(|rows| rows as u64).sum()),
        );
        Ok(vec![0; lanes])
    }

    fn project_odd(&mut self, word: &Word<Self::Wires>, modulus: &Modulus) -> Result<Vec<u64>, E> {
        self.project(word, modulus.bits())
    }
}

impl<S: TableSink> Garbler<S> {
    /// The hashes of both labels of a piece of a wire, value 0 and value 1.
    fn hashes(&self, tweak: u64, zeros: &[Block]) -> Zeroizing<Vec<[u128; 2]>> {
        let none = vec![Block::ZERO; zeros.len()];
        let mut first = Zeroizing::new(none.clone());
        let mut both = Zeroizing::new(none.clone());
        // The half gate with a known operand and nothing else is the hash itself, and its row the sum of both.
        self.hash.garble(Known, (self.offset, tweak), [&none, zeros], [&mut first], &mut both);
        let pair = |(first, both): (&Block, &Block)| [first.0, (*first ^ *both).0];
        Zeroizing::new(first.iter().zip(both.iter()).map(pair).collect())
    }
}

impl<S: TableSink> Project for Garbler<S> {
    fn project(&mut self, word: &Word<Labels>, ring: u32) -> Result<Vec<u64>, S::Error> {
        let (public, wires) = parts(word);
        let mut shares = vec![public; word.lanes()];
        let mut numbers = Vec::with_capacity(GATES_PER_CALL);
        for (wire, weight) in wires {
            let first = self.tweaks.reserve(wire.lanes(), 1)?;
            let blocks = wire.blocks();
            let pieces = blocks.chunks(GATES_PER_CALL).zip(shares.chunks_mut(GATES_PER_CALL));
            for (number, (labels, shares)) in pieces.enumerate() {
                let hashes = self.hashes(first.wrapping_add((number * GATES_PER_CALL) as u64), labels);
                numbers.clear();
                for ((label, hashes), share) in labels.iter().zip(hashes.iter()).zip(shares) {
                    let [h0, h1] = hashes.map(|hash| hash as u64);
                    // All ones where the label of value 0 has colour 1, so that the row is its.
                    let swap = u64::from(label.lsb()).wrapping_neg();
                    let random = (h0 & !swap) | (h1.wrapping_sub(weight) & swap);
                    let due = (random.wrapping_add(weight).wrapping_sub(h1) & !swap)
                        | (random.wrapping_sub(h0) & swap);
                    numbers.push(due & mask(ring));
                    *share = share.wrapping_sub(random);
                }
                pack(&numbers, ring, self.sink.room(rows(labels.len(), ring))?);
            }
        }
        shares.iter_mut().for_each(|share| *share &= mask(ring));
        Ok(shares)
    }

    fn project_odd(&mut self, word: &Word<Labels>, modulus: &Modulus) -> Result<Vec<u64>, S::Error> {
        odd::garble(self, word, modulus)
    }
}

impl<S: TableSource> Project for Evaluator<S> {
    fn project(&mut self, word: &Word<Labels>, ring: u32) -> Result<Vec<u64>, S::Error> {
        let (_, wires) = parts(word);
        let mut shares = vec![0u64; word.lanes()];
        let none = vec![Block::ZERO; GATES_PER_CALL];
        let mut hashes = none.clone();
        for (wire, _) in wires {
            let first = self.tweaks.reserve(wire.lanes(), 1)?;
            let blocks = wire.blocks();
            let pieces = blocks.chunks(GATES_PER_CALL).zip(shares.chunks_mut(GATES_PER_CALL));
            for (number, (labels, shares)) in pieces.enumerate() {
                let tweak = first.wrapping_add((number * GATES_PER_CALL) as u64);
                let (none, hashes) = (&none[..labels.len()], &mut hashes[..labels.len()]);
                self.hash.evaluate(Known, tweak, [none, labels], none, [hashes]);
                let table = self.source.rows(rows(labels.len(), ring))?;
                for (index, (label, share)) in labels.iter().zip(shares).enumerate() {
                    let row = unpack(table, index, ring) & u64::from(label.lsb()).wrapping_neg();
                    *share = share.wrapping_add(hashes[index].0 as u64).wrapping_add(row);
                }
            }
        }
        shares.iter_mut().for_each(|share| *share &= mask(ring));
        Ok(shares)
    }

    fn project_odd(&mut self, word: &Word<Labels>, modulus: &Modulus) -> Result<Vec<u64>, S::Error> {
        odd::evaluate(self, word, modulus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_numbers_come_back() {
        for ring in [1, 7, 31, 33, 63, 64] {
            let numbers: Vec<u64> =
                (1..=300u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) & mask(ring)).collect();
            let mut packed = vec![Block(7); rows(numbers.len(), ring)];
            pack(&numbers, ring, &mut packed);
            for (index, number) in numbers.iter().enumerate() {
                assert_eq!(unpack(&packed, index, ring), *number, "{ring} bits");
            }
        }
    }
}
