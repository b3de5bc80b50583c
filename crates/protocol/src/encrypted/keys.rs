//! A client's keys: made from one seed, sent in parts, named by their digest.
//!
//! The parts are the public key, the relinearisation key where the outline asks for one, and the rotation keys in the
//! outline's order. Each derives from the seed by a name of its own, so that they can be made again and on any
//! number of threads. The seed is used for keys alone: encryptions draw fresh randomness.

use bfv::{GaloisKeys, PublicKey, Randomness, RelinearisationKey, SecretKey};
use kernel::seed::Seed;
use rayon::prelude::*;

use super::outline::{Outline, Rotation};
use super::program::EvaluationKeys;
use super::wire::Digest;
use crate::error::Error;

/// Separates these digests from every other use of the hash.
const CONTEXT: &str = "oribi evaluation keys, version 1";

/// One of a client's evaluation keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The public key.
    Public,
    /// The relinearisation key.
    Relinearisation,
    /// The key of an automorphism.
    Automorphism(Rotation),
}

/// The evaluation keys that an outline asks for, in the order in which they are sent.
pub fn parts(outline: &Outline) -> Vec<Part> {
    let relinearisation = outline.relinearise.then_some(Part::Relinearisation);
    let rotations = outline.rotations.iter().copied().map(Part::Automorphism);
    std::iter::once(Part::Public).chain(relinearisation).chain(rotations).collect()
}

impl Part {
    /// Bytes on the wire.
    ///
    /// # Errors
    /// Where the outline has no parameters.
    pub fn wire_bytes(self, outline: &Outline) -> Result<usize, Error> {
        let parameters = outline.base()?;
        Ok(match self {
            Self::Public => PublicKey::wire_bytes(parameters),
            Self::Relinearisation => RelinearisationKey::wire_bytes(parameters),
            Self::Automorphism(rotation) => GaloisKeys::wire_bytes_of(parameters, [rotation.limbs]),
        })
    }
}

/// Bytes of all parts on the wire.
///
/// # Errors
/// Where the outline has no parameters.
pub fn wire_bytes(outline: &Outline) -> Result<u64, Error> {
    parts(outline).into_iter().map(|part| Ok(part.wire_bytes(outline)? as u64)).sum()
}

/// Bytes of all keys in a server's memory, at most: uniform halves expanded, rows padded, and the public key as words.
///
/// # Errors
/// Where the outline has no parameters.
pub fn memory_bytes(outline: &Outline) -> Result<u64, Error> {
    let literal = outline.base()?.literal();
    let narrowest = literal.data.iter().map(|prime| u64::from(64 - prime.leading_zeros())).min();
    let part = |part: Part| {
        let wire = part.wire_bytes(outline)? as u64;
        Ok(match part {
            Part::Public => wire * 2 * 64 / narrowest.unwrap_or(1).max(1),
            Part::Relinearisation | Part::Automorphism(_) => wire * 2 + wire / 32,
        })
    };
    parts(outline).into_iter().map(part).sum()
}

/// A client's secret key, with the seed from which its evaluation keys can be made.
pub struct ClientKeys {
    seed: Seed,
    secret: SecretKey,
    digest: Digest,
}

impl ClientKeys {
    /// The keys of a seed, which must be used for nothing else. Makes all of them once to name them.
    ///
    /// # Errors
    /// Where the outline's parameters contradict each other.
    pub fn new(outline: &Outline, seed: Seed) -> Result<(Self, Vec<Vec<u8>>), Error> {
        let secret = secret(outline, &seed)?;
        let made = make(outline, &seed, &secret)?;
        let digest = digest(made.iter().map(Vec::as_slice));
        Ok((Self { seed, secret, digest }, made))
    }

    /// The keys of a seed whose digest is known already.
    ///
    /// # Errors
    /// As [`ClientKeys::new`].
    pub fn restore(outline: &Outline, seed: Seed, digest: Digest) -> Result<Self, Error> {
        let secret = secret(outline, &seed)?;
        Ok(Self { seed, secret, digest })
    }

    /// The name of the evaluation keys.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The secret key.
    pub fn secret(&self) -> &SecretKey {
        &self.secret
    }

