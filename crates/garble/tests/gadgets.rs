//! Every gadget in the clear against plain integers.

mod common;

use common::{Gadget, Random, check_clear, clear_values, clear_word, half_public_word, known_bits};
use garble::clear::{Clear, ClearWires};
use garble::gadgets::{self, Multiples, Pending};
use garble::meaning::Format;

const PAIRS: [Gadget; 13] = [
    Gadget::Add,
    Gadget::Sub,
    Gadget::Less,
    Gadget::Equal,
    Gadget::Mux,
    Gadget::MuxSign,
    Gadget::Max,
    Gadget::Min,
    Gadget::MaxOf,
    Gadget::ArgMax { last: false },
    Gadget::ArgMax { last: true },
    Gadget::ArgMaxWithValue { last: true },
    Gadget::Mul,
];

fn range(bits: usize) -> std::ops::Range<i64> {
    -(1 << (bits - 1))..1 << (bits - 1)
}

/// All pairs of values of two widths.
fn all_pairs(a: usize, b: usize) -> Vec<Vec<i64>> {
    let pairs: Vec<(i64, i64)> = range(a).flat_map(|x| range(b).map(move |y| (x, y))).collect();
    vec![pairs.iter().map(|pair| pair.0).collect(), pairs.iter().map(|pair| pair.1).collect()]
}

#[test]
fn small_words_exhaustively() {
    for a in 1..=5 {
        for b in 1..=5 {
            let x = all_pairs(a, b);
            for gadget in PAIRS {
                check_clear(gadget, &[a, b], &x, (1, &[]));
            }
            for width in 1..=a + b {
                check_clear(Gadget::MulLow(width), &[a, b], &x, (1, &[]));
                check_clear(Gadget::AddWrapping(width), &[a, b], &x, (1, &[]));
            }
            for bits in 2..=8 {
                for frac in 0..6 {
                    check_clear(Gadget::Divide { frac, bits }, &[a, b], &x, (1, &[]));
                }
            }
            for drop in 0..a + b {
                for guard in [0, 1, drop] {
                    for bits in [1, 4, a + b] {
                        let gadget = Gadget::MulTruncated { drop, guard, w: b, bits };
                        check_clear(gadget, &[a, b], &x, (1, &[]));
                    }
                }
            }
            check_clear(Gadget::MulKnown, &[a], &x[..1], (b as u32, &x[1..]));
            check_clear(Gadget::Dot, &[a], &x[..1], (b as u32, &x[1..]));
        }
    }
}

#[test]
fn single_words_exhaustively() {
    for width in 1..=7 {
        let x = vec![range(width).collect::<Vec<_>>()];
        for gadget in [Gadget::Neg, Gadget::Relu, Gadget::Square] {
            check_clear(gadget, &[width], &x, (1, &[]));
        }
        for bits in 1..=2 * width {
            check_clear(Gadget::SquareLow(bits), &[width], &x, (1, &[]));
        }
        for n in 0..=8 {
            check_clear(Gadget::ShiftRight(n), &[width], &x, (1, &[]));
            if n > 0 {
                check_clear(Gadget::Saturate(n), &[width], &x, (1, &[]));
            }
        }
        for factor in -70..=70 {
            check_clear(Gadget::MulConstant(factor), &[width], &x, (1, &[]));
            let gadget = Gadget::Affine { factor, addend: 5 - factor, shift: (factor & 7) as u32, bits: 4 };
            check_clear(gadget, &[width], &x, (1, &[]));
        }
        for low in -70..=70 {
            for high in [low, low + 1, low + 9, 0.max(low), 100] {
                check_clear(Gadget::Clamp(low, high), &[width], &x, (1, &[]));
            }
        }
    }
}

