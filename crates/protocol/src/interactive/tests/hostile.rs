//! Peers that leave, stall or lie: an error, and nobody waits or panics.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use super::*;
use crate::channel::{Deadline, Source, Transport};
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

/// What happens to the bytes on their way, from some byte on.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// They end.
    Cut,
    /// One byte is another.
    Flip,
}

/// A reading half that fails.
struct Faulty {
    inner: Box<dyn Source>,
    left: usize,
    fault: Fault,
}

impl Deadline for Faulty {
    fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.inner.set_deadline(deadline);
    }
}

impl Read for Faulty {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match self.fault {
            Fault::Cut if self.left == 0 => return Ok(0),
            Fault::Cut => buffer.len().min(self.left),
            Fault::Flip => buffer.len(),
        };
        let count = self.inner.read(&mut buffer[..count])?;
        if matches!(self.fault, Fault::Flip) && self.left < count {
            buffer[self.left] ^= 0x41;
        }
        self.left = match self.fault {
            Fault::Flip if self.left < count => usize::MAX,
            _ => self.left - count,
        };
        Ok(count)
    }
}

fn faulty(transport: Transport, (left, fault): (usize, Fault)) -> Transport {
    Transport { source: Box::new(Faulty { inner: transport.source, left, fault }), ..transport }
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
    let limits =
        Limits { wait: Duration::from_secs(10), frame: Duration::from_secs(10), ..Limits::default() };
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

#[test]
fn peers_that_vanish_or_lie_at_any_byte() {
    let network = small();
    let plan = Plan::choose(&network.0, Method::HeCoefficients).expect("a plan");
    let frames = run(&network.0, &network.1, &network.2, Reveal::Scores, 8).frames;
    for at_client in [true, false] {
        let direction = if at_client { Direction::Received } else { Direction::Sent };
        let mut start = 0;
        for frame in frames.iter().filter(|frame| frame.direction == direction) {
            let length = crate::frame::HEADER_BYTES + frame.length as usize;
            // Before a frame, in its header, and in its midst.
            for at in [start, start + 5, start + length / 2] {
                let (result, served) = disturbed(&network, &plan, at_client, (at, Fault::Cut));
                assert!(result.is_err() || !at_client, "cut at {at}");
                assert!(served.is_err() || at_client, "cut at {at}");
            }
            // Another tag is refused. Another length, label or row may give another result; it ends in any case.
            let (result, served) = disturbed(&network, &plan, at_client, (start, Fault::Flip));
            assert!(if at_client { result.is_err() } else { served.is_err() }, "changed at {start}");
            for at in [start + 4, start + length - 1] {
                let _ = disturbed(&network, &plan, at_client, (at, Fault::Flip));
            }
            start += length;
        }
        assert!(start > 10_000, "{start}");
    }
}
