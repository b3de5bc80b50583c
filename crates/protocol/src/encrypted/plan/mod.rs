//! Plans of encrypted computations: which representation every tensor has, and which product leads from one to the next.
//!
//! LoLa's authors chose the representations of their networks by hand and left the choice for any network open. Here it is a
//! search: a network is brought to a normal form (`lower`: products of tensors, and one matrix for all that is linear
//! between them), every tensor gets candidates of layouts (`candidates`), and a beam of partial plans is extended tensor by tensor
//! (`search`), each step priced by counting its operations and fitted with the cheapest baby and giant steps; at the end the
//! parameters of the scheme are derived for the whole chain of operations at every degree, and the cheapest is taken.
//! The authors' own plans are in `preset`.
//!
//! A plan is made from the architecture alone, never from weights: it is public. The client gets it from the server and
//! checks it ([`Plan::validate`]) before anything else.

mod affine;
mod candidates;
mod check;
mod cost;
mod lower;
mod noise;
mod outline;
mod preset;
mod program;
mod search;
mod show;
mod split;
#[cfg(test)]
mod tests;
mod view;

use std::collections::BTreeMap;

use linear::slots::{Cycle, Diagonals, Kernel, Layout, Operations, Pattern};
use model::fixed::FixedGraph;
use serde::{Deserialize, Serialize};

pub use preset::Preset;
pub use program::LayoutProgram;
pub use show::StepSummary;
pub use view::View;

use lower::{Kind, Network};

/// Why a network has no plan, or a plan is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// A layer that cannot be computed under encryption.
    #[error("layer {name}: {reason}")]
    Layer {
        /// The layer.
        name: String,
        /// Why not.
        reason: String,
    },
    /// Integers beyond what a plaintext space can be made for.
    #[error("layer {name}: its integers need {bits} bits where plaintext spaces have up to {most}")]
    Range {
        /// The layer.
        name: String,
        /// Bits that it needs.
        bits: u32,
        /// Bits that there can be.
        most: u32,
    },
    /// No parameters within the security table leave room for the computation.
    #[error(
        "layer {name}: no parameters of 128-bit security leave room for the noise of all layers up to it"
    )]
    Noise {
        /// The layer.
        name: String,
    },
    /// A plan that is none, or not one for this network.
    #[error("the plan is wrong: {0}")]
    Invalid(String),
    /// A failure of a layer's kernel.
    #[error(transparent)]
    Kernel(#[from] linear::Error),
    /// A failure of the scheme.
    #[error(transparent)]
    Scheme(#[from] bfv::Error),
}

/// What a plan is to be like.
#[derive(Clone, Debug)]
pub struct Options {
    /// A plan by name; the best that is found otherwise.
    pub preset: Option<Preset>,
    /// Cores that compute one query.
    pub threads: usize,
    /// Most bytes of a request.
    pub upload: u64,
    /// Bytes of evaluation keys above which a plan is expensive.
    pub keys: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { preset: None, threads: 2, upload: 3_000_000, keys: 20_000_000 }
    }
}

/// The plaintext space: one modulus, or several for values by their residues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Space {
    /// `X^(N / power) - base`, slots modulo `base^power + 1`.
    Generalised {
        /// The base.
        base: u64,
        /// The power.
        power: u32,
    },
    /// A prime with N slots.
    Prime(u64),
}

/// The scheme's parameters as numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheme {
    /// Ring degree.
    pub degree: usize,
    /// The plaintext moduli.
    pub spaces: Vec<Space>,
    /// The primes of the ciphertext modulus.
    pub data: Vec<u64>,
    /// The special prime.
    pub special: Option<u64>,
    /// Bits of key-switching digits.
    pub digit_bits: Option<u32>,
}

/// A kernel, and the levels at which it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// The product.
    pub kernel: Kernel,
    /// Limbs of the products.
    pub level: usize,
    /// Limbs of giant steps, folds and replication.
    pub after: usize,
}

