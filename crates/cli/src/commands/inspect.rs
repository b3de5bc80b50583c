//! `oribi inspect`: what the program makes of a model.

use model::fixed::FixedGraph;
use protocol::Reveal;
use protocol::garbled::{Price, price};
use serde::Serialize;

use crate::choice::{Asked, Encryption, FirstLayer, Garbler, Linear, Numbers, Protocol};
use crate::console::{out, patiently};
use crate::failure::Failure;
use crate::plan_report::Encrypted;
use crate::pricing;
use crate::report::bytes;
use crate::share_report::{Ahead, Shared};
use crate::source::Source;

/// Show a model's layers, shapes, number formats, ranges and operations.
#[derive(clap::Args)]
pub struct Arguments {
    /// The network, an ONNX file.
    #[arg(value_name = "MODEL")]
    model: String,
    /// For which protocol: deepsecure (the default), lola, gazelle, delphi, or auto, the cheapest on this machine (see oribi plan).
    #[arg(long, value_name = "PROTOCOL")]
    protocol: Option<Asked>,
    /// deepsecure: the form of linear layers that read the input alone, ot (the default) or garbled.
    #[arg(long, value_name = "FORM")]
    first_layer: Option<FirstLayer>,
    /// gazelle, delphi: how linear layers meet ciphertexts, he-slots (the papers' kernels, with rotations), he-coefficients or auto: the faster for
    /// gazelle, coefficients for delphi.
    #[arg(long, value_name = "METHOD", default_value = "auto")]
    linear: Linear,
    /// delphi: which party garbles, server or client.
    #[arg(long, value_name = "PARTY", default_value = "server")]
    garbler: Garbler,
    #[command(flatten)]
    numbers: Numbers,
    #[command(flatten)]
    encryption: Encryption,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// What is shown, and the object of `--json`.
#[derive(Serialize)]
struct Report {
    model: String,
    protocol: &'static str,
    labels: Vec<String>,
    inputs: Vec<Input>,
    outputs: Vec<String>,
    parameters: u64,
    /// Multiplications of one prediction.
    products: u64,
    /// Why the protocol cannot run it, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    #[serde(flatten)]
    price: Option<Price>,
    /// AND gates of either kind: what a garbled circuit costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    non_xor_gates: Option<u64>,
    /// The plan under encryption.
    #[serde(skip_serializing_if = "Option::is_none")]
    encrypted: Option<Encrypted>,
    /// Bits of the widest tensor's integers.
    widest: Option<u32>,
    /// What a plan on shares takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    shared: Option<Shared>,
    /// What a plan with everything heavy before the input takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    ahead: Option<Ahead>,
    layers: Vec<LayerRow>,
}

#[derive(Serialize)]
struct Input {
    name: String,
    shape: Vec<usize>,
    range: [f32; 2],
}

/// One layer; ranges are those of its result in the float model.
#[derive(Serialize)]
struct LayerRow {
    name: String,
    kind: &'static str,
    shape: Vec<usize>,
    parameters: u64,
    products: u64,
    low: f32,
    high: f32,
    /// Whether no input can leave the range.
    proven: bool,
    /// Width and fraction bits of the integers, for a layer that the fixed-point graph keeps.
    bits: Option<u32>,
    frac: Option<i32>,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let source = Source::load(&arguments.model, &arguments.numbers)?;
    let asked = arguments.protocol.unwrap_or(Asked::For(Protocol::DeepSecure));
    let protocol = pricing::resolve(asked, &source, Reveal::Scores, None)?;
    let report = Report::new(&source, protocol, arguments)?;
    if arguments.json {
        return out(&serde_json::to_string(&report).map_err(Failure::running)?);
    }
    report.print()
}

/// What a prediction takes, by the protocol's way of counting.
#[derive(Default)]
struct Costs {
    price: Option<Price>,
    encrypted: Option<Encrypted>,
    shared: Option<Shared>,
    ahead: Option<Ahead>,
}

impl Costs {
    /// Counts what a protocol asks for.
    ///
    /// # Errors
    /// Why it cannot run the network.
    fn fill(&mut self, fixed: &FixedGraph, protocol: Protocol, arguments: &Arguments) -> Result<(), String> {
        let first = arguments.first_layer;
        protocol.check(fixed, Reveal::Scores, first)?;
        match protocol {
            Protocol::DeepSecure => {
                let first = first.map_or_else(Default::default, Into::into);
                self.price = Some(price(fixed, Reveal::Scores, first));
            }
            Protocol::Lola => self.encrypted = Some(Encrypted::new(fixed, &arguments.encryption)?),
            Protocol::Gazelle => {
                let shared = Shared::new(fixed, arguments.linear)
                    .map_err(|why| format!("{}: {why}", protocol.name()))?;
                self.shared = Some(shared);
            }
            Protocol::Delphi => {
                let ahead = Ahead::new(fixed, arguments.linear, arguments.garbler.into());
                let ahead = ahead.map_err(|why| format!("{}: {why}", protocol.name()))?;
                self.ahead = Some(ahead);
            }
        }
        Ok(())
    }
}

impl Report {
    fn new(source: &Source, protocol: Protocol, arguments: &Arguments) -> Result<Self, Failure> {
        let mut refused = source.supports(protocol).err();
        // Integers of a network that is refused anyway are not worth the wait.
        let fixed = match refused {
            Some(_) => None,
            None => {
                let quantise = || source.quantise(arguments.linear.number(protocol));
                Some(patiently("looking for the scales of integers", quantise)?.0)
            }
        };
        let mut costs = Costs::default();
        if let Some(fixed) = &fixed {
            refused = patiently("looking for the best plan; large networks take a minute", || {
                costs.fill(fixed, protocol, arguments)
            })
            .err();
        }
        let Costs { price, encrypted, shared, ahead } = costs;
        let graph = &source.graph;
        let inputs = source.meta.inputs.iter();
        Ok(Self {
            model: source.meta.name.clone(),
            protocol: protocol.name(),
            widest: fixed.iter().flat_map(|fixed| &fixed.nodes).map(|node| node.format.bits).max(),
            labels: source.meta.labels.clone(),
            inputs: inputs
                .map(|input| Input {
                    name: input.name.clone(),
                    shape: input.shape.clone(),
                    range: input.range,
                })
                .collect(),
            outputs: graph.outputs.iter().map(|output| output.name.clone()).collect(),
            parameters: graph.parameters(),
            products: graph.products(),
            refused,
            price,
            non_xor_gates: price.map(|price| price.ands + price.known_ands),
            encrypted,
            shared,
            ahead,
            layers: (0..graph.nodes.len()).map(|id| LayerRow::new(source, fixed.as_ref(), id)).collect(),
        })
    }

