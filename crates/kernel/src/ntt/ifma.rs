//! The transform on AVX-512 IFMA, for primes below 2^50.
//!
//! # Structure
//!
//! The first `log2 n - 3` levels pair vectors with vectors and are done three at a time on eight registers (one or
//! two remaining levels go first). The last three levels pair entries within one vector: a block of eight vectors is transposed once in
//! registers, the three levels are done between registers with a vector of factors each, and the block
//! is stored transposed. Blocks larger than the first-level cache are split by one pass and finished part by part.
//!
//! # Ranges
//!
//! All values are integers modulo 2^52; bits above are garbage that the multiplier ignores. A factor `w` comes
//! with `floor(w 2^52 / q)`, and the product is then in `[0, 2q)` for any operand below 2^52.
//!
//! *Narrow* primes, `q < 2^46`: forward adds `B = 2 q log2 n` to the upper half of the input once, and butterflies are
//! `(x + t, x - t)` with no correction at all: with `x < B + 2q` at the start, after k levels
//! `B - 2kq <= x < B + 2q + 2kq <= 62 q < 2^52` for `n <= 2^15`. Inverse keeps values below `8 q` between passes; in a pass only
//! the first of the eight registers grows beyond (to `64 q`) and is corrected.
//!
//! *Wide* primes, `q < 2^50`: Harvey's ranges, below `4 q` forward and below `2 q` inverse, corrected at each level.

use core::arch::x86_64::*;

use crate::modular::{Modulus, Words};

/// Degrees: at least one pass between vectors, and no more than the ranges of the narrow butterflies allow.
pub const DEGREES: core::ops::RangeInclusive<usize> = 128..=1 << 15;

/// Primes below this many bits use the uncorrected butterflies.
const NARROW_BITS: u32 = 46;

/// Words of a block that stays in the first-level cache (32 KiB).
const CACHED: usize = 4096;

type V = __m512i;

/// Butterfly factors with their quotients.
#[derive(Clone, Debug)]
pub struct Tables {
    forward: Direction,
    inverse: Direction,
    /// `1/n` and the last inverse factor over `n`, each with its quotient.
    last: [[u64; 2]; 2],
}

/// Factors of one direction.
#[derive(Clone, Debug)]
struct Direction {
    /// Pairs (factor, quotient) in bit-reversed order, for the levels between vectors.
    outer: Vec<[u64; 2]>,
    /// For each block of 64 the seven vectors of factors of its three levels, each followed by its quotients.
    inner: Words,
}

/// Vectors of factors of one block of 64 entries.
const INNER: usize = 14;

impl Tables {
    pub fn new(degree: usize, modulus: &Modulus, root: u64) -> Self {
        let pair = |w: u64| [w, ((u128::from(w) << 52) / u128::from(modulus.value())) as u64];
        // Inverses by Fermat: the modulus is prime.
        let inverse_of = |x| modulus.pow(x, modulus.value() - 2);
        let direction = |root| {
            let powers = super::powers_bit_reversed(degree, modulus, root);
            let mut inner = Words::zeros(degree / 64 * INNER * 8);
            for (block, vectors) in inner.chunks_exact_mut(INNER * 8).enumerate() {
                // Levels with n/8, n/4 and n/2 groups; a lane is one of the block's eight rows.
                let levels = [(8, 0), (4, 0), (4, 1), (2, 0), (2, 1), (2, 2), (2, 3)];
                for ((parts, offset), vector) in levels.into_iter().zip(vectors.chunks_exact_mut(16)) {
                    let per_row = 8 / parts;
                    for lane in 0..8 {
                        let group = degree / parts + (8 * block + lane) * per_row + offset;
                        [vector[lane], vector[8 + lane]] = pair(powers[group]);
                    }
                }
            }
            Direction { outer: powers[..degree / 8].iter().map(|w| pair(*w)).collect(), inner }
        };
        let inverse = direction(inverse_of(root));
        let scale = inverse_of(degree as u64);
        // The last inverse level has one group, whose factor is the inverse of root^(n/2).
        let last_factor = modulus.mul(scale, inverse_of(modulus.pow(root, degree as u64 / 2)));
        Self { forward: direction(root), inverse, last: [pair(scale), pair(last_factor)] }
    }
}