/// One tensor's computation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// An input of the graph, as the client packs it.
    Input {
        /// How the tensor is seen.
        view: View,
        /// Where its elements are.
        layout: Layout,
    },
    /// A linear map: the first stage; the others move the result into another layout.
    Linear {
        /// The stages.
        stages: Vec<Stage>,
    },
    /// A square or product.
    Product {
        /// Where the elements of the operands, and of the result, are.
        layout: Layout,
        /// Limbs.
        level: usize,
        /// Stages that move the result into another layout.
        stages: Vec<Stage>,
    },
}

/// A plan: one step for each tensor of the network's normal form, in its order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// `found`, or the name of a preset.
    pub name: String,
    /// The scheme.
    pub scheme: Scheme,
    /// The steps.
    pub steps: Vec<Step>,
    /// Limbs of the results.
    pub limbs: usize,
    /// The base-2 logarithm of the variance of the results' noise, masks and flooding not included.
    pub noise: f64,
    /// The time that one query is expected to take on one core of the machine that costs were measured on, in seconds.
    pub seconds: f64,
}

/// Most bits of one plaintext modulus.
pub(crate) const MAX_BITS: u32 = 119;

/// Most bits of a result.
pub(crate) const MOST_BITS: u32 = 125;

/// The largest ring degree.
const MAX_DEGREE: usize = 1 << 15;

impl Plan {
    /// The best plan for a network, or the one asked for by name. The same network and options give the same plan.
    ///
    /// # Errors
    /// With the layer that cannot be computed, whose integers do not fit, or whose noise does not.
    pub fn find(graph: &FixedGraph, options: &Options) -> Result<Self, Refusal> {
        let network = Network::new(graph)?;
        match options.preset {
            Some(preset) => preset::plan(graph, &network, preset),
            None => search::find(graph, &network, options),
        }
    }

    /// The arrangement of slots.
    ///
    /// # Errors
    /// If there is no plaintext space.
    pub fn cycle(&self) -> Result<Cycle, Refusal> {
        let wrong = || Refusal::Invalid("its plaintext space has no slots".into());
        let cycle = match self.scheme.spaces.first().ok_or_else(wrong)? {
            Space::Generalised { power, .. } if power.is_power_of_two() => {
                Cycle::single(self.scheme.degree >> power.ilog2())
            }
            Space::Generalised { .. } => return Err(wrong()),
            Space::Prime(_) => Cycle { rows: 2, columns: self.scheme.degree / 2 },
        };
        if cycle.is_valid() { Ok(cycle) } else { Err(wrong()) }
    }

    /// Checks a plan from a peer against the network it is for.
    ///
    /// # Errors
    /// [`Refusal::Invalid`], or the network's own refusal.
    pub fn validate(&self, graph: &FixedGraph) -> Result<(), Refusal> {
        let wrong = |text: &str| Err(Refusal::Invalid(text.into()));
        let network = Network::new(graph)?;
        if !self.scheme.degree.is_power_of_two() || self.scheme.degree > MAX_DEGREE {
            return wrong("its degree");
        }
        let cycle = self.cycle()?;
        if self.steps.len() != network.tensors.len() {
            return wrong("its steps are not the network's");
        }
        if self.name.len() > 64 || !self.noise.is_finite() || !self.seconds.is_finite() {
            return wrong("its figures");
        }
        for (index, step) in self.steps.iter().enumerate() {
            self.check_step(graph, &network, cycle, index, step)?;
        }
        self.outline(graph)?.validate(graph).map_err(|error| Refusal::Invalid(error.to_string()))
    }

