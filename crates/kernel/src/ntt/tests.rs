//! Every backend against the definition, against each other and against frozen answers.

use super::*;
use crate::modular::next_ntt_prime;

/// A fixed sequence that looks random.
fn words(count: usize, bound: u64, seed: u64) -> Vec<u64> {
    let mut state = seed;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((u128::from(state ^ (state >> 29)) * u128::from(bound)) >> 64) as u64
        })
        .collect()
}

/// Primes of each kind of butterfly: narrow, wide, beyond the vector range.
fn primes(degree: usize) -> Vec<u64> {
    [20, 36, 45, 46, 47, 50, 51, 60, 62]
        .into_iter()
        .filter_map(|bits| next_ntt_prime(1 << bits, 2 * degree as u64))
        .collect()
}

fn degrees() -> impl Iterator<Item = usize> {
    (6..=15).map(|log| 1 << log)
}

/// Forward is the evaluation at the stated powers of the root, by Horner's rule at sampled positions.
#[test]
fn forward_evaluates() {
    for degree in degrees() {
        for q in primes(degree) {
            for tier in Tier::available() {
                let ntt = Ntt::with_tier(degree, q, tier).unwrap();
                let input = words(degree, q, 1);
                let mut output = input.clone();
                ntt.forward(&mut output);
                let exponents = ntt.exponents();
                for position in
                    [0, 1, 7, 8, 63, degree / 2, degree - 1].into_iter().chain((0..degree).step_by(509))
                {
                    let point = ntt.modulus().pow(ntt.root(), u64::from(exponents[position]));
                    let value = input
                        .iter()
                        .rev()
                        .fold(0, |sum, c| ntt.modulus().add(ntt.modulus().mul(sum, point), *c));
                    assert_eq!(output[position], value, "degree {degree}, q {q}, {}", tier.name());
                }
            }
        }
    }
}

/// Extreme inputs on all tiers: largest residues, the lazy range, and the way back.
#[test]
fn extremes_and_round_trips() {
    for degree in degrees() {
        for q in primes(degree) {
            let inputs =
                [vec![q - 1; degree], vec![2 * q - 1; degree], vec![0; degree], words(degree, 2 * q, 2), {
                    let mut alternating = vec![0; degree];
                    alternating.iter_mut().step_by(2).for_each(|x| *x = 2 * q - 1);
                    alternating
                }];
            for input in inputs {
                let reference = Ntt::with_tier(degree, q, Tier::Portable).unwrap();
                let mut expected = input.clone();
                reference.forward(&mut expected);
                for tier in Tier::available() {
                    let ntt = Ntt::with_tier(degree, q, tier).unwrap();
                    let mut output = input.clone();
                    ntt.forward(&mut output);
                    assert_eq!(output, expected, "forward, degree {degree}, q {q}, {}", tier.name());
                    ntt.inverse(&mut output);
                    let residues: Vec<u64> = input.iter().map(|x| x % q).collect();
                    assert_eq!(output, residues, "inverse, degree {degree}, q {q}, {}", tier.name());
                }
            }
        }
    }
}

/// The inverse of extreme evaluations, which no forward transform need produce.
#[test]
fn inverse_of_extremes() {
    for degree in degrees() {
        for q in primes(degree) {
            for input in [vec![q - 1; degree], words(degree, q, 3)] {
                for tier in Tier::available() {
                    let ntt = Ntt::with_tier(degree, q, tier).unwrap();
                    let mut output = input.clone();
                    ntt.inverse(&mut output);
                    assert!(output.iter().all(|x| *x < q));
                    ntt.forward(&mut output);
                    assert_eq!(output, input, "degree {degree}, q {q}, {}", tier.name());
                }
            }
        }
    }
}

/// Products of polynomials modulo `X^n + 1`, against the schoolbook product.
#[test]
fn negacyclic_product() {
    let degree = 128;
    for q in primes(degree) {
        for tier in Tier::available() {
            let ntt = Ntt::with_tier(degree, q, tier).unwrap();
            let m = ntt.modulus();
            let (a, b) = (words(degree, q, 4), words(degree, q, 5));
            let mut expected = vec![0; degree];
            for (i, x) in a.iter().enumerate() {
                for (j, y) in b.iter().enumerate() {
                    let product = m.mul(*x, *y);
                    let slot = &mut expected[(i + j) % degree];
                    *slot = if i + j < degree { m.add(*slot, product) } else { m.sub(*slot, product) };
                }
            }
            let (mut x, mut y) = (a, b);
            ntt.forward(&mut x);
            ntt.forward(&mut y);
            m.mul_assign(&mut x, &y);
            ntt.inverse(&mut x);
            assert_eq!(x, expected);
        }
    }
}

