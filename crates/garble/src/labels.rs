//! Wire labels in recycled buffers, and what garbler and evaluator share.

use std::ops::{Deref, DerefMut, Range};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kernel::block::{Block, xor};
use kernel::half_gates::ROWS_PER_AND;
use kernel::prg::Prg;
use zeroize::Zeroize;

/// The labels of one wire in n instances: zero-labels at the garbler, active labels at the evaluator. Copies and slices share
/// the buffer; it returns to its pool when the last is dropped.
#[derive(Clone)]
pub struct Labels {
    buffer: Arc<Buffer>,
    lanes: Range<usize>,
}

impl Labels {
    /// The labels, one an instance.
    pub fn blocks(&self) -> &[Block] {
        &self.buffer[self.lanes.clone()]
    }

    /// See [`crate::gates::Gates::slice`].
    pub(crate) fn slice(&self, lanes: Range<usize>) -> Self {
        let lanes = self.lanes.start + lanes.start..self.lanes.start + lanes.end;
        debug_assert!(lanes.end <= self.lanes.end);
        Self { buffer: Arc::clone(&self.buffer), lanes }
    }
}

/// Labels never print their values.
impl core::fmt::Debug for Labels {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Labels({})", self.blocks().len())
    }
}

/// A buffer with one owner, while it is being filled.
pub(crate) struct Buffer {
    blocks: Vec<Block>,
    lanes: usize,
    pool: Arc<Pool>,
}

impl Buffer {
    /// No more writing.
    pub(crate) fn freeze(self) -> Labels {
        let lanes = 0..self.lanes;
        Labels { buffer: Arc::new(self), lanes }
    }
}

impl Deref for Buffer {
    type Target = [Block];

    fn deref(&self) -> &[Block] {
        &self.blocks[..self.lanes]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [Block] {
        &mut self.blocks[..self.lanes]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.pool.put(core::mem::take(&mut self.blocks));
    }
}

/// Free buffers, by size: a gate takes no memory from the system once the circuit's widest moment has passed.
///
/// Buffers are overwritten when they are reused and erased when they leave the pool, at the latest with the interpreter
/// and the last of its labels.
#[derive(Default)]
pub(crate) struct Pool(Mutex<Free>);

#[derive(Default)]
struct Free {
    /// Entry c: buffers of `SMALLEST << c` blocks.
    classes: Vec<Vec<Vec<Block>>>,
    /// Blocks in all of them.
    blocks: usize,
}

/// Blocks of the smallest buffer.
const SMALLEST: usize = 16;

/// Blocks that a pool keeps at most: 32 MiB.
const MOST_KEPT: usize = 2 << 20;

impl Pool {
    fn free(&self) -> MutexGuard<'_, Free> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A buffer for some instances, with arbitrary contents.
    pub(crate) fn take(self: &Arc<Self>, lanes: usize) -> Buffer {
        let size = lanes.max(SMALLEST).next_power_of_two();
        let class = (size / SMALLEST).trailing_zeros() as usize;
        let kept = {
            let mut free = self.free();
            let kept = free.classes.get_mut(class).and_then(Vec::pop);
            if kept.is_some() {
                free.blocks -= size;
            }
            kept
        };
        let blocks = kept.unwrap_or_else(|| vec![Block::ZERO; size]);
        Buffer { blocks, lanes, pool: Arc::clone(self) }
    }

    fn put(&self, mut blocks: Vec<Block>) {
        let class = (blocks.len() / SMALLEST).trailing_zeros() as usize;
        let mut free = self.free();
        if free.blocks + blocks.len() > MOST_KEPT {
            drop(free);
            blocks.zeroize();
            return;
        }
        if free.classes.len() <= class {
            free.classes.resize_with(class + 1, Vec::new);
        }
        free.blocks += blocks.len();
        free.classes[class].push(blocks);
    }

    /// `f` of each label.
    pub(crate) fn map(self: &Arc<Self>, a: &Labels, f: impl Fn(Block) -> Block) -> Labels {
        let mut out = self.take(a.blocks().len());
        for (out, a) in out.iter_mut().zip(a.blocks()) {
            *out = f(*a);
        }
        out.freeze()
    }

