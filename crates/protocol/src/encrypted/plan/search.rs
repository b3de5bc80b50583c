//! The search: a beam of partial plans, extended tensor by tensor.

use std::collections::BTreeSet;

use bfv::PlainModulus;
use bfv::chain::Shape;
use linear::slots::{Cycle, Diagonals, Factors, Kernel, Layout, Operations, Pattern, Relation};
use model::fixed::FixedGraph;
use rayon::prelude::*;

use super::candidates::{Target, Wish, inputs, targets};
use super::cost::{self, KEY, NOMINAL, Ring, microseconds};
use super::lower::{Kind, Network};
use super::noise::{self, Links, StageDraft};
use super::split::split;
use super::view::{Patches, View, patterns};
use super::{Options, Plan, Refusal, Scheme, Stage, Step};
use crate::encrypted::outline::{Finish, MAX_PLAIN_BITS, MAX_SHARED_BITS};

/// Partial plans kept.
const BEAM: usize = 6;

/// Kernels of a step whose baby steps are looked at, those with the fewest products first.
const SPLITS: usize = 12;

/// Results up to which one prime with as many slots as coefficients is tried.
const SHORT_BITS: u32 = 45;

/// Most bits that each of several plaintext moduli is asked for.
const NARROW_BITS: u32 = 60;

/// A tensor's part of a partial plan.
#[derive(Clone)]
pub(super) enum Draft {
    /// An input whose layout the first step that takes it will choose.
    Open,
    Input(View, Layout),
    Linear(Vec<StageDraft>),
    Product(Layout, Vec<StageDraft>),
}

impl Draft {
    fn layout(&self) -> Option<&Layout> {
        match self {
            Self::Open => None,
            Self::Input(_, layout) => Some(layout),
            Self::Product(layout, stages) => Some(stages.last().map_or(layout, |stage| &stage.kernel.output)),
            Self::Linear(stages) => stages.last().map(|stage| &stage.kernel.output),
        }
    }
}

impl Draft {
    pub(super) fn stages(&self) -> &[StageDraft] {
        match self {
            Self::Linear(stages) | Self::Product(_, stages) => stages,
            _ => &[],
        }
    }
}

/// A partial plan.
#[derive(Clone, Default)]
pub(super) struct State {
    pub drafts: Vec<Draft>,
    pub keys: BTreeSet<usize>,
    pub cost: f64,
}

/// The best plan.
pub(super) fn find(graph: &FixedGraph, network: &Network, options: &Options) -> Result<Plan, Refusal> {
    let ranges = output_bits(graph);
    if ranges.1 > super::MOST_BITS {
        return Err(Refusal::Range { name: ranges.0, bits: ranges.1, most: super::MOST_BITS });
    }
    let mut best: Option<(f64, Plan)> = None;
    let mut cycles: Vec<Cycle> = (8..=13).map(|log2| Cycle::single(1 << log2)).collect();
    // With a prime modulus every slot is one, but noise grows by all of the modulus: for short integers only.
    if ranges.1 <= SHORT_BITS {
        cycles.extend((12..=14).map(|log2| Cycle { rows: 2, columns: 1 << (log2 - 1) }));
    }
    for cycle in cycles {
        for state in beam(network, cycle, options)? {
            for (degree, spaces) in spaces(cycle, ranges.1) {
                let found = finish(graph, network, (&state, "found"), (degree, &spaces), options)?;
                if let Some(found) = found
                    && best.as_ref().is_none_or(|(least, _)| found.0 < *least)
                {
                    best = Some(found);
                }
            }
        }
    }
    let name = || graph.nodes[graph.outputs.first().map_or(0, |output| output.node)].name.clone();
    best.map(|(_, plan)| plan).ok_or_else(|| Refusal::Noise { name: name() })
}

/// The widest result: its layer and its bits. Integers inside may wrap, results may not.
pub(super) fn output_bits(graph: &FixedGraph) -> (String, u32) {
    let nodes = graph.outputs.iter().map(|output| &graph.nodes[output.node]);
    nodes.map(|node| (node.name.clone(), node.format.bits)).max_by_key(|(_, bits)| *bits).unwrap_or_default()
}

