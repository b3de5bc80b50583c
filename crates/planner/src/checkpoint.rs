//! A training's state on disk, so that an interrupted run goes on where it was.
//!
//! The file holds a line of JSON (what belongs together), then the weights and the optimiser's memory as little-endian floats, then
//! their digest. It is written beside its name and renamed: an interrupt leaves the old one or the new one.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::network::Network;
use crate::optimise::Memory;
use crate::train::{Settings, State};

/// The first bytes of a checkpoint.
const MAGIC: &[u8; 16] = b"oribi training 1";
/// The longest header.
const MAX_HEADER: usize = 1 << 20;

#[derive(Serialize, Deserialize, PartialEq)]
struct Header {
    settings: Settings,
    examples: usize,
    /// Digest of the network's first weights.
    origin: String,
    /// Values of each tensor.
    sizes: Vec<usize>,
    epoch: usize,
    steps: u64,
    /// Whether there is a second moment.
    second: bool,
}

/// Where one training is kept, and what it must be to be gone on with.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    path: PathBuf,
    settings: Settings,
    examples: usize,
    origin: String,
}

impl Checkpoint {
    /// For a training that has not begun: `network` has its first weights.
    ///
    /// # Errors
    /// If memory is short.
    pub fn new(path: &Path, network: &Network, settings: &Settings, examples: usize) -> Result<Self, Error> {
        let origin = digest(network.weights()?.iter().flatten().copied());
        Ok(Self { path: path.to_owned(), settings: settings.clone(), examples, origin })
    }

    fn bad(&self, problem: impl Into<String>) -> Error {
        Error::Checkpoint { path: self.path.clone(), problem: problem.into() }
    }

    /// Writes a state with the network's weights.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, network: &Network, state: &State) -> Result<(), Error> {
        let weights = network.weights()?;
        let header = Header {
            settings: self.settings.clone(),
            examples: self.examples,
            origin: self.origin.clone(),
            sizes: weights.iter().map(Vec::len).collect(),
            epoch: state.epoch,
            steps: state.memory.steps,
            second: !state.memory.second.is_empty(),
        };
        let text = serde_json::to_vec(&header).map_err(|e| self.bad(e.to_string()))?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(&text);
        let all = weights.iter().chain(&state.memory.first).chain(&state.memory.second);
        all.flatten().for_each(|value| bytes.extend(value.to_le_bytes()));
        bytes.extend(*blake3::hash(&bytes).as_bytes());
        let beside = self.path.with_extension("part");
        let write = || {
            let mut file = fs::File::create(&beside)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&beside, &self.path)
        };
        write().map_err(|e| self.bad(format!("cannot be written: {e}")))
    }

    /// Puts the saved weights into the network and returns the state, where there is a file.
    ///
    /// # Errors
    /// If it is damaged, or of another training.
    pub fn load(&self, network: &mut Network) -> Result<Option<State>, Error> {
        let bytes = match fs::read(&self.path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|e| self.bad(format!("cannot be read: {e}")))?,
        };
        let damaged = || self.bad("is no checkpoint, or damaged; remove it to begin anew");
        let (body, sum) = bytes.split_last_chunk::<32>().ok_or_else(damaged)?;
        if blake3::hash(body) != *sum {
            return Err(damaged());
        }
        let rest = body.strip_prefix(MAGIC).ok_or_else(damaged)?;
        let (length, rest) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok().filter(|l| *l <= MAX_HEADER);
        let (text, rest) = length.and_then(|l| rest.split_at_checked(l)).ok_or_else(damaged)?;
        let header: Header = serde_json::from_slice(text).map_err(|_| damaged())?;
        let sizes: Vec<usize> = network.weights()?.iter().map(Vec::len).collect();
        if header.settings != self.settings
            || header.examples != self.examples
            || header.origin != self.origin
            || header.sizes != sizes
        {
            return Err(
                self.bad("is of a training with other settings, data or weights; remove it to begin anew")
            );
        }
        let parts = if header.second { 3 } else { 2 };
        let count = sizes.iter().sum::<usize>() * parts;
        if rest.len() != 4 * count {
            return Err(damaged());
        }
        let mut floats = rest.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        let mut tensors =
            || -> Vec<Vec<f32>> { sizes.iter().map(|&size| floats.by_ref().take(size).collect()).collect() };
        let (weights, first) = (tensors(), tensors());
        let second = if header.second { tensors() } else { Vec::new() };
        network.set_weights(&weights)?;
        Ok(Some(State { epoch: header.epoch, memory: Memory { steps: header.steps, first, second } }))
    }

    /// Removes the file: the training is done.
    pub fn remove(&self) {
        // It is of no use any more; one that stays is refused or used up by the next run.
        let _ = fs::remove_file(&self.path);
    }
}

fn digest(values: impl Iterator<Item = f32>) -> String {
    let mut hasher = blake3::Hasher::new();
    values.for_each(|value| {
        hasher.update(&value.to_le_bytes());
    });
    hasher.finalize().to_hex().to_string()
}
