//! Many inputs in one pass: CryptoNets' SIMD representation (LoLa, sections 3.2 and 4.2.1).
//!
//! Every value of the network is a ciphertext of its own whose slot b belongs to input b of the batch. Weights are scalars,
//! nothing is rotated, and a layer is a matrix of scalars times a vector of ciphertexts. One pass takes long and serves as many
//! inputs as there are slots.
//!
//! The plaintext space is a product of a few small primes with slots, each computed apart, one after the other.

mod program;
mod rows;
mod schedule;
mod work;

use bfv::{Literal, NoiseModel, Parameters, PlainModulus};
use kernel::modular::next_ntt_prime;
use model::fixed::{FixedGraph, NumberFormat, Op, Params};
use serde::{Deserialize, Serialize};

use super::outline::{Answer, Outline, Request, STATISTICAL, inputs, outputs};
use super::program::Program;
use crate::error::Error;

use rows::Shape;
pub use work::work;

use schedule::{Product, Schedule};

/// A plan for batches: parameters, and where the modulus is switched down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Ring degree, which is the number of slots.
    pub degree: usize,
    /// Primes of the ciphertext modulus.
    pub data: Vec<u64>,
    /// The special prime of key switching, if any.
    pub special: Option<u64>,
    /// Bits of the key-switching digits, where residues are not taken whole.
    pub digit_bits: Option<u32>,
    /// The plaintext moduli.
    pub plain: Vec<u64>,
    /// Limbs after each product of the network, in the order of its nodes.
    pub levels: Vec<usize>,
    /// Limbs of the results, before they are flooded.
    pub limbs: usize,
}

/// Most multiplications of a ciphertext by a scalar that a plan may ask for.
pub(super) const MAX_TERMS: u64 = 1 << 32;

/// Most ciphertext products.
const MAX_PRODUCTS: u64 = 1 << 20;

/// Bits that the plaintext space has beyond the results': a ciphertext that does not decrypt leaves their range almost surely in
/// one of them.
const GUARD: u32 = 4;

/// Most frames of progress of a pass.
const PROGRESS: u32 = 64;

impl Plan {
    /// Derives parameters for a network: those with the most inputs a second by a rough price.
    ///
    /// # Errors
    /// [`Error::Refused`] where the network has an operation that ciphertexts cannot do, or nothing within the 128-bit table
    /// leaves room for its integers; with the layer or the width.
    pub fn derive(graph: &FixedGraph) -> Result<Self, Error> {
        let shape = Shape::of(graph)?;
        let bits = graph.outputs.iter().filter_map(|output| graph.nodes.get(output.node));
        let bits = bits.map(|node| node.format.bits).max().unwrap_or(0);
        let mut priced: Vec<(f64, Candidate, Vec<u64>)> = Vec::new();
        for degree in [8192, 16384] {
            let candidates = candidates(degree);
            for count in 1..=super::outline::MAX_MODULI as u32 {
                let Some(plain) = plain_moduli(degree, bits + GUARD, count) else { continue };
                let price = |candidate: &Candidate| {
                    Some((candidate.price(&shape, &plain)?, *candidate, plain.clone()))
                };
                priced.extend(candidates.iter().filter_map(price));
            }
        }
        priced.sort_by(|a, b| a.0.total_cmp(&b.0));
        // Primes are looked for in order of the price: the first whose own sizes do.
        let best = priced.into_iter().find_map(|(_, candidate, plain)| Self::of(&shape, &candidate, &plain));
        let none = || {
            Error::Refused(format!(
                "its results of {bits} bits and {} products one after another leave no room for noise in any 128-bit \
                 parameters; use a plan that truncates (deepsecure)",
                shape.products().len()
            ))
        };
        best.ok_or_else(none)
    }

    /// The plan with a candidate's primes, if there are such and the noise fits.
    fn of(shape: &Shape, candidate: &Candidate, plain: &[u64]) -> Option<Self> {
        let literal = candidate.literal()?;
        let sizes = literal.data.iter().map(|q| (*q as f64).log2()).collect::<Vec<_>>();
        let special = literal.special.map(|q| (q as f64).log2());
        if plain.iter().any(|t| literal.data.contains(t) || literal.special == Some(*t)) {
            return None;
        }
        let schedule = candidate.schedule(shape, &sizes, special, widest(plain))?;
        Some(Self {
            degree: literal.degree,
            data: literal.data.clone(),
            special: literal.special,
            digit_bits: literal.digit_bits,
            plain: plain.to_vec(),
            levels: schedule.levels,
            limbs: schedule.limbs,
        })
    }

