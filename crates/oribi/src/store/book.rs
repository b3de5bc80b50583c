//! The database: which bundles are held, and what is known of each peer.
//!
//! A transaction is durable once [`Book::update`] returns, or never happened.

use std::io;
use std::sync::Arc;

use protocol::message::Message;
use redb::{
    Database, Key, ReadableDatabase, ReadableTable, StorageBackend, Table, TableDefinition, Value,
    WriteTransaction,
};

use super::disk::{Blob, Disk};
use super::error::Fault;
use super::record::{Account, Peer, Record};

/// The file.
pub(crate) const FILE: &str = "store.redb";
/// Its name until it is complete.
const DRAFT: &str = "store.new";
/// The format that this program writes.
const FORMAT: u32 = 1;
/// Memory for the database's pages, in bytes: the whole of it, for all but the largest servers.
const CACHE: usize = 8 << 20;

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const ACCOUNTS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("accounts");
const BUNDLES: TableDefinition<'_, (&[u8; 32], u64), &[u8]> = TableDefinition::new("bundles");

/// The open database.
#[derive(Debug)]
pub(crate) struct Book(Database);

/// The database's file.
#[derive(Debug)]
struct Backend(Arc<dyn Blob>);

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, out)
    }

    /// The database writes a header that counts on the new length before it syncs again: a file that a power cut left shorter
    /// than its header says would not open.
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)?;
        self.0.sync()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }
}

/// The database's error in the store's terms: its own words are about pages.
fn refused(e: impl Into<redb::Error>) -> Fault {
    match e.into() {
        redb::Error::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
            Fault::damaged(FILE, "it is cut short")
        }
        redb::Error::Io(e) if e.kind() != io::ErrorKind::InvalidData => Fault::disk("using the database", e),
        e => Fault::damaged(FILE, e),
    }
}

fn damaged(e: protocol::Error) -> Fault {
    Fault::damaged(FILE, e)
}

fn begin(file: Arc<dyn Blob>) -> Result<Database, Fault> {
    Database::builder().set_cache_size(CACHE).create_with_backend(Backend(file)).map_err(refused)
}

impl Book {
    /// Makes the file, durable and complete or not at all; `meta` are its first entries.
    pub(crate) fn create(disk: &dyn Disk, meta: &[(&str, &[u8])]) -> Result<(), Fault> {
        let fail = |e: io::Error| Fault::disk("making a store", e);
        if disk.open(DRAFT).map_err(fail)?.is_some() {
            disk.remove(DRAFT).map_err(fail)?;
        }
        let file = disk.create(DRAFT).map_err(fail)?;
        let book = Self(begin(file.clone())?);
        book.update(|page| {
            page.meta("format", &FORMAT.to_le_bytes())?;
            meta.iter().try_for_each(|(name, value)| page.meta(name, value))?;
            page.accounts()?;
            page.bundles().map(drop)
        })?;
        drop(book);
        file.sync().map_err(fail)?;
        disk.rename(DRAFT, FILE).and_then(|()| disk.sync()).map_err(fail)
    }

    /// Opens the file; `None` where there is none.
    pub(crate) fn open(disk: &dyn Disk) -> Result<Option<Self>, Fault> {
        let fail = |e: io::Error| Fault::disk("opening the database", e);
        let Some(file) = disk.open(FILE).map_err(fail)? else { return Ok(None) };
        if file.is_exposed().map_err(fail)? {
            return Err(Fault::Exposed { file: FILE.into() });
        }
        if file.len().map_err(fail)? == 0 {
            return Err(Fault::damaged(FILE, "it is empty"));
        }
        let book = Self(begin(file)?);
        let found = book.meta("format")?.and_then(|bytes| Some(u32::from_le_bytes(bytes.try_into().ok()?)));
        match found {
            Some(FORMAT) => Ok(Some(book)),
            Some(found) => Err(Fault::Version { file: FILE.into(), found, expected: FORMAT }),
            None => Err(Fault::damaged(FILE, "it has no format")),
        }
    }

    /// An entry about the store itself.
    pub(crate) fn meta(&self, name: &str) -> Result<Option<Vec<u8>>, Fault> {
        self.read(META, |table| Ok(table.get(name).map_err(refused)?.map(|value| value.value().to_vec())))
    }

    /// What is known of a peer.
    pub(crate) fn account(&self, peer: Peer) -> Result<Option<Account>, Fault> {
        self.read(ACCOUNTS, |table| {
            let found = table.get(&peer.0).map_err(refused)?;
            found.map(|bytes| Account::from_bytes(bytes.value()).map_err(damaged)).transpose()
        })
    }

