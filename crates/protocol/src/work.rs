//! What a prediction takes, counted: layer by layer and phase by phase, in units that a machine has a rate for.
//!
//! Engines count, with the walks that also run the protocol; what the units cost is known elsewhere (`planner::cost`). Counts are
//! those of both parties together.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use crate::meter::Phase;

/// A unit of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// An AND gate that is garbled by one party while the other evaluates it.
    StreamedAnd,
    /// The same where the evaluator knows an operand.
    StreamedKnownAnd,
    /// A free gate of such a circuit.
    StreamedXor,
    /// A prediction by such a circuit: what it takes before the first gate.
    Circuit,
    /// A bit of a weight or share that enters such a circuit by a correlated transfer.
    WeightTransfer,
    /// A bit of a weight in a product by transfers.
    ProductTransfer,
    /// A byte of such products' corrections.
    ProductByte,
    /// A row of a garbled table that is made, sent and kept.
    GarbledRow,
    /// What such a row takes on top among the [`FIRST_ROWS`] of a prediction, whose memory is touched for the first time.
    FirstGarbledRow,
    /// A row of a kept table that is evaluated.
    EvaluatedRow,
    /// What such a row takes on top among the [`FIRST_ROWS`].
    FirstEvaluatedRow,
    /// A transfer by extension, made ahead.
    Transfer,
    /// A batch of silent transfers.
    SilentBatch,
    /// A late bit of an input: its correction and its label.
    LateBit,
    /// A transfer of a product on shares, made ahead.
    CrossedTransfer,
    /// An element of a product on shares, once the input is known.
    CrossedElement,
    /// A linear layer on ciphertexts: what it takes whatever its size.
    EncryptedLayer,
    /// A residue of a ciphertext that is encrypted, sent and read.
    EncryptedResidue,
    /// A residue of a product of a ciphertext and weights.
    MultipliedResidue,
    /// A residue of weights that are encoded when they are needed, since there is no room for all.
    EncodedResidue,
    /// A residue of a reply: masked, sent and decrypted.
    RepliedResidue,
    /// A residue of a rotation; one by itself counts twice.
    RotatedResidue,
    /// A residue of a rotation key.
    KeyResidue,
    /// The same, while the first prediction waits for the server to have read it.
    ReadKeyResidue,
    /// A residue of a ciphertext of a reply in slots: flooded, masked, sent and decrypted.
    FloodedResidue,
    /// A product of a ring element and a weight, in the clear.
    PlainProduct,
    /// An element that a party opens once the input is known.
    OpenedElement,
    /// A second of operations on ciphertexts at the prices of the table that plans are searched with.
    EncryptedSecond,
    /// A prediction on ciphertexts: what it takes whatever its size.
    EncryptedPrediction,
    /// A ciphertext of a request to a network on ciphertexts, by residues.
    RequestResidue,
    /// A ciphertext of its answer, by residues.
    AnswerResidue,
    /// A residue of a batch's request: encrypted, sent and read.
    BatchedResidue,
    /// A residue of a ciphertext of a batch times a scalar, in a sum.
    BatchedTerm,
    /// A residue that is transformed in a product of a batch's ciphertexts.
    BatchedTransform,
    /// A session's base transfers.
    BaseTransfers,
    /// A session on shares: its public key.
    SharedSession,
    /// A session on ciphertexts.
    EncryptedSession,
    /// A prediction's material that is made ahead: base transfers of its own.
    Bundle,
    /// A stage, before the input is known.
    PreparedStage,
    /// A stage, from then on.
    OnlineStage,
}

