//! 128 x 128 bits with SSE2: gather 16 rows' bytes of one column of bytes, then take sign bits eight times.

use core::arch::x86_64::*;

use super::SIDE;
use crate::block::Block;

/// Transposes 128 x 128 bits in place.
#[target_feature(enable = "sse2")]
pub(super) fn square(square: &mut [Block; SIDE]) {
    let mut blocks = [Block::ZERO; SIDE];
    let out: &mut [[u16; 8]] = bytemuck::cast_slice_mut(&mut blocks);
    for (group, rows) in square.as_chunks::<16>().0.iter().enumerate() {
        let columns = transpose_bytes(rows);
        for (byte, column) in columns.into_iter().enumerate() {
            // Sign bits are bit 7 of each byte; doubling brings the next lower bit there.
            let mut bits = column;
            for bit in (0..8).rev() {
                out[8 * byte + bit][group] = _mm_movemask_epi8(bits) as u16;
                bits = _mm_add_epi8(bits, bits);
            }
        }
    }
    *square = blocks;
}

/// 16 x 16 bytes: four rounds, each interleaving the rows `i` and `i + 8`, which rotates the eight bits of an
/// element's place by one.
#[target_feature(enable = "sse2")]
fn transpose_bytes(rows: &[Block; 16]) -> [__m128i; 16] {
    let mut bytes: [__m128i; 16] = rows.map(|row| _mm_set_epi64x((row.0 >> 64) as i64, row.0 as i64));
    for _ in 0..4 {
        let mut next = bytes;
        for i in 0..8 {
            next[2 * i] = _mm_unpacklo_epi8(bytes[i], bytes[i + 8]);
            next[2 * i + 1] = _mm_unpackhi_epi8(bytes[i], bytes[i + 8]);
        }
        bytes = next;
    }
    bytes
}
