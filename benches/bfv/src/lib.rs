//! Our ring layer and the registry's, doing the same things: the rows of both benchmarks.
//!
//! A row has a name, ours and the peer's. `benches/peers.rs` gives them to criterion; `src/main.rs` runs the two sides of each
//! row in turn, many times, and prints the ratio, which is what a noisy machine still tells.

use std::sync::Arc;

use bfv::{
    Encoder, Evaluator, GaloisKeys, Literal, NoiseModel, Parameters, PlainModulus, Randomness,
    RelinearisationKey, SecretKey,
};
use fhe::bfv as peer;
use fhe_traits::{FheDecoder, FheDecrypter, FheEncoder, FheEncrypter};
use kernel::modular::{Words, next_ntt_prime};
use kernel::ntt::Ntt;
use rand::{Rng, rng};

/// One side of a row.
pub type Side = Box<dyn FnMut()>;

/// Something both do.
pub struct Row {
    /// What, and with which limbs.
    pub name: String,
    /// The least ratio that is aimed at.
    pub aim: Option<f64>,
    /// Ours.
    pub ours: Side,
    /// The peer's.
    pub peer: Side,
}

/// Ring degrees compared.
pub const DEGREES: [usize; 3] = [4096, 8192, 16384];

/// Terms of the dot product.
const TERMS: usize = 16;

fn row(
    name: impl Into<String>,
    aim: Option<f64>,
    ours: impl FnMut() + 'static,
    peer: impl FnMut() + 'static,
) -> Row {
    Row { name: name.into(), aim, ours: Box::new(ours), peer: Box::new(peer) }
}

/// Our set with a special prime: as many limbs in all as the peer has.
fn hybrid(degree: usize) -> (Vec<u32>, Option<u32>) {
    match degree {
        4096 => (vec![36; 2], Some(37)),
        8192 => (vec![43; 4], Some(46)),
        _ => (vec![46; 8], Some(50)),
    }
}

/// Our set with all limbs for data: the peer's sizes.
fn all_data(degree: usize) -> (Vec<u32>, Option<u32>) {
    match degree {
        4096 => (vec![36, 36, 37], None),
        8192 => (vec![43, 43, 44, 44, 44], None),
        _ => ([vec![48; 3], vec![49; 6]].concat(), None),
    }
}

struct Ours {
    parameters: Parameters,
    randomness: Randomness,
    secret: SecretKey,
    relinearisation: RelinearisationKey,
    galois: GaloisKeys,
    encoder: Encoder,
    evaluator: Evaluator,
    values: Vec<u64>,
}

impl Ours {
    fn new(degree: usize, plain_bits: u32, (data, special): (Vec<u32>, Option<u32>)) -> Self {
        let plain = PlainModulus::slots(plain_bits, degree, 0).expect("a plaintext prime");
        let literal = Literal::with_sizes(degree, plain, &data, special).expect("primes");
        let parameters = Parameters::new(literal).expect("a set of the table");
        let mut randomness = Randomness::from_os().expect("entropy");
        let secret = SecretKey::new(&parameters, &mut randomness);
        let relinearisation = RelinearisationKey::new(&parameters, &secret, &mut randomness).expect("key");
        let galois =
            GaloisKeys::of_rotations(&parameters, &secret, &[1, 2], false, &mut randomness).expect("keys");
        let values = (0..degree).map(|_| rng().random_range(0..1 << (plain_bits - 1))).collect();
        Self {
            encoder: Encoder::new(&parameters),
            evaluator: Evaluator::new(&parameters),
            parameters,
            randomness,
            secret,
            relinearisation,
            galois,
            values,
        }
    }
}

struct Peer {
    parameters: Arc<peer::BfvParameters>,
    secret: peer::SecretKey,
    values: Vec<u64>,
}

impl Peer {
    fn new(degree: usize, plain_bits: usize) -> Self {
        let parameters = peer::BfvParameters::default_parameters_128(plain_bits)
            .expect("the peer's sets")
            .find(|set| set.degree() == degree)
            .expect("the peer's set of this degree");
        let secret = peer::SecretKey::random(&parameters, &mut rng());
        let values = (0..degree).map(|_| rng().random_range(0..1 << (plain_bits - 1))).collect();
        Self { parameters, secret, values }
    }

    fn plaintext(&self) -> peer::Plaintext {
        peer::Plaintext::try_encode(&self.values, peer::Encoding::simd(), &self.parameters).expect("encodes")
    }

