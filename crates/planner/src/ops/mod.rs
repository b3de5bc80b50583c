//! Differentiable operations that candle lacks or has in a narrower form.
//!
//! A node's values are a matrix `[samples, values]`. Everything that only moves values (windows of a convolution, transposes,
//! slices, margins) is one operation, [`gather::Gather`], whose gradient is the opposite movement; products are candle's.

pub mod entropy;
pub mod gather;
pub mod pointwise;
pub mod pool;

use candle_core::{CpuStorage, Layout, Result, bail};

/// A contiguous operand's values.
fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => match storage.as_slice::<f32>()?.get(start..end) {
            Some(values) => Ok(values),
            None => bail!("an operand ends early"),
        },
        None => bail!("an operand is not contiguous"),
    }
}
