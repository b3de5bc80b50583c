//! Vectors of residues: the checked entry points, and the choice of backend.

use super::{Modulus, Shoup, portable};

/// Runs the operation on the modulus' backend.
macro_rules! dispatch {
    ($q:expr, $name:ident($($argument:expr),*)) => {{
        #[cfg(target_arch = "x86_64")]
        if $q.is_vector() {
            // SAFETY: a modulus says so only where the tier with AVX-512 F and IFMA was detected.
            return unsafe { super::ifma::$name($q, $($argument),*) };
        }
        portable::$name($q, $($argument),*)
    }};
}

/// Debug builds check that residues are canonical.
fn canonical(q: &Modulus, words: &[u64]) -> bool {
    words.iter().all(|word| *word < q.value())
}

impl Modulus {
    /// `a += b`, entry by entry.
    ///
    /// # Panics
    /// If the lengths differ, as do all functions here.
    pub fn add_assign(&self, a: &mut [u64], b: &[u64]) {
        assert_eq!(a.len(), b.len());
        debug_assert!(canonical(self, a) && canonical(self, b));
        dispatch!(self, add_assign(a, b))
    }

    /// `a -= b`.
    pub fn sub_assign(&self, a: &mut [u64], b: &[u64]) {
        assert_eq!(a.len(), b.len());
        debug_assert!(canonical(self, a) && canonical(self, b));
        dispatch!(self, sub_assign(a, b))
    }

    /// `a = -a`.
    pub fn neg_assign(&self, a: &mut [u64]) {
        debug_assert!(canonical(self, a));
        dispatch!(self, neg_assign(a))
    }

    /// `out = a b`, entry by entry.
    pub fn mul_into(&self, out: &mut [u64], a: &[u64], b: &[u64]) {
        assert!(out.len() == a.len() && a.len() == b.len());
        debug_assert!(canonical(self, a) && canonical(self, b));
        dispatch!(self, mul_into(out, a, b))
    }

    /// `a *= b`, entry by entry.
    pub fn mul_assign(&self, a: &mut [u64], b: &[u64]) {
        assert_eq!(a.len(), b.len());
        debug_assert!(canonical(self, a) && canonical(self, b));
        dispatch!(self, mul_assign(a, b))
    }

    /// `out += a b`, entry by entry.
    pub fn mul_add_assign(&self, out: &mut [u64], a: &[u64], b: &[u64]) {
        assert!(out.len() == a.len() && a.len() == b.len());
        debug_assert!(canonical(self, out) && canonical(self, a) && canonical(self, b));
        dispatch!(self, mul_add_assign(out, a, b))
    }

    /// `a *= w`.
    pub fn scale_assign(&self, a: &mut [u64], w: Shoup) {
        debug_assert!(canonical(self, a));
        dispatch!(self, scale_assign(a, w))
    }

    /// `a = (a - b) w`.
    pub fn sub_scale_assign(&self, a: &mut [u64], b: &[u64], w: Shoup) {
        assert_eq!(a.len(), b.len());
        debug_assert!(canonical(self, a) && canonical(self, b));
        dispatch!(self, sub_scale_assign(a, b, w))
    }

    /// `out = a mod q` for any words `a`.
    pub fn reduce_into(&self, out: &mut [u64], a: &[u64]) {
        assert_eq!(out.len(), a.len());
        dispatch!(self, reduce_into(out, a))
    }

    /// `out = centred(a) mod q`, where `a` holds residues modulo `from`, below 2^52, and `centred` is the
    /// representative in `[-from/2, from/2)`.
    pub fn rebase_into(&self, out: &mut [u64], a: &[u64], from: &Self) {
        assert_eq!(out.len(), a.len());
        debug_assert!(canonical(from, a) && from.bits() <= 52);
        dispatch!(self, rebase_into(out, a, from))
    }

    /// `out = a mod q` for small signed numbers; `q` is above 128.
    pub fn small_into(&self, out: &mut [u64], a: &[i8]) {
        assert_eq!(out.len(), a.len());
        debug_assert!(self.value() > 128);
        dispatch!(self, small_into(out, a))
    }

    /// `out += a mod q` for small signed numbers; `q` is above 128.
    pub fn small_add_assign(&self, out: &mut [u64], a: &[i8]) {
        assert_eq!(out.len(), a.len());
        debug_assert!(self.value() > 128 && canonical(self, out));
        dispatch!(self, small_add_assign(out, a))
    }

    /// `out += sum of f_k a_k` over the terms `(f_k, a_k)`, scalars times vectors, reduced once.
    pub fn dot_scalars(&self, out: &mut [u64], terms: &[(u64, &[u64])]) {
        for (factor, row) in terms {
            assert!(row.len() == out.len() && *factor < self.value());
            debug_assert!(canonical(self, row));
        }
        debug_assert!(canonical(self, out));
        dispatch!(self, dot_scalars(out, terms))
    }

    /// `out[i] = a[index[i]]`, a permutation of residues (an automorphism in evaluation form). Vectors are
    /// shorter than 2^31.
    ///
    /// # Panics
    /// If an index is out of range.
    pub fn gather(&self, out: &mut [u64], a: &[u64], index: &[u32]) {
        assert!(out.len() == index.len() && a.len() < 1 << 31);
        #[cfg(target_arch = "x86_64")]
        if self.is_vector() {
            // SAFETY: a modulus says so only where the tier with AVX-512 F and IFMA was detected.
            return unsafe { super::ifma::gather(out, a, index) };
        }
        portable::gather(out, a, index);
    }

    /// The automorphism `X -> X^g` of `Z_q[X] / (X^n + 1)` on coefficients, for odd `g`: coefficient `i` goes to
    /// `i g mod 2n`, with the sign that `X^n = -1` gives.
    pub fn automorphism_into(&self, out: &mut [u64], a: &[u64], g: usize) {
        let n = a.len();
        assert!(out.len() == n && n.is_power_of_two() && g % 2 == 1);
        let mut target = 0;
        for a in a {
            out[target & (n - 1)] = if target & n == 0 { *a } else { self.neg(*a) };
            target = (target + g) & (2 * n - 1);
        }
    }
}
