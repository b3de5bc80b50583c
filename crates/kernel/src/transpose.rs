//! Transposition of bit matrices.
//!
//! A row is a run of blocks; column `c` of a row is bit `c % 128` of its block `c / 128`. Tiers: `Portable` swaps
//! halves recursively, `AesNi` collects sign bits of SSE2 registers, `Avx512` transposes 8 x 8 bits with GFNI and moves
//! bytes with VBMI.

#[cfg(target_arch = "x86_64")]
#[path = "transpose_avx512.rs"]
mod avx512;
#[cfg(target_arch = "x86_64")]
#[path = "transpose_sse.rs"]
mod sse;

use crate::block::Block;
use crate::tier::Tier;

/// Bits on a side of the square that the kernels work on.
pub const SIDE: usize = 128;

/// Squares taken side by side: a row's blocks of a cache line. Rows of a power of two of bytes fall on few places of
/// the cache, where a line would not stay until the next square asks for it.
const LINE: usize = 4;

/// Transposes a bit matrix of `rows` rows and `columns` columns, both multiples of 128: `input` is row-major with
/// `columns / 128` blocks a row, `output` has `columns` rows of `rows / 128` blocks. Every block of `output` is written.
///
/// # Panics
/// If a dimension is no multiple of 128 or a slice has another length: an error of the caller, never of a peer.
pub fn transpose(input: &[Block], rows: usize, columns: usize, output: &mut [Block]) {
    transpose_with(Tier::current(), input, rows, columns, output);
}

/// [`transpose`] on a given tier, or a plainer one if the processor lacks it.
pub fn transpose_with(tier: Tier, input: &[Block], rows: usize, columns: usize, output: &mut [Block]) {
    assert!(rows.is_multiple_of(SIDE) && columns.is_multiple_of(SIDE), "{rows} x {columns} bits");
    assert_eq!(input.len(), rows / SIDE * columns, "blocks of input");
    assert_eq!(output.len(), input.len(), "blocks of output");
    let tier = tier.or_widest();
    let (wide, tall) = (columns / SIDE, rows / SIDE);
    let mut squares = [[Block::ZERO; SIDE]; LINE];
    for down in 0..tall {
        for across in (0..wide).step_by(LINE) {
            let squares = &mut squares[..LINE.min(wide - across)];
            for i in 0..SIDE {
                let row = &input[(down * SIDE + i) * wide + across..][..squares.len()];
                squares.iter_mut().zip(row).for_each(|(square, block)| square[i] = *block);
            }
            for (j, square) in squares.iter_mut().enumerate() {
                square_with(tier, square);
                let output = &mut output[(across + j) * SIDE * tall..][..SIDE * tall];
                for (row, block) in output.chunks_exact_mut(tall).zip(square.iter()) {
                    row[down] = *block;
                }
            }
        }
    }
}

/// Transposes 128 x 128 bits in place.
fn square_with(tier: Tier, square: &mut [Block; SIDE]) {
    match tier {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `or_widest` gave this tier, so the processor has at least SSE2.
        Tier::AesNi => unsafe { sse::square(square) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `or_widest` gave this tier, so the processor has AVX-512 F, BW, VBMI and GFNI.
        Tier::Avx512 => unsafe { avx512::square(square) },
        _ => portable_square(square),
    }
}

/// Swaps the off-diagonal halves of every square, of side 64, then 32, down to 1.
fn portable_square(square: &mut [Block; SIDE]) {
    let mut half = SIDE / 2;
    // The low `half` bits of every `2 half` bits.
    let mut mask = u128::MAX >> half;
    while half > 0 {
        for pair in (0..SIDE).filter(|row| row & half == 0) {
            let (upper, lower) = (square[pair].0, square[pair + half].0);
            let swap = ((upper >> half) ^ lower) & mask;
            square[pair].0 = upper ^ (swap << half);
            square[pair + half].0 = lower ^ swap;
        }
        half /= 2;
        mask ^= mask << half;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prg::Prg;

    fn bit(matrix: &[Block], columns: usize, row: usize, column: usize) -> bool {
        matrix[row * (columns / SIDE) + column / SIDE].0 >> (column % SIDE) & 1 == 1
    }

    fn check(tier: Tier, rows: usize, columns: usize) {
        let mut input = vec![Block::ZERO; rows / SIDE * columns];
        Prg::from_key(Block(rows as u128)).fill_blocks(&mut input);
        let mut output = vec![Block::ZERO; input.len()];
        transpose_with(tier, &input, rows, columns, &mut output);
        for row in 0..rows {
            for column in 0..columns {
                let same = bit(&input, columns, row, column) == bit(&output, rows, column, row);
                assert!(same, "{} at ({row}, {column}) of {rows} x {columns}", tier.name());
            }
        }
    }

    #[test]
    fn every_tier_moves_every_bit() {
        for tier in Tier::available() {
            for (rows, columns) in
                [(128, 128), (128, 384), (256, 128), (384, 256), (256, 640), (0, 128), (128, 0)]
            {
                check(tier, rows, columns);
            }
        }
    }

    #[test]
    #[should_panic(expected = "blocks of output")]
    fn a_short_output_is_refused() {
        transpose(&[Block::ZERO; 128], 128, 128, &mut [Block::ZERO; 127]);
    }
}
