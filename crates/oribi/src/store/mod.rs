//! The store of one-time material: what an offline phase made, kept until a prediction uses it, once.
//!
//! Each side has a store of its own. A *bundle* is one side's half of the material of one prediction; both halves have the same number. The rules,
//! each of which the tests break a process or a disk for:
//!
//! - *Struck off before its first use.* [`Store::take`] gives a bundle only after its record is gone and the key that opens it is overwritten, durably. After a
//!   crash at any instant a bundle may be lost; it is never used twice.
//! - *Erased, not only deleted.* Bundles are sealed files ([`sealed`]); their keys are slots of a small file that are overwritten in place ([`keys`]).
//! - *The two stores agree.* At each connection both sides exchange which bundles they hold ([`exchange`]), and what one side
//!   alone holds is dropped. A nonce that changes with each such agreement and counts of what was spent show a restored backup or a cloned disk
//!   ([`agreement`]); then all bundles of that pair are discarded.
//! - *Nobody spends another's bundles.* A client is known to a server by a key of its own ([`identity`]), whose possession it
//!   proves for each connection.
//!
//! The folder holds a database ([`book`]) of small records, the keys, and one sealed file a bundle. Processes share a client's store step by step; a server has
//! its own for as long as it runs.

mod agreement;
mod book;
mod bundle;
mod disk;
mod error;
mod exchange;
mod identity;
mod keys;
mod record;
mod sealed;
mod survey;
#[cfg(test)]
mod tests;
mod totals;
pub mod wire;

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kernel::seed::Seed;
use zeroize::Zeroizing;

use book::Book;
use disk::{Disk, Folder, Guard};
use keys::Slots;
use record::Account;
use totals::Totals;

pub use agreement::Outcome;
pub use bundle::{Bundle, Draft, Ticket};
pub use error::{Fault, StoreError};
pub use exchange::{ClientSide, Offer, Prepared, Request, ServerSide};
pub use record::{Kind, Peer};
pub use survey::{Checked, Group, Swept};

/// Most bundles that two parties hold together at a time.
pub const MAX_BUNDLES: usize = 4096;
/// Most clients that a server's store knows.
const MAX_ACCOUNTS: usize = 1 << 16;
/// After so long without its peer a bundle is abandoned.
const ABANDONED: Duration = Duration::from_secs(90 * 24 * 3600);
/// How often a store that stays open looks for abandoned bundles.
const LOOK: Duration = Duration::from_secs(3600);
/// The lock on the whole folder.
const LOCK: &str = "lock";

/// Whose half of bundles a store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The party with the input.
    Client,
    /// The party with the weights.
    Server,
}

impl Side {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// How a store is used.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of bundles that it may hold.
    pub limit: u64,
    /// Bytes of those that bundles with one peer may take.
    pub share: u64,
    /// Whether this process keeps the store to itself for as long as it runs. Otherwise it has it one step at a time.
    pub exclusive: bool,
    /// How long to wait for another process that has the store.
    pub patience: Duration,
}

/// Bytes of bundles that a store holds where nothing else is said.
pub const DEFAULT_LIMIT: u64 = 20_000_000_000;

impl Options {
    /// A client's: shared with other processes of the client.
    pub fn client(limit: u64) -> Self {
        Self { limit, share: limit, exclusive: false, patience: Duration::from_secs(20) }
    }

    /// A server's: kept for as long as the server runs, and no client takes more than a quarter.
    pub fn server(limit: u64) -> Self {
        Self { limit, share: limit / 4, exclusive: true, patience: Duration::from_secs(2) }
    }
}

/// A store of one-time material.
pub struct Store {
    disk: Arc<dyn Disk>,
    side: Side,
    options: Options,
    state: Mutex<State>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({} at {})", self.side.name(), self.disk.path().display())
    }
}

/// What this process knows.
#[derive(Default)]
struct State {
    /// The open files, while they are held.
    files: Option<Files>,
    /// Whether this process has cleared away what a crash left.
    recovered: bool,
    /// Bytes that drafts of this process will take.
    drafting: u64,
    /// Bundles that sessions of this process are making.
    making: HashSet<(Peer, u64)>,
    /// Sessions of this process with each peer.
    present: HashMap<Peer, usize>,
    /// When it last looked for abandoned bundles.
    looked: Option<Instant>,
}

/// The open files and the lock on them, which must go last.
struct Files {
    book: Book,
    slots: Slots,
    totals: Option<Totals>,
    _guard: Box<dyn Guard>,
}

