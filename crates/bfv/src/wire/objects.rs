//! Messages, ciphertexts and replies.

use kernel::modular::Words;

use super::bits::{packed, rows_bytes};
use super::{HEADER, Kind, Reader, Writer};
use crate::ciphertext::Ciphertext;
use crate::encoder::Plaintext;
use crate::error::Error;
use crate::keys::expand;
use crate::parameters::Parameters;
use crate::random::SEED_BYTES;
use crate::reply::{Reply, ReplyShape, check_positions, modulus};

impl Plaintext {
    /// The wire form: N residues at the width of t.
    ///
    /// # Errors
    /// If it is of other parameters.
    pub fn to_bytes(&self, parameters: &Parameters) -> Result<Vec<u8>, Error> {
        parameters.check(self.id, "plaintext")?;
        let bits = residue_bits(parameters);
        let mut out = Writer::new(Kind::Plaintext, self.id, packed(self.coefficients.len(), bits));
        out.words(&self.coefficients, bits);
        Ok(out.finish())
    }

    /// Decodes.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for other parameters, [`Error::Wire`] for malformed bytes; as all decoders here.
    pub fn from_bytes(parameters: &Parameters, bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(Kind::Plaintext, parameters.id(), bytes)?;
        let bits = residue_bits(parameters);
        reader.expect(Some(packed(parameters.degree(), bits)))?;
        let mut coefficients = Words::zeros(parameters.degree());
        reader.words(&mut coefficients, bits)?;
        let max = parameters.plain_ring().max();
        if coefficients.iter().any(|x| *x > max) {
            return Err(reader.error("a residue is too large"));
        }
        Ok(Self { id: parameters.id(), coefficients })
    }
}

/// Bits of the largest residue of the plaintext modulus.
fn residue_bits(parameters: &Parameters) -> u32 {
    64 - parameters.plain_ring().max().leading_zeros()
}

impl Ciphertext {
    /// Bytes of the wire form with `limbs` limbs.
    pub fn wire_bytes(parameters: &Parameters, limbs: usize, seeded: bool) -> usize {
        let half = rows_bytes(parameters.ring(), limbs);
        HEADER + 2 + half + if seeded { SEED_BYTES } else { half }
    }

    /// The wire form: limbs, form, the first half, and the second half or its seed.
    ///
    /// # Errors
    /// If it is of other parameters.
    pub fn to_bytes(&self, parameters: &Parameters) -> Result<Vec<u8>, Error> {
        parameters.check(self.id, "ciphertext")?;
        let length = Self::wire_bytes(parameters, self.limbs(), self.is_seeded()) - HEADER;
        let mut out = Writer::new(Kind::Ciphertext, self.id, length);
        out.byte(self.limbs() as u8);
        out.byte(u8::from(self.is_seeded()));
        out.rows(parameters.ring(), &self.parts[0]);
        match &self.seed {
            Some(seed) => out.bytes(seed),
            None => out.rows(parameters.ring(), &self.parts[1]),
        }
        Ok(out.finish())
    }

    /// Decodes.
    ///
    /// # Errors
    /// As [`Plaintext::from_bytes`].
    pub fn from_bytes(parameters: &Parameters, bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(Kind::Ciphertext, parameters.id(), bytes)?;
        let [limbs, seeded] = reader.array()?.map(usize::from);
        if !(1..=parameters.limbs()).contains(&limbs) || seeded > 1 {
            return Err(reader.error("no such form"));
        }
        reader.expect(Some(Self::wire_bytes(parameters, limbs, seeded == 1) - HEADER - 2))?;
        let ring = parameters.ring();
        let body = reader.rows(ring, limbs)?;
        let (other, seed) = if seeded == 1 {
            let seed = reader.array()?;
            (expand(parameters, &seed, limbs), Some(seed))
        } else {
            (reader.rows(ring, limbs)?, None)
        };
        Ok(Self { id: parameters.id(), parts: [body, other], seed })
    }
}

impl Reply {
    /// Bytes of the wire form of a reply with `values` coefficients of the first half.
    pub fn wire_bytes(parameters: &Parameters, shape: ReplyShape, values: usize) -> usize {
        HEADER
            + 3
            + halves(parameters, shape, values).iter().map(|(count, bits)| wide(*count, *bits)).sum::<usize>()
    }

    /// The wire form: the shape and the high bits. The positions are not sent: both sides know them.
    ///
    /// # Errors
    /// If it is of other parameters.
    pub fn to_bytes(&self, parameters: &Parameters) -> Result<Vec<u8>, Error> {
        parameters.check(self.id, "reply")?;
        let length = Self::wire_bytes(parameters, self.shape, self.halves[0].len()) - HEADER;
        let mut out = Writer::new(Kind::Reply, self.id, length);
        out.byte(self.shape.limbs as u8);
        self.shape.low_bits.iter().for_each(|low| out.byte(*low as u8));
        let widths = halves(parameters, self.shape, self.halves[0].len());
        for (half, (_, bits)) in self.halves.iter().zip(widths) {
            out.wide(half, bits);
        }
        Ok(out.finish())
    }

    /// Decodes a reply with the given positions (all, if `None`).
    ///
    /// # Errors
    /// As [`Plaintext::from_bytes`], or if the positions are impossible.
    pub fn from_bytes(
        parameters: &Parameters,
        positions: Option<&[u32]>,
        bytes: &[u8],
    ) -> Result<Self, Error> {
        if let Some(positions) = positions {
            check_positions(parameters, positions)?;
            parameters.check_integer()?;
        }
        let mut reader = Reader::new(Kind::Reply, parameters.id(), bytes)?;
        let [limbs, low0, low1] = reader.array()?;
        let shape = ReplyShape { limbs: usize::from(limbs), low_bits: [u32::from(low0), u32::from(low1)] };
        shape.check(parameters).map_err(|_| reader.error("no such form"))?;
        let values = positions.map_or(parameters.degree(), <[u32]>::len);
        reader.expect(Some(Self::wire_bytes(parameters, shape, values) - HEADER - 3))?;
        let [first, second] = halves(parameters, shape, values);
        let halves = [reader.wide(first.0, first.1)?, reader.wide(second.0, second.1)?];
        let (product, _) = modulus(parameters.ring(), shape.limbs);
        for (half, low) in halves.iter().zip(shape.low_bits) {
            // The rounding of the largest residue.
            let max = (product - 1 + ((1 << low) >> 1)) >> low;
            if half.iter().any(|x| *x > max) {
                return Err(reader.error("a residue is too large"));
            }
        }
        Ok(Self { id: parameters.id(), shape, positions: positions.map(<[u32]>::to_vec), halves })
    }
}

/// Count and width of both halves.
fn halves(parameters: &Parameters, shape: ReplyShape, values: usize) -> [(usize, u32); 2] {
    let (_, bits) = modulus(parameters.ring(), shape.limbs);
    [(values, bits - shape.low_bits[0]), (parameters.degree(), bits - shape.low_bits[1])]
}

/// Bytes of numbers packed by [`Writer::wide`].
fn wide(count: usize, bits: u32) -> usize {
    packed(count, bits.min(64)) + if bits > 64 { packed(count, bits - 64) } else { 0 }
}
