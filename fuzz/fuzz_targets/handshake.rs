//! The handshake, both ways: the bytes are all that the peer ever says.
#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use protocol::channel::Source;
use protocol::handshake::{Hello, receive_hello, receive_request};
use protocol::session::{Limits, Session};

/// A session in which the peer says `bytes` and then no more. What this side says goes to the returned half, unread.
fn hear(bytes: &[u8]) -> Option<(Session, Box<dyn Source>)> {
    let (near, mut far) = protocol::memory::pair_with_capacity(bytes.len().max(1 << 12));
    far.sink.write_all(bytes).ok()?;
    Some((Session::new(near, Limits::default()), far.source))
}

fuzz_target!(|bytes: &[u8]| {
    if let Some((mut session, _unread)) = hear(bytes) {
        let _ = receive_hello(&mut session);
    }
    if let Some((mut session, _unread)) = hear(bytes) {
        let hello = Hello { server: "fuzz".into(), models: Vec::new() };
        let _ = receive_request(&mut session, &hello);
    }
    let _ = serde_json::from_slice::<Hello>(bytes);
});
