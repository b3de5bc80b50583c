//! Linear layers in slots: the kernels of GAZELLE (USENIX Security '18, section 4), for any convolution and matrix product.
//!
//! A layer is a [`Kernel`](crate::slots::Kernel) between two layouts; a [`Method`] says which, and [`Product`] builds it from
//! a layer's [`Shape`](crate::coefficients::Shape):
//!
//! | method | layout | the paper's |
//! |---|---|---|
//! | [`Method::Padded`] | planes of channels side by side; zeros of the padding are in the factors | padded convolution; channel packing. All steps as baby steps is *input rotation*, a plane of them *output rotation*; there is also what lies between |
//! | [`Method::Bordered`] | a channel a ciphertext, with zeros around its plane; factors are numbers | packed single-channel convolution |
//! | [`Method::Naive`] | a ciphertext an output | naive product |
//! | [`Method::Hybrid`] | copies of the vector; `rows` diagonals, then rotate and add | with one row the input-packed product, with as many as inputs the diagonal one, else the hybrid |
//!
//! Strides split planes into phases, which are convolved with stride 1: nothing is computed that is not wanted, and phases that no tap
//! reads are not sent. The last additions of a hybrid product may be left to the client: its share is then of each
//! partial sum, and their sum is a share of the result.
//!
//! [`Product::choose`] takes the method of least [`Cost`], which the counting interpreter finds. [`Client`] and [`Server`] run a layer
//! between two parties whose state is an additive share each modulo a prime p; [`Setting`] derives the parameters.
//!
//! # Privacy
//!
//! A reply is re-randomised, flooded with noise that covers what its factors left (40 bits and those of the degree above the
//! bound of it), and masked uniformly in every slot, those without results included. What is sent later of it, high bits,
//! reveals no more.

mod choice;
mod client;
mod convolution;
mod filters;
mod matrix;
mod product;
mod server;
mod setting;
#[cfg(test)]
mod tests;

pub use choice::Cost;
pub use client::Client;
pub use filters::Filters;
pub use product::{Fold, Method, Phases, Product};
pub use server::{Factors, Server};
pub use setting::{DEGREES, Setting};
