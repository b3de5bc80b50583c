//! Matrix-vector products: copies of a vector in slots, and generalised diagonals.
//!
//! The slots are cut into regions, each of which holds a copy of the vector (or a row of slots of a longer one). An output is computed in
//! one region, whose slots are added up in `rows` interleaved sums; so each of a region's `rows` outputs has a sum of its own.

use super::convolution::fold as doubling;
use super::product::Fold;
use crate::Error;
use crate::coefficients::Shape;
use crate::slots::{Axis, Cycle, Digit, Kernel, Layout, Pattern, Relation};

/// A matrix product: vectors, and elements of each and of its result.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Vectors.
    pub vectors: usize,
    /// Elements of a vector.
    pub inputs: usize,
    /// Elements of a result.
    pub outputs: usize,
}

/// A layer as a matrix product, if it is one: of rows, or a convolution whose result is one element a filter.
pub fn size(shape: &Shape) -> Option<Size> {
    let output = shape.output().ok()?;
    let outputs = shape.filters;
    let rows = shape.channels_last
        && (shape.plane[1], shape.batch) == (1, 1)
        && (shape.kernel, shape.stride, shape.pads) == ([1, 1], [1, 1], [0; 4]);
    match shape.groups {
        1 if rows => Some(Size { vectors: shape.plane[0], inputs: shape.channels, outputs }),
        1 if output == [1, 1] => {
            let inputs = shape.channels * shape.plane[0] * shape.plane[1];
            Some(Size { vectors: shape.batch, inputs, outputs })
        }
        _ => None,
    }
}

fn sized(shape: &Shape) -> Result<Size, Error> {
    size(shape).ok_or_else(|| Error::Layout(format!("no matrix product: {shape:?}")))
}

/// Slots of a region: a vector's, or a row.
pub fn region(size: Size, cycle: Cycle) -> usize {
    size.inputs.next_power_of_two().min(cycle.columns)
}

impl Size {
    fn pattern(self) -> Pattern {
        let full = Relation::Full { inputs: self.inputs, outputs: self.outputs };
        Pattern::Axes(vec![Relation::Same { size: self.vectors }, full])
    }

    /// A layout of all vectors, from the digits of one.
    fn layout(self, elements: usize, digits: Vec<Digit>, ciphertexts: usize) -> Layout {
        let several = |digit: &Digit| digit.size > 1;
        let vectors = Digit { size: self.vectors, stride: 0, ciphertexts };
        let vectors =
            Axis { size: self.vectors, digits: vec![vectors].into_iter().filter(several).collect() };
        let axis = Axis { size: elements, digits: digits.into_iter().filter(several).collect() };
        Layout::new(self.vectors * ciphertexts, vec![vectors, axis])
    }

    /// The vectors, with copies in all regions if wanted.
    fn operand(self, cycle: Cycle, copied: bool) -> Layout {
        let region = region(self, cycle);
        if self.inputs <= region {
            let copies = cycle.slots() / region;
            let mut layout = self.layout(self.inputs, vec![Digit::slots(region, 1)], 1);
            layout.copies.extend((copied && copies > 1).then(|| Digit::slots(copies, region)));
            return layout;
        }
        let ciphertexts = self.inputs.div_ceil(cycle.slots());
        let digits = vec![Digit::ciphertexts(ciphertexts), Digit::slots(cycle.slots(), 1)];
        self.layout(self.inputs, digits, ciphertexts)
    }
}

/// A product with an output a ciphertext.
pub fn naive(shape: &Shape, cycle: Cycle) -> Result<(Kernel, Pattern), Error> {
    let size = sized(shape)?;
    let result = size.layout(size.outputs, vec![Digit::ciphertexts(size.outputs)], size.outputs);
    let kernel =
        Kernel { fold: doubling(1, region(size, cycle)), ..Kernel::new(size.operand(cycle, false), result) };
    Ok((kernel, size.pattern()))
}

/// A product by `rows` diagonals a region.
pub fn hybrid(
    shape: &Shape,
    (rows, baby, fold): (usize, usize, Fold),
    cycle: Cycle,
) -> Result<(Kernel, Pattern), Error> {
    let (size, wrong) = (sized(shape)?, || Error::layout("such a number of diagonals"));
    let region = region(size, cycle);
    if !rows.is_power_of_two() || rows > region || baby == 0 {
        return Err(wrong());
    }
    let regions = cycle.slots() / region;
    let ciphertexts = size.outputs.div_ceil(rows * regions);
    let digits = vec![Digit::ciphertexts(ciphertexts), Digit::slots(regions, region), Digit::slots(rows, 1)];
    let mut result = size.layout(size.outputs, digits, ciphertexts);
    let parts = region / rows;
    let by_client = fold == Fold::Client;
    if by_client {
        if parts == 1 {
            return Err(wrong());
        }
        result.partials.push(Digit::slots(parts, rows));
    }
    let fold = doubling(rows, parts);
    let kernel =
        Kernel { fold, by_client, baby: baby.min(rows), ..Kernel::new(size.operand(cycle, true), result) };
    Ok((kernel, size.pattern()))
}