    fn ciphertext(&self) -> peer::Ciphertext {
        self.secret.try_encrypt(&self.plaintext(), &mut rng()).expect("encrypts")
    }
}

/// The rows of one degree and a 20-bit plaintext modulus: our set with a special prime, then ours with the peer's limbs.
pub fn scheme_rows(degree: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    for (label, sizes) in [("hybrid", hybrid(degree)), ("all data", all_data(degree))] {
        rows.extend(encryption_rows(degree, label, &sizes));
        rows.extend(evaluation_rows(degree, label, &sizes));
    }
    rows
}

fn encryption_rows(degree: usize, label: &str, sizes: &(Vec<u32>, Option<u32>)) -> Vec<Row> {
    let name = |what: &str| format!("{degree}/{label}/{what}");
    let mut rows = Vec::new();
    let (mut ours, peer) = (Ours::new(degree, 20, sizes.clone()), Peer::new(degree, 20));
    let (message, theirs) = (ours.encoder.slots(&ours.values).expect("encodes"), peer.plaintext());
    rows.push(row(
        name("encrypt, symmetric"),
        Some(2.5),
        move || {
            ours.secret.encrypt(&ours.parameters, &message, &mut ours.randomness).expect("encrypts");
        },
        move || {
            let _: peer::Ciphertext = peer.secret.try_encrypt(&theirs, &mut rng()).expect("encrypts");
        },
    ));
    let (mut ours, peer) = (Ours::new(degree, 20, sizes.clone()), Peer::new(degree, 20));
    let message = ours.encoder.slots(&ours.values).expect("encodes");
    let a = ours.secret.encrypt(&ours.parameters, &message, &mut ours.randomness).expect("encrypts");
    let b = peer.ciphertext();
    rows.push(row(
        name("decrypt and decode"),
        Some(8.0),
        move || {
            let message = ours.secret.decrypt(&ours.parameters, &a).expect("decrypts");
            ours.encoder.decode_slots(&message).expect("decodes");
        },
        move || {
            let message = peer.secret.try_decrypt(&b).expect("decrypts");
            Vec::<u64>::try_decode(&message, peer::Encoding::simd()).expect("decodes");
        },
    ));
    rows
}

fn evaluation_rows(degree: usize, label: &str, sizes: &(Vec<u32>, Option<u32>)) -> Vec<Row> {
    let name = |what: &str| format!("{degree}/{label}/{what}");
    let mut rows = Vec::new();
    let ours = || {
        let mut ours = Ours::new(degree, 20, sizes.clone());
        let message = ours.encoder.slots(&ours.values).expect("encodes");
        let a = ours.secret.encrypt(&ours.parameters, &message, &mut ours.randomness).expect("encrypts");
        (ours, a)
    };
    let peer = Peer::new(degree, 20);
    let evaluation = |peer: &Peer| {
        peer::EvaluationKeyBuilder::new(&peer.secret)
            .and_then(|mut builder| builder.enable_column_rotation(1)?.build(&mut rng()))
            .expect("keys")
    };

    let ((o, a), keys, b) = (ours(), evaluation(&peer), peer.ciphertext());
    rows.push(row(
        name("rotate"),
        Some(4.5),
        move || drop(o.evaluator.rotate_rows(&a, 1, &o.galois).expect("rotates")),
        move || drop(keys.rotates_columns_by(&b, 1).expect("rotates")),
    ));
    let ((o, a), keys, b) = (ours(), evaluation(&peer), peer.ciphertext());
    let hoisted = o.evaluator.hoist(&a).expect("hoists");
    rows.push(row(
        name("a further hoisted rotation, against the peer's rotation"),
        None,
        move || drop(o.evaluator.rotate_rows_hoisted(&hoisted, 1, &o.galois).expect("rotates")),
        move || drop(keys.rotates_columns_by(&b, 1).expect("rotates")),
    ));
    let ((o, a), (p, b)) = (ours(), ours());
    let hoisted = o.evaluator.hoist(&a).expect("hoists");
    rows.push(row(
        name("a further hoisted rotation, against our first"),
        Some(3.0),
        move || drop(o.evaluator.rotate_rows_hoisted(&hoisted, 1, &o.galois).expect("rotates")),
        move || drop(p.evaluator.rotate_rows(&b, 1, &p.galois).expect("rotates")),
    ));
    let ((o, a), (p, b)) = (ours(), ours());
    let hoisted = o.evaluator.hoist(&a).expect("hoists");
    rows.push(row(
        name("eight further hoisted rotations together, against our first ones"),
        Some(3.0),
        move || {
            let steps = [1, 2, 1, 2, 1, 2, 1, 2];
            drop(o.evaluator.rotations_hoisted(&hoisted, &steps, &o.galois).expect("rotates"));
        },
        move || {
            for steps in [1, 2].into_iter().cycle().take(8) {
                drop(p.evaluator.rotate_rows(&b, steps, &p.galois).expect("rotates"));
            }
        },
    ));
    rows.push(summed_rotations(
        &name("a further hoisted rotation in a sum of 16 with factors, against our first"),
        ours(),
        ours(),
    ));

    let ((o, a), b) = (ours(), peer.ciphertext());
    let key = peer::RelinearizationKey::new(&peer.secret, &mut rng()).expect("key");
    let multiplicator = peer::Multiplicator::default(&key).expect("multiplies");
    let (other, theirs) = (a.clone(), b.clone());
    rows.push(row(
        name("multiply and relinearise"),
        Some(4.0),
        move || drop(o.evaluator.multiply(&a, &other, &o.relinearisation).expect("multiplies")),
        move || drop(multiplicator.multiply(&b, &theirs).expect("multiplies")),
    ));

    rows.extend(dot_rows(degree, label, sizes));
    rows
}

