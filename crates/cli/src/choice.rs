//! Words that several commands take as values.

use std::str::FromStr;

use model::Graph;
use model::fixed::FixedGraph;
use model::quantise::{self, Options, WeightBits};
use protocol::Reveal;
use protocol::encrypted::plans;
use protocol::garbled::{self, Wishes};
use protocol::interactive::{self, ahead};
use protocol::shape::Link;

use crate::source::Number;

/// `--protocol`: a preset of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// One garbled circuit for the whole network.
    DeepSecure,
    /// The whole network on ciphertexts.
    Lola,
    /// Linear layers on encrypted shares, and garbled activations.
    Gazelle,
    /// Linear layers on encrypted masks before the input is known, and garbled activations.
    Delphi,
}

impl Protocol {
    /// All that exist.
    pub const ALL: [Self; 4] = [Self::DeepSecure, Self::Lola, Self::Gazelle, Self::Delphi];

    /// The word on the command line and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::DeepSecure => "deepsecure",
            Self::Lola => plans::LOLA,
            Self::Gazelle => interactive::GAZELLE,
            Self::Delphi => ahead::DELPHI,
        }
    }

    /// The word on the wire for many inputs in one pass, where the protocol has that.
    pub fn batch_name(self) -> Option<&'static str> {
        match self {
            Self::DeepSecure | Self::Gazelle | Self::Delphi => None,
            Self::Lola => Some(plans::BATCH),
        }
    }

    /// What the client may learn.
    ///
    /// # Errors
    /// Why it cannot learn this.
    pub fn reveals(self, reveal: Reveal) -> Result<(), String> {
        match (self, reveal) {
            (Self::Lola, Reveal::Label) => Err(plans::NO_LABEL.to_owned()),
            _ => Ok(()),
        }
    }

    /// Whether it may run a network, as far as its layers and products say: before it is turned into integers, which may take
    /// long.
    ///
    /// # Errors
    /// The reason, and what to use instead.
    pub fn supports(self, graph: &Graph) -> Result<(), String> {
        let supported = match self {
            Self::DeepSecure => garbled::supports(graph),
            Self::Lola => plans::supports(graph),
            Self::Gazelle | Self::Delphi => interactive::supports(graph),
        };
        supported.map_err(|error| format!("{}: {error}", self.name()))
    }

    /// Whether it runs a network, and at a sensible size.
    ///
    /// # Errors
    /// The reason, and what to use instead.
    pub fn check(self, graph: &FixedGraph, reveal: Reveal, first: Option<FirstLayer>) -> Result<(), String> {
        let first = first.map_or_else(Default::default, Into::into);
        let checked = match self {
            Self::DeepSecure => garbled::check(graph, reveal, first),
            Self::Lola => {
                self.reveals(reveal)?;
                plans::check(graph)
            }
            Self::Gazelle => interactive::check(graph, reveal),
            Self::Delphi => ahead::check(graph, reveal),
        };
        checked.map_err(|error| format!("{}: {error}", self.name()))
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|protocol| protocol.name() == text).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.into_iter().map(Self::name).collect();
            format!("there is no such protocol; this version has {}", names.join(", "))
        })
    }
}

/// `--protocol`, where the choice may be left to the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The one of least time.
    Auto,
    /// This one.
    For(Protocol),
}

impl Asked {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        self.named().map_or("auto", Protocol::name)
    }

    /// The protocol, if one is named.
    pub fn named(self) -> Option<Protocol> {
        match self {
            Self::Auto => None,
            Self::For(protocol) => Some(protocol),
        }
    }
}

impl FromStr for Asked {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            other => other.parse().map(Self::For).map_err(|error: String| format!("{error}, or auto")),
        }
    }
}

/// `--output`: what the client learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// All scores.
    Scores,
    /// The index of the best class and nothing else.
    Label,
}

impl From<Output> for Reveal {
    fn from(output: Output) -> Self {
        match output {
            Output::Scores => Self::Scores,
            Output::Label => Self::Label,
        }
    }
}

/// `--activations`: how tanh and sigmoid are computed in integers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Activations {
    /// To a unit in the last place.
    #[default]
    Cordic,
    /// By four straight lines: a tenth of the gates, errors of 0.019 and 0.038.
    Piecewise,
}

