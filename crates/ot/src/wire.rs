//! Reading messages: every field is taken from a slice that is known to hold it.

use crate::Error;

/// The unread rest of a message.
pub(crate) struct Reader<'a> {
    what: &'static str,
    whole: usize,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the start of a message, which errors call `what`.
    pub(crate) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, whole: bytes.len(), rest: bytes }
    }

    /// The next `length` bytes.
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let read = self.whole - self.rest.len();
        let expected = read.saturating_add(length);
        let (head, tail) = self.rest.split_at_checked(length).ok_or_else(|| self.length(expected))?;
        self.rest = tail;
        Ok(head)
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// The next byte.
    pub(crate) fn byte(&mut self) -> Result<u8, Error> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Ends the message: there must be nothing left.
    pub(crate) fn end(self) -> Result<(), Error> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.length(self.whole - self.rest.len())) }
    }

    fn length(&self, expected: usize) -> Error {
        Error::Length { what: self.what, expected, found: self.whole }
    }
}
