//! How an input is seen: as it is, or as the patches under a convolution's window.
//!
//! LoLa's convolution representation: the client, which knows the window but no weight, sends for each position the values under it.
//! The convolution is then a matrix between kernel offsets and maps, the same at every position.

use linear::slots::{Pattern, Relation};
use serde::{Deserialize, Serialize};

use super::lower::{Kind, Network};

/// How a tensor is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum View {
    /// As it is.
    Raw,
    /// As patches: kernel offsets x rows x columns of the convolution that takes it.
    Patches,
}

/// The patches of an input under the one convolution that takes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patches {
    channels: usize,
    maps: usize,
    windows: [Relation; 2],
}

/// Taps, stride, dilation and padding of a window.
fn window(relation: Relation) -> Option<[usize; 4]> {
    match relation {
        Relation::Window { taps, stride, dilation, pad, .. } => Some([taps, stride, dilation, pad]),
        _ => None,
    }
}

impl Patches {
    /// The patches of an input tensor, if a single convolution takes it.
    pub(super) fn of(network: &Network, input: usize) -> Option<Self> {
        let mut uses = network.tensors.iter().filter_map(|tensor| match &tensor.kind {
            Kind::Linear(paths) => paths.iter().find(|path| path.source == input).map(Some),
            Kind::Product(a, b) if *a == input || *b == input => Some(None),
            _ => None,
        });
        let path = uses.next()??;
        let Pattern::Axes(axes) = &path.pattern else { return None };
        let [Relation::Full { inputs, outputs }, y, x] = axes.as_slice() else { return None };
        let windows = [*y, *x];
        let unique = uses.next().is_none() && windows.iter().all(|axis| window(*axis).is_some());
        unique.then_some(Self { channels: *inputs, maps: *outputs, windows })
    }

    fn window(&self, axis: usize) -> [usize; 4] {
        window(self.windows[axis]).unwrap_or([1, 1, 1, 0])
    }

    /// Kernel offsets: channels times taps.
    pub(super) fn offsets(&self) -> usize {
        self.channels * self.window(0)[0] * self.window(1)[0]
    }

    /// Rows and columns of positions.
    pub(super) fn positions(&self) -> [usize; 2] {
        self.windows.map(|axis| axis.outputs())
    }

    pub(super) fn elements(&self) -> usize {
        self.offsets() * self.positions().iter().product::<usize>()
    }

    /// The matrix from patches to maps.
    pub(super) fn pattern(&self) -> Pattern {
        let [rows, columns] = self.positions();
        let full = Relation::Full { inputs: self.offsets(), outputs: self.maps };
        Pattern::Axes(vec![full, Relation::Same { size: rows }, Relation::Same { size: columns }])
    }

    /// The input element in a patch element; none in the padding.
    pub(super) fn source(&self, element: usize) -> Option<usize> {
        let [rows, columns] = self.positions();
        let (offset, at) = (element / (rows * columns), element % (rows * columns));
        let taps = [0, 1].map(|axis| self.window(axis)[0]);
        let place = |axis: usize, tap: usize, at: usize| {
            let [_, stride, dilation, pad] = self.window(axis);
            let index = (at * stride + tap * dilation).checked_sub(pad)?;
            (index < self.windows[axis].inputs()).then_some(index)
        };
        let channel = offset / (taps[0] * taps[1]);
        let y = place(0, offset / taps[1] % taps[0], at / columns)?;
        let x = place(1, offset % taps[1], at % columns)?;
        Some((channel * self.windows[0].inputs() + y) * self.windows[1].inputs() + x)
    }

    /// The patch element of an input element for an output of the convolution.
    pub(super) fn element(&self, output: usize, input: usize) -> Option<usize> {
        let [rows, columns] = self.positions();
        let at = output % (rows * columns);
        let (height, width) = (self.windows[0].inputs(), self.windows[1].inputs());
        let tap = |axis: usize, index: usize, at: usize| {
            let [taps, stride, dilation, pad] = self.window(axis);
            let distance = (index + pad).checked_sub(at * stride)?;
            (distance % dilation == 0 && distance / dilation < taps).then_some(distance / dilation)
        };
        let y = tap(0, input / width % height, at / columns)?;
        let x = tap(1, input % width, at % columns)?;
        let taps = [0, 1].map(|axis| self.window(axis)[0]);
        let offset = (input / (width * height) * taps[0] + y) * taps[1] + x;
        Some(offset * rows * columns + at)
    }
}

/// The patterns of a linear tensor's paths, with inputs seen as they are.
pub(super) fn patterns(network: &Network, views: &[View], tensor: usize) -> Vec<Pattern> {
    let Kind::Linear(paths) = &network.tensors[tensor].kind else { return Vec::new() };
    paths
        .iter()
        .map(|path| match views.get(path.source) {
            Some(View::Patches) => Patches::of(network, path.source)
                .map_or_else(|| path.pattern.clone(), |patches| patches.pattern()),
            _ => path.pattern.clone(),
        })
        .collect()
}
