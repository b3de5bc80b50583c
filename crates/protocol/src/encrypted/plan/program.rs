//! A plan at work: weights encoded, steps run under any interpreter.

use bfv::{Ciphertext, Parameters};
use linear::slots::{Bfv, Cycle, Diagonals, Factor, Layer, Matrix, Ones, Pattern, Slots, Weights, apply};
use model::fixed::{FixedGraph, NodeId, Params};
use rayon::prelude::*;

use super::affine::{Affine, Visit};
use super::lower::{Kind, Network, Path};
use super::view::{Patches, View};
use super::{Plan, Refusal, Step};
use crate::encrypted::program::{EvaluationKeys, Program};
use crate::error::Error;
use crate::session::Progress;

/// For each tensor the weights of its stages.
pub(super) type Encoded<S> = Vec<Vec<Weights<<S as Slots>::Factor, <S as Slots>::Addend>>>;

/// A plan with everything derived from it that no weight is needed for.
pub(super) struct Prepared {
    pub plan: Plan,
    pub network: Network,
    pub cycle: Cycle,
    pub diagonals: Vec<Vec<Diagonals>>,
}

/// The elements of one path's matrix, by walking the graph.
struct PathMatrix<'a> {
    affine: &'a Affine<'a>,
    node: NodeId,
    source: NodeId,
    patches: Option<Patches>,
}

impl Matrix for PathMatrix<'_> {
    fn visit_row(&self, output: usize, visit: &mut dyn FnMut(usize, i128)) {
        struct Row<'a, 'b> {
            matrix: &'a PathMatrix<'a>,
            output: usize,
            visit: &'b mut dyn FnMut(usize, i128),
        }
        impl Visit for Row<'_, '_> {
            fn element(&mut self, source: NodeId, element: usize, coefficient: i128) {
                if source == self.matrix.source {
                    let seen = match &self.matrix.patches {
                        // An element that is in no patch is none of the pattern's either: the encoder refuses it.
                        Some(patches) => patches.element(self.output, element).unwrap_or(usize::MAX),
                        None => element,
                    };
                    (self.visit)(seen, coefficient);
                }
            }
            fn constant(&mut self, _: i128) {}
        }
        self.affine.walk(self.node, output, 1, &mut Row { matrix: self, output, visit });
    }
}

/// The constants of a node.
struct Constants(i128);

impl Visit for Constants {
    fn element(&mut self, _: NodeId, _: usize, _: i128) {}
    fn constant(&mut self, constant: i128) {
        self.0 = self.0.wrapping_add(constant);
    }
}

impl Prepared {
    pub fn new(plan: &Plan, graph: &FixedGraph) -> Result<Self, Refusal> {
        let (network, cycle) = (Network::new(graph)?, plan.cycle()?);
        let diagonals = plan.diagonals(&network, cycle)?;
        Ok(Self { plan: plan.clone(), network, cycle, diagonals })
    }

    /// Encodes all weights for an interpreter.
    pub fn encode<S: Slots>(
        &self,
        slots: &S,
        graph: &FixedGraph,
        params: &Params,
    ) -> Result<Encoded<S>, Refusal> {
        let materialised = self.network.materialised();
        let affine = Affine::new(graph, Some(params), &materialised);
        let mut out = Vec::with_capacity(self.plan.steps.len());
        for (index, tensor) in self.network.tensors.iter().enumerate() {
            let mut weights = Vec::new();
            let stages = self.plan.steps[index].stages().iter().zip(&self.diagonals[index]);
            for (number, (stage, diagonals)) in stages.enumerate() {
                let encoded = match &tensor.kind {
                    Kind::Linear(paths) if number == 0 => {
                        let matrices: Vec<PathMatrix<'_>> =
                            paths.iter().map(|path| self.matrix(&affine, tensor.node, path)).collect();
                        let bias = constants(&affine, tensor.node, stage.kernel.output.elements());
                        let matrices = matrices.iter().map(|matrix| matrix as &dyn Matrix).collect();
                        let layer = Layer { matrices, bias: &bias };
                        Weights::encode(slots, &stage.kernel, diagonals, &layer, stage.level)?
                    }
                    _ => {
                        let identity = Ones(Pattern::identity(stage.kernel.output.elements()));
                        let layer = Layer { matrices: vec![&identity], bias: &[] };
                        Weights::encode(slots, &stage.kernel, diagonals, &layer, stage.level)?
                    }
                };
                weights.push(encoded.finishing_at(stage.after));
            }
            out.push(weights);
        }
        Ok(out)
    }

    fn matrix<'a>(&self, affine: &'a Affine<'a>, node: NodeId, path: &Path) -> PathMatrix<'a> {
        let patches = match self.plan.steps[path.source] {
            Step::Input { view: View::Patches, .. } => Patches::of(&self.network, path.source),
            _ => None,
        };
        PathMatrix { affine, node, source: self.network.tensors[path.source].node, patches }
    }

