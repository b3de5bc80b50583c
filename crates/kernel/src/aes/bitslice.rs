//! Bit-sliced AES-128: eight blocks at once, each under a key of its own if need be, on plain integers.
//!
//! Plane i holds bit i of every byte: its byte p, bit l, belongs to byte p of block l. In this layout SubBytes is a
//! Boolean circuit over planes, ShiftRows and MixColumns move whole bytes of a plane, and the key schedule of eight
//! keys runs in the same registers. There are no tables, so nothing secret ever becomes an address.

use crate::aes::RoundKeys;
use crate::block::Block;

/// Blocks that one pass carries.
pub(crate) const LANES: usize = 8;

/// Eight blocks as bit planes.
pub(crate) type Planes = [u128; LANES];

/// The planes of eleven round keys for each of eight lanes.
pub(crate) type Schedule = [Planes; 11];

/// Round constants of the key schedule (FIPS 197, section 5.2).
const RCON: [u8; 10] = [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x1b, 0x36];

/// One bit per byte of a block, repeated over the eight lanes: 0xff in the bytes that `rows` selects.
const fn row_mask(row: u32) -> u128 {
    0x0000_00ff_0000_00ff_0000_00ff_0000_00ff << (8 * row)
}

/// Transposes the 8x8 bit matrices at each byte position: blocks to planes and back (an involution).
pub(crate) fn transpose(rows: &mut Planes) {
    const STEPS: [(usize, u128); 3] = [
        (1, 0x5555_5555_5555_5555_5555_5555_5555_5555),
        (2, 0x3333_3333_3333_3333_3333_3333_3333_3333),
        (4, 0x0f0f_0f0f_0f0f_0f0f_0f0f_0f0f_0f0f_0f0f),
    ];
    for (distance, mask) in STEPS {
        for low in 0..LANES {
            if low & distance == 0 {
                let high = low + distance;
                let swap = ((rows[low] >> distance) ^ rows[high]) & mask;
                rows[high] ^= swap;
                rows[low] ^= swap << distance;
            }
        }
    }
}