impl Store {
    /// The store in a folder; made on the first call.
    ///
    /// # Errors
    /// The folder cannot be used, holds another side's store or a damaged one, or another process has it.
    pub fn open(folder: &Path, side: Side, options: Options) -> Result<Self, StoreError> {
        let made = crate::identity::create_directory(folder);
        let fail = |e| StoreError { path: folder.to_owned(), what: Fault::disk("making the folder", e) };
        made.map_err(fail)?;
        Self::on(Arc::new(Folder::new(folder)), side, options)
    }

    /// Whether there is a store in a folder.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(book::FILE).is_file()
    }

    /// The store that a folder holds, whosever it is.
    ///
    /// # Errors
    /// As [`Store::open`], and there is none.
    pub fn existing(folder: &Path, options: Options) -> Result<Self, StoreError> {
        let fail = |what| StoreError { path: folder.to_owned(), what };
        if !Self::is_in(folder) {
            return Err(fail(Fault::Absent));
        }
        let disk: Arc<dyn Disk> = Arc::new(Folder::new(folder));
        let side = Files::acquire(&disk, options).and_then(|files| files.side()).map_err(fail)?;
        // Whoever looks at a store changes nothing in it, unless told to.
        let state = Mutex::new(State { recovered: true, ..State::default() });
        Ok(Self { disk, side, options, state })
    }

    /// The store on a disk.
    fn on(disk: Arc<dyn Disk>, side: Side, options: Options) -> Result<Self, StoreError> {
        let store = Self { disk, side, options, state: Mutex::default() };
        store.create()?;
        store.with(|files, _| match files.side()? {
            found if found == side => Ok(()),
            found => Err(Fault::Side { found: found.name(), expected: side.name() }),
        })?;
        Ok(store)
    }

    /// Makes the files where there are none.
    fn create(&self) -> Result<(), StoreError> {
        let disk = self.disk.as_ref();
        let make = || {
            let fail = |e| Fault::disk("making a store", e);
            let guard = disk.lock(LOCK, self.options.patience).map_err(fail)?.ok_or(Fault::Busy)?;
            if disk.open(book::FILE).map_err(fail)?.is_none() {
                Slots::create(disk).map_err(fail)?;
                let secret = random()?;
                Book::create(
                    disk,
                    &[("side", self.side.name().as_bytes()), ("secret", secret.as_bytes().as_slice())],
                )?;
            }
            drop(guard);
            Ok(())
        };
        contained(make).map_err(|what| self.error(what))
    }

    /// Whose store it is.
    pub fn side(&self) -> Side {
        self.side
    }

    /// Bytes of bundles that it may hold.
    pub fn limit(&self) -> u64 {
        self.options.limit
    }

    /// A secret identifier-maker for models: the same for the same content in this store, and unrelated to it for whoever does not
    /// have the store, so that it confirms no guess at weights.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn model_identifier(&self, content: &[u8; 32]) -> Result<[u8; 16], StoreError> {
        let mut id = [0; 16];
        let secret = self.with(|files, _| files.secret())?;
        let name = blake3::Hash::from_bytes(*content).to_hex();
        id.copy_from_slice(&secret.child(&format!("model {name}"), 0).as_bytes()[..16]);
        Ok(id)
    }

    /// Numbers of the bundles that serve a kind of prediction, the oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn held(&self, kind: &Kind) -> Result<Vec<u64>, StoreError> {
        self.with(|files, _| {
            let all = files.book.bundles(Some(kind.peer))?;
            Ok(all.into_iter().filter(|(_, _, r)| r.kind(kind.peer) == *kind).map(|(_, n, _)| n).collect())
        })
    }

    /// Runs a step with the open files, alone.
    fn with<T>(
        &self,
        step: impl FnOnce(&mut Files, &mut Notes<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let mut state = self.state();
        let State { files, recovered, drafting, making, present, looked } = &mut *state;
        let result = contained(|| {
            let open = match files.as_mut() {
                Some(open) => open,
                None => files.insert(Files::acquire(&self.disk, self.options)?),
            };
            if !*recovered {
                open.sweep(self.disk.as_ref())?;
                open.expire(self.disk.as_ref(), now())?;
                (*recovered, *looked) = (true, Some(Instant::now()));
            }
            step(open, &mut Notes { drafting, making, present, looked })
        });
        // A database that met an error must be opened again before it is used; a refusal is none.
        let failed = matches!(result, Err(Fault::Disk { .. } | Fault::Damaged { .. }));
        if failed || !self.options.exclusive {
            *recovered &= !failed;
            let closed = contained(|| {
                *files = None;
                Ok(())
            });
            return closed.and(result).map_err(|what| self.error(what));
        }
        result.map_err(|what| self.error(what))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, what: Fault) -> StoreError {
        StoreError { path: self.disk.path().to_owned(), what }
    }
}

