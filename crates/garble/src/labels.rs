//! Wire labels in recycled buffers, and what garbler and evaluator share.

mod pages;

use std::ops::{Deref, DerefMut, Range};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kernel::block::{Block, xor};
use kernel::half_gates::ROWS_PER_AND;
use kernel::prg::Prg;
use zeroize::{Zeroize, Zeroizing};

use pages::{PAGE, Paged, Pages};

pub use pages::{Backing, Spill};

/// The labels of one wire in n instances: zero-labels at the garbler, active labels at the evaluator. Copies and slices share
/// the buffer; it returns to its pool when the last is dropped.
#[derive(Clone)]
pub struct Labels {
    held: Held,
    lanes: Range<usize>,
}

#[derive(Clone)]
enum Held {
    Memory(Arc<Buffer>),
    Pages(Arc<Paged>),
}

impl Labels {
    /// Number of instances.
    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// The labels, one an instance; those of pages are read into memory.
    pub fn blocks(&self) -> Blocks<'_> {
        match &self.held {
            Held::Memory(buffer) => Blocks(Kept::Here(&buffer[self.lanes.clone()])),
            Held::Pages(_) => {
                let mut blocks = Zeroizing::new(vec![Block::ZERO; self.lanes()]);
                self.read(0..self.lanes(), &mut blocks);
                Blocks(Kept::Loaded(blocks))
            }
        }
    }

    /// Copies some of the labels.
    fn read(&self, lanes: Range<usize>, out: &mut [Block]) {
        let from = self.lanes.start + lanes.start;
        match &self.held {
            Held::Memory(buffer) => out.copy_from_slice(&buffer[from..from + lanes.len()]),
            Held::Pages(paged) => paged.gather(|i| from + i, out),
        }
    }

    /// Copies the labels of these instances.
    fn read_at(&self, lanes: &[u32], out: &mut [Block]) {
        match &self.held {
            Held::Memory(buffer) => {
                let from = &buffer[self.lanes.clone()];
                for (out, lane) in out.iter_mut().zip(lanes) {
                    *out = from[*lane as usize];
                }
            }
            Held::Pages(paged) => paged.gather(|i| self.lanes.start + lanes[i] as usize, out),
        }
    }

    /// See [`crate::gates::Gates::slice`].
    pub(crate) fn slice(&self, lanes: Range<usize>) -> Self {
        let lanes = self.lanes.start + lanes.start..self.lanes.start + lanes.end;
        debug_assert!(lanes.end <= self.lanes.end);
        Self { held: self.held.clone(), lanes }
    }
}

/// Labels to be read.
pub struct Blocks<'a>(Kept<'a>);

enum Kept<'a> {
    Here(&'a [Block]),
    Loaded(Zeroizing<Vec<Block>>),
}

impl Deref for Blocks<'_> {
    type Target = [Block];

    fn deref(&self) -> &[Block] {
        match &self.0 {
            Kept::Here(blocks) => blocks,
            Kept::Loaded(blocks) => blocks,
        }
    }
}

/// Labels never print their values.
impl core::fmt::Debug for Labels {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Labels({})", self.lanes())
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
        Labels { held: Held::Memory(Arc::new(self)), lanes }
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
pub(crate) struct Pool {
    free: Mutex<Free>,
    spill: Option<Room>,
}

/// Where large tensors go.
struct Room {
    /// Blocks that may be in use before they go there.
    memory: usize,
    pages: Arc<Pages>,
}

#[derive(Default)]
struct Free {
    /// Entry c: buffers of `SMALLEST << c` blocks.
    classes: Vec<Vec<Vec<Block>>>,
    /// Blocks in all of them.
    blocks: usize,
    /// Blocks in use.
    used: usize,
}

/// Blocks of the smallest buffer.
const SMALLEST: usize = 16;

/// Blocks that a pool keeps at most: 32 MiB.
const MOST_KEPT: usize = 2 << 20;

/// Instances from which on a wire may be held in pages: narrower ones are what gates work on.
const PAGED: usize = 4 * PAGE;

impl Pool {
    /// A pool that holds large wires in pages once it has given out so much.
    pub(crate) fn with(spill: Spill) -> Self {
        let pages = Arc::new(Pages::new(spill.key, spill.cache, spill.backing));
        let room = Room { memory: spill.memory / size_of::<Block>(), pages };
        Self { spill: Some(room), ..Self::default() }
    }

    /// Whether all labels are right so far.
    pub(crate) fn check(&self) -> Result<(), Stopped> {
        self.spill.as_ref().map_or(Ok(()), |room| room.pages.check())
    }

