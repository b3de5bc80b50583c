//! The transform in plain Rust, for primes below 2^62.

use crate::modular::{Modulus, Shoup};

/// Butterfly factors in bit-reversed order, for both directions.
#[derive(Clone, Debug)]
pub struct Tables {
    forward: Vec<Shoup>,
    inverse: Vec<Shoup>,
    /// `1/n`, and the factor of the last inverse level times `1/n`.
    last: [Shoup; 2],
}

impl Tables {
    pub fn new(degree: usize, modulus: &Modulus, root: u64) -> Self {
        let table = |root| -> Vec<Shoup> {
            super::powers_bit_reversed(degree, modulus, root).into_iter().map(|w| modulus.shoup(w)).collect()
        };
        // Inverses by Fermat: the modulus is prime.
        let inverse_of = |x| modulus.pow(x, modulus.value() - 2);
        let inverse = table(inverse_of(root));
        let scale = inverse_of(degree as u64);
        let last = [modulus.shoup(scale), modulus.shoup(modulus.mul(scale, inverse[1].value))];
        Self { forward: table(root), inverse, last }
    }
}

/// Cooley–Tukey levels with values below `4 q`, then the full reduction and the block transposition.
pub fn forward(modulus: &Modulus, tables: &Tables, words: &mut [u64]) {
    let twice = 2 * modulus.value();
    let mut groups = 1;
    while groups < words.len() {
        let span = words.len() / groups;
        for (block, w) in words.chunks_exact_mut(span).zip(&tables.forward[groups..]) {
            let (upper, lower) = block.split_at_mut(span / 2);
            for (x, y) in upper.iter_mut().zip(lower) {
                let a = correct(*x, twice);
                let b = modulus.mul_shoup_lazy(*y, *w);
                (*x, *y) = (a + b, a + twice - b);
            }
        }
        groups *= 2;
    }
    for word in words.iter_mut() {
        *word = modulus.correct(correct(*word, twice));
    }
    transpose(words);
}

/// Gentleman–Sande levels with values below `2 q`; the last one also divides by `n`.
pub fn inverse(modulus: &Modulus, tables: &Tables, words: &mut [u64]) {
    transpose(words);
    let twice = 2 * modulus.value();
    let mut groups = words.len() / 2;
    while groups > 1 {
        let span = words.len() / groups;
        for (block, w) in words.chunks_exact_mut(span).zip(&tables.inverse[groups..]) {
            let (upper, lower) = block.split_at_mut(span / 2);
            for (x, y) in upper.iter_mut().zip(lower) {
                let (a, b) = (*x, *y);
                (*x, *y) = (correct(a + b, twice), modulus.mul_shoup_lazy(a + twice - b, *w));
            }
        }
        groups /= 2;
    }
    let (upper, lower) = words.split_at_mut(words.len() / 2);
    for (x, y) in upper.iter_mut().zip(lower) {
        let (a, b) = (*x, *y);
        (*x, *y) =
            (modulus.mul_shoup(a + b, tables.last[0]), modulus.mul_shoup(a + twice - b, tables.last[1]));
    }
}

/// `x` less `bound` if that is not negative, for `x < 2 bound < 2^64`.
fn correct(x: u64, bound: u64) -> u64 {
    x.min(x.wrapping_sub(bound))
}

/// Swaps rows and columns of each block of 64.
fn transpose(words: &mut [u64]) {
    for block in words.chunks_exact_mut(64) {
        for row in 0..8 {
            for column in 0..row {
                block.swap(8 * row + column, 8 * column + row);
            }
        }
    }
}
