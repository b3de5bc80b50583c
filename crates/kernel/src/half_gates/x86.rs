//! Registers of x86-64: two of 128 bits with AES-NI, two of 512 bits with VAES.

use core::arch::x86_64::*;

use crate::aes::{avx512, ni as aes_ni};
use crate::block::Block;
use crate::half_gates::lanes::Lanes;

/// The entry points of one tier: the generic gates, compiled with the tier's instructions.
macro_rules! entry_points {
    ($token:ty, $features:literal) => {
        use super::*;
        use crate::half_gates::gates::{self, Circuit, Session};

        /// See [`gates::garble`].
        #[target_feature(enable = $features)]
        pub(crate) fn garble<G: Circuit<I, O, R>, const I: usize, const O: usize, const R: usize>(
            gate: G,
            session: Session,
            tweak: u64,
            inputs: [&[Block]; I],
            outputs: [&mut [Block]; O],
            rows: &mut [Block],
        ) {
            gates::garble(<$token>::here(), gate, session, tweak, inputs, outputs, rows);
        }

        /// See [`gates::evaluate`].
        #[target_feature(enable = $features)]
        pub(crate) fn evaluate<G: Circuit<I, O, R>, const I: usize, const O: usize, const R: usize>(
            gate: G,
            session: Session,
            tweak: u64,
            inputs: [&[Block]; I],
            rows: &[Block],
            outputs: [&mut [Block]; O],
        ) {
            gates::evaluate(<$token>::here(), gate, session, tweak, inputs, rows, outputs);
        }
    };
}

/// The AES-NI tier.
pub(super) mod ni {
    entry_points!(Narrow, "aes,ssse3,sse4.1");
}

/// The AVX-512 tier.
pub(super) mod wide {
    entry_points!(Wide, "avx512f,avx512bw,avx512dq,avx512vl,vaes,aes,ssse3,sse4.1");
}

/// Two registers of one block each. Its existence proves AES-NI, SSSE3 and SSE4.1.
#[derive(Clone, Copy)]
struct Narrow(());

/// Two registers of four blocks each. Its existence proves AVX-512 (F, BW, DQ, VL) and VAES.
#[derive(Clone, Copy)]
struct Wide(());

impl Narrow {
    /// The token, obtainable only where the instructions are.
    #[inline]
    #[target_feature(enable = "aes,ssse3,sse4.1")]
    fn here() -> Self {
        Self(())
    }
}

impl Wide {
    /// The token, obtainable only where the instructions are.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,vaes,aes,ssse3,sse4.1")]
    fn here() -> Self {
        Self(())
    }
}

impl Lanes for Narrow {
    type Register = [__m128i; 2];
    const LANES: usize = 2;

    #[inline(always)]
    fn load(self, blocks: &[Block]) -> Self::Register {
        // SAFETY: the token proves the instructions.
        unsafe { [aes_ni::register(blocks[0]), aes_ni::register(blocks[1])] }
    }

    #[inline(always)]
    fn store(self, register: Self::Register, blocks: &mut [Block]) {
        // SAFETY: the token proves the instructions.
        unsafe {
            blocks[0] = aes_ni::block(register[0]);
            blocks[1] = aes_ni::block(register[1]);
        }
    }

    #[inline(always)]
    fn load_pairs(self, blocks: &[Block]) -> (Self::Register, Self::Register) {
        (self.load(&[blocks[0], blocks[2]]), self.load(&[blocks[1], blocks[3]]))
    }

    #[inline(always)]
    fn store_pairs(self, even: Self::Register, odd: Self::Register, blocks: &mut [Block]) {
        self.store([even[0], odd[0]], &mut blocks[..2]);
        self.store([even[1], odd[1]], &mut blocks[2..]);
    }

    #[inline(always)]
    fn broadcast(self, block: Block) -> Self::Register {
        self.load(&[block; 2])
    }

    #[inline(always)]
    fn count(self, first: u64, step: u64) -> Self::Register {
        self.load(&[Block(u128::from(first)), Block(u128::from(first.wrapping_add(step)))])
    }

