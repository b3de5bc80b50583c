//! Convolutions and matrix products as products of polynomials: no rotation, no evaluation key.
//!
//! With a tensor's elements as the coefficients of a polynomial, and a filter's weights in reverse order as those of another,
//! the coefficients of the product are sliding sums (Huang, Lu, Hong, Ding, "Cheetah", USENIX Security '22, section 3).
//! Everything here is that one product:
//!
//! - a *matrix product* is a convolution of planes with one element (or one a row of the operand);
//! - a *stride* s splits planes and filters into s x s phases, which count as channels: each phase is convolved with stride 1, and
//!   only positions that some tap reads are sent;
//! - a *dilation* spreads the filter's coefficients, at no cost;
//! - *padding* is zeros in the polynomial; *groups* leave out the products of channels and filters that do not meet.
//!
//! A [`Layout`] cuts a layer into tiles that fit a ring of degree N: `channels` channels and `rows x columns` outputs a
//! ciphertext sent, `filters` output channels a ciphertext returned. [`Tiling::choose`] minimises time and bytes for a link by the
//! same counts that the interpreter [`Count`] finds.
//!
//! The arithmetic is modulo any power of two: shares, not field elements. [`Client`] and [`Server`] run a layer between two parties
//! whose state is an additive share each, and leave both with a share of the result: see [`bfv::ReplyMask`].
//!
//! | module | content |
//! |---|---|
//! | [`Shape`] | what is computed |
//! | [`Tiling`], [`Layout`], [`Link`] | how it is cut, at which cost |
//! | [`Products`], [`Clear`], [`Count`], [`Bfv`] | the one operation, and its interpreters |
//! | [`Factors`], [`apply()`] | encoded weights; execution |
//! | [`Client`], [`Server`], [`Setting`] | a layer between two parties, and its parameters |

mod apply;
mod clear;
mod client;
mod count;
mod layout;
mod products;
mod scheme;
mod server;
mod setting;
mod shape;
#[cfg(test)]
mod tests;
mod tiling;

pub use apply::{Factors, apply};
pub use clear::Clear;
pub use client::Client;
pub use count::{Count, Counts};
pub use layout::Layout;
pub use products::Products;
pub use scheme::Bfv;
pub use server::Server;
pub use setting::{DEGREES, Need, Setting};
pub use shape::Shape;
pub use tiling::{Cost, Link, Tiling};
pub(crate) use {layout::extent, shape::Phase};
