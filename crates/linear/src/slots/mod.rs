//! Products of slots: layouts of tensors in slots, and matrix-vector products between them.
//!
//! A kernel is written once, over the [`Slots`] trait, and run by three interpreters: [`Clear`] says what it means, [`Count`] what it
//! costs, [`Bfv`] executes it. So price, meaning and execution cannot drift apart.
//!
//! ```
//! use linear::slots::{Clear, Cycle, Diagonals, Digit, Doubling, Kernel, Layer, Layout, Ones, Pattern, Slots, Weights, apply};
//!
//! # fn main() -> Result<(), linear::Error> {
//! // A 2 x 8 matrix on a dense vector in 16 slots; each row's sum ends up in every second slot.
//! let cycle = Cycle::single(16);
//! let pattern = Pattern::full(8, 2);
//! let mut output = Layout::dense(2, cycle);
//! output.copies = vec![Digit::slots(8, 2)];
//! let kernel = Kernel {
//!     fold: Some(Doubling { stride: 2, log2: 3 }),
//!     direct: 0,
//!     ..Kernel::new(Layout::dense(8, cycle), output)
//! };
//! let diagonals = Diagonals::new(cycle, &kernel, &[pattern.clone()])?;
//! assert_eq!(diagonals.entries().len(), 2);
//!
//! let clear = Clear::new(cycle, 65537).ok_or(linear::Error::Empty)?;
//! let ones = Ones(pattern);
//! let layer = Layer { matrices: vec![&ones], bias: &[100, 200] };
//! let weights = Weights::encode(&clear, &kernel, &diagonals, &layer, 1)?;
//! let x = clear.vector(&[1, 2, 3, 4, 5, 6, 7, 8], 1)?;
//! let y = apply(&clear, &kernel, &diagonals, &weights, &[&x])?;
//! assert_eq!(y[0].slots[..4], [136, 236, 136, 236]);
//! # Ok(())
//! # }
//! ```
//!
//! # What is where
//!
//! | module | content |
//! |---|---|
//! | [`Cycle`], [`Slots`] | the slots of a ciphertext; what can be done to them |
//! | [`Clear`], [`Count`], [`Bfv`] | the interpreters |
//! | [`Layout`] | representations of a tensor |
//! | [`Pattern`], [`Matrix`] | where a matrix may be non-zero (public), and its elements (secret) |
//! | [`Kernel`], [`Diagonals`] | a product between layouts, and what it multiplies |
//! | [`Weights`], [`apply()`] | encoding and execution |

mod apply;
mod bfv;
mod clear;
mod count;
mod cycle;
mod diagonals;
mod kernel;
mod layout;
mod operations;
mod pattern;
#[cfg(test)]
mod tests;
mod weights;

pub use apply::apply;
pub use bfv::{Addend, Bfv, Factor, cycle_of, exponent_of};
pub use clear::{Clear, ClearSlots};
pub use count::{Count, Operations};
pub use cycle::Cycle;
pub use diagonals::{Diagonal, Diagonals, MAX_DIAGONALS};
pub use kernel::{Doubling, Factors, Kernel};
pub use layout::{Axis, Digit, Layout, MAX_CIPHERTEXTS, MAX_ELEMENTS, Place};
pub use operations::Slots;
pub use pattern::{Matrix, Ones, Pattern, Relation};
pub use weights::{Layer, Weights};
