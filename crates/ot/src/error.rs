//! What can go wrong: a peer's message that is not one, or a caller that asks for too much.

/// Why a message or a call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A message or a slice has another length than the protocol gives it.
    #[error("{what}: {found} bytes where {expected} are due")]
    Length {
        /// Which message or argument.
        what: &'static str,
        /// Bytes that it must have.
        expected: usize,
        /// Bytes that it has.
        found: usize,
    },
    /// A message holds a value outside the set it must come from.
    #[error("{0}")]
    Value(&'static str),
    /// More OTs at once than [`crate::softspoken::MAX_BATCH`].
    #[error("{0} oblivious transfers in one batch are too many")]
    Batch(usize),
    /// The set-up has given as many OTs as are safe; a new one is needed.
    #[error("this set-up is used up: make a new one")]
    Exhausted,
}
