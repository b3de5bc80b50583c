//! Bundles that are read as they are used.

use std::io;
use std::thread;

use kernel::seed::Seed;
use zeroize::Zeroizing;

use super::super::bundle::{ClientBundle, ServerBundle};
use super::super::feed::Pieces;
use super::super::*;
use super::{GARBLERS, plan_of, residual};
use crate::session::Session;

/// A stored bundle that comes in pieces of many lengths.
pub struct Cut {
    bytes: Zeroizing<Vec<u8>>,
    at: usize,
    /// How many bytes can be read.
    sound: usize,
}

impl Cut {
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self { at: 0, sound: bytes.len(), bytes }
    }
}

impl Pieces for Cut {
    fn next(&mut self, piece: &mut Vec<u8>) -> io::Result<()> {
        let count = (self.at * 7 % 5000 + 1).min(self.bytes.len() - self.at);
        piece.clear();
        piece.extend_from_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        if self.at > self.sound { Err(io::Error::other("its seal is broken")) } else { Ok(()) }
    }
}

/// A bundle whose file is damaged ends the prediction where that is met, with its reason; nobody is left waiting.
#[test]
fn damage_is_an_error_wherever_it_is_met() {
    let (graph, params, input) = residual();
    for garbler in GARBLERS {
        let plan = plan_of(&graph, garbler);
        let work = Work::new((&graph, &plan), Reveal::Scores, NAMELESS).expect("stages");
        let weights = server::Weights::encode(&graph, &plan, &params, 0).expect("a valid plan");
        let (work, weights) = (&work, (&params, &weights));
        let (bytes, party) = match garbler {
            Garbler::Server => (ClientBundle::bytes(work), 1),
            Garbler::Client => (ServerBundle::bytes(work), 2),
        };
        for sound in [10, bytes / 2, bytes - 1] {
            let mut content = Zeroizing::new(vec![0; bytes]);
            content[..2].copy_from_slice(&[2, party]);
            content[2..18].copy_from_slice(&work.digest());
            let cut = move || Box::new(Cut { sound, ..Cut::new(content.clone()) });
            let again = cut.clone();
            let (mut near, mut far) = Session::pair();
            let error = thread::scope(|scope| {
                let seed = |at| Seed::from_bytes([at; 32]);
                let serving = scope.spawn(move || {
                    let made = server::Preparer::new(work, weights, &mut far)?.bundle(&mut far, seed(1))?;
                    let bundle = match garbler {
                        Garbler::Server => made,
                        Garbler::Client => ServerBundle::open(work, bytes as u64, cut())?,
                    };
                    server::predict(work, bundle, weights, &mut far)
                });
                let near = &mut near;
                let made = client::Preparer::new(work, near, &seed(2)).expect("a key");
                let made = made.bundle(near, seed(3), &()).expect("a bundle");
                if garbler == Garbler::Client {
                    assert!(client::predict(work, made, &input, near, &()).is_err());
                    return serving.join().expect("no panic").expect_err("a damaged bundle");
                }
                let opened = ClientBundle::open(work, bytes as u64, again());
                let result = opened.and_then(|bundle| client::predict(work, bundle, &input, near, &()));
                near.give_up("a damaged bundle");
                // Damage in the last tables is met when the server has done its part.
                assert!(serving.join().expect("no panic").is_err() || sound > bytes / 2);
                result.expect_err("a damaged bundle")
            });
            let error = error.to_string();
            assert!(error.contains("its seal is broken; this bundle is lost"), "{garbler:?}: {error}");
        }
    }
}
