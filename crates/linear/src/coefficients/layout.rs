//! Where elements and weights stand in polynomials.
//!
//! Write a tile's plane of `(rows + e_h) x (columns + e_w)` elements, e being the furthest a tap reaches, row by row in S
//! coefficients. With c channels a ciphertext, element p of channel k is coefficient `k S + p`; the weight of filter m, channel k
//! and tap offset o is coefficient `m c S + (c - 1 - k) S + e - o`, and output p of filter m is coefficient
//! `m c S + (c - 1) S + e + p` of the product: the exponents of all other terms differ from it by something else
//! than 0 or N, as long as `filters c S <= N`.

use std::ops::Range;

use super::shape::{Phase, Shape};
use super::tiling::Tiling;
use crate::Error;

/// A layer cut into tiles of a ring.
#[derive(Clone, Debug)]
pub struct Layout {
    shape: Shape,
    tiling: Tiling,
    degree: usize,
    output: [usize; 2],
    phases: Vec<Phase>,
    /// The furthest that a tap reaches: rows, columns.
    extent: [usize; 2],
    /// Blocks of outputs along each axis.
    blocks: [usize; 2],
}

/// The furthest that a tap of any phase reaches.
pub(crate) fn extent(phases: &[Phase]) -> [usize; 2] {
    let taps = || phases.iter().flat_map(|phase| &phase.taps);
    [0, 1].map(|axis| taps().map(|tap| tap.offset[axis]).max().unwrap_or(0))
}

impl Layout {
    /// The layout of a layer under a tiling.
    ///
    /// # Errors
    /// If the shape is none, or a tile does not fit the ring.
    pub fn new(shape: &Shape, tiling: Tiling, degree: usize) -> Result<Self, Error> {
        let output = shape.output()?;
        let phases = shape.phases();
        let extent = extent(&phases);
        let layout = Self {
            blocks: [0, 1].map(|axis| output[axis].div_ceil(tiling.block[axis].max(1))),
            shape: shape.clone(),
            tiling,
            degree,
            output,
            phases,
            extent,
        };
        let parts = [layout.plane(), tiling.channels, tiling.filters, tiling.block[0], tiling.block[1]];
        let coefficients = parts[..3].iter().try_fold(1usize, |product, part| product.checked_mul(*part));
        if parts.contains(&0) || coefficients.is_none_or(|coefficients| coefficients > degree) {
            return Err(Error::Layout(format!("{tiling:?} does not fit {degree} coefficients")));
        }
        Ok(layout)
    }

    /// The layer.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The tiling.
    pub fn tiling(&self) -> Tiling {
        self.tiling
    }

    /// Elements of the result.
    pub fn outputs(&self) -> usize {
        self.shape.batch * self.shape.filters * self.output[0] * self.output[1]
    }

    /// Channels, each phase being one.
    pub(super) fn planes(&self) -> usize {
        self.shape.channels * self.phases.len()
    }

    fn width(&self) -> usize {
        self.tiling.block[1] + self.extent[1]
    }

    /// Coefficients of a tile's plane: S.
    fn plane(&self) -> usize {
        (self.tiling.block[0] + self.extent[0]).saturating_mul(self.width())
    }

    /// Blocks of outputs, over all images.
    pub fn blocks(&self) -> usize {
        self.shape.batch * self.blocks[0] * self.blocks[1]
    }

    /// Tiles of channels: ciphertexts sent for a block.
    pub fn channel_tiles(&self) -> usize {
        self.planes().div_ceil(self.tiling.channels)
    }

    /// Tiles of filters: ciphertexts returned for a block.
    pub fn filter_tiles(&self) -> usize {
        self.shape.filters.div_ceil(self.tiling.filters)
    }

    /// The tiles of channels that a tile of filters reads: all, but for groups.
    pub fn met(&self, filters: usize) -> Range<usize> {
        let per_group = [self.planes() / self.shape.groups, self.shape.filters / self.shape.groups];
        let first = filters * self.tiling.filters;
        let last = self.shape.filters.min(first + self.tiling.filters) - 1;
        let planes = first / per_group[1] * per_group[0]..(last / per_group[1] + 1) * per_group[0];
        planes.start / self.tiling.channels..planes.end.div_ceil(self.tiling.channels)
    }

