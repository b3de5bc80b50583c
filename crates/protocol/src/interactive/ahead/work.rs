//! What each stage takes with everything heavy before the input.

use model::fixed::{FixedGraph, NodeId, Op};

use super::super::linear::Setting;
use super::super::names;
use super::super::plan::{Garbler, Plan};
use super::super::program::Program;
use super::bundle::Material;
use super::gilboa::transfers_of;
use super::price::{last_price, linear_price, stage_price};
use super::products::Quadratic;
use super::{NAMELESS, Work};
use crate::error::Error;
use crate::handshake::Reveal;
use crate::meter::Phase;
use crate::work::{self, Amounts, FirstRows, Layer, Step, Unit};

/// Flights of the agreement with the key, of material where the client garbles or the server does, those that carries of shares and
/// products on shares add, and of a stage.
const SETUP_FLIGHTS: u64 = 4;
const OFFLINE_FLIGHTS: [u64; 2] = [4, 6];
const HALVING_FLIGHTS: u64 = 2;
const PRODUCT_FLIGHTS: u64 = 4;
const STAGE_FLIGHTS: u64 = 2;

/// What a prediction takes: for each stage its linear layers, then its products and its circuit.
///
/// # Errors
/// If the engine does not take the graph or the plan.
pub fn work((graph, plan): (&FixedGraph, &Plan), reveal: Reveal) -> Result<work::Work, Error> {
    let work = Work::new((graph, plan), reveal, NAMELESS)?;
    let mut layers = vec![session(&work, plan)?];
    let mut first = FirstRows::default();
    let encoded = work.found.setting.as_ref().map_or_else(Vec::new, Setting::encoded_each_time);
    for number in 0..work.program.stages.len() {
        let (linear_name, circuit) = names(&work.program, number);
        layers.push(linear_layer((&work, &encoded), number, &linear_name)?);
        let first = first.of(work.found.surveys[number].rows as u64);
        layers.push(circuit_layer(&work, number, first, &circuit));
    }
    Ok(work::Work {
        layers: layers.into_iter().filter(Layer::is_any).collect(),
        streamed: [false, true, true],
    })
}

/// What belongs to no stage.
fn session(work: &Work<'_>, plan: &Plan) -> Result<Layer, Error> {
    let keys = work.found.setting.as_ref().map_or(0, |setting| setting.key_bytes().iter().sum());
    let residues = work.found.setting.as_ref().map_or(0, Setting::key_residues);
    let setup = Step {
        amounts: Amounts::default().with(Unit::SharedSession, 1).with(Unit::KeyResidue, residues),
        bytes: [keys, 0],
        flights: SETUP_FLIGHTS,
    };
    let price = linear_price(work, plan)?;
    let [ciphertexts, all] = [price.ciphertext_bytes, price.offline_bytes];
    let products = if work.quadratics().is_empty() { 0 } else { PRODUCT_FLIGHTS };
    // Shares of sums take transfers unless they are exact as they come.
    let (halved, halving) = if work.exact() { (0, 0) } else { (work.sums(), HALVING_FLIGHTS) };
    let material = OFFLINE_FLIGHTS[usize::from(work.garbler == Garbler::Server)];
    let offline = Step {
        amounts: Amounts::default()
            .with(Unit::Bundle, 1)
            .with(Unit::Transfer, halved as u64)
            .with(Unit::ReadKeyResidue, residues),
        // Ciphertexts are their layers'.
        bytes: [all[0] - ciphertexts[0], all[1] - ciphertexts[1]],
        flights: material + halving + products,
    };
    let last = last_price(work).online_bytes;
    let flights = if work.garbler == Garbler::Client { STAGE_FLIGHTS } else { 0 };
    let online = Step { bytes: last, flights, ..Step::default() };
    let layer = Layer::new("").with(Phase::Setup, setup).with(Phase::Offline, offline);
    // A bundle's head.
    let stages = (0..work.program.stages.len()).map(|number| stored(work, number));
    let head = stages.fold(price.stored_bytes, |[client, server], stage| {
        [client.saturating_sub(stage[0]), server.saturating_sub(stage[1])]
    });
    Ok(Layer { stored: head, ..layer.with(Phase::Online, online) })
}

fn linear_layer((work, encoded): (&Work<'_>, &[u64]), number: usize, name: &str) -> Result<Layer, Error> {
    let Some(setting) = &work.found.setting else { return Ok(Layer::new(name)) };
    let (mut offline, mut online) = (Step::default(), Step::default());
    for layer in &work.program.stages[number].linear {
        offline.amounts += setting.amounts(*layer)?.with(Unit::EncodedResidue, encoded[*layer]);
        offline.bytes[0] += setting.sent(*layer).iter().sum::<usize>() as u64;
        offline.bytes[1] += setting.returned(*layer).iter().sum::<usize>() as u64;
        let products = products(&work.program, work.program.linear[*layer]);
        online.amounts = online.amounts.with(Unit::PlainProduct, products);
    }
    Ok(Layer::new(name).with(Phase::Offline, offline).with(Phase::Online, online))
}

/// Products of a linear layer: terms of each sum, padding included.
fn products(program: &Program, id: NodeId) -> u64 {
    let node = &program.graph.nodes[id];
    let terms = match &node.op {
        Op::Conv { groups, window, .. } => {
            let channels = program.graph.nodes[node.inputs[0]].shape.get(1).copied().unwrap_or(1);
            channels / (*groups).max(1) * window.kernel[0] * window.kernel[1]
        }
        _ => program.graph.nodes[node.inputs[0]].shape.last().copied().unwrap_or(1),
    };
    program.elements(id) as u64 * terms as u64
}

fn circuit_layer(work: &Work<'_>, number: usize, first: u64, name: &str) -> Layer {
    let (program, survey) = (&work.program, &work.found.surveys[number]);
    let price = stage_price(work, number);
    let quadratics = Quadratic::of(program, number);
    let crossed: usize =
        quadratics.iter().map(|of| transfers_of(&of.bit_jobs()) + transfers_of(&of.jobs())).sum();
    let rows = survey.rows as u64;
    let amounts = Amounts::default()
        .with(Unit::GarbledRow, rows)
        .with(Unit::FirstGarbledRow, first)
        .with(Unit::CrossedTransfer, crossed as u64)
        .with(Unit::Transfer, work.transfers(number) as u64)
        .with(Unit::PreparedStage, 1);
    let offline = Step { amounts, bytes: price.offline_bytes, flights: 0 };
    let opened: usize = work.opened(number).iter().map(|node| program.elements(*node)).sum();
    let amounts = Amounts::default()
        .with(Unit::EvaluatedRow, rows)
        .with(Unit::FirstEvaluatedRow, first)
        .with(Unit::LateBit, survey.late as u64)
        .with(Unit::CrossedElement, price.products)
        .with(Unit::OpenedElement, opened as u64)
        .with(Unit::OnlineStage, 1);
    let online = Step { amounts, bytes: price.online_bytes, flights: STAGE_FLIGHTS };
    let layer = Layer::new(name).with(Phase::Offline, offline).with(Phase::Online, online);
    Layer { stored: stored(work, number), ..layer }
}

/// Bytes that the client and the server store of a stage: the one that evaluates its circuit does.
fn stored(work: &Work<'_>, number: usize) -> [u64; 2] {
    let bytes = Material::bytes(work, number) as u64;
    match work.garbler {
        Garbler::Server => [bytes, 0],
        Garbler::Client => [0, bytes],
    }
}
