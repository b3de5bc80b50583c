//! A kernel at work.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::error::Error;
use crate::slots::diagonals::{Diagonal, Diagonals};
use crate::slots::kernel::{Doubling, Kernel, fold_steps};
use crate::slots::operations::Slots;
use crate::slots::weights::{FactorList, Weights};

/// Rotated inputs: by input ciphertext and baby step.
type Rotated<C> = BTreeMap<(u32, u32), C>;

/// Rotated inputs by input ciphertext and baby step, or sums by output ciphertext and giant step.
type Keyed<C> = Vec<((u32, u32), C)>;

/// Applies a kernel: `inputs` are the ciphertexts of all operands in order. The result has the ciphertexts of the
/// kernel's output, at the weights' level.
///
/// Work is spread over the rayon pool that the caller is in. Besides operands and weights it holds one ciphertext for each
/// distinct pair of input and baby step, and one for each giant step.
///
/// # Errors
/// If the inputs do not fit, or the interpreter fails.
pub fn apply<S: Slots>(
    slots: &S,
    kernel: &Kernel,
    diagonals: &Diagonals,
    weights: &Weights<S::Factor, S::Addend>,
    inputs: &[&S::Cipher],
) -> Result<Vec<S::Cipher>, Error> {
    let expected: usize = kernel.inputs.iter().map(|input| input.ciphertexts).sum();
    if inputs.len() != expected {
        return Err(Error::layout(format!("{} ciphertexts, not {expected}", inputs.len())));
    }
    let run = Run { slots, kernel, diagonals, weights };
    let rotated = run.rotate_inputs(inputs)?;
    let sums = run.giant_sums(&rotated)?;
    drop(rotated);
    let mut by_output: Vec<Vec<(usize, S::Cipher)>> = Vec::new();
    by_output.resize_with(kernel.output.ciphertexts, Vec::new);
    for ((output, giant), sum) in sums {
        let place = by_output.get_mut(output as usize).ok_or_else(|| Error::layout("an output"))?;
        place.push((giant as usize, sum));
    }
    by_output.into_par_iter().enumerate().map(|(output, sums)| run.finish(output, sums)).collect()
}

struct Run<'a, S: Slots> {
    slots: &'a S,
    kernel: &'a Kernel,
    diagonals: &'a Diagonals,
    weights: &'a Weights<S::Factor, S::Addend>,
}

