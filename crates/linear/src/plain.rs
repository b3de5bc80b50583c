//! Linear layers in the clear, modulo 2^k: what a party computes that knows both the weights and the operand.
//!
//! A convolution is a sum of shifted planes times weights: with the padded plane of a phase ([`Shape`]'s strides) written row by row,
//! what one tap reads for all outputs is one stretch of it, so that no operand is copied for each tap. A matrix product is a dot
//! product for each output.
//!
//! Modulo an odd number the same sums are exact integers: the operand is taken in pieces of so few bits that no sum of them times weights leaves
//! 64 bits, one piece where weights are narrow, and what each gives is reduced once.

use kernel::modular::Modulus;
use kernel::wrapping::{LANES, Wrapping, dots, products};
use rayon::prelude::*;

use crate::Error;
use crate::coefficients::{Phase, Shape, extent};

/// Rows of sums that one task computes.
const ROWS: usize = 8;

/// Bits up to which 32-bit integers hold the ring.
const NARROW: u32 = 32;

/// A layer with its weights, ready to be applied.
pub struct Layer {
    shape: Shape,
    output: [usize; 2],
    phases: Vec<Phase>,
    bits: u32,
    weights: Weights,
}

/// Weights, terms in the order in which they are summed, at the width of the ring.
enum Weights {
    Narrow(Vec<i32>),
    Wide(Vec<i64>),
}

/// Integers that a ring's elements become.
trait Element: Wrapping {
    fn of(value: i64) -> Self;
    fn wide(self) -> u64;
}

impl Element for i32 {
    fn of(value: i64) -> Self {
        value as Self
    }

    fn wide(self) -> u64 {
        self as u64
    }
}

impl Element for i64 {
    fn of(value: i64) -> Self {
        value
    }

    fn wide(self) -> u64 {
        self as u64
    }
}

impl Layer {
    /// A layer modulo `2^bits`, with 1 to 64 bits; `weight(i)` is weight i of `[filters, channels / groups, kh, kw]`.
    ///
    /// # Errors
    /// If the shape is none.
    pub fn new(shape: &Shape, bits: u32, weight: impl Fn(usize) -> i64) -> Result<Self, Error> {
        let mut layer = Self {
            output: shape.output()?,
            shape: shape.clone(),
            phases: shape.phases(),
            bits: bits.clamp(1, 64),
            weights: Weights::Narrow(Vec::new()),
        };
        let order = layer.order();
        let terms = shape.terms();
        let all = (0..shape.filters).flat_map(|filter| order.iter().map(move |term| filter * terms + term));
        layer.weights = if bits <= NARROW {
            Weights::Narrow(all.map(|index| i32::of(weight(index))).collect())
        } else {
            Weights::Wide(all.map(weight).collect())
        };
        Ok(layer)
    }

    /// Which weight of a filter each term is: channel by channel, phase by phase, tap by tap.
    fn order(&self) -> Vec<usize> {
        let taps = self.shape.kernel[0] * self.shape.kernel[1];
        let channels = 0..self.shape.channels / self.shape.groups;
        let of_channel = |channel: usize| {
            let taps_of = move |phase: &Phase| {
                phase.taps.iter().map(move |tap| channel * taps + tap.index).collect::<Vec<_>>()
            };
            self.phases.iter().flat_map(taps_of).collect::<Vec<_>>()
        };
        channels.flat_map(of_channel).collect()
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        match &self.weights {
            Weights::Narrow(weights) => size_of_val(weights.as_slice()),
            Weights::Wide(weights) => size_of_val(weights.as_slice()),
        }
    }

