//! Private neural-network inference: server, client, TLS transport, input files.
//!
//! A [`server::Server`] holds models; a [`client::Connection`] finds one, and a [`client::Client`] gets predictions from it
//! that the server learns nothing about. Both reach their protocols by name, through [`client::Engine`] and
//! [`server::Engine`]; a protocol is one file in each of the two directories.

mod bundles;
pub mod client;
mod done;
pub mod error;
pub mod identity;
pub mod input;
pub mod proxy;
pub mod server;
pub mod store;
pub mod tls;
pub mod trust;
pub mod usage;

pub use client::{Client, ClientConfig, Connection, Prediction, Wanted};
pub use error::Error;
pub use identity::{Fingerprint, Identity};
pub use server::{ServedModel, Server, ServerConfig, Variant};
pub use trust::{Trust, Trusted};

/// The vector kernels in use: this machine's best, or those that the environment asks for.
pub fn vector_tier() -> &'static str {
    kernel::tier::Tier::current().name()
}

/// A pool of so many threads, 0 for one a core.
pub(crate) fn threads(count: usize) -> Result<rayon::ThreadPool, Error> {
    let failed =
        |e: rayon::ThreadPoolBuildError| Error::System { doing: "starting threads", why: e.to_string() };
    rayon::ThreadPoolBuilder::new().num_threads(count).build().map_err(failed)
}
