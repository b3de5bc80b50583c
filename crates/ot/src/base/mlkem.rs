//! A base OT from ML-KEM-768 (FIPS 203), secure against quantum computers.
//!
//! The shape is that of the classical suite (Naor and Pinkas 2001), with the vector t of a key (t, rho) in the place of
//! the point, as Masny and Rindal (CCS 2019, eprint 2019/706) use Kyber: there are vectors C, hashes of a salt, and the
//! chooser sends t or C - t, as its bit says, with t its own key's. The responder encapsulates to both (t, rho) and
//! (C - t, rho), and the pads are hashes of the shared secrets. Under Module-LWE t is indistinguishable from uniform, so the
//! bits are hidden; and a ciphertext for the uniform vector C - t hides its secret from who knows only t's.
//!
//! Each OT has a rho of its own, since that is what the standard's key generation gives.

use kernel::block::Block;
use kernel::prg::Prg;
use kernel::seed::Seed;
use ml_kem::ml_kem_768::{DecapsulationKey, EncapsulationKey};
use ml_kem::{B32, Decapsulate, KeyExport};
use subtle::{Choice, ConditionallySelectable};
use zeroize::{Zeroize, Zeroizing};

use super::{BASE_OTS, PadPairs, Pads, pad};
use crate::Error;
use crate::wire::Reader;

/// The prime of ML-KEM.
const Q: u16 = 3329;
/// Coefficients of a vector t: three polynomials of degree below 256.
const COEFFICIENTS: usize = 768;
/// Bytes of a vector, 12 bits a coefficient.
const VECTOR_LEN: usize = COEFFICIENTS * 12 / 8;
/// Bytes of an encapsulation key: a vector and rho.
const KEY_LEN: usize = VECTOR_LEN + 32;
/// Bytes of a ciphertext.
const CIPHERTEXT_LEN: usize = 1088;

/// A salt and 128 keys.
pub(super) const REQUEST_LEN: usize = 32 + KEY_LEN * BASE_OTS;
/// Two ciphertexts for each OT.
pub(super) const REPLY_LEN: usize = 2 * CIPHERTEXT_LEN * BASE_OTS;

type Vector = [u16; COEFFICIENTS];

/// The salt of the vectors C, and for each OT the key of bit 0, its coefficients below q.
#[derive(Clone, Debug)]
pub(super) struct Request {
    salt: [u8; 32],
    keys: Vec<[u8; KEY_LEN]>,
}

/// For each OT the ciphertexts of bit 0 and bit 1. All bytes are valid.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    ciphertexts: Vec<[[u8; CIPHERTEXT_LEN]; 2]>,
}

/// The chooser's secrets: its bits and its keys, which erase themselves.
pub(super) struct Chooser {
    choices: Zeroizing<Block>,
    keys: Vec<DecapsulationKey>,
    request: Vec<u8>,
}

impl Request {
    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.salt);
        bytes.extend_from_slice(self.keys.as_flattened());
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Self, Error> {
        let salt = reader.array()?;
        let (keys, _) = reader.take(KEY_LEN * BASE_OTS)?.as_chunks::<KEY_LEN>();
        if keys.iter().any(|key| decode(key).iter().any(|coefficient| *coefficient >= Q)) {
            return Err(Error::Value("a coefficient of an ML-KEM key is not reduced"));
        }
        Ok(Self { salt, keys: keys.to_vec() })
    }
}

impl Reply {
    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.ciphertexts.as_flattened().as_flattened());
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Self, Error> {
        let (ciphertexts, _) = reader.take(REPLY_LEN)?.as_chunks::<CIPHERTEXT_LEN>();
        Ok(Self { ciphertexts: ciphertexts.as_chunks::<2>().0.to_vec() })
    }
}