    /// Label by label `a ^ b`.
    pub(crate) fn xor(self: &Arc<Self>, a: &Labels, b: &Labels) -> Labels {
        let mut out = self.take(a.blocks().len());
        xor(a.blocks(), b.blocks(), &mut out);
        out.freeze()
    }

    /// The same label in every instance.
    pub(crate) fn fill(self: &Arc<Self>, label: Block, lanes: usize) -> Labels {
        let mut out = self.take(lanes);
        out.fill(label);
        out.freeze()
    }

    /// See [`crate::gates::Gates::gather`].
    pub(crate) fn gather(self: &Arc<Self>, a: &Labels, lanes: &[u32]) -> Labels {
        let from = a.blocks();
        if lanes.len() == from.len() && lanes.iter().enumerate().all(|(i, lane)| i == *lane as usize) {
            return a.clone();
        }
        let mut out = self.take(lanes.len());
        for (out, lane) in out.iter_mut().zip(lanes) {
            *out = from[*lane as usize];
        }
        out.freeze()
    }

    /// See [`crate::gates::Gates::concat`].
    pub(crate) fn concat(self: &Arc<Self>, parts: &[&Labels]) -> Labels {
        if let [part] = parts {
            return (*part).clone();
        }
        let mut out = self.take(parts.iter().map(|part| part.blocks().len()).sum());
        let mut from = 0;
        for part in parts {
            let part = part.blocks();
            out[from..from + part.len()].copy_from_slice(part);
            from += part.len();
        }
        out.freeze()
    }
}

impl Drop for Free {
    fn drop(&mut self) {
        for buffer in self.classes.iter_mut().flatten() {
            buffer.zeroize();
        }
    }
}

/// The active labels of the garbler's own input: a stream that both sides make from a public seed.
///
/// The garbler knows its bits, so it may fix a wire's active label first and take `active ^ bit * offset` as the zero-label: the
/// whole input crosses as 16 bytes. Both sides must ask for the same lanes in the same order.
pub struct ActiveLabels(Prg);

impl ActiveLabels {
    /// The stream of a seed, which is fresh for each garbling.
    pub fn new(seed: Block) -> Self {
        Self(Prg::from_key(seed))
    }

    pub(crate) fn fill(&mut self, labels: &mut [Block]) {
        self.0.fill_blocks(labels);
    }
}

/// All 2^64 tweaks of a session are used. A tweak must not repeat under an offset, so no further gate is possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the garbling session has used all its tweaks; start a new session")]
pub struct TweaksExhausted;

/// The counter from which every half gate of a session takes a tweak of its own.
#[derive(Default)]
pub(crate) struct Tweaks(u64);

impl Tweaks {
    /// Reserves `count` times `each` tweaks and returns the first.
    pub(crate) fn reserve(&mut self, count: usize, each: u64) -> Result<u64, TweaksExhausted> {
        let first = self.0;
        let number = (count as u64).checked_mul(each).ok_or(TweaksExhausted)?;
        self.0 = first.checked_add(number).ok_or(TweaksExhausted)?;
        Ok(first)
    }
}

/// Gates garbled or evaluated in one go.
pub const GATES_PER_CALL: usize = 512;

/// The most rows of tables that are asked of a sink or a source at a time.
pub const MOST_ROWS: usize = ROWS_PER_AND * GATES_PER_CALL;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tweaks_end_before_they_repeat() {
        let mut tweaks = Tweaks(u64::MAX - 5);
        assert_eq!(tweaks.reserve(2, 2), Ok(u64::MAX - 5));
        assert_eq!(tweaks.reserve(1, 2), Err(TweaksExhausted));
        assert_eq!(tweaks.reserve(1, 1), Ok(u64::MAX - 1));
        assert_eq!(tweaks.reserve(usize::MAX, 2), Err(TweaksExhausted));
    }

    #[test]
    fn buffers_are_recycled_and_bounded() {
        let pool = Arc::new(Pool::default());
        let first = pool.fill(Block(1), 100);
        let place = first.blocks().as_ptr();
        let copy = first.clone();
        drop(first);
        assert!(copy.blocks().iter().all(|block| *block == Block(1)));
        drop(copy);
        assert_eq!(pool.fill(Block(2), 128).blocks().as_ptr(), place);
        drop(pool.fill(Block(3), 2 * MOST_KEPT));
        assert!(pool.free().blocks <= MOST_KEPT);
    }
}
