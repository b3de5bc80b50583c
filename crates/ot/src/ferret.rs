//! Silent correlated OTs in the line of Ferret (Yang, Weng, Lan, Zhang, Wang, CCS 2020, eprint 2020/924), semi-honest:
//! a sixth of a byte each instead of four.
//!
//! A batch of [`BATCH`] OTs grows from [`RESERVE`] older ones, which every batch makes anew for the next; the first come
//! from SoftSpoken. The only message is the sender's, [`CorrectionMessage::ENCODED_LEN`] bytes a batch. The receiver's
//! choice bits are random: it finds its bit in the lowest bit of each of its blocks, and the lowest bit of each of the
//! sender's blocks is 0. For bits `c` that it wants it sends `d = c ^ bit`, and the sender adds `d * delta` to its block.
//!
//! ```text
//! sender                                                          receiver
//!   Sender::new(softspoken)   <-- softspoken::ExtendMessage --    Receiver::new(softspoken)
//!   Sender::extend -> q       --- CorrectionMessage -------->     Receiver::extend -> t      (any number, in order)
//! ```
//!
//! For a secret of [`DIMENSION`] random correlated OTs, public sparse sums of them plus *noise* are correlated OTs that
//! look random, if learning parity with noise is hard. The noise vector has one 1 in each of [`WEIGHT`] runs of
//! [`TREE`], and each run is a correlated GGM tree (Guo, Yang, Wang, Zhang, Xie, Liu, Zhao: half-tree, Eurocrypt 2023,
//! eprint 2022/1431): one AES call and no traffic from the receiver for a leaf.
//!
//! # Parameters
//!
//! Regular LPN with `n = 870400` samples of dimension `k = 65536` and weight `t = 850`: the set that emp-ot (2026,
//! `emp-ot/tuning.h`, `ferret_b10`) states for 128 bits by an estimator of the known attacks on *regular* noise (Gaussian
//! elimination, statistical and information-set decoding, and the hybrid and algebraic attacks since Liu, Wang, Yang and
//! Yu, eprint 2022/712, and Briaud and Øygarden, eprint 2023/176, which the sets of the Ferret paper do not withstand),
//! the hybrid attack being the best. This project has not re-run that estimate. What fits on a line is Gaussian
//! elimination with the runs' known parities: of each run `(k - t) / t` samples are taken, all of them are free of noise
//! with probability `(1 - 76.1 / 1024)^850 = 2^-94.7`, and a trial solves for 64686 unknowns, `2^44.7` with exponent 2.8:
//! 139 bits.
//!
//! The code is the paper's: each sum has [`WEIGHT_OF_SUM`] = 10 terms at places that AES draws under the public session name.

mod code;
mod tree;

use kernel::block::{Block, as_bytes, as_bytes_mut};
use kernel::prg::Prg;
use kernel::seed::Seed;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{Error, softspoken};
use code::Code;
pub use code::WEIGHT_OF_SUM;
use tree::Trees;

/// Dimension of the LPN secret.
pub const DIMENSION: usize = 1 << 16;
/// Runs of the noise vector, each with a single 1.
pub const WEIGHT: usize = 850;
/// Levels of the tree of a run.
const DEPTH: usize = 10;
/// Length of a run.
pub const TREE: usize = 1 << DEPTH;

/// Trees whose OTs are kept for the next batch.
const RESERVE_TREES: usize = (DIMENSION + WEIGHT * DEPTH).div_ceil(TREE);
/// OTs that a batch consumes, and makes for its successor: the secret and one OT for each level of each tree.
pub const RESERVE: usize = RESERVE_TREES * TREE;
/// OTs that a batch gives.
pub const BATCH: usize = (WEIGHT - RESERVE_TREES) * TREE;

/// Most batches of one set-up: as many OTs as SoftSpoken's [`softspoken::MAX_OTS`].
const MAX_BATCHES: u64 = softspoken::MAX_OTS / (BATCH + RESERVE) as u64;

