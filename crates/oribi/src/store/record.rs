//! What the database holds about a peer and about a bundle, as bytes.

use std::fmt;

use protocol::Error;
use protocol::message::{Message, Reader};

/// Longest label, in bytes.
const MAX_LABEL: usize = 256;

/// The other party, as a store knows it: for a client the digest of the server's certificate, for a server the client's public key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peer(pub [u8; 32]);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peer({self})")
    }
}

/// What a bundle is for: it serves predictions of this kind and no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind {
    /// The other party.
    pub peer: Peer,
    /// The model's identifier.
    pub model: [u8; 16],
    /// Digest of all that both parties agreed on about the prediction: protocol, plan, output.
    pub plan: [u8; 32],
}

/// What both sides remember of each other.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Account {
    /// The nonce on which the two stores agreed last; zeros before the first time.
    pub(crate) epoch: [u8; 32],
    /// A nonce that this client proposed and whose acceptance it does not know of.
    pub(crate) proposed: Option<[u8; 32]>,
    /// All bundles so far have smaller numbers.
    pub(crate) next: u64,
    /// Bundles that this side has struck off for use, ever.
    pub(crate) spent: u64,
    /// Of those, how many the server is known to have struck off too.
    pub(crate) confirmed: u64,
    /// What tells this client's identity for this server from the ones before: random, but for the first.
    pub(crate) incarnation: u64,
    /// When the peer was last seen, in seconds since 1970.
    pub(crate) seen: u64,
}

impl Message for Account {
    const NAME: &'static str = "account";

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.epoch);
        out.extend_from_slice(&u16::from(self.proposed.is_some()).to_le_bytes());
        out.extend_from_slice(&self.proposed.unwrap_or_default());
        for number in [self.next, self.spent, self.confirmed, self.seen, self.incarnation] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn decode_fields(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let epoch = reader.array()?;
        let (flag, nonce) = (reader.u16()?, reader.array()?);
        let proposed = match flag {
            0 if nonce == [0; 32] => None,
            1 => Some(nonce),
            _ => return Err(reader.malformed("a nonce that is none")),
        };
        let (next, spent, confirmed, seen) = (reader.u64()?, reader.u64()?, reader.u64()?, reader.u64()?);
        Ok(Self { epoch, proposed, next, spent, confirmed, seen, incarnation: reader.u64()? })
    }
}

/// A bundle that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The model's identifier.
    pub(crate) model: [u8; 16],
    /// See [`Kind::plan`].
    pub(crate) plan: [u8; 32],
    /// The number in its file's name.
    pub(crate) file: u64,
    /// The slot of its key.
    pub(crate) slot: u32,
    /// Its length before it was sealed, in bytes.
    pub(crate) bytes: u64,
    /// When it was made, in seconds since 1970.
    pub(crate) made: u64,
    /// Words for people about what it is for.
    pub(crate) label: String,
}

/// A label as it can be kept.
pub(crate) fn shorten(label: &str) -> String {
    let mut end = label.len().min(MAX_LABEL);
    while !label.is_char_boundary(end) {
        end -= 1;
    }
    label[..end].to_owned()
}

impl Message for Record {
    const NAME: &'static str = "bundle's record";

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.model);
        out.extend_from_slice(&self.plan);
        for number in [self.file, self.bytes, self.made] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.slot.to_le_bytes());
        out.extend_from_slice(&u16::try_from(self.label.len()).unwrap_or(0).to_le_bytes());
        out.extend_from_slice(self.label.as_bytes());
    }

    fn decode_fields(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let (model, plan) = (reader.array()?, reader.array()?);
        let (file, bytes, made, slot) = (reader.u64()?, reader.u64()?, reader.u64()?, reader.u32()?);
        let length = usize::from(reader.u16()?);
        if length > MAX_LABEL {
            return Err(reader.malformed("its label is too long"));
        }
        let label = std::str::from_utf8(reader.bytes(length)?);
        let label = label.map_err(|_| reader.malformed("its label is no text"))?.to_owned();
        Ok(Self { model, plan, file, slot, bytes, made, label })
    }
}

impl Record {
    /// What the bundle is for.
    pub(crate) fn kind(&self, peer: Peer) -> Kind {
        Kind { peer, model: self.model, plan: self.plan }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_encoding() {
        let account = Account {
            epoch: [1; 32],
            proposed: Some([2; 32]),
            next: 3,
            spent: 2,
            confirmed: 1,
            ..Account::default()
        };
        assert_eq!(Account::from_bytes(&account.to_bytes()).unwrap(), account);
        let label = shorten(&"é".repeat(300));
        let record = Record { model: [1; 16], plan: [2; 32], file: 3, slot: 4, bytes: 5, made: 6, label };
        let bytes = record.to_bytes();
        assert_eq!(Record::from_bytes(&bytes).unwrap(), record);
        for length in 0..bytes.len() {
            assert!(Record::from_bytes(&bytes[..length]).is_err());
        }
    }
}
