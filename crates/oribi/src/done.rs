//! The server's last message of a prediction.

use protocol::Error;
use protocol::message::{Message, Reader};

/// Bytes of [`Done`].
pub(crate) const DONE_BYTES: usize = 8;

/// What the server tells when it has done its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    /// The server's largest resident set so far, in bytes.
    pub(crate) peak_rss_bytes: u64,
}

impl Message for Done {
    const NAME: &'static str = "end of a prediction";

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.peak_rss_bytes.to_le_bytes());
    }

    fn decode_fields(reader: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(Self { peak_rss_bytes: reader.u64()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_encoding() {
        let done = Done { peak_rss_bytes: 0x0102_0304_0506_0708 };
        let bytes = done.to_bytes();
        assert_eq!(bytes.len(), DONE_BYTES);
        assert_eq!(Done::from_bytes(&bytes).unwrap(), done);
        assert!(Done::from_bytes(&bytes[1..]).is_err());
        assert!(Done::from_bytes(&[0; 9]).is_err());
    }
}
