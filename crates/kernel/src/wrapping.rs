//! Sums of products of machine integers that wrap: plain arithmetic modulo 2^32 and 2^64.
//!
//! The loops are plain Rust, compiled once for each tier: the compiler turns them into the tier's vector instructions. The tests run
//! each.

use crate::tier::Tier;

/// Neighbouring elements that are worked on in registers. Sources and sums are whole multiples of it.
pub const LANES: usize = 64;

/// Rows of weights worked on in registers.
const ROWS: usize = 4;

/// Integers whose arithmetic wraps: `i32` and `i64`.
pub trait Wrapping: Copy + Default + Send + Sync + 'static {
    /// `self + a * b`.
    fn plus_product(self, a: Self, b: Self) -> Self;
    /// `self + other`.
    fn plus(self, other: Self) -> Self;
}

macro_rules! wrapping {
    ($($integer:ty),*) => {$(
        impl Wrapping for $integer {
            #[inline(always)]
            fn plus_product(self, a: Self, b: Self) -> Self {
                self.wrapping_add(a.wrapping_mul(b))
            }

            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
        }
    )*};
}

wrapping!(i32, i64);

/// `sums[r][i] = sum_t weights[r][t] * sources[t][i]`: rows of weights side by side, each of `sources.len()` terms, rows of sums
/// likewise.
///
/// # Panics
/// If a length is not the stated one, or no multiple of [`LANES`].
pub fn products<T: Wrapping>(weights: &[T], sources: &[&[T]], sums: &mut [T]) {
    products_on(Tier::current(), weights, sources, sums);
}

fn products_on<T: Wrapping>(tier: Tier, weights: &[T], sources: &[&[T]], sums: &mut [T]) {
    let Some(first) = sources.first() else {
        sums.fill(T::default());
        return;
    };
    let (terms, length) = (sources.len(), first.len());
    assert!(length > 0 && length.is_multiple_of(LANES), "sources are whole lanes");
    assert!(sources.iter().all(|source| source.len() == length), "sources are of one length");
    assert!(weights.len() * length == sums.len() * terms, "a weight for each term of each row");
    match tier.or_widest() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the tier is never above what the processor has.
        Tier::Avx512 => unsafe { products_avx512(weights, sources, sums, length) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Tier::AesNi => unsafe { products_sse(weights, sources, sums, length) },
        _ => products_loop(weights, sources, sums, length),
    }
}

/// `sums[r] = sum_t weights[r][t] * x[t]`, rows of weights side by side.
///
/// # Panics
/// If there are not `sums.len()` rows.
pub fn dots<T: Wrapping>(weights: &[T], x: &[T], sums: &mut [T]) {
    dots_on(Tier::current(), weights, x, sums);
}

fn dots_on<T: Wrapping>(tier: Tier, weights: &[T], x: &[T], sums: &mut [T]) {
    assert!(weights.len() == x.len() * sums.len(), "a weight for each term of each row");
    match tier.or_widest() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the tier is never above what the processor has.
        Tier::Avx512 => unsafe { dots_avx512(weights, x, sums) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Tier::AesNi => unsafe { dots_sse(weights, x, sums) },
        _ => dots_loop(weights, x, sums),
    }
}

#[inline(always)]
fn products_loop<T: Wrapping>(weights: &[T], sources: &[&[T]], sums: &mut [T], length: usize) {
    let terms = sources.len();
    let rows = weights.chunks(ROWS * terms).zip(sums.chunks_mut(ROWS * length));
    for (weights, sums) in rows {
        for from in (0..length).step_by(LANES) {
            if weights.len() == ROWS * terms {
                block::<T, ROWS>(weights, sources, sums, (from, length));
            } else {
                for (weights, sums) in weights.chunks(terms).zip(sums.chunks_mut(length)) {
                    block::<T, 1>(weights, sources, sums, (from, length));
                }
            }
        }
    }
}

/// One block of lanes of R rows, its sums in registers.
#[inline(always)]
fn block<T: Wrapping, const R: usize>(
    weights: &[T],
    sources: &[&[T]],
    sums: &mut [T],
    (from, length): (usize, usize),
) {
    let mut kept = [[T::default(); LANES]; R];
    for (term, source) in sources.iter().enumerate() {
        let lanes = &source[from..from + LANES];
        for (row, kept) in kept.iter_mut().enumerate() {
            let weight = weights[row * sources.len() + term];
            for (kept, x) in kept.iter_mut().zip(lanes) {
                *kept = kept.plus_product(weight, *x);
            }
        }
    }
    for (row, kept) in kept.iter().enumerate() {
        sums[row * length + from..row * length + from + LANES].copy_from_slice(kept);
    }
}