    fn print(&self) -> Result<(), Failure> {
        out(&format!("model       {}", self.model))?;
        for input in &self.inputs {
            let [low, high] = input.range;
            out(&format!(
                "input       {} {}, values {low} to {high}",
                printable(&input.name),
                shape(&input.shape)
            ))?;
        }
        out(&format!(
            "outputs     {}",
            self.outputs.iter().map(|name| printable(name)).collect::<Vec<_>>().join(", ")
        ))?;
        if !self.labels.is_empty() {
            out(&format!("classes     {}", self.labels.len()))?;
        }
        out(&format!("parameters  {}", self.parameters))?;
        out(&format!("products    {}", self.products))?;
        out("")?;
        let width = self
            .layers
            .iter()
            .map(|row| printable(&row.name).chars().count())
            .max()
            .unwrap_or(0)
            .clamp(5, 32);
        out(&format!(
            "{:<width$} {:<16} {:<14} {:>10} {:>7}  range",
            "layer", "kind", "shape", "products", "format"
        ))?;
        self.layers.iter().try_for_each(|row| out(&row.text(width)))?;
        if self.layers.iter().any(|row| !row.proven) {
            out(
                "* not proven: seen on sample inputs, with a margin; beyond it values saturate, or wrap where they cannot",
            )?;
        }
        out("")?;
        out(&format!("protocol    {}", self.protocol))?;
        if let Some(reason) = &self.refused {
            out(&format!("refused     {reason}"))?;
        }
        if let Some(encrypted) = &self.encrypted {
            encrypted.lines().iter().try_for_each(|line| out(line))?;
        }
        if let Some(bits) = self.widest {
            out(&format!("integers    of up to {bits} bits"))?;
        }
        if let Some(shared) = &self.shared {
            shared.lines().iter().try_for_each(|line| out(line))?;
        }
        if let Some(ahead) = &self.ahead {
            ahead.lines().iter().try_for_each(|line| out(line))?;
        }
        let Some(price) = &self.price else { return Ok(()) };
        out(&format!(
            "gates       {} AND, of which {} at half price; {} XOR, free",
            price.ands + price.known_ands,
            price.known_ands,
            price.xors
        ))?;
        out(&format!("traffic     {} of garbled tables a prediction", bytes(price.table_bytes)))?;
        out(&format!(
            "transfers   {} oblivious transfers a prediction",
            price.transfers + price.product_transfers
        ))?;
        if price.product_transfers > 0 {
            out(&format!(
                "first layer {} by transfers instead of gates",
                bytes(price.product_bytes + 4 * price.product_transfers)
            ))?;
        }
        Ok(())
    }
}

impl LayerRow {
    fn new(source: &Source, fixed: Option<&FixedGraph>, id: usize) -> Self {
        let (node, range) = (&source.graph.nodes[id], &source.ranges.nodes[id]);
        let mut fixed = fixed.iter().flat_map(|fixed| &fixed.nodes).rev();
        let format = fixed.find(|other| other.name == node.name).map(|other| other.format);
        Self {
            name: node.name.clone(),
            kind: node.layer.kind(),
            shape: node.shape.clone(),
            parameters: node.parameters(),
            products: source.graph.node_products(id),
            low: range.low,
            high: range.high,
            proven: range.proven,
            bits: format.map(|format| format.bits),
            frac: format.map(|format| format.frac),
        }
    }

    fn text(&self, width: usize) -> String {
        let name: String = printable(&self.name).chars().take(width).collect();
        let format = match (self.bits, self.frac) {
            (Some(bits), Some(frac)) => format!("{bits}/{frac}"),
            _ => String::new(),
        };
        let mark = if self.proven { "" } else { " *" };
        let (shape, products) = (shape(&self.shape), self.products);
        let range = format!("{:.4} to {:.4}{mark}", self.low, self.high);
        format!("{name:<width$} {:<16} {shape:<14} {products:>10} {format:>7}  {range}", self.kind)
    }
}

/// A name from a file, without control characters.
pub fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn shape(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}
