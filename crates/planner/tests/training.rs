//! Training learns, repeats itself, and goes on after an interrupt as if there had been none.

#![allow(clippy::unwrap_used)]

mod common;

use common::{bars, bars_network};
use planner::checkpoint::Checkpoint;
use planner::data::Augment;
use planner::optimise::Optimiser;
use planner::train::{Observer, Progress, Settings, Silent, State, train};
use planner::{Error, Network};

fn settings(optimiser: Optimiser) -> Settings {
    let rate = if optimiser == Optimiser::Adam { 5e-3 } else { 0.05 };
    let augment = Augment::for_shape(&[1, 1, 8, 8], 1, false);
    Settings { epochs: 4, batch: 32, optimiser, rate, augment, seed: 5, ..Settings::default() }
}

#[test]
fn both_optimisers_learn_and_repeat_themselves() {
    let (data, test) = (bars(800, 1), bars(400, 2));
    for optimiser in [Optimiser::Sgd { momentum: 0.9 }, Optimiser::Adam] {
        let mut settings = settings(optimiser);
        settings.augment = None;
        let run = || {
            let mut network = Network::new(&bars_network()).unwrap();
            train(&mut network, &data, &settings, &[], None, &mut Silent).unwrap();
            (network.accuracy(&test).unwrap(), network.weights().unwrap())
        };
        let (first, second) = (run(), run());
        assert!(first.0 > 0.9, "{optimiser:?}: {}", first.0);
        assert_eq!(first, second);
    }
}

/// Saves each epoch and stops within another.
struct Interrupted<'a> {
    checkpoint: &'a Checkpoint,
    stop_in: usize,
}

impl Observer for Interrupted<'_> {
    fn step(&mut self, progress: Progress) -> bool {
        (progress.epoch, progress.step) != (self.stop_in, 3)
    }

    fn epoch(&mut self, network: &Network, state: &State) -> Result<(), Error> {
        self.checkpoint.save(network, state)
    }
}

#[test]
fn an_interrupted_training_goes_on_bit_by_bit() {
    let data = bars(400, 1);
    let folder = tempfile::tempdir().unwrap();
    for (name, optimiser) in [("sgd", Optimiser::Sgd { momentum: 0.9 }), ("adam", Optimiser::Adam)] {
        let settings = settings(optimiser);
        let mut whole = Network::new(&bars_network()).unwrap();
        train(&mut whole, &data, &settings, &[], None, &mut Silent).unwrap();

        let mut network = Network::new(&bars_network()).unwrap();
        let checkpoint = Checkpoint::new(&folder.path().join(name), &network, &settings, &data).unwrap();
        let mut observer = Interrupted { checkpoint: &checkpoint, stop_in: 2 };
        let stopped = train(&mut network, &data, &settings, &[], None, &mut observer);
        assert!(matches!(stopped, Err(Error::Stopped)));

        let mut again = Network::new(&bars_network()).unwrap();
        let state = checkpoint.load(&mut again).unwrap();
        assert_eq!(state.as_ref().map(|state| state.epoch), Some(2));
        train(&mut again, &data, &settings, &[], state, &mut Silent).unwrap();
        assert_eq!(whole.weights().unwrap(), again.weights().unwrap(), "{name}");
    }
}

#[test]
fn a_checkpoint_of_something_else_or_damaged_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    let (settings, data) = (settings(Optimiser::Adam), bars(64, 1));
    let mut network = Network::new(&bars_network()).unwrap();
    let checkpoint = Checkpoint::new(&path, &network, &settings, &data).unwrap();
    assert!(checkpoint.load(&mut network).unwrap().is_none());
    let memory =
        planner::optimise::Memory::new(settings.optimiser, network.weights().unwrap().iter().map(Vec::len));
    checkpoint.save(&network, &State { epoch: 1, memory }).unwrap();
    assert!(checkpoint.load(&mut network).unwrap().is_some());
    let other = Checkpoint::new(&path, &network, &Settings { seed: 6, ..settings }, &data).unwrap();
    assert!(other.load(&mut network).unwrap_err().to_string().contains("other settings"));
    let settings = self::settings(Optimiser::Adam);
    let other = Checkpoint::new(&path, &network, &settings, &bars(64, 2)).unwrap();
    assert!(other.load(&mut network).unwrap_err().to_string().contains("other settings, data"));
    let mut bytes = std::fs::read(&path).unwrap();
    for at in [0, 30, bytes.len() / 2, bytes.len() - 1] {
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(checkpoint.load(&mut network).unwrap_err().to_string().contains("damaged"));
        bytes[at] ^= 1;
    }
    std::fs::write(&path, &bytes[..20]).unwrap();
    assert!(checkpoint.load(&mut network).is_err());
}

#[test]
fn settings_that_make_no_sense_and_diverging_runs_are_named() {
    let data = bars(64, 1);
    let mut network = Network::new(&bars_network()).unwrap();
    let mut error = |settings: Settings| {
        train(&mut network, &data, &settings, &[], None, &mut Silent).unwrap_err().to_string()
    };
    assert!(error(Settings { batch: 0, ..Settings::default() }).contains("at least one"));
    assert!(error(Settings { rate: -1.0, ..Settings::default() }).contains("rate"));
    let wild = Settings { rate: 900.0, optimiser: Optimiser::Sgd { momentum: 0.9 }, ..Settings::default() };
    assert!(error(wild).contains("diverged in epoch"));
}
