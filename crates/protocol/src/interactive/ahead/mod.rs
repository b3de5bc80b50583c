//! Everything heavy before the input is known (Delphi, USENIX Security '20).
//!
//! The state of a tensor is a pair of shares of which the client's is chosen *before* the input: a mask r, or what follows from masks.
//! Before the input, the parties run the linear layers on the masks, encrypted: the client is left with `c = M r - s`, the server chose
//! s. Once the input is there, the client sends `x - r`, and the server computes `u = M (x - r) + s + b` on plain integers: `u + c` is
//! the layer's result, u a late number of the server's, c an old one of the client's. So a garbled activation takes, after the
//! input, the labels of u and nothing else: those of c are outputs of correlated transfers, whose payload costs nothing.
//!
//! ```text
//! client                                        server
//!   public key, transfer set-up      <->          transfer set-up                set-up
//!   masks, encrypted                 -->
//!                                    <--          masked replies
//!   transfers of the replies' lowest bits -->                                    offline, for all layers at once
//!                                    <--          numbers that make shares exact
//!   transfers of the shares' bits    -->
//!                                    <--          garbled tables, corrections
//!   x - r                            -->                                         online, for each stage
//!                                    <--          labels of u
//! ```
//!
//! *Exact shares.* Masked replies leave `2 y` or `2 y + 1` ([`bfv::ReplyMask`]). Halving both shares loses the carry of their lowest
//! bits, which is the product of a bit of each party: one correlated transfer gives shares of it. So sums are shares modulo 2^k
//! without a bit below, and a circuit takes k labels online.
//!
//! *The server's half is a seed.* Whatever the server needs online (the offset, its labels, its shares of sums and of
//! results) is drawn from a seed. Where its share comes out of something else (replies' masks, the numbers of a projection) it
//! sends the difference, which is uniform because the drawn share is. Each bundle has transfers, an offset and start points of its own, so
//! that nothing is counted across bundles.
//!
//! *In slots* shares are modulo a prime and replies do not round: the client's share is what it decrypts, less what the server's share has too much
//! beside its seed's. The server's layers are exact integer products, reduced once ([`linear::plain`]). Truncation on shares and products by
//! transfers want a power of two, so that products of tensors are computed in circuits then.
//!
//! *Residual sums* are added to a layer's sums on shares, before these are shifted ([`super::program`]): the circuit takes one number in.
//!
//! *Who garbles* is the plan's choice. If the client does, everything is the other way round but for the linear layers: the client's shares of sums
//! and of products of masks are drawn, it is the sender of transfers, and the server keeps what is garbled. The server's bits, which it has only
//! once the input is there, are transfers of random bits beforehand, and it sends `u + b`, a bit each; the client answers with 16 bytes each. The label is
//! `q + d offset + y` for the transfer's q and a y of the client's seed, so that the client keeps nothing of the transfers. What leaves the
//! circuit is the next masked value itself.
//!
//! ```text
//! client                                        server
//!   x - r                            -->                                         online, once
//!                                    <--          masked bits of u, masked factors    for each stage
//!   labels, masked products          -->
//!                                    <--          colours of results             once
//! ```
//!
//! *Several predictions* with a bundle each share flights: all messages of a stage go together.
//!
//! | module | what |
//! | --- | --- |
//! | [`client`], [`server`] | both parties: preparing and predicting |
//! | `garbler`, `evaluator` | both roles, whichever party has which |
//! | [`bundle`] | what preparation makes: bytes to be stored, used once |
//! | [`feed`] | those bytes as they are used |
//! | `state` | shares, and operations on them |
//! | `products`, `gilboa` | quadratics |
//! | `streams` | numbers from seeds, and on the wire |

pub mod bundle;
pub mod client;
mod evaluator;
pub mod feed;
mod garbler;
pub(super) mod gilboa;
mod price;
mod products;
pub mod server;
mod state;
pub(super) mod streams;
mod work;

