//! What is computed: a convolution, or a matrix product as one.

use std::collections::HashMap;

use crate::Error;

/// Bound of each number of a shape, so that products of three fit 64 bits.
const MOST: usize = 1 << 20;

/// Most taps of a filter: as many as the largest ring has coefficients, four times over.
const MOST_TAPS: usize = 1 << 16;

/// A convolution of `[N, C, H, W]` with weights `[filters, C / groups, kh, kw]`; or a matrix product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Images.
    pub batch: usize,
    /// Channels of the operand.
    pub channels: usize,
    /// Height and width of the operand.
    pub plane: [usize; 2],
    /// Channels of the result.
    pub filters: usize,
    /// Groups of channels; as many of filters.
    pub groups: usize,
    /// Height and width of a filter, in taps.
    pub kernel: [usize; 2],
    /// Steps between outputs.
    pub stride: [usize; 2],
    /// Steps between taps.
    pub dilation: [usize; 2],
    /// Zeros around the plane: top, left, bottom, right.
    pub pads: [usize; 4],
    /// Whether the channel is the last axis of operand and result, as in a matrix product of rows.
    pub channels_last: bool,
}

/// Taps of a filter that read the same phase of the plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Phase {
    /// First row and column of the padded plane; the others follow at the stride.
    pub start: [usize; 2],
    /// The taps.
    pub taps: Vec<Tap>,
}

/// One weight of a filter and channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tap {
    /// Its place in the filter, row by row.
    pub index: usize,
    /// Rows and columns of the phase between an output and what the tap reads for it.
    pub offset: [usize; 2],
}

impl Shape {
    /// The product of `rows` vectors of `inputs` elements with a matrix of `outputs x inputs`.
    pub fn dense(rows: usize, inputs: usize, outputs: usize) -> Self {
        Self {
            batch: 1,
            channels: inputs,
            plane: [rows, 1],
            filters: outputs,
            groups: 1,
            kernel: [1, 1],
            stride: [1, 1],
            dilation: [1, 1],
            pads: [0; 4],
            channels_last: true,
        }
    }

    /// Height and width of the result.
    ///
    /// # Errors
    /// If a number is zero or absurd, groups do not divide the channels, or the filter does not fit the padded plane.
    pub fn output(&self) -> Result<[usize; 2], Error> {
        let refuse = |why: &str| Err(Error::Layout(format!("{why}: {self:?}")));
        let positive = [self.batch, self.channels, self.filters, self.groups];
        let axes = [self.plane, self.kernel, self.stride, self.dilation];
        if positive.iter().chain(axes.iter().flatten()).any(|v| !(1..=MOST).contains(v))
            || self.pads.iter().any(|pad| *pad > MOST)
        {
            return refuse("a number is zero or too large");
        }
        if self.kernel[0] * self.kernel[1] > MOST_TAPS {
            return refuse("a filter has too many taps");
        }
        if !self.channels.is_multiple_of(self.groups) || !self.filters.is_multiple_of(self.groups) {
            return refuse("groups do not divide the channels");
        }
        let mut out = [0; 2];
        for (axis, out) in out.iter_mut().enumerate() {
            let padded = self.plane[axis] + self.pads[axis] + self.pads[axis + 2];
            let extent = (self.kernel[axis] - 1) * self.dilation[axis] + 1;
            if extent > padded {
                return refuse("the filter exceeds the plane");
            }
            *out = (padded - extent) / self.stride[axis] + 1;
        }
        Ok(out)
    }

    /// Elements of the operand.
    pub fn inputs(&self) -> usize {
        self.batch * self.channels * self.plane[0] * self.plane[1]
    }

    /// Weights.
    pub fn weights(&self) -> usize {
        self.filters * self.terms()
    }

    /// Weights of one filter: terms of each sum.
    pub fn terms(&self) -> usize {
        self.channels / self.groups * self.kernel[0] * self.kernel[1]
    }

    /// The phases that some tap reads.
    pub(crate) fn phases(&self) -> Vec<Phase> {
        let mut phases: Vec<Phase> = Vec::new();
        let mut known = HashMap::new();
        for index in 0..self.kernel[0] * self.kernel[1] {
            let tap = [index / self.kernel[1], index % self.kernel[1]];
            let place = [0, 1].map(|axis| tap[axis] * self.dilation[axis]);
            let start = [0, 1].map(|axis| place[axis] % self.stride[axis]);
            let offset = [0, 1].map(|axis| place[axis] / self.stride[axis]);
            let at = *known.entry(start).or_insert(phases.len());
            if at == phases.len() {
                phases.push(Phase { start, taps: Vec::new() });
            }
            phases[at].taps.push(Tap { index, offset });
        }
        phases
    }

    /// Place of an element in a tensor of `channels` planes.
    pub(crate) fn place(
        &self,
        (image, channel): (usize, usize),
        [row, column]: [usize; 2],
        channels: usize,
        plane: [usize; 2],
    ) -> usize {
        if self.channels_last {
            ((image * plane[0] + row) * plane[1] + column) * channels + channel
        } else {
            ((image * channels + channel) * plane[0] + row) * plane[1] + column
        }
    }
}
