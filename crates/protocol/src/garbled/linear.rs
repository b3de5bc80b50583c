//! Dense layers and convolutions: tiles of multipliers by weights that the evaluator knows.
//!
//! Weights enter as the odd digits of `2 w + 1` (`garble::known`), so a dot product with its bias is
//! `(2 b - sum x + sum x (2 w + 1)) / 2`. The sum of the inputs under a position is made once and serves all rows, and three times an
//! input is made once and serves all products.

use std::ops::Range;

use garble::gadgets::{self, Multiples, Pending, mul_known_odd};
use garble::gates::Gates;
use garble::word::Word;
use model::fixed::ParamId;

use super::dots::Dots;
use super::elementwise::in_tiles;
use super::pieces::{Pieces, Places};
use super::sums::sum_lanes;
use super::tiles::{self, TileSize, blocks};
use super::weights::{Encoding, Weights};
use super::zeros::{InputSum, Sums, input_sums};

/// What a linear layer needs to know beside its dot products.
pub struct Layer<'a> {
    /// The dot products, and how each row gets its sum of inputs.
    pub dots: &'a (Dots, Vec<InputSum>),
    /// Weights, `rows x terms`, and their width.
    pub weight: (ParamId, u32),
    /// Biases, one a row, and their width.
    pub bias: (ParamId, u32),
    /// Right shift of each row's sum (one entry for all, or one a row).
    pub shift: &'a [u32],
    /// Width of the accumulators, which hold twice the sum.
    pub accumulator: usize,
    /// Width of the results.
    pub bits: u32,
}

impl Layer<'_> {
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
        let (dots, forms) = self.dots;
        let size = TileSize::of(dots);
        let input_sums = input_sums(gates, dots, forms, input)?;
        let input = Operand::new(gates, dots, input)?;
        let mut results = Pieces::default();
        let mut places = Places::default();
        for rows in blocks(dots.rows, size.rows) {
            let mut loaded = Loaded { keep: dots.positions > POSITIONS, tiles: Vec::new() };
            for part in blocks(dots.positions, POSITIONS) {
                let place = (&rows, &part, size);
                let sums = self.accumulate(gates, (weights, &mut loaded), (&input, &input_sums), place)?;
                for (positions, sum) in split(&part, size.positions).zip(sums) {
                    let outputs: Vec<(usize, usize)> = rows
                        .clone()
                        .flat_map(|row| positions.clone().map(move |position| (row, position)))
                        .collect();
                    let result = self.finish(gates, &outputs, &sum)?;
                    results.push(gates, result);
                    outputs.iter().for_each(|(row, position)| places.push(dots.output(*row, *position)));
                }
            }
        }
        let results = results.finish(gates);
        Ok(places.arrange(gates, &results))
    }

    /// Twice the full sums of a block of rows at a part of the positions, one word for each block of these.
    fn accumulate<G: Gates, W: Weights<G>>(
        &self,
        gates: &mut G,
        (weights, loaded): (&mut W, &mut Loaded<G::Known>),
        (input, input_sums): (&Operand<G::Wires>, &Sums<G::Wires>),
        (rows, part, size): (&Range<usize>, &Range<usize>, TileSize),
    ) -> Result<Vec<Word<G::Wires>>, G::Error> {
        let dots = &self.dots.0;
        let indices: Vec<usize> = rows.clone().collect();
        let bias = (self.bias.0, Encoding::Plain { bits: self.bias.1 });
        let bias = loaded.tile(gates, weights, 0, bias, &indices)?;
        let mut sums = Vec::new();
        for positions in split(part, size.positions) {
            let lanes: Vec<u32> =
                (0..rows.len() as u32).flat_map(|row| std::iter::repeat_n(row, positions.len())).collect();
            let bias = gadgets::shift_left(&gadgets::known_word(gates, &bias, &lanes), 1);
            let inputs: Vec<u32> = rows
                .clone()
                .flat_map(|row| positions.clone().map(move |position| input_sums.first[row] + position))
                .map(|lane| lane as u32)
                .collect();
            let inputs = gadgets::gather(gates, &input_sums.word, &inputs);
            sums.push(gadgets::sub_wrapping(gates, &bias, &inputs, self.accumulator)?);
        }
        for (number, terms) in (1..).zip(tiles::term_blocks(dots, rows, size)) {
            let tile = tiles::weights(dots, rows, &terms);
            let indices: Vec<usize> = tile.iter().map(|(row, term)| row * dots.terms + term).collect();
            let weight = (self.weight.0, Encoding::Digits { bits: self.weight.1 });
            let digits = loaded.tile(gates, weights, number, weight, &indices)?;
            for (positions, sum) in split(part, size.positions).zip(&mut sums) {
                *sum = self.add_tile(gates, input, (&tile, &digits), (rows, &positions), sum)?;
            }
        }
        Ok(sums)
    }

    /// Multiplies one tile and adds its products to the accumulators.
    fn add_tile<G: Gates>(
        &self,
        gates: &mut G,
        input: &Operand<G::Wires>,
        (weights, digits): (&[(usize, usize)], &[G::Known]),
        (rows, positions): (&Range<usize>, &Range<usize>),
        sum: &Word<G::Wires>,
    ) -> Result<Word<G::Wires>, G::Error> {
        let tile = tiles::lanes(&self.dots.0, weights, rows.start, positions);
        if tile.inputs.is_empty() {
            return Ok(sum.clone());
        }
        let x = input.gather(gates, &tile.inputs);
        let digits: Vec<G::Known> =
            digits.iter().map(|digit| gates.gather_known(digit, &tile.weights)).collect();
        let products = mul_known_odd(gates, &x, &digits)?;
        let count = rows.len() * positions.len();
        let (partial, places) = sum_lanes(gates, products, tile.outputs, count)?;
        self.add_partial(gates, sum, &partial, &places, count)
    }

    /// Adds lanes of partial sums to the accumulators of the outputs that they belong to.
    fn add_partial<G: Gates>(
        &self,
        gates: &mut G,
        sum: &Word<G::Wires>,
        partial: &Pending<G::Wires>,
        places: &[u32],
        count: usize,
    ) -> Result<Word<G::Wires>, G::Error> {
        if places.len() == count {
            return partial.gather(gates, &inverse(places)).add_to(gates, sum, self.accumulator);
        }
        // Some outputs have no term in this tile (their window lies in the padding): they keep their sum.
        let touched = gadgets::gather(gates, sum, places);
        let added = partial.add_to(gates, &touched, self.accumulator)?;
        let mut source: Vec<u32> = (0..count as u32).collect();
        for (lane, place) in places.iter().enumerate() {
            source[*place as usize] = (count + lane) as u32;
        }
        let all = gadgets::concat(gates, &[sum, &added]);
        Ok(gadgets::gather(gates, &all, &source))
    }

    /// Halves, shifts and saturates sums; rows with the same shift together.
    fn finish<G: Gates>(
        &self,
        gates: &mut G,
        outputs: &[(usize, usize)],
        sum: &Word<G::Wires>,
    ) -> Result<Word<G::Wires>, G::Error> {
        let shifts: Vec<u32> = outputs.iter().map(|(row, _)| self.shift(*row) + 1).collect();
        shift_and_saturate(gates, sum, &shifts, self.bits as usize)
    }
}

