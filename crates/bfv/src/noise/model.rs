//! The noise model: the variance of a ciphertext's noise after each operation.
//!
//! The noise of a ciphertext is the polynomial e in `c0 + c1 s = round(Q m / t) + e` modulo Q. The model
//! follows the variance of its coefficients, taking the terms below as independent (the usual heuristic; the tests
//! hold it against measured noise: never below the measured deviation by more than its sampling error, and not
//! far above). With `N` the degree, `sigma` = 3.19, a ternary secret of variance 2/3 and
//! `R = (1 + 2 N / 3) / 12` for the rounding of both halves of a ciphertext:
//!
//! | operation | variance |
//! |---|---|
//! | symmetric encryption | `sigma^2` |
//! | public-key encryption | `sigma^2 (1 + 4 N / 3)` |
//! | sum, difference | `V1 + V2` |
//! | product with a message p (centred lift) | `(V + 1/12) |p|^2`, the 1/12 being the rounding in `round(Q m / t)` |
//! | key switch, hybrid | `V + N sigma^2 sum(d_k^2 / 3) / P^2 + R` |
//! | key switch, no special prime | `V + N sigma^2 sum(d_k^2 / 3)` |
//! | ciphertext product | `N t^2 (2 + 2 N / 3) (V1 + V2) / 12 + (1 + 2 N / 3 + 4 N^2 / 9) / 12`, and twice the first term for a square |
//! | the same by BGV arithmetic | `2 f^2 N t^2 (V1 + 1/12) (V2 + 1/12) + 1/12`, twice that for a square; f: `evaluator/bgv.rs` |
//! | modulus switch to Q' | `V (Q'/Q)^2 + R` |
//! | flooding with b bits | `V + 2^(2 b) / 12` |
//!
//! In the product the factor of `V` is the variance of a phase over Q times t: the message's and that of the multiple of Q that
//! the centred halves carry. A digit `d_k` is uniform below its bound.
//!
//! For a generalised plaintext modulus `t = X^k - b` the same formulas hold with `|t|^2 = b^2 + 1` in place of `t^2`: the rounding
//! of `round(Q m / t)` is `u / t` with u below b/2, the tensor's phase is multiplied by the polynomial t, and decryption needs every
//! coefficient of `t e` below `Q / 2 - b / 2`, where one is the sum of one of e and b times another.
//!
//! # Failure
//!
//! Decryption is right if every coefficient of e is below `Q / 2t - 1` in magnitude. The model calls a ciphertext
//! decryptable if [`TAIL`] = 9 standard deviations are. For coefficients that are Gaussian (they are sums of thousands of
//! terms) a coefficient exceeds that with probability below 2^-61, one of 32768 with probability below **2^-46**;
//! parameters from [`crate::derive`] keep at least that. The fixed-point fraction of the decryption
//! moves the threshold by less than 2^-12 of itself.

use crate::evaluator::product_factor;
use crate::parameters::Parameters;

/// Standard deviations that must fit: a Gaussian exceeds nine with probability below 2^-61.
pub const TAIL: f64 = 9.0;

const SIGMA: f64 = kernel::modular::sample::SIGMA;

/// The base-2 logarithm of a noise variance (a coefficient's), for one modulus.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Noise(f64);

impl Noise {
    /// Noise of this variance.
    pub fn of_variance(variance: f64) -> Self {
        Self(variance.log2())
    }

    /// The base-2 logarithm of the standard deviation.
    pub fn log2_deviation(self) -> f64 {
        self.0 / 2.0
    }

    /// The base-2 logarithm of the bound that a coefficient exceeds with probability below 2^-61.
    pub fn log2_bound(self) -> f64 {
        self.0 / 2.0 + TAIL.log2()
    }

    /// The sum of independent noises.
    pub fn plus(self, other: Self) -> Self {
        let (high, low) = if self.0 >= other.0 { (self.0, other.0) } else { (other.0, self.0) };
        Self(high + (1.0 + (low - high).exp2()).log2())
    }

