//! The file system as the store uses it: one folder, plain names, and an explicit step after which bytes are durable.
//!
//! Every write and every sync goes through here, the database's too, so that tests put a disk underneath that loses what was
//! not synced and dies at any chosen step.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A folder.
pub(crate) trait Disk: Debug + Send + Sync {
    /// An existing file; `None` where there is none.
    fn open(&self, name: &str) -> io::Result<Option<Arc<dyn Blob>>>;
    /// A new file that only its owner can read.
    fn create(&self, name: &str) -> io::Result<Arc<dyn Blob>>;
    /// Gives a file another name, replacing what had it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file; an open one stays readable to whoever has it.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes names durable.
    fn sync(&self) -> io::Result<()>;
    /// Takes a lock that ends with the guard or the process; `None` where another process keeps it for longer than `patience`.
    fn lock(&self, name: &str, patience: Duration) -> io::Result<Option<Box<dyn Guard>>>;
    /// The folder's name in messages.
    fn path(&self) -> &Path;
}

/// An open file.
pub(crate) trait Blob: Debug + Send + Sync {
    /// Its length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Fills `out` from `offset` on.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts or extends with zeros.
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// Makes what was written durable.
    fn sync(&self) -> io::Result<()>;
    /// Marks the file as in use until it is closed; `false` where somebody else has.
    fn claim(&self) -> io::Result<bool>;
    /// Whether others than its owner may read it.
    fn is_exposed(&self) -> io::Result<bool>;
}

/// A lock that is held.
pub(crate) trait Guard: Send {}

/// A real folder.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// The folder at `path`, which must exist.
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }
}

/// A file open for reading and writing.
#[derive(Debug)]
struct OnDisk(Mutex<File>);

/// An open file that holds an operating system's lock.
struct Locked(#[allow(dead_code, reason = "closing it ends the lock")] File);

impl Guard for Locked {}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// How long to sleep between two tries for a lock.
const AGAIN: Duration = Duration::from_millis(5);

impl Disk for Folder {
    fn open(&self, name: &str) -> io::Result<Option<Arc<dyn Blob>>> {
        match OpenOptions::new().read(true).write(true).open(self.0.join(name)) {
            Ok(file) => Ok(Some(Arc::new(OnDisk(Mutex::new(file))))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn Blob>> {
        let mut options = OpenOptions::new();
        let file = private(options.read(true).write(true).create_new(true)).open(self.0.join(name))?;
        Ok(Arc::new(OnDisk(Mutex::new(file))))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    #[cfg(unix)]
    fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }

    /// Other systems sync names with their files.
    #[cfg(not(unix))]
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, name: &str, patience: Duration) -> io::Result<Option<Box<dyn Guard>>> {
        let mut options = OpenOptions::new();
        let file = private(options.write(true).create(true).truncate(false)).open(self.0.join(name))?;
        let until = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Box::new(Locked(file)))),
                Err(fs::TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(AGAIN),
                Err(fs::TryLockError::WouldBlock) => return Ok(None),
                Err(fs::TryLockError::Error(e)) => return Err(e),
            }
        }
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl OnDisk {
    fn at<T>(&self, offset: u64, run: impl FnOnce(&mut File) -> io::Result<T>) -> io::Result<T> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset))?;
        run(&mut file)
    }
}

impl Blob for OnDisk {
    fn len(&self) -> io::Result<u64> {
        self.at(0, |file| Ok(file.metadata()?.len()))
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.at(offset, |file| file.read_exact(out))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.at(offset, |file| file.write_all(bytes))
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.at(0, |file| file.set_len(length))
    }

    fn sync(&self) -> io::Result<()> {
        self.at(0, |file| file.sync_all())
    }

    fn claim(&self) -> io::Result<bool> {
        self.at(0, |file| match file.try_lock() {
            Ok(()) => Ok(true),
            Err(fs::TryLockError::WouldBlock) => Ok(false),
            Err(fs::TryLockError::Error(e)) => Err(e),
        })
    }

    #[cfg(unix)]
    fn is_exposed(&self) -> io::Result<bool> {
        use std::os::unix::fs::PermissionsExt;
        self.at(0, |file| Ok(file.metadata()?.permissions().mode() & 0o077 != 0))
    }

    #[cfg(not(unix))]
    fn is_exposed(&self) -> io::Result<bool> {
        Ok(false)
    }
}
