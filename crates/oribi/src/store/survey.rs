//! Looking over a store: what is in it, what is wrong with it, what can go.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Read};

use super::bundle::{self, DRAFT, SEALED, number_in};
use super::disk::Disk;
use super::error::{Fault, StoreError};
use super::record::{Kind, Record};
use super::sealed::{Opener, file_bytes};
use super::{ABANDONED, Files, Store, now};

/// Bundles of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What they are for.
    pub kind: Kind,
    /// Words about it.
    pub label: String,
    /// How many there are.
    pub count: usize,
    /// Bytes of their files.
    pub bytes: u64,
    /// Seconds since the oldest was made.
    pub age: u64,
}

/// What was cleared away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Files that belong to no bundle.
    pub files: usize,
    /// Keys that belong to no bundle.
    pub keys: usize,
    /// Bundles whose file or key is gone.
    pub broken: usize,
    /// Bundles that were too old.
    pub old: usize,
}

/// What a check of everything found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Bundles that can be read to their end.
    pub sound: usize,
    /// Whether the database's list of free pages was wrong, and was made anew; no record is concerned.
    pub mended: bool,
    /// Those that cannot: number, and why.
    pub damaged: Vec<(u64, String)>,
}

impl Store {
    /// The bundles by what they are for.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn list(&self) -> Result<Vec<Group>, StoreError> {
        let all = self.with(|files, _| files.book.bundles(None))?;
        let (mut groups, now) = (BTreeMap::<Kind, Group>::new(), now());
        for (peer, _, record) in all {
            let kind = record.kind(peer);
            let label = record.label;
            let empty = || Group { kind, label, count: 0, bytes: 0, age: 0 };
            let group = groups.entry(kind).or_insert_with(empty);
            group.count += 1;
            group.bytes = group.bytes.saturating_add(file_bytes(record.bytes));
            group.age = group.age.max(now.saturating_sub(record.made));
        }
        Ok(groups.into_values().collect())
    }

    /// Clears away what crashes left, bundles older than `oldest` seconds, and pages of the database that are not used. What is dropped
    /// here the peer drops when the two meet again.
    ///
    /// # Errors
    /// The store cannot be changed.
    pub fn collect(&self, oldest: Option<u64>) -> Result<Swept, StoreError> {
        let now = now();
        self.with(|files, _| {
            let disk = self.disk.as_ref();
            let mut swept = Swept::default();
            let is_old = |record: &Record| oldest.is_some_and(|age| now.saturating_sub(record.made) > age);
            let mut old: HashMap<_, HashSet<u64>> = HashMap::new();
            for (peer, number, _) in files.book.bundles(None)?.iter().filter(|(_, _, r)| is_old(r)) {
                old.entry(*peer).or_default().insert(*number);
            }
            for (peer, numbers) in old {
                let account = files.book.account(peer)?.unwrap_or_default();
                swept.old += files.discard(disk, peer, Some(&account), |number| numbers.contains(&number))?;
            }
            let found = files.sweep(disk)?;
            files.book.compact()?;
            Ok(Swept { old: swept.old, ..found })
        })
    }

    /// Reads everything: the database's checksums, and each bundle to its end. No bundle is changed.
    ///
    /// # Errors
    /// The store cannot be read; what is wrong with single bundles is in the result.
    pub fn verify(&self) -> Result<Checked, StoreError> {
        let (mended, all) = self.with(|files, _| Ok((!files.book.check()?, files.book.bundles(None)?)))?;
        let mut checked = Checked { mended, ..Checked::default() };
        for (peer, number, _) in all {
            // The store is free while a bundle is read; one that is taken meanwhile stays readable.
            let opened = self.with(|files, _| {
                let record = files.book.bundle(peer, number)?;
                Ok(record.map(|record| bundle::peek(files, self, &record.kind(peer), number, &record)))
            })?;
            match opened.map(|opened| opened.and_then(read_through)) {
                None => {}
                Some(Ok(())) => checked.sound += 1,
                Some(Err(why)) => checked.damaged.push((number, why.to_string())),
            }
        }
        Ok(checked)
    }
}

impl Files {
    /// Clears away what a crash left: drafts that nobody writes, files and keys of no bundle, bundles without file or key.
    pub(super) fn sweep(&mut self, disk: &dyn Disk) -> Result<Swept, Fault> {
        let fail = |e: io::Error| Fault::disk("clearing up", e);
        let names = disk.list().map_err(fail)?;
        let present: HashSet<u64> = names.iter().filter_map(|name| number_in(name, SEALED)).collect();
        let (mut swept, mut whole) = (Swept::default(), Vec::new());
        let mut broken = Vec::new();
        for (peer, number, record) in self.book.bundles(None)? {
            let has_key = self.slots.get(record.slot).map_err(fail)?.is_some();
            match has_key && present.contains(&record.file) {
                true => whole.push(record),
                false => broken.push((peer, number)),
            }
        }
        if !broken.is_empty() {
            self.totals = None;
            self.book.update(|page| broken.iter().try_for_each(|(peer, n)| page.remove_bundle(*peer, *n)))?;
        }
        swept.broken = broken.len();
        let slots: HashSet<u32> = whole.iter().map(|record| record.slot).collect();
        swept.keys = self.slots.erase_others(|slot| slots.contains(&slot)).map_err(fail)?;
        let files: HashSet<u64> = whole.iter().map(|record| record.file).collect();
        for file in present.difference(&files) {
            bundle::remove(disk, *file)?;
            swept.files += 1;
        }
        for name in names.iter().filter(|name| number_in(name, DRAFT).is_some()) {
            let Some(blob) = disk.open(name).map_err(fail)? else { continue };
            if blob.claim().map_err(fail)? {
                disk.remove(name).map_err(fail)?;
                swept.files += 1;
            }
        }
        Ok(swept)
    }

    /// Drops bundles whose peer has not been here for long: nobody will use them. What is dropped here the peer drops when the two meet again.
    pub(super) fn expire(&mut self, disk: &dyn Disk, now: u64) -> Result<usize, Fault> {
        let mut seen: HashMap<_, u64> = HashMap::new();
        for (peer, _, record) in self.book.bundles(None)? {
            let seen = seen.entry(peer).or_default();
            *seen = record.made.max(*seen);
        }
        let mut dropped = 0;
        for (peer, made) in seen {
            let account = self.book.account(peer)?.unwrap_or_default();
            if now.saturating_sub(made.max(account.seen)) > ABANDONED.as_secs() {
                dropped += self.discard(disk, peer, Some(&account), |_| true)?;
            }
        }
        Ok(dropped)
    }
}

/// Reads a bundle to its end.
fn read_through(mut content: Opener) -> io::Result<()> {
    let mut buffer = zeroize::Zeroizing::new(vec![0; 64 << 10]);
    while content.read(&mut buffer)? > 0 {}
    Ok(())
}
