//! Messages to phases and back: `round(Q m / t)` and `round(t x / Q)` for the polynomial `t = X^k - b`.
//!
//! With `X^k = Y` a polynomial is d blocks of k coefficients, and t acts on the blocks: `(t w)_j = w_(j-1) - b w_j`, where
//! `w_(-1) = -w_(d-1)`.

use std::sync::Arc;

use kernel::modular::{Converter, Modulus, Shoup, Words};
use kernel::ntt::Ntt;
use zeroize::Zeroizing;

use super::Generalised;
use super::wide::Factor;
use crate::parameters::cofactor_inverses;
use crate::ring::{Ring, Rows, SecretRows};

/// Multiplication by t and by `1/t` on coefficients modulo one prime.
#[derive(Clone, Copy, Debug)]
struct Block {
    modulus: Modulus,
    slots: usize,
    base: Shoup,
    minus_base: Shoup,
    /// `-1 / b`.
    divide: Shoup,
    /// `1 / p`.
    last: Shoup,
}

impl Block {
    /// `None` where b or p have no inverse modulo the prime.
    fn new(space: &Generalised, modulus: &Modulus) -> Option<Self> {
        let q = *modulus;
        let p = q.reduce_wide(space.modulus());
        Some(Self {
            modulus: q,
            slots: space.slots(),
            base: q.shoup(space.base),
            minus_base: q.shoup(q.neg(q.reduce(space.base))),
            divide: q.shoup(q.neg(q.inverse(space.base)?)),
            last: q.shoup(q.inverse(p)?),
        })
    }

    /// `w *= t`.
    fn multiply(&self, w: &mut [u64]) {
        multiply(&self.modulus, self.slots, self.minus_base, w);
    }

    /// `u /= t`. From `1/t`, the last block is `-(u_0 + b u_1 + ... + b^(d-1) u_(d-1)) / p`; the others follow from
    /// `w_j = (w_(j-1) - u_j) / b`.
    fn divide(&self, u: &mut [u64]) {
        let (q, k) = (&self.modulus, self.slots);
        let mut previous = Zeroizing::new(u[u.len() - k..].to_vec());
        for block in u.chunks_exact(k).rev().skip(1) {
            q.scale_assign(&mut previous, self.base);
            q.add_assign(&mut previous, block);
        }
        // w_(-1), which is minus the last block.
        q.scale_assign(&mut previous, self.last);
        for block in u.chunks_exact_mut(k) {
            q.sub_scale_assign(block, &previous, self.divide);
            previous.copy_from_slice(block);
        }
    }
}

/// `w *= X^k - b` on coefficients.
fn multiply(q: &Modulus, k: usize, minus_base: Shoup, w: &mut [u64]) {
    let last = Zeroizing::new(w[w.len() - k..].to_vec());
    for start in (0..w.len()).step_by(k).rev() {
        let (before, block) = w.split_at_mut(start);
        let block = &mut block[..k];
        q.scale_assign(block, minus_base);
        if start > 0 {
            q.add_assign(block, &before[start - k..]);
        } else {
            q.sub_assign(block, &last);
        }
    }
}

/// The values of t at the roots of one prime's transform: `X^k` takes d values, each on a block of k positions of the evaluation
/// form, since their exponents agree modulo 2 d.
#[derive(Clone, Debug)]
pub(crate) struct Values {
    modulus: Modulus,
    slots: usize,
    blocks: Vec<Shoup>,
}

impl Values {
    pub(crate) fn new(space: &Generalised, ntt: &Ntt) -> Self {
        let (q, slots) = (*ntt.modulus(), space.slots());
        let blocks = ntt
            .exponents()
            .into_iter()
            .step_by(slots)
            .map(|exponent| {
                let power = q.pow(ntt.root(), u64::from(exponent) * slots as u64 % (2 * space.degree as u64));
                q.shoup(q.sub(power, q.reduce(space.base)))
            })
            .collect();
        Self { modulus: q, slots, blocks }
    }

