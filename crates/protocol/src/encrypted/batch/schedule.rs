//! Noise through a network, and the levels at which it is computed.

use bfv::{Noise, NoiseModel};

use super::rows::{Kind, Shape};
use super::{Candidate, finishes};

/// What a transform of one row costs, a row of a base conversion, and a limb of an input (encryption, sending, reading).
const TRANSFORM: f64 = 4.0;
const CONVERSION: f64 = 0.3;
const ENCRYPTION: f64 = 30.0;

/// Limbs after each product of tensors, and of the results.
#[derive(Clone)]
pub(super) struct Schedule {
    pub levels: Vec<usize>,
    pub limbs: usize,
}

/// A tensor's level and noise; `fresh` while its elements' noises are independent.
#[derive(Clone, Copy)]
struct State {
    limbs: usize,
    noise: Noise,
    fresh: bool,
}

impl Schedule {
    /// The schedule that switches down as far and as early as the noise allows, if the network fits at all.
    pub fn lowest(shape: &Shape, model: &NoiseModel, limbs: usize, log2_plain: f64) -> Option<Self> {
        let mut best = Self { levels: vec![limbs; shape.products().len()], limbs };
        // The results go as far down as they still can be flooded: the fewest limbs decide whether they fit at all.
        let fits = |schedule: &Self| {
            (1..=schedule.levels.last().copied().unwrap_or(limbs)).find_map(|to| {
                let schedule = Self { limbs: to, ..schedule.clone() };
                let (level, noise) = schedule.end(shape, model, limbs, log2_plain)?;
                finishes(model, noise, level).then_some(schedule)
            })
        };
        best = fits(&best)?;
        for product in 0..best.levels.len() {
            while best.levels[product] > 1 {
                let mut lower = best.clone();
                let to = lower.levels[product] - 1;
                lower.levels[product..].iter_mut().for_each(|level| *level = (*level).min(to));
                match fits(&lower) {
                    Some(found) => best = found,
                    None => break,
                }
            }
        }
        Some(best)
    }

    /// The level and the noise of the results, if the levels are ones.
    pub fn end(
        &self,
        shape: &Shape,
        model: &NoiseModel,
        limbs: usize,
        log2_plain: f64,
    ) -> Option<(usize, Noise)> {
        let falling = self.levels.windows(2).all(|pair| pair[0] >= pair[1]);
        let exist = self.levels.iter().all(|level| (1..=limbs).contains(level));
        if !falling || !exist || self.levels.len() != shape.products().len() {
            return None;
        }
        let fresh = State { limbs, noise: model.fresh_symmetric(), fresh: true };
        let mut states: Vec<State> = Vec::with_capacity(shape.nodes.len());
        let mut levels = self.levels.iter();
        for (operands, _, kind) in &shape.nodes {
            let operands: Vec<State> = operands.iter().map(|operand| states[*operand]).collect();
            let joined = join(model, &operands).unwrap_or(fresh);
            states.push(match *kind {
                Kind::Input => fresh,
                Kind::Move => joined,
                Kind::Linear { terms, log2_weight } => {
                    // Sums of independent noises grow with the root of their number, others with it.
                    let count = (terms.max(1) as f64).log2() * if joined.fresh { 1.0 } else { 2.0 };
                    let norm = count + 2.0 * log2_weight.min(log2_plain - 1.0);
                    State { noise: model.mul_plain(joined.noise, norm.exp2()), fresh: false, ..joined }
                }
                Kind::Product { square } => {
                    let noise = if square {
                        model.square(joined.noise, joined.limbs)
                    } else {
                        model.multiply(joined.noise, joined.noise, joined.limbs)
                    };
                    let to = (*levels.next()?).min(joined.limbs);
                    State { limbs: to, noise: model.switch_down(noise, joined.limbs, to), fresh: false }
                }
            });
        }
        let outputs: Vec<State> = shape.outputs.iter().map(|output| states[*output]).collect();
        // Each result gets a fresh summand of its own kind later; here they meet on one level.
        let state = join(model, &outputs)?;
        let to = Some(self.limbs).filter(|to| (1..=state.limbs).contains(to))?;
        Some((to, model.switch_down(state.noise, state.limbs, to)))
    }

    /// A rough price of a pass for each slot and plaintext modulus, in passes over the rows of both halves of one limb.
    pub fn price(&self, shape: &Shape, candidate: &Candidate, log2_plain: f64) -> f64 {
        let price = |((_, elements, kind), limbs): (&(Vec<usize>, u64, Kind), usize)| {
            let level = limbs as f64;
            let each = match kind {
                Kind::Input => level * ENCRYPTION,
                Kind::Linear { terms, .. } => level * (*terms as f64),
                Kind::Product { .. } => {
                    let Product { transforms, conversions } = candidate.product(limbs, log2_plain);
                    TRANSFORM * transforms + CONVERSION * conversions
                }
                Kind::Move => 0.0,
            };
            (*elements as f64) * each
        };
        shape.nodes.iter().zip(self.walk(shape, candidate.limbs)).map(price).sum()
    }

    /// The limbs that each node works on, in a network whose inputs have so many, as if it were one path.
    pub fn walk(&self, shape: &Shape, limbs: usize) -> Vec<usize> {
        let (mut level, mut levels) = (limbs, self.levels.iter());
        let mut node = |(_, _, kind): &(Vec<usize>, u64, Kind)| {
            let here = level;
            match kind {
                // Requests are fresh, wherever their node stands.
                Kind::Input => return limbs,
                Kind::Product { .. } => level = levels.next().copied().unwrap_or(level),
                Kind::Linear { .. } | Kind::Move => {}
            }
            here
        };
        shape.nodes.iter().map(&mut node).collect()
    }
}

/// What a product of two ciphertexts takes, in passes over the rows of both halves of one limb.
pub(super) struct Product {
    pub transforms: f64,
    pub conversions: f64,
}

/// Operands on their lowest common level, with the larger noise.
fn join(model: &NoiseModel, operands: &[State]) -> Option<State> {
    let limbs = operands.iter().map(|state| state.limbs).min()?;
    let lowered = operands.iter().map(|state| State {
        noise: model.switch_down(state.noise, state.limbs, limbs),
        limbs,
        fresh: state.fresh,
    });
    lowered.reduce(|a, b| State {
        limbs,
        noise: if a.noise >= b.noise { a.noise } else { b.noise },
        fresh: a.fresh && b.fresh,
    })
}
