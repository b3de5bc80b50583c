//! The party with the key.

use bfv::{Ciphertext, Encoder, GaloisKeys, Parameters, PublicKey, Randomness, Reply, ReplyShape, SecretKey};
use kernel::seed::Seed;
use rayon::prelude::*;
use zeroize::Zeroizing;

use super::product::Product;
use super::setting::Setting;
use crate::Error;
use crate::slots::exponent_of;

/// Encrypts its shares and decrypts its shares of the results.
pub struct Client {
    parameters: Parameters,
    encoder: Encoder,
    secret: SecretKey,
}

impl Client {
    /// A client with a fresh key. `seed` must be fresh.
    pub fn new(parameters: &Parameters, seed: &Seed) -> Self {
        let secret = SecretKey::new(parameters, &mut Randomness::new(seed.child("key", 0)));
        Self { parameters: parameters.clone(), encoder: Encoder::new(parameters), secret }
    }

    #[cfg(test)]
    pub(super) fn secret(&self) -> &SecretKey {
        &self.secret
    }

    /// The bytes of its public key. `seed` is that of [`Client::new`].
    ///
    /// # Errors
    /// None, with parameters that were constructed.
    pub fn public_key(&self, seed: &Seed) -> Result<Vec<u8>, Error> {
        let mut randomness = Randomness::new(seed.child("public", 0));
        Ok(PublicKey::new(&self.parameters, &self.secret, &mut randomness)?.to_bytes(&self.parameters)?)
    }

    /// The bytes of the key of a rotation. `seed` is that of [`Client::new`].
    ///
    /// # Errors
    /// None, with parameters that were constructed.
    pub fn rotation_key(&self, step: usize, seed: &Seed) -> Result<Vec<u8>, Error> {
        let mut randomness = Randomness::new(seed.child("rotation", step as u64));
        let exponent = exponent_of(&self.parameters, step);
        let key = GaloisKeys::of_exponents(&self.parameters, &self.secret, [exponent], &mut randomness)?;
        Ok(key.to_bytes(&self.parameters)?)
    }

    /// Encrypts a share of a layer's operand, elements modulo p: a message for each ciphertext that is read. `seed` must be fresh.
    ///
    /// # Errors
    /// If the operand is not the layer's.
    pub fn encrypt(&self, product: &Product, share: &[u64], seed: &Seed) -> Result<Vec<Vec<u8>>, Error> {
        let packed = packed(product, share)?;
        let encrypt = |index: &usize| {
            let mut randomness = Randomness::new(seed.child("ciphertext", *index as u64));
            let message = self.encoder.slots(&packed[*index])?;
            Ok(self
                .secret
                .encrypt(&self.parameters, &message, &mut randomness)?
                .to_bytes(&self.parameters)?)
        };
        product.read().par_iter().map(encrypt).collect()
    }

    /// Bytes of each message of [`Client::encrypt`].
    pub fn sent_bytes(parameters: &Parameters) -> usize {
        Ciphertext::wire_bytes(parameters, parameters.limbs(), true)
    }

    /// Bytes of the key of a rotation.
    pub fn key_bytes(parameters: &Parameters) -> usize {
        GaloisKeys::wire_bytes(parameters, 1)
    }

    /// Bytes of a reply.
    pub fn reply_bytes(parameters: &Parameters, shape: ReplyShape) -> usize {
        Reply::wire_bytes(parameters, shape, parameters.degree())
    }

    /// Decrypts the replies into this party's share of the result, modulo p.
    ///
    /// # Errors
    /// If replies are missing, or malformed.
    pub fn decrypt(&self, setting: &Setting, layer: usize, replies: &[Vec<u8>]) -> Result<Vec<u64>, Error> {
        let (product, shape) = (&setting.products[layer], setting.replies[layer]);
        if replies.len() != product.returned() {
            return Err(Error::TooMany(replies.len(), product.returned()));
        }
        let open = |bytes: &Vec<u8>| {
            let reply = Reply::from_bytes(&self.parameters, None, bytes)?;
            if reply.shape() != shape {
                return Err(Error::Layout("a reply of another shape than agreed".into()));
            }
            let message = self.secret.decrypt_reply(&self.parameters, &reply)?;
            Ok(self.encoder.decode_slots(&message)?)
        };
        let slots: Vec<Vec<u64>> = replies.par_iter().map(open).collect::<Result<_, Error>>()?;
        Ok(unpacked(product, &slots, setting.modulus()))
    }
}

/// The slots of a layer's operand.
pub(super) fn packed(product: &Product, share: &[u64]) -> Result<Vec<Zeroizing<Vec<u64>>>, Error> {
    let (layout, cycle) = (&product.kernel().inputs[0], product.cycle());
    if share.len() != layout.elements() {
        return Err(Error::TooMany(share.len(), layout.elements()));
    }
    let mut out: Vec<_> =
        (0..layout.ciphertexts).map(|_| Zeroizing::new(vec![0u64; cycle.slots()])).collect();
    let copies = layout.copy_steps(cycle);
    for (place, value) in layout.places(cycle).iter().zip(share) {
        for copy in &copies {
            out[place.ciphertext + copy.ciphertext][cycle.add(place.slot, copy.slot)] = *value;
        }
    }
    Ok(out)
}

/// The elements of a layer's result from the slots, partial sums added modulo p.
pub(super) fn unpacked(product: &Product, slots: &[Vec<u64>], modulus: u64) -> Vec<u64> {
    let (layout, cycle) = (&product.kernel().output, product.cycle());
    let partials = layout.partial_steps(cycle);
    let sum = |place: &crate::slots::Place| {
        partials.iter().fold(0u64, |sum, partial| {
            let part = slots[place.ciphertext + partial.ciphertext][cycle.add(place.slot, partial.slot)];
            let (sum, over) = (sum + part).overflowing_sub(modulus);
            // Below p, add it back: without a branch.
            sum.wrapping_add(modulus & u64::from(over).wrapping_neg())
        })
    };
    layout.places(cycle).iter().map(sum).collect()
}
