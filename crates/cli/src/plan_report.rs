//! What a plan under encryption takes: parameters, keys, bytes, memory.

use model::fixed::FixedGraph;
use protocol::Error;
use protocol::encrypted::plan::StepSummary;
use protocol::encrypted::{Outline, client, keys, outline, plans};
use protocol::handshake::Plan;
use serde::Serialize;

use crate::choice::Encryption;
use crate::report::bytes;

/// A plan's figures, and part of the object of `inspect --json`.
#[derive(Serialize)]
pub struct Encrypted {
    /// The name on the wire.
    plan: &'static str,
    /// Inputs in one pass.
    inputs: usize,
    ring_degree: usize,
    /// Bits of the ciphertext modulus, the special prime included: the 128-bit table bounds them.
    modulus_bits: u32,
    limbs: usize,
    slots: usize,
    /// Bits of each plaintext modulus: of what a slot holds.
    slot_bits: Vec<u32>,
    request_ciphertexts: usize,
    reply_ciphertexts: usize,
    rotation_keys: usize,
    relinearisation_key: bool,
    request_bytes: u64,
    reply_bytes: u64,
    key_bytes: u64,
    /// Bytes that the keys take on the server.
    key_memory_bytes: u64,
    /// About the bytes that the server needs for one query, beside keys and weights.
    memory_bytes: u64,
    /// The base-2 logarithm of the bound of a result's noise, and bits of the noise that hides it.
    noise_bits: f64,
    flood_bits: u32,
    /// The plan in a line, and its steps with their operations.
    summary: String,
    steps: Vec<StepSummary>,
    /// The plan as the client receives it.
    payload: serde_json::Value,
}

impl Encrypted {
    /// Makes the plan that `serve` would make, and measures it.
    ///
    /// # Errors
    /// Why there is none.
    pub fn new(graph: &FixedGraph, encryption: &Encryption) -> Result<Self, String> {
        let name = if encryption.batch { plans::BATCH } else { plans::LOLA };
        Self::of(name, graph, encryption).map_err(|error| format!("{name}: {error}"))
    }

    fn of(name: &'static str, graph: &FixedGraph, encryption: &Encryption) -> Result<Self, Error> {
        let options = plans::Options { preset: encryption.plan.clone(), threads: encryption.threads };
        let plan = Plan { graph: graph.clone(), payload: plans::make(name, graph, &options)? };
        let outline: Outline = plans::outline(name, &plan)?;
        let (summary, steps) = plans::summary(name, &plan)?;
        let base = outline.base()?;
        let literal = base.literal();
        let modulus: f64 = literal.data.iter().chain(&literal.special).map(|q| (*q as f64).log2()).sum();
        Ok(Self {
            plan: name,
            inputs: outline.batch,
            ring_degree: base.degree(),
            modulus_bits: modulus.ceil() as u32,
            limbs: base.limbs(),
            slots: outline.slots(),
            slot_bits: outline.parameters.iter().map(|set| set.plain().bits()).collect(),
            request_ciphertexts: outline.request.ciphertexts() * outline.parameters.len(),
            reply_ciphertexts: outline.answer.ciphertexts() * outline.parameters.len(),
            rotation_keys: outline.rotations.len(),
            relinearisation_key: outline.relinearise,
            request_bytes: client::request_bytes(&outline),
            reply_bytes: client::reply_bytes(&outline)?,
            key_bytes: keys::wire_bytes(&outline)?,
            key_memory_bytes: keys::memory_bytes(&outline)?,
            memory_bytes: outline.memory,
            noise_bits: outline.noise.log2_bound(),
            flood_bits: outline.finish(0)?.flood_bits,
            summary,
            steps,
            payload: plan.payload,
        })
    }

    /// What people read.
    pub fn lines(&self) -> Vec<String> {
        let relinearisation = if self.relinearisation_key { " and one for products" } else { "" };
        let bits: Vec<String> = self.slot_bits.iter().map(u32::to_string).collect();
        let mut lines = vec![format!("plan        {}", self.summary)];
        lines.extend(self.steps.iter().map(step));
        lines.extend([
            format!(
                "parameters  ring degree {}, {} bits of modulus in {} limbs, 128-bit security",
                self.ring_degree, self.modulus_bits, self.limbs
            ),
            format!("plaintexts  {} slots modulo {} bits", self.slots, bits.join(" + ")),
            format!("a pass      up to {} inputs", self.inputs),
            format!(
                "request     {} ciphertexts, {}; reply {}, {}",
                self.request_ciphertexts,
                bytes(self.request_bytes),
                self.reply_ciphertexts,
                bytes(self.reply_bytes)
            ),
            format!(
                "keys        {} for rotations{relinearisation}: {} once a client, {} of the server's memory",
                self.rotation_keys,
                bytes(self.key_bytes),
                bytes(self.key_memory_bytes)
            ),
            format!("memory      about {} a query on the server", bytes(self.memory_bytes)),
            format!(
                "noise       {:.1} bits at most in a result, flooded with {} bits for a distance of 2^-{}",
                self.noise_bits,
                self.flood_bits,
                outline::STATISTICAL
            ),
        ]);
        lines
    }
}

/// One step of a plan: what it is, how its result stands in slots, what it costs.
fn step(step: &StepSummary) -> String {
    let o = &step.operations;
    let counts = [
        (o.rotations, "rotations"),
        (o.hoisted, "hoisted rotations"),
        (o.products, "products with weights"),
        (o.scalars, "scalars"),
        (o.squares, "squares or products"),
    ];
    let counts: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    format!("  {}: {}, {} limbs, in {}; {}", step.name, step.kind, step.level, step.layout, counts.join(", "))
}
