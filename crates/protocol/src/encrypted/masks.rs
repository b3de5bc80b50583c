//! What makes a result say nothing beyond itself: masks, re-randomisation, flooding.
//!
//! A slot that carries no result gets a uniform mask. Where the client adds several slots up, these get masks that sum to
//! zero, so that only the sum is left of them. A fresh encryption of zero under the client's key makes both halves independent
//! of how the result came about, and flooding hides its noise to within 2^-40. Switching to a small modulus and dropping
//! low bits come after that and cannot add knowledge.

use bfv::{Ciphertext, Encoder, Evaluator, Parameters, Randomness, Reply};
use kernel::block::Block;
use kernel::prg::Prg;
use kernel::seed::Seed;
use zeroize::Zeroizing;

use super::outline::{Answer, Finish, Outline};
use super::program::EvaluationKeys;
use super::values::{centre, modulus};
use crate::error::Error;

/// Makes a result, number `index` modulo plaintext modulus number `modulus`, into a reply: with its mask, one of [`masks`]. The
/// randomness derives from `seed`, one seed for all results of a prediction.
///
/// # Errors
/// When the ciphertext is not of these parameters.
pub fn hide(
    parameters: &Parameters,
    (modulus, index): (usize, usize),
    (mut result, mask): (Ciphertext, Option<&[i128]>),
    keys: &EvaluationKeys,
    finish: &Finish,
    seed: &Seed,
) -> Result<Reply, Error> {
    let evaluator = Evaluator::new(parameters);
    if let Some(mask) = mask {
        evaluator.add_plain_assign(&mut result, &Encoder::new(parameters).slots_wide(mask)?)?;
    }
    let mut randomness = Randomness::new(seed.child("encrypted/hide", (modulus << 32 | index) as u64));
    evaluator.rerandomise(&mut result, &keys.public, &mut randomness)?;
    evaluator.flood(&mut result, finish.flood_bits, &mut randomness)?;
    Ok(evaluator.reply(&result, finish.shape, None)?)
}

/// The masks of all results' slots modulo one plaintext modulus; none for a batch, whose slots are all results.
///
/// # Errors
/// Where the parameters have no slots.
pub fn masks(outline: &Outline, number: usize, seed: &Seed) -> Result<Vec<Zeroizing<Vec<i128>>>, Error> {
    let Answer::Slots { ciphertexts, elements } = &outline.answer else { return Ok(Vec::new()) };
    let Some(parameters) = outline.parameters.get(number) else { return Ok(Vec::new()) };
    let p = modulus(parameters)?;
    let mut uniform = Uniform::new(p, &seed.child("encrypted/masks", number as u64));
    let mut masks: Vec<_> = (0..*ciphertexts)
        .map(|_| Zeroizing::new((0..outline.slots()).map(|_| uniform.next()).collect::<Vec<i128>>()))
        .collect();
    for places in elements {
        // The last of several masks is what makes their sum zero.
        let mut sum = 0;
        for (number, place) in places.iter().enumerate() {
            let mask = &mut masks[place.ciphertext as usize][place.slot as usize];
            if number + 1 == places.len() {
                *mask = centre(-sum, p);
            }
            sum = centre(sum + *mask, p);
        }
    }
    Ok(masks)
}

/// Uniform residues next to zero, by rejection.
struct Uniform {
    modulus: i128,
    prg: Prg,
    blocks: Zeroizing<Vec<Block>>,
}

/// Blocks of the stream made at a time.
const BLOCKS: usize = 256;

impl Uniform {
    fn new(modulus: i128, seed: &Seed) -> Self {
        Self { modulus, prg: Prg::new(seed), blocks: Zeroizing::new(Vec::with_capacity(BLOCKS)) }
    }

    fn next(&mut self) -> i128 {
        let kept = i128::MAX >> (self.modulus.leading_zeros() - 1);
        loop {
            if self.blocks.is_empty() {
                self.blocks.resize(BLOCKS, Block::ZERO);
                self.prg.fill_blocks(&mut self.blocks);
            }
            let word = self.blocks.pop().map_or(0, |block| i128::from_le_bytes(block.to_bytes()) & kept);
            if word < self.modulus {
                return centre(word, self.modulus);
            }
        }
    }
}
