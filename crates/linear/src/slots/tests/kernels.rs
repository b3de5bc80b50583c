//! The products beyond the paper: hybrid diagonals, convolutions between packed layouts, several operands.

use super::*;

/// A fully connected layer: `rows` outputs, stacked for free by a fold over the whole cycle.
fn hybrid(cycle: Cycle, input: Layout, rows: usize, baby: usize) -> Kernel {
    let stride = rows.next_power_of_two();
    let parts = cycle.columns / stride;
    let output = Layout { copies: vec![Digit::slots(parts, stride)], ..Layout::dense(rows, cycle) };
    Kernel {
        fold: Some(Doubling { stride, log2: parts.trailing_zeros() }),
        direct: 0,
        baby,
        ..Kernel::new(input, output)
    }
}

#[test]
fn hybrid_diagonals_with_baby_steps() {
    let cycle = Cycle::single(256);
    for baby in [1, 3, 4, 16] {
        let kernel = hybrid(cycle, Layout::dense(200, cycle), 13, baby);
        let case = Case::random(cycle, kernel, Pattern::full(200, 13));
        let counted = case.clear();
        let baby = baby as u64;
        let giants = 16u64.div_ceil(baby);
        assert_eq!((counted.products, counted.hoisted + u64::from(baby == 2)), (16, baby - 1));
        assert_eq!(counted.rotations, giants - 1 + 4);
        // Babies, one giant step, and the fold.
        let keys = case.diagonals().steps(cycle, &case.kernel).len() as u64;
        assert!(keys <= baby - 1 + 1 + 4);
    }
}

#[test]
fn a_shifted_copy_halves_the_diagonals() {
    let cycle = Cycle::single(256);
    // 100 inputs at 0 and again at 128 + 8: with 16 rows, half of the diagonals start from the second copy.
    let input = Layout { copies: vec![Digit::slots(2, 136)], ..Layout::dense(100, cycle) };
    let kernel = hybrid(cycle, input, 16, 4);
    assert_eq!(Case::random(cycle, kernel, Pattern::full(100, 16)).clear().products, 8);
}

#[test]
fn the_client_adds_the_last_fold() {
    let cycle = Cycle::single(64);
    let mut kernel = hybrid(cycle, Layout::dense(64, cycle), 4, 2);
    kernel.by_client = true;
    kernel.output = Layout { partials: vec![Digit::slots(16, 4)], ..Layout::dense(4, cycle) };
    let counted = Case::random(cycle, kernel, Pattern::full(64, 4)).clear();
    assert_eq!((counted.products, counted.key_switches()), (4, 2));
    // A stacked input leaves a single product.
    let input = Layout::stacked(16, cycle);
    let axis = Axis::plain(4, 16);
    let output = Layout { partials: vec![Digit::slots(16, 1)], ..Layout::new(1, vec![axis]) };
    let fold = Some(Doubling { stride: 1, log2: 4 });
    let kernel = Kernel { fold, by_client: true, ..Kernel::new(input, output) };
    let counted = Case::random(cycle, kernel, Pattern::full(16, 4)).clear();
    assert_eq!((counted.products, counted.key_switches()), (1, 0));
}

/// A convolution with stride 2 between images whose two phases of each axis lie side by side.
fn phased() -> (Kernel, Pattern) {
    let window = Relation::Window { inputs: 8, outputs: 3, taps: 4, stride: 2, dilation: 1, pad: 0 };
    let pattern = Pattern::Axes(vec![Relation::Full { inputs: 3, outputs: 5 }, window, window]);
    let halves = |phase: usize, stride: usize| Axis {
        size: 8,
        digits: vec![Digit::slots(4, stride), Digit::slots(2, phase)],
    };
    let input = Layout::new(1, vec![Axis::plain(3, 64), halves(32, 4), halves(16, 1)]);
    let channels = Axis { size: 5, digits: vec![Digit::ciphertexts(2), Digit::slots(4, 64)] };
    let output = Layout::new(2, vec![channels, Axis::plain(3, 4), Axis::plain(3, 1)]);
    (Kernel { baby: 64, chains: 2, ..Kernel::new(input, output) }, pattern)
}

#[test]
fn strided_convolutions_of_phases() {
    let cycle = Cycle::single(256);
    let (kernel, pattern) = phased();
    let case = Case::random(cycle, kernel, pattern);
    let counted = case.clear();
    // 16 taps; channel differences -3 .. 2 and, for the last one, 0 .. 2.
    assert_eq!(counted.products, 16 * (4 + 3));
    assert_eq!((counted.hoists, counted.hoisted), (1, 15));
}