/// Plaintext spaces with these slots that hold results of so many bits, at every degree.
pub(super) fn spaces(cycle: Cycle, bits: u32) -> Vec<(usize, Vec<PlainModulus>)> {
    let mut out = Vec::new();
    for degree in bfv::security::degrees().filter(|degree| *degree >= 2 * cycle.columns) {
        for count in 1..=6u32 {
            let each = bits.div_ceil(count);
            let found = if cycle.rows == 2 {
                if degree != 2 * cycle.columns || !(20..=58).contains(&each) {
                    continue;
                }
                (0..count as usize).map(|index| PlainModulus::slots(each + 1, degree, index)).collect()
            } else {
                if count > 3 || each > if count == 1 { super::MAX_BITS } else { NARROW_BITS } {
                    continue;
                }
                generalised(degree, cycle.columns, bits, count)
            };
            // Moduli may be wider than asked for: too wide by themselves, or all together.
            let narrow = |found: &Vec<PlainModulus>| {
                let shared = |one: &PlainModulus| one.log2() < f64::from(MAX_SHARED_BITS);
                (found.len() == 1 || found.iter().all(shared))
                    && found.iter().map(PlainModulus::log2).sum::<f64>() <= MAX_PLAIN_BITS
            };
            if let Some(found) = found.filter(narrow) {
                out.push((degree, found));
                break;
            }
        }
    }
    out
}

/// The smallest moduli whose product holds so many bits.
fn generalised(degree: usize, slots: usize, bits: u32, count: u32) -> Option<Vec<PlainModulus>> {
    let mut least = (f64::from(bits) / f64::from(count)).exp2().ceil() as u128;
    (0..count)
        .map(|_| {
            let found = PlainModulus::generalised(degree, slots, least)?;
            least = found.slot_modulus()? + 1;
            Some(found)
        })
        .collect()
}

/// The cheapest partial plans for all tensors with these slots.
fn beam(network: &Network, cycle: Cycle, options: &Options) -> Result<Vec<State>, Refusal> {
    let mut states = vec![State::default()];
    for (index, tensor) in network.tensors.iter().enumerate() {
        let mut next: Vec<State> = Vec::new();
        for state in &states {
            match &tensor.kind {
                Kind::Input => next.push(state.with(Draft::Open, 0.0, BTreeSet::new())),
                Kind::Product(a, b) => next.extend(product(network, state, (*a, *b), cycle)),
                Kind::Linear(_) => next.extend(linear(network, state, index, cycle, options)),
            }
        }
        next.sort_by(|a, b| a.cost.total_cmp(&b.cost));
        let mut kept: Vec<State> = Vec::new();
        for state in next {
            let like = |other: &&State| other.layouts() == state.layouts();
            // Several plans may lead to one layout; a few of them may turn out better with their parameters.
            if kept.iter().filter(like).count() < 1 && kept.len() < BEAM {
                kept.push(state);
            }
        }
        states = kept;
    }
    Ok(states)
}

impl State {
    fn with(&self, draft: Draft, cost: f64, keys: BTreeSet<usize>) -> Self {
        let mut next = self.clone();
        let fresh = keys.difference(&self.keys).count() as f64;
        next.cost += cost + fresh * KEY;
        next.keys.extend(keys);
        next.drafts.push(draft);
        next
    }

    /// The layout of the last tensor: what tensors to come depend on.
    fn layouts(&self) -> Option<&Layout> {
        self.drafts.last().and_then(Draft::layout)
    }

    fn view(&self, tensor: usize) -> View {
        if let Some(Draft::Input(view, _)) = self.drafts.get(tensor) { *view } else { View::Raw }
    }
}

/// What the tensors that take a tensor, or a square of it, would like.
fn wish(network: &Network, tensor: usize) -> Wish {
    let mut wish = Wish { phases: [1, 1], result: network.outputs.contains(&tensor) };
    for (index, other) in network.tensors.iter().enumerate() {
        match &other.kind {
            Kind::Product(a, b) if *a == tensor || *b == tensor => {
                wish.phases = self::wish(network, index).phases
            }
            Kind::Linear(paths) => {
                let taken = paths.iter().filter(|path| path.source == tensor);
                for path in taken {
                    wish.result = false;
                    if let Pattern::Axes(axes) = &path.pattern {
                        wish.phases = strides(axes);
                    }
                }
            }
            _ => {}
        }
    }
    wish.result &= matches!(network.tensors[tensor].kind, Kind::Linear(_));
    wish
}

