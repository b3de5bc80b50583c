//! Base conversion: from residues modulo several primes to residues modulo other numbers.

use super::{Modulus, Shoup, Words};

/// Fast base conversion with an exact multiple count.
///
/// For `x` in `[0, Q)` with residues `x_i` modulo the coprime `q_i`, `Q = q_1 ... q_l`, the converter computes
///
/// ```text
/// y_i = x_i p_i mod q_i,    v = floor(sum_i y_i / q_i + 1/2),    out_j = sum_i y_i T[j][i] + v V[j] mod t_j
/// ```
///
/// for caller's constants `p`, `T` and `V`. With `p_i = (Q/q_i)^-1`, `T[j][i] = Q/q_i` and `V[j] = -Q` it is the
/// residue of the *centred* representative of `x` (Halevi, Polyakov and Shoup, eprint 2018/117, section 2.2), and
/// with `p_i = t (Q/q_i)^-1`, `T[i] = -1/q_i`, `V = 1` it is the rounded quotient `t x / Q` modulo `t` (their
/// section 2.3).
///
/// The fraction is fixed-point, `s` bits with `2^s <= min q_i / 2`: `v` may be off by one only where the sum is
/// within `2 l 2^-s` of a half. Both backends use the same integers.
#[derive(Clone, Debug)]
pub struct Converter {
    from: Vec<Source>,
    to: Vec<Target>,
    fraction_bits: u32,
}

/// A modulus converted from.
#[derive(Clone, Debug)]
struct Source {
    modulus: Modulus,
    factor: Shoup,
    /// `floor(2^(52 + s) / q)`, below 2^52.
    fraction: u64,
}

/// A modulus converted to.
#[derive(Clone, Debug)]
struct Target {
    modulus: Modulus,
    row: Vec<u64>,
    multiple: u64,
}

/// Coefficients converted at a time: the intermediate residues stay in the first-level cache.
const BLOCK: usize = 128;

impl Converter {
    /// A converter from the moduli of `from`, each with its factor `p_i`, to those of `to`, each with its row `T[j]`
    /// and its `V[j]`. `None` unless all moduli are between 16 bits (sources) and 50 bits and shapes agree.
    pub fn new(from: &[(Modulus, u64)], to: &[(Modulus, Vec<u64>, u64)]) -> Option<Self> {
        let smallest = from.iter().map(|(q, _)| q.bits()).min()?;
        let fits = |q: &Modulus| q.bits() <= super::VECTOR_BITS;
        let shapes = to.iter().all(|(q, row, _)| fits(q) && row.len() == from.len());
        if smallest < 16 || !from.iter().all(|(q, _)| fits(q)) || !shapes || from.len() > 64 {
            return None;
        }
        let fraction_bits = smallest - 1;
        let from = from
            .iter()
            .map(|(q, factor)| Source {
                modulus: *q,
                factor: q.shoup(*factor),
                fraction: ((1u128 << (52 + fraction_bits)) / u128::from(q.value())) as u64,
            })
            .collect();
        let to = to
            .iter()
            .map(|(q, row, multiple)| Target {
                modulus: *q,
                row: row.iter().map(|entry| q.reduce(*entry)).collect(),
                multiple: q.reduce(*multiple),
            })
            .collect();
        Some(Self { from, to, fraction_bits })
    }

    /// Converts: `input[i]` holds residues modulo the `i`-th source, `output[j]` receives those modulo the `j`-th
    /// target.
    ///
    /// # Panics
    /// If the number of rows or their lengths do not fit.
    pub fn apply(&self, input: &[&[u64]], output: &mut [&mut [u64]]) {
        let length = input.first().map_or(0, |row| row.len());
        assert!(input.len() == self.from.len() && output.len() == self.to.len());
        assert!(input.iter().all(|row| row.len() == length));
        assert!(output.iter().all(|row| row.len() == length));
        let mut residues = Words::zeros(BLOCK * self.from.len());
        let mut multiples = [0u64; BLOCK];
        for start in (0..length).step_by(BLOCK) {
            let width = BLOCK.min(length - start);
            multiples.fill(1 << (self.fraction_bits - 1));
            for ((row, source), y) in input.iter().zip(&self.from).zip(residues.chunks_exact_mut(BLOCK)) {
                let y = &mut y[..width];
                y.copy_from_slice(&row[start..start + width]);
                source.modulus.scale_assign(y, source.factor);
                add_fractions(&source.modulus, &mut multiples[..width], y, source.fraction);
            }
            multiples[..width].iter_mut().for_each(|v| *v >>= self.fraction_bits);
            for (row, target) in output.iter_mut().zip(&self.to) {
                let out = &mut row[start..start + width];
                combine(target, out, &residues, &multiples[..width]);
            }
        }
    }
}

