//! Parameter sets, as their literal.

use super::{Kind, Reader, Writer};
use crate::error::Error;
use crate::parameters::{Literal, MAX_LIMBS, Parameters};
use crate::plain::PlainModulus;

/// Bits of a generalised plaintext modulus' base, below its power.
const BASE_BITS: u32 = 48;

impl Parameters {
    /// The wire form: the literal, under the set's identifier.
    pub fn to_bytes(&self) -> Vec<u8> {
        let literal = self.literal();
        let mut out = Writer::new(Kind::Parameters, self.id(), 32 + 8 * literal.data.len());
        out.u32(literal.degree as u32);
        let (kind, value) = match literal.plain {
            PlainModulus::Prime(t) => (0, t),
            PlainModulus::PowerOfTwo(k) => (1, u64::from(k)),
            // A base has at most 48 bits.
            PlainModulus::Generalised { base, power } => (2, base | u64::from(power) << BASE_BITS),
        };
        out.byte(kind);
        out.u64(value);
        out.byte(literal.digit_bits.unwrap_or(0) as u8);
        out.u64(literal.special.unwrap_or(0));
        out.byte(literal.data.len() as u8);
        literal.data.iter().for_each(|q| out.u64(*q));
        out.finish()
    }

    /// Decodes, through the checked constructor: weak or impossible sets are refused.
    ///
    /// # Errors
    /// [`Error::Wire`] for malformed bytes, or as [`Self::new`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let (mut reader, id) = Reader::any(Kind::Parameters, bytes)?;
        let degree = reader.u32()? as usize;
        let (kind, value) = (reader.byte()?, reader.u64()?);
        let plain = match kind {
            0 => PlainModulus::Prime(value),
            1 if value <= 64 => PlainModulus::PowerOfTwo(value as u32),
            2 => PlainModulus::Generalised {
                base: value & ((1 << BASE_BITS) - 1),
                power: (value >> BASE_BITS) as u32,
            },
            _ => return Err(reader.error("no such plaintext modulus")),
        };
        let digit_bits = Some(u32::from(reader.byte()?)).filter(|bits| *bits > 0);
        let special = Some(reader.u64()?).filter(|prime| *prime > 0);
        let count = usize::from(reader.byte()?);
        if count > MAX_LIMBS {
            return Err(reader.error("too many limbs"));
        }
        reader.expect(Some(8 * count))?;
        let data = (0..count).map(|_| reader.u64()).collect::<Result<_, _>>()?;
        let parameters = Self::new(Literal { degree, plain, data, special, digit_bits })?;
        if parameters.id() == id {
            Ok(parameters)
        } else {
            Err(reader.error("the identifier is not the literal's"))
        }
    }
}
