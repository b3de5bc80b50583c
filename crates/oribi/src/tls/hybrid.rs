//! The key exchange X25519MLKEM768 of TLS 1.3 (draft-ietf-tls-ecdhe-mlkem): traffic recorded today stays closed to a
//! quantum computer unless ML-KEM-768 and X25519 are both broken.
//!
//! A share is ML-KEM's part, then X25519's, and so is the secret. X25519 is the TLS library's.

use kernel::prg::Prg;
use kernel::seed::Seed;
use ml_kem::ml_kem_768::{DecapsulationKey, EncapsulationKey};
use ml_kem::{B32, Decapsulate, KeyExport};
use rustls::crypto::ring::kx_group::X25519;
use rustls::crypto::{
    ActiveKeyExchange, CompletedKeyExchange, GetRandomFailed, SharedSecret, SupportedKxGroup,
};
use rustls::{Error, NamedGroup, PeerMisbehaved};
use zeroize::Zeroize;

/// Bytes of an encapsulation key: the client's share begins with one.
const KEY: usize = 1184;
/// Bytes of a ciphertext: the server's share begins with one.
const CIPHERTEXT: usize = 1088;

/// The group, to be put before [`X25519`].
#[derive(Debug)]
pub struct X25519MlKem768;

impl SupportedKxGroup for X25519MlKem768 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let classical = X25519.start()?;
        let mut seed = ml_kem::Seed::default();
        randomness()?.fill_bytes(&mut seed);
        let key = DecapsulationKey::from_seed(seed);
        seed.zeroize();
        let mut share = key.encapsulation_key().to_bytes().to_vec();
        share.extend_from_slice(classical.pub_key());
        Ok(Box::new(Started { key, classical, share }))
    }

    fn start_and_complete(&self, peer: &[u8]) -> Result<CompletedKeyExchange, Error> {
        let (key, point) = peer.split_first_chunk::<KEY>().ok_or(INVALID)?;
        let key = EncapsulationKey::new(key.into()).map_err(|_| INVALID)?;
        let mut message = B32::default();
        randomness()?.fill_bytes(&mut message);
        let (ciphertext, mut secret) = key.encapsulate_deterministic(&message);
        message.zeroize();
        let classical = X25519.start_and_complete(point)?;
        let mut pub_key = ciphertext.to_vec();
        pub_key.extend_from_slice(&classical.pub_key);
        let joined = join(&secret, &classical.secret);
        secret.zeroize();
        Ok(CompletedKeyExchange { group: self.name(), pub_key, secret: joined })
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }

    fn ffdhe_group(&self) -> Option<rustls::ffdhe_groups::FfdheGroup<'static>> {
        None
    }
}

const INVALID: Error = Error::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare);

/// A client's exchange before the server's share has come. The keys erase themselves.
struct Started {
    key: DecapsulationKey,
    classical: Box<dyn ActiveKeyExchange>,
    share: Vec<u8>,
}

impl ActiveKeyExchange for Started {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let (ciphertext, point) = peer.split_first_chunk::<CIPHERTEXT>().ok_or(INVALID)?;
        let classical = self.classical.complete(point)?;
        let mut secret = self.key.decapsulate(&(*ciphertext).into());
        let joined = join(&secret, &classical);
        secret.zeroize();
        Ok(joined)
    }

    fn pub_key(&self) -> &[u8] {
        &self.share
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }
}

fn join(post_quantum: &[u8], classical: &SharedSecret) -> SharedSecret {
    SharedSecret::from([post_quantum, classical.secret_bytes()].concat())
}

fn randomness() -> Result<Prg, Error> {
    Ok(Prg::new(&Seed::from_os().map_err(|_| GetRandomFailed)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_get_the_same_secret_of_both_parts() {
        let client = X25519MlKem768.start().unwrap();
        assert_eq!(client.pub_key().len(), KEY + 32);
        let server = X25519MlKem768.start_and_complete(client.pub_key()).unwrap();
        assert_eq!(server.pub_key.len(), CIPHERTEXT + 32);
        assert_eq!(server.group, client.group());
        let secret = client.complete(&server.pub_key).unwrap();
        assert_eq!(secret.secret_bytes(), server.secret.secret_bytes());
        assert_eq!(secret.secret_bytes().len(), 64);
    }

    #[test]
    fn shares_of_another_length_or_content_are_refused() {
        for length in [0, 32, KEY, KEY + 31, KEY + 33] {
            assert!(X25519MlKem768.start_and_complete(&vec![1; length]).is_err(), "{length}");
        }
        // Coefficients that are not reduced.
        assert!(X25519MlKem768.start_and_complete(&[0xff; KEY + 32]).is_err());
        for length in [0, CIPHERTEXT, CIPHERTEXT + 31, CIPHERTEXT + 33] {
            assert!(X25519MlKem768.start().unwrap().complete(&vec![1; length]).is_err(), "{length}");
        }
    }
}
