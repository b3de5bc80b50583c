//! What operations cost.
//!
//! Microseconds on one core of a Sapphire Rapids server at N = 8192 with four limbs of 47 bits, measured with `bfv`'s own
//! routines; other sizes by the number of transforms and products, as in the functions below. Only ratios matter to the search.

use linear::slots::{Count, Cycle, Diagonals, Kernel, Operations, Weights, apply};

use super::Refusal;

/// Degree and limbs at which the table was measured.
const DEGREE: f64 = 8192.0;
const LIMBS: f64 = 4.0;

/// Microseconds of each operation there, with a digit a limb; of a square without its relinearisation.
const ROTATION: f64 = 360.0;
const HOIST: f64 = 250.0;
const HOISTED: f64 = 130.0;
const TENSOR: f64 = 1040.0;
const TRANSFORM: f64 = 13.0;
const PRODUCT: f64 = 9.0;
const TRANSFORMED: f64 = 68.0;
const SCALAR: f64 = 12.0;
const ADDITION: f64 = 6.0;
const ADDEND: f64 = 60.0;

/// What one more rotation key is worth, in microseconds of every query.
pub(super) const KEY: f64 = 120.0;

/// Bytes that factors ready for products may take.
pub(super) const FACTOR_MEMORY: f64 = 1.0e9;

/// Counts a kernel by running it.
pub(super) fn count(
    cycle: Cycle,
    kernel: &Kernel,
    diagonals: &Diagonals,
    bias: bool,
) -> Result<Operations, Refusal> {
    let counter = Count::new(cycle);
    let weights = Weights::blank(kernel, diagonals, bias);
    let inputs: usize = kernel.inputs.iter().map(|input| input.ciphertexts).sum();
    apply(&counter, kernel, diagonals, &weights, &vec![&(); inputs])?;
    Ok(counter.take())
}

/// What the cost of an operation depends on besides its limbs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ring {
    /// Its degree.
    pub degree: usize,
    /// Digits of a limb when keys are switched.
    pub windows: usize,
    /// Whether there is a special prime.
    pub special: bool,
}

/// The ring at which partial plans are compared, and their limbs.
pub(super) const NOMINAL: (Ring, usize) = (Ring { degree: 8192, windows: 1, special: false }, 4);

impl Ring {
    /// Digits times primes of a key switch, in those of the table.
    fn switch(self, limbs: usize) -> f64 {
        let digits = (self.windows * limbs) as f64;
        digits * (limbs + usize::from(self.special)) as f64 / (LIMBS * LIMBS)
    }

    /// Transforms of the division by the special prime, of both halves.
    fn division(self, limbs: usize) -> f64 {
        if self.special { 2.0 * (limbs as f64 + 1.0) } else { 0.0 }
    }
}

/// Microseconds of operations with limbs for products and for what follows; factors beyond memory are transformed when they are
/// used.
pub(super) fn microseconds(operations: &Operations, ring: Ring, level: usize, after: usize) -> f64 {
    let degree = ring.degree;
    let size = degree as f64 / DEGREE;
    // A transform has log N layers.
    let layers = size * (degree as f64).log2() / DEGREE.log2();
    let (first, second) = (level as f64 / LIMBS, after as f64 / LIMBS);
    let of = |count: u64, cost: f64| count as f64 * cost;
    let bytes = of(operations.products, 8.0 * degree as f64 * level as f64);
    let divide = |count: u64, limbs: usize| of(count, TRANSFORM) * layers * ring.division(limbs);
    let product = if bytes > FACTOR_MEMORY { TRANSFORMED } else { PRODUCT };
    of(operations.rotations, ROTATION) * layers * ring.switch(after)
        + (of(operations.hoists, HOIST) * layers + of(operations.hoisted, HOISTED) * size)
            * ring.switch(level)
        + of(operations.squares, TENSOR) * layers * first * first
        + of(operations.squares, ROTATION) * layers * ring.switch(level)
        + divide(operations.rotations, after)
        + divide(operations.hoisted + operations.squares, level)
        + (of(operations.products, product) + of(operations.scalars, SCALAR)) * size * first
        + of(operations.additions, ADDITION) * 0.2 * size * second
        + of(operations.addends, ADDEND) * layers * second
}
