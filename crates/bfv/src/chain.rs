//! Parameters of a whole encrypted computation: from its steps to the smallest modulus, and the level of every step.
//!
//! A [`Chain`] is a sequence of [`Step`]s from a fresh encryption to the reply, for one degree and plaintext space; the noise of
//! [`NoiseModel`] is followed through it. [`Chain::shape`] finds the fewest limbs, then the fewest bits, for which every
//! step's result decrypts, and lets each step run with as few limbs as those after it allow (modulus switching makes them
//! cheaper). It touches no ring: a search over plans may call it thousands of times. [`Shape::parameters`] makes the set.
//!
//! ```
//! use bfv::PlainModulus;
//! use bfv::chain::{Chain, Factor, KeySwitch, Step};
//!
//! # fn main() -> Result<(), bfv::Error> {
//! // Slots of 80 bits: a convolution by scalars, a square, a matrix by 32 + 32 rotations, the reply.
//! let plain = PlainModulus::generalised(8192, 1024, 1 << 80).ok_or(bfv::Error::NoSlots)?;
//! let steps = [
//!     Step::Dot { terms: 25, factor: Factor::SquaredNorm(256.0) },
//!     Step::Square,
//!     Step::Rotate,
//!     Step::Dot { terms: 32, factor: Factor::Slots },
//!     Step::Rotate,
//!     Step::Sum(32),
//!     Step::Rerandomise,
//!     Step::Flood(40),
//! ];
//! let chain = Chain { degree: 8192, plain, public: false, steps: &steps };
//! let shape = chain.shape(KeySwitch::Limbs).ok_or(bfv::Error::Underivable { plain_bits: plain.bits() })?;
//! assert!(shape.limbs.len() == 3 && shape.levels[7] == 2);
//! let parameters = shape.parameters()?;
//! assert!(parameters.limbs() == 3 && parameters.plain() == plain);
//! # Ok(())
//! # }
//! ```

use crate::error::Error;
use crate::evaluator::MAX_FLOOD_BITS;
use crate::noise::{Noise, NoiseModel};
use crate::parameters::{Literal, MAX_LIMBS, Parameters};
use crate::plain::PlainModulus;
use crate::reply::{MAX_REPLY_LIMBS, ReplyShape};
use crate::security;

/// The plaintext factor of a product.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Factor {
    /// Any slots: coefficients over the full range of the space, N log2_norm^2 / 12 in all.
    Slots,
    /// Coefficients with this sum of squares: `s^2` for a scalar s.
    SquaredNorm(f64),
}

/// A step on the current ciphertext, which is the result of the step before. All ciphertexts of a layer are alike, so one
/// stands for them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// The sum of this many products of such ciphertexts (different ones, or different rotations) with messages. Where these
    /// are scalars, coefficients that the rotations fix may add up as they are, without cancelling.
    Dot {
        /// Number of products.
        terms: usize,
        /// What each is with.
        factor: Factor,
    },
    /// The sum of this many such ciphertexts, rotated or not, whose noises are independent: different ciphertexts, or dot
    /// products with different slots. After products with scalars fixed coefficients may add up as they are.
    Sum(usize),
    /// One rotation.
    Rotate,
    /// This many rounds of adding a rotation of the ciphertext to itself. Coefficients that the automorphisms fix double in
    /// each round.
    RotateSum(u32),
    /// A square, relinearised.
    Square,
    /// A product of two such ciphertexts, relinearised.
    Multiply,
    /// Go on from the result of this step (by its number, from 0) and not of the last: a branch.
    Recall(usize),
    /// The sum with the result of an earlier step: a join.
    Join(usize),
    /// A fresh public encryption of zero is added.
    Rerandomise,
    /// Flooding to a statistical distance of 2^-bits over the ciphertext.
    Flood(u32),
}

/// How keys are switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeySwitch {
    /// A special prime, in addition to the data limbs: the least noise.
    Special,
    /// One digit for each limb, all of the modulus for data: the fastest.
    Limbs,
    /// Digits of this many bits, all of the modulus for data: less noise than [`Self::Limbs`], more transforms.
    Digits(u32),
}

/// What parameters are wanted for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chain<'a> {
    /// Ring degree.
    pub degree: usize,
    /// The plaintext space; of several (a product of primes) the one with the largest [`PlainModulus::log2_norm`].
    pub plain: PlainModulus,
    /// Whether inputs are encrypted with the public key.
    pub public: bool,
    /// The computation.
    pub steps: &'a [Step],
}