    /// The public facts, for a network that was checked.
    ///
    /// # Errors
    /// [`Error::Malformed`] or [`Error::Refused`] where the plan is not one for this network.
    pub fn outline(&self, graph: &FixedGraph) -> Result<Outline, Error> {
        let shape = Shape::of(graph)?;
        let wrong = |why: &str| Error::malformed("plan", why);
        if shape.terms() > MAX_TERMS || shape.products().iter().sum::<u64>() > MAX_PRODUCTS {
            return Err(Error::Refused("the network is too large for one ciphertext a value".into()));
        }
        let first = *self.plain.first().ok_or_else(|| wrong("it has no plaintext moduli"))?;
        if self.plain.len() > super::outline::MAX_MODULI || self.data.len() > bfv::MAX_LIMBS {
            return Err(wrong("it has too many moduli"));
        }
        let base = Parameters::new(Literal {
            degree: self.degree,
            plain: PlainModulus::Prime(first),
            data: self.data.clone(),
            special: self.special,
            digit_bits: self.digit_bits,
        })?;
        let rest = self.plain[1..].iter().map(|t| base.with_plain(PlainModulus::Prime(*t)));
        let parameters: Vec<Parameters> =
            std::iter::once(Ok(base.clone())).chain(rest).collect::<Result<_, bfv::Error>>()?;
        let largest = parameters.iter().max_by(|a, b| a.plain().log2().total_cmp(&b.plain().log2()));
        let largest = largest.ok_or_else(|| wrong("it has no plaintext moduli"))?;
        let model = NoiseModel::new(largest);
        let schedule = Schedule { levels: self.levels.clone(), limbs: self.limbs };
        let end = schedule.end(&shape, &model, base.limbs(), largest.plain().log2());
        let (limbs, noise) = end.ok_or_else(|| wrong("its levels do not fit the network"))?;
        let ciphertext = 16 * (self.degree * base.limbs()) as u64;
        let outline = Outline {
            batch: self.degree,
            request: Request::Batch { elements: inputs(graph) },
            rotations: Vec::new(),
            relinearise: !shape.products().is_empty(),
            answer: Answer::Batch { elements: outputs(graph) },
            fresh_limbs: base.limbs(),
            limbs,
            noise,
            progress: PROGRESS,
            memory: ciphertext.saturating_mul(shape.alive() as u64 + 64),
            parameters,
        };
        outline.validate(graph)?;
        Ok(outline)
    }

    /// The sizes of its ciphertext modulus.
    fn sizes(&self) -> Candidate {
        let bits = |prime: u64| 64 - prime.leading_zeros();
        Candidate {
            degree: self.degree,
            size: self.data.first().copied().map_or(0, bits),
            limbs: self.data.len(),
            special: self.special.map(bits),
            digit_bits: self.digit_bits,
        }
    }

    /// The computation with a network's weights.
    ///
    /// # Errors
    /// As [`Plan::outline`].
    pub fn program(&self, graph: &FixedGraph, params: &Params) -> Result<Box<dyn Program>, Error> {
        let outline = self.outline(graph)?;
        Ok(Box::new(program::Batch::new(self, graph, params, &outline)?))
    }
}

/// `count` primes with slots whose product holds signed numbers of `bits` bits.
fn plain_moduli(degree: usize, bits: u32, count: u32) -> Option<Vec<u64>> {
    let size = (f64::from(bits) / f64::from(count) + 0.1).max(18.0);
    if size > 57.0 {
        return None;
    }
    let mut bound = size.exp2() as u64;
    let step = 2 * degree as u64;
    // The smallest primes above the size: their product is large enough.
    let mut primes = Vec::new();
    while primes.len() < count as usize {
        bound = (bound + 1).next_multiple_of(step) + 1;
        if next_ntt_prime(bound + 1, step) == Some(bound) {
            primes.push(bound);
        }
    }
    Some(primes)
}

/// The base-2 logarithm of the largest modulus.
fn widest(plain: &[u64]) -> f64 {
    plain.iter().map(|t| (*t as f64).log2()).fold(0.0, f64::max)
}

/// The size of a ciphertext modulus, before there are primes.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    degree: usize,
    /// Bits of a limb.
    size: u32,
    limbs: usize,
    special: Option<u32>,
    digit_bits: Option<u32>,
}

