//! What the parties must agree on besides the graph. The server chooses, the client checks.

use bfv::ReplyShape;
use linear::coefficients::{Layout, Link, Setting, Tiling};
use linear::gazelle;
use model::fixed::{FixedGraph, NodeId};
use serde::{Deserialize, Serialize};

use super::linear::Setting as Linear;
use super::price::{Price, price_of};
use super::program::Program;
use crate::error::{Error, printable};
use crate::garbled::BaseOt;
use crate::handshake::{self, Reveal};
use crate::shape;

/// How linear layers are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Products of encrypted polynomials, without rotations.
    #[default]
    HeCoefficients,
    /// Products in slots, with rotations: Gazelle's kernels.
    HeSlots,
}

/// Who garbles. The other party keeps what is garbled, and evaluates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Garbler {
    /// The server.
    #[default]
    Server,
    /// The client, which `delphi` alone has.
    Client,
}

impl Garbler {
    fn is_server(&self) -> bool {
        *self == Self::Server
    }
}

/// The linear method and its parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Who garbles.
    #[serde(default, skip_serializing_if = "Garbler::is_server")]
    pub garbler: Garbler,
    /// The layers of `he-coefficients`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Layer>,
    /// The special prime of key switching, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub special: Option<u64>,
    /// The layers of `he-slots`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slots: Vec<SlotLayer>,
}

/// How one layer is computed in slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotLayer {
    /// The node.
    pub node: NodeId,
    /// The kernel.
    pub method: gazelle::Method,
}

/// Most ciphertexts, sent and returned, of one layer: a few gigabytes.
const MOST_CIPHERTEXTS: usize = 1 << 17;