impl<S: Slots> Run<'_, S> {
    fn rotate_inputs(&self, inputs: &[&S::Cipher]) -> Result<Rotated<S::Cipher>, Error> {
        let wanted: Vec<(u32, u32)> = self.diagonals.rotated().into_iter().collect();
        let by_input: Vec<&[(u32, u32)]> = wanted.chunk_by(|a, b| a.0 == b.0).collect();
        let rotated: Result<Vec<Vec<_>>, Error> = by_input
            .into_par_iter()
            .map(|wanted| {
                let input = inputs.get(wanted[0].0 as usize).ok_or_else(|| Error::layout("an input"))?;
                let input = self.slots.switch_down(input, self.weights.level)?;
                self.rotate_input(&input, wanted)
            })
            .collect();
        Ok(rotated?.into_iter().flatten().collect())
    }

    /// The rotations of one input. A single one is not worth a decomposition of its own.
    fn rotate_input(&self, input: &S::Cipher, wanted: &[(u32, u32)]) -> Result<Keyed<S::Cipher>, Error> {
        let turned: Vec<(u32, u32)> = wanted.iter().copied().filter(|(_, step)| *step != 0).collect();
        let mut out = match turned.as_slice() {
            [] => Vec::new(),
            [key] => vec![(*key, self.slots.rotate(input, key.1 as usize)?)],
            _ => {
                let hoisted = self.slots.hoist(input)?;
                let turn =
                    |key: &(u32, u32)| Ok((*key, self.slots.rotate_hoisted(&hoisted, key.1 as usize)?));
                turned.par_iter().map(turn).collect::<Result<Vec<_>, Error>>()?
            }
        };
        out.extend(wanted.iter().filter(|(_, step)| *step == 0).map(|key| (*key, input.clone())));
        Ok(out)
    }

    /// For each output ciphertext and giant step the sum of products.
    fn giant_sums(&self, rotated: &Rotated<S::Cipher>) -> Result<Keyed<S::Cipher>, Error> {
        let mut first = 0;
        let mut groups = Vec::new();
        for group in self.diagonals.groups() {
            groups.push((first, group));
            first += group.len();
        }
        groups
            .into_par_iter()
            .map(|(first, group)| {
                let sum = self.group(first, group, rotated)?;
                Ok(((group[0].output, group[0].giant), self.slots.switch_down(&sum, self.weights.after)?))
            })
            .collect()
    }

    fn group(
        &self,
        first: usize,
        group: &[Diagonal],
        rotated: &Rotated<S::Cipher>,
    ) -> Result<S::Cipher, Error> {
        let inputs = group
            .iter()
            .map(|entry| rotated.get(&(entry.input, entry.baby)))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| Error::layout("a rotation"))?;
        let short = || Error::layout("too few factors");
        let range = first..first + group.len();
        match &self.weights.factors {
            FactorList::Slots(factors) => {
                let factors = factors.get(range).ok_or_else(short)?;
                self.slots.dot(&inputs.into_iter().zip(factors).collect::<Vec<_>>())
            }
            FactorList::Scalars(factors) => {
                let factors = factors.get(range).ok_or_else(short)?.iter().copied();
                self.slots.dot_scalars(&inputs.into_iter().zip(factors).collect::<Vec<_>>())
            }
            FactorList::Ones => {
                let (head, rest) = inputs.split_first().ok_or(Error::Empty)?;
                let mut sum = (*head).clone();
                rest.iter().try_for_each(|input| self.slots.add_assign(&mut sum, input))?;
                Ok(sum)
            }
        }
    }

    /// Adds up giant steps, folds, replicates, adds the bias.
    fn finish(&self, output: usize, sums: Vec<(usize, S::Cipher)>) -> Result<S::Cipher, Error> {
        let cycle = self.slots.cycle();
        let giants: Vec<usize> = sums.iter().map(|(giant, _)| *giant).collect();
        let mut sums: BTreeMap<usize, S::Cipher> = sums.into_iter().collect();
        let chains: Vec<(Vec<usize>, Vec<S::Cipher>)> = self
            .kernel
            .chains(cycle, &giants)
            .iter()
            .map(|chain| {
                let own = chain.giants.iter().filter_map(|giant| sums.remove(giant)).collect();
                (chain.steps(cycle), own)
            })
            .collect();
        let parts: Vec<S::Cipher> = chains
            .into_par_iter()
            .map(|(steps, sums)| self.horner(&steps, sums))
            .collect::<Result<_, Error>>()?;
        let mut parts = parts.into_iter();
        let mut sum = parts.next().ok_or_else(|| Error::layout("an output without inputs"))?;
        parts.try_for_each(|part| self.slots.add_assign(&mut sum, &part))?;
        if let Some(fold) = self.kernel.fold.filter(|_| !self.kernel.by_client) {
            sum = self.double(sum, fold, |step| step)?;
        }
        for more in &self.kernel.replicate {
            sum = self.double(sum, *more, |step| cycle.neg(step))?;
        }
        if let Some(addend) = self.weights.addends.get(output) {
            self.slots.add_plain_assign(&mut sum, addend)?;
        }
        Ok(sum)
    }

    fn horner(&self, steps: &[usize], sums: Vec<S::Cipher>) -> Result<S::Cipher, Error> {
        let mut sums = sums.into_iter();
        let mut sum = sums.next().ok_or(Error::Empty)?;
        for step in steps {
            if *step != 0 {
                sum = self.slots.rotate(&sum, *step)?;
            }
            if let Some(next) = sums.next() {
                self.slots.add_assign(&mut sum, &next)?;
            }
        }
        Ok(sum)
    }

    fn double(
        &self,
        mut sum: S::Cipher,
        doubling: Doubling,
        direction: impl Fn(usize) -> usize,
    ) -> Result<S::Cipher, Error> {
        for step in fold_steps(doubling) {
            let turned = self.slots.rotate(&sum, direction(step))?;
            self.slots.add_assign(&mut sum, &turned)?;
        }
        Ok(sum)
    }
}
