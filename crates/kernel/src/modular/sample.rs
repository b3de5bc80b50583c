//! Samplers that turn random words into residues and small numbers.
//!
//! They draw nothing themselves: the caller passes words of a pseudorandom stream. The Gaussian and the ternary
//! sampler use a fixed number of words, read every table entry for every sample and never branch on one:
//! they are constant-time. The uniform sampler rejects, which shows how many words were rejected and
//! nothing about the accepted ones.

use super::Modulus;

/// Standard deviation of [`gaussian`], that of the Homomorphic Encryption Standard (8 / sqrt(2 pi)).
pub const SIGMA: f64 = 3.19;

/// Largest magnitude that [`gaussian`] returns.
pub const GAUSSIAN_BOUND: i8 = CUMULATIVE.len() as i8;

/// `floor(2^63 P(|X| <= k))` for k = 0, 1, ... where X is the discrete Gaussian with standard deviation parameter
/// 3.19 over the integers. The part beyond the table has probability below 2^-61.
const CUMULATIVE: [u64; 29] = [
    0x1001_f9a1_b2ca_9468,
    0x2e7c_f3ef_0783_6cb5,
    0x48ca_7e85_d834_a579,
    0x5d5d_5177_8f76_0880,
    0x6bf3_5598_5504_21b0,
    0x7552_dc90_807b_bed5,
    0x7ac8_8205_61a4_c974,
    0x7daa_6596_524b_7ffd,
    0x7f0b_8114_bba4_ecb9,
    0x7fa4_a9fc_5ea5_74e8,
    0x7fe0_e107_7aef_3919,
    0x7ff6_563f_810f_15d0,
    0x7ffd_4490_999b_c594,
    0x7fff_4c08_04cd_386d,
    0x7fff_d5e1_8e7f_da18,
    0x7fff_f709_c679_c2ed,
    0x7fff_fe44_5c79_0f6b,
    0x7fff_ffb2_0f7a_a54a,
    0x7fff_fff3_903d_235d,
    0x7fff_fffe_32b0_6d1d,
    0x7fff_ffff_c351_25cc,
    0x7fff_ffff_f8c1_1764,
    0x7fff_ffff_ff36_fe33,
    0x7fff_ffff_ffec_3bf7,
    0x7fff_ffff_fffe_3c8b,
    0x7fff_ffff_ffff_db75,
    0x7fff_ffff_ffff_fd51,
    0x7fff_ffff_ffff_ffd2,
    0x7fff_ffff_ffff_fffd,
];

/// Discrete Gaussian samples of standard deviation [`SIGMA`], one for each word: the low bit is the sign, and the
/// magnitude is the number of entries of the cumulative table that the other 63 bits reach. The distance from the
/// exact distribution is below 2^-57 a sample.
///
/// # Panics
/// If the lengths differ.
pub fn gaussian(out: &mut [i8], words: &[u64]) {
    assert_eq!(out.len(), words.len());
    #[cfg(target_arch = "x86_64")]
    if crate::tier::Tier::current() == crate::tier::Tier::Avx512 {
        // SAFETY: the tier says that AVX-512 F, BW and VL were detected.
        return unsafe { vector::gaussian(out, words) };
    }
    gaussian_portable(out, words);
}

fn gaussian_portable(out: &mut [i8], words: &[u64]) {
    for (out, word) in out.iter_mut().zip(words) {
        let position = word >> 1;
        let magnitude = CUMULATIVE.iter().fold(0i8, |count, entry| count + i8::from(position >= *entry));
        let sign = -((word & 1) as i8);
        *out = (magnitude ^ sign) - sign;
    }
}

/// Uniform samples of {-1, 0, 1}, one for each word: the integer part of three times the word over 2^64, less one.
/// The bias is below 2^-62.
///
/// # Panics
/// If the lengths differ.
pub fn ternary(out: &mut [i8], words: &[u64]) {
    assert_eq!(out.len(), words.len());
    for (out, word) in out.iter_mut().zip(words) {
        *out = ((u128::from(*word) * 3) >> 64) as i8 - 1;
    }
}

/// Uniform residues: each word's low bits (as many as the modulus has) are accepted if below the modulus, in
/// order. Returns how many entries of `out` were filled; the caller continues with fresh words.
pub fn uniform(q: &Modulus, out: &mut [u64], words: &[u64]) -> usize {
    #[cfg(target_arch = "x86_64")]
    if q.is_vector() {
        // SAFETY: a modulus says so only where the tier with AVX-512 F was detected.
        return unsafe { vector::uniform(q, out, words) };
    }
    uniform_portable(q, out, words)
}

fn uniform_portable(q: &Modulus, out: &mut [u64], words: &[u64]) -> usize {
    let mask = (1 << q.bits()) - 1;
    let mut filled = 0;
    for word in words {
        let Some(slot) = out.get_mut(filled) else { break };
        *slot = word & mask;
        filled += usize::from(*slot < q.value());
    }
    // A rejected candidate may stand in the next slot; it is overwritten or cleared.
    if let Some(slot) = out.get_mut(filled) {
        *slot = 0;
    }
    filled
}

#[cfg(target_arch = "x86_64")]
mod vector {
    //! The samplers on AVX-512.

