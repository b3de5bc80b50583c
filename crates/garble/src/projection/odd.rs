//! Projection modulo an odd number p: as modulo `2^k`, with all 128 bits of a hash reduced, which is uniform modulo p of
//! 62 bits up to a distance of 2^-66.

use kernel::block::Block;
use kernel::half_gates::Known;
use kernel::modular::Modulus;

use super::{pack, rows, unpack};
use crate::clear::{Clear, ClearWires};
use crate::evaluator::{Evaluator, TableSource};
use crate::garbler::{Garbler, TableSink};
use crate::gates::Gates;
use crate::labels::{GATES_PER_CALL, Labels};
use crate::word::{Bit, Word};

/// What the public bits of a word are worth modulo p, and its wires with their weights. The last bit is a sign.
fn parts<'a, W>(word: &'a Word<W>, modulus: &Modulus) -> (u64, Vec<(&'a W, u64)>) {
    let (mut public, mut wires, mut weight) = (0, Vec::new(), 1);
    for (place, bit) in word.bits().iter().enumerate() {
        let signed = if place + 1 == word.width() { modulus.neg(weight) } else { weight };
        match bit {
            Bit::Public(true) => public = modulus.add(public, signed),
            Bit::Public(false) => {}
            Bit::Wire(wire) => wires.push((wire, signed)),
        }
        weight = modulus.add(weight, weight);
    }
    (public, wires)
}

/// The garbler's share is zero.
pub fn clear<E>(word: &Word<ClearWires>, modulus: &Modulus) -> Result<Vec<u64>, E>
where
    Clear: Gates<Error = E>,
{
    let (public, wires) = parts(word, modulus);
    let mut values = vec![public; word.lanes()];
    for (wire, weight) in wires {
        for (value, bit) in values.iter_mut().zip(wire.bits()) {
            *value = modulus.add(*value, weight * u64::from(*bit));
        }
    }
    Ok(values)
}

pub fn garble<S: TableSink>(
    g: &mut Garbler<S>,
    word: &Word<Labels>,
    modulus: &Modulus,
) -> Result<Vec<u64>, S::Error> {
    let (public, wires) = parts(word, modulus);
    let mut shares = vec![public; word.lanes()];
    let mut numbers = Vec::with_capacity(GATES_PER_CALL);
    for (wire, weight) in wires {
        let first = g.tweaks.reserve(wire.lanes(), 1)?;
        let blocks = wire.blocks();
        let pieces = blocks.chunks(GATES_PER_CALL).zip(shares.chunks_mut(GATES_PER_CALL));
        for (number, (labels, shares)) in pieces.enumerate() {
            let hashes = g.hashes(first.wrapping_add((number * GATES_PER_CALL) as u64), labels);
            numbers.clear();
            for ((label, hashes), share) in labels.iter().zip(hashes.iter()).zip(shares) {
                let [h0, h1] = hashes.map(|hash| modulus.reduce_wide(hash));
                // All ones where the label of value 0 has colour 1, so that the row is its.
                let swap = u64::from(label.lsb()).wrapping_neg();
                let random = (h0 & !swap) | (modulus.sub(h1, weight) & swap);
                let due =
                    (modulus.sub(modulus.add(random, weight), h1) & !swap) | (modulus.sub(random, h0) & swap);
                numbers.push(due);
                *share = modulus.sub(*share, random);
            }
            pack(&numbers, modulus.bits(), g.sink.room(rows(labels.len(), modulus.bits()))?);
        }
    }
    Ok(shares)
}

pub fn evaluate<S: TableSource>(
    g: &mut Evaluator<S>,
    word: &Word<Labels>,
    modulus: &Modulus,
) -> Result<Vec<u64>, S::Error> {
    let (_, wires) = parts(word, modulus);
    let mut shares = vec![0u64; word.lanes()];
    let none = vec![Block::ZERO; GATES_PER_CALL];
    let mut hashes = none.clone();
    for (wire, _) in wires {
        let first = g.tweaks.reserve(wire.lanes(), 1)?;
        let blocks = wire.blocks();
        let pieces = blocks.chunks(GATES_PER_CALL).zip(shares.chunks_mut(GATES_PER_CALL));
        for (number, (labels, shares)) in pieces.enumerate() {
            let tweak = first.wrapping_add((number * GATES_PER_CALL) as u64);
            let (none, hashes) = (&none[..labels.len()], &mut hashes[..labels.len()]);
            g.hash.evaluate(Known, tweak, [none, labels], none, [hashes]);
            let table = g.source.rows(rows(labels.len(), modulus.bits()))?;
            for (index, (label, share)) in labels.iter().zip(shares).enumerate() {
                let row = unpack(table, index, modulus.bits()) & u64::from(label.lsb()).wrapping_neg();
                let number = modulus.add(modulus.reduce_wide(hashes[index].0), modulus.reduce(row));
                *share = modulus.add(*share, number);
            }
        }
    }
    Ok(shares)
}
