//! The interactive engine: a walk over layers whose state is an additive share a party (Gazelle, sections 2 and 6).
//!
//! A network is cut into *stages*. In a stage the parties first run linear layers on encrypted shares, which leaves
//! each with a share of the sums; then one garbled circuit adds the shares, drops the fraction bits, computes everything that is
//! not linear, and gives back shares of what the next stage needs. What only moves or adds values happens on shares,
//! where it is free; products that only linear layers read are computed on shares too.
//!
//! Shares are modulo `2^k`, k being the ring of the fixed-point graph, or, where linear layers run in slots, modulo a prime above that.
//! Modulo `2^k` sums carry one more bit below, for the rounding of masked
//! replies ([`bfv::ReplyMask`]), which the circuit drops with the fraction bits: results are the reference's, exactly.
//!
//! The server garbles. Its shares are masks, hashes and sums of these: they are known before the input is. So transfers,
//! garbling, and the labels of the server's shares belong to the *offline phase*, and what a stage's offline
//! phase makes ([`material`]) is a value that its online phase consumes.
//!
//! ```text
//! client                                        server
//!   public key, transfer set-up      <->          transfer set-up                set-up
//!   transfers of random bits         -->
//!                                    <--          garbled tables                 offline, for each stage
//!   encrypted shares                 -->
//!                                    <--          masked replies
//!   corrections of transfers         -->
//!                                    <--          labels                         online, for each stage
//! ```
//!
//! | module | what |
//! | --- | --- |
//! | [`program`] | the stages of a graph, which both parties derive from it |
//! | [`plan`] | what they must agree on besides: the linear method and its parameters |
//! | [`keys`] | a client's keys, from one prediction to the next |
//! | `linear` | linear layers on encrypted shares, by either method |
//! | `shares` | operations on shares |
//! | `products` | products of shared tensors: squares and others |
//! | `circuit`, `activations` | the garbled circuit of a stage |
//! | [`material`] | what the offline phase makes |
//! | [`client`], [`server`] | both parties |
//! | [`ahead`] | the same with everything heavy before the input |

mod activations;
pub mod ahead;
mod bits;
mod circuit;
pub mod client;
#[cfg(test)]
mod faulty;
pub mod keys;
mod lanes;
mod linear;
pub mod material;
pub mod plan;
mod price;
mod products;
pub mod program;
pub mod server;
mod shares;
mod transfers;
mod wire;
mod work;

pub use linear::WEIGHTS_MEMORY;
pub use plan::{Garbler, Method, Plan, SlotLayer};
pub use price::{Price, price};

use model::fixed::FixedGraph;
use model::graph::{Graph, Node};
use price::Survey;
use program::Program;

use crate::error::Error;
use crate::handshake::Reveal;

/// The preset's name on the wire and on the command line.
pub const GAZELLE: &str = "gazelle";

/// Whether the engine may take a network, as far as its shapes say: before it is turned into integers.
///
/// # Errors
/// The reason why not.
pub fn supports(graph: &Graph) -> Result<(), Error> {
    let elements = |node: &Node| node.shape.iter().fold(1, |count: usize, &axis| count.saturating_mul(axis));
    program::within(graph.nodes.iter().map(elements).fold(0, usize::saturating_add))
}

/// Whether the engine takes a graph.
///
/// # Errors
/// The reason why not.
pub fn check(graph: &FixedGraph, reveal: Reveal) -> Result<(), Error> {
    let program = Program::new(graph, reveal)?;
    (0..program.stages.len()).try_for_each(|stage| Survey::new(&program, stage).map(drop))
}

/// Names of a stage's linear part and of its circuit, for accounts: those of the nodes.
fn names(program: &Program, stage: usize) -> (String, String) {
    let name =
        |node: Option<usize>| node.map_or(String::new(), |node| program.graph.nodes[node].name.clone());
    let stage = &program.stages[stage];
    let linear = name(stage.linear.first().map(|index| program.linear[*index]));
    let last = stage.steps.iter().rfind(|step| !step.entry).or(stage.steps.last());
    let circuit = name(last.map(|step| step.node));
    (linear, circuit)
}

/// Bytes of material that a stage makes at the party that has more of it: tables and labels.
fn labels_bytes(survey: &Survey) -> usize {
    (survey.rows + survey.late) * size_of::<kernel::block::Block>()
}

#[cfg(test)]
mod tests;
