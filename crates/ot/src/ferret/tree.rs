//! Correlated GGM trees (half-tree, eprint 2022/1431): the nodes of every level sum to the offset.
//!
//! A node `x` has the left child `H(x)` and the right child `x ^ H(x)`, and the two nodes of the first level are `k` and
//! `k ^ delta`. So the sums of left and of right children of a level differ by the offset, which is what a correlated
//! OT gives: one block for a level opens one of the two sums, and the receiver's random bit says which. The receiver's
//! point is the complement of these bits. Its leaves sum to zero without the one at the point, so that it can put the
//! missing leaf *plus the offset* there: the noise vector of a run.
//!
//! H is the circular correlation-robust hash of eprint 2019/074: `p(s(x)) ^ s(x)`, with p AES under a public key and s a
//! linear map that with its sum with the identity is invertible.
//!
//! A level is all left children, then all right children, so the path's first bit is the lowest of a leaf's number. The
//! receiver expands a meaningless node at its point like all others and mends the level by masked sums over all places:
//! no address or branch depends on the point.

use kernel::aes::Aes128;
use kernel::block::Block;
use subtle::{Choice, ConditionallySelectable};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::TREE;

/// The hash and its scratch.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Trees {
    aes: Aes128,
    hashed: Vec<Block>,
}

impl Trees {
    /// Trees under a public key.
    pub(super) fn new(key: Block) -> Self {
        Self { aes: Aes128::new(key), hashed: vec![Block::ZERO; TREE / 2] }
    }

    /// The sender's tree: `path` has its OTs, one for each level, of which the first is the root. Leaves come with a
    /// lowest bit of 0.
    pub(super) fn grow(
        &mut self,
        delta: Block,
        path: &[Block],
        leaves: &mut [Block],
        corrections: &mut [Block],
    ) {
        leaves[0] = path[0];
        leaves[1] = path[0] ^ delta;
        for ((level, q), correction) in path.iter().enumerate().skip(1).zip(corrections) {
            let [left, _] = self.double(&mut leaves[..2 << level]);
            *correction = left ^ *q;
        }
        leaves.iter_mut().for_each(|leaf| leaf.0 &= !1);
    }

    /// The receiver's: the same leaves, but at its point the leaf plus the offset, with a lowest bit of 1.
    pub(super) fn puncture(&mut self, path: &[Block], corrections: &[Block], leaves: &mut [Block]) {
        // The node that is known goes to both places; the one at the point is meaningless.
        leaves[0] = path[0];
        leaves[1] = path[0];
        let mut point = u64::from(!path[0].lsb());
        let (mut beside, mut missing, mut all) = (0, Block::ZERO, Block::ZERO);
        for ((level, t), correction) in path.iter().enumerate().skip(1).zip(corrections) {
            let nodes = &mut leaves[..2 << level];
            mend(&mut nodes[..1 << level], beside, missing);
            let [left, right] = self.double(nodes);
            let side = u64::from(t.lsb());
            let found = Block::conditional_select(&left, &right, Choice::from(side as u8));
            // What the sum must be, less what it is with the meaningless node in the place of the missing one.
            missing = *correction ^ *t ^ found;
            all = left ^ right ^ missing;
            beside = point | side << level;
            point |= (1 - side) << level;
        }
        for (place, leaf) in (0..).zip(leaves.iter_mut()) {
            let here = equal(place, point);
            leaf.0 ^= missing.0 & equal(place, beside) ^ all.0 & here;
            leaf.0 = leaf.0 & !1 | here & 1;
        }
    }

    /// Replaces the nodes in the lower half by their children, and returns the sums of left and of right children.
    fn double(&mut self, nodes: &mut [Block]) -> [Block; 2] {
        let (lower, upper) = nodes.split_at_mut(nodes.len() / 2);
        let hashed = &mut self.hashed[..lower.len()];
        for (hashed, node) in hashed.iter_mut().zip(lower.iter()) {
            *hashed = spread(*node);
        }
        self.aes.encrypt_blocks(hashed);
        let [mut left_sum, mut right_sum] = [Block::ZERO; 2];
        for ((left, right), hashed) in lower.iter_mut().zip(upper).zip(hashed) {
            let node = *left;
            *left = *hashed ^ spread(node);
            *right = node ^ *left;
            left_sum ^= *left;
            right_sum ^= *right;
        }
        [left_sum, right_sum]
    }
}

/// Adds `missing` at the place `beside`, in constant time.
fn mend(nodes: &mut [Block], beside: u64, missing: Block) {
    for (place, node) in (0..).zip(nodes) {
        node.0 ^= missing.0 & equal(place, beside);
    }
}

/// All ones if two numbers below 2^63 are equal, else zero.
fn equal(a: u64, b: u64) -> u128 {
    u128::from((a ^ b).wrapping_sub(1) >> 63).wrapping_neg()
}

/// The map s: the halves `(high, low)` become `(high ^ low, high)`.
fn spread(x: Block) -> Block {
    let (high, low) = ((x.0 >> 64) as u64, x.0 as u64);
    Block(u128::from(high ^ low) << 64 | u128::from(high))
}

#[cfg(test)]
mod tests {
    use kernel::prg::Prg;

    use super::*;
    use crate::ferret::DEPTH;

    #[test]
    fn the_leaves_differ_by_the_offset_at_one_point_that_the_bits_name() {
        let mut prg = Prg::from_key(Block(5));
        let delta = prg.block().with_lsb();
        let mut trees = Trees::new(prg.block());
        for bits in [0u64, 0x3ff, 0x155, 0x2aa, 0x201, 0x07c] {
            let q: Vec<Block> = (0..DEPTH).map(|_| Block(prg.block().0 & !1)).collect();
            let t: Vec<Block> = (0..DEPTH).map(|i| q[i] ^ delta.and_bit(bits >> i & 1 == 1)).collect();
            let (mut v, mut w) = (vec![Block::ZERO; TREE], vec![Block(9); TREE]);
            let mut corrections = [Block::ZERO; DEPTH - 1];
            trees.grow(delta, &q, &mut v, &mut corrections);
            trees.puncture(&t, &corrections, &mut w);
            let point = !bits as usize & (TREE - 1);
            for i in 0..TREE {
                assert!(w[i] == v[i] ^ delta.and_bit(i == point), "bits {bits:#x}, leaf {i}");
                assert!(!v[i].lsb());
            }
            let mut all: Vec<u128> = v.iter().map(|leaf| leaf.0).collect();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), TREE);
        }
    }
}
