//! How a layer is cut: by an operation and byte count for a link.

use super::layout::{Layout, extent};
use super::shape::Shape;
use crate::Error;

/// The size of tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tiling {
    /// Channels a ciphertext sent (each phase of a stride being one).
    pub channels: usize,
    /// Filters a ciphertext returned.
    pub filters: usize,
    /// Rows and columns of outputs a ciphertext.
    pub block: [usize; 2],
}

/// What bytes cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// Bytes a second.
    pub rate: f64,
}

impl Link {
    /// 3 Gbit/s.
    pub const LAN: Self = Self { rate: 3e9 / 8.0 };
}

/// What a layer costs under a tiling.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Ciphertexts sent.
    pub sent: u64,
    /// Ciphertexts returned.
    pub returned: u64,
    /// Products of a ciphertext and weights.
    pub products: u64,
    /// Pairs of tiles of channels and filters: polynomials of weights.
    pub factors: u64,
}

/// Bits of a coefficient of a ciphertext sent, and of both halves returned, about: what tilings are compared by, before the
/// parameters are known, which depend on them.
const SENT_BITS: f64 = 58.0;
const RETURNED_BITS: f64 = 48.0;
/// Seconds of one coefficient of one product, and of all other work on a ciphertext (sampling, transforms, packing).
const PRODUCT_SECONDS: f64 = 1.2e-9;
const OTHER_SECONDS: f64 = 50e-9;

impl Cost {
    /// Bytes on the wire, about.
    pub fn bytes(&self, degree: usize) -> f64 {
        (self.sent as f64 * SENT_BITS + self.returned as f64 * RETURNED_BITS) / 8.0 * degree as f64
    }

    /// Seconds of computing on one core and of sending.
    pub fn seconds(&self, degree: usize, link: Link) -> f64 {
        let work =
            self.products as f64 * PRODUCT_SECONDS + (self.sent + self.returned) as f64 * OTHER_SECONDS;
        work * degree as f64 + self.bytes(degree) / link.rate
    }
}

/// Divisions of the output plane and of its rows that are tried beyond the fewest that fit.
const TRIED: usize = 4;
/// Sizes of filter tiles that are tried.
const SIZES: usize = 256;

impl Tiling {
    /// The cost of a layer under this tiling.
    ///
    /// # Errors
    /// If the tiling does not fit.
    pub fn cost(self, shape: &Shape, degree: usize) -> Result<Cost, Error> {
        let layout = Layout::new(shape, self, degree)?;
        let (blocks, channels, filters) =
            (layout.blocks() as u64, layout.channel_tiles() as u64, layout.filter_tiles() as u64);
        let factors = if shape.groups == 1 {
            channels * filters
        } else {
            (0..layout.filter_tiles()).map(|tile| layout.met(tile).len() as u64).sum()
        };
        Ok(Cost { sent: channels * blocks, returned: filters * blocks, products: factors * blocks, factors })
    }

    /// The tiling of least cost for a ring and a link, and its cost.
    ///
    /// # Errors
    /// If the shape is none, or a filter does not fit the ring.
    pub fn choose(shape: &Shape, degree: usize, link: Link) -> Result<(Self, Cost), Error> {
        let output = shape.output()?;
        let phases = shape.phases();
        let reach = extent(&phases);
        let planes = shape.channels.saturating_mul(phases.len());
        let mut best: Option<(f64, Self, Cost)> = None;
        for columns in divisions(output[1], |columns| (columns + reach[1]) * (1 + reach[0]) <= degree) {
            let width = columns + reach[1];
            for rows in divisions(output[0], |rows| (rows + reach[0]) * width <= degree) {
                let room = degree / ((rows + reach[0]) * width);
                for filters in sizes(shape.filters.min(room)) {
                    let tiling =
                        Self { channels: (room / filters).min(planes), filters, block: [rows, columns] };
                    let cost = tiling.cost(shape, degree)?;
                    let seconds = cost.seconds(degree, link);
                    if best.is_none_or(|(least, ..)| seconds < least) {
                        best = Some((seconds, tiling, cost));
                    }
                }
            }
        }
        let none = || Error::Layout(format!("a filter does not fit {degree} coefficients: {shape:?}"));
        best.map(|(_, tiling, cost)| (tiling, cost)).ok_or_else(none)
    }
}

/// Sizes of even parts of a length: the largest that fits and a few below.
fn divisions(length: usize, fits: impl Fn(usize) -> bool) -> impl Iterator<Item = usize> {
    let mut sizes = Vec::new();
    if fits(1) {
        // The largest size that fits, by bisection: what fits shrinks with the size.
        let (mut low, mut high) = (1, length);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if fits(middle) { low = middle } else { high = middle - 1 }
        }
        let fewest = length.div_ceil(low);
        sizes.extend((fewest..fewest + TRIED).map(|parts| length.div_ceil(parts.min(length))));
        sizes.dedup();
    }
    sizes.into_iter()
}

/// Numbers up to a largest: all, or, of many, those that make different even parts.
fn sizes(most: usize) -> impl Iterator<Item = usize> {
    let mut sizes: Vec<usize> = if most <= SIZES {
        (1..=most).collect()
    } else {
        let small = 1..=SIZES / 2;
        small.clone().chain(small.map(|parts| most / parts)).collect()
    };
    sizes.sort_unstable();
    sizes.dedup();
    sizes.into_iter()
}
