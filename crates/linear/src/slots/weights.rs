//! A layer's weights as a kernel's factors.

use std::collections::BTreeMap;
use std::ops::Range;

use rayon::prelude::*;

use crate::error::Error;
use crate::slots::cycle::Cycle;
use crate::slots::diagonals::{Diagonals, diagonal};
use crate::slots::kernel::{Factors, Kernel};
use crate::slots::layout::{Place, sums};
use crate::slots::operations::Slots;
use crate::slots::pattern::Matrix;

/// Bytes of slots that are filled at a time while encoding, by all threads together; the rows of an output ciphertext are walked
/// once for each such part of it, so that a part should hold all of a large layer's.
const PART_BYTES: usize = 256 << 20;

/// Words behind the slots of each factor while these are filled. An output meets all factors at one slot, and factors that stood a power of two
/// apart would share a few lines of the cache.
const GAP: usize = 72;

/// A layer's weights, ready for a kernel: factors `F` and addends `A` of an interpreter.
pub struct Weights<F, A> {
    /// One for each diagonal.
    pub(crate) factors: FactorList<F>,
    /// One for each output ciphertext, if there is a bias.
    pub(crate) addends: Vec<A>,
    /// The level of the products.
    pub(crate) level: usize,
    /// The level of what follows them: giant steps, folds, replication.
    pub(crate) after: usize,
}

/// Factors in the order of the diagonals.
pub(crate) enum FactorList<F> {
    /// Vectors of slots.
    Slots(Vec<F>),
    /// Numbers.
    Scalars(Vec<i128>),
    /// Ones.
    Ones,
}

/// The secret part of a layer: a matrix for each operand, and a bias.
pub struct Layer<'a> {
    /// For each operand of the kernel its matrix.
    pub matrices: Vec<&'a dyn Matrix>,
    /// One for each output, or empty.
    pub bias: &'a [i128],
}

impl Weights<(), ()> {
    /// Weights without values, for counting.
    pub fn blank(kernel: &Kernel, diagonals: &Diagonals, bias: bool) -> Self {
        let count = diagonals.entries().len();
        let factors = match kernel.factors {
            Factors::Slots => FactorList::Slots(vec![(); count]),
            Factors::Scalars => FactorList::Scalars(vec![0; count]),
            Factors::Ones => FactorList::Ones,
        };
        Self {
            factors,
            addends: vec![(); if bias { kernel.output.ciphertexts } else { 0 }],
            level: 0,
            after: 0,
        }
    }
}

impl<F, A> Weights<F, A> {
    /// Switches sums of products down to a level before giant steps, folds and replication.
    #[must_use]
    pub fn finishing_at(self, level: usize) -> Self {
        Self { after: level.min(self.level), ..self }
    }

    /// Encodes a layer for a kernel at a level.
    ///
    /// It also checks the kernel: that no two outputs meet in a slot, and that each output's sum is its own.
    ///
    /// # Errors
    /// If the layer has elements outside the diagonals' pattern, or the kernel is not sound.
    pub fn encode<S: Slots<Factor = F, Addend = A>>(
        slots: &S,
        kernel: &Kernel,
        diagonals: &Diagonals,
        layer: &Layer<'_>,
        level: usize,
    ) -> Result<Self, Error> {
        if layer.matrices.len() != kernel.inputs.len() {
            return Err(Error::layout("a kernel's operands and matrices differ in number"));
        }
        let encoder = Encoder::new(slots.cycle(), kernel, diagonals, layer);
        encoder.check_outputs()?;
        let addends = encoder.addends(slots)?;
        let factors = match kernel.factors {
            Factors::Slots => FactorList::Slots(encoder.slot_factors(slots, level)?),
            Factors::Scalars => FactorList::Scalars(encoder.scalars()?),
            Factors::Ones if encoder.scalars()?.iter().any(|scalar| *scalar != 1) => {
                return Err(Error::NoScalar);
            }
            Factors::Ones => FactorList::Ones,
        };
        Ok(Self { factors, addends, level, after: level })
    }
}

/// Factors from their slots, `width` each and a gap.
fn factors<S: Slots, T: Copy + Into<i128> + Sync>(
    slots: &S,
    values: &[T],
    width: usize,
    level: usize,
) -> Result<Vec<S::Factor>, Error> {
    let factor = |values: &[T]| {
        let values: Vec<i128> = values.iter().take(width).map(|value| (*value).into()).collect();
        slots.factor(&values, level)
    };
    values.par_chunks(width + GAP).map(factor).collect()
}

struct Encoder<'a> {
    cycle: Cycle,
    kernel: &'a Kernel,
    diagonals: &'a Diagonals,
    layer: &'a Layer<'a>,
    outputs: Vec<Place>,
    direct: Vec<Place>,
    /// For each output ciphertext the outputs, or copies of them, that it holds, and their slots.
    held: Vec<Vec<(u32, u32)>>,
}