pub use price::{Price, price};
pub use work::work;

use std::sync::Arc;

use garble::modulus::ShareModulus;
use kernel::seed::Seed;
use model::fixed::{FixedGraph, NodeId};

use bundle::{ClientBundle, ServerBundle};
use products::Quadratic;

use super::linear::Setting;
use super::plan::{Garbler, Plan};
use super::price::Survey;
use super::program::Program;
use crate::error::Error;
use crate::garbled::BaseOt;
use crate::handshake::{ModelId, Reveal};

/// The preset's name on the wire and on the command line.
pub const DELPHI: &str = "delphi";

/// Most transfers of all products together: 4 GiB at the client.
const MOST_TRANSFERS: u64 = 1 << 28;

/// Most bytes of a bundle: of about two and a half million garbled ReLUs. A party holds one while it is made and while it is used.
pub const MOST_BUNDLE_BYTES: usize = 4 << 30;

/// Bytes of bundles that a party holds at a time, where that is more than one.
pub const TOGETHER_BYTES: usize = 2 << 30;

/// Most predictions that share flights.
pub const MOST_BATCH: usize = 64;

/// Most bytes of keys that a server keeps for a connection that waits.
const KEPT_KEYS: u64 = 512 << 10;

/// The weights of bundles that are used in the session that makes them.
const NAMELESS: ModelId = ModelId([0; 16]);

/// What both parties know of a prediction.
pub struct Work<'a> {
    program: Program<'a>,
    found: Arc<Found>,
    base: BaseOt,
    garbler: Garbler,
}

/// What takes time to find of a graph and a plan, and does not point into them.
struct Found {
    surveys: Vec<Survey>,
    setting: Option<Setting>,
    digest: [u8; 16],
    /// The reveal that it is for.
    reveal: Reveal,
}

/// What was found of a graph and a plan, for the next prediction with them.
#[derive(Clone)]
pub struct Findings(Arc<Found>);

