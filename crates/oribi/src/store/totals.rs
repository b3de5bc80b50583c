//! Sums over all bundles, so that a new one is not counted against all others each time.

use std::collections::{BTreeSet, HashMap};

use super::record::{Peer, Record};
use super::sealed::file_bytes;

/// How many bundles there are, how large, and which slots they leave free.
#[derive(Debug, Default)]
pub(super) struct Totals {
    count: usize,
    bytes: u64,
    /// Bundles of each peer and their bytes.
    peers: HashMap<Peer, (usize, u64)>,
    /// Slots below `end` that no bundle has; all from `end` on are free.
    free: BTreeSet<u32>,
    end: u32,
}

impl Totals {
    /// The sums over these bundles.
    pub(super) fn of(bundles: &[(Peer, u64, Record)]) -> Self {
        let mut totals = Self::default();
        bundles.iter().for_each(|(peer, _, record)| totals.add(*peer, record));
        totals
    }

    /// A bundle more.
    pub(super) fn add(&mut self, peer: Peer, record: &Record) {
        let bytes = file_bytes(record.bytes);
        self.count += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        let (count, sum) = self.peers.entry(peer).or_default();
        (*count, *sum) = (*count + 1, sum.saturating_add(bytes));
        if record.slot >= self.end {
            self.free.extend(self.end..record.slot);
            self.end = record.slot.saturating_add(1);
        } else {
            self.free.remove(&record.slot);
        }
    }

    /// A bundle less.
    pub(super) fn remove(&mut self, peer: Peer, record: &Record) {
        let bytes = file_bytes(record.bytes);
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        if let Some((count, sum)) = self.peers.get_mut(&peer) {
            (*count, *sum) = (count.saturating_sub(1), sum.saturating_sub(bytes));
            if *count == 0 {
                self.peers.remove(&peer);
            }
        }
        self.free.insert(record.slot);
    }

    /// All bundles and their bytes.
    pub(super) fn all(&self) -> (usize, u64) {
        (self.count, self.bytes)
    }

    /// A peer's bundles and their bytes.
    pub(super) fn peer(&self, peer: Peer) -> (usize, u64) {
        self.peers.get(&peer).copied().unwrap_or_default()
    }

    /// The first slot that no bundle has.
    pub(super) fn free_slot(&self) -> u32 {
        self.free.first().copied().unwrap_or(self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(slot: u32) -> Record {
        Record { model: [0; 16], plan: [0; 32], file: 0, slot, bytes: 100, made: 0, label: String::new() }
    }

    #[test]
    fn sums_and_free_slots() {
        let (one, two) = (Peer([1; 32]), Peer([2; 32]));
        let mut totals = Totals::of(&[(one, 0, record(3)), (two, 0, record(0)), (one, 1, record(1))]);
        let each = file_bytes(100);
        assert_eq!((totals.all(), totals.peer(one)), ((3, 3 * each), (2, 2 * each)));
        assert_eq!(totals.free_slot(), 2);
        totals.add(two, &record(2));
        assert_eq!(totals.free_slot(), 4);
        totals.remove(one, &record(1));
        totals.remove(one, &record(3));
        assert_eq!((totals.free_slot(), totals.peer(one), totals.all()), (1, (0, 0), (2, 2 * each)));
    }
}
