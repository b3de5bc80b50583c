//! The loss: mean cross-entropy of softmax.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::values;

/// Cross-entropy of scores `[samples, classes]` with one label a sample.
pub struct Entropy {
    labels: Vec<u32>,
    classes: usize,
}

impl Entropy {
    /// The mean over all samples. Labels lie below `classes`.
    ///
    /// # Errors
    /// If the scores are not one row a label.
    pub fn of(scores: &Tensor, labels: Vec<u32>, classes: usize) -> Result<Tensor> {
        scores.contiguous()?.apply_op1(Self { labels, classes })
    }

    /// For each sample its row of scores and its label.
    fn rows<'a>(&'a self, scores: &'a [f32]) -> Result<impl Iterator<Item = (&'a [f32], usize)>> {
        if scores.len() != self.labels.len() * self.classes {
            bail!("{} scores for {} labels of {} classes", scores.len(), self.labels.len(), self.classes);
        }
        Ok(scores.chunks(self.classes).zip(self.labels.iter().map(|&label| label as usize)))
    }
}

/// The logarithm of a row's sum of exponentials.
fn log_sum(row: &[f32]) -> f64 {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter().map(|v| f64::from(v - top).exp()).sum::<f64>().ln() + f64::from(top)
}

impl CustomOp1 for Entropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let scores = values(storage, layout)?;
        let sum: f64 = self.rows(scores)?.map(|(row, label)| log_sum(row) - f64::from(row[label])).sum();
        Ok((CpuStorage::F32(vec![(sum / self.labels.len() as f64) as f32]), Shape::from(())))
    }

    fn bwd(&self, scores: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let values = scores.contiguous()?.flatten_all()?.to_vec1::<f32>()?;
        let scale = f64::from(gradient.to_scalar::<f32>()?) / self.labels.len() as f64;
        let mut slopes = Vec::with_capacity(values.len());
        for (row, label) in self.rows(&values)? {
            let sum = log_sum(row);
            let slope = |(class, v): (usize, &f32)| {
                ((f64::from(*v) - sum).exp() - f64::from(u8::from(class == label))) * scale
            };
            slopes.extend(row.iter().enumerate().map(slope).map(|v| v as f32));
        }
        Tensor::from_vec(slopes, scores.shape(), scores.device()).map(Some)
    }
}
