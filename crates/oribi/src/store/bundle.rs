//! Making a bundle and taking it: the two moments at which the store changes.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use protocol::interactive::ahead::feed::Pieces;
use zeroize::Zeroizing;

use super::disk::{Blob, Disk};
use super::error::{Fault, StoreError};
use super::record::{Kind, Record, shorten};
use super::sealed::{Opener, Sealer, file_bytes};
use super::{Files, MAX_BUNDLES, Options, Side, Store, keys, now, random, random_number};

/// What the names of finished bundles end with.
pub(super) const SEALED: &str = ".bundle";
/// What the names of unfinished ones end with.
pub(super) const DRAFT: &str = ".bundle-draft";

fn sealed_name(file: u64) -> String {
    format!("{file:016x}{SEALED}")
}

fn draft_name(file: u64) -> String {
    format!("{file:016x}{DRAFT}")
}

/// The number in a name of the store's own making.
pub(super) fn number_in(name: &str, ending: &str) -> Option<u64> {
    let digits = name.strip_suffix(ending).filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}

/// Removes a bundle's file, where it is there.
pub(super) fn remove(disk: &dyn Disk, file: u64) -> Result<(), Fault> {
    match disk.remove(&sealed_name(file)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Fault::disk("removing a bundle", e)),
        _ => Ok(()),
    }
}

/// What a sealed file is bound to.
fn about(side: Side, kind: &Kind, number: u64) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("oribi store: what a bundle is for, format 1");
    hasher.update(side.name().as_bytes()).update(&kind.peer.0).update(&kind.model).update(&kind.plan);
    hasher.update(&number.to_le_bytes());
    *hasher.finalize().as_bytes()
}

/// A draft's file, claimed.
fn begin(disk: &dyn Disk, file: u64) -> Result<Arc<dyn Blob>, Fault> {
    let fail = |e: io::Error| Fault::disk("beginning a bundle", e);
    let blob = disk.create(&draft_name(file)).map_err(fail)?;
    match blob.claim().map_err(fail)? {
        true => Ok(blob),
        false => Err(Fault::disk("beginning a bundle", "its file is in use")),
    }
}

/// A bundle's content, for a check that gives none of it away.
pub(super) fn peek(
    files: &Files,
    store: &Store,
    kind: &Kind,
    number: u64,
    record: &Record,
) -> io::Result<Opener> {
    let key = files.slots.get(record.slot)?.ok_or_else(|| io::Error::other("its key is gone"))?;
    let file =
        store.disk.open(&sealed_name(record.file))?.ok_or_else(|| io::Error::other("its file is gone"))?;
    Opener::new(file, &key, &about(store.side, kind, number), record.bytes)
}

/// A bundle that was taken: it is struck off, and this is all that is left of it. Reads as a stream.
pub struct Bundle {
    number: u64,
    bytes: u64,
    mark: u64,
    content: Box<Opener>,
}

/// A bundle's number, and the client's count of those that it has struck off, this one included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub(super) number: u64,
    pub(super) mark: u64,
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bundle({}, {} bytes)", self.number, self.bytes)
    }
}

impl Bundle {
    /// The number that both sides know it by.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// What the server needs to know of it.
    pub fn ticket(&self) -> Ticket {
        Ticket { number: self.number, mark: self.mark }
    }

    /// All that is left of it.
    ///
    /// # Errors
    /// The file is damaged or cannot be read, or more than `limit` bytes long.
    pub fn read_all(mut self, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
        if self.bytes > limit {
            return Err(io::Error::other(format!(
                "a bundle of {} bytes, at most {limit} are due",
                self.bytes
            )));
        }
        let length = usize::try_from(self.bytes).map_err(io::Error::other)?;
        let mut content = Zeroizing::new(vec![0; length]);
        self.content.read_exact(&mut content)?;
        Ok(content)
    }
}

/// Chunk by chunk, each opened where it is used from.
impl Pieces for Bundle {
    fn next(&mut self, piece: &mut Vec<u8>) -> io::Result<()> {
        self.content.chunk(piece)
    }
}

impl Read for Bundle {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.content.read(out)
    }
}

/// A bundle that is being written. Dropped before [`Draft::commit`], it never was.
pub struct Draft<'a> {
    store: &'a Store,
    kind: Kind,
    number: u64,
    file: u64,
    label: String,
    expected: u64,
    /// See [`Files::account_under`].
    standing: Option<u64>,
    key: keys::SlotKey,
    sealer: Option<Sealer>,
    /// Stays open, and so claimed, until the bundle has its name.
    _claim: Arc<dyn Blob>,
}

