//! Automorphisms of ciphertexts: rotations of the slots, one by one or hoisted.

use crate::ciphertext::{Ciphertext, Multiplicand};
use crate::error::Error;
use crate::evaluator::Evaluator;
use crate::evaluator::switching::{Digits, divide_special, prime_of, switch};
use crate::generalised::Generalised;
use crate::keys::{GaloisKeys, SwitchingKey};
use crate::parameters::Parameters;
use crate::ring::Rows;

/// A ciphertext decomposed once for many automorphisms. It takes `limbs` times a ciphertext's memory.
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
    /// If something is of other parameters, the key is missing, or the plaintext space is a generalised one and g is not 1
    /// modulo twice its power.
    pub fn automorphism(&self, a: &Ciphertext, g: usize, keys: &GaloisKeys) -> Result<Ciphertext, Error> {
        self.check_rotation(a, keys)?;
        self.check_automorphism(g)?;
        if g == 1 {
            return Ok(a.clone());
        }
        let key = keys.get(g)?;
        let ring = self.parameters.ring();
        let mut coefficients = a.parts[1].clone();
        ring.inverse(&mut coefficients);
        let mut parts = switch(&self.parameters, &coefficients, Some(&a.parts[1]), key);
        ring.add_assign(&mut parts[0], &a.parts[0]);
        Ok(self.permuted(a.id, &parts, g))
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
        let mut coefficients = a.parts[1].clone();
        self.parameters.ring().inverse(&mut coefficients);
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
        let a = &hoisted.ciphertext;
        self.check_rotation(a, keys)?;
        self.check_automorphism(g)?;
        if g == 1 {
            return Ok(a.clone());
        }
        let key = keys.get(g)?;
        let pair = hoisted.digits.dot(&self.parameters, key);
        let mut parts = divide_special(&self.parameters, pair);
        self.parameters.ring().add_assign(&mut parts[0], &a.parts[0]);
        Ok(self.permuted(a.id, &parts, g))
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
    /// The rotations stay on the extended modulus and are summed there; the division by the special prime, most of
    /// a hoisted rotation, is done once for the sum ("double hoisting", Bossuat and others, eprint 2020/1203,
    /// section 5). Factors come from [`Self::multiplicand_extended`] with the ciphertext's limbs.
    ///
    /// # Errors
    /// As [`Self::automorphism`]; if a factor is of other parameters, limbs or form; without a special prime.
    pub fn dot_rotations(
        &self,
        hoisted: &Hoisted,
        terms: &[(i64, &Multiplicand)],
        keys: &GaloisKeys,
    ) -> Result<Ciphertext, Error> {
        let a = &hoisted.ciphertext;
        self.check_rotation(a, keys)?;
        let (ring, limbs) = (self.parameters.ring(), a.limbs());
        if !ring.has_special() {
            return Err(Error::NoSpecialPrime);
        }
        for (_, factor) in terms {
            self.parameters.check(factor.id, "multiplicand")?;
            if factor.limbs != limbs || factor.rows.count() != limbs + 1 {
                return Err(Error::Level(factor.rows.count(), limbs + 1));
            }
        }
        let mut sums = [0, 1].map(|_| ring.zeros(limbs + 1));
        let mut scratch = ring.scratch(4);
        for (steps, factor) in terms {
            let g = self.parameters.rotation_exponent(*steps);
            let key = if g == 1 { None } else { Some(keys.get(g)?) };
            for row in 0..=limbs {
                let q = ring.modulus(prime_of(&self.parameters, limbs, row));
                self.rotated_row(hoisted, (g, key), row, &mut scratch);
                for (half, sum) in sums.iter_mut().enumerate() {
                    q.mul_add_assign(sum.row_mut(row), scratch.row(2 + half), factor.rows.row(row));
                }
            }
        }
        let parts = divide_special(&self.parameters, sums);
        Ok(Ciphertext { id: a.id, parts, seed: None })
    }

    /// One row of a rotation on the extended modulus, times the special prime: rows 2 and 3 of `scratch`.
    fn rotated_row(
        &self,
        hoisted: &Hoisted,
        (g, key): (usize, Option<&SwitchingKey>),
        row: usize,
        scratch: &mut Rows,
    ) {
        let (parameters, ring) = (&self.parameters, self.parameters.ring());
        let limbs = hoisted.ciphertext.limbs();
        let prime = prime_of(parameters, limbs, row);
        // P c0, which is zero modulo the special prime, and P c1 where there is no key to take its place.
        let [kept0, kept1] = scratch.pair_mut();
        if row == limbs {
            kept0.fill(0);
        } else {
            kept0.copy_from_slice(hoisted.scaled.row(row));
        }
        if row == limbs || key.is_some() {
            kept1.fill(0);
        } else {
            kept1.copy_from_slice(hoisted.ciphertext.parts[1].row(row));
            ring.modulus(prime).scale_assign(kept1, ring.special_factor(prime));
        }
        if let Some(key) = key {
            let [out0, out1] = scratch.pair_mut();
            hoisted.digits.dot_row(parameters, key, row, [out0, out1]);
        }
        for half in 0..2 {
            let (source, target) = scratch.two_mut(half, 2 + half);
            ring.ntt(prime).automorphism_into(target, source, g);
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

    fn permuted(&self, id: u64, parts: &[Rows; 2], g: usize) -> Ciphertext {
        let ring = self.parameters.ring();
        let parts = [&parts[0], &parts[1]].map(|part| ring.automorphism(part, g));
        Ciphertext { id, parts, seed: None }
    }
}

/// Ciphertexts that a hoisted one can be asked about.
impl Hoisted {
    /// The ciphertext that was decomposed.
    pub fn ciphertext(&self) -> &Ciphertext {
        &self.ciphertext
    }

    /// The parameters' rows it holds, in bytes.
    pub fn bytes(&self, parameters: &Parameters) -> usize {
        let limbs = self.ciphertext.limbs();
        let digits = crate::keys::digit_shape(parameters, limbs).len();
        8 * parameters.degree()
            * (2 * limbs + digits * (limbs + usize::from(parameters.ring().has_special())))
    }
}
