//! Small-field sums with AVX-512: up to sixteen streams at a time, four blocks of each, in registers.

use core::arch::x86_64::*;

use crate::aes::avx512::{LANES, load, store};
use crate::block::Block;

/// Bits of a stream's number that are folded at once.
const DEPTH: usize = 4;

/// As the portable twin: leaves the sum of all streams in the first, and the weighted sums in the rows.
///
/// The low four bits of a stream's number first: the sums of sixteen neighbours replace the streams, and are folded by
/// the bits above.
#[target_feature(enable = "avx512f")]
pub(super) fn fold(streams: &mut [Block], length: usize, weighted: &mut [Block]) {
    let depth = weighted.len() / length;
    weighted.fill(Block::ZERO);
    let mut done = 0;
    while done < depth {
        let now = DEPTH.min(depth - done);
        let rows = &mut weighted[done * length..(done + now) * length];
        for first in 0..1 << (depth - done - now) {
            match now {
                1 => neighbours::<1, 2>(streams, first, length, rows),
                2 => neighbours::<2, 4>(streams, first, length, rows),
                3 => neighbours::<3, 8>(streams, first, length, rows),
                _ => neighbours::<4, 16>(streams, first, length, rows),
            }
        }
        done += now;
    }
}

/// Puts the sum of the `N = 2^D` streams from `N first` on in the place of stream `first`, and adds their weighted sums to
/// the `D` rows.
#[target_feature(enable = "avx512f")]
fn neighbours<const D: usize, const N: usize>(
    streams: &mut [Block],
    first: usize,
    length: usize,
    rows: &mut [Block],
) {
    let whole = length / LANES * LANES;
    for at in (0..whole).step_by(LANES) {
        let mut sums = [_mm512_setzero_si512(); N];
        for (x, sum) in sums.iter_mut().enumerate() {
            *sum = load(four(streams, (N * first + x) * length + at));
        }
        for bit in (0..D).rev() {
            let place = bit * length + at;
            let mut row = load(four(rows, place));
            for x in 0..1 << bit {
                let with = sums[x + (1 << bit)];
                sums[x] = _mm512_xor_si512(sums[x], with);
                row = _mm512_xor_si512(row, with);
            }
            store(four_mut(rows, place), row);
        }
        store(four_mut(streams, first * length + at), sums[0]);
    }
    for at in whole..length {
        let mut sums = [Block::ZERO; N];
        for (x, sum) in sums.iter_mut().enumerate() {
            *sum = streams[(N * first + x) * length + at];
        }
        for bit in (0..D).rev() {
            for x in 0..1 << bit {
                let with = sums[x + (1 << bit)];
                sums[x] ^= with;
                rows[bit * length + at] ^= with;
            }
        }
        streams[first * length + at] = sums[0];
    }
}

#[inline(always)]
fn four(blocks: &[Block], at: usize) -> &[Block; LANES] {
    &blocks[at..].as_chunks().0[0]
}

#[inline(always)]
fn four_mut(blocks: &mut [Block], at: usize) -> &mut [Block; LANES] {
    &mut blocks[at..].as_chunks_mut().0[0]
}