    #[inline(always)]
    fn xor(self, a: Self::Register, b: Self::Register) -> Self::Register {
        // SAFETY: the token proves the instructions.
        unsafe { [_mm_xor_si128(a[0], b[0]), _mm_xor_si128(a[1], b[1])] }
    }

    #[inline(always)]
    fn select(self, bits: Self::Register, value: Self::Register) -> Self::Register {
        // SAFETY: the token proves the instructions.
        unsafe {
            let mut out = value;
            for (out, bits) in out.iter_mut().zip(bits) {
                let bit = _mm_and_si128(_mm_unpacklo_epi64(bits, bits), _mm_set1_epi64x(1));
                *out = _mm_and_si128(*out, _mm_sub_epi64(_mm_setzero_si128(), bit));
            }
            out
        }
    }

    #[inline(always)]
    fn sigma(self, x: Self::Register) -> Self::Register {
        // SAFETY: the token proves the instructions.
        unsafe {
            let mut out = x;
            for out in &mut out {
                let high = _mm_and_si128(*out, _mm_set_epi64x(-1, 0));
                *out = _mm_xor_si128(_mm_shuffle_epi32::<0x4e>(*out), high);
            }
            out
        }
    }

    #[inline(always)]
    fn compress<const K: usize, const P: usize>(
        self,
        mut keys: [Self::Register; K],
        x: [[Self::Register; P]; K],
    ) -> [[Self::Register; P]; K] {
        // SAFETY: the token proves the instructions.
        unsafe {
            let mut state = x;
            for (states, key) in state.iter_mut().zip(keys) {
                for state in states {
                    *state = self.xor(*state, key);
                }
            }
            for (round, rcon) in aes_ni::RCON.into_iter().enumerate() {
                for (states, key) in state.iter_mut().zip(&mut keys) {
                    for (i, key) in key.iter_mut().enumerate() {
                        *key = aes_ni::next_round_key(*key, rcon);
                        for state in states.iter_mut() {
                            state[i] = if round < 9 {
                                _mm_aesenc_si128(state[i], *key)
                            } else {
                                _mm_aesenclast_si128(state[i], *key)
                            };
                        }
                    }
                }
            }
            for (states, inputs) in state.iter_mut().zip(x) {
                for (state, input) in states.iter_mut().zip(inputs) {
                    *state = self.xor(*state, input);
                }
            }
            state
        }
    }
}

/// The next round key of four keys (FIPS 197, algorithm 2), as [`aes_ni::next_round_key`] does for one.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,vaes")]
fn next_round_keys(key: __m512i, rcon: i32) -> __m512i {
    let rotate = _mm512_set1_epi32(0x0c0f_0e0d);
    let word = _mm512_aesenclast_epi128(_mm512_shuffle_epi8(key, rotate), _mm512_set1_epi32(rcon));
    let key = _mm512_xor_si512(key, _mm512_bslli_epi128::<4>(key));
    // Three-way exclusive or.
    _mm512_ternarylogic_epi64::<0x96>(key, _mm512_bslli_epi128::<8>(key), word)
}

impl Lanes for Wide {
    type Register = [__m512i; 2];
    const LANES: usize = 8;

    #[inline(always)]
    fn load(self, blocks: &[Block]) -> Self::Register {
        let quads = blocks.as_chunks().0;
        // SAFETY: the token proves the instructions.
        unsafe { [avx512::load(&quads[0]), avx512::load(&quads[1])] }
    }

    #[inline(always)]
    fn store(self, register: Self::Register, blocks: &mut [Block]) {
        let quads = blocks.as_chunks_mut().0;
        // SAFETY: the token proves the instructions.
        unsafe {
            avx512::store(&mut quads[0], register[0]);
            avx512::store(&mut quads[1], register[1]);
        }
    }

    #[inline(always)]
    fn load_pairs(self, blocks: &[Block]) -> (Self::Register, Self::Register) {
        let ([a, b], [c, d]) = (self.load(&blocks[..8]), self.load(&blocks[8..]));
        // SAFETY: the token proves the instructions.
        unsafe {
            let even = _mm512_set_epi64(13, 12, 9, 8, 5, 4, 1, 0);
            let odd = _mm512_set_epi64(15, 14, 11, 10, 7, 6, 3, 2);
            (
                [_mm512_permutex2var_epi64(a, even, b), _mm512_permutex2var_epi64(c, even, d)],
                [_mm512_permutex2var_epi64(a, odd, b), _mm512_permutex2var_epi64(c, odd, d)],
            )
        }
    }

