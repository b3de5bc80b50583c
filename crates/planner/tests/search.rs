//! Pruning and the search for activations, at a small size.

#![allow(clippy::unwrap_used)]

mod common;

use common::{bars, bars_network};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use model::graph::Layer;
use model::quantise::{Options, quantise};
use model::ranges::Ranges;
use planner::kept::Kept;
use planner::measure::integer_accuracy;
use planner::optimise::Optimiser;
use planner::prune::{Mask, Pruning, masks, products, prune};
use planner::search::report::{MeasuredOn, Row, Table};
use planner::search::{Candidate, Search, Watcher, activations};
use planner::train::{Observer, Progress, Round, Settings, Silent, train};
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
        prune(&mut network, &data, &pruning, None, &mut Silent).unwrap();
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
        alone: false,
    }
}

#[test]
fn a_search_finds_quadratic_networks_whatever_the_number_of_threads() {
    let (graph, data, test) = (bars_network(), bars(800, 1), bars(400, 2));
    let found = search(0.85, 2).run(&graph, &data, None, &()).unwrap();
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
    let again = search(0.85, 1).run(&graph, &data, None, &()).unwrap();
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
    let error = search.run(&bars_network(), &bars(200, 1), None, &()).unwrap_err();
    assert!(matches!(error, Error::Unreached { wanted: 1.0, .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("the best reached 0.") && text.contains("layers quadratic"), "{text}");
    search.alone = true;
    let found = search.run(&bars_network(), &bars(200, 1), None, &()).unwrap();
    assert_eq!(found.iter().map(|candidate| candidate.count).collect::<Vec<_>>(), [0]);
    search.min_accuracy = 98.7;
    assert!(search.run(&bars_network(), &bars(200, 1), None, &()).unwrap_err().to_string().contains("0.987"));
}

#[test]
fn a_table_and_its_picture() {
    let row = |file: &str, cost, integer_accuracy| Row {
        file: file.into(),
        quadratic_layers: vec!["a".into()],
        quadratic_elements: 3,
        elements: 4,
        products: 1.0,
        validation_accuracy: 0.9,
        integer_accuracy,
        score: 1.575,
        cost,
        online_seconds: cost.map(|cost: f64| cost / 10.0),
    };
    let rows =
        vec![row("relu6.onnx", Some(20.0), 0.99), row("a<b.onnx", Some(5.0), 0.9), row("c", None, 0.9)];
    let table = Table { cost: "MB", integers_on: MeasuredOn::Validation, rows };
    let svg = table.svg(table.cost, |row| row.cost);
    let seconds = table.svg("seconds online", |row| row.online_seconds);
    assert!(seconds.contains(">seconds online<") && seconds.matches("<circle").count() == 2);
    assert_eq!(svg.matches("<circle").count(), 2);
    assert!(svg.contains(">accuracy in integers, on held-out data<"));
    assert!(svg.contains("a&lt;b.onnx") && svg.ends_with("</svg>\n"));
    assert!(table.lines()[1].contains("75.00 %") && table.lines()[1].contains("99.00 %"));
    assert!(table.lines().last().is_some_and(|line| line.contains("integers: on held-out data")));
}

/// Counts trained members, and stops after some.
struct Stopping {
    trained: AtomicUsize,
    after: usize,
    /// Steps that are to be made, and those that were.
    steps: [AtomicU64; 2],
}

impl Stopping {
    fn after(after: usize) -> Self {
        Self { trained: AtomicUsize::new(0), after, steps: Default::default() }
    }

    fn steps(self) -> [u64; 2] {
        self.steps.map(AtomicU64::into_inner)
    }
}

impl Watcher for Stopping {
    fn begins(&self, steps: u64) {
        self.steps[0].fetch_add(steps, Ordering::Relaxed);
    }

    fn stepped(&self, steps: u64) -> bool {
        self.steps[1].fetch_add(steps, Ordering::Relaxed);
        true
    }

    fn skipped(&self, steps: u64) {
        self.steps[1].fetch_add(steps, Ordering::Relaxed);
    }

    fn trained(&self, _what: &str, _accuracy: f64) -> bool {
        self.trained.fetch_add(1, Ordering::Relaxed) + 1 < self.after
    }
}

fn files(found: &[Candidate]) -> Vec<Vec<u8>> {
    found.iter().map(|candidate| model::onnx::to_bytes(&candidate.graph).unwrap()).collect()
}

#[test]
fn an_interrupted_search_goes_on_to_the_same_networks() {
    let (graph, data) = (bars_network(), bars(200, 1));
    let search = Search { first_epochs: 2, settings: Settings { epochs: 1, ..settings() }, ..search(0.2, 2) };
    let whole = Stopping::after(usize::MAX);
    let found = search.run(&graph, &data, None, &whole).unwrap();
    let all = whole.trained.load(Ordering::Relaxed);
    let [steps, made] = whole.steps();
    assert!(steps == made && steps > 0, "{made} of {steps} steps");
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("search");
    let open = |search: &Search, data: &_| Kept::open(&place, search.digest(&graph, data).unwrap());
    let (mut sum, mut runs) = (0, 0);
    // Interrupted again and again, after the network of ReLU6, amid a step, and between counts.
    let again = loop {
        let kept = open(&search, &data).unwrap();
        let watch = Stopping::after([1, 3, 4, usize::MAX][runs]);
        runs += 1;
        let result = search.run(&graph, &data, Some(&kept), &watch);
        sum += watch.trained.load(Ordering::Relaxed);
        if let Ok(found) = result {
            assert_eq!(watch.steps(), [steps; 2], "those of earlier runs count");
            break found;
        }
    };
    assert!(runs == 4 && sum == all, "{runs} runs trained {sum} of {all}");
    assert_eq!(files(&found), files(&again));
    // What is kept serves another number of threads and another accuracy, but no other data or settings.
    let looser = Search { min_accuracy: 0.1, workers: 1, ..search.clone() };
    assert!(open(&looser, &data).is_ok());
    let refused = |search: &Search, data: &_| open(search, data).unwrap_err().to_string();
    assert!(refused(&search, &bars(200, 2)).contains("other settings, data"));
    let other = Search { population: 3, ..search.clone() };
    assert!(refused(&other, &data).contains("remove the folder"));
    // Damage is named; without the damaged file the search goes on.
    let kept = open(&search, &data).unwrap();
    let path = kept.path("count-1");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let text = search.run(&graph, &data, Some(&kept), &()).unwrap_err().to_string();
    assert!(text.contains("count-1.part") && text.contains("damaged; remove it"), "{text}");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(files(&search.run(&graph, &data, Some(&kept), &()).unwrap()), files(&found));
    kept.remove();
    assert!(!place.exists());
}

/// Stops in an epoch of a round, and counts epochs.
struct StoppingIn {
    round: usize,
    stop: (usize, usize),
    epochs: usize,
}

impl Observer for StoppingIn {
    fn round(&mut self, round: Round) {
        self.round = round.round;
    }

    fn step(&mut self, progress: Progress) -> bool {
        (self.round, progress.epoch) != self.stop
    }

    fn epoch(&mut self, _: &Network, _: &planner::train::State) -> Result<(), Error> {
        self.epochs += 1;
        Ok(())
    }
}

#[test]
fn an_interrupted_pruning_goes_on_bit_by_bit() {
    let data = bars(200, 1);
    let settings = Settings { epochs: 8, ..settings() };
    let pruning = Pruning { keep: 0.25, mask: Mask::Free, rounds: 3, settings };
    let mut whole = trained();
    let masks = prune(&mut whole, &data, &pruning, None, &mut Silent).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut epochs = 0;
    for stop in [(2, 0), (3, 2), (9, 9)] {
        let mut network = trained();
        let digest = pruning.digest(&network, &data).unwrap();
        let kept = Kept::open(folder.path(), digest).unwrap();
        let mut observer = StoppingIn { round: 0, stop, epochs: 0 };
        let result = prune(&mut network, &data, &pruning, Some(&kept), &mut observer);
        epochs += observer.epochs;
        match result {
            Err(Error::Stopped) => assert_ne!(stop, (9, 9)),
            other => {
                assert!(other.unwrap() == masks && stop == (9, 9));
                assert_eq!(network.weights().unwrap(), whole.weights().unwrap());
            }
        }
    }
    assert_eq!(epochs, 8);
    let mut network = trained();
    let other = Pruning { mask: Mask::Block(2), ..pruning };
    let text = Kept::open(folder.path(), other.digest(&network, &data).unwrap()).unwrap_err().to_string();
    assert!(text.contains("remove the folder"), "{text}");
    // A file of another pruning, put into the folder of this one.
    let digest = other.digest(&network, &data).unwrap();
    let kept = Kept::open(&folder.path().join("other"), digest).unwrap();
    std::fs::copy(folder.path().join("round-1.part"), kept.path("round-1")).unwrap();
    let text = prune(&mut network, &data, &other, Some(&kept), &mut Silent).unwrap_err().to_string();
    assert!(text.contains("round-1.part") && text.contains("other settings"), "{text}");
}