    /// Noise whose variance is the product of two.
    pub(crate) fn times(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// Noise whose variance is `2^log2_factor` times this one's.
    pub fn scaled(self, log2_factor: f64) -> Self {
        Self(self.0 + log2_factor)
    }
}

/// Follows noise through operations, for one parameter set. It needs no ciphertext: a planner runs it alone.
#[derive(Clone, Debug)]
pub struct NoiseModel {
    degree: f64,
    log2_plain: f64,
    /// The base-2 logarithm of each data prime.
    limbs: Vec<f64>,
    log2_special: Option<f64>,
    /// For each number of limbs the base-2 logarithm of the sum of the digits' mean squares.
    digits: Vec<f64>,
    /// For each number of limbs the base-2 logarithm of the factor of a product by BGV arithmetic.
    product_factors: Option<Vec<f64>>,
}

impl NoiseModel {
    /// The model of a parameter set.
    pub fn new(parameters: &Parameters) -> Self {
        let ring = parameters.ring();
        let log2 = |row: usize| (ring.modulus(row).value() as f64).log2();
        let limbs: Vec<f64> = (0..ring.data()).map(log2).collect();
        let special = ring.has_special().then(|| log2(ring.data()));
        let digit_bits = parameters.literal().digit_bits;
        let product_factors = (1..=ring.data())
            .map(|limbs| {
                product_factor(parameters, limbs).map(|factor| (factor.unsigned_abs() as f64).log2())
            })
            .collect();
        let norm = parameters.plain().log2_norm();
        let model = Self::of_sizes(parameters.degree(), norm, &limbs, special, digit_bits);
        Self { product_factors, ..model }
    }

    /// The model of parameters that need not exist yet: sizes are base-2 logarithms.
    pub fn of_sizes(
        degree: usize,
        log2_plain: f64,
        limbs: &[f64],
        log2_special: Option<f64>,
        digit_bits: Option<u32>,
    ) -> Self {
        let mean_squares = |size: &f64| -> f64 {
            let width = digit_bits.map_or(*size, f64::from);
            let windows = (size / width).ceil() as u32;
            (0..windows).map(|k| (2.0 * (size - f64::from(k) * width).min(width)).exp2() / 3.0).sum()
        };
        let mut sum = 0.0;
        let digits = limbs
            .iter()
            .map(|size| {
                sum += mean_squares(size);
                f64::log2(sum)
            })
            .collect();
        Self {
            degree: degree as f64,
            log2_plain,
            limbs: limbs.to_vec(),
            log2_special,
            digits,
            product_factors: None,
        }
    }

    pub(crate) fn log2_norm(&self) -> f64 {
        self.log2_plain
    }

    pub(crate) fn product_factors(&self) -> Option<&[f64]> {
        self.product_factors.as_deref()
    }

    /// Ring degree.
    pub(crate) fn degree(&self) -> f64 {
        self.degree
    }

    /// The rounding of both halves to integers.
    fn rounding(&self) -> Noise {
        Noise::of_variance((1.0 + 2.0 * self.degree / 3.0) / 12.0)
    }

    pub(crate) fn log2_modulus(&self, limbs: usize) -> f64 {
        self.limbs[..limbs].iter().sum()
    }

    /// A fresh symmetric encryption.
    pub fn fresh_symmetric(&self) -> Noise {
        Noise::of_variance(SIGMA * SIGMA)
    }

    /// A fresh public-key encryption, also of zero.
    pub fn fresh_public(&self) -> Noise {
        Noise::of_variance(SIGMA * SIGMA * (1.0 + 4.0 * self.degree / 3.0))
    }

    /// A product with a message whose centred coefficients have the given sum of squares.
    pub fn mul_plain(&self, noise: Noise, squared_norm: f64) -> Noise {
        noise.plus(Noise::of_variance(1.0 / 12.0)).scaled(squared_norm.max(1.0).log2())
    }

    /// A product with a message of full-range coefficients, as random slots give.
    pub fn mul_plain_full(&self, noise: Noise) -> Noise {
        noise
            .plus(Noise::of_variance(1.0 / 12.0))
            .scaled(self.degree.log2() + 2.0 * self.log2_plain - 12f64.log2())
    }

    /// The sum of `count` ciphertexts of this noise.
    pub fn sum(&self, noise: Noise, count: usize) -> Noise {
        noise.scaled((count.max(1) as f64).log2())
    }

    /// One key switch (rotation, relinearisation) of a ciphertext with `limbs` limbs.
    pub fn key_switch(&self, noise: Noise, limbs: usize) -> Noise {
        let digits = Noise::of_variance(SIGMA * SIGMA * self.degree).scaled(self.digits[limbs - 1]);
        match self.log2_special {
            Some(special) => noise.plus(digits.scaled(-2.0 * special)).plus(self.rounding()),
            None => noise.plus(digits),
        }
    }

