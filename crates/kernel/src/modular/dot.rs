//! Inner products of vectors of residues: the one operation of plaintext dot products and of key switching.
//!
//! Sums stay in registers, in double width, and are reduced once. Operands are words or [`Packed`]: beyond the
//! second-level cache a sum takes as long as its operands take to arrive, so fewer bytes are worth the unpacking.

use super::{Modulus, Packed};

/// A vector of residues that can be an operand: `&[u64]` or `&Packed`.
pub trait Operand: Copy + sealed::Sealed {}

impl Operand for &[u64] {}
impl Operand for &Packed {}

mod sealed {
    use super::Packed;

    /// What the kernels read.
    pub trait Sealed {
        /// Whether the bytes are packed.
        const PACKED: bool;
        /// Number of residues.
        fn length(self) -> usize;
        /// Bytes of eight residues.
        fn stride(self) -> usize;
        /// The bytes; at least 64 of them from each group of eight on.
        fn start(self) -> *const u8;
        /// One residue.
        fn residue(self, index: usize) -> u64;
    }

    impl Sealed for &[u64] {
        const PACKED: bool = false;
        #[inline(always)]
        fn length(self) -> usize {
            self.len()
        }
        #[inline(always)]
        fn stride(self) -> usize {
            64
        }
        #[inline(always)]
        fn start(self) -> *const u8 {
            self.as_ptr().cast()
        }
        #[inline(always)]
        fn residue(self, index: usize) -> u64 {
            self[index]
        }
    }

    impl Sealed for &Packed {
        const PACKED: bool = true;
        #[inline(always)]
        fn length(self) -> usize {
            self.len()
        }
        #[inline(always)]
        fn stride(self) -> usize {
            self.bits() as usize
        }
        #[inline(always)]
        fn start(self) -> *const u8 {
            self.storage().as_ptr()
        }
        #[inline(always)]
        fn residue(self, index: usize) -> u64 {
            self.get(index)
        }
    }
}

impl Modulus {
    /// Bytes of eight residues.
    #[inline(always)]
    fn stride(&self, packed: bool) -> usize {
        if packed { self.bits() as usize } else { 64 }
    }

    /// `out[s] = init[s] + sum of f_k p_k[s]` over the terms `(f_k, p_k)` for `s` = 0 and 1, entry by entry from the
    /// operands' entry `start` on. Where there is no `init` it is zero.
    ///
    /// # Panics
    /// If an operand ends before `start + out[0].len()`, the outputs' lengths differ, `start` is no multiple of eight, or
    /// a packed operand is not of this modulus' width.
    pub fn dot_pair<F: Operand, P: Operand>(
        &self,
        out: [&mut [u64]; 2],
        start: usize,
        init: [Option<&[u64]>; 2],
        terms: &[(F, [P; 2])],
    ) {
        let end = start + out[0].len();
        assert!(out[1].len() == out[0].len() && start.is_multiple_of(8));
        assert!(init.iter().flatten().all(|row| row.len() >= end));
        let strides = [F::PACKED, P::PACKED].map(|packed| self.stride(packed));
        for (factor, pair) in terms {
            assert!(factor.length() >= end && pair.iter().all(|side| side.length() >= end));
            assert!(factor.stride() == strides[0] && pair.iter().all(|side| side.stride() == strides[1]));
            debug_assert!((start..end).all(|i| factor.residue(i) < self.value()));
            debug_assert!(pair.iter().all(|side| (start..end).all(|i| side.residue(i) < self.value())));
        }
        #[cfg(target_arch = "x86_64")]
        if self.is_vector() {
            // SAFETY: a modulus says so only where the AVX-512 tier was detected; the operands' lengths and strides were
            // just checked.
            return unsafe { vector::dot_pair(self, out, start, init, terms) };
        }
        for ((side, out), init) in out.into_iter().enumerate().zip(init) {
            portable(self, (out, side), start, init, terms);
        }
    }
}

/// One side, in plain Rust.
fn portable<F: Operand, P: Operand>(
    q: &Modulus,
    (out, side): (&mut [u64], usize),
    start: usize,
    init: Option<&[u64]>,
    terms: &[(F, [P; 2])],
) {
    for (index, out) in (start..).zip(out) {
        let mut sum = u128::from(init.map_or(0, |row| row[index]));
        for (factor, pair) in terms {
            // Below 2^50 thousands of products fit.
            sum += u128::from(factor.residue(index)) * u128::from(pair[side].residue(index));
            if q.bits() > super::VECTOR_BITS {
                sum = u128::from(q.reduce_wide(sum));
            }
        }
        *out = q.reduce_wide(sum);
    }
}