impl Write for Draft<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sealer = self.sealer.as_mut().ok_or_else(|| io::Error::other("this bundle is finished"))?;
        if sealer.bytes().saturating_add(bytes.len() as u64) > self.expected {
            return Err(io::Error::other(format!(
                "a bundle longer than the {} bytes announced",
                self.expected
            )));
        }
        sealer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if self.sealer.take().is_some() {
            // What stays behind is swept away later: nobody knows its key.
            let _ = self.store.disk.remove(&draft_name(self.file));
        }
        let mut state = self.store.state();
        state.drafting = state.drafting.saturating_sub(file_bytes(self.expected));
    }
}

impl Store {
    /// Begins a bundle of at most `expected` bytes.
    ///
    /// # Errors
    /// It does not fit within the limits, or the disk refuses.
    pub fn draft(
        &self,
        kind: &Kind,
        number: u64,
        expected: u64,
        label: &str,
    ) -> Result<Draft<'_>, StoreError> {
        self.draft_under(kind, number, expected, (label, None))
    }

    /// As [`Store::draft`], for a session that agreed under a `standing` ([`Files::account_under`]).
    pub(super) fn draft_under(
        &self,
        kind: &Kind,
        number: u64,
        expected: u64,
        (label, standing): (&str, Option<u64>),
    ) -> Result<Draft<'_>, StoreError> {
        let size = file_bytes(expected);
        let (file, blob) = self.with(|files, notes| {
            files.account_under(kind.peer, standing)?;
            files.has_room(self, kind, size, *notes.drafting)?;
            let file = random_number()?;
            // While nobody else sweeps: an unclaimed draft is nobody's.
            let blob = begin(self.disk.as_ref(), file)?;
            *notes.drafting += size;
            Ok((file, blob))
        })?;
        let mut draft = Draft {
            store: self,
            kind: *kind,
            number,
            file,
            label: shorten(label),
            expected,
            standing,
            key: keys::SlotKey::default(),
            sealer: None,
            _claim: blob.clone(),
        };
        draft.seal(blob).map_err(|what| self.error(what))?;
        Ok(draft)
    }

    /// Takes a bundle: when this returns it is struck off and its key is overwritten, durably, and no crash brings it back. `None` where it is not
    /// there, or is of another kind, or its file is gone or was cut.
    ///
    /// `mark` is the peer's count of bundles struck off, this one included; `None` on the side that counts.
    ///
    /// # Errors
    /// The store cannot be changed: then the bundle is not used.
    pub(super) fn strike(
        &self,
        kind: &Kind,
        number: u64,
        (mark, standing): (Option<u64>, Option<u64>),
    ) -> Result<Option<Bundle>, StoreError> {
        let disk = self.disk.as_ref();
        self.with(|files, _| {
            let mut account = files.account_under(kind.peer, standing)?;
            let Some(record) = files.book.bundle(kind.peer, number)? else { return Ok(None) };
            if record.kind(kind.peer) != *kind {
                return Ok(None);
            }
            let fail = |doing| move |e: io::Error| Fault::disk(doing, e);
            let key = files.slots.get(record.slot).map_err(fail("reading a key"))?;
            let file = disk.open(&sealed_name(record.file)).map_err(fail("opening a bundle"))?;
            account.spent = mark.map_or(account.spent + 1, |mark| account.spent.max(mark));
            let mark = account.spent;
            files.book.update(|page| {
                page.remove_bundle(kind.peer, number)?;
                page.set_account(kind.peer, &account)
            })?;
            if let Some(totals) = &mut files.totals {
                totals.remove(kind.peer, &record);
            }
            files.slots.erase(record.slot).map_err(fail("erasing a key"))?;
            remove(disk, record.file)?;
            let Some((key, file)) = key.zip(file) else { return Ok(None) };
            let opened = Opener::new(file, &key, &about(self.side, kind, number), record.bytes);
            Ok(opened.ok().map(|content| Bundle {
                number,
                bytes: record.bytes,
                mark,
                content: Box::new(content),
            }))
        })
    }

    /// Takes the oldest bundle for a kind of prediction; `None` where there is none. As [`Store::take`].
    ///
    /// # Errors
    /// The store cannot be changed.
    pub fn take_next(&self, kind: &Kind) -> Result<Option<Bundle>, StoreError> {
        self.take_next_under(kind, None)
    }

    /// As [`Store::take_next`], for a session that agreed under a `standing` ([`Files::account_under`]).
    pub(super) fn take_next_under(
        &self,
        kind: &Kind,
        standing: Option<u64>,
    ) -> Result<Option<Bundle>, StoreError> {
        for number in self.held(kind)? {
            if let Some(bundle) = self.strike(kind, number, (None, standing))? {
                return Ok(Some(bundle));
            }
        }
        Ok(None)
    }

    /// Takes a bundle: when this returns it is struck off and its key is overwritten, durably, and no crash brings it back. `None` where it is not
    /// there, or is of another kind, or its file is gone or was cut.
    ///
    /// # Errors
    /// The store cannot be changed: then the bundle is not used.
    pub fn take(&self, kind: &Kind, number: u64) -> Result<Option<Bundle>, StoreError> {
        self.strike(kind, number, (None, None))
    }
}

