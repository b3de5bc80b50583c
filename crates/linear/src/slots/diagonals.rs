//! The diagonals of a kernel on a pattern: what is multiplied, in which order.

use std::collections::BTreeSet;

use crate::error::Error;
use crate::slots::cycle::Cycle;
use crate::slots::kernel::{Cell, Kernel};
use crate::slots::layout::Place;
use crate::slots::pattern::{Pattern, Relation};

/// Most diagonals of a kernel.
pub const MAX_DIAGONALS: usize = 1 << 22;

/// One product: a rotated input into the sum of a giant step of an output ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagonal {
    /// Output ciphertext.
    pub output: u32,
    /// Giant step, applied to the sum.
    pub giant: u32,
    /// Input ciphertext; those of several operands are numbered through.
    pub input: u32,
    /// Baby step, origin included, applied to the input.
    pub baby: u32,
}

/// The diagonals of a kernel, sorted by output ciphertext, then by giant step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagonals {
    entries: Vec<Diagonal>,
}

/// Ciphertexts and step of a pair, before folds and copies.
type Pair = (u32, u32, u32);

impl Diagonals {
    /// The diagonals that patterns, one for each operand of the kernel, need.
    ///
    /// # Errors
    /// If kernel, layouts and patterns do not fit, or there are more than [`MAX_DIAGONALS`].
    pub fn new(cycle: Cycle, kernel: &Kernel, patterns: &[Pattern]) -> Result<Self, Error> {
        if patterns.len() != kernel.inputs.len() {
            return Err(Error::layout("a kernel's operands and patterns differ in number"));
        }
        let mut entries = BTreeSet::new();
        let mut first = 0;
        for (term, pattern) in patterns.iter().enumerate() {
            let input = &kernel.inputs[term];
            if pattern.inputs() != input.elements() || pattern.outputs() != kernel.output.elements() {
                return Err(Error::layout("a pattern and its layouts differ in size"));
            }
            let copies = kernel.input_copies(cycle, term);
            for (from, to, step) in pairs(cycle, kernel, term, pattern)? {
                let cell = kernel.cell(cycle, &copies, step as usize);
                let cell = cell.ok_or_else(|| Error::layout("a fold that is too short"))?;
                entries.insert(diagonal(cycle, kernel, cell, first + from as usize, to));
                if entries.len() > MAX_DIAGONALS {
                    return Err(Error::layout("too many diagonals"));
                }
            }
            first += input.ciphertexts;
        }
        Ok(Self { entries: entries.into_iter().collect() })
    }

    /// The diagonals in order.
    pub fn entries(&self) -> &[Diagonal] {
        &self.entries
    }

    /// Ciphertexts that the kernel holds while it works: rotated inputs and sums.
    pub fn working_set(&self) -> usize {
        self.rotated().len() + self.groups().len()
    }

    /// The index of a diagonal.
    pub(crate) fn find(&self, diagonal: &Diagonal) -> Option<usize> {
        self.entries.binary_search(diagonal).ok()
    }

    /// Ranges of the entries that share output ciphertext and giant step.
    pub(crate) fn groups(&self) -> Vec<&[Diagonal]> {
        self.entries.chunk_by(|a, b| (a.output, a.giant) == (b.output, b.giant)).collect()
    }

    /// The rotated inputs that are needed: input ciphertext and baby step.
    pub(crate) fn rotated(&self) -> BTreeSet<(u32, u32)> {
        self.entries.iter().map(|entry| (entry.input, entry.baby)).collect()
    }

    /// The rotations that the kernel performs: for each there must be a key.
    pub fn steps(&self, cycle: Cycle, kernel: &Kernel) -> BTreeSet<usize> {
        let [before, after] = self.steps_around_products(cycle, kernel);
        before.union(&after).copied().collect()
    }

    /// The rotations of inputs, and those of sums of products, which may have fewer limbs by then.
    pub fn steps_around_products(&self, cycle: Cycle, kernel: &Kernel) -> [BTreeSet<usize>; 2] {
        let mut before: BTreeSet<usize> = self.entries.iter().map(|entry| entry.baby as usize).collect();
        before.remove(&0);
        let mut after = BTreeSet::new();
        for output in self.entries.chunk_by(|a, b| a.output == b.output) {
            let giants = output.iter().map(|entry| entry.giant as usize).collect();
            after.extend(kernel.steps_of_sums(cycle, &giants));
        }
        [before, after]
    }
}

