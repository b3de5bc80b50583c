//! The parameters and tilings of a network's layers.

use bfv::derive::{Operation, Plain, Request, derive, noise_after};
use bfv::{Literal, MAX_REPLY_LIMBS, NoiseModel, Parameters, PlainModulus, ReplyShape};

use super::layout::Layout;
use super::shape::Shape;
use super::tiling::{Cost, Link, Tiling};
use crate::Error;

/// Ring degrees that are compared.
pub const DEGREES: [usize; 4] = [2048, 4096, 8192, 16384];

/// Widest ring of shares: a bit more than these must fit a plaintext.
const MOST_BITS: u32 = 62;

/// A layer as its parameters see it.
#[derive(Clone, Debug)]
pub struct Need {
    /// The layer.
    pub shape: Shape,
    /// Weights lie in `[-2^(bits-1), 2^(bits-1))`.
    pub weight_bits: u32,
}

/// Parameters for all layers of a network, and how each is cut and answered.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The parameters; the plaintext modulus is twice the ring of shares.
    pub parameters: Parameters,
    /// A layout for each layer.
    pub layouts: Vec<Layout>,
    /// How short the replies of each layer are.
    pub replies: Vec<ReplyShape>,
}

impl Need {
    /// What happens to a ciphertext under a tiling: a bound of the noise that depends on public facts alone.
    fn request(&self, tiling: Tiling, plain: PlainModulus, min_degree: usize) -> Request {
        let weight = f64::from(self.weight_bits.saturating_sub(1)).exp2();
        let terms = tiling.filters.saturating_mul(self.shape.terms()) as f64;
        Request {
            plain: Plain::Moduli(vec![plain]),
            public: false,
            operations: vec![Operation::MulPlain(terms * weight * weight), Operation::Rerandomise],
            min_degree,
        }
    }
}

impl Setting {
    /// The setting of least time and bytes for shares modulo `2^bits`.
    ///
    /// # Errors
    /// If no parameters hold a layer.
    pub fn choose(needs: &[Need], bits: u32, link: Link) -> Result<Self, Error> {
        let plain = plain(bits)?;
        let mut best: Option<(f64, Self)> = None;
        let mut failure = None;
        for degree in DEGREES {
            match Self::at_degree(needs, plain, degree, link) {
                Ok((seconds, setting)) if best.as_ref().is_none_or(|(least, _)| seconds < *least) => {
                    best = Some((seconds, setting));
                }
                Ok(_) => {}
                Err(error) => failure = Some(error),
            }
        }
        match (best, failure) {
            (Some((_, setting)), _) => Ok(setting),
            (None, failure) => Err(failure.unwrap_or(Error::Empty)),
        }
    }

    /// A setting that somebody else chose, for shares modulo `2^bits`: the ring's degree and primes, and a tiling and the shape
    /// of replies for each layer.
    ///
    /// # Errors
    /// If the parameters are below 128-bit security, a tiling does not fit, or replies would not decrypt.
    pub fn checked(
        needs: &[Need],
        bits: u32,
        (degree, primes): (usize, Vec<u64>),
        parts: &[(Tiling, ReplyShape)],
    ) -> Result<Self, Error> {
        let literal = Literal { degree, plain: plain(bits)?, data: primes, special: None, digit_bits: None };
        let parameters = Parameters::new(literal)?;
        let model = NoiseModel::new(&parameters);
        let (mut layouts, mut replies) = (Vec::new(), Vec::new());
        if parts.len() != needs.len() {
            return Err(Error::TooMany(parts.len(), needs.len()));
        }
        for (need, (tiling, reply)) in needs.iter().zip(parts) {
            let layout = Layout::new(&need.shape, *tiling, degree)?;
            if !(1..=MAX_REPLY_LIMBS.min(parameters.limbs())).contains(&reply.limbs)
                || reply
                    .low_bits
                    .iter()
                    .any(|low| f64::from(*low) + 1.0 >= parameters.log2_modulus(reply.limbs))
            {
                return Err(Error::Layout("replies of a shape that does not exist".into()));
            }
            let request = need.request(*tiling, parameters.plain(), degree);
            let noise = noise_after(&model, &request, parameters.limbs());
            let noise = model.switch_down(noise, parameters.limbs(), reply.limbs);
            if !model.decrypts(model.drop_bits(noise, reply.low_bits[0], reply.low_bits[1]), reply.limbs) {
                return Err(Error::Layout("the noise leaves no room for such replies".into()));
            }
            layouts.push(layout);
            replies.push(*reply);
        }
        Ok(Self { parameters, layouts, replies })
    }

    fn at_degree(
        needs: &[Need],
        plain: PlainModulus,
        degree: usize,
        link: Link,
    ) -> Result<(f64, Self), Error> {
        let mut total = Cost::default();
        let mut layouts = Vec::with_capacity(needs.len());
        let mut widest: Option<Parameters> = None;
        for need in needs {
            let (tiling, cost) = Tiling::choose(&need.shape, degree, link)?;
            layouts.push(Layout::new(&need.shape, tiling, degree)?);
            total.sent += cost.sent;
            total.returned += cost.returned;
            total.products += cost.products;
            let parameters = derive(&need.request(tiling, plain, degree))?.remove(0);
            if parameters.degree() != degree {
                return Err(Error::Layout(format!("degree {degree} has no room for {:?}", need.shape)));
            }
            let modulus = |set: &Parameters| set.log2_modulus(set.limbs());
            if widest.as_ref().is_none_or(|widest| modulus(&parameters) > modulus(widest)) {
                widest = Some(parameters);
            }
        }
        let parameters = widest.ok_or(Error::Empty)?;
        let replies = needs
            .iter()
            .zip(&layouts)
            .map(|(need, layout)| reply_shape(&parameters, need, layout))
            .collect::<Result<_, _>>()?;
        Ok((total.seconds(degree, link), Self { parameters, layouts, replies }))
    }
}

/// Twice the ring of shares: the lowest bit takes the rounding of masked replies.
pub(super) fn plain(bits: u32) -> Result<PlainModulus, Error> {
    if (1..=MOST_BITS).contains(&bits) {
        Ok(PlainModulus::PowerOfTwo(bits + 1))
    } else {
        Err(Error::Layout(format!("shares of {bits} bits: at most {MOST_BITS} fit the scheme")))
    }
}

fn reply_shape(parameters: &Parameters, need: &Need, layout: &Layout) -> Result<ReplyShape, Error> {
    let model = NoiseModel::new(parameters);
    let request = need.request(layout.tiling(), parameters.plain(), parameters.degree());
    let noise = noise_after(&model, &request, parameters.limbs());
    let values = layout.results(0, 0).0.len();
    model
        .reply_shape(noise, parameters.limbs(), values)
        .ok_or_else(|| Error::Layout("the noise leaves no room for a short reply".into()))
}
