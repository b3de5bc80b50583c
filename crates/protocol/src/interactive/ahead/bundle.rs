//! What preparation makes: a bundle for each party and prediction. Used once: `predict` takes it by value.
//!
//! A bundle has one encoding, whose length follows from the plan. Decoding takes nothing else; a bundle of another
//! plan, or for other weights, is told apart by its digest, and the halves of a pair know each other by [`Pair`].

use kernel::block::{Block, as_bytes, as_bytes_mut};
use kernel::seed::Seed;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::super::plan::Garbler;
use super::super::program::Program;
use super::super::wire::Stored;
use super::Work;
use super::feed::{Bytes, Feed, Pieces, Tables};
use super::products::{self, Crossed, Quadratic};
use super::streams::{pack, packed_bytes, residues, unpack};
use crate::error::Error;
use crate::garbled::wire::{pack as pack_bits, unpack as unpack_bits};

/// Version of the encoding.
const VERSION: u8 = 2;

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
    Evaluator([Block; 2], Stages),
}

/// The evaluator's material, stage by stage.
pub(super) enum Stages {
    /// As it was made.
    Made(Vec<Material>),
    /// As it is read.
    Read(Feed),
}

impl Stages {
    /// The material of a stage; of one that is read without its tables. Once each, in order, and each one's tables after it.
    pub fn take(&mut self, work: &Work<'_>, stage: usize) -> Result<Material, Error> {
        match self {
            Self::Made(stages) => {
                stages.get_mut(stage).map(std::mem::take).ok_or_else(|| malformed("too few stages".into()))
            }
            Self::Read(feed) => Material::read(work, stage, feed),
        }
    }

    /// A stage's tables.
    pub fn tables(&mut self, work: &Work<'_>, stage: usize, material: &mut Material) -> Tables<'_> {
        match self {
            Self::Made(_) => Tables::Held(Stored::new(std::mem::take(&mut material.tables))),
            Self::Read(feed) => Tables::read(feed, work.found.surveys[stage].rows),
        }
    }
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

    /// The bytes to be stored, of one that was not opened from a store.
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

    /// The bundle of so many bytes that was stored, read as it is used: what does not open or fit is an error of [`predict`](super::server::predict).
    ///
    /// # Errors
    /// If the first bytes are none, or of another plan.
    pub fn open(work: &Work<'_>, bytes: u64, pieces: Box<dyn Pieces>) -> Result<Self, Error> {
        Half::open(work, SERVER, (bytes, pieces)).map(Self)
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

    /// The bytes to be stored, of one that was not opened from a store.
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

    /// The bundle of so many bytes that was stored, read as it is used: what does not open or fit is an error of [`predict`](super::client::predict).
    ///
    /// # Errors
    /// If the first bytes are none, or of another plan.
    pub fn open(work: &Work<'_>, bytes: u64, pieces: Box<dyn Pieces>) -> Result<Self, Error> {
        Half::open(work, CLIENT, (bytes, pieces)).map(Self)
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
            false => (0..work.found.surveys.len())
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
                if let Stages::Made(stages) = stages {
                    let width = work.program.modulus.bits();
                    stages.iter().for_each(|material| material.write(width, &mut bytes));
                }
            }
        }
        bytes
    }

    /// Refuses another length, before anything is allocated.
    fn of_length(work: &Work<'_>, party: u8, bytes: u64) -> Result<(), Error> {
        let due = Self::bytes(work, party);
        if bytes == due as u64 {
            Ok(())
        } else {
            Err(malformed(format!("{bytes} bytes where {due} are due")))
        }
    }

    fn decode(work: &Work<'_>, party: u8, mut bytes: &[u8]) -> Result<Self, Error> {
        Self::of_length(work, party, bytes.len() as u64)?;
        let seed = header(work, party, &mut bytes)?;
        let kept = match garbles(work, party) {
            true if party == CLIENT => Kept::Garbler(Zeroizing::new(bits(work.colours(), &mut bytes)?)),
            true => Kept::Garbler(Zeroizing::default()),
            false => {
                let start = blocks(2, &mut bytes)?;
                let stages = (0..work.found.surveys.len()).map(|stage| {
                    let mut material = Material::read(work, stage, &mut bytes)?;
                    material.tables = blocks(work.found.surveys[stage].rows, &mut bytes)?;
                    Ok(material)
                });
                let stages = stages.collect::<Result<_, Error>>()?;
                Kept::Evaluator([start[0], start[1]], Stages::Made(stages))
            }
        };
        if bytes.is_empty() {
            Ok(Self { digest: work.found.digest, seed, kept })
        } else {
            Err(malformed("too long".into()))
        }
    }