#[test]
fn on_ciphertexts_with_two_rows() {
    let parameters = toy();
    let cycle = cycle_of(&parameters).unwrap();
    let kernel = hybrid(cycle, Layout::dense(250, cycle), 13, 4);
    // With two rows a fold runs over one of them, and the row is a giant step.
    let case = Case::random(cycle, kernel, Pattern::full(250, 13));
    case.clear();
    case.encrypted(&parameters);
    let (kernel, pattern) = phased();
    let case = Case::random(cycle, kernel, pattern);
    case.clear();
    case.encrypted(&parameters);
}

#[test]
fn on_ciphertexts_with_large_slots() {
    let parameters = generalised();
    let cycle = cycle_of(&parameters).unwrap();
    let kernel = hybrid(cycle, Layout::dense(60, cycle), 6, 4);
    Case::random(cycle, kernel, Pattern::full(60, 6)).encrypted(&parameters);
}

#[test]
fn several_operands_and_partial_sums() {
    let cycle = Cycle::single(64);
    let clear = Clear::new(cycle, (1 << 61) - 1).unwrap();
    let patterns = [Pattern::full(10, 6), Pattern::identity(6)];
    // The second operand's elements are sums of two slots.
    let second = Layout { partials: vec![Digit::slots(2, 32)], ..Layout::dense(6, cycle) };
    let kernel = Kernel {
        inputs: vec![Layout::dense(10, cycle), second],
        baby: 4,
        ..Kernel::new(Layout::dense(10, cycle), Layout::dense(6, cycle))
    };
    kernel.validate(cycle).unwrap();
    let diagonals = Diagonals::new(cycle, &kernel, &patterns).unwrap();
    let random = Random { pattern: patterns[0].clone(), bound: 9 };
    let identity = Ones(patterns[1].clone());
    let layer = Layer { matrices: vec![&random, &identity], bias: &[] };
    let weights = Weights::encode(&clear, &kernel, &diagonals, &layer, 1).unwrap();
    let (x, y) = (elements(10, 9), elements(6, 100));
    let mut halves = vec![5; 64];
    y.iter().enumerate().for_each(|(i, y)| (halves[i], halves[i + 32]) = (*y - 1000, 1000));
    let inputs = [clear.vector(&x, 1).unwrap(), clear.vector(&halves, 1).unwrap()];
    let out = apply(&clear, &kernel, &diagonals, &weights, &[&inputs[0], &inputs[1]]).unwrap();
    assert_eq!(out[0].slots[..6], product(&random, 6, &x, &y));
}

#[test]
fn elements_under_another_shape() {
    // The input is laid out as channels x height x width, the pattern sees a flat vector.
    let cycle = Cycle::single(64);
    let input = Layout::new(1, vec![Axis::plain(3, 16), Axis::plain(2, 8), Axis::plain(2, 1)]);
    let kernel = hybrid(cycle, input, 4, 2);
    Case::random(cycle, kernel, Pattern::full(12, 4)).clear();
}

#[test]
fn unsound_kernels_are_refused() {
    let cycle = Cycle::single(64);
    let clear = Clear::new(cycle, 65537).unwrap();
    let ones = Ones(Pattern::full(16, 4));
    let encode = |kernel: &Kernel| {
        kernel.validate(cycle)?;
        let diagonals = Diagonals::new(cycle, kernel, &[Pattern::full(16, 4)])?;
        let layer = Layer { matrices: vec![&ones], bias: &[] };
        Weights::encode(&clear, kernel, &diagonals, &layer, 1).map(drop)
    };
    let good = hybrid(cycle, Layout::dense(16, cycle), 4, 2);
    assert!(encode(&good).is_ok());
    // A fold of stride 2 adds outputs to each other; one of half the length misses inputs or copies.
    let bad = |change: &dyn Fn(&mut Kernel)| {
        let mut kernel = good.clone();
        change(&mut kernel);
        assert!(encode(&kernel).is_err(), "{kernel:?}");
    };
    bad(&|k| k.fold = Some(Doubling { stride: 2, log2: 5 }));
    bad(&|k| k.fold = Some(Doubling { stride: 4, log2: 1 }));
    bad(&|k| k.fold = Some(Doubling { stride: 4, log2: 60 }));
    bad(&|k| k.replicate = vec![Doubling { stride: 1, log2: 1 }]);
    bad(&|k| k.by_client = true);
    bad(&|k| k.baby = 0);
    bad(&|k| k.origin = 64);
    bad(&|k| k.inputs.clear());
    bad(&|k| k.direct = 2);
    // Weights that differ are no scalars.
    let random = Random { pattern: Pattern::full(16, 4), bound: 9 };
    for factors in [Factors::Scalars, Factors::Ones] {
        let kernel = Kernel { factors, ..good.clone() };
        let diagonals = Diagonals::new(cycle, &kernel, core::slice::from_ref(&random.pattern)).unwrap();
        let layer = Layer { matrices: vec![&random], bias: &[] };
        assert!(matches!(Weights::encode(&clear, &kernel, &diagonals, &layer, 1), Err(Error::NoScalar)));
    }
}
