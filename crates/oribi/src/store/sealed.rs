//! A bundle's bytes, sealed under a key of its own: written and read as a stream, in memory of one chunk.
//!
//! AES-256-GCM over chunks of 256 KiB. The key belongs to one bundle and is used for one file, so that a chunk's number is its nonce; the last
//! chunk's nonce says that it is the last (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár 2015). A file that was cut,
//! reordered or mixed with another does not open. What a bundle is for is authenticated with each chunk.

use std::io::{self, Read, Write};
use std::sync::Arc;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::{Zeroize, Zeroizing};

use super::disk::Blob;
use super::keys::SlotKey;

/// First bytes of a file; the last two are the format.
const MAGIC: &[u8; 16] = b"oribi bundle\0\0\0\x01";
/// Bytes of a chunk before it is sealed.
const CHUNK: usize = 256 << 10;
/// Bytes by which sealing lengthens a chunk.
const TAG: usize = 16;

/// Bytes of the file of a bundle of so many bytes.
pub(crate) fn file_bytes(bytes: u64) -> u64 {
    let chunks = bytes.div_ceil(CHUNK as u64).max(1);
    bytes.saturating_add(MAGIC.len() as u64).saturating_add(chunks.saturating_mul(TAG as u64))
}

/// A key with the chunks that it has passed.
struct Cipher {
    key: LessSafeKey,
    about: [u8; 32],
    chunks: u64,
}

impl Cipher {
    /// The cipher for a bundle that `about` describes.
    fn new(slot: &SlotKey, about: &[u8; 32]) -> io::Result<Self> {
        let mut material = Zeroizing::new([0; 64]);
        material[..32].copy_from_slice(&**slot);
        material[32..].copy_from_slice(about);
        let key = Zeroizing::new(blake3::derive_key("oribi store: key of a bundle, format 1", &*material));
        let key = UnboundKey::new(&AES_256_GCM, &*key).map_err(|_| io::Error::other("no key"))?;
        Ok(Self { key: LessSafeKey::new(key), about: *about, chunks: 0 })
    }

    fn nonce(&mut self, last: bool) -> io::Result<Nonce> {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&self.chunks.to_le_bytes());
        nonce[11] = u8::from(last);
        self.chunks = self.chunks.checked_add(1).ok_or_else(|| io::Error::other("too long"))?;
        Ok(Nonce::assume_unique_for_key(nonce))
    }

    /// Seals a chunk in place; it grows by its tag.
    fn seal(&mut self, chunk: &mut Vec<u8>, last: bool) -> io::Result<()> {
        let (nonce, about) = (self.nonce(last)?, self.about);
        let sealed = self.key.seal_in_place_append_tag(nonce, Aad::from(about), chunk);
        sealed.map_err(|_| io::Error::other("a chunk cannot be sealed"))
    }

    /// Opens a chunk in place; gives the length of what it held.
    fn open(&mut self, chunk: &mut [u8], last: bool) -> io::Result<usize> {
        let (nonce, about) = (self.nonce(last)?, self.about);
        let opened = self.key.open_in_place(nonce, Aad::from(about), chunk);
        opened.map(|plain| plain.len()).map_err(|_| damaged("its seal is broken"))
    }
}

fn damaged(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a stored bundle is damaged: {why}"))
}

/// Seals a stream into a file.
pub(crate) struct Sealer {
    file: Arc<dyn Blob>,
    cipher: Cipher,
    chunk: Vec<u8>,
    offset: u64,
    bytes: u64,
}

impl Sealer {
    /// Begins a file.
    pub(crate) fn new(file: Arc<dyn Blob>, slot: &SlotKey, about: &[u8; 32]) -> io::Result<Self> {
        file.write_at(0, MAGIC)?;
        let chunk = Vec::with_capacity(CHUNK + TAG);
        Ok(Self { file, cipher: Cipher::new(slot, about)?, chunk, offset: MAGIC.len() as u64, bytes: 0 })
    }

    /// Bytes that were written.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn put_chunk(&mut self, last: bool) -> io::Result<()> {
        self.cipher.seal(&mut self.chunk, last)?;
        self.file.write_at(self.offset, &self.chunk)?;
        self.offset += self.chunk.len() as u64;
        self.chunk.clear();
        Ok(())
    }

    /// Writes the last chunk and waits until all is durable; gives the bundle's bytes.
    pub(crate) fn finish(mut self) -> io::Result<u64> {
        self.put_chunk(true)?;
        self.file.sync()?;
        Ok(self.bytes)
    }
}

impl Write for Sealer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full chunk waits until it is known not to be the last.
        if self.chunk.len() == CHUNK && !bytes.is_empty() {
            self.put_chunk(false)?;
        }
        let count = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Sealer {
    fn drop(&mut self) {
        self.chunk.zeroize();
    }
}

/// Opens a sealed file as a stream.
pub(crate) struct Opener {
    file: Arc<dyn Blob>,
    cipher: Cipher,
    /// A decrypted chunk, of which `chunk[at..full]` was not read yet.
    chunk: Vec<u8>,
    at: usize,
    full: usize,
    /// Where the next chunk begins, and where the file ends.
    offset: u64,
    end: u64,
}

impl Opener {
    /// Begins to read a file that should hold `bytes` bytes.
    pub(crate) fn new(file: Arc<dyn Blob>, slot: &SlotKey, about: &[u8; 32], bytes: u64) -> io::Result<Self> {
        let end = file.len()?;
        if end != file_bytes(bytes) {
            return Err(damaged(&format!("{end} bytes long instead of {}", file_bytes(bytes))));
        }
        let mut magic = [0; MAGIC.len()];
        file.read_at(0, &mut magic)?;
        if magic != *MAGIC {
            return Err(damaged("it does not begin as a bundle of this format"));
        }
        let (cipher, offset) = (Cipher::new(slot, about)?, MAGIC.len() as u64);
        Ok(Self { file, cipher, chunk: Vec::new(), at: 0, full: 0, offset, end })
    }

    /// Opens the next chunk in place of what a buffer holds; nothing at the end.
    pub(crate) fn chunk(&mut self, chunk: &mut Vec<u8>) -> io::Result<()> {
        let left = self.end - self.offset;
        let length = left.min((CHUNK + TAG) as u64);
        chunk.resize(usize::try_from(length).map_err(io::Error::other)?, 0);
        if length == 0 {
            return Ok(());
        }
        self.file.read_at(self.offset, chunk)?;
        let plain = self.cipher.open(chunk, length == left)?;
        chunk.truncate(plain);
        self.offset += length;
        Ok(())
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        let mut chunk = std::mem::take(&mut self.chunk);
        let opened = self.chunk(&mut chunk);
        (self.at, self.full) = (0, if opened.is_ok() { chunk.len() } else { 0 });
        self.chunk = chunk;
        opened
    }
}

impl Read for Opener {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.full && self.offset < self.end {
            self.next_chunk()?;
        }
        let count = out.len().min(self.full - self.at);
        out[..count].copy_from_slice(&self.chunk[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        self.chunk.zeroize();
    }
}
