//! Scalars against 128-bit arithmetic; vectors of every tier against scalars.

use super::*;
use crate::tier::Tier;

fn words(count: usize, bound: u64, seed: u64) -> Vec<u64> {
    let mut state = seed;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((u128::from(state ^ (state >> 29)) * u128::from(bound)) >> 64) as u64
        })
        .collect()
}

/// Primes, powers of two and odd numbers across the range.
const VALUES: [u64; 14] = [
    2,
    3,
    255,
    65537,
    1 << 16,
    (1 << 36) - 5,
    (1 << 46) - 21,
    (1 << 47) + 5,
    1 << 49,
    (1 << 50) - 27,
    (1 << 50) + 55,
    (1 << 59) - 55,
    1 << 61,
    (1 << 62) - 57,
];

#[test]
fn scalars() {
    for value in VALUES {
        let q = Modulus::new(value).unwrap();
        let mut samples = words(60, value, 7);
        samples.extend([0, 1, value - 1, value / 2]);
        for a in &samples {
            for b in &samples {
                let (x, y, m) = (u128::from(*a), u128::from(*b), u128::from(value));
                assert_eq!(u128::from(q.add(*a, *b)), (x + y) % m);
                assert_eq!(u128::from(q.sub(*a, *b)), (x + m - y) % m);
                assert_eq!(u128::from(q.mul(*a, *b)), x * y % m);
                assert_eq!(u128::from(q.mul_shoup(*a, q.shoup(*b))), x * y % m);
                assert_eq!(u128::from(q.reduce_wide((x << 64) | y)), ((x << 64) | y) % m);
            }
            assert_eq!(q.add(q.neg(*a), *a), 0);
            assert_eq!(q.from_signed(q.centred(*a)), *a);
            if let Some(inverse) = q.inverse(*a) {
                assert_eq!(q.mul(inverse, *a), 1 % value);
            }
        }
        for wide in [0, 1, u128::MAX, u128::MAX - 1, u128::from(u64::MAX)] {
            assert_eq!(u128::from(q.reduce_wide(wide)), wide % u128::from(value));
        }
        assert_eq!(i128::from(q.from_signed(i64::MIN)), i128::from(i64::MIN).rem_euclid(i128::from(value)));
        assert_eq!(q.from_signed(-1), value - 1);
    }
    assert!(Modulus::new(0).is_none() && Modulus::new(1).is_none() && Modulus::new(1 << 62).is_none());
}

#[test]
fn primes_and_roots() {
    let small: Vec<u64> = (0..60).filter(|n| is_prime(*n)).collect();
    assert_eq!(small, [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59]);
    // Strong pseudoprimes to several bases, and the largest prime below 2^64.
    assert!(!is_prime(3_215_031_751) && !is_prime(3_474_749_660_383) && !is_prime(341_550_071_728_321));
    assert!(is_prime(u64::MAX - 58) && !is_prime(u64::MAX));
    let q = next_ntt_prime(1 << 50, 1 << 14).unwrap();
    assert!(is_prime(q) && q % (1 << 14) == 1 && q < 1 << 50);
    let modulus = Modulus::new(q).unwrap();
    let root = modulus.root_of_unity(1 << 14).unwrap();
    assert_eq!(modulus.pow(root, 1 << 13), q - 1);
    assert!(modulus.root_of_unity(1 << 60).is_none());
    assert!(Modulus::new((1 << 20) + 1).unwrap().root_of_unity(4).is_none());
}

