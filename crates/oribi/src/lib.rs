//! Private neural-network inference: server, client, TLS transport, input files.

pub mod identity;
pub mod input;
pub mod tls;
pub mod trust;

/// The vector kernels in use: this machine's best, or those that the environment asks for.
pub fn vector_tier() -> &'static str {
    kernel::tier::Tier::current().name()
}
