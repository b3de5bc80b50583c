//! Products of two tensors on shares: the quadratics of a network.
//!
//! A factor is `x = x_s + x_c`, and of `x y = x_s y_s + x_s y_c + y_s x_c + x_c y_c` the mixed terms need both parties. The client's half of a
//! factor is known beforehand, so a mixed term is one oblivious product: before the input the parties get shares of `a y_c` for a fresh a
//! of the server's, once it is there the server sends `x_s - a`. One ring element each way for a square: half of Beaver's.
//!
//! *Truncation on shares* keeps the ring and never wraps: with `2^(k-2)` added the value is below `2^(k-1)`, so that the shares as integers
//! wrap exactly where one of them has its highest bit set, and `(a >> f) + (b >> f) - wrap 2^(k-f)` is right but for the carry of the low
//! bits: **the result is the reference's or one less**. Values must lie within `2^(k-2)`. With `not a`, `not b` for the complements of
//! the highest bits, `wrap = 1 - not a * not b`; the product of these bits is shared like any other.
//!
//! *A factor whose low bits are yet to be dropped.* The client's share of the shifted factor then depends on one bit e that the server
//! sends (its highest bit, masked): it is one of two numbers, *both known beforehand*. Shares of a times the first, and of a times their
//! difference, serve for either. So a shift before a square takes no flight of its own and no other triple.

use kernel::seed::Seed;
use model::fixed::{NodeId, Op};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::super::program::{Form, Program};
use super::gilboa::Job;
use super::state::State;
use super::streams::{mask, numbers, packed_bytes};

/// A product of the program, as both parties see it.
pub struct Quadratic {
    /// The node.
    pub node: NodeId,
    /// The factors: one for a square.
    pub factors: Vec<Factor>,
    /// Low bits that are dropped of the product.
    pub shift: u32,
    /// Bits of the ring.
    pub ring: u32,
    /// Elements.
    pub count: usize,
}

/// A factor.
pub struct Factor {
    /// The tensor.
    pub tensor: NodeId,
    /// Low bits that are dropped of each channel's elements, and the elements of a channel that stand together.
    shifts: Vec<u32>,
    inner: usize,
}

impl Factor {
    /// Low bits that are dropped of an element.
    pub fn shift(&self, lane: usize) -> u32 {
        self.shifts[lane / self.inner % self.shifts.len()]
    }

    /// Whether any are.
    pub fn shifted(&self) -> bool {
        self.shifts.iter().any(|shift| *shift > 0)
    }
}

impl Quadratic {
    /// The products of a stage.
    pub fn of(program: &Program<'_>, stage: usize) -> Vec<Self> {
        let quadratic = |node: &NodeId| {
            let of = &program.graph.nodes[*node];
            let shift = if let Op::Product { shift } = of.op { shift } else { 0 };
            let square = of.inputs.first() == of.inputs.get(1);
            let tensors = of.inputs.iter().take(if square { 1 } else { 2 });
            let factor = |tensor: &NodeId| {
                let (shifts, inner) = match program.places[*tensor].form {
                    Form::Sum { .. } => program.shifts(*tensor),
                    _ => (&[0][..], 1),
                };
                Factor { tensor: *tensor, shifts: shifts.to_vec(), inner }
            };
            let factors = tensors.map(factor).collect();
            Self { node: *node, factors, shift, ring: program.ring, count: program.elements(*node) }
        };
        program.stages[stage].products.iter().map(quadratic).collect()
    }

    /// For each factor the other: itself, of a square.
    pub fn other(&self, at: usize) -> &Factor {
        &self.factors[self.factors.len() - 1 - at]
    }

    /// The first round of products, of bits: for each shifted factor's elements, then for those of the product.
    pub fn bit_jobs(&self) -> Vec<Job> {
        let factors = self.factors.iter().filter(|factor| factor.shifted());
        let mut jobs: Vec<Job> = factors
            .flat_map(|factor| (0..self.count).map(|lane| Job { bits: 1, ring: factor.shift(lane).max(1) }))
            .collect();
        if self.shift > 0 {
            jobs.extend(vec![Job { bits: 1, ring: self.shift }; self.count]);
        }
        jobs
    }

