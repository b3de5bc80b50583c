//! What can go wrong, with the number that was refused and the bound it met.

use kernel::seed::NoEntropy;

/// An operation that was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The ring degree is not one of the security table.
    #[error("ring degree {0} is not a power of two from 1024 to 32768")]
    Degree(usize),
    /// The modulus is too large for the degree at 128-bit security.
    #[error(
        "a modulus of {bits} bits at ring degree {degree} is below 128-bit security: at most {limit} bits"
    )]
    Insecure {
        /// Ring degree.
        degree: usize,
        /// Bits of the product of all primes, the special one included.
        bits: u32,
        /// Most bits in the table.
        limit: u32,
    },
    /// A limb is no usable prime.
    #[error("limb {0} is no prime of 20 to 50 bits that is 1 modulo twice the ring degree, or occurs twice")]
    Limb(u64),
    /// There are no limbs, or too many.
    #[error("{0} limbs: from 1 to {max} are possible", max = crate::parameters::MAX_LIMBS)]
    Limbs(usize),
    /// The width of the key-switching digits is out of range.
    #[error("key-switching digits of {0} bits: from 4 to 50 are possible")]
    DigitBits(u32),
    /// The plaintext modulus is unusable.
    #[error(
        "plaintext modulus {0} is no prime of 2 to 60 bits, no power of two up to 2^64 and no X^k - b of at least 64 slots \
         whose b^(N/k) + 1 is a prime of at most 120 bits and 1 modulo 2 N; or it is a limb"
    )]
    Plain(String),
    /// The modulus leaves no room for the plaintext and the noise of an encryption.
    #[error("a ciphertext modulus of {modulus_bits} bits has no room for a plaintext of {plain_bits} bits")]
    NoRoom {
        /// Bits of the ciphertext modulus.
        modulus_bits: u32,
        /// Bits of the plaintext modulus.
        plain_bits: u32,
    },
    /// No parameters of the table satisfy a request.
    #[error(
        "no parameters within the 128-bit table leave room for these operations on {plain_bits}-bit plaintexts"
    )]
    Underivable {
        /// Bits of the largest plaintext modulus.
        plain_bits: u32,
    },
    /// Two objects of different parameter sets met.
    #[error("this {0} belongs to another parameter set")]
    Mismatch(&'static str),
    /// Two ciphertexts of different moduli met, or a level does not exist.
    #[error("{0} limbs where {1} are expected")]
    Level(usize, usize),
    /// More values than places.
    #[error("{0} values for {1} places")]
    TooMany(usize, usize),
    /// A value is no residue of the plaintext modulus.
    #[error("value {0} is outside the plaintext space")]
    Value(i128),
    /// The plaintext modulus has no slots at this degree.
    #[error("the plaintext modulus has no slots: it is no prime that is 1 modulo twice the ring degree")]
    NoSlots,
    /// The plaintext space is a generalised one, whose messages are slots.
    #[error("a generalised plaintext space has slots alone, no coefficients modulo a number")]
    NoCoefficients,
    /// There is only one row of slots.
    #[error("the slots of a generalised plaintext space form one cycle: there are no rows to swap")]
    OneRow,
    /// The slots do not fit the type asked for.
    #[error("slots of {0} bits do not fit a word: use the wide functions")]
    WideSlots(u32),
    /// The automorphism does not act on the plaintext space.
    #[error("the automorphism X -> X^{0} does not map this plaintext space to itself")]
    Automorphism(usize),
    /// The automorphism's key is missing.
    #[error("no key for the automorphism X -> X^{0}")]
    MissingKey(usize),
    /// The operation needs a special prime.
    #[error("these parameters have no special prime")]
    NoSpecialPrime,
    /// Bits to drop or to flood that leave nothing or do not fit.
    #[error("{0} bits are out of range")]
    Bits(u32),
    /// Bytes that are no such object.
    #[error("malformed {what}: {why}")]
    Wire {
        /// The object expected.
        what: &'static str,
        /// What is wrong with the bytes.
        why: &'static str,
    },
    /// The operating system gave no randomness.
    #[error("the operating system's random generator failed")]
    NoEntropy,
}

impl From<NoEntropy> for Error {
    fn from(_: NoEntropy) -> Self {
        Self::NoEntropy
    }
}
