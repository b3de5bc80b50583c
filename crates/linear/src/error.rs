//! What can go wrong.

/// An error of a layout, a kernel or an interpreter.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A layout that is no layout, or a kernel that does not fit its layouts.
    #[error("layout: {0}")]
    Layout(String),
    /// A sum without terms.
    #[error("a sum without terms")]
    Empty,
    /// More slots than a ciphertext has.
    #[error("{0} slots where a ciphertext has {1}")]
    TooMany(usize, usize),
    /// Vectors at different levels.
    #[error("levels {0} and {1} differ")]
    Level(usize, usize),
    /// A factor of a scalar kernel that is not the same number in all slots.
    #[error("a factor is no scalar")]
    NoScalar,
    /// A key that was not given.
    #[error("there is no {0} key")]
    Key(&'static str),
    /// An error of the scheme.
    #[error(transparent)]
    Scheme(#[from] bfv::Error),
}

impl Error {
    /// A layout or kernel is wrong.
    pub(crate) fn layout(text: impl Into<String>) -> Self {
        Self::Layout(text.into())
    }
}
