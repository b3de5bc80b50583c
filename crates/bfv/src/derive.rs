//! Parameters from a request: the smallest set of the table whose noise bound leaves room for the operations.

use crate::error::Error;
use crate::noise::{Noise, NoiseModel};
use crate::parameters::{Literal, Parameters};
use crate::plain::PlainModulus;
use crate::security;

/// The plaintext space asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plain {
    /// These moduli, whatever the degree. Several are a product: one parameter set each, over one ring and one key.
    Moduli(Vec<PlainModulus>),
    /// `count` primes of `bits` bits that have slots at the degree chosen.
    Slots {
        /// Bits of each prime.
        bits: u32,
        /// Number of primes.
        count: usize,
    },
}

/// One step of the computation, applied to the noise in order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operation {
    /// The sum of this many such ciphertexts.
    Sum(usize),
    /// A product with a message whose centred coefficients have this sum of squares.
    MulPlain(f64),
    /// A product with a message of full-range coefficients, as slots give.
    MulPlainFull,
    /// A rotation or other automorphism.
    Rotate,
    /// A product of two such ciphertexts.
    Multiply,
    /// A square.
    Square,
    /// Packing of this many such ciphertexts.
    Pack(usize),
    /// A fresh encryption of zero is added.
    Rerandomise,
    /// Flooding to a statistical distance of 2^-bits over the ciphertext.
    Flood(u32),
}

impl Operation {
    const fn is_product(self) -> bool {
        matches!(self, Self::Multiply | Self::Square)
    }

    const fn needs_key(self) -> bool {
        matches!(self, Self::Rotate | Self::Multiply | Self::Square | Self::Pack(_))
    }
}

/// What parameters are asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The plaintext space.
    pub plain: Plain,
    /// Whether inputs are encrypted with the public key (more noise) or the secret one.
    pub public: bool,
    /// The computation.
    pub operations: Vec<Operation>,
    /// The smallest ring degree that will do, for example because of the number of slots.
    pub min_degree: usize,
}

/// The noise after the operations of a request.
pub fn noise_after(model: &NoiseModel, request: &Request, limbs: usize) -> Noise {
    let fresh = if request.public { model.fresh_public() } else { model.fresh_symmetric() };
    request.operations.iter().fold(fresh, |noise, operation| match *operation {
        Operation::Sum(count) => model.sum(noise, count),
        Operation::MulPlain(squared_norm) => model.mul_plain(noise, squared_norm),
        Operation::MulPlainFull => model.mul_plain_full(noise),
        Operation::Rotate => model.key_switch(noise, limbs),
        Operation::Multiply => model.multiply(noise, noise, limbs),
        Operation::Square => model.square(noise, limbs),
        Operation::Pack(count) => model.pack(noise, count, limbs),
        Operation::Rerandomise => noise.plus(model.fresh_public()),
        Operation::Flood(statistical) => model.flood(noise, model.flood_bits(noise, statistical)),
    })
}

/// Widths of key-switching digits tried where a special prime leaves no room.
const DIGITS: [u32; 6] = [25, 17, 13, 10, 8, 5];

/// Derives parameters: at the smallest degree, with the fewest limbs, of the smallest size at which the noise bound of
/// [`NoiseModel`] fits after the operations. With key switching a special prime is tried first, then digits of
/// falling width with all of the modulus for data. One set is returned for each plaintext modulus.
///
/// # Errors
/// [`Error::Underivable`] if nothing within the table fits, or [`Error::Plain`] if a modulus cannot be.
pub fn derive(request: &Request) -> Result<Vec<Parameters>, Error> {
    let mut bits = 0;
    for degree in security::degrees().filter(|degree| *degree >= request.min_degree) {
        let Some(moduli) = plain_moduli(&request.plain, degree) else { continue };
        let largest = moduli.iter().max_by(|a, b| a.log2_norm().total_cmp(&b.log2_norm()));
        let Some(largest) = largest.copied() else { return Err(Error::Plain("of an empty product".into())) };
        bits = largest.bits();
        if let Some(found) = at_degree(request, degree, &moduli, largest) {
            return Ok(found);
        }
    }
    Err(Error::Underivable { plain_bits: bits })
}

fn plain_moduli(plain: &Plain, degree: usize) -> Option<Vec<PlainModulus>> {
    match plain {
        Plain::Moduli(moduli) => Some(moduli.clone()),
        Plain::Slots { bits, count } => {
            (0..*count).map(|index| PlainModulus::slots(*bits, degree, index)).collect()
        }
    }
}

fn at_degree(
    request: &Request,
    degree: usize,
    moduli: &[PlainModulus],
    largest: PlainModulus,
) -> Option<Vec<Parameters>> {
    let limit = security::max_modulus_bits(degree)?;
    let keys = request.operations.iter().any(|operation| operation.needs_key());
    let hybrid = (true, None);
    let shapes: Vec<(bool, Option<u32>)> = if keys {
        core::iter::once(hybrid).chain(DIGITS.map(|width| (false, Some(width)))).collect()
    } else {
        vec![(false, None)]
    };
    for (special, digit_bits) in shapes {
        for limbs in 1..=limit.div_ceil(20) as usize {
            for size in 20..=kernel::modular::VECTOR_BITS {
                // The special prime is one bit wider, so that it covers the digits.
                let special = special.then_some((size + 1).min(kernel::modular::VECTOR_BITS));
                let total = limbs as u32 * size + special.unwrap_or(0);
                if total > limit {
                    break;
                }
                let sizes = vec![f64::from(size); limbs];
                let model = NoiseModel::of_sizes(
                    degree,
                    largest.log2_norm(),
                    &sizes,
                    special.map(f64::from),
                    digit_bits,
                );
                if !model.decrypts(noise_after(&model, request, limbs), limbs) {
                    continue;
                }
                if let Some(found) = realise(request, degree, moduli, (size, limbs), (special, digit_bits)) {
                    return Some(found);
                }
            }
        }
    }
    None
}

/// The parameter sets of a shape, if its primes exist and, being a little below their power of two, still leave room.
fn realise(
    request: &Request,
    degree: usize,
    moduli: &[PlainModulus],
    (size, limbs): (u32, usize),
    (special, digit_bits): (Option<u32>, Option<u32>),
) -> Option<Vec<Parameters>> {
    let first = *moduli.first()?;
    let (sizes, products) = (vec![size; limbs], request.operations.iter().any(|step| step.is_product()));
    // Primes for products by BGV arithmetic where there are such: they fit as others do, and leave the choice.
    let for_products = products.then(|| Literal::for_products(degree, first, &sizes, special).ok()).flatten();
    let any = Literal::with_sizes(degree, first, &sizes, special).ok();
    for_products.into_iter().chain(any).find_map(|literal| checked(request, literal, moduli, digit_bits))
}

/// The parameter sets of a literal, if they leave room.
fn checked(
    request: &Request,
    literal: Literal,
    moduli: &[PlainModulus],
    digit_bits: Option<u32>,
) -> Option<Vec<Parameters>> {
    let limbs = literal.data.len();
    let base = Parameters::new(Literal { digit_bits, ..literal }).ok()?;
    let rest = moduli[1..].iter().map(|plain| base.with_plain(*plain));
    let sets = core::iter::once(Ok(base.clone())).chain(rest).collect::<Result<Vec<_>, _>>().ok()?;
    let fits = sets.iter().all(|set| {
        let model = NoiseModel::new(set);
        model.decrypts(noise_after(&model, request, limbs), limbs)
    });
    fits.then_some(sets)
}