    /// The second round, for each factor's mask: times the other factor's first number, then, where that is shifted, times the difference.
    pub fn jobs(&self) -> Vec<Job> {
        let mut jobs = Vec::new();
        for at in 0..self.factors.len() {
            jobs.extend(vec![Job { bits: self.ring, ring: self.ring }; self.count]);
            let other = self.other(at);
            if other.shifted() {
                let job = |lane| {
                    let shift = other.shift(lane).max(1);
                    Job { bits: shift, ring: shift }
                };
                jobs.extend((0..self.count).map(job));
            }
        }
        jobs
    }

    /// Numbers of the server's or the client's that belong to this product.
    pub fn drawn(&self, seed: &Seed, label: &str, at: usize, bits: u32) -> Zeroizing<Vec<u64>> {
        let seed = seed.child("ahead/product", at as u64);
        numbers(&seed, label, self.node, (self.count, bits))
    }
}

/// The highest bit of a ring element.
fn top(value: u64, ring: u32) -> u64 {
    value >> (ring - 1) & 1
}

/// The client's share of `not a * not b 2^(ring-shift)` once the server's masked bit e is there: `bit` is not b, `share` that of the
/// server's mask times it.
fn wrapped(bit: u64, share: u64, e: u64) -> u64 {
    // e bit + (1 - 2 e) share
    (e * bit).wrapping_add(share).wrapping_sub((2 * e).wrapping_mul(share))
}

/// What the client keeps of a factor of a product. Erased on drop.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
pub struct Known {
    /// Its half if the server's bit is 0, and if it is 1.
    pub halves: [Vec<u64>; 2],
}

impl Known {
    /// Of a factor, with the client's shares of the products of bits if it is shifted.
    pub fn new(quadratic: &Quadratic, factor: &Factor, shares: &[u64], bit_shares: &[u64]) -> Self {
        let ring = quadratic.ring;
        if !factor.shifted() {
            return Self { halves: [shares.to_vec(), Vec::new()] };
        }
        let half = |e: u64| {
            let of = |(lane, (share, bit_share)): (usize, (&u64, &u64))| {
                let shift = factor.shift(lane);
                let bit = 1 - top(*share, ring);
                if shift == 0 {
                    return *share;
                }
                (share >> shift).wrapping_add(wrapped(bit, *bit_share, e) << (ring - shift)) & mask(ring)
            };
            shares.iter().zip(bit_shares).enumerate().map(of).collect()
        };
        Self { halves: [half(0), half(1)] }
    }

    /// The difference of both, without its low zeros: the client's number in the second product.
    fn difference(&self, factor: &Factor, ring: u32) -> Zeroizing<Vec<u64>> {
        let [zero, one] = &self.halves;
        let of = |(lane, (zero, one)): (usize, (&u64, &u64))| {
            let shift = factor.shift(lane);
            if shift == 0 { 0 } else { one.wrapping_sub(*zero) >> (ring - shift) & mask(shift) }
        };
        Zeroizing::new(zero.iter().zip(one).enumerate().map(of).collect())
    }
}

/// The server's half of a shifted number: its share, and the masked bit that it sends. `rho` is the mask, `share` its share of the mask
/// times the client's bit.
pub fn shift_server(value: u64, (shift, ring): (u32, u32), rho: u64, share: u64) -> (u64, u64) {
    let lifted = value.wrapping_add(1 << (ring - 2)) & mask(ring);
    let e = (1 - top(lifted, ring)) ^ rho;
    let product = share.wrapping_sub((2 * e).wrapping_mul(share));
    (shifted_server(lifted, product, (shift, ring)), e)
}

/// The server's share of a shifted number, from its lifted one and its share of the product of both parties' bits.
fn shifted_server(lifted: u64, product: u64, (shift, ring): (u32, u32)) -> u64 {
    let lift = (1u64 << (ring - 2 - shift)).wrapping_add(1 << (ring - shift));
    (lifted >> shift).wrapping_sub(lift).wrapping_add(product << (ring - shift)) & mask(ring)
}