#[test]
fn refuses_what_has_no_transform() {
    assert_eq!(Ntt::new(100, 257).unwrap_err(), NttError::Degree(100));
    assert_eq!(Ntt::new(32, 257).unwrap_err(), NttError::Degree(32));
    assert_eq!(Ntt::new(128, 97).unwrap_err(), NttError::Modulus(97));
    assert_eq!(Ntt::new(128, 769 * 769).unwrap_err(), NttError::Modulus(769 * 769));
    assert_eq!(Ntt::new(64, u64::MAX).unwrap_err(), NttError::Modulus(u64::MAX));
}

/// Automorphisms in both forms agree.
#[test]
fn automorphisms_commute_with_the_transform() {
    for degree in degrees() {
        for q in primes(degree) {
            for tier in Tier::available() {
                let ntt = Ntt::with_tier(degree, q, tier).unwrap();
                let input = words(degree, q, 6);
                let mut evaluations = input.clone();
                ntt.forward(&mut evaluations);
                for g in [
                    1,
                    3,
                    5,
                    7,
                    9,
                    25,
                    degree - 1,
                    degree + 1,
                    2 * degree - 1,
                    2 * degree - 3,
                    1 + degree / 2,
                ] {
                    let (mut mapped, mut expected) = (vec![0; degree], vec![0; degree]);
                    ntt.modulus().automorphism_into(&mut expected, &input, g);
                    ntt.forward(&mut expected);
                    ntt.automorphism_into(&mut mapped, &evaluations, g);
                    assert_eq!(mapped, expected, "degree {degree}, g {g}, {}", tier.name());
                    let mut scattered = vec![0; degree];
                    for (index, part) in evaluations.chunks(64 * 3).enumerate() {
                        ntt.automorphism_scatter(&mut scattered, part, 64 * 3 * index, g);
                    }
                    assert_eq!(scattered, expected, "degree {degree}, g {g}, {}", tier.name());
                }
            }
        }
    }
}

/// A known answer: degree, prime, root, the first four evaluations and the last, and the digest of all.
type Known = (usize, u64, u64, [u64; 4], u64, u64);

/// Of the polynomial with coefficients `i^3 + 7 i + 1`, by evaluation with Horner's rule in Python's integers. The digest is
/// `h = 1000003 h + v` modulo 2^61 - 1 over all evaluations.
const KNOWN: [Known; 4] = [
    (128, 12289, 8340, [614, 10520, 267, 3119], 11529, 271_870_299_635_744_760),
    (
        1024,
        132_120_577,
        113_022_246,
        [108_184_480, 117_744_291, 82_980_845, 45_583_656],
        44_285_694,
        533_774_386_839_042_536,
    ),
    (
        1024,
        1_125_899_906_826_241,
        512_215_033_098_839,
        [495_843_473_656_402, 1_089_782_211_298_390, 453_777_162_148_542, 39_889_336_787_983],
        551_091_919_174_987,
        1_945_787_968_319_046_738,
    ),
    (
        256,
        1_152_921_504_606_830_593,
        722_394_912_237_992_348,
        [789_534_744_212_909_916, 662_259_047_205_768_280, 957_281_402_464_836_384, 161_670_514_600_569_613],
        257_982_967_696_552_588,
        1_294_658_529_177_844_658,
    ),
];

#[test]
fn known_answers() {
    for (degree, q, root, first, last, digest) in KNOWN {
        for tier in Tier::available() {
            let ntt = Ntt::with_tier(degree, q, tier).unwrap();
            assert_eq!(ntt.root(), root);
            let cube = |i: u128| ((i * i * i + 7 * i + 1) % u128::from(q)) as u64;
            let mut values: Vec<u64> = (0..degree as u128).map(cube).collect();
            ntt.forward(&mut values);
            assert_eq!((&values[..4], values[degree - 1]), (&first[..], last), "{degree}, {}", tier.name());
            let fold = values.iter().fold(0u128, |h, v| (h * 1_000_003 + u128::from(*v)) % ((1 << 61) - 1));
            assert_eq!(fold, u128::from(digest));
        }
    }
}
