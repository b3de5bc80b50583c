//! Where the keys of bundles live: a file of fixed slots that are overwritten in place.
//!
//! A database gives freed pages no new content for a long time, and a deleted file's blocks neither. So a bundle's bytes are
//! sealed, and what opens them is 32 bytes at a fixed place that nothing ever moves: spending the bundle writes zeros over
//! them and waits for the disk. (What a flash translation layer or a copy-on-write file system keeps of an
//! overwritten block is out of a program's reach.)
//!
//! | bytes | field |
//! | --- | --- |
//! | 0..12 | `oribi keys\0\0` |
//! | 12..16 | format, little endian |
//! | 16..64 | zeros |
//! | 64 + 32 i | slot i: a random key, or zeros where it is free |
//!
//! A slot never straddles a sector, so that no crash leaves half of one.

use std::io;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::disk::{Blob, Disk};
use super::error::Fault;

/// The file.
pub(crate) const FILE: &str = "keys";
/// Its name until it is complete.
const DRAFT: &str = "keys.new";
const MAGIC: &[u8; 12] = b"oribi keys\0\0";
/// The format that this program writes.
pub(crate) const FORMAT: u32 = 1;
const HEADER: u64 = 64;
const SLOT: usize = 32;
/// Slots by which the file grows: one page.
const GROWTH: usize = 128;
/// Most slots: as many bundles as one store holds.
pub(crate) const MAX_SLOTS: usize = 1 << 20;

/// A slot's content.
pub(crate) type SlotKey = Zeroizing<[u8; SLOT]>;

/// The open file.
#[derive(Debug)]
pub(crate) struct Slots {
    file: Arc<dyn Blob>,
    count: usize,
}

impl Slots {
    /// Makes the file, without slots, durable and complete or not at all.
    pub(crate) fn create(disk: &dyn Disk) -> io::Result<()> {
        if disk.open(DRAFT)?.is_some() {
            disk.remove(DRAFT)?;
        }
        // Where the database was lost and the keys were not, they open bundles whose bytes may still be on the disk.
        if let Some(old) = disk.open(FILE)? {
            let zeros = [0; GROWTH * SLOT];
            let mut at = 0;
            for left in (1..=old.len()?).rev().step_by(zeros.len()) {
                let count = zeros.len().min(usize::try_from(left).unwrap_or(zeros.len()));
                old.write_at(at, &zeros[..count])?;
                at += count as u64;
            }
            old.sync()?;
        }
        let file = disk.create(DRAFT)?;
        let mut header = [0; HEADER as usize];
        header[..12].copy_from_slice(MAGIC);
        header[12..16].copy_from_slice(&FORMAT.to_le_bytes());
        file.write_at(0, &header)?;
        file.sync()?;
        disk.rename(DRAFT, FILE)?;
        disk.sync()
    }

    /// Opens the file.
    pub(crate) fn open(disk: &dyn Disk) -> Result<Self, Fault> {
        let refused = |e: io::Error| Fault::disk("reading keys", e);
        let file = disk.open(FILE).map_err(refused)?.ok_or_else(|| Fault::damaged(FILE, "it is missing"))?;
        if file.is_exposed().map_err(refused)? {
            return Err(Fault::Exposed { file: FILE.into() });
        }
        let length = file.len().map_err(refused)?;
        let mut header = [0; HEADER as usize];
        if length < HEADER {
            return Err(Fault::damaged(FILE, format!("{length} bytes long")));
        }
        file.read_at(0, &mut header).map_err(refused)?;
        let (magic, rest) = header.split_at(12);
        let (format, spare) = rest.split_at(4);
        let found = u32::from_le_bytes(format.try_into().unwrap_or_default());
        if magic != MAGIC || spare.iter().any(|&byte| byte != 0) {
            return Err(Fault::damaged(FILE, "it does not begin as a file of keys"));
        }
        if found != FORMAT {
            return Err(Fault::Version { file: FILE.into(), found, expected: FORMAT });
        }
        // A last slot that was cut off holds nothing that was ever in use.
        let count = usize::try_from((length - HEADER) / SLOT as u64).unwrap_or(usize::MAX).min(MAX_SLOTS);
        Ok(Self { file, count })
    }

    /// The key in a slot; `None` where the slot is free or beyond the file.
    pub(crate) fn get(&self, slot: u32) -> io::Result<Option<SlotKey>> {
        let mut key = Zeroizing::new([0; SLOT]);
        match self.place(slot) {
            None => return Ok(None),
            Some(place) => self.file.read_at(place, &mut *key)?,
        }
        Ok(key.iter().any(|&byte| byte != 0).then_some(key))
    }

    /// Puts a key into a slot, and waits until it is there. The file grows where it must.
    pub(crate) fn put(&mut self, slot: u32, key: &SlotKey) -> io::Result<()> {
        let index = slot as usize;
        if index >= self.count {
            let count = (index / GROWTH + 1) * GROWTH;
            if count > MAX_SLOTS {
                return Err(io::Error::other("there are too many bundles"));
            }
            self.file.set_len(HEADER + (count * SLOT) as u64)?;
            self.count = count;
        }
        self.write(slot, key)
    }

    /// Overwrites a slot with zeros, and waits until they are there.
    pub(crate) fn erase(&self, slot: u32) -> io::Result<()> {
        self.write(slot, &[0; SLOT])
    }

    /// Overwrites slots with zeros, and waits once until all are there; gives their number.
    pub(crate) fn erase_many(&self, slots: impl IntoIterator<Item = u32>) -> io::Result<usize> {
        let mut erased = 0;
        for place in slots.into_iter().filter_map(|slot| self.place(slot)) {
            self.file.write_at(place, &[0; SLOT])?;
            erased += 1;
        }
        if erased > 0 {
            self.file.sync()?;
        }
        Ok(erased)
    }

    /// Overwrites all keys for which `keep` is false; gives their number.
    pub(crate) fn erase_others(&self, keep: impl Fn(u32) -> bool) -> io::Result<usize> {
        let mut others = Vec::new();
        for slot in (0..self.count).filter_map(|slot| u32::try_from(slot).ok()) {
            if !keep(slot) && self.get(slot)?.is_some() {
                others.push(slot);
            }
        }
        self.erase_many(others)
    }

    fn write(&self, slot: u32, bytes: &[u8; SLOT]) -> io::Result<()> {
        if let Some(place) = self.place(slot) {
            self.file.write_at(place, bytes)?;
        }
        self.file.sync()
    }

    fn place(&self, slot: u32) -> Option<u64> {
        ((slot as usize) < self.count).then(|| HEADER + u64::from(slot) * SLOT as u64)
    }
}
