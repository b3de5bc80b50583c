//! Random and chosen OTs from correlated ones.
//!
//! A correlated OT's two strings `q` and `q ^ delta` are alike for all OTs. Hashed with the OT's number they are
//! independent: the sender has `H(i, q)` and `H(i, q ^ delta)`, the receiver the one that its bit chose. H is the
//! tweakable correlation-robust hash of Guo, Katz, Wang and Yu (S&P 2020, eprint 2019/074), two AES calls:
//! `H(i, x) = p(p(x) ^ i) ^ p(x)`, where p is AES under the set-up's public name. A number must never come twice under
//! one set-up: take it from the position before the batch.

use kernel::aes::Aes128;
use kernel::block::{Block, as_bytes, as_bytes_mut};
use subtle::{Choice, ConditionallySelectable};
use zeroize::Zeroizing;

use crate::Error;

/// Blocks hashed at a time: they stay in the first-level cache.
const CHUNK: usize = 512;

/// The hash of one set-up.
pub struct Pads(Aes128);

impl Pads {
    /// The hash for the OTs of a set-up: `session` is [`crate::softspoken::Sender::session`], which both parties have.
    pub fn new(session: Block) -> Self {
        Self(Aes128::new(session))
    }

    /// The sender's pads for bit 0 and bit 1 of each OT, the first of which has the number `first`.
    pub fn of_sender(&self, first: u64, delta: Block, q: &[Block]) -> Vec<[Block; 2]> {
        let mut pairs: Vec<[Block; 2]> = q.iter().map(|q| [*q, *q ^ delta]).collect();
        self.hash(first, 2, pairs.as_flattened_mut());
        pairs
    }

    /// The receiver's pad of each OT, the first of which has the number `first`.
    pub fn of_receiver(&self, first: u64, t: &[Block]) -> Vec<Block> {
        let mut pads = t.to_vec();
        self.hash(first, 1, &mut pads);
        pads
    }

    /// Hashes in place, `each` blocks in a row having one number.
    fn hash(&self, first: u64, each: usize, blocks: &mut [Block]) {
        let mut inner = Zeroizing::new([Block::ZERO; CHUNK]);
        let mut number = 0;
        for chunk in blocks.chunks_mut(CHUNK) {
            self.0.encrypt_blocks(chunk);
            let inner = &mut inner[..chunk.len()];
            for (inner, permuted) in inner.iter_mut().zip(chunk.iter()) {
                *inner = *permuted ^ Block(u128::from(first) + (number / each) as u128);
                number += 1;
            }
            self.0.encrypt_blocks(inner);
            chunk.iter_mut().zip(inner).for_each(|(out, inner)| *out ^= *inner);
        }
    }
}

/// Fits random OTs to choices that came later: the receiver sends `corrections`, the XOR of the bits that it has and
/// the bits that it wants (packed as in [`crate::softspoken::Receiver::extend`]), and the sender swaps its pads where it
/// is set.
///
/// # Errors
/// [`Error::Length`] unless there is a bit for each pair, in as few bytes as possible.
pub fn correct(pairs: &mut [[Block; 2]], corrections: &[u8]) -> Result<(), Error> {
    check_bits("correction bits", pairs.len(), corrections)?;
    for (i, [zero, one]) in pairs.iter_mut().enumerate() {
        Block::conditional_swap(zero, one, bit(corrections, i));
    }
    Ok(())
}

/// The sender's message of chosen OTs: both strings of each, padded.
#[derive(Clone, Debug)]
pub struct ChosenMessage(Vec<[Block; 2]>);

impl ChosenMessage {
    /// Pads the strings of each OT.
    ///
    /// # Errors
    /// [`Error::Length`] unless there are as many pads as strings.
    pub fn new(pads: &[[Block; 2]], strings: &[[Block; 2]]) -> Result<Self, Error> {
        check("pads of chosen OTs", 32 * strings.len(), 32 * pads.len())?;
        let padded = pads.iter().zip(strings).map(|(pads, two)| [two[0] ^ pads[0], two[1] ^ pads[1]]);
        Ok(Self(padded.collect()))
    }

    /// Bytes of the message of `n` OTs.
    pub const fn encoded_len(n: usize) -> usize {
        n.saturating_mul(32)
    }

    /// The wire form, [`ChosenMessage::encoded_len`] bytes.
    pub fn encode(&self) -> Vec<u8> {
        as_bytes(self.0.as_flattened()).to_vec()
    }

    /// # Errors
    /// [`Error::Length`] unless the bytes are those of `n` OTs.
    pub fn decode(bytes: &[u8], n: usize) -> Result<Self, Error> {
        check("message of chosen OTs", Self::encoded_len(n), bytes.len())?;
        let mut pairs = vec![[Block::ZERO; 2]; n];
        as_bytes_mut(pairs.as_flattened_mut()).copy_from_slice(bytes);
        Ok(Self(pairs))
    }