#[test]
fn wide_words_at_random() {
    let mut random = Random(1);
    for (a, b) in [(16, 16), (16, 8), (7, 16), (24, 31), (31, 31), (13, 1), (1, 20)] {
        let mut list = |bits| (0..2000).map(|_| random.value(bits as u32)).collect::<Vec<_>>();
        let x = vec![list(a), list(b), list(a)];
        for gadget in PAIRS {
            check_clear(gadget, &[a, b, a], &x, (1, &[]));
        }
        check_clear(Gadget::MulLow(16), &[a, b], &x, (1, &[]));
        for (drop, guard) in [(12, 3), (12, 20), (5, 0), (0, 4)] {
            check_clear(Gadget::MulTruncated { drop, guard, w: b, bits: 16 }, &[a, b], &x, (1, &[]));
        }
        check_clear(Gadget::Square, &[a], &x, (1, &[]));
        check_clear(Gadget::SquareLow(a + a / 2), &[a], &x, (1, &[]));
        check_clear(Gadget::Divide { frac: 12, bits: 16 }, &[a, b], &x, (1, &[]));
        check_clear(Gadget::MulConstant(0x5a5a_1234), &[a], &x, (1, &[]));
        check_clear(Gadget::MulKnown, &[a], &x[..1], (b as u32, &x[1..2]));
        let w = vec![x[1].clone(), list(b), list(b)];
        check_clear(Gadget::Dot, &[a; 3], &[x[0].clone(), list(a), list(a)], (b as u32, &w));
    }
}

#[test]
fn extremes_of_constants() {
    let x = vec![vec![-8, -1, 0, 1, 7]];
    for factor in [i64::MAX / 8, i64::MIN / 16, 1 << 58, -(1 << 58)] {
        check_clear(Gadget::MulConstant(factor), &[4], &x, (1, &[]));
    }
    for addend in [i64::MAX, i64::MIN] {
        check_clear(Gadget::Affine { factor: i64::MAX, addend, shift: 60, bits: 63 }, &[4], &x, (1, &[]));
    }
}

#[test]
fn arg_max_of_any_number_of_words() {
    let mut random = Random(2);
    for n in 1..=17 {
        // Few values, so that there are ties.
        let x: Vec<Vec<i64>> = (0..n).map(|_| (0..300).map(|_| random.value(3)).collect()).collect();
        for last in [false, true] {
            check_clear(Gadget::ArgMax { last }, &vec![3; n], &x, (1, &[]));
            check_clear(Gadget::ArgMaxWithValue { last }, &vec![3; n], &x, (1, &[]));
        }
        check_clear(Gadget::MaxOf, &vec![3; n], &x, (1, &[]));
    }
}

#[test]
fn smooth_functions_on_every_16_bit_input() {
    let format = Format { bits: 16, frac: 12 };
    let x = vec![range(16).collect::<Vec<_>>()];
    for gadget in [
        Gadget::Sigmoid(format, format),
        Gadget::Tanh(format, format),
        Gadget::PiecewiseSigmoid(format, format),
        Gadget::PiecewiseTanh(format, format),
    ] {
        check_clear(gadget, &[16], &x, (1, &[]));
    }
}

#[test]
fn smooth_functions_in_other_formats() {
    let mut random = Random(3);
    let formats = [
        (1, 0),
        (3, -4),
        (8, 4),
        (10, 20),
        (12, 8),
        (16, 8),
        (16, 14),
        (20, 15),
        (24, 20),
        (32, 16),
        (40, 3),
    ];
    for (bits, frac) in formats {
        let input = Format { bits, frac };
        let values = if bits <= 12 {
            range(bits as usize).collect()
        } else {
            (0..1000).map(|_| random.value(bits)).collect()
        };
        let x = vec![values];
        for (bits, frac) in
            [(2, 0), (4, 4), (8, 6), (9, 12), (16, 12), (18, -3), (24, 20), (40, 32), (50, 40)]
        {
            let output = Format { bits, frac };
            for gadget in [
                Gadget::Sigmoid(input, output),
                Gadget::Tanh(input, output),
                Gadget::PiecewiseSigmoid(input, output),
                Gadget::PiecewiseTanh(input, output),
            ] {
                check_clear(gadget, &[input.bits as usize], &x, (1, &[]));
            }
        }
    }
}

