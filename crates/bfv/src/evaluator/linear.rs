//! Sums, and products with messages.

use kernel::modular::{Modulus, Packed};

use crate::ciphertext::{Ciphertext, Multiplicand};
use crate::encoder::Plaintext;
use crate::error::Error;
use crate::evaluator::Evaluator;
use crate::keys::{check_limbs, scaled_message};
use crate::ring::{PackedRows, Rows};

impl Evaluator {
    /// `a += b`.
    ///
    /// # Errors
    /// If one is of other parameters, or their limbs differ.
    pub fn add_assign(&self, a: &mut Ciphertext, b: &Ciphertext) -> Result<(), Error> {
        self.check_pair(a, b)?;
        a.seed = None;
        a.parts.iter_mut().zip(&b.parts).for_each(|(a, b)| self.parameters.ring().add_assign(a, b));
        Ok(())
    }

    /// `a -= b`.
    ///
    /// # Errors
    /// As [`Self::add_assign`].
    pub fn sub_assign(&self, a: &mut Ciphertext, b: &Ciphertext) -> Result<(), Error> {
        self.check_pair(a, b)?;
        a.seed = None;
        a.parts.iter_mut().zip(&b.parts).for_each(|(a, b)| self.parameters.ring().sub_assign(a, b));
        Ok(())
    }

    /// `a = -a`.
    ///
    /// # Errors
    /// If it is of other parameters.
    pub fn neg_assign(&self, a: &mut Ciphertext) -> Result<(), Error> {
        self.check(a)?;
        a.seed = None;
        a.parts.iter_mut().for_each(|a| self.parameters.ring().neg_assign(a));
        Ok(())
    }

    /// Adds a message: `c0 += round(Q m / t)`. The noise does not grow, and a seeded second half stays one.
    ///
    /// # Errors
    /// If one is of other parameters.
    pub fn add_plain_assign(&self, a: &mut Ciphertext, message: &Plaintext) -> Result<(), Error> {
        let scaled = self.scaled(a, message)?;
        self.parameters.ring().add_assign(&mut a.parts[0], &scaled);
        Ok(())
    }

    /// Subtracts a message.
    ///
    /// # Errors
    /// If one is of other parameters.
    pub fn sub_plain_assign(&self, a: &mut Ciphertext, message: &Plaintext) -> Result<(), Error> {
        let scaled = self.scaled(a, message)?;
        self.parameters.ring().sub_assign(&mut a.parts[0], &scaled);
        Ok(())
    }

    fn scaled(&self, a: &Ciphertext, message: &Plaintext) -> Result<Rows, Error> {
        self.check(a)?;
        self.parameters.check(message.id, "plaintext")?;
        let mut scaled = scaled_message(&self.parameters, message, a.limbs());
        self.parameters.ring().forward(&mut scaled);
        Ok(scaled)
    }

    /// Prepares a message as a factor for ciphertexts with up to `limbs` limbs.
    ///
    /// # Errors
    /// If it is of other parameters, or there are no such limbs.
    pub fn multiplicand(&self, message: &Plaintext, limbs: usize) -> Result<Multiplicand, Error> {
        self.prepared(message, limbs, false)
    }

    /// As [`Self::multiplicand`], also modulo the special prime: for [`Self::dot_rotations`].
    ///
    /// # Errors
    /// As [`Self::multiplicand`], or if there is no special prime.
    pub fn multiplicand_extended(&self, message: &Plaintext, limbs: usize) -> Result<Multiplicand, Error> {
        if !self.parameters.ring().has_special() {
            return Err(Error::NoSpecialPrime);
        }
        self.prepared(message, limbs, true)
    }

    pub(crate) fn prepared(
        &self,
        message: &Plaintext,
        limbs: usize,
        extended: bool,
    ) -> Result<Multiplicand, Error> {
        self.parameters.check(message.id, "plaintext")?;
        check_limbs(&self.parameters, limbs)?;
        let ring = self.parameters.ring();
        let mut scratch = ring.scratch(1);
        let rows = (0..limbs + usize::from(extended)).map(|index| {
            let ntt = ring.ntt(if index < limbs { index } else { ring.data() });
            let row = scratch.row_mut(0);
            self.parameters.plain_ring().lift_into(ntt.modulus(), row, &message.coefficients);
            ntt.forward(row);
            Packed::new(ntt.modulus(), row)
        });
        Ok(Multiplicand { id: message.id, rows: PackedRows(rows.collect()), limbs })
    }

    pub(crate) fn check_factor(&self, a: &Ciphertext, factor: &Multiplicand) -> Result<(), Error> {
        self.check(a)?;
        self.parameters.check(factor.id, "multiplicand")?;
        if factor.limbs >= a.limbs() { Ok(()) } else { Err(Error::Level(factor.limbs, a.limbs())) }
    }

    /// `a *= factor`: slot by slot, or as polynomials modulo `X^N + 1`, as the message was encoded.
    ///
    /// # Errors
    /// If one is of other parameters, or the factor has fewer limbs.
    pub fn mul_plain_assign(&self, a: &mut Ciphertext, factor: &Multiplicand) -> Result<(), Error> {
        self.check_factor(a, factor)?;
        a.seed = None;
        let mut scratch = self.parameters.ring().scratch(1);
        for (index, q) in self.parameters.ring().moduli(a.limbs()).enumerate() {
            factor.rows.row(index).unpack_into(q, scratch.row_mut(0), 0);
            a.parts.iter_mut().for_each(|part| q.mul_assign(part.row_mut(index), scratch.row(0)));
        }
        Ok(())
    }