    fn check_step(
        &self,
        graph: &FixedGraph,
        network: &Network,
        cycle: Cycle,
        index: usize,
        step: &Step,
    ) -> Result<(), Refusal> {
        let wrong = |text: &str| Err(Refusal::Invalid(text.into()));
        let level = |level: usize| (1..=self.scheme.data.len()).contains(&level);
        let tensor = &network.tensors[index];
        let elements: usize = graph.nodes[tensor.node].shape.iter().product();
        match (&tensor.kind, step) {
            (Kind::Input, Step::Input { view, layout }) => {
                layout.validate(cycle)?;
                let seen = match view {
                    View::Raw => Some(elements),
                    View::Patches => view::Patches::of(network, index).map(|patches| patches.elements()),
                };
                if seen != Some(layout.elements()) || !layout.partials.is_empty() {
                    return wrong("an input's layout");
                }
            }
            (Kind::Linear(paths), Step::Linear { stages }) => {
                let Some((first, moves)) = stages.split_first() else { return wrong("a linear step") };
                first.kernel.validate(cycle)?;
                let operands = paths.len() == first.kernel.inputs.len()
                    && paths
                        .iter()
                        .zip(&first.kernel.inputs)
                        .all(|(path, input)| self.layout(path.source) == Some(input));
                if !operands || first.kernel.output.elements() != elements {
                    return wrong("a linear step");
                }
                check_moves(cycle, &first.kernel.output, moves)?;
            }
            (Kind::Product(a, b), Step::Product { layout, level: own, stages }) => {
                let same = [*a, *b].map(|operand| self.layout(operand) == Some(layout)) == [true; 2];
                if !same || !layout.partials.is_empty() || !level(*own) {
                    return wrong("a product's operands");
                }
                check_moves(cycle, layout, stages)?;
            }
            _ => return wrong("a step of another kind than its layer"),
        }
        if step.stages().iter().all(|stage| level(stage.level) && (1..=stage.level).contains(&stage.after)) {
            Ok(())
        } else {
            wrong("a level that there is not")
        }
    }

    /// The layout of a tensor.
    pub(crate) fn layout(&self, tensor: usize) -> Option<&Layout> {
        self.steps.get(tensor).map(Step::layout)
    }

    /// For each step the diagonals of its stages.
    fn diagonals(&self, network: &Network, cycle: Cycle) -> Result<Vec<Vec<Diagonals>>, Refusal> {
        let views = self.views();
        let of = |(index, step): (usize, &Step)| {
            let main = matches!(step, Step::Linear { .. });
            let stage = |(number, stage): (usize, &Stage)| {
                let patterns = if main && number == 0 {
                    view::patterns(network, &views, index)
                } else {
                    vec![Pattern::identity(stage.kernel.output.elements())]
                };
                Ok(Diagonals::new(cycle, &stage.kernel, &patterns)?)
            };
            step.stages().iter().enumerate().map(stage).collect()
        };
        self.steps.iter().enumerate().map(of).collect()
    }

    /// For each tensor how it is seen.
    fn views(&self) -> Vec<View> {
        let view = |step: &Step| if let Step::Input { view, .. } = step { *view } else { View::Raw };
        self.steps.iter().map(view).collect()
    }

