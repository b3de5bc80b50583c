//! Products of ciphertexts.
//!
//! The tensor product of the centred representatives needs room for `N Q^2`, so it is computed on the data primes and
//! an auxiliary base B; then `round(t x / Q)` is taken in B and brought back (Halevi, Polyakov and Shoup, eprint
//! 2018/117, in the integer form of [`Converter`]):
//!
//! ```text
//! y = (t x - centred(t x mod Q)) / Q  mod B,    |y| <= t N Q / 2 + 1 < B / 2,    out = centred(y) mod Q
//! ```

use kernel::modular::{Converter, Modulus, Shoup, next_ntt_prime};
use kernel::ntt::Ntt;

use crate::ciphertext::{Ciphertext, Product};
use crate::error::Error;
use crate::evaluator::Evaluator;
use crate::evaluator::switching::{Switched, switch};
use crate::generalised::Values;
use crate::keys::RelinearisationKey;
use crate::parameters::{Parameters, cofactor, cofactor_inverses};
use crate::plain::PlainModulus;
use crate::ring::Rows;

/// Bits of the auxiliary primes: the widest whose transforms need no corrections.
const AUXILIARY_BITS: u32 = 46;

/// The auxiliary base of one level and its conversions.
#[derive(Debug)]
pub(crate) struct Multiplier {
    ntts: Vec<Ntt>,
    /// Centred representatives, from the data primes.
    extend: Converter,
    /// Centred `t x mod Q` over t, from the data primes.
    remainder: Converter,
    /// `t / Q` modulo each auxiliary prime.
    divide: Vec<Shoup>,
    /// For a generalised plaintext modulus, its values on the data primes and the auxiliary ones. The tensor is
    /// then multiplied by t beforehand, and t is 1 in the conversions.
    factors: Option<[Vec<Values>; 2]>,
    /// Centred representatives, back to the data primes.
    back: Converter,
}

impl Multiplier {
    pub(crate) fn new(parameters: &Parameters, limbs: usize) -> Option<Self> {
        let ring = parameters.ring();
        let data: Vec<Modulus> = ring.moduli(limbs).copied().collect();
        let log2_degree = f64::from(parameters.degree().trailing_zeros());
        let growth = match parameters.plain() {
            // The sum of the magnitudes of t's coefficients.
            PlainModulus::Generalised { base, .. } => (base as f64 + 1.0).log2(),
            plain => plain.log2(),
        };
        let needed = growth + log2_degree + parameters.log2_modulus(limbs) + 1.0;
        let (mut ntts, mut bits, mut bound) = (Vec::new(), 0.0, 1 << AUXILIARY_BITS);
        while bits < needed {
            bound = next_ntt_prime(bound, 2 * parameters.degree() as u64)?;
            let used = parameters.plain().slot_modulus() == Some(u128::from(bound))
                || (0..ring.all()).any(|row| ring.modulus(row).value() == bound);
            if !used {
                ntts.push(Ntt::new(parameters.degree(), bound).ok()?);
                bits += (bound as f64).log2();
            }
        }
        let auxiliary: Vec<Modulus> = ntts.iter().map(|ntt| *ntt.modulus()).collect();
        let residue = |b: &Modulus| match parameters.plain() {
            PlainModulus::Prime(t) => b.reduce(t),
            PlainModulus::PowerOfTwo(k) => b.pow(2, u64::from(k)),
            PlainModulus::Generalised { .. } => 1,
        };
        let product = |moduli: &[Modulus], m: &Modulus| cofactor(moduli, 0, m);
        let rows = |from: &[Modulus], to: &[Modulus], scale: &dyn Fn(&Modulus) -> Option<u64>| {
            to.iter()
                .map(|m| {
                    let scale = scale(m)?;
                    let row = from.iter().map(|q| m.mul(cofactor(from, q.value(), m), scale)).collect();
                    Some((*m, row, m.mul(m.neg(product(from, m)), scale)))
                })
                .collect::<Option<Vec<_>>>()
        };
        let zip = |moduli: &[Modulus], factors: &[u64]| -> Vec<_> {
            moduli.iter().copied().zip(factors.iter().copied()).collect()
        };
        let extend =
            Converter::new(&zip(&data, &cofactor_inverses(&data)?), &rows(&data, &auxiliary, &|_| Some(1))?)?;
        let remainder = Converter::new(
            &zip(&data, &cofactor_inverses(&data)?)
                .into_iter()
                .map(|(q, inverse)| (q, q.mul(inverse, residue(&q))))
                .collect::<Vec<_>>(),
            &rows(&data, &auxiliary, &|b| b.inverse(residue(b)))?,
        )?;
        let back = Converter::new(
            &zip(&auxiliary, &cofactor_inverses(&auxiliary)?),
            &rows(&auxiliary, &data, &|_| Some(1))?,
        )?;
        let divide = auxiliary
            .iter()
            .map(|b| Some(b.shoup(b.mul(residue(b), b.inverse(product(&data, b))?))))
            .collect::<Option<_>>()?;
        let factors = parameters.generalised().map(|space| {
            let data = (0..limbs).map(|row| Values::new(space, ring.ntt(row))).collect();
            [data, ntts.iter().map(|ntt| Values::new(space, ntt)).collect()]
        });
        Some(Self { ntts, extend, remainder, divide, back, factors })
    }