    #[inline(always)]
    fn store_pairs(self, even: Self::Register, odd: Self::Register, blocks: &mut [Block]) {
        // SAFETY: the token proves the instructions.
        unsafe {
            let low = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0);
            let high = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
            for (i, blocks) in blocks.chunks_exact_mut(8).take(2).enumerate() {
                let pairs = [
                    _mm512_permutex2var_epi64(even[i], low, odd[i]),
                    _mm512_permutex2var_epi64(even[i], high, odd[i]),
                ];
                self.store(pairs, blocks);
            }
        }
    }

    #[inline(always)]
    fn broadcast(self, block: Block) -> Self::Register {
        // SAFETY: the token proves the instructions.
        unsafe { [_mm512_broadcast_i32x4(aes_ni::register(block)); 2] }
    }

    #[inline(always)]
    fn count(self, first: u64, step: u64) -> Self::Register {
        // SAFETY: the token proves the instructions.
        unsafe {
            let first = _mm512_maskz_set1_epi64(0b0101_0101, first as i64);
            let step = _mm512_set1_epi64(step as i64);
            let lanes = [_mm512_set_epi64(0, 3, 0, 2, 0, 1, 0, 0), _mm512_set_epi64(0, 7, 0, 6, 0, 5, 0, 4)];
            // The steps are below 2^32, so that the product of low halves is the product.
            lanes.map(|lanes| _mm512_add_epi64(first, _mm512_mul_epu32(lanes, step)))
        }
    }

    #[inline(always)]
    fn xor(self, a: Self::Register, b: Self::Register) -> Self::Register {
        // SAFETY: the token proves the instructions.
        unsafe { [_mm512_xor_si512(a[0], b[0]), _mm512_xor_si512(a[1], b[1])] }
    }

    #[inline(always)]
    fn select(self, bits: Self::Register, value: Self::Register) -> Self::Register {
        // SAFETY: the token proves the instructions.
        unsafe {
            let mut out = value;
            for (out, bits) in out.iter_mut().zip(bits) {
                let low = _mm512_unpacklo_epi64(bits, bits);
                *out = _mm512_maskz_mov_epi64(_mm512_test_epi64_mask(low, _mm512_set1_epi64(1)), *out);
            }
            out
        }
    }

    #[inline(always)]
    fn sigma(self, x: Self::Register) -> Self::Register {
        // SAFETY: the token proves the instructions.
        unsafe {
            let mut out = x;
            for out in &mut out {
                let swapped = _mm512_shuffle_epi32::<0x4e>(*out);
                *out = _mm512_mask_xor_epi64(swapped, 0b1010_1010, swapped, *out);
            }
            out
        }
    }

    #[inline(always)]
    fn compress<const K: usize, const P: usize>(
        self,
        mut keys: [Self::Register; K],
        x: [[Self::Register; P]; K],
    ) -> [[Self::Register; P]; K] {
        // SAFETY: the token proves the instructions.
        unsafe {
            let mut state = x;
            for (states, key) in state.iter_mut().zip(keys) {
                for state in states {
                    *state = self.xor(*state, key);
                }
            }
            for (round, rcon) in aes_ni::RCON.into_iter().enumerate() {
                for (states, key) in state.iter_mut().zip(&mut keys) {
                    for (i, key) in key.iter_mut().enumerate() {
                        *key = next_round_keys(*key, rcon);
                        for state in states.iter_mut() {
                            state[i] = if round < 9 {
                                _mm512_aesenc_epi128(state[i], *key)
                            } else {
                                _mm512_aesenclast_epi128(state[i], *key)
                            };
                        }
                    }
                }
            }
            for (states, inputs) in state.iter_mut().zip(x) {
                for (state, input) in states.iter_mut().zip(inputs) {
                    *state = self.xor(*state, input);
                }
            }
            state
        }
    }
}