    /// The layer's sums of an operand of residues, modulo an odd number; of a layer that was made modulo 2^64.
    ///
    /// # Errors
    /// If the operand is not the layer's, or the weights are none that were made for this.
    pub fn apply_modulo(&self, x: &[u64], modulus: &Modulus) -> Result<Vec<u64>, Error> {
        if x.len() != self.shape.inputs() {
            return Err(Error::TooMany(x.len(), self.shape.inputs()));
        }
        let weights = match &self.weights {
            Weights::Wide(weights) if self.bits == 64 => weights,
            _ => return Err(Error::TooMany(64, self.bits as usize)),
        };
        let magnitude = |row: &[i64]| row.iter().map(|w| u128::from(w.unsigned_abs())).sum::<u128>();
        let most = weights.chunks(self.shape.terms().max(1)).map(magnitude).max().unwrap_or(0);
        // Sums of pieces below 2^width, times weights, stay below 2^63.
        let width = 62u32.saturating_sub(128 - most.leading_zeros()).min(modulus.bits());
        if width == 0 {
            return Err(Error::TooMany(weights.len(), 0));
        }
        let mut sums: Vec<u64> = Vec::new();
        for low in (0..modulus.bits()).step_by(width as usize) {
            let piece: Vec<u64> = x.iter().map(|x| x >> low & (u64::MAX >> (64 - width))).collect();
            let part = self.run(weights, &piece);
            let factor = modulus.reduce(1 << low);
            let place = |sum: u64| modulus.mul(modulus.from_signed(sum as i64), factor);
            if sums.is_empty() {
                sums = part.into_iter().map(place).collect();
            } else {
                sums.iter_mut().zip(part).for_each(|(sum, part)| *sum = modulus.add(*sum, place(part)));
            }
        }
        Ok(sums)
    }

    /// The layer's sums of an operand, modulo the power of two.
    ///
    /// # Errors
    /// If the operand is not the layer's.
    pub fn apply(&self, x: &[u64]) -> Result<Vec<u64>, Error> {
        if x.len() != self.shape.inputs() {
            return Err(Error::TooMany(x.len(), self.shape.inputs()));
        }
        let mask = u64::MAX >> (64 - self.bits);
        let mut sums = match &self.weights {
            Weights::Narrow(weights) => self.run(weights, x),
            Weights::Wide(weights) => self.run(weights, x),
        };
        sums.iter_mut().for_each(|sum| *sum &= mask);
        Ok(sums)
    }

    fn run<T: Element>(&self, weights: &[T], x: &[u64]) -> Vec<u64> {
        let x: Vec<T> = x.iter().map(|x| T::of(*x as i64)).collect();
        if self.shape.channels_last { self.matrix(weights, &x) } else { self.convolve(weights, &x) }
    }

    fn matrix<T: Element>(&self, weights: &[T], x: &[T]) -> Vec<u64> {
        let (inputs, outputs) = (self.shape.channels, self.shape.filters);
        let mut sums = vec![T::default(); x.len() / inputs * outputs];
        for (x, sums) in x.chunks_exact(inputs).zip(sums.chunks_exact_mut(outputs)) {
            let rows = weights.par_chunks(64 * inputs).zip(sums.par_chunks_mut(64));
            rows.for_each(|(weights, sums)| dots(weights, x, sums));
        }
        sums.into_iter().map(T::wide).collect()
    }

    fn convolve<T: Element>(&self, weights: &[T], x: &[T]) -> Vec<u64> {
        let ([height, width], reach) = (self.output, extent(&self.phases));
        let (groups, terms) = (self.shape.groups, self.shape.terms());
        // A row of a phase's plane, and how far the outputs reach in it.
        let row = width + reach[1];
        let span = ((height - 1) * row + width).next_multiple_of(LANES);
        let planes = self.planes(x, row, span + reach[0] * row + reach[1]);
        let filters = self.shape.filters / groups;
        let per_group = planes.len() / self.shape.batch / groups;
        let mut result = vec![0u64; self.shape.batch * self.shape.filters * height * width];
        // Tasks end with their group: its filters read other channels than the next one's.
        let groups = result.par_chunks_mut(filters * height * width).enumerate();
        groups.for_each(|(number, result)| {
            let (first, group) = (number * per_group, number % self.shape.groups);
            let sources: Vec<&[T]> = planes[first..first + per_group]
                .iter()
                .zip(self.phases.iter().cycle())
                .flat_map(|(plane, phase)| {
                    phase.taps.iter().map(move |tap| {
                        let from = tap.offset[0] * row + tap.offset[1];
                        &plane[from..from + span]
                    })
                })
                .collect();
            let weights = &weights[group * filters * terms..(group + 1) * filters * terms];
            let tasks = weights.par_chunks(ROWS * terms).zip(result.par_chunks_mut(ROWS * height * width));
            tasks.for_each(|(weights, result)| {
                let mut sums = vec![T::default(); weights.len() / terms * span];
                products(weights, &sources, &mut sums);
                let rows =
                    sums.chunks_exact(span).flat_map(|sums| (0..height).map(move |y| &sums[y * row..]));
                for (result, sums) in result.chunks_exact_mut(width).zip(rows) {
                    result.iter_mut().zip(sums).for_each(|(to, sum)| *to = sum.wide());
                }
            });
        });
        result
    }

