//! Key switching: digits, their inner product with a key, and the division by the special prime.

use crate::keys::{SwitchingKey, digit_shape};
use crate::parameters::Parameters;
use crate::ring::Rows;

/// A polynomial's digits in evaluation form on the first `limbs` primes and the special one: prime by prime, and for
/// each prime digit by digit.
#[derive(Clone, Debug)]
pub(crate) struct Digits {
    rows: Rows,
    limbs: usize,
    count: usize,
}

/// Reads digits off a polynomial.
struct Reader<'a> {
    parameters: &'a Parameters,
    /// Coefficient form.
    coefficients: &'a Rows,
    shape: Vec<(usize, u32)>,
}

/// The prime of a row of an extended polynomial with `limbs` data rows.
pub(crate) fn prime_of(parameters: &Parameters, limbs: usize, row: usize) -> usize {
    if row < limbs { row } else { parameters.ring().data() }
}

/// Rows of an extended polynomial: the data rows, and the special one if there is such a prime.
fn extended(parameters: &Parameters, limbs: usize) -> usize {
    limbs + usize::from(parameters.ring().has_special())
}

impl<'a> Reader<'a> {
    fn new(parameters: &'a Parameters, coefficients: &'a Rows) -> Self {
        let shape = digit_shape(parameters, coefficients.count());
        Self { parameters, coefficients, shape }
    }

    /// Whether the digit is the residue modulo this prime itself.
    fn is_own(&self, digit: usize, prime: usize) -> bool {
        self.parameters.literal().digit_bits.is_none() && self.shape[digit].0 == prime
    }

    /// A digit modulo a prime, in evaluation form.
    fn read(&self, digit: usize, prime: usize, out: &mut [u64]) {
        let ring = self.parameters.ring();
        let (limb, low) = self.shape[digit];
        let (source, target) = (ring.modulus(limb), ring.modulus(prime));
        let row = self.coefficients.row(limb);
        let bound = match self.parameters.literal().digit_bits {
            Some(width) => {
                let mask = (1 << width) - 1;
                out.iter_mut().zip(row).for_each(|(out, x)| *out = x >> low & mask);
                mask
            }
            None => {
                out.copy_from_slice(row);
                source.value() - 1
            }
        };
        if bound >= 2 * target.value() {
            let wide = out.to_vec();
            target.reduce_into(out, &wide);
        }
        ring.ntt(prime).forward(out);
    }
}

impl Digits {
    /// The digits of a polynomial given in both forms.
    pub(crate) fn of(parameters: &Parameters, coefficients: &Rows, evaluations: &Rows) -> Self {
        let reader = Reader::new(parameters, coefficients);
        let (limbs, count) = (coefficients.count(), reader.shape.len());
        let mut rows = parameters.ring().scratch(extended(parameters, limbs) * count);
        for (index, out) in rows.iter_mut().enumerate() {
            let (prime, digit) = (prime_of(parameters, limbs, index / count), index % count);
            if reader.is_own(digit, prime) {
                out.copy_from_slice(evaluations.row(prime));
            } else {
                reader.read(digit, prime, out);
            }
        }
        Self { rows, limbs, count }
    }

    /// The inner product with a key on the `row`-th prime, added to `out`.
    pub(crate) fn dot_row(
        &self,
        parameters: &Parameters,
        key: &SwitchingKey,
        row: usize,
        out: [&mut [u64]; 2],
    ) {
        let prime = prime_of(parameters, self.limbs, row);
        let terms: Vec<_> = (0..self.count)
            .map(|digit| (self.rows.row(row * self.count + digit), key_rows(key, digit, prime)))
            .collect();
        parameters.ring().modulus(prime).dot_pair(out, &terms);
    }

    /// The inner product with a key on all primes.
    pub(crate) fn dot(&self, parameters: &Parameters, key: &SwitchingKey) -> [Rows; 2] {
        let rows = extended(parameters, self.limbs);
        let [mut out0, mut out1] = [0, 1].map(|_| parameters.ring().zeros(rows));
        for row in 0..rows {
            self.dot_row(parameters, key, row, [out0.row_mut(row), out1.row_mut(row)]);
        }
        [out0, out1]
    }
}

fn key_rows(key: &SwitchingKey, digit: usize, prime: usize) -> [&[u64]; 2] {
    [key.bodies[digit].row(prime), key.uniforms[digit].row(prime)]
}

/// The inner product of a polynomial's digits with a key on all primes, one prime at a time so that the digits stay
/// in the cache. The evaluation form saves its transforms where it is known.
pub(crate) fn dot_digits(
    parameters: &Parameters,
    coefficients: &Rows,
    evaluations: Option<&Rows>,
    key: &SwitchingKey,
) -> [Rows; 2] {
    let (ring, reader) = (parameters.ring(), Reader::new(parameters, coefficients));
    let (limbs, count) = (coefficients.count(), reader.shape.len());
    let rows = extended(parameters, limbs);
    let [mut out0, mut out1] = [0, 1].map(|_| ring.zeros(rows));
    let mut scratch = ring.scratch(count);
    for row in 0..rows {
        let prime = prime_of(parameters, limbs, row);
        let own = |digit| evaluations.filter(|_| reader.is_own(digit, prime));
        for (digit, out) in scratch.iter_mut().enumerate().filter(|(digit, _)| own(*digit).is_none()) {
            reader.read(digit, prime, out);
        }
        let terms: Vec<_> = (0..count)
            .map(|digit| {
                let factor = own(digit).map_or_else(|| scratch.row(digit), |rows| rows.row(prime));
                (factor, key_rows(key, digit, prime))
            })
            .collect();
        ring.modulus(prime).dot_pair([out0.row_mut(row), out1.row_mut(row)], &terms);
    }
    [out0, out1]
}

/// Divides an extended pair by the special prime, rounding; without one it is returned as it is.
pub(crate) fn divide_special(parameters: &Parameters, pair: [Rows; 2]) -> [Rows; 2] {
    let ring = parameters.ring();
    if !ring.has_special() {
        return pair;
    }
    pair.map(|mut poly| {
        ring.divide_round(&mut poly, ring.data());
        poly
    })
}

/// Switches the key of a polynomial: `(k0, k1)` with `k0 + k1 to = poly from`, up to noise.
pub(crate) fn switch(
    parameters: &Parameters,
    coefficients: &Rows,
    evaluations: Option<&Rows>,
    key: &SwitchingKey,
) -> [Rows; 2] {
    divide_special(parameters, dot_digits(parameters, coefficients, evaluations, key))
}
