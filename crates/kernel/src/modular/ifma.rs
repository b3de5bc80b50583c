//! The vector operations on AVX-512 IFMA, for moduli below 2^50.
//!
//! `vpmadd52luq` and `vpmadd52huq` multiply the low 52 bits of each lane and add the low or the high 52 bits of the
//! product to a 64-bit accumulator. Two facts are used throughout: bits above 52 of a *multiplicand* are ignored, so
//! sums are computed modulo 2^52 and masked only where they are compared; and `min(x, x - q)` on unsigned lanes
//! is the conditional subtraction.
//!
//! Every function here is a safe `#[target_feature]` function; the callers in `vector.rs` reach them only for a
//! modulus whose tier was detected.

use core::arch::x86_64::*;

use super::{Modulus, Shoup};

/// Lanes of a vector.
pub const LANES: usize = 8;

const MASK: u64 = (1 << 52) - 1;

/// Lane constants of a modulus.
#[derive(Clone, Copy)]
pub struct Constants {
    /// The modulus.
    pub q: __m512i,
    /// Twice the modulus.
    pub q2: __m512i,
    /// `2^52 - q`: adding its low products subtracts multiples of the modulus, modulo 2^52.
    pub minus_q: __m512i,
    /// `floor(2^52 / q)`.
    pub one: __m512i,
    /// `2^52 mod q`.
    pub shift: __m512i,
    /// `floor(shift 2^52 / q)`.
    pub shift_quotient: __m512i,
    /// `2^52 - 1`.
    pub mask: __m512i,
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn splat(x: u64) -> __m512i {
    _mm512_set1_epi64(x as i64)
}

impl Constants {
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn new(modulus: &Modulus) -> Self {
        let q = modulus.value();
        debug_assert!(modulus.bits() <= super::VECTOR_BITS);
        let shift = modulus.reduce(1 << 52);
        Self {
            q: splat(q),
            q2: splat(2 * q),
            minus_q: splat((1 << 52) - q),
            one: splat((1 << 52) / q),
            shift: splat(shift),
            shift_quotient: splat(((u128::from(shift) << 52) / u128::from(q)) as u64),
            mask: splat(MASK),
        }
    }

    /// `x - q` if that is not negative.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn correct(&self, x: __m512i) -> __m512i {
        _mm512_min_epu64(x, _mm512_sub_epi64(x, self.q))
    }

    /// A value below `4 q` modulo 2^52 to its residue.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn correct4(&self, x: __m512i) -> __m512i {
        let x = _mm512_and_si512(x, self.mask);
        self.correct(_mm512_min_epu64(x, _mm512_sub_epi64(x, self.q2)))
    }

    /// The residue of `high 2^52 + low mod 2^52`, where `high` is below 2^52.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn reduce(&self, high: __m512i, low: __m512i) -> __m512i {
        let zero = _mm512_setzero_si512();
        let quotient = _mm512_madd52hi_epu64(zero, high, self.shift_quotient);
        let quotient = _mm512_madd52hi_epu64(quotient, low, self.one);
        // Each part is short of its quotient by less than two, so the rest is below 4 q < 2^52.
        let rest = _mm512_madd52lo_epu64(low, high, self.shift);
        self.correct4(_mm512_madd52lo_epu64(rest, quotient, self.minus_q))
    }

    /// The residue of `x < 2^52`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn reduce_word(&self, x: __m512i) -> __m512i {
        let quotient = _mm512_madd52hi_epu64(_mm512_setzero_si512(), x, self.one);
        let rest = _mm512_madd52lo_epu64(x, quotient, self.minus_q);
        self.correct(_mm512_and_si512(rest, self.mask))
    }

    /// The residue of `high 2^52 + low` where `low` may exceed 52 bits; `high` plus its carry is below 2^52.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn reduce_sums(&self, high: __m512i, low: __m512i) -> __m512i {
        // What `low` has above 52 bits is ignored as a multiplicand, and masked at the end in the sum.
        self.reduce(_mm512_add_epi64(high, _mm512_srli_epi64::<52>(low)), low)
    }

    /// The residue of `x w` for `x < 2^52`, with `w_quotient = floor(w 2^52 / q)`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn scale(&self, x: __m512i, w: __m512i, w_quotient: __m512i) -> __m512i {
        let zero = _mm512_setzero_si512();
        let quotient = _mm512_madd52hi_epu64(zero, x, w_quotient);
        let product = _mm512_madd52lo_epu64(zero, x, w);
        let rest = _mm512_madd52lo_epu64(product, quotient, self.minus_q);
        self.correct(_mm512_and_si512(rest, self.mask))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn mul(&self, a: __m512i, b: __m512i) -> __m512i {
        let zero = _mm512_setzero_si512();
        self.reduce(_mm512_madd52hi_epu64(zero, a, b), _mm512_madd52lo_epu64(zero, a, b))
    }
}

