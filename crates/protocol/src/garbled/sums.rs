//! Sums of lanes that belong to the same output.

use garble::gadgets::{self, Pending};
use garble::gates::Gates;
use garble::word::Word;

use super::linear::inverse;
use super::tiles::{blocks, pairwise};

/// Lanes gathered at a time by [`sum_inputs`]: they bound the memory of a sum of many terms.
const LANES: usize = 1 << 15;

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
) -> Result<(S, Vec<u32>), G::Error> {
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
    Ok((partial, left))
}

/// For each of `count` outputs the sum of the lanes `input(output, term)` of a word over all terms, those without a lane left
/// out; zero where there is none.
///
/// # Errors
/// When the stream of tables fails.
pub fn sum_inputs<G: Gates>(
    gates: &mut G,
    x: &Word<G::Wires>,
    count: usize,
    terms: usize,
    input: impl Fn(usize, usize) -> Option<usize>,
) -> Result<Word<G::Wires>, G::Error> {
    let widest = x.width() + terms.max(1).next_power_of_two().trailing_zeros() as usize;
    let mut total: Option<Word<G::Wires>> = None;
    for terms in blocks(terms, LANES / count.max(1)) {
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        for term in terms {
            for output in 0..count {
                if let Some(input) = input(output, term) {
                    inputs.push(input as u32);
                    outputs.push(output as u32);
                }
            }
        }
        if inputs.is_empty() {
            continue;
        }
        let lanes = gadgets::gather(gates, x, &inputs);
        let (sums, places) = sum_lanes(gates, lanes, outputs, count)?;
        let sums = spread(gates, &sums, &places, count);
        total = Some(match total {
            None => sums,
            Some(total) => {
                let sum = gadgets::add_signed(gates, &total, &sums)?;
                gadgets::resize(&sum, sum.width().min(widest))
            }
        });
    }
    Ok(total.unwrap_or_else(|| gadgets::public(0, 1, count)))
}

/// Puts lane i at `places[i]`, and zero at the places below `count` that no lane has.
fn spread<G: Gates>(gates: &mut G, x: &Word<G::Wires>, places: &[u32], count: usize) -> Word<G::Wires> {
    if places.len() == count {
        return gadgets::gather(gates, x, &inverse(places));
    }
    let all = gadgets::concat(gates, &[x, &gadgets::public(0, 1, 1)]);
    let mut source = vec![places.len() as u32; count];
    for (lane, place) in places.iter().enumerate() {
        source[*place as usize] = lane as u32;
    }
    gadgets::gather(gates, &all, &source)
}
