//! Where a matrix may be non-zero: the public part of a linear layer.
//!
//! A pattern comes from the architecture alone. A weight that happens to be zero stays in the pattern, or skipping it
//! would tell the client about the weights.

use crate::error::Error;
use crate::slots::layout::{MAX_ELEMENTS, bounded};

/// Which indices of one input axis an index of one output axis depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Relation {
    /// On all.
    Full {
        /// Length of the input axis.
        inputs: usize,
        /// Length of the output axis.
        outputs: usize,
    },
    /// On itself.
    Same {
        /// Length of both axes.
        size: usize,
    },
    /// On a window: `o * stride - pad + t * dilation` for `t` below `taps`, where it exists.
    Window {
        /// Length of the input axis.
        inputs: usize,
        /// Length of the output axis.
        outputs: usize,
        /// Taps of the window.
        taps: usize,
        /// Steps between windows.
        stride: usize,
        /// Steps between taps.
        dilation: usize,
        /// Padding before the axis.
        pad: usize,
    },
}

impl Relation {
    /// Length of the input axis.
    pub const fn inputs(&self) -> usize {
        match *self {
            Self::Full { inputs, .. } | Self::Window { inputs, .. } => inputs,
            Self::Same { size } => size,
        }
    }

    /// Length of the output axis.
    pub const fn outputs(&self) -> usize {
        match *self {
            Self::Full { outputs, .. } | Self::Window { outputs, .. } => outputs,
            Self::Same { size } => size,
        }
    }

    /// Pairs of indices, or more.
    fn work(&self) -> u64 {
        let [inputs, outputs] = [self.inputs(), self.outputs()].map(|size| size as u64);
        match *self {
            Self::Full { .. } => inputs.saturating_mul(outputs),
            Self::Same { .. } => outputs,
            Self::Window { taps, .. } => outputs.saturating_mul(taps as u64),
        }
    }

    /// Calls `visit` with each input index that an output index depends on.
    fn visit(&self, output: usize, mut visit: impl FnMut(usize)) {
        match *self {
            Self::Full { inputs, .. } => (0..inputs).for_each(visit),
            Self::Same { .. } => visit(output),
            Self::Window { inputs, taps, stride, dilation, pad, .. } => {
                for tap in 0..taps {
                    let index = (output * stride + tap * dilation).checked_sub(pad);
                    if let Some(index) = index.filter(|index| *index < inputs) {
                        visit(index);
                    }
                }
            }
        }
    }

    /// The input indices that an output index depends on, in order.
    pub fn row(&self, output: usize) -> Vec<usize> {
        let mut out = Vec::new();
        self.visit(output, |input| out.push(input));
        out
    }
}

/// The pattern of a matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Axis by axis: an element is in the pattern if every axis' relation holds. Indices are row-major.
    Axes(Vec<Relation>),
    /// The columns of each row.
    Rows {
        /// Number of columns.
        inputs: usize,
        /// For each row its columns, in increasing order.
        rows: Vec<Vec<u32>>,
    },
}

impl Pattern {
    /// The pattern of a full matrix.
    pub fn full(inputs: usize, outputs: usize) -> Self {
        Self::Axes(vec![Relation::Full { inputs, outputs }])
    }

    /// The identity.
    pub fn identity(size: usize) -> Self {
        Self::Axes(vec![Relation::Same { size }])
    }

    /// Number of columns.
    pub fn inputs(&self) -> usize {
        match self {
            Self::Axes(axes) => axes.iter().map(Relation::inputs).product(),
            Self::Rows { inputs, .. } => *inputs,
        }
    }

    /// Number of rows.
    pub fn outputs(&self) -> usize {
        match self {
            Self::Axes(axes) => axes.iter().map(Relation::outputs).product(),
            Self::Rows { rows, .. } => rows.len(),
        }
    }

