//! Ciphertexts.

use crate::random::SEED_BYTES;
use crate::ring::{PackedRows, Rows};

/// An encryption `(c0, c1)` with `c0 + c1 s = round(Q m / t) + e` modulo Q, both halves in evaluation form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ciphertext {
    pub(crate) id: u64,
    pub(crate) parts: [Rows; 2],
    /// The seed of `c1`, while it is still the uniform half of a symmetric encryption.
    pub(crate) seed: Option<[u8; SEED_BYTES]>,
}

impl Ciphertext {
    /// Limbs of the modulus.
    pub fn limbs(&self) -> usize {
        self.parts[0].count()
    }

    /// Whether the second half is a seed: the wire form is then half as long.
    pub fn is_seeded(&self) -> bool {
        self.seed.is_some()
    }
}

/// A product before relinearisation: `c0 + c1 s + c2 s^2`. Products can be summed in this form and relinearised
/// once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    pub(crate) id: u64,
    /// In evaluation form.
    pub(crate) parts: [Rows; 2],
    /// In coefficient form, as key switching takes it.
    pub(crate) square: Rows,
}

/// A message prepared as a factor: its centred lift in evaluation form, on a number of limbs and, where it
/// multiplies rotations that still carry the special prime, on that prime too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multiplicand {
    pub(crate) id: u64,
    pub(crate) rows: PackedRows,
    pub(crate) limbs: usize,
}

impl Multiplicand {
    /// Limbs it was prepared for: it multiplies ciphertexts with at most as many.
    pub fn limbs(&self) -> usize {
        self.limbs
    }

    /// Bytes it holds in memory.
    pub fn bytes(&self) -> usize {
        self.rows.iter().map(|row| row.bytes().len()).sum()
    }
}

/// A ciphertext kept for many plaintext products, in as few bits as its primes have: dot products are bound by memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedCiphertext {
    pub(crate) id: u64,
    pub(crate) parts: [PackedRows; 2],
}

impl PackedCiphertext {
    /// Limbs of the modulus.
    pub fn limbs(&self) -> usize {
        self.parts[0].count()
    }

    /// Bytes it holds in memory.
    pub fn bytes(&self) -> usize {
        self.parts.iter().flat_map(PackedRows::iter).map(|row| row.bytes().len()).sum()
    }
}
