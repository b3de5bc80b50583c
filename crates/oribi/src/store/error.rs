//! What can go wrong with a store, in words that name the folder or the file.

use std::fmt::Display;
use std::path::PathBuf;

/// A store that cannot be used, or not now.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {what}", path = path.display())]
#[non_exhaustive]
pub struct StoreError {
    /// The store's folder.
    pub path: PathBuf,
    /// What is wrong.
    pub what: Fault,
}

/// Kinds of faults.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The system refused to read or write.
    #[error("{doing}: {why}")]
    Disk {
        /// What was tried.
        doing: &'static str,
        /// The system's words.
        why: String,
    },
    /// Another process has the store.
    #[error("another process uses this store; wait for it to end, or use another folder")]
    Busy,
    /// Bytes that no version of this program wrote.
    #[error("{file} is damaged ({why}); no bundle in it can be trusted: delete the folder and prepare anew")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// A store of another version of this program.
    #[error(
        "{file} has format {found}, this program reads format {expected}: delete the folder and prepare anew"
    )]
    Version {
        /// The file.
        file: String,
        /// Its format.
        found: u32,
        /// The format that this program reads.
        expected: u32,
    },
    /// A folder that was another party's.
    #[error("this is a {found}'s store, not a {expected}'s: client and server need folders of their own")]
    Side {
        /// Whose store it is.
        found: &'static str,
        /// Whose store was wanted.
        expected: &'static str,
    },
    /// No folder there, or no store in it.
    #[error("there is no store of one-time material in this folder")]
    Absent,
    /// Others may read the secrets.
    #[error("others than its owner may read {file}, which holds keys: chmod 600, or delete the folder")]
    Exposed {
        /// The file.
        file: String,
    },
    /// Another session has begun anew with the peer meanwhile.
    #[error("this store and the other side's have begun anew in another connection meanwhile: connect again")]
    Parted,
    /// A limit of this side.
    #[error("{0}")]
    Full(String),
    /// The caller's own mistake, such as a bundle that is longer than was announced.
    #[error("{0}")]
    Refused(String),
}

impl Fault {
    /// The system refused to read or write.
    pub(crate) fn disk(doing: &'static str, why: impl Display) -> Self {
        Self::Disk { doing, why: why.to_string() }
    }

    /// Bytes that no version of this program wrote.
    pub(crate) fn damaged(file: impl Into<String>, why: impl Display) -> Self {
        Self::Damaged { file: file.into(), why: why.to_string() }
    }
}

impl StoreError {
    /// What the peer is told: nothing of this side's files.
    pub(super) fn for_peer(&self) -> &'static str {
        match self.what {
            Fault::Full(_) => "there is no room for more bundles in its store",
            Fault::Busy => "its store of one-time material is in use; try again in a few seconds",
            Fault::Parted => "the two stores have begun anew in another connection meanwhile: connect again",
            Fault::Refused(_) => "its store of one-time material does not take this bundle",
            _ => "its store of one-time material cannot be used now",
        }
    }

    /// Whether the fault is in what the user asked for rather than in what happened.
    pub fn is_usage(&self) -> bool {
        matches!(
            self.what,
            Fault::Damaged { .. }
                | Fault::Version { .. }
                | Fault::Side { .. }
                | Fault::Absent
                | Fault::Exposed { .. }
        )
    }
}