/// Dot products of 16 terms: of packed ciphertexts, of plain ones, and four sums over the same plain ones.
fn dot_rows(degree: usize, label: &str, sizes: &(Vec<u32>, Option<u32>)) -> Vec<Row> {
    let forms = [
        ("plaintext dot product, 16 terms", Some(4.0)),
        ("plaintext dot product, 16 terms, ciphertexts not packed", None),
        ("four plaintext dot products of 16 terms over the same ciphertexts", Some(4.0)),
    ];
    let row_of = |(index, (what, aim)): (usize, (&str, Option<f64>))| {
        let (mut o, peer) = (Ours::new(degree, 20, sizes.clone()), Peer::new(degree, 20));
        let message = o.encoder.slots(&o.values).expect("encodes");
        let ciphertexts: Vec<_> = (0..TERMS)
            .map(|_| o.secret.encrypt(&o.parameters, &message, &mut o.randomness).expect("encrypts"))
            .collect();
        let packed: Vec<_> = ciphertexts.iter().map(|a| o.evaluator.packed(a).expect("packs")).collect();
        let factors: Vec<_> = (0..4 * TERMS)
            .map(|_| o.evaluator.multiplicand(&message, o.parameters.limbs()).expect("prepares"))
            .collect();
        let theirs: Vec<_> = (0..TERMS).map(|_| (peer.ciphertext(), peer.plaintext())).collect();
        let more: Vec<Vec<_>> = (0..4).map(|_| (0..TERMS).map(|_| peer.plaintext()).collect()).collect();
        row(
            format!("{degree}/{label}/{what}"),
            aim,
            move || match index {
                0 => drop(o.evaluator.dot_packed(&packed.iter().zip(&factors).collect::<Vec<_>>())),
                1 => drop(o.evaluator.dot_plain(&ciphertexts.iter().zip(&factors).collect::<Vec<_>>())),
                _ => {
                    let sums: Vec<Vec<_>> =
                        factors.chunks(TERMS).map(|sum| sum.iter().enumerate().collect()).collect();
                    let inputs: Vec<_> = ciphertexts.iter().collect();
                    drop(o.evaluator.dot_plain_many(&inputs, &sums).expect("multiplies"));
                }
            },
            move || {
                let a = || theirs.iter().map(|(a, _)| a);
                if index < 2 {
                    let b = theirs.iter().map(|(_, b)| b);
                    drop(peer::dot_product_scalar(a(), b).expect("multiplies"));
                } else {
                    for plaintexts in &more {
                        drop(peer::dot_product_scalar(a(), plaintexts.iter()).expect("multiplies"));
                    }
                }
            },
        )
    };
    forms.into_iter().enumerate().map(row_of).collect()
}