    /// A ciphertext product with relinearisation.
    pub fn multiply(&self, a: Noise, b: Noise, limbs: usize) -> Noise {
        let n = self.degree;
        let phase = (n * (2.0 + 2.0 * n / 3.0) / 12.0).log2() + 2.0 * self.log2_plain;
        let rounding = Noise::of_variance((1.0 + 2.0 * n / 3.0 + 4.0 * n * n / 9.0) / 12.0);
        self.key_switch(a.plus(b).scaled(phase).plus(rounding), limbs)
    }

    /// A square with relinearisation: the two noises are the same, so they add as amplitudes.
    pub fn square(&self, a: Noise, limbs: usize) -> Noise {
        self.multiply(a.scaled(1.0), a.scaled(1.0), limbs)
    }

    /// A modulus switch between numbers of limbs.
    pub fn switch_down(&self, noise: Noise, from: usize, to: usize) -> Noise {
        if from == to {
            return noise;
        }
        noise.scaled(2.0 * (self.log2_modulus(to) - self.log2_modulus(from))).plus(self.rounding())
    }

    /// Flooding with `bits` bits.
    pub fn flood(&self, noise: Noise, bits: u32) -> Noise {
        noise.plus(Noise::of_variance(1.0 / 12.0).scaled(2.0 * f64::from(bits)))
    }

    /// The smallest flooding that hides noise within a distance of 2^-`statistical` over a whole ciphertext.
    pub fn flood_bits(&self, noise: Noise, statistical: u32) -> u32 {
        (noise.log2_bound() + f64::from(statistical) + self.degree.log2() + 1.0).ceil().max(1.0) as u32
    }

    /// Packing of `count` ciphertexts: the merges' and the trace's key switches, each doubled by those after it.
    pub fn pack(&self, noise: Noise, count: usize, limbs: usize) -> Noise {
        let zero = Noise(f64::NEG_INFINITY);
        let switch = self.key_switch(Noise::of_variance(1e-9), limbs);
        let levels = self.degree.log2() as u32;
        let merges = count.next_power_of_two().trailing_zeros();
        let mut sum = zero;
        for level in 1..=levels {
            // A merge adds two halves and their images; a trace step adds the image.
            sum = if level <= merges { sum.scaled(2.0) } else { sum.scaled(1.0) };
            sum = if sum.0 == f64::NEG_INFINITY { switch } else { sum.plus(switch) };
        }
        // Coefficients that are kept grow coherently in the trace: at most by two a step.
        noise.plus(sum.scaled(f64::from(levels - merges.min(levels))))
    }

    /// Dropping low bits of the halves of a reply.
    pub fn drop_bits(&self, noise: Noise, low0: u32, low1: u32) -> Noise {
        let step = |bits: u32| Noise::of_variance(1.0 / 12.0).scaled(2.0 * f64::from(bits));
        let mut out = noise;
        if low0 > 0 {
            out = out.plus(step(low0));
        }
        if low1 > 0 {
            out = out.plus(step(low1).scaled((2.0 * self.degree / 3.0).log2()));
        }
        out
    }

    /// The base-2 logarithm of what the noise may grow by before decryption fails: `Q / 2t` over the bound.
    pub fn budget(&self, noise: Noise, limbs: usize) -> f64 {
        self.log2_modulus(limbs) - self.log2_plain - 1.0 - noise.log2_bound()
    }

    /// Whether a ciphertext of this noise decrypts, but for the failure probability stated above.
    pub fn decrypts(&self, noise: Noise, limbs: usize) -> bool {
        // The 1/2 of the scaled message's rounding and the fraction's error are below a hundredth of a bit at 20 bits.
        self.budget(noise, limbs) > 0.01
    }

    /// The fewest limbs that a ciphertext can be switched to and still decrypt, with its noise there.
    pub fn smallest_level(&self, noise: Noise, limbs: usize) -> Option<(usize, Noise)> {
        (1..=limbs)
            .map(|to| (to, self.switch_down(noise, limbs, to)))
            .find(|(to, switched)| self.decrypts(*switched, *to))
    }
}
