//! The party with the weights.

use bfv::{Ciphertext, Parameters, PublicKey, Randomness, ReplyMask, ReplyShape};
use kernel::seed::Seed;
use rayon::prelude::*;

use super::apply::{Factors, apply};
use super::client::doubled;
use super::layout::Layout;
use super::scheme::Bfv;
use crate::Error;

/// Computes on the client's ciphertexts.
pub struct Server {
    parameters: Parameters,
    scheme: Bfv,
    public: PublicKey,
}

impl Server {
    /// The server of a client with this public key.
    ///
    /// # Errors
    /// If the key is malformed.
    pub fn new(parameters: &Parameters, public: &[u8]) -> Result<Self, Error> {
        let public = PublicKey::from_bytes(parameters, public)?;
        Ok(Self { parameters: parameters.clone(), scheme: Bfv::new(parameters), public })
    }

    /// The server's share of a layer's result, modulo the plaintext modulus, before anything is received: it depends on the masks
    /// of the replies alone, which come from `seed`.
    ///
    /// # Errors
    /// If the shape of the replies does not exist.
    pub fn shares(&self, layout: &Layout, shape: ReplyShape, seed: &Seed) -> Result<Vec<u64>, Error> {
        let tile = |index: usize| {
            let (positions, places) = layout.results(index / layout.blocks(), index % layout.blocks());
            let message = self.scheme.evaluator().mask_shares(&self.mask(shape, seed, index)?)?;
            let values: Vec<u64> = positions.iter().map(|p| message.coefficients()[*p as usize]).collect();
            Ok((places, values))
        };
        let tiles = layout.filter_tiles() * layout.blocks();
        let tiles: Vec<_> = (0..tiles).into_par_iter().map(tile).collect::<Result<_, Error>>()?;
        let mut share = vec![0; layout.outputs()];
        for (places, values) in tiles {
            places.into_iter().zip(values).for_each(|(place, value)| share[place] = value);
        }
        Ok(share)
    }

    fn mask(&self, shape: ReplyShape, seed: &Seed, index: usize) -> Result<ReplyMask, Error> {
        let mut randomness = Randomness::new(seed.child("mask", index as u64));
        Ok(self.scheme.evaluator().reply_mask(shape.limbs, &mut randomness)?)
    }

    /// Receives the client's messages and adds the server's share of the operand.
    ///
    /// # Errors
    /// If a message is malformed, or the share is not the layer's operand.
    pub fn receive(
        &self,
        layout: &Layout,
        share: &[u64],
        messages: &[Vec<u8>],
    ) -> Result<Vec<Ciphertext>, Error> {
        let decode = |(index, bytes): (usize, &Vec<u8>)| {
            let mut ciphertext = Ciphertext::from_bytes(&self.parameters, bytes)?;
            let polynomial = doubled(layout, index, share, &self.parameters)?;
            if polynomial.iter().any(|x| *x != 0) {
                let message = self.scheme.encoder().coefficients(&polynomial)?;
                self.scheme.evaluator().add_plain_assign(&mut ciphertext, &message)?;
            }
            Ok(ciphertext)
        };
        messages.par_iter().enumerate().map(decode).collect()
    }

    /// Runs a layer and masks the results. `seed` is that of [`Server::shares`], and for this call alone.
    ///
    /// # Errors
    /// If the operands are not the layer's.
    pub fn run(
        &self,
        layout: &Layout,
        shape: ReplyShape,
        (factors, weight): (&Factors<bfv::Multiplicand>, impl Fn(usize) -> i64 + Sync),
        operands: &[Ciphertext],
        seed: &Seed,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let results = apply(&self.scheme, layout, factors, weight, operands)?;
        let reply = |(index, mut result): (usize, Ciphertext)| {
            let (positions, _) = layout.results(index / layout.blocks(), index % layout.blocks());
            let mut randomness = Randomness::new(seed.child("zero", index as u64));
            self.scheme.evaluator().rerandomise(&mut result, &self.public, &mut randomness)?;
            let mask = self.mask(shape, seed, index)?;
            let reply = self.scheme.evaluator().masked_reply(&result, shape, &positions, &mask)?;
            Ok(reply.to_bytes(&self.parameters)?)
        };
        results.into_par_iter().enumerate().map(reply).collect()
    }
}
