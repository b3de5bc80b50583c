//! The public code: each output adds ten terms of the secret.

use kernel::aes::Aes128;
use kernel::block::{Block, as_bytes};

use super::{DIMENSION, TREE};

/// Terms of a sum.
pub const WEIGHT_OF_SUM: usize = 10;

/// Sums at a time: their places stay in the first-level cache.
const CHUNK: usize = 256;
const _: () = assert!(TREE.is_multiple_of(CHUNK) && DIMENSION == 1 << 16, "whole chunks, places of 16 bits");

/// The code: places drawn by AES in counter mode, 16 bits each, with a counter that goes on from batch to batch.
pub(super) struct Code {
    aes: Aes128,
    counter: u128,
    places: Vec<Block>,
}

impl Code {
    /// The code of a public session.
    pub(super) fn new(session: Block) -> Self {
        // The counter begins far from the start of the session's stream, whose first block is a key.
        Self {
            aes: Aes128::new(session),
            counter: 1 << 64,
            places: vec![Block::ZERO; CHUNK * WEIGHT_OF_SUM / 8],
        }
    }

    /// Adds the next `run.len()` sums of the secret's [`DIMENSION`] blocks to `run`, a whole number of chunks.
    pub(super) fn add_sums(&mut self, secret: &[Block], run: &mut [Block]) {
        let Ok(secret) = <&[Block; DIMENSION]>::try_from(secret) else {
            debug_assert!(false, "the secret has another dimension");
            return;
        };
        for chunk in run.chunks_exact_mut(CHUNK) {
            self.aes.ctr_fill(self.counter, &mut self.places);
            self.counter += self.places.len() as u128;
            let (places, _) = as_bytes(&self.places).as_chunks::<{ 2 * WEIGHT_OF_SUM }>();
            for (out, places) in chunk.iter_mut().zip(places) {
                // A place of 16 bits is always inside, so no access is checked.
                for place in places.as_chunks::<2>().0 {
                    *out ^= secret[usize::from(u16::from_le_bytes(*place))];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_of_the_places_that_the_counter_names() {
        let secret: Vec<Block> = (0..DIMENSION as u128).map(|i| Block(i * i * 0x1_0001_0000_0001)).collect();
        let mut code = Code::new(Block(77));
        let mut run = vec![Block(1); 2 * TREE];
        let (first, second) = run.split_at_mut(TREE);
        code.add_sums(&secret, first);
        code.add_sums(&secret, second);
        let mut stream = vec![Block::ZERO; run.len() * WEIGHT_OF_SUM / 8];
        Aes128::new(Block(77)).ctr_fill(1 << 64, &mut stream);
        let places: Vec<usize> =
            stream.iter().flat_map(|b| (0..8).map(|i| (b.0 >> (16 * i)) as usize & 0xffff)).collect();
        for (out, places) in run.iter().zip(places.chunks(WEIGHT_OF_SUM)) {
            assert!(*out == places.iter().fold(Block(1), |sum, place| sum ^ secret[*place]));
        }
    }
}
