//! LoLa's products (section 4.2.2): results, and counts equal to the paper's formulas.

use super::*;

const SLOTS: usize = 256;
const CYCLE: Cycle = Cycle::single(SLOTS);
const LOG: u64 = 8;

/// Every output in a ciphertext of its own, the whole cycle folded: it then stands in all slots.
fn sparse_by_fold(input: Layout, rows: usize, cycle: Cycle) -> Kernel {
    let log2 = cycle.columns.trailing_zeros();
    Kernel {
        fold: Some(Doubling { stride: 1, log2 }),
        direct: 0,
        ..Kernel::new(input, Layout::sparse(rows, cycle))
    }
}

/// `2^d >= columns`; rows side by side, each summed within its copy of the input.
fn stacked_rows(columns: usize, rows: usize, cycle: Cycle) -> Kernel {
    let period = columns.next_power_of_two();
    let each = cycle.slots() / period;
    let ciphertexts = rows.div_ceil(each);
    let digits = vec![Digit::ciphertexts(ciphertexts), Digit::slots(each, period)];
    let output = Layout::new(ciphertexts, vec![Axis { size: rows, digits }]);
    Kernel {
        fold: Some(Doubling { stride: 1, log2: period.trailing_zeros() }),
        ..Kernel::new(Layout::stacked(columns, cycle), output)
    }
}

#[test]
fn dense_vector_row_major() {
    let (columns, rows) = (200, 5);
    let kernel = sparse_by_fold(Layout::dense(columns, CYCLE), rows, CYCLE);
    let counted = Case::random(CYCLE, kernel, Pattern::full(columns, rows)).clear();
    // r dot products: one multiplication and log n rotations and additions each.
    let r = rows as u64;
    assert_eq!((counted.products, counted.rotations, counted.additions), (r, r * LOG, r * LOG));
    assert_eq!((counted.hoisted, counted.scalars, counted.squares), (0, 0, 0));
}

#[test]
fn sparse_vector_column_major() {
    let (columns, rows) = (7, 200);
    let kernel = Kernel::new(Layout::sparse(columns, CYCLE), Layout::dense(rows, CYCLE));
    let counted = Case::random(CYCLE, kernel, Pattern::full(columns, rows)).clear();
    // k multiplications and additions, no rotation.
    let k = columns as u64;
    assert_eq!((counted.products, counted.additions, counted.key_switches()), (k, k - 1, 0));
}

#[test]
fn stacked_vector_row_major() {
    let (columns, rows) = (30, 20);
    let kernel = stacked_rows(columns, rows, CYCLE);
    assert_eq!(kernel.output.ciphertexts, 3);
    let counted = Case::random(CYCLE, kernel, Pattern::full(columns, rows)).clear();
    // r k / n rounds of one multiplication and d rotations and additions, by 1, 2, .. 2^(d-1). (The paper counts
    // d - 1, but lists d of them.)
    let (rounds, d) = (3, 5);
    assert_eq!((counted.products, counted.rotations, counted.additions), (rounds, rounds * d, rounds * d));
}

#[test]
fn interleaved_vector_row_major() {
    let (columns, rows) = (100, 4);
    let input = Layout::interleaved(columns, (13, 1), (8, 32));
    let kernel = sparse_by_fold(input, rows, CYCLE);
    let counted = Case::random(CYCLE, kernel, Pattern::full(columns, rows)).clear();
    let r = rows as u64;
    assert_eq!((counted.products, counted.rotations), (r, r * LOG));
}

/// Weights that depend on map and kernel offset alone.
struct Maps {
    offsets: usize,
    positions: usize,
}

impl Matrix for Maps {
    fn visit_row(&self, output: usize, visit: &mut dyn FnMut(usize, i128)) {
        let (map, position) = (output / self.positions, output % self.positions);
        (0..self.offsets).for_each(|o| visit(o * self.positions + position, (map * 31 + o * 7) as i128 - 40));
    }
}

