//! What a prediction with everything heavy before the input costs: bytes, by counting.

use model::fixed::FixedGraph;
use ot::softspoken::message_len;
use serde::Serialize;

use super::super::plan::Plan;
use super::super::program::is_elementwise;
use super::bundle::{ClientBundle, ServerBundle};
use super::gilboa::{sent_bytes, transfers_of};
use super::products::Quadratic;
use super::streams::packed_bytes;
use super::{NAMELESS, Work};
use crate::error::Error;
use crate::handshake::Reveal;

/// What a prediction costs. Bytes are without the headers of frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Price {
    /// Stages: each is one round trip.
    pub stages: usize,
    /// Bits of the ring.
    pub ring: u32,
    /// Elements that some circuit works on one by one: ReLUs and the like.
    pub activations: u64,
    /// Elements of products on shares.
    pub products: u64,
    /// AND gates.
    pub ands: u64,
    /// Bytes of garbled tables.
    pub table_bytes: u64,
    /// Ciphertexts of the masks, and of the replies.
    pub ciphertext_bytes: [u64; 2],
    /// Bytes that the client and the server send before the input is known, ciphertexts included.
    pub offline_bytes: [u64; 2],
    /// The same from then on.
    pub online_bytes: [u64; 2],
    /// Bytes that the client and the server store of a bundle.
    pub stored_bytes: [u64; 2],
}

/// Prices a graph under a plan.
///
/// # Errors
/// If the engine does not take them.
pub fn price((graph, plan): (&FixedGraph, &Plan), reveal: Reveal) -> Result<Price, Error> {
    let work = Work::new((graph, plan), reveal, NAMELESS)?;
    let program = &work.program;
    let sums = work.sums();
    let ciphertexts = plan.ciphertext_bytes(graph)?;
    let halves = packed_bytes(2 * sums, program.ring) as u64;
    let mut price = Price {
        stages: program.stages.len(),
        ring: program.ring,
        ciphertext_bytes: ciphertexts,
        offline_bytes: [ciphertexts[0] + message_len(sums) as u64, ciphertexts[1] + halves],
        stored_bytes: [ClientBundle::bytes(&work) as u64, ServerBundle::bytes(&work) as u64],
        ..Price::default()
    };
    for (number, (stage, survey)) in program.stages.iter().zip(&work.surveys).enumerate() {
        for quadratic in Quadratic::of(program, number) {
            price.products += quadratic.count as u64;
            for jobs in [quadratic.bit_jobs(), quadratic.jobs()] {
                price.offline_bytes[0] += message_len(transfers_of(&jobs)) as u64;
                price.offline_bytes[1] += sent_bytes(&jobs);
            }
            let bits = |wanted: bool| if wanted { quadratic.count.div_ceil(8) as u64 } else { 0 };
            price.online_bytes[0] += bits(quadratic.shift > 0);
            price.online_bytes[1] += bits(quadratic.shift > 0);
            for factor in &quadratic.factors {
                let numbers = packed_bytes(quadratic.count, quadratic.ring) as u64;
                price.online_bytes[1] += numbers + bits(factor.shifted());
            }
        }
        let packed = |nodes: Vec<usize>| -> u64 {
            nodes.iter().map(|node| packed_bytes(program.elements(*node), program.ring) as u64).sum()
        };
        price.ands += survey.counts.ands;
        price.table_bytes += survey.counts.table_bytes();
        price.offline_bytes[0] += message_len(survey.late) as u64;
        price.offline_bytes[1] +=
            survey.counts.table_bytes() + packed(work.exports(number)) + survey.colours.div_ceil(8) as u64;
        price.online_bytes[0] += packed(work.opened(number));
        price.online_bytes[1] += (survey.late * size_of::<kernel::block::Block>()) as u64;
        let computed =
            stage.steps.iter().filter(|step| !step.entry && is_elementwise(&graph.nodes[step.node].op));
        price.activations += computed.map(|step| program.elements(step.node) as u64).sum::<u64>();
    }
    Ok(price)
}
