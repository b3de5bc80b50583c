//! Labels of tensors that are larger than the memory for them: pages, of which the least used leave memory, encrypted.
//!
//! A page is written once at most, since labels never change, and under a stream of its own of a key that belongs to one garbling and is
//! never stored. Which page is written or read when follows from the circuit alone.

use core::ops::Range;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kernel::aes::Aes128;
use kernel::block::{Block, as_bytes_mut};
use zeroize::Zeroize;

use super::Stopped;

/// Labels of a page: 16 KiB.
pub(crate) const PAGE: usize = 1024;

/// Room outside memory for pages of [`Spill::PAGE_BYTES`] bytes, numbered from zero.
pub trait Backing: Send {
    /// Keeps a page, in the place of an earlier one with the number if there was one.
    ///
    /// # Errors
    /// When there is no room.
    fn write(&mut self, number: u64, page: &[u8]) -> io::Result<()>;

    /// Gives a page back.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&mut self, number: u64, page: &mut [u8]) -> io::Result<()>;
}

/// How much memory a garbling's tensors may take, and where the rest goes.
pub struct Spill {
    /// Encrypts what leaves memory: fresh for each garbling.
    pub key: Block,
    /// Bytes of labels beyond which those of large tensors are held in pages.
    pub memory: usize,
    /// Bytes of pages that stay in memory.
    pub cache: usize,
    /// Where pages go.
    pub backing: Box<dyn Backing>,
}

impl Spill {
    /// Bytes of a page.
    pub const PAGE_BYTES: usize = PAGE * size_of::<Block>();
}

/// All pages of a garbling.
pub(crate) struct Pages {
    inner: Mutex<Inner>,
    failed: AtomicBool,
}

struct Inner {
    entries: Vec<Entry>,
    free_entries: Vec<u32>,
    frames: Vec<Frame>,
    free_frames: Vec<u32>,
    most_frames: usize,
    hand: usize,
    places: u64,
    free_places: Vec<u64>,
    /// Streams of the cipher that are used up.
    streams: u64,
    cipher: Aes128,
    backing: Box<dyn Backing>,
    error: Option<String>,
}

/// A page: in a frame of memory, or saved, or both.
#[derive(Default)]
struct Entry {
    owners: u32,
    frame: Option<u32>,
    saved: Option<Saved>,
}

#[derive(Clone, Copy)]
struct Saved {
    place: u64,
    stream: u64,
}

struct Frame {
    blocks: Vec<Block>,
    entry: u32,
    /// Whether it was used since the hand passed.
    used: bool,
}

impl Drop for Inner {
    fn drop(&mut self) {
        for frame in &mut self.frames {
            frame.blocks.zeroize();
        }
    }
}

impl Pages {
    pub(crate) fn new(key: Block, cache: usize, backing: Box<dyn Backing>) -> Self {
        let inner = Inner {
            entries: Vec::new(),
            free_entries: Vec::new(),
            frames: Vec::new(),
            free_frames: Vec::new(),
            most_frames: (cache / Spill::PAGE_BYTES).max(2),
            hand: 0,
            places: 0,
            free_places: Vec::new(),
            streams: 0,
            cipher: Aes128::new(key),
            backing,
            error: None,
        };
        Self { inner: Mutex::new(inner), failed: AtomicBool::new(false) }
    }

    /// Whether pages were lost: labels that were read since are wrong.
    pub(crate) fn check(&self) -> Result<(), Stopped> {
        if !self.failed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let why = self.lock().error.clone().unwrap_or_default();
        Err(Stopped::Spill(why))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what failed; the circuit ends at its next gate.
    fn note(&self, inner: &mut Inner, done: io::Result<()>) {
        if let Err(error) = done {
            inner.error.get_or_insert_with(|| error.to_string());
            self.failed.store(true, Ordering::Relaxed);
        }
    }

    /// A wire of this many labels, which `fill` makes page by page.
    pub(crate) fn build(
        self: &Arc<Self>,
        lanes: usize,
        mut fill: impl FnMut(Range<usize>, &mut [Block]),
    ) -> Paged {
        let mut paged = Paged { pages: Vec::with_capacity(lanes.div_ceil(PAGE)), store: Arc::clone(self) };
        let mut page = [Block::ZERO; PAGE];
        for from in (0..lanes).step_by(PAGE) {
            let range = from..lanes.min(from + PAGE);
            fill(range.clone(), &mut page[..range.len()]);
            paged.push(&page[..range.len()]);
        }
        page.zeroize();
        paged
    }
}

/// A wire in pages, all of which are full but the last.
pub(crate) struct Paged {
    pages: Vec<u32>,
    store: Arc<Pages>,
}

impl Paged {
    /// A wire of no labels.
    pub(crate) fn empty(store: &Arc<Pages>) -> Self {
        Self { pages: Vec::new(), store: Arc::clone(store) }
    }

