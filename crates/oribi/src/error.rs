//! What can go wrong for users of the library.

use std::io;

use crate::identity::IdentityError;
use crate::store::StoreError;
use crate::trust::TrustError;

/// A failure of a client or a server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address that is none.
    #[error("{address}: {why}")]
    Address {
        /// The address as given.
        address: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nobody answers there, or not with TLS 1.3.
    #[error("{address}: {doing}: {source}")]
    Connect {
        /// The address.
        address: String,
        /// What was tried.
        doing: &'static str,
        /// The system's or the TLS library's words.
        #[source]
        source: io::Error,
    },
    /// The server is not the one expected.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The server's certificate or key cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A model, protocol or output that the server does not offer, or an input that does not fit.
    #[error("{0}")]
    Choice(String),
    /// A served model that contradicts itself.
    #[error("model {name}: {why}")]
    Model {
        /// The model.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// The store of one-time material cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The session failed.
    #[error(transparent)]
    Session(#[from] protocol::Error),
    /// The system refused something: entropy, a thread.
    #[error("{doing}: {why}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// The system's words.
        why: String,
    },
}

impl Error {
    /// Whether the fault is in what the user asked for rather than in what happened.
    pub fn is_usage(&self) -> bool {
        if let Self::Store(error) = self {
            return error.is_usage();
        }
        matches!(
            self,
            Self::Address { .. } | Self::Choice(_) | Self::Trust(_) | Self::Identity(_) | Self::Model { .. }
        )
    }
}
