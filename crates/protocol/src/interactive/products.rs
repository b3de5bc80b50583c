//! Products of shared tensors whose factors both parties have shares of when the input is known: squares, and products of two tensors.
//!
//! Of `x y = x_s y_s + x_s y_c + y_s x_c + x_c y_c` the mixed terms need both parties, and here the *server's* halves are known beforehand (the
//! opposite of [`super::ahead`]). So for masks b of the client's the parties get shares of `x_s b_y` and `y_s b_x` offline, by the same oblivious products; once the
//! input is there the client sends `y_c - b_y` and `x_c - b_x`, from which the server makes the rest. For a square it is one number an
//! element, on its way together with the next layer's ciphertexts: no flight of its own.
//!
//! The server has its share only then. That is early enough for linear layers, whose operands it adds to ciphertexts; so a product
//! is computed like this where nothing else reads it, and nothing is dropped of it ([`super::program::Place::late`]).

use kernel::seed::Seed;
use model::fixed::NodeId;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::ahead::gilboa::{self, Job};
use super::ahead::streams::{mask, numbers, packed_bytes};
use super::program::Program;

/// A product, as both parties see it.
pub struct Quadratic {
    /// The node.
    pub node: NodeId,
    /// The factors: one for a square.
    pub factors: Vec<NodeId>,
    /// Elements.
    pub count: usize,
    /// Bits of the ring.
    pub ring: u32,
}

impl Quadratic {
    /// The products of a stage, in order.
    pub fn of<'a>(program: &'a Program<'_>, stage: usize) -> impl Iterator<Item = Self> + use<'a> {
        program.stages[stage].local.iter().filter_map(|node| Self::at(program, *node))
    }

    /// The product at a node, if that is one on shares.
    pub fn at(program: &Program<'_>, node: NodeId) -> Option<Self> {
        let mut factors = program.graph.nodes[node].inputs.clone();
        factors.dedup();
        let product = matches!(program.graph.nodes[node].op, model::fixed::Op::Product { .. });
        let (count, ring) = (program.elements(node), program.ring);
        (product && program.places[node].late).then_some(Self { node, factors, count, ring })
    }

    /// Mixed terms of the same value: both of a square are.
    fn times(&self) -> u64 {
        if self.factors.len() == 1 { 2 } else { 1 }
    }

    /// The oblivious products: of each of the server's factors by a mask of the other.
    pub fn jobs(&self) -> Vec<Job> {
        vec![Job { bits: self.ring, ring: self.ring }; self.count * self.factors.len()]
    }

    /// Transfers of them.
    pub fn transfers(&self) -> usize {
        self.count * self.factors.len() * self.ring as usize
    }

    /// Bytes that the server sends for them.
    pub fn sent_bytes(&self) -> u64 {
        gilboa::sent_bytes(&self.jobs())
    }

    /// Bytes that the client sends once the input is known.
    pub fn opened_bytes(&self) -> u64 {
        (self.factors.len() * packed_bytes(self.count, self.ring)) as u64
    }

    fn drawn(&self, seed: &Seed, label: &str, factor: usize) -> Vec<u64> {
        let seed = seed.child("interactive/products", factor as u64);
        std::mem::take(&mut *numbers(&seed, label, self.node, (self.count, self.ring)))
    }

    /// The server's numbers in the oblivious products, and the shares of them that it draws.
    pub fn servers(&self, shares: &[&[u64]], seed: &Seed) -> (Vec<u64>, Vec<u64>) {
        let drawn = (0..self.factors.len()).flat_map(|factor| self.drawn(seed, "share", factor));
        (shares.concat(), drawn.collect())
    }

    /// The server's share of the result, but for what it makes of the client's numbers: from its `shares` of the factors and those that
    /// it drew.
    pub fn begin(&self, shares: &[&[u64]], drawn: &[u64]) -> Vec<u64> {
        let own = |lane: usize| {
            let mixed =
                (0..shares.len()).fold(0u64, |sum, at| sum.wrapping_add(drawn[at * self.count + lane]));
            product(shares, lane).wrapping_add(mixed.wrapping_mul(self.times())) & mask(self.ring)
        };
        (0..self.count).map(own).collect()
    }

    /// The server's share of the result: `begun` by [`Quadratic::begin`], with the client's masked shares of each factor.
    pub fn finish(&self, begun: &[u64], shares: &[&[u64]], opened: &[Vec<u64>]) -> Vec<u64> {
        let share = |(lane, begun): (usize, &u64)| {
            let others = shares.iter().zip(opened.iter().rev());
            let mixed = others
                .fold(0u64, |sum, (own, opened)| sum.wrapping_add(own[lane].wrapping_mul(opened[lane])));
            begun.wrapping_add(mixed.wrapping_mul(self.times())) & mask(self.ring)
        };
        begun.iter().enumerate().map(share).collect()
    }

    /// The client's masks of the factors.
    pub fn masks(&self, seed: &Seed) -> Vec<Vec<u64>> {
        (0..self.factors.len()).map(|factor| self.drawn(seed, "mask", factor)).collect()
    }

    /// The client's numbers in the oblivious products: for each factor of the server's the mask of the other.
    pub fn chosen(&self, masks: &[Vec<u64>]) -> Vec<u64> {
        masks.iter().rev().flatten().copied().collect()
    }

    /// What the client sends, its shares less its masks for each factor, and its share of the result.
    pub fn client(&self, shares: &[&[u64]], kept: &Kept) -> (Vec<Vec<u64>>, Vec<u64>) {
        let masked = |(share, masks): (&&[u64], &Vec<u64>)| {
            share.iter().zip(masks).map(|(share, b)| share.wrapping_sub(*b) & mask(self.ring)).collect()
        };
        let opened = shares.iter().zip(&kept.masks).map(masked).collect();
        // Its shares of the oblivious products stand where the server's drawn ones do.
        (opened, self.begin(shares, &kept.shares))
    }
}

/// The product of all factors at an element.
fn product(shares: &[&[u64]], lane: usize) -> u64 {
    let [first, last] = [shares.first(), shares.last()].map(|share| share.map_or(0, |share| share[lane]));
    first.wrapping_mul(last)
}

/// What the client keeps of a product. Erased on drop.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
pub struct Kept {
    /// Its masks of each factor.
    pub masks: Vec<Vec<u64>>,
    /// Its shares of the oblivious products.
    pub shares: Vec<u64>,
}