/// A party's shares of products of masks: those that the garbler draws, or those that the evaluator got. Erased on drop.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
pub struct Crossed {
    /// Of bits, for each factor and the product; empty where that is not shifted.
    bits: Vec<Vec<u64>>,
    /// Of each factor's mask times the other's first number.
    shares: Vec<Vec<u64>>,
    /// Of each factor's mask times the other's difference; empty where that is not shifted.
    differences: Vec<Vec<u64>>,
}

/// Lists of a round, one after the other.
fn joined<'l>(lists: impl Iterator<Item = &'l Vec<u64>> + Clone) -> Zeroizing<Vec<u64>> {
    let mut all = Zeroizing::new(Vec::with_capacity(lists.clone().map(Vec::len).sum()));
    lists.for_each(|list| all.extend_from_slice(list));
    all
}

impl Crossed {
    /// The garbler's.
    pub fn drawn(of: &Quadratic, seed: &Seed) -> Self {
        let low = |label: &str, at: usize, shift: &dyn Fn(usize) -> u32| {
            let mut numbers = of.drawn(seed, label, at, 64);
            numbers.iter_mut().enumerate().for_each(|(lane, number)| *number &= mask(shift(lane).max(1)));
            std::mem::take(&mut *numbers)
        };
        let mut crossed = Self::default();
        for (at, factor) in of.factors.iter().enumerate() {
            let bits = factor.shifted().then(|| low("bit share", at, &|lane| factor.shift(lane)));
            crossed.bits.push(bits.unwrap_or_default());
            crossed.shares.push(std::mem::take(&mut *of.drawn(seed, "share", at, of.ring)));
            let other = of.other(at);
            let differences = other.shifted().then(|| low("difference", at, &|lane| other.shift(lane)));
            crossed.differences.push(differences.unwrap_or_default());
        }
        let last = (of.shift > 0).then(|| low("bit share", of.factors.len(), &|_| of.shift));
        crossed.bits.push(last.unwrap_or_default());
        crossed
    }

    /// Those of the first round, in the order of [`Quadratic::bit_jobs`].
    pub fn first(&self) -> Zeroizing<Vec<u64>> {
        joined(self.bits.iter())
    }

    /// Those of the second, in the order of [`Quadratic::jobs`].
    pub fn second(&self) -> Zeroizing<Vec<u64>> {
        joined(self.shares.iter().zip(&self.differences).flat_map(|(shares, other)| [shares, other]))
    }

    /// The evaluator's after the first round.
    pub fn begin(of: &Quadratic, first: &[u64]) -> Self {
        let mut rest = first.chunks(of.count.max(1)).map(<[u64]>::to_vec);
        let mut next = |wanted: bool| if wanted { rest.next().unwrap_or_default() } else { Vec::new() };
        let mut bits: Vec<Vec<u64>> = of.factors.iter().map(|factor| next(factor.shifted())).collect();
        bits.push(next(of.shift > 0));
        Self { bits, shares: Vec::new(), differences: Vec::new() }
    }

    /// Takes those of the second.
    pub fn finish(&mut self, of: &Quadratic, second: &[u64]) {
        let mut rest = second.chunks(of.count.max(1)).map(<[u64]>::to_vec);
        for at in 0..of.factors.len() {
            self.shares.push(rest.next().unwrap_or_default());
            let shifted = of.other(at).shifted();
            self.differences.push(if shifted { rest.next().unwrap_or_default() } else { Vec::new() });
        }
    }

    /// All numbers, in a fixed order.
    pub fn columns(&self) -> impl Iterator<Item = &Vec<u64>> {
        let all = self.bits.iter().chain(&self.shares).chain(&self.differences);
        all.filter(|column| !column.is_empty())
    }

    /// How many lists of a number an element there are.
    pub fn columns_of(of: &Quadratic) -> usize {
        let shifted = of.factors.iter().filter(|factor| factor.shifted()).count();
        of.factors.len() + 2 * shifted + usize::from(of.shift > 0)
    }

