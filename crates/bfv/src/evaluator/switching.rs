//! Key switching: digits, their inner product with a key, and the division by the special prime.

use kernel::modular::{Operand, Packed};

use crate::keys::{SwitchingKey, digit_shape};
use crate::parameters::Parameters;
use crate::ring::{Ring, Rows};

/// A polynomial's digits in evaluation form on the first `limbs` primes and the special one: prime by prime, and for
/// each prime digit by digit.
#[derive(Clone, Debug)]
pub(crate) struct Digits {
    rows: DigitRows,
    limbs: usize,
    count: usize,
}

/// Packed where they come from beyond the second-level cache at each use; else as words, which need no unpacking.
#[derive(Clone, Debug)]
enum DigitRows {
    Words(Rows),
    Packed(Vec<Packed>),
}

/// Bytes of digits that stay in the second-level cache beside a key.
const CACHED: usize = 512 << 10;

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
pub(crate) fn extended(parameters: &Parameters, limbs: usize) -> usize {
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
        match self.parameters.literal().digit_bits {
            Some(width) => {
                let mask = (1 << width) - 1;
                out.iter_mut().zip(row).for_each(|(out, x)| *out = x >> low & mask);
                if mask >= 2 * target.value() {
                    let wide = out.to_vec();
                    target.reduce_into(out, &wide);
                }
            }
            None if source.value() > 2 * target.value() => target.reduce_into(out, row),
            None => out.copy_from_slice(row),
        }
        ring.ntt(prime).forward(out);
    }
}

impl Digits {
    /// The digits of a polynomial given in both forms.
    pub(crate) fn of(parameters: &Parameters, coefficients: &Rows, evaluations: &Rows) -> Self {
        let (ring, reader) = (parameters.ring(), Reader::new(parameters, coefficients));
        let (limbs, count) = (coefficients.count(), reader.shape.len());
        let total = extended(parameters, limbs) * count;
        let place = |index: usize| (prime_of(parameters, limbs, index / count), index % count);
        let fill = |(prime, digit): (usize, usize), out: &mut [u64]| {
            if reader.is_own(digit, prime) {
                out.copy_from_slice(evaluations.row(prime));
            } else {
                reader.read(digit, prime, out);
            }
        };
        if total * ring.degree() * size_of::<u64>() <= CACHED {
            let mut rows = ring.scratch(total);
            rows.iter_mut().enumerate().for_each(|(index, row)| fill(place(index), row));
            return Self { rows: DigitRows::Words(rows), limbs, count };
        }
        let mut scratch = ring.scratch(1);
        let pack = |index| {
            fill(place(index), scratch.row_mut(0));
            Packed::new(ring.modulus(place(index).0), scratch.row(0))
        };
        Self { rows: DigitRows::Packed((0..total).map(pack).collect()), limbs, count }
    }

    /// Bytes they take.
    pub(crate) fn bytes(&self) -> usize {
        match &self.rows {
            DigitRows::Words(rows) => rows.iter().map(size_of_val).sum(),
            DigitRows::Packed(rows) => rows.iter().map(|row| row.bytes().len()).sum(),
        }
    }

    /// One row of [`permuted_dot`] with a key.
    pub(crate) fn dot_row(
        &self,
        parameters: &Parameters,
        key: &SwitchingKey,
        (row, g): (usize, usize),
        init: [Option<&[u64]>; 2],
        out: [&mut [u64]; 2],
    ) {
        let prime = prime_of(parameters, self.limbs, row);
        let (ring, first) = (parameters.ring(), row * self.count);
        let digits = (0..self.count).map(|digit| (first + digit, key_rows(key, digit, prime)));
        match &self.rows {
            DigitRows::Words(rows) => {
                let terms: Vec<_> = digits.map(|(index, pair)| (rows.row(index), pair)).collect();
                permuted_dot(ring, (prime, g), init, &terms, out);
            }
            DigitRows::Packed(rows) => {
                let terms: Vec<_> = digits.map(|(index, pair)| (&rows[index], pair)).collect();
                permuted_dot(ring, (prime, g), init, &terms, out);
            }
        }
    }

    /// The key switches of these digits under some automorphisms: each as [`switch`], where `init` is multiplied by the
    /// special prime already. Prime by prime, so that a prime's digits come from memory once for all.
    pub(crate) fn switch(
        &self,
        parameters: &Parameters,
        automorphisms: &[(usize, &SwitchingKey)],
        init: &Rows,
    ) -> Vec<[Rows; 2]> {
        let rows = extended(parameters, self.limbs);
        let mut pairs: Vec<_> =
            automorphisms.iter().map(|_| [0, 1].map(|_| parameters.ring().scratch(rows))).collect();
        for row in 0..rows {
            let init = (row < self.limbs).then(|| init.row(row));
            for ((g, key), [out0, out1]) in automorphisms.iter().zip(&mut pairs) {
                self.dot_row(
                    parameters,
                    key,
                    (row, *g),
                    [init, None],
                    [out0.row_mut(row), out1.row_mut(row)],
                );
            }
        }
        pairs.into_iter().map(|pair| divide_special(parameters, pair)).collect()
    }
}

