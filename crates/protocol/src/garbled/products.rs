//! Linear layers by oblivious transfers: additive shares of `y = W x + b` over Z_{2^l}, where the server knows `W` and `b` and the
//! client knows `x` (Gilboa 1999; DESIGN's improvement of DeepSecure).
//!
//! A weight's bit is the choice of a correlated transfer whose correlation is the input it meets, shifted to the bit's
//! place: `w x = sum_b w_b (x 2^b)`, the last bit counting negative. From a transfer's hashed strings `p0`, `p1` the client sends
//! `p0 - p1 + x` modulo 2^(l-b), so that the server has `p0 + w_b x`; the client subtracts `p0` from its own share. Sums are taken
//! locally. A weight that meets several inputs (a convolution) has one transfer a bit for all of them, its strings stretched by AES.
//!
//! ```text
//! server                                             client
//!   extension messages of the weights' bits --->
//!   <--- p0 - p1 + x for each bit and position, l - b bits
//!   its share less a random R                --->    client's share
//! ```
//!
//! The server's share is then the `R` that it drew: it goes into the circuit with the weights, and nothing has to wait for it. The message
//! is uniform, since `R` is. What the corrections hide is hidden by strings that the server did not get, hashed with the transfer's number
//! (`ot::random`). Counts and lengths depend on shapes and widths alone.

pub(crate) mod bits;
mod client;
mod open;
mod server;

use std::ops::Range;

use kernel::aes::Aes128;
use kernel::block::Block;

use super::split::Product;
use super::tiles::blocks;
use super::transfers::CHUNK;

pub use client::client;
pub use open::open;
pub use server::{draw, server};

/// Bits after which a frame of corrections is sent.
const FRAME_BITS: u64 = 8 * (256 << 10);

/// Elements of shares in a frame.
const SHARES: usize = 1 << 15;

/// How a product's transfers are cut: the same at both parties.
struct Cut<'a> {
    product: &'a Product,
    /// The weights that are not known to be zero, where some are: all others have no transfers.
    kept: Option<Vec<u32>>,
    /// For each term the positions at which it meets an input.
    meetings: Vec<u64>,
}

impl<'a> Cut<'a> {
    fn new(product: &'a Product) -> Self {
        let dots = &product.dots;
        let kept = dots.support.as_ref().map(|support| {
            let all = 0..(dots.rows * dots.terms) as u32;
            all.filter(|weight| support.contains(*weight as usize)).collect()
        });
        Self { product, kept, meetings: (0..dots.terms).map(|term| dots.meetings(term)).collect() }
    }

    /// The place in its tensor of the weight that has turn `turn`.
    fn place(&self, turn: usize) -> usize {
        self.kept.as_ref().map_or(turn, |kept| kept[turn] as usize)
    }

    /// Ranges of weights, by their turn, whose transfers make one extension message.
    fn chunks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        blocks(self.product.weights(), (CHUNK / self.product.weight_bits as usize).max(1))
    }

    /// Bits of the corrections of the weight that has turn `turn`.
    fn correction_bits(&self, turn: usize) -> u64 {
        let (l, w) = (u64::from(self.product.bits), u64::from(self.product.weight_bits));
        self.meetings[self.place(turn) % self.meetings.len()] * (w * l - w * (w - 1) / 2)
    }

    /// Cuts a chunk into the ranges of weights whose corrections make a frame, with their bits.
    fn pieces(&self, chunk: Range<usize>) -> Vec<(Range<usize>, u64)> {
        let mut pieces = Vec::new();
        let (mut start, mut bits) = (chunk.start, 0);
        for weight in chunk.clone() {
            bits += self.correction_bits(weight);
            if bits >= FRAME_BITS || (weight + 1 == chunk.end && bits > 0) {
                pieces.push((start..weight + 1, bits));
                (start, bits) = (weight + 1, 0);
            }
        }
        pieces
    }

    /// Calls `each` with the input and the result of every product of the weight that has turn `turn`.
    fn meet(&self, turn: usize, mut each: impl FnMut(usize, usize)) {
        let (dots, weight) = (&self.product.dots, self.place(turn));
        let (row, term) = (weight / dots.terms, weight % dots.terms);
        for position in 0..dots.positions {
            if let Some(input) = dots.input(row, position, term) {
                each(input, dots.output(row, position));
            }
        }
    }
}

/// Bytes of all frames of a product but the extension messages.
pub fn message_bytes(product: &Product) -> u64 {
    let cut = Cut::new(product);
    let bits = |turns: Range<usize>| turns.map(|turn| cut.correction_bits(turn)).fold(0, u64::saturating_add);
    let corrections = match cut.kept {
        Some(_) => bits(0..product.weights()),
        None => bits(0..product.dots.terms).saturating_mul(product.dots.rows as u64),
    } / 8;
    corrections.saturating_add((product.elements() as u64).saturating_mul(u64::from(product.bits)) / 8)
}

/// The `count` words that a string stands for.
fn stretch(string: Block, count: usize, scratch: &mut Vec<Block>) {
    scratch.clear();
    if count <= 2 {
        scratch.push(string);
    } else {
        scratch.resize(count.div_ceil(2), Block::ZERO);
        Aes128::new(string).ctr_fill(0, scratch);
    }
}

/// Word `index` of a stretched string.
#[inline]
fn word(stretched: &[Block], index: usize) -> u64 {
    (stretched[index / 2].0 >> (64 * (index % 2))) as u64
}

/// The low `bits` bits.
const fn mask(bits: u32) -> u64 {
    u64::MAX >> (64 - bits)
}

#[cfg(test)]
mod tests;
