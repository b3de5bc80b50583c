//! Peers that leave or lie: an error, and nobody waits or panics.

use std::time::Duration;

use super::super::super::faulty::{Fault, faulty};
use super::*;

/// Two stages: a square, a ReLU, and layers around them.
fn small() -> Network {
    let mut builder = Builder::new(71);
    let x = builder.input(&[1, 6]);
    let y = builder.dense(x, 5);
    let z = builder.same(Op::Product { shift: 8 }, &[y, y]);
    let y = builder.dense(z, 4);
    let y = builder.same(Op::Relu, &[y]);
    let y = builder.dense(y, 3);
    builder.finish(y)
}

/// A prediction in which what one side receives goes wrong from a byte on: whether client and server succeeded.
fn disturbed(
    (graph, params, input): &Network,
    plan: &Plan,
    at_client: bool,
    fault: (usize, Fault),
) -> [bool; 2] {
    let (near, far) = crate::memory::pair();
    let (near, far) = if at_client { (faulty(near, fault), far) } else { (near, faulty(far, fault)) };
    let limits =
        Limits { wait: Duration::from_secs(10), frame: Duration::from_secs(10), ..Limits::default() };
    let (mut near, mut far) = (Session::new(near, limits), Session::new(far, limits));
    thread::scope(|scope| {
        let serving = scope.spawn(move || {
            let weights = server::Weights::encode(graph, plan, params, 0).expect("a valid plan");
            let (weights, seed) = ((params, &weights), Seed::from_bytes([1; 32]));
            let served = server::prepare_and_predict((graph, plan), weights, Reveal::Scores, &mut far, &seed);
            if let Err(error) = &served {
                far.give_up(&error.to_string());
            }
            served.is_ok()
        });
        let seed = Seed::from_bytes([2; 32]);
        let result =
            client::prepare_and_predict((graph, plan), &[input], Reveal::Scores, &mut near, &seed, &());
        if let Err(error) = &result {
            near.give_up(&error.to_string());
        }
        drop(near);
        [result.is_ok(), serving.join().expect("no panic")]
    })
}

#[test]
fn peers_that_vanish_or_lie_at_any_frame() {
    let network = small();
    for garbler in GARBLERS {
        let plan = plan_of(&network.0, garbler);
        let frames = run(&network, garbler, Reveal::Scores, 8).frames;
        for at_client in [true, false] {
            let side = usize::from(!at_client);
            let direction = if at_client { Direction::Received } else { Direction::Sent };
            // The server is told first how many inputs there are.
            let mut start = if at_client { 0 } else { crate::frame::HEADER_BYTES + 4 };
            let frames = frames.iter().filter(|frame| frame.direction == direction);
            for (index, frame) in frames.enumerate() {
                let length = crate::frame::HEADER_BYTES + frame.length as usize;
                // Before a frame, or in its midst.
                let at = start + if index % 2 == 0 { 0 } else { length / 2 };
                let ended = disturbed(&network, &plan, at_client, (at, Fault::Cut));
                assert!(!ended[side], "{garbler:?}: cut at {at}");
                // Another tag is refused; another number may give another result. It ends in any case.
                let ended = disturbed(&network, &plan, at_client, (start, Fault::Flip));
                assert!(!ended[side], "{garbler:?}: changed at {start}");
                let _ = disturbed(&network, &plan, at_client, (start + length - 1, Fault::Flip));
                start += length;
            }
            assert!(start > 5_000, "{start}");
        }
    }
}