    fn open(work: &Work<'_>, party: u8, (bytes, mut pieces): (u64, Box<dyn Pieces>)) -> Result<Self, Error> {
        Self::of_length(work, party, bytes)?;
        if garbles(work, party) {
            let (mut all, mut piece) = (Zeroizing::new(Vec::new()), Zeroizing::new(Vec::new()));
            while all.len() as u64 <= bytes {
                let lost = |error| Error::Refused(format!("{error}; this bundle is lost"));
                pieces.next(&mut piece).map_err(lost)?;
                if piece.is_empty() {
                    break;
                }
                all.extend_from_slice(&piece);
            }
            return Self::decode(work, party, &all);
        }
        let mut feed = Feed::begin(pieces)?;
        let seed = header(work, party, &mut feed)?;
        let start = blocks(2, &mut feed)?;
        Ok(Self {
            digest: work.found.digest,
            seed,
            kept: Kept::Evaluator([start[0], start[1]], Stages::Read(feed)),
        })
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
            Garbler::Server => (&[], work.found.surveys[stage].colours),
            Garbler::Client => (&work.program.stages[stage].linear, 0),
        }
    }

    /// Bytes of a stage's in a bundle.
    pub(super) fn bytes(work: &Work<'_>, stage: usize) -> usize {
        let (program, survey) = (&work.program, &work.found.surveys[stage]);
        let (layers, colours) = Self::rest(work, stage);
        let packed = |count: usize| packed_bytes(count, program.modulus.bits());
        let shifts = work.exports(stage).iter().map(|node| packed(program.elements(*node))).sum::<usize>();
        let sums = layers.iter().map(|index| packed(program.elements(program.linear[*index]))).sum::<usize>();
        let columns = |of: &Quadratic| Self::columns(work, of).saturating_mul(packed(of.count));
        let blocks = survey.rows.saturating_add(work.transfers(stage)).saturating_mul(size_of::<Block>());
        blocks.saturating_add(shifts + sums)
            + colours.div_ceil(8)
            + Quadratic::of(program, stage).iter().map(columns).sum::<usize>()
    }

    fn write(&self, ring: u32, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(as_bytes(&self.labels));
        self.shifts.iter().for_each(|shifts| bytes.extend_from_slice(&pack(shifts, ring)));
        bytes.extend_from_slice(&pack_bits(&self.colours));
        let clients = self.products.iter().flat_map(products::Kept::columns);
        let servers = self.crossed.iter().flat_map(Crossed::columns);
        for numbers in self.sums.iter().chain(clients).chain(servers) {
            bytes.extend_from_slice(&Zeroizing::new(pack(numbers, ring)));
        }
        // Last, so that what is before them can be in memory while they are read.
        bytes.extend_from_slice(as_bytes(&self.tables));
    }

    /// All but the tables, which come behind.
    fn read(work: &Work<'_>, stage: usize, from: &mut impl Bytes) -> Result<Self, Error> {
        let program = &work.program;
        let (layers, colours) = Self::rest(work, stage);
        let mut material = Self::default();
        material.labels = blocks(work.transfers(stage), from)?;
        for node in work.exports(stage) {
            material.shifts.push(shares(program, program.elements(node), from)?);
        }
        material.colours = bits(colours, from)?;
        for index in layers {
            let count = program.elements(program.linear[*index]);
            material.sums.push(shares(program, count, from)?);
        }
        for of in Quadratic::of(program, stage) {
            let column = |_| shares(program, of.count, from);
            let columns = (0..Self::columns(work, &of)).map(column).collect::<Result<Vec<_>, _>>()?;
            match work.garbler {
                Garbler::Server => material.products.push(products::Kept::from_columns(&of, columns)),
                Garbler::Client => material.crossed.push(Crossed::from_columns(&of, columns)),
            }
        }
        Ok(material)
    }
}

pub(super) fn malformed(why: String) -> Error {
    Error::malformed("bundle", why)
}

/// So many bytes.
fn take(count: usize, from: &mut impl Bytes) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut bytes = Zeroizing::new(vec![0; count]);
    from.fill(&mut bytes)?;
    Ok(bytes)
}

fn header(work: &Work<'_>, party: u8, from: &mut impl Bytes) -> Result<Seed, Error> {
    if take(2, from)?[..] != [VERSION, party] {
        return Err(malformed("of another version, or of the other party".into()));
    }
    if take(16, from)?[..] != work.found.digest {
        return Err(malformed("of another model, other weights or another plan".into()));
    }
    let mut seed = Zeroizing::new([0; 32]);
    from.fill(&mut *seed)?;
    Ok(Seed::from_bytes(*seed))
}

/// Refuses bits beyond the last one that counts.
fn whole(bytes: &[u8], bits: usize) -> Result<(), Error> {
    match bytes.last() {
        Some(last) if !bits.is_multiple_of(8) && last >> (bits % 8) != 0 => {
            Err(malformed("spare bits are set".into()))
        }
        _ => Ok(()),
    }
}

fn bits(count: usize, from: &mut impl Bytes) -> Result<Vec<bool>, Error> {
    let packed = take(count.div_ceil(8), from)?;
    whole(&packed, count)?;
    Ok(unpack_bits(&packed, count))
}

fn blocks(count: usize, from: &mut impl Bytes) -> Result<Vec<Block>, Error> {
    let mut blocks = vec![Block::ZERO; count];
    from.fill(as_bytes_mut(&mut blocks))?;
    Ok(blocks)
}

fn shares(program: &Program<'_>, count: usize, from: &mut impl Bytes) -> Result<Vec<u64>, Error> {
    residues(numbers((count, program.modulus.bits()), from)?, &program.modulus)
}

fn numbers((count, bits): (usize, u32), from: &mut impl Bytes) -> Result<Vec<u64>, Error> {
    let packed = take(packed_bytes(count, bits), from)?;
    whole(&packed, count.saturating_mul(bits as usize))?;
    Ok(unpack(&packed, (count, bits)))
}
