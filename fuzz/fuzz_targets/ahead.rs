//! Predictions with everything heavy before the input: whatever bytes a peer sends in the place of its own, both sides end without a panic.
#![no_main]

mod common;

use std::io::{self, Read};
use std::thread;
use std::time::{Duration, Instant};

use common::graph;
use kernel::seed::Seed;
use libfuzzer_sys::fuzz_target;
use model::fixed::Params;
use protocol::channel::{Deadline, Source, Transport};
use protocol::interactive::ahead::{client, server};
use protocol::interactive::{Garbler, Method, Plan};
use protocol::session::Limits;
use protocol::{Reveal, Session};

/// A reading half some of whose bytes are others.
struct Changed {
    inner: Box<dyn Source>,
    /// Bytes to pass over before the next change, and what is added, in pairs.
    changes: std::vec::IntoIter<(usize, u8)>,
    next: Option<(usize, u8)>,
}

impl Deadline for Changed {
    fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.inner.set_deadline(deadline);
    }
}

impl Read for Changed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let mut at = 0;
        while let Some((skip, mask)) = self.next {
            if at + skip >= count {
                self.next = Some((at + skip - count, mask));
                break;
            }
            buffer[at + skip] ^= mask;
            at += skip + 1;
            self.next = self.changes.next();
        }
        Ok(count)
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let Ok(plan) = Plan::choose(graph(), Method::HeCoefficients) else { return };
    let garbler = if first & 1 == 0 { Garbler::Server } else { Garbler::Client };
    let plan = &Plan { garbler, ..plan };
    let changes: Vec<(usize, u8)> =
        rest.chunks_exact(3).map(|c| (usize::from(c[0]) | usize::from(c[1]) << 8, c[2])).collect();
    let changed = |transport: Transport| {
        let mut changes = changes.clone().into_iter();
        let next = changes.next();
        Transport { source: Box::new(Changed { inner: transport.source, changes, next }), ..transport }
    };
    let (near, far) = protocol::memory::pair();
    let (near, far) = if first & 2 == 0 { (changed(near), far) } else { (near, changed(far)) };
    let limits = Limits { wait: Duration::from_secs(5), frame: Duration::from_secs(5), ..Limits::default() };
    let (mut near, mut far) = (Session::new(near, limits), Session::new(far, limits));
    let params = &Params { tensors: vec![] };
    thread::scope(|scope| {
        scope.spawn(move || {
            let Ok(weights) = server::Weights::encode(graph(), plan, params, 0) else { return };
            let seed = Seed::from_bytes([1; 32]);
            let _ = server::prepare_and_predict((graph(), plan), (params, &weights), Reveal::Scores, &mut far, &seed);
        });
        let (input, seed) = (vec![vec![1, -2, 3, -4]], Seed::from_bytes([2; 32]));
        let _ = client::prepare_and_predict((graph(), plan), &[&input], Reveal::Scores, &mut near, &seed, &());
        drop(near);
    });
});
