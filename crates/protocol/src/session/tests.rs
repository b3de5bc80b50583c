//! Sessions joined in memory, honest and not.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::frame::{Header, Length, Tag};
use crate::memory;

const SMALL: Tag = Tag::new(16, "a small frame");
const LARGE: Tag = Tag::new(17, "a large frame");

/// A session whose peer is the bytes themselves.
fn raw_peer() -> (Session, Transport) {
    let (near, far) = memory::pair();
    let limits =
        Limits { wait: Duration::from_millis(200), frame: Duration::from_millis(200), rate: 1 << 30 };
    (Session::new(near, limits), far)
}

fn frame(tag: u16, length: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Header { tag, depth: 0, length }.encode().to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

#[test]
fn frames_of_all_sizes_cross_both_ways_at_once() {
    let (mut a, mut b) = Session::pair();
    let sizes = [0, 1, 7, 8, 1 << 14, (1 << 14) + 1, (1 << 16) - 8, 1 << 16, 3 << 20];
    let talk = move |session: &mut Session| {
        let Session { outbox, inbox, .. } = session;
        thread::scope(|scope| {
            scope.spawn(move || {
                for (i, size) in sizes.into_iter().enumerate() {
                    let payload = vec![i as u8; size];
                    outbox.send(if i % 2 == 0 { SMALL } else { LARGE }, &payload).unwrap();
                }
                outbox.flush().unwrap();
            });
            for (i, size) in sizes.into_iter().enumerate() {
                let tag = if i % 2 == 0 { SMALL } else { LARGE };
                let mut payload = vec![0xff; size];
                if i % 3 == 0 {
                    inbox.recv_into(tag, &mut payload).unwrap();
                } else {
                    payload = inbox.recv(tag, Length::AtMost(4 << 20)).unwrap();
                }
                assert!(payload.len() == size && payload.iter().all(|&byte| byte == i as u8));
            }
        });
    };
    thread::scope(|scope| {
        scope.spawn(|| talk(&mut a));
        talk(&mut b);
    });
    let total: usize = sizes.iter().map(|size| size + 8).sum();
    for session in [&a, &b] {
        let setup = session.meter.snapshot().phase(crate::meter::Phase::Setup);
        assert_eq!((setup.sent, setup.received), (total as u64, total as u64));
    }
}

#[test]
fn other_frames_than_those_due_are_named() {
    let (mut session, mut peer) = raw_peer();
    peer.sink.write_all(&frame(99, 4, b"oops")).unwrap();
    let error = session.inbox.recv(SMALL, Length::Exactly(4)).unwrap_err();
    assert_eq!(error.to_string(), "expected a frame of a small frame (tag 16), got tag 99");
    // What follows a refused frame is not read as a header.
    assert!(matches!(session.inbox.recv(SMALL, Length::Exactly(4)), Err(Error::Closed { .. })));
}

#[test]
fn lengths_are_refused_before_they_are_believed() {
    for (due, announced) in
        [(Length::Exactly(8), 9), (Length::Exactly(8), 7), (Length::AtMost(1 << 20), u32::MAX)]
    {
        let (mut session, mut peer) = raw_peer();
        peer.sink.write_all(&frame(16, announced, b"")).unwrap();
        let error = session.inbox.recv(SMALL, due).unwrap_err();
        assert!(error.to_string().contains(&announced.to_string()), "{error}");
        assert!(error.to_string().contains(&due.to_string()), "{error}");
    }
}

#[test]
fn a_peers_reason_replaces_any_frame_and_is_printable() {
    let (mut session, mut peer) = raw_peer();
    peer.sink.write_all(&frame(0, 9, b"no\x1b[2Jway")).unwrap();
    let error = session.inbox.recv_into(LARGE, &mut [0; 100]).unwrap_err();
    assert_eq!(error.to_string(), "the peer says: no [2Jway");
    let (mut session, mut peer) = raw_peer();
    peer.sink.write_all(&frame(0, 1 << 30, b"")).unwrap();
    assert!(matches!(session.inbox.recv(SMALL, Length::AtMost(9)), Err(Error::Length { .. })));
}

#[test]
fn a_reason_that_arrived_before_the_end_is_found() {
    let (mut session, mut peer) = raw_peer();
    peer.sink.write_all(&frame(16, 3, b"abc")).unwrap();
    peer.sink.write_all(&frame(0, 4, b"busy")).unwrap();
    drop(peer);
    let error = loop {
        if let Err(error) = session.outbox.send(SMALL, b"x").and_then(|()| session.outbox.flush()) {
            break error;
        }
    };
    assert!(error.is_disconnect());
    assert!(matches!(session.explain(error), Error::Peer(text) if text == "busy"));
}

#[test]
fn a_silent_peer_and_a_dripping_one_are_cut_off() {
    let (mut session, _peer) = raw_peer();
    assert!(matches!(session.inbox.recv(SMALL, Length::Exactly(4)), Err(Error::Deadline { .. })));

    let (mut session, mut peer) = raw_peer();
    let dripper = thread::spawn(move || {
        // Each byte is in time for itself; the frame is not.
        for byte in frame(16, 1 << 16, &[0; 1 << 16]) {
            if peer.sink.write_all(&[byte]).is_err() {
                return true;
            }
            thread::sleep(Duration::from_millis(5));
        }
        false
    });
    assert!(matches!(session.inbox.recv_into(SMALL, &mut [0; 1 << 16]), Err(Error::Deadline { .. })));
    drop(session);
    assert!(dripper.join().unwrap());
}

#[test]
fn a_peer_that_does_not_read_is_cut_off() {
    let (mut session, _peer) = raw_peer();
    let payload = vec![0; 1 << 20];
    let error = (0..4).find_map(|_| session.outbox.send(LARGE, &payload).err()).unwrap();
    assert!(matches!(error, Error::Deadline { .. }));
    assert!(matches!(session.outbox.flush(), Err(Error::Closed { .. })));
}

#[test]
fn a_moment_bounds_all_frames_together() {
    let (mut session, mut peer) = raw_peer();
    session.inbox.set_latest(Some(Instant::now()));
    peer.sink.write_all(&frame(16, 0, b"")).unwrap();
    session.inbox.set_latest(Some(Instant::now() + Duration::from_secs(60)));
    assert_eq!(session.inbox.recv(SMALL, Length::Exactly(0)).unwrap(), b"");
    session.inbox.set_latest(Some(Instant::now()));
    assert!(matches!(session.inbox.recv(SMALL, Length::Exactly(0)), Err(Error::Deadline { .. })));
}

#[test]
fn transcripts_note_every_frame() {
    let (mut a, mut b) = Session::pair();
    let transcript = a.record();
    a.outbox.send(SMALL, b"abc").unwrap();
    a.outbox.flush().unwrap();
    b.inbox.recv(SMALL, Length::Exactly(3)).unwrap();
    b.outbox.send(LARGE, b"").unwrap();
    b.outbox.flush().unwrap();
    a.inbox.recv(LARGE, Length::Exactly(0)).unwrap();
    assert_eq!(transcript.direction(Direction::Sent), [(16, 3)]);
    assert_eq!(transcript.direction(Direction::Received), [(17, 0)]);
    assert_eq!(transcript.entries().len(), 2);
}
