//! Baby and giant steps of a kernel: which split of its diagonals costs least.

use std::collections::BTreeSet;

use linear::slots::{Cycle, Diagonals, Kernel, Operations};

use super::cost::{KEY, NOMINAL, microseconds};

/// Most rotated inputs that are held at a time.
const MAX_ROTATED: usize = 400;

/// A diagonal before it is split: input ciphertext, output ciphertext, step.
type Whole = (u32, u32, u32);

/// The cheapest baby and giant steps, and the kernel's cost with them.
pub(super) fn split(
    cycle: Cycle,
    kernel: Kernel,
    diagonals: &Diagonals,
    threads: usize,
) -> Option<(Kernel, f64)> {
    // Without giant steps a baby step is the whole diagonal, but for its row.
    let all: Vec<Whole> = diagonals
        .entries()
        .iter()
        .map(|entry| (entry.input, entry.output, cycle.add(entry.baby as usize, entry.giant as usize) as u32))
        .collect();
    let half = cycle.columns / 2;
    let steps = all.iter().map(|(_, _, step)| *step as usize % cycle.columns);
    let negative = steps.filter(|step| *step > half).min();
    let mut origins = vec![0];
    origins.extend(negative.filter(|_| kernel.fold.is_none()));
    let mut babies: BTreeSet<usize> = (0..=cycle.columns.ilog2()).map(|log2| 1 << log2).collect();
    let digits = kernel.inputs.iter().chain([&kernel.output]).flat_map(|layout| &layout.axes);
    for stride in digits.flat_map(|axis| &axis.digits).map(|digit| digit.stride).filter(|s| *s > 1) {
        babies.extend([1, 2, 4, 8].map(|times| stride * times));
    }
    let mut tally = Tally::new(cycle, &all);
    let mut best: Option<(f64, usize, usize)> = None;
    for origin in origins {
        for baby in babies.iter().copied().filter(|baby| *baby <= cycle.columns) {
            let cost = tally.cost(&all, origin, baby);
            if best.is_none_or(|(least, ..)| cost < least) {
                best = Some((cost, origin, baby));
            }
        }
    }
    let (cost, origin, baby) = best?;
    let chains = if kernel.output.ciphertexts < threads { threads.clamp(1, 2) } else { 1 };
    let folds = kernel.fold.filter(|_| !kernel.by_client).map_or(0, |fold| fold.log2);
    let rotations = u64::from(folds) * kernel.output.ciphertexts as u64;
    let more = Operations { rotations, ..Operations::default() };
    let cost = cost + microseconds(&more, NOMINAL.0, NOMINAL.1, NOMINAL.1);
    Some((Kernel { origin, baby, chains, ..kernel }, cost))
}

/// Counts distinct rotations of splits. A set has a bit for each ciphertext and step: a search counts millions of diagonals,
/// dozens of times.
struct Tally {
    cycle: Cycle,
    words: usize,
    babies: Vec<u64>,
    giants: Vec<u64>,
}

impl Tally {
    fn new(cycle: Cycle, all: &[Whole]) -> Self {
        let words = cycle.slots().div_ceil(64);
        let count = |of: fn(&Whole) -> u32| all.iter().map(of).max().map_or(0, |most| most as usize + 1);
        let set = |count: usize| vec![0; count * words];
        Self { cycle, words, babies: set(count(|whole| whole.0)), giants: set(count(|whole| whole.1)) }
    }

    fn cost(&mut self, all: &[Whole], origin: usize, baby: usize) -> f64 {
        self.babies.fill(0);
        self.giants.fill(0);
        let columns = self.cycle.columns as u32;
        for (input, output, step) in all {
            let from = self.cycle.sub(*step as usize, origin);
            let low = (from as u32 % columns % baby as u32) as usize;
            let (turned, giant) = (self.cycle.add(low, origin), from - low);
            self.babies[*input as usize * self.words + turned / 64] |= 1 << (turned % 64);
            self.giants[*output as usize * self.words + giant / 64] |= 1 << (giant % 64);
        }
        // Step 0 is no rotation.
        for first in [&mut self.babies, &mut self.giants]
            .into_iter()
            .flat_map(|set| set.iter_mut().step_by(self.words))
        {
            *first &= !1;
        }
        let ones = |set: &[u64]| set.iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
        let (mut hoists, mut single) = (0, 0);
        let mut keys = vec![0; self.words];
        for input in self.babies.chunks(self.words) {
            match ones(input) {
                0 => {}
                1 => single += 1,
                _ => hoists += 1,
            }
            keys.iter_mut().zip(input).for_each(|(all, own)| *all |= own);
        }
        let (rotated, giants) = (ones(&self.babies), ones(&self.giants));
        let operations = Operations {
            rotations: giants + single,
            hoists,
            hoisted: rotated - single,
            products: all.len() as u64,
            ..Operations::default()
        };
        let crowded = if rotated > MAX_ROTATED as u64 { 1e9 } else { 0.0 };
        let keys = ones(&keys) + u64::from(giants > 0);
        microseconds(&operations, NOMINAL.0, NOMINAL.1, NOMINAL.1) + keys as f64 * KEY + crowded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinct_rotations_are_counted() {
        let cycle = Cycle::single(128);
        // Two inputs into one output: steps 0, 1, 16, 17 of the first, 3 of the second, one of them twice.
        let all = [(0, 0, 0), (0, 0, 1), (0, 0, 16), (0, 0, 17), (0, 0, 17), (1, 0, 3)];
        let expected = |rotations, hoists, hoisted, keys: u32| {
            let operations = Operations { rotations, hoists, hoisted, products: 6, ..Operations::default() };
            microseconds(&operations, NOMINAL.0, NOMINAL.1, NOMINAL.1) + f64::from(keys) * KEY
        };
        let mut tally = Tally::new(cycle, &all);
        // Babies 1 and 3, alone in their ciphertexts, and a giant step of 16.
        assert_eq!(tally.cost(&all, 0, 16), expected(3, 0, 0, 3));
        // No giant steps: three rotations of the first input, one of the second.
        assert_eq!(tally.cost(&all, 0, 128), expected(1, 1, 3, 4));
        // Giant steps alone: 1, 3, 16, 17.
        assert_eq!(tally.cost(&all, 0, 1), expected(4, 0, 0, 1));
    }
}