/// One weight at its place in a factor.
struct Weight {
    diagonal: usize,
    slot: usize,
    value: i128,
}

/// Where weights of an output ciphertext go, by input ciphertext and step between slots: the diagonal, and what is added to the output's
/// slot. Every weight asks, and there are few answers.
struct Targets {
    slots: usize,
    by_input: Vec<Vec<Option<(u32, u32)>>>,
}

impl Targets {
    fn find(
        &mut self,
        (input, step): (usize, usize),
        search: impl FnOnce() -> Option<(u32, u32)>,
    ) -> Option<(u32, u32)> {
        let targets = self.by_input.get_mut(input)?;
        targets.resize(self.slots, None);
        let target = targets.get_mut(step)?;
        if target.is_none() {
            *target = search();
        }
        *target
    }
}

impl<'a> Encoder<'a> {
    fn new(cycle: Cycle, kernel: &'a Kernel, diagonals: &'a Diagonals, layer: &'a Layer<'a>) -> Self {
        let (outputs, direct) = (kernel.output.places(cycle), kernel.direct_copies(cycle));
        let mut held = vec![Vec::new(); kernel.output.ciphertexts];
        for (output, base) in outputs.iter().enumerate() {
            for copy in &direct {
                if let Some(held) = held.get_mut(base.ciphertext + copy.ciphertext) {
                    held.push((output as u32, cycle.add(base.slot, copy.slot) as u32));
                }
            }
        }
        Self { cycle, kernel, diagonals, layer, outputs, direct, held }
    }

    /// The bias in every slot where the output stands.
    fn addends<S: Slots>(&self, slots: &S) -> Result<Vec<S::Addend>, Error> {
        if self.layer.bias.is_empty() {
            return Ok(Vec::new());
        }
        let packed = self.kernel.output.pack(self.cycle, self.layer.bias);
        packed.iter().map(|slot_values| slots.addend(slot_values)).collect()
    }

    /// Calls `visit` with every weight of an output ciphertext.
    fn walk(&self, to: u32, mut visit: impl FnMut(Weight)) -> Result<(), Error> {
        let (cycle, kernel) = (self.cycle, self.kernel);
        let stride = kernel.fold.map_or(0, |fold| fold.stride);
        let ciphertexts = kernel.inputs.iter().map(|input| input.ciphertexts).sum();
        let (mut first, mut failed) = (0, false);
        let mut targets = Targets { slots: cycle.slots(), by_input: vec![Vec::new(); ciphertexts] };
        for (term, matrix) in self.layer.matrices.iter().enumerate() {
            let (inputs, copies) = (kernel.inputs[term].places(cycle), kernel.input_copies(cycle, term));
            let partials = kernel.inputs[term].partial_steps(cycle);
            for (output, at) in self.held.get(to as usize).into_iter().flatten() {
                matrix.visit_row(*output as usize, &mut |input, value| {
                    let Some(place) = inputs.get(input) else {
                        failed = true;
                        return;
                    };
                    for partial in &partials {
                        let ciphertext = first + place.ciphertext + partial.ciphertext;
                        let step = cycle.sub(cycle.add(place.slot, partial.slot), *at as usize);
                        let target = targets.find((ciphertext, step), || {
                            let cell = kernel.cell(cycle, &copies, step)?;
                            let index =
                                self.diagonals.find(&diagonal(cycle, kernel, cell, ciphertext, to))?;
                            let shift = cycle.add(cell.part * stride % cycle.columns, cell.giant);
                            Some((index as u32, shift as u32))
                        });
                        match target {
                            Some((diagonal, shift)) => visit(Weight {
                                diagonal: diagonal as usize,
                                slot: cycle.add(*at as usize, shift as usize),
                                value,
                            }),
                            None => failed = true,
                        }
                    }
                });
            }
            first += kernel.inputs[term].ciphertexts;
        }
        if failed { Err(Error::layout("a weight outside the pattern")) } else { Ok(()) }
    }

    /// Ranges of diagonals of one output ciphertext, of at most so many.
    fn parts(&self, most: usize) -> Vec<Range<usize>> {
        let (mut parts, mut first) = (Vec::new(), 0);
        for of_output in self.diagonals.entries().chunk_by(|a, b| a.output == b.output) {
            let end = first + of_output.len();
            parts.extend((first..end).step_by(most).map(|from| from..end.min(from.saturating_add(most))));
            first = end;
        }
        parts
    }

