//! The wire form of every object.
//!
//! All start with a header of ten bytes: the version (1), the kind, and the identifier of the parameters (of
//! the ring, for keys) as eight bytes, lowest first. Residues are packed at the width of their modulus, lowest bit first.
//! Uniform halves are seeds of 32 bytes.
//!
//! Decoding is strict: each object has exactly one form. The length is compared with what the parameters say
//! before anything is allocated; residues must be below their modulus; counts, positions and exponents must be in
//! order; there is no trailing byte. What decodes encodes to the same bytes.

mod bits;
mod keys;
mod objects;
mod parameters;
#[cfg(test)]
mod tests;

pub(crate) use bits::{Reader, Writer};

/// The version of the format.
pub const VERSION: u8 = 1;

/// Bytes of the header.
pub(crate) const HEADER: usize = 10;

/// Kinds of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Parameters = 1,
    Plaintext = 2,
    Ciphertext = 3,
    Reply = 4,
    PublicKey = 5,
    RelinearisationKey = 6,
    GaloisKeys = 7,
    SecretKey = 8,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Parameters => "parameters",
            Self::Plaintext => "plaintext",
            Self::Ciphertext => "ciphertext",
            Self::Reply => "reply",
            Self::PublicKey => "public key",
            Self::RelinearisationKey => "relinearisation key",
            Self::GaloisKeys => "Galois keys",
            Self::SecretKey => "secret key",
        }
    }
}