/// SubBytes on every byte of every lane: the 113-gate circuit of Boyar and Peralta, "A small depth-16 circuit for the AES
/// S-box" (2012), whose names y, t, z, s are kept. There bit 0 is the most significant; here plane 7 is.
#[rustfmt::skip]
fn sub_bytes(planes: &mut Planes) {
    let [x7, x6, x5, x4, x3, x2, x1, x0] = *planes;
    // Into the tower field: linear.
    let y14 = x3 ^ x5; let y13 = x0 ^ x6; let y9 = x0 ^ x3; let y8 = x0 ^ x5;
    let t0 = x1 ^ x2; let y1 = t0 ^ x7; let y4 = y1 ^ x3; let y12 = y13 ^ y14;
    let y2 = y1 ^ x0; let y5 = y1 ^ x6; let y3 = y5 ^ y8; let t1 = x4 ^ y12;
    let y15 = t1 ^ x5; let y20 = t1 ^ x1; let y6 = y15 ^ x7; let y10 = y15 ^ t0;
    let y11 = y20 ^ y9; let y7 = x7 ^ y11; let y17 = y10 ^ y11; let y19 = y10 ^ y8;
    let y16 = t0 ^ y11; let y21 = y13 ^ y16; let y18 = x0 ^ y16;
    // Inversion in GF(2^8) over GF(2^4): the only products.
    let t2 = y12 & y15; let t3 = y3 & y6; let t4 = t3 ^ t2; let t5 = y4 & x7;
    let t6 = t5 ^ t2; let t7 = y13 & y16; let t8 = y5 & y1; let t9 = t8 ^ t7;
    let t10 = y2 & y7; let t11 = t10 ^ t7; let t12 = y9 & y11; let t13 = y14 & y17;
    let t14 = t13 ^ t12; let t15 = y8 & y10; let t16 = t15 ^ t12; let t17 = t4 ^ t14;
    let t18 = t6 ^ t16; let t19 = t9 ^ t14; let t20 = t11 ^ t16; let t21 = t17 ^ y20;
    let t22 = t18 ^ y19; let t23 = t19 ^ y21; let t24 = t20 ^ y18; let t25 = t21 ^ t22;
    let t26 = t21 & t23; let t27 = t24 ^ t26; let t28 = t25 & t27; let t29 = t28 ^ t22;
    let t30 = t23 ^ t24; let t31 = t22 ^ t26; let t32 = t31 & t30; let t33 = t32 ^ t24;
    let t34 = t23 ^ t33; let t35 = t27 ^ t33; let t36 = t24 & t35; let t37 = t36 ^ t34;
    let t38 = t27 ^ t36; let t39 = t29 & t38; let t40 = t25 ^ t39; let t41 = t40 ^ t37;
    let t42 = t29 ^ t33; let t43 = t29 ^ t40; let t44 = t33 ^ t37; let t45 = t42 ^ t41;
    let z0 = t44 & y15; let z1 = t37 & y6; let z2 = t33 & x7; let z3 = t43 & y16;
    let z4 = t40 & y1; let z5 = t29 & y7; let z6 = t42 & y11; let z7 = t45 & y17;
    let z8 = t41 & y10; let z9 = t44 & y12; let z10 = t37 & y3; let z11 = t33 & y4;
    let z12 = t43 & y13; let z13 = t40 & y5; let z14 = t29 & y2; let z15 = t42 & y9;
    let z16 = t45 & y14; let z17 = t41 & y8;
    // Out of the tower field, with the affine map of the S-box: linear.
    let t46 = z15 ^ z16; let t47 = z10 ^ z11; let t48 = z5 ^ z13; let t49 = z9 ^ z10;
    let t50 = z2 ^ z12; let t51 = z2 ^ z5; let t52 = z7 ^ z8; let t53 = z0 ^ z3;
    let t54 = z6 ^ z7; let t55 = z16 ^ z17; let t56 = z12 ^ t48; let t57 = t50 ^ t53;
    let t58 = z4 ^ t46; let t59 = z3 ^ t54; let t60 = t46 ^ t57; let t61 = z14 ^ t57;
    let t62 = t52 ^ t58; let t63 = t49 ^ t58; let t64 = z4 ^ t59; let t65 = t61 ^ t62;
    let t66 = z1 ^ t63; let s0 = t59 ^ t63; let s6 = t56 ^ !t62; let s7 = t48 ^ !t60;
    let t67 = t64 ^ t65; let s3 = t53 ^ t66; let s4 = t51 ^ t66; let s5 = t47 ^ t65;
    let s1 = t64 ^ !s3; let s2 = t55 ^ !t67;
    *planes = [s7, s6, s5, s4, s3, s2, s1, s0];
}

/// ShiftRows: row r (bytes 4c + r) moves r columns to the left.
fn shift_rows(planes: &mut Planes) {
    for plane in planes {
        *plane = (0..4).fold(0, |sum, row| sum | (*plane & row_mask(row)).rotate_right(32 * row));
    }
}

/// The plane whose byte r of each column is byte r + 1 of the same column.
const fn next_row(plane: u128) -> u128 {
    ((plane >> 8) & !row_mask(3)) | ((plane << 24) & row_mask(3))
}

/// MixColumns: each byte becomes 2 a_r + 3 a_{r+1} + a_{r+2} + a_{r+3} in GF(2^8).
fn mix_columns(planes: &mut Planes) {
    let next = planes.map(next_row);
    let mut pair = [0; LANES];
    for i in 0..LANES {
        pair[i] = planes[i] ^ next[i];
    }
    for i in 0..LANES {
        // Doubling moves bit i to i + 1 and folds bit 7 into bits 0, 1, 3 and 4 (x^8 = x^4 + x^3 + x + 1).
        let mut doubled = if i == 0 { pair[7] } else { pair[i - 1] };
        if matches!(i, 1 | 3 | 4) {
            doubled ^= pair[7];
        }
        planes[i] = doubled ^ next[i] ^ next_row(next_row(pair[i]));
    }
}

fn add_round_key(planes: &mut Planes, key: &Planes) {
    for (plane, key) in planes.iter_mut().zip(key) {
        *plane ^= key;
    }
}

