//! Every operation against plain integers, at secure sets and at toys of each kind.

mod bgv;
mod chain;
mod derivation;
pub(crate) mod generalised;
mod noise;
mod operations;
mod privacy;
mod programs;
mod samplers;
mod shares;
mod sizes;

use kernel::seed::Seed;

use crate::*;

/// A parameter set with all keys.
pub(crate) struct Fixture {
    pub name: &'static str,
    pub parameters: Parameters,
    pub secret: SecretKey,
    pub public: PublicKey,
    pub relinearisation: RelinearisationKey,
    pub galois: GaloisKeys,
    pub encoder: Encoder,
    pub evaluator: Evaluator,
    pub randomness: Randomness,
}

/// The rotations that fixtures have keys for.
pub(crate) const STEPS: [i64; 4] = [1, -1, 3, 17];

impl Fixture {
    pub fn new(name: &'static str, parameters: Parameters) -> Self {
        let mut randomness = Randomness::new(Seed::from_bytes([name.len() as u8; 32]));
        let secret = SecretKey::new(&parameters, &mut randomness);
        let public = PublicKey::new(&parameters, &secret, &mut randomness).unwrap();
        let relinearisation = RelinearisationKey::new(&parameters, &secret, &mut randomness).unwrap();
        let mut galois =
            GaloisKeys::of_rotations(&parameters, &secret, &STEPS, true, &mut randomness).unwrap();
        let packing = GaloisKeys::of_packing(&parameters, &secret, &mut randomness).unwrap();
        galois.keys.extend(packing.keys);
        Self {
            name,
            secret,
            public,
            relinearisation,
            galois,
            encoder: Encoder::new(&parameters),
            evaluator: Evaluator::new(&parameters),
            randomness,
            parameters,
        }
    }

    pub fn model(&self) -> NoiseModel {
        NoiseModel::new(&self.parameters)
    }

    pub fn encrypt(&mut self, message: &Plaintext) -> Ciphertext {
        self.secret.encrypt(&self.parameters, message, &mut self.randomness).unwrap()
    }

    pub fn decrypt(&self, ciphertext: &Ciphertext) -> Plaintext {
        self.secret.decrypt(&self.parameters, ciphertext).unwrap()
    }

    /// Messages with full-range coefficients, the same for the same index.
    pub fn values(&self, index: u64) -> Vec<u64> {
        let max = u128::from(self.parameters.plain_ring().max());
        let mut state = index.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        (0..self.parameters.degree())
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ((u128::from(state ^ (state >> 29)) * (max + 1)) >> 64) as u64
            })
            .collect()
    }

    pub fn message(&self, index: u64) -> Plaintext {
        self.encoder.coefficients(&self.values(index)).unwrap()
    }
}

fn set(
    degree: usize,
    plain: PlainModulus,
    data: &[u32],
    special: Option<u32>,
    digits: Option<u32>,
) -> Literal {
    Literal { digit_bits: digits, ..Literal::with_sizes(degree, plain, data, special).unwrap() }
}

fn slots(bits: u32, degree: usize) -> PlainModulus {
    PlainModulus::slots(bits, degree, 0).unwrap()
}

/// Sets within the table.
pub(crate) fn secure() -> Vec<Fixture> {
    let sets = [
        ("4096, t 17 bits, hybrid", set(4096, slots(17, 4096), &[36, 36], Some(37), None)),
        ("4096, t 20 bits, digits", set(4096, slots(20, 4096), &[36, 36, 37], None, Some(9))),
        ("8192, t 41 bits, hybrid", set(8192, slots(41, 8192), &[43, 43, 43, 43], Some(46), None)),
    ];
    sets.into_iter().map(|(name, literal)| Fixture::new(name, Parameters::new(literal).unwrap())).collect()
}

/// Small rings with every kind of plaintext modulus, limb and key switch.
pub(crate) fn toys() -> Vec<Fixture> {
    let sets = [
        ("t 17 bits, hybrid", set(256, slots(17, 256), &[46, 46, 46], Some(50), None)),
        ("t 40 bits, hybrid, wide", set(256, slots(40, 256), &[50, 50, 50, 50], Some(50), None)),
        ("t 60 bits, above the limbs", set(128, slots(60, 128), &[45; 6], Some(46), None)),
        ("t 2^1", set(128, PlainModulus::PowerOfTwo(1), &[40, 36, 50], Some(50), None)),
        ("t 2^32, digits", set(128, PlainModulus::PowerOfTwo(32), &[46; 4], None, Some(8))),
        ("t 2^50, above the limbs", set(128, PlainModulus::PowerOfTwo(50), &[36; 8], Some(40), None)),
        ("t 2^64", set(128, PlainModulus::PowerOfTwo(64), &[50; 6], Some(50), None)),
        ("t 2^62, uneven", set(128, PlainModulus::PowerOfTwo(62), &[50, 36, 47, 44, 50], Some(50), Some(20))),
        ("t 16 bits, whole digits", set(256, slots(16, 256), &[30, 42, 50], None, None)),
        ("t 20 bits, no slots", set(512, PlainModulus::Prime(1_000_003), &[46, 46, 46], Some(46), None)),
    ];
    sets.into_iter()
        .map(|(name, literal)| Fixture::new(name, Parameters::new_INSECURE(literal).unwrap()))
        .collect()
}
