//! Pools: the largest or the mean value under a window.

use std::collections::BTreeMap;

use garble::gadgets;
use garble::gates::Gates;
use garble::word::Word;
use model::fixed::{FixedGraph, Node, Window};

use super::elementwise::in_tiles;
use super::pieces::{Pieces, Places};
use super::sums::sum_inputs;

/// The taps of a window that fall on the input along one axis: `first + i * step` for i below `count`.
#[derive(Clone, Copy)]
struct Span {
    first: usize,
    step: usize,
    count: usize,
}

impl Span {
    /// Of the window at output position `out` along an axis (0 is height) of an input of length `size`. It is found without
    /// a walk over the taps, of which a window may have many more than the input has elements.
    fn new(window: &Window, axis: usize, out: usize, size: usize) -> Self {
        let (start, step) = (out * window.stride[axis], window.dilation[axis].max(1));
        let pad = window.pads[axis];
        let begin = pad.saturating_sub(start).div_ceil(step);
        let end = (pad + size).saturating_sub(start).div_ceil(step).min(window.kernel[axis]);
        Self { first: (start + begin * step).saturating_sub(pad), step, count: end.saturating_sub(begin) }
    }

    fn at(&self, index: usize) -> usize {
        self.first + index * self.step
    }
}

/// What one output element sees.
pub(crate) struct View {
    /// Index of its plane's first element.
    plane: usize,
    /// Width of the plane.
    width: usize,
    rows: Span,
    columns: Span,
}

impl View {
    /// Number of input elements under the window.
    pub(crate) fn len(&self) -> usize {
        self.rows.count * self.columns.count
    }

    /// Index of one of them, in row-major order.
    pub(crate) fn tap(&self, index: usize) -> Option<usize> {
        let columns = self.columns.count;
        (index < self.len()).then(|| {
            self.plane + self.rows.at(index / columns) * self.width + self.columns.at(index % columns)
        })
    }
}

/// The views of a pool's output elements.
pub(crate) struct Views<'a> {
    window: &'a Window,
    input: [usize; 2],
    output: [usize; 2],
}

impl<'a> Views<'a> {
    pub(crate) fn new((plan, node): (&FixedGraph, &Node), window: &'a Window) -> Self {
        let plane = |shape: &[usize]| match shape {
            [.., height, width] => [*height, *width],
            _ => [1, 1],
        };
        Self { window, input: plane(&plan.nodes[node.inputs[0]].shape), output: plane(&node.shape) }
    }

    pub(crate) fn of(&self, lane: usize) -> View {
        let [height, width] = self.input;
        let (plane, pixel) = (lane / self.positions(), lane % self.positions());
        View {
            plane: plane * height * width,
            width,
            rows: Span::new(self.window, 0, pixel / self.output[1], height),
            columns: Span::new(self.window, 1, pixel % self.output[1], width),
        }
    }

    /// Elements of an output plane.
    pub(crate) fn positions(&self) -> usize {
        self.output[0] * self.output[1]
    }
}

/// Largest value under the window. Windows with fewer taps than others (at the margin) repeat one of theirs.
pub fn max<G: Gates>(
    gates: &mut G,
    (plan, node): (&FixedGraph, &Node),
    window: &Window,
    x: &Word<G::Wires>,
) -> Result<Word<G::Wires>, G::Error> {
    let views = Views::new((plan, node), window);
    in_tiles(gates, node.shape.iter().product(), |gates, lanes| {
        let views: Vec<View> = lanes.map(|lane| views.of(lane)).collect();
        let tap = |index: usize| -> Vec<u32> {
            views.iter().map(|view| view.tap(index).or(view.tap(0)).unwrap_or(0) as u32).collect()
        };
        let mut largest = gadgets::gather(gates, x, &tap(0));
        for index in 1..most(&views) {
            let next = gadgets::gather(gates, x, &tap(index));
            largest = gadgets::max(gates, &largest, &next)?;
        }
        Ok(largest)
    })
}

/// Mean under the window: the sum of the taps by a public factor, rounded.
pub fn average<G: Gates>(
    gates: &mut G,
    (plan, node): (&FixedGraph, &Node),
    window: &Window,
    factors: &[i64],
    shift: u32,
    x: &Word<G::Wires>,
) -> Result<Word<G::Wires>, G::Error> {
    let views = Views::new((plan, node), window);
    let mut by_factor: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    for lane in 0..node.shape.iter().product() {
        let factor = factors.get(lane % views.positions()).or(factors.first()).copied().unwrap_or(0);
        by_factor.entry(factor).or_default().push(lane as u32);
    }
    let mut parts = Pieces::default();
    let mut places = Places::default();
    for (factor, lanes) in by_factor {
        let part = in_tiles(gates, lanes.len(), |gates, tile| {
            let views: Vec<View> = lanes[tile].iter().map(|lane| views.of(*lane as usize)).collect();
            let sum = sum_inputs(gates, x, views.len(), most(&views), |output, tap| views[output].tap(tap))?;
            gadgets::affine(gates, &sum, factor, half(shift), shift, node.format.bits)
        })?;
        parts.push(gates, part);
        lanes.iter().for_each(|lane| places.push(*lane as usize));
    }
    let joined = parts.finish(gates);
    Ok(places.arrange(gates, &joined))
}

/// The most taps that a view has.
pub(crate) fn most(views: &[View]) -> usize {
    views.iter().map(View::len).max().unwrap_or(0)
}

/// Half of the unit that a right shift leaves: adding it rounds to nearest.
pub fn half(shift: u32) -> i64 {
    if shift == 0 { 0 } else { 1 << (shift - 1) }
}

#[cfg(test)]
mod tests {
    use super::super::dots::tap_coordinate;
    use super::*;

    #[test]
    fn a_span_is_the_taps_that_fall_on_the_input() {
        for (kernel, stride, dilation, pad) in
            [(3, 1, 1, 1), (4, 2, 3, 5), (2, 5, 2, 9), (9, 1, 1, 8), (1, 3, 1, 4)]
        {
            let window =
                Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [dilation; 2], pads: [pad; 4] };
            for size in 1..6 {
                for out in 0..8 {
                    let span = Span::new(&window, 1, out, size);
                    let found: Vec<usize> = (0..span.count).map(|index| span.at(index)).collect();
                    let expected: Vec<usize> =
                        (0..kernel).filter_map(|tap| tap_coordinate(&window, 1, out, tap, size)).collect();
                    assert_eq!(found, expected, "{window:?}, size {size}, output {out}");
                }
            }
        }
    }
}