fn key_rows(key: &SwitchingKey, digit: usize, prime: usize) -> [&Packed; 2] {
    // The special prime's row comes after those of the limbs that the key has.
    let row = prime.min(key.limbs);
    [key.bodies[digit].row(row), key.uniforms[digit].row(row)]
}

/// Residues that are computed before they are brought to their places: they stay in the first-level cache.
const PART: usize = 512;

/// The automorphism `X -> X^g` of `init + sum of f_k p_k`, on one prime.
pub(crate) fn permuted_dot<F: Operand>(
    ring: &Ring,
    (prime, g): (usize, usize),
    init: [Option<&[u64]>; 2],
    terms: &[(F, [&Packed; 2])],
    [out0, out1]: [&mut [u64]; 2],
) {
    let (ntt, q) = (ring.ntt(prime), ring.modulus(prime));
    if g == 1 {
        return q.dot_pair([out0, out1], 0, init, terms);
    }
    let part = PART.min(ring.degree());
    let mut scratch = Rows::scratch(2, part);
    for start in (0..ring.degree()).step_by(part) {
        let [part0, part1] = scratch.pair_mut();
        q.dot_pair([part0, part1], start, init, terms);
        ntt.automorphism_scatter(out0, scratch.row(0), start, g);
        ntt.automorphism_scatter(out1, scratch.row(1), start, g);
    }
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

/// A polynomial whose key is switched.
pub(crate) struct Switched<'a> {
    /// Coefficient form.
    pub(crate) coefficients: &'a Rows,
    /// Evaluation form, where it is known: it saves its own digits' transforms.
    pub(crate) evaluations: Option<&'a Rows>,
    /// What is added to both halves.
    pub(crate) plus: [Option<&'a Rows>; 2],
}

/// Switches a key and applies the automorphism `X -> X^g`: `plus + (k0, k1)` under it, with `k0 + k1 to = poly from` up to
/// noise.
///
/// One prime after another, so that the digits stay in the cache.
pub(crate) fn switch(
    parameters: &Parameters,
    poly: &Switched<'_>,
    key: &SwitchingKey,
    g: usize,
) -> [Rows; 2] {
    let pair = extended_switch(parameters, poly, key, g);
    divide_special(parameters, pair)
}

/// As [`switch`] before the division by the special prime.
pub(crate) fn extended_switch(
    parameters: &Parameters,
    poly: &Switched<'_>,
    key: &SwitchingKey,
    g: usize,
) -> [Rows; 2] {
    let (ring, reader) = (parameters.ring(), Reader::new(parameters, poly.coefficients));
    let (limbs, count) = (poly.coefficients.count(), reader.shape.len());
    let rows = extended(parameters, limbs);
    let [mut out0, mut out1] = [0, 1].map(|_| ring.scratch(rows));
    let (mut scratch, mut scaled) = (ring.scratch(count), [0, 1].map(|_| ring.scratch(1)));
    for row in 0..rows {
        let prime = prime_of(parameters, limbs, row);
        let own = |digit| poly.evaluations.filter(|_| reader.is_own(digit, prime));
        for (digit, out) in scratch.iter_mut().enumerate().filter(|(digit, _)| own(*digit).is_none()) {
            reader.read(digit, prime, out);
        }
        let terms: Vec<_> = (0..count)
            .map(|digit| {
                let factor = own(digit).map_or_else(|| scratch.row(digit), |rows| rows.row(prime));
                (factor, key_rows(key, digit, prime))
            })
            .collect();
        let mut init = [None; 2];
        for ((init, plus), scaled) in init.iter_mut().zip(poly.plus).zip(&mut scaled) {
            *init = plus.filter(|_| row < limbs).map(|plus| {
                if !ring.has_special() {
                    return plus.row(row);
                }
                let scaled = scaled.row_mut(0);
                scaled.copy_from_slice(plus.row(row));
                ring.modulus(prime).scale_assign(scaled, ring.special_factor(prime));
                &*scaled
            });
        }
        permuted_dot(ring, (prime, g), init, &terms, [out0.row_mut(row), out1.row_mut(row)]);
    }
    [out0, out1]
}
