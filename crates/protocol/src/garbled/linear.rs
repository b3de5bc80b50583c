//! Dense layers and convolutions: tiles of multipliers by weights that the evaluator knows.

use std::ops::Range;

use garble::gadgets;
use garble::gates::Gates;
use garble::word::Word;
use model::fixed::ParamId;

use super::dots::Dots;
use super::sums::sum_lanes;
use super::tiles::{TileSize, blocks, lanes};
use super::weights::{Encoding, Weights};

/// What a linear layer needs to know beside its dot products.
pub struct Layer<'a> {
    /// The dot products.
    pub dots: &'a Dots,
    /// Weights, `rows x terms`, and their width.
    pub weight: (ParamId, u32),
    /// Biases, one a row, and their width.
    pub bias: (ParamId, u32),
    /// Right shift of each row's sum (one entry for all, or one a row).
    pub shift: &'a [u32],
    /// Width of the accumulators.
    pub accumulator: u32,
    /// Width of the results.
    pub bits: u32,
}

impl<'a> Layer<'a> {
    fn shift(&self, row: usize) -> u32 {
        self.shift.get(row).or(self.shift.first()).copied().unwrap_or(0)
    }

    /// The layer's results, lane i being element i of the node's tensor.
    ///
    /// # Errors
    /// When the stream of tables or of weights fails.
    pub fn run<G: Gates, W: Weights<G>>(
        &self,
        gates: &mut G,
        weights: &mut W,
        input: &Word<G::Wires>,
    ) -> Result<Word<G::Wires>, G::Error> {
        let size = TileSize::of(self.dots);
        let mut results = Vec::new();
        let mut places = Vec::new();
        for rows in blocks(self.dots.rows, size.rows) {
            let sums = self.accumulate(gates, weights, input, &rows, size)?;
            for (positions, sum) in blocks(self.dots.positions, size.positions).zip(sums) {
                let outputs: Vec<(usize, usize)> =
                    rows.clone().flat_map(|row| positions.clone().map(move |position| (row, position))).collect();
                results.push(self.finish(gates, &outputs, &sum)?);
                places.extend(outputs.iter().map(|(row, position)| self.dots.output(*row, *position)));
            }
        }
        let parts: Vec<&Word<G::Wires>> = results.iter().collect();
        let joined = gadgets::concat(gates, &parts);
        Ok(gadgets::gather(gates, &joined, &inverse(&places)))
    }

    /// Full-width sums of a block of rows, one word for each block of positions.
    fn accumulate<G: Gates, W: Weights<G>>(
        &self,
        gates: &mut G,
        weights: &mut W,
        input: &Word<G::Wires>,
        rows: &Range<usize>,
        size: TileSize,
    ) -> Result<Vec<Word<G::Wires>>, G::Error> {
        let indices: Vec<usize> = rows.clone().collect();
        let bias = weights.load(gates, self.bias.0, &indices, Encoding::Plain { bits: self.bias.1 })?;
        let mut sums = Vec::new();
        for positions in blocks(self.dots.positions, size.positions) {
            let lanes: Vec<u32> =
                (0..rows.len() as u32).flat_map(|row| std::iter::repeat_n(row, positions.len())).collect();
            sums.push(gadgets::known_word(gates, &bias, &lanes));
        }
        for terms in blocks(self.dots.terms, size.terms) {
            let indices: Vec<usize> = rows
                .clone()
                .flat_map(|row| terms.clone().map(move |term| row * self.dots.terms + term))
                .collect();
            let digits = weights.load(gates, self.weight.0, &indices, Encoding::Digits { bits: self.weight.1 })?;
            for (positions, sum) in blocks(self.dots.positions, size.positions).zip(&mut sums) {
                *sum = self.add_tile(gates, input, &digits, (rows, &terms, &positions), sum)?;
            }
        }
        Ok(sums)
    }

    /// Multiplies one tile and adds its products to the accumulators.
    fn add_tile<G: Gates>(
        &self,
        gates: &mut G,
        input: &Word<G::Wires>,
        digits: &[G::Known],
        (rows, terms, positions): (&Range<usize>, &Range<usize>, &Range<usize>),
        sum: &Word<G::Wires>,
    ) -> Result<Word<G::Wires>, G::Error> {
        let tile = lanes(self.dots, rows, terms, positions);
        if tile.inputs.is_empty() {
            return Ok(sum.clone());
        }
        let x = gadgets::gather(gates, input, &tile.inputs);
        let digits: Vec<G::Known> = digits.iter().map(|digit| gates.gather_known(digit, &tile.weights)).collect();
        let products = gadgets::mul_known(gates, &x, &digits)?;
        let count = rows.len() * positions.len();
        let (partial, places) = sum_lanes(gates, products, tile.outputs, count)?;
        self.add_partial(gates, sum, &partial, &places, count)
    }

    /// Adds lanes of partial sums to the accumulators of the outputs that they belong to.
    fn add_partial<G: Gates>(
        &self,
        gates: &mut G,
        sum: &Word<G::Wires>,
        partial: &Word<G::Wires>,
        places: &[usize],
        count: usize,
    ) -> Result<Word<G::Wires>, G::Error> {
        if places.len() == count {
            let partial = gadgets::gather(gates, partial, &inverse(places));
            return gadgets::add_wrapping(gates, sum, &partial, self.accumulator as usize);
        }
        // Some outputs have no term in this tile (their window lies in the padding): they keep their sum.
        let touched = gadgets::gather(gates, sum, &places.iter().map(|place| *place as u32).collect::<Vec<_>>());
        let added = gadgets::add_wrapping(gates, &touched, partial, self.accumulator as usize)?;
        let mut source: Vec<u32> = (0..count as u32).collect();
        for (lane, place) in places.iter().enumerate() {
            source[*place] = (count + lane) as u32;
        }
        let all = gadgets::concat(gates, &[sum, &added]);
        Ok(gadgets::gather(gates, &all, &source))
    }

    /// Shifts and saturates sums; rows with the same shift together.
    fn finish<G: Gates>(
        &self,
        gates: &mut G,
        outputs: &[(usize, usize)],
        sum: &Word<G::Wires>,
    ) -> Result<Word<G::Wires>, G::Error> {
        let mut shifts: Vec<u32> = outputs.iter().map(|(row, _)| self.shift(*row)).collect();
        let of_lane = shifts.clone();
        shifts.sort_unstable();
        shifts.dedup();
        let mut parts = Vec::new();
        let mut places = Vec::new();
        for shift in shifts {
            let lanes: Vec<u32> =
                (0..outputs.len() as u32).filter(|lane| of_lane[*lane as usize] == shift).collect();
            let part = gadgets::gather(gates, sum, &lanes);
            let part = gadgets::shift_right(&part, shift as usize);
            parts.push(gadgets::saturate(gates, &part, self.bits as usize)?);
            places.extend(lanes.iter().map(|lane| *lane as usize));
        }
        let joined = gadgets::concat(gates, &parts.iter().collect::<Vec<_>>());
        Ok(gadgets::gather(gates, &joined, &inverse(&places)))
    }
}

/// The permutation that puts lane i at `places[i]`, as a gather.
pub fn inverse(places: &[usize]) -> Vec<u32> {
    let mut source = vec![0; places.len()];
    for (lane, place) in places.iter().enumerate() {
        source[*place] = lane as u32;
    }
    source
}