/// Lane constants of a transform.
#[derive(Clone, Copy)]
struct Lanes {
    q: V,
    minus_q: V,
    mask: V,
    /// `floor(2^52 / q)`.
    one: V,
    /// `q` times 2, 8, 16, 32 and the bias `2 log2 n`.
    q2: V,
    q8: V,
    q16: V,
    q32: V,
    bias: V,
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn splat(x: u64) -> V {
    _mm512_set1_epi64(x as i64)
}

impl Lanes {
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn new(modulus: &Modulus, degree: usize) -> Self {
        let q = modulus.value();
        Self {
            q: splat(q),
            minus_q: splat((1 << 52) - q),
            mask: splat((1 << 52) - 1),
            one: splat((1 << 52) / q),
            q2: splat(2 * q),
            q8: splat(8 * q),
            q16: splat(16 * q),
            q32: splat(32 * q),
            bias: splat(2 * q * u64::from(degree.trailing_zeros())),
        }
    }

    /// `x w` in `[0, 2q)` modulo 2^52.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn product(&self, x: V, w: V, quotient: V) -> V {
        let zero = _mm512_setzero_si512();
        let multiple = _mm512_madd52hi_epu64(zero, x, quotient);
        _mm512_madd52lo_epu64(_mm512_madd52lo_epu64(zero, x, w), multiple, self.minus_q)
    }

    /// `x mod 2^52`, less `bound` if that is not negative.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn correct(&self, x: V, bound: V) -> V {
        let x = _mm512_and_si512(x, self.mask);
        _mm512_min_epu64(x, _mm512_sub_epi64(x, bound))
    }

    /// The residue of a value at the end of a forward transform.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn finish<const WIDE: bool>(&self, x: V) -> V {
        let below_twice = if WIDE {
            // Wide values carry no garbage.
            _mm512_min_epu64(x, _mm512_sub_epi64(x, self.q2))
        } else {
            let multiple = _mm512_madd52hi_epu64(_mm512_setzero_si512(), x, self.one);
            _mm512_and_si512(_mm512_madd52lo_epu64(x, multiple, self.minus_q), self.mask)
        };
        _mm512_min_epu64(below_twice, _mm512_sub_epi64(below_twice, self.q))
    }

    /// Forward: `(x + w y, x - w y)`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn cooley_tukey<const WIDE: bool>(&self, x: &mut V, y: &mut V, w: V, quotient: V) {
        let t = self.product(*y, w, quotient);
        if WIDE {
            let t = _mm512_and_si512(t, self.mask);
            let a = _mm512_min_epu64(*x, _mm512_sub_epi64(*x, self.q2));
            *x = _mm512_add_epi64(a, t);
            *y = _mm512_sub_epi64(_mm512_add_epi64(a, self.q2), t);
        } else {
            let a = *x;
            *x = _mm512_add_epi64(a, t);
            *y = _mm512_sub_epi64(a, t);
        }
    }

    /// Inverse: `(x + y, w (x - y))`. Narrow values are below `32 q` here, so that adding as much keeps the difference in
    /// `[0, 64 q)`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn gentleman_sande<const WIDE: bool>(&self, x: &mut V, y: &mut V, w: V, quotient: V) {
        let (a, b) = (*x, *y);
        let sum = _mm512_add_epi64(a, b);
        if WIDE {
            *x = _mm512_min_epu64(sum, _mm512_sub_epi64(sum, self.q2));
            let difference = _mm512_sub_epi64(_mm512_add_epi64(a, self.q2), b);
            *y = _mm512_and_si512(self.product(difference, w, quotient), self.mask);
        } else {
            *x = sum;
            let difference = _mm512_sub_epi64(_mm512_add_epi64(a, self.q32), b);
            *y = self.product(difference, w, quotient);
        }
    }

    /// The forward levels that pair `R` vectors, with factors 0 | 1 2 | 3 4 5 6.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn forward_levels<const WIDE: bool, const R: usize>(&self, x: &mut [V; R], w: &[[V; 2]; 7]) {
        let (mut half, mut first) = (R / 2, 0);
        while half > 0 {
            let groups = R / 2 / half;
            for group in 0..groups {
                let [factor, quotient] = w[first + group];
                for upper in 2 * half * group..2 * half * group + half {
                    let (mut a, mut b) = (x[upper], x[upper + half]);
                    self.cooley_tukey::<WIDE>(&mut a, &mut b, factor, quotient);
                    (x[upper], x[upper + half]) = (a, b);
                }
            }
            first += groups;
            half /= 2;
        }
    }

    /// The inverse levels that pair `R` vectors, factors as in the forward direction. With `last`, the final
    /// level takes the factors `1/n` for its sums and the second pair for its differences.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn inverse_levels<const WIDE: bool, const LAST: bool, const R: usize>(
        &self,
        x: &mut [V; R],
        w: &[[V; 2]; 7],
        last: &[[V; 2]; 2],
    ) {
        let mut half = 1;
        while half < R {
            let groups = R / 2 / half;
            for group in 0..groups {
                let [factor, quotient] = w[groups - 1 + group];
                for upper in 2 * half * group..2 * half * group + half {
                    let (mut a, mut b) = (x[upper], x[upper + half]);
                    if LAST && groups == 1 {
                        let above = if WIDE { self.q2 } else { self.q32 };
                        let sum = _mm512_add_epi64(a, b);
                        let difference = _mm512_sub_epi64(_mm512_add_epi64(a, above), b);
                        a = self.correct(self.product(sum, last[0][0], last[0][1]), self.q);
                        b = self.correct(self.product(difference, last[1][0], last[1][1]), self.q);
                    } else {
                        self.gentleman_sande::<WIDE>(&mut a, &mut b, factor, quotient);
                    }
                    (x[upper], x[upper + half]) = (a, b);
                }
            }
            half *= 2;
        }
        if !WIDE && !LAST {
            // Only the first vector is a sum of sums throughout: below 64 q, or 32 q after two levels.
            x[0] = self.correct(self.correct(self.correct(x[0], self.q32), self.q16), self.q8);
        }
    }
}

