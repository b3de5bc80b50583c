//! Eight lanes of plain integers, with the bit-sliced AES.

use crate::aes::bitslice;
use crate::block::Block;
use crate::half_gates::lanes::Lanes;

/// The portable lanes: every processor has them.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Lanes for Portable {
    type Register = [u128; bitslice::LANES];
    const LANES: usize = bitslice::LANES;

    fn load(self, blocks: &[Block]) -> Self::Register {
        core::array::from_fn(|i| blocks[i].0)
    }

    fn store(self, register: Self::Register, blocks: &mut [Block]) {
        for (block, value) in blocks.iter_mut().zip(register) {
            *block = Block(value);
        }
    }

    fn load_pairs(self, blocks: &[Block]) -> (Self::Register, Self::Register) {
        (core::array::from_fn(|i| blocks[2 * i].0), core::array::from_fn(|i| blocks[2 * i + 1].0))
    }

    fn store_pairs(self, even: Self::Register, odd: Self::Register, blocks: &mut [Block]) {
        for (pair, (even, odd)) in blocks.chunks_exact_mut(2).zip(even.into_iter().zip(odd)) {
            pair.copy_from_slice(&[Block(even), Block(odd)]);
        }
    }

    fn broadcast(self, block: Block) -> Self::Register {
        [block.0; Self::LANES]
    }

    fn count(self, first: u64, step: u64) -> Self::Register {
        core::array::from_fn(|i| u128::from(first.wrapping_add(step.wrapping_mul(i as u64))))
    }

    fn xor(self, a: Self::Register, b: Self::Register) -> Self::Register {
        core::array::from_fn(|i| a[i] ^ b[i])
    }

    fn select(self, bits: Self::Register, value: Self::Register) -> Self::Register {
        core::array::from_fn(|i| value[i] & (bits[i] & 1).wrapping_neg())
    }

    fn sigma(self, x: Self::Register) -> Self::Register {
        x.map(|x| x.rotate_left(64) ^ (x & !u128::from(u64::MAX)))
    }

    fn compress<const K: usize, const P: usize>(
        self,
        keys: [Self::Register; K],
        x: [[Self::Register; P]; K],
    ) -> [[Self::Register; P]; K] {
        core::array::from_fn(|k| {
            let mut planes = keys[k];
            bitslice::transpose(&mut planes);
            let schedule = bitslice::schedule(planes);
            x[k].map(|x| {
                let mut state = x;
                bitslice::transpose(&mut state);
                bitslice::encrypt_planes(&schedule, &mut state);
                bitslice::transpose(&mut state);
                self.xor(state, x)
            })
        })
    }
}
