//! Circuits on words, generic over the interpreter. Words are signed; widths are as stated, and where a bit of an operand is
//! public the gates that it would take fall away by themselves.

mod arithmetic;
mod columns;
mod compare;
mod lanes;
mod product;

pub use arithmetic::{
    add_signed, add_wrapping, affine, clamp, mux_sign, mux_word, neg, relu, resize, saturate, shift_left, shift_right,
    sub_signed,
};
pub use compare::{arg_max, equal, less_than, max, min};
pub use lanes::{concat, gather, known_word, public};
pub use product::{mul, mul_known, square};

#[cfg(test)]
mod tests;