/// The factors of a pass of up to three levels from `group` on (group number plus the number of groups, as in a heap),
/// in all lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn broadcast<const R: usize>(outer: &[[u64; 2]], group: usize) -> [[V; 2]; 7] {
    let mut w = [[_mm512_setzero_si512(); 2]; 7];
    for level in 0..R.ilog2() as usize {
        let factors = &outer[group << level..(group + 1) << level];
        for (w, factor) in w[(1 << level) - 1..].iter_mut().zip(factors) {
            *w = [splat(factor[0]), splat(factor[1])];
        }
    }
    w
}

/// `R` vectors, `stride` words apart.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
unsafe fn load_all<const R: usize>(start: *const u64, stride: usize) -> [V; R] {
    let mut x = [_mm512_setzero_si512(); R];
    for (k, x) in x.iter_mut().enumerate() {
        // SAFETY: the caller vouches for R vectors, `stride` words apart.
        *x = unsafe { _mm512_loadu_si512(start.add(k * stride).cast()) };
    }
    x
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
unsafe fn store_all<const R: usize>(start: *mut u64, stride: usize, x: &[V; R]) {
    for (k, x) in x.iter().enumerate() {
        // SAFETY: the caller vouches for R vectors, `stride` words apart.
        unsafe { _mm512_storeu_si512(start.add(k * stride).cast(), *x) };
    }
}

/// One forward pass: `log2 R` levels of one group. `FIRST` adds the bias of narrow primes.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn forward_pass<const WIDE: bool, const FIRST: bool, const R: usize>(
    lanes: &Lanes,
    outer: &[[u64; 2]],
    block: &mut [u64],
    group: usize,
) {
    let stride = block.len() / R;
    let w = broadcast::<R>(outer, group);
    for start in (0..stride / 8 * 8).step_by(8) {
        // SAFETY: start + (R - 1) stride + 8 <= R stride <= block.len().
        let mut x = unsafe { load_all::<R>(block.as_ptr().add(start), stride) };
        if FIRST && !WIDE {
            for x in &mut x[..R / 2] {
                *x = _mm512_add_epi64(*x, lanes.bias);
            }
        }
        lanes.forward_levels::<WIDE, R>(&mut x, &w);
        // SAFETY: as above.
        unsafe { store_all(block.as_mut_ptr().add(start), stride, &x) };
    }
}

