//! Stored bundles: any bytes give a bundle or an error, and a bundle has one encoding.
#![no_main]

mod common;

use common::graph;
use libfuzzer_sys::fuzz_target;
use protocol::Reveal;
use protocol::handshake::ModelId;
use protocol::interactive::ahead::Work;
use protocol::interactive::ahead::bundle::{ClientBundle, ServerBundle};
use protocol::interactive::{Garbler, Method, Plan};

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
