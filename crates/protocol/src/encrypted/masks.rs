//! What makes a result say nothing beyond itself: masks, re-randomisation, flooding.
//!
//! A slot that carries no result gets a uniform mask. Where the client adds several slots up, these get masks that sum to
//! zero, so that only the sum is left of them. A fresh encryption of zero under the client's key makes both halves independent
//! of how the result came about, and flooding hides its noise to within 2^-40. Switching to a small modulus and dropping
//! low bits come after that and cannot add knowledge.

use bfv::{Ciphertext, Encoder, Evaluator, Parameters, PlainModulus, Randomness, Reply};
use kernel::block::Block;
use kernel::prg::Prg;
use kernel::seed::Seed;
use zeroize::Zeroizing;

use super::outline::{Answer, Finish, Outline};
use super::program::EvaluationKeys;
use crate::error::Error;

/// Makes a result, number `index` modulo plaintext modulus number `modulus`, into a reply: with its mask, one of [`masks`]. The
/// randomness derives from `seed`, one seed for all results of a prediction.
///
/// # Errors
/// When the ciphertext is not of these parameters.
pub fn hide(
    parameters: &Parameters,
    (modulus, index): (usize, usize),
    (mut result, mask): (Ciphertext, Option<&[u64]>),
    keys: &EvaluationKeys,
    finish: &Finish,
    seed: &Seed,
) -> Result<Reply, Error> {
    let evaluator = Evaluator::new(parameters);
    if let Some(mask) = mask {
        evaluator.add_plain_assign(&mut result, &Encoder::new(parameters).slots(mask)?)?;
    }
    let mut randomness = Randomness::new(seed.child("encrypted/hide", (modulus << 32 | index) as u64));
    evaluator.rerandomise(&mut result, &keys.public, &mut randomness)?;
    evaluator.flood(&mut result, finish.flood_bits, &mut randomness)?;
    Ok(evaluator.reply(&result, finish.shape, None)?)
}

/// The masks of all results' slots modulo one plaintext modulus; none for a batch, whose slots are all results.
pub fn masks(outline: &Outline, modulus: usize, seed: &Seed) -> Vec<Zeroizing<Vec<u64>>> {
    let Answer::Slots { ciphertexts, elements } = &outline.answer else { return Vec::new() };
    let Some(parameters) = outline.parameters.get(modulus) else { return Vec::new() };
    let PlainModulus::Prime(t) = parameters.plain() else { return Vec::new() };
    let mut uniform = Uniform::new(t, &seed.child("encrypted/masks", modulus as u64));
    let mut masks: Vec<_> = (0..*ciphertexts)
        .map(|_| Zeroizing::new((0..outline.slots()).map(|_| uniform.next()).collect::<Vec<u64>>()))
        .collect();
    for places in elements {
        // The last of several masks is what makes their sum zero.
        let mut sum = 0;
        for (number, place) in places.iter().enumerate() {
            let mask = &mut masks[place.ciphertext as usize][place.slot as usize];
            if number + 1 == places.len() {
                *mask = (t - sum) % t;
            }
            sum = ((u128::from(sum) + u128::from(*mask)) % u128::from(t)) as u64;
        }
    }
    masks
}

/// Uniform residues, by rejection.
struct Uniform {
    modulus: u64,
    prg: Prg,
    words: Zeroizing<Vec<u64>>,
}

impl Uniform {
    fn new(modulus: u64, seed: &Seed) -> Self {
        Self { modulus, prg: Prg::new(seed), words: Zeroizing::new(Vec::new()) }
    }

    fn next(&mut self) -> u64 {
        let kept = u64::MAX >> self.modulus.leading_zeros();
        loop {
            if let Some(word) = self.words.pop() {
                if word & kept < self.modulus {
                    return word & kept;
                }
                continue;
            }
            let mut blocks = Zeroizing::new([Block::ZERO; 256]);
            self.prg.fill_blocks(&mut blocks[..]);
            self.words.extend(blocks.iter().flat_map(|block| {
                let bytes = u128::from_le_bytes(block.to_bytes());
                [bytes as u64, (bytes >> 64) as u64]
            }));
        }
    }
}