    /// Adds a page.
    pub(crate) fn push(&mut self, blocks: &[Block]) {
        let mut inner = self.store.lock();
        let (frame, done) = inner.frame();
        let entry = inner.entry();
        inner.entries[entry as usize] = Entry { owners: 1, frame: Some(frame), saved: None };
        let place = &mut inner.frames[frame as usize];
        place.blocks[..blocks.len()].copy_from_slice(blocks);
        (place.entry, place.used) = (entry, true);
        self.store.note(&mut inner, done);
        self.pages.push(entry);
    }

    /// Adds pages of another wire, which both then have.
    pub(crate) fn share(&mut self, other: &Self, pages: Range<usize>) {
        let mut inner = self.store.lock();
        for page in &other.pages[pages] {
            inner.entries[*page as usize].owners += 1;
            self.pages.push(*page);
        }
    }

    /// Whether the wires' pages are in the same place.
    pub(crate) fn is_of(&self, store: &Arc<Pages>) -> bool {
        Arc::ptr_eq(&self.store, store)
    }

    /// Label `lane(i)` for each i, into `out`.
    pub(crate) fn gather(&self, lane: impl Fn(usize) -> usize, out: &mut [Block]) {
        let mut inner = self.store.lock();
        let (mut page, mut frame) = (usize::MAX, 0);
        for (i, out) in out.iter_mut().enumerate() {
            let lane = lane(i);
            if lane / PAGE != page {
                page = lane / PAGE;
                let (found, done) = inner.fetch(self.pages[page]);
                frame = found as usize;
                self.store.note(&mut inner, done);
            }
            *out = inner.frames[frame].blocks[lane % PAGE];
        }
    }
}

impl Drop for Paged {
    fn drop(&mut self) {
        let mut inner = self.store.lock();
        for page in &self.pages {
            inner.release(*page);
        }
    }
}

impl Inner {
    fn entry(&mut self) -> u32 {
        self.free_entries.pop().unwrap_or_else(|| {
            self.entries.push(Entry::default());
            (self.entries.len() - 1) as u32
        })
    }

    fn release(&mut self, page: u32) {
        let entry = &mut self.entries[page as usize];
        entry.owners -= 1;
        if entry.owners == 0 {
            let Entry { frame, saved, .. } = core::mem::take(entry);
            self.free_frames.extend(frame);
            self.free_places.extend(saved.map(|saved| saved.place));
            self.free_entries.push(page);
        }
    }

    /// The frame of a page, read back if need be.
    fn fetch(&mut self, page: u32) -> (u32, io::Result<()>) {
        if let Some(frame) = self.entries[page as usize].frame {
            self.frames[frame as usize].used = true;
            return (frame, Ok(()));
        }
        let (frame, mut done) = self.frame();
        if let Some(saved) = self.entries[page as usize].saved {
            let place = &mut self.frames[frame as usize];
            done = done.and(self.backing.read(saved.place, as_bytes_mut(&mut place.blocks)));
            cover(&self.cipher, saved.stream, &mut place.blocks);
        }
        let place = &mut self.frames[frame as usize];
        (place.entry, place.used) = (page, true);
        self.entries[page as usize].frame = Some(frame);
        (frame, done)
    }

    /// A frame for a page that comes, whose owner it forgets: a new one, a free one, or one whose page leaves memory.
    fn frame(&mut self) -> (u32, io::Result<()>) {
        if let Some(frame) = self.free_frames.pop() {
            return (frame, Ok(()));
        }
        if self.frames.len() < self.most_frames {
            self.frames.push(Frame { blocks: vec![Block::ZERO; PAGE], entry: 0, used: false });
            return ((self.frames.len() - 1) as u32, Ok(()));
        }
        // None is free, so that each has a page.
        while core::mem::take(&mut self.frames[self.hand].used) {
            self.hand = (self.hand + 1) % self.frames.len();
        }
        let frame = self.hand;
        self.hand = (self.hand + 1) % self.frames.len();
        (frame as u32, self.save(frame))
    }