impl<'a> Work<'a> {
    /// Of a validated graph and the plan that came with it. `weights` names the weights that are served: bundles for others are refused.
    ///
    /// # Errors
    /// If the engine does not take the graph or the plan, or a bundle would exceed [`MOST_BUNDLE_BYTES`].
    pub fn new(
        (graph, plan): (&'a FixedGraph, &Plan),
        reveal: Reveal,
        weights: ModelId,
    ) -> Result<Self, Error> {
        let program = plan.program_ahead(graph, reveal)?;
        let surveys = surveys(&program)?;
        let setting = plan.linear_setting(&program)?;
        // BLAKE3 of the text that both parties agreed on.
        let text = |error: serde_json::Error| Error::Refused(error.to_string());
        let mut agreed = serde_json::to_string(graph).map_err(text)?;
        agreed.push_str(&plan.payload()?.to_string());
        agreed.push_str(&weights.to_string());
        let digest = Seed::from_bytes([0; 32]).block(&agreed, u64::from(reveal == Reveal::Label));
        let (base, garbler) = (plan.base_ot, plan.garbler);
        let found = Arc::new(Found { surveys, setting, digest: digest.to_bytes(), reveal });
        let work = Self { program, found, base, garbler };
        let bytes = ClientBundle::bytes(&work).max(ServerBundle::bytes(&work));
        if bytes > MOST_BUNDLE_BYTES {
            return Err(Error::Refused(format!(
                "what is prepared for a prediction would take {} MB, and at most {} fit: {DELPHI} is for smaller networks",
                bytes >> 20,
                MOST_BUNDLE_BYTES >> 20
            )));
        }
        Ok(work)
    }

    /// The same for another prediction, with what [`Work::findings`] gave of the same graph, plan and weights: only the stages are found anew.
    ///
    /// # Errors
    /// As [`Work::new`].
    pub fn again((graph, plan): (&'a FixedGraph, &Plan), findings: &Findings) -> Result<Self, Error> {
        let found = Arc::clone(&findings.0);
        let program = plan.program_ahead(graph, found.reveal)?;
        if program.stages.len() != found.surveys.len() {
            return Err(Error::Refused("another network than the one that was surveyed".into()));
        }
        Ok(Self { program, found, base: plan.base_ot, garbler: plan.garbler })
    }

    /// What takes time to find, to be used again.
    pub fn findings(&self) -> Findings {
        Findings(Arc::clone(&self.found))
    }

    /// A name of the graph, the plan, the weights and what is revealed.
    pub fn digest(&self) -> [u8; 16] {
        self.found.digest
    }

    /// Whether a server keeps a client's keys while the connection waits: those of rotations would take too much of it, and come with each run.
    pub fn keeps_keys(&self) -> bool {
        self.found.setting.as_ref().is_none_or(|setting| setting.key_memory() <= KEPT_KEYS)
    }

    /// How many predictions share flights: as many bundles as fit [`TOGETHER_BYTES`], at most [`MOST_BATCH`], at least one.
    pub fn together(&self) -> usize {
        let bytes = ClientBundle::bytes(self).max(ServerBundle::bytes(self)).max(1);
        (TOGETHER_BYTES / bytes).clamp(1, MOST_BATCH)
    }

    /// Whether replies leave shares of sums as they are: those of slots do not round.
    fn exact(&self) -> bool {
        matches!(self.program.modulus, ShareModulus::Odd(_))
    }

    /// The tensors whose masked values the client sends when a stage begins.
    fn opened(&self, stage: usize) -> Vec<NodeId> {
        match stage.checked_sub(1) {
            None => {
                let inputs = self.program.graph.inputs.iter().copied();
                inputs.filter(|id| self.program.places[*id].needed).collect()
            }
            Some(before) => {
                let products = self.program.stages[before].products.iter();
                self.exports(before).into_iter().chain(products.copied()).collect()
            }
        }
    }

    /// The tensors of which shares leave a stage's circuit.
    fn exports(&self, stage: usize) -> Vec<NodeId> {
        let steps = self.program.stages[stage].steps.iter();
        steps.filter(|step| step.export).map(|step| step.node).collect()
    }

    /// The products on shares, stage by stage.
    fn quadratics(&self) -> Vec<Quadratic> {
        (0..self.program.stages.len()).flat_map(|stage| Quadratic::of(&self.program, stage)).collect()
    }

    /// Transfers of the evaluator's bits in a stage: its shares, and where it is the server its parameters.
    fn transfers(&self, stage: usize) -> usize {
        let survey = &self.found.surveys[stage];
        survey.late + if self.garbler == Garbler::Client { survey.secret } else { 0 }
    }

    /// Wires that the client learns the value of.
    fn colours(&self) -> usize {
        self.found.surveys.iter().map(|survey| survey.colours).sum()
    }

    /// Elements of all linear layers' results.
    fn sums(&self) -> usize {
        self.program.linear.iter().map(|id| self.program.elements(*id)).sum()
    }
}

fn surveys(program: &Program<'_>) -> Result<Vec<Survey>, Error> {
    let products = program.stages.iter().flat_map(|stage| &stage.products);
    let elements = products.map(|node| program.elements(*node) as u64).fold(0, u64::saturating_add);
    // Each of two factors takes at most a transfer a bit of the ring, twice, and three single ones.
    if elements.saturating_mul(4 * u64::from(program.ring) + 3) > MOST_TRANSFERS {
        return Err(Error::Refused("the network has too many products for this protocol".into()));
    }
    (0..program.stages.len()).map(|stage| Survey::new(program, stage)).collect()
}

/// Whether the engine takes a graph.
///
/// # Errors
/// The reason why not.
pub fn check(graph: &FixedGraph, reveal: Reveal) -> Result<(), Error> {
    surveys(&Program::ahead(graph, reveal)?).map(drop)
}

#[cfg(test)]
mod tests;
