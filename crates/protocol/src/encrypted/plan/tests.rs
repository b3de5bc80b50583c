//! Plans of real networks: found, checked in the clear against the reference, run on ciphertexts.

use model::fixed::{FixedGraph, Params};
use model::quantise::{Options as Quantise, quantise};
use model::ranges::Ranges;

use super::*;

fn network(path: &str, bits: u32) -> Option<(FixedGraph, Params)> {
    let (graph, side) = model::open(std::path::Path::new(path)).ok()?;
    let ranges = Ranges::measure(&graph, &side, &[]).unwrap();
    let options = Quantise { goal: (bits > 0).then(|| f64::from(bits) / 100.0), ..Quantise::exact() };
    Some(quantise(&graph, &ranges, &options).unwrap())
}

#[test]
fn probe() {
    for name in std::env::var("PROBE").unwrap_or("cryptonets,lola_small,gazelle_a".into()).split(',') {
        let (graph, params) = network(
            &format!("/work/shared/data/models/{name}.onnx"),
            std::env::var("GOAL").map_or(0, |g| g.parse().unwrap()),
        )
        .unwrap();
        let bits = search::output_bits(&graph);
        let start = std::time::Instant::now();
        let plan = Plan::find(&graph, &Options::default()).unwrap();
        println!(
            "{name} {bits:?}: {plan} found in {:?}, payload {}",
            start.elapsed(),
            serde_json::to_string(&plan).unwrap().len()
        );
        for step in plan.summary(&graph).unwrap() {
            println!(
                "  {:12} {:28} {} level {} {:?}",
                step.name, step.kind, step.layout, step.level, step.operations
            );
        }
        let outline = plan.outline(&graph).unwrap();
        println!(
            "  {} ct up, {} keys, limbs {:?} special {:?} digit {:?} result {} memory {}",
            outline.request.ciphertexts(),
            outline.rotations.len(),
            plan.scheme.data,
            plan.scheme.special,
            plan.scheme.digit_bits,
            plan.limbs,
            outline.memory
        );
        let start = std::time::Instant::now();
        plan.validate(&graph).unwrap();
        println!("  valid {:?}", start.elapsed());
        plan.check(&graph, &params, 1, 5).unwrap();
        println!("  checked {:?}", start.elapsed());
    }
}
