//! Buffers of 64-bit words that start on a cache line, so that a vector load never straddles two.

use core::ops::{Deref, DerefMut};

use bytemuck::{Pod, Zeroable};
use zeroize::Zeroize;

/// One cache line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Zeroize, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u64; 8]);

/// A heap buffer of `u64`, aligned to 64 bytes; its length is a multiple of eight.
#[derive(Clone, Debug, Default, PartialEq, Eq, Zeroize)]
pub struct Words(Vec<Line>);

impl Words {
    /// `length` zeros; `length` must be a multiple of eight (it is rounded up otherwise).
    pub fn zeros(length: usize) -> Self {
        Self(vec![Line([0; 8]); length.div_ceil(8)])
    }

    /// A copy of `words`, whose length is a multiple of eight (zeros are appended otherwise).
    pub fn from_slice(words: &[u64]) -> Self {
        let mut out = Self::zeros(words.len());
        out[..words.len()].copy_from_slice(words);
        out
    }

    /// Drops what lies beyond `length` words, a multiple of eight.
    pub fn truncate(&mut self, length: usize) {
        debug_assert_eq!(length % 8, 0);
        self.0.truncate(length / 8);
    }
}

impl Deref for Words {
    type Target = [u64];

    fn deref(&self) -> &[u64] {
        bytemuck::cast_slice(&self.0)
    }
}

impl DerefMut for Words {
    fn deref_mut(&mut self) -> &mut [u64] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}
