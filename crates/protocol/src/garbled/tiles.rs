//! How a linear layer is cut into tiles of independent multipliers, and how their products are summed.
//!
//! A tile is `rows x positions` outputs by `terms` of their dot products, each product a lane of one wide multiplier, so
//! that the vector lanes of the hash stay full and a tile's labels stay in the cache. Partial sums are added pairwise
//! within the tile while there are two of the same output left, level by level, and the rest goes to the
//! accumulators: one addition a product in all.

use std::ops::Range;

use super::dots::Dots;

/// Multipliers side by side: 1,024 lanes of 16 bytes keep the live wires of a multiplier within a second-level cache.
const LANES: usize = 1024;

/// Outputs side by side, below which additions at the end of a tile would leave vector lanes empty.
const OUTPUTS: usize = 64;

/// The sizes of a layer's tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileSize {
    /// Rows of weights.
    pub rows: usize,
    /// Terms of the dot products.
    pub terms: usize,
    /// Positions.
    pub positions: usize,
}

impl TileSize {
    /// Sizes for a layer, from its shape alone.
    pub fn of(dots: &Dots) -> Self {
        let positions = dots.positions.clamp(1, OUTPUTS);
        let rows = (OUTPUTS / positions).clamp(1, dots.rows.max(1));
        let terms = (LANES / (rows * positions)).clamp(1, dots.terms.max(1));
        Self { rows, terms, positions }
    }
}

/// Consecutive ranges of at most `size` that cover `0..total`.
pub fn blocks(total: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..total).step_by(size.max(1)).map(move |start| start..(start + size).min(total))
}

/// The lanes of one tile.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lanes {
    /// For each product the input element.
    pub inputs: Vec<u32>,
    /// For each product the weight, as an index into those of [`weights`].
    pub weights: Vec<u32>,
    /// For each product the output it belongs to, as an index into the tile's `rows x positions` block.
    pub outputs: Vec<u32>,
}

/// The terms of a block of rows, cut into those of tiles: so many terms each, or, where some weights are known to be zero, as
/// many as have weights for a tile's lanes.
pub fn term_blocks(dots: &Dots, rows: &Range<usize>, size: TileSize) -> Vec<Range<usize>> {
    if dots.support.is_none() {
        return blocks(dots.terms, size.terms).collect();
    }
    let most = (LANES / size.positions).max(1);
    let mut cut = Vec::new();
    let (mut start, mut weights) = (0, 0);
    for term in 0..dots.terms {
        weights += rows.clone().filter(|row| dots.counts(*row, term)).count();
        if weights >= most {
            cut.push(start..term + 1);
            (start, weights) = (term + 1, 0);
        }
    }
    if weights > 0 {
        cut.push(start..dots.terms);
    }
    cut
}

/// The weights of a tile, terms outermost, as (row, term); those that are known to be zero are left out.
pub fn weights(dots: &Dots, rows: &Range<usize>, terms: &Range<usize>) -> Vec<(usize, usize)> {
    let all = terms.clone().flat_map(|term| rows.clone().map(move |row| (row, term)));
    all.filter(|(row, term)| dots.counts(*row, *term)).collect()
}

/// The products of a tile in the order of its [`weights`]; terms that lie in the padding are left out.
pub fn lanes(dots: &Dots, weights: &[(usize, usize)], first_row: usize, positions: &Range<usize>) -> Lanes {
    let mut lanes = Lanes::default();
    for (weight, (row, term)) in weights.iter().enumerate() {
        for (p, position) in positions.clone().enumerate() {
            if let Some(input) = dots.input(*row, position, *term) {
                lanes.inputs.push(input as u32);
                lanes.weights.push(weight as u32);
                lanes.outputs.push(((row - first_row) * positions.len() + p) as u32);
            }
        }
    }
    lanes
}

/// One level of pairwise sums: lane `first[i]` plus lane `second[i]` makes lane i of the next level, and the lanes
/// `rest`, which found no partner, follow behind.
#[derive(Debug, PartialEq, Eq)]
pub struct Level {
    /// First operands.
    pub first: Vec<u32>,
    /// Second operands.
    pub second: Vec<u32>,
    /// Lanes carried over.
    pub rest: Vec<u32>,
}

/// The levels that leave one lane for each output, and the outputs of the lanes that are left.
pub fn pairwise(mut outputs: Vec<u32>, count: usize) -> (Vec<Level>, Vec<u32>) {
    let mut levels = Vec::new();
    loop {
        let mut waiting: Vec<Option<u32>> = vec![None; count];
        let mut level = Level { first: Vec::new(), second: Vec::new(), rest: Vec::new() };
        let mut next = Vec::new();
        for (lane, output) in outputs.iter().enumerate() {
            match waiting[*output as usize].take() {
                Some(partner) => {
                    level.first.push(partner);
                    level.second.push(lane as u32);
                    next.push(*output);
                }
                None => waiting[*output as usize] = Some(lane as u32),
            }
        }
        if level.first.is_empty() {
            return (levels, outputs);
        }
        for (output, lane) in waiting.iter().enumerate().filter_map(|(o, lane)| lane.map(|lane| (o, lane))) {
            level.rest.push(lane);
            next.push(output as u32);
        }
        levels.push(level);
        outputs = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairwise_sums_reach_every_lane_once() {
        for (count, lanes) in [(1, 1), (1, 7), (3, 10), (64, 1000), (5, 5)] {
            let outputs: Vec<u32> = (0..lanes).map(|lane| (lane * 7 % count) as u32).collect();
            let mut sums: Vec<u64> = (0..lanes as u64).map(|lane| 1 + lane * lane).collect();
            let mut expected = vec![0; count];
            for (output, value) in outputs.iter().zip(&sums) {
                expected[*output as usize] += value;
            }
            let (levels, left) = pairwise(outputs, count);
            for level in &levels {
                let mut next: Vec<u64> = level
                    .first
                    .iter()
                    .zip(&level.second)
                    .map(|(a, b)| sums[*a as usize] + sums[*b as usize])
                    .collect();
                next.extend(level.rest.iter().map(|lane| sums[*lane as usize]));
                sums = next;
            }
            let mut found = vec![0; count];
            for (output, sum) in left.iter().zip(&sums) {
                assert_eq!(found[*output as usize], 0, "one lane an output");
                found[*output as usize] = *sum;
            }
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn blocks_cover_a_range() {
        assert_eq!(blocks(5, 2).collect::<Vec<_>>(), [0..2, 2..4, 4..5]);
        assert_eq!(blocks(0, 2).count(), 0);
    }
}
