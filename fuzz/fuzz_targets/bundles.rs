//! Stored bundles: any bytes give a bundle or an error, and a bundle has one encoding.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use model::fixed::{FixedGraph, Format, Node, NumberFormat, Op, Output, Post};
use protocol::Reveal;
use protocol::handshake::ModelId;
use protocol::interactive::ahead::Work;
use protocol::interactive::ahead::bundle::{ClientBundle, ServerBundle};
use protocol::interactive::{Garbler, Method, Plan};

/// A square and a ReLU of four inputs.
fn graph() -> &'static FixedGraph {
    static GRAPH: OnceLock<FixedGraph> = OnceLock::new();
    GRAPH.get_or_init(|| {
        let node = |op, inputs| Node {
            name: String::new(),
            op,
            inputs,
            shape: vec![1, 4],
            format: Format { bits: 12, frac: 8 },
        };
        FixedGraph {
            number: NumberFormat::Ring { bits: 30 },
            nodes: vec![node(Op::Input, vec![]), node(Op::Product { shift: 8 }, vec![0, 0]), node(Op::Relu, vec![1])],
            params: vec![],
            inputs: vec![0],
            input_levels: vec![],
            result_bits: vec![],
            outputs: vec![Output { name: String::new(), node: 2, post: Post::None }],
        }
    })
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(plan) = Plan::choose(graph(), Method::HeCoefficients) else { return };
    // Either party keeps what is garbled.
    let garbler = if bytes.len() % 2 == 0 { Garbler::Server } else { Garbler::Client };
    let plan = Plan { garbler, ..plan };
    let Ok(work) = Work::new((graph(), &plan), Reveal::Scores, ModelId([0; 16])) else { return };
    // The digest in its place, so that what follows is reached.
    let mut bytes = bytes.to_vec();
    if let Some(digest) = bytes.get_mut(2..18) {
        digest.copy_from_slice(&work.digest());
    }
    if let Ok(bundle) = ClientBundle::decode(&work, &bytes) {
        assert_eq!(bundle.encode(&work)[..], bytes[..]);
    }
    if let Ok(bundle) = ServerBundle::decode(&work, &bytes) {
        assert_eq!(bundle.encode(&work)[..], bytes[..]);
    }
});