#[inline(always)]
fn dots_loop<T: Wrapping>(weights: &[T], x: &[T], sums: &mut [T]) {
    if x.is_empty() {
        sums.fill(T::default());
        return;
    }
    for (weights, sum) in weights.chunks_exact(x.len()).zip(sums) {
        let mut kept = [T::default(); LANES];
        let (w, x) = (weights.chunks_exact(LANES), x.chunks_exact(LANES));
        let rest = w.remainder().iter().zip(x.remainder());
        let rest = rest.fold(T::default(), |sum, (w, x)| sum.plus_product(*w, *x));
        for (w, x) in w.zip(x) {
            for (kept, (w, x)) in kept.iter_mut().zip(w.iter().zip(x)) {
                *kept = kept.plus_product(*w, *x);
            }
        }
        *sum = kept.into_iter().fold(rest, T::plus);
    }
}

/// The loops compiled for 512-bit registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
fn products_avx512<T: Wrapping>(weights: &[T], sources: &[&[T]], sums: &mut [T], length: usize) {
    products_loop(weights, sources, sums, length);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
fn dots_avx512<T: Wrapping>(weights: &[T], x: &[T], sums: &mut [T]) {
    dots_loop(weights, x, sums);
}

/// The loops compiled with SSE4.1, which multiplies four integers of 32 bits.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse4.1")]
fn products_sse<T: Wrapping>(weights: &[T], sources: &[&[T]], sums: &mut [T], length: usize) {
    products_loop(weights, sources, sums, length);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse4.1")]
fn dots_sse<T: Wrapping>(weights: &[T], x: &[T], sums: &mut [T]) {
    dots_loop(weights, x, sums);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: u64) -> Vec<i64> {
        (1..=count as u64).map(|i| (i ^ seed << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15) as i64).collect()
    }

    #[test]
    fn every_tier_gives_the_plain_sums() {
        for (rows, terms, length) in [(1, 1, 64), (3, 5, 64), (4, 9, 192), (9, 2, 128), (2, 0, 64)] {
            let (weights, x) = (numbers(rows * terms, 1), numbers(terms * length, 2));
            let plain = |r: usize, i: usize| {
                (0..terms).fold(0i64, |sum, t| {
                    sum.wrapping_add(weights[r * terms + t].wrapping_mul(x[t * length + i]))
                })
            };
            for tier in Tier::available() {
                let sources: Vec<&[i64]> = x.chunks_exact(length).collect();
                let mut sums = vec![7; rows * length];
                products_on(tier, &weights, &sources, &mut sums);
                let narrow = |v: &[i64]| v.iter().map(|v| *v as i32).collect::<Vec<i32>>();
                let (short, few) = (narrow(&weights), narrow(&x));
                let sources: Vec<&[i32]> = few.chunks_exact(length).collect();
                let mut short_sums = vec![7; rows * length];
                products_on(tier, &short, &sources, &mut short_sums);
                for r in 0..rows {
                    for i in 0..length {
                        assert_eq!(sums[r * length + i], plain(r, i), "{tier:?}");
                        assert_eq!(short_sums[r * length + i], plain(r, i) as i32, "{tier:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_tier_gives_the_plain_dot_products() {
        for (rows, terms) in [(1, 1), (5, 63), (3, 64), (2, 200), (4, 0)] {
            let (weights, x) = (numbers(rows * terms, 3), numbers(terms, 4));
            for tier in Tier::available() {
                let mut sums = vec![7; rows];
                dots_on(tier, &weights, &x, &mut sums);
                for (row, sum) in sums.iter().enumerate() {
                    let terms = weights[row * terms..(row + 1) * terms].iter().zip(&x);
                    let plain = terms.fold(0i64, |sum, (w, x)| sum.wrapping_add(w.wrapping_mul(*x)));
                    assert_eq!(*sum, plain, "{tier:?}");
                }
            }
        }
    }
}