    /// `row *= t` in evaluation form.
    pub(crate) fn multiply(&self, row: &mut [u64]) {
        for (block, value) in row.chunks_exact_mut(self.slots).zip(&self.blocks) {
            self.modulus.scale_assign(block, *value);
        }
    }
}

/// The constants of one level.
#[derive(Debug)]
pub(crate) struct PolynomialScaling {
    space: Arc<Generalised>,
    /// `-Q mod p`.
    minus_modulus: Factor,
    blocks: Vec<Block>,
    /// Centred representatives, to the coefficient modulus.
    narrow: Converter,
    /// `1 / Q` modulo the coefficient modulus.
    inverse_modulus: Shoup,
    minus_base: Shoup,
}

impl PolynomialScaling {
    /// `None` where a prime divides p or b.
    pub(crate) fn new(space: &Arc<Generalised>, ring: &Ring, limbs: usize) -> Option<Self> {
        let moduli: Vec<Modulus> = ring.moduli(limbs).copied().collect();
        let p = &space.p;
        let product = moduli.iter().fold(1, |x, q| p.mul(x, p.factor(u128::from(q.value()) % p.value())));
        let blocks = moduli.iter().map(|q| Block::new(space, q)).collect::<Option<_>>()?;
        let m = &space.coefficient;
        let product_narrow = moduli.iter().fold(1, |x, q| m.mul(x, q.value()));
        let from: Vec<_> = moduli.iter().copied().zip(cofactor_inverses(&moduli)?).collect();
        // A power of two shares no factor with the limbs, whatever their value modulo it.
        let row = moduli
            .iter()
            .map(|q| Some(m.mul(product_narrow, m.inverse(q.value())?)))
            .collect::<Option<_>>()?;
        let narrow = Converter::new(&from, &[(*m, row, m.neg(product_narrow))])?;
        Some(Self {
            space: space.clone(),
            minus_modulus: p.factor(p.sub(0, product)),
            blocks,
            narrow,
            inverse_modulus: m.shoup(m.inverse(product_narrow)?),
            minus_base: m.shoup(m.neg(m.reduce(space.base))),
        })
    }

    /// `round(Q m / t)` in coefficient form: with u the small representative of `-Q m` modulo t it is `(Q m + u) / t`,
    /// that is `u / t` modulo every limb.
    pub(crate) fn scaled_message(&self, ring: &Ring, coefficients: &[u64]) -> Rows {
        let space = &self.space;
        let mut residues = Zeroizing::new(space.residues(coefficients));
        residues.iter_mut().for_each(|x| *x = space.p.mul(*x, self.minus_modulus));
        let small = Zeroizing::new(space.coefficients(&residues));
        let mut out = ring.scratch(self.blocks.len());
        for (block, row) in self.blocks.iter().zip(out.iter_mut()) {
            block.modulus.rebase_into(row, &small, &space.coefficient);
            block.divide(row);
        }
        out
    }

    /// The message of a phase x in coefficient form: `y = round(t x / Q) = (t x - centred(t x mod Q)) / Q`, which is
    /// below b in magnitude and so known from its residue modulo a power of two.
    pub(crate) fn rounded_message(&self, phase: &Rows) -> Words {
        let (space, m) = (&self.space, &self.space.coefficient);
        let narrowed = |rows: &Rows| {
            let mut out = Zeroizing::new(Words::zeros(space.degree));
            self.narrow.apply(&rows.iter().collect::<Vec<_>>(), &mut [&mut out]);
            out
        };
        let mut message = narrowed(phase);
        let mut product = SecretRows(phase.clone());
        self.blocks.iter().zip(product.0.iter_mut()).for_each(|(block, row)| block.multiply(row));
        let remainder = narrowed(&product.0);
        multiply(m, space.slots(), self.minus_base, &mut message);
        m.sub_scale_assign(&mut message, &remainder, self.inverse_modulus);
        // The representative with balanced digits, so that equal messages are equal.
        space.coefficients(&Zeroizing::new(space.residues(&message)))
    }
}
