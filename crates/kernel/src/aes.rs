//! AES-128 (FIPS 197), forward direction only.
//!
//! Tiers: `Portable` is a bit-sliced implementation of this crate (no table, no branch on data), `AesNi` and `Avx512`
//! use the processor's instructions on 8 and 32 blocks in flight. No tier's time depends on key or data.

pub(crate) mod bitslice;

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "x86_64")]
pub(crate) mod ni;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::block::Block;
use crate::tier::Tier;

/// The eleven round keys of AES-128, the first being the key itself.
pub(crate) type RoundKeys = [Block; 11];

/// AES-128 under one key. The round keys are erased on drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Aes128 {
    round_keys: RoundKeys,
    #[zeroize(skip)]
    tier: Tier,
}

impl Aes128 {
    /// Expands a key for the tier in use.
    pub fn new(key: Block) -> Self {
        Self::with_tier(key, Tier::current())
    }

    /// Expands a key for a given tier (or a plainer one, if the processor lacks it).
    pub fn with_tier(key: Block, tier: Tier) -> Self {
        let tier = tier.or_widest();
        let round_keys = match tier {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `or_widest` returns a tier above `Portable` only where the processor has AES-NI and SSSE3.
            Tier::AesNi | Tier::Avx512 => unsafe { ni::expand(key) },
            _ => bitslice::expand(key),
        };
        Self { round_keys, tier }
    }

    /// Encrypts each block in place (ECB: equal blocks give equal results).
    pub fn encrypt_blocks(&self, blocks: &mut [Block]) {
        match self.tier {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the constructor has reduced the tier to what the processor has.
            Tier::AesNi => unsafe { ni::encrypt(&self.round_keys, blocks) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Tier::Avx512 => unsafe { avx512::encrypt(&self.round_keys, blocks) },
            _ => bitslice::encrypt(&self.round_keys, blocks),
        }
    }

    /// Encrypts one block.
    pub fn encrypt(&self, block: Block) -> Block {
        let mut one = [block];
        self.encrypt_blocks(&mut one);
        one[0]
    }

    /// Counter mode: `out[i] = E(counter + i)`, the counter as a little-endian block, modulo 2^128.
    pub fn ctr_fill(&self, counter: u128, out: &mut [Block]) {
        // A chunk stays in the first-level cache between being written and being encrypted.
        const CHUNK: usize = 512;
        let mut next = counter;
        for chunk in out.chunks_mut(CHUNK) {
            for block in chunk.iter_mut() {
                *block = Block(next);
                next = next.wrapping_add(1);
            }
            self.encrypt_blocks(chunk);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Block {
        let mut bytes = [0; 16];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("hexadecimal");
        }
        Block::from_bytes(bytes)
    }

    /// FIPS 197 appendices B and C.1, and the ECB vectors of NIST SP 800-38A, F.1.1.
    const VECTORS: [(&str, &str, &str); 6] = [
        (
            "2b7e151628aed2a6abf7158809cf4f3c",
            "3243f6a8885a308d313198a2e0370734",
            "3925841d02dc09fbdc118597196a0b32",
        ),
        (
            "000102030405060708090a0b0c0d0e0f",
            "00112233445566778899aabbccddeeff",
            "69c4e0d86a7b0430d8cdb78070b4c55a",
        ),
        (
            "2b7e151628aed2a6abf7158809cf4f3c",
            "6bc1bee22e409f96e93d7e117393172a",
            "3ad77bb40d7a3660a89ecaf32466ef97",
        ),
        (
            "2b7e151628aed2a6abf7158809cf4f3c",
            "ae2d8a571e03ac9c9eb76fac45af8e51",
            "f5d3d58503b9699de785895a96fdbaaf",
        ),
        (
            "2b7e151628aed2a6abf7158809cf4f3c",
            "30c81c46a35ce411e5fbc1191a0a52ef",
            "43b1cd7f598ece23881b00e3ed030688",
        ),
        (
            "2b7e151628aed2a6abf7158809cf4f3c",
            "f69f2445df4f9b17ad2b417be66c3710",
            "7b0c785e27e8ad3f8223207104725dd4",
        ),
    ];

    fn check_tier(tier: Tier) {
        for (key, plain, cipher) in VECTORS {
            let aes = Aes128::with_tier(hex(key), tier);
            assert!(aes.encrypt(hex(plain)) == hex(cipher), "{} on {}", plain, tier.name());
            // Every length takes another mix of wide and narrow steps; each block must come out alike.
            for length in 0..80 {
                let mut blocks = vec![hex(plain); length];
                aes.encrypt_blocks(&mut blocks);
                assert!(blocks.iter().all(|block| *block == hex(cipher)), "{length} on {}", tier.name());
            }
        }
    }

    #[test]
    fn known_answers_on_every_tier() {
        Tier::available().for_each(check_tier);
    }

    #[test]
    fn round_keys_of_fips_197_appendix_a() {
        for tier in Tier::available() {
            let aes = Aes128::with_tier(hex("2b7e151628aed2a6abf7158809cf4f3c"), tier);
            assert!(aes.round_keys[1] == hex("a0fafe1788542cb123a339392a6c7605"), "{}", tier.name());
            assert!(aes.round_keys[10] == hex("d014f9a8c9ee2589e13f0cc8b6630ca6"), "{}", tier.name());
        }
    }

    #[test]
    fn counter_mode_counts_and_wraps_alike_on_every_tier() {
        let key = Block(0x0123_4567_89ab_cdef_u128 << 17);
        let counter = u128::MAX - 700;
        let reference = Aes128::with_tier(key, Tier::Portable);
        let expected: Vec<Block> =
            (0..1500).map(|i| reference.encrypt(Block(counter.wrapping_add(i)))).collect();
        for tier in Tier::available() {
            let mut out = vec![Block::ZERO; 1500];
            Aes128::with_tier(key, tier).ctr_fill(counter, &mut out);
            assert!(out == expected, "{}", tier.name());
        }
    }
}
