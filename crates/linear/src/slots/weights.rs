//! A layer's weights as a kernel's factors.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::error::Error;
use crate::slots::cycle::Cycle;
use crate::slots::diagonals::{Diagonals, diagonal};
use crate::slots::kernel::{Factors, Kernel};
use crate::slots::layout::{Place, sums};
use crate::slots::operations::Slots;
use crate::slots::pattern::Matrix;

/// Bytes of slots that are filled at a time while encoding; the matrix is walked once for each such part.
const PART_BYTES: usize = 256 << 20;

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

struct Encoder<'a> {
    cycle: Cycle,
    kernel: &'a Kernel,
    diagonals: &'a Diagonals,
    layer: &'a Layer<'a>,
    outputs: Vec<Place>,
    direct: Vec<Place>,
}

/// One weight at its place in a factor.
struct Weight {
    diagonal: usize,
    slot: usize,
    value: i128,
}

impl<'a> Encoder<'a> {
    fn new(cycle: Cycle, kernel: &'a Kernel, diagonals: &'a Diagonals, layer: &'a Layer<'a>) -> Self {
        let (outputs, direct) = (kernel.output.places(cycle), kernel.direct_copies(cycle));
        Self { cycle, kernel, diagonals, layer, outputs, direct }
    }

    /// The bias in every slot where the output stands.
    fn addends<S: Slots>(&self, slots: &S) -> Result<Vec<S::Addend>, Error> {
        if self.layer.bias.is_empty() {
            return Ok(Vec::new());
        }
        let packed = self.kernel.output.pack(self.cycle, self.layer.bias);
        packed.iter().map(|slot_values| slots.addend(slot_values)).collect()
    }

    /// Calls `visit` with every weight.
    fn walk(&self, visit: &mut dyn FnMut(Weight)) -> Result<(), Error> {
        let (cycle, kernel) = (self.cycle, self.kernel);
        let stride = kernel.fold.map_or(0, |fold| fold.stride);
        let (mut first, mut failed) = (0, false);
        for (term, matrix) in self.layer.matrices.iter().enumerate() {
            let (inputs, copies) = (kernel.inputs[term].places(cycle), kernel.input_copies(cycle, term));
            let partials = kernel.inputs[term].partial_steps(cycle);
            for (output, base) in self.outputs.iter().enumerate() {
                matrix.visit_row(output, &mut |input, value| {
                    let Some(place) = inputs.get(input) else {
                        failed = true;
                        return;
                    };
                    for (copy, partial) in
                        self.direct.iter().flat_map(|c| partials.iter().map(move |p| (c, p)))
                    {
                        let to = (base.ciphertext + copy.ciphertext, cycle.add(base.slot, copy.slot));
                        let from = cycle.add(place.slot, partial.slot);
                        let cell = kernel.cell(cycle, &copies, cycle.sub(from, to.1));
                        let found = cell.and_then(|cell| {
                            let ciphertext = first + place.ciphertext + partial.ciphertext;
                            let index = diagonal(cycle, kernel, cell, ciphertext, to.0 as u32);
                            let slot = cycle.add(to.1, cell.part * stride % cycle.columns);
                            Some(Weight {
                                diagonal: self.diagonals.find(&index)?,
                                slot: cycle.add(slot, cell.giant),
                                value,
                            })
                        });
                        match found {
                            Some(weight) => visit(weight),
                            None => failed = true,
                        }
                    }
                });
            }
            first += kernel.inputs[term].ciphertexts;
        }
        if failed { Err(Error::layout("a weight outside the pattern")) } else { Ok(()) }
    }

    fn slot_factors<S: Slots>(&self, slots: &S, level: usize) -> Result<Vec<S::Factor>, Error> {
        let (count, width) = (self.diagonals.entries().len(), self.cycle.slots());
        let mut out = Vec::with_capacity(count);
        let part = (PART_BYTES / (width * size_of::<i128>())).clamp(1, count.max(1));
        for start in (0..count).step_by(part) {
            let mut values = vec![0i128; part.min(count - start) * width];
            self.walk(&mut |weight| {
                let place = weight.diagonal.checked_sub(start).map(|index| index * width + weight.slot);
                if let Some(sum) = place.and_then(|place| values.get_mut(place)) {
                    *sum += weight.value;
                }
            })?;
            let encoded: Result<Vec<_>, _> =
                values.par_chunks(width).map(|factor| slots.factor(factor, level)).collect();
            out.extend(encoded?);
        }
        Ok(out)
    }

    fn scalars(&self) -> Result<Vec<i128>, Error> {
        let mut found: Vec<BTreeMap<usize, i128>> = vec![BTreeMap::new(); self.diagonals.entries().len()];
        self.walk(&mut |weight| *found[weight.diagonal].entry(weight.slot).or_default() += weight.value)?;
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
