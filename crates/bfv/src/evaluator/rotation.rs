//! Automorphisms of ciphertexts: rotations of the slots, one by one or hoisted.

use crate::ciphertext::{Ciphertext, Multiplicand};
use crate::error::Error;
use crate::evaluator::Evaluator;
use crate::evaluator::sums::Sums;
use crate::evaluator::switching::{
    Digits, Switched, divide_special, extended, extended_switch, prime_of, switch,
};
use crate::generalised::Generalised;
use crate::keys::{GaloisKeys, SwitchingKey};
use crate::ring::Rows;

/// Rotations that are multiplied and summed at a time: their rows stay in the second-level cache.
const BATCH: usize = 4;

/// A ciphertext decomposed once for many automorphisms. It takes about half of `limbs` times a ciphertext's memory.
#[derive(Clone, Debug)]
pub struct Hoisted {
    ciphertext: Ciphertext,
    digits: Digits,
    /// The special prime times the first half.
    scaled: Rows,
}

impl Evaluator {
    /// The automorphism `X -> X^g`: one key switch. It maps coefficients by `X^i -> X^(g i)`.
    ///
    /// # Errors
    /// If something is of other parameters, the key is missing or has fewer limbs, or the plaintext space is a generalised one and g is not 1
    /// modulo twice its power.
    pub fn automorphism(&self, a: &Ciphertext, g: usize, keys: &GaloisKeys) -> Result<Ciphertext, Error> {
        self.check_rotation(a, keys)?;
        self.check_automorphism(g)?;
        if g == 1 {
            return Ok(a.clone());
        }
        let key = keys.get(g, a.limbs())?;
        let coefficients = self.coefficients(&a.parts[1]);
        let poly = Self::rotated(a, &coefficients);
        Ok(Ciphertext { id: a.id, parts: switch(&self.parameters, &poly, key, g), seed: None })
    }

    fn coefficients(&self, poly: &Rows) -> Rows {
        let mut coefficients = poly.clone();
        self.parameters.ring().inverse(&mut coefficients);
        coefficients
    }

    /// What a rotation switches.
    fn rotated<'a>(a: &'a Ciphertext, coefficients: &'a Rows) -> Switched<'a> {
        Switched { coefficients, evaluations: Some(&a.parts[1]), plus: [Some(&a.parts[0]), None] }
    }

    /// Rotates each row of slots (see [`Parameters::slot_shape`]) left by `steps` (right if negative).
    ///
    /// # Errors
    /// As [`Self::automorphism`].
    pub fn rotate_rows(&self, a: &Ciphertext, steps: i64, keys: &GaloisKeys) -> Result<Ciphertext, Error> {
        self.automorphism(a, self.parameters.rotation_exponent(steps), keys)
    }

    /// Swaps the two rows of slots.
    ///
    /// # Errors
    /// As [`Self::automorphism`], or if there is one row.
    pub fn rotate_columns(&self, a: &Ciphertext, keys: &GaloisKeys) -> Result<Ciphertext, Error> {
        self.parameters.check_integer().map_err(|_| Error::OneRow)?;
        self.automorphism(a, 2 * self.parameters.degree() - 1, keys)
    }

    /// Decomposes a ciphertext for several rotations: the transforms are done once.
    ///
    /// # Errors
    /// If it is of other parameters.
    pub fn hoist(&self, a: &Ciphertext) -> Result<Hoisted, Error> {
        self.check(a)?;
        let coefficients = self.coefficients(&a.parts[1]);
        let digits = Digits::of(&self.parameters, &coefficients, &a.parts[1]);
        let mut scaled = a.parts[0].clone();
        self.scale_special(&mut scaled);
        Ok(Hoisted { ciphertext: a.clone(), digits, scaled })
    }

    /// Multiplies a polynomial by the special prime.
    fn scale_special(&self, poly: &mut Rows) {
        let ring = self.parameters.ring();
        for (index, row) in poly.iter_mut().enumerate() {
            ring.modulus(index).scale_assign(row, ring.special_factor(index));
        }
    }

    /// The automorphism `X -> X^g` of a hoisted ciphertext: the same result as [`Self::automorphism`].
    ///
    /// # Errors
    /// As [`Self::automorphism`].
    pub fn automorphism_hoisted(
        &self,
        hoisted: &Hoisted,
        g: usize,
        keys: &GaloisKeys,
    ) -> Result<Ciphertext, Error> {
        let all = self.automorphisms_hoisted(hoisted, &[g], keys)?;
        all.into_iter().next().ok_or(Error::MissingKey(g))
    }

