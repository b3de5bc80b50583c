//! What each layer of a pass takes.

use model::fixed::FixedGraph;
use serde::Deserialize;

use super::rows::{Kind, Shape};
use super::schedule::Schedule;
use super::{Plan, widest};
use crate::encrypted::{client, keys};
use crate::error::Error;
use crate::meter::Phase;
use crate::work::{Amounts, Layer, Step, Unit, Work};

/// What a pass takes, by the plan of `lola-batch` that [`super::super::plans::make`] made, and how many inputs it serves.
///
/// # Errors
/// If the plan does not fit the graph.
pub fn work(graph: &FixedGraph, payload: &serde_json::Value) -> Result<(Work, usize), Error> {
    let plan = Plan::deserialize(payload).map_err(|error| Error::malformed("plan", error.to_string()))?;
    let (shape, outline) = (Shape::of(graph)?, plan.outline(graph)?);
    let moduli = plan.plain.len() as u64;
    // A plaintext modulus at a time, over the whole ring.
    let residues = |limbs: usize| moduli * (plan.degree * limbs) as u64;
    let schedule = Schedule { levels: plan.levels.clone(), limbs: plan.limbs };
    let sizes = plan.sizes();
    let relinearisation =
        if outline.relinearise { plan.degree * plan.data.len() * plan.data.len() } else { 0 };
    let setup = Step {
        amounts: Amounts::default()
            .with(Unit::EncryptedSession, 1)
            .with(Unit::KeyResidue, relinearisation as u64),
        bytes: [keys::wire_bytes(&outline)?, 0],
        flights: 8,
    };
    let answered = outline.answer.ciphertexts() as u64 * residues(plan.limbs);
    let online = Step {
        amounts: Amounts::default().with(Unit::AnswerResidue, answered).with(Unit::EncryptedPrediction, 1),
        bytes: [client::request_bytes(&outline), client::reply_bytes(&outline)?],
        flights: 2,
    };
    let mut layers = vec![Layer::new("").with(Phase::Setup, setup).with(Phase::Online, online)];
    for ((node, (_, elements, kind)), limbs) in
        graph.nodes.iter().zip(&shape.nodes).zip(schedule.walk(&shape, plan.data.len()))
    {
        let each = elements * residues(limbs);
        let amounts = match kind {
            Kind::Input => Amounts::default().with(Unit::BatchedResidue, each),
            Kind::Linear { terms, .. } => Amounts::default().with(Unit::BatchedTerm, terms * each),
            Kind::Product { .. } => {
                let transforms = sizes.product(limbs, widest(&plan.plain)).transforms;
                let rows = *elements as f64 * transforms * residues(1) as f64;
                Amounts::default().with_real(Unit::BatchedTransform, rows)
            }
            Kind::Move => continue,
        };
        layers.push(Layer::new(&node.name).with(Phase::Online, Step { amounts, ..Step::default() }));
    }
    Ok((Work { layers, streamed: [false; 3] }, plan.degree))
}
