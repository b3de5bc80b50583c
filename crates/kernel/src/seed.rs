//! Seeds, and the labelled tree that all randomness of a party descends from.
//!
//! A party draws one [`Seed`] from the operating system and derives the rest by name: `seed.child("garble", layer)`.
//! A child depends on its path alone, not on the order or the thread in which children are drawn, so a run from a
//! fixed seed is the same run on any number of threads.

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::block::Block;

/// Separates these derivations from every other use of BLAKE3.
const CONTEXT: &str = "oribi seed tree, version 1";

/// The operating system gave no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoEntropy;

impl core::fmt::Display for NoEntropy {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the operating system's random generator failed")
    }
}

impl std::error::Error for NoEntropy {}

/// 256 secret bits, erased on drop. Not `Clone`: a seed is used up, or its children are.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Seed([u8; 32]);

impl Seed {
    /// A fresh seed from the operating system.
    ///
    /// # Errors
    /// [`NoEntropy`] if the system has no generator or it fails.
    pub fn from_os() -> Result<Self, NoEntropy> {
        let mut seed = Self([0; 32]);
        getrandom::fill(&mut seed.0).map_err(|_| NoEntropy)?;
        Ok(seed)
    }

    /// The seed with these bytes: one that was stored, or one that tests fix.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for a store that seals them.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The child of this name and index: BLAKE3 in key-derivation mode over the parent, the label's length, the
    /// label and the index. Children of different names or indices are independent.
    pub fn child(&self, label: &str, index: u64) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(&self.0);
        hasher.update(&(label.len() as u64).to_le_bytes());
        hasher.update(label.as_bytes());
        hasher.update(&index.to_le_bytes());
        let mut child = Self([0; 32]);
        hasher.finalize_xof().fill(&mut child.0);
        hasher.zeroize();
        child
    }

    /// The first 128 bits of the child of this name and index: a key, a label, an offset.
    pub fn block(&self, label: &str, index: u64) -> Block {
        let child = self.child(label, index);
        let mut half = Zeroizing::new([0; 16]);
        half.copy_from_slice(&child.0[..16]);
        Block::from_bytes(*half)
    }
}

/// A seed never prints its value.
impl core::fmt::Debug for Seed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Seed(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_depend_on_parent_label_and_index_alone() {
        let root = Seed::from_bytes([7; 32]);
        let child = root.child("a", 1);
        assert_eq!(child.as_bytes(), root.child("a", 1).as_bytes());
        assert_ne!(child.as_bytes(), root.child("a", 2).as_bytes());
        assert_ne!(child.as_bytes(), root.child("b", 1).as_bytes());
        assert_ne!(child.as_bytes(), Seed::from_bytes([8; 32]).child("a", 1).as_bytes());
        assert_eq!(child.as_bytes()[..16], root.block("a", 1).to_bytes());
    }

    #[test]
    fn a_label_cannot_borrow_bytes_from_the_index() {
        let root = Seed::from_bytes([7; 32]);
        let zero_extended = root.child("ab\0\0\0\0\0\0\0\0", 0);
        assert_ne!(root.child("ab", 0).as_bytes(), zero_extended.as_bytes());
    }

    #[test]
    fn the_system_gives_distinct_seeds() {
        let (first, second) = (Seed::from_os().expect("entropy"), Seed::from_os().expect("entropy"));
        assert_ne!(first.as_bytes(), second.as_bytes());
    }

    /// The tree is part of what makes stored bundles and test transcripts reproducible. If this changes, the
    /// store's format version must change too.
    #[test]
    fn the_derivation_is_frozen() {
        let child = Seed::from_bytes([0; 32]).child("frozen", 3);
        let direct = {
            let mut input = vec![0; 32];
            input.extend_from_slice(&[6, 0, 0, 0, 0, 0, 0, 0]);
            input.extend_from_slice(b"frozen");
            input.extend_from_slice(&[3, 0, 0, 0, 0, 0, 0, 0]);
            blake3::derive_key("oribi seed tree, version 1", &input)
        };
        assert_eq!(child.as_bytes(), &direct);
    }
}
