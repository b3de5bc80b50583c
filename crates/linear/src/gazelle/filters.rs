//! A layer's weights as a matrix.

use crate::coefficients::Shape;
use crate::slots::Matrix;

/// The matrix of a convolution or matrix product, read from its weights `[filters, C / groups, kh, kw]`.
pub struct Filters<'a, F> {
    shape: &'a Shape,
    output: [usize; 2],
    weight: F,
}

impl<'a, F: Fn(usize) -> i64 + Sync> Filters<'a, F> {
    /// The weights of a layer.
    ///
    /// # Errors
    /// If the shape is none.
    pub fn new(shape: &'a Shape, weight: F) -> Result<Self, crate::Error> {
        Ok(Self { output: shape.output()?, shape, weight })
    }
}

impl<F: Fn(usize) -> i64 + Sync> Matrix for Filters<'_, F> {
    fn visit_row(&self, output: usize, visit: &mut dyn FnMut(usize, i128)) {
        let (shape, [height, width]) = (self.shape, self.output);
        let (image, filter, row, column) = if shape.channels_last {
            let place = output / shape.filters;
            (place / width / height, output % shape.filters, place / width % height, place % width)
        } else {
            let channel = output / width / height;
            (channel / shape.filters, channel % shape.filters, output / width % height, output % width)
        };
        let (members, [kh, kw]) = (shape.channels / shape.groups, shape.kernel);
        let first = filter / (shape.filters / shape.groups) * members;
        for member in 0..members {
            for (y, x) in (0..kh).flat_map(|y| (0..kw).map(move |x| (y, x))) {
                // Outside the plane: below zero wraps to a large number.
                let at = |axis: usize, out: usize, tap: usize| {
                    (out * shape.stride[axis] + tap * shape.dilation[axis]).wrapping_sub(shape.pads[axis])
                };
                let place = [at(0, row, y), at(1, column, x)];
                if place[0] < shape.plane[0] && place[1] < shape.plane[1] {
                    let column = shape.place((image, first + member), place, shape.channels, shape.plane);
                    let weight = (self.weight)(((filter * members + member) * kh + y) * kw + x);
                    visit(column, i128::from(weight));
                }
            }
        }
    }
}
