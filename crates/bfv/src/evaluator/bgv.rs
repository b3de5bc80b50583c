//! Products by BGV arithmetic.
//!
//! A ciphertext of this crate times t is one of the scheme of Brakerski, Gentry and Vaikuntanathan (eprint 2011/277): with
//! `c0 + c1 s = round(Q m / t) + e`, the phase of `t c` modulo Q is the *small* number `v = u + t e`, where
//! `u = centred(-Q m mod t)`. So the product of two phases modulo Q is that of the integers, as long as it is below Q / 2: it
//! needs no other base and no scaling. It holds `Q^2 m m'` modulo t; times `f = centred(-1/Q mod t)` and over t it is a
//! ciphertext of this crate again. All constants together,
//!
//! ```text
//! product = f t (c tensor c')  modulo Q
//! ```
//!
//! with the noise `f v v' / t`, of variance at most `2 f^2 N t^2 (V + 1/12) (V' + 1/12)` and twice that for a square: the first
//! two is there because both noises are mostly a rounding times the same secret s, and `s^2` has twice the variance of a
//! product of independent ones. It is small only if V is: the operands are switched down first until their noise is near the rounding's own, and then the
//! product costs as many bits of modulus as the other scheme's, but the limbs are gone and everything after it is cheaper.
//!
//! `f` is as large as t for primes at hand. [`Literal::for_products`] picks primes for which it is small at every level.

use kernel::modular::{Modulus, VECTOR_BITS, is_prime};

use crate::ciphertext::{Ciphertext, Product};
use crate::error::Error;
use crate::evaluator::Evaluator;
use crate::evaluator::product::tensor;
use crate::keys::RelinearisationKey;
use crate::noise::{Noise, NoiseModel};
use crate::parameters::{Literal, Parameters};
use crate::plain::PlainModulus;

/// How a ciphertext product is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// By the scaled tensor product, in a wider base: whatever the noise of the operands.
    Bfv,
    /// Modulo the ciphertext modulus itself: for operands of small noise.
    Bgv,
}

/// A product planned: the arithmetic, the limbs to switch the operands to, and the noise of the result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProductPlan {
    /// The arithmetic.
    pub scheme: Scheme,
    /// Limbs of the operands and of the result.
    pub limbs: usize,
    /// The result's noise, relinearised.
    pub noise: Noise,
}

impl NoiseModel {
    /// A product by BGV arithmetic with relinearisation, or `None` where the plaintext modulus is no number.
    pub fn multiply_bgv(&self, a: Noise, b: Noise, limbs: usize) -> Option<Noise> {
        let factor = *self.product_factors()?.get(limbs.checked_sub(1)?)?;
        let rounding = Noise::of_variance(1.0 / 12.0);
        let (a, b) = (a.plus(rounding), b.plus(rounding));
        let growth = 1.0 + self.degree().log2() + 2.0 * (self.log2_norm() + factor);
        // The second 1/12 is the rounding of the result's own scaled message.
        Some(self.key_switch(a.times(b).scaled(growth).plus(rounding), limbs))
    }

    /// A square by BGV arithmetic with relinearisation.
    pub fn square_bgv(&self, a: Noise, limbs: usize) -> Option<Noise> {
        let rounding = Noise::of_variance(1.0 / 12.0);
        let doubled = a.plus(rounding).scaled(1.0);
        self.multiply_bgv(a, doubled, limbs)
    }

    /// The cheapest square of a ciphertext that leaves as large a [budget](Self::budget) as the scaled tensor product does, or up
    /// to `spare` bits less: by BGV arithmetic on the fewest limbs that will do, else as it is.
    pub fn plan_square(&self, noise: Noise, limbs: usize, spare: f64) -> ProductPlan {
        self.plan((limbs, spare), self.square(noise, limbs), |to| {
            self.square_bgv(self.switch_down(noise, limbs, to), to)
        })
    }

    /// As [`Self::plan_square`], of a product.
    pub fn plan_product(&self, a: Noise, b: Noise, limbs: usize, spare: f64) -> ProductPlan {
        self.plan((limbs, spare), self.multiply(a, b, limbs), |to| {
            self.multiply_bgv(self.switch_down(a, limbs, to), self.switch_down(b, limbs, to), to)
        })
    }

    fn plan(
        &self,
        (limbs, spare): (usize, f64),
        tensor: Noise,
        bgv: impl Fn(usize) -> Option<Noise>,
    ) -> ProductPlan {
        let least = self.budget(tensor, limbs) - spare;
        let found = (1..=limbs).find_map(|to| {
            let fits = |noise: &Noise| self.budget(*noise, to) >= least && self.decrypts(*noise, to);
            let noise = bgv(to).filter(fits)?;
            Some(ProductPlan { scheme: Scheme::Bgv, limbs: to, noise })
        });
        found.unwrap_or(ProductPlan { scheme: Scheme::Bfv, limbs, noise: tensor })
    }
}

/// `centred(-1/Q mod t)` for the first `limbs` limbs; `None` where t is no number below 2^62.
pub(crate) fn product_factor(parameters: &Parameters, limbs: usize) -> Option<i64> {
    let plain = match parameters.plain() {
        PlainModulus::Prime(_) | PlainModulus::PowerOfTwo(1..=61) => parameters.plain_ring(),
        _ => return None,
    };
    let moduli = parameters.ring().moduli(limbs);
    let product = moduli.fold(plain.reduce(1), |p, q| plain.mul(p, plain.reduce(q.value())));
    plain.inverse(product).map(|inverse| plain.centred(plain.neg(inverse)))
}

