//! Words that several commands take as values.

use std::str::FromStr;

use model::fixed::FixedGraph;
use protocol::Reveal;
use protocol::garbled::{self, Wishes};

/// `--protocol`: a preset of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// One garbled circuit for the whole network.
    DeepSecure,
}

impl Protocol {
    /// All that exist.
    pub const ALL: [Self; 1] = [Self::DeepSecure];

    /// The word on the command line and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::DeepSecure => "deepsecure",
        }
    }

    /// Whether it runs a network, and at a sensible size.
    ///
    /// # Errors
    /// The reason, and what to use instead.
    pub fn check(self, graph: &FixedGraph, reveal: Reveal) -> Result<(), String> {
        let checked = match self {
            Self::DeepSecure => garbled::check(graph, reveal),
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

/// Options of `deepsecure`, the same for server and client.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Garbling {
    /// deepsecure: the base transfers, ristretto or ml-kem (post-quantum, 0.4 MB more). The peer's choice by default, ristretto
    /// where neither chooses.
    #[arg(long, value_name = "KIND")]
    base_ot: Option<BaseOt>,
}

impl Garbling {
    /// What this side asks its peer for.
    pub fn wishes(self) -> Wishes {
        Wishes { base_ot: self.base_ot.map(Into::into) }
    }

    /// The same options for a child process.
    pub fn arguments(self) -> Vec<String> {
        let mut list = Vec::new();
        if let Some(base_ot) = self.wishes().base_ot {
            list.extend(["--base-ot".to_owned(), base_ot.name().to_owned()]);
        }
        list
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
        assert!("gazelle".parse::<Protocol>().unwrap_err().contains("deepsecure"));
    }
}