    fn free(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a new wire belongs, if not into memory.
    fn pages(&self, lanes: usize) -> Option<&Arc<Pages>> {
        let room = self.spill.as_ref().filter(|_| lanes >= PAGED)?;
        (self.free().used + lanes > room.memory).then_some(&room.pages)
    }

    /// A buffer for some instances, with arbitrary contents.
    pub(crate) fn take(self: &Arc<Self>, lanes: usize) -> Buffer {
        let size = lanes.max(SMALLEST).next_power_of_two();
        let class = (size / SMALLEST).trailing_zeros() as usize;
        let kept = {
            let mut free = self.free();
            free.used += size;
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
        free.used -= blocks.len();
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

    /// A wire that `fill` makes piece by piece, in order.
    pub(crate) fn build(
        self: &Arc<Self>,
        lanes: usize,
        mut fill: impl FnMut(Range<usize>, &mut [Block]),
    ) -> Labels {
        match self.pages(lanes) {
            Some(pages) => Labels { held: Held::Pages(Arc::new(pages.build(lanes, fill))), lanes: 0..lanes },
            None => {
                let mut out = self.take(lanes);
                fill(0..lanes, &mut out);
                out.freeze()
            }
        }
    }

    /// `f` of each label.
    pub(crate) fn map(self: &Arc<Self>, a: &Labels, f: impl Fn(Block) -> Block) -> Labels {
        self.build(a.lanes(), |lanes, out| {
            a.read(lanes, out);
            out.iter_mut().for_each(|label| *label = f(*label));
        })
    }

    /// Label by label `a ^ b`.
    pub(crate) fn xor(self: &Arc<Self>, a: &Labels, b: &Labels) -> Labels {
        if let (Held::Memory(left), Held::Memory(right)) = (&a.held, &b.held) {
            let mut out = self.take(a.lanes());
            xor(&left[a.lanes.clone()], &right[b.lanes.clone()], &mut out);
            return out.freeze();
        }
        self.build(a.lanes(), |lanes, out| {
            let other = b.slice(lanes.clone());
            a.read(lanes, out);
            for (out, other) in out.iter_mut().zip(other.blocks().iter()) {
                *out ^= *other;
            }
        })
    }

    /// The same label in every instance.
    pub(crate) fn fill(self: &Arc<Self>, label: Block, lanes: usize) -> Labels {
        self.build(lanes, |_, out| out.fill(label))
    }

    /// See [`crate::gates::Gates::gather`].
    pub(crate) fn gather(self: &Arc<Self>, a: &Labels, lanes: &[u32]) -> Labels {
        if lanes.len() == a.lanes() && lanes.iter().enumerate().all(|(i, lane)| i == *lane as usize) {
            return a.clone();
        }
        self.build(lanes.len(), |range, out| a.read_at(&lanes[range], out))
    }

    /// See [`crate::gates::Gates::concat`].
    pub(crate) fn concat(self: &Arc<Self>, parts: &[&Labels]) -> Labels {
        if let [part] = parts {
            return (*part).clone();
        }
        let lanes = parts.iter().map(|part| part.lanes()).sum();
        if let Some(pages) = self.pages(lanes)
            && let Some((_, full)) = parts.split_last()
            && full.iter().all(|part| part.lanes().is_multiple_of(PAGE))
        {
            return Labels { held: Held::Pages(Arc::new(joined(pages, parts))), lanes: 0..lanes };
        }
        // The part that is being copied, and how much of it is.
        let (mut part, mut done) = (0, 0);
        self.build(lanes, |_, mut out| {
            while !out.is_empty() {
                let now = out.len().min(parts[part].lanes() - done);
                let (head, rest) = out.split_at_mut(now);
                parts[part].read(done..done + now, head);
                (out, done) = (rest, done + now);
                if done == parts[part].lanes() {
                    (part, done) = (part + 1, 0);
                }
            }
        })
    }
}

/// Parts that end where pages do, one after the other: pages that exist are shared.
fn joined(pages: &Arc<Pages>, parts: &[&Labels]) -> Paged {
    let mut all = Paged::empty(pages);
    for part in parts {
        match &part.held {
            Held::Pages(paged) if paged.is_of(pages) && part.lanes.start.is_multiple_of(PAGE) => {
                all.share(paged, part.lanes.start / PAGE..part.lanes.end.div_ceil(PAGE));
            }
            _ => {
                for from in (0..part.lanes()).step_by(PAGE) {
                    all.push(&part.slice(from..part.lanes().min(from + PAGE)).blocks());
                }
            }
        }
    }
    all
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

/// Why a garbling cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// All 2^64 tweaks of a session are used. A tweak must not repeat under an offset, so no further gate is possible.
    #[error("the garbling session has used all its tweaks; start a new session")]
    Tweaks,
    /// Labels that left memory are lost.
    #[error("labels that do not fit in memory cannot be kept in a temporary file: {0}")]
    Spill(String),
}

/// The counter from which every half gate of a session takes a tweak of its own.
#[derive(Default)]
pub(crate) struct Tweaks(u64);

impl Tweaks {
    /// Reserves `count` times `each` tweaks and returns the first.
    pub(crate) fn reserve(&mut self, count: usize, each: u64) -> Result<u64, Stopped> {
        let first = self.0;
        let number = (count as u64).checked_mul(each).ok_or(Stopped::Tweaks)?;
        self.0 = first.checked_add(number).ok_or(Stopped::Tweaks)?;
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
        assert_eq!(tweaks.reserve(1, 2), Err(Stopped::Tweaks));
        assert_eq!(tweaks.reserve(1, 1), Ok(u64::MAX - 1));
        assert_eq!(tweaks.reserve(usize::MAX, 2), Err(Stopped::Tweaks));
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