/// What this process notes beside the files.
struct Notes<'a> {
    drafting: &'a mut u64,
    making: &'a mut HashSet<(Peer, u64)>,
    present: &'a mut HashMap<Peer, usize>,
    looked: &'a mut Option<Instant>,
}

impl Files {
    /// Waits for the lock and opens the files.
    fn acquire(disk: &Arc<dyn Disk>, options: Options) -> Result<Self, Fault> {
        let fail = |e| Fault::disk("locking the store", e);
        let guard = disk.lock(LOCK, options.patience).map_err(fail)?.ok_or(Fault::Busy)?;
        contained(|| {
            let book = Book::open(disk.as_ref())?.ok_or(Fault::Absent)?;
            Ok(Self { book, slots: Slots::open(disk.as_ref())?, totals: None, _guard: guard })
        })
    }

    fn side(&self) -> Result<Side, Fault> {
        match self.book.meta("side")?.as_deref() {
            Some(b"client") => Ok(Side::Client),
            Some(b"server") => Ok(Side::Server),
            _ => Err(Fault::damaged(book::FILE, "it does not say whose it is")),
        }
    }

    /// The secret from which identities derive.
    fn secret(&self) -> Result<Seed, Fault> {
        let stored = self.book.meta("secret")?.map(Zeroizing::new).filter(|stored| stored.len() == 32);
        let stored = stored.ok_or_else(|| Fault::damaged(book::FILE, "it has no identity"))?;
        let mut bytes = Zeroizing::new([0; 32]);
        bytes.copy_from_slice(&stored);
        Ok(Seed::from_bytes(*bytes))
    }

    /// What is known of a peer, which must be the account under which a session agreed: another session may have begun anew since.
    fn account_under(&self, peer: Peer, standing: Option<u64>) -> Result<Account, Fault> {
        let account = self.book.account(peer)?;
        match (standing, &account) {
            (None, _) => Ok(account.unwrap_or_default()),
            (Some(incarnation), Some(known)) if known.incarnation == incarnation => {
                account.ok_or(Fault::Parted)
            }
            _ => Err(Fault::Parted),
        }
    }

    /// Drops bundles of a peer: their records first, then their keys and files.
    fn discard(
        &mut self,
        disk: &dyn Disk,
        peer: Peer,
        account: Option<&Account>,
        drop: impl Fn(u64) -> bool,
    ) -> Result<usize, Fault> {
        let gone: Vec<_> = self.book.bundles(Some(peer))?.into_iter().filter(|(_, n, _)| drop(*n)).collect();
        self.book.update(|page| {
            gone.iter().try_for_each(|(peer, number, _)| page.remove_bundle(*peer, *number))?;
            match account {
                Some(account) => page.set_account(peer, account),
                None => page.remove_account(peer),
            }
        })?;
        if let Some(totals) = &mut self.totals {
            gone.iter().for_each(|(peer, _, record)| totals.remove(*peer, record));
        }
        let slots = gone.iter().map(|(_, _, record)| record.slot);
        self.slots.erase_many(slots).map_err(|e| Fault::disk("erasing keys", e))?;
        gone.iter().try_for_each(|(_, _, record)| bundle::remove(disk, record.file))?;
        Ok(gone.len())
    }

    /// The sums over all bundles; counted once while the files are open.
    fn totals(&mut self) -> Result<&mut Totals, Fault> {
        let totals = match self.totals.take() {
            Some(totals) => totals,
            None => Totals::of(&self.book.bundles(None)?),
        };
        Ok(self.totals.insert(totals))
    }
}

/// Runs what reads a file that anything may have happened to: where the database panics on such a file, that is an error.
fn contained<T>(run: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    let outer = CONTAINED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    CONTAINED.set(outer);
    result.unwrap_or_else(|_| Err(Fault::damaged(book::FILE, "the database cannot make sense of it")))
}

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread, at this moment, is caught and becomes an error: a panic hook need not print it.
pub fn is_contained() -> bool {
    CONTAINED.get()
}

/// Fresh randomness.
fn random() -> Result<Seed, Fault> {
    Seed::from_os().map_err(|e| Fault::disk("drawing randomness", e))
}

/// A fresh random number.
fn random_number() -> Result<u64, Fault> {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&random()?.as_bytes()[..8]);
    Ok(u64::from_le_bytes(bytes))
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
