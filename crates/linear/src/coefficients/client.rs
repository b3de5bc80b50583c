//! The party with the key.

use bfv::{Ciphertext, Encoder, Parameters, PublicKey, Randomness, Reply, ReplyShape, SecretKey};
use kernel::seed::Seed;
use rayon::prelude::*;
use zeroize::Zeroizing;

use super::layout::Layout;
use crate::Error;

/// Encrypts its shares and decrypts its shares of the results.
pub struct Client {
    parameters: Parameters,
    encoder: Encoder,
    secret: SecretKey,
}

impl Client {
    /// A client with a fresh key, and the bytes of its public key. `seed` must be fresh.
    ///
    /// # Errors
    /// None, with parameters that were constructed.
    pub fn new(parameters: &Parameters, seed: &Seed) -> Result<(Self, Vec<u8>), Error> {
        let mut randomness = Randomness::new(seed.child("key", 0));
        let secret = SecretKey::new(parameters, &mut randomness);
        let public = PublicKey::new(parameters, &secret, &mut randomness)?.to_bytes(parameters)?;
        Ok((Self { parameters: parameters.clone(), encoder: Encoder::new(parameters), secret }, public))
    }

    /// Encrypts a share of a layer's operand: one message a tile of channels and block, in the layout's order. Elements
    /// are modulo a power of two up to half the plaintext modulus. `seed` must be fresh.
    ///
    /// # Errors
    /// If the operand is not the layer's.
    pub fn encrypt(&self, layout: &Layout, share: &[u64], seed: &Seed) -> Result<Vec<Vec<u8>>, Error> {
        let tiles = layout.channel_tiles() * layout.blocks();
        let encrypt = |index: usize| {
            let mut randomness = Randomness::new(seed.child("ciphertext", index as u64));
            let message = self.encoder.coefficients(&doubled(layout, index, share, &self.parameters)?)?;
            Ok(self
                .secret
                .encrypt(&self.parameters, &message, &mut randomness)?
                .to_bytes(&self.parameters)?)
        };
        (0..tiles).into_par_iter().map(encrypt).collect()
    }

    /// Bytes of each message of [`Client::encrypt`].
    pub fn sent_bytes(parameters: &Parameters) -> usize {
        Ciphertext::wire_bytes(parameters, parameters.limbs(), true)
    }

    /// Bytes of the reply to a tile of filters of a block.
    pub fn reply_bytes(parameters: &Parameters, layout: &Layout, shape: ReplyShape, index: usize) -> usize {
        let (filters, block) = (index / layout.blocks(), index % layout.blocks());
        Reply::wire_bytes(parameters, shape, layout.results(filters, block).0.len())
    }

    /// Decrypts the replies into this party's share of the result, modulo the plaintext modulus: with the server's it
    /// adds up to twice the result, or one more.
    ///
    /// # Errors
    /// If replies are missing, or malformed.
    pub fn decrypt(
        &self,
        layout: &Layout,
        shape: ReplyShape,
        replies: &[Vec<u8>],
    ) -> Result<Vec<u64>, Error> {
        if replies.len() != layout.filter_tiles() * layout.blocks() {
            return Err(Error::TooMany(replies.len(), layout.filter_tiles() * layout.blocks()));
        }
        let open = |(index, bytes): (usize, &Vec<u8>)| {
            let (positions, places) = layout.results(index / layout.blocks(), index % layout.blocks());
            let reply = Reply::from_bytes(&self.parameters, Some(&positions), bytes)?;
            if reply.shape() != shape {
                return Err(Error::Layout("a reply of another shape than agreed".into()));
            }
            let message = self.secret.decrypt_reply(&self.parameters, &reply)?;
            let values: Vec<u64> = positions.iter().map(|p| message.coefficients()[*p as usize]).collect();
            Ok((places, values))
        };
        let opened: Vec<_> = replies.par_iter().enumerate().map(open).collect::<Result<_, Error>>()?;
        let mut share = vec![0; layout.outputs()];
        for (places, values) in opened {
            places.into_iter().zip(values).for_each(|(place, value)| share[place] = value);
        }
        Ok(share)
    }
}

/// The polynomial of a tile of an operand, twice its elements.
pub(super) fn doubled(
    layout: &Layout,
    index: usize,
    share: &[u64],
    parameters: &Parameters,
) -> Result<Zeroizing<Vec<u64>>, Error> {
    if share.len() != layout.shape().inputs() {
        return Err(Error::TooMany(share.len(), layout.shape().inputs()));
    }
    let mut polynomial = Zeroizing::new(vec![0u64; parameters.degree()]);
    layout.fill(index / layout.blocks(), index % layout.blocks(), share, &mut polynomial);
    let mask = u64::MAX >> (64 - parameters.plain().bits());
    polynomial.iter_mut().for_each(|x| *x = x.wrapping_shl(1) & mask);
    Ok(polynomial)
}
