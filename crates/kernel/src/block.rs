//! The 128-bit block: a wire label, an AES block, a seed.

use core::ops::{BitXor, BitXorAssign};

use bytemuck::{Pod, Zeroable};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroize;

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
