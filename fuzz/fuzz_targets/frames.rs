//! The frame decoder: whatever arrives, a reader gets what it asked for or an error, and memory stays bounded.
#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use protocol::frame::{Length, Tag};
use protocol::session::{Limits, Session};

fuzz_target!(|bytes: &[u8]| {
    let (near, mut far) = protocol::memory::pair_with_capacity(bytes.len().max(1));
    if far.sink.write_all(bytes).is_err() {
        return;
    }
    drop(far);
    let mut session = Session::new(near, Limits::default());
    for (tag, length) in [
        (Tag::HELLO, Length::AtMost(1 << 16)),
        (Tag::START, Length::Exactly(8)),
        (Tag::PLAN, Length::AtMost(1 << 20)),
        (Tag::DONE, Length::Exactly(0)),
    ] {
        match session.inbox.recv(tag, length) {
            Ok(payload) => assert!(length.allows(payload.len() as u32)),
            Err(_) => return,
        }
    }
});