    /// `sum += a factor`.
    ///
    /// # Errors
    /// As [`Self::mul_plain_assign`] and [`Self::add_assign`].
    pub fn mul_plain_add_assign(
        &self,
        sum: &mut Ciphertext,
        a: &Ciphertext,
        factor: &Multiplicand,
    ) -> Result<(), Error> {
        self.check_factor(a, factor)?;
        self.check_pair(sum, a)?;
        sum.seed = None;
        let mut scratch = self.parameters.ring().scratch(1);
        for (index, q) in self.parameters.ring().moduli(a.limbs()).enumerate() {
            factor.rows.row(index).unpack_into(q, scratch.row_mut(0), 0);
            for (sum, part) in sum.parts.iter_mut().zip(&a.parts) {
                q.mul_add_assign(sum.row_mut(index), part.row(index), scratch.row(0));
            }
        }
        Ok(())
    }

    /// `a *= scalar`, a number taken as it is: the noise grows by its magnitude.
    ///
    /// # Errors
    /// If the ciphertext is of other parameters, or the scalar's magnitude is not below the modulus of a coefficient or
    /// slot.
    pub fn mul_scalar_assign(&self, a: &mut Ciphertext, scalar: i64) -> Result<(), Error> {
        self.check(a)?;
        let fits = match self.parameters.generalised() {
            Some(space) => space.signed(i128::from(scalar)).is_some(),
            None => self.parameters.plain_ring().signed(scalar).is_some(),
        };
        if !fits {
            return Err(Error::Value(i128::from(scalar)));
        }
        self.scale_assign(a, |q| q.from_signed(scalar));
        Ok(())
    }

    /// Multiplies by a constant of the ciphertext ring, given by its residues.
    pub(crate) fn scale_assign(&self, a: &mut Ciphertext, residue: impl Fn(&Modulus) -> u64) {
        a.seed = None;
        for part in &mut a.parts {
            for (q, row) in self.parameters.ring().moduli(part.count()).zip(part.iter_mut()) {
                q.scale_assign(row, q.shoup(residue(q)));
            }
        }
    }

    /// `a *= X^power` modulo `X^N + 1`: coefficients move up by `power`, and those that leave return negated. The noise
    /// does not grow.
    ///
    /// # Errors
    /// If the ciphertext is of other parameters.
    pub fn mul_monomial_assign(&self, a: &mut Ciphertext, power: usize) -> Result<(), Error> {
        self.check(a)?;
        a.seed = None;
        let monomial = self.parameters.ring().monomial(power, a.limbs());
        a.parts.iter_mut().for_each(|part| self.parameters.ring().mul_assign(part, &monomial));
        Ok(())
    }

    /// For each row `sum of w_k a_k` over its terms `(k, w_k)`: a matrix of scalars times a vector of ciphertexts. Scalars are
    /// numbers in `(-t, t)` taken as they are. Works through the inputs in blocks that stay in cache.
    ///
    /// # Errors
    /// If ciphertexts are of other parameters or levels, a term has no ciphertext, or a scalar's magnitude is not below t.
    pub fn combine(
        &self,
        inputs: &[&Ciphertext],
        rows: &[Vec<(usize, i64)>],
    ) -> Result<Vec<Ciphertext>, Error> {
        let Some(first) = inputs.first() else { return Err(Error::TooMany(0, 0)) };
        inputs.iter().try_for_each(|a| self.check_pair(first, a))?;
        for (index, scalar) in rows.iter().flatten() {
            inputs.get(*index).ok_or(Error::TooMany(*index, inputs.len()))?;
            self.parameters.plain_ring().signed(*scalar).ok_or(Error::Value(i128::from(*scalar)))?;
        }
        let (ring, limbs) = (self.parameters.ring(), first.limbs());
        let zero = || Ciphertext { id: first.id, parts: [0, 1].map(|_| ring.zeros(limbs)), seed: None };
        let mut out: Vec<Ciphertext> = rows.iter().map(|_| zero()).collect();
        let block = COMBINE_BLOCK.min(ring.degree());
        let mut terms = Vec::new();
        for (limb, q) in ring.moduli(limbs).enumerate() {
            let scalars: Vec<Vec<(usize, u64)>> = rows
                .iter()
                .map(|row| row.iter().map(|(index, scalar)| (*index, q.from_signed(*scalar))).collect())
                .collect();
            for (half, start) in
                (0..2).flat_map(|half| (0..ring.degree()).step_by(block).map(move |s| (half, s)))
            {
                let range = start..start + block;
                for (out, row) in out.iter_mut().zip(&scalars) {
                    terms.clear();
                    let source = |index: &usize| &inputs[*index].parts[half].row(limb)[range.clone()];
                    terms.extend(row.iter().map(|(index, scalar)| (*scalar, source(index))));
                    q.dot_scalars(&mut out.parts[half].row_mut(limb)[range.clone()], &terms);
                }
            }
        }
        Ok(out)
    }
}

/// Coefficients of a block of [`Evaluator::combine`]: those of a thousand ciphertexts fit into a second-level cache.
const COMBINE_BLOCK: usize = 128;
