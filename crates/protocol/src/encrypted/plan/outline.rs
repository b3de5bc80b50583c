//! What a plan tells both parties.

use std::collections::BTreeMap;

use bfv::Noise;
use linear::slots::{Diagonals, Layout, exponent_of};
use model::fixed::FixedGraph;

use super::lower::{Kind, Network};
use super::view::{Patches, View};
use super::{Plan, Refusal, Step};
use crate::encrypted::outline::{Answer, EMPTY, Outline, Place, Request, Rotation};

/// Computations that are expected to take longer than this, in seconds, tell of their progress.
const LONG: f64 = 2.0;

/// Frames in which they do.
const FRAMES: u32 = 20;

impl Plan {
    /// What both parties know of the computation.
    ///
    /// # Errors
    /// If the plan is not one for this network.
    pub fn outline(&self, graph: &FixedGraph) -> Result<Outline, Refusal> {
        let (network, cycle) = (Network::new(graph)?, self.cycle()?);
        let parameters = self.scheme.parameters()?;
        let diagonals = self.diagonals(&network, cycle)?;
        let steps = self.rotations(diagonals.iter().flatten(), cycle);
        let mut rotations = BTreeMap::new();
        for set in &parameters {
            for (step, limbs) in &steps {
                let most = rotations.entry(exponent_of(set, *step)).or_insert(*limbs);
                *most = (*most).max(*limbs);
            }
        }
        rotations.remove(&1);
        let base = parameters.first().ok_or_else(|| Refusal::Invalid("no parameters".into()))?;
        let ciphertext = (16 * base.degree() * base.limbs()) as u64;
        Ok(Outline {
            batch: 1,
            request: Request::Slots(self.request(graph, &network)?),
            rotations: rotations.into_iter().map(|(exponent, limbs)| Rotation { exponent, limbs }).collect(),
            relinearise: network.tensors.iter().any(|tensor| matches!(tensor.kind, Kind::Product(..))),
            answer: self.answer(&network)?,
            fresh_limbs: base.limbs(),
            limbs: self.limbs,
            noise: self.bound(),
            progress: if self.seconds > LONG { FRAMES } else { 0 },
            memory: self.ciphertexts(&diagonals) * ciphertext,
            parameters,
        })
    }

    /// The bound of the results' noise.
    pub(super) fn bound(&self) -> Noise {
        Noise::of_variance(1.0).scaled(self.noise)
    }

    /// The numbers of the elements in the slots of each ciphertext.
    fn request(&self, graph: &FixedGraph, network: &Network) -> Result<Vec<Vec<u32>>, Refusal> {
        let cycle = self.cycle()?;
        let mut out = Vec::new();
        for (index, (tensor, step)) in network.tensors.iter().zip(&self.steps).enumerate() {
            let Step::Input { view, layout } = step else { continue };
            let before = graph.inputs.iter().take_while(|id| **id != tensor.node);
            let first: usize = before.map(|id| graph.nodes[*id].shape.iter().product::<usize>()).sum();
            let patches = match view {
                View::Raw => None,
                View::Patches => Patches::of(network, index),
            };
            let source = |element: usize| match &patches {
                Some(patches) => patches.source(element),
                None => Some(element),
            };
            // Zero is a slot without an element.
            let numbers: Vec<i128> = (0..layout.elements())
                .map(|element| source(element).map_or(0, |source| (first + source + 1) as i128))
                .collect();
            out.extend(layout.pack(cycle, &numbers).into_iter().map(|slots| {
                slots.into_iter().map(|number| u32::try_from(number - 1).unwrap_or(EMPTY)).collect()
            }));
        }
        Ok(out)
    }

    fn answer(&self, network: &Network) -> Result<Answer, Refusal> {
        let cycle = self.cycle()?;
        let (mut ciphertexts, mut elements) = (0, Vec::new());
        for output in &network.outputs {
            let layout =
                self.layout(*output).ok_or_else(|| Refusal::Invalid("a result is missing".into()))?;
            let partials = layout.partial_steps(cycle);
            for place in layout.places(cycle) {
                let part = |partial: &linear::slots::Place| Place {
                    ciphertext: (ciphertexts + place.ciphertext + partial.ciphertext) as u32,
                    slot: cycle.add(place.slot, partial.slot) as u32,
                };
                elements.push(partials.iter().map(part).collect());
            }
            ciphertexts += layout.ciphertexts;
        }
        Ok(Answer::Slots { ciphertexts, elements })
    }

    /// About the most ciphertexts that are held at a time: all tensors, and a kernel's rotated inputs and sums.
    fn ciphertexts(&self, diagonals: &[Vec<Diagonals>]) -> u64 {
        let tensors: usize =
            self.steps.iter().map(Step::layout).map(|layout: &Layout| layout.ciphertexts).sum();
        let working = diagonals.iter().flatten().map(Diagonals::working_set).max().unwrap_or(0);
        (tensors + working + 8) as u64
    }
}
