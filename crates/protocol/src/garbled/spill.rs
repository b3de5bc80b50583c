//! Where labels go that do not fit in memory: a file without a name, readable by nobody else.

use std::fs::{File, OpenOptions, remove_file};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use garble::labels::{Backing, Spill};
use kernel::seed::Seed;

use crate::error::Error;

/// Bytes of labels that a prediction keeps in memory, half of them as they are and half as pages of tensors that went to a file.
static MEMORY: AtomicUsize = AtomicUsize::new(96 << 20);

/// Sets how many bytes of labels each prediction of this process keeps in memory; the rest goes to a temporary file. It says
/// nothing of what a gate works on at a time, some 20 MB.
pub fn set_label_memory(bytes: usize) {
    MEMORY.store(bytes, Ordering::Relaxed);
}

/// The memory of a prediction, whose file has a key of its own.
///
/// # Errors
/// When there is no randomness.
pub fn spill() -> Result<Spill, Error> {
    let seed = Seed::from_os()
        .map_err(|e| Error::Refused(format!("there is no randomness for a prediction: {e}")))?;
    let bytes = MEMORY.load(Ordering::Relaxed);
    Ok(Spill {
        key: seed.block("garbled/spill", 0),
        memory: bytes / 2,
        cache: bytes / 2,
        backing: Box::new(Nameless(None)),
    })
}

/// A file that is made when the first page comes and is gone with the prediction, however that ends.
struct Nameless(Option<File>);

impl Nameless {
    fn at(&mut self, number: u64) -> io::Result<&mut File> {
        let file = match &mut self.0 {
            Some(file) => file,
            none => none.insert(nameless(&folder())?),
        };
        file.seek(SeekFrom::Start(number * Spill::PAGE_BYTES as u64))?;
        Ok(file)
    }
}

impl Backing for Nameless {
    fn write(&mut self, number: u64, page: &[u8]) -> io::Result<()> {
        self.at(number)?.write_all(page)
    }

    fn read(&mut self, number: u64, page: &mut [u8]) -> io::Result<()> {
        self.at(number)?.read_exact(page)
    }
}

/// The folder that the user names, or one on a disk: the usual one is often memory.
fn folder() -> PathBuf {
    let disk = Path::new("/var/tmp");
    if std::env::var_os("TMPDIR").is_none() && disk.is_dir() { disk.into() } else { std::env::temp_dir() }
}

/// Makes a file that only its owner may open, and takes its name away.
fn nameless(folder: &Path) -> io::Result<File> {
    let name = Seed::from_os().map_err(io::Error::other)?.block("garbled/file", 0);
    let path = folder.join(format!("oribi-{:032x}", name.0));
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&path).map_err(|e| io::Error::other(format!("{}: {e}", folder.display())))?;
    remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nameless_file_keeps_pages_and_is_in_no_folder() {
        let folder = std::env::temp_dir().join(format!("oribi-spill-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut backing = Nameless(Some(nameless(&folder).unwrap()));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        std::fs::remove_dir(&folder).unwrap();
        for number in [3, 0, 1] {
            backing.write(number, &vec![number as u8; Spill::PAGE_BYTES]).unwrap();
        }
        let mut page = vec![9; Spill::PAGE_BYTES];
        for number in [0, 3, 1] {
            backing.read(number, &mut page).unwrap();
            assert!(page.iter().all(|byte| u64::from(*byte) == number));
        }
        assert!(backing.read(4, &mut page).is_err());
        assert!(nameless(Path::new("/nonexistent/folder")).unwrap_err().to_string().contains("/nonexistent"));
    }
}
