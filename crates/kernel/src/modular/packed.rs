//! Vectors of residues in as few bits as their modulus has.
//!
//! Eight residues take as many bytes as the modulus has bits, lowest bit first: what long sums stream from memory, where
//! bytes cost more than instructions. It is also their form on a wire.

use super::{Modulus, Words};

/// Bytes that follow the residues, so that a vector load of the last eight stays inside.
const PADDING: usize = 64;

/// The widest residue that eight bytes hold at any bit position.
const MAX_BITS: u32 = 56;

/// A vector of residues, packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    words: Words,
    bits: u32,
    length: usize,
}

impl Packed {
    /// Packs residues modulo `q`.
    ///
    /// # Panics
    /// If their number is no multiple of eight, or `q` has more than 56 bits.
    pub fn new(q: &Modulus, residues: &[u64]) -> Self {
        assert!(residues.len().is_multiple_of(8) && q.bits() <= MAX_BITS);
        debug_assert!(residues.iter().all(|x| *x < q.value()));
        let mut out = Self::zeros(q.bits(), residues.len());
        #[cfg(target_arch = "x86_64")]
        if q.is_vector() && q.bits() >= 8 {
            // SAFETY: a modulus says so only where the AVX-512 tier, with IFMA and VBMI, was detected.
            unsafe { vector::pack(q, out.storage_mut(), residues) };
            return out;
        }
        pack(q.bits(), out.storage_mut(), residues);
        out
    }

    fn zeros(bits: u32, length: usize) -> Self {
        let bytes = length / 8 * bits as usize + PADDING;
        Self { words: Words::zeros(bytes.div_ceil(8)), bits, length }
    }

    /// Residues modulo `q` from their bytes: `None` if these are not as many as `length` residues take, or one is not
    /// below `q`.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn from_bytes(q: &Modulus, length: usize, bytes: &[u8]) -> Option<Self> {
        assert!(length.is_multiple_of(8) && q.bits() <= MAX_BITS);
        if bytes.len() != length / 8 * q.bits() as usize {
            return None;
        }
        let mut out = Self::zeros(q.bits(), length);
        out.storage_mut()[..bytes.len()].copy_from_slice(bytes);
        let mut block = [0; 64];
        let canonical = (0..length).step_by(64).all(|start| {
            let block = &mut block[..64.min(length - start)];
            out.unpack_into(q, block, start);
            block.iter().all(|x| *x < q.value())
        });
        canonical.then_some(out)
    }

    /// The residues' bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.storage()[..self.length / 8 * self.bits as usize]
    }

    /// Number of residues.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Bits of one residue.
    #[inline(always)]
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// The bytes with the padding.
    #[inline(always)]
    pub(super) fn storage(&self) -> &[u8] {
        bytemuck::cast_slice(&self.words)
    }

    fn storage_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.words)
    }

    /// The residue at `index`.
    pub fn get(&self, index: usize) -> u64 {
        assert!(index < self.length);
        let bit = index * self.bits as usize;
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.storage()[bit / 8..bit / 8 + 8]);
        u64::from_le_bytes(bytes) >> (bit % 8) & ((1 << self.bits) - 1)
    }

    /// Unpacks the residues from number `start` on.
    ///
    /// # Panics
    /// If there are not as many as `out` has entries, `start` or the number is no multiple of eight, or `q` is not as
    /// wide as the residues.
    pub fn unpack_into(&self, q: &Modulus, out: &mut [u64], start: usize) {
        assert!(start + out.len() <= self.length && start.is_multiple_of(8) && out.len().is_multiple_of(8));
        assert_eq!(q.bits(), self.bits);
        #[cfg(target_arch = "x86_64")]
        if q.is_vector() {
            // SAFETY: a modulus says so only where the AVX-512 tier, with IFMA and VBMI, was detected.
            return unsafe { vector::unpack(self, out, start) };
        }
        for (offset, out) in out.iter_mut().enumerate() {
            *out = self.get(start + offset);
        }
    }
}

