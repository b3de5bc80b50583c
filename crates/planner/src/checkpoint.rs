//! A training's state on disk after whole epochs, so that an interrupted run goes on where it was.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::data::Data;
use crate::error::Error;
use crate::kept::{damaged, digest, read, tensors, write};
use crate::network::Network;
use crate::optimise::Memory;
use crate::train::{Settings, State};

#[derive(Serialize, Deserialize)]
struct Header {
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
    /// The digest of settings, network and data.
    of: String,
}

impl Checkpoint {
    /// For a training that has not begun: `network` has its first weights.
    ///
    /// # Errors
    /// If memory is short.
    pub fn new(path: &Path, network: &Network, settings: &Settings, data: &Data) -> Result<Self, Error> {
        let (network, data) = (network.digest()?, data.digest());
        let of = digest([settings.text().as_bytes(), network.as_bytes(), data.as_bytes()]);
        Ok(Self { path: path.to_owned(), of })
    }

    /// Writes a state with the network's weights.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, network: &Network, state: &State) -> Result<(), Error> {
        let weights = network.weights()?;
        let header = Header {
            sizes: weights.iter().map(Vec::len).collect(),
            epoch: state.epoch,
            steps: state.memory.steps,
            second: !state.memory.second.is_empty(),
        };
        let all = weights.iter().chain(&state.memory.first).chain(&state.memory.second);
        write(&self.path, &self.of, header, all)
    }

    /// Puts the saved weights into the network and returns the state, where there is a file.
    ///
    /// # Errors
    /// If it is damaged, or of another training.
    pub fn load(&self, network: &mut Network) -> Result<Option<State>, Error> {
        let Some((header, floats)) = read::<Header>(&self.path, &self.of)? else { return Ok(None) };
        let damaged = || damaged(&self.path);
        let sizes: Vec<usize> = network.weights()?.iter().map(Vec::len).collect();
        if header.sizes != sizes {
            return Err(damaged());
        }
        let parts = if header.second { 3 } else { 2 };
        let mut all = tensors(&floats, &sizes.repeat(parts)).ok_or_else(damaged)?;
        let second = all.split_off(2 * sizes.len());
        let first = all.split_off(sizes.len());
        network.set_weights(&all)?;
        Ok(Some(State { epoch: header.epoch, memory: Memory { steps: header.steps, first, second } }))
    }

    /// Removes the file: the training is done.
    pub fn remove(&self) {
        // It is of no use any more; one that stays is refused or used up by the next run.
        let _ = std::fs::remove_file(&self.path);
    }
}
