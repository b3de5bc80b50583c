//! What the parties must agree on besides the graph. The server chooses, the client checks.

use bfv::ReplyShape;
use linear::coefficients::{Client, Layout, Link, Setting, Tiling};
use model::fixed::{FixedGraph, NodeId};
use serde::{Deserialize, Serialize};

use super::price::price;
use super::program::Program;
use crate::error::{Error, printable};
use crate::garbled::BaseOt;
use crate::handshake::{self, Reveal};
use crate::shape;

/// How linear layers are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Products of encrypted polynomials, without rotations.
    HeCoefficients,
}

/// The linear method and its parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The method.
    pub linear: Method,
    /// Degree of the ring.
    pub degree: usize,
    /// Primes of the ciphertext modulus.
    pub primes: Vec<u64>,
    /// Whether the transfers of the garbled circuits are silent ones: where there are many.
    #[serde(default)]
    pub silent: bool,
    /// The base transfers.
    #[serde(default)]
    pub base_ot: BaseOt,
    /// The layers.
    pub layers: Vec<Layer>,
}

/// Most ciphertexts, sent and returned, of one layer: a few gigabytes.
const MOST_CIPHERTEXTS: usize = 1 << 17;

/// How one layer is cut and answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// The node.
    pub node: NodeId,
    /// Channels a ciphertext sent.
    pub channels: usize,
    /// Filters a ciphertext returned.
    pub filters: usize,
    /// Rows and columns of outputs a ciphertext.
    pub block: [usize; 2],
    /// Limbs of a reply.
    pub limbs: usize,
    /// Low bits dropped of both halves of a reply.
    pub low_bits: [u32; 2],
}

impl Plan {
    /// Reads the plan that came with a graph.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn of(plan: &handshake::Plan) -> Result<Self, Error> {
        let read = Self::deserialize(&plan.payload);
        read.map_err(|error| Error::malformed("plan", printable(error.to_string().as_bytes())))
    }

    /// What goes with the graph.
    ///
    /// # Errors
    /// None that could happen: it is numbers and words.
    pub fn payload(&self) -> Result<serde_json::Value, Error> {
        serde_json::to_value(self).map_err(|error| Error::Refused(error.to_string()))
    }

    /// Bytes of a prediction's ciphertexts, sent and returned.
    ///
    /// # Errors
    /// If it does not fit the graph.
    pub fn ciphertext_bytes(&self, graph: &FixedGraph) -> Result<[u64; 2], Error> {
        let program = Program::new(graph, Reveal::Scores)?;
        let Some(setting) = self.setting(&program)? else { return Ok([0; 2]) };
        let mut bytes = [0; 2];
        for (layout, reply) in setting.layouts.iter().zip(&setting.replies) {
            let sent = Client::sent_bytes(&setting.parameters) * layout.channel_tiles() * layout.blocks();
            let returned = (0..layout.filter_tiles() * layout.blocks())
                .map(|index| Client::reply_bytes(&setting.parameters, layout, *reply, index) as u64);
            bytes[0] += sent as u64;
            bytes[1] += returned.sum::<u64>();
        }
        Ok(bytes)
    }

    /// Chooses for a graph.
    ///
    /// # Errors
    /// If the engine does not take it, with the reason.
    pub fn choose(graph: &FixedGraph, method: Method) -> Result<Self, Error> {
        Self::choose_for(graph, method, shape::Link::LAN)
    }

    /// As [`Plan::choose`], its tilings being those of least time on a link.
    ///
    /// # Errors
    /// As [`Plan::choose`].
    pub fn choose_for(graph: &FixedGraph, method: Method, link: shape::Link) -> Result<Self, Error> {
        let program = Program::new(graph, Reveal::Scores)?;
        let needs = program.needs();
        let base_ot = BaseOt::default();
        let silent = price(graph, Reveal::Scores)?.silent();
        if needs.is_empty() {
            return Ok(Self {
                linear: method,
                degree: 0,
                primes: Vec::new(),
                silent,
                base_ot,
                layers: Vec::new(),
            });
        }
        let Method::HeCoefficients = method;
        let link = Link { rate: (link.rate as f64 / 8.0).max(1.0) };
        let setting = Setting::choose(&needs, program.ring, link).map_err(refused)?;
        let parts = program.linear.iter().zip(setting.layouts.iter().zip(&setting.replies));
        let layer = |(node, (layout, reply)): (&NodeId, (&Layout, &ReplyShape))| {
            let Tiling { channels, filters, block } = layout.tiling();
            Layer { node: *node, channels, filters, block, limbs: reply.limbs, low_bits: reply.low_bits }
        };
        let literal = setting.parameters.literal();
        Ok(Self {
            linear: method,
            degree: literal.degree,
            primes: literal.data.clone(),
            silent,
            base_ot,
            layers: parts.map(layer).collect(),
        })
    }

    /// The setting that this plan states for a program; `None` for one without linear layers.
    ///
    /// # Errors
    /// If it is insecure, does not fit the program, or would not decrypt.
    pub(super) fn setting(&self, program: &Program) -> Result<Option<Setting>, Error> {
        if program.linear.is_empty() {
            return Ok(None);
        }
        let parts: Option<Vec<(Tiling, ReplyShape)>> = program
            .linear
            .iter()
            .map(|node| {
                let layer = self.layers.iter().find(|layer| layer.node == *node)?;
                let Layer { channels, filters, block, limbs, low_bits, .. } = *layer;
                Some((Tiling { channels, filters, block }, ReplyShape { limbs, low_bits }))
            })
            .collect();
        let parts = parts.ok_or_else(|| Error::malformed("plan", "it lacks a layer"))?;
        let ring = (self.degree, self.primes.clone());
        let setting = Setting::checked(&program.needs(), program.ring, ring, &parts);
        let setting = setting.map_err(|error| Error::malformed("plan", error.to_string()))?;
        let ciphertexts = |layout: &Layout| {
            let tiles = layout.channel_tiles().saturating_add(layout.filter_tiles());
            tiles.saturating_mul(layout.blocks())
        };
        if setting.layouts.iter().any(|layout| ciphertexts(layout) > MOST_CIPHERTEXTS) {
            return Err(Error::malformed("plan", "a layer takes absurdly many ciphertexts"));
        }
        Ok(Some(setting))
    }
}

/// This side's own choice failed.
fn refused(error: linear::Error) -> Error {
    Error::Refused(format!("the network does not fit the encryption: {error}"))
}