/// Packs in plain Rust: each group of eight is one little-endian number of as many bytes as `bits`.
fn pack(bits: u32, out: &mut [u8], residues: &[u64]) {
    for (group, out) in residues.chunks_exact(8).zip(out.chunks_exact_mut(bits as usize)) {
        let (mut held, mut count, mut next) = (0u128, 0, 0);
        for residue in group {
            held |= u128::from(*residue) << count;
            count += bits;
            while count >= 8 {
                out[next] = held as u8;
                (held, count, next) = (held >> 8, count - 8, next + 1);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod vector {
    //! Packing on AVX-512 VBMI: bytes are moved to lanes, shifted and masked.

    use core::arch::x86_64::*;

    use super::{Modulus, Packed};

    /// Lane constants of a width.
    #[derive(Clone, Copy)]
    pub struct Unpack {
        /// The bytes from a residue's first on, for each lane.
        index: __m512i,
        /// The bit of that byte at which it starts.
        shift: __m512i,
        mask: __m512i,
    }

    impl Unpack {
        #[inline]
        #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
        pub fn new(bits: u32) -> Self {
            let mut index = [0u8; 64];
            let mut shift = [0u64; 8];
            for lane in 0..8 {
                let bit = lane * bits as usize;
                shift[lane] = bit as u64 % 8;
                for byte in 0..8 {
                    index[8 * lane + byte] = (bit / 8 + byte) as u8;
                }
            }
            // SAFETY: both arrays are 64 readable bytes, and the loads do not require alignment.
            let (index, shift) = unsafe {
                (_mm512_loadu_si512(index.as_ptr().cast()), _mm512_loadu_si512(shift.as_ptr().cast()))
            };
            Self { index, shift, mask: _mm512_set1_epi64((1i64 << bits) - 1) }
        }

        /// The eight residues at the start of a vector.
        #[inline]
        #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
        pub fn lanes(&self, bytes: __m512i) -> __m512i {
            let moved = _mm512_permutexvar_epi8(self.index, bytes);
            _mm512_and_si512(_mm512_srlv_epi64(moved, self.shift), self.mask)
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    pub fn unpack(packed: &Packed, out: &mut [u64], start: usize) {
        let unpack = Unpack::new(packed.bits);
        let (bits, storage) = (packed.bits as usize, packed.storage());
        for (group, out) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let bytes = &storage[(start / 8 + group) * bits..][..64];
            // SAFETY: the slice is 64 readable bytes, and the load does not require alignment.
            let lanes = unpack.lanes(unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) });
            // SAFETY: the array is 64 writable bytes, and the store does not require alignment.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), lanes) };
        }
    }

    /// For lanes of one parity: the byte that goes to each place, and the places that they fill. Lanes two apart share no
    /// byte, at eight bits and more.
    #[target_feature(enable = "avx512f")]
    fn scatter(bits: u32, parity: usize) -> (__m512i, u64) {
        let (mut index, mut mask) = ([0u8; 64], 0);
        for lane in (parity..8).step_by(2) {
            let bit = lane * bits as usize;
            for byte in 0..(bit % 8 + bits as usize).div_ceil(8) {
                index[bit / 8 + byte] = (8 * lane + byte) as u8;
                mask |= 1 << (bit / 8 + byte);
            }
        }
        // SAFETY: the array is 64 readable bytes, and the load does not require alignment.
        (unsafe { _mm512_loadu_si512(index.as_ptr().cast()) }, mask)
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    pub fn pack(q: &Modulus, out: &mut [u8], residues: &[u64]) {
        let bits = q.bits();
        let shift = Unpack::new(bits).shift;
        let ((even, even_mask), (odd, odd_mask)) = (scatter(bits, 0), scatter(bits, 1));
        let stored = u64::MAX >> (64 - bits);
        for (group, out) in residues.as_chunks::<8>().0.iter().zip(out.chunks_exact_mut(bits as usize)) {
            // SAFETY: the array is 64 readable bytes, and the load does not require alignment.
            let lanes = unsafe { _mm512_loadu_si512(group.as_ptr().cast()) };
            let lanes = _mm512_sllv_epi64(lanes, shift);
            let packed = _mm512_or_si512(
                _mm512_maskz_permutexvar_epi8(even_mask, even, lanes),
                _mm512_maskz_permutexvar_epi8(odd_mask, odd, lanes),
            );
            // SAFETY: only the slice's bytes, as many as the modulus has bits, are stored.
            unsafe { _mm512_mask_storeu_epi8(out.as_mut_ptr().cast(), stored, packed) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tier::Tier;

    #[test]
    fn every_tier_packs_alike() {
        for bits in 2..=56 {
            for tier in Tier::available() {
                let q = Modulus::with_tier((1 << bits) - 1, tier).unwrap();
                let residues: Vec<u64> = (0..72u64)
                    .map(|i| match i {
                        3 => 0,
                        8 | 17 | 71 => q.value() - 1,
                        _ => q.reduce(i.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
                    })
                    .collect();
                let packed = Packed::new(&q, &residues);
                // The definition, bit by bit.
                for (index, residue) in residues.iter().enumerate() {
                    for bit in 0..bits as usize {
                        let at = index * bits as usize + bit;
                        assert_eq!(u64::from(packed.bytes()[at / 8] >> (at % 8) & 1), residue >> bit & 1);
                    }
                    assert_eq!(packed.get(index), *residue);
                }
                let mut out = vec![7; 40];
                packed.unpack_into(&q, &mut out, 32);
                assert_eq!(out, residues[32..]);
                assert_eq!((packed.len(), packed.bytes().len()), (72, 9 * bits as usize));
                assert_eq!(Packed::from_bytes(&q, 72, packed.bytes()).unwrap(), packed);
                assert!(Packed::from_bytes(&q, 80, packed.bytes()).is_none());
                let mut large = packed.bytes().to_vec();
                // The last residue becomes 2^bits - 1, the modulus.
                *large.last_mut().unwrap() |= 0xff;
                large[9 * bits as usize - (bits as usize).div_ceil(8)..].fill(0xff);
                assert!(Packed::from_bytes(&q, 72, &large).is_none(), "{bits} bits");
            }
        }
    }
}