    /// The planes of all images, channels and phases: padded, at the phase's stride, followed by zeros.
    fn planes<T: Element>(&self, x: &[T], row: usize, length: usize) -> Vec<Vec<T>> {
        let [height, width] = self.shape.plane;
        let count = self.shape.batch * self.shape.channels * self.phases.len();
        let plane = |number: usize| {
            let (image, phase) = (number / self.phases.len(), &self.phases[number % self.phases.len()]);
            let from = &x[image * height * width..(image + 1) * height * width];
            let mut plane = vec![T::default(); length];
            let coordinate = |axis: usize, at: usize| {
                let padded = at * self.shape.stride[axis] + phase.start[axis];
                padded.checked_sub(self.shape.pads[axis]).filter(|at| *at < self.shape.plane[axis])
            };
            for (at, to) in plane.chunks_mut(row).enumerate() {
                let Some(y) = coordinate(0, at) else { continue };
                for (at, to) in to.iter_mut().enumerate() {
                    if let Some(x) = coordinate(1, at) {
                        *to = from[y * width + x];
                    }
                }
            }
            plane
        };
        (0..count).into_par_iter().map(plane).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, output by output.
    fn plainly(shape: &Shape, bits: u32, weights: &[i64], x: &[u64]) -> Vec<u64> {
        let [height, width] = shape.output().expect("a shape");
        let (channels, filters) = (shape.channels / shape.groups, shape.filters / shape.groups);
        let mut sums = Vec::new();
        for image in 0..shape.batch {
            for filter in 0..shape.filters {
                for at in 0..height * width {
                    let mut sum = 0u64;
                    for term in 0..shape.terms() {
                        let (channel, tap) = (
                            filter / filters * channels + term / (shape.kernel[0] * shape.kernel[1]),
                            term % (shape.kernel[0] * shape.kernel[1]),
                        );
                        let y = at / width * shape.stride[0] + tap / shape.kernel[1] * shape.dilation[0];
                        let x_ = at % width * shape.stride[1] + tap % shape.kernel[1] * shape.dilation[1];
                        let inside = |at: usize, axis: usize| {
                            at.checked_sub(shape.pads[axis]).filter(|at| *at < shape.plane[axis])
                        };
                        if let (Some(y), Some(x_)) = (inside(y, 0), inside(x_, 1)) {
                            let place = ((image * shape.channels + channel) * shape.plane[0] + y)
                                * shape.plane[1]
                                + x_;
                            let weight = weights[filter * shape.terms() + term] as u64;
                            sum = sum.wrapping_add(weight.wrapping_mul(x[place]));
                        }
                    }
                    sums.push(sum & u64::MAX >> (64 - bits));
                }
            }
        }
        sums
    }

    fn numbers(count: usize) -> Vec<u64> {
        (1..=count as u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)).collect()
    }

