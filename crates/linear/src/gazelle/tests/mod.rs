//! Equality with convolutions written out, counts, and what the client sees.

mod counts;
mod parties;

use proptest::prelude::*;

use super::*;
use crate::Error;
use crate::coefficients::Shape;
use crate::slots::{Clear, Cycle, Layer, Matrix, Pattern, Weights, apply};

/// Pseudorandom numbers of `bits` bits, with their sign.
fn numbers(count: usize, bits: u32, seed: u64) -> Vec<i64> {
    let mut state = seed | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state ^ state << 29) as i64 >> (64 - bits)
    };
    (0..count).map(|_| next()).collect()
}

/// The convolution as its definition states it.
fn reference(shape: &Shape, x: &[i64], w: &[i64]) -> Vec<i64> {
    let out = shape.output().unwrap();
    let (members, kernel) = (shape.channels / shape.groups, shape.kernel);
    let mut y = vec![0; shape.batch * shape.filters * out[0] * out[1]];
    for (image, filter) in (0..shape.batch).flat_map(|i| (0..shape.filters).map(move |f| (i, f))) {
        let group = filter / (shape.filters / shape.groups);
        for at in (0..out[0]).flat_map(|row| (0..out[1]).map(move |column| [row, column])) {
            let mut sum = 0;
            for (c, tap) in (0..members).flat_map(|c| (0..kernel[0] * kernel[1]).map(move |t| (c, t))) {
                let tap_at = [tap / kernel[1], tap % kernel[1]];
                let place = [0, 1].map(|a| {
                    (at[a] * shape.stride[a] + tap_at[a] * shape.dilation[a]).wrapping_sub(shape.pads[a])
                });
                if place[0] < shape.plane[0] && place[1] < shape.plane[1] {
                    let element =
                        shape.place((image, group * members + c), place, shape.channels, shape.plane);
                    sum += x[element] * w[(filter * members + c) * kernel[0] * kernel[1] + tap];
                }
            }
            y[shape.place((image, filter), at, shape.filters, out)] = sum;
        }
    }
    y
}

fn wide(x: &[i64]) -> Vec<i128> {
    x.iter().map(|x| i128::from(*x)).collect()
}

/// Runs a product in the clear; what was not sent is junk, and so, where factors are not numbers, is what holds no element.
fn in_clear(product: &Product, x: &[i64], w: &[i64]) -> Vec<i64> {
    let (kernel, cycle) = (product.kernel(), product.cycle());
    let clear = Clear::new(cycle, (1 << 61) - 1).unwrap();
    let filters = Filters::new(product.shape(), |index| w[index]).unwrap();
    let layer = Layer { matrices: vec![&filters], bias: &[] };
    let weights = Weights::encode(&clear, kernel, product.diagonals(), &layer, 1).unwrap();
    let junk = i128::from(kernel.factors == crate::slots::Factors::Slots) * 1_000_003;
    let packed = kernel.inputs[0].pack(cycle, &wide(x));
    let taken = kernel.inputs[0].pack(cycle, &vec![1; x.len()]);
    let vectors: Vec<_> = packed
        .iter()
        .zip(taken)
        .enumerate()
        .map(|(index, (slots, taken))| {
            let sent = product.read().contains(&index);
            let slot = |(x, taken): (&i128, &i128)| if *taken == 1 && sent { *x } else { junk };
            clear.vector(&slots.iter().zip(&taken).map(slot).collect::<Vec<_>>(), 1).unwrap()
        })
        .collect();
    let out = apply(&clear, kernel, product.diagonals(), &weights, &vectors.iter().collect::<Vec<_>>());
    let slots: Vec<Vec<i128>> = out.unwrap().into_iter().map(|v| v.slots).collect();
    kernel.output.unpack(cycle, &slots).into_iter().map(|x| x as i64).collect()
}

prop_compose! {
    fn shapes()(
        batch in 1usize..3, group in (1usize..5, 1usize..5), groups in 1usize..4,
        plane in (1usize..9, 1usize..9), kernel in (1usize..4, 1usize..4), stride in (1usize..4, 1usize..4),
        dilation in (1usize..3, 1usize..3), pads in proptest::array::uniform4(0usize..3), channels_last: bool,
    ) -> Shape {
        Shape {
            batch, channels: group.0 * groups, plane: [plane.0, plane.1], filters: group.1 * groups, groups,
            kernel: [kernel.0, kernel.1], stride: [stride.0, stride.1], dilation: [dilation.0, dilation.1],
            pads, channels_last,
        }
    }
}

prop_compose! {
    fn cycles()(rows in 1usize..3, columns in 4u32..9) -> Cycle {
        Cycle { rows, columns: 1 << columns }
    }
}

