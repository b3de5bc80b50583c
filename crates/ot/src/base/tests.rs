//! Both parties of each suite against each other, and hostile bytes.

use super::*;

fn seeds() -> (Seed, Seed) {
    (Seed::from_bytes([1; 32]), Seed::from_bytes([2; 32]))
}

/// Runs a suite over its wire form and holds the pads against the choices.
fn check(suite: Suite, choices: Block) {
    let (chooser_seed, responder_seed) = seeds();
    let (chooser, request) = Chooser::new(suite, choices, &chooser_seed);
    let bytes = request.encode();
    assert_eq!(bytes.len(), suite.request_len());
    let request = Request::decode(&bytes).expect("an honest request");
    let (reply, pairs) = respond(&request, &responder_seed);
    let bytes = reply.encode();
    assert_eq!(bytes.len(), suite.reply_len());
    let chosen = chooser.finish(&Reply::decode(&bytes).expect("an honest reply")).expect("the same suite");
    assert_eq!((pairs.len(), chosen.len()), (BASE_OTS, BASE_OTS));
    for (i, ([zero, one], pad)) in pairs.iter().zip(chosen.iter()).enumerate() {
        let bit = choices.0 >> i & 1 == 1;
        assert!(if bit { one } else { zero } == pad, "OT {i}");
        assert!(if bit { zero } else { one } != pad, "OT {i}");
    }
    let mut all: Vec<u128> = pairs.iter().flatten().map(|pad| pad.0).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 2 * BASE_OTS, "pads are distinct");
}

#[test]
fn the_chooser_gets_the_chosen_pads() {
    for suite in Suite::ALL {
        for choices in [0, u128::MAX, 0x0123_4567_89ab_cdef_0f1e_2d3c_4b5a_6978] {
            check(suite, Block(choices));
        }
    }
}

#[test]
fn an_edited_message_changes_the_pads() {
    let (chooser_seed, responder_seed) = seeds();
    for suite in Suite::ALL {
        let (chooser, request) = Chooser::new(suite, Block(5), &chooser_seed);
        let other = Chooser::new(suite, Block(5), &responder_seed).1;
        let (_, honest) = respond(&request, &responder_seed);
        // The keys of OT 1.. are untouched, but all pads hash the transcript.
        let (reply, pairs) = respond(&other, &responder_seed);
        assert!(honest.iter().zip(pairs.iter()).all(|(a, b)| a[0] != b[0] && a[1] != b[1]));
        let chosen = chooser.finish(&reply).expect("the same suite");
        assert!(chosen.iter().zip(pairs.iter()).all(|(pad, pair)| !pair.contains(pad)));
    }
}

#[test]
fn every_wrong_length_is_refused() {
    let (chooser_seed, responder_seed) = seeds();
    for suite in Suite::ALL {
        let (_, request) = Chooser::new(suite, Block(5), &chooser_seed);
        let reply = respond(&request, &responder_seed).0.encode();
        let request = request.encode();
        for length in (0..request.len()).step_by(request.len() / 100) {
            assert!(matches!(Request::decode(&request[..length]), Err(Error::Length { .. })), "{length}");
        }
        for length in (0..reply.len()).step_by(1 + reply.len() / 100) {
            assert!(matches!(Reply::decode(&reply[..length]), Err(Error::Length { .. })), "{length}");
        }
        let longer = |bytes: &[u8]| [bytes, &[0]].concat();
        assert!(matches!(Request::decode(&longer(&request)), Err(Error::Length { .. })));
        assert!(matches!(Reply::decode(&longer(&reply)), Err(Error::Length { .. })));
    }
}

#[test]
fn invalid_points_and_unknown_suites_are_refused() {
    let (_, request) = Chooser::new(Suite::Ristretto255, Block(5), &seeds().0);
    let good = request.encode();
    let with = |at: usize, value: [u8; 32]| {
        let mut bytes = good.clone();
        bytes[at..at + 32].copy_from_slice(&value);
        Request::decode(&bytes).err()
    };
    let last = good.len() - 32;
    assert_eq!(with(last, [0; 32]), Some(Error::Value("the identity is no public key")));
    assert_eq!(with(last, [0xff; 32]), Some(Error::Value("not a ristretto255 point")));
    let mut bytes = good.clone();
    bytes[0] = 0;
    assert_eq!(Request::decode(&bytes).err(), Some(Error::Value("unknown base OT suite")));
    assert_eq!(
        Reply::decode(&[&[1][..], &[0; 32]].concat()).err(),
        Some(Error::Value("the identity is no public key"))
    );
}

#[test]
fn a_reply_of_another_suite_is_refused() {
    let (chooser, _) = Chooser::new(Suite::Ristretto255, Block(5), &seeds().0);
    let (_, request) = Chooser::new(Suite::MlKem768, Block(5), &seeds().0);
    let (reply, _) = respond(&request, &seeds().1);
    assert_eq!(chooser.finish(&reply).err(), Some(Error::Value("the base OT reply is of another suite")));
}
