//! Randomness: one seed a party, a fresh child for every draw.

use bytemuck::cast_slice;
use kernel::block::Block;
use kernel::modular::{Modulus, sample};
use kernel::prg::Prg;
use kernel::seed::Seed;
use zeroize::{Zeroize, Zeroizing};

use crate::error::Error;

/// Bytes of a public seed on the wire.
pub const SEED_BYTES: usize = 32;

/// A source of seeds that gives each of them once. Everything that consumes randomness takes this by `&mut`, so that no
/// two encryptions can share their coins.
#[derive(Debug)]
pub struct Randomness {
    seed: Seed,
    drawn: u64,
}

impl Randomness {
    /// Seeded by the operating system.
    ///
    /// # Errors
    /// [`Error::NoEntropy`] if it has none.
    pub fn from_os() -> Result<Self, Error> {
        Ok(Self::new(Seed::from_os()?))
    }

    /// The source that descends from `seed`, which must be used for nothing else: two sources of one seed repeat
    /// each other.
    pub fn new(seed: Seed) -> Self {
        Self { seed, drawn: 0 }
    }

    /// The next seed.
    pub(crate) fn draw(&mut self) -> Seed {
        self.drawn += 1;
        self.seed.child("bfv", self.drawn)
    }
}

/// Words of a pseudorandom stream, a block at a time.
pub(crate) struct Stream {
    prg: Prg,
}

/// Blocks of the stream made at a time.
const BLOCKS: usize = 256;

impl Stream {
    pub(crate) fn new(seed: &Seed) -> Self {
        Self { prg: Prg::new(seed) }
    }

    /// Calls `use_words` with buffers of pseudorandom words until it asks for no more (returns `false`).
    fn each(&mut self, mut use_words: impl FnMut(&[u64]) -> bool) {
        let mut blocks = Zeroizing::new([Block::ZERO; BLOCKS]);
        loop {
            self.prg.fill_blocks(&mut blocks[..]);
            if !use_words(cast_slice(&blocks[..])) {
                return;
            }
        }
    }

    /// Fills `out` by `sampler`, one word for each entry.
    fn each_entry(&mut self, out: &mut [i8], sampler: fn(&mut [i8], &[u64])) {
        let mut filled = 0;
        self.each(|words| {
            let length = words.len().min(out.len() - filled);
            sampler(&mut out[filled..filled + length], &words[..length]);
            filled += length;
            filled < out.len()
        });
    }

    /// Uniform ternary coefficients, in constant time.
    pub(crate) fn ternary(&mut self, out: &mut [i8]) {
        self.each_entry(out, sample::ternary);
    }

    /// Discrete Gaussian coefficients of standard deviation 3.19, in constant time.
    pub(crate) fn gaussian(&mut self, out: &mut [i8]) {
        self.each_entry(out, sample::gaussian);
    }

    /// Uniform residues.
    pub(crate) fn uniform(&mut self, q: &Modulus, out: &mut [u64]) {
        let mut filled = 0;
        self.each(|words| {
            filled += sample::uniform(q, &mut out[filled..], words);
            filled < out.len()
        });
    }

    /// Uniform residues of a modulus of at most 127 bits: candidates are accepted or thrown away, in order.
    pub(crate) fn uniform_wide(&mut self, modulus: u128, out: &mut [u128]) {
        let mask = u128::MAX >> modulus.leading_zeros();
        let mut filled = 0;
        self.each(|words| {
            for pair in words.as_chunks::<2>().0 {
                let Some(slot) = out.get_mut(filled) else { break };
                *slot = (u128::from(pair[0]) | u128::from(pair[1]) << 64) & mask;
                filled += usize::from(*slot < modulus);
            }
            // A rejected candidate may stand in the next slot; it is overwritten by the next words.
            filled < out.len()
        });
    }

    /// Uniform words.
    pub(crate) fn words(&mut self, out: &mut [u64]) {
        let mut filled = 0;
        self.each(|words| {
            let length = words.len().min(out.len() - filled);
            out[filled..filled + length].copy_from_slice(&words[..length]);
            filled += length;
            filled < out.len()
        });
    }
}

/// Small secret coefficients, erased on drop.
pub(crate) struct Small(pub(crate) Vec<i8>);

impl Small {
    pub(crate) fn ternary(degree: usize, seed: &Seed) -> Self {
        let mut out = Self(vec![0; degree]);
        Stream::new(seed).ternary(&mut out.0);
        out
    }

    pub(crate) fn gaussian(degree: usize, seed: &Seed) -> Self {
        let mut out = Self(vec![0; degree]);
        Stream::new(seed).gaussian(&mut out.0);
        out
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
