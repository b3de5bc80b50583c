//! Sums of lanes that belong to the same output.

use garble::gadgets::{self, Pending};
use garble::gates::Gates;
use garble::word::Word;

use super::tiles::pairwise;

/// Something with lanes that can be moved and added.
pub trait Summand<G: Gates>: Sized {
    /// Lane i is lane `lanes[i]` of this.
    fn gather(&self, gates: &G, lanes: &[u32]) -> Self;

    /// The lanes of both, one after the other.
    fn concat(gates: &mut G, first: &Self, second: &Self) -> Self;

    /// The sums, wide enough.
    ///
    /// # Errors
    /// When the stream of tables fails.
    fn add(&self, gates: &mut G, other: &Self) -> Result<Self, G::Error>;
}

impl<G: Gates> Summand<G> for Word<G::Wires> {
    fn gather(&self, gates: &G, lanes: &[u32]) -> Self {
        gadgets::gather(gates, self, lanes)
    }

    fn concat(gates: &mut G, first: &Self, second: &Self) -> Self {
        gadgets::concat(gates, &[first, second])
    }

    fn add(&self, gates: &mut G, other: &Self) -> Result<Self, G::Error> {
        gadgets::add_signed(gates, self, other)
    }
}

impl<G: Gates> Summand<G> for Pending<G::Wires> {
    fn gather(&self, gates: &G, lanes: &[u32]) -> Self {
        Pending::gather(self, gates, lanes)
    }

    fn concat(gates: &mut G, first: &Self, second: &Self) -> Self {
        Pending::concat(gates, &[first, second])
    }

    fn add(&self, gates: &mut G, other: &Self) -> Result<Self, G::Error> {
        Pending::add(self, gates, other)
    }
}

/// Adds the lanes of each output pairwise until one is left: `outputs[i]`, below `count`, is the output of lane i. Returns
/// the sums and the outputs that they belong to.
///
/// # Errors
/// When the stream of tables fails.
pub fn sum_lanes<G: Gates, S: Summand<G>>(
    gates: &mut G,
    lanes: S,
    outputs: Vec<u32>,
    count: usize,
) -> Result<(S, Vec<usize>), G::Error> {
    let (levels, left) = pairwise(outputs, count);
    let mut partial = lanes;
    for level in &levels {
        let first = partial.gather(gates, &level.first);
        let second = partial.gather(gates, &level.second);
        let added = first.add(gates, &second)?;
        partial = if level.rest.is_empty() {
            added
        } else {
            let rest = partial.gather(gates, &level.rest);
            S::concat(gates, &added, &rest)
        };
    }
    Ok((partial, left.into_iter().map(|output| output as usize).collect()))
}
