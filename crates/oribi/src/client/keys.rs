//! A client's keys on disk, so that a server that holds them needs them once.
//!
//! One file for each server and kind of plan: the seed of the keys, and the digest by which the server knows them, where that is not derived from the seed. Only its owner
//! can read it. Keys may serve any number of queries: each encryption draws fresh randomness, and what
//! the server sees of the keys is the same each time.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use kernel::seed::Seed;
use protocol::Error;
use protocol::encrypted::{ClientKeys, Digest, Outline, keys};
use zeroize::Zeroizing;

use crate::identity::{Fingerprint, create_directory, publish};

/// First bytes of a file, the version in the last of them.
const MAGIC: &[u8; 16] = b"oribi lola key\0\x01";

/// Separates names of files from every other use of the hash.
const CONTEXT: &str = "oribi client key file, version 1";

/// Bytes of a file: magic, seed, digest.
const FILE_BYTES: usize = 16 + 32 + 32;

/// A folder of keys.
#[derive(Clone, Debug)]
pub struct KeyFolder {
    folder: PathBuf,
}

/// A client's keys, and their wire forms where they were just made.
pub(super) type Made = (ClientKeys, Option<Vec<Vec<u8>>>);

/// Fresh keys that are kept nowhere.
pub(super) fn fresh(outline: &Outline) -> Result<Made, Error> {
    let (keys, made) = ClientKeys::new(outline, random()?)?;
    Ok((keys, Some(made)))
}

/// A fresh seed.
pub(super) fn random() -> Result<Seed, Error> {
    Seed::from_os().map_err(|e| Error::Refused(format!("this machine has no randomness: {e}")))
}

impl KeyFolder {
    /// Keys in this folder, which is made when it is first needed.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The seed of keys of a kind for a server; made on the first call.
    pub(super) fn seed(&self, kind: &str, server: Fingerprint) -> Result<Seed, Error> {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(server.to_string().as_bytes());
        hasher.update(kind.as_bytes());
        let path = self.folder.join(format!("{}.key", &hasher.finalize().to_hex()[..32]));
        let fail = |e: &dyn std::fmt::Display| Error::Refused(format!("{}: {e}", path.display()));
        if !path.exists() {
            self.put(&path, &random()?, Digest([0; 32])).map_err(|e| fail(&e))?;
        }
        // Another process may have been first; then its seed is the one kept.
        Ok(read(&path).map_err(|e| fail(&e))?.0)
    }

    fn put(&self, path: &Path, seed: &Seed, digest: Digest) -> io::Result<()> {
        let mut content = Zeroizing::new(Vec::with_capacity(FILE_BYTES));
        content.extend_from_slice(MAGIC);
        content.extend_from_slice(seed.as_bytes());
        content.extend_from_slice(&digest.0);
        create_directory(&self.folder).and_then(|()| publish(path, &content))
    }

    /// The keys for a server and a plan; made on the first call.
    pub(super) fn load_or_create(&self, outline: &Outline, server: Fingerprint) -> Result<Made, Error> {
        let path = self.folder.join(file_name(outline, server)?);
        let fail = |e: &dyn std::fmt::Display| Error::Refused(format!("{}: {e}", path.display()));
        if !path.exists() {
            let seed = random()?;
            let kept = Seed::from_bytes(*seed.as_bytes());
            let (keys, made) = ClientKeys::new(outline, seed)?;
            self.put(&path, &kept, keys.digest()).map_err(|e| fail(&e))?;
            let (_, digest) = read(&path).map_err(|e| fail(&e))?;
            // Another process may have been first; then its keys are the ones kept.
            if digest == keys.digest() {
                return Ok((keys, Some(made)));
            }
        }
        let (seed, digest) = read(&path).map_err(|e| fail(&e))?;
        Ok((ClientKeys::restore(outline, seed, digest)?, None))
    }
}

fn read(path: &Path) -> io::Result<(Seed, Digest)> {
    let mut content = Zeroizing::new([0; FILE_BYTES]);
    let mut file = fs::File::open(path)?;
    check_private(&file)?;
    file.read_exact(&mut *content)?;
    let damaged = || io::Error::other("the file is no key of this version; delete it to have a new one made");
    if content[..16] != MAGIC[..] || file.read(&mut [0])? > 0 {
        return Err(damaged());
    }
    let mut seed = Zeroizing::new([0; 32]);
    seed.copy_from_slice(&content[16..48]);
    let mut digest = [0; 32];
    digest.copy_from_slice(&content[48..]);
    Ok((Seed::from_bytes(*seed), Digest(digest)))
}

/// Refuses a file that others may read: what it holds decrypts this client's inputs.
#[cfg(unix)]
fn check_private(file: &fs::File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if file.metadata()?.permissions().mode() & 0o077 == 0 {
        Ok(())
    } else {
        Err(io::Error::other("others than its owner may read this secret key: delete it, or chmod 600"))
    }
}

#[cfg(not(unix))]
fn check_private(_: &fs::File) -> io::Result<()> {
    Ok(())
}

/// A name for what the keys depend on: the server, the ring, the list of keys. Servers do not see each other's keys.
fn file_name(outline: &Outline, server: Fingerprint) -> Result<String, Error> {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(server.to_string().as_bytes());
    hasher.update(&outline.base()?.ring_id().to_le_bytes());
    for part in keys::parts(outline) {
        hasher.update(format!("{part:?};").as_bytes());
    }
    Ok(format!("{}.key", &hasher.finalize().to_hex()[..32]))
}
