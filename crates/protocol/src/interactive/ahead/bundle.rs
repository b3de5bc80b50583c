//! What preparation makes: a bundle for each party and prediction. Used once: `predict` takes it by value.
//!
//! A bundle has one encoding, whose length follows from the plan. Decoding takes nothing else; a bundle of another
//! plan, or for other weights, is told apart by its digest, and the halves of a pair know each other by [`Pair`].

use kernel::block::{Block, as_bytes, as_bytes_mut};
use kernel::seed::Seed;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::super::plan::Garbler;
use super::Work;
use super::products::{self, Crossed, Quadratic};
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

/// The server's half.
pub struct ServerBundle(pub(super) Half);

/// The client's half.
pub struct ClientBundle(pub(super) Half);

/// A party's half.
pub(super) struct Half {
    pub digest: [u8; 16],
    pub seed: Seed,
    pub kept: Kept,
}

/// What a party keeps besides its seed.
pub(super) enum Kept {
    /// The garbler: colours of the zero-labels of results, where it is the client.
    Garbler(Zeroizing<Vec<bool>>),
    /// The evaluator: public start points of the hash and of the labels of what the garbler knows, and the material of each stage.
    Evaluator([Block; 2], Vec<Material>),
}

/// The evaluator's material of a stage. Erased on drop.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
pub struct Material {
    /// Garbled tables.
    pub tables: Vec<Block>,
    /// Labels of a client's shares; or what makes labels of a server's, then labels of its parameters.
    pub labels: Vec<Block>,
    /// What the evaluator adds to the shares that leave the circuit, tensor by tensor.
    pub shifts: Vec<Vec<u64>>,
    /// Colours of the zero-labels of results, where the client evaluates.
    pub colours: Vec<bool>,
    /// A server's shares of the sums of the stage's linear layers.
    pub sums: Vec<Vec<u64>>,
    /// Of products on shares: the client's.
    pub products: Vec<products::Kept>,
    /// The server's.
    pub crossed: Vec<Crossed>,
}

/// The start points of the hash, and of the labels of known inputs, of a garbler's bundle. The first is drawn once, and so is a name.
pub(super) fn start(seed: &Seed) -> [Block; 2] {
    [seed.block("ahead/start", 0), seed.block("ahead/input", 0)]
}

impl ServerBundle {
    /// The name that it shares with the client's half.
    pub fn pair(&self) -> Pair {
        self.0.pair()
    }

    /// Bytes of a bundle of a plan.
    pub fn bytes(work: &Work<'_>) -> usize {
        Half::bytes(work, SERVER)
    }

    /// The bytes to be stored.
    pub fn encode(&self, work: &Work<'_>) -> Zeroizing<Vec<u8>> {
        self.0.encode(work, SERVER)
    }

    /// The bundle that was stored.
    ///
    /// # Errors
    /// If the bytes are none, or of another plan.
    pub fn decode(work: &Work<'_>, bytes: &[u8]) -> Result<Self, Error> {
        Half::decode(work, SERVER, bytes).map(Self)
    }
}

impl ClientBundle {
    /// The name that it shares with the server's half.
    pub fn pair(&self) -> Pair {
        self.0.pair()
    }

    /// Bytes of a bundle of a plan.
    pub fn bytes(work: &Work<'_>) -> usize {
        Half::bytes(work, CLIENT)
    }

    /// The bytes to be stored.
    pub fn encode(&self, work: &Work<'_>) -> Zeroizing<Vec<u8>> {
        self.0.encode(work, CLIENT)
    }

    /// The bundle that was stored.
    ///
    /// # Errors
    /// If the bytes are none, or of another plan.
    pub fn decode(work: &Work<'_>, bytes: &[u8]) -> Result<Self, Error> {
        Half::decode(work, CLIENT, bytes).map(Self)
    }
}

/// Whether a party garbles.
fn garbles(work: &Work<'_>, party: u8) -> bool {
    (work.garbler == Garbler::Server) == (party == SERVER)
}

impl Half {
    fn pair(&self) -> Pair {
        match &self.kept {
            Kept::Garbler(_) => start(&self.seed)[0].to_bytes(),
            Kept::Evaluator(start, _) => start[0].to_bytes(),
        }
    }

    fn bytes(work: &Work<'_>, party: u8) -> usize {
        match garbles(work, party) {
            true if party == CLIENT => HEADER + work.colours().div_ceil(8),
            true => HEADER,
            false => (0..work.surveys.len())
                .map(|stage| Material::bytes(work, stage))
                .fold(HEADER + 32, usize::saturating_add),
        }
    }