/// How a network's numbers become integers.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Numbers {
    /// Measure the tensors' ranges on the inputs of this file (the first 256) instead of generated ones.
    #[arg(long, value_name = "DATA")]
    pub calibrate: Option<String>,
    /// Bits of a weight, 2 to 24, sign included. Fewer make everything cheaper and the result less exact; by default as few as keep
    /// the scores close on sample inputs.
    #[arg(long, value_name = "BITS", value_parser = clap::value_parser!(u32).range(2..=24))]
    pub weight_bits: Option<u32>,
    /// deepsecure: tanh and sigmoid exactly, or by straight lines.
    #[arg(long, value_name = "KIND", default_value = "cordic")]
    pub activations: Activations,
}

impl Numbers {
    /// The same options for a child process.
    pub fn arguments(&self) -> Vec<String> {
        let mut list = Vec::new();
        let mut push = |name: &str, value: String| list.extend([name.to_owned(), value]);
        if let Some(data) = &self.calibrate {
            push("--calibrate", data.clone());
        }
        if let Some(bits) = self.weight_bits {
            push("--weight-bits", bits.to_string());
        }
        if self.activations == Activations::Piecewise {
            push("--activations", "piecewise".to_owned());
        }
        list
    }

    /// As the quantiser takes them.
    pub fn apply(&self, options: Options) -> Options {
        Options {
            weight_bits: self.weight_bits.map_or(WeightBits::Auto, WeightBits::Fixed),
            activations: match self.activations {
                Activations::Cordic => quantise::Activations::Cordic,
                Activations::Piecewise => quantise::Activations::Piecewise,
            },
            ..options
        }
    }
}

/// `--base-ot`: the public-key cryptography below the oblivious transfers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum BaseOt {
    /// The group ristretto255.
    Ristretto,
    /// ML-KEM-768, against quantum computers too.
    MlKem,
}

impl From<BaseOt> for garbled::BaseOt {
    fn from(base_ot: BaseOt) -> Self {
        match base_ot {
            BaseOt::Ristretto => Self::Ristretto,
            BaseOt::MlKem => Self::MlKem,
        }
    }
}

/// `--first-layer`: how linear layers that read nothing but the client's input are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FirstLayer {
    /// By oblivious transfers.
    Ot,
    /// By garbled multipliers.
    Garbled,
}

impl From<FirstLayer> for garbled::FirstLayer {
    fn from(first: FirstLayer) -> Self {
        match first {
            FirstLayer::Ot => Self::Ot,
            FirstLayer::Garbled => Self::Garbled,
        }
    }
}

/// Options of `deepsecure` (the base transfers are those of `gazelle` too), the same for server and client.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Garbling {
    /// deepsecure, gazelle: the base transfers, ristretto or ml-kem (post-quantum, 0.4 MB more). The peer's choice by default, ristretto
    /// where neither chooses.
    #[arg(long, value_name = "KIND")]
    base_ot: Option<BaseOt>,
    /// deepsecure: linear layers that read the input alone, by oblivious transfers (ot) or by garbled multipliers (garbled, the paper's
    /// form, a hundred times the bytes and two flights fewer). The peer's choice by default, ot where neither chooses.
    #[arg(long, value_name = "FORM")]
    pub first_layer: Option<FirstLayer>,
}

impl Garbling {
    /// What this side asks its peer for.
    pub fn wishes(self) -> Wishes {
        Wishes {
            base_ot: self.base_ot.map(Into::into),
            first_layer: self.first_layer.map(Into::into),
            ..Wishes::default()
        }
    }

    /// The same options for a child process.
    pub fn arguments(self) -> Vec<String> {
        let mut list = Vec::new();
        if let Some(base_ot) = self.wishes().base_ot {
            list.extend(["--base-ot".to_owned(), base_ot.name().to_owned()]);
        }
        if let Some(first) = self.wishes().first_layer {
            list.extend(["--first-layer".to_owned(), first.name().to_owned()]);
        }
        list
    }
}

/// `--linear`: how `gazelle` computes linear layers, and `delphi` prepares them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Linear {
    /// The faster of both for the network.
    #[default]
    Auto,
    /// Products in slots, with rotations: the paper's kernels.
    HeSlots,
    /// Products of polynomials, without rotations.
    HeCoefficients,
}