/// The next round key of each lane (FIPS 197, algorithm 2, for a 128-bit key).
fn next_round_key(previous: &Planes, rcon: u8) -> Planes {
    let mut last = *previous;
    sub_bytes(&mut last);
    let mut key = *previous;
    for (i, plane) in key.iter_mut().enumerate() {
        // SubWord(RotWord(w3)), moved from the last column to the first.
        let mut word = next_row(last[i]) >> 96;
        if (rcon >> i) & 1 == 1 {
            word ^= 0xff;
        }
        *plane ^= word;
        *plane ^= *plane << 32;
        *plane ^= *plane << 64;
    }
    key
}

/// The round keys of eight keys, given as planes.
pub(crate) fn schedule(keys: Planes) -> Schedule {
    let mut all = [keys; 11];
    for round in 1..11 {
        all[round] = next_round_key(&all[round - 1], RCON[round - 1]);
    }
    all
}

/// Encrypts eight blocks, given as planes, lane l under the key of lane l.
pub(crate) fn encrypt_planes(schedule: &Schedule, planes: &mut Planes) {
    add_round_key(planes, &schedule[0]);
    for (round, key) in schedule.iter().enumerate().skip(1) {
        sub_bytes(planes);
        shift_rows(planes);
        if round < 10 {
            mix_columns(planes);
        }
        add_round_key(planes, key);
    }
}

/// The planes of one block repeated in all lanes.
fn broadcast(block: Block) -> Planes {
    let mut planes = [block.0; LANES];
    transpose(&mut planes);
    planes
}

/// The round keys of one key.
pub(crate) fn expand(key: Block) -> RoundKeys {
    schedule(broadcast(key)).map(|mut planes| {
        transpose(&mut planes);
        Block(planes[0])
    })
}

/// Encrypts blocks in place under one key.
pub(crate) fn encrypt(round_keys: &RoundKeys, blocks: &mut [Block]) {
    let schedule = round_keys.map(broadcast);
    for chunk in blocks.chunks_mut(LANES) {
        let mut planes = [0; LANES];
        for (plane, block) in planes.iter_mut().zip(chunk.iter()) {
            *plane = block.0;
        }
        transpose(&mut planes);
        encrypt_planes(&schedule, &mut planes);
        transpose(&mut planes);
        for (block, plane) in chunk.iter_mut().zip(planes) {
            *block = Block(plane);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn multiply(a: u8, b: u8) -> u8 {
        (0..8).rev().fold(0, |sum: u8, i| {
            let doubled = (sum << 1) ^ if sum & 0x80 != 0 { 0x1b } else { 0 };
            doubled ^ if (b >> i) & 1 == 1 { a } else { 0 }
        })
    }

    /// The S-box by its definition: the affine map of the inverse in GF(2^8).
    fn s_box(x: u8) -> u8 {
        let inverse = (0..=255).find(|y| multiply(x, *y) == 1).unwrap_or(0);
        (0..5).fold(0x63, |sum, i| sum ^ inverse.rotate_left(i))
    }

    #[test]
    fn the_circuit_is_the_s_box() {
        for x in 0..=255u8 {
            let mut planes = broadcast(Block::from_bytes([x; 16]));
            sub_bytes(&mut planes);
            transpose(&mut planes);
            assert_eq!(planes, [u128::from_le_bytes([s_box(x); 16]); LANES], "{x}");
        }
    }

    #[test]
    fn transposition_is_an_involution_with_the_stated_layout() {
        let rows: Planes = core::array::from_fn(|l| 0x0123_4567_89ab_cdef_u128.wrapping_mul(3 + l as u128));
        let mut planes = rows;
        transpose(&mut planes);
        for (l, row) in rows.iter().enumerate() {
            for bit in 0..128 {
                let (byte, i) = (bit / 8, bit % 8);
                assert_eq!((planes[i] >> (8 * byte + l)) & 1, (row >> bit) & 1);
            }
        }
        transpose(&mut planes);
        assert_eq!(planes, rows);
    }
}