/// Strides of the windows of a convolution's pattern.
fn strides(axes: &[Relation]) -> [usize; 2] {
    let stride = |axis: &Relation| if let Relation::Window { stride, .. } = axis { *stride } else { 1 };
    if let [_, y, x] = axes { [stride(y), stride(x)] } else { [1, 1] }
}

fn product(network: &Network, state: &State, (a, b): (usize, usize), cycle: Cycle) -> Vec<State> {
    let mut state = state.clone();
    for operand in [a, b] {
        if matches!(state.drafts[operand], Draft::Open) {
            let size = network.tensors[operand].dims.iter().product();
            state.drafts[operand] = Draft::Input(View::Raw, Layout::dense(size, cycle));
        }
    }
    let (Some(first), Some(second)) = (state.drafts[a].layout(), state.drafts[b].layout()) else {
        return Vec::new();
    };
    if first != second || !first.partials.is_empty() {
        return Vec::new();
    }
    let operations = Operations { squares: first.ciphertexts as u64, ..Operations::default() };
    let cost = microseconds(&operations, NOMINAL.0, NOMINAL.1, NOMINAL.1);
    let layout = first.clone();
    vec![state.with(Draft::Product(layout, Vec::new()), cost, BTreeSet::new())]
}

/// A kernel before its baby steps are chosen, and the input that it fixes.
struct Proposal {
    kernel: Kernel,
    input: Option<(usize, View, Layout)>,
    patterns: Vec<Pattern>,
}

fn linear(network: &Network, state: &State, index: usize, cycle: Cycle, options: &Options) -> Vec<State> {
    let mut made: Vec<(Proposal, Diagonals)> = proposals(network, state, index, cycle, options)
        .into_par_iter()
        .filter_map(|proposal| {
            let diagonals = Diagonals::new(cycle, &proposal.kernel, &proposal.patterns).ok()?;
            Some((proposal, diagonals))
        })
        .collect();
    made.sort_by(|a, b| rough(a).total_cmp(&rough(b)));
    made.truncate(SPLITS);
    made.into_par_iter()
        .filter_map(|(proposal, diagonals)| {
            let (kernel, cost) = split(cycle, proposal.kernel, &diagonals, options.threads)?;
            let diagonals = Diagonals::new(cycle, &kernel, &proposal.patterns).ok()?;
            let operations = cost::count(cycle, &kernel, &diagonals, true).ok()?;
            let keys = diagonals.steps(cycle, &kernel);
            let mut state = state.clone();
            let mut upload = 0.0;
            if let Some((input, view, layout)) = proposal.input {
                // A ciphertext more to encrypt, send and read.
                upload = 300.0 * layout.ciphertexts as f64;
                state.drafts[input] = Draft::Input(view, layout);
            }
            let stage = StageDraft { kernel, diagonals, operations };
            Some(state.with(Draft::Linear(vec![stage]), cost + upload, keys))
        })
        .collect()
}

/// About what a kernel will cost with its best baby steps, the squares that follow and what the client sends.
fn rough((proposal, diagonals): &(Proposal, Diagonals)) -> f64 {
    let kernel = &proposal.kernel;
    let inputs = proposal.input.as_ref().map_or(0, |(_, _, layout)| layout.ciphertexts);
    let products = diagonals.entries().len() as f64;
    let outputs = kernel.output.ciphertexts as f64;
    let folds = kernel.fold.filter(|_| !kernel.by_client).map_or(0.0, |fold| f64::from(fold.log2));
    9.0 * products + 400.0 * products.sqrt() + (1400.0 + 360.0 * folds) * outputs + 300.0 * inputs as f64
}