/// The sender's message of a batch: for each level but the first of each tree, what lets the receiver find the node
/// beside its path.
#[derive(Clone, Debug)]
pub struct CorrectionMessage(Vec<Block>);

impl CorrectionMessage {
    /// Bytes of the wire form.
    pub const ENCODED_LEN: usize = 16 * WEIGHT * (DEPTH - 1);

    /// The wire form, [`CorrectionMessage::ENCODED_LEN`] bytes.
    pub fn encode(&self) -> Vec<u8> {
        as_bytes(&self.0).to_vec()
    }

    /// # Errors
    /// [`Error::Length`] unless there are [`CorrectionMessage::ENCODED_LEN`] bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() != Self::ENCODED_LEN {
            let (expected, found) = (Self::ENCODED_LEN, bytes.len());
            return Err(Error::Length { what: "silent OT message", expected, found });
        }
        let mut blocks = vec![Block::ZERO; WEIGHT * (DEPTH - 1)];
        as_bytes_mut(&mut blocks).copy_from_slice(bytes);
        Ok(Self(blocks))
    }
}

/// What both parties keep from batch to batch.
struct Engine {
    code: Code,
    trees: Trees,
    reserve: Reserve,
    batches: u64,
}

/// The OTs that the next batch grows from, and the place for those after it.
#[derive(Zeroize, ZeroizeOnDrop)]
struct Reserve {
    now: Vec<Block>,
    next: Vec<Block>,
}

impl Engine {
    fn new(session: Block, reserve: Vec<Block>) -> Self {
        // Block 0 of the session's stream; the code takes its places from another part of it.
        let key = Prg::from_key(session).block();
        Self {
            code: Code::new(session),
            trees: Trees::new(key),
            reserve: Reserve { now: reserve, next: vec![Block::ZERO; RESERVE] },
            batches: 0,
        }
    }

    fn admit(&self, output: &[Block]) -> Result<(), Error> {
        if output.len() != BATCH {
            let (expected, found) = (16 * BATCH, 16 * output.len());
            return Err(Error::Length { what: "output of silent OT", expected, found });
        }
        if self.batches < MAX_BATCHES { Ok(()) } else { Err(Error::Exhausted) }
    }

    /// Fills `output` and the next reserve: `leaves(trees, i, path, run)` puts tree `i` into `run`, from the OTs of its
    /// path, and the sums are added.
    fn batch(
        &mut self,
        output: &mut [Block],
        mut leaves: impl FnMut(&mut Trees, usize, &[Block], &mut [Block]),
    ) {
        let (secret, paths) = self.reserve.now.split_at(DIMENSION);
        let runs = output.chunks_exact_mut(TREE).chain(self.reserve.next.chunks_exact_mut(TREE));
        for ((i, run), path) in runs.enumerate().zip(paths.chunks_exact(DEPTH)) {
            leaves(&mut self.trees, i, path, run);
            self.code.add_sums(secret, run);
        }
        core::mem::swap(&mut self.reserve.now, &mut self.reserve.next);
        self.batches += 1;
    }
}

/// The sender of silent OTs: has the offset, whose lowest bit is 1.
pub struct Sender {
    engine: Engine,
    delta: Zeroizing<Block>,
}

/// The receiver of silent OTs: gets random choice bits.
pub struct Receiver {
    engine: Engine,
}

impl Sender {
    /// Begins with [`RESERVE`] OTs of a SoftSpoken sender, which keeps its offset and can go on.
    ///
    /// # Errors
    /// [`Error::Value`] if the offset's lowest bit is 0; otherwise as [`softspoken::Sender::extend`].
    pub fn new(base: &mut softspoken::Sender, message: &softspoken::ExtendMessage) -> Result<Self, Error> {
        if !base.delta().lsb() {
            return Err(Error::Value("silent OT needs an offset whose lowest bit is 1"));
        }
        let mut reserve = base.extend(message, RESERVE)?;
        reserve.iter_mut().for_each(|block| block.0 &= !1);
        let engine = Engine::new(session(base.session(), base.position()), reserve);
        Ok(Self { engine, delta: Zeroizing::new(base.delta()) })
    }

