//! A matrix-vector product between two layouts.
//!
//! Multiplying by a matrix means bringing each input element next to each weight that it meets. A rotation by `d` brings slot
//! `u + d` to slot `u`, so every pair of an output's slot `u` and an input's slot `v` belongs to the *diagonal* `d = v - u`
//! (Halevi and Shoup's method, for any matrix and any two layouts, between any numbers of ciphertexts), and the product is
//! the sum over diagonals of weights times rotated inputs. Three things make it cheap:
//!
//! - **Folding** (the hybrid method of GAZELLE, USENIX Security 2018, section 4): with a fold of stride `s` and `F = 2^l`
//!   parts an output is computed in F slots, `s` apart, that are added at the end by `l` rotations. Diagonals that
//!   differ by less than `F s` in multiples of `s` become one. If `F s` is the whole cycle, the sum also
//!   stands in all F slots: the output is stacked for free. The last layer leaves the adding to the client.
//! - **Copies** of the input: the diagonal of a pair may start from any copy, and the one that needs the fewest is taken.
//! - **Baby steps and giant steps**: a diagonal is `d = origin + giant + baby`; inputs are rotated by the babies (decomposed once,
//!   hoisted), sums by the giants. Giants are added up from the far end by Horner's rule, which asks for one rotation key where steps are regular.
//!
//! LoLa's products (section 4.2.2) are all this kernel: dense x row major is a fold of stride 1 over the whole cycle into a sparse
//! output; stacked x row major a fold of stride 1 over a copy; sparse x column major and convolution x row major have
//! diagonal 0 alone, the latter with the same weight in all slots, a scalar.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::slots::cycle::Cycle;
use crate::slots::layout::{Digit, Layout, Place, sums};

/// Slots that are added: `2^log2` of them, `stride` apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Doubling {
    /// Distance.
    pub stride: usize,
    /// The base-2 logarithm of their number.
    pub log2: u32,
}

/// The kind of the factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Factors {
    /// A vector of slots for each diagonal.
    Slots,
    /// One number for each diagonal: all weights of a diagonal are equal by the layer's structure, as those of
    /// a convolution on a patch matrix are. Slots outside the output then hold something too.
    Scalars,
    /// The number one: elements are moved only.
    Ones,
}

/// A product's public description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// Layouts of the operands: one, or several whose products are summed.
    pub inputs: Vec<Layout>,
    /// Layout of the result. Its copies come, in this order, from: diagonals of their own (`direct` of them), replication, the fold.
    pub output: Layout,
    /// How many of the output's copy digits are computed by diagonals.
    pub direct: usize,
    /// Slots whose sum an output is.
    pub fold: Option<Doubling>,
    /// Whether the client adds the fold: the output's partials are then its digits.
    pub by_client: bool,
    /// Copies made at the end by rotating and adding; what is not an output must be zero by then.
    pub replicate: Vec<Doubling>,
    /// Baby steps are below this.
    pub baby: usize,
    /// The step at which baby steps begin.
    pub origin: usize,
    /// The factors.
    pub factors: Factors,
    /// Independent sums of giant steps, for as many cores; each beyond the first costs a key.
    pub chains: usize,
}

/// A diagonal: its reduced step, split, and the part of the fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cell {
    /// Multiple of the baby modulus, plus the row.
    pub giant: usize,
    /// Baby step, without the origin.
    pub baby: usize,
    /// Which part of the fold.
    pub part: usize,
    /// Which ciphertext the copy is in, from the element's own.
    pub ciphertext: usize,
}

impl Kernel {
    /// A kernel without folds and with baby steps only.
    pub fn new(input: Layout, output: Layout) -> Self {
        let direct = output.copies.len();
        Self {
            inputs: vec![input],
            output,
            direct,
            fold: None,
            by_client: false,
            replicate: Vec::new(),
            baby: usize::MAX >> 1,
            origin: 0,
            factors: Factors::Slots,
            chains: 1,
        }
    }

    /// The digits of the slots that are summed.
    pub(crate) fn fold_digits(&self) -> Vec<Digit> {
        self.fold.iter().map(|fold| Digit::slots(1 << fold.log2, fold.stride)).collect()
    }