impl Chooser {
    pub(super) fn new(choices: Block, seed: &Seed) -> (Self, Request) {
        let mut prg = Prg::new(seed);
        let mut salt = [0; 32];
        prg.fill_bytes(&mut salt);
        let mut keys = Vec::with_capacity(BASE_OTS);
        let mut sent = Vec::with_capacity(BASE_OTS);
        for i in 0..BASE_OTS {
            let mut seed = ml_kem::Seed::default();
            prg.fill_bytes(&mut seed);
            let key = DecapsulationKey::from_seed(seed);
            seed.zeroize();
            let own: [u8; KEY_LEN] = key.encapsulation_key().to_bytes().into();
            sent.push(select(&own, &complement(&own, &unknown_vector(&salt, i)), choice(choices, i)));
            keys.push(key);
        }
        let request = Request { salt, keys: sent };
        let mut bytes = Vec::with_capacity(REQUEST_LEN);
        request.write(&mut bytes);
        (Self { choices: Zeroizing::new(choices), keys, request: bytes }, request)
    }

    pub(super) fn finish(self, reply: &Reply) -> Pads {
        let transcript = transcript(&self.request, reply);
        let mut pads = Zeroizing::new(Vec::with_capacity(BASE_OTS));
        for (i, (key, [zero, one])) in self.keys.iter().zip(&reply.ciphertexts).enumerate() {
            let bit = choice(*self.choices, i);
            let mut secret = key.decapsulate(&select(zero, one, bit).into());
            pads.push(pad(&transcript, i, bit.unwrap_u8(), &secret.into()));
            secret.zeroize();
        }
        pads
    }
}

pub(super) fn respond(request: &Request, seed: &Seed) -> (Reply, PadPairs) {
    let mut prg = Prg::new(seed);
    let mut ciphertexts = Vec::with_capacity(BASE_OTS);
    let mut secrets = Zeroizing::new(Vec::with_capacity(BASE_OTS));
    for (i, zero) in request.keys.iter().enumerate() {
        let one = complement(zero, &unknown_vector(&request.salt, i));
        let [zero, one] = [zero, &one].map(|key| encapsulate(key, &mut prg));
        ciphertexts.push([zero.0, one.0]);
        secrets.push([zero.1, one.1]);
    }
    let reply = Reply { ciphertexts };
    let mut bytes = Vec::with_capacity(REQUEST_LEN);
    request.write(&mut bytes);
    let transcript = transcript(&bytes, &reply);
    let pads = secrets.iter().enumerate();
    let pads = pads.map(|(i, [zero, one])| [pad(&transcript, i, 0, zero), pad(&transcript, i, 1, one)]);
    (reply, Zeroizing::new(pads.collect()))
}

/// A ciphertext and the secret in it.
fn encapsulate(key: &[u8; KEY_LEN], prg: &mut Prg) -> ([u8; CIPHERTEXT_LEN], [u8; 32]) {
    let mut message = B32::default();
    prg.fill_bytes(&mut message);
    let sealed = match EncapsulationKey::new(key.into()) {
        Ok(key) => {
            let (ciphertext, secret) = key.encapsulate_deterministic(&message);
            (ciphertext.into(), secret.into())
        }
        // Keys were checked when they were read. Were one invalid, a secret that nobody can open fails safely.
        Err(_) => ([0; CIPHERTEXT_LEN], message.into()),
    };
    message.zeroize();
    sealed
}

/// The key (C - t, rho) of a key (t, rho), whose coefficients are below q. In constant time: it tells the chooser's bit.
fn complement(key: &[u8; KEY_LEN], c: &Vector) -> [u8; KEY_LEN] {
    let mut vector = decode(key);
    for (t, c) in vector.iter_mut().zip(c) {
        let difference = c + Q - *t;
        let reduced = difference.wrapping_sub(Q);
        // The top bit of `reduced` is set just if the difference was below q.
        *t = reduced.wrapping_add(Q & (reduced >> 15).wrapping_neg());
    }
    let mut complement = *key;
    for (bytes, pair) in complement.as_chunks_mut::<3>().0.iter_mut().zip(vector.as_chunks::<2>().0) {
        let both = u32::from(pair[0]) | u32::from(pair[1]) << 12;
        bytes.copy_from_slice(&both.to_le_bytes()[..3]);
    }
    complement
}

