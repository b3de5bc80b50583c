//! A pseudorandom generator: AES-128 in counter mode.

use core::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::aes::Aes128;
use crate::block::Block;
use crate::seed::Seed;

/// Blocks made ahead for the byte-wise interface.
const AHEAD: usize = 32;

/// AES-128 in counter mode from counter 0, erased on drop.
///
/// Bulk fills run at the tier's full rate. A permutation never repeats a block, so 2^q blocks differ from random with
/// advantage 2^(2q - 129); the counter itself cannot wrap within a lifetime.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Prg {
    aes: Aes128,
    counter: u128,
    ahead: [Block; AHEAD],
    /// Bytes of `ahead` already given out.
    used: usize,
}

impl Prg {
    /// The generator of a seed. Two generators of one seed give the same stream: derive children first.
    pub fn new(seed: &Seed) -> Self {
        Self::from_key(seed.block("prg", 0))
    }

    /// The generator whose AES key is this block.
    pub fn from_key(key: Block) -> Self {
        Self { aes: Aes128::new(key), counter: 0, ahead: [Block::ZERO; AHEAD], used: AHEAD * 16 }
    }

    /// Overwrites `out` with the next blocks of the stream. What [`Self::fill_bytes`] has made ahead stays there:
    /// the two interfaces never give out the same block.
    pub fn fill_blocks(&mut self, out: &mut [Block]) {
        self.aes.ctr_fill(self.counter, out);
        self.counter = self.counter.wrapping_add(out.len() as u128);
    }

    /// The next block of the stream.
    pub fn block(&mut self) -> Block {
        let mut one = [Block::ZERO];
        self.fill_blocks(&mut one);
        one[0]
    }

    /// Overwrites `out` with pseudorandom bytes.
    pub fn fill_bytes(&mut self, mut out: &mut [u8]) {
        while !out.is_empty() {
            if self.used == AHEAD * 16 {
                self.aes.ctr_fill(self.counter, &mut self.ahead);
                self.counter = self.counter.wrapping_add(AHEAD as u128);
                self.used = 0;
            }
            let ready = &mut crate::block::as_bytes_mut(&mut self.ahead)[self.used..];
            let length = ready.len().min(out.len());
            let (head, tail) = out.split_at_mut(length);
            head.copy_from_slice(&ready[..length]);
            ready[..length].zeroize();
            self.used += length;
            out = tail;
        }
    }
}

impl TryRng for Prg {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = Zeroizing::new([0; 4]);
        self.fill_bytes(&mut *bytes);
        Ok(u32::from_le_bytes(*bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = Zeroizing::new([0; 8]);
        self.fill_bytes(&mut *bytes);
        Ok(u64::from_le_bytes(*bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl TryCryptoRng for Prg {}

#[cfg(test)]
mod tests {
    use rand_core::Rng;

    use super::*;

    #[test]
    fn the_stream_is_aes_of_the_counter() {
        let key = Block(0x1234_5678);
        let mut prg = Prg::from_key(key);
        let mut out = vec![Block::ZERO; 700];
        let (first, rest) = out.split_at_mut(3);
        prg.fill_blocks(first);
        prg.fill_blocks(rest);
        let aes = Aes128::new(key);
        assert!(out.iter().enumerate().all(|(i, block)| *block == aes.encrypt(Block(i as u128))));
        assert!(prg.block() == aes.encrypt(Block(700)));
    }

    #[test]
    fn bytes_do_not_depend_on_how_they_are_asked_for() {
        let seed = Seed::from_bytes([1; 32]);
        let (mut whole, mut pieces) = (vec![0; 2000], vec![0; 2000]);
        Prg::new(&seed).fill_bytes(&mut whole);
        let mut prg = Prg::new(&seed);
        let mut rest = pieces.as_mut_slice();
        let mut length = 1;
        while !rest.is_empty() {
            let (head, tail) = rest.split_at_mut(length.min(rest.len()));
            Rng::fill_bytes(&mut prg, head);
            rest = tail;
            length = length * 3 % 701;
        }
        assert_eq!(whole, pieces);
    }

    #[test]
    fn blocks_and_bytes_never_share_a_block() {
        let mut prg = Prg::from_key(Block(9));
        let mut bytes = [0; 16];
        prg.fill_bytes(&mut bytes);
        let block = prg.block();
        let mut more = [0; AHEAD * 16];
        prg.fill_bytes(&mut more);
        assert!(more.windows(16).all(|window| window != block.to_bytes()));
    }
}
