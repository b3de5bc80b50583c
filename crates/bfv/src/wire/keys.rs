//! Keys. Their uniform halves are seeds.

use zeroize::Zeroizing;

use super::bits::{packed, rows_bytes};
use super::{HEADER, Kind, Reader, Writer};
use crate::error::Error;
use crate::keys::{GaloisKeys, PublicKey, RelinearisationKey, SecretKey, SwitchingKey, digit_shape};
use crate::parameters::Parameters;
use crate::random::{SEED_BYTES, Small};

impl SecretKey {
    /// The form for a sealed store: two bits for each coefficient. It is as secret as the key.
    ///
    /// # Errors
    /// If it is of another ring.
    pub fn to_bytes(&self, parameters: &Parameters) -> Result<Zeroizing<Vec<u8>>, Error> {
        parameters.check_ring(self.ring_id, "secret key")?;
        let words = Zeroizing::new(self.coefficients.0.iter().map(|x| (x + 1) as u64).collect::<Vec<_>>());
        let mut out = Writer::new(Kind::SecretKey, self.ring_id, packed(words.len(), 2));
        out.words(&words, 2);
        Ok(Zeroizing::new(out.finish()))
    }

    /// Decodes.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for another ring, [`Error::Wire`] for malformed bytes; as all decoders here.
    pub fn from_bytes(parameters: &Parameters, bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(Kind::SecretKey, parameters.ring_id(), bytes)?;
        reader.expect(Some(packed(parameters.degree(), 2)))?;
        let mut words = Zeroizing::new(vec![0; parameters.degree()]);
        reader.words(&mut words, 2)?;
        if words.contains(&3) {
            return Err(reader.error("a coefficient is not ternary"));
        }
        Ok(Self::from_coefficients(parameters, Small(words.iter().map(|x| *x as i8 - 1).collect())))
    }
}

impl PublicKey {
    /// Bytes of the wire form.
    pub fn wire_bytes(parameters: &Parameters) -> usize {
        HEADER + SEED_BYTES + rows_bytes(parameters.ring(), parameters.limbs())
    }

    /// The wire form: the seed and the body.
    ///
    /// # Errors
    /// If it is of another ring.
    pub fn to_bytes(&self, parameters: &Parameters) -> Result<Vec<u8>, Error> {
        parameters.check_ring(self.ring_id, "public key")?;
        let mut out = Writer::new(Kind::PublicKey, self.ring_id, Self::wire_bytes(parameters) - HEADER);
        out.bytes(&self.seed);
        out.rows(parameters.ring(), &self.body);
        Ok(out.finish())
    }

    /// Decodes.
    ///
    /// # Errors
    /// As [`SecretKey::from_bytes`].
    pub fn from_bytes(parameters: &Parameters, bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(Kind::PublicKey, parameters.ring_id(), bytes)?;
        reader.expect(Some(Self::wire_bytes(parameters) - HEADER))?;
        let seed = reader.array()?;
        let body = reader.rows(parameters.ring(), parameters.limbs())?;
        Ok(Self::from_wire(parameters, body, seed))
    }
}

impl SwitchingKey {
    /// The seed and the bodies of a key for this many limbs.
    fn payload(parameters: &Parameters, limbs: usize) -> usize {
        let ring = parameters.ring();
        let special = rows_bytes(ring, ring.all()) - rows_bytes(ring, ring.data());
        SEED_BYTES + digit_shape(parameters, limbs).len() * (rows_bytes(ring, limbs) + special)
    }

    fn write(&self, out: &mut Writer) {
        out.bytes(&self.seed);
        self.bodies.iter().for_each(|body| out.packed_rows(body));
    }

    fn read(parameters: &Parameters, limbs: usize, reader: &mut Reader<'_>) -> Result<Self, Error> {
        let ring = parameters.ring();
        let seed = reader.array()?;
        let bodies = digit_shape(parameters, limbs)
            .iter()
            .map(|_| reader.packed_rows(ring, limbs))
            .collect::<Result<_, _>>()?;
        Ok(Self::from_wire(parameters, limbs, bodies, seed))
    }
}

impl RelinearisationKey {
    /// Bytes of the wire form.
    pub fn wire_bytes(parameters: &Parameters) -> usize {
        HEADER + SwitchingKey::payload(parameters, parameters.limbs())
    }