/// One inverse pass. `LAST` is the one that ends the transform.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn inverse_pass<const WIDE: bool, const LAST: bool, const R: usize>(
    lanes: &Lanes,
    tables: &Tables,
    block: &mut [u64],
    group: usize,
) {
    let stride = block.len() / R;
    let w = broadcast::<R>(&tables.inverse.outer, group);
    let last = tables.last.map(|pair| pair.map(|word| splat(word)));
    for start in (0..stride / 8 * 8).step_by(8) {
        // SAFETY: start + (R - 1) stride + 8 <= R stride <= block.len().
        let mut x = unsafe { load_all::<R>(block.as_ptr().add(start), stride) };
        lanes.inverse_levels::<WIDE, LAST, R>(&mut x, &w, &last);
        // SAFETY: as above.
        unsafe { store_all(block.as_mut_ptr().add(start), stride, &x) };
    }
}

/// The factors of the three inner levels of one block of 64.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn inner_factors(inner: &Words, block: usize) -> [[V; 2]; 7] {
    let vectors = &inner[block * INNER * 8..(block + 1) * INNER * 8];
    let mut w = [[_mm512_setzero_si512(); 2]; 7];
    for (w, pair) in w.iter_mut().zip(vectors.as_chunks::<16>().0) {
        // SAFETY: the pair is sixteen words.
        *w = unsafe { load_all::<2>(pair.as_ptr(), 8) };
    }
    w
}

/// The last three forward levels and the reduction, of the blocks from number `first` on.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn forward_inner<const WIDE: bool>(lanes: &Lanes, inner: &Words, words: &mut [u64], first: usize) {
    for (block, entries) in words.as_chunks_mut::<64>().0.iter_mut().enumerate() {
        // SAFETY: eight vectors of eight words are the block.
        let mut x = transpose(unsafe { load_all::<8>(entries.as_ptr(), 8) });
        lanes.forward_levels::<WIDE, 8>(&mut x, &inner_factors(inner, first + block));
        for x in &mut x {
            *x = lanes.finish::<WIDE>(*x);
        }
        // SAFETY: as above.
        unsafe { store_all(entries.as_mut_ptr(), 8, &x) };
    }
}

/// The first three inverse levels.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn inverse_inner<const WIDE: bool>(lanes: &Lanes, inner: &Words, words: &mut [u64], first: usize) {
    let unused = [[lanes.q; 2]; 2];
    for (block, entries) in words.as_chunks_mut::<64>().0.iter_mut().enumerate() {
        // SAFETY: eight vectors of eight words are the block.
        let mut x = unsafe { load_all::<8>(entries.as_ptr(), 8) };
        lanes.inverse_levels::<WIDE, false, 8>(&mut x, &inner_factors(inner, first + block), &unused);
        // SAFETY: as above.
        unsafe { store_all(entries.as_mut_ptr(), 8, &transpose(x)) };
    }
}

/// Swaps rows and columns of an 8 x 8 matrix of words.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn transpose(x: [V; 8]) -> [V; 8] {
    let [a, b, c, d, e, f, g, h] = x;
    // Pairs of rows, then quarters, then halves.
    let (ab0, ab1) = (_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    let (cd0, cd1) = (_mm512_unpacklo_epi64(c, d), _mm512_unpackhi_epi64(c, d));
    let (ef0, ef1) = (_mm512_unpacklo_epi64(e, f), _mm512_unpackhi_epi64(e, f));
    let (gh0, gh1) = (_mm512_unpacklo_epi64(g, h), _mm512_unpackhi_epi64(g, h));
    let quad = |x, y| (_mm512_shuffle_i64x2::<0x88>(x, y), _mm512_shuffle_i64x2::<0xdd>(x, y));
    // Lanes (0, 4) and (2, 6) of columns 0 2 4 6, then odd columns.
    let ((abcd0, abcd2), (efgh0, efgh2)) = (quad(ab0, cd0), quad(ef0, gh0));
    let ((abcd1, abcd3), (efgh1, efgh3)) = (quad(ab1, cd1), quad(ef1, gh1));
    let ((c0, c4), (c1, c5)) = (quad(abcd0, efgh0), quad(abcd1, efgh1));
    let ((c2, c6), (c3, c7)) = (quad(abcd2, efgh2), quad(abcd3, efgh3));
    [c0, c1, c2, c3, c4, c5, c6, c7]
}

