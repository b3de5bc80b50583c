//! The parameters of a network's layers.

use bfv::derive::{Operation, Plain, Request, derive, noise_after};
use bfv::{Literal, MAX_FLOOD_BITS, Noise, NoiseModel, Parameters, PlainModulus, ReplyShape};

use super::product::{Method, Product};
use crate::Error;
use crate::coefficients::Need;
use crate::slots::{Cycle, Factors, cycle_of};

/// Ring degrees that are tried, the first that holds all layers being taken: smaller ones have no room for flooding.
pub const DEGREES: [usize; 3] = [8192, 16384, 32768];

/// Bits of statistical distance between the replies of any two sets of weights.
const STATISTICAL: u32 = 40;

/// Most rotations of all layers together: for each there is a key of some megabytes.
const MOST_ROTATIONS: usize = 1 << 12;

/// Widest modulus of shares.
const MOST_BITS: u32 = 60;

/// Parameters for all layers of a network, and how each is computed and answered.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The parameters; the plaintext modulus is that of the shares.
    pub parameters: Parameters,
    /// A product for each layer.
    pub products: Vec<Product>,
    /// How short the replies of each layer are.
    pub replies: Vec<ReplyShape>,
    /// Bits of the noise that covers each layer's.
    pub floods: Vec<u32>,
}

/// What happens to a ciphertext, before flooding: a bound of the noise that depends on public facts alone.
fn operations(need: &Need, product: &Product) -> Vec<Operation> {
    let (kernel, entries) = (product.kernel(), product.diagonals().entries());
    let (mut terms, mut giants) = (1, 1);
    for output in entries.chunk_by(|a, b| a.output == b.output) {
        terms = terms.max(output.len());
        giants = giants.max(output.chunk_by(|a, b| a.giant == b.giant).count());
    }
    let mut steps = vec![Operation::Rotate];
    if kernel.factors == Factors::Slots {
        steps.push(Operation::MulPlainFull);
    } else {
        let weight = f64::from(need.weight_bits.saturating_sub(1)).exp2();
        steps.push(Operation::MulPlain(weight * weight));
    }
    steps.push(Operation::Sum(terms));
    steps.extend((0..giants).map(|_| Operation::Rotate));
    let fold = kernel.fold.filter(|_| !kernel.by_client).map_or(0, |fold| fold.log2);
    for _ in 0..fold {
        steps.extend([Operation::Sum(2), Operation::Rotate]);
    }
    steps.push(Operation::Rerandomise);
    steps
}

fn request(need: &Need, product: &Product, plain: PlainModulus, flooded: bool) -> Request {
    let mut operations = operations(need, product);
    operations.extend(flooded.then_some(Operation::Flood(STATISTICAL)));
    let min_degree = product.cycle().slots();
    Request { plain: Plain::Moduli(vec![plain]), public: false, operations, min_degree }
}

/// The noise of a layer's result after flooding, and the bits of that: it covers the bound of the noise before.
fn flooded(need: &Need, product: &Product, parameters: &Parameters) -> Result<(Noise, u32), Error> {
    let model = NoiseModel::new(parameters);
    let noise = noise_after(&model, &request(need, product, parameters.plain(), false), parameters.limbs());
    let bits = model.flood_bits(noise, STATISTICAL);
    if bits > MAX_FLOOD_BITS {
        return Err(Error::layout("the noise is too large to be covered"));
    }
    Ok((model.flood(noise, bits), bits))
}

/// The modulus of shares of numbers of `bits` bits, for a ring: the largest prime of one bit more with slots.
fn plain(bits: u32, degree: usize) -> Result<PlainModulus, Error> {
    let refused = || Error::Layout(format!("shares of {bits} bits: at most {} fit slots", MOST_BITS - 1));
    if bits >= MOST_BITS {
        Err(refused())
    } else {
        PlainModulus::slots(bits + 1, degree, 0).ok_or_else(refused)
    }
}

