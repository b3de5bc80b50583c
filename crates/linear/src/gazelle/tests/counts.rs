//! Counts of operations equal to the paper's formulas, and to what more than it is done.

use super::*;
use crate::slots::Operations;

/// The slots of the paper's ring.
const N: usize = 2048;

fn counted(shape: &Shape, method: Method, cycle: Cycle) -> Operations {
    Product::new(shape, method, cycle).unwrap().operations().unwrap()
}

fn hybrid(rows: usize, baby: usize, fold: Fold) -> Method {
    Method::Hybrid { rows, baby, fold }
}

const fn log2(x: usize) -> u64 {
    x.trailing_zeros() as u64
}

/// Rotations, hoisted or not, and products.
fn pair(counted: Operations) -> (u64, u64) {
    (counted.key_switches(), counted.products)
}

/// The matrix-vector table: naive, input packed, diagonal, hybrid.
#[test]
fn matrix_products_cost_what_the_paper_says() {
    let cycle = Cycle::single(N);
    println!("{:<10} {:<36} {:>9} {:>9}", "", "", "rotations", "products");
    for (ni, no) in [(2048, 1), (2048, 16), (1024, 128), (1024, 16), (128, 16), (256, 256)] {
        let shape = Shape::dense(1, ni, no);
        let show = |method: Method, counted: Operations| {
            let (rotations, products) = pair(counted);
            println!(
                "{:<10} {:<36} {rotations:>9} {products:>9}",
                format!("{ni} x {no}"),
                method.to_string()
            );
            (rotations, products)
        };
        let (i, o, n) = (ni as u64, no as u64, N as u64);
        let method = Method::Naive;
        let naive = counted(&shape, method, cycle);
        assert_eq!(show(method, naive), (o * log2(ni), o));
        assert_eq!(naive.additions, o * log2(ni));
        let packed = (o * i).div_ceil(n);
        let method = hybrid(1, 1, Fold::Server);
        assert_eq!(show(method, counted(&shape, method, cycle)), (packed * log2(ni), packed));
        let method = hybrid(ni, ni, Fold::Server);
        assert_eq!(show(method, counted(&shape, method, cycle)), (i - 1, i));
        // The hybrid needs a vector's copies and one row of diagonals at least.
        let rows = ((no * ni) / N).max(1);
        let method = hybrid(rows, rows, Fold::Server);
        let found = counted(&shape, method, cycle);
        // Where outputs leave regions empty, additions go no further than a vector.
        let folds = log2(ni / rows);
        assert_eq!(show(method, found), (rows as u64 + folds - 1, rows as u64));
        if no * ni >= N {
            assert_eq!(folds, log2(N / no));
        }
        // Ours: the client adds; and giant steps.
        if rows < ni {
            let method = hybrid(rows, rows, Fold::Client);
            assert_eq!(show(method, counted(&shape, method, cycle)), (rows as u64 - 1, rows as u64));
        }
        let method = hybrid(1, 1, Fold::Client);
        assert_eq!(show(method, counted(&shape, method, cycle)), (0, packed));
        let baby = 1 << rows.trailing_zeros().div_ceil(2);
        let method = hybrid(rows, baby, Fold::Client);
        let rotations = (baby + rows / baby - 2) as u64;
        assert_eq!(show(method, counted(&shape, method, cycle)), (rotations, rows as u64));
    }
}

/// Layers of the paper's networks whose sizes are no powers of two.
#[test]
fn products_of_the_papers_networks() {
    let cycle = Cycle::single(N);
    for (ni, no, rows, folds) in [(980, 100, 64, 4), (256, 100, 16, 4), (1024, 10, 8, 7), (128, 10, 1, 7)] {
        let found = counted(&Shape::dense(1, ni, no), hybrid(rows, rows, Fold::Server), cycle);
        assert_eq!((found.hoisted, found.products, found.rotations), (rows as u64 - 1, rows as u64, folds));
    }
}

/// With two rows of slots, as ciphertexts have them, a vector as long as both is read by one rotation more than the row's.
#[test]
fn two_rows_cost_no_more() {
    for (ni, no) in [(2048, 16), (1024, 128), (1024, 16), (128, 16), (980, 100)] {
        let shape = Shape::dense(1, ni, no);
        let rows = ((no.next_power_of_two() * ni.next_power_of_two()) / N).max(1);
        let single = counted(&shape, hybrid(rows, rows, Fold::Server), Cycle::single(N));
        let cycle = Cycle { rows: 2, columns: N / 2 };
        // A region is a row at most, so that a longer vector has half the rows twice.
        let rows = if ni > N / 2 { rows / 2 } else { rows };
        let double = counted(&shape, hybrid(rows, rows, Fold::Server), cycle);
        assert!(double.key_switches() <= single.key_switches() && double.products == single.products, "{ni}");
    }
}

