//! Peers that leave, or say what they should not.

use super::*;
use crate::garbled::wire::{self, Account, TableReader, TableWriter};
use garble::evaluator::TableSource;
use garble::garbler::TableSink;

#[test]
fn a_peer_that_vanishes_at_any_message_leaves_an_error() {
    let (graph, params, _) = network(1);
    for frames in 0..3 {
        let (mut near, far) = Session::pair();
        let error = thread::scope(|scope| {
            let seed = Seed::from_bytes([9; 32]);
            let (graph, params) = (&graph, &params);
            let serving = scope.spawn(move || {
                let mut far = far;
                server::predict(graph, Options::default(), params, Reveal::Scores, &mut far, &seed)
            });
            if frames > 0 {
                // A well-formed request, then silence or nonsense.
                let (_, request) =
                    ot::softspoken::SenderSetup::new(kernel::block::Block(1), &Seed::from_bytes([1; 32]));
                near.outbox.send(wire::REQUEST, &request.encode()).expect("sent");
                near.outbox.flush().expect("sent");
            }
            if frames > 1 {
                near.outbox.send(wire::TABLES, &[0; 100]).expect("sent");
                near.outbox.flush().expect("sent");
            }
            drop(near);
            serving.join().expect("no panic").expect_err("an error")
        });
        assert!(!error.to_string().is_empty());
    }
}

/// What the server makes of a client that says `words` after a well-formed request.
fn served(first_layer: FirstLayer, words: impl FnOnce(&mut Session)) -> Error {
    let options = Options { first_layer, ..Options::default() };
    let (graph, params, _) = network(1);
    let (mut near, mut far) = Session::pair();
    thread::scope(|scope| {
        let serving = scope.spawn(move || {
            server::predict(&graph, options, &params, Reveal::Scores, &mut far, &Seed::from_bytes([9; 32]))
        });
        let (_, request) =
            ot::softspoken::SenderSetup::new(kernel::block::Block(1), &Seed::from_bytes([1; 32]));
        near.outbox.send(wire::REQUEST, &request.encode()).expect("sent");
        near.outbox.flush().expect("sent");
        near.inbox.recv(wire::REPLY, crate::frame::Length::AtMost(1 << 20)).expect("the reply");
        words(&mut near);
        // From here on the server cannot send its transfers either: that must not hide the reason.
        drop(near);
        serving.join().expect("no panic").expect_err("an error")
    })
}

#[test]
fn a_client_that_gives_up_is_heard() {
    for first_layer in FORMS {
        let error = served(first_layer, |session| session.give_up("no more memory"));
        assert!(matches!(&error, Error::Peer(reason) if reason == "no more memory"), "{error}");
    }
}

#[test]
fn an_empty_frame_of_tables_is_refused() {
    let error = served(FirstLayer::Garbled, |session| {
        session.outbox.send(wire::START, &[0; 32]).expect("sent");
        session.outbox.send(wire::TABLES, &[]).expect("sent");
        session.outbox.flush().expect("sent");
    });
    assert!(matches!(error, Error::Malformed { .. }), "{error}");
}

#[test]
fn corrections_of_another_length_are_refused() {
    let error = served(FirstLayer::Ot, |session| {
        session.outbox.send(wire::PRODUCTS, &[0; 1000]).expect("sent");
        session.outbox.flush().expect("sent");
    });
    assert!(matches!(error, Error::Length { .. }), "{error}");
}

#[test]
fn masked_sums_of_another_length_are_refused() {
    let (graph, _, input) = network(1);
    let (mut near, mut far) = Session::pair();
    let error = thread::scope(|scope| {
        let predicting = scope.spawn(|| {
            let seed = Seed::from_bytes([9; 32]);
            client::predict(&graph, Options::default(), &input, Reveal::Scores, &mut near, &seed, &())
        });
        let exactly = |suite| crate::frame::Length::Exactly(ot::softspoken::SetupRequest::encoded_len(suite));
        let request =
            far.inbox.recv(wire::REQUEST, exactly(ot::base::Suite::Ristretto255)).expect("a request");
        let request = ot::softspoken::SetupRequest::decode(&request).expect("honest");
        let (mut receiver, reply) =
            ot::softspoken::ReceiverSetup::respond(&request, &Seed::from_bytes([8; 32]));
        far.outbox.send(wire::REPLY, &reply.encode()).expect("sent");
        // 90 x 100 weights of 8 bits, in two chunks.
        for count in [65_536, 72_000 - 65_536] {
            let (message, _) = receiver.extend(&vec![0; count / 8], count).expect("few enough");
            far.outbox.send(wire::EXTENSION, &message.encode()).expect("sent");
        }
        far.outbox.send(wire::SHARES, &[0; 7]).expect("sent");
        far.outbox.flush().expect("sent");
        predicting.join().expect("no panic").expect_err("an error")
    });
    assert!(matches!(error, Error::Length { .. }), "{error}");
}

#[test]
fn another_width_of_transfers_is_refused() {
    let (graph, params, _) = network(1);
    let (mut near, mut far) = Session::pair();
    let width = ot::softspoken::Width::new(8).expect("a width");
    let (_, request) = ot::softspoken::SenderSetup::with(
        ot::base::Suite::Ristretto255,
        width,
        kernel::block::Block(1),
        &Seed::from_bytes([1; 32]),
    );
    near.outbox.send(wire::REQUEST, &request.encode()).expect("sent");
    near.outbox.flush().expect("sent");
    let error = server::predict(
        &graph,
        Options::default(),
        &params,
        Reveal::Scores,
        &mut far,
        &Seed::from_bytes([9; 32]),
    );
    assert!(matches!(error, Err(Error::Malformed { .. })));
}

#[test]
fn tables_in_any_frames_are_one_stream_and_spare_bytes_are_noticed() {
    let (mut near, mut far) = Session::pair();
    for rows in [1u8, 2, 4] {
        near.outbox.send(wire::TABLES, &vec![rows; 16 * usize::from(rows)]).expect("sent");
    }
    near.outbox.send(wire::TABLES, &[0; 40]).expect("sent");
    near.outbox.flush().expect("sent");
    let mut reader = TableReader::new(&mut far.inbox);
    let firsts: Vec<u8> = reader.rows(5).expect("tables").iter().map(|row| row.to_bytes()[0]).collect();
    assert_eq!(firsts, [1, 2, 2, 4, 4]);
    assert!(reader.finish().is_err());
    reader.rows(2).expect("tables");
    reader.finish().expect("all was read");
    assert!(matches!(reader.rows(2), Err(Error::Malformed { .. })), "half a row");
}

#[test]
fn tables_cross_in_frames_without_a_copy() {
    let (mut near, mut far) = Session::pair();
    let pieces: Vec<usize> = (0..200).map(|i| 1 + i * 37 % garble::labels::MOST_ROWS).collect();
    thread::scope(|scope| {
        let pieces = &pieces;
        scope.spawn(move || {
            let mut writer = TableWriter::new(&mut near.outbox, Account { progress: &(), total: 0 });
            let mut next = 0u128;
            for count in pieces {
                for row in writer.room(*count).expect("room") {
                    *row = kernel::block::Block(next);
                    next += 1;
                }
            }
            writer.flush().expect("sent");
        });
        let mut reader = TableReader::new(&mut far.inbox);
        let mut next = 0u128;
        // Asked for in other pieces than they were written.
        for count in pieces.iter().rev() {
            for row in reader.rows(*count).expect("tables") {
                assert!(row.0 == next);
                next += 1;
            }
        }
        reader.finish().expect("all was read");
    });
}
