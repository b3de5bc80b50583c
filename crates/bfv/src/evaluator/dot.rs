//! Plaintext dot products, fused: products are summed in double width and reduced once.
//!
//! They are bound by memory. So factors are packed; a ciphertext that is used again and again can be packed too; and
//! several sums over the same ciphertexts read these once.

use kernel::modular::{Operand, Packed};

use crate::ciphertext::{Ciphertext, Multiplicand, PackedCiphertext};
use crate::error::Error;
use crate::evaluator::Evaluator;
use crate::ring::Rows;

/// Coefficients for which all sums over the same ciphertexts are formed before the next: sixteen ciphertexts' stay in the
/// first-level cache.
const PART: usize = 128;

impl Evaluator {
    /// The plaintext dot product `sum of a_k factor_k`.
    ///
    /// # Errors
    /// As [`Self::mul_plain_add_assign`], or if there are no terms.
    pub fn dot_plain(&self, terms: &[(&Ciphertext, &Multiplicand)]) -> Result<Ciphertext, Error> {
        let (first, _) = terms.first().ok_or(Error::TooMany(0, 0))?;
        for (a, factor) in terms {
            self.check_factor(a, factor)?;
            self.check_pair(first, a)?;
        }
        Ok(self.dot_rows(first.limbs(), terms.len(), |row, term| {
            let (a, factor) = terms[term];
            (factor.rows.row(row), [a.parts[0].row(row), a.parts[1].row(row)])
        }))
    }

    /// A ciphertext in the form of [`Self::dot_packed`].
    ///
    /// # Errors
    /// If it is of other parameters.
    pub fn packed(&self, a: &Ciphertext) -> Result<PackedCiphertext, Error> {
        self.check(a)?;
        let ring = self.parameters.ring();
        Ok(PackedCiphertext { id: a.id, parts: [ring.pack(&a.parts[0]), ring.pack(&a.parts[1])] })
    }

    /// As [`Self::dot_plain`], of packed ciphertexts: it reads a third to half fewer bytes.
    ///
    /// # Errors
    /// As [`Self::dot_plain`].
    pub fn dot_packed(&self, terms: &[(&PackedCiphertext, &Multiplicand)]) -> Result<Ciphertext, Error> {
        let (first, _) = terms.first().ok_or(Error::TooMany(0, 0))?;
        let limbs = first.limbs();
        for (a, factor) in terms {
            self.parameters.check(a.id, "ciphertext")?;
            self.parameters.check(factor.id, "multiplicand")?;
            if a.limbs() != limbs || factor.limbs < limbs {
                return Err(Error::Level(a.limbs().min(factor.limbs), limbs));
            }
        }
        Ok(self.dot_rows(limbs, terms.len(), |row, term| {
            let (a, factor) = terms[term];
            (factor.rows.row(row), [a.parts[0].row(row), a.parts[1].row(row)])
        }))
    }

    /// A sum of `count` terms, row by row.
    fn dot_rows<'a, P: Operand>(
        &self,
        limbs: usize,
        count: usize,
        term: impl Fn(usize, usize) -> (&'a Packed, [P; 2]),
    ) -> Ciphertext {
        let ring = self.parameters.ring();
        let [mut sum0, mut sum1] = [0, 1].map(|_| ring.scratch(limbs));
        for (row, q) in ring.moduli(limbs).enumerate() {
            let terms: Vec<_> = (0..count).map(|k| term(row, k)).collect();
            q.dot_pair([sum0.row_mut(row), sum1.row_mut(row)], 0, [None; 2], &terms);
        }
        Ciphertext { id: self.parameters.id(), parts: [sum0, sum1], seed: None }
    }

    /// Several dot products over the same ciphertexts: the k-th result is the sum of `a_i factor` over the pairs
    /// `(i, factor)` of `sums[k]`, zero for an empty one. The ciphertexts are read from memory once for all.
    ///
    /// # Errors
    /// As [`Self::dot_plain`], or if an index has no ciphertext.
    pub fn dot_plain_many(
        &self,
        ciphertexts: &[&Ciphertext],
        sums: &[Vec<(usize, &Multiplicand)>],
    ) -> Result<Vec<Ciphertext>, Error> {
        let first = ciphertexts.first().ok_or(Error::TooMany(0, 0))?;
        for a in ciphertexts {
            self.check_pair(first, a)?;
        }
        for (index, factor) in sums.iter().flatten() {
            let a = ciphertexts.get(*index).ok_or(Error::TooMany(*index, ciphertexts.len()))?;
            self.check_factor(a, factor)?;
        }
        let (ring, limbs) = (self.parameters.ring(), first.limbs());
        let mut out: Vec<[Rows; 2]> = sums.iter().map(|_| [0, 1].map(|_| ring.scratch(limbs))).collect();
        let part = PART.min(ring.degree());
        for (row, q) in ring.moduli(limbs).enumerate() {
            let mut terms = Vec::with_capacity(sums.len());
            for sum in sums {
                let mut list = Vec::with_capacity(sum.len());
                for (index, factor) in sum {
                    let [a, b] = &ciphertexts[*index].parts;
                    list.push((factor.rows.row(row), [a.row(row), b.row(row)]));
                }
                terms.push(list);
            }
            for start in (0..ring.degree()).step_by(part) {
                for (terms, [out0, out1]) in terms.iter().zip(&mut out) {
                    let range = start..start + part;
                    let sides = [&mut out0.row_mut(row)[range.clone()], &mut out1.row_mut(row)[range]];
                    q.dot_pair(sides, start, [None; 2], terms);
                }
            }
        }
        Ok(out.into_iter().map(|parts| Ciphertext { id: first.id, parts, seed: None }).collect())
    }
}