#[test]
fn public_bits_change_no_value() {
    let mut random = Random(4);
    let format = Format { bits: 9, frac: 6 };
    let others = [
        Gadget::Neg,
        Gadget::Relu,
        Gadget::Square,
        Gadget::MulLow(9),
        Gadget::MulKnown,
        Gadget::Dot,
        Gadget::Clamp(-9, 30),
        Gadget::Saturate(5),
        Gadget::MulConstant(-45),
        Gadget::Affine { factor: 11, addend: -7, shift: 3, bits: 7 },
        Gadget::Divide { frac: 4, bits: 10 },
        Gadget::Sigmoid(format, format),
        Gadget::Tanh(format, format),
    ];
    for gadget in PAIRS.into_iter().chain(others) {
        for _ in 0..200 {
            let (x, w): (Vec<i64>, Vec<i64>) = (0..3).map(|_| (random.value(9), random.value(6))).unzip();
            let words: Vec<_> = x.iter().map(|value| half_public_word(&mut random, *value, 9)).collect();
            let weights: Vec<Vec<ClearWires>> = w
                .iter()
                .map(|w| known_bits(&[*w], 6).iter().map(|bits| ClearWires::new(bits)).collect())
                .collect();
            let Ok(out) = gadget.run(&mut Clear, &words, &weights);
            let found: Vec<i64> = out.iter().map(|word| clear_values(&mut Clear, word)[0]).collect();
            assert_eq!(found, gadget.expected(&x, &w), "{gadget:?} of {words:?}");
        }
    }
}

/// A layer of three outputs over four inputs, products side by side in lanes and summed pairwise.
#[test]
fn products_move_between_lanes_with_their_carries() {
    let (x, bias) = ([-128_i64, 127, 5, -77], [1000_i64, 0, -12]);
    let w = [[3_i64, -8, 7, 0], [-1, -1, 6, 2], [-8, -8, -8, -8]];
    let mut g = Clear;
    let inputs = clear_word(&x, 8);
    let Ok(multiples) = Multiples::new(&mut g, &inputs);
    // Lane 3 t + o is the product of term t and output o.
    let terms: Vec<u32> = (0..4).flat_map(|t| [t; 3]).collect();
    let weights: Vec<i64> = (0..4).flat_map(|t| w.iter().map(move |row| row[t])).collect();
    let digits: Vec<ClearWires> = known_bits(&weights, 4).iter().map(|bits| ClearWires::new(bits)).collect();
    let x_by_lane = multiples.gather(&g, &terms);
    let Ok(products) = gadgets::mul_known_odd(&mut g, &x_by_lane, &digits);
    let halves = [products.gather(&g, &[0, 1, 2, 3, 4, 5]), products.gather(&g, &[6, 7, 8, 9, 10, 11])];
    let swapped = Pending::concat(&mut g, &[&halves[1], &halves[0]]);
    let other_half = swapped.gather(&g, &[0, 1, 2, 3, 4, 5]);
    let Ok(pairs) = halves[0].add(&mut g, &other_half);
    let (first, second) = (pairs.gather(&g, &[0, 1, 2]), pairs.gather(&g, &[3, 4, 5]));
    let Ok(sums) = first.add(&mut g, &second);
    assert_eq!(sums.lanes(), 3);
    let total = clear_word(&[x.iter().sum(); 3], 10);
    let doubled = gadgets::shift_left(&clear_word(&bias, 12), 1);
    let Ok(start) = gadgets::sub_signed(&mut g, &doubled, &total);
    let Ok(doubled) = sums.add_to(&mut g, &start, 17);
    let expected: Vec<i64> = w
        .iter()
        .zip(bias)
        .map(|(row, bias)| bias + row.iter().zip(x).map(|(w, x)| w * x).sum::<i64>())
        .collect();
    assert_eq!(clear_values(&mut g, &gadgets::shift_right(&doubled, 1)), expected);
}

#[test]
fn truncated_products_err_by_less_than_stated() {
    use garble::meaning::mul_truncated;
    let mut random = Random(4);
    for (drop, guard) in [(12u32, 3u32), (12, 0), (12, 12), (8, 2), (15, 5)] {
        let bound = 0.5 + f64::from((drop - guard).div_ceil(2) + 1) * 0.5f64.powi(guard as i32);
        let mut worst = 0f64;
        for _ in 0..200_000 {
            let (x, w) = (random.value(16), random.value(16));
            let real = (x * w) as f64 * 0.5f64.powi(drop as i32);
            let got = mul_truncated(x, w, 16, (drop, guard), 32) as f64;
            worst = worst.max((got - real).abs());
        }
        assert!(worst < bound, "{drop}, {guard}: {worst}");
        println!("columns dropped {drop}, guard columns {guard}: error {worst:.3} of at most {bound:.3}");
    }
}
