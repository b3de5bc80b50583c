//! Bytes and packed bits.

use kernel::modular::{Modulus, Packed};

use super::{HEADER, Kind, VERSION};
use crate::error::Error;
use crate::ring::{PackedRows, Ring, Rows};

/// Bytes of `count` numbers of `bits` bits.
pub(crate) const fn packed(count: usize, bits: u32) -> usize {
    (count * bits as usize).div_ceil(8)
}

/// Appends to a buffer.
pub(crate) struct Writer {
    out: Vec<u8>,
}

impl Writer {
    pub(crate) fn new(kind: Kind, id: u64, payload: usize) -> Self {
        let mut out = Vec::with_capacity(HEADER + payload);
        out.extend([VERSION, kind as u8]);
        out.extend(id.to_le_bytes());
        Self { out }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.out.push(byte);
    }

    pub(crate) fn u32(&mut self, x: u32) {
        self.bytes(&x.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, x: u64) {
        self.bytes(&x.to_le_bytes());
    }

    /// Numbers below 2^bits, for at most 64 bits, lowest bit first; the last byte is filled with zeros.
    pub(crate) fn words(&mut self, words: &[u64], bits: u32) {
        let (mut held, mut count) = (0u128, 0);
        for word in words {
            debug_assert!(bits == 64 || word >> bits == 0);
            held |= u128::from(*word) << count;
            count += bits;
            if count >= 64 {
                self.out.extend_from_slice(&(held as u64).to_le_bytes());
                held >>= 64;
                count -= 64;
            }
        }
        self.out.extend_from_slice(&held.to_le_bytes()[..count.div_ceil(8) as usize]);
    }

    /// The same for up to 128 bits: low and high words apart.
    pub(crate) fn wide(&mut self, numbers: &[u128], bits: u32) {
        let low: Vec<u64> = numbers.iter().map(|x| *x as u64).collect();
        self.words(&low, bits.min(64));
        if bits > 64 {
            let high: Vec<u64> = numbers.iter().map(|x| (x >> 64) as u64).collect();
            self.words(&high, bits - 64);
        }
    }

    /// Rows, each at the width of its modulus.
    pub(crate) fn rows(&mut self, ring: &Ring, rows: &Rows) {
        for (index, row) in rows.iter().enumerate() {
            self.words(row, ring.modulus(index).bits());
        }
    }

    /// The same of packed rows, which are their wire form already.
    pub(crate) fn packed_rows(&mut self, rows: &PackedRows) {
        rows.iter().for_each(|row| self.bytes(row.bytes()));
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.out
    }
}

/// Bytes of the first `rows` rows of a polynomial.
pub(crate) fn rows_bytes(ring: &Ring, rows: usize) -> usize {
    ring.moduli(rows).map(|q| packed(ring.degree(), q.bits())).sum()
}

/// Reads a buffer; every failure names the object.
pub(crate) struct Reader<'a> {
    kind: Kind,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Checks version, kind and identifier.
    pub(crate) fn new(kind: Kind, id: u64, bytes: &'a [u8]) -> Result<Self, Error> {
        let (mut reader, found) = Self::any(kind, bytes)?;
        reader.kind = kind;
        if found == id { Ok(reader) } else { Err(Error::Mismatch(kind.name())) }
    }

    /// Checks version and kind, and gives the identifier.
    pub(crate) fn any(kind: Kind, bytes: &'a [u8]) -> Result<(Self, u64), Error> {
        let mut reader = Self { kind, rest: bytes };
        let [version, found] = reader.array()?;
        if version != VERSION {
            return Err(reader.error("another version of the format"));
        }
        if found != kind as u8 {
            return Err(reader.error("another kind of object"));
        }
        let id = reader.u64()?;
        Ok((reader, id))
    }

    pub(crate) fn error(&self, why: &'static str) -> Error {
        Error::Wire { what: self.kind.name(), why }
    }

    /// Refuses unless exactly this many bytes are left: nothing is allocated before.
    pub(crate) fn expect(&self, length: Option<usize>) -> Result<(), Error> {
        if length == Some(self.rest.len()) { Ok(()) } else { Err(self.error("wrong length")) }
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let (head, tail) = self.rest.split_at_checked(length).ok_or_else(|| self.error("too short"))?;
        self.rest = tail;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut out = [0; N];
        out.copy_from_slice(self.bytes(N)?);
        Ok(out)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Error> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Error> {
        self.array().map(u64::from_le_bytes)
    }

    /// Fills `out` with packed numbers of `bits` bits, at most 64.
    pub(crate) fn words(&mut self, out: &mut [u64], bits: u32) -> Result<(), Error> {
        let bytes = self.bytes(packed(out.len(), bits))?;
        let mask = u64::MAX >> (64 - bits);
        let (chunks, tail) = bytes.as_chunks::<8>();
        let mut last = [0; 8];
        last[..tail.len()].copy_from_slice(tail);
        let mut source = chunks.iter().chain(core::iter::once(&last));
        let (mut held, mut count) = (0u128, 0);
        for out in out {
            if count < bits {
                held |= u128::from(source.next().map_or(0, |chunk| u64::from_le_bytes(*chunk))) << count;
                count += 64;
            }
            *out = held as u64 & mask;
            held >>= bits;
            count -= bits;
        }
        if held == 0 { Ok(()) } else { Err(self.error("padding is not zero")) }
    }

    /// Numbers of up to 128 bits, as [`Writer::wide`] packs them.
    pub(crate) fn wide(&mut self, count: usize, bits: u32) -> Result<Vec<u128>, Error> {
        let mut words = vec![0; count];
        self.words(&mut words, bits.min(64))?;
        let mut out: Vec<u128> = words.iter().map(|x| u128::from(*x)).collect();
        if bits > 64 {
            self.words(&mut words, bits - 64)?;
            out.iter_mut().zip(&words).for_each(|(out, high)| *out |= u128::from(*high) << 64);
        }
        Ok(out)
    }

    /// Residues at the width of their modulus.
    fn residues(&mut self, q: &Modulus, out: &mut [u64]) -> Result<(), Error> {
        self.words(out, q.bits())?;
        if out.iter().all(|x| *x < q.value()) { Ok(()) } else { Err(self.error("a residue is too large")) }
    }

    /// The first `count` rows of a polynomial.
    pub(crate) fn rows(&mut self, ring: &Ring, count: usize) -> Result<Rows, Error> {
        let mut rows = ring.zeros(count);
        for (q, row) in ring.moduli(count).zip(rows.iter_mut()) {
            self.residues(q, row)?;
        }
        Ok(rows)
    }

    /// The rows of a polynomial on the first `limbs` primes and the special one, left packed.
    pub(crate) fn packed_rows(&mut self, ring: &Ring, limbs: usize) -> Result<PackedRows, Error> {
        let rows = ring.extended(limbs).map(|prime| {
            let q = ring.modulus(prime);
            let bytes = self.bytes(packed(ring.degree(), q.bits()))?;
            Packed::from_bytes(q, ring.degree(), bytes).ok_or_else(|| self.error("a residue is too large"))
        });
        Ok(PackedRows(rows.collect::<Result<_, _>>()?))
    }
}
