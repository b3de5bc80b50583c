//! What preparation makes: a bundle for each party and prediction. Used once: `predict` takes it by value.
//!
//! A bundle has one encoding, whose length follows from the plan. Decoding takes nothing else; a bundle of another
//! plan, or for other weights, is told apart by its digest, and the halves of a pair know each other by [`Pair`].

use kernel::block::{Block, as_bytes, as_bytes_mut};
use kernel::seed::Seed;
use model::fixed::NodeId;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::Work;
use super::products::{Kept, Quadratic};
use super::streams::{pack, packed_bytes, unpack};
use crate::error::Error;
use crate::garbled::wire::{pack as pack_bits, unpack as unpack_bits};

/// Version of the encoding.
const VERSION: u8 = 1;

/// Which party a bundle is for, in its second byte.
const CLIENT: u8 = 1;
const SERVER: u8 = 2;

/// What both halves of a bundle are called, and no other bundle is. Public.
pub type Pair = [u8; 16];

/// Bytes before a bundle's material: version, party, digest, seed.
const HEADER: usize = 2 + 16 + 32;

/// The server's half: a seed.
#[derive(ZeroizeOnDrop)]
pub struct ServerBundle {
    #[zeroize(skip)]
    pub(super) digest: [u8; 16],
    pub(super) seed: Seed,
}

/// The client's half.
pub struct ClientBundle {
    pub(super) digest: [u8; 16],
    pub(super) seed: Seed,
    /// Public start points of the hash, and of the labels of the server's parameters.
    pub(super) start: [Block; 2],
    pub(super) stages: Vec<Material>,
}

/// The client's material of a stage. Erased on drop.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
pub struct Material {
    /// Garbled tables.
    pub tables: Vec<Block>,
    /// Labels of its own shares.
    pub labels: Vec<Block>,
    /// What it adds to the shares that leave the circuit, tensor by tensor.
    pub shifts: Vec<Vec<u64>>,
    /// Colours of the zero-labels of results that it learns.
    pub colours: Vec<bool>,
    /// Of products on shares.
    #[zeroize(skip)]
    pub products: Vec<Kept>,
}

impl ServerBundle {
    /// The name that it shares with the client's half.
    pub fn pair(&self) -> Pair {
        start(&self.seed)[0].to_bytes()
    }

    /// The bytes to be stored.
    pub fn encode(&self, _work: &Work<'_>) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(vec![VERSION, SERVER]);
        bytes.extend_from_slice(&self.digest);
        bytes.extend_from_slice(self.seed.as_bytes());
        bytes
    }

    /// Bytes of a bundle of a plan.
    pub fn bytes(_work: &Work<'_>) -> usize {
        HEADER
    }

    /// The bundle that was stored.
    ///
    /// # Errors
    /// If the bytes are none, or of another plan.
    pub fn decode(work: &Work<'_>, bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader { rest: bytes };
        let seed = reader.header(work, SERVER)?;
        reader.end()?;
        Ok(Self { digest: work.digest, seed })
    }
}

/// The start points of the hash, and of the labels of known inputs, of a garbler's bundle. The first is drawn once, and so is a name.
pub(super) fn start(seed: &Seed) -> [Block; 2] {
    [seed.block("ahead/start", 0), seed.block("ahead/input", 0)]
}

impl ClientBundle {
    /// The name that it shares with the server's half.
    pub fn pair(&self) -> Pair {
        self.start[0].to_bytes()
    }

    /// Bytes of a bundle of a plan.
    pub fn bytes(work: &Work<'_>) -> usize {
        (0..work.surveys.len())
            .map(|stage| Material::bytes(work, stage))
            .fold(HEADER + 32, usize::saturating_add)
    }

    /// The bytes to be stored.
    pub fn encode(&self, work: &Work<'_>) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(Self::bytes(work)));
        bytes.extend_from_slice(&[VERSION, CLIENT]);
        bytes.extend_from_slice(&self.digest);
        bytes.extend_from_slice(self.seed.as_bytes());
        bytes.extend_from_slice(as_bytes(&self.start));
        for material in &self.stages {
            bytes.extend_from_slice(as_bytes(&material.tables));
            bytes.extend_from_slice(as_bytes(&material.labels));
            for shifts in &material.shifts {
                bytes.extend_from_slice(&pack(shifts, work.program.ring));
            }
            bytes.extend_from_slice(&pack_bits(&material.colours));
            for numbers in material.products.iter().flat_map(|kept| kept.columns()) {
                bytes.extend_from_slice(&pack(numbers, work.program.ring));
            }
        }
        bytes
    }

