//! The interpreter that counts: the cost model.

use std::sync::atomic::{AtomicU64, Ordering};

use super::products::Products;
use crate::Error;

/// Operations of a kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Weights' polynomials prepared: a transform each.
    pub factors: u64,
    /// Products of a ciphertext and a factor.
    pub products: u64,
    /// Sums: ciphertexts returned.
    pub sums: u64,
}

/// Counts operations.
#[derive(Debug, Default)]
pub struct Count {
    factors: AtomicU64,
    products: AtomicU64,
    sums: AtomicU64,
}

impl Count {
    /// What has been counted.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts { factors: read(&self.factors), products: read(&self.products), sums: read(&self.sums) }
    }
}

impl Products for Count {
    type Ciphertext = ();
    type Factor = ();

    fn factor(&self, _coefficients: &[i64]) -> Result<(), Error> {
        self.factors.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn dot(&self, terms: &[(&(), &())]) -> Result<(), Error> {
        self.products.fetch_add(terms.len() as u64, Ordering::Relaxed);
        self.sums.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn factor_bytes(&self) -> usize {
        0
    }
}