    /// A polynomial (evaluation form on the data primes) on the auxiliary primes, in evaluation form.
    fn extend(&self, parameters: &Parameters, poly: &Rows) -> Rows {
        let ring = parameters.ring();
        let mut coefficients = poly.clone();
        ring.inverse(&mut coefficients);
        let mut out = ring.scratch(self.ntts.len());
        convert(&self.extend, &coefficients, &mut out);
        self.ntts.iter().zip(out.iter_mut()).for_each(|(ntt, row)| ntt.forward(row));
        out
    }

    /// `round(t x / Q)` on the data primes in coefficient form, of a tensor coordinate in evaluation form.
    fn scale(&self, parameters: &Parameters, mut data: Rows, mut auxiliary: Rows) -> Rows {
        let ring = parameters.ring();
        ring.inverse(&mut data);
        let mut remainder = ring.scratch(self.ntts.len());
        convert(&self.remainder, &data, &mut remainder);
        for (((ntt, row), remainder), divide) in
            self.ntts.iter().zip(auxiliary.iter_mut()).zip(remainder.iter()).zip(&self.divide)
        {
            ntt.inverse(row);
            ntt.modulus().sub_scale_assign(row, remainder, *divide);
        }
        convert(&self.back, &auxiliary, &mut data);
        data
    }
}

fn convert(converter: &Converter, from: &Rows, to: &mut Rows) {
    converter.apply(&from.iter().collect::<Vec<_>>(), &mut to.iter_mut().collect::<Vec<_>>());
}

/// `a0 b0`, `a0 b1 + a1 b0`, `a1 b1` on one prime after another.
pub(crate) fn tensor<'a>(
    moduli: impl Iterator<Item = &'a Modulus>,
    a: &[Rows; 2],
    b: &[Rows; 2],
) -> [Rows; 3] {
    let mut out = [0, 1, 2].map(|_| a[0].scratch_like());
    for (row, q) in moduli.enumerate() {
        q.mul_into(out[0].row_mut(row), a[0].row(row), b[0].row(row));
        q.mul_into(out[1].row_mut(row), a[0].row(row), b[1].row(row));
        q.mul_add_assign(out[1].row_mut(row), a[1].row(row), b[0].row(row));
        q.mul_into(out[2].row_mut(row), a[1].row(row), b[1].row(row));
    }
    out
}