fn proposals(
    network: &Network,
    state: &State,
    index: usize,
    cycle: Cycle,
    options: &Options,
) -> Vec<Proposal> {
    let tensor = &network.tensors[index];
    let Kind::Linear(paths) = &tensor.kind else { return Vec::new() };
    let mut state = state.clone();
    let mut open = None;
    for path in paths {
        if !matches!(state.drafts[path.source], Draft::Open) {
            continue;
        }
        if open.is_some_and(|open| open != path.source) {
            let size = network.tensors[path.source].dims.iter().product();
            state.drafts[path.source] = Draft::Input(View::Raw, Layout::dense(size, cycle));
        } else {
            open = Some(path.source);
        }
    }
    let like: Vec<Layout> =
        paths.iter().filter_map(|path| state.drafts[path.source].layout().cloned()).collect();
    let mut out = Vec::new();
    for target in targets(&tensor.dims, wish(network, index), &like, cycle) {
        match open {
            None => out.extend(proposal(network, &state, index, &target, None)),
            Some(source) => {
                let stride = paths.iter().find(|path| path.source == source).map_or([1, 1], |path| {
                    if let Pattern::Axes(axes) = &path.pattern { strides(axes) } else { [1, 1] }
                });
                let patches = Patches::of(network, source).filter(|_| paths.len() == 1);
                let dims = &network.tensors[source].dims;
                for (patched, layout, target) in inputs(dims, patches.as_ref(), stride, &target, cycle) {
                    // The smallest ciphertext that has room for anything is some 12 bytes a slot.
                    if (layout.ciphertexts * cycle.slots() * 12) as u64 > options.upload {
                        continue;
                    }
                    let view = if patched { View::Patches } else { View::Raw };
                    out.extend(proposal(network, &state, index, &target, Some((source, view, layout))));
                }
            }
        }
    }
    out
}

fn proposal(
    network: &Network,
    state: &State,
    index: usize,
    target: &Target,
    input: Option<(usize, View, Layout)>,
) -> Option<Proposal> {
    let Kind::Linear(paths) = &network.tensors[index].kind else { return None };
    let mut views: Vec<View> = (0..state.drafts.len()).map(|tensor| state.view(tensor)).collect();
    if let Some((source, view, _)) = &input {
        views[*source] = *view;
    }
    let layout = |source: usize| match &input {
        Some((fixed, _, layout)) if *fixed == source => Some(layout.clone()),
        _ => state.drafts[source].layout().cloned(),
    };
    let layouts = paths.iter().map(|path| layout(path.source)).collect::<Option<Vec<_>>>()?;
    let first = layouts.first()?.clone();
    let kernel = Kernel {
        inputs: layouts,
        direct: target.direct,
        fold: target.fold,
        by_client: target.by_client,
        factors: Factors::Slots,
        ..Kernel::new(first, target.layout.clone())
    };
    Some(Proposal { kernel, input, patterns: patterns(network, &views, index) })
}

/// A partial plan with the best parameters of a degree, and its cost with bytes and keys.
pub(super) fn finish(
    graph: &FixedGraph,
    network: &Network,
    (state, name): (&State, &str),
    (degree, spaces): (usize, &[PlainModulus]),
    options: &Options,
) -> Result<Option<(f64, Plan)>, Refusal> {
    let stages: Vec<&[StageDraft]> = state.drafts.iter().map(Draft::stages).collect();
    let links = noise::links(network, &stages, scalar_bits(graph));
    let mut best: Option<(f64, Plan)> = None;
    for shape in noise::shapes(&links, degree, spaces) {
        let plan = realise(network, state, &links, &shape, spaces, name)?;
        let limb_bytes = bytes_of(&shape, shape.limbs.len());
        let inputs: usize = state
            .drafts
            .iter()
            .map(|draft| if let Draft::Input(_, layout) = draft { layout.ciphertexts } else { 0 })
            .sum();
        let upload = inputs as f64 * limb_bytes * spaces.len() as f64;
        let diagonals = stages.iter().copied().flatten().map(|stage| &stage.diagonals);
        let rotations = plan.rotations(diagonals, plan.cycle()?);
        let keys: f64 =
            rotations.values().chain([&shape.limbs.len()]).map(|limbs| key_bytes(&shape, *limbs)).sum();
        // Bytes of a request weigh as on a link of some 300 MB/s, those of keys less, until there are too many.
        let over = if upload > options.upload as f64 { 1e9 } else { 0.0 };
        let many = (keys - options.keys as f64).max(0.0) / 1000.0;
        let cost = plan.seconds * 1e6 + upload / 300.0 + keys / 10_000.0 + many + over;
        if best.as_ref().is_none_or(|(least, _)| cost < *least) && hides(&plan)? {
            best = Some((cost, plan));
        }
    }
    Ok(best)
}

