//! Typed messages: an encoding, and a decoding that takes nothing else.

use crate::error::Error;

/// A message with one encoding. `decode` accepts exactly what `encode` writes: no spare bytes, no second form.
pub trait Message: Sized {
    /// The message's name in errors.
    const NAME: &'static str;

    /// Appends the encoding.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads the fields.
    ///
    /// # Errors
    /// [`Error::Malformed`] where the bytes are not an encoding.
    fn decode_fields(reader: &mut Reader<'_>) -> Result<Self, Error>;

    /// The encoding.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }

    /// The message that these bytes are, all of them.
    ///
    /// # Errors
    /// [`Error::Malformed`] where the bytes are not an encoding.
    fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader { name: Self::NAME, rest: bytes };
        let message = Self::decode_fields(&mut reader)?;
        match reader.rest.len() {
            0 => Ok(message),
            spare => Err(reader.malformed(format!("{spare} bytes too many"))),
        }
    }
}

/// Reads a message's fields, all integers little endian.
pub struct Reader<'a> {
    name: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// The next `count` bytes.
    ///
    /// # Errors
    /// [`Error::Malformed`] at the end, as in all methods here.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Error> {
        match self.rest.split_at_checked(count) {
            Some((head, rest)) => {
                self.rest = rest;
                Ok(head)
            }
            None => Err(self.malformed(format!("{} bytes where {count} are due", self.rest.len()))),
        }
    }

    /// The next bytes as an array.
    ///
    /// # Errors
    /// As [`Reader::bytes`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    /// A 16-bit integer.
    ///
    /// # Errors
    /// As [`Reader::bytes`].
    pub fn u16(&mut self) -> Result<u16, Error> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// A 32-bit integer.
    ///
    /// # Errors
    /// As [`Reader::bytes`].
    pub fn u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// A 64-bit integer.
    ///
    /// # Errors
    /// As [`Reader::bytes`].
    pub fn u64(&mut self) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// An error that names the message.
    pub fn malformed(&self, why: impl Into<String>) -> Error {
        Error::malformed(self.name, why)
    }
}