/// `sums += floor(y fraction / 2^52)`.
fn add_fractions(q: &Modulus, sums: &mut [u64], y: &[u64], fraction: u64) {
    #[cfg(target_arch = "x86_64")]
    if q.is_vector() {
        // SAFETY: a modulus says so only where the tier with AVX-512 F and IFMA was detected.
        return unsafe { vector::add_fractions(sums, y, fraction) };
    }
    let _ = q;
    for (sum, y) in sums.iter_mut().zip(y) {
        *sum += ((u128::from(*y) * u128::from(fraction)) >> 52) as u64;
    }
}

/// One output row of a block: residues lie `BLOCK` apart.
fn combine(target: &Target, out: &mut [u64], residues: &[u64], multiples: &[u64]) {
    #[cfg(target_arch = "x86_64")]
    if target.modulus.is_vector() && out.len().is_multiple_of(8) {
        // SAFETY: a modulus says so only where the tier with AVX-512 F and IFMA was detected.
        return unsafe { vector::combine(target, out, residues, multiples) };
    }
    for (index, out) in out.iter_mut().enumerate() {
        let mut sum = u128::from(multiples[index]) * u128::from(target.multiple);
        for (entry, y) in target.row.iter().zip(residues.chunks_exact(BLOCK)) {
            sum += u128::from(*entry) * u128::from(y[index]);
        }
        *out = target.modulus.reduce_wide(sum);
    }
}

#[cfg(target_arch = "x86_64")]
mod vector {
    //! The two inner loops on AVX-512 IFMA.

    use core::arch::x86_64::*;

    use super::super::ifma::{Constants, LANES, load, store};
    use super::{BLOCK, Target};

    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn add_fractions(sums: &mut [u64], y: &[u64], fraction: u64) {
        let factor = _mm512_set1_epi64(fraction as i64);
        let (chunks, rest) = sums.as_chunks_mut::<LANES>();
        let (inputs, input_rest) = y.as_chunks::<LANES>();
        for (chunk, y) in chunks.iter_mut().zip(inputs) {
            store(chunk, _mm512_madd52hi_epu64(load(chunk), load(y), factor));
        }
        for (sum, y) in rest.iter_mut().zip(input_rest) {
            *sum += ((u128::from(*y) * u128::from(fraction)) >> 52) as u64;
        }
    }

    /// Vectors in flight, to cover the latency of the multiply-add.
    const WIDTH: usize = 4;

    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn combine(target: &Target, out: &mut [u64], residues: &[u64], multiples: &[u64]) {
        let c = Constants::new(&target.modulus);
        let multiple = _mm512_set1_epi64(target.multiple as i64);
        let multiples = multiples.as_chunks::<LANES>().0;
        let out = out.as_chunks_mut::<LANES>().0;
        let zero = _mm512_setzero_si512();
        // High halves are below 2^48 each for 50-bit numbers: fold before sixteen of them meet.
        const FOLD: usize = 14;
        for (block, out) in out.chunks_mut(WIDTH).enumerate() {
            let (mut low, mut high) = ([zero; WIDTH], [zero; WIDTH]);
            for k in 0..out.len() {
                let v = load(&multiples[block * WIDTH + k]);
                low[k] = _mm512_madd52lo_epu64(zero, v, multiple);
                high[k] = _mm512_madd52hi_epu64(zero, v, multiple);
            }
            for (index, (entry, y)) in target.row.iter().zip(residues.chunks_exact(BLOCK)).enumerate() {
                if index % FOLD == FOLD - 1 {
                    for k in 0..WIDTH {
                        low[k] = c.reduce_sums(high[k], low[k]);
                        high[k] = zero;
                    }
                }
                let entry = _mm512_set1_epi64(*entry as i64);
                let y = &y.as_chunks::<LANES>().0[block * WIDTH..];
                for k in 0..WIDTH {
                    let y = load(&y[k]);
                    low[k] = _mm512_madd52lo_epu64(low[k], entry, y);
                    high[k] = _mm512_madd52hi_epu64(high[k], entry, y);
                }
            }
            for (k, out) in out.iter_mut().enumerate() {
                store(out, c.reduce_sums(high[k], low[k]));
            }
        }
    }
}