/// The parameters found.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Ring degree.
    pub degree: usize,
    /// The plaintext space.
    pub plain: PlainModulus,
    /// Bits of each data limb.
    pub limbs: Vec<u32>,
    /// Bits of the special prime.
    pub special: Option<u32>,
    /// Bits of key-switching digits, if not whole limbs.
    pub digit_bits: Option<u32>,
    /// Limbs with which each step runs: its inputs are switched down to them first.
    pub levels: Vec<usize>,
    /// The noise after each step: for a coefficient where it is largest.
    pub noises: Vec<Noise>,
    /// Bits for [`crate::Evaluator::flood`] in each [`Step::Flood`], in order.
    pub flood_bits: Vec<u32>,
}

/// Bits of a data limb: narrower ones are short of primes.
const LIMB_BITS: core::ops::RangeInclusive<u32> = 30..=kernel::modular::VECTOR_BITS;

/// Bits left over for primes that are a little below their power of two.
const MARGIN: f64 = 0.05;

/// Noise whose largest coefficient may exceed the mean.
///
/// Every rotation maps `X^(k i)` to itself, up to the sign: those coefficients of a sum of rotations are sums of equal terms, and
/// grow by the number of terms where others grow by its root. They are few, so the mean does not see them; decryption does.
#[derive(Clone, Copy, Debug)]
struct State {
    mean: Noise,
    peak: Noise,
    limbs: usize,
    /// Whether sums of such ciphertexts may be of equal coefficients.
    coherent: bool,
}

impl State {
    fn even(noise: Noise, limbs: usize) -> Self {
        Self { mean: noise, peak: noise, limbs, coherent: false }
    }

    fn each(self, op: impl Fn(Noise) -> Noise) -> Self {
        Self { mean: op(self.mean), peak: op(self.peak), ..self }
    }

    /// A sum of `count` such ciphertexts.
    fn summed(self, count: usize) -> Self {
        let more = f64::log2(count.max(1) as f64);
        let peak = self.peak.scaled(if self.coherent { 2.0 * more } else { more });
        Self { mean: self.mean.scaled(more), peak, ..self }
    }

    /// A product with a polynomial that spreads each coefficient over all.
    fn mixed(self, op: impl Fn(Noise) -> Noise) -> Self {
        Self::even(op(self.mean), self.limbs)
    }

    fn switched(self, model: &NoiseModel, limbs: usize) -> Self {
        Self { limbs, ..self.each(|noise| model.switch_down(noise, self.limbs, limbs)) }
    }
}

impl Chain<'_> {
    /// The shape with the fewest limbs, and of these the fewest bits, that key switching of this kind allows within the 128-bit
    /// table; `None` if there is none. Limbs differ by one bit at most.
    pub fn shape(&self, kind: KeySwitch) -> Option<Shape> {
        let limit = security::max_modulus_bits(self.degree)?;
        let most = (limit / LIMB_BITS.start()).min(MAX_LIMBS as u32);
        (1..=most).find_map(|limbs| self.with_limbs(limbs, limit, kind))
    }

    fn with_limbs(&self, limbs: u32, limit: u32, kind: KeySwitch) -> Option<Shape> {
        let (mut low, mut high) = (limbs * LIMB_BITS.start(), (limbs * LIMB_BITS.end()).min(limit));
        while high >= low && self.empty(high, limbs, kind).bits() > limit {
            high -= 1;
        }
        let runs = |total: u32| {
            let shape = self.empty(total, limbs, kind);
            shape.run(self, &shape.model()).is_some()
        };
        if high < low || !runs(high) {
            return None;
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if runs(middle) { high = middle } else { low = middle + 1 }
        }
        self.empty(high, limbs, kind).lower_levels(self)
    }

    /// The shape with limbs of `total` bits, all steps at the top.
    fn empty(&self, total: u32, limbs: u32, kind: KeySwitch) -> Shape {
        let sizes = (0..limbs).map(|index| (total + limbs - 1 - index) / limbs).collect::<Vec<_>>();
        let special = (sizes[0] + 1).min(*LIMB_BITS.end());
        Shape {
            degree: self.degree,
            plain: self.plain,
            limbs: sizes,
            special: (kind == KeySwitch::Special).then_some(special),
            digit_bits: if let KeySwitch::Digits(bits) = kind { Some(bits) } else { None },
            levels: vec![limbs as usize; self.steps.len()],
            noises: Vec::new(),
            flood_bits: Vec::new(),
        }
    }
}

impl Shape {
    /// Bits of all primes.
    pub fn bits(&self) -> u32 {
        self.limbs.iter().sum::<u32>() + self.special.unwrap_or(0)
    }