impl Unit {
    /// All of them, in order.
    pub const ALL: [Self; 40] = [
        Self::StreamedAnd,
        Self::StreamedKnownAnd,
        Self::StreamedXor,
        Self::Circuit,
        Self::WeightTransfer,
        Self::ProductTransfer,
        Self::ProductByte,
        Self::GarbledRow,
        Self::FirstGarbledRow,
        Self::EvaluatedRow,
        Self::FirstEvaluatedRow,
        Self::Transfer,
        Self::SilentBatch,
        Self::LateBit,
        Self::CrossedTransfer,
        Self::CrossedElement,
        Self::EncryptedLayer,
        Self::EncryptedResidue,
        Self::MultipliedResidue,
        Self::EncodedResidue,
        Self::RepliedResidue,
        Self::RotatedResidue,
        Self::KeyResidue,
        Self::ReadKeyResidue,
        Self::FloodedResidue,
        Self::PlainProduct,
        Self::OpenedElement,
        Self::EncryptedSecond,
        Self::EncryptedPrediction,
        Self::RequestResidue,
        Self::AnswerResidue,
        Self::BatchedResidue,
        Self::BatchedTerm,
        Self::BatchedTransform,
        Self::BaseTransfers,
        Self::SharedSession,
        Self::EncryptedSession,
        Self::Bundle,
        Self::PreparedStage,
        Self::OnlineStage,
    ];

    /// What it is, in a few words.
    pub fn words(self) -> &'static str {
        match self {
            Self::StreamedAnd => "an AND, garbled and evaluated at once",
            Self::StreamedKnownAnd => "an AND with a known bit, the same",
            Self::StreamedXor => "an XOR, the same",
            Self::Circuit => "a prediction by one circuit",
            Self::WeightTransfer => "a transfer of a weight's bit into a circuit",
            Self::ProductTransfer => "a transfer of a weight's bit in a product",
            Self::ProductByte => "a byte of such products",
            Self::GarbledRow => "a row of tables, garbled ahead",
            Self::FirstGarbledRow => "one of the first such rows, on top",
            Self::EvaluatedRow => "a row of tables, evaluated",
            Self::FirstEvaluatedRow => "one of the first evaluated, on top",
            Self::Transfer => "a transfer by extension, ahead",
            Self::SilentBatch => "a batch of silent transfers",
            Self::LateBit => "a late bit: correction and label",
            Self::CrossedTransfer => "a transfer of a product on shares",
            Self::CrossedElement => "an element of a product on shares",
            Self::EncryptedLayer => "a linear layer on ciphertexts",
            Self::EncryptedResidue => "a residue encrypted, sent and read",
            Self::MultipliedResidue => "a residue times weights",
            Self::EncodedResidue => "a residue of weights, encoded",
            Self::RepliedResidue => "a residue masked, sent and decrypted",
            Self::RotatedResidue => "a residue rotated",
            Self::KeyResidue => "a residue of a rotation key",
            Self::ReadKeyResidue => "a residue of such a key, waited for",
            Self::FloodedResidue => "a residue flooded, sent and decrypted",
            Self::PlainProduct => "a product of a share and a weight",
            Self::OpenedElement => "an element opened",
            Self::EncryptedSecond => "a second of the table of ciphertexts",
            Self::EncryptedPrediction => "a prediction on ciphertexts",
            Self::RequestResidue => "a residue of a request",
            Self::AnswerResidue => "a residue of an answer",
            Self::BatchedResidue => "a residue of a batch's request",
            Self::BatchedTerm => "a residue of a batch times a scalar",
            Self::BatchedTransform => "a residue transformed in a batch's product",
            Self::BaseTransfers => "a session's base transfers",
            Self::SharedSession => "a session on shares",
            Self::EncryptedSession => "a session on ciphertexts",
            Self::Bundle => "a bundle",
            Self::PreparedStage => "a stage, ahead",
            Self::OnlineStage => "a stage, online",
        }
    }

    /// The word for it in files.
    pub fn name(self) -> String {
        // A unit is a word of its own form alone.
        serde_json::to_value(self)
            .ok()
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_default()
    }
}

/// Rows of a prediction's tables that take longer than others: what keeps them is memory that was not touched before, which later ones use again.
pub const FIRST_ROWS: u64 = 1 << 20;

/// Tells the first rows of a prediction from later ones.
#[derive(Clone, Copy, Debug)]
pub struct FirstRows(u64);

impl Default for FirstRows {
    fn default() -> Self {
        Self(FIRST_ROWS)
    }
}

impl FirstRows {
    /// How many of these rows are among the first.
    pub fn of(&mut self, rows: u64) -> u64 {
        let first = rows.min(self.0);
        self.0 -= first;
        first
    }
}

/// How much of each unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Amounts([f64; Unit::ALL.len()]);

impl Default for Amounts {
    fn default() -> Self {
        Self([0.0; Unit::ALL.len()])
    }
}