impl Draft<'_> {
    /// The bundle's number.
    pub fn number(&self) -> u64 {
        self.number
    }

    fn seal(&mut self, blob: Arc<dyn Blob>) -> Result<(), Fault> {
        self.key.copy_from_slice(random()?.as_bytes());
        let about = about(self.store.side, &self.kind, self.number);
        let sealer = Sealer::new(blob, &self.key, &about);
        self.sealer = Some(sealer.map_err(|e| Fault::disk("beginning a bundle", e))?);
        Ok(())
    }

    /// Makes the bundle part of the store: durable when this returns.
    ///
    /// # Errors
    /// The disk refuses or the store is full; then the bundle never was.
    pub fn commit(mut self) -> Result<(), StoreError> {
        let Some(sealer) = self.sealer.take() else { return Ok(()) };
        let store = self.store;
        let bytes = sealer
            .finish()
            .map_err(|e| store.error(Fault::disk("writing a bundle", e)))
            .inspect_err(|_| {
                let _ = store.disk.remove(&draft_name(self.file));
            })?;
        store.with(|files, _| self.enter(files, bytes)).inspect_err(|_| {
            let _ = store.disk.remove(&draft_name(self.file));
        })
    }

    /// Key, name, record: in this order, so that a record always has both.
    fn enter(&self, files: &mut Files, bytes: u64) -> Result<(), Fault> {
        let (store, disk) = (self.store, self.store.disk.as_ref());
        let mut account = files.account_under(self.kind.peer, self.standing)?;
        files.has_room(store, &self.kind, file_bytes(bytes), 0)?;
        if files.book.bundle(self.kind.peer, self.number)?.is_some() {
            return Err(Fault::Refused(format!("there is a bundle {} already", self.number)));
        }
        let slot = files.totals()?.free_slot();
        let fail = |e: io::Error| Fault::disk("keeping a bundle", e);
        files.slots.put(slot, &self.key).map_err(fail)?;
        disk.rename(&draft_name(self.file), &sealed_name(self.file))
            .and_then(|()| disk.sync())
            .map_err(fail)?;
        account.next = account.next.max(self.number + 1);
        let record = Record {
            model: self.kind.model,
            plan: self.kind.plan,
            file: self.file,
            slot,
            bytes,
            made: now(),
            label: self.label.clone(),
        };
        files.book.update(|page| {
            page.set_bundle(self.kind.peer, self.number, &record)?;
            page.set_account(self.kind.peer, &account)
        })?;
        files.totals()?.add(self.kind.peer, &record);
        Ok(())
    }
}

impl Files {
    /// Whether so many more bytes, and one more bundle, fit beside `drafting` bytes that are being written.
    fn has_room(&mut self, store: &Store, kind: &Kind, more: u64, drafting: u64) -> Result<(), Fault> {
        let totals = self.totals()?;
        let ((count, bytes), (of_peer, theirs)) = (totals.all(), totals.peer(kind.peer));
        if of_peer >= MAX_BUNDLES || count >= keys::MAX_SLOTS {
            return Err(Fault::Full(format!("{of_peer} bundles are held: no more fit")));
        }
        let Options { limit, share, .. } = store.options;
        let held = bytes.saturating_add(drafting);
        for (held, limit, whose) in [(held, limit, "all"), (theirs, share, "this peer's")] {
            if held.saturating_add(more) > limit {
                return Err(Fault::Full(format!(
                    "{whose} bundles take {held} bytes, and {more} more would pass the limit of {limit}"
                )));
            }
        }
        Ok(())
    }
}
