//! Copies by a fixed table: the one operation behind windows, transposes, slices, margins and broadcasts.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::values;

/// An entry of a table that takes no value: the result has the fill there.
pub const NONE: u32 = u32::MAX;

/// A stretch of a copy: `length` values from `from`, `from + step`, ... to consecutive places.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Run {
    to: u32,
    from: u32,
    length: u32,
    step: i64,
}

/// A copy for each sample: `[samples, inputs]` becomes `[rows, samples, width]`, or `[samples, width]` with one row. Rows
/// stand outside the samples, so that a convolution is one matrix product for all samples.
#[derive(Clone, Debug)]
pub struct Gather(Arc<Table>);

#[derive(Debug)]
struct Table {
    inputs: usize,
    rows: usize,
    width: usize,
    fill: f32,
    runs: Vec<Vec<Run>>,
}

impl Gather {
    /// From a table of `rows * width` indices of an operand of `inputs` values, or [`NONE`].
    pub fn new(inputs: usize, rows: usize, table: &[u32], fill: f32) -> Self {
        let width = table.len() / rows.max(1);
        let runs = table.chunks(width.max(1)).map(runs).collect();
        Self(Arc::new(Table { inputs, rows, width, fill, runs }))
    }

    /// Applies it to `[samples, inputs]`.
    ///
    /// # Errors
    /// If the operand has another shape.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        x.contiguous()?.apply_op1(self.clone())
    }
}

/// A row of a table as stretches.
fn runs(row: &[u32]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (to, &from) in row.iter().enumerate() {
        if from == NONE {
            continue;
        }
        if let Some(last) = runs.last_mut()
            && last.to + last.length == to as u32
        {
            let step = i64::from(from) - (i64::from(last.from) + i64::from(last.length - 1) * last.step);
            if last.length == 1 || step == last.step {
                last.step = step;
                last.length += 1;
                continue;
            }
        }
        runs.push(Run { to: to as u32, from, length: 1, step: 1 });
    }
    runs
}

impl Run {
    fn places(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.length).map(move |i| {
            ((self.to + i) as usize, (i64::from(self.from) + i64::from(i) * self.step) as usize)
        })
    }
}

impl CustomOp1 for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let table = &*self.0;
        let x = values(storage, layout)?;
        let samples = x.len() / table.inputs.max(1);
        if samples * table.inputs != x.len() {
            bail!("{} values are no samples of {}", x.len(), table.inputs);
        }
        let mut y = vec![table.fill; table.rows * samples * table.width];
        y.par_chunks_mut(table.width.max(1)).with_min_len(8).enumerate().for_each(|(place, y)| {
            let (row, sample) = (place / samples, place % samples);
            let x = &x[sample * table.inputs..][..table.inputs];
            for run in &table.runs[row] {
                if run.step == 1 {
                    let (to, from, length) = (run.to as usize, run.from as usize, run.length as usize);
                    y[to..to + length].copy_from_slice(&x[from..from + length]);
                } else {
                    run.places().for_each(|(to, from)| y[to] = x[from]);
                }
            }
        });
        let shape = match table.rows {
            1 => Shape::from((samples, table.width)),
            rows => Shape::from((rows, samples, table.width)),
        };
        Ok((CpuStorage::F32(y), shape))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        gradient.contiguous()?.apply_op1_no_bwd(&Scatter(Arc::clone(&self.0))).map(Some)
    }
}

/// The gradient of a [`Gather`]: each value goes back to where it came from, and sums up there.
struct Scatter(Arc<Table>);

impl CustomOp1 for Scatter {
    fn name(&self) -> &'static str {
        "scatter"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let table = &*self.0;
        let gradient = values(storage, layout)?;
        let samples = gradient.len() / (table.rows * table.width).max(1);
        let mut x = vec![0f32; samples * table.inputs];
        x.par_chunks_mut(table.inputs.max(1)).with_min_len(4).enumerate().for_each(|(sample, x)| {
            for (row, runs) in table.runs.iter().enumerate() {
                let gradient = &gradient[(row * samples + sample) * table.width..][..table.width];
                for run in runs {
                    if run.step == 1 {
                        let (to, from, length) = (run.to as usize, run.from as usize, run.length as usize);
                        let pairs = x[from..from + length].iter_mut().zip(&gradient[to..to + length]);
                        pairs.for_each(|(x, g)| *x += g);
                    } else {
                        run.places().for_each(|(to, from)| x[from] += gradient[to]);
                    }
                }
            }
        });
        Ok((CpuStorage::F32(x), Shape::from((samples, table.inputs))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn stretches_cover_their_table() {
        let table = [3, 4, 5, NONE, 7, 5, 3, 3, 3, 0, NONE, NONE, 2];
        let mut seen = [NONE; 13];
        let runs = runs(&table);
        assert!(runs.len() <= 6, "{runs:?}");
        runs.iter().flat_map(|run| run.places()).for_each(|(to, from)| seen[to] = from as u32);
        assert_eq!(seen, table);
    }

    #[test]
    fn rows_stand_outside_samples() {
        let x = Tensor::new(&[[1f32, 2.0, 3.0], [4.0, 5.0, 6.0]], &Device::Cpu).unwrap();
        let gather = Gather::new(3, 2, &[2, 0, NONE, 1], -1.0);
        let y = gather.apply(&x).unwrap();
        assert_eq!(y.dims(), [2, 2, 2]);
        assert_eq!(
            y.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
            [3.0, 1.0, 6.0, 4.0, -1.0, 2.0, -1.0, 5.0]
        );
    }
}