/// Positions whose accumulators are in memory at a time: a multiple of a tile's.
const POSITIONS: usize = 1 << 13;

/// Blocks of positions within a part of them.
fn split(part: &Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> + use<> {
    let start = part.start;
    blocks(part.len(), size).map(move |block| start + block.start..start + block.end)
}

/// The weights of a block of rows, tile by tile, kept where they are needed again for other positions.
struct Loaded<K> {
    keep: bool,
    tiles: Vec<Vec<K>>,
}

impl<K: Clone> Loaded<K> {
    fn tile<G: Gates<Known = K>, W: Weights<G>>(
        &mut self,
        gates: &mut G,
        weights: &mut W,
        number: usize,
        (param, encoding): (ParamId, Encoding),
        indices: &[usize],
    ) -> Result<Vec<K>, G::Error> {
        if let Some(tile) = self.tiles.get(number) {
            return Ok(tile.clone());
        }
        let tile = weights.load(gates, param, indices, encoding)?;
        if self.keep {
            self.tiles.push(tile.clone());
        }
        Ok(tile)
    }
}

/// Shifts each lane by its own number of bits, those with the same together, and saturates.
///
/// # Errors
/// When the stream of tables fails.
pub fn shift_and_saturate<G: Gates>(
    gates: &mut G,
    sum: &Word<G::Wires>,
    of_lane: &[u32],
    bits: usize,
) -> Result<Word<G::Wires>, G::Error> {
    let mut shifts = of_lane.to_vec();
    shifts.sort_unstable();
    shifts.dedup();
    let mut parts = Vec::new();
    let mut places = Vec::new();
    for shift in shifts {
        let lanes: Vec<u32> =
            (0..of_lane.len() as u32).filter(|lane| of_lane[*lane as usize] == shift).collect();
        let part = gadgets::gather(gates, sum, &lanes);
        let part = gadgets::shift_right(&part, shift as usize);
        parts.push(gadgets::saturate(gates, &part, bits)?);
        places.extend(lanes);
    }
    let joined = gadgets::concat(gates, &parts.iter().collect::<Vec<_>>());
    Ok(gadgets::gather(gates, &joined, &inverse(&places)))
}

/// A layer's input and three times it.
struct Operand<W> {
    multiples: Multiples<W>,
    /// Where each input is, if only those are there that some weight meets.
    places: Option<Vec<u32>>,
}

impl<W: Clone> Operand<W> {
    /// Makes three times the inputs, tile by tile, without those that no weight meets.
    fn new<G: Gates<Wires = W>>(gates: &mut G, dots: &Dots, input: &Word<W>) -> Result<Self, G::Error> {
        let used = dots.used(input.lanes());
        let one = match &used {
            Some(used) => gadgets::gather(gates, input, used),
            None => input.clone(),
        };
        let difference = in_tiles(gates, one.lanes(), |gates, tile| {
            let lanes: Vec<u32> = tile.map(|lane| lane as u32).collect();
            let x = gadgets::gather(gates, &one, &lanes);
            Multiples::difference(gates, &x)
        })?;
        let places = used.map(|used| {
            let mut places = vec![0; input.lanes()];
            (0..).zip(used).for_each(|(place, lane)| places[lane as usize] = place);
            places
        });
        Ok(Self { multiples: Multiples::with(one, difference), places })
    }

    fn gather<G: Gates<Wires = W>>(&self, gates: &G, inputs: &[u32]) -> Multiples<W> {
        match &self.places {
            Some(places) => {
                let lanes: Vec<u32> = inputs.iter().map(|input| places[*input as usize]).collect();
                self.multiples.gather(gates, &lanes)
            }
            None => self.multiples.gather(gates, inputs),
        }
    }
}

/// The permutation that puts lane i at `places[i]`, as a gather.
pub fn inverse(places: &[u32]) -> Vec<u32> {
    let mut source = vec![0; places.len()];
    for (lane, place) in places.iter().enumerate() {
        source[*place as usize] = lane as u32;
    }
    source
}