impl Linear {
    /// The plan of a network whose linear layers are prepared ahead: in coefficients, unless slots are asked for.
    ///
    /// # Errors
    /// If the method does not take it.
    pub fn ahead(
        self,
        graph: &FixedGraph,
        link: Link,
        garbler: interactive::Garbler,
    ) -> Result<interactive::Plan, protocol::Error> {
        let method = if self == Self::HeSlots { self } else { Self::HeCoefficients };
        Ok(interactive::Plan { garbler, ..method.plan(graph, link)? })
    }

    /// The integers of a protocol with this method.
    pub fn number(self, protocol: Protocol) -> Number {
        match (protocol, self) {
            (Protocol::Gazelle, Self::HeSlots) => Number::InSlots,
            _ => Number::Of(protocol),
        }
    }

    /// The plan of a network.
    ///
    /// # Errors
    /// If the method does not take it.
    pub fn plan(self, graph: &FixedGraph, link: Link) -> Result<interactive::Plan, protocol::Error> {
        match self {
            Self::Auto => interactive::Plan::fastest(graph, link),
            Self::HeSlots => interactive::Plan::choose_for(graph, interactive::Method::HeSlots, link),
            Self::HeCoefficients => {
                interactive::Plan::choose_for(graph, interactive::Method::HeCoefficients, link)
            }
        }
    }
}

/// `--garbler`: which party garbles in `delphi`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Garbler {
    /// The server: the client keeps what is garbled.
    Server,
    /// The client: the server keeps it.
    Client,
}

impl Garbler {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

impl From<Garbler> for interactive::Garbler {
    fn from(garbler: Garbler) -> Self {
        match garbler {
            Garbler::Server => Self::Server,
            Garbler::Client => Self::Client,
        }
    }
}

/// Options of `lola` for a server.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Encryption {
    /// lola: threads of a query; all cores by default.
    #[arg(long, value_name = "COUNT", default_value_t = 0, hide_default_value = true)]
    pub threads: usize,
    /// lola: a plan of the paper by its name, lola-paper, lola-dense-paper, lola-small-paper or lola-cifar-paper, instead of the best one that is found.
    #[arg(long, value_name = "NAME")]
    pub plan: Option<String>,
    /// lola: serve many inputs in one pass too (predict --batch); its check takes a pass's time at the start.
    #[arg(long)]
    pub batch: bool,
}

impl Encryption {
    /// The same options for a child process.
    pub fn arguments(&self) -> Vec<String> {
        let mut list = vec!["--threads".to_owned(), self.threads.to_string()];
        if let Some(plan) = &self.plan {
            list.extend(["--plan".to_owned(), plan.clone()]);
        }
        if self.batch {
            list.push("--batch".to_owned());
        }
        list
    }
}

/// A number of bytes such as 500MB or 2GB, in powers of ten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a size is a whole number with kB, MB or GB after it, such as 500MB".to_owned();
        let lower = text.trim().to_ascii_lowercase();
        let units = [("gb", 1_000_000_000), ("mb", 1_000_000), ("kb", 1000), ("b", 1)];
        let (digits, unit) = units
            .iter()
            .find_map(|(unit, factor)| Some((lower.strip_suffix(unit)?, *factor)))
            .ok_or_else(wrong)?;
        let number: u64 = digits.trim().parse().map_err(|_| wrong())?;
        number.checked_mul(unit).map(Self).ok_or_else(wrong)
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            bytes if bytes % 1_000_000_000 == 0 => write!(f, "{}GB", bytes / 1_000_000_000),
            bytes if bytes % 1_000_000 == 0 => write!(f, "{}MB", bytes / 1_000_000),
            bytes => write!(f, "{bytes}B"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_by_name() {
        for protocol in Protocol::ALL {
            assert_eq!(protocol.name().parse(), Ok(protocol));
        }
        assert!("cheetah".parse::<Protocol>().unwrap_err().contains("deepsecure"));
        assert_eq!("auto".parse(), Ok(Asked::Auto));
        assert_eq!("lola".parse(), Ok(Asked::For(Protocol::Lola)));
        assert!("cheetah".parse::<Asked>().unwrap_err().ends_with("or auto"));
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [("500MB", 500_000_000), ("2 GB", 2_000_000_000), ("12kb", 12_000), ("7B", 7)] {
            assert_eq!(text.parse(), Ok(Size(bytes)));
        }
        for wrong in ["", "5", "MB", "1.5GB", "-1MB", "99999999999999GB"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
        assert_eq!(Size(500_000_000).to_string().parse(), Ok(Size(500_000_000)));
    }
}
