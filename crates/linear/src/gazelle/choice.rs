//! The choice of a method, by an operation count.

use super::convolution;
use super::matrix;
use super::product::{Fold, Method, Phases, Product};
use crate::Error;
use crate::coefficients::Shape;
use crate::slots::{Cycle, Operations};

/// What a layer costs by a method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Operations on ciphertexts.
    pub operations: Operations,
    /// Ciphertexts sent.
    pub sent: u64,
    /// Ciphertexts returned.
    pub returned: u64,
    /// Rotation keys.
    pub keys: u64,
}

/// Relative prices, a hoisted rotation being 10: measured at N = 8192 with four primes.
const HOISTED: u64 = 10;
const ROTATION: u64 = 16;
const HOIST: u64 = 6;
const PRODUCT: u64 = 2;
const SCALAR: u64 = 2;
const SENT: u64 = 40;
const RETURNED: u64 = 40;
/// A key is made and sent once a session.
const KEY: u64 = 20;

impl Cost {
    /// A number to compare by.
    pub fn weight(&self) -> u64 {
        let o = &self.operations;
        o.hoisted * HOISTED
            + o.rotations * ROTATION
            + o.hoists * HOIST
            + o.products * PRODUCT
            + o.scalars * SCALAR
            + self.sent * SENT
            + self.returned * RETURNED
            + self.keys * KEY
    }
}

/// Most pairs of ciphertexts, planes and taps of a method that is tried.
const MOST_PAIRS: usize = 1 << 18;

impl Product {
    /// What it costs.
    ///
    /// # Errors
    /// If kernel and diagonals do not belong together.
    pub fn cost(&self) -> Result<Cost, Error> {
        Ok(Cost {
            operations: self.operations()?,
            sent: self.read().len() as u64,
            returned: self.returned() as u64,
            keys: self.steps().len() as u64,
        })
    }

    /// The methods that fit a layer.
    pub fn methods(shape: &Shape, cycle: Cycle) -> Vec<Method> {
        let mut methods = Vec::new();
        let strided = shape.stride != [1, 1];
        for baby in convolution::babies(shape, cycle).unwrap_or_default() {
            methods.push(Method::Padded { phases: Phases::Slots, baby });
            if strided {
                methods.push(Method::Padded { phases: Phases::Ciphertexts, baby });
            }
        }
        if shape.channels.saturating_mul(shape.filters / shape.groups.max(1)) <= MOST_PAIRS {
            methods.push(Method::Bordered);
        }
        let Some(size) = matrix::size(shape) else { return methods };
        // Planes of one place are matrix products, and those have better methods.
        methods.clear();
        methods.push(Method::Naive);
        let region = matrix::region(size, cycle);
        for rows in (0..=region.trailing_zeros()).map(|log2| 1usize << log2) {
            let enough = size.outputs.next_power_of_two().div_ceil(cycle.slots() / region);
            if rows > enough.max(1) {
                break;
            }
            // The paper's, and about the square root of it.
            let root = 1 << rows.trailing_zeros().div_ceil(2);
            for baby in if root < rows { vec![rows, root] } else { vec![rows] } {
                let folds = if rows < region { &[Fold::Server, Fold::Client][..] } else { &[Fold::Server] };
                methods.extend(folds.iter().map(|fold| Method::Hybrid { rows, baby, fold: *fold }));
            }
        }
        methods
    }

    /// The product of least cost.
    ///
    /// # Errors
    /// If no method fits.
    pub fn choose(shape: &Shape, cycle: Cycle) -> Result<Self, Error> {
        let (mut best, mut failure): (Option<(u64, Self)>, _) = (None, Error::Empty);
        for method in Self::methods(shape, cycle) {
            let tried =
                Self::new(shape, method, cycle).and_then(|product| Ok((product.cost()?.weight(), product)));
            match tried {
                Ok((weight, product)) if best.as_ref().is_none_or(|(least, _)| weight < *least) => {
                    best = Some((weight, product));
                }
                Ok(_) => {}
                Err(error) => failure = error,
            }
        }
        best.map(|(_, product)| product).ok_or(failure)
    }
}
