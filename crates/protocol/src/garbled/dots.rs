//! The shape of a linear layer: which inputs and which weights meet in which output.

use model::Support;
use model::fixed::{FixedGraph, Node, Op, Window};

/// A linear layer as dot products. Output `(row, position)` is `sum_t w[row, t] * x[input(row, position, t)] + b[row]`;
/// a convolution's rows are its output channels, a dense layer's are its outputs and its positions the rows of x.
#[derive(Clone)]
pub struct Dots {
    /// Output channels, over all groups.
    pub rows: usize,
    /// Terms of one dot product, padding included.
    pub terms: usize,
    /// Positions at which the same weights are used.
    pub positions: usize,
    /// Which weights may differ from zero, where that is public: the others cost nothing.
    pub support: Option<Support>,
    shape: Shape,
}

#[derive(Clone)]
enum Shape {
    Dense { inputs: usize },
    Conv(Conv),
}

#[derive(Clone)]
struct Conv {
    window: Window,
    /// Input channels, height and width; output channels of a group; output height and width.
    channels: usize,
    plane: [usize; 2],
    group_rows: usize,
    group_channels: usize,
    out_plane: [usize; 2],
}

impl Dots {
    /// The dot products of a node, or `None` if it is not a linear layer.
    pub fn of(graph: &FixedGraph, node: &Node) -> Option<Self> {
        let input = &graph.nodes.get(*node.inputs.first()?)?.shape;
        match &node.op {
            Op::Dense { weight, .. } => {
                let info = graph.params.get(*weight)?;
                let [rows, inputs] = info.shape[..] else { return None };
                let positions = input.iter().product::<usize>() / inputs.max(1);
                let support = info.support.clone();
                Some(Self { rows, terms: inputs, positions, support, shape: Shape::Dense { inputs } })
            }
            Op::Conv { window, groups, weight, .. } => {
                let info = graph.params.get(*weight)?;
                let [rows, group_channels, kh, kw] = info.shape[..] else { return None };
                let [batch, channels, h, w] = input[..] else { return None };
                let [_, _, oh, ow] = node.shape[..] else { return None };
                Some(Self {
                    rows,
                    terms: group_channels * kh * kw,
                    positions: batch * oh * ow,
                    support: info.support.clone(),
                    shape: Shape::Conv(Conv {
                        window: *window,
                        channels,
                        plane: [h, w],
                        group_rows: rows / (*groups).max(1),
                        group_channels,
                        out_plane: [oh, ow],
                    }),
                })
            }
            _ => None,
        }
    }

    /// Whether the weight of a term may differ from zero.
    pub fn counts(&self, row: usize, term: usize) -> bool {
        self.support.as_ref().is_none_or(|support| support.contains(row * self.terms + term))
    }

    /// Number of weights that may differ from zero.
    pub fn weights(&self) -> usize {
        self.support.as_ref().map_or(self.rows * self.terms, Support::count)
    }

    /// The positions at which a term meets an input and not the padding: the same for all rows.
    pub fn meetings(&self, term: usize) -> u64 {
        (0..self.positions).filter(|position| self.input(0, *position, term).is_some()).count() as u64
    }

    /// Groups of rows that read the same inputs.
    pub fn groups(&self) -> usize {
        self.group(self.rows.saturating_sub(1)) + 1
    }

    /// The group of a row.
    pub fn group(&self, row: usize) -> usize {
        match &self.shape {
            Shape::Dense { .. } => 0,
            Shape::Conv(conv) => row / conv.group_rows.max(1),
        }
    }

    /// The first row of a group.
    pub fn first_row(&self, group: usize) -> usize {
        match &self.shape {
            Shape::Dense { .. } => 0,
            Shape::Conv(conv) => group * conv.group_rows,
        }
    }

    /// Index of the input element of a term, or `None` where the term lies in the padding.
    pub fn input(&self, row: usize, position: usize, term: usize) -> Option<usize> {
        match &self.shape {
            Shape::Dense { inputs } => Some(position * inputs + term),
            Shape::Conv(conv) => conv.input(row, position, term),
        }
    }

    /// The inputs that some weight meets, in order, where these may be fewer than the `inputs` there are.
    pub fn used(&self, inputs: usize) -> Option<Vec<u32>> {
        let strides = match &self.shape {
            Shape::Dense { .. } => false,
            Shape::Conv(conv) => (0..2).any(|axis| conv.window.stride[axis] > conv.window.kernel[axis]),
        };
        if self.support.is_none() && !strides {
            return None;
        }
        let mut used = vec![false; inputs];
        for group in 0..self.groups() {
            let first = self.first_row(group);
            let rows = first..if group + 1 < self.groups() { self.first_row(group + 1) } else { self.rows };
            let counting = (0..self.terms).filter(|term| rows.clone().any(|row| self.counts(row, *term)));
            for term in counting {
                for input in (0..self.positions).filter_map(|position| self.input(first, position, term)) {
                    used[input] = true;
                }
            }
        }
        Some((0..inputs as u32).filter(|input| used[*input as usize]).collect())
    }

    /// The row of the result that has an index in the node's tensor.
    pub fn row_of(&self, output: usize) -> usize {
        match &self.shape {
            Shape::Dense { .. } => output % self.rows,
            Shape::Conv(conv) => output / (conv.out_plane[0] * conv.out_plane[1]) % self.rows,
        }
    }

    /// Index of a result in the node's tensor.
    pub fn output(&self, row: usize, position: usize) -> usize {
        match &self.shape {
            Shape::Dense { .. } => position * self.rows + row,
            Shape::Conv(conv) => {
                let plane = conv.out_plane[0] * conv.out_plane[1];
                let (batch, pixel) = (position / plane, position % plane);
                (batch * self.rows + row) * plane + pixel
            }
        }
    }
}

impl Conv {
    fn input(&self, row: usize, position: usize, term: usize) -> Option<usize> {
        let [oh, ow] = self.out_plane;
        let (batch, pixel) = (position / (oh * ow), position % (oh * ow));
        let [kh, kw] = self.window.kernel;
        let (channel, tap) = (term / (kh * kw), term % (kh * kw));
        let y = tap_coordinate(&self.window, 0, pixel / ow, tap / kw, self.plane[0])?;
        let x = tap_coordinate(&self.window, 1, pixel % ow, tap % kw, self.plane[1])?;
        let channel = row / self.group_rows * self.group_channels + channel;
        Some(((batch * self.channels + channel) * self.plane[0] + y) * self.plane[1] + x)
    }
}

/// The coordinate that a tap of a window falls on along one axis (0 is height), or `None` in the padding.
pub fn tap_coordinate(window: &Window, axis: usize, out: usize, tap: usize, size: usize) -> Option<usize> {
    (out * window.stride[axis] + tap * window.dilation[axis])
        .checked_sub(window.pads[axis])
        .filter(|coordinate| *coordinate < size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_in_the_padding_are_left_out() {
        let window = Window { kernel: [3, 3], stride: [2, 1], dilation: [1, 2], pads: [1, 2, 0, 0] };
        assert_eq!(tap_coordinate(&window, 0, 0, 0, 5), None);
        assert_eq!(tap_coordinate(&window, 0, 0, 1, 5), Some(0));
        assert_eq!(tap_coordinate(&window, 0, 2, 2, 5), None);
        assert_eq!(tap_coordinate(&window, 1, 1, 2, 5), Some(3));
    }
}
