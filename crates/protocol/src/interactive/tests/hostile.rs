//! Peers that leave, stall or lie: an error, and nobody waits or panics.

use std::time::Duration;

use super::super::faulty::{Fault, faulty, frames};
use super::super::wire;
use super::*;
use crate::session::{Direction, Limits};

/// A small network with two stages.
fn small() -> (FixedGraph, Params, Vec<Vec<i64>>) {
    let mut builder = Builder::new(17);
    let x = builder.input(&[1, 12]);
    let y = builder.dense(x, 9);
    let y = builder.same(Op::Relu, &[y]);
    let y = builder.dense(y, 4);
    builder.finish(y)
}

/// One with a product on shares.
fn squared() -> (FixedGraph, Params, Vec<Vec<i64>>) {
    let mut builder = Builder::new(19);
    let x = builder.input(&[1, 6]);
    let y = builder.dense(x, 5);
    let y = builder.same(Op::Product { shift: 0 }, &[y, y]);
    let y = builder.dense(y, 3);
    builder.finish(y)
}

/// What the client of a prediction ends with.
type Predicted = Result<Vec<Vec<i64>>, Error>;

/// A prediction in which what one side receives goes wrong from a byte on; the results of client and server.
fn disturbed(
    (graph, params, input): &(FixedGraph, Params, Vec<Vec<i64>>),
    plan: &Plan,
    at_client: bool,
    fault: (usize, Fault),
) -> (Predicted, Result<(), Error>) {
    let (near, far) = crate::memory::pair();
    let (near, far) = if at_client { (faulty(near, fault), far) } else { (near, faulty(far, fault)) };
    // Nothing that is due takes long here, but for where silence is what is tried.
    let wait = Duration::from_secs(if fault.1 == Fault::Stall { 1 } else { 10 });
    let limits = Limits { wait, frame: wait, ..Limits::default() };
    let (mut near, mut far) = (Session::new(near, limits), Session::new(far, limits));
    thread::scope(|scope| {
        let serving = scope.spawn(move || {
            let weights = Weights::default();
            let seed = Seed::from_bytes([1; 32]);
            let served = server::predict(
                (graph, plan),
                (params, &weights),
                Reveal::Scores,
                (&mut far, &mut Held::default(), &()),
                &seed,
            );
            if let Err(error) = &served {
                far.give_up(&error.to_string());
            }
            served
        });
        let seed = Seed::from_bytes([2; 32]);
        let result =
            client::predict((graph, plan), (input, &mut fresh(&seed)), Reveal::Scores, &mut near, &seed, &());
        if let Err(error) = &result {
            near.give_up(&error.to_string());
        }
        drop(near);
        (result, serving.join().expect("no panic"))
    })
}

/// Cuts the connection before and in the midst of frames, stalls it, and changes tags, lengths and payloads.
fn peers_that_fail(network: &(FixedGraph, Params, Vec<Vec<i64>>), method: Method) {
    let plan = Plan::choose(&network.0, method).expect("a plan");
    let transcript = run_plan((&network.0, &plan), &network.1, &network.2, Reveal::Scores, 8).frames;
    for at_client in [true, false] {
        let direction = if at_client { Direction::Received } else { Direction::Sent };
        let mut places = frames(&transcript, direction);
        // Of the many keys of rotations the first and the last.
        let keys: Vec<usize> =
            places.iter().filter(|p| p.0.tag == wire::ROTATION.id()).map(|p| p.1).collect();
        let midst = keys.get(1..keys.len().saturating_sub(1)).unwrap_or_default();
        places.retain(|place| !midst.contains(&place.1));
        let side = |ended: (Predicted, Result<(), Error>)| match (at_client, ended) {
            (true, (result, _)) => result.map(drop),
            (false, (_, served)) => served,
        };
        let failed = |at: usize, fault: Fault| {
            let error = side(disturbed(network, &plan, at_client, (at, fault)));
            let words = error.expect_err("an error").to_string();
            assert!(!words.contains("a thread of the"), "{method:?}, {fault:?} at {at}: {words}");
            words
        };
        for (frame, start, length) in &places {
            // Before a frame, in its header, and in its midst.
            for at in [*start, start + 5, start + length / 2] {
                failed(at, Fault::Cut);
            }
            // Another tag is refused. Another length, label or row may give another result; it ends in any case.
            let words = failed(*start, Fault::Flip);
            assert!(words.contains("tag"), "{:?}: {words}", frame.tag);
            for at in [start + 4, start + length - 1] {
                let _ = disturbed(network, &plan, at_client, (at, Fault::Flip));
            }
        }
        // Each waits out a second: side by side.
        thread::scope(|scope| {
            for (_, start, length) in &places {
                scope.spawn(move || failed(start + length / 2, Fault::Stall));
            }
        });
        let last = places.last().expect("frames");
        assert!(last.1 + last.2 > 5_000, "{last:?}");
    }
}

#[test]
fn peers_that_vanish_stall_or_lie_at_any_byte() {
    peers_that_fail(&small(), Method::HeCoefficients);
}

#[test]
fn peers_that_fail_in_products_on_shares() {
    peers_that_fail(&squared(), Method::HeCoefficients);
}

#[test]
fn peers_that_fail_in_slots() {
    peers_that_fail(&small(), Method::HeSlots);
}
