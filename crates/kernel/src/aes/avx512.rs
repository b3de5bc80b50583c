//! AES-128 with VAES on 512-bit registers: four blocks a register, eight registers in flight.

use core::arch::x86_64::*;

use crate::aes::RoundKeys;
use crate::aes::ni;
use crate::block::Block;

/// Blocks in a register.
pub(crate) const LANES: usize = 4;
/// Registers in flight.
const WIDTH: usize = 8;

/// Four blocks as a register, the first in the low lane.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn load(blocks: &[Block; LANES]) -> __m512i {
    // SAFETY: the reference covers 64 readable bytes, and the load asks for no alignment.
    unsafe { _mm512_loadu_si512(blocks.as_ptr().cast()) }
}

/// Writes a register as four blocks.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn store(blocks: &mut [Block; LANES], register: __m512i) {
    // SAFETY: the reference covers 64 writable bytes, and the store asks for no alignment.
    unsafe { _mm512_storeu_si512(blocks.as_mut_ptr().cast(), register) }
}

/// Encrypts blocks in place.
#[target_feature(enable = "avx512f,avx512bw,vaes,aes,ssse3")]
pub(crate) fn encrypt(round_keys: &RoundKeys, blocks: &mut [Block]) {
    let mut keys = [_mm512_setzero_si512(); 11];
    for (key, round_key) in keys.iter_mut().zip(round_keys) {
        *key = _mm512_broadcast_i32x4(ni::register(*round_key));
    }
    let (wide, rest) = blocks.as_chunks_mut::<{ LANES * WIDTH }>();
    for chunk in wide {
        let (quads, _) = chunk.as_chunks_mut::<LANES>();
        encrypt_quads::<WIDTH>(&keys, quads);
    }
    let (quads, rest) = rest.as_chunks_mut::<LANES>();
    for quad in quads.chunks_mut(1) {
        encrypt_quads::<1>(&keys, quad);
    }
    ni::encrypt(round_keys, rest);
}

/// Encrypts `quads[..N]`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,vaes")]
fn encrypt_quads<const N: usize>(keys: &[__m512i; 11], quads: &mut [[Block; LANES]]) {
    let mut states = [_mm512_setzero_si512(); N];
    for (state, quad) in states.iter_mut().zip(quads.iter()) {
        *state = _mm512_xor_si512(load(quad), keys[0]);
    }
    for key in &keys[1..10] {
        for state in &mut states {
            *state = _mm512_aesenc_epi128(*state, *key);
        }
    }
    for (state, quad) in states.into_iter().zip(quads) {
        store(quad, _mm512_aesenclast_epi128(state, keys[10]));
    }
}
