//! Messages stored as small signed coefficients, and products that transform them on the fly.
//!
//! A [`Multiplicand`] takes a limb's bits for each coefficient and limb; a message of a small plaintext modulus takes as many as
//! its widest coefficient has. A network's weights are kept in this form, and their transforms (one for each limb) are
//! part of the product.

use kernel::modular::{Modulus, Packed, VECTOR_BITS, Words};

use crate::ciphertext::{Ciphertext, Multiplicand};
use crate::encoder::Plaintext;
use crate::error::Error;
use crate::evaluator::Evaluator;
use crate::keys::check_limbs;
use crate::parameters::Parameters;
use crate::ring::PackedRows;

/// A message as centred coefficients, each in as many bits as the widest takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compact {
    id: u64,
    coefficients: Packed,
}

impl Compact {
    /// Bytes it holds in memory.
    pub fn bytes(&self) -> usize {
        self.coefficients.bytes().len()
    }

    /// The coefficients as residues of the modulus that is returned.
    fn residues_into(&self, out: &mut [u64]) -> Result<Modulus, Error> {
        let from = signed(self.coefficients.bits())?;
        self.coefficients.unpack_into(&from, out, 0);
        Ok(from)
    }
}

/// The odd modulus `2^bits - 1`: as many numbers above zero as below.
fn signed(bits: u32) -> Result<Modulus, Error> {
    Modulus::new((1 << bits) - 1).ok_or(Error::Bits(bits))
}

impl Plaintext {
    /// The compact form.
    ///
    /// # Errors
    /// If the message is of other parameters, or a centred coefficient has more than 50 bits, sign included.
    pub fn compact(&self, parameters: &Parameters) -> Result<Compact, Error> {
        parameters.check(self.id, "plaintext")?;
        let centred: Vec<i64> =
            self.coefficients.iter().map(|x| parameters.plain_ring().centred(*x)).collect();
        let largest = centred.iter().copied().max_by_key(|x| x.unsigned_abs()).unwrap_or(0);
        let bits = (u64::BITS - largest.unsigned_abs().leading_zeros() + 1).max(2);
        if bits > VECTOR_BITS {
            return Err(Error::Value(i128::from(largest)));
        }
        let from = signed(bits)?;
        let residues: Vec<u64> = centred.iter().map(|x| from.from_signed(*x)).collect();
        Ok(Compact { id: self.id, coefficients: Packed::new(&from, &residues) })
    }

    /// The sum of the squares of the centred coefficients: what [`crate::NoiseModel::mul_plain`] takes.
    ///
    /// # Errors
    /// If the message is of other parameters.
    pub fn squared_norm(&self, parameters: &Parameters) -> Result<f64, Error> {
        parameters.check(self.id, "plaintext")?;
        let plain = parameters.plain_ring();
        Ok(self.coefficients.iter().map(|x| (plain.centred(*x) as f64).powi(2)).sum())
    }
}

/// Terms transformed at a time.
const BATCH: usize = 8;

impl Evaluator {
    /// As [`Self::multiplicand`], from the compact form.
    ///
    /// # Errors
    /// As [`Self::multiplicand`].
    pub fn multiplicand_of(&self, message: &Compact, limbs: usize) -> Result<Multiplicand, Error> {
        let parameters = self.parameters();
        parameters.check(message.id, "compact plaintext")?;
        check_limbs(parameters, limbs)?;
        let ring = parameters.ring();
        let (mut small, mut row) = (Words::scratch(ring.degree()), Words::scratch(ring.degree()));
        let from = message.residues_into(&mut small)?;
        let rows = ring.moduli(limbs).enumerate().map(|(index, q)| {
            q.rebase_into(&mut row, &small, &from);
            ring.ntt(index).forward(&mut row);
            Packed::new(q, &row)
        });
        Ok(Multiplicand { id: message.id, rows: PackedRows(rows.collect()), limbs })
    }

    /// The plaintext dot product `sum of a_k factor_k` as [`Self::dot_plain`] gives it, from compact factors: in each limb one
    /// transform for each term.
    ///
    /// # Errors
    /// As [`Self::dot_plain`].
    pub fn dot_compact(&self, terms: &[(&Ciphertext, &Compact)]) -> Result<Ciphertext, Error> {
        let parameters = self.parameters();
        let (first, _) = terms.first().ok_or(Error::TooMany(0, 0))?;
        for (a, factor) in terms {
            parameters.check(factor.id, "compact plaintext")?;
            self.check_pair(first, a)?;
        }
        let (ring, limbs) = (parameters.ring(), first.limbs());
        let (mut sums, mut next) = ([0, 1].map(|_| ring.scratch(limbs)), [0, 1].map(|_| ring.scratch(limbs)));
        let count = BATCH.min(terms.len());
        let (mut small, mut factors) = (ring.scratch(count), ring.scratch(count));
        for (number, batch) in terms.chunks(BATCH).enumerate() {
            let moduli = batch
                .iter()
                .zip(small.iter_mut())
                .map(|((_, factor), out)| factor.residues_into(out))
                .collect::<Result<Vec<_>, _>>()?;
            for index in 0..limbs {
                let ntt = ring.ntt(index);
                for ((row, small), from) in factors.iter_mut().zip(small.iter()).zip(&moduli) {
                    ntt.modulus().rebase_into(row, small, from);
                    ntt.forward(row);
                }
                let rows: Vec<_> = batch
                    .iter()
                    .zip(factors.iter())
                    .map(|((a, _), row)| (row, [a.parts[0].row(index), a.parts[1].row(index)]))
                    .collect();
                let init = [0, 1].map(|half| (number > 0).then(|| sums[half].row(index)));
                let [next0, next1] = &mut next;
                ntt.modulus().dot_pair([next0.row_mut(index), next1.row_mut(index)], 0, init, &rows);
            }
            core::mem::swap(&mut sums, &mut next);
        }
        Ok(Ciphertext { id: first.id, parts: sums, seed: None })
    }
}