/// Whether every output reads some element: what reads none has no place among products.
fn reads(shape: &Shape) -> bool {
    let output = shape.output().unwrap();
    let filters = Filters::new(shape, |_| 1).unwrap();
    (0..shape.batch * shape.filters * output[0] * output[1]).all(|output| {
        let mut some = false;
        filters.visit_row(output, &mut |_, _| some = true);
        some
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn every_method_gives_the_convolution(shape in shapes(), cycle in cycles()) {
        prop_assume!(shape.output().is_ok_and(|_| reads(&shape)));
        let (x, w) = (numbers(shape.inputs(), 20, 5), numbers(shape.weights(), 8, 6));
        let expected = reference(&shape, &x, &w);
        let mut fitting = 0;
        for method in Product::methods(&shape, cycle) {
            let Ok(product) = Product::new(&shape, method, cycle) else { continue };
            prop_assert_eq!(in_clear(&product, &x, &w), expected.clone(), "{:?}", method);
            fitting += 1;
        }
        // All but planes whose rows exceed those of the slots, or phases that exceed the ciphertext.
        let fits = [0, 1].iter().all(|axis| shape.plane[*axis] + shape.pads[*axis] + shape.pads[axis + 2] < 16);
        prop_assert!(fitting > 0 || !fits);
    }

    #[test]
    fn matrix_products_by_every_method(
        rows in 1usize..3, inputs in 1usize..80, outputs in 1usize..40, cycle in cycles(),
    ) {
        let shape = Shape::dense(rows, inputs, outputs);
        let (x, w) = (numbers(shape.inputs(), 20, 7), numbers(shape.weights(), 8, 8));
        let expected = reference(&shape, &x, &w);
        let mut fitting = 0;
        for method in Product::methods(&shape, cycle) {
            let product = Product::new(&shape, method, cycle).unwrap();
            prop_assert_eq!(in_clear(&product, &x, &w), expected.clone(), "{:?}", method);
            fitting += 1;
        }
        prop_assert!(fitting > 1);
    }

    #[test]
    fn the_choice_is_the_cheapest(shape in shapes(), cycle in cycles()) {
        prop_assume!(shape.output().is_ok_and(|_| reads(&shape)));
        let Ok(chosen) = Product::choose(&shape, cycle) else { return Ok(()) };
        let weight = chosen.cost().unwrap().weight();
        for method in Product::methods(&shape, cycle) {
            if let Ok(other) = Product::new(&shape, method, cycle) {
                prop_assert!(weight <= other.cost().unwrap().weight());
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let cycle = Cycle { rows: 2, columns: 64 };
    let shape = Shape { plane: [4, 80], ..convolution(3, 4, [4, 80], [3, 3]) };
    assert!(Product::choose(&shape, cycle).is_err());
    let shape = convolution(3, 4, [4, 8], [3, 3]);
    let new = |shape: &Shape, method: Method| Product::new(shape, method, cycle);
    assert!(new(&shape, Method::Padded { phases: Phases::Slots, baby: 0 }).is_err());
    assert!(new(&shape, Method::Naive).is_err());
    assert!(new(&Shape { kernel: [0, 1], ..shape.clone() }, Method::Bordered).is_err());
    assert!(Product::new(&shape, Method::Bordered, Cycle { rows: 3, columns: 64 }).is_err());
    let dense = Shape::dense(1, 16, 4);
    for rows in [0, 3, 32, usize::MAX] {
        let method = Method::Hybrid { rows, baby: 1, fold: Fold::Server };
        assert!(matches!(new(&dense, method), Err(Error::Layout(_))));
    }
    assert!(new(&dense, Method::Hybrid { rows: 2, baby: 0, fold: Fold::Server }).is_err());
    assert!(new(&dense, Method::Hybrid { rows: 16, baby: 16, fold: Fold::Client }).is_err());
}

/// A convolution of stride 1 with padding that keeps the plane.
fn convolution(channels: usize, filters: usize, plane: [usize; 2], kernel: [usize; 2]) -> Shape {
    let pads = [kernel[0] / 2, kernel[1] / 2];
    Shape {
        batch: 1,
        channels,
        plane,
        filters,
        groups: 1,
        kernel,
        stride: [1, 1],
        dilation: [1, 1],
        pads: [pads[0], pads[1], pads[0], pads[1]],
        channels_last: false,
    }
}

#[test]
fn the_pattern_is_that_of_the_weights() {
    let shape = Shape { groups: 2, stride: [2, 1], ..convolution(4, 6, [5, 6], [3, 2]) };
    let filters = Filters::new(&shape, |index| index as i64 + 1).unwrap();
    let outputs = 6 * shape.output().unwrap().iter().product::<usize>();
    let mut rows = vec![Vec::new(); outputs];
    for (output, row) in rows.iter_mut().enumerate() {
        filters.visit_row(output, &mut |column, value| {
            assert!(value > 0);
            row.push(column as u32);
        });
    }
    let taken = Pattern::Rows { inputs: shape.inputs(), rows };
    assert!(taken.validate().is_ok() && taken.count() > 0);
}
