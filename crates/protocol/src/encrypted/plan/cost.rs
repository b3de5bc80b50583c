//! What operations cost.
//!
//! Microseconds on one core of a Sapphire Rapids server at N = 8192 with four limbs of 47 bits, measured with `bfv`'s own
//! routines; other sizes by the number of transforms and products, as in the functions below. Only ratios matter to the search.

use linear::slots::{Count, Cycle, Diagonals, Kernel, Operations, Weights, apply};

use super::Refusal;

/// Degree and limbs at which the table was measured.
const DEGREE: f64 = 8192.0;
const LIMBS: f64 = 4.0;

/// Microseconds of each operation there.
const ROTATION: f64 = 360.0;
const HOIST: f64 = 250.0;
const HOISTED: f64 = 130.0;
const SQUARE: f64 = 1400.0;
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

/// Microseconds of operations at a degree, with limbs for products and for what follows; factors beyond memory are
/// transformed when they are used.
pub(super) fn microseconds(operations: &Operations, degree: usize, level: usize, after: usize) -> f64 {
    let size = degree as f64 / DEGREE;
    // A transform has log N layers.
    let layers = size * (degree as f64).log2() / DEGREE.log2();
    let (first, second) = (level as f64 / LIMBS, after as f64 / LIMBS);
    let of = |count: u64, cost: f64| count as f64 * cost;
    let bytes = of(operations.products, 8.0 * degree as f64 * level as f64);
    let product = if bytes > FACTOR_MEMORY { TRANSFORMED } else { PRODUCT };
    of(operations.rotations, ROTATION) * layers * second * second
        + (of(operations.hoists, HOIST) * layers + of(operations.hoisted, HOISTED) * size) * first * first
        + of(operations.squares, SQUARE) * layers * first * first
        + (of(operations.products, product) + of(operations.scalars, SCALAR)) * size * first
        + of(operations.additions, ADDITION) * 0.2 * size * second
        + of(operations.addends, ADDEND) * layers * second
}
