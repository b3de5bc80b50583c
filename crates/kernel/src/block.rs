//! The 128-bit block: a wire label, an AES block, a seed.

use core::ops::{BitXor, BitXorAssign};

use bytemuck::{Pod, Zeroable};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroize;

use crate::tier::Tier;

/// 128 bits. Byte 0 of its wire form is the low byte of the integer.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Pod, Zeroable, Zeroize)]
#[repr(transparent)]
pub struct Block(pub u128);

impl Block {
    /// All bits zero.
    pub const ZERO: Self = Self(0);

    /// The block whose little-endian bytes these are.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_le_bytes(bytes))
    }

    /// Little-endian bytes.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }

    /// The least significant bit: the colour (point-and-permute bit) of a wire label.
    pub const fn lsb(self) -> bool {
        self.0 & 1 == 1
    }

    /// This block with the lowest bit set, as a free-XOR offset must have it.
    pub const fn with_lsb(self) -> Self {
        Self(self.0 | 1)
    }

    /// `self` if `bit` is set, else zero, without a branch.
    pub const fn and_bit(self, bit: bool) -> Self {
        Self(self.0 & (bit as u128).wrapping_neg())
    }
}

/// Blocks as their wire bytes. On a big-endian machine the conversion would need a copy, so that is refused
/// at compile time.
pub fn as_bytes(blocks: &[Block]) -> &[u8] {
    const { assert!(cfg!(target_endian = "little"), "the wire form of blocks is little-endian") };
    bytemuck::cast_slice(blocks)
}

/// The wire bytes of blocks, to be written in place.
pub fn as_bytes_mut(blocks: &mut [Block]) -> &mut [u8] {
    const { assert!(cfg!(target_endian = "little"), "the wire form of blocks is little-endian") };
    bytemuck::cast_slice_mut(blocks)
}

/// `out[i] = a[i] ^ b[i]`. Vector registers on [`Tier::Avx512`]; the other tiers are what the compiler makes of the loop.
///
/// # Panics
/// When the slices differ in length.
pub fn xor(a: &[Block], b: &[Block], out: &mut [Block]) {
    assert!(a.len() == out.len() && b.len() == out.len());
    match Tier::current() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the tier in use is never above what the processor has.
        Tier::Avx512 => unsafe { xor_avx512(a, b, out) },
        _ => xor_loop(a, b, out),
    }
}

#[inline(always)]
fn xor_loop(a: &[Block], b: &[Block], out: &mut [Block]) {
    for (out, (a, b)) in out.iter_mut().zip(a.iter().zip(b)) {
        *out = *a ^ *b;
    }
}

/// The loop compiled for 512-bit registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn xor_avx512(a: &[Block], b: &[Block], out: &mut [Block]) {
    xor_loop(a, b, out);
}

impl BitXor for Block {
    type Output = Self;

    fn bitxor(self, other: Self) -> Self {
        Self(self.0 ^ other.0)
    }
}

impl BitXorAssign for Block {
    fn bitxor_assign(&mut self, other: Self) {
        self.0 ^= other.0;
    }
}

impl ConstantTimeEq for Block {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl ConditionallySelectable for Block {
    fn conditional_select(a: &Self, b: &Self, choice: Choice) -> Self {
        Self(u128::conditional_select(&a.0, &b.0, choice))
    }
}

/// Labels and seeds are secrets: a block never prints its value.
impl core::fmt::Debug for Block {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Block(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_xor_block_by_block() {
        for n in [0, 1, 3, 4, 31, 100] {
            let a: Vec<Block> = (0..n).map(|i| Block(0x1357_9bdf << (i % 97))).collect();
            let b: Vec<Block> = (0..n).map(|i| Block(0x0246_8ace << (i % 89))).collect();
            let mut out = vec![Block::ZERO; n];
            xor(&a, &b, &mut out);
            assert!(out.iter().zip(a.iter().zip(&b)).all(|(out, (a, b))| *out == *a ^ *b));
        }
    }
}