    /// The bundle that was stored.
    ///
    /// # Errors
    /// If the bytes are none, or of another plan.
    pub fn decode(work: &Work<'_>, bytes: &[u8]) -> Result<Self, Error> {
        // Before anything is allocated.
        if bytes.len() != Self::bytes(work) {
            return Err(malformed(format!("{} bytes where {} are due", bytes.len(), Self::bytes(work))));
        }
        let mut reader = Reader { rest: bytes };
        let seed = reader.header(work, CLIENT)?;
        let start = reader.blocks(2)?;
        let stages = (0..work.surveys.len())
            .map(|stage| Material::read(work, stage, &mut reader))
            .collect::<Result<_, _>>()?;
        reader.end()?;
        Ok(Self { digest: work.digest, seed, start: [start[0], start[1]], stages })
    }
}

impl Material {
    fn bytes(work: &Work<'_>, stage: usize) -> usize {
        let survey = &work.surveys[stage];
        let shifts = |node: &NodeId| packed_bytes(work.program.elements(*node), work.program.ring);
        let shifts = work.exports(stage).iter().map(shifts).sum::<usize>();
        (survey.rows.saturating_add(survey.late)).saturating_mul(size_of::<Block>()).saturating_add(shifts)
            + survey.colours.div_ceil(8)
            + Quadratic::of(&work.program, stage).iter().map(Kept::bytes).sum::<usize>()
    }

    fn read(work: &Work<'_>, stage: usize, reader: &mut Reader<'_>) -> Result<Self, Error> {
        let survey = &work.surveys[stage];
        let mut material = Self::default();
        material.tables = reader.blocks(survey.rows)?;
        material.labels = reader.blocks(survey.late)?;
        for node in work.exports(stage) {
            material.shifts.push(reader.numbers((work.program.elements(node), work.program.ring))?);
        }
        let colours = reader.take(survey.colours.div_ceil(8))?;
        material.colours = unpack_bits(colours, survey.colours);
        if pack_bits(&material.colours) != colours {
            return Err(malformed("spare bits are set".into()));
        }
        for quadratic in Quadratic::of(&work.program, stage) {
            let column = |_| reader.numbers((quadratic.count, work.program.ring));
            let columns = (0..Kept::columns_of(&quadratic)).map(column).collect::<Result<Vec<_>, _>>()?;
            material.products.push(Kept::from_columns(&quadratic, columns));
        }
        Ok(material)
    }
}

fn malformed(why: String) -> Error {
    Error::malformed("bundle", why)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let short = || malformed("too short".into());
        let (head, rest) = self.rest.split_at_checked(count).ok_or_else(short)?;
        self.rest = rest;
        Ok(head)
    }

    fn header(&mut self, work: &Work<'_>, party: u8) -> Result<Seed, Error> {
        if self.take(2)? != [VERSION, party] {
            return Err(malformed("of another version, or of the other party".into()));
        }
        if self.take(16)? != work.digest {
            return Err(malformed("of another model, other weights or another plan".into()));
        }
        let mut seed = Zeroizing::new([0; 32]);
        seed.copy_from_slice(self.take(32)?);
        Ok(Seed::from_bytes(*seed))
    }

    fn blocks(&mut self, count: usize) -> Result<Vec<Block>, Error> {
        let bytes = self.take(count.saturating_mul(size_of::<Block>()))?;
        let mut blocks = vec![Block::ZERO; count];
        as_bytes_mut(&mut blocks).copy_from_slice(bytes);
        Ok(blocks)
    }

    fn numbers(&mut self, (count, bits): (usize, u32)) -> Result<Vec<u64>, Error> {
        let bytes = self.take(packed_bytes(count, bits))?;
        let numbers = unpack(bytes, (count, bits));
        if pack(&numbers, bits) != bytes {
            return Err(malformed("spare bits are set".into()));
        }
        Ok(numbers)
    }

    fn end(&self) -> Result<(), Error> {
        if self.rest.is_empty() { Ok(()) } else { Err(malformed("too long".into())) }
    }
}
