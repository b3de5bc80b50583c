//! Functions of one value.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::values;

/// Values that one task computes at a time.
const PIECE: usize = 1 << 14;

/// A function of one value with its derivative.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pointwise {
    /// `min(max(x, low), high)`: ReLU from 0 to infinity, ReLU6 from 0 to 6.
    Clamp {
        /// Smallest result.
        low: f32,
        /// Largest result.
        high: f32,
    },
    /// `x` where it is positive, else `x * slope`.
    Leaky {
        /// The slope.
        slope: f32,
    },
    /// The logistic function.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
}

impl Pointwise {
    /// Applies it to every value.
    ///
    /// # Errors
    /// If memory is short.
    pub fn apply(self, x: &Tensor) -> Result<Tensor> {
        x.contiguous()?.apply_op1(self)
    }

    fn value(self, x: f32) -> f32 {
        match self {
            Self::Clamp { low, high } => x.max(low).min(high),
            Self::Leaky { slope } => {
                if x >= 0.0 {
                    x
                } else {
                    x * slope
                }
            }
            Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Self::Tanh => x.tanh(),
        }
    }

    /// The derivative; at a corner that of the side towards the smaller result.
    fn slope(self, x: f32) -> f32 {
        match self {
            Self::Clamp { low, high } => f32::from(u8::from(x > low && x < high)),
            Self::Leaky { slope } => {
                if x > 0.0 {
                    1.0
                } else {
                    slope
                }
            }
            Self::Sigmoid => {
                let y = self.value(x);
                y * (1.0 - y)
            }
            Self::Tanh => 1.0 - x.tanh().powi(2),
        }
    }
}

impl CustomOp1 for Pointwise {
    fn name(&self) -> &'static str {
        "pointwise"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values(storage, layout)?;
        let mut y = vec![0f32; x.len()];
        y.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE)).for_each(|(y, x)| {
            y.iter_mut().zip(x).for_each(|(y, x)| *y = self.value(*x));
        });
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        x.contiguous()?.apply_op2_no_bwd(&gradient.contiguous()?, &Slope(*self)).map(Some)
    }
}

/// The gradient of a [`Pointwise`].
struct Slope(Pointwise);

impl CustomOp2 for Slope {
    fn name(&self) -> &'static str {
        "slope"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        g: &CpuStorage,
        g_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, g) = (values(x, x_layout)?, values(g, g_layout)?);
        let mut y = vec![0f32; x.len()];
        y.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE).zip(g.par_chunks(PIECE))).for_each(|(y, (x, g))| {
            y.iter_mut().zip(x.iter().zip(g)).for_each(|(y, (x, g))| *y = self.0.slope(*x) * g);
        });
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }
}
