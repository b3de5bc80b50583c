//! The party with the weights.

use bfv::{Ciphertext, Encoder, Evaluator, GaloisKeys, Parameters, PublicKey, Randomness};
use kernel::seed::Seed;
use rayon::prelude::*;

use super::client::{packed, unpacked};
use super::filters::Filters;
use super::product::Product;
use super::setting::Setting;
use crate::Error;
use crate::slots::{Addend, Bfv, Factor, Layer, Weights, apply, exponent_of};

/// A layer's weights: encoded once, or each time.
pub struct Factors {
    kept: Option<Weights<Factor, Addend>>,
}

impl Factors {
    /// Bytes of a layer's factors, ready for products.
    pub fn bytes(setting: &Setting, layer: usize) -> usize {
        let (product, parameters) = (&setting.products[layer], &setting.parameters);
        match product.kernel().factors {
            crate::slots::Factors::Slots => {
                let factor = parameters.degree() * parameters.limbs() * size_of::<u64>();
                product.diagonals().entries().len().saturating_mul(factor)
            }
            _ => 0,
        }
    }

    /// Encodes all weights.
    ///
    /// # Errors
    /// If a weight does not fit the plaintext modulus.
    pub fn encode(
        setting: &Setting,
        layer: usize,
        weight: impl Fn(usize) -> i64 + Sync,
    ) -> Result<Self, Error> {
        let scheme = Bfv::new(&setting.parameters, None, None, u64::MAX)?;
        Ok(Self { kept: Some(encode(&scheme, &setting.products[layer], weight)?) })
    }

    /// Weights that are encoded each time.
    pub fn on_the_fly() -> Self {
        Self { kept: None }
    }
}

fn encode(
    scheme: &Bfv<'_>,
    product: &Product,
    weight: impl Fn(usize) -> i64 + Sync,
) -> Result<Weights<Factor, Addend>, Error> {
    let filters = Filters::new(product.shape(), weight)?;
    let layer = Layer { matrices: vec![&filters], bias: &[] };
    Weights::encode(scheme, product.kernel(), product.diagonals(), &layer, scheme.limbs())
}

/// Computes on the client's ciphertexts.
pub struct Server {
    parameters: Parameters,
    encoder: Encoder,
    evaluator: Evaluator,
    public: PublicKey,
    rotations: GaloisKeys,
}

impl Server {
    /// The server of a client with this public key; rotation keys are yet to come.
    ///
    /// # Errors
    /// If the key is malformed.
    pub fn new(parameters: &Parameters, public: &[u8]) -> Result<Self, Error> {
        Ok(Self {
            public: PublicKey::from_bytes(parameters, public)?,
            rotations: GaloisKeys::none(parameters),
            encoder: Encoder::new(parameters),
            evaluator: Evaluator::new(parameters),
            parameters: parameters.clone(),
        })
    }

    /// Takes the key of a rotation.
    ///
    /// # Errors
    /// If it is malformed, or for another rotation.
    pub fn take_key(&mut self, step: usize, bytes: &[u8]) -> Result<(), Error> {
        let key = GaloisKeys::from_bytes(&self.parameters, 1, bytes)?;
        let exponent = exponent_of(&self.parameters, step);
        if !key.exponents().eq([exponent]) || key.limbs(exponent) != Some(self.parameters.limbs()) {
            return Err(Error::layout("a key of another rotation or level"));
        }
        Ok(self.rotations.absorb(key)?)
    }

    /// The server's share of a layer's result, modulo p, before anything is received: it depends on the masks of the replies
    /// alone, which come from `seed`.
    ///
    /// # Errors
    /// None, with parameters that were constructed.
    pub fn shares(&self, setting: &Setting, layer: usize, seed: &Seed) -> Result<Vec<u64>, Error> {
        let (product, modulus) = (&setting.products[layer], setting.modulus());
        let negated = |index: usize| {
            let mut slots = self.encoder.decode_slots(&self.mask(seed, index)?)?;
            // Residues of zero stay zero.
            slots.iter_mut().for_each(|x| *x = (modulus - *x) & u64::from(*x == 0).wrapping_sub(1));
            Ok(slots)
        };
        let slots: Vec<Vec<u64>> =
            (0..product.returned()).into_par_iter().map(negated).collect::<Result<_, Error>>()?;
        Ok(unpacked(product, &slots, modulus))
    }