#[test]
fn vectors_match_scalars_on_every_tier() {
    for tier in Tier::available() {
        for value in VALUES.into_iter().filter(|v| *v > 128) {
            let q = Modulus::with_tier(value, tier).unwrap();
            for length in [1, 8, 13, 64, 101] {
                let (mut a, mut b, c) =
                    (words(length, value, 1), words(length, value, 2), words(length, value, 3));
                a[0] = value - 1;
                b[0] = value - 1;
                let each = |f: &dyn Fn(usize) -> u64| (0..length).map(f).collect::<Vec<_>>();
                let run = |f: &dyn Fn(&mut [u64])| {
                    let mut out = a.clone();
                    f(&mut out);
                    out
                };
                assert_eq!(run(&|x| q.add_assign(x, &b)), each(&|i| q.add(a[i], b[i])));
                assert_eq!(run(&|x| q.sub_assign(x, &b)), each(&|i| q.sub(a[i], b[i])));
                assert_eq!(run(&|x| q.neg_assign(x)), each(&|i| q.neg(a[i])));
                assert_eq!(run(&|x| q.mul_assign(x, &b)), each(&|i| q.mul(a[i], b[i])));
                assert_eq!(run(&|x| q.mul_into(x, &c, &b)), each(&|i| q.mul(c[i], b[i])));
                assert_eq!(run(&|x| q.mul_add_assign(x, &b, &c)), each(&|i| q.add(a[i], q.mul(b[i], c[i]))));
                let w = q.shoup(c[0]);
                assert_eq!(run(&|x| q.scale_assign(x, w)), each(&|i| q.mul(a[i], c[0])));
                assert_eq!(run(&|x| q.sub_scale_assign(x, &b, w)), each(&|i| q.mul(q.sub(a[i], b[i]), c[0])));
                let any: Vec<u64> = words(length, u64::MAX, 5).iter().map(|x| x | 1 << 63).collect();
                assert_eq!(run(&|x| q.reduce_into(x, &any)), each(&|i| any[i] % value));
                let from = Modulus::with_tier((1 << 50) - 27, tier).unwrap();
                let mut foreign = words(length, from.value(), 6);
                foreign[0] = from.value() / 2;
                assert_eq!(
                    run(&|x| q.rebase_into(x, &foreign, &from)),
                    each(&|i| q.from_signed(from.centred(foreign[i])))
                );
                let small: Vec<i8> = words(length, 256, 8).iter().map(|x| *x as u8 as i8).collect();
                assert_eq!(run(&|x| q.small_into(x, &small)), each(&|i| q.from_signed(i64::from(small[i]))));
                assert_eq!(
                    run(&|x| q.small_add_assign(x, &small)),
                    each(&|i| q.add(a[i], q.from_signed(i64::from(small[i]))))
                );
            }
        }
    }
}

/// Fused sums, with more terms than one fold of the wide moduli holds, all at their largest; and on either side of the number
/// of terms up to which one quotient product reduces a sum.
#[test]
fn dot_products_on_every_tier() {
    for tier in Tier::available() {
        for value in [
            3,
            65537,
            (1 << 35) + 1,
            (1 << 44) - 17,
            (1 << 45) + 1,
            (1 << 46) - 21,
            (1 << 50) - 27,
            (1 << 59) - 55,
        ] {
            let q = Modulus::with_tier(value, tier).unwrap();
            let length = 72;
            for count in [0usize, 1, 3, 4, 7, 8, 15, 16, 17, 31, 32, 40] {
                let top = vec![value - 1; length];
                let rows: Vec<_> = (0..3 * count as u64)
                    .map(|k| if k < 60 { top.clone() } else { words(length, value, k) })
                    .collect();
                let terms: Vec<_> = (0..count)
                    .map(|k| (&rows[3 * k][..], [&rows[3 * k + 1][..], &rows[3 * k + 2][..]]))
                    .collect();
                let init = [top.clone(), words(length, value, 99)];
                let expected = |side: usize, i: usize, init: u64| {
                    terms.iter().fold(init, |s, (f, p)| q.add(s, q.mul(f[i], p[side][i])))
                };
                let check = |out: &[Vec<u64>; 2], start: usize, has: [bool; 2]| {
                    for (side, out) in out.iter().enumerate() {
                        for (i, x) in out.iter().enumerate() {
                            let from = if has[side] { init[side][start + i] } else { 0 };
                            let sum = expected(side, start + i, from);
                            assert_eq!(*x, sum, "{} q {value} terms {count}", tier.name());
                        }
                    }
                };
                let mut out = [vec![1; length], vec![1; length]];
                let [a, b] = &mut out;
                q.dot_pair([a, b], 0, [Some(&init[0]), Some(&init[1])], &terms);
                check(&out, 0, [true, true]);
                if q.bits() > 56 {
                    continue;
                }
                let packed: Vec<_> = rows.iter().map(|row| Packed::new(&q, row)).collect();
                let pairs = |k: usize| [&packed[3 * k + 1], &packed[3 * k + 2]];
                let all: Vec<_> = (0..count).map(|k| (&packed[3 * k], pairs(k))).collect();
                let mixed: Vec<_> = (0..count).map(|k| (&rows[3 * k][..], pairs(k))).collect();
                let mut out = [vec![1; length - 8], vec![1; length - 8]];
                let [a, b] = &mut out;
                q.dot_pair([a, b], 8, [None, Some(&init[1])], &all);
                check(&out, 8, [false, true]);
                let [a, b] = &mut out;
                q.dot_pair([a, b], 8, [Some(&init[0]), None], &mixed);
                check(&out, 8, [true, false]);
            }
        }
    }
}