    /// Image, first output row and column, and rows and columns of a block.
    fn block(&self, block: usize) -> (usize, [usize; 2], [usize; 2]) {
        let per_image = self.blocks[0] * self.blocks[1];
        let at = [block % per_image / self.blocks[1], block % self.blocks[1]];
        let first = [0, 1].map(|axis| at[axis] * self.tiling.block[axis]);
        let size = [0, 1].map(|axis| self.tiling.block[axis].min(self.output[axis] - first[axis]));
        (block / per_image, first, size)
    }

    /// Fills the polynomial of a tile of channels of a block: coefficient by coefficient the element of the operand.
    pub fn fill<T: Copy>(&self, channels: usize, block: usize, operand: &[T], polynomial: &mut [T]) {
        let (image, first, size) = self.block(block);
        let from = channels * self.tiling.channels;
        for plane in from..self.planes().min(from + self.tiling.channels) {
            let (channel, phase) = (plane / self.phases.len(), &self.phases[plane % self.phases.len()]);
            let base = (plane - from) * self.plane();
            // A coordinate of the operand, or none in the padding.
            let coordinate = |axis: usize, at: usize| {
                let padded = (first[axis] + at) * self.shape.stride[axis] + phase.start[axis];
                padded.checked_sub(self.shape.pads[axis]).filter(|at| *at < self.shape.plane[axis])
            };
            for row in 0..size[0] + self.extent[0] {
                let Some(y) = coordinate(0, row) else { continue };
                for column in 0..size[1] + self.extent[1] {
                    let Some(x) = coordinate(1, column) else { continue };
                    let place =
                        self.shape.place((image, channel), [y, x], self.shape.channels, self.shape.plane);
                    polynomial[base + row * self.width() + column] = operand[place];
                }
            }
        }
    }

    /// The polynomial of the weights between a tile of filters and one of channels; `weight(i)` is weight i of
    /// `[filters, channels / groups, kh, kw]`.
    pub fn factor(&self, filters: usize, channels: usize, weight: impl Fn(usize) -> i64) -> Vec<i64> {
        let mut polynomial = vec![0; self.degree];
        let (size, plane) = (self.tiling.channels, self.plane());
        let reach = self.extent[0] * self.width() + self.extent[1];
        let taps = self.shape.kernel[0] * self.shape.kernel[1];
        let per_group = self.shape.channels / self.shape.groups;
        let group_of = |filter: usize| filter / (self.shape.filters / self.shape.groups);
        let (first, from) = (filters * self.tiling.filters, channels * size);
        for filter in first..self.shape.filters.min(first + self.tiling.filters) {
            for at in from..self.planes().min(from + size) {
                let (channel, phase) = (at / self.phases.len(), &self.phases[at % self.phases.len()]);
                if channel / per_group != group_of(filter) {
                    continue;
                }
                let base = ((filter - first) * size + size - 1 - (at - from)) * plane + reach;
                for tap in &phase.taps {
                    let index = (filter * per_group + channel % per_group) * taps + tap.index;
                    polynomial[base - tap.offset[0] * self.width() - tap.offset[1]] = weight(index);
                }
            }
        }
        polynomial
    }

    /// Where the results of a tile of filters of a block stand: coefficients, increasing, and places in the result.
    pub fn results(&self, filters: usize, block: usize) -> (Vec<u32>, Vec<usize>) {
        let (image, first, size) = self.block(block);
        let reach = self.extent[0] * self.width() + self.extent[1];
        let from = filters * self.tiling.filters;
        let (mut coefficients, mut places) = (Vec::new(), Vec::new());
        for filter in from..self.shape.filters.min(from + self.tiling.filters) {
            let c = self.tiling.channels;
            let base = ((filter - from) * c + c - 1) * self.plane() + reach;
            for row in 0..size[0] {
                for column in 0..size[1] {
                    coefficients.push((base + row * self.width() + column) as u32);
                    let at = [first[0] + row, first[1] + column];
                    places.push(self.shape.place((image, filter), at, self.shape.filters, self.output));
                }
            }
        }
        (coefficients, places)
    }
}
