//! Seconds of each unit of work, measured on a machine, and the file that keeps them.

use std::collections::BTreeMap;

use protocol::work::{Amounts, Unit};
use serde::{Deserialize, Serialize};

/// The form of the file.
const VERSION: u32 = 3;

/// A rate may be so many times faster or slower than the one built in: what is beyond was not measured.
const PLAUSIBLE: f64 = 1e3;

/// Seconds of each unit: wall clock of both parties on one machine, and their processor time.
#[derive(Clone, Debug, PartialEq)]
pub struct Rates {
    wall: [f64; Unit::ALL.len()],
    processor: [f64; Unit::ALL.len()],
}

/// What is wrong with a file of rates.
#[derive(Debug, thiserror::Error)]
pub enum WrongRates {
    /// It is not such a file.
    #[error("it is no file of rates: {0}")]
    Form(String),
    /// It is one of another version.
    #[error("it is of version {0}, and this program has version {VERSION}")]
    Version(u32),
    /// It is another machine's.
    #[error("it was measured on {0}")]
    Machine(String),
    /// A rate that nothing has.
    #[error("its rate of {0} is beyond what a machine has")]
    Rate(String),
}

/// The file: text, so that it can be read.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    machine: String,
    /// Seconds of wall clock and of processors.
    rates: BTreeMap<Unit, [f64; 2]>,
}

impl Default for Rates {
    /// Two cores of a Sapphire Rapids server with AVX-512.
    fn default() -> Self {
        let rate =
            |unit: Unit| BUILT_IN.iter().find(|(known, _)| *known == unit).map_or([1e-9; 2], |(_, r)| *r);
        Self { wall: Unit::ALL.map(|unit| rate(unit)[0]), processor: Unit::ALL.map(|unit| rate(unit)[1]) }
    }
}

impl Rates {
    /// Rates as they stand in order of the units.
    pub(super) fn new(wall: [f64; Unit::ALL.len()], processor: [f64; Unit::ALL.len()]) -> Self {
        Self { wall, processor }
    }

    /// Wall clock and processor seconds of each unit.
    pub(super) fn columns(&self) -> [&[f64; Unit::ALL.len()]; 2] {
        [&self.wall, &self.processor]
    }

    /// Wall-clock and processor seconds of a unit.
    pub fn get(&self, unit: Unit) -> [f64; 2] {
        [self.wall[unit as usize], self.processor[unit as usize]]
    }

    /// Seconds of wall clock.
    pub fn seconds(&self, amounts: &Amounts) -> f64 {
        amounts.iter().fold(0.0, |sum, (unit, amount)| sum + amount * self.get(unit)[0])
    }

    /// Processor seconds of both parties.
    pub fn processor_seconds(&self, amounts: &Amounts) -> f64 {
        amounts.iter().fold(0.0, |sum, (unit, amount)| sum + amount * self.get(unit)[1])
    }

    /// The file's text, for a machine by that name.
    ///
    /// # Errors
    /// None that could happen: it is numbers and words.
    pub fn to_json(&self, machine: &str) -> Result<String, WrongRates> {
        let rates = Unit::ALL.into_iter().map(|unit| (unit, self.get(unit))).collect();
        let file = File { version: VERSION, machine: machine.to_owned(), rates };
        serde_json::to_string_pretty(&file).map_err(|error| WrongRates::Form(error.to_string()))
    }

    /// Reads the file's text. Units that it lacks keep their built-in rates.
    ///
    /// # Errors
    /// If it is none, of another version or machine, or holds a rate that no machine has.
    pub fn from_json(text: &str, machine: &str) -> Result<Self, WrongRates> {
        let form = |error: serde_json::Error| WrongRates::Form(error.to_string());
        let value: serde_json::Value = serde_json::from_str(text).map_err(form)?;
        match value.get("version").and_then(serde_json::Value::as_u64) {
            Some(version) if version != u64::from(VERSION) => {
                return Err(WrongRates::Version(u32::try_from(version).unwrap_or(u32::MAX)));
            }
            _ => {}
        }
        let file = File::deserialize(value).map_err(form)?;
        if file.machine != machine {
            let name = file.machine.chars().filter(|letter| !letter.is_control()).take(80).collect();
            return Err(WrongRates::Machine(name));
        }
        let mut rates = Self::default();
        for (unit, pair) in file.rates {
            let places = [&mut rates.wall[unit as usize], &mut rates.processor[unit as usize]];
            for (place, rate) in places.into_iter().zip(pair) {
                let times = rate / *place;
                if !(1.0 / PLAUSIBLE..=PLAUSIBLE).contains(&times) {
                    return Err(WrongRates::Rate(unit.name()));
                }
                *place = rate;
            }
        }
        Ok(rates)
    }
}