    /// The next [`BATCH`] OTs: what to send, and `q[i]` for each, its lowest bit 0.
    ///
    /// # Errors
    /// [`Error::Exhausted`] after as many OTs as are safe.
    pub fn extend(&mut self) -> Result<(CorrectionMessage, Vec<Block>), Error> {
        let mut output = vec![Block::ZERO; BATCH];
        Ok((self.extend_into(&mut output)?, output))
    }

    /// [`Sender::extend`] into memory that the caller has.
    ///
    /// # Errors
    /// [`Error::Length`] unless `output` has [`BATCH`] blocks; [`Error::Exhausted`].
    pub fn extend_into(&mut self, output: &mut [Block]) -> Result<CorrectionMessage, Error> {
        self.engine.admit(output)?;
        let mut corrections = vec![Block::ZERO; WEIGHT * (DEPTH - 1)];
        let (places, _) = corrections.as_chunks_mut::<{ DEPTH - 1 }>();
        let delta = *self.delta;
        self.engine.batch(output, |trees, i, path, run| trees.grow(delta, path, run, &mut places[i]));
        Ok(CorrectionMessage(corrections))
    }

    /// The offset.
    pub fn delta(&self) -> Block {
        *self.delta
    }
}

impl Receiver {
    /// Begins with [`RESERVE`] OTs of a SoftSpoken receiver, which can go on, and returns what to send. `seed` must be
    /// fresh.
    ///
    /// # Errors
    /// As [`softspoken::Receiver::extend`].
    pub fn new(
        base: &mut softspoken::Receiver,
        seed: &Seed,
    ) -> Result<(Self, softspoken::ExtendMessage), Error> {
        let mut choices = Zeroizing::new(vec![0; RESERVE / 8]);
        Prg::new(seed).fill_bytes(&mut choices);
        let (message, mut reserve) = base.extend(&choices, RESERVE)?;
        for (i, block) in reserve.iter_mut().enumerate() {
            block.0 = block.0 & !1 | u128::from(choices[i / 8] >> (i % 8) & 1);
        }
        let engine = Engine::new(session(base.session(), base.position()), reserve);
        Ok((Self { engine }, message))
    }

    /// The next [`BATCH`] OTs: `t[i]` for each, its lowest bit being the choice bit.
    ///
    /// # Errors
    /// [`Error::Exhausted`] after as many OTs as are safe.
    pub fn extend(&mut self, message: &CorrectionMessage) -> Result<Vec<Block>, Error> {
        let mut output = vec![Block::ZERO; BATCH];
        self.extend_into(message, &mut output)?;
        Ok(output)
    }

    /// [`Receiver::extend`] into memory that the caller has.
    ///
    /// # Errors
    /// [`Error::Length`] unless `output` has [`BATCH`] blocks; [`Error::Exhausted`].
    pub fn extend_into(&mut self, message: &CorrectionMessage, output: &mut [Block]) -> Result<(), Error> {
        self.engine.admit(output)?;
        let (corrections, _) = message.0.as_chunks::<{ DEPTH - 1 }>();
        self.engine.batch(output, |trees, i, path, run| trees.puncture(path, &corrections[i], run));
        Ok(())
    }
}

/// A public name for the silent OTs that begin at a place of a SoftSpoken session.
fn session(base: Block, position: u64) -> Block {
    let mut hasher = blake3::Hasher::new_derive_key("oribi silent OT session, version 1");
    hasher.update(&base.to_bytes());
    hasher.update(&position.to_le_bytes());
    let mut name = [0; 16];
    hasher.finalize_xof().fill(&mut name);
    Block::from_bytes(name)
}

#[cfg(test)]
mod tests;
