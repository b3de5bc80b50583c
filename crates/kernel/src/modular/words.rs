//! Buffers of 64-bit words that start on a cache line, so that a vector load never straddles two.
//!
//! Freed buffers are kept for the next of the same size, a bounded number of bytes for each thread: operations on
//! polynomials allocate many short-lived buffers of a few sizes, and giving their pages back to the system and taking
//! fresh ones costs as much as the arithmetic.

use core::cell::RefCell;
use core::ops::{Deref, DerefMut};

use bytemuck::{Pod, Zeroable};
use zeroize::Zeroize;

/// One cache line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Zeroize, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u64; 8]);

/// Most bytes of freed buffers that a thread keeps.
const KEPT_BYTES: usize = 64 << 20;

/// Smaller buffers than this are left to the allocator.
const SMALLEST_KEPT: usize = 16 << 10;

/// Freed buffers, the latest last.
#[derive(Default)]
struct Kept {
    buffers: Vec<Vec<Line>>,
    bytes: usize,
}

impl Kept {
    /// A buffer of exactly this capacity, if one is kept, with what it held.
    fn take(&mut self, lines: usize) -> Option<Vec<Line>> {
        let index = self.buffers.iter().rposition(|buffer| buffer.capacity() == lines)?;
        self.bytes -= lines * size_of::<Line>();
        Some(self.buffers.remove(index))
    }

    /// Keeps a buffer, and gives the oldest back to the allocator where that makes too many.
    fn put(&mut self, buffer: Vec<Line>) {
        self.bytes += buffer.capacity() * size_of::<Line>();
        self.buffers.push(buffer);
        while self.bytes > KEPT_BYTES {
            let oldest = self.buffers.remove(0);
            self.bytes -= oldest.capacity() * size_of::<Line>();
        }
    }
}

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::default();
}

/// A buffer with room for this many lines, and whatever contents.
fn buffer(lines: usize) -> Vec<Line> {
    let kept = if lines * size_of::<Line>() < SMALLEST_KEPT {
        None
    } else {
        // A thread that is ending has no kept buffers any more.
        KEPT.try_with(|kept| kept.borrow_mut().take(lines)).ok().flatten()
    };
    kept.unwrap_or_else(|| Vec::with_capacity(lines))
}

/// A heap buffer of `u64`, aligned to 64 bytes; its length is a multiple of eight.
///
/// Dropping it does not erase it, as with any buffer: a secret one is zeroized first.
#[derive(Debug, Default, PartialEq, Eq, Zeroize)]
pub struct Words(Vec<Line>);

impl Words {
    /// `length` zeros; `length` must be a multiple of eight (it is rounded up otherwise).
    pub fn zeros(length: usize) -> Self {
        let lines = length.div_ceil(8);
        let mut words = buffer(lines);
        words.clear();
        words.resize(lines, Line([0; 8]));
        Self(words)
    }

    /// `length` words (rounded up to a multiple of eight) of unspecified contents, for a caller that overwrites all of
    /// them: what an earlier buffer of the thread held, or zeros.
    pub fn scratch(length: usize) -> Self {
        let lines = length.div_ceil(8);
        let mut words = buffer(lines);
        words.resize(lines, Line([0; 8]));
        Self(words)
    }

    /// A copy of `words`, whose length is a multiple of eight (zeros are appended otherwise).
    pub fn from_slice(words: &[u64]) -> Self {
        let mut out = Self::zeros(words.len());
        out[..words.len()].copy_from_slice(words);
        out
    }

    /// Drops what lies beyond `length` words, a multiple of eight.
    pub fn truncate(&mut self, length: usize) {
        debug_assert_eq!(length % 8, 0);
        self.0.truncate(length / 8);
    }
}

impl Clone for Words {
    fn clone(&self) -> Self {
        let mut words = buffer(self.0.len());
        words.clear();
        words.extend_from_slice(&self.0);
        Self(words)
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        let words = core::mem::take(&mut self.0);
        if (SMALLEST_KEPT..=KEPT_BYTES / 2).contains(&(words.capacity() * size_of::<Line>())) {
            // Nothing is kept in a thread that is ending.
            let _ = KEPT.try_with(|kept| kept.borrow_mut().put(words));
        }
    }
}

impl Deref for Words {
    type Target = [u64];

    #[inline]
    fn deref(&self) -> &[u64] {
        bytemuck::cast_slice(&self.0)
    }
}

impl DerefMut for Words {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u64] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}
