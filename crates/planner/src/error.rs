//! What can go wrong, in words that a person can act on.

use std::path::PathBuf;

/// A failure of training or of a search.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A layer that has no gradient here.
    #[error("{layer}: a {kind} cannot be trained; {advice}")]
    Untrainable {
        /// The layer's name.
        layer: String,
        /// Its kind.
        kind: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// Data that do not fit the network.
    #[error("{0}")]
    Data(String),
    /// A setting that makes no sense.
    #[error("{0}")]
    Setting(String),
    /// No network was accurate enough.
    #[error("no candidate reached an accuracy of {wanted:.4}; the best reached {best:.4} ({which})")]
    Unreached {
        /// The accuracy asked for.
        wanted: f64,
        /// The best that was found.
        best: f64,
        /// Which network that is.
        which: String,
    },
    /// A checkpoint that cannot be used.
    #[error("{}: {problem}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The training left the finite numbers.
    #[error("the training diverged in epoch {epoch}: the loss is {loss}; a smaller --rate helps")]
    Diverged {
        /// The epoch, counted from 1.
        epoch: usize,
        /// The loss.
        loss: f32,
    },
    /// The caller asked to stop.
    #[error("stopped")]
    Stopped,
    /// An error of the model.
    #[error(transparent)]
    Model(#[from] model::Error),
    /// An error of the tensor library; a defect of this crate where it happens.
    #[error("tensors: {0}")]
    Tensors(#[from] candle_core::Error),
}
