//! The directory of a zip file: names, places and sizes of its entries, as in section 4.3 of PKWARE's APPNOTE.
//!
//! Only what `numpy.savez` writes is needed: entries that are stored or deflated, below 4 GiB, in one file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// Bytes of the end record without its comment.
const END_BYTES: usize = 22;

/// The largest directory that is read; that of a model's inputs has some hundred bytes.
const DIRECTORY_LIMIT: u32 = 1 << 20;

/// How an entry is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Stored,
    Deflated,
    Other(u16),
}

/// An entry of the file.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) method: Method,
    /// Bytes in the file.
    pub(super) packed: u64,
    /// Bytes once unpacked, as the directory claims.
    pub(super) unpacked: u64,
    /// Where the entry's own header stands.
    header: u64,
}

impl Entry {
    /// Moves `file` to the first packed byte.
    pub(super) fn seek(&self, file: &mut File) -> Result<(), String> {
        let unreadable = |error: std::io::Error| unreadable(&error);
        let mut header = [0u8; 30];
        file.seek(SeekFrom::Start(self.header)).map_err(unreadable)?;
        file.read_exact(&mut header).map_err(unreadable)?;
        if !header.starts_with(b"PK\x03\x04") {
            return Err(damaged("an entry is not where the directory says"));
        }
        let names = i64::from(short(&header, 26)) + i64::from(short(&header, 28));
        file.seek(SeekFrom::Current(names)).map_err(unreadable)?;
        Ok(())
    }
}

/// Reads the directory of a file of `length` bytes.
pub(super) fn directory(file: &mut File, length: u64) -> Result<Vec<Entry>, String> {
    let unreadable = |error: std::io::Error| unreadable(&error);
    let tail = length.min(END_BYTES as u64 + u64::from(u16::MAX));
    file.seek(SeekFrom::Start(length - tail)).map_err(unreadable)?;
    let mut end = Vec::new();
    file.take(tail).read_to_end(&mut end).map_err(unreadable)?;
    let start = end
        .windows(END_BYTES)
        .rposition(|window| window.starts_with(b"PK\x05\x06"))
        .ok_or_else(|| damaged("it has no directory at its end"))?;
    let (size, offset) = (long(&end, start + 12), long(&end, start + 16));
    if size > DIRECTORY_LIMIT || u64::from(offset) + u64::from(size) > length {
        return Err(damaged("its directory is larger than the file or than a model's inputs need"));
    }
    file.seek(SeekFrom::Start(u64::from(offset))).map_err(unreadable)?;
    let mut bytes = vec![0u8; size as usize];
    file.read_exact(&mut bytes).map_err(unreadable)?;
    entries(&bytes)
}

/// The entries in the bytes of a directory.
fn entries(mut bytes: &[u8]) -> Result<Vec<Entry>, String> {
    const FIXED: usize = 46;
    let mut found = Vec::new();
    while !bytes.is_empty() {
        if bytes.len() < FIXED || !bytes.starts_with(b"PK\x01\x02") {
            return Err(damaged("its directory is cut or garbled"));
        }
        let name_bytes = usize::from(short(bytes, 28));
        let total = FIXED + name_bytes + usize::from(short(bytes, 30)) + usize::from(short(bytes, 32));
        if bytes.len() < total {
            return Err(damaged("its directory is cut or garbled"));
        }
        if short(bytes, 8) & 1 == 1 {
            return Err("is an encrypted zip file; save it with numpy.savez".to_owned());
        }
        let (packed, unpacked, header) = (long(bytes, 20), long(bytes, 24), long(bytes, 42));
        if [packed, unpacked, header].contains(&u32::MAX) {
            return Err("holds an array of 4 GiB or more; use an .npy file".to_owned());
        }
        let name = String::from_utf8_lossy(&bytes[FIXED..FIXED + name_bytes]);
        found.push(Entry {
            name: name.strip_suffix(".npy").unwrap_or(&name).to_owned(),
            method: match short(bytes, 10) {
                0 => Method::Stored,
                8 => Method::Deflated,
                other => Method::Other(other),
            },
            packed: packed.into(),
            unpacked: unpacked.into(),
            header: header.into(),
        });
        bytes = &bytes[total..];
    }
    Ok(found)
}

fn damaged(what: &str) -> String {
    format!("the .npz file is damaged or truncated: {what}")
}

fn unreadable(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => damaged("it ends too early"),
        _ => format!("cannot be read: {error}"),
    }
}

/// The 16-bit number at `at`, which lies inside `bytes`.
fn short(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// The 32-bit number at `at`, which lies inside `bytes`.
fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from(short(bytes, at)) | u32::from(short(bytes, at + 2)) << 16
}
