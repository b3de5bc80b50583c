//! Which servers a client trusts: a fingerprint it was given, or the one it saw the first time.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::identity::Fingerprint;

/// Longest known-hosts file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// How a client knows its server.
#[derive(Clone, Debug)]
pub enum Trust {
    /// By this fingerprint and no other.
    Pinned(Fingerprint),
    /// By the fingerprint noted in this file when the address was first used.
    KnownHosts(PathBuf),
}

/// How a server came to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trusted {
    /// Its fingerprint was given.
    Pinned,
    /// Its fingerprint is the one in the file.
    Known,
    /// It was not in the file and has been added: the user should be told.
    FirstUse,
}

/// Why a server is not trusted.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Another fingerprint than the one given.
    #[error(
        "{address} shows the fingerprint {seen}, not {pinned}: it is another server, or someone is in between"
    )]
    NotPinned {
        /// The server's address.
        address: String,
        /// What it shows.
        seen: Fingerprint,
        /// What was asked for.
        pinned: Fingerprint,
    },
    /// Another fingerprint than the first time.
    #[error(
        "{address} was {known} and now shows {seen}: it has a new certificate, or someone is in between. If you know \
         why, delete line {line} of {}", file.display()
    )]
    Changed {
        /// The server's address.
        address: String,
        /// What the file says.
        known: Fingerprint,
        /// What it shows.
        seen: Fingerprint,
        /// The file.
        file: PathBuf,
        /// The line in it, from 1.
        line: usize,
    },
    /// The file cannot be used.
    #[error("{}: {why}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl Trust {
    /// The user's known-hosts file, `oribi/known_hosts` in the directory for configuration, where there is one.
    pub fn default_known_hosts() -> Option<PathBuf> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let directory = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")))?;
        Some(directory.join("oribi").join("known_hosts"))
    }

    /// Whether the server at an address may show this fingerprint. One that is new to the file is noted there.
    ///
    /// # Errors
    /// The fingerprint is another than expected, or the file cannot be used.
    pub fn check(&self, address: &str, seen: Fingerprint) -> Result<Trusted, TrustError> {
        match self {
            Self::Pinned(pinned) if *pinned == seen => Ok(Trusted::Pinned),
            Self::Pinned(pinned) => {
                Err(TrustError::NotPinned { address: address.to_owned(), seen, pinned: *pinned })
            }
            Self::KnownHosts(file) => check_file(file, address, seen),
        }
    }
}

fn check_file(file: &Path, address: &str, seen: Fingerprint) -> Result<Trusted, TrustError> {
    let fail = |why: String| TrustError::File { file: file.to_owned(), why };
    let text = read(file).map_err(|e| fail(e.to_string()))?;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (host, known) = line
            .split_once(char::is_whitespace)
            .and_then(|(host, known)| Some((host, known.parse::<Fingerprint>().ok()?)))
            .ok_or_else(|| fail(format!("line {} is not an address and a fingerprint", index + 1)))?;
        if host == address {
            return match known == seen {
                true => Ok(Trusted::Known),
                false => Err(TrustError::Changed {
                    address: address.to_owned(),
                    known,
                    seen,
                    file: file.to_owned(),
                    line: index + 1,
                }),
            };
        }
    }
    let apart = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    append(file, &format!("{apart}{address} {seen}\n")).map_err(|e| fail(e.to_string()))?;
    Ok(Trusted::FirstUse)
}

/// The file's text; a file that does not exist is empty.
fn read(file: &Path) -> io::Result<String> {
    match fs::metadata(file) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(e) => Err(e),
        Ok(metadata) if metadata.len() > MAX_FILE_BYTES => Err(io::Error::other("the file is too long")),
        Ok(_) => fs::read_to_string(file),
    }
}

/// Adds text in one write, so that lines of two clients do not mix.
fn append(file: &Path, text: &str) -> io::Result<()> {
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory)?;
    }
    OpenOptions::new().append(true).create(true).open(file)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(digit: char) -> Fingerprint {
        digit.to_string().repeat(64).parse().unwrap()
    }

    #[test]
    fn the_first_fingerprint_is_kept_and_a_change_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config/known_hosts");
        let trust = Trust::KnownHosts(file.clone());
        assert_eq!(trust.check("a:1", fingerprint('a')).unwrap(), Trusted::FirstUse);
        assert_eq!(trust.check("a:1", fingerprint('a')).unwrap(), Trusted::Known);
        assert_eq!(trust.check("a:2", fingerprint('b')).unwrap(), Trusted::FirstUse);
        let error = trust.check("a:2", fingerprint('c')).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains(&fingerprint('b').to_string()), "{error}");
        assert_eq!(trust.check("a:2", fingerprint('b')).unwrap(), Trusted::Known);
        fs::write(&file, "# mine\n\na:1 nonsense\n").unwrap();
        let error = trust.check("b:1", fingerprint('a')).unwrap_err().to_string();
        assert!(error.contains("line 3"), "{error}");
    }

    #[test]
    fn a_last_line_without_an_end_is_not_continued() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("known_hosts");
        fs::write(&file, format!("a:1 {}", fingerprint('a'))).unwrap();
        let trust = Trust::KnownHosts(file);
        assert_eq!(trust.check("b:1", fingerprint('b')).unwrap(), Trusted::FirstUse);
        assert_eq!(trust.check("a:1", fingerprint('a')).unwrap(), Trusted::Known);
        assert_eq!(trust.check("b:1", fingerprint('b')).unwrap(), Trusted::Known);
    }

    #[test]
    fn a_pinned_fingerprint_is_the_only_one() {
        let trust = Trust::Pinned(fingerprint('a'));
        assert_eq!(trust.check("a:1", fingerprint('a')).unwrap(), Trusted::Pinned);
        assert!(trust.check("a:1", fingerprint('b')).unwrap_err().to_string().contains("another server"));
    }
}
