//! The transform modulo `X^k - b` over the slot modulus: from k residues to the values at the k roots.
//!
//! With zeta of order 2 N and `zeta^k = b`, `X^l - zeta^(l e)` splits into `X^(l/2) - zeta^(l/2 e)` and the same with
//! `e + 2 N / l`: from `l = k`, `e = 1` down to `l = 1`, where the leaf is the value at `zeta^e` with `e = 1 mod 2 d`.

use super::wide::{Factor, Wide};

/// Tables of one transform.
#[derive(Clone, Debug)]
pub(crate) struct Transform {
    p: Wide,
    /// `zeta^(l/2 e)` of each node, level by level, and their inverses.
    forward: Vec<Factor>,
    inverse: Vec<Factor>,
    /// `1 / k`.
    scale: Factor,
    /// Leaf of each slot: slot i is the value at `zeta^((1 + 2 d)^i)`.
    positions: Vec<u32>,
}

impl Transform {
    /// The transform for `zeta`, of order `2 degree`, and k slots.
    pub(crate) fn new(p: Wide, zeta: u128, degree: usize, slots: usize) -> Self {
        let order = 2 * degree;
        let step = p.factor(zeta);
        let mut powers = Vec::with_capacity(order);
        let mut power = 1;
        for _ in 0..order {
            powers.push(p.factor(power));
            power = p.mul(power, step);
        }
        let (mut forward, mut inverse) = (Vec::with_capacity(slots), Vec::with_capacity(slots));
        let mut exponents = vec![1usize];
        let mut length = slots;
        while length > 1 {
            for e in &exponents {
                let exponent = (length / 2 * e) & (order - 1);
                forward.push(powers[exponent]);
                inverse.push(powers[(order - exponent) & (order - 1)]);
            }
            exponents = exponents.iter().flat_map(|e| [*e, (e + order / length) & (order - 1)]).collect();
            length /= 2;
        }
        let generator = rotation_generator(degree, slots);
        let mut leaf = vec![0u32; order];
        exponents.iter().enumerate().for_each(|(position, e)| leaf[*e] = position as u32);
        let mut exponent = 1;
        let positions = (0..slots)
            .map(|_| {
                let position = leaf[exponent];
                exponent = (exponent * generator) & (order - 1);
                position
            })
            .collect();
        let scale = p.factor(p.inverse(slots as u128));
        Self { p, forward, inverse, scale, positions }
    }

    /// Leaf of each slot.
    pub(crate) fn positions(&self) -> &[u32] {
        &self.positions
    }

    /// Residue coefficients to values, in place.
    pub(crate) fn forward(&self, words: &mut [u128]) {
        let (p, mut node, mut length) = (&self.p, 0, words.len());
        while length > 1 {
            for block in words.chunks_exact_mut(length) {
                let factor = self.forward[node];
                node += 1;
                let (low, high) = block.split_at_mut(length / 2);
                for (a, b) in low.iter_mut().zip(high) {
                    let product = p.mul(*b, factor);
                    (*a, *b) = (p.add(*a, product), p.sub(*a, product));
                }
            }
            length /= 2;
        }
    }

    /// Values to residue coefficients, in place.
    pub(crate) fn inverse(&self, words: &mut [u128]) {
        let (p, mut node, mut length) = (&self.p, self.inverse.len(), 2);
        while length <= words.len() {
            node -= words.len() / length;
            for (block, factor) in words.chunks_exact_mut(length).zip(&self.inverse[node..]) {
                let (low, high) = block.split_at_mut(length / 2);
                for (a, b) in low.iter_mut().zip(high) {
                    let difference = p.sub(*a, *b);
                    *a = p.add(*a, *b);
                    *b = p.mul(difference, *factor);
                }
            }
            length *= 2;
        }
        words.iter_mut().for_each(|word| *word = p.mul(*word, self.scale));
    }
}

/// The exponent that rotates the cycle of slots left by one: `1 + 2 d` generates the group of the `j = 1 mod 2 d`
/// modulo 2 N, which is cyclic of order k for d >= 2.
pub(crate) fn rotation_generator(degree: usize, slots: usize) -> usize {
    1 + 2 * (degree / slots)
}