/// Levels of the first pass of a block with `levels` between its vectors: three at a time, two where that does
/// not divide.
fn radix_bits(levels: usize) -> usize {
    if levels.is_multiple_of(3) { 3 } else { 2 }
}

pub use entry::{forward, inverse};

mod entry {
    //! The walk over blocks and passes.

    use super::*;

    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn forward(modulus: &Modulus, tables: &Tables, words: &mut [u64]) {
        let lanes = Lanes::new(modulus, words.len());
        if modulus.bits() <= NARROW_BITS {
            forward_block::<false, true>(&lanes, &tables.forward, words, 1, 0);
        } else {
            forward_block::<true, true>(&lanes, &tables.forward, words, 1, 0);
        }
    }

    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn inverse(modulus: &Modulus, tables: &Tables, words: &mut [u64]) {
        let lanes = Lanes::new(modulus, words.len());
        if modulus.bits() <= NARROW_BITS {
            inverse_block::<false, true>(&lanes, tables, words, 1, 0);
        } else {
            inverse_block::<true, true>(&lanes, tables, words, 1, 0);
        }
    }

    /// All levels of one group, whose first word is `offset` in the whole.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn forward_block<const WIDE: bool, const FIRST: bool>(
        lanes: &Lanes,
        tables: &Direction,
        words: &mut [u64],
        group: usize,
        offset: usize,
    ) {
        let mut levels = words.len().ilog2() as usize - 3;
        let bits = radix_bits(levels);
        match bits {
            3 => forward_pass::<WIDE, FIRST, 8>(lanes, &tables.outer, words, group),
            _ => forward_pass::<WIDE, FIRST, 4>(lanes, &tables.outer, words, group),
        }
        if words.len() > CACHED {
            let part = words.len() >> bits;
            for (k, block) in words.chunks_exact_mut(part).enumerate() {
                forward_block::<WIDE, false>(lanes, tables, block, (group << bits) + k, offset + k * part);
            }
            return;
        }
        let mut done = bits;
        levels -= bits;
        while levels > 0 {
            let bits = radix_bits(levels);
            let span = words.len() >> done;
            for (k, block) in words.chunks_exact_mut(span).enumerate() {
                match bits {
                    3 => forward_pass::<WIDE, false, 8>(lanes, &tables.outer, block, (group << done) + k),
                    _ => forward_pass::<WIDE, false, 4>(lanes, &tables.outer, block, (group << done) + k),
                }
            }
            done += bits;
            levels -= bits;
        }
        forward_inner::<WIDE>(lanes, &tables.inner, words, offset / 64);
    }

    /// All levels of one group, in the opposite order.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn inverse_block<const WIDE: bool, const LAST: bool>(
        lanes: &Lanes,
        tables: &Tables,
        words: &mut [u64],
        group: usize,
        offset: usize,
    ) {
        let levels = words.len().ilog2() as usize - 3;
        let first = radix_bits(levels);
        if words.len() > CACHED {
            let part = words.len() >> first;
            for (k, block) in words.chunks_exact_mut(part).enumerate() {
                inverse_block::<WIDE, false>(lanes, tables, block, (group << first) + k, offset + k * part);
            }
        } else {
            inverse_inner::<WIDE>(lanes, &tables.inverse.inner, words, offset / 64);
            // The forward passes after the first, last to first.
            let mut done = levels;
            while done > first {
                let bits = if radix_bits(levels - first) == 2 && done == first + 2 { 2 } else { 3 };
                done -= bits;
                let span = words.len() >> done;
                for (k, block) in words.chunks_exact_mut(span).enumerate() {
                    match bits {
                        3 => inverse_pass::<WIDE, false, 8>(lanes, tables, block, (group << done) + k),
                        _ => inverse_pass::<WIDE, false, 4>(lanes, tables, block, (group << done) + k),
                    }
                }
            }
        }
        match first {
            3 => inverse_pass::<WIDE, LAST, 8>(lanes, tables, words, group),
            _ => inverse_pass::<WIDE, LAST, 4>(lanes, tables, words, group),
        }
    }
}
