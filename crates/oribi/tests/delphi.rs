//! Delphi over TLS: a network of garbled ReLUs and quadratics, either garbler, either method of linear layers, with and without stores.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::serve_model;
use model::fixed::{FixedGraph, Op};
use model::quantise::{Options, quantise};
use model::ranges::Ranges;
use model::{Side, onnx, reference};
use oribi::client::{Delphi, Supply};
use oribi::input::{InputSpec, Pixels};
use oribi::server::{self, DelphiConfig};
use oribi::store::{self, Store};
use oribi::{ClientConfig, Connection, ServedModel, ServerConfig, Trust, Variant, Wanted};
use protocol::interactive::{Garbler, Method, Plan};
use protocol::session::Limits;
use protocol::{Phase, Reveal};

/// The network, with an input and what the reference makes of it.
struct Example {
    graph: FixedGraph,
    params: model::fixed::Params,
    input: Vec<Vec<f32>>,
    expected: Vec<i128>,
}

fn example() -> Example {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/twins/mixed.onnx");
    let graph = onnx::load(&path).unwrap();
    let ranges = Ranges::measure(&graph, &Side::default(), &[]).unwrap();
    let (graph, params) = quantise(&graph, &ranges, &Options::narrow_ring()).unwrap();
    let of = |wanted: fn(&Op) -> bool| graph.nodes.iter().filter(|node| wanted(&node.op)).count();
    assert_eq!((of(|op| *op == Op::Relu), of(|op| matches!(op, Op::Product { .. }))), (2, 2));
    let input: Vec<f32> = (0..192).map(|i| (i * 37 % 101) as f32 / 100.0).collect();
    let integers = graph.quantise_input(0, &input).unwrap();
    let expected = reference::run(&graph, &params, &[integers]).unwrap().remove(0);
    Example { graph, params, input: vec![input], expected: expected.into_iter().map(i128::from).collect() }
}

fn served(example: &Example, plan: &Plan) -> ServedModel {
    ServedModel {
        name: "mixed".into(),
        labels: Vec::new(),
        inputs: vec![InputSpec {
            name: "input".into(),
            shape: vec![1, 3, 8, 8],
            pixels: Pixels::default(),
            range: None,
        }],
        projection: None,
        variants: vec![Variant {
            protocol: "delphi".into(),
            reveals: vec![Reveal::Scores, Reveal::Label],
            graph: example.graph.clone(),
            payload: plan.payload().unwrap(),
            params: example.params.clone(),
        }],
    }
}

#[test]
fn mixed_networks_by_either_garbler_and_method() {
    let example = example();
    for (method, garbler) in [
        (Method::HeCoefficients, Garbler::Server),
        (Method::HeCoefficients, Garbler::Client),
        (Method::HeSlots, Garbler::Server),
        (Method::HeSlots, Garbler::Client),
    ] {
        let plan = Plan { garbler, ..Plan::choose(&example.graph, method).unwrap() };
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let open = |at: usize, side| {
            Arc::new(Store::open(folders[at].path(), side, store::Options::client(1 << 30)).unwrap())
        };
        let config = DelphiConfig { store: Some(open(0, store::Side::Server)), ..DelphiConfig::default() };
        let limits = Limits { wait: Duration::from_secs(60), ..common::config().limits };
        let engines: Vec<Arc<dyn server::Engine>> = vec![Arc::new(server::Delphi::new(config))];
        let server =
            serve_model(served(&example, &plan), ServerConfig { engines, limits, ..common::config() });
        let supply = Supply { store: open(1, store::Side::Client), tell: Arc::new(|_| {}) };
        for stored in [false, true] {
            let engine = if stored { Delphi::with_store(supply.clone()) } else { Delphi::default() };
            let config = ClientConfig::new(Trust::Pinned(server.fingerprint)).with_engine(Arc::new(engine));
            let wanted = Wanted { model: None, protocol: Some("delphi"), reveal: Reveal::Scores };
            let mut client = Connection::open(&server.address, config).unwrap().choose(wanted).unwrap();
            for _ in 0..2 {
                if stored {
                    client.prepare(&()).unwrap();
                }
                let prediction = client.predict(&example.input, &()).unwrap();
                let result = &prediction.integers[0];
                if method == Method::HeSlots {
                    assert_eq!(*result, example.expected, "{garbler:?}, stored: {stored}");
                } else {
                    // Truncation on shares is right to a unit; what follows makes that more.
                    let top = example.expected.iter().map(|value| value.abs()).max().unwrap();
                    let units = result.iter().zip(&example.expected).map(|(a, b)| (a - b).abs()).max();
                    assert!(units.unwrap() * 100 <= top, "{garbler:?}, stored: {stored}: {units:?} of {top}");
                }
                let offline = prediction.cost.phase(Phase::Offline);
                assert_eq!(offline.sent == 0, stored, "{garbler:?}, {method:?}");
            }
            client.close().unwrap();
        }
        server.settle();
        server.stop();
    }
}
