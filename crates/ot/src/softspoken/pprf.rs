//! Puncturable pseudorandom functions by binary trees (Goldreich, Goldwasser and Micali), and how a party gets one
//! punctured at a point that it chose by base OT (Roy 2022, without the checks against malicious parties).
//!
//! The grower knows all `2^depth` leaves, the puncturer all but leaf `alpha`. At each level the puncturer's base OT with
//! choice bit equal to that bit of `alpha` opens the sum of the children on the other side, and that gives it the
//! sibling of the node that it does not know. The first level needs no sums: the pads are the two nodes.
//!
//! The puncturer keeps node `x` at place `x ^ alpha` (the bits so far), so what it does not know is always at place 0,
//! and no address depends on its secret.

use kernel::aes::Aes128;
use kernel::block::Block;
use subtle::{Choice, ConditionallySelectable};
use zeroize::Zeroizing;

/// For a level below the first, the sum of its right children under pad 0 and that of its left children under pad 1.
pub(super) type Correction = [Block; 2];

/// The children of a node: AES under the node of two constants, a length-doubling generator.
fn children(node: Block) -> [Block; 2] {
    let mut pair = [Block(0), Block(1)];
    Aes128::new(node).encrypt_blocks(&mut pair);
    pair
}

/// Grows the tree from `pads`, one pair for each level, the top bit of a leaf's number first. Returns the
/// `2^pads.len()` leaves and what the puncturer needs, one correction for each level but the first.
pub(super) fn grow(pads: &[[Block; 2]]) -> (Zeroizing<Vec<Block>>, Vec<Correction>) {
    let Some(([zero, one], deeper)) = pads.split_first() else { return (Zeroizing::new(vec![]), vec![]) };
    // Choice bit 0 opens pad 0, and must give the node that is *not* on the path: the right one.
    let mut nodes = Zeroizing::new(vec![*one, *zero]);
    let mut corrections = Vec::with_capacity(deeper.len());
    for [zero, one] in deeper {
        let mut next = Zeroizing::new(Vec::with_capacity(2 * nodes.len()));
        let [mut left, mut right] = [Block::ZERO; 2];
        for node in nodes.iter() {
            let pair = children(*node);
            left ^= pair[0];
            right ^= pair[1];
            next.extend(pair);
        }
        corrections.push([right ^ *zero, left ^ *one]);
        nodes = next;
    }
    (nodes, corrections)
}

/// Recovers the tree punctured at `alpha`, whose bits (0 or 1 each) are the choice bits of `pads`, the top bit first. Place `y` of the
/// result is leaf `y ^ alpha`, and place 0 is zero. There must be one correction fewer than pads.
pub(super) fn puncture(alpha: &[u8], pads: &[Block], corrections: &[Correction]) -> Zeroizing<Vec<Block>> {
    debug_assert!(alpha.len() == pads.len() && corrections.len() + 1 == pads.len());
    let Some((sibling, deeper)) = pads.split_first() else { return Zeroizing::new(vec![]) };
    let mut nodes = Zeroizing::new(vec![Block::ZERO, *sibling]);
    for ((bit, pad), correction) in alpha[1..].iter().zip(deeper).zip(corrections) {
        let bit = Choice::from(*bit);
        let mut next = Zeroizing::new(vec![Block::ZERO; 2 * nodes.len()]);
        // The sum of the children on the side away from alpha, less those that are known, is the sibling.
        let mut sibling = Block::conditional_select(&correction[0], &correction[1], bit) ^ *pad;
        for (node, places) in nodes.iter().zip(next.as_chunks_mut::<2>().0).skip(1) {
            let [mut left, mut right] = children(*node);
            Block::conditional_swap(&mut left, &mut right, bit);
            *places = [left, right];
            sibling ^= right;
        }
        next[1] = sibling;
        nodes = next;
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::prg::Prg;

    #[test]
    fn all_leaves_but_one_agree_at_every_point_and_depth() {
        let mut prg = Prg::from_key(Block(77));
        for depth in 1..=8 {
            for alpha in 0..1usize << depth {
                let pads: Vec<[Block; 2]> = (0..depth).map(|_| [prg.block(), prg.block()]).collect();
                let (leaves, corrections) = grow(&pads);
                let bits: Vec<bool> = (0..depth).rev().map(|i| alpha >> i & 1 == 1).collect();
                let chosen: Vec<Block> =
                    pads.iter().zip(&bits).map(|(pair, bit)| pair[usize::from(*bit)]).collect();
                let choices: Vec<u8> = bits.iter().map(|bit| u8::from(*bit)).collect();
                let punctured = puncture(&choices, &chosen, &corrections);
                assert_eq!(punctured.len(), leaves.len());
                assert!(punctured[0] == Block::ZERO);
                for y in 1..leaves.len() {
                    assert!(punctured[y] == leaves[y ^ alpha], "depth {depth}, alpha {alpha}, place {y}");
                }
            }
        }
    }
}
