//! Boolean circuits and gadgets; garbling and evaluating them.
//!
//! A circuit is a function generic over [`gates::Gates`]. It is never a netlist in memory: it streams its gates into whichever
//! interpreter runs it ([`clear`], [`count`], [`garbler`], [`evaluator`]), so price, meaning and execution cannot drift
//! apart. [`gadgets`] are the circuits of arithmetic over [`word::Word`]s, in which public bits cost nothing;
//! [`meaning`] says in plain integers what the less obvious ones compute.

pub mod clear;
pub mod count;
pub mod elements;
pub mod evaluator;
pub mod gadgets;
pub mod garbler;
pub mod gates;
pub mod known;
pub mod labels;
pub mod late;
pub mod meaning;
pub mod modulus;
pub mod projection;
pub mod word;
