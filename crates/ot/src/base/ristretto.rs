//! The base OT of Naor and Pinkas (SODA 2001) in ristretto255, the receiver speaking first.
//!
//! There is a point C whose discrete logarithm nobody knows. The chooser sends P with P or C - P, as its bit says,
//! being a multiple of the generator that it knows; the responder answers B = b G, and the pads are hashes of b P and
//! b (C - P). P is uniform whatever the bit, so the bits are hidden from everyone, and who knows both pads has computed
//! the Diffie-Hellman value of B and C. In the paper the responder sends C first; here C is a hash of a salt, which saves that flight.
//! One b serves all OTs of a batch (as in the paper), since the hash names the index.
//!
//! Points cross in the form 2 Q, since doubled points are encoded in batches with a single inversion; the pads hash 2 b P.

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoBasepointTable, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;
use kernel::block::Block;
use kernel::prg::Prg;
use kernel::seed::Seed;
use subtle::{Choice, ConditionallySelectable};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{BASE_OTS, PadPairs, Pads, pad};
use crate::Error;
use crate::wire::Reader;

/// A salt and 128 points.
pub(super) const REQUEST_LEN: usize = 32 + 32 * BASE_OTS;
/// One point.
pub(super) const REPLY_LEN: usize = 32;

/// The salt of the point C, and P for each OT, valid and not the identity.
#[derive(Clone, Debug)]
pub(super) struct Request {
    salt: [u8; 32],
    encoded: Vec<[u8; 32]>,
    points: Vec<RistrettoPoint>,
}

/// B, valid and not the identity.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    encoded: [u8; 32],
    point: RistrettoPoint,
}

/// The chooser's secrets: its bits and the logarithm of each point that it knows.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Chooser {
    choices: Block,
    logarithms: Vec<Scalar>,
    #[zeroize(skip)]
    request: Vec<u8>,
}

impl Request {
    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.salt);
        bytes.extend(self.encoded.iter().flatten());
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Self, Error> {
        let salt = reader.array()?;
        // All lengths before any point: a short message costs nothing.
        let (encoded, _) = reader.take(32 * BASE_OTS)?.as_chunks::<32>();
        let points = encoded.iter().map(decompress).collect::<Result<_, _>>()?;
        Ok(Self { salt, encoded: encoded.to_vec(), points })
    }
}

impl Reply {
    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.encoded);
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Self, Error> {
        let encoded = reader.array()?;
        Ok(Self { encoded, point: decompress(&encoded)? })
    }
}

impl Chooser {
    pub(super) fn new(choices: Block, seed: &Seed) -> (Self, Request) {
        let mut prg = Prg::new(seed);
        let mut salt = [0; 32];
        prg.fill_bytes(&mut salt);
        let half_c = half_unknown_point(&salt);
        let mut logarithms = Vec::with_capacity(BASE_OTS);
        let mut halves = Vec::with_capacity(BASE_OTS);
        for i in 0..BASE_OTS {
            let half = random_scalar(&mut prg);
            let known = RistrettoPoint::mul_base(&half);
            halves.push(RistrettoPoint::conditional_select(&known, &(half_c - known), choice(choices, i)));
            logarithms.push(half + half);
        }
        let encoded: Vec<[u8; 32]> =
            RistrettoPoint::double_and_compress_batch(&halves).iter().map(|point| point.0).collect();
        let points = halves.iter().map(|half| half + half).collect();
        halves.zeroize();
        let request = Request { salt, encoded, points };
        let mut bytes = Vec::with_capacity(REQUEST_LEN);
        request.write(&mut bytes);
        (Self { choices, logarithms, request: bytes }, request)
    }

    pub(super) fn finish(self, reply: &Reply) -> Pads {
        let transcript = transcript(&self.request, reply);
        let table = RistrettoBasepointTable::create(&reply.point);
        let mut shared: Vec<RistrettoPoint> = self.logarithms.iter().map(|scalar| scalar * &table).collect();
        let keys = Zeroizing::new(doubled_encodings(&shared));
        shared.zeroize();
        let pads = keys.iter().enumerate();
        Zeroizing::new(
            pads.map(|(i, key)| pad(&transcript, i, choice(self.choices, i).unwrap_u8(), key)).collect(),
        )
    }
}

pub(super) fn respond(request: &Request, seed: &Seed) -> (Reply, PadPairs) {
    let mut prg = Prg::new(seed);
    let secret = Zeroizing::new(random_scalar(&mut prg));
    let point = RistrettoPoint::mul_base(&secret);
    let reply = Reply { encoded: point.compress().0, point };
    let mut bytes = Vec::with_capacity(REQUEST_LEN);
    request.write(&mut bytes);
    let transcript = transcript(&bytes, &reply);

    let half_c = half_unknown_point(&request.salt);
    let mut shared_c = (half_c + half_c) * *secret;
    let mut shared = Vec::with_capacity(2 * BASE_OTS);
    for point in &request.points {
        let zero = point * *secret;
        shared.extend([zero, shared_c - zero]);
    }
    shared_c.zeroize();
    let keys = Zeroizing::new(doubled_encodings(&shared));
    shared.zeroize();
    let (pairs, _) = keys.as_chunks::<2>();
    let pairs = pairs.iter().enumerate();
    let pads = pairs.map(|(i, [zero, one])| [pad(&transcript, i, 0, zero), pad(&transcript, i, 1, one)]);
    (reply, Zeroizing::new(pads.collect()))
}

/// Encodings of the doubles of points.
fn doubled_encodings(points: &[RistrettoPoint]) -> Vec<[u8; 32]> {
    RistrettoPoint::double_and_compress_batch(points).iter().map(|point| point.0).collect()
}

/// The point C / 2: a hash of the salt onto the group.
fn half_unknown_point(salt: &[u8; 32]) -> RistrettoPoint {
    let mut hasher = blake3::Hasher::new_derive_key("oribi base OT unknown point, version 1");
    hasher.update(salt);
    let mut uniform = [0; 64];
    hasher.finalize_xof().fill(&mut uniform);
    RistrettoPoint::from_uniform_bytes(&uniform)
}

/// A uniform scalar: 512 bits reduced, so the bias is below 2^-250.
fn random_scalar(prg: &mut Prg) -> Scalar {
    let mut wide = Zeroizing::new([0; 64]);
    prg.fill_bytes(&mut *wide);
    Scalar::from_bytes_mod_order_wide(&wide)
}

fn transcript(request: &[u8], reply: &Reply) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("oribi base OT transcript, version 1");
    hasher.update(request);
    hasher.update(&reply.encoded);
    *hasher.finalize().as_bytes()
}

fn decompress(encoded: &[u8; 32]) -> Result<RistrettoPoint, Error> {
    let point = CompressedRistretto(*encoded).decompress().ok_or(Error::Value("not a ristretto255 point"))?;
    if point.is_identity() { Err(Error::Value("the identity is no public key")) } else { Ok(point) }
}

fn choice(choices: Block, index: usize) -> Choice {
    Choice::from((choices.0 >> index & 1) as u8)
}