#[test]
fn sums_of_scaled_vectors() {
    for tier in Tier::available() {
        for value in [65537, (1u64 << 46) - 21, (1 << 50) - 27, (1 << 61) - 1] {
            let q = Modulus::with_tier(value, tier).unwrap();
            for (length, count) in [(8, 1), (64, 3), (200, 300), (64, 5000)] {
                let rows: Vec<_> = (0..count).map(|k| words(length, value, k as u64)).collect();
                let factors = words(count, value, 77);
                let terms: Vec<_> = factors.iter().copied().zip(rows.iter().map(|row| &row[..])).collect();
                let mut out = words(length, value, 99);
                let start = out.clone();
                q.dot_scalars(&mut out, &terms);
                for i in 0..length {
                    let sum = terms.iter().fold(start[i], |s, (f, row)| q.add(s, q.mul(*f, row[i])));
                    assert_eq!(out[i], sum, "{} q {value} terms {count}", tier.name());
                }
            }
        }
    }
}

#[test]
fn permutations_and_automorphisms() {
    for tier in Tier::available() {
        let q = Modulus::with_tier((1 << 50) - 27, tier).unwrap();
        let a = words(64, q.value(), 11);
        let index: Vec<u32> = (0..64u32).map(|i| (i * 29 + 3) % 64).collect();
        let mut out = vec![0; 64];
        q.gather(&mut out, &a, &index);
        assert!((0..64).all(|i| out[i] == a[index[i] as usize]));
        q.automorphism_into(&mut out, &a, 5);
        for (i, x) in a.iter().enumerate() {
            let target = i * 5 % 128;
            assert_eq!(out[target % 64], if target < 64 { *x } else { q.neg(*x) });
        }
    }
}

/// Conversion of centred numbers, checked with 128-bit integers; both halves and the edges of the range.
#[test]
fn base_conversion() {
    for tier in Tier::available() {
        for (sources, targets) in [
            (vec![(1u64 << 40) - 87, (1 << 36) - 5, (1 << 45) - 55], vec![(1u64 << 50) - 27, 65537, 1 << 32]),
            (vec![(1 << 50) - 27], vec![(1 << 46) - 21, 1 << 49]),
        ] {
            let product: u128 = sources.iter().map(|q| u128::from(*q)).product();
            let from: Vec<_> = sources
                .iter()
                .map(|value| {
                    let q = Modulus::with_tier(*value, tier).unwrap();
                    (q, q.inverse(((product / u128::from(*value)) % u128::from(*value)) as u64).unwrap())
                })
                .collect();
            let to: Vec<_> = targets
                .iter()
                .map(|value| {
                    let t = u128::from(*value);
                    let row = sources.iter().map(|q| (product / u128::from(*q) % t) as u64).collect();
                    (Modulus::with_tier(*value, tier).unwrap(), row, ((t - product % t) % t) as u64)
                })
                .collect();
            let converter = Converter::new(&from, &to).unwrap();
            let length = 300;
            let numbers: Vec<u128> = (0..length as u128)
                .map(|i| match i {
                    0 => 0,
                    1 => product - 1,
                    2 => product / 2 - product / (1 << 20),
                    3 => product / 2 + product / (1 << 20),
                    _ => (i * i * 0x1234_5678_9abc_def1_2345_6789) % product,
                })
                .collect();
            let rows: Vec<Vec<u64>> = sources
                .iter()
                .map(|q| numbers.iter().map(|x| (x % u128::from(*q)) as u64).collect())
                .collect();
            let mut out = vec![vec![0; length]; targets.len()];
            converter.apply(
                &rows.iter().map(Vec::as_slice).collect::<Vec<_>>(),
                &mut out.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>(),
            );
            for (row, value) in out.iter().zip(&targets) {
                let t = i128::from(*value);
                for (x, number) in row.iter().zip(&numbers) {
                    let centred = if *number > product / 2 {
                        *number as i128 - product as i128
                    } else {
                        *number as i128
                    };
                    assert_eq!(i128::from(*x), centred.rem_euclid(t), "{}", tier.name());
                }
            }
        }
    }
}

#[test]
fn words_are_aligned_and_zeroed() {
    use zeroize::Zeroize;
    let mut buffer = Words::from_slice(&[1; 24]);
    assert_eq!(buffer.as_ptr() as usize % 64, 0);
    assert_eq!((buffer.len(), buffer[23]), (24, 1));
    buffer.truncate(16);
    assert_eq!(buffer.len(), 16);
    buffer.zeroize();
    assert!(buffer.iter().all(|x| *x == 0));
}
