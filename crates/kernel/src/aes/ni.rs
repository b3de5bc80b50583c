//! AES-128 with the AES-NI instructions, eight blocks in flight.

use core::arch::x86_64::*;

use crate::aes::RoundKeys;
use crate::block::Block;

/// Blocks in flight: enough to hide the latency of a round.
const WIDTH: usize = 8;

/// A block as a register.
#[inline]
#[target_feature(enable = "sse2")]
pub(crate) fn register(block: Block) -> __m128i {
    bytemuck::cast(block.0)
}

/// A register as a block.
#[inline]
#[target_feature(enable = "sse2")]
pub(crate) fn block(register: __m128i) -> Block {
    Block(bytemuck::cast(register))
}

/// The next round key (FIPS 197, algorithm 2). `aesenclast` on four equal columns is SubBytes without the effect of
/// ShiftRows, and with its key operand the round constant comes for free.
#[inline]
#[target_feature(enable = "aes,ssse3")]
pub(crate) fn next_round_key(key: __m128i, rcon: i32) -> __m128i {
    // Each column becomes RotWord of the last column.
    let rotate = _mm_set1_epi32(0x0c0f_0e0d);
    let word = _mm_aesenclast_si128(_mm_shuffle_epi8(key, rotate), _mm_set1_epi32(rcon));
    let key = _mm_xor_si128(key, _mm_slli_si128::<4>(key));
    let key = _mm_xor_si128(key, _mm_slli_si128::<8>(key));
    _mm_xor_si128(key, word)
}

/// Round constants of the key schedule (FIPS 197, section 5.2).
pub(crate) const RCON: [i32; 10] = [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x1b, 0x36];

/// The round keys of one key.
#[target_feature(enable = "aes,ssse3")]
pub(crate) fn expand(key: Block) -> RoundKeys {
    let mut keys = [key; 11];
    let mut last = register(key);
    for (round, rcon) in RCON.into_iter().enumerate() {
        last = next_round_key(last, rcon);
        keys[round + 1] = block(last);
    }
    keys
}

/// Encrypts blocks in place.
#[target_feature(enable = "aes,ssse3")]
pub(crate) fn encrypt(round_keys: &RoundKeys, blocks: &mut [Block]) {
    let mut keys = [_mm_setzero_si128(); 11];
    for (key, round_key) in keys.iter_mut().zip(round_keys) {
        *key = register(*round_key);
    }
    let (chunks, rest) = blocks.as_chunks_mut::<WIDTH>();
    for chunk in chunks {
        encrypt_array(&keys, chunk);
    }
    for one in rest {
        encrypt_array(&keys, core::array::from_mut(one));
    }
}

#[inline]
#[target_feature(enable = "aes,ssse3")]
fn encrypt_array<const N: usize>(keys: &[__m128i; 11], blocks: &mut [Block; N]) {
    let mut states = [_mm_setzero_si128(); N];
    for (state, block) in states.iter_mut().zip(blocks.iter()) {
        *state = _mm_xor_si128(register(*block), keys[0]);
    }
    for key in &keys[1..10] {
        for state in &mut states {
            *state = _mm_aesenc_si128(*state, *key);
        }
    }
    for (state, out) in states.into_iter().zip(blocks) {
        *out = block(_mm_aesenclast_si128(state, keys[10]));
    }
}
