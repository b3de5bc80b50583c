//! 128 x 128 bits with AVX-512 VBMI and GFNI.
//!
//! The square is 16 x 16 small squares of 8 x 8 bits. Bytes are permuted so that each small square is one 64-bit lane,
//! an affine map of the identity transposes all bits within lanes, the 16 x 16 lanes are transposed as four squares of
//! 8 x 8, and a second byte permutation spreads each lane over eight output rows.

use core::arch::x86_64::*;

use super::SIDE;
use crate::block::Block;

/// Byte `b` is `1 << b`: the identity matrix, one column a byte.
const IDENTITY: i64 = 0x8040_2010_0804_0201_u64 as i64;

/// Lane `j` takes byte `first + j` of eight rows of 16 bytes, the last row first: the order in which the affine
/// instruction counts rows.
const fn gather(first: usize) -> [u8; 64] {
    let mut index = [0; 64];
    let mut at = 0;
    while at < 64 {
        index[at] = (16 * (7 - at % 8) + first + at / 8) as u8;
        at += 1;
    }
    index
}

/// Byte `g` of output row `first + r` is byte `first + r` of lane `g` of sixteen.
const fn scatter(first: usize) -> [u8; 64] {
    let mut index = [0; 64];
    let mut at = 0;
    while at < 64 {
        index[at] = (8 * (at % 16) + first + at / 16) as u8;
        at += 1;
    }
    index
}

/// Transposes 128 x 128 bits in place.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,gfni")]
pub(super) fn square(square: &mut [Block; SIDE]) {
    let identity = _mm512_set1_epi64(IDENTITY);
    let (low, high) = (constant(&gather(0)), constant(&gather(8)));
    // lanes[half][group]: the eight small squares of byte columns 8 half.. of rows 8 group..
    let mut lanes = [[_mm512_setzero_si512(); 16]; 2];
    for (group, rows) in square.as_chunks::<8>().0.iter().enumerate() {
        let (upper, lower) = (load(rows, 0), load(rows, 4));
        for (half, index) in [low, high].into_iter().enumerate() {
            let gathered = _mm512_permutex2var_epi8(upper, index, lower);
            lanes[half][group] = _mm512_gf2p8affine_epi64_epi8::<0>(identity, gathered);
        }
    }
    let (low, high) = (constant(&scatter(0)), constant(&scatter(4)));
    let (outputs, _) = square.as_chunks_mut::<8>();
    for (half, lanes) in lanes.iter().enumerate() {
        let (upper, lower) = lanes.split_at(8);
        let (upper, lower) = (transpose_lanes(upper), transpose_lanes(lower));
        for j in 0..8 {
            let rows = &mut outputs[8 * half + j];
            store(rows, 0, _mm512_permutex2var_epi8(upper[j], low, lower[j]));
            store(rows, 4, _mm512_permutex2var_epi8(upper[j], high, lower[j]));
        }
    }
}

/// 8 x 8 lanes of 64 bits: three rounds, each interleaving the rows `i` and `i + 4`, which rotates the six bits of a
/// lane's place by one.
#[target_feature(enable = "avx512f")]
fn transpose_lanes(rows: &[__m512i]) -> [__m512i; 8] {
    let low = _mm512_set_epi64(11, 3, 10, 2, 9, 1, 8, 0);
    let high = _mm512_set_epi64(15, 7, 14, 6, 13, 5, 12, 4);
    let mut lanes = [_mm512_setzero_si512(); 8];
    lanes.copy_from_slice(rows);
    for _ in 0..3 {
        let mut next = lanes;
        for i in 0..4 {
            next[2 * i] = _mm512_permutex2var_epi64(lanes[i], low, lanes[i + 4]);
            next[2 * i + 1] = _mm512_permutex2var_epi64(lanes[i], high, lanes[i + 4]);
        }
        lanes = next;
    }
    lanes
}

#[target_feature(enable = "avx512f")]
fn constant(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: the reference covers the 64 bytes read; the load needs no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// Four rows from row `first`.
#[target_feature(enable = "avx512f")]
fn load(rows: &[Block; 8], first: usize) -> __m512i {
    let four = &rows[first..first + 4];
    // SAFETY: the slice covers the 64 bytes read; the load needs no alignment.
    unsafe { _mm512_loadu_si512(four.as_ptr().cast()) }
}

/// Four rows to row `first`.
#[target_feature(enable = "avx512f")]
fn store(rows: &mut [Block; 8], first: usize, value: __m512i) {
    let four = &mut rows[first..first + 4];
    // SAFETY: the slice covers the 64 bytes written; the store needs no alignment.
    unsafe { _mm512_storeu_si512(four.as_mut_ptr().cast(), value) }
}