/// A reduction of sums of few products that takes one quotient product instead of two, and one correction.
#[derive(Clone, Copy)]
pub struct Short {
    /// The sum's bits that the quotient leaves out: two fewer than the modulus has.
    down: __m512i,
    /// `52 - down`.
    up: __m512i,
    /// `floor(2^(52 + down) / q)`.
    inverse: __m512i,
}

impl Short {
    /// For sums of `terms` products of residues and one residue; `None` where they are too large, or a vector too narrow.
    ///
    /// Such a sum S is below `2^(2 b + k)` with b the modulus' bits and `terms < 2^k`. Its quotient is short of S / q by less than
    /// 1 for the last flooring, `2^down / q <= 1/2` for the bits left out, and `S 2^-down 2^-52 <= 1/2` for the
    /// inverse's, if `b + k <= 49`. So the rest is below 2 q.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn new(modulus: &Modulus, terms: usize) -> Option<Self> {
        let (b, k) = (modulus.bits(), usize::BITS - terms.leading_zeros());
        if b + k > 49 || b < 2 {
            return None;
        }
        let down = b - 2;
        let inverse = (1u128 << (52 + down)) / u128::from(modulus.value());
        Some(Self { down: splat(down.into()), up: splat((52 - down).into()), inverse: splat(inverse as u64) })
    }

    /// The residue of `high 2^52 + low`, where `low` may exceed 52 bits.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn reduce(&self, c: &Constants, high: __m512i, low: __m512i) -> __m512i {
        let top = _mm512_add_epi64(_mm512_sllv_epi64(high, self.up), _mm512_srlv_epi64(low, self.down));
        let quotient = _mm512_madd52hi_epu64(_mm512_setzero_si512(), top, self.inverse);
        let rest = _mm512_madd52lo_epu64(low, quotient, c.minus_q);
        c.correct(_mm512_and_si512(rest, c.mask))
    }
}

/// A Shoup factor's lanes: the factor and `floor(w 2^52 / q)`.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn factor(w: Shoup) -> (__m512i, __m512i) {
    (splat(w.value), splat(w.quotient >> 12))
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub fn load(words: &[u64; LANES]) -> __m512i {
    // SAFETY: the array is 64 readable bytes, and the load does not require alignment.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub fn store(words: &mut [u64; LANES], x: __m512i) {
    // SAFETY: the array is 64 writable bytes, and the store does not require alignment.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), x) }
}

