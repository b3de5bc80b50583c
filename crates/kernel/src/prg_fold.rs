//! Small-field sums of pseudorandom streams: the inner loop of SoftSpoken OT.
//!
//! Tiers: `Avx512` adds up as many as sixteen streams in registers; the others work stream by stream.

#[cfg(target_arch = "x86_64")]
#[path = "prg_fold_avx512.rs"]
mod avx512;

use crate::block::Block;
use crate::tier::Tier;

/// Given `2^k` streams `r[0], r[1], ..`, each as long as `sum`, one after another in `streams`, adds up
///
/// - `sum`: the XOR of all `r[x]` (overwritten),
/// - row `i` of `weighted`, for `i < k`: the XOR of all `r[x]` whose `x` has bit `i` set (overwritten; `k` rows, each as
///   long as `sum`),
///
/// in `2^(k+1)` stream additions. `streams` is used as scratch. This is the conversion of Roy 2022 (eprint 2022/192): with GF(2^k) as a vector space over bits, `weighted` is the sum of `x r[x]`.
///
/// # Panics
/// If the lengths do not fit together: an error of the caller, never of a peer.
pub fn fold(streams: &mut [Block], sum: &mut [Block], weighted: &mut [Block]) {
    fold_with(Tier::current(), streams, sum, weighted);
}

/// [`fold`] on a given tier, or a plainer one if the processor lacks it.
pub fn fold_with(tier: Tier, streams: &mut [Block], sum: &mut [Block], weighted: &mut [Block]) {
    let length = sum.len();
    if length == 0 {
        return;
    }
    assert!(weighted.len().is_multiple_of(length), "whole rows");
    let depth = weighted.len() / length;
    assert!(depth < 32 && streams.len() == length << depth, "2^k streams");
    match tier.or_widest() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `or_widest` gave this tier, so the processor has AVX-512 F.
        Tier::Avx512 => unsafe { avx512::fold(streams, length, weighted) },
        _ => portable(streams, length, weighted),
    }
    sum.copy_from_slice(&streams[..length]);
}

/// Leaves the sum of all streams in the first, and the weighted sums in the rows.
fn portable(streams: &mut [Block], length: usize, weighted: &mut [Block]) {
    // From the top bit down: the streams whose top bit is set are summed into the row and onto their twins
    // without it, which leaves half as many streams.
    for (bit, row) in weighted.chunks_exact_mut(length).enumerate().rev() {
        let (without, with) = streams.split_at_mut(length << bit);
        row.fill(Block::ZERO);
        for (onto, from) in without.chunks_exact_mut(length).zip(with.chunks_exact(length)) {
            add(onto, from);
            add(row, from);
        }
    }
}

/// `onto ^= from`. In words of 64 bits, which compilers make into vectors more readily than 128.
fn add(onto: &mut [Block], from: &[Block]) {
    let (onto, from): (&mut [[u64; 2]], &[[u64; 2]]) =
        (bytemuck::cast_slice_mut(onto), bytemuck::cast_slice(from));
    for (onto, from) in onto.as_flattened_mut().iter_mut().zip(from.as_flattened()) {
        *onto ^= from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prg::Prg;

    fn check(tier: Tier, depth: usize, length: usize) {
        let mut streams = vec![Block::ZERO; length << depth];
        Prg::from_key(Block(depth as u128)).fill_blocks(&mut streams);
        let mut expected_sum = vec![Block::ZERO; length];
        let mut expected = vec![Block::ZERO; length * depth];
        for (x, stream) in streams.chunks(length).enumerate() {
            for (i, block) in stream.iter().enumerate() {
                expected_sum[i] ^= *block;
                for bit in 0..depth {
                    expected[bit * length + i] ^= block.and_bit(x >> bit & 1 == 1);
                }
            }
        }
        let (mut sum, mut weighted) = (vec![Block(1); length], vec![Block(2); length * depth]);
        fold_with(tier, &mut streams, &mut sum, &mut weighted);
        assert!(sum == expected_sum && weighted == expected, "{} depth {depth} length {length}", tier.name());
    }

    #[test]
    fn every_tier_gives_the_sums_by_definition() {
        for tier in Tier::available() {
            for (depth, length) in
                [(0, 3), (1, 1), (2, 5), (3, 8), (4, 64), (4, 7), (5, 6), (6, 9), (7, 13), (8, 3), (8, 64)]
            {
                check(tier, depth, length);
            }
        }
    }
}
