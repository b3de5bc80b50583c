//! What each stage of a prediction on shares takes.

use model::fixed::FixedGraph;
use ot::ferret::{CorrectionMessage, RESERVE};
use ot::softspoken::message_len;

use super::linear::Setting;
use super::names;
use super::plan::Plan;
use super::price::{Price, Survey, stage_price};
use super::products::Quadratic;
use super::program::Program;
use super::transfers::Batches;
use crate::error::Error;
use crate::handshake::Reveal;
use crate::meter::Phase;
use crate::work::{Amounts, FirstRows, Layer, Step, Unit, Work};

/// Flights of the agreement with keys and base transfers.
const SETUP_FLIGHTS: u64 = 6;

/// Flights of a stage's linear layers, and of its circuit's labels.
const FLIGHTS: u64 = 2;

/// Flights of the transfers and tables before the input is known.
const OFFLINE_FLIGHTS: u64 = 2;

impl Plan {
    /// What a prediction takes: for each stage its linear layers, then its circuit.
    ///
    /// # Errors
    /// If the plan does not fit the graph.
    pub fn work(&self, graph: &FixedGraph, reveal: Reveal) -> Result<Work, Error> {
        let program = self.program(graph, reveal)?;
        let surveys = (0..program.stages.len())
            .map(|stage| Survey::new(&program, stage))
            .collect::<Result<Vec<_>, _>>()?;
        let setting = self.linear_setting(&program)?;
        let encoded = setting.as_ref().map_or_else(Vec::new, Setting::encoded_each_time);
        let mut layers = vec![self.session(setting.as_ref())];
        let (mut batches, mut first) = (Batches::default(), FirstRows::default());
        for (number, survey) in surveys.iter().enumerate() {
            let (linear, circuit) = names(&program, number);
            let mut online = Step::default();
            if let Some(setting) = &setting {
                online = linear_step(setting, &program.stages[number].linear, &encoded)?;
            }
            layers.push(Layer::new(&linear).with(Phase::Online, online));
            let silent = if self.silent { batches.before(survey.late) } else { 0 };
            let first = first.of(survey.rows as u64);
            layers.push(circuit_work(&program, number, (survey, first), &circuit, (self.silent, silent)));
        }
        Ok(Work { layers: layers.into_iter().filter(Layer::is_any).collect(), streamed: [false, true, true] })
    }

    /// What a session takes before its first prediction, and all stages' transfers together.
    fn session(&self, setting: Option<&Setting>) -> Layer {
        let mut amounts = Amounts::default().with(Unit::SharedSession, 1).with(Unit::BaseTransfers, 1);
        let (mut bytes, mut waited) = (0, Amounts::default());
        if let Some(setting) = setting {
            amounts = amounts.with(Unit::KeyResidue, setting.key_residues());
            waited = waited.with(Unit::ReadKeyResidue, setting.key_residues());
            bytes = setting.key_bytes().iter().sum();
        }
        let setup = Step { amounts, bytes: [bytes, 0], flights: SETUP_FLIGHTS };
        let reserve = if self.silent { message_len(RESERVE) as u64 } else { 0 };
        let offline = Step { amounts: waited, bytes: [reserve, 0], flights: OFFLINE_FLIGHTS };
        Layer::new("").with(Phase::Setup, setup).with(Phase::Offline, offline)
    }
}

/// What a stage's linear layers take; `encoded`: residues of each layer's weights that are encoded for each prediction.
fn linear_step(setting: &Setting, layers: &[usize], encoded: &[u64]) -> Result<Step, Error> {
    let mut step = Step::default();
    for layer in layers {
        step.amounts += setting.amounts(*layer)?.with(Unit::EncodedResidue, encoded[*layer]);
        step.bytes[0] += setting.sent(*layer).iter().sum::<usize>() as u64;
        step.bytes[1] += setting.returned(*layer).iter().sum::<usize>() as u64;
        step.flights = FLIGHTS;
    }
    Ok(step)
}

/// What a stage's circuit takes, and the products on shares before it.
fn circuit_work(
    program: &Program,
    number: usize,
    (survey, first): (&Survey, u64),
    name: &str,
    (silent, batches): (bool, usize),
) -> Layer {
    let Price { crossed, crossed_bytes, opened_bytes, table_bytes, late_bits, .. } =
        stage_price(program, number, survey);
    let rows = survey.rows as u64;
    let mut amounts = Amounts::default()
        .with(Unit::GarbledRow, rows)
        .with(Unit::FirstGarbledRow, first)
        .with(Unit::CrossedTransfer, crossed)
        .with(Unit::PreparedStage, 1);
    let mut sent = if crossed == 0 { 0 } else { message_len(crossed as usize) };
    if silent {
        amounts = amounts.with(Unit::SilentBatch, batches as u64);
    } else {
        amounts = amounts.with(Unit::Transfer, late_bits);
        sent += message_len(survey.late);
    }
    let corrections = batches * CorrectionMessage::ENCODED_LEN;
    let bytes = [sent as u64, table_bytes + crossed_bytes + corrections as u64];
    let offline = Step { amounts, bytes, flights: 0 };
    let elements: usize = Quadratic::of(program, number).map(|product| product.count).sum();
    let amounts = Amounts::default()
        .with(Unit::EvaluatedRow, rows)
        .with(Unit::FirstEvaluatedRow, first)
        .with(Unit::LateBit, late_bits)
        .with(Unit::CrossedElement, elements as u64)
        .with(Unit::OnlineStage, 1);
    let labels = late_bits * size_of::<kernel::block::Block>() as u64;
    let online = Step {
        amounts,
        bytes: [late_bits.div_ceil(8) + opened_bytes, labels],
        flights: if late_bits > 0 { FLIGHTS } else { 0 },
    };
    Layer::new(name).with(Phase::Offline, offline).with(Phase::Online, online)
}
