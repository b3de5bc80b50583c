//! TLS 1.3 over TCP, as the two independent halves that a session wants.
//!
//! AES-128-GCM comes first: it is the fastest suite on machines with AES instructions, and as strong as the rest of
//! the protocols. Sessions are not resumed: a resumed session would show no certificate to compare.

mod binding;
mod duplex;
mod hybrid;
#[cfg(test)]
mod tests;

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use protocol::channel::{Transport, tcp_halves};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::crypto::ring::{cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::UnbufferedServerConnection;
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};

use crate::identity::{Fingerprint, Identity};

use binding::Binding;
use duplex::{Connection, handshake};

/// The suites, the fastest first; the key exchanges, the post-quantum one first.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites = vec![
        cipher_suite::TLS13_AES_128_GCM_SHA256,
        cipher_suite::TLS13_AES_256_GCM_SHA384,
        cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    provider.kx_groups = vec![&hybrid::X25519MlKem768, kx_group::X25519];
    Arc::new(provider)
}

/// What a server with this identity says in TLS.
///
/// # Errors
/// The certificate and the key do not belong together, or are of a kind that is not supported.
pub fn server_config(identity: &Identity) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(identity.certificates.clone(), identity.key.clone_key())?;
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// What a client says in TLS. Any certificate whose key the server holds will do: who the server is, is decided by
/// its fingerprint, after the handshake and before anything is sent.
///
/// # Errors
/// Those of the TLS library.
pub fn client_config() -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = provider();
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Possession { provider }))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Accepts TLS on a connection.
///
/// # Errors
/// The peer does not speak TLS 1.3, or `deadline` passed.
pub fn accept(stream: TcpStream, config: &Arc<ServerConfig>, deadline: Instant) -> io::Result<Transport> {
    let binding = Arc::new(Binding::default());
    let mut config = config.as_ref().clone();
    config.key_log = binding.clone();
    let connection = UnbufferedServerConnection::new(Arc::new(config)).map_err(io::Error::other)?;
    let (source, sink) = tcp_halves(stream)?;
    let (transport, _) = handshake(Connection::Server(connection), source, sink, deadline)?;
    Ok(transport.bound(binding.take()?))
}

/// Speaks TLS to a server; gives the fingerprint of its certificate, which the caller must check.
///
/// # Errors
/// The peer does not speak TLS 1.3 or does not hold its certificate's key, or `deadline` passed.
pub fn connect(
    stream: TcpStream,
    name: ServerName<'static>,
    config: &Arc<ClientConfig>,
    deadline: Instant,
) -> io::Result<(Transport, Fingerprint)> {
    let binding = Arc::new(Binding::default());
    let mut config = config.as_ref().clone();
    config.key_log = binding.clone();
    let connection = UnbufferedClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let (source, sink) = tcp_halves(stream)?;
    let (transport, certificate) = handshake(Connection::Client(connection), source, sink, deadline)?;
    let certificate = certificate.ok_or_else(|| io::Error::other("the server showed no certificate"))?;
    Ok((transport.bound(binding.take()?), Fingerprint::of(&certificate)))
}

/// Accepts any certificate, but only from whoever holds its key.
#[derive(Debug)]
struct Possession {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Possession {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken here".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