    /// Checks sizes.
    ///
    /// # Errors
    /// If it is empty or too large.
    pub fn validate(&self) -> Result<(), Error> {
        let sized = match self {
            Self::Axes(axes) => {
                !axes.is_empty()
                    && bounded(axes.iter().map(Relation::inputs), MAX_ELEMENTS).is_some()
                    && bounded(axes.iter().map(Relation::outputs), MAX_ELEMENTS).is_some()
            }
            Self::Rows { inputs, rows } => {
                (1..=MAX_ELEMENTS).contains(inputs)
                    && (1..=MAX_ELEMENTS).contains(&rows.len())
                    && rows.iter().flatten().all(|column| (*column as usize) < *inputs)
            }
        };
        if sized { Ok(()) } else { Err(Error::layout("a pattern's size")) }
    }

    /// Calls `visit` with the column of each element of a row, in increasing order.
    pub fn visit_row(&self, output: usize, visit: &mut dyn FnMut(usize)) {
        match self {
            Self::Axes(axes) => {
                let mut rest = output;
                let mut columns = Vec::with_capacity(axes.len());
                for axis in axes.iter().rev() {
                    columns.push(axis.row(rest % axis.outputs()));
                    rest /= axis.outputs();
                }
                columns.reverse();
                nested(axes, &columns, 0, visit);
            }
            Self::Rows { rows, .. } => rows[output].iter().for_each(|column| visit(*column as usize)),
        }
    }

    /// At most so many pairs of indices are visited to find its diagonals axis by axis.
    pub(crate) fn work(&self) -> u64 {
        match self {
            Self::Axes(axes) => axes.iter().fold(0, |sum: u64, axis| sum.saturating_add(axis.work())),
            Self::Rows { .. } => self.count(),
        }
    }

    /// Number of elements in the pattern.
    pub fn count(&self) -> u64 {
        match self {
            Self::Axes(axes) => axes
                .iter()
                .map(|axis| (0..axis.outputs()).map(|output| axis.row(output).len() as u64).sum::<u64>())
                .product(),
            Self::Rows { rows, .. } => rows.iter().map(|row| row.len() as u64).sum(),
        }
    }
}

fn nested(axes: &[Relation], columns: &[Vec<usize>], base: usize, visit: &mut dyn FnMut(usize)) {
    match (axes.split_first(), columns.split_first()) {
        (Some((axis, axes)), Some((own, columns))) => {
            for column in own {
                nested(axes, columns, base * axis.inputs() + column, visit);
            }
        }
        _ => visit(base),
    }
}

/// The elements of a matrix: the secret part of a linear layer.
pub trait Matrix: Sync {
    /// Calls `visit` with column and value of the elements of a row. Columns may repeat: values add up. Every column
    /// must be in the matrix' [`Pattern`].
    fn visit_row(&self, output: usize, visit: &mut dyn FnMut(usize, i128));
}

/// A matrix all of whose elements in a pattern are one.
#[derive(Clone, Debug)]
pub struct Ones(pub Pattern);

impl Matrix for Ones {
    fn visit_row(&self, output: usize, visit: &mut dyn FnMut(usize, i128)) {
        self.0.visit_row(output, &mut |column| visit(column, 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(pattern: &Pattern, output: usize) -> Vec<usize> {
        let mut out = Vec::new();
        pattern.visit_row(output, &mut |column| out.push(column));
        out
    }

    #[test]
    fn windows_and_products() {
        let window = Relation::Window { inputs: 5, outputs: 3, taps: 3, stride: 2, dilation: 1, pad: 1 };
        assert_eq!([0, 1, 2].map(|o| window.row(o)), [vec![0, 1], vec![1, 2, 3], vec![3, 4]]);
        let pattern = Pattern::Axes(vec![Relation::Full { inputs: 2, outputs: 3 }, window]);
        assert_eq!((pattern.inputs(), pattern.outputs(), pattern.count()), (10, 9, 6 * 7));
        assert_eq!(row(&pattern, 3), [0, 1, 5, 6]);
        assert_eq!(row(&pattern, 8), [3, 4, 8, 9]);
        assert_eq!(row(&Pattern::identity(4), 2), [2]);
    }

    #[test]
    fn sizes_are_bounded() {
        assert!(Pattern::full(1 << 20, 1 << 20).validate().is_ok());
        assert!(Pattern::full(1 << 25, 1).validate().is_err());
        assert!(Pattern::Axes(Vec::new()).validate().is_err());
        assert!(Pattern::Rows { inputs: 3, rows: vec![vec![3]] }.validate().is_err());
    }
}