/// The convolution table: one channel a ciphertext, input rotation, output rotation.
#[test]
fn convolutions_cost_what_the_paper_says() {
    println!("{:<32} {:<34} {:>9} {:>9}", "", "", "rotations", "products");
    for (n, size, channels, filters, taps) in [
        (2048, 32, 64, 64, 3),
        (2048, 8, 64, 64, 3),
        (8192, 32, 64, 64, 3),
        (8192, 8, 64, 64, 3),
        (8192, 32, 16, 16, 3),
        (8192, 16, 32, 32, 3),
        (2048, 16, 128, 128, 1),
    ] {
        let (shape, cycle) = (convolution(channels, filters, [size; 2], [taps; 2]), Cycle::single(n));
        let plane = size * size;
        // Where a ciphertext has more room than channels these are repeated, and fewer steps lead to all outputs.
        let (per, f) = ((n / plane).min(channels) as u64, (taps * taps) as u64);
        let (i, o) = ((channels as u64).div_ceil(per), (filters as u64).div_ceil(per));
        let show = |name: &str, counted: Operations| {
            let (rotations, products) = pair(counted);
            println!(
                "{:<32} {name:<34} {rotations:>9} {products:>9}",
                format!("{size}x{size}, {channels}->{filters}, {taps}x{taps}, {n}")
            );
            (rotations, products)
        };
        let padded = |baby| Method::Padded { phases: Phases::Slots, baby };
        let input = counted(&shape, padded(n), cycle);
        assert_eq!(show("input rotation", input), ((per * f - 1) * i, per * f * i * o));
        // Rotations of inputs are hoisted, all of them.
        assert_eq!((input.rotations, input.hoists), (0, i));
        let output = counted(&shape, padded(plane), cycle);
        assert_eq!(show("output rotation", output), ((f - 1) * i + (per - 1) * o, per * f * i * o));
        assert_eq!((output.hoisted, output.rotations), ((f - 1) * i, (per - 1) * o));
        // With two rows the swap of rows is an output's, and input rotation needs half as many hoisted ones.
        let double = Cycle { rows: 2, columns: n / 2 };
        let input = counted(&shape, padded(n), double);
        // Where channels are repeated, every step is one within a row.
        let swaps = if n / plane > channels { (per * f - 1) * i } else { (per / 2 * f - 1) * i + o };
        assert_eq!(show("input rotation, two rows", input), (swaps, per * f * i * o));
        let output = counted(&shape, padded(plane), double);
        assert_eq!(show("output rotation, two rows", output).1, per * f * i * o);
        assert_eq!(output.key_switches(), (f - 1) * i + (per - 1) * o);
        let chosen = Product::choose(&shape, double).unwrap();
        show(&chosen.method().to_string(), chosen.operations().unwrap());
    }
}

/// The numbers that the paper's table has at N = 2048, and its successors' at 8192.
#[test]
fn rotations_by_number() {
    // The paper needs 1151 and 135 for the last: it does not repeat the channels that fill half a ciphertext.
    for (n, size, input, output) in
        [(2048, 32, 544, 288), (2048, 8, 574, 78), (8192, 32, 568, 120), (8192, 8, 575, 71)]
    {
        let shape = convolution(64, 64, [size; 2], [3, 3]);
        let rotations = |baby| {
            counted(&shape, Method::Padded { phases: Phases::Slots, baby }, Cycle::single(n)).key_switches()
        };
        assert_eq!((rotations(n), rotations(size * size)), (input, output), "{n} {size}");
    }
}

#[test]
fn one_channel_a_ciphertext() {
    let shape = convolution(3, 5, [16, 16], [3, 3]);
    let found = counted(&shape, Method::Bordered, Cycle::single(512));
    assert_eq!((found.hoisted, found.rotations, found.scalars, found.products), (8 * 3, 0, 9 * 15, 0));
}

#[test]
fn strides_compute_nothing_that_is_not_wanted() {
    let cycle = Cycle::single(1024);
    let shape = Shape { stride: [2, 2], ..convolution(16, 16, [16, 16], [3, 3]) };
    // Sixteen channels of 8 x 8 a ciphertext, four phases: 4 inputs, and each tap once with each of 16 steps of channels.
    let apart = counted(&shape, Method::Padded { phases: Phases::Ciphertexts, baby: 64 }, cycle);
    assert_eq!(apart.products, 9 * 16);
    let whole = counted(
        &convolution(16, 16, [16, 16], [3, 3]),
        Method::Padded { phases: Phases::Slots, baby: 256 },
        cycle,
    );
    assert_eq!(whole.products, 4 * 4 * 4 * 9);
    // A tap reads one phase: the others are not sent.
    let point = Shape { stride: [2, 2], pads: [0; 4], ..convolution(16, 16, [16, 16], [1, 1]) };
    let product =
        Product::new(&point, Method::Padded { phases: Phases::Ciphertexts, baby: 64 }, cycle).unwrap();
    assert_eq!((product.read().len(), product.kernel().inputs[0].ciphertexts), (1, 4));
    // One channel a filter: channels stay where they are.
    let depthwise = Shape { groups: 16, ..convolution(16, 16, [8, 8], [3, 3]) };
    let found = counted(&depthwise, Method::Padded { phases: Phases::Slots, baby: 64 }, cycle);
    assert_eq!(pair(found), (8, 9));
    // Dilation changes no count.
    let shape = convolution(4, 4, [16, 16], [3, 3]);
    let dilated = Shape { dilation: [2, 2], pads: [2; 4], ..shape.clone() };
    let method = Method::Padded { phases: Phases::Slots, baby: 256 };
    assert_eq!(counted(&shape, method, cycle), counted(&dilated, method, cycle));
}