    /// The strings that the receiver's bits chose.
    ///
    /// # Errors
    /// [`Error::Length`] unless there are as many pads, and a bit for each.
    pub fn open(&self, pads: &[Block], choices: &[u8]) -> Result<Vec<Block>, Error> {
        check("pads of chosen OTs", 16 * self.0.len(), 16 * pads.len())?;
        check_bits("choice bits", pads.len(), choices)?;
        let opened = self.0.iter().zip(pads).enumerate();
        Ok(opened
            .map(|(i, ([zero, one], pad))| Block::conditional_select(zero, one, bit(choices, i)) ^ *pad)
            .collect())
    }
}

fn check(what: &'static str, expected: usize, found: usize) -> Result<(), Error> {
    if expected == found { Ok(()) } else { Err(Error::Length { what, expected, found }) }
}

fn check_bits(what: &'static str, n: usize, bits: &[u8]) -> Result<(), Error> {
    check(what, n.div_ceil(8), bits.len())
}

fn bit(bits: &[u8], index: usize) -> Choice {
    Choice::from(bits[index / 8] >> (index % 8) & 1)
}

#[cfg(test)]
mod tests {
    use kernel::prg::Prg;

    use super::*;

    const DELTA: Block = Block(0x0123_4567_89ab_cdef_fedc_ba98_7654_3211);
    const N: usize = 1301;

    /// Ideal correlated OTs.
    fn correlated() -> (Vec<Block>, Vec<Block>, Vec<u8>) {
        let mut prg = Prg::from_key(Block(42));
        let (mut q, mut choices) = (vec![Block::ZERO; N], vec![0; N.div_ceil(8)]);
        prg.fill_blocks(&mut q);
        prg.fill_bytes(&mut choices);
        let t = (0..N).map(|i| q[i] ^ DELTA.and_bit(bit(&choices, i).into())).collect();
        (q, t, choices)
    }

    #[test]
    fn the_receiver_has_the_chosen_pad_and_all_pads_differ() {
        let (q, t, choices) = correlated();
        let pads = Pads::new(Block(7));
        let (pairs, chosen) = (pads.of_sender(1000, DELTA, &q), pads.of_receiver(1000, &t));
        for i in 0..N {
            let bit = usize::from(bit(&choices, i).unwrap_u8());
            assert!(pairs[i][bit] == chosen[i] && pairs[i][1 - bit] != chosen[i], "OT {i}");
        }
        let mut all: Vec<u128> = pairs.as_flattened().iter().map(|pad| pad.0).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 2 * N);
    }

    #[test]
    fn the_hash_is_as_defined_and_the_correlation_is_gone() {
        let pads = Pads::new(Block(7));
        let p = |x| Aes128::new(Block(7)).encrypt(x);
        let same = [Block(5); 700];
        for (i, pad) in pads.of_receiver(9, &same).into_iter().enumerate() {
            let inner = p(Block(5));
            assert!(pad == p(inner ^ Block(9 + i as u128)) ^ inner, "number {i}");
        }
        let pairs = pads.of_sender(0, DELTA, &same);
        assert!(pairs.windows(2).all(|two| two[0][0] ^ two[0][1] != two[1][0] ^ two[1][1]));
    }

    #[test]
    fn chosen_strings_arrive_also_for_late_choices() {
        let (q, t, had) = correlated();
        let pads = Pads::new(Block(7));
        let (mut pairs, chosen) = (pads.of_sender(0, DELTA, &q), pads.of_receiver(0, &t));
        let mut wanted = vec![0; had.len()];
        Prg::from_key(Block(43)).fill_bytes(&mut wanted);
        let corrections: Vec<u8> = had.iter().zip(&wanted).map(|(had, wanted)| had ^ wanted).collect();
        correct(&mut pairs, &corrections).expect("a bit for each");
        let strings: Vec<[Block; 2]> = (0..N as u128).map(|i| [Block(2 * i), Block(2 * i + 1)]).collect();
        let bytes = ChosenMessage::new(&pairs, &strings).expect("as many pads").encode();
        assert_eq!(bytes.len(), ChosenMessage::encoded_len(N));
        let message = ChosenMessage::decode(&bytes, N).expect("honest");
        let opened = message.open(&chosen, &wanted).expect("as many pads");
        for (i, opened) in opened.into_iter().enumerate() {
            assert_eq!(opened.0, 2 * i as u128 + u128::from(bit(&wanted, i).unwrap_u8()));
        }

        assert!(
            ChosenMessage::decode(&bytes[1..], N).is_err() && ChosenMessage::decode(&bytes, N + 1).is_err()
        );
        assert!(message.open(&chosen[1..], &wanted).is_err() && message.open(&chosen, &wanted[1..]).is_err());
        assert!(
            correct(&mut pairs, &wanted[1..]).is_err() && ChosenMessage::new(&pairs[1..], &strings).is_err()
        );
    }
}