    use core::arch::x86_64::*;

    use super::super::Modulus;
    use super::super::ifma::{LANES, load};
    use super::CUMULATIVE;

    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    pub fn gaussian(out: &mut [i8], words: &[u64]) {
        let (chunks, rest) = out.as_chunks_mut::<LANES>();
        let (inputs, input_rest) = words.as_chunks::<LANES>();
        let one = _mm512_set1_epi64(1);
        for (chunk, input) in chunks.iter_mut().zip(inputs) {
            // SAFETY: the array is 64 readable bytes, and the load does not require alignment.
            let word = unsafe { _mm512_loadu_si512(input.as_ptr().cast()) };
            let position = _mm512_srli_epi64::<1>(word);
            let mut magnitude = _mm512_setzero_si512();
            for entry in CUMULATIVE {
                let reached = _mm512_cmpge_epu64_mask(position, _mm512_set1_epi64(entry as i64));
                magnitude = _mm512_mask_add_epi64(magnitude, reached, magnitude, one);
            }
            let negative = _mm512_test_epi64_mask(word, one);
            let value = _mm512_mask_sub_epi64(magnitude, negative, _mm512_setzero_si512(), magnitude);
            let bytes = _mm_cvtsi128_si64(_mm512_cvtepi64_epi8(value));
            *chunk = bytes.to_le_bytes().map(|byte| byte as i8);
        }
        super::gaussian_portable(rest, input_rest);
    }

    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn uniform(q: &Modulus, out: &mut [u64], words: &[u64]) -> usize {
        let mask = _mm512_set1_epi64((1i64 << q.bits()) - 1);
        let bound = _mm512_set1_epi64(q.value() as i64);
        let (chunks, rest) = words.as_chunks::<LANES>();
        let mut filled = 0;
        for (index, chunk) in chunks.iter().enumerate() {
            if filled + LANES > out.len() {
                return filled + super::uniform_portable(q, &mut out[filled..], &words[index * LANES..]);
            }
            let candidate = _mm512_and_si512(load(chunk), mask);
            let accepted = _mm512_cmplt_epu64_mask(candidate, bound);
            // The whole vector is stored: lanes beyond the accepted ones are overwritten or cleared.
            let packed = _mm512_maskz_compress_epi64(accepted, candidate);
            // SAFETY: at least eight entries lie from `filled` on, and the store does not require alignment.
            unsafe { _mm512_storeu_si512(out[filled..].as_mut_ptr().cast(), packed) };
            filled += accepted.count_ones() as usize;
        }
        filled + super::uniform_portable(q, &mut out[filled..], rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table against the distribution in double precision.
    #[test]
    fn table_is_the_gaussian() {
        let weight = |k: f64| (-k * k / (2.0 * SIGMA * SIGMA)).exp();
        let total = 1.0 + 2.0 * (1..100).map(|k| weight(f64::from(k))).sum::<f64>();
        let mut cumulative = 0.0;
        for (k, entry) in CUMULATIVE.iter().enumerate() {
            cumulative += if k == 0 { 1.0 } else { 2.0 * weight(k as f64) } / total;
            assert!((*entry as f64 / 2f64.powi(63) - cumulative).abs() < 1e-14, "entry {k}");
        }
        assert!(CUMULATIVE.is_sorted());
        assert!((1u64 << 63) - CUMULATIVE[CUMULATIVE.len() - 1] <= 4);
    }

    /// Edges of the table: one below and at each entry, both signs.
    #[test]
    fn gaussian_edges_on_both_paths() {
        let mut words = vec![0, 1, u64::MAX, u64::MAX - 1];
        words
            .extend(CUMULATIVE.iter().flat_map(|c| [(c - 1) << 1, c << 1, ((c - 1) << 1) | 1, (c << 1) | 1]));
        let (mut vector, mut portable) = (vec![0i8; words.len()], vec![0i8; words.len()]);
        gaussian(&mut vector, &words);
        gaussian_portable(&mut portable, &words);
        assert_eq!(vector, portable);
        assert_eq!(portable[4..8], [0, 1, 0, -1]);
        assert_eq!(portable[2..4], [-GAUSSIAN_BOUND, GAUSSIAN_BOUND]);
    }

    #[test]
    fn ternary_thirds() {
        let mut out = [0i8; 6];
        let third = u64::MAX / 3;
        ternary(&mut out, &[0, third, third + 1, 2 * third, 2 * third + 1, u64::MAX]);
        assert_eq!(out, [-1, -1, 0, 0, 1, 1]);
    }

    #[test]
    fn uniform_agrees_and_continues() {
        for value in [65537u64, (1 << 36) + 5, (1 << 50) - 27, (1 << 49) + 1] {
            let Some(q) = Modulus::new(value) else { panic!("modulus") };
            let words: Vec<u64> =
                (0..500u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17)).collect();
            for length in [0, 1, 7, 8, 9, 100, 300] {
                let (mut a, mut b) = (vec![0; length], vec![0; length]);
                let filled = uniform(&q, &mut a, &words);
                assert_eq!(filled, uniform_portable(&q, &mut b, &words));
                assert_eq!(a[..filled], b[..filled]);
                assert!(a[..filled].iter().all(|x| *x < value));
            }
        }
    }
}
