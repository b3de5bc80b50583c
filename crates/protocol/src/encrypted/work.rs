//! What each step of a prediction on ciphertexts takes.

use model::fixed::FixedGraph;
use serde::Deserialize;

use super::outline::Outline;
use super::plan::Plan;
use super::{client, keys};
use crate::error::Error;
use crate::meter::Phase;
use crate::work::{Amounts, Layer, Step, Unit, Work};

/// What one input takes, by the plan of `lola` that [`super::plans::make`] made.
///
/// # Errors
/// If the plan does not fit the graph.
pub fn work(graph: &FixedGraph, payload: &serde_json::Value) -> Result<Work, Error> {
    let plan = Plan::deserialize(payload).map_err(|error| Error::malformed("plan", error.to_string()))?;
    let refused = |refusal: super::plan::Refusal| Error::Refused(refusal.to_string());
    let outline = plan.outline(graph).map_err(refused)?;
    let mut layers = vec![session(&outline, Unit::RequestResidue)?];
    layers.extend(plan.step_seconds(graph).map_err(refused)?.into_iter().map(|(name, seconds)| {
        let amounts = Amounts::default().with_real(Unit::EncryptedSecond, seconds);
        Layer::new(&name).with(Phase::Online, Step { amounts, ..Step::default() })
    }));
    layers.retain(|layer| layer.phases != Layer::default().phases);
    Ok(Work { layers, streamed: [false; 3] })
}

/// Keys, and what the client does; `request`: the unit of the request's residues.
pub(super) fn session(outline: &Outline, request: Unit) -> Result<Layer, Error> {
    let base = outline.base()?;
    let spaces = outline.parameters.len() as u64;
    let residues = |limbs: usize| (base.degree() * limbs) as u64;
    let keys = outline.rotations.iter().map(|rotation| residues(rotation.limbs * rotation.limbs));
    let relinearisation = if outline.relinearise { residues(base.limbs() * base.limbs()) } else { 0 };
    let setup = Step {
        amounts: Amounts::default()
            .with(Unit::EncryptedSession, 1)
            .with(Unit::KeyResidue, keys.sum::<u64>() + relinearisation),
        bytes: [keys::wire_bytes(outline)?, 0],
        flights: 8,
    };
    let requested = outline.request.ciphertexts() as u64 * spaces * residues(outline.fresh_limbs);
    let answered = outline.answer.ciphertexts() as u64 * spaces * residues(outline.limbs);
    let online = Step {
        amounts: Amounts::default()
            .with(request, requested)
            .with(Unit::AnswerResidue, answered)
            .with(Unit::EncryptedPrediction, 1),
        bytes: [client::request_bytes(outline), client::reply_bytes(outline)?],
        flights: 2,
    };
    Ok(Layer::new("").with(Phase::Setup, setup).with(Phase::Online, online))
}