#[cfg(target_arch = "x86_64")]
mod vector {
    //! On AVX-512 IFMA, and VBMI for packed operands.

    use core::arch::x86_64::*;

    use super::super::Modulus;
    use super::super::ifma::{Constants, LANES, Short, load, store};
    use super::super::packed::vector::Unpack;
    use super::{Operand, portable};

    /// Vectors of one block: with two sides and two halves each, sixteen accumulators.
    const BLOCK: usize = 4;

    /// Bytes by which each operand is fetched ahead into the first-level cache: there are more operands than the processor
    /// follows by itself, and all that is ahead of all of them must fit there.
    const AHEAD: usize = 512;

    /// Four vectors of an operand from its byte `offset` on.
    ///
    /// # Safety
    /// The operand has these residues, and packed ones have the width of `unpack` and this stride.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    unsafe fn operand<O: Operand>(o: O, offset: usize, stride: usize, unpack: &Unpack) -> [__m512i; BLOCK] {
        let start = o.start().wrapping_add(offset);
        for line in 0..BLOCK {
            // A prefetch faults nowhere, and past the end it only brings what is not needed.
            _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(AHEAD + line * 64).cast());
        }
        let mut x = [_mm512_setzero_si512(); BLOCK];
        for (k, x) in x.iter_mut().enumerate() {
            // SAFETY: the caller vouches for the residues; 64 bytes are readable from each group of eight on.
            let bytes = unsafe { _mm512_loadu_si512(start.add(k * stride).cast()) };
            *x = if O::PACKED { unpack.lanes(bytes) } else { bytes };
        }
        x
    }

    /// # Safety
    /// All operands have the residues from `start` to `start + out[0].len()`, and packed ones are as wide as `q`.
    #[target_feature(enable = "avx512f,avx512bw,avx512ifma,avx512vbmi")]
    pub unsafe fn dot_pair<F: Operand, P: Operand>(
        q: &Modulus,
        out: [&mut [u64]; 2],
        start: usize,
        init: [Option<&[u64]>; 2],
        terms: &[(F, [P; 2])],
    ) {
        let (c, unpack, short) = (Constants::new(q), Unpack::new(q.bits()), Short::new(q, terms.len()));
        let [factor_stride, stride] = [F::PACKED, P::PACKED].map(|packed| q.stride(packed));
        // High halves are below 2^(2 bits - 52) each; their sum and a carry stay below 2^52.
        let limit = (1usize << (104 - 2 * q.bits()).min(11)) - 1;
        let [out0, out1] = out;
        let whole = out0.len() / (LANES * BLOCK) * (LANES * BLOCK);
        let zero = _mm512_setzero_si512();
        for offset in (0..whole).step_by(LANES * BLOCK) {
            let first = (start + offset) / LANES;
            let (mut low, mut high) = ([[zero; BLOCK]; 2], [[zero; BLOCK]; 2]);
            for (low, init) in low.iter_mut().zip(init) {
                if let Some(row) = init {
                    let block = row[start + offset..][..LANES * BLOCK].as_chunks::<LANES>().0;
                    (0..BLOCK).for_each(|k| low[k] = load(&block[k]));
                }
            }
            for (index, terms) in terms.chunks(limit).enumerate() {
                if index > 0 {
                    for (low, high) in low.as_flattened_mut().iter_mut().zip(high.as_flattened_mut()) {
                        (*low, *high) = (c.reduce_sums(*high, *low), zero);
                    }
                }
                for (factor, pair) in terms {
                    // SAFETY: the caller vouches for the operands.
                    let x = unsafe { operand(*factor, first * factor_stride, factor_stride, &unpack) };
                    for side in 0..2 {
                        // SAFETY: as above.
                        let y = unsafe { operand(pair[side], first * stride, stride, &unpack) };
                        for k in 0..BLOCK {
                            low[side][k] = _mm512_madd52lo_epu64(low[side][k], x[k], y[k]);
                            high[side][k] = _mm512_madd52hi_epu64(high[side][k], x[k], y[k]);
                        }
                    }
                }
            }
            let outs = [&mut *out0, &mut *out1];
            for ((out, low), high) in outs.into_iter().zip(low).zip(high) {
                let block = out[offset..offset + LANES * BLOCK].as_chunks_mut::<LANES>().0;
                for k in 0..BLOCK {
                    let sum = match &short {
                        Some(short) => short.reduce(&c, high[k], low[k]),
                        None => c.reduce_sums(high[k], low[k]),
                    };
                    store(&mut block[k], sum);
                }
            }
        }
        if whole < out0.len() {
            portable(q, (&mut out0[whole..], 0), start + whole, init[0], terms);
            portable(q, (&mut out1[whole..], 1), start + whole, init[1], terms);
        }
    }
}
