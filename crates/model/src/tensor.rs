//! A tensor of floats, its shape bounded.

use std::sync::Arc;

use crate::error::Error;

/// The largest number of elements of one tensor: 2^27, half a gigabyte of floats.
pub const MAX_ELEMENTS: usize = 1 << 27;

/// The largest number of axes.
pub const MAX_RANK: usize = 8;

/// A dense tensor in row-major order. Copies share their values until one of them changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Arc<Vec<f32>>,
}

impl Tensor {
    /// A tensor of `shape` holding `data` in row-major order.
    ///
    /// # Errors
    /// If the shape is out of bounds (see [`elements`]) or does not hold exactly `data`.
    pub fn new(shape: Vec<usize>, data: Vec<f32>) -> Result<Self, Error> {
        Self::shared(shape, Arc::new(data))
    }

    /// As [`Tensor::new`], without a copy of values that others hold too.
    ///
    /// # Errors
    /// As [`Tensor::new`].
    pub fn shared(shape: Vec<usize>, data: Arc<Vec<f32>>) -> Result<Self, Error> {
        let wanted = elements(&shape)?;
        if wanted != data.len() {
            return Err(Error::Shape(format!("shape {shape:?} holds {wanted} values, not {}", data.len())));
        }
        Ok(Self { shape, data })
    }

    /// A tensor of `shape` filled with one value.
    ///
    /// # Errors
    /// If the shape is out of bounds.
    pub fn filled(shape: Vec<usize>, value: f32) -> Result<Self, Error> {
        let count = elements(&shape)?;
        Ok(Self { shape, data: Arc::new(vec![value; count]) })
    }

    /// A one-dimensional tensor.
    pub fn vector(data: Vec<f32>) -> Self {
        Self { shape: vec![data.len()], data: Arc::new(data) }
    }

    /// The length of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values in row-major order.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// The values in row-major order, to be changed.
    pub fn data_mut(&mut self) -> &mut [f32] {
        Arc::make_mut(&mut self.data).as_mut_slice()
    }

    /// The values alone.
    pub fn into_data(self) -> Vec<f32> {
        Arc::unwrap_or_clone(self.data)
    }

    /// The same values under another shape.
    ///
    /// # Errors
    /// If that shape holds another number of values.
    pub fn reshaped(self, shape: Vec<usize>) -> Result<Self, Error> {
        Self::shared(shape, self.data)
    }
}

/// Number of elements of a shape.
///
/// # Errors
/// With more than [`MAX_RANK`] axes, an axis of length zero, or more than [`MAX_ELEMENTS`] elements.
pub fn elements(shape: &[usize]) -> Result<usize, Error> {
    if shape.len() > MAX_RANK {
        return Err(Error::Shape(format!("{} axes; at most {MAX_RANK} are supported", shape.len())));
    }
    let mut count = 1usize;
    for &axis in shape {
        if axis == 0 {
            return Err(Error::Shape(format!("shape {shape:?} has an axis of length zero")));
        }
        count = count
            .checked_mul(axis)
            .filter(|&c| c <= MAX_ELEMENTS)
            .ok_or_else(|| Error::Shape(format!("shape {shape:?} has more than 2^27 elements")))?;
    }
    Ok(count)
}
