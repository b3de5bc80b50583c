//! A plan against the integer reference: the steps run in the clear on random inputs.

use linear::slots::Clear;
use model::fixed::{FixedGraph, Params};

use super::program::Prepared;
use super::{Plan, Refusal};
use crate::encrypted::outline::{Answer, EMPTY, Request};

impl Plan {
    /// Runs the plan in the clear, packing and folds included, and compares with the reference on `trials` inputs that span the
    /// input formats.
    ///
    /// # Errors
    /// [`Refusal::Range`] if a result does not fit the plaintext space, [`Refusal::Invalid`] if a result differs.
    pub fn check(
        &self,
        graph: &FixedGraph,
        params: &Params,
        trials: usize,
        seed: u64,
    ) -> Result<(), Refusal> {
        let (prepared, outline) = (Prepared::new(self, graph)?, self.outline(graph)?);
        let wrong = |text: &str| Refusal::Invalid(text.into());
        let (Request::Slots(request), Answer::Slots { elements, .. }) = (&outline.request, &outline.answer)
        else {
            return Err(wrong("no layouts"));
        };
        let inputs: Vec<Vec<Vec<i64>>> =
            (0..trials as u64).map(|trial| random_inputs(graph, seed.wrapping_add(trial))).collect();
        let mut expected = Vec::with_capacity(trials);
        for inputs in &inputs {
            let outputs = model::reference::run_wide(graph, params, inputs);
            expected.push(outputs.map_err(|error| Refusal::Invalid(error.to_string()))?.concat());
        }
        for set in &outline.parameters {
            let modulus = set.slot_modulus().and_then(|p| i128::try_from(p).ok());
            let clear = modulus.and_then(|p| Clear::new(prepared.cycle, p));
            let clear = clear.ok_or_else(|| wrong("a plaintext space without slots"))?;
            let weights = prepared.encode(&clear, graph, params)?;
            for (inputs, expected) in inputs.iter().zip(&expected) {
                let flat: Vec<i64> = inputs.concat();
                let packed = request.iter().map(|slots| {
                    let value =
                        |number: &u32| if *number == EMPTY { 0 } else { i128::from(flat[*number as usize]) };
                    clear.vector(&slots.iter().map(value).collect::<Vec<_>>(), set.limbs())
                });
                let packed = packed.collect::<Result<Vec<_>, _>>()?;
                let out = prepared.run(&clear, &weights, packed, &())?;
                for (places, expected) in elements.iter().zip(expected) {
                    let at = |place: &crate::encrypted::Place| {
                        out[place.ciphertext as usize].slots[place.slot as usize]
                    };
                    let sum = places.iter().map(at).fold(0, |sum, part| clear.centre(sum + part));
                    if sum != clear.centre(*expected) {
                        return Err(wrong("its results are not the reference's"));
                    }
                }
            }
        }
        self.check_ranges(graph, &expected)
    }

    fn check_ranges(&self, graph: &FixedGraph, expected: &[Vec<i128>]) -> Result<(), Refusal> {
        let bits: f64 = self.scheme.parameters()?.iter().map(|set| set.plain().log2()).sum();
        let largest = expected.iter().flatten().map(|x| x.unsigned_abs()).max().unwrap_or(0);
        if (largest as f64 + 1.0).log2() + 1.0 < bits {
            return Ok(());
        }
        let (name, needed) = super::search::output_bits(graph);
        Err(Refusal::Range { name, bits: needed, most: bits as u32 })
    }
}

fn random_inputs(graph: &FixedGraph, seed: u64) -> Vec<Vec<i64>> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 20
    };
    graph
        .inputs
        .iter()
        .map(|id| {
            let node = &graph.nodes[*id];
            let (low, high) = node.format.limits();
            let span = high.abs_diff(low).saturating_add(1);
            (0..node.shape.iter().product::<usize>())
                .map(|_| low.wrapping_add_unsigned(next() % span))
                .collect()
        })
        .collect()
}