    /// Checks that sizes are bounded and belong together.
    ///
    /// # Errors
    /// With what is wrong.
    pub fn validate(&self, cycle: Cycle) -> Result<(), Error> {
        let wrong = |text: &str| Err(Error::layout(text));
        if self.inputs.is_empty() || self.inputs.len() > 64 {
            return wrong("a kernel without operands");
        }
        self.inputs.iter().try_for_each(|input| input.validate(cycle))?;
        self.output.validate(cycle)?;
        if self.inputs.iter().any(|input| !input.partials.is_empty() && self.factors == Factors::Ones) {
            return wrong("partial sums that are moved");
        }
        let doublings = self.fold.iter().chain(&self.replicate);
        let fits = |d: &Doubling| {
            d.log2 <= 16 && (1..cycle.slots()).contains(&d.stride) && d.stride << d.log2 <= cycle.columns
        };
        if !doublings.clone().all(fits) || self.replicate.len() > 16 {
            return wrong("a fold");
        }
        let partials = if self.by_client { self.fold_digits() } else { Vec::new() };
        if self.output.partials != partials || self.direct > self.output.copies.len() {
            return wrong("a fold and its output");
        }
        if self.baby == 0 || self.origin >= cycle.slots() || !(1..=64).contains(&self.chains) {
            return wrong("baby steps");
        }
        Ok(())
    }

    /// Steps of the copies of each input, and of its partial sums, which are further addends.
    pub(crate) fn input_copies(&self, cycle: Cycle, term: usize) -> Vec<Place> {
        self.inputs[term].copy_steps(cycle)
    }

    /// Steps of the output's copies that diagonals compute.
    pub(crate) fn direct_copies(&self, cycle: Cycle) -> Vec<Place> {
        sums(cycle, &self.output.copies[..self.direct])
    }

    /// The diagonal of a pair whose difference is `step` (input minus output), through the best of the input's copies.
    pub(crate) fn cell(&self, cycle: Cycle, copies: &[Place], step: usize) -> Option<Cell> {
        let from = cycle.sub(step, self.origin);
        let (stride, parts) = self.fold.map_or((cycle.columns, 1), |fold| (fold.stride, 1usize << fold.log2));
        copies
            .iter()
            .filter_map(|copy| {
                let at = cycle.add(from, copy.slot);
                let (row, column) = (at / cycle.columns, at % cycle.columns);
                let (part, reduced) = (column / stride, column % stride);
                (part < parts).then(|| {
                    let baby = reduced % self.baby;
                    let giant = row * cycle.columns + reduced - baby;
                    Cell { giant, baby, part, ciphertext: copy.ciphertext }
                })
            })
            .min()
    }

    /// The rotations of sums of products, on some pattern with these giant steps: giant steps, folds and replication.
    pub(crate) fn steps_of_sums(&self, cycle: Cycle, giants: &BTreeSet<usize>) -> BTreeSet<usize> {
        let mut steps = BTreeSet::new();
        let giants: Vec<usize> = giants.iter().copied().collect();
        for chain in self.chains(cycle, &giants) {
            steps.extend(chain.steps(cycle));
        }
        let fold = self.fold.filter(|_| !self.by_client);
        steps.extend(fold.iter().flat_map(|fold| fold_steps(*fold)));
        steps.extend(self.replicate.iter().flat_map(|more| fold_steps(*more)).map(|step| cycle.neg(step)));
        steps.remove(&0);
        steps
    }

    /// Sorted giant steps in the order in which they are added up, cut into chains.
    ///
    /// Chains run towards step 0, which needs no rotation: downwards, or upwards where all steps are negative.
    pub(crate) fn chains(&self, cycle: Cycle, giants: &[usize]) -> Vec<Chain> {
        let backward = giants.iter().all(|giant| *giant == 0 || giant % cycle.columns > cycle.columns / 2);
        let mut order = giants.to_vec();
        if backward {
            let zeros = order.iter().filter(|giant| **giant == 0).count();
            order.rotate_left(zeros);
        } else {
            order.reverse();
        }
        let length = order.len().div_ceil(self.chains.max(1)).max(1);
        order.chunks(length).map(|giants| Chain { giants: giants.to_vec() }).collect()
    }
}

/// The rotations of a doubling, the shortest first.
pub(crate) fn fold_steps(fold: Doubling) -> impl Iterator<Item = usize> {
    (0..fold.log2).map(move |log2| fold.stride << log2)
}

/// Giant steps that are added up by Horner's rule, in this order.
pub(crate) struct Chain {
    pub giants: Vec<usize>,
}

impl Chain {
    /// The rotations: from each step to the next, then by the last itself.
    pub(crate) fn steps(&self, cycle: Cycle) -> Vec<usize> {
        let mut steps: Vec<usize> = self.giants.windows(2).map(|pair| cycle.sub(pair[0], pair[1])).collect();
        steps.extend(self.giants.last());
        steps
    }
}
