//! The handshake, both ways: the bytes are all that the peer ever says.
#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use protocol::handshake::{Hello, receive_choice, receive_hello};
use protocol::session::{Limits, Session};

fn hear(bytes: &[u8]) -> Option<Session> {
    let (near, mut far) = protocol::memory::pair_with_capacity(bytes.len().max(1 << 12));
    far.sink.write_all(bytes).ok()?;
    // What this side says is lost; the peer's bytes are all there is.
    std::mem::forget(far.source);
    Some(Session::new(near, Limits::default()))
}

fuzz_target!(|bytes: &[u8]| {
    if let Some(mut session) = hear(bytes) {
        let _ = receive_hello(&mut session);
    }
    if let Some(mut session) = hear(bytes) {
        let hello = Hello { server: "fuzz".into(), models: Vec::new() };
        let _ = receive_choice(&mut session, &hello);
    }
    let _ = serde_json::from_slice::<Hello>(bytes);
});