    /// The wire form: the seed and the bodies.
    ///
    /// # Errors
    /// If it is of another ring.
    pub fn to_bytes(&self, parameters: &Parameters) -> Result<Vec<u8>, Error> {
        parameters.check_ring(self.ring_id, "relinearisation key")?;
        let length = Self::wire_bytes(parameters) - HEADER;
        let mut out = Writer::new(Kind::RelinearisationKey, self.ring_id, length);
        self.key.write(&mut out);
        Ok(out.finish())
    }

    /// Decodes.
    ///
    /// # Errors
    /// As [`SecretKey::from_bytes`].
    pub fn from_bytes(parameters: &Parameters, bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(Kind::RelinearisationKey, parameters.ring_id(), bytes)?;
        reader.expect(Some(Self::wire_bytes(parameters) - HEADER))?;
        let key = SwitchingKey::read(parameters, parameters.limbs(), &mut reader)?;
        Ok(Self { ring_id: parameters.ring_id(), key })
    }
}

/// Bytes of a Galois key's exponent.
const EXPONENT: usize = 4;

/// Bits of the exponent; above them is the number of limbs that the key lacks.
const EXPONENT_BITS: u32 = 24;

impl GaloisKeys {
    /// Bytes of the wire form of keys for `count` automorphisms, of all limbs.
    pub fn wire_bytes(parameters: &Parameters, count: usize) -> usize {
        Self::wire_bytes_of(parameters, core::iter::repeat_n(parameters.limbs(), count))
    }

    /// Bytes of the wire form of keys with these numbers of limbs.
    pub fn wire_bytes_of(parameters: &Parameters, limbs: impl IntoIterator<Item = usize>) -> usize {
        let key = |limbs: usize| EXPONENT + SwitchingKey::payload(parameters, limbs.min(parameters.limbs()));
        HEADER + 4 + limbs.into_iter().map(key).sum::<usize>()
    }

    /// The wire form: their number, and for each the exponent and the number of limbs that it lacks, the seed and the bodies,
    /// by increasing exponent.
    ///
    /// # Errors
    /// If they are of another ring.
    pub fn to_bytes(&self, parameters: &Parameters) -> Result<Vec<u8>, Error> {
        parameters.check_ring(self.ring_id, "Galois key")?;
        let length = Self::wire_bytes_of(parameters, self.keys.values().map(|key| key.limbs)) - HEADER;
        let mut out = Writer::new(Kind::GaloisKeys, self.ring_id, length);
        out.u32(self.keys.len() as u32);
        for (exponent, key) in &self.keys {
            out.u32(*exponent as u32 | ((parameters.limbs() - key.limbs) as u32) << EXPONENT_BITS);
            key.write(&mut out);
        }
        Ok(out.finish())
    }

    /// Decodes at most `limit` keys: each takes twice its wire form in memory.
    ///
    /// # Errors
    /// As [`SecretKey::from_bytes`].
    pub fn from_bytes(parameters: &Parameters, limit: usize, bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(Kind::GaloisKeys, parameters.ring_id(), bytes)?;
        let count = reader.u32()? as usize;
        if count > limit.min(parameters.degree()) {
            return Err(reader.error("too many keys"));
        }
        let mut keys = std::collections::BTreeMap::new();
        let mut last = 1;
        for _ in 0..count {
            let head = reader.u32()?;
            let (exponent, lacking) =
                ((head & ((1 << EXPONENT_BITS) - 1)) as usize, (head >> EXPONENT_BITS) as usize);
            let limbs = parameters.limbs().saturating_sub(lacking);
            if limbs == 0 {
                return Err(reader.error("a key without limbs"));
            }
            if exponent <= last || exponent.is_multiple_of(2) || exponent >= 2 * parameters.degree() {
                return Err(reader.error("exponents are not increasing odd numbers"));
            }
            last = exponent;
            // Each row is read before it is unpacked: a lie about the number of keys allocates nothing.
            keys.insert(exponent, SwitchingKey::read(parameters, limbs, &mut reader)?);
        }
        reader.expect(Some(0))?;
        Ok(Self { ring_id: parameters.ring_id(), keys })
    }
}
