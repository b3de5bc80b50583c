//! The interpreter in the clear: what a kernel means.

use super::products::Products;
use crate::Error;

/// Polynomials with coefficients modulo `2^bits`.
#[derive(Clone, Copy, Debug)]
pub struct Clear {
    degree: usize,
    mask: u64,
}

impl Clear {
    /// The ring `Z_{2^bits}[X] / (X^degree + 1)`, with 1 to 64 bits.
    pub fn new(degree: usize, bits: u32) -> Self {
        Self { degree, mask: u64::MAX >> (64 - bits.clamp(1, 64)) }
    }
}

impl Products for Clear {
    type Ciphertext = Vec<u64>;
    /// Coefficients that are not zero, with their exponents.
    type Factor = Vec<(usize, i64)>;

    fn factor(&self, coefficients: &[i64]) -> Result<Self::Factor, Error> {
        if coefficients.len() != self.degree {
            return Err(Error::TooMany(coefficients.len(), self.degree));
        }
        Ok(coefficients.iter().copied().enumerate().filter(|(_, w)| *w != 0).collect())
    }

    fn dot(&self, terms: &[(&Vec<u64>, &Self::Factor)]) -> Result<Vec<u64>, Error> {
        if terms.is_empty() {
            return Err(Error::Empty);
        }
        let mut sum = vec![0u64; self.degree];
        for (a, factor) in terms {
            for (exponent, weight) in factor.iter() {
                for (i, a) in a.iter().enumerate() {
                    let term = a.wrapping_mul(*weight as u64);
                    let at = i + exponent;
                    // X^N is -1.
                    let (at, term) =
                        if at < self.degree { (at, term) } else { (at - self.degree, term.wrapping_neg()) };
                    sum[at] = sum[at].wrapping_add(term) & self.mask;
                }
            }
        }
        Ok(sum)
    }

    fn factor_bytes(&self) -> usize {
        self.degree * size_of::<(usize, i64)>()
    }
}
