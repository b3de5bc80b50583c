//! The messages of the stores' agreement, and of using and making bundles.
//!
//! | who | what |
//! | --- | --- |
//! | client | [`Statement`]: who it is, what it holds, what it has spent |
//! | server | [`Answer`]: what both hold; or that their records are of different times, and the client begins anew with another statement |
//! | client | once for each run: [`Wish`], to use a bundle, to make one, to do without, or to know how many there should be |
//! | server | for a bundle to be used: it goes on; for one to be made: its number |
//! | client, server | for one that was made: that each has made its half durable, the client first |

use protocol::message::{Message, Reader};
use protocol::{Error, Tag};

use super::MAX_BUNDLES;

/// The version of these messages.
pub const VERSION: u16 = 1;

/// A [`Statement`].
pub const STATEMENT: Tag = Tag::new(96, "the account of the client's store");
/// An [`Answer`].
pub const ANSWER: Tag = Tag::new(97, "the account of the server's store");
/// A [`Wish`].
pub const WISH: Tag = Tag::new(98, "the choice of a bundle");
/// The number of a bundle that is to be made.
pub const NUMBER: Tag = Tag::new(100, "a bundle's number");
/// How many bundles the server would like the client to have.
pub const TARGET: Tag = Tag::new(103, "how many bundles there should be");
/// The client's half is durable.
pub const MADE: Tag = Tag::new(101, "the client's receipt of a bundle");
/// The server's half is durable.
pub const KEPT: Tag = Tag::new(102, "the server's receipt of a bundle");

/// Longest [`Statement`], in bytes.
pub const MAX_STATEMENT_BYTES: usize = 2 + 3 * 32 + 3 * 8 + 2 + 8 * MAX_BUNDLES + 64;
/// Longest [`Answer`], in bytes.
pub const MAX_ANSWER_BYTES: usize = 2 + 8 + 2 + 8 * MAX_BUNDLES;
/// Bytes of a [`Wish`].
pub const WISH_BYTES: usize = 2 + 16;
/// Bytes of a bundle's number.
pub const NUMBER_BYTES: usize = 8;

/// What a client says of itself and of its half of the bundles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The client's public key.
    pub client: [u8; 32],
    /// The nonce on which the stores agreed last, as the client knows; zeros where they never have.
    pub epoch: [u8; 32],
    /// The nonce that the client proposes; where it proposed one before and got no answer, that one again.
    pub proposed: [u8; 32],
    /// All bundles that the client knows of have smaller numbers.
    pub next: u64,
    /// Bundles that the client has ever struck off for use.
    pub spent: u64,
    /// Of those, how many it knows the server to have struck off.
    pub confirmed: u64,
    /// The bundles that it holds, rising.
    pub held: Vec<u64>,
    /// Its proof of possession of the key, over all of the above and the connection.
    pub signature: [u8; 64],
}

/// Why two stores begin anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The server knows no such client, who says that it was here.
    Unknown,
    /// They do not remember the same last agreement.
    Epoch,
    /// One has forgotten what the other knows that it did.
    Count,
}

/// What the server makes of a [`Statement`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The stores agree, under the proposed nonce.
    Agreed {
        /// All bundles that the server knows of have smaller numbers.
        next: u64,
        /// The bundles of the client's that the server holds too, rising.
        kept: Vec<u64>,
    },
    /// They cannot have the same past. The server has forgotten the client and its bundles.
    Apart(Reason),
}

/// What a client wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To use a bundle, which it has struck off.
    Use {
        /// The bundle.
        number: u64,
        /// Bundles that the client has ever struck off, this one included.
        mark: u64,
    },
    /// To make a bundle for later.
    Make,
    /// To do without a bundle.
    Without,
    /// To know how many bundles the server would like it to have.
    Target,
}

fn put_numbers(out: &mut Vec<u8>, numbers: &[u64]) {
    let count = u16::try_from(numbers.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&count.to_le_bytes());
    for number in numbers.iter().take(usize::from(count)) {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

fn numbers(reader: &mut Reader<'_>) -> Result<Vec<u64>, Error> {
    let count = usize::from(reader.u16()?);
    if count > MAX_BUNDLES {
        return Err(reader.malformed(format!("{count} bundles")));
    }
    let numbers = (0..count).map(|_| reader.u64()).collect::<Result<Vec<_>, _>>()?;
    if !numbers.is_sorted_by(|a, b| a < b) || numbers.last() == Some(&u64::MAX) {
        return Err(reader.malformed("numbers of bundles that do not rise"));
    }
    Ok(numbers)
}

fn version(reader: &mut Reader<'_>) -> Result<(), Error> {
    match reader.u16()? {
        VERSION => Ok(()),
        other => Err(reader.malformed(format!("version {other} of stores, this program speaks {VERSION}"))),
    }
}

impl Statement {
    /// What is signed.
    pub fn signed(&self) -> Vec<u8> {
        let mut out = VERSION.to_le_bytes().to_vec();
        for part in [&self.client, &self.epoch, &self.proposed] {
            out.extend_from_slice(part);
        }
        for number in [self.next, self.spent, self.confirmed] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        put_numbers(&mut out, &self.held);
        out
    }
}

impl Message for Statement {
    const NAME: &'static str = "account of its store";

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.signed());
        out.extend_from_slice(&self.signature);
    }

    fn decode_fields(reader: &mut Reader<'_>) -> Result<Self, Error> {
        version(reader)?;
        let (client, epoch, proposed) = (reader.array()?, reader.array()?, reader.array()?);
        let (next, spent, confirmed) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let held = numbers(reader)?;
        let is_nonce = proposed != [0; 32] && proposed != epoch;
        if !is_nonce || confirmed > spent || held.last().is_some_and(|&last| last >= next) {
            return Err(reader.malformed("it contradicts itself"));
        }
        Ok(Self { client, epoch, proposed, next, spent, confirmed, held, signature: reader.array()? })
    }
}

