//! Peers that lie, stop or leave.

use super::*;
use crate::frame::{Length, Tag};
use crate::message::Message;

/// The server's half against a client that the closure plays; gives the server's error.
fn against_client(play: impl FnOnce(&mut Session, &Outline, &[Vec<u8>], Digest) + Send) -> Error {
    let (service, host) = (service(), TestHost::new());
    let (mut near, mut far) = Session::pair();
    let (keys, made) = ClientKeys::new(service.outline(), seed(1)).unwrap();
    thread::scope(|scope| {
        let serving = scope.spawn(|| {
            let keys = service.receive_keys(&mut far, &host)?;
            let result = service.predict(&keys, &mut far, &host, &seed(2));
            drop(far);
            result
        });
        play(&mut near, service.outline(), &made, keys.digest());
        drop(near);
        let error = serving.join().expect("no panic").expect_err("a refusal");
        assert!(host.keys.lock().unwrap().len() <= 1);
        error
    })
}

fn send(session: &mut Session, tag: Tag, payload: &[u8]) {
    // The server may have left already.
    let _ = session.outbox.send(tag, payload).and_then(|()| session.outbox.flush());
}

fn digest(session: &mut Session, digest: Digest) {
    send(session, wire::DIGEST, &digest.to_bytes());
    session.inbox.recv(wire::STATE, Length::Exactly(1)).unwrap();
}

#[test]
fn clients_that_lie_about_keys() {
    let error = against_client(|session, _, _, _| send(session, wire::DIGEST, &[0; 31]));
    assert!(matches!(error, Error::Length { .. }), "{error}");
    let error = against_client(|session, _, _, _| send(session, wire::REQUEST, &[0; 31]));
    assert!(matches!(error, Error::Tag { .. }), "{error}");
    let error = against_client(|session, _, made, _| {
        digest(session, Digest([7; 32]));
        made.iter().for_each(|part| send(session, wire::KEY, part));
    });
    assert!(error.to_string().contains("not those of the digest"), "{error}");
    let error = against_client(|session, _, made, name| {
        digest(session, name);
        send(session, wire::KEY, &made[0][1..]);
    });
    assert!(matches!(error, Error::Length { .. }), "{error}");
    let error = against_client(|session, _, made, name| {
        digest(session, name);
        send(session, wire::KEY, &vec![0xff; made[0].len()]);
    });
    assert!(matches!(error, Error::Malformed { .. }), "{error}");
    let error = against_client(|session, _, made, name| {
        digest(session, name);
        send(session, wire::KEY, &made[0]);
    });
    assert!(error.is_disconnect(), "{error}");
}

/// Sends good keys and a request whose first ciphertext the closure changes.
fn bad_request(change: impl FnOnce(&mut Vec<u8>) + Send) -> Error {
    against_client(|session, outline, made, name| {
        digest(session, name);
        made.iter().for_each(|part| send(session, wire::KEY, part));
        session.inbox.recv(wire::KEPT, Length::Exactly(0)).unwrap();
        let length = bfv::Ciphertext::wire_bytes(&outline.parameters[0], outline.fresh_limbs, true);
        let mut bytes = vec![0; length];
        change(&mut bytes);
        for _ in 0..outline.request.ciphertexts() {
            send(session, wire::REQUEST, &bytes);
        }
    })
}

#[test]
fn clients_that_lie_about_ciphertexts() {
    let error = bad_request(|_| {});
    assert!(matches!(error, Error::Malformed { .. }), "{error}");
    let error = bad_request(|bytes| bytes.fill(0xff));
    assert!(matches!(error, Error::Malformed { .. }), "{error}");
    let error = bad_request(|bytes| bytes.push(0));
    assert!(matches!(error, Error::Length { .. }), "{error}");
    let error = bad_request(Vec::clear);
    assert!(matches!(error, Error::Length { .. }), "{error}");
}

