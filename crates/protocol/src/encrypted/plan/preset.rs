//! The paper's own plans, by name: LoLa, sections 4.3 and 4.4 and table 1.
//!
//! | layer | `lola-paper` |
//! |---|---|
//! | convolution | convolution representation, one ciphertext an offset, scalars; maps combined by rotations |
//! | square | one product; copies stacked |
//! | fully connected | stacked rows, each folded in its copy; the interleaved results masked and combined |
//! | square | one product |
//! | fully connected | interleaved rows, folded over the whole cycle: one ciphertext a result |
//!
//! `lola-small-paper` has the convolution, the square and the last layer. `lola-dense-paper` starts from the dense image, whose
//! offsets are brought together by rotations. `lola-cifar-paper` (section 4.4) has one copy and so one row at a time: the second layer's
//! results are a sparse vector, of which products with masks and additions make a dense one.

use core::fmt;
use core::str::FromStr;
use std::collections::BTreeSet;

use linear::slots::{Axis, Cycle, Diagonals, Digit, Doubling, Factors, Kernel, Layout, Operations, Pattern};
use model::fixed::FixedGraph;

use super::cost;
use super::lower::{Kind, Network};
use super::noise::StageDraft;
use super::search::{Draft, State, finish, output_bits, spaces};
use super::view::{Patches, View, patterns};
use super::{Options, Plan, Refusal};

/// A plan of the paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Table 1: convolution representation, stacked rows, interleaved rows.
    Lola,
    /// The same from a dense image.
    LolaDense,
    /// A convolution, a square and a fully connected layer.
    LolaSmall,
    /// Section 4.4: convolution representation, then a row at a time.
    LolaCifar,
}

/// All presets and their names.
const NAMES: [(Preset, &str); 4] = [
    (Preset::Lola, "lola-paper"),
    (Preset::LolaDense, "lola-dense-paper"),
    (Preset::LolaSmall, "lola-small-paper"),
    (Preset::LolaCifar, "lola-cifar-paper"),
];

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(preset, _)| preset == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

impl FromStr for Preset {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let found = NAMES.iter().find(|(_, name)| *name == text).map(|(preset, _)| *preset);
        found.ok_or_else(|| {
            let names = NAMES.map(|(_, name)| name).join(", ");
            Refusal::Invalid(format!("there is no plan of that name; the paper's are {names}"))
        })
    }
}

/// The paper's plan, with the fewest slots and the parameters that are cheapest for it.
pub(super) fn plan(graph: &FixedGraph, network: &Network, preset: Preset) -> Result<Plan, Refusal> {
    let options = Options { upload: u64::MAX, ..Options::default() };
    let bits = output_bits(graph).1;
    let mut best: Option<(f64, Plan)> = None;
    let most = if preset == Preset::LolaCifar { 14 } else { 13 };
    for cycle in (8..=most).map(|log2| Cycle::single(1 << log2)) {
        let Some(state) = (Builder { network, cycle, preset }).state()? else { continue };
        for (degree, spaces) in spaces(cycle, bits) {
            let found = finish(graph, network, (&state, &preset.to_string()), (degree, &spaces), &options)?;
            if let Some(found) = found
                && best.as_ref().is_none_or(|(least, _)| found.0 < *least)
            {
                best = Some(found);
            }
        }
    }
    let other = || Refusal::Invalid(format!("{preset} is the plan of another network than this"));
    best.map(|(_, plan)| plan).ok_or_else(other)
}

struct Builder<'a> {
    network: &'a Network,
    cycle: Cycle,
    preset: Preset,
}