impl Message for Answer {
    const NAME: &'static str = "account of its store";

    fn encode(&self, out: &mut Vec<u8>) {
        let code: u16 = match self {
            Self::Agreed { .. } => 0,
            Self::Apart(Reason::Unknown) => 1,
            Self::Apart(Reason::Epoch) => 2,
            Self::Apart(Reason::Count) => 3,
        };
        out.extend_from_slice(&code.to_le_bytes());
        if let Self::Agreed { next, kept } = self {
            out.extend_from_slice(&next.to_le_bytes());
            put_numbers(out, kept);
        }
    }

    fn decode_fields(reader: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(match reader.u16()? {
            0 => Self::Agreed { next: reader.u64()?, kept: numbers(reader)? },
            1 => Self::Apart(Reason::Unknown),
            2 => Self::Apart(Reason::Epoch),
            3 => Self::Apart(Reason::Count),
            code => return Err(reader.malformed(format!("verdict {code}"))),
        })
    }
}

impl Message for Wish {
    const NAME: &'static str = "choice of a bundle";

    fn encode(&self, out: &mut Vec<u8>) {
        let (code, number, mark): (u16, u64, u64) = match *self {
            Self::Use { number, mark } => (0, number, mark),
            Self::Make => (1, 0, 0),
            Self::Without => (2, 0, 0),
            Self::Target => (3, 0, 0),
        };
        out.extend_from_slice(&code.to_le_bytes());
        out.extend_from_slice(&number.to_le_bytes());
        out.extend_from_slice(&mark.to_le_bytes());
    }

    fn decode_fields(reader: &mut Reader<'_>) -> Result<Self, Error> {
        match (reader.u16()?, reader.u64()?, reader.u64()?) {
            (0, number, mark) if mark > 0 => Ok(Self::Use { number, mark }),
            (1, 0, 0) => Ok(Self::Make),
            (2, 0, 0) => Ok(Self::Without),
            (3, 0, 0) => Ok(Self::Target),
            (code, ..) => Err(reader.malformed(format!("choice {code}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement() -> Statement {
        Statement {
            client: [1; 32],
            epoch: [2; 32],
            proposed: [3; 32],
            next: 10,
            spent: 5,
            confirmed: 4,
            held: vec![3, 7, 9],
            signature: [4; 64],
        }
    }

    fn one_encoding<T: Message + PartialEq + std::fmt::Debug>(message: &T, most: usize) {
        let bytes = message.to_bytes();
        assert!(bytes.len() <= most);
        assert_eq!(&T::from_bytes(&bytes).unwrap(), message);
        let step = bytes.len() / 200 + 1;
        assert!((0..bytes.len()).step_by(step).all(|length| T::from_bytes(&bytes[..length]).is_err()));
        assert!(T::from_bytes(&[bytes.as_slice(), &[0]].concat()).is_err());
    }

    #[test]
    fn every_message_has_one_encoding() {
        one_encoding(&statement(), MAX_STATEMENT_BYTES);
        let full = (0..MAX_BUNDLES as u64).collect::<Vec<_>>();
        one_encoding(&Statement { held: full.clone(), next: 5000, ..statement() }, MAX_STATEMENT_BYTES);
        one_encoding(&Answer::Agreed { next: 7, kept: full }, MAX_ANSWER_BYTES);
        for reason in [Reason::Unknown, Reason::Epoch, Reason::Count] {
            one_encoding(&Answer::Apart(reason), MAX_ANSWER_BYTES);
        }
        for wish in [Wish::Use { number: 1, mark: 2 }, Wish::Make, Wish::Without, Wish::Target] {
            one_encoding(&wish, WISH_BYTES);
        }
    }

    #[test]
    fn what_decodes_has_these_bytes_alone() {
        fn try_one<T: Message>(bytes: &[u8]) -> bool {
            T::from_bytes(bytes).is_ok_and(|message| message.to_bytes() == bytes || panic!("{bytes:?}"))
        }
        let mut random = blake3::Hasher::new().finalize_xof();
        let good = [
            statement().to_bytes(),
            Answer::Agreed { next: 7, kept: vec![1, 2, 6] }.to_bytes(),
            Wish::Use { number: 1, mark: 2 }.to_bytes(),
        ];
        let mut decoded = 0;
        for case in 0..30_000 {
            let mut bytes = good[case % 3].clone();
            let mut change = [0; 4];
            random.fill(&mut change);
            let place = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
            bytes[place] = change[2];
            bytes.truncate(if change[3] < 32 { place } else { bytes.len() });
            let all = [try_one::<Statement>, try_one::<Answer>, try_one::<Wish>];
            decoded += all.iter().filter(|one| one(&bytes)).count();
        }
        assert!((1000..30_000).contains(&decoded), "{decoded}");
    }

    #[test]
    fn contradictions_are_refused() {
        let wrong = [
            Statement { held: vec![7, 3], ..statement() },
            Statement { held: vec![3, 3], ..statement() },
            Statement { held: vec![10], ..statement() },
            Statement { confirmed: 6, ..statement() },
            Statement { proposed: [0; 32], ..statement() },
            Statement { proposed: [2; 32], ..statement() },
        ];
        for statement in wrong {
            assert!(Statement::from_bytes(&statement.to_bytes()).is_err());
        }
        assert!(Wish::from_bytes(&[0; WISH_BYTES]).is_err());
    }
}
