//! Who a client is to a server's store: an Ed25519 key, and the proof for one connection that the client holds it.
//!
//! The key derives from a secret of the store and from the server's fingerprint, so that two servers cannot tell that they serve the same
//! client. What is signed contains the connection's exported keying material (RFC 5705, RFC 9266): a proof is good for its connection alone, whoever
//! sees it.

use kernel::seed::Seed;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use super::error::Fault;
use super::record::Peer;

/// A client's key for one server.
pub(super) struct ClientKey(Ed25519KeyPair);

impl ClientKey {
    /// The key for a server; `incarnation` tells it from those that this client, or a copy of it, has had for the server.
    pub(super) fn derive(secret: &Seed, server: Peer, incarnation: u64) -> Result<Self, Fault> {
        let seed = secret.child(&format!("client key for {server}"), incarnation);
        let key = Ed25519KeyPair::from_seed_unchecked(seed.as_bytes());
        key.map(Self).map_err(|e| Fault::disk("deriving the client's key", e))
    }

    /// The name by which the server knows the client.
    pub(super) fn public(&self) -> [u8; 32] {
        let mut public = [0; 32];
        public.copy_from_slice(self.0.public_key().as_ref());
        public
    }

    /// Proves possession, for one connection and one statement.
    pub(super) fn sign(&self, binding: &[u8; 32], statement: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.0.sign(&digest(binding, statement)).as_ref());
        signature
    }
}

/// Whether a statement is from whoever holds this key, and was made for this connection.
pub(super) fn is_signed(
    public: &[u8; 32],
    binding: &[u8; 32],
    statement: &[u8],
    signature: &[u8; 64],
) -> bool {
    UnparsedPublicKey::new(&ED25519, public).verify(&digest(binding, statement), signature).is_ok()
}

fn digest(binding: &[u8; 32], statement: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("oribi store: statement of a client, version 1");
    hasher.update(binding).update(statement);
    *hasher.finalize().as_bytes()
}