    /// The noise model of these sizes.
    pub fn model(&self) -> NoiseModel {
        let sizes: Vec<f64> = self.limbs.iter().map(|bits| f64::from(*bits)).collect();
        let special = self.special.map(f64::from);
        NoiseModel::of_sizes(self.degree, self.plain.log2_norm(), &sizes, special, self.digit_bits)
    }

    /// The reply to the last step's result, with `values` coefficients of its first half ([`Self::degree`] for slots).
    pub fn reply(&self, values: usize) -> Option<ReplyShape> {
        let (noise, limbs) = (self.noises.last()?, self.levels.last()?);
        self.model().reply_shape(*noise, *limbs, values)
    }

    /// The parameter set, with primes of these sizes.
    ///
    /// # Errors
    /// If there are no such primes within the table.
    pub fn parameters(&self) -> Result<Parameters, Error> {
        let literal = Literal::with_sizes(self.degree, self.plain, &self.limbs, self.special)?;
        Parameters::new(Literal { digit_bits: self.digit_bits, ..literal })
    }

    /// Follows the noise: the states after each step and the flooding bits, or `None` if one does not decrypt or the
    /// last does not fit a reply.
    fn run(&self, chain: &Chain<'_>, model: &NoiseModel) -> Option<(Vec<State>, Vec<u32>)> {
        let fresh = if chain.public { model.fresh_public() } else { model.fresh_symmetric() };
        let mut current = State::even(fresh, self.limbs.len());
        let mut states: Vec<State> = Vec::with_capacity(chain.steps.len());
        let mut flood_bits = Vec::new();
        for (step, limbs) in chain.steps.iter().zip(&self.levels) {
            if let Step::Recall(earlier) = step {
                current = *states.get(*earlier)?;
            }
            current = current.switched(model, *limbs);
            current = apply(model, *step, current, &states)?;
            if let Step::Flood(statistical) = step {
                let bits = model.flood_bits(current.peak, *statistical);
                flood_bits.push(bits);
                current = current.each(|noise| model.flood(noise, bits));
            }
            if model.budget(current.peak, current.limbs) < MARGIN {
                return None;
            }
            states.push(current);
        }
        let last = current.switched(model, current.limbs.min(MAX_REPLY_LIMBS));
        (model.budget(last.peak, last.limbs) >= MARGIN).then_some((states, flood_bits))
    }

    /// Lowers the levels, step by step, as far as the steps after each allow, and keeps the noises. `None` if the flooding
    /// is too wide even so.
    fn lower_levels(mut self, chain: &Chain<'_>) -> Option<Self> {
        let model = self.model();
        for index in 0..self.levels.len() {
            while self.levels[index] > 1 {
                let kept = self.levels.clone();
                self.levels[index..].iter_mut().for_each(|level| *level -= 1);
                if self.run(chain, &model).is_none() {
                    self.levels = kept;
                    break;
                }
            }
        }
        let (states, flood_bits) = self.run(chain, &model)?;
        self.noises = states.iter().map(|state| state.peak).collect();
        self.flood_bits = flood_bits;
        self.flood_bits.iter().all(|bits| *bits <= MAX_FLOOD_BITS).then_some(self)
    }
}

/// One step other than flooding; `None` if it names a step that does not exist.
fn apply(model: &NoiseModel, step: Step, state: State, states: &[State]) -> Option<State> {
    let limbs = state.limbs;
    Some(match step {
        Step::Dot { terms, factor: Factor::Slots } => {
            state.mixed(|noise| model.sum(model.mul_plain_full(noise), terms))
        }
        Step::Dot { terms, factor: Factor::SquaredNorm(norm) } => {
            State { coherent: true, ..state.each(|noise| model.mul_plain(noise, norm)) }.summed(terms)
        }
        Step::Sum(count) => state.summed(count),
        Step::Rotate => state.each(|noise| model.key_switch(noise, limbs)),
        Step::RotateSum(rounds) => (0..rounds).fold(state, |state, _| {
            let mean = model.key_switch(state.mean.scaled(1.0), limbs);
            let peak = model.key_switch(state.peak.scaled(2.0), limbs);
            State { mean, peak, limbs, coherent: true }
        }),
        Step::Square => state.mixed(|noise| model.square(noise, limbs)),
        Step::Multiply => state.mixed(|noise| model.multiply(noise, noise, limbs)),
        Step::Join(earlier) => {
            let other = states.get(earlier).filter(|other| other.limbs >= limbs)?.switched(model, limbs);
            let coherent = state.coherent || other.coherent;
            State { mean: state.mean.plus(other.mean), peak: state.peak.plus(other.peak), limbs, coherent }
        }
        Step::Rerandomise => state.each(|noise| noise.plus(model.fresh_public())),
        Step::Recall(_) | Step::Flood(_) => state,
    })
}