    /// What [`Crossed::columns`] gave, as many as [`Crossed::columns_of`] says.
    pub fn from_columns(of: &Quadratic, columns: Vec<Vec<u64>>) -> Self {
        let mut columns = columns.into_iter();
        let mut next = |wanted: bool| if wanted { columns.next().unwrap_or_default() } else { Vec::new() };
        let mut bits: Vec<Vec<u64>> = of.factors.iter().map(|factor| next(factor.shifted())).collect();
        bits.push(next(of.shift > 0));
        let shares = of.factors.iter().map(|_| next(true)).collect();
        Self {
            bits,
            shares,
            differences: (0..of.factors.len()).map(|at| next(of.other(at).shifted())).collect(),
        }
    }
}

/// What the server keeps of a product between its message and the client's. Erased on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Pending {
    /// Its share of the product, lifted where it is to be shifted.
    shares: Vec<u64>,
    /// Its masked bits.
    bits: Vec<u64>,
}

/// What the server sends for a product.
pub struct Masked {
    /// For each factor its masked half, and its masked bits if it is shifted.
    pub factors: Vec<(Vec<u64>, Vec<u64>)>,
    /// The masked bits of the product, if that is shifted.
    pub bits: Vec<u64>,
}

impl Quadratic {
    /// The server's numbers in the first round: masks of bits.
    pub fn server_bits(&self, seed: &Seed) -> Zeroizing<Vec<u64>> {
        let mut masks = Zeroizing::new(Vec::with_capacity(self.count * (self.factors.len() + 1)));
        let shifted = (0..self.factors.len()).filter(|at| self.factors[*at].shifted());
        for at in shifted.chain((self.shift > 0).then_some(self.factors.len())) {
            masks.extend_from_slice(&self.drawn(seed, "bit", at, 1));
        }
        masks
    }

    /// The same in the second round: masks of its halves.
    pub fn server_masks(&self, seed: &Seed) -> Zeroizing<Vec<u64>> {
        let mut masks = Zeroizing::new(Vec::with_capacity(2 * self.count * self.factors.len()));
        for at in 0..self.factors.len() {
            let a = self.drawn(seed, "mask", at, self.ring);
            masks.extend_from_slice(&a);
            let other = self.other(at);
            if other.shifted() {
                masks.extend(a.iter().enumerate().map(|(lane, a)| a & mask(other.shift(lane).max(1))));
            }
        }
        masks
    }

    /// The server's half of a factor, and its masked bits if that is shifted.
    fn server_half(&self, at: usize, shares: &[u64], seed: &Seed, own: &[u64]) -> (Vec<u64>, Vec<u64>) {
        let factor = &self.factors[at];
        if !factor.shifted() {
            return (shares.to_vec(), Vec::new());
        }
        let rho = self.drawn(seed, "bit", at, 1);
        let of = |lane: usize| match factor.shift(lane) {
            0 => (shares[lane], 0),
            shift => shift_server(shares[lane], (shift, self.ring), rho[lane], own[lane]),
        };
        (0..self.count).map(of).unzip()
    }

    /// The server's message, from its shares of the factors, and what it keeps.
    pub fn server(
        &self,
        (seed, crossed): (&Seed, &Crossed),
        program: &Program<'_>,
        state: &State,
    ) -> (Masked, Pending) {
        let ring = self.ring;
        let (mut halves, mut bits) = (Zeroizing::new(Vec::new()), Vec::new());
        for (at, factor) in self.factors.iter().enumerate() {
            let shares = state.of(program, factor.tensor);
            let (half, masked) = self.server_half(at, shares, seed, &crossed.bits[at]);
            halves.push(half);
            bits.push(masked);
        }
        let (last, mut products) = (halves.len() - 1, vec![0u64; self.count]);
        for (lane, product) in products.iter_mut().enumerate() {
            *product = halves[0][lane].wrapping_mul(halves[last][lane]);
        }
        let mut masked = Vec::new();
        for (at, half) in halves.iter().enumerate() {
            let (a, shares) = (self.drawn(seed, "mask", at, ring), &crossed.shares[at]);
            let (other, e) = (self.other(at), &bits[last - at]);
            let differences = &crossed.differences[at];
            // Both mixed terms of a square are one.
            let times = if last == 0 { 2 } else { 1 };
            for (lane, product) in products.iter_mut().enumerate() {
                let mut share = shares[lane];
                let shift = other.shift(lane);
                if shift > 0 {
                    let difference = e[lane].wrapping_mul(differences[lane]);
                    share = share.wrapping_add(difference << (ring - shift));
                }
                *product = product.wrapping_add(share.wrapping_mul(times));
            }
            let open = |(half, a): (&u64, &u64)| half.wrapping_sub(*a) & mask(ring);
            masked.push((half.iter().zip(a.iter()).map(open).collect(), bits[at].clone()));
        }
        let mut product_bits = Vec::new();
        if self.shift > 0 {
            let rho = self.drawn(seed, "bit", self.factors.len(), 1);
            for (product, rho) in products.iter_mut().zip(rho.iter()) {
                let half = 1u64 << (self.shift - 1);
                *product = product.wrapping_add(half).wrapping_add(1 << (ring - 2)) & mask(ring);
                product_bits.push((1 - top(*product, ring)) ^ rho);
            }
        }
        let pending = Pending { shares: products, bits: product_bits.clone() };
        (Masked { factors: masked, bits: product_bits }, pending)
    }