    /// The steps by which the server rotates, each with the most limbs that it does so with.
    fn rotations<'a>(
        &self,
        diagonals: impl Iterator<Item = &'a Diagonals>,
        cycle: Cycle,
    ) -> BTreeMap<usize, usize> {
        let mut most = BTreeMap::new();
        for (stage, diagonals) in self.steps.iter().flat_map(Step::stages).zip(diagonals) {
            let [before, after] = diagonals.steps_around_products(cycle, &stage.kernel);
            let before = before.into_iter().map(|step| (step, stage.level));
            for (step, limbs) in before.chain(after.into_iter().map(|step| (step, stage.after))) {
                let known = most.entry(step).or_insert(limbs);
                *known = limbs.max(*known);
            }
        }
        most
    }

    /// The seconds of each step on one core of the machine that costs were measured on, with the layer's name; they add up to
    /// [`Plan::seconds`].
    ///
    /// # Errors
    /// If the plan is not one for this network.
    pub fn step_seconds(&self, graph: &FixedGraph) -> Result<Vec<(String, f64)>, Refusal> {
        let (network, cycle) = (Network::new(graph)?, self.cycle()?);
        let scheme = &self.scheme;
        let widest = scheme.data.first().map_or(0, |prime| 64 - prime.leading_zeros());
        let windows = scheme.digit_bits.map_or(1, |bits| widest.div_ceil(bits.max(1))) as usize;
        let ring = cost::Ring { degree: scheme.degree, windows, special: scheme.special.is_some() };
        let all = self.diagonals(&network, cycle)?;
        let of = |((step, diagonals), tensor): ((&Step, &Vec<Diagonals>), &lower::Tensor)| {
            let mut microseconds = 0.0;
            if let Step::Product { layout, level, .. } = step {
                let squares = layout.ciphertexts as u64;
                let operations = Operations { squares, ..Operations::default() };
                microseconds += cost::microseconds(&operations, ring, *level, *level);
            }
            for (number, (stage, diagonals)) in step.stages().iter().zip(diagonals).enumerate() {
                let bias = number == 0 && matches!(step, Step::Linear { .. });
                let operations = cost::count(cycle, &stage.kernel, diagonals, bias)?;
                microseconds += cost::microseconds(&operations, ring, stage.level, stage.after);
            }
            let name = graph.nodes[tensor.node].name.clone();
            Ok((name, microseconds * 1e-6 * scheme.spaces.len() as f64))
        };
        self.steps.iter().zip(&all).zip(&network.tensors).map(of).collect()
    }

    /// The operations of each step: the price list of the plan.
    ///
    /// # Errors
    /// If the plan is not one for this network.
    pub fn operations(&self, graph: &FixedGraph) -> Result<Vec<Operations>, Refusal> {
        let (network, cycle) = (Network::new(graph)?, self.cycle()?);
        let diagonals = self.diagonals(&network, cycle)?;
        let of = |(step, diagonals): (&Step, &Vec<Diagonals>)| {
            let mut sum = Operations::default();
            if let Step::Product { layout, .. } = step {
                sum.squares = layout.ciphertexts as u64;
            }
            for (number, (stage, diagonals)) in step.stages().iter().zip(diagonals).enumerate() {
                let bias = number == 0 && matches!(step, Step::Linear { .. });
                sum += cost::count(cycle, &stage.kernel, diagonals, bias)?;
            }
            Ok(sum)
        };
        self.steps.iter().zip(&diagonals).map(of).collect()
    }
}

/// Stages that lead from one layout to the next.
fn check_moves(cycle: Cycle, from: &Layout, stages: &[Stage]) -> Result<(), Refusal> {
    let mut from = from;
    for stage in stages {
        stage.kernel.validate(cycle)?;
        let kernel = &stage.kernel;
        if kernel.inputs.len() != 1
            || kernel.inputs.first() != Some(from)
            || kernel.output.elements() != from.elements()
        {
            return Err(Refusal::Invalid("a stage that does not follow the one before".into()));
        }
        from = &kernel.output;
    }
    Ok(())
}

impl Step {
    /// Where its result is.
    pub fn layout(&self) -> &Layout {
        match self {
            Self::Input { layout, .. } => layout,
            Self::Product { layout, stages, .. } => {
                stages.last().map_or(layout, |stage| &stage.kernel.output)
            }
            // A linear step has a stage: plans from outside are refused without one.
            Self::Linear { stages } => stages.last().map_or(&EMPTY_LAYOUT, |stage| &stage.kernel.output),
        }
    }

    /// Its stages.
    pub fn stages(&self) -> &[Stage] {
        match self {
            Self::Input { .. } => &[],
            Self::Linear { stages } | Self::Product { stages, .. } => stages,
        }
    }
}

/// A layout of nothing.
static EMPTY_LAYOUT: Layout =
    Layout { ciphertexts: 0, offset: 0, axes: Vec::new(), copies: Vec::new(), partials: Vec::new() };
