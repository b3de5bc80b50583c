//! Automorphisms `X -> X^g` in evaluation form: a permutation of positions.
//!
//! Position (b, c, r), block, vector and lane, holds the value at exponent `2 i + 1` with
//! `i = low + M (R + 8 C)`, where `M = n / 64`, `low` is b bit-reversed, and R and C are r and c with their three bits
//! reversed. Under g it takes the value of `i' = low g + (g - 1) / 2 + M g (R + 8 C)` modulo n. With
//! `carry = (low g + (g - 1) / 2) / M` that lies in the block of `(low g + (g - 1) / 2) mod M`, at
//!
//! ```text
//! R' = (g R + carry) mod 8,    C' = g C + (g R + carry) / 8  mod 8
//! ```
//!
//! So a block comes from one block: all its vectors have their lanes permuted alike, and then each lane is rotated
//! among the eight vectors by an amount of its own, which three layers of blends do. As blocks stay whole, a part of the
//! input can be brought to its place alone ([`Walk::Scatter`]).

/// Reverses three bits.
const REVERSED: [usize; 8] = [0, 4, 2, 6, 1, 5, 3, 7];

/// The number of a block with its bits reversed.
#[inline]
fn reverse(degree: usize, block: usize) -> usize {
    let blocks = degree / 64;
    if blocks == 1 { 0 } else { block.reverse_bits() >> (usize::BITS - blocks.trailing_zeros()) }
}

/// The source of a block, both by their reversed numbers, and the carry.
#[inline]
fn source(degree: usize, low: usize, g: usize) -> (usize, usize) {
    let (blocks, index) = (degree / 64, (low * g + (g - 1) / 2) & (degree - 1));
    (index & (blocks - 1), index / blocks)
}

/// Which blocks meet: those of a whole output and input, or those of a part of the input, wherever they go.
#[derive(Clone, Copy)]
pub enum Walk {
    /// Each block of the output in turn; the input is whole.
    Gather,
    /// Each block of an input that starts at this block; the output is whole. With the inverse of g modulo 2 n.
    Scatter(usize, usize),
}

impl Walk {
    /// The output block, the input block and the carry of one step.
    #[inline]
    fn step(self, degree: usize, index: usize, g: usize) -> (usize, usize, usize) {
        match self {
            Self::Gather => {
                let (low, carry) = source(degree, reverse(degree, index), g);
                (index, reverse(degree, low), carry)
            }
            Self::Scatter(first, inverse) => {
                let low = reverse(degree, first + index);
                let (target, _) = source(degree, low, inverse);
                let (block, carry) = source(degree, target, g);
                debug_assert_eq!(block, low);
                (reverse(degree, target), index, carry)
            }
        }
    }
}

pub fn portable(degree: usize, out: &mut [u64], words: &[u64], g: usize, walk: Walk) {
    let (outs, blocks) = (out.as_chunks_mut::<64>().0, words.as_chunks::<64>().0);
    for index in 0..outs.len().min(blocks.len()) {
        let (target, block, carry) = walk.step(degree, index, g);
        for c in 0..8 {
            for r in 0..8 {
                let low = g * REVERSED[r] + carry;
                let high = g * REVERSED[c] + low / 8;
                outs[target][8 * c + r] = blocks[block][8 * REVERSED[high & 7] + REVERSED[low & 7]];
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
pub fn vector(degree: usize, out: &mut [u64], words: &[u64], g: usize, walk: Walk) {
    use core::arch::x86_64::*;

    let reversed = _mm512_setr_epi64(0, 4, 2, 6, 1, 5, 3, 7);
    let seven = _mm512_set1_epi64(7);
    // g R for each lane; only its residue modulo 64 matters.
    let scaled = _mm512_setr_epi64(0, 4, 2, 6, 1, 5, 3, 7);
    let scaled =
        _mm512_and_si512(_mm512_mul_epu32(scaled, _mm512_set1_epi64(g as i64)), _mm512_set1_epi64(63));
    let (outs, blocks) = (out.as_chunks_mut::<64>().0, words.as_chunks::<64>().0);
    for index in 0..outs.len().min(blocks.len()) {
        let (target, block, carry) = walk.step(degree, index, g);
        let out = &mut outs[target];
        let position = _mm512_add_epi64(scaled, _mm512_set1_epi64(carry as i64));
        let lanes = _mm512_permutexvar_epi64(_mm512_and_si512(position, seven), reversed);
        let block = &blocks[block];
        let mut x = [position; 8];
        for (k, x) in x.iter_mut().enumerate() {
            // SAFETY: the vector lies within the block of 64 words, and the load does not require alignment.
            let vector = unsafe { _mm512_loadu_si512(block.as_ptr().add(8 * REVERSED[k]).cast()) };
            *x = _mm512_permutexvar_epi64(lanes, vector);
        }
        // Lane r takes vector C + (g R + carry) / 8: bit by bit of that amount.
        for bit in 0..3 {
            let moved = _mm512_test_epi64_mask(position, _mm512_set1_epi64(8 << bit));
            let y = x;
            for (k, x) in x.iter_mut().enumerate() {
                *x = _mm512_mask_blend_epi64(moved, y[k], y[(k + (1 << bit)) & 7]);
            }
        }
        for (c, start) in REVERSED.iter().map(|c| (g * c) & 7).zip((0..64).step_by(8)) {
            // SAFETY: the vector lies within the block of 64 words, and the store does not require alignment.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().add(start).cast(), x[c]) };
        }
    }
}
