//! Stochastic gradient descent with momentum, and Adam.

use serde::{Deserialize, Serialize};

/// A rule for steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Optimiser {
    /// `v = momentum v + g; w -= rate v`.
    Sgd {
        /// The share of the last step that is kept.
        momentum: f64,
    },
    /// Adam (Kingma and Ba, 2015) with its usual constants, decay apart from the gradient (Loshchilov and Hutter, 2019).
    Adam,
}

const BETA: [f64; 2] = [0.9, 0.999];
const EPSILON: f64 = 1e-8;

/// What an optimiser remembers of its steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// Steps so far.
    pub steps: u64,
    /// Means of gradients, a tensor each: momentum, or Adam's first moment.
    pub first: Vec<Vec<f32>>,
    /// Adam's second moment; empty for the other.
    pub second: Vec<Vec<f32>>,
}

impl Memory {
    /// Nothing, for tensors of these sizes.
    pub fn new(optimiser: Optimiser, sizes: impl Iterator<Item = usize>) -> Self {
        let first: Vec<Vec<f32>> = sizes.map(|size| vec![0.0; size]).collect();
        let second = if optimiser == Optimiser::Adam { first.clone() } else { Vec::new() };
        Self { steps: 0, first, second }
    }
}

/// One step's numbers.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The rate.
    pub rate: f64,
    /// The share of weights that is taken away, times the rate.
    pub decay: f64,
    /// Gradients beyond this are cut to it (Delphi, section 5.1: 2).
    pub clip: Option<f32>,
}

impl Optimiser {
    /// Changes a tensor by its gradient. `memory.steps` counts this step already.
    pub fn apply(self, step: Step, memory: &mut Memory, index: usize, values: &mut [f32], gradient: &[f32]) {
        let clip = step.clip.unwrap_or(f32::INFINITY);
        let first = &mut memory.first[index];
        match self {
            Self::Sgd { momentum } => {
                for ((w, v), g) in values.iter_mut().zip(first).zip(gradient) {
                    let g = f64::from(g.clamp(-clip, clip)) + step.decay * f64::from(*w);
                    *v = (momentum * f64::from(*v) + g) as f32;
                    *w -= (step.rate * f64::from(*v)) as f32;
                }
            }
            Self::Adam => {
                let correct = BETA.map(|beta| 1.0 - beta.powi(memory.steps.min(1 << 20) as i32));
                let second = &mut memory.second[index];
                for (((w, m), v), g) in values.iter_mut().zip(first).zip(second).zip(gradient) {
                    let g = f64::from(g.clamp(-clip, clip));
                    *m = (BETA[0] * f64::from(*m) + (1.0 - BETA[0]) * g) as f32;
                    *v = (BETA[1] * f64::from(*v) + (1.0 - BETA[1]) * g * g) as f32;
                    let (m, v) = (f64::from(*m) / correct[0], f64::from(*v) / correct[1]);
                    let direction = m / (v.sqrt() + EPSILON) + step.decay * f64::from(*w);
                    *w -= (step.rate * direction) as f32;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_find_the_bottom_of_a_bowl() {
        for (optimiser, rate) in [(Optimiser::Sgd { momentum: 0.9 }, 0.02), (Optimiser::Adam, 0.1)] {
            let mut memory = Memory::new(optimiser, [2].into_iter());
            let mut w = vec![3f32, -4.0];
            for _ in 0..500 {
                memory.steps += 1;
                let gradient = [2.0 * (w[0] - 1.0), 20.0 * (w[1] - 2.0)];
                optimiser.apply(
                    Step { rate, decay: 0.0, clip: Some(50.0) },
                    &mut memory,
                    0,
                    &mut w,
                    &gradient,
                );
            }
            assert!((w[0] - 1.0).abs() < 0.05 && (w[1] - 2.0).abs() < 0.05, "{optimiser:?}: {w:?}");
        }
    }

    #[test]
    fn gradients_are_cut() {
        let optimiser = Optimiser::Sgd { momentum: 0.0 };
        let mut memory = Memory::new(optimiser, [1].into_iter());
        let mut w = [0f32];
        optimiser.apply(Step { rate: 1.0, decay: 0.0, clip: Some(2.0) }, &mut memory, 0, &mut w, &[-100.0]);
        assert_eq!(w, [2.0]);
    }
}
