//! Masks under the encryption in slots: shares modulo a prime.

use super::super::super::Method;
use super::super::super::wire::{
    CIPHERTEXT, COLOURS, CORRECTIONS, EXTENSION, HALVES, LABELS, MASKED, OPENED, SHIFTS, TABLES,
};
use super::super::*;
use super::{GARBLERS, Network, branches, payload_bytes, quadratics, residual, run_under};
use model::reference;

fn in_slots(graph: &FixedGraph, garbler: Garbler) -> Plan {
    Plan { garbler, ..Plan::choose(graph, Method::HeSlots).expect("a plan") }
}

fn check(network: &Network) {
    let (graph, params, input) = network;
    let expected = reference::run(graph, params, input).expect("the reference runs");
    let best = expected[0].iter().max().expect("an output");
    let position = expected[0].iter().position(|value| value == best).expect("its place");
    for garbler in GARBLERS {
        let plan = in_slots(graph, garbler);
        let of = |reveal, seed| run_under((graph, params), &plan, &[input], reveal, seed);
        assert_eq!(of(Reveal::Scores, 30).results[0], expected, "{garbler:?}");
        assert_eq!(of(Reveal::Label, 31).results[0], [[position as i64]], "{garbler:?}");
    }
}

#[test]
fn branches_join() {
    check(&branches());
}

#[test]
fn shortcuts_are_added() {
    let network = residual();
    check(&network);
    let plan = in_slots(&network.0, Garbler::Server);
    let work = Work::new((&network.0, &plan), Reveal::Scores, NAMELESS).expect("stages");
    assert!(work.exact() && work.program.modulus.bits() > work.program.ring);
    assert_eq!(work.program.stages.iter().map(|stage| stage.merged.len()).sum::<usize>(), 2);
}

/// Products are computed in circuits, and so exactly: the reference's integers, not those within a unit.
#[test]
fn quadratics_are_exact() {
    check(&quadratics());
}

#[test]
fn bytes_are_those_of_the_price() {
    for (network, garbler) in
        [residual(), quadratics()].iter().flat_map(|network| GARBLERS.map(|garbler| (network, garbler)))
    {
        let (graph, params, input) = network;
        let plan = in_slots(graph, garbler);
        let run = run_under((graph, params), &plan, &[input], Reveal::Scores, 32);
        let priced = price((graph, &plan), Reveal::Scores).expect("a price");
        let offline = [CIPHERTEXT, EXTENSION, MASKED, HALVES, SHIFTS, TABLES];
        let [mut offline, mut online] =
            [&offline[..], &[OPENED, LABELS, CORRECTIONS]].map(|tags| payload_bytes(&run.frames, tags));
        let colours = payload_bytes(&run.frames, &[COLOURS])[1];
        *if garbler == Garbler::Server { &mut offline[1] } else { &mut online[1] } += colours;
        assert_eq!((offline, online), (priced.offline_bytes, priced.online_bytes), "{garbler:?}");
    }
}

/// Numbers that are no residues, wherever they come from.
#[test]
fn numbers_above_the_modulus_are_refused() {
    let modulus = ShareModulus::odd(97).expect("a modulus");
    assert!(streams::residues(vec![0, 96], &modulus).is_ok());
    assert!(streams::residues(vec![0, 97], &modulus).is_err());
    let ring = ShareModulus::PowerOfTwo(7);
    assert!(streams::residues(vec![127], &ring).is_ok());
}
