//! Chi-square tests of the samplers, from fixed seeds: a correct sampler fails one with probability below 1e-9 over
//! the choice of the seed.

use kernel::modular::{Modulus, sample};
use kernel::seed::Seed;

use crate::random::Stream;

/// The largest chi-square statistic with this many degrees of freedom that a correct sampler exceeds with
/// probability 1e-9, by Laurent and Massart's bound `d + 2 sqrt(d x) + 2 x` with `x = ln 1e9`.
fn threshold(freedom: usize) -> f64 {
    let (d, x) = (freedom as f64, 1e9f64.ln());
    d + 2.0 * (d * x).sqrt() + 2.0 * x
}

fn assert_distribution(what: &str, counts: &[u64], probabilities: &[f64]) {
    let total: u64 = counts.iter().sum();
    let statistic: f64 = counts
        .iter()
        .zip(probabilities)
        .map(|(count, p)| {
            let expected = p * total as f64;
            assert!(expected > 20.0, "{what}: a cell is too small for the test");
            (*count as f64 - expected).powi(2) / expected
        })
        .sum();
    assert!(statistic < threshold(counts.len() - 1), "{what}: chi-square {statistic:.1}");
}

const SAMPLES: usize = 1 << 20;

#[test]
fn ternary_is_uniform() {
    let mut out = vec![0; SAMPLES];
    Stream::new(&Seed::from_bytes([1; 32])).ternary(&mut out);
    let counts = [-1, 0, 1].map(|x| out.iter().filter(|y| **y == x).count() as u64);
    assert_distribution("ternary", &counts, &[1.0 / 3.0; 3]);
}

#[test]
fn gaussian_has_its_distribution() {
    let mut out = vec![0; SAMPLES];
    Stream::new(&Seed::from_bytes([2; 32])).gaussian(&mut out);
    let weight = |k: i32| (-f64::from(k * k) / (2.0 * sample::SIGMA * sample::SIGMA)).exp();
    let total: f64 = (-60..=60).map(weight).sum();
    // Cells -12..=12 and the two tails.
    let (mut counts, mut probabilities) = ([0u64; 27], [0f64; 27]);
    let cell = |k: i32| (k.clamp(-13, 13) + 13) as usize;
    out.iter().for_each(|x| counts[cell(i32::from(*x))] += 1);
    (-60..=60).for_each(|k| probabilities[cell(k)] += weight(k) / total);
    assert_distribution("gaussian", &counts, &probabilities);
    // Neighbours are independent: signs of consecutive pairs.
    let mut pairs = [0u64; 9];
    for pair in out.as_chunks::<2>().0 {
        pairs[(3 * (pair[0].signum() + 1) + pair[1].signum() + 1) as usize] += 1;
    }
    let zero = weight(0) / total;
    let sign = [(1.0 - zero) / 2.0, zero, (1.0 - zero) / 2.0];
    let joint: Vec<f64> = (0..9).map(|k| sign[k / 3] * sign[k % 3]).collect();
    assert_distribution("gaussian pairs", &pairs, &joint);
}

#[test]
fn uniform_is_uniform() {
    for q in [1_000_003u64, (1 << 50) - 27, 3 << 45 | 1] {
        let modulus = Modulus::new(q).unwrap();
        let mut out = vec![0; SAMPLES];
        Stream::new(&Seed::from_bytes([3; 32])).uniform(&modulus, &mut out);
        assert!(out.iter().all(|x| *x < q));
        let (mut high, mut low) = ([0u64; 64], [0u64; 64]);
        for x in &out {
            high[(u128::from(*x) * 64 / u128::from(q)) as usize] += 1;
            low[(x % 64) as usize] += 1;
        }
        let cells = |count: &dyn Fn(u64) -> u64| -> Vec<f64> {
            (0..64).map(|k| count(k) as f64 / q as f64).collect()
        };
        let bound = |k: u64| (u128::from(q) * u128::from(k)).div_ceil(64) as u64;
        assert_distribution("uniform, high bits", &high, &cells(&|k| bound(k + 1) - bound(k)));
        assert_distribution("uniform, low bits", &low, &cells(&|k| (q - k).div_ceil(64)));
    }
}
