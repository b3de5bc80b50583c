//! What only the two ends of a TLS connection know: a digest of its exporter secret.
//!
//! Whoever signs it proves a key to this peer, on this connection, and to nobody else: the secret depends on the whole
//! handshake, the server's certificate included (RFC 8446, 7.5; RFC 9266). The TLS library gives exported material to buffered
//! connections alone, but shows the secret itself to a log, which keeps nothing else here.

use std::io;
use std::sync::{Mutex, PoisonError};

use rustls::KeyLog;

/// The label under which the library shows the secret.
const EXPORTER: &str = "EXPORTER_SECRET";

/// Waits for one connection's secret.
#[derive(Debug, Default)]
pub(super) struct Binding(Mutex<Option<[u8; 32]>>);

impl KeyLog for Binding {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        if label == EXPORTER {
            let digest = blake3::derive_key("oribi channel binding, version 1", secret);
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(digest);
        }
    }

    fn will_log(&self, label: &str) -> bool {
        label == EXPORTER
    }
}

impl Binding {
    /// The binding of a connection whose handshake is over.
    pub(super) fn take(&self) -> io::Result<[u8; 32]> {
        let digest = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        digest.ok_or_else(|| io::Error::other("the TLS library gave no keying material"))
    }
}