    /// Runs all steps. `inputs` are the ciphertexts of all inputs in order.
    pub fn run<S: Slots>(
        &self,
        slots: &S,
        weights: &Encoded<S>,
        inputs: Vec<S::Cipher>,
        progress: &dyn Progress,
    ) -> Result<Vec<S::Cipher>, linear::Error> {
        let missing = || linear::Error::Layout("a tensor that a step needs".into());
        let mut inputs = inputs.into_iter();
        let mut values: Vec<Vec<S::Cipher>> = Vec::with_capacity(self.plan.steps.len());
        let total = self.plan.steps.len() as u64;
        for (index, step) in self.plan.steps.iter().enumerate() {
            let (stages, weights) = (step.stages(), &weights[index]);
            let mut moves = stages.iter().zip(&self.diagonals[index]).zip(weights);
            let mut value = match (step, &self.network.tensors[index].kind) {
                (Step::Input { layout, .. }, _) => inputs.by_ref().take(layout.ciphertexts).collect(),
                (Step::Linear { .. }, Kind::Linear(paths)) => {
                    let operands: Vec<&S::Cipher> =
                        paths.iter().flat_map(|path| &values[path.source]).collect();
                    let ((stage, diagonals), weights) = moves.next().ok_or_else(missing)?;
                    apply(slots, &stage.kernel, diagonals, weights, &operands)?
                }
                (Step::Product { level, .. }, Kind::Product(a, b)) => {
                    product(slots, (&values[*a], &values[*b]), a == b, *level)?
                }
                _ => return Err(missing()),
            };
            for ((stage, diagonals), weights) in moves {
                let operands: Vec<&S::Cipher> = value.iter().collect();
                value = apply(slots, &stage.kernel, diagonals, weights, &operands)?;
            }
            values.push(value);
            self.forget(index, &mut values);
            progress.report(index as u64 + 1, total);
        }
        let results = self.network.outputs.iter().flat_map(|output| &values[*output]);
        results.map(|result| slots.switch_down(result, self.plan.limbs)).collect()
    }

    /// Drops what no later step needs.
    fn forget<C>(&self, done: usize, values: &mut [Vec<C>]) {
        let later = &self.network.tensors[done + 1..];
        for (tensor, value) in values.iter_mut().enumerate() {
            let taken = later.iter().any(|other| match &other.kind {
                Kind::Input => false,
                Kind::Linear(paths) => paths.iter().any(|path| path.source == tensor),
                Kind::Product(a, b) => *a == tensor || *b == tensor,
            });
            if !taken && !self.network.outputs.contains(&tensor) {
                *value = Vec::new();
            }
        }
    }
}

fn constants(affine: &Affine<'_>, node: NodeId, count: usize) -> Vec<i128> {
    let constant = |element| {
        let mut constants = Constants(0);
        affine.walk(node, element, 1, &mut constants);
        constants.0
    };
    (0..count).map(constant).collect()
}

fn product<S: Slots>(
    slots: &S,
    (a, b): (&[S::Cipher], &[S::Cipher]),
    square: bool,
    level: usize,
) -> Result<Vec<S::Cipher>, linear::Error> {
    a.par_iter()
        .zip(b)
        .map(|(a, b)| {
            let first = slots.switch_down(a, level)?;
            if square { slots.square(&first) } else { slots.multiply(&first, &slots.switch_down(b, level)?) }
        })
        .collect()
}

/// A network with its weights under one plan, ready to compute on ciphertexts.
pub struct LayoutProgram {
    prepared: Prepared,
    parameters: Vec<Parameters>,
    /// For each plaintext modulus.
    weights: Vec<Vec<Vec<Weights<Factor, bfv::Plaintext>>>>,
}

impl Plan {
    /// Encodes a network's weights. Factors in evaluation form take at most `memory` bytes; what goes beyond is kept modulo
    /// the plaintext modulus and transformed when it is used.
    ///
    /// # Errors
    /// If the plan is not one for this network.
    pub fn program(
        &self,
        graph: &FixedGraph,
        params: &Params,
        memory: u64,
    ) -> Result<LayoutProgram, Refusal> {
        let prepared = Prepared::new(self, graph)?;
        let parameters = self.scheme.parameters()?;
        let each = memory / parameters.len().max(1) as u64;
        let weights = parameters
            .iter()
            .map(|set| prepared.encode(&Bfv::new(set, None, None, each)?, graph, params))
            .collect::<Result<_, Refusal>>()?;
        Ok(LayoutProgram { prepared, parameters, weights })
    }
}

impl Program for LayoutProgram {
    fn run(
        &self,
        modulus: usize,
        inputs: Vec<Ciphertext>,
        keys: &EvaluationKeys,
        progress: &dyn Progress,
    ) -> Result<Vec<Ciphertext>, Error> {
        let wrong = |error: linear::Error| Error::malformed("request", error.to_string());
        let (Some(parameters), Some(weights)) = (self.parameters.get(modulus), self.weights.get(modulus))
        else {
            return Err(Error::malformed("request", "no such plaintext modulus"));
        };
        let bfv = Bfv::new(parameters, keys.relinearisation.as_ref(), Some(&keys.automorphisms), 0);
        self.prepared.run(&bfv.map_err(wrong)?, weights, inputs, progress).map_err(wrong)
    }
}
