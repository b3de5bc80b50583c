//! The largest value under a window.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::gather::NONE;
use super::values;

/// For each result the taps it looks at; the gradient goes to the first of the largest.
#[derive(Clone, Debug)]
pub struct MaxPool(Arc<Taps>);

#[derive(Debug)]
struct Taps {
    inputs: usize,
    outputs: usize,
    /// `each` indices a result, or [`NONE`].
    table: Vec<u32>,
    each: usize,
}

impl MaxPool {
    /// From the indices that each result looks at, `each` for one result after the other.
    pub fn new(inputs: usize, each: usize, table: Vec<u32>) -> Self {
        Self(Arc::new(Taps { inputs, outputs: table.len() / each.max(1), table, each }))
    }

    /// Applies it to `[samples, inputs]`.
    ///
    /// # Errors
    /// If memory is short.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        x.contiguous()?.apply_op1(self.clone())
    }
}

impl Taps {
    /// Index of the largest value that a result looks at.
    fn largest(&self, x: &[f32], output: usize) -> usize {
        let mut best: Option<usize> = None;
        for &tap in &self.table[output * self.each..][..self.each] {
            let tap = tap as usize;
            if tap != NONE as usize && best.is_none_or(|best| x[tap] > x[best]) {
                best = Some(tap);
            }
        }
        best.unwrap_or(0)
    }
}

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        "max-pool"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let taps = &*self.0;
        let x = values(storage, layout)?;
        let samples = x.len() / taps.inputs.max(1);
        let mut y = vec![0f32; samples * taps.outputs];
        y.par_chunks_mut(taps.outputs.max(1)).with_min_len(4).zip(x.par_chunks(taps.inputs)).for_each(
            |(y, x)| y.iter_mut().enumerate().for_each(|(output, y)| *y = x[taps.largest(x, output)]),
        );
        Ok((CpuStorage::F32(y), Shape::from((samples, taps.outputs))))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        x.contiguous()?.apply_op2_no_bwd(&gradient.contiguous()?, &Largest(Arc::clone(&self.0))).map(Some)
    }
}

/// The gradient of a [`MaxPool`].
struct Largest(Arc<Taps>);

impl CustomOp2 for Largest {
    fn name(&self) -> &'static str {
        "max-pool-gradient"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        g: &CpuStorage,
        g_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let taps = &*self.0;
        let (x, g) = (values(x, x_layout)?, values(g, g_layout)?);
        let mut y = vec![0f32; x.len()];
        let samples = x.par_chunks(taps.inputs).zip(g.par_chunks(taps.outputs.max(1)));
        y.par_chunks_mut(taps.inputs.max(1)).with_min_len(4).zip(samples).for_each(|(y, (x, g))| {
            g.iter().enumerate().for_each(|(output, g)| y[taps.largest(x, output)] += g);
        });
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }
}