    /// Several automorphisms `X -> X^g` of a hoisted ciphertext, in their order. Its digits come from memory once for all of
    /// them, so that each is cheaper than [`Self::automorphism_hoisted`] where they exceed the cache.
    ///
    /// # Errors
    /// As [`Self::automorphism`].
    pub fn automorphisms_hoisted(
        &self,
        hoisted: &Hoisted,
        exponents: &[usize],
        keys: &GaloisKeys,
    ) -> Result<Vec<Ciphertext>, Error> {
        let a = &hoisted.ciphertext;
        self.check_rotation(a, keys)?;
        let mut switched = Vec::with_capacity(exponents.len());
        for g in exponents {
            self.check_automorphism(*g)?;
            if *g != 1 {
                switched.push((*g, keys.get(*g, a.limbs())?));
            }
        }
        let mut pairs = hoisted.digits.switch(&self.parameters, &switched, &hoisted.scaled).into_iter();
        let next = |g: &usize| match if *g == 1 { None } else { pairs.next() } {
            Some(parts) => Ciphertext { id: a.id, parts, seed: None },
            None => a.clone(),
        };
        Ok(exponents.iter().map(next).collect())
    }

    /// Rotates each row of a hoisted ciphertext left by each of `steps`: see [`Self::automorphisms_hoisted`].
    ///
    /// # Errors
    /// As [`Self::automorphism`].
    pub fn rotations_hoisted(
        &self,
        hoisted: &Hoisted,
        steps: &[i64],
        keys: &GaloisKeys,
    ) -> Result<Vec<Ciphertext>, Error> {
        let exponents: Vec<_> = steps.iter().map(|steps| self.parameters.rotation_exponent(*steps)).collect();
        self.automorphisms_hoisted(hoisted, &exponents, keys)
    }

    /// Rotates each row of a hoisted ciphertext left by `steps`.
    ///
    /// # Errors
    /// As [`Self::automorphism`].
    pub fn rotate_rows_hoisted(
        &self,
        hoisted: &Hoisted,
        steps: i64,
        keys: &GaloisKeys,
    ) -> Result<Ciphertext, Error> {
        self.automorphism_hoisted(hoisted, self.parameters.rotation_exponent(steps), keys)
    }

    /// `sum of factor_k * rotate(a, steps_k)`: the inner step of a matrix-vector product by diagonals.
    ///
    /// With a special prime the rotations stay on the extended modulus and are summed there; the division, most of a
    /// hoisted rotation, is done once for the sum ("double hoisting", Bossuat and others, eprint 2020/1203, section 5).
    /// Factors then come from [`Self::multiplicand_extended`] with the ciphertext's limbs, else from
    /// [`Self::multiplicand`]. No rotation is ever stored as a ciphertext.
    ///
    /// # Errors
    /// As [`Self::automorphism`]; if a factor is of other parameters, limbs or form.
    pub fn dot_rotations(
        &self,
        hoisted: &Hoisted,
        terms: &[(i64, &Multiplicand)],
        keys: &GaloisKeys,
    ) -> Result<Ciphertext, Error> {
        let a = &hoisted.ciphertext;
        self.check_rotation(a, keys)?;
        let (ring, limbs) = (self.parameters.ring(), a.limbs());
        let rows = extended(&self.parameters, limbs);
        let mut rotations = Vec::with_capacity(terms.len());
        for (steps, factor) in terms {
            self.parameters.check(factor.id, "multiplicand")?;
            if factor.limbs < limbs
                || (ring.has_special() && (factor.limbs, factor.rows.count()) != (limbs, rows))
            {
                return Err(Error::Level(factor.rows.count(), rows));
            }
            let g = self.parameters.rotation_exponent(*steps);
            rotations.push((g, if g == 1 { None } else { Some(keys.get(g, limbs)?) }, *factor));
        }
        let mut out = [0, 1].map(|_| ring.scratch(rows));
        let mut sums = Sums::new(ring.degree());
        let mut scratch = ring.scratch(2 * BATCH);
        for row in 0..rows {
            let q = ring.modulus(prime_of(&self.parameters, limbs, row));
            for batch in rotations.chunks(BATCH) {
                for ((g, key, _), pair) in batch.iter().zip(scratch.pairs_mut()) {
                    self.rotated_row(hoisted, (*g, *key), row, pair);
                }
                let terms: Vec<_> = batch
                    .iter()
                    .enumerate()
                    .map(|(k, (_, _, factor))| {
                        (factor.rows.row(row), [scratch.row(2 * k), scratch.row(2 * k + 1)])
                    })
                    .collect();
                sums.add(q, &terms);
            }
            let [out0, out1] = &mut out;
            sums.take([out0.row_mut(row), out1.row_mut(row)]);
        }
        Ok(Ciphertext { id: a.id, parts: divide_special(&self.parameters, out), seed: None })
    }

