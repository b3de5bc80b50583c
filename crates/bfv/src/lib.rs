//! RNS rings and the BFV homomorphic encryption scheme.
//!
//! The scheme of Brakerski, Fan and Vercauteren (eprint 2012/144) in residue form: messages are polynomials
//! modulo `X^N + 1` and a plaintext modulus t, a prime of up to 60 bits, a power of two up to 2^64 or the polynomial `X^k - b` of
//! generalised BFV (eprint 2024/1587: slots of up to 120 bits, noise as of b); a ciphertext is a
//! pair `(c0, c1)` with `c0 + c1 s = round(Q m / t) + e` modulo a product Q of primes. Security is that of the Homomorphic
//! Encryption Standard's 128-bit table; nothing outside it can be constructed.
//!
//! ```
//! use bfv::derive::{Operation, Plain, Request, derive};
//! use bfv::{Encoder, Evaluator, GaloisKeys, Randomness, SecretKey};
//!
//! # fn main() -> Result<(), bfv::Error> {
//! let request = Request {
//!     plain: Plain::Slots { bits: 20, count: 1 },
//!     public: false,
//!     operations: vec![Operation::Rotate, Operation::MulPlainFull],
//!     min_degree: 4096,
//! };
//! let parameters = derive(&request)?.remove(0);
//! let mut randomness = Randomness::from_os()?;
//! let secret = SecretKey::new(&parameters, &mut randomness);
//! let keys = GaloisKeys::of_rotations(&parameters, &secret, &[1], false, &mut randomness)?;
//! let (encoder, evaluator) = (Encoder::new(&parameters), Evaluator::new(&parameters));
//!
//! let a = secret.encrypt(&parameters, &encoder.slots(&[10, 20, 30])?, &mut randomness)?;
//! let mut a = evaluator.rotate_rows(&a, 1, &keys)?;
//! let weights = evaluator.multiplicand(&encoder.slots_signed(&[3, -1])?, parameters.limbs())?;
//! evaluator.mul_plain_assign(&mut a, &weights)?;
//! let slots = encoder.decode_slots_signed(&secret.decrypt(&parameters, &a)?)?;
//! assert_eq!(slots[..3], [60, -30, 0]);
//! # Ok(())
//! # }
//! ```
//!
//! # What is where
//!
//! | module | content |
//! |---|---|
//! | [`Parameters`], [`Literal`], [`security`], [`mod@derive`], [`chain`] | parameter sets: checked, derived from a request, or from a whole computation with the level of every step |
//! | [`PlainModulus`] | plaintext spaces, generalised ones among them |
//! | [`Encoder`], [`Plaintext`], [`Compact`] | coefficients and slots |
//! | [`SecretKey`], [`PublicKey`], [`RelinearisationKey`], [`GaloisKeys`] | keys, encryption, decryption |
//! | [`Evaluator`] | everything that needs no secret |
//! | [`NoiseModel`], [`MeasuredNoise`] | the noise bound and failure probability; measurement |
//! | [`Reply`], [`ReplyMask`] | ciphertexts cut down for decryption; shares of their messages |
//!
//! Ciphertexts are always in evaluation form, so that products with messages and rotations need no transform of their own;
//! a level is the number of limbs, and keys of the full modulus serve every level. The secret and the errors come from
//! samplers that run in constant time: uniform ternary, and a discrete Gaussian of deviation 3.19 by a table of which every
//! entry is compared (`kernel::modular::sample`). Decryption and encryption do not branch on secrets. Secrets and
//! what is computed from them on the way are erased on drop. Messages ([`Plaintext`]) are not: they are the caller's.
//!
//! # Sizes
//!
//! Bytes on the wire. Sets: N = 2048 with two 27-bit limbs, t = 2^12 and 9-bit digits; the others with 20-bit slot moduli and
//! a special prime: 4096 (2 x 36 + 37), 8192 (4 x 43 + 46), 16384 (8 x 46 + 50), 32768 (16 x 46 + 50 bits). The
//! reply is to a product with a full-range message, re-randomised. A test holds this table.
//!
//! | bytes | 2048 | 4096 | 8192 | 16384 | 32768 |
//! |---|---|---|---|---|---|
//! | ciphertext, symmetric | 13868 | 36908 | 176172 | 753708 | 3014700 |
//! | ciphertext | 27660 | 73740 | 352268 | 1507340 | 6029324 |
//! | ciphertext, one limb | 13836 | 36876 | 88076 | 188428 | 376844 |
//! | reply, all coefficients | 8973 | 26637 | 53261 | 106509 | 217101 |
//! | reply, 64 coefficients | 5253 | 15045 | 29893 | 59589 | 123077 |
//! | public key | 13866 | 36906 | 176170 | 753706 | 3014698 |
//! | relinearisation key | 82986 | 111658 | 892970 | 6848554 | 51511338 |
//! | Galois key, one | 82994 | 111666 | 892978 | 6848562 | 51511346 |

pub mod chain;
mod ciphertext;
mod compact;
pub mod derive;
mod encoder;
mod error;
mod evaluator;
mod generalised;
mod keys;
mod noise;
mod parameters;
mod plain;
mod random;
mod reply;
mod ring;
pub mod security;
mod shares;
#[cfg(test)]
mod tests;
mod wire;

pub use ciphertext::{Ciphertext, Multiplicand, PackedCiphertext, Product};
pub use compact::Compact;
pub use encoder::{Encoder, Plaintext, SlotShape, compose};
pub use error::Error;
pub use evaluator::{Evaluator, Hoisted, MAX_FLOOD_BITS, ProductPlan, Scheme};
pub use keys::{GaloisKeys, PublicKey, RelinearisationKey, SecretKey};
pub use noise::{MeasuredNoise, Noise, NoiseModel, TAIL};
pub use parameters::{Literal, MAX_LIMBS, Parameters};
pub use plain::PlainModulus;
pub use random::{Randomness, SEED_BYTES};
pub use reply::{MAX_REPLY_LIMBS, Privacy, Reply, ReplyShape};
pub use shares::ReplyMask;
pub use wire::VERSION as WIRE_VERSION;