    #[test]
    fn convolutions_of_all_kinds_are_as_defined() {
        let base = Shape {
            batch: 2,
            channels: 4,
            plane: [7, 9],
            filters: 10,
            groups: 2,
            kernel: [3, 2],
            stride: [1, 1],
            dilation: [1, 1],
            pads: [1, 0, 2, 1],
            channels_last: false,
        };
        let shapes = [
            base.clone(),
            Shape { stride: [2, 3], ..base.clone() },
            Shape { dilation: [2, 3], stride: [1, 2], ..base.clone() },
            Shape { groups: 1, kernel: [1, 1], pads: [0; 4], plane: [12, 12], ..base.clone() },
            Shape { groups: 1, filters: 1, kernel: [7, 9], pads: [0; 4], ..base },
        ];
        for shape in shapes {
            let (x, weights) = (numbers(shape.inputs()), numbers(shape.weights()));
            let weights: Vec<i64> = weights.into_iter().map(|weight| weight as i64 >> 45).collect();
            for bits in [20, 32, 33, 62, 64] {
                let layer = Layer::new(&shape, bits, |index| weights[index]).expect("a layer");
                let x: Vec<u64> = x.iter().map(|x| x & u64::MAX >> (64 - bits)).collect();
                assert_eq!(layer.apply(&x).expect("fits"), plainly(&shape, bits, &weights, &x), "{shape:?}");
                assert!(layer.apply(&x[1..]).is_err());
            }
        }
    }

    #[test]
    fn sums_modulo_odd_numbers() {
        let shape = Shape {
            batch: 1,
            channels: 5,
            plane: [6, 5],
            filters: 3,
            groups: 1,
            kernel: [3, 3],
            stride: [1, 2],
            dilation: [1, 1],
            pads: [1; 4],
            channels_last: false,
        };
        // Weights of 8 and of 31 bits: one piece, and several; operands at both ends.
        for (value, narrow) in [(0x1_0000_000fu64, 56), ((1 << 61) - 1, 56), ((1 << 61) - 1, 33)] {
            let modulus = Modulus::new(value).expect("a modulus");
            let weights: Vec<i64> = numbers(shape.weights()).iter().map(|w| *w as i64 >> narrow).collect();
            let mut x: Vec<u64> = numbers(shape.inputs()).iter().map(|x| x % value).collect();
            x[..4].copy_from_slice(&[value - 1, 0, 1, value - 1]);
            let layer = Layer::new(&shape, 64, |index| weights[index]).expect("a layer");
            let found = layer.apply_modulo(&x, &modulus).expect("fits");
            let [height, width] = shape.output().expect("a shape");
            for (lane, found) in found.iter().enumerate() {
                let (filter, at) = (lane / (height * width), lane % (height * width));
                let mut sum = 0i128;
                for term in 0..shape.terms() {
                    let y = (at / width + term / 3 % 3).wrapping_sub(1);
                    let z = (at % width * 2 + term % 3).wrapping_sub(1);
                    if y < 6 && z < 5 {
                        let weight = i128::from(weights[filter * shape.terms() + term]);
                        sum += weight * i128::from(x[(term / 9 * 6 + y) * 5 + z]);
                    }
                }
                assert_eq!(i128::from(*found), sum.rem_euclid(i128::from(value)));
            }
        }
        let layer = Layer::new(&shape, 40, |_| 1).expect("a layer");
        let modulus = Modulus::new(97).expect("a modulus");
        assert!(layer.apply_modulo(&numbers(shape.inputs()), &modulus).is_err());
    }

    #[test]
    fn matrix_products_are_as_defined() {
        let (x, weights) = (numbers(3 * 130), numbers(130 * 70));
        for bits in [31, 50] {
            let layer = Layer::new(&Shape::dense(3, 130, 70), bits, |i| weights[i] as i64).expect("a layer");
            let sums = layer.apply(&x).expect("fits");
            for (index, sum) in sums.iter().enumerate() {
                let (row, output) = (index / 70, index % 70);
                let terms = weights[output * 130..(output + 1) * 130].iter().zip(&x[row * 130..]);
                let plain = terms.fold(0u64, |sum, (w, x)| sum.wrapping_add(w.wrapping_mul(*x)));
                assert_eq!(*sum, plain & u64::MAX >> (64 - bits));
            }
        }
    }
}
