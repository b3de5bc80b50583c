//! What both parties know of an encrypted computation.
//!
//! The client rebuilds the outline from the plan that the server sent; nothing in it depends on a weight or an input.

use bfv::{Noise, NoiseModel, Parameters, PlainModulus, ReplyShape};
use model::fixed::FixedGraph;

use super::{client, keys};
use crate::error::Error;

/// A slot that holds no element.
pub const EMPTY: u32 = u32::MAX;

/// Statistical security of the flooding, in bits.
pub const STATISTICAL: u32 = 40;

/// Most ciphertexts of a request or a reply, for one plaintext modulus.
pub const MAX_CIPHERTEXTS: usize = 1 << 16;

/// Most rotation keys.
pub const MAX_ROTATIONS: usize = 512;

/// Most bytes of a request, and of a client's keys.
pub const MAX_UPLOAD_BYTES: u64 = 8 << 30;

/// Most bytes of a reply, which a client holds at once.
pub const MAX_REPLY_BYTES: u64 = 1 << 30;

/// Most plaintext moduli.
pub const MAX_MODULI: usize = 8;

/// Most bits of each of several plaintext moduli.
pub const MAX_SHARED_BITS: u32 = 62;

/// Most bits of a plaintext space: values and their sums are computed in 128.
pub const MAX_PLAIN_BITS: f64 = 126.0;

/// The public facts of an encrypted computation.
#[derive(Clone, Debug)]
pub struct Outline {
    /// One parameter set for each plaintext modulus, all over one ring and one secret key; a value is known by its residues.
    pub parameters: Vec<Parameters>,
    /// Inputs that one request carries: 1, or up to the number of slots.
    pub batch: usize,
    /// What the request's ciphertexts hold, for each plaintext modulus.
    pub request: Request,
    /// The automorphisms that the server needs keys for, by increasing exponent.
    pub rotations: Vec<Rotation>,
    /// Whether it needs a relinearisation key.
    pub relinearise: bool,
    /// What the results hold, for each plaintext modulus.
    pub answer: Answer,
    /// Limbs of the request's ciphertexts.
    pub fresh_limbs: usize,
    /// Limbs of the results.
    pub limbs: usize,
    /// The bound of the results' noise, before they are masked and flooded.
    pub noise: Noise,
    /// Frames that tell of progress, none for a short computation.
    pub progress: u32,
    /// About the most bytes that the server needs for one request, its keys and weights not counted.
    pub memory: u64,
}

/// An automorphism `X -> X^exponent` that the server needs a key for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rotation {
    /// The exponent.
    pub exponent: usize,
    /// The most limbs of a ciphertext that is rotated so: with half the limbs a key has a quarter of the bytes.
    pub limbs: usize,
}

/// What the ciphertexts of a request hold. Elements are counted through all inputs of the graph, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// For each ciphertext and each slot the number of an element, or [`EMPTY`].
    Slots(Vec<Vec<u32>>),
    /// Ciphertext i holds element i of every input of the batch: input b in slot b.
    Batch {
        /// Elements of one input.
        elements: usize,
    },
}

/// What the results hold. Elements are counted through all outputs of the graph, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// For each element the places whose values add up to it.
    Slots {
        /// Number of ciphertexts.
        ciphertexts: usize,
        /// The places of each element.
        elements: Vec<Vec<Place>>,
    },
    /// Ciphertext i holds element i of every result of the batch: result b in slot b.
    Batch {
        /// Elements of one result.
        elements: usize,
    },
}

/// A slot of a ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The ciphertext's number.
    pub ciphertext: u32,
    /// The slot's number.
    pub slot: u32,
}

impl Request {
    /// Number of ciphertexts.
    pub fn ciphertexts(&self) -> usize {
        match self {
            Self::Slots(slots) => slots.len(),
            Self::Batch { elements } => *elements,
        }
    }
}

impl Answer {
    /// Number of ciphertexts.
    pub fn ciphertexts(&self) -> usize {
        match self {
            Self::Slots { ciphertexts, .. } => *ciphertexts,
            Self::Batch { elements } => *elements,
        }
    }
}

/// How a result is made into a reply.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finish {
    /// Bits of the noise that floods the result's own.
    pub flood_bits: u32,
    /// The noise after re-randomisation and flooding.
    pub noise: Noise,
    /// How short the reply is made.
    pub shape: ReplyShape,
}

impl Finish {
    /// How results of this noise and these limbs are finished, if flooding leaves room.
    pub(super) fn of(parameters: &Parameters, noise: Noise, limbs: usize) -> Option<Self> {
        let model = NoiseModel::new(parameters);
        let noise = noise.plus(model.fresh_public());
        let flood_bits = model.flood_bits(noise, STATISTICAL);
        let noise = model.flood(noise, flood_bits);
        let possible = flood_bits <= bfv::MAX_FLOOD_BITS && model.decrypts(noise, limbs);
        let shape = model.reply_shape(noise, limbs, parameters.degree()).filter(|_| possible)?;
        Some(Self { flood_bits, noise, shape })
    }
}

impl Outline {
    /// The parameters of the first plaintext modulus: all share its ring and keys.
    ///
    /// # Errors
    /// Where there are none.
    pub fn base(&self) -> Result<&Parameters, Error> {
        self.parameters.first().ok_or_else(|| Error::malformed("plan", "it has no parameters"))
    }

