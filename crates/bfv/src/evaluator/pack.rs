//! Packing: one coefficient of each of several ciphertexts into one ciphertext, by automorphisms.
//!
//! Chen, Dai, Kim and Song, "Efficient homomorphic conversion between (ring) LWE ciphertexts" (eprint 2020/015),
//! algorithms 2 and 3. For two packings of `l` ciphertexts with stride `2 M = N / l`,
//! `(even + X^M odd) + (even - X^M odd)(X^(2l + 1))` has stride M and doubles what it keeps; the remaining
//! automorphisms, the trace, remove the other coefficients. Together they multiply by N, which is undone beforehand by the
//! inverse of N modulo Q, so that any plaintext modulus will do.

use crate::ciphertext::Ciphertext;
use crate::error::Error;
use crate::evaluator::Evaluator;
use crate::keys::GaloisKeys;

impl Evaluator {
    /// Packs: the result's coefficient `k N / n` is coefficient `position_k` of the k-th ciphertext, where n is the
    /// number of ciphertexts rounded up to a power of two, and all other coefficients are zero. It takes n - 1 + log2 (N / n)
    /// automorphisms; keys are those of [`GaloisKeys::of_packing`].
    ///
    /// # Errors
    /// If the plaintext space is a generalised one, something is of other parameters, limbs differ, a position is not below N, or there are no ciphertexts
    /// or more than N.
    pub fn pack(&self, inputs: &[(&Ciphertext, usize)], keys: &GaloisKeys) -> Result<Ciphertext, Error> {
        self.parameters.check_integer()?;
        let degree = self.parameters.degree();
        let (first, _) = inputs.first().ok_or(Error::TooMany(0, degree))?;
        if inputs.len() > degree {
            return Err(Error::TooMany(inputs.len(), degree));
        }
        let mut moved = Vec::with_capacity(inputs.len());
        for (input, position) in inputs {
            self.check_pair(first, input)?;
            if *position >= degree {
                return Err(Error::TooMany(*position, degree));
            }
            let mut input = (*input).clone();
            self.scale_assign(&mut input, |q| {
                q.pow(q.inverse(2).unwrap_or(0), u64::from(degree.trailing_zeros()))
            });
            // X^(2 N - position) brings the coefficient to the constant place.
            self.mul_monomial_assign(&mut input, 2 * degree - position)?;
            moved.push(Some(input));
        }
        let count = inputs.len().next_power_of_two();
        moved.resize(count, None);
        let packed = self.merge(moved, keys)?;
        let mut sum = packed.ok_or(Error::TooMany(0, degree))?;
        for level in count.trailing_zeros() + 1..=degree.trailing_zeros() {
            let image = self.automorphism(&sum, (1 << level) + 1, keys)?;
            self.add_assign(&mut sum, &image)?;
        }
        Ok(sum)
    }

    /// Merges a power of two of ciphertexts, `None` being an encryption of zero.
    fn merge(
        &self,
        mut inputs: Vec<Option<Ciphertext>>,
        keys: &GaloisKeys,
    ) -> Result<Option<Ciphertext>, Error> {
        if inputs.len() == 1 {
            return Ok(inputs.pop().flatten());
        }
        let count = inputs.len();
        let (mut even, mut odd) = (Vec::with_capacity(count / 2), Vec::with_capacity(count / 2));
        for (index, input) in inputs.into_iter().enumerate() {
            if index % 2 == 0 { even.push(input) } else { odd.push(input) }
        }
        let (even, odd) = (self.merge(even, keys)?, self.merge(odd, keys)?);
        let Some(even) = even else { return Ok(None) };
        let (mut sum, mut difference) = (even.clone(), even);
        if let Some(mut odd) = odd {
            self.mul_monomial_assign(&mut odd, self.parameters.degree() / count)?;
            self.add_assign(&mut sum, &odd)?;
            self.sub_assign(&mut difference, &odd)?;
        }
        let image = self.automorphism(&difference, count + 1, keys)?;
        self.add_assign(&mut sum, &image)?;
        Ok(Some(sum))
    }
}