impl Builder<'_> {
    /// The drafts, if the network is of this kind and fits these slots.
    fn state(&self) -> Result<Option<State>, Refusal> {
        let kinds: Vec<u8> = self
            .network
            .tensors
            .iter()
            .map(|tensor| match tensor.kind {
                Kind::Input => b'i',
                Kind::Linear(_) => b'l',
                Kind::Product(a, b) if a == b => b's',
                Kind::Product(..) => b'p',
            })
            .collect();
        let wanted: &[u8] = if self.preset == Preset::LolaSmall { b"ilsl" } else { b"ilslsl" };
        let Some(patches) = Patches::of(self.network, 0).filter(|_| kinds == wanted) else { return Ok(None) };
        let (maps, [rows, columns]) = (self.network.tensors[1].dims[0], patches.positions());
        // Where a position of the result stands: side by side, or where the dense image has it.
        let strides = if self.preset == Preset::LolaDense { self.dense_strides() } else { [columns, 1] };
        let extent = (rows - 1) * strides[0] + (columns - 1) * strides[1] + 1;
        if maps * extent > self.cycle.columns {
            return Ok(None);
        }
        let positions = [Axis::plain(rows, strides[0]), Axis::plain(columns, strides[1])];
        let mut drafts = vec![self.input(&patches, &positions)];
        let apart = |count: usize| Axis { size: count, digits: vec![Digit::ciphertexts(count)] };
        let [y, x] = positions;
        let separate = Layout::new(maps, vec![apart(maps), y.clone(), x.clone()]);
        let dense = Layout::new(1, vec![Axis::plain(maps, extent), y, x]);
        let convolution = self.convolution(&drafts, &separate)?;
        drafts.push(Draft::Linear(vec![convolution, self.combine(separate, &dense, Factors::Ones)?]));
        if self.preset == Preset::LolaSmall {
            drafts.push(Draft::Product(dense.clone(), Vec::new()));
            drafts.push(self.last(&dense, 3)?);
        } else {
            let hidden = if self.preset == Preset::LolaCifar {
                drafts.push(Draft::Product(dense.clone(), Vec::new()));
                self.sparse_rows(&dense, &mut drafts)?
            } else {
                let (stacked, copy) = self.stack(&dense)?;
                drafts.push(Draft::Product(dense.clone(), copy));
                self.stacked_rows(&stacked, maps * extent, &mut drafts)?
            };
            drafts.push(Draft::Product(hidden.clone(), Vec::new()));
            drafts.push(self.last(&hidden, 5)?);
        }
        let stages = drafts.iter().flat_map(Draft::stages);
        let keys: BTreeSet<usize> =
            stages.flat_map(|stage| stage.diagonals.steps(self.cycle, &stage.kernel)).collect();
        Ok(Some(State { drafts, keys, ..State::default() }))
    }

    /// Row and column strides of a convolution's result in the dense image.
    fn dense_strides(&self) -> [usize; 2] {
        let width = self.network.tensors[0].dims.last().copied().unwrap_or(1);
        let Kind::Linear(paths) = &self.network.tensors[1].kind else { return [width, 1] };
        let stride = |axis: usize| match paths.first().map(|path| &path.pattern) {
            Some(Pattern::Axes(axes)) => match axes.get(axis) {
                Some(linear::slots::Relation::Window { stride, .. }) => *stride,
                _ => 1,
            },
            _ => 1,
        };
        [stride(1) * width, stride(2)]
    }

    fn input(&self, patches: &Patches, positions: &[Axis; 2]) -> Draft {
        if self.preset == Preset::LolaDense {
            let dims = &self.network.tensors[0].dims;
            let sizes: Vec<usize> = (0..dims.len()).map(|axis| dims[axis + 1..].iter().product()).collect();
            let axes = dims.iter().zip(sizes).map(|(size, stride)| Axis::plain(*size, stride)).collect();
            return Draft::Input(View::Raw, Layout::new(1, axes));
        }
        let offsets = patches.offsets();
        let [y, x] = positions.clone();
        let apart = Axis { size: offsets, digits: vec![Digit::ciphertexts(offsets)] };
        Draft::Input(View::Patches, Layout::new(offsets, vec![apart, y, x]))
    }

    fn stage(&self, kernel: Kernel, patterns: &[Pattern], bias: bool) -> Result<StageDraft, Refusal> {
        let diagonals = Diagonals::new(self.cycle, &kernel, patterns)?;
        let operations: Operations = cost::count(self.cycle, &kernel, &diagonals, bias)?;
        Ok(StageDraft { kernel, diagonals, operations })
    }

    fn convolution(&self, drafts: &[Draft], output: &Layout) -> Result<StageDraft, Refusal> {
        let Some(Draft::Input(view, input)) = drafts.first() else {
            return Err(Refusal::Invalid("a convolution without an input".into()));
        };
        let factors = if *view == View::Patches { Factors::Scalars } else { Factors::Slots };
        let kernel = Kernel { factors, ..Kernel::new(input.clone(), output.clone()) };
        self.stage(kernel, &patterns(self.network, &[*view], 1), true)
    }

    /// Ciphertexts brought together by rotations.
    fn combine(&self, from: Layout, to: &Layout, factors: Factors) -> Result<StageDraft, Refusal> {
        let identity = Pattern::identity(to.elements());
        let kernel = Kernel { factors, baby: 1, ..Kernel::new(from, to.clone()) };
        self.stage(kernel, &[identity], false)
    }

    /// As many copies as there is room for.
    fn stack(&self, dense: &Layout) -> Result<(Layout, Vec<StageDraft>), Refusal> {
        let extent = dense.places(self.cycle).iter().map(|place| place.slot + 1).max().unwrap_or(1);
        let period = extent.next_power_of_two();
        let log2 = (self.cycle.columns / period).ilog2();
        if log2 == 0 {
            return Ok((dense.clone(), Vec::new()));
        }
        let stacked = Layout { copies: vec![Digit::slots(1 << log2, period)], ..dense.clone() };
        let kernel = Kernel {
            factors: Factors::Ones,
            direct: 0,
            replicate: vec![Doubling { stride: period, log2 }],
            ..Kernel::new(dense.clone(), stacked.clone())
        };
        let stage = self.stage(kernel, &[Pattern::identity(stacked.elements())], false)?;
        Ok((stacked, vec![stage]))
    }

    /// Stacked vector x row major: as many rows at a time as there are copies, then masked and combined.
    fn stacked_rows(
        &self,
        stacked: &Layout,
        extent: usize,
        drafts: &mut Vec<Draft>,
    ) -> Result<Layout, Refusal> {
        let size = self.network.tensors[3].dims.iter().product::<usize>();
        let period = extent.next_power_of_two().min(self.cycle.columns);
        let each = self.cycle.columns / period;
        let rounds = size.div_ceil(each);
        // Where a row fills the cycle there is one at a time.
        let axis = |digit: Digit| Axis {
            size,
            digits: if each > 1 { vec![digit, Digit::slots(each, period)] } else { vec![digit] },
        };
        let rows = Layout::new(rounds, vec![axis(Digit::ciphertexts(rounds))]);
        let interleaved = Layout::new(1, vec![axis(Digit::slots(rounds, 1))]);
        let kernel = Kernel {
            fold: Some(Doubling { stride: 1, log2: period.ilog2() }),
            ..Kernel::new(stacked.clone(), rows.clone())
        };
        let main = self.stage(kernel, &patterns(self.network, &[], 3), true)?;
        drafts.push(Draft::Linear(vec![main, self.combine(rows, &interleaved, Factors::Slots)?]));
        Ok(interleaved)
    }

    /// Dense vector x row major into a sparse vector, of which masks and additions make a dense one.
    fn sparse_rows(&self, input: &Layout, drafts: &mut Vec<Draft>) -> Result<Layout, Refusal> {
        let size = self.network.tensors[3].dims.iter().product::<usize>();
        let dense = Layout::dense(size, self.cycle);
        let rows = self.row_major(input, 3)?;
        let masked = self.combine(Layout::sparse(size, self.cycle), &dense, Factors::Slots)?;
        drafts.push(Draft::Linear(vec![rows, masked]));
        Ok(dense)
    }

    /// Dense or interleaved vector x row major, as the last layer.
    fn last(&self, input: &Layout, tensor: usize) -> Result<Draft, Refusal> {
        Ok(Draft::Linear(vec![self.row_major(input, tensor)?]))
    }

    /// Dense or interleaved vector x row major: every result in all slots of a ciphertext of its own.
    fn row_major(&self, input: &Layout, tensor: usize) -> Result<StageDraft, Refusal> {
        let size = self.network.tensors[tensor].dims.iter().product();
        let kernel = Kernel {
            fold: Some(Doubling { stride: 1, log2: self.cycle.columns.ilog2() }),
            direct: 0,
            ..Kernel::new(input.clone(), Layout::sparse(size, self.cycle))
        };
        self.stage(kernel, &patterns(self.network, &[], tensor), true)
    }
}