    /// Slots of a ciphertext.
    pub fn slots(&self) -> usize {
        self.parameters.first().and_then(Parameters::slot_shape).map_or(0, |shape| shape.rows * shape.columns)
    }

    /// How the results modulo plaintext modulus number `modulus` are finished.
    ///
    /// # Errors
    /// Where flooding leaves no room in the modulus: no result could be decrypted.
    pub fn finish(&self, modulus: usize) -> Result<Finish, Error> {
        let wrong = |why: &str| Error::malformed("plan", why);
        let parameters = self.parameters.get(modulus).ok_or_else(|| wrong("no such plaintext modulus"))?;
        Finish::of(parameters, self.noise, self.limbs)
            .ok_or_else(|| wrong("its parameters leave no room for the noise that hides the weights"))
    }

    /// Checks an outline against the graph it is for: the server may have made it up.
    ///
    /// # Errors
    /// [`Error::Malformed`] with the first rule that is broken.
    pub fn validate(&self, graph: &FixedGraph) -> Result<(), Error> {
        let wrong = |why: &str| Err(Error::malformed("plan", why));
        let base = self.base()?;
        if self.parameters.len() > MAX_MODULI {
            return wrong("too many plaintext moduli");
        }
        if self.parameters.iter().any(|set| set.ring_id() != base.ring_id() || !set.has_slots()) {
            return wrong("its parameters are not of one ring with slots");
        }
        let levels = 1..=base.limbs();
        if !levels.contains(&self.limbs) || !levels.contains(&self.fresh_limbs) {
            return wrong("its ciphertexts have no such limbs");
        }
        let increasing = self.rotations.windows(2).all(|pair| pair[0].exponent < pair[1].exponent);
        let exists = |rotation: &Rotation| {
            let exponent = rotation.exponent;
            exponent % 2 == 1
                && (3..2 * base.degree()).contains(&exponent)
                && levels.contains(&rotation.limbs)
        };
        if self.rotations.len() > MAX_ROTATIONS || !increasing || !self.rotations.iter().all(exists) {
            return wrong("its rotations are none");
        }
        if !(1..=self.slots()).contains(&self.batch) {
            return wrong("a batch has from one input to as many as there are slots");
        }
        let [inputs, outputs] = [inputs(graph), outputs(graph)];
        self.check_request(inputs).or_else(wrong)?;
        self.check_answer(outputs).or_else(wrong)?;
        let wide =
            |set: &Parameters| set.slot_modulus().is_none_or(|modulus| modulus >> MAX_SHARED_BITS != 0);
        if self.parameters.len() > 1 && self.parameters.iter().any(wide) {
            return wrong(&format!("several plaintext moduli have at most {MAX_SHARED_BITS} bits each"));
        }
        if plain_bits(&self.parameters) > MAX_PLAIN_BITS {
            return wrong("its plaintext space has more than 126 bits");
        }
        if client::request_bytes(self) > MAX_UPLOAD_BYTES
            || keys::wire_bytes(self)? > MAX_UPLOAD_BYTES
            || client::reply_bytes(self)? > MAX_REPLY_BYTES
        {
            return wrong("its messages are too long");
        }
        Ok(())
    }

    fn check_request(&self, elements: usize) -> Result<(), &'static str> {
        let slots = self.slots();
        let fits = match &self.request {
            Request::Slots(ciphertexts) => {
                self.batch == 1
                    && ciphertexts.iter().all(|held| {
                        held.len() <= slots && held.iter().all(|e| *e == EMPTY || (*e as usize) < elements)
                    })
            }
            Request::Batch { elements: held } => *held == elements,
        };
        let count = self.request.ciphertexts();
        if fits && (1..=MAX_CIPHERTEXTS).contains(&count) {
            Ok(())
        } else {
            Err("its request does not hold the inputs")
        }
    }

    fn check_answer(&self, elements: usize) -> Result<(), &'static str> {
        let slots = self.slots();
        let fits = match &self.answer {
            Answer::Slots { ciphertexts, elements: places } => {
                let exist = |place: &Place| {
                    (place.ciphertext as usize) < *ciphertexts && (place.slot as usize) < slots
                };
                let mut all: Vec<Place> = places.iter().flatten().copied().collect();
                let count = all.len();
                all.sort_unstable();
                all.dedup();
                self.batch == 1
                    && places.len() == elements
                    && all.len() == count
                    && places.iter().all(|sum| !sum.is_empty() && sum.iter().all(exist))
            }
            Answer::Batch { elements: held } => *held == elements,
        };
        let count = self.answer.ciphertexts();
        if fits && (1..=MAX_CIPHERTEXTS).contains(&count) {
            Ok(())
        } else {
            Err("its results do not hold the outputs")
        }
    }
}

/// The base-2 logarithm of the plaintext space: the product of the moduli.
pub fn plain_bits(parameters: &[Parameters]) -> f64 {
    parameters.iter().map(|set| PlainModulus::log2(&set.plain())).sum()
}

/// Elements of all inputs.
pub fn inputs(graph: &FixedGraph) -> usize {
    graph
        .inputs
        .iter()
        .filter_map(|id| graph.nodes.get(*id))
        .map(|node| node.shape.iter().product::<usize>())
        .sum()
}

/// Elements of all outputs.
pub fn outputs(graph: &FixedGraph) -> usize {
    let nodes = graph.outputs.iter().filter_map(|output| graph.nodes.get(output.node));
    nodes.map(|node| node.shape.iter().product::<usize>()).sum()
}
