//! Sets of a tensor's elements that a circuit works on side by side.

use std::ops::Range;

use garble::gadgets;
use garble::gates::Gates;
use garble::word::{Bit, Word};

/// Elements worked on at a time, so that the live wires of a gadget stay within a second-level cache.
pub const TILE: usize = 2048;

/// Elements of a tensor.
#[derive(Clone, Debug)]
pub enum Lanes {
    /// Neighbours.
    Range(Range<usize>),
    /// Any.
    Set(Vec<u32>),
}

impl Lanes {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Self::Range(range) => range.len(),
            Self::Set(set) => set.len(),
        }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        let (range, set) = match self {
            Self::Range(range) => (range.clone(), [].as_slice()),
            Self::Set(set) => (0..0, set.as_slice()),
        };
        range.chain(set.iter().map(|lane| *lane as usize))
    }

    /// A word of these elements only. Free.
    pub fn of<G: Gates>(&self, g: &G, word: &Word<G::Wires>) -> Word<G::Wires> {
        match self {
            Self::Set(set) => gadgets::gather(g, word, set),
            Self::Range(range) => {
                let bits = word.bits().iter().map(|bit| match bit {
                    Bit::Public(bit) => Bit::Public(*bit),
                    Bit::Wire(wire) => Bit::Wire(g.slice(wire, range.clone())),
                });
                Word::new(bits.collect(), range.len())
            }
        }
    }

    /// Their values.
    pub fn pick(&self, values: &[u64]) -> Vec<u64> {
        self.iter().map(|lane| values[lane]).collect()
    }

    /// Puts values in their places.
    pub fn put(&self, from: &[u64], to: &mut [u64]) {
        self.iter().zip(from).for_each(|(lane, value)| to[lane] = *value);
    }
}

/// All elements of a tensor in tiles.
pub fn ranges(count: usize) -> Vec<Lanes> {
    (0..count).step_by(TILE).map(|from| Lanes::Range(from..count.min(from + TILE))).collect()
}

/// Tiles of elements whose sums have the same shift, with it. Shifts may differ from channel to channel, of `inner` elements that stand
/// together.
pub fn tiles(count: usize, (shifts, inner): (Vec<u32>, usize)) -> Vec<(u32, Lanes)> {
    let first = shifts.first().copied().unwrap_or(0);
    if shifts.iter().all(|shift| *shift == first) {
        return ranges(count).into_iter().map(|lanes| (first, lanes)).collect();
    }
    let mut groups: Vec<(u32, Vec<u32>)> = Vec::new();
    for lane in 0..count {
        let shift = shifts[lane / inner.max(1) % shifts.len()];
        match groups.iter_mut().find(|(of, _)| *of == shift) {
            Some((_, lanes)) => lanes.push(lane as u32),
            None => groups.push((shift, vec![lane as u32])),
        }
    }
    let tiles = |(shift, lanes): &(u32, Vec<u32>)| -> Vec<(u32, Lanes)> {
        lanes.chunks(TILE).map(|tile| (*shift, Lanes::Set(tile.to_vec()))).collect()
    };
    groups.iter().flat_map(tiles).collect()
}

/// Joins tiles of a tensor into one word, each element in its place. Free.
pub fn join<G: Gates>(g: &mut G, tiles: &[Lanes], words: &[Word<G::Wires>], count: usize) -> Word<G::Wires> {
    let joined = match words {
        [word] => word.clone(),
        _ => gadgets::concat(g, &words.iter().collect::<Vec<_>>()),
    };
    if tiles.iter().all(|lanes| matches!(lanes, Lanes::Range(_))) {
        return joined;
    }
    let mut inverse = vec![0; count];
    tiles.iter().flat_map(Lanes::iter).enumerate().for_each(|(at, lane)| inverse[lane] = at as u32);
    gadgets::gather(g, &joined, &inverse)
}