/// Most bytes of a client's keys.
const MOST_KEY_BYTES: u64 = 4 << 30;

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
        let program = self.program(graph, Reveal::Scores)?;
        let Some(setting) = self.linear_setting(&program)? else { return Ok([0; 2]) };
        let sum = |messages: &dyn Fn(usize) -> Vec<usize>| -> u64 {
            (0..setting.layers()).flat_map(messages).map(|bytes| bytes as u64).sum()
        };
        Ok([sum(&|layer| setting.sent(layer)), sum(&|layer| setting.returned(layer))])
    }

    /// Bytes of the client's keys, which it sends once a session: the public key's, and those of rotations.
    ///
    /// # Errors
    /// If it does not fit the graph.
    pub fn key_bytes(&self, graph: &FixedGraph) -> Result<[u64; 2], Error> {
        let program = self.program(graph, Reveal::Scores)?;
        Ok(self.linear_setting(&program)?.map_or([0; 2], |setting| setting.key_bytes()))
    }

    /// Gates and bytes of the circuits under this plan.
    ///
    /// # Errors
    /// If it does not fit the graph.
    pub fn price(&self, graph: &FixedGraph, reveal: Reveal) -> Result<Price, Error> {
        price_of(&self.program(graph, reveal)?)
    }

    /// The kernel of each layer in slots, with its node; empty for another method.
    ///
    /// # Errors
    /// If it does not fit the graph.
    pub fn kernels(&self, graph: &FixedGraph) -> Result<Vec<(NodeId, gazelle::Product)>, Error> {
        let program = self.program(graph, Reveal::Scores)?;
        match self.linear_setting(&program)? {
            Some(Linear::Slots(setting)) => Ok(program.linear.into_iter().zip(setting.products).collect()),
            _ => Ok(Vec::new()),
        }
    }

    /// Seconds of a prediction, all phases together, on a link whose delay is left out: both methods have the same flights, but for one
    /// more of the keys.
    ///
    /// # Errors
    /// If it does not fit the graph.
    pub fn seconds(&self, graph: &FixedGraph, link: shape::Link) -> Result<f64, Error> {
        /// Seconds of both parties for an AND and for a bit of the client's that enters, measured end to end
        /// (`benches/garbling`, `oribi bench gazelle`).
        const AND: f64 = 40e-9;
        const LATE: f64 = 40e-9;
        let price = self.price(graph, Reveal::Scores)?;
        let program = self.program(graph, Reveal::Scores)?;
        let linear = self.linear_setting(&program)?.map_or(Ok(0.0), |setting| setting.seconds())?;
        let messages = [self.ciphertext_bytes(graph)?, self.key_bytes(graph)?];
        let circuits = [price.offline_bytes(), price.online_bytes()];
        let bytes: u64 = messages.iter().chain(&circuits).flatten().sum();
        let crossing = bytes as f64 * 8.0 / link.mean();
        Ok(linear + price.ands as f64 * AND + price.late_bits as f64 * LATE + crossing)
    }

    /// Chooses the method too: the faster of those that hold the network.
    ///
    /// # Errors
    /// If the engine does not take it, with the reason.
    pub fn fastest(graph: &FixedGraph, link: shape::Link) -> Result<Self, Error> {
        let plan = Self::choose_for(graph, Method::HeCoefficients, link)?;
        let Ok(other) = Self::choose(graph, Method::HeSlots) else { return Ok(plan) };
        Ok(if plan.seconds(graph, link)? <= other.seconds(graph, link)? { plan } else { other })
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
        let silent = price_of(&program)?.silent();
        if needs.is_empty() {
            return Ok(Self { linear: method, silent, base_ot, ..Self::default() });
        }
        if method == Method::HeSlots {
            return Self::in_slots(&program);
        }
        let link = Link { rate: (link.mean() / 8.0).max(1.0) };
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
            ..Self::default()
        })
    }

    fn in_slots(program: &Program) -> Result<Self, Error> {
        let setting = gazelle::Setting::choose(&program.needs(), program.ring).map_err(refused)?;
        let layer = |(node, product): (&NodeId, &gazelle::Product)| SlotLayer {
            node: *node,
            method: product.method(),
        };
        let literal = setting.parameters.literal();
        let mut plan = Self {
            linear: Method::HeSlots,
            degree: literal.degree,
            primes: literal.data.clone(),
            special: literal.special,
            slots: program.linear.iter().zip(&setting.products).map(layer).collect(),
            ..Self::default()
        };
        plan.silent = plan.price(program.graph, Reveal::Scores)?.silent();
        Ok(plan)
    }

    /// The stages of a graph under this plan.
    ///
    /// # Errors
    /// As [`Program::new`], or if the plan has no modulus of shares.
    pub(super) fn program<'a>(&self, graph: &'a FixedGraph, reveal: Reveal) -> Result<Program<'a>, Error> {
        if !self.garbler.is_server() {
            return Err(Error::malformed("plan", "in this protocol the server garbles"));
        }
        let program = Program::new(graph, reveal)?;
        if self.linear != Method::HeSlots || program.linear.is_empty() {
            return Ok(program);
        }
        let modulus = gazelle::Setting::modulus_of(program.ring, self.degree)
            .map_err(|error| Error::malformed("plan", error.to_string()))?;
        Program::modulo(graph, reveal, modulus)
    }

    /// The same where linear layers are prepared before the input is known.
    ///
    /// # Errors
    /// As [`Plan::program`].
    pub(super) fn program_ahead<'a>(
        &self,
        graph: &'a FixedGraph,
        reveal: Reveal,
    ) -> Result<Program<'a>, Error> {
        let program = Program::ahead(graph, reveal)?;
        if self.linear != Method::HeSlots || program.linear.is_empty() {
            return Ok(program);
        }
        let modulus = gazelle::Setting::modulus_of(program.ring, self.degree)
            .map_err(|error| Error::malformed("plan", error.to_string()))?;
        Program::ahead_modulo(graph, reveal, modulus)
    }

    /// The setting that this plan states for a program, by either method; `None` for one without linear layers.
    ///
    /// # Errors
    /// As [`Plan::setting`].
    pub(super) fn linear_setting(&self, program: &Program) -> Result<Option<Linear>, Error> {
        if self.linear == Method::HeCoefficients || program.linear.is_empty() {
            return Ok(self.setting(program)?.map(Linear::Coefficients));
        }
        let method = |node: &NodeId| {
            let layer = self.slots.iter().find(|layer| layer.node == *node);
            layer.map(|layer| layer.method).ok_or_else(|| Error::malformed("plan", "it lacks a layer"))
        };
        let methods = program.linear.iter().map(method).collect::<Result<Vec<_>, _>>()?;
        let ring = (self.degree, self.primes.clone(), self.special);
        let setting = gazelle::Setting::checked(&program.needs(), program.ring, ring, &methods);
        let setting = setting.map_err(|error| Error::malformed("plan", error.to_string()))?;
        let ciphertexts =
            |product: &gazelle::Product| product.kernel().inputs[0].ciphertexts + product.returned();
        if setting.products.iter().any(|product| ciphertexts(product) > MOST_CIPHERTEXTS) {
            return Err(Error::malformed("plan", "a layer takes absurdly many ciphertexts"));
        }
        let setting = Linear::Slots(setting);
        if setting.key_bytes().iter().sum::<u64>() > MOST_KEY_BYTES {
            return Err(Error::malformed("plan", "its rotations take absurdly many keys"));
        }
        Ok(Some(setting))
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