    /// The server's values of a product, masked by the client's masks: from what the client opened, and its masked bits.
    pub fn open(
        &self,
        (seed, crossed): (&Seed, &Crossed),
        pending: &Pending,
        opened: &[u64],
        bits: &[u64],
    ) -> Vec<u64> {
        let (ring, last) = (self.ring, self.factors.len());
        let rho = if self.shift == 0 { Zeroizing::default() } else { self.drawn(seed, "bit", last, 1) };
        let own = &crossed.bits[last];
        let of = |lane: usize| {
            let share = pending.shares[lane];
            if self.shift == 0 {
                return share.wrapping_add(opened[lane]) & mask(ring);
            }
            // rho times the client's bit, and from it the product of both bits.
            let (e, g) = (pending.bits[lane], bits[lane]);
            let own = own[lane];
            let mixed = (g * rho[lane]).wrapping_add(own).wrapping_sub((2 * g).wrapping_mul(own));
            let product = mixed.wrapping_sub((2 * e).wrapping_mul(mixed));
            shifted_server(share, product, (self.shift, ring)).wrapping_add(opened[lane]) & mask(ring)
        };
        (0..self.count).map(of).collect()
    }

    /// The client's share of a product, with the masked bits that it sends: from what it kept and the server's message. `tau` are its
    /// masks of bits.
    pub fn client(&self, kept: &Kept, masked: &Masked, tau: &[u64]) -> (Vec<u64>, Vec<u64>) {
        let (ring, last) = (self.ring, self.factors.len() - 1);
        let half = |at: usize, lane: usize| {
            let e = masked.factors[at].1.get(lane).copied().unwrap_or(0);
            kept.factors[at].halves[usize::from(e == 1)][lane]
        };
        let (mut shares, mut bits) = (Vec::with_capacity(self.count), Vec::new());
        for lane in 0..self.count {
            let mut product = half(0, lane).wrapping_mul(half(last, lane));
            let times = if last == 0 { 2 } else { 1 };
            for at in 0..=last {
                let mut mixed = masked.factors[at].0[lane].wrapping_mul(half(last - at, lane));
                mixed = mixed.wrapping_add(kept.shares[at][lane]);
                let shift = self.other(at).shift(lane);
                if shift > 0 {
                    let e = masked.factors[last - at].1[lane];
                    mixed = mixed.wrapping_add(e.wrapping_mul(kept.differences[at][lane]) << (ring - shift));
                }
                product = product.wrapping_add(mixed.wrapping_mul(times));
            }
            product &= mask(ring);
            if self.shift > 0 {
                let (bit, e, own) = (1 - top(product, ring), masked.bits[lane], kept.bits[lane]);
                let g = bit ^ tau.get(lane).copied().unwrap_or(0);
                bits.push(g);
                // Its share of the server's mask times its bit is (1 - 2 g) times that of both masks.
                let mixed = own.wrapping_sub((2 * g).wrapping_mul(own));
                let wrap = wrapped(bit, mixed, e);
                product = (product >> self.shift).wrapping_add(wrap << (ring - self.shift)) & mask(ring);
            }
            shares.push(product);
        }
        (shares, bits)
    }
}