    /// All peers, in the order of their names.
    pub(crate) fn accounts(&self) -> Result<Vec<(Peer, Account)>, Fault> {
        self.read(ACCOUNTS, |table| {
            let all = table.iter().map_err(refused)?;
            all.map(|entry| {
                let (peer, bytes) = entry.map_err(refused)?;
                Ok((Peer(*peer.value()), Account::from_bytes(bytes.value()).map_err(damaged)?))
            })
            .collect()
        })
    }

    /// A bundle's record.
    pub(crate) fn bundle(&self, peer: Peer, number: u64) -> Result<Option<Record>, Fault> {
        self.read(BUNDLES, |table| {
            let found = table.get((&peer.0, number)).map_err(refused)?;
            found.map(|bytes| Record::from_bytes(bytes.value()).map_err(damaged)).transpose()
        })
    }

    /// All bundles of a peer, or of all peers, in the order of their numbers.
    pub(crate) fn bundles(&self, peer: Option<Peer>) -> Result<Vec<(Peer, u64, Record)>, Fault> {
        let (low, high) = peer.map_or(([0; 32], [0xff; 32]), |peer| (peer.0, peer.0));
        self.read(BUNDLES, |table| {
            let found = table.range((&low, 0)..=(&high, u64::MAX)).map_err(refused)?;
            found
                .map(|entry| {
                    let (key, bytes) = entry.map_err(refused)?;
                    let (peer, number) = key.value();
                    Ok((Peer(*peer), number, Record::from_bytes(bytes.value()).map_err(damaged)?))
                })
                .collect()
        })
    }

    /// A transaction: what `change` writes is durable when this returns, or nothing of it is.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&Page<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        let transaction = self.0.begin_write().map_err(refused)?;
        let result = change(&Page(&transaction))?;
        transaction.commit().map_err(refused)?;
        Ok(result)
    }

    /// Checks the checksums of all pages; `false` where the list of free pages was wrong and was made anew.
    pub(crate) fn check(&mut self) -> Result<bool, Fault> {
        self.0.check_integrity().map_err(refused)
    }

    /// Gives pages that are not used back to the file system.
    pub(crate) fn compact(&mut self) -> Result<(), Fault> {
        self.0.compact().map(drop).map_err(refused)
    }

    fn read<K: Key + 'static, V: Value + 'static, T>(
        &self,
        table: TableDefinition<'_, K, V>,
        look: impl FnOnce(&redb::ReadOnlyTable<K, V>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let transaction = self.0.begin_read().map_err(refused)?;
        look(&transaction.open_table(table).map_err(refused)?)
    }
}

/// Records of bundles, by peer and number.
type Bundles<'a> = Table<'a, (&'static [u8; 32], u64), &'static [u8]>;

/// A transaction under way.
pub(crate) struct Page<'a>(&'a WriteTransaction);

impl Page<'_> {
    fn accounts(&self) -> Result<Table<'_, &'static [u8; 32], &'static [u8]>, Fault> {
        self.0.open_table(ACCOUNTS).map_err(refused)
    }

    fn bundles(&self) -> Result<Bundles<'_>, Fault> {
        self.0.open_table(BUNDLES).map_err(refused)
    }

    fn meta(&self, name: &str, value: &[u8]) -> Result<(), Fault> {
        self.0.open_table(META).map_err(refused)?.insert(name, value).map_err(refused).map(drop)
    }

    /// Writes what is known of a peer.
    pub(crate) fn set_account(&self, peer: Peer, account: &Account) -> Result<(), Fault> {
        self.accounts()?.insert(&peer.0, account.to_bytes().as_slice()).map_err(refused).map(drop)
    }

    /// Forgets a peer.
    pub(crate) fn remove_account(&self, peer: Peer) -> Result<(), Fault> {
        self.accounts()?.remove(&peer.0).map_err(refused).map(drop)
    }

    /// Writes a bundle's record.
    pub(crate) fn set_bundle(&self, peer: Peer, number: u64, record: &Record) -> Result<(), Fault> {
        let bytes = record.to_bytes();
        self.bundles()?.insert((&peer.0, number), bytes.as_slice()).map_err(refused).map(drop)
    }

    /// Strikes a bundle off.
    pub(crate) fn remove_bundle(&self, peer: Peer, number: u64) -> Result<(), Fault> {
        self.bundles()?.remove((&peer.0, number)).map_err(refused).map(drop)
    }
}