    /// One row of a rotation on the extended modulus, times the special prime if there is one.
    fn rotated_row(
        &self,
        hoisted: &Hoisted,
        (g, key): (usize, Option<&SwitchingKey>),
        row: usize,
        [out0, out1]: [&mut [u64]; 2],
    ) {
        let (parameters, ring) = (&self.parameters, self.parameters.ring());
        let limbs = hoisted.ciphertext.limbs();
        let scaled = (row < limbs).then(|| hoisted.scaled.row(row));
        match (key, scaled) {
            (Some(key), init) => {
                hoisted.digits.dot_row(parameters, key, (row, g), [init, None], [out0, out1])
            }
            (None, Some(scaled)) => {
                out0.copy_from_slice(scaled);
                out1.copy_from_slice(hoisted.ciphertext.parts[1].row(row));
                if ring.has_special() {
                    ring.modulus(row).scale_assign(out1, ring.special_factor(row));
                }
            }
            // Multiples of the special prime.
            (None, None) => {
                out0.fill(0);
                out1.fill(0);
            }
        }
    }

    /// `sum of rotate(a_k, steps_k)`: the outer step of a matrix-vector product. With a special prime the sum is divided
    /// by it once.
    ///
    /// # Errors
    /// As [`Self::automorphism`] and [`Self::add_assign`], or if there are no terms.
    pub fn sum_rotations(
        &self,
        terms: &[(i64, &Ciphertext)],
        keys: &GaloisKeys,
    ) -> Result<Ciphertext, Error> {
        let (_, first) = terms.first().ok_or(Error::TooMany(0, 0))?;
        let ring = self.parameters.ring();
        let mut switched: Option<[Rows; 2]> = None;
        let mut still: Option<Ciphertext> = None;
        for (steps, a) in terms {
            self.check_rotation(a, keys)?;
            self.check_pair(first, a)?;
            let g = self.parameters.rotation_exponent(*steps);
            if g == 1 {
                match &mut still {
                    Some(sum) => self.add_assign(sum, a)?,
                    None => still = Some((*a).clone()),
                }
                continue;
            }
            let coefficients = self.coefficients(&a.parts[1]);
            let poly = Self::rotated(a, &coefficients);
            let pair = extended_switch(&self.parameters, &poly, keys.get(g, a.limbs())?, g);
            match &mut switched {
                Some(sums) => {
                    for (sum, part) in sums.iter_mut().zip(&pair) {
                        self.add_extended(sum, part, first.limbs());
                    }
                }
                None => switched = Some(pair),
            }
        }
        let sum = switched.map(|pair| {
            let parts = divide_special(&self.parameters, pair);
            Ciphertext { id: first.id, parts, seed: None }
        });
        match (sum, still) {
            (Some(mut sum), Some(still)) => self.add_assign(&mut sum, &still).map(|()| sum),
            (sum, still) => sum.or(still).ok_or(Error::TooMany(0, ring.degree())),
        }
    }

    /// `a += b` on the extended modulus.
    fn add_extended(&self, a: &mut Rows, b: &Rows, limbs: usize) {
        for (index, (a, b)) in a.iter_mut().zip(b.iter()).enumerate() {
            self.parameters.ring().modulus(prime_of(&self.parameters, limbs, index)).add_assign(a, b);
        }
    }

    fn check_rotation(&self, a: &Ciphertext, keys: &GaloisKeys) -> Result<(), Error> {
        self.check(a)?;
        self.parameters.check_ring(keys.ring_id, "Galois key")
    }

    fn check_automorphism(&self, g: usize) -> Result<(), Error> {
        let step = self.parameters.generalised().map_or(2, Generalised::automorphism_step);
        if g % step == 1 { Ok(()) } else { Err(Error::Automorphism(g)) }
    }
}

/// Ciphertexts that a hoisted one can be asked about.
impl Hoisted {
    /// The ciphertext that was decomposed.
    pub fn ciphertext(&self) -> &Ciphertext {
        &self.ciphertext
    }

    /// Bytes it holds in memory.
    pub fn bytes(&self) -> usize {
        let rows = self.ciphertext.parts.iter().chain([&self.scaled]).flat_map(Rows::iter);
        rows.map(size_of_val).sum::<usize>() + self.digits.bytes()
    }
}
