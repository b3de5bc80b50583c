//! What each layer of a pass takes.

use model::fixed::FixedGraph;
use serde::Deserialize;

use super::rows::{Kind, Shape};
use super::schedule::Schedule;
use super::{Plan, widest};
use crate::encrypted::work::session;
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
    // A plaintext modulus at a time, over the whole ring.
    let residues = |limbs: usize| (plan.plain.len() * plan.degree * limbs) as u64;
    let (schedule, sizes) = (Schedule { levels: plan.levels.clone(), limbs: plan.limbs }, plan.sizes());
    let mut layers = vec![session(&outline, Unit::BatchedResidue)?];
    let levels = schedule.walk(&shape, plan.data.len());
    for ((node, (_, elements, kind)), limbs) in graph.nodes.iter().zip(&shape.nodes).zip(levels) {
        let amounts = match kind {
            Kind::Linear { terms, .. } => {
                Amounts::default().with(Unit::BatchedTerm, terms * elements * residues(limbs))
            }
            Kind::Product { .. } => {
                // Base conversions are a small and steady part beside the transforms: the rate of these holds both.
                let transforms = sizes.product(limbs, widest(&plan.plain)).transforms;
                let rows = *elements as f64 * transforms * residues(1) as f64;
                Amounts::default().with_real(Unit::BatchedTransform, rows)
            }
            Kind::Input | Kind::Move => continue,
        };
        layers.push(Layer::new(&node.name).with(Phase::Online, Step { amounts, ..Step::default() }));
    }
    Ok((Work { layers, streamed: [false; 3] }, plan.degree))
}