/// Fitted to the networks and probes of `bench planner`, on a machine that did nothing else.
const BUILT_IN: [(Unit, [f64; 2]); Unit::ALL.len()] = [
    (Unit::StreamedAnd, [25e-9, 47e-9]),
    (Unit::StreamedKnownAnd, [19e-9, 33e-9]),
    (Unit::StreamedXor, [0.8e-9, 0.99e-9]),
    (Unit::Circuit, [6.4e-3, 9.8e-3]),
    (Unit::WeightTransfer, [25e-9, 36e-9]),
    (Unit::ProductTransfer, [37e-9, 65e-9]),
    (Unit::ProductByte, [2e-9, 2.1e-9]),
    (Unit::GarbledRow, [16e-9, 38e-9]),
    (Unit::FirstGarbledRow, [14e-9, 15e-9]),
    (Unit::EvaluatedRow, [8.7e-9, 13e-9]),
    (Unit::FirstEvaluatedRow, [8.5e-9, 8.8e-9]),
    (Unit::Transfer, [25e-9, 27e-9]),
    (Unit::SilentBatch, [39e-3, 59e-3]),
    (Unit::LateBit, [15e-9, 21e-9]),
    (Unit::CrossedTransfer, [41e-9, 78e-9]),
    (Unit::CrossedElement, [57e-9, 32e-9]),
    (Unit::EncryptedLayer, [600e-6, 900e-6]),
    (Unit::EncryptedResidue, [13e-9, 16e-9]),
    (Unit::MultipliedResidue, [1.3e-9, 0.93e-9]),
    (Unit::EncodedResidue, [4.3e-9, 7.1e-9]),
    (Unit::RepliedResidue, [52e-9, 27e-9]),
    (Unit::RotatedResidue, [15e-9, 27e-9]),
    (Unit::KeyResidue, [22e-9, 35e-9]),
    (Unit::ReadKeyResidue, [4.6e-9, 0.95e-9]),
    (Unit::FloodedResidue, [41e-9, 54e-9]),
    (Unit::PlainProduct, [0.18e-9, 0.27e-9]),
    (Unit::OpenedElement, [13e-9, 11e-9]),
    (Unit::EncryptedSecond, [990e-3, 2.00]),
    (Unit::EncryptedPrediction, [5e-3, 9.8e-3]),
    (Unit::RequestResidue, [28e-9, 24e-9]),
    (Unit::AnswerResidue, [21e-9, 21e-9]),
    (Unit::BatchedResidue, [20e-9, 30e-9]),
    (Unit::BatchedTerm, [0.38e-9, 0.7e-9]),
    (Unit::BatchedTransform, [3e-9, 4.5e-9]),
    (Unit::BaseTransfers, [11e-3, 19e-3]),
    (Unit::SharedSession, [2.4e-3, 3.9e-3]),
    (Unit::EncryptedSession, [13e-3, 15e-3]),
    (Unit::Bundle, [8.1e-3, 13e-3]),
    (Unit::PreparedStage, [1.8e-3, 900e-6]),
    (Unit::OnlineStage, [270e-6, 470e-6]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_has_a_rate_built_in() {
        for unit in Unit::ALL {
            assert_eq!(BUILT_IN.iter().filter(|(known, _)| *known == unit).count(), 1, "{unit:?}");
        }
    }

    #[test]
    fn files_are_read_as_written_and_checked() {
        let mut rates = Rates::default();
        rates.wall[3] *= 2.0;
        let text = rates.to_json("m").unwrap();
        assert_eq!(Rates::from_json(&text, "m").unwrap(), rates);
        assert!(matches!(Rates::from_json(&text, "n"), Err(WrongRates::Machine(name)) if name == "m"));
        let other = text.replace("\"version\": 3", "\"version\": 1");
        assert!(matches!(Rates::from_json(&other, "m"), Err(WrongRates::Version(1))));
        for wrong in ["", "{}", "[]", "{\"version\": 3, \"machine\": \"m\"}"] {
            assert!(matches!(Rates::from_json(wrong, "m"), Err(WrongRates::Form(_))), "{wrong}");
        }
        for rate in ["0.0", "-1.0", "1e9", "1e400"] {
            let text = format!(
                "{{\"version\": 3, \"machine\": \"m\", \"rates\": {{\"late-bit\": [{rate}, 1e-8]}}}}"
            );
            assert!(Rates::from_json(&text, "m").is_err(), "{rate}");
        }
        let unknown = "{\"version\": 3, \"machine\": \"m\", \"rates\": {\"magic\": [1.0, 1.0]}}";
        assert!(Rates::from_json(unknown, "m").is_err());
    }
}
