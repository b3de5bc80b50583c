//! Noise: a model that bounds it ahead of time, and its measurement with the secret key.

mod measure;
mod model;

pub use measure::MeasuredNoise;
#[cfg(test)]
pub(crate) use measure::noise_magnitudes;
pub use model::{Noise, NoiseModel, TAIL};