#[test]
fn a_server_without_room_says_so() {
    let (service, mut host) = (service(), TestHost::new());
    host.full = true;
    let error = predict(&service, &host, 1, &[vec![input(1)]]).unwrap_err();
    assert!(error.is_disconnect() || error.to_string().contains("no room"), "{error}");
}

/// The client's half against a server that the closure plays after it has taken the keys.
fn against_server(play: impl FnOnce(&mut Session, &Outline) + Send) -> Error {
    let service = service();
    let (graph, _) = network();
    let outline = service.outline();
    let (mut near, mut far) = Session::pair();
    let (keys, made) = ClientKeys::new(outline, seed(1)).unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            far.inbox.recv(wire::DIGEST, Length::Exactly(32)).unwrap();
            send(&mut far, wire::STATE, &[1]);
            for set in &outline.parameters {
                let length = bfv::Ciphertext::wire_bytes(set, outline.fresh_limbs, true);
                for _ in 0..outline.request.ciphertexts() {
                    far.inbox.recv(wire::REQUEST, Length::Exactly(length)).unwrap();
                }
            }
            play(&mut far, outline);
        });
        let pool = pool();
        let client = Client { outline, graph: &graph, keys: &keys, pool: &pool };
        client.share_keys(&mut near, Some(made)).unwrap();
        client.predict(&[input(1)], &mut near, &seed(4), &()).expect_err("a refusal")
    })
}

#[test]
fn servers_that_lie() {
    let progress = |session: &mut Session, outline: &Outline| {
        (0..outline.progress).for_each(|_| send(session, wire::PROGRESS, &[]));
    };
    let length = |outline: &Outline, modulus: usize| {
        let set = &outline.parameters[modulus];
        bfv::Reply::wire_bytes(set, outline.finish(modulus).unwrap().shape, set.degree())
    };
    let error = against_server(|session, outline| {
        progress(session, outline);
        send(session, wire::PROGRESS, &[]);
    });
    assert!(matches!(error, Error::Tag { .. }), "{error}");
    let error = against_server(|session, outline| {
        progress(session, outline);
        send(session, wire::REPLY, &vec![0; length(outline, 0) + 1]);
    });
    assert!(matches!(error, Error::Length { .. }), "{error}");
    let error = against_server(|session, outline| {
        progress(session, outline);
        for modulus in 0..outline.parameters.len() {
            for _ in 0..outline.answer.ciphertexts() {
                send(session, wire::REPLY, &vec![0; length(outline, modulus)]);
            }
        }
    });
    assert!(matches!(error, Error::Malformed { .. }), "{error}");
    let error = against_server(|session, _| session.give_up("enough"));
    assert!(matches!(error, Error::Peer(_)), "{error}");
    let error = against_server(|_, _| {});
    assert!(error.is_disconnect(), "{error}");
}

/// A reply that is well-formed and of no result: it decrypts to noise, which lies beyond the output's range.
#[test]
fn a_reply_that_does_not_decrypt_is_noticed() {
    let error = against_server(|session, outline| {
        (0..outline.progress).for_each(|_| send(session, wire::PROGRESS, &[]));
        let (other, _) = ClientKeys::new(outline, seed(77)).unwrap();
        for (modulus, set) in outline.parameters.iter().enumerate() {
            let message = bfv::Encoder::new(set).slots(&[1, 2, 3]).unwrap();
            let mut randomness = bfv::Randomness::new(seed(5));
            let ciphertext =
                other.secret().encrypt_at(set, &message, outline.limbs, &mut randomness).unwrap();
            let shape = outline.finish(modulus).unwrap().shape;
            let reply = bfv::Evaluator::new(set).reply(&ciphertext, shape, None).unwrap();
            for _ in 0..outline.answer.ciphertexts() {
                send(session, wire::REPLY, &reply.to_bytes(set).unwrap());
            }
        }
    });
    assert!(error.to_string().contains("beyond the range"), "{error}");
}