/// Applies the expression to whole vectors of `$out` and the inputs; what is left goes to the portable twin.
macro_rules! for_lanes {
    ([$($name:ident : $slice:expr),+] $out:expr => $value:expr, $rest:expr) => {{
        let length = $out.len();
        let whole = length / LANES * LANES;
        {
            let (chunks, _) = $out.as_chunks_mut::<LANES>();
            for (index, chunk) in chunks.iter_mut().enumerate() {
                $(let $name = load(&$slice.as_chunks::<LANES>().0[index]);)+
                #[allow(clippy::redundant_closure_call)]
                let value = $value(load(chunk));
                store(chunk, value);
            }
        }
        if whole < length {
            $rest(whole);
        }
    }};
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub fn add_assign(q: &Modulus, a: &mut [u64], b: &[u64]) {
    let c = Constants::new(q);
    for_lanes!([y: b] a => |x| c.correct(_mm512_add_epi64(x, y)),
        |from: usize| super::portable::add_assign(q, &mut a[from..], &b[from..]));
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub fn sub_assign(q: &Modulus, a: &mut [u64], b: &[u64]) {
    let c = Constants::new(q);
    // x - y wraps to a huge number exactly when it is negative, and then adding q gives the smaller one.
    for_lanes!([y: b] a => |x| {
        let less = _mm512_sub_epi64(x, y);
        _mm512_min_epu64(less, _mm512_add_epi64(less, c.q))
    }, |from: usize| super::portable::sub_assign(q, &mut a[from..], &b[from..]));
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub fn neg_assign(q: &Modulus, a: &mut [u64]) {
    let c = Constants::new(q);
    let (chunks, rest) = a.as_chunks_mut::<LANES>();
    for chunk in chunks {
        let less = _mm512_sub_epi64(_mm512_setzero_si512(), load(chunk));
        store(chunk, _mm512_min_epu64(less, _mm512_add_epi64(less, c.q)));
    }
    super::portable::neg_assign(q, rest);
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub fn mul_into(q: &Modulus, out: &mut [u64], a: &[u64], b: &[u64]) {
    let c = Constants::new(q);
    for_lanes!([x: a, y: b] out => |_| c.mul(x, y),
        |from: usize| super::portable::mul_into(q, &mut out[from..], &a[from..], &b[from..]));
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub fn mul_assign(q: &Modulus, a: &mut [u64], b: &[u64]) {
    let c = Constants::new(q);
    for_lanes!([y: b] a => |x| c.mul(x, y),
        |from: usize| super::portable::mul_assign(q, &mut a[from..], &b[from..]));
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub fn mul_add_assign(q: &Modulus, out: &mut [u64], a: &[u64], b: &[u64]) {
    let c = Constants::new(q);
    for_lanes!([x: a, y: b] out => |sum| {
        let high = _mm512_madd52hi_epu64(_mm512_setzero_si512(), x, y);
        c.reduce_sums(high, _mm512_madd52lo_epu64(sum, x, y))
    }, |from: usize| super::portable::mul_add_assign(q, &mut out[from..], &a[from..], &b[from..]));
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub fn scale_assign(q: &Modulus, a: &mut [u64], w: Shoup) {
    let (c, (value, quotient)) = (Constants::new(q), factor(w));
    let (chunks, rest) = a.as_chunks_mut::<LANES>();
    for chunk in chunks {
        store(chunk, c.scale(load(chunk), value, quotient));
    }
    super::portable::scale_assign(q, rest, w);
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub fn sub_scale_assign(q: &Modulus, a: &mut [u64], b: &[u64], w: Shoup) {
    let (c, (value, quotient)) = (Constants::new(q), factor(w));
    for_lanes!([y: b] a => |x| {
        c.scale(_mm512_sub_epi64(_mm512_add_epi64(x, c.q), y), value, quotient)
    }, |from: usize| super::portable::sub_scale_assign(q, &mut a[from..], &b[from..], w));
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub fn reduce_into(q: &Modulus, out: &mut [u64], a: &[u64]) {
    let c = Constants::new(q);
    for_lanes!([x: a] out => |_| c.reduce(_mm512_srli_epi64::<52>(x), _mm512_and_si512(x, c.mask)),
        |from: usize| super::portable::reduce_into(q, &mut out[from..], &a[from..]));
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub fn rebase_into(q: &Modulus, out: &mut [u64], a: &[u64], from: &Modulus) {
    let c = Constants::new(q);
    let half = splat(from.value().div_ceil(2));
    let offset = splat(q.reduce(from.value()));
    for_lanes!([x: a] out => |_| {
        let rest = c.reduce_word(x);
        let less = _mm512_mask_sub_epi64(rest, _mm512_cmpge_epu64_mask(x, half), rest, offset);
        _mm512_min_epu64(less, _mm512_add_epi64(less, c.q))
    }, |start: usize| super::portable::rebase_into(q, &mut out[start..], &a[start..], from));
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn small(c: &Constants, a: &[i8; LANES]) -> __m512i {
    let wide = _mm512_cvtepi8_epi64(_mm_cvtsi64_si128(i64::from_le_bytes(a.map(|byte| byte as u8))));
    // A negative number is huge as an unsigned one.
    _mm512_min_epu64(wide, _mm512_add_epi64(wide, c.q))
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub fn small_into(q: &Modulus, out: &mut [u64], a: &[i8]) {
    let c = Constants::new(q);
    let (chunks, rest) = out.as_chunks_mut::<LANES>();
    let (inputs, input_rest) = a.as_chunks::<LANES>();
    for (chunk, input) in chunks.iter_mut().zip(inputs) {
        store(chunk, small(&c, input));
    }
    super::portable::small_into(q, rest, input_rest);
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub fn small_add_assign(q: &Modulus, out: &mut [u64], a: &[i8]) {
    let c = Constants::new(q);
    let (chunks, rest) = out.as_chunks_mut::<LANES>();
    let (inputs, input_rest) = a.as_chunks::<LANES>();
    for (chunk, input) in chunks.iter_mut().zip(inputs) {
        store(chunk, c.correct(_mm512_add_epi64(load(chunk), small(&c, input))));
    }
    super::portable::small_add_assign(q, rest, input_rest);
}

/// Vectors of one block of [`dot_scalars`]: two halves each, sixteen accumulators.
const SCALAR_BLOCK: usize = 8;

/// `out += sum of factor * row`, with the sums of the low and the high halves kept in registers.
#[target_feature(enable = "avx512f,avx512ifma")]
pub fn dot_scalars(q: &Modulus, out: &mut [u64], terms: &[(u64, &[u64])]) {
    let c = Constants::new(q);
    // High halves are below 2^(2 bits - 52) each; their sum and a carry stay below 2^52.
    let limit = (1usize << (104 - 2 * q.bits()).min(11)) - 1;
    let whole = out.len() / (LANES * SCALAR_BLOCK) * (LANES * SCALAR_BLOCK);
    let zero = _mm512_setzero_si512();
    for start in (0..whole).step_by(LANES * SCALAR_BLOCK) {
        let range = start..start + LANES * SCALAR_BLOCK;
        let block = out[range.clone()].as_chunks_mut::<LANES>().0;
        for terms in terms.chunks(limit) {
            let mut low = [zero; SCALAR_BLOCK];
            let mut high = [zero; SCALAR_BLOCK];
            for k in 0..SCALAR_BLOCK {
                low[k] = load(&block[k]);
            }
            for (factor, row) in terms {
                let factor = splat(*factor);
                let row = row[range.clone()].as_chunks::<LANES>().0;
                for k in 0..SCALAR_BLOCK {
                    let x = load(&row[k]);
                    low[k] = _mm512_madd52lo_epu64(low[k], factor, x);
                    high[k] = _mm512_madd52hi_epu64(high[k], factor, x);
                }
            }
            for k in 0..SCALAR_BLOCK {
                store(&mut block[k], c.reduce_sums(high[k], low[k]));
            }
        }
    }
    if whole < out.len() {
        let rest: Vec<_> = terms.iter().map(|(f, row)| (*f, &row[whole..])).collect();
        super::portable::dot_scalars(q, &mut out[whole..], &rest);
    }
}

/// `out[i] = a[index[i]]`; every index is below `a.len()`.
#[target_feature(enable = "avx512f,avx512ifma")]
pub fn gather(out: &mut [u64], a: &[u64], index: &[u32]) {
    let bound = splat(a.len() as u64);
    let (chunks, rest) = out.as_chunks_mut::<LANES>();
    let (indices, index_rest) = index.as_chunks::<LANES>();
    for (chunk, lanes) in chunks.iter_mut().zip(indices) {
        // SAFETY: the array is 32 readable bytes, and the load does not require alignment.
        let lanes = unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) };
        let valid = _mm512_cmplt_epu64_mask(_mm512_cvtepu32_epi64(lanes), bound);
        assert_eq!(valid, 0xff, "a permutation's entries are positions of the vector");
        // SAFETY: every lane was just compared with the length of `a`, and 32-bit indices of words of at most
        // 2^16 entries are not negative.
        let value = unsafe { _mm512_i32gather_epi64::<8>(lanes, a.as_ptr().cast()) };
        store(chunk, value);
    }
    super::portable::gather(rest, a, index_rest);
}