fn convolution(offsets: usize, positions: usize, maps: usize) -> (Pattern, Box<Maps>) {
    let relations =
        vec![Relation::Full { inputs: offsets, outputs: maps }, Relation::Same { size: positions }];
    (Pattern::Axes(relations), Box::new(Maps { offsets, positions }))
}

#[test]
fn convolution_vector_row_major() {
    let (offsets, positions, maps) = (9, 100, 3);
    let (pattern, matrix) = convolution(offsets, positions, maps);
    let output = Layout::convolution(maps, positions);
    let kernel =
        Kernel { factors: Factors::Scalars, ..Kernel::new(Layout::convolution(offsets, positions), output) };
    let case = Case { cycle: CYCLE, kernel, matrix, pattern, bias: elements(maps * positions, 9) };
    let counted = case.clear();
    // r multiplications by scalars for each map.
    let (r, m) = (offsets as u64, maps as u64);
    assert_eq!((counted.scalars, counted.additions), (r * m, (r - 1) * m));
    assert_eq!((counted.products, counted.key_switches()), (0, 0));
}

#[test]
fn maps_combined_and_stacked() {
    // Five maps become one dense vector by 4 rotations and additions; 2^c copies by c more of each.
    let (maps, positions) = (5, 12);
    let input = Layout::convolution(maps, positions);
    let axes = vec![Axis::plain(maps, positions), Axis::plain(positions, 1)];
    let output = Layout { copies: vec![Digit::slots(4, 64)], ..Layout::new(1, axes) };
    let kernel = Kernel {
        factors: Factors::Ones,
        direct: 0,
        replicate: vec![Doubling { stride: 64, log2: 2 }],
        ..Kernel::new(input, output)
    };
    let pattern = Pattern::Axes(vec![Relation::Same { size: maps }, Relation::Same { size: positions }]);
    let matrix = Box::new(Ones(pattern.clone()));
    let mut case = Case { cycle: CYCLE, kernel, matrix, pattern, bias: Vec::new() };
    let counted = case.clear();
    assert_eq!(counted.key_switches(), 4 + 2);
    assert_eq!((counted.additions, counted.products, counted.scalars), (4 + 2, 0, 0));
    // With one giant step for each map there are as many rotations, but one key.
    case.kernel.baby = 1;
    assert_eq!(case.clear().rotations, 4 + 2);
    let steps: Vec<usize> = case.diagonals().steps(CYCLE, &case.kernel).into_iter().collect();
    // Copies are made by -64 and -128, maps gathered by -12.
    assert_eq!(steps, [128, 192, 244]);
}

#[test]
fn all_of_them_on_ciphertexts() {
    let parameters = toy();
    let cycle = cycle_of(&parameters).unwrap();
    let full = Pattern::full;
    let run = |kernel: Kernel, pattern: Pattern| {
        let case = Case::random(cycle, kernel, pattern);
        case.clear();
        case.encrypted(&parameters);
    };
    run(Kernel::new(Layout::sparse(3, cycle), Layout::dense(100, cycle)), full(3, 100));
    run(stacked_rows(30, 10, Cycle::single(128)), full(30, 10));
    let one_row = Layout { copies: vec![Digit::slots(128, 1)], ..Layout::sparse(3, cycle) };
    let dense = sparse_by_fold(Layout::dense(100, cycle), 3, cycle);
    run(Kernel { output: one_row, ..dense }, full(100, 3));
    let (pattern, matrix) = convolution(9, 100, 3);
    let (input, output) = (Layout::convolution(9, 100), Layout::convolution(3, 100));
    let kernel = Kernel { factors: Factors::Scalars, ..Kernel::new(input, output) };
    Case { cycle, kernel, matrix, pattern, bias: elements(300, 9) }.encrypted(&parameters);

    let parameters = generalised();
    let cycle = cycle_of(&parameters).unwrap();
    let case = Case::random(cycle, stacked_rows(15, 10, cycle), full(15, 10));
    case.encrypted(&parameters);
}