impl Amounts {
    /// With so much more of a unit.
    #[must_use]
    pub fn with(mut self, unit: Unit, amount: u64) -> Self {
        self.0[unit as usize] += amount as f64;
        self
    }

    /// With so much more, where it is no whole number.
    #[must_use]
    pub fn with_real(mut self, unit: Unit, amount: f64) -> Self {
        self.0[unit as usize] += amount;
        self
    }

    /// The amount of a unit.
    pub fn get(&self, unit: Unit) -> f64 {
        self.0[unit as usize]
    }

    /// Units of which there are some, with their amounts.
    pub fn iter(&self) -> impl Iterator<Item = (Unit, f64)> + '_ {
        Unit::ALL.into_iter().zip(self.0).filter(|(_, amount)| *amount > 0.0)
    }
}

impl AddAssign for Amounts {
    fn add_assign(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, amount)| *sum += amount);
    }
}

/// What a phase takes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Step {
    /// The work.
    pub amounts: Amounts,
    /// Bytes that the client and the server send, without the headers of frames.
    pub bytes: [u64; 2],
    /// Flights that wait for each other.
    pub flights: u64,
}

impl AddAssign for Step {
    fn add_assign(&mut self, other: Self) {
        self.amounts += other.amounts;
        self.bytes[0] += other.bytes[0];
        self.bytes[1] += other.bytes[1];
        self.flights += other.flights;
    }
}

/// What a layer takes, or what all of them share.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layer {
    /// The layer's name; empty for what belongs to none.
    pub name: String,
    /// For each of [`Phase::ALL`].
    pub phases: [Step; 3],
    /// Bytes that the client and the server keep from the offline phase on, where it is stored.
    pub stored: [u64; 2],
}

impl Layer {
    /// A layer of nothing yet.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// With a phase's part.
    #[must_use]
    pub fn with(mut self, phase: Phase, step: Step) -> Self {
        self.phases[phase as usize] += step;
        self
    }

    /// Whether it takes anything.
    pub fn is_any(&self) -> bool {
        self.phases != [Step::default(); 3] || self.stored != [0; 2]
    }
}

/// What a prediction takes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Work {
    /// Layer by layer, what belongs to none first.
    pub layers: Vec<Layer>,
    /// For each of [`Phase::ALL`] whether bytes cross while both parties work.
    pub streamed: [bool; 3],
}

impl Work {
    /// Bytes that the client and the server keep of all layers, where the offline phase is stored.
    pub fn stored(&self) -> [u64; 2] {
        self.layers.iter().fold([0; 2], |[client, server], layer| {
            [client.saturating_add(layer.stored[0]), server.saturating_add(layer.stored[1])]
        })
    }

    /// A phase of all layers together.
    pub fn phase(&self, phase: Phase) -> Step {
        self.layers.iter().fold(Step::default(), |mut sum, layer| {
            sum += layer.phases[phase as usize];
            sum
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_stand_in_order_and_have_names() {
        for (index, unit) in Unit::ALL.into_iter().enumerate() {
            assert_eq!(unit as usize, index);
            assert_eq!(serde_json::from_value::<Unit>(unit.name().into()).ok(), Some(unit));
        }
    }

    #[test]
    fn first_rows_are_those_of_all_layers_together() {
        let mut first = FirstRows::default();
        assert_eq!([first.of(5), first.of(FIRST_ROWS), first.of(7)], [5, FIRST_ROWS - 5, 0]);
    }

    #[test]
    fn layers_add_up() {
        let step = |count| Step {
            amounts: Amounts::default().with(Unit::LateBit, count),
            bytes: [count, 2 * count],
            flights: 1,
        };
        let layer = |count| Layer::new("x").with(Phase::Online, step(count)).with(Phase::Online, step(1));
        let work = Work { layers: vec![layer(2), layer(3)], ..Work::default() };
        let sum = work.phase(Phase::Online);
        assert_eq!((sum.amounts.get(Unit::LateBit), sum.bytes, sum.flights), (7.0, [7, 14], 4));
        assert_eq!(work.phase(Phase::Setup), Step::default());
        assert_eq!(sum.amounts.iter().collect::<Vec<_>>(), [(Unit::LateBit, 7.0)]);
    }
}
