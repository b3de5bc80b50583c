//! Finished parts of a long work on disk, so that an interrupted run goes on where it was.
//!
//! A part is a file: a line of JSON (what it is), then floats in little-endian order, then the digest of both. It is written beside its name
//! and renamed: an interrupt leaves the old one, the new one or none. [`Kept`] is a folder of parts, bound to all that they are made of.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The first bytes of a part.
const MAGIC: &[u8; 16] = b"oribi planning 2";
/// The longest header.
const MAX_HEADER: usize = 1 << 20;
/// The file that says what a folder's parts are made of.
const OF: &str = "of";
/// How the names of parts end.
const PART: &str = "part";

/// The digest of some things, each told apart from the next.
pub fn digest<'a>(things: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hasher = blake3::Hasher::new();
    for thing in things {
        hasher.update(&(thing.len() as u64).to_le_bytes());
        hasher.update(thing);
    }
    hasher.finalize().to_hex().to_string()
}

/// The bytes of floats.
pub(crate) fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn bad(path: &Path, problem: impl Into<String>) -> Error {
    Error::Checkpoint { path: path.to_owned(), problem: problem.into() }
}

pub(crate) fn damaged(path: &Path) -> Error {
    bad(path, "is no checkpoint, or damaged; remove it to begin anew")
}

pub(crate) fn foreign(path: &Path) -> Error {
    bad(path, "is of a training with other settings, data or weights; remove it to begin anew")
}

#[derive(Serialize, Deserialize)]
struct Labelled<H> {
    /// What it is made of.
    of: String,
    is: H,
}

/// Writes a part, whole or not at all.
pub(crate) fn write<'a, H: Serialize>(
    path: &Path,
    of: &str,
    is: H,
    tensors: impl IntoIterator<Item = &'a Vec<f32>>,
) -> Result<(), Error> {
    let header = serde_json::to_vec(&Labelled { of: of.to_owned(), is });
    let header = header.map_err(|error| bad(path, error.to_string()))?;
    let mut content = MAGIC.to_vec();
    content.extend((header.len() as u64).to_le_bytes());
    content.extend(&header);
    tensors.into_iter().for_each(|values| content.extend(bytes(values)));
    content.extend(*blake3::hash(&content).as_bytes());
    let beside = path.with_extension("new");
    let write = || {
        let mut file = fs::File::create(&beside)?;
        file.write_all(&content)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().map_err(|error| bad(path, format!("cannot be written: {error}")))
}

/// Reads a part, if it is there: what it is, and its floats.
///
/// # Errors
/// If it is damaged, or made of something else.
pub(crate) fn read<H: DeserializeOwned>(path: &Path, of: &str) -> Result<Option<(H, Vec<f32>)>, Error> {
    let content = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| bad(path, format!("cannot be read: {error}")))?,
    };
    let damaged = || damaged(path);
    let (body, sum) = content.split_last_chunk::<32>().ok_or_else(damaged)?;
    if blake3::hash(body) != *sum {
        return Err(damaged());
    }
    let rest = body.strip_prefix(MAGIC).ok_or_else(damaged)?;
    let (length, rest) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok().filter(|length| *length <= MAX_HEADER);
    let (text, rest) = length.and_then(|length| rest.split_at_checked(length)).ok_or_else(damaged)?;
    let header: Labelled<serde_json::Value> = serde_json::from_slice(text).map_err(|_| damaged())?;
    if header.of != of {
        return Err(foreign(path));
    }
    let is = serde_json::from_value(header.is).map_err(|_| damaged())?;
    let (floats, []) = rest.as_chunks::<4>() else { return Err(damaged()) };
    Ok(Some((is, floats.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())))
}

/// Cuts floats into tensors of these sizes, if they are as many.
pub(crate) fn tensors(floats: &[f32], sizes: &[usize]) -> Option<Vec<Vec<f32>>> {
    let mut rest = floats;
    let mut all = Vec::with_capacity(sizes.len());
    for &size in sizes {
        let (values, behind) = rest.split_at_checked(size)?;
        all.push(values.to_vec());
        rest = behind;
    }
    rest.is_empty().then_some(all)
}

/// A folder for the finished parts of one long work.
#[derive(Clone, Debug)]
pub struct Kept {
    folder: PathBuf,
    of: String,
}

impl Kept {
    /// Makes the folder, or goes on with what it holds, for a work that is made of things with this digest.
    ///
    /// # Errors
    /// If it cannot be written, or holds the parts of another work.
    pub fn open(folder: &Path, of: String) -> Result<Self, Error> {
        let written = |error: std::io::Error| bad(folder, format!("cannot be written: {error}"));
        fs::create_dir_all(folder).map_err(written)?;
        let kept = Self { folder: folder.to_owned(), of };
        let mark = folder.join(OF);
        match fs::read_to_string(&mark) {
            Ok(of) if of == kept.of => {}
            // Parts are worth nothing without what they are of; without parts it does not matter.
            _ if kept.parts() == 0 => fs::write(&mark, &kept.of).map_err(written)?,
            _ => {
                let problem = "holds an unfinished run with other settings, data or weights; remove the folder to begin anew";
                return Err(bad(folder, problem));
            }
        }
        Ok(kept)
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file of a part.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name).with_extension(PART)
    }

    /// How many parts there are.
    pub fn parts(&self) -> usize {
        self.files().len()
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        paths.filter(|path| path.extension().is_some_and(|end| end == PART)).collect()
    }

    pub(crate) fn save<'a, H: Serialize>(
        &self,
        name: &str,
        is: H,
        tensors: impl IntoIterator<Item = &'a Vec<f32>>,
    ) -> Result<(), Error> {
        write(&self.path(name), &self.of, is, tensors)
    }

    pub(crate) fn load<H: DeserializeOwned>(&self, name: &str) -> Result<Option<(H, Vec<f32>)>, Error> {
        read(&self.path(name), &self.of)
    }

    /// Removes the parts whose names begin like this.
    pub(crate) fn remove_some(&self, prefix: &str) {
        let is = |path: &PathBuf| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(prefix))
        };
        // One that stays takes room, and nothing else.
        self.files().iter().filter(|path| is(path)).for_each(|path| drop(fs::remove_file(path)));
    }

    /// Removes all parts: the work is done. A folder with anything else stays.
    pub fn remove(&self) {
        self.remove_some("");
        // What stays is refused or used up by the next run.
        let _ = fs::remove_file(self.folder.join(OF));
        let _ = fs::remove_dir(&self.folder);
    }
}