    fn encode(&self, work: &Work<'_>, party: u8) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(Self::bytes(work, party)));
        bytes.extend_from_slice(&[VERSION, party]);
        bytes.extend_from_slice(&self.digest);
        bytes.extend_from_slice(self.seed.as_bytes());
        match &self.kept {
            Kept::Garbler(colours) => bytes.extend_from_slice(&pack_bits(colours)),
            Kept::Evaluator(start, stages) => {
                bytes.extend_from_slice(as_bytes(start));
                stages.iter().for_each(|material| material.write(work.program.ring, &mut bytes));
            }
        }
        bytes
    }

    fn decode(work: &Work<'_>, party: u8, bytes: &[u8]) -> Result<Self, Error> {
        // Before anything is allocated.
        let due = Self::bytes(work, party);
        if bytes.len() != due {
            return Err(malformed(format!("{} bytes where {due} are due", bytes.len())));
        }
        let mut reader = Reader { rest: bytes };
        let seed = reader.header(work, party)?;
        let kept = match garbles(work, party) {
            true if party == CLIENT => Kept::Garbler(Zeroizing::new(reader.bits(work.colours())?)),
            true => Kept::Garbler(Zeroizing::default()),
            false => {
                let start = reader.blocks(2)?;
                let stages = (0..work.surveys.len()).map(|stage| Material::read(work, stage, &mut reader));
                Kept::Evaluator([start[0], start[1]], stages.collect::<Result<_, _>>()?)
            }
        };
        reader.end()?;
        Ok(Self { digest: work.digest, seed, kept })
    }
}

impl Material {
    /// The lists of numbers of a product that the evaluator keeps.
    fn columns(work: &Work<'_>, of: &Quadratic) -> usize {
        match work.garbler {
            Garbler::Server => products::Kept::columns_of(of),
            Garbler::Client => Crossed::columns_of(of),
        }
    }

    /// The layers of which it keeps shares, and colours.
    fn rest<'w>(work: &'w Work<'_>, stage: usize) -> (&'w [usize], usize) {
        match work.garbler {
            Garbler::Server => (&[], work.surveys[stage].colours),
            Garbler::Client => (&work.program.stages[stage].linear, 0),
        }
    }

    fn bytes(work: &Work<'_>, stage: usize) -> usize {
        let (program, survey) = (&work.program, &work.surveys[stage]);
        let (layers, colours) = Self::rest(work, stage);
        let packed = |count: usize| packed_bytes(count, program.ring);
        let shifts = work.exports(stage).iter().map(|node| packed(program.elements(*node))).sum::<usize>();
        let sums = layers.iter().map(|index| packed(program.elements(program.linear[*index]))).sum::<usize>();
        let columns = |of: &Quadratic| Self::columns(work, of).saturating_mul(packed(of.count));
        let blocks = survey.rows.saturating_add(work.transfers(stage)).saturating_mul(size_of::<Block>());
        blocks.saturating_add(shifts + sums)
            + colours.div_ceil(8)
            + Quadratic::of(program, stage).iter().map(columns).sum::<usize>()
    }

    fn write(&self, ring: u32, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(as_bytes(&self.tables));
        bytes.extend_from_slice(as_bytes(&self.labels));
        self.shifts.iter().for_each(|shifts| bytes.extend_from_slice(&pack(shifts, ring)));
        bytes.extend_from_slice(&pack_bits(&self.colours));
        let clients = self.products.iter().flat_map(products::Kept::columns);
        let servers = self.crossed.iter().flat_map(Crossed::columns);
        for numbers in self.sums.iter().chain(clients).chain(servers) {
            bytes.extend_from_slice(&Zeroizing::new(pack(numbers, ring)));
        }
    }

    fn read(work: &Work<'_>, stage: usize, reader: &mut Reader<'_>) -> Result<Self, Error> {
        let (program, survey) = (&work.program, &work.surveys[stage]);
        let (layers, colours) = Self::rest(work, stage);
        let mut material = Self::default();
        material.tables = reader.blocks(survey.rows)?;
        material.labels = reader.blocks(work.transfers(stage))?;
        for node in work.exports(stage) {
            material.shifts.push(reader.numbers((program.elements(node), program.ring))?);
        }
        material.colours = reader.bits(colours)?;
        for index in layers {
            let count = program.elements(program.linear[*index]);
            material.sums.push(reader.numbers((count, program.ring))?);
        }
        for of in Quadratic::of(program, stage) {
            let column = |_| reader.numbers((of.count, program.ring));
            let columns = (0..Self::columns(work, &of)).map(column).collect::<Result<Vec<_>, _>>()?;
            match work.garbler {
                Garbler::Server => material.products.push(products::Kept::from_columns(&of, columns)),
                Garbler::Client => material.crossed.push(Crossed::from_columns(&of, columns)),
            }
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

    fn bits(&mut self, count: usize) -> Result<Vec<bool>, Error> {
        let packed = self.take(count.div_ceil(8))?;
        let bits = unpack_bits(packed, count);
        if pack_bits(&bits) != packed {
            return Err(malformed("spare bits are set".into()));
        }
        Ok(bits)
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
