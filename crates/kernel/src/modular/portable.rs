//! The vector operations in plain Rust; also the reference for the other backend.

use super::{Modulus, Shoup};

pub fn add_assign(q: &Modulus, a: &mut [u64], b: &[u64]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a = q.add(*a, *b);
    }
}

pub fn sub_assign(q: &Modulus, a: &mut [u64], b: &[u64]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a = q.sub(*a, *b);
    }
}

pub fn neg_assign(q: &Modulus, a: &mut [u64]) {
    for a in a {
        *a = q.neg(*a);
    }
}

pub fn mul_into(q: &Modulus, out: &mut [u64], a: &[u64], b: &[u64]) {
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        *out = q.mul(*a, *b);
    }
}

pub fn mul_assign(q: &Modulus, a: &mut [u64], b: &[u64]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a = q.mul(*a, *b);
    }
}

pub fn mul_add_assign(q: &Modulus, out: &mut [u64], a: &[u64], b: &[u64]) {
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        *out = q.reduce_wide(u128::from(*a) * u128::from(*b) + u128::from(*out));
    }
}

pub fn scale_assign(q: &Modulus, a: &mut [u64], w: Shoup) {
    for a in a {
        *a = q.mul_shoup(*a, w);
    }
}

pub fn sub_scale_assign(q: &Modulus, a: &mut [u64], b: &[u64], w: Shoup) {
    for (a, b) in a.iter_mut().zip(b) {
        *a = q.mul_shoup(*a + q.value() - *b, w);
    }
}

pub fn reduce_into(q: &Modulus, out: &mut [u64], a: &[u64]) {
    for (out, a) in out.iter_mut().zip(a) {
        *out = q.reduce(*a);
    }
}

pub fn rebase_into(q: &Modulus, out: &mut [u64], a: &[u64], from: &Modulus) {
    let half = from.value().div_ceil(2);
    let offset = q.reduce(from.value());
    for (out, a) in out.iter_mut().zip(a) {
        let upper = u64::from(*a >= half).wrapping_neg();
        *out = q.sub(q.reduce(*a), offset & upper);
    }
}

pub fn small_into(q: &Modulus, out: &mut [u64], a: &[i8]) {
    for (out, a) in out.iter_mut().zip(a) {
        let negative = (i64::from(*a) >> 63) as u64;
        *out = (q.value() & negative).wrapping_add(i64::from(*a) as u64);
    }
}

pub fn small_add_assign(q: &Modulus, out: &mut [u64], a: &[i8]) {
    for (out, a) in out.iter_mut().zip(a) {
        let negative = (i64::from(*a) >> 63) as u64;
        *out = q.add(*out, (q.value() & negative).wrapping_add(i64::from(*a) as u64));
    }
}

pub fn dot_scalars(q: &Modulus, out: &mut [u64], terms: &[(u64, &[u64])]) {
    for (index, out) in out.iter_mut().enumerate() {
        let mut sum = u128::from(*out);
        for (factor, row) in terms {
            sum += u128::from(*factor) * u128::from(row[index]);
            if q.bits() > super::VECTOR_BITS {
                sum = u128::from(q.reduce_wide(sum));
            }
        }
        *out = q.reduce_wide(sum);
    }
}

pub fn gather(out: &mut [u64], a: &[u64], index: &[u32]) {
    for (out, index) in out.iter_mut().zip(index) {
        *out = a[*index as usize];
    }
}