    fn slot_factors<S: Slots>(&self, slots: &S, level: usize) -> Result<Vec<S::Factor>, Error> {
        let width = self.cycle.slots();
        let most = PART_BYTES / (width * size_of::<i64>()) / rayon::current_num_threads();
        let encode = |values: &mut Vec<i64>, part: Range<usize>| {
            if self.fill(&part, values, i64::checked_add)? {
                return factors(slots, values, width, level);
            }
            let mut wide: Vec<i128> = Vec::new();
            self.fill(&part, &mut wide, i128::checked_add)?;
            factors(slots, &wide, width, level)
        };
        let parts: Vec<Vec<_>> = self
            .parts(most.max(1))
            .into_par_iter()
            .map_init(Vec::new, encode)
            .collect::<Result<_, Error>>()?;
        Ok(parts.into_iter().flatten().collect())
    }

    /// The slots of some diagonals of one output ciphertext, one after the other with gaps; whether they fit the type.
    fn fill<T: Copy + Default + TryFrom<i128>>(
        &self,
        part: &Range<usize>,
        values: &mut Vec<T>,
        add: impl Fn(T, T) -> Option<T>,
    ) -> Result<bool, Error> {
        let stride = self.cycle.slots() + GAP;
        values.clear();
        values.resize(part.len() * stride, T::default());
        let mut fits = true;
        self.walk(self.diagonals.entries()[part.start].output, |weight| {
            let place = weight.diagonal.checked_sub(part.start).map(|index| index * stride + weight.slot);
            if let Some(sum) = place.and_then(|place| values.get_mut(place)) {
                match T::try_from(weight.value).ok().and_then(|value| add(*sum, value)) {
                    Some(value) => *sum = value,
                    None => fits = false,
                }
            }
        })?;
        Ok(fits)
    }

    fn scalars(&self) -> Result<Vec<i128>, Error> {
        let mut found: Vec<BTreeMap<usize, i128>> = vec![BTreeMap::new(); self.diagonals.entries().len()];
        for part in self.parts(usize::MAX) {
            let output = self.diagonals.entries()[part.start].output;
            self.walk(output, |weight| {
                *found[weight.diagonal].entry(weight.slot).or_default() += weight.value
            })?;
        }
        found
            .iter()
            .map(|values| {
                let scalar = values.values().next().copied().unwrap_or(0);
                values.values().all(|value| *value == scalar).then_some(scalar).ok_or(Error::NoScalar)
            })
            .collect()
    }

    /// Every output's slots, after the additions of folds and replication, hold all of its own sum and nothing of
    /// another output's.
    fn check_outputs(&self) -> Result<(), Error> {
        /// Copies of an output that are looked at.
        const COPIES: usize = 64;
        let (cycle, kernel) = (self.cycle, self.kernel);
        let slots = cycle.slots();
        // Slots in which parts of an output are computed, and all slots that are added into one.
        let parts = sums(cycle, &kernel.fold_digits());
        let mut added = vec![0];
        let fold = kernel.fold.filter(|_| !kernel.by_client);
        let doublings = kernel.replicate.iter().map(|d| (d, true)).chain(fold.iter().map(|d| (d, false)));
        for (doubling, backward) in doublings {
            let steps: Vec<usize> = (0..1usize << doubling.log2)
                .map(|index| index * doubling.stride % cycle.columns)
                .map(|step| if backward { cycle.neg(step) } else { step })
                .collect();
            added = added.iter().flat_map(|a| steps.iter().map(move |b| cycle.add(*a, *b))).collect();
        }
        let mut owner = vec![u32::MAX; kernel.output.ciphertexts * slots];
        for (output, base) in self.outputs.iter().enumerate() {
            for (copy, part) in self.direct.iter().flat_map(|c| parts.iter().map(move |p| (c, p))) {
                let slot = cycle.add(cycle.add(base.slot, copy.slot), part.slot);
                let place = &mut owner[(base.ciphertext + copy.ciphertext) * slots + slot];
                if core::mem::replace(place, output as u32) != u32::MAX {
                    return Err(Error::layout("two outputs are computed in one slot"));
                }
            }
        }
        if kernel.by_client {
            return Ok(());
        }
        let copies = kernel.output.copy_steps(cycle);
        for (output, base) in self.outputs.iter().enumerate() {
            for copy in copies.iter().step_by(copies.len().div_ceil(COPIES)) {
                let at = |step: usize| {
                    let slot = cycle.add(cycle.add(base.slot, copy.slot), step);
                    owner[(base.ciphertext + copy.ciphertext) * slots + slot]
                };
                let own = added.iter().filter(|step| at(**step) == output as u32).count();
                let others = added.iter().filter(|step| at(**step) != u32::MAX).count() - own;
                if own != parts.len() || others > 0 {
                    return Err(Error::layout("an output's slots are not its own"));
                }
            }
        }
        Ok(())
    }
}