impl Evaluator {
    /// The product without relinearisation.
    ///
    /// # Errors
    /// If one is of other parameters, or their limbs differ.
    pub fn multiply_lazy(&self, a: &Ciphertext, b: &Ciphertext) -> Result<Product, Error> {
        self.check_pair(a, b)?;
        let limbs = a.limbs();
        let (parameters, ring) = (&self.parameters, self.parameters.ring());
        let multiplier = parameters.multiplier(limbs).ok_or(Error::Limbs(limbs))?;
        let extended = |x: &Ciphertext| [0, 1].map(|half| multiplier.extend(parameters, &x.parts[half]));
        let wide_a = extended(a);
        let other = if core::ptr::eq(a, b) { None } else { Some(extended(b)) };
        let wide_b = other.as_ref().unwrap_or(&wide_a);
        let scaled = multiplier.factors.as_ref().map(|[data, auxiliary]| {
            let times = |values: &[Values], parts: &[Rows; 2]| {
                let mut parts = parts.clone();
                for (row, values) in parts.iter_mut().flat_map(|part| part.iter_mut().zip(values)) {
                    values.multiply(row);
                }
                parts
            };
            [times(data, &a.parts), times(auxiliary, &wide_a)]
        });
        let [narrow_a, wide_a] = scaled.as_ref().map_or([&a.parts, &wide_a], |[data, wide]| [data, wide]);
        let data = tensor(ring.moduli(limbs), narrow_a, &b.parts);
        let auxiliary = tensor(multiplier.ntts.iter().map(Ntt::modulus), wide_a, wide_b);
        let mut scaled = data.into_iter().zip(auxiliary).map(|(d, x)| multiplier.scale(parameters, d, x));
        let mut next = || scaled.next().ok_or(Error::Limbs(limbs));
        let (mut c0, mut c1, square) = (next()?, next()?, next()?);
        ring.forward(&mut c0);
        ring.forward(&mut c1);
        Ok(Product { id: a.id, parts: [c0, c1], square })
    }

    /// `a += b` for products.
    ///
    /// # Errors
    /// If one is of other parameters, or their limbs differ.
    pub fn add_product_assign(&self, a: &mut Product, b: &Product) -> Result<(), Error> {
        self.parameters.check(a.id, "product")?;
        self.parameters.check(b.id, "product")?;
        if a.square.count() != b.square.count() {
            return Err(Error::Level(b.square.count(), a.square.count()));
        }
        let ring = self.parameters.ring();
        a.parts.iter_mut().zip(&b.parts).for_each(|(a, b)| ring.add_assign(a, b));
        ring.add_assign(&mut a.square, &b.square);
        Ok(())
    }

    /// A product as a ciphertext: the key switch from s^2.
    ///
    /// # Errors
    /// If something is of other parameters.
    pub fn relinearise(&self, product: &Product, key: &RelinearisationKey) -> Result<Ciphertext, Error> {
        self.parameters.check(product.id, "product")?;
        self.parameters.check_ring(key.ring_id, "relinearisation key")?;
        let square = Switched {
            coefficients: &product.square,
            evaluations: None,
            plus: [Some(&product.parts[0]), Some(&product.parts[1])],
        };
        let parts = switch(&self.parameters, &square, &key.key, 1);
        Ok(Ciphertext { id: product.id, parts, seed: None })
    }

    /// The product: slot by slot, or of polynomials modulo `X^N + 1`.
    ///
    /// # Errors
    /// As [`Self::multiply_lazy`] and [`Self::relinearise`].
    pub fn multiply(
        &self,
        a: &Ciphertext,
        b: &Ciphertext,
        key: &RelinearisationKey,
    ) -> Result<Ciphertext, Error> {
        self.relinearise(&self.multiply_lazy(a, b)?, key)
    }

    /// The square: half of a product's base extensions.
    ///
    /// # Errors
    /// As [`Self::multiply`].
    pub fn square(&self, a: &Ciphertext, key: &RelinearisationKey) -> Result<Ciphertext, Error> {
        self.multiply(a, a, key)
    }
}