/// The diagonal of a cell.
pub(crate) fn diagonal(cycle: Cycle, kernel: &Kernel, cell: Cell, input: usize, output: u32) -> Diagonal {
    Diagonal {
        output,
        giant: cell.giant as u32,
        input: (input + cell.ciphertext) as u32,
        baby: cycle.add(cell.baby, kernel.origin) as u32,
    }
}

/// The distinct pairs of ciphertexts and steps of a pattern.
fn pairs(cycle: Cycle, kernel: &Kernel, term: usize, pattern: &Pattern) -> Result<Vec<Pair>, Error> {
    let (input, output) = (&kernel.inputs[term], &kernel.output);
    let base = match pattern {
        Pattern::Axes(axes)
            if same_axes(axes.iter().map(Relation::inputs), &input.sizes())
                && same_axes(axes.iter().map(Relation::outputs), &output.sizes()) =>
        {
            let start = cycle.sub(input.offset, output.offset) as u32;
            let mut found = vec![(0, 0, start)];
            for (axis, relation) in axes.iter().enumerate() {
                let places = (input.axis_places(axis, cycle), output.axis_places(axis, cycle));
                found = sum(cycle, &found, &axis_pairs(cycle, relation, &places.0, &places.1))?;
            }
            found
        }
        _ => element_pairs(cycle, pattern, &input.places(cycle), &output.places(cycle)),
    };
    // Partial sums of an input are addends of their own; copies of an output are outputs of their own.
    let partials = input
        .partial_steps(cycle)
        .iter()
        .map(|p| (p.ciphertext as u32, 0, p.slot as u32))
        .collect::<Vec<_>>();
    let copies = kernel.direct_copies(cycle);
    let copies: Vec<Pair> =
        copies.iter().map(|c| (0, c.ciphertext as u32, cycle.neg(c.slot) as u32)).collect();
    sum(cycle, &sum(cycle, &base, &partials)?, &copies)
}

/// Whether a layout's axes are those of a pattern, but for axes of one index at the end.
fn same_axes(pattern: impl Iterator<Item = usize>, layout: &[usize]) -> bool {
    let pattern: Vec<usize> = pattern.collect();
    let common = pattern.len().min(layout.len());
    let mut rest = pattern[common..].iter().chain(&layout[common..]);
    pattern[..common] == layout[..common] && rest.all(|size| *size == 1)
}

fn distinct(mut pairs: Vec<Pair>) -> Vec<Pair> {
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

fn axis_pairs(cycle: Cycle, relation: &Relation, inputs: &[Place], outputs: &[Place]) -> Vec<Pair> {
    /// Pairs that are gathered before repetitions are removed: many outputs have the same.
    const GATHERED: usize = 1 << 16;
    let (mut found, mut limit) = (Vec::new(), GATHERED);
    for (output, to) in outputs.iter().enumerate() {
        if found.len() > limit {
            found = distinct(found);
            limit = 2 * found.len() + GATHERED;
        }
        found.extend(relation.row(output).into_iter().map(|input| {
            let from = inputs[input];
            (from.ciphertext as u32, to.ciphertext as u32, cycle.sub(from.slot, to.slot) as u32)
        }));
    }
    distinct(found)
}

fn element_pairs(cycle: Cycle, pattern: &Pattern, inputs: &[Place], outputs: &[Place]) -> Vec<Pair> {
    let mut found = BTreeSet::new();
    for (output, to) in outputs.iter().enumerate() {
        pattern.visit_row(output, &mut |input| {
            let from = inputs[input];
            let step = cycle.sub(from.slot, to.slot) as u32;
            found.insert((from.ciphertext as u32, to.ciphertext as u32, step));
        });
    }
    found.into_iter().collect()
}

/// All sums of two sets of pairs.
fn sum(cycle: Cycle, a: &[Pair], b: &[Pair]) -> Result<Vec<Pair>, Error> {
    if let [(0, 0, 0)] = b {
        return Ok(a.to_vec());
    }
    // Few of them are the same.
    if a.len().saturating_mul(b.len()) > 16 * MAX_DIAGONALS {
        return Err(Error::layout("too many diagonals"));
    }
    let add = |a: &Pair, b: &Pair| (a.0 + b.0, a.1 + b.1, cycle.add(a.2 as usize, b.2 as usize) as u32);
    Ok(distinct(a.iter().flat_map(|a| b.iter().map(move |b| add(a, b))).collect()))
}