impl Evaluator {
    /// The product by BGV arithmetic, without relinearisation: of operands that were switched to small noise
    /// ([`NoiseModel::plan_product`]).
    ///
    /// # Errors
    /// If one is of other parameters, their limbs differ, or the plaintext modulus is no number below 2^62.
    pub fn multiply_lazy_bgv(&self, a: &Ciphertext, b: &Ciphertext) -> Result<Product, Error> {
        self.check_pair(a, b)?;
        let (parameters, ring, limbs) = (&self.parameters, self.parameters.ring(), a.limbs());
        let refused = || Error::Plain(parameters.plain().describe());
        let factor = product_factor(parameters, limbs).ok_or_else(refused)?;
        let residue = |q: &Modulus| match parameters.plain() {
            PlainModulus::PowerOfTwo(k) => q.pow(2, u64::from(k)),
            plain => q.reduce(plain.slot_modulus().unwrap_or(0) as u64),
        };
        let constant = |q: &Modulus| q.mul(q.from_signed(factor), residue(q));
        let mut scaled = a.clone();
        self.scale_assign(&mut scaled, constant);
        let [c0, c1, mut square] = tensor(ring.moduli(limbs), &scaled.parts, &b.parts);
        ring.inverse(&mut square);
        Ok(Product { id: a.id, parts: [c0, c1], square })
    }

    /// The product as planned: operands are switched to the plan's limbs first.
    ///
    /// # Errors
    /// As [`Self::switch_down`], [`Self::multiply`] and [`Self::multiply_lazy_bgv`].
    pub fn multiply_planned(
        &self,
        a: &Ciphertext,
        b: &Ciphertext,
        plan: &ProductPlan,
        key: &RelinearisationKey,
    ) -> Result<Ciphertext, Error> {
        let (a, b) = (self.switch_down(a, plan.limbs)?, self.switch_down(b, plan.limbs)?);
        self.relinearise(&self.product_by(plan.scheme, &a, &b)?, key)
    }

    /// The square as planned.
    ///
    /// # Errors
    /// As [`Self::multiply_planned`].
    pub fn square_planned(
        &self,
        a: &Ciphertext,
        plan: &ProductPlan,
        key: &RelinearisationKey,
    ) -> Result<Ciphertext, Error> {
        let a = self.switch_down(a, plan.limbs)?;
        self.relinearise(&self.product_by(plan.scheme, &a, &a)?, key)
    }

    fn product_by(&self, scheme: Scheme, a: &Ciphertext, b: &Ciphertext) -> Result<Product, Error> {
        match scheme {
            Scheme::Bfv => self.multiply_lazy(a, b),
            Scheme::Bgv => self.multiply_lazy_bgv(a, b),
        }
    }
}

/// The largest `f` looked for.
const MAX_FACTOR: u64 = 1 << 10;

impl Literal {
    /// As [`Self::with_sizes`], for a prime plaintext modulus, with data primes for which products by BGV arithmetic lose little:
    /// at each level `f = centred(-1/Q mod t)` is the smallest that the primes of that size allow.
    ///
    /// # Errors
    /// As [`Self::with_sizes`], or where t is no prime or too large for limbs of these sizes.
    pub fn for_products(
        degree: usize,
        plain: PlainModulus,
        data_bits: &[u32],
        special_bits: Option<u32>,
    ) -> Result<Self, Error> {
        let refused = || Error::Plain(plain.describe());
        let PlainModulus::Prime(value) = plain else { return Err(refused()) };
        let t = Modulus::new(value).filter(|_| degree.is_power_of_two()).ok_or_else(refused)?;
        // For the special prime, and for the checks.
        let mut literal = Self::with_sizes(degree, plain, data_bits, special_bits)?;
        let mut taken: Vec<u64> = literal.special.into_iter().chain([value]).collect();
        let mut product = 1;
        for (place, bits) in literal.data.iter_mut().zip(data_bits) {
            let prime = (1..MAX_FACTOR)
                .flat_map(|f| [f, t.neg(t.reduce(f))])
                .filter_map(|f| t.inverse(t.mul(t.reduce(f), product)).map(|x| t.neg(x)))
                .find_map(|class| prime_in_class(&t, class, 2 * degree as u64, *bits, &taken))
                .ok_or(Error::Limb(u64::from(*bits)))?;
            taken.push(prime);
            product = t.mul(product, t.reduce(prime));
            *place = prime;
        }
        Ok(literal)
    }
}

/// The largest prime of `bits` bits that is `class` modulo t and 1 modulo `step`, and not taken.
fn prime_in_class(t: &Modulus, class: u64, step: u64, bits: u32, taken: &[u64]) -> Option<u64> {
    debug_assert!(bits <= VECTOR_BITS);
    // 1 + k step with k step = class - 1 modulo t.
    let k = t.mul(t.sub(class, 1), t.inverse(t.reduce(step))?);
    let first = u128::from(k) * u128::from(step) + 1;
    let period = u128::from(t.value()) * u128::from(step);
    let (low, high) = (1u128 << (bits - 1), (1u128 << bits) - 1);
    let mut candidate = first + high.checked_sub(first)? / period * period;
    while candidate >= low {
        let prime = candidate as u64;
        if is_prime(prime) && !taken.contains(&prime) {
            return Some(prime);
        }
        candidate = candidate.checked_sub(period)?;
    }
    None
}
