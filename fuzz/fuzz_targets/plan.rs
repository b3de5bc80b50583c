//! A plan from a server: any bytes give a plan or an error, and a plan that passes validation can be walked.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::fixed::{FixedGraph, Limits};
use protocol::Reveal;
use protocol::garbled::FirstLayer;

fuzz_target!(|bytes: &[u8]| {
    let Ok(plan) = serde_json::from_slice::<FixedGraph>(bytes) else { return };
    let _ = plan.validate(&Limits::default());
    // Small ones are walked whole, as a client would before it garbles.
    let small = Limits { nodes: 20, elements: 200, total: 1000, parameters: 1000 };
    if plan.validate(&small).is_ok() {
        for first in [FirstLayer::Garbled, FirstLayer::Ot] {
            let _ = protocol::garbled::price(&plan, Reveal::Scores, first);
            let _ = protocol::garbled::price(&plan, Reveal::Label, first);
        }
    }
});