/// What the client keeps of a product. All numbers are of the ring. Erased on drop.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
pub struct Kept {
    /// Of each factor.
    pub factors: Vec<Known>,
    /// Its shares of each factor's mask times the other's first number.
    pub shares: Vec<Vec<u64>>,
    /// Its shares of each factor's mask times the other's difference; empty where that is not shifted.
    pub differences: Vec<Vec<u64>>,
    /// Its shares of the product of both parties' masks of bits; empty where the product is not shifted.
    pub bits: Vec<u64>,
}

impl Kept {
    /// All numbers, in a fixed order.
    pub fn columns(&self) -> impl Iterator<Item = &Vec<u64>> {
        let halves = self.factors.iter().flat_map(|factor| &factor.halves);
        let shares = self.shares.iter().chain(&self.differences).chain(std::iter::once(&self.bits));
        halves.chain(shares).filter(|column| !column.is_empty())
    }

    /// How many lists of a number an element there are.
    pub fn columns_of(quadratic: &Quadratic) -> usize {
        let shifted = quadratic.factors.iter().filter(|factor| factor.shifted()).count();
        2 * quadratic.factors.len() + 2 * shifted + usize::from(quadratic.shift > 0)
    }

    /// Bytes of all of them.
    pub fn bytes(quadratic: &Quadratic) -> usize {
        Self::columns_of(quadratic).saturating_mul(packed_bytes(quadratic.count, quadratic.ring))
    }

    /// What [`Kept::columns`] gave, as many as [`Kept::columns_of`] says.
    pub fn from_columns(quadratic: &Quadratic, columns: Vec<Vec<u64>>) -> Self {
        let mut columns = columns.into_iter();
        let mut next = |wanted: bool| if wanted { columns.next().unwrap_or_default() } else { Vec::new() };
        let factors = &quadratic.factors;
        Self {
            factors: factors.iter().map(|of| Known { halves: [next(true), next(of.shifted())] }).collect(),
            shares: factors.iter().map(|_| next(true)).collect(),
            differences: (0..factors.len()).map(|at| next(quadratic.other(at).shifted())).collect(),
            bits: next(quadratic.shift > 0),
        }
    }

    /// The client's numbers in the first round: complements of its shares' highest bits, and its masks of bits.
    pub fn bit_numbers(
        quadratic: &Quadratic,
        program: &Program<'_>,
        state: &State,
        tau: &[u64],
    ) -> Zeroizing<Vec<u64>> {
        let mut numbers = Zeroizing::new(Vec::with_capacity(quadratic.count * (quadratic.factors.len() + 1)));
        for factor in quadratic.factors.iter().filter(|factor| factor.shifted()) {
            let shares = state.of(program, factor.tensor);
            numbers.extend(shares.iter().map(|share| 1 - top(*share, quadratic.ring)));
        }
        numbers.extend_from_slice(tau);
        numbers
    }

    /// What is known once the products of bits are, and the client's numbers in the second round.
    pub fn begin(
        quadratic: &Quadratic,
        program: &Program<'_>,
        state: &State,
        crossed: &Crossed,
    ) -> (Self, Zeroizing<Vec<u64>>) {
        let known = |(factor, bits): (&Factor, &Vec<u64>)| {
            Known::new(quadratic, factor, state.of(program, factor.tensor), bits)
        };
        let factors: Vec<Known> = quadratic.factors.iter().zip(&crossed.bits).map(known).collect();
        let mut numbers = Zeroizing::new(Vec::with_capacity(2 * quadratic.count * factors.len()));
        for at in 0..factors.len() {
            let (other, known) = (quadratic.other(at), &factors[factors.len() - 1 - at]);
            numbers.extend_from_slice(&known.halves[0]);
            if other.shifted() {
                numbers.extend_from_slice(&known.difference(other, quadratic.ring));
            }
        }
        let bits = crossed.bits.last().cloned().unwrap_or_default();
        (Self { factors, bits, shares: Vec::new(), differences: Vec::new() }, numbers)
    }

    /// Takes the shares of the second round.
    pub fn finish(&mut self, mut crossed: Crossed) {
        self.shares = std::mem::take(&mut crossed.shares);
        self.differences = std::mem::take(&mut crossed.differences);
    }
}
