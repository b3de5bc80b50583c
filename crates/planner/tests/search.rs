//! Pruning and the search for activations, at a small size.

#![allow(clippy::unwrap_used)]

mod common;

use common::{bars, bars_network};
use model::graph::Layer;
use model::quantise::{Options, quantise};
use model::ranges::Ranges;
use planner::measure::integer_accuracy;
use planner::optimise::Optimiser;
use planner::prune::{Mask, Pruning, masks, products, prune};
use planner::search::report::{Row, Table};
use planner::search::{Search, activations};
use planner::train::{Settings, Silent, train};
use planner::{Error, Network};

fn settings() -> Settings {
    Settings { epochs: 3, batch: 32, rate: 3e-3, seed: 5, ..Settings::default() }
}

fn trained() -> Network {
    let mut network = Network::new(&bars_network()).unwrap();
    train(&mut network, &bars(800, 1), &Settings { epochs: 6, ..settings() }, &[], None, &mut Silent)
        .unwrap();
    network
}

#[test]
fn pruned_networks_keep_their_accuracy_and_their_zeros() {
    let (data, test) = (bars(800, 1), bars(400, 2));
    let before = trained().accuracy(&test).unwrap();
    let whole = products(&bars_network());
    for (mask, keep, lost) in
        [(Mask::Free, 0.25, 0.06), (Mask::Block(2), 0.25, 0.06), (Mask::Seed(9), 0.5, 0.12)]
    {
        let mut network = trained();
        let settings = Settings { epochs: 6, ..settings() };
        let pruning = Pruning { keep, mask, rounds: 3, settings };
        prune(&mut network, &data, &pruning, &mut Silent).unwrap();
        let bytes = model::onnx::to_bytes(&network.to_graph().unwrap()).unwrap();
        let graph = model::onnx::from_bytes(&bytes, None).unwrap();
        let kept = products(&graph) as f64 / whole as f64;
        assert!((0.6 * keep..=keep).contains(&kept), "{mask:?}: {kept}");
        let ranges = Ranges::measure(&graph, &model::Side::default(), &[]).unwrap();
        let (fixed, params) = quantise(&graph, &ranges, &Options::word16()).unwrap();
        let after = integer_accuracy(&fixed, &params, &test).unwrap();
        assert!(after > before - lost, "{mask:?}: {before} {after}");
    }
}

#[test]
fn masks_of_a_seed_tell_nothing_of_the_weights() {
    let seeded = |network: &Network| masks(network, 0.3, Mask::Seed(4)).unwrap();
    assert_eq!(seeded(&trained()), seeded(&Network::new(&bars_network()).unwrap()));
    let free = |network: &Network| masks(network, 0.3, Mask::Free).unwrap();
    assert_ne!(free(&trained()), free(&Network::new(&bars_network()).unwrap()));
    assert!(masks(&trained(), 0.0, Mask::Free).is_err());
    assert!(masks(&trained(), 0.5, Mask::Block(0)).is_err());
}

fn search(min_accuracy: f64, workers: usize) -> Search {
    Search {
        settings: Settings { epochs: 2, clip: Some(2.0), exchange: 0.5, ..settings() },
        first_epochs: 4,
        population: 2,
        placements: 2,
        hyper: 2,
        workers,
        validation: 0.2,
        min_accuracy,
    }
}

#[test]
fn a_search_finds_quadratic_networks_whatever_the_number_of_threads() {
    let (graph, data, test) = (bars_network(), bars(800, 1), bars(400, 2));
    let found = search(0.85, 2).run(&graph, &data, &()).unwrap();
    assert_eq!(found.iter().map(|candidate| candidate.count).collect::<Vec<_>>(), [0, 1, 2]);
    for candidate in &found {
        let bytes = model::onnx::to_bytes(&candidate.graph).unwrap();
        let graph = model::onnx::from_bytes(&bytes, None).unwrap();
        let squares = graph.nodes.iter().filter(|node| matches!(node.layer, Layer::Product)).count();
        assert_eq!((squares, activations(&graph).len()), (candidate.count, 2 - candidate.count));
        let ranges = Ranges::measure(&graph, &model::Side::default(), &[]).unwrap();
        let (fixed, params) = quantise(&graph, &ranges, &Options::narrow_ring()).unwrap();
        let accuracy = integer_accuracy(&fixed, &params, &test).unwrap();
        assert!(accuracy > 0.85, "{}: {accuracy}", candidate.count);
        let share = candidate.elements[0] as f64 / candidate.elements[1] as f64;
        assert!((candidate.score - candidate.validation * (1.0 + share)).abs() < 1e-12);
    }
    assert_eq!(found[2].elements, [6 * 6 * 4 + 16; 2]);
    let again = search(0.85, 1).run(&graph, &data, &()).unwrap();
    for (one, two) in found.iter().zip(&again) {
        assert_eq!(one.layers, two.layers);
        let bytes = |graph: &model::Graph| model::onnx::to_bytes(graph).unwrap();
        assert_eq!(bytes(&one.graph), bytes(&two.graph));
    }
}

#[test]
fn an_accuracy_that_none_reaches_is_said_with_the_best() {
    let mut search = search(1.0, 2);
    (search.first_epochs, search.placements, search.hyper, search.settings.epochs) = (1, 1, 1, 1);
    search.settings.optimiser = Optimiser::Sgd { momentum: 0.5 };
    let error = search.run(&bars_network(), &bars(200, 1), &()).unwrap_err();
    assert!(matches!(error, Error::Unreached { wanted: 1.0, .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("the best reached 0.") && text.contains("layers quadratic"), "{text}");
    search.min_accuracy = 98.7;
    assert!(search.run(&bars_network(), &bars(200, 1), &()).unwrap_err().to_string().contains("0.987"));
}

#[test]
fn a_table_and_its_picture() {
    let row = |file: &str, cost, test_accuracy| Row {
        file: file.into(),
        quadratic_layers: vec!["a".into()],
        quadratic_elements: 3,
        elements: 4,
        validation_accuracy: 0.9,
        test_accuracy,
        score: 1.575,
        cost,
        online_seconds: cost.map(|cost: f64| cost / 10.0),
    };
    let rows = vec![
        row("relu6.onnx", Some(20.0), Some(0.99)),
        row("a<b.onnx", Some(5.0), None),
        row("c", None, None),
    ];
    let table = Table { cost: "MB", rows };
    let svg = table.svg(table.cost, |row| row.cost);
    let seconds = table.svg("seconds online", |row| row.online_seconds);
    assert!(seconds.contains(">seconds online<") && seconds.matches("<circle").count() == 2);
    assert_eq!(svg.matches("<circle").count(), 2);
    assert!(svg.contains("a&lt;b.onnx") && svg.ends_with("</svg>\n"));
    assert!(table.lines()[1].contains("75.00 %") && table.lines()[1].contains("99.00 %"));
}