/// Moduli within the 128-bit table: limbs of every size and number, keys switched by whole limbs with and without a special prime, or
/// by narrower digits.
fn candidates(degree: usize) -> Vec<Candidate> {
    let limit = bfv::security::max_modulus_bits(degree).unwrap_or(0);
    let mut found = Vec::new();
    for size in 36..=50u32 {
        let whole = [Some((size + 1).min(50)), None].map(|special| (special, None));
        let narrow = [25, 13].map(|bits| (None, Some(bits)));
        for (special, digit_bits) in whole.into_iter().chain(narrow) {
            let most = (limit.saturating_sub(special.unwrap_or(0)) / size) as usize;
            let candidate = |limbs| Candidate { degree, size, limbs, special, digit_bits };
            found.extend((1..=most.min(bfv::MAX_LIMBS)).map(candidate));
        }
    }
    found
}

impl Candidate {
    /// A rough price of a pass for each slot, if the noise fits.
    fn price(&self, shape: &Shape, plain: &[u64]) -> Option<f64> {
        let sizes = vec![f64::from(self.size); self.limbs];
        let schedule = self.schedule(shape, &sizes, self.special.map(f64::from), widest(plain))?;
        Some(schedule.price(shape, self, widest(plain)) * plain.len() as f64)
    }

    /// The levels of a network, with limbs of these base-2 logarithms.
    fn schedule(
        &self,
        shape: &Shape,
        sizes: &[f64],
        special: Option<f64>,
        log2_plain: f64,
    ) -> Option<Schedule> {
        let model = NoiseModel::of_sizes(self.degree, log2_plain, sizes, special, self.digit_bits);
        Schedule::lowest(shape, &model, self.limbs, log2_plain)
    }

    /// A product at a level: in the ring and an auxiliary one, then its key switching.
    fn product(&self, limbs: usize, log2_plain: f64) -> Product {
        let level = limbs as f64;
        let windows = self.digit_bits.map_or(1.0, |bits| (f64::from(self.size) / f64::from(bits)).ceil());
        let special = if self.special.is_some() { 1.0 } else { 0.0 };
        // The tensor product needs the plaintext modulus and the degree beyond the ciphertext modulus, in primes of 46 bits.
        let wider = log2_plain + (self.degree as f64).log2() + 1.0;
        let auxiliary = ((level * f64::from(self.size) + wider) / 46.0).ceil();
        let switch = level + windows * level * (level + special) + 2.0 * special * (level + 1.0);
        Product { transforms: 7.0 * level + 5.0 * auxiliary + switch, conversions: 8.0 * level * auxiliary }
    }

    fn literal(&self) -> Option<Literal> {
        // The plaintext modulus is chosen apart.
        let plain = PlainModulus::PowerOfTwo(1);
        let literal =
            Literal::with_sizes(self.degree, plain, &vec![self.size; self.limbs], self.special).ok()?;
        Some(Literal { digit_bits: self.digit_bits, ..literal })
    }
}

/// Whether flooded results still decrypt.
fn finishes(model: &NoiseModel, noise: bfv::Noise, limbs: usize) -> bool {
    let noise = noise.plus(model.fresh_public());
    let bits = model.flood_bits(noise, STATISTICAL);
    bits <= bfv::MAX_FLOOD_BITS && {
        let flooded = model.flood(noise, bits);
        model.decrypts(flooded, limbs) && model.reply_shape(flooded, limbs, 1).is_some()
    }
}

/// Refuses graphs and nodes that ciphertexts cannot do.
pub(super) fn supported(graph: &FixedGraph) -> Result<(), Error> {
    if graph.number != NumberFormat::Exact {
        return Err(Error::Refused(
            "ciphertexts compute on integers without truncation; the plan is for another protocol".into(),
        ));
    }
    for node in &graph.nodes {
        let possible = match &node.op {
            Op::Input | Op::Product { shift: 0 } | Op::Constant { .. } => true,
            Op::Conv { shift, .. } | Op::Dense { shift, .. } => shift.iter().all(|shift| *shift == 0),
            Op::Affine { shift, .. }
            | Op::PublicAffine { shift, .. }
            | Op::Sum { shift, .. }
            | Op::AveragePool { shift, .. } => *shift == 0,
            other => other.movement().is_some(),
        };
        if !possible {
            return Err(Error::Refused(format!(
                "layer {}: only sums and products can be computed on ciphertexts; train with squares in place of other \
                 activations, or use deepsecure",
                crate::error::printable(node.name.as_bytes())
            )));
        }
    }
    Ok(())
}