impl Setting {
    /// The setting of least cost for shares of numbers of `bits` bits, with their sign.
    ///
    /// # Errors
    /// If no parameters hold a layer.
    pub fn choose(needs: &[Need], bits: u32) -> Result<Self, Error> {
        let mut failure = Error::Empty;
        for degree in DEGREES {
            match Self::at_degree(needs, bits, degree) {
                Ok(setting) => return Ok(setting),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn at_degree(needs: &[Need], bits: u32, degree: usize) -> Result<Self, Error> {
        let plain = plain(bits, degree)?;
        let cycle = Cycle { rows: 2, columns: degree / 2 };
        let products: Vec<Product> =
            needs.iter().map(|need| Product::choose(&need.shape, cycle)).collect::<Result<_, _>>()?;
        let mut widest: Option<Parameters> = None;
        for (need, product) in needs.iter().zip(&products) {
            let parameters = derive(&request(need, product, plain, true))?.remove(0);
            if parameters.degree() != degree {
                return Err(Error::Layout(format!("degree {degree} has no room for {:?}", need.shape)));
            }
            let modulus = |set: &Parameters| set.log2_modulus(set.limbs());
            if widest.as_ref().is_none_or(|widest| modulus(&parameters) > modulus(widest)) {
                widest = Some(parameters);
            }
        }
        Self::of(needs, products, widest.ok_or(Error::Empty)?)
    }

    fn of(needs: &[Need], products: Vec<Product>, parameters: Parameters) -> Result<Self, Error> {
        let model = NoiseModel::new(&parameters);
        let (mut replies, mut floods) = (Vec::new(), Vec::new());
        for (need, product) in needs.iter().zip(&products) {
            let (noise, flood) = flooded(need, product, &parameters)?;
            let reply = model.reply_shape(noise, parameters.limbs(), parameters.degree());
            replies.push(reply.ok_or_else(|| Error::layout("the noise leaves no room for a short reply"))?);
            floods.push(flood);
        }
        let setting = Self { parameters, products, replies, floods };
        match setting.steps().len() {
            rotations if rotations > MOST_ROTATIONS => {
                Err(Error::Layout(format!("{rotations} rotations: at most {MOST_ROTATIONS} have keys")))
            }
            _ => Ok(setting),
        }
    }

    /// A setting that somebody else chose, for shares of numbers of `bits` bits: the ring and a method for each layer. Replies
    /// follow from them.
    ///
    /// # Errors
    /// If the parameters are below 128-bit security, the modulus of shares is not the one of these bits, a method does not fit, or
    /// replies would not decrypt.
    pub fn checked(
        needs: &[Need],
        bits: u32,
        (degree, data, special): (usize, Vec<u64>, Option<u64>),
        methods: &[Method],
    ) -> Result<Self, Error> {
        if methods.len() != needs.len() {
            return Err(Error::TooMany(methods.len(), needs.len()));
        }
        if !DEGREES.contains(&degree) {
            return Err(Error::Layout(format!("degree {degree}")));
        }
        let plain = plain(bits, degree)?;
        let parameters = Parameters::new(Literal { degree, plain, data, special, digit_bits: None })?;
        let cycle = cycle_of(&parameters)?;
        let product = |(need, method): (&Need, &Method)| Product::new(&need.shape, *method, cycle);
        let products = needs.iter().zip(methods).map(product).collect::<Result<_, _>>()?;
        Self::of(needs, products, parameters)
    }

    /// The modulus of shares of numbers of `bits` bits, with their sign, in a ring of a degree.
    ///
    /// # Errors
    /// If there is none, or no such degree.
    pub fn modulus_of(bits: u32, degree: usize) -> Result<u64, Error> {
        if !DEGREES.contains(&degree) {
            return Err(Error::Layout(format!("degree {degree}")));
        }
        let modulus = plain(bits, degree)?.slot_modulus().and_then(|p| p.try_into().ok());
        modulus.ok_or(Error::Empty)
    }

    /// The modulus of shares.
    pub fn modulus(&self) -> u64 {
        self.parameters.slot_modulus().and_then(|p| p.try_into().ok()).unwrap_or(0)
    }

    /// Seconds of computing of both parties on one core, about, set-up of keys included and what crosses left out.
    ///
    /// # Errors
    /// If kernel and diagonals do not belong together.
    pub fn seconds(&self) -> Result<f64, Error> {
        /// Seconds for each coefficient and limb, from `benches/bfv` on a quiet machine (8192, hybrid): a further hoisted rotation 297 us, a first one
        /// twice that, a term of a product 23 us, an encryption 156 us; a reply is encrypted, flooded, masked and decrypted.
        const HOISTED: f64 = 12e-9;
        const TERM: f64 = 0.93e-9;
        const SENT: f64 = 8e-9;
        const RETURNED: f64 = 25e-9;
        const KEY: f64 = 30e-9;
        let seconds = |product: &Product| {
            let cost = product.cost()?;
            let o = cost.operations;
            let rotations = o.hoisted + o.hoists + 2 * o.rotations;
            Ok(rotations as f64 * HOISTED
                + (o.products + o.scalars) as f64 * TERM
                + cost.sent as f64 * SENT
                + cost.returned as f64 * RETURNED)
        };
        let work = self.products.iter().map(seconds).sum::<Result<f64, Error>>()?;
        let residues = self.parameters.degree() * self.parameters.limbs();
        Ok((work + self.steps().len() as f64 * KEY) * residues as f64)
    }

    /// All rotations that some layer performs, in increasing order.
    pub fn steps(&self) -> Vec<usize> {
        let mut steps: Vec<usize> = self.products.iter().flat_map(Product::steps).collect();
        steps.sort_unstable();
        steps.dedup();
        steps
    }
}
