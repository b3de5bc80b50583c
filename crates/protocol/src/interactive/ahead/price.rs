//! What a prediction with everything heavy before the input costs: bytes, by counting.

use model::fixed::FixedGraph;
use ot::softspoken::message_len;
use serde::Serialize;

use super::super::plan::{Garbler, Plan};
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
    /// Stages: each is one round trip, and there is one more if the client garbles.
    pub stages: usize,
    /// Bits of a share.
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
    /// What of these products on shares take, both ways together: before the input is known and from then on.
    pub product_bytes: [u64; 2],
    /// Bytes that the client and the server store of a bundle.
    pub stored_bytes: [u64; 2],
}

/// Bytes of a product on shares.
#[derive(Default)]
struct Product {
    /// Before the input is known: the evaluator's transfers, and what the garbler answers.
    transfers: u64,
    crossed: u64,
    /// From then on: the masked bits of the product, each way, and the server's masked factors with theirs.
    bits: u64,
    factors: u64,
}

fn product(of: &Quadratic) -> Product {
    let mut bytes = Product::default();
    for jobs in [of.bit_jobs(), of.jobs()] {
        bytes.transfers += message_len(transfers_of(&jobs)) as u64;
        bytes.crossed += sent_bytes(&jobs);
    }
    let bits = |wanted: bool| if wanted { of.count.div_ceil(8) as u64 } else { 0 };
    bytes.bits = bits(of.shift > 0);
    let numbers = packed_bytes(of.count, of.ring) as u64;
    bytes.factors = of.factors.iter().map(|factor| numbers + bits(factor.shifted())).sum();
    bytes
}

/// Prices a graph under a plan.
///
/// # Errors
/// If the engine does not take them.
pub fn price((graph, plan): (&FixedGraph, &Plan), reveal: Reveal) -> Result<Price, Error> {
    let work = Work::new((graph, plan), reveal, NAMELESS)?;
    let [linear, colours] = [linear_price(&work, plan)?, last_price(&work)];
    let stages = (0..work.program.stages.len()).map(|number| stage_price(&work, number));
    Ok(stages.fold(linear.plus(&colours), |sum, stage| sum.plus(&stage)))
}

/// What linear layers take before the input, and what is stored of all.
pub(super) fn linear_price(work: &Work<'_>, plan: &Plan) -> Result<Price, Error> {
    let program = &work.program;
    let ciphertexts = Plan { garbler: Garbler::Server, ..plan.clone() }.ciphertext_bytes(program.graph)?;
    let evaluator = usize::from(work.garbler == Garbler::Client);
    // Two numbers of each sum for its carry, by transfers, or one that makes an exact share the drawn one.
    let width = program.modulus.bits();
    let numbers = if work.exact() { 1 } else { 2 };
    let layers = program.linear.iter().map(|id| packed_bytes(numbers * program.elements(*id), width));
    let mut price = Price {
        ring: width,
        ciphertext_bytes: ciphertexts,
        offline_bytes: ciphertexts,
        stored_bytes: [ClientBundle::bytes(work) as u64, ServerBundle::bytes(work) as u64],
        ..Price::default()
    };
    price.offline_bytes[evaluator] += if work.exact() { 0 } else { message_len(work.sums()) as u64 };
    price.offline_bytes[1 - evaluator] += layers.sum::<usize>() as u64;
    Ok(price)
}

/// What results take at the end.
pub(super) fn last_price(work: &Work<'_>) -> Price {
    let colours = if work.garbler == Garbler::Client { work.colours().div_ceil(8) as u64 } else { 0 };
    Price { online_bytes: [0, colours], ..Price::default() }
}

/// What a stage takes: its products on shares, and its circuit.
pub(super) fn stage_price(work: &Work<'_>, number: usize) -> Price {
    let (program, survey) = (&work.program, &work.found.surveys[number]);
    let stage = &program.stages[number];
    let evaluator = usize::from(work.garbler == Garbler::Client);
    let garbler = 1 - evaluator;
    let mut price = Price { stages: 1, ..Price::default() };
    for quadratic in Quadratic::of(program, number) {
        let of = product(&quadratic);
        price.products += quadratic.count as u64;
        price.offline_bytes[evaluator] += of.transfers;
        price.offline_bytes[garbler] += of.crossed;
        price.online_bytes[0] += of.bits;
        price.online_bytes[1] += of.bits + of.factors;
        // What the client opens of it is counted with all that is opened.
        let opened = packed_bytes(quadratic.count, quadratic.ring) as u64;
        price.product_bytes[0] += of.transfers + of.crossed;
        price.product_bytes[1] += 2 * of.bits + of.factors + opened;
    }
    let packed = |nodes: Vec<usize>| -> u64 {
        nodes.iter().map(|node| packed_bytes(program.elements(*node), program.modulus.bits()) as u64).sum()
    };
    price.ands = survey.counts.ands;
    price.table_bytes = survey.counts.table_bytes();
    price.offline_bytes[evaluator] += message_len(work.transfers(number)) as u64;
    price.offline_bytes[garbler] += survey.counts.table_bytes() + packed(work.exports(number));
    price.online_bytes[garbler] += (survey.late * size_of::<kernel::block::Block>()) as u64;
    if work.garbler == Garbler::Server {
        price.offline_bytes[1] += survey.colours.div_ceil(8) as u64;
        price.online_bytes[0] += packed(work.opened(number));
    } else {
        price.online_bytes[1] += survey.late.div_ceil(8) as u64;
        let first = if number == 0 { work.opened(0) } else { Vec::new() };
        price.online_bytes[0] += packed(first) + packed(stage.products.clone());
    }
    let computed =
        stage.steps.iter().filter(|step| !step.entry && is_elementwise(&program.graph.nodes[step.node].op));
    price.activations = computed.map(|step| program.elements(step.node) as u64).sum();
    price
}

impl Price {
    /// Both together.
    fn plus(self, other: &Self) -> Self {
        let sum = |a: [u64; 2], b: [u64; 2]| [a[0] + b[0], a[1] + b[1]];
        Self {
            stages: self.stages + other.stages,
            ring: self.ring.max(other.ring),
            activations: self.activations + other.activations,
            products: self.products + other.products,
            ands: self.ands + other.ands,
            table_bytes: self.table_bytes + other.table_bytes,
            ciphertext_bytes: sum(self.ciphertext_bytes, other.ciphertext_bytes),
            offline_bytes: sum(self.offline_bytes, other.offline_bytes),
            online_bytes: sum(self.online_bytes, other.online_bytes),
            product_bytes: sum(self.product_bytes, other.product_bytes),
            stored_bytes: sum(self.stored_bytes, other.stored_bytes),
        }
    }
}
