//! Boolean circuits and gadgets; garbling and evaluating them.
//!
//! A circuit is a function generic over [`Gates`]. It is never a netlist in memory: it streams its gates into whichever
//! interpreter runs it (clear, count, garble, evaluate), so price, meaning and execution cannot drift apart.

pub mod gadgets;
pub mod gates;
pub mod known;
pub mod word;