/// The coefficients of a key's vector, 12 bits each (`ByteDecode` of FIPS 203), not reduced.
fn decode(key: &[u8; KEY_LEN]) -> Vector {
    let mut vector = [0; COEFFICIENTS];
    for (pair, bytes) in vector.as_chunks_mut::<2>().0.iter_mut().zip(key.as_chunks::<3>().0) {
        let [low, middle, high] = bytes.map(u16::from);
        *pair = [low | (middle & 15) << 8, middle >> 4 | high << 4];
    }
    vector
}

/// The vector C of OT `index`: 12-bit samples of a hash, those below q.
fn unknown_vector(salt: &[u8; 32], index: usize) -> Vector {
    let mut hasher = blake3::Hasher::new_derive_key("oribi base OT unknown vector, version 1");
    hasher.update(salt);
    hasher.update(&(index as u64).to_le_bytes());
    let mut stream = hasher.finalize_xof();
    let mut vector = [0; COEFFICIENTS];
    for coefficient in &mut vector {
        *coefficient = Q;
        while *coefficient >= Q {
            let mut sample = [0; 2];
            stream.fill(&mut sample);
            *coefficient = u16::from_le_bytes(sample) & 0xfff;
        }
    }
    vector
}

fn transcript(request: &[u8], reply: &Reply) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("oribi base OT transcript, version 1");
    hasher.update(request);
    hasher.update(reply.ciphertexts.as_flattened().as_flattened());
    *hasher.finalize().as_bytes()
}

fn select<const N: usize>(zero: &[u8; N], one: &[u8; N], bit: Choice) -> [u8; N] {
    let mut selected = *zero;
    for (selected, one) in selected.iter_mut().zip(one) {
        selected.conditional_assign(one, bit);
    }
    selected
}

fn choice(choices: Block, index: usize) -> Choice {
    Choice::from((choices.0 >> index & 1) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_complement_of_the_complement_is_the_key() {
        let key: [u8; KEY_LEN] =
            DecapsulationKey::from_seed(ml_kem::Seed::default()).encapsulation_key().to_bytes().into();
        let c = unknown_vector(&[3; 32], 5);
        let other = complement(&key, &c);
        assert!(complement(&other, &c) == key);
        for (i, (t, u)) in decode(&key).iter().zip(decode(&other)).enumerate() {
            assert!(*t < Q && u < Q && (t + u) % Q == c[i], "coefficient {i}");
        }
        assert!(EncapsulationKey::new((&other).into()).is_ok());
    }

    #[test]
    fn a_key_that_is_not_reduced_is_refused() {
        let (_, request) = Chooser::new(Block(1), &Seed::from_bytes([1; 32]));
        let mut bytes = vec![];
        request.write(&mut bytes);
        bytes[32 + 5 * KEY_LEN + 1] |= 0x0f;
        bytes[32 + 5 * KEY_LEN] = 0xff;
        assert!(matches!(Request::read(&mut Reader::new("keys", &bytes)), Err(Error::Value(_))));
    }

    /// Coefficients of keys on the wire, by their top four bits, for either bit: chi-square with 12 degrees of freedom
    /// (3329 is 13 * 256 + 1) is above 75 with probability below 1e-10.
    #[test]
    fn keys_on_the_wire_look_uniform_for_either_bit() {
        for choices in [0, u128::MAX] {
            let (_, request) = Chooser::new(Block(choices), &Seed::from_bytes([9; 32]));
            let mut counts = [0u64; 14];
            for key in &request.keys {
                decode(key).iter().for_each(|t| counts[usize::from(t >> 8)] += 1);
            }
            let total = (BASE_OTS * COEFFICIENTS) as f64;
            let mean = total * 256.0 / f64::from(Q);
            let chi: f64 = counts[..13].iter().map(|count| (*count as f64 - mean).powi(2) / mean).sum();
            assert!(chi < 75.0 && counts[13] < 1000, "{chi}");
        }
    }
}