    /// A reply's mask: uniform in every slot.
    fn mask(&self, seed: &Seed, index: usize) -> Result<bfv::Plaintext, Error> {
        Ok(self.encoder.masks(&[], &mut Randomness::new(seed.child("mask", index as u64)))?)
    }

    /// Receives the client's messages and adds the server's share of the operand.
    ///
    /// # Errors
    /// If a message is malformed, or the share is not the layer's operand.
    pub fn receive(
        &self,
        product: &Product,
        share: &[u64],
        messages: &[Vec<u8>],
    ) -> Result<Vec<Ciphertext>, Error> {
        if messages.len() != product.read().len() {
            return Err(Error::TooMany(messages.len(), product.read().len()));
        }
        let packed = packed(product, share)?;
        let decode = |(index, bytes): (&usize, &Vec<u8>)| {
            let mut ciphertext = Ciphertext::from_bytes(&self.parameters, bytes)?;
            if ciphertext.limbs() != self.parameters.limbs() {
                return Err(Error::Level(ciphertext.limbs(), self.parameters.limbs()));
            }
            let slots = &packed[*index];
            if slots.iter().any(|x| *x != 0) {
                self.evaluator.add_plain_assign(&mut ciphertext, &self.encoder.slots(slots)?)?;
            }
            Ok(ciphertext)
        };
        product.read().par_iter().zip(messages).map(decode).collect()
    }

    /// Runs a layer and masks the results. `seed` is that of [`Server::shares`], and for this call alone.
    ///
    /// # Errors
    /// If the operands are not the layer's, or a rotation key is missing.
    pub fn run(
        &self,
        (setting, layer): (&Setting, usize),
        (factors, weight): (&Factors, impl Fn(usize) -> i64 + Sync),
        operands: &[Ciphertext],
        seed: &Seed,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let results = self.products(&setting.products[layer], (factors, weight), operands)?;
        let reply = |(index, result): (usize, Ciphertext)| {
            let covered = self.cover(result, setting.floods[layer], seed, index)?;
            let reply = self.evaluator.reply(&covered, setting.replies[layer], None)?;
            Ok(reply.to_bytes(&self.parameters)?)
        };
        results.into_par_iter().enumerate().map(reply).collect()
    }

    /// A layer's results, as they come.
    pub(super) fn products(
        &self,
        product: &Product,
        (factors, weight): (&Factors, impl Fn(usize) -> i64 + Sync),
        operands: &[Ciphertext],
    ) -> Result<Vec<Ciphertext>, Error> {
        // Beyond the budget factors are kept small, and prepared when they are used.
        let scheme = Bfv::new(&self.parameters, None, Some(&self.rotations), 0)?;
        let made;
        let weights = match &factors.kept {
            Some(weights) => weights,
            None => {
                made = encode(&scheme, product, weight)?;
                &made
            }
        };
        let first = operands.first().ok_or(Error::Empty)?;
        if operands.len() != product.read().len() {
            return Err(Error::TooMany(operands.len(), product.read().len()));
        }
        // What is not read was not sent.
        let mut inputs = vec![first; product.kernel().inputs[0].ciphertexts];
        product.read().iter().zip(operands).for_each(|(index, operand)| inputs[*index] = operand);
        apply(&scheme, product.kernel(), product.diagonals(), weights, &inputs)
    }

    /// A result that says nothing of how it came about, and that a mask stands over.
    pub(super) fn cover(
        &self,
        mut result: Ciphertext,
        flood: u32,
        seed: &Seed,
        index: usize,
    ) -> Result<Ciphertext, Error> {
        let mut randomness = Randomness::new(seed.child("zero", index as u64));
        self.evaluator.rerandomise(&mut result, &self.public, &mut randomness)?;
        self.evaluator.flood(&mut result, flood, &mut randomness)?;
        self.evaluator.add_plain_assign(&mut result, &self.mask(seed, index)?)?;
        Ok(result)
    }
}