/// A square by each arithmetic, of a ciphertext that was squared before: BGV arithmetic on the limbs that the plan leaves, beside
/// our scaled tensor product on all. Limbs fit the loss of a product of 20 bits.
pub fn square_rows(degree: usize) -> Vec<Row> {
    let limbs = match degree {
        4096 => return Vec::new(),
        8192 => vec![36; 4],
        _ => vec![38; 8],
    };
    let plain = PlainModulus::slots(20, degree, 0).expect("a plaintext prime");
    let literal = Literal::for_products(degree, plain, &limbs, Some(40)).expect("primes");
    let parameters = Parameters::new(literal).expect("a set of the table");
    let model = NoiseModel::new(&parameters);
    let first = model.plan_square(model.fresh_symmetric(), limbs.len(), 8.0);
    let second = model.plan_square(first.noise, first.limbs, 8.0);
    let mut randomness = Randomness::from_os().expect("entropy");
    let secret = SecretKey::new(&parameters, &mut randomness);
    let key = RelinearisationKey::new(&parameters, &secret, &mut randomness).expect("key");
    let message = Encoder::new(&parameters).slots(&[1, 2, 3]).expect("encodes");
    let evaluator = Evaluator::new(&parameters);
    let fresh = secret.encrypt(&parameters, &message, &mut randomness).expect("encrypts");
    let inputs =
        [(first, fresh.clone()), (second, evaluator.square_planned(&fresh, &first, &key).expect("squares"))];
    let rows = inputs.into_iter().zip(["first", "second"]).map(|((plan, a), which)| {
        let name = format!(
            "{degree}/{} limbs/{which} square: {:?} on {}, against BFV on {}",
            limbs.len(),
            plan.scheme,
            plan.limbs,
            a.limbs()
        );
        let (ours, theirs, same, other) = (evaluator.clone(), evaluator.clone(), key.clone(), key.clone());
        let b = a.clone();
        row(
            name,
            None,
            move || drop(ours.square_planned(&a, &plan, &same).expect("squares")),
            move || drop(theirs.square(&b, &other).expect("squares")),
        )
    });
    rows.collect()
}

/// Sixteen rotations of a hoisted ciphertext, multiplied and summed before one division, beside sixteen first rotations.
fn summed_rotations(name: &str, (o, a): (Ours, bfv::Ciphertext), (p, b): (Ours, bfv::Ciphertext)) -> Row {
    let hoisted = o.evaluator.hoist(&a).expect("hoists");
    let message = o.encoder.slots(&o.values).expect("encodes");
    let factors: Vec<_> = (0..16)
        .map(|_| {
            let (e, limbs) = (&o.evaluator, o.parameters.limbs());
            if o.parameters.literal().special.is_some() {
                e.multiplicand_extended(&message, limbs)
            } else {
                e.multiplicand(&message, limbs)
            }
            .expect("prepares")
        })
        .collect();
    row(
        name,
        Some(3.0),
        move || {
            let terms: Vec<_> =
                factors.iter().zip([1i64, 2].into_iter().cycle()).map(|(f, s)| (s, f)).collect();
            drop(o.evaluator.dot_rotations(&hoisted, &terms, &o.galois).expect("rotates"));
        },
        move || {
            for steps in [1, 2].into_iter().cycle().take(16) {
                drop(p.evaluator.rotate_rows(&b, steps, &p.galois).expect("rotates"));
            }
        },
    )
}

/// Transforms against `tfhe-ntt`. Its inverse leaves out the factor 1/n, ours includes it; so its scaling is run too.
pub fn ntt_rows(degree: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    for bits in [46, 50] {
        let q = next_ntt_prime(1 << bits, 2 * degree as u64).expect("a prime");
        let data: Vec<u64> = (0..degree).map(|_| rng().random_range(0..q)).collect();
        for inverse in [false, true] {
            let ours = Ntt::new(degree, q).expect("a transform");
            let plan = tfhe_ntt::prime64::Plan::try_new(degree, q).expect("a plan");
            let (mut a, mut b) = (Words::from_slice(&data), Words::from_slice(&data));
            rows.push(if inverse {
                row(
                    format!("{degree}/ntt {bits} bits/inverse"),
                    Some(1.0),
                    move || ours.inverse(&mut a),
                    move || {
                        plan.inv(&mut b);
                        plan.normalize(&mut b);
                    },
                )
            } else {
                row(
                    format!("{degree}/ntt {bits} bits/forward"),
                    Some(1.0),
                    move || ours.forward(&mut a),
                    move || plan.fwd(&mut b),
                )
            });
        }
    }
    rows
}