    /// The evaluation keys' wire forms, in the order of [`parts`].
    ///
    /// # Errors
    /// Where they are no longer those of the digest: the outline is another one.
    pub fn upload(&self, outline: &Outline) -> Result<Vec<Vec<u8>>, Error> {
        let made = make(outline, &self.seed, &self.secret)?;
        if digest(made.iter().map(Vec::as_slice)) == self.digest {
            Ok(made)
        } else {
            Err(Error::Refused("the stored keys are not those of this plan".into()))
        }
    }
}

fn secret(outline: &Outline, seed: &Seed) -> Result<SecretKey, Error> {
    Ok(SecretKey::new(outline.base()?, &mut Randomness::new(seed.child("encrypted/secret", 0))))
}

/// Makes the evaluation keys.
fn make(outline: &Outline, seed: &Seed, secret: &SecretKey) -> Result<Vec<Vec<u8>>, Error> {
    let parameters = outline.base()?;
    let randomness = |label: &str, index: usize| Randomness::new(seed.child(label, index as u64));
    let one = |part: Part| match part {
        Part::Public => {
            PublicKey::new(parameters, secret, &mut randomness("encrypted/public", 0))?.to_bytes(parameters)
        }
        Part::Relinearisation => {
            RelinearisationKey::new(parameters, secret, &mut randomness("encrypted/relinearisation", 0))?
                .to_bytes(parameters)
        }
        Part::Automorphism(Rotation { exponent, limbs }) => {
            let mut randomness = randomness("encrypted/automorphism", exponent);
            GaloisKeys::of_levels(parameters, secret, [(exponent, limbs)], &mut randomness)?
                .to_bytes(parameters)
        }
    };
    Ok(parts(outline).into_par_iter().map(one).collect::<Result<_, bfv::Error>>()?)
}

/// The digest of evaluation keys in their wire form.
pub fn digest<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    for part in parts {
        hasher.update(blake3::hash(part).as_bytes());
    }
    Digest(*hasher.finalize().as_bytes())
}

/// Puts a client's keys together as they arrive.
pub struct Assembly<'a> {
    outline: &'a Outline,
    hasher: blake3::Hasher,
    public: Option<PublicKey>,
    relinearisation: Option<RelinearisationKey>,
    automorphisms: GaloisKeys,
}

impl<'a> Assembly<'a> {
    /// No keys yet.
    ///
    /// # Errors
    /// Where the outline has no parameters.
    pub fn new(outline: &'a Outline) -> Result<Self, Error> {
        Ok(Self {
            outline,
            hasher: blake3::Hasher::new_derive_key(CONTEXT),
            public: None,
            relinearisation: None,
            automorphisms: GaloisKeys::none(outline.base()?),
        })
    }

    /// Takes the next part in.
    ///
    /// # Errors
    /// [`Error::Malformed`] where the bytes are not that part.
    pub fn add(&mut self, part: Part, bytes: &[u8]) -> Result<(), Error> {
        let parameters = self.outline.base()?;
        self.hasher.update(blake3::hash(bytes).as_bytes());
        match part {
            Part::Public => self.public = Some(PublicKey::from_bytes(parameters, bytes)?),
            Part::Relinearisation => {
                self.relinearisation = Some(RelinearisationKey::from_bytes(parameters, bytes)?);
            }
            Part::Automorphism(Rotation { exponent, limbs }) => {
                let key = GaloisKeys::from_bytes(parameters, 1, bytes)?;
                if !key.exponents().eq([exponent]) || key.limbs(exponent) != Some(limbs) {
                    return Err(Error::malformed("evaluation key", "it is for another rotation"));
                }
                self.automorphisms.absorb(key)?;
            }
        }
        Ok(())
    }

    /// The keys, and the digest of what was taken in.
    ///
    /// # Errors
    /// [`Error::Malformed`] where one is missing.
    pub fn finish(self) -> Result<(EvaluationKeys, Digest), Error> {
        let complete = self.relinearisation.is_some() == self.outline.relinearise;
        let public = self.public.filter(|_| complete);
        let public = public.ok_or_else(|| Error::malformed("evaluation key", "one is missing"))?;
        let keys = EvaluationKeys {
            public,
            relinearisation: self.relinearisation,
            automorphisms: self.automorphisms,
        };
        Ok((keys, Digest(*self.hasher.finalize().as_bytes())))
    }
}