    /// Sees to it that the page of a frame can be read back, and takes the frame from it.
    fn save(&mut self, frame: usize) -> io::Result<()> {
        let Frame { blocks, entry, .. } = &mut self.frames[frame];
        let entry = &mut self.entries[*entry as usize];
        entry.frame = None;
        if entry.saved.is_some() {
            return Ok(());
        }
        let place = self.free_places.pop().unwrap_or_else(|| {
            self.places += 1;
            self.places - 1
        });
        let stream = self.streams;
        self.streams += 1;
        entry.saved = Some(Saved { place, stream });
        cover(&self.cipher, stream, blocks);
        self.backing.write(place, as_bytes_mut(blocks))
    }
}

/// Encrypts or decrypts a page: streams do not overlap.
fn cover(cipher: &Aes128, stream: u64, blocks: &mut [Block]) {
    let mut pad = [Block::ZERO; PAGE];
    cipher.ctr_fill(u128::from(stream) * PAGE as u128, &mut pad);
    for (block, pad) in blocks.iter_mut().zip(&pad) {
        *block ^= *pad;
    }
    pad.zeroize();
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Pages in memory, seen from outside.
    #[derive(Clone, Default)]
    struct Shelf(Arc<Mutex<HashMap<u64, Vec<u8>>>>);

    impl Backing for Shelf {
        fn write(&mut self, number: u64, page: &[u8]) -> io::Result<()> {
            self.0.lock().unwrap().insert(number, page.to_vec());
            Ok(())
        }

        fn read(&mut self, number: u64, page: &mut [u8]) -> io::Result<()> {
            page.copy_from_slice(&self.0.lock().unwrap()[&number]);
            Ok(())
        }
    }

    fn label(wire: usize, lane: usize) -> Block {
        Block((wire * 1_000_000 + lane) as u128)
    }

    #[test]
    fn labels_come_back_from_a_small_cache() {
        let shelf = Shelf::default();
        let store = Arc::new(Pages::new(Block(77), 3 * Spill::PAGE_BYTES, Box::new(shelf.clone())));
        let lanes = 5 * PAGE + 17;
        let make = |wire: usize| {
            store.build(lanes, |range, out| {
                for (out, lane) in out.iter_mut().zip(range) {
                    *out = label(wire, lane);
                }
            })
        };
        let mut wires: Vec<Paged> = (0..4).map(make).collect();
        let places = shelf.0.lock().unwrap().len();
        assert!((20..=24).contains(&places), "{places} pages outside memory");
        for round in 0..3 {
            for (wire, paged) in wires.iter().enumerate() {
                let mut out = vec![Block::ZERO; lanes];
                paged.gather(|i| (i * 1237 + round) % lanes, &mut out);
                assert!((0..lanes).all(|i| out[i] == label(wire, (i * 1237 + round) % lanes)));
            }
        }
        // What is outside says nothing: no page is a page of labels, and none is another.
        let pages: Vec<Vec<u8>> = shelf.0.lock().unwrap().values().cloned().collect();
        let distinct: std::collections::HashSet<&[u8]> = pages.iter().map(Vec::as_slice).collect();
        assert_eq!(distinct.len(), pages.len());
        assert!(pages.iter().all(|page| page.iter().filter(|byte| **byte == 0).count() < PAGE));
        // Places are used again.
        wires.clear();
        wires.extend((4..8).map(make));
        assert!(shelf.0.lock().unwrap().len() <= places + 3);
        assert!(store.check().is_ok());
    }

    /// A shelf without room.
    struct Full;

    impl Backing for Full {
        fn write(&mut self, _number: u64, _page: &[u8]) -> io::Result<()> {
            Err(io::Error::other("no space left on device"))
        }

        fn read(&mut self, _number: u64, _page: &mut [u8]) -> io::Result<()> {
            Err(io::Error::other("nothing here"))
        }
    }

    #[test]
    fn a_lost_page_is_told() {
        let store = Arc::new(Pages::new(Block(1), 2 * Spill::PAGE_BYTES, Box::new(Full)));
        let _wire = store.build(2 * PAGE, |_, out| out.fill(Block(5)));
        assert!(store.check().is_ok());
        let _more = store.build(1, |_, out| out.fill(Block(5)));
        assert_eq!(store.check(), Err(Stopped::Spill("no space left on device".into())));
    }
}