/// Whether the results can be flooded: the bound that a plan states is rounded, and primes are smaller than their sizes say.
fn hides(plan: &Plan) -> Result<bool, Refusal> {
    let parameters = plan.scheme.parameters()?;
    Ok(parameters.iter().all(|set| Finish::of(set, plan.bound(), plan.limbs).is_some()))
}

/// Digits of a limb when keys are switched.
fn windows(shape: &Shape) -> usize {
    shape.digit_bits.map_or(1, |bits| shape.limbs[0].div_ceil(bits)) as usize
}

/// Bytes of a polynomial with so many limbs.
fn bytes_of(shape: &Shape, limbs: usize) -> f64 {
    shape.limbs[..limbs].iter().map(|bits| f64::from(*bits) / 8.0).sum::<f64>() * shape.degree as f64
}

/// Bytes of a key for ciphertexts with so many limbs.
fn key_bytes(shape: &Shape, limbs: usize) -> f64 {
    let special = f64::from(shape.special.unwrap_or(0)) / 8.0 * shape.degree as f64;
    (windows(shape) * limbs) as f64 * (bytes_of(shape, limbs) + special)
}

/// A bound of scalar weights, in bits: biases are wider, but are no factors.
fn scalar_bits(graph: &FixedGraph) -> u32 {
    graph.params.iter().map(|param| param.bits).filter(|bits| *bits <= 32).max().unwrap_or(16)
}

/// The plan of a state with parameters.
pub(super) fn realise(
    network: &Network,
    state: &State,
    links: &Links,
    shape: &Shape,
    spaces: &[PlainModulus],
    name: &str,
) -> Result<Plan, Refusal> {
    let mut seconds = 0.0;
    let ring = Ring { degree: shape.degree, windows: windows(shape), special: shape.special.is_some() };
    let mut steps = Vec::with_capacity(state.drafts.len());
    for (draft, spans) in state.drafts.iter().zip(&links.tensors) {
        let level = shape.levels[spans.first];
        let mut stages = Vec::new();
        for (stage, span) in draft.stages().iter().zip(&spans.stages) {
            let (level, after) = (shape.levels[span.first], shape.levels[span.after]);
            seconds += microseconds(&stage.operations, ring, level, after);
            stages.push(Stage { kernel: stage.kernel.clone(), level, after });
        }
        steps.push(match draft {
            Draft::Open => return Err(Refusal::Invalid("an input that nothing takes".into())),
            Draft::Input(view, layout) => Step::Input { view: *view, layout: layout.clone() },
            Draft::Linear(_) => Step::Linear { stages },
            Draft::Product(layout, _) => {
                let squares = layout.ciphertexts as u64;
                let operations = Operations { squares, ..Operations::default() };
                seconds += microseconds(&operations, ring, level, level);
                Step::Product { layout: layout.clone(), level, stages }
            }
        });
    }
    let model = shape.model();
    let limbs = links.results.iter().map(|link| shape.levels[*link]).min().unwrap_or(1);
    let noise = network.outputs.iter().map(|output| {
        let last = links.tensors[*output].last;
        model.switch_down(shape.noises[last], shape.levels[last], limbs).log2_deviation() * 2.0
    });
    Ok(Plan {
        name: name.into(),
        scheme: Scheme::of(shape, spaces)?,
        steps,
        limbs,
        // Fractions that a decimal form keeps exactly; the bound of noise is rounded up.
        noise: (noise.fold(f64::NEG_INFINITY, f64::max) * 1024.0).ceil() / 1024.0,
        seconds: (seconds * 1e-6 * spaces.len() as f64 * 65536.0).round() / 65536.0,
    })
}
