//! Replies: ciphertexts as short as decryption allows.
//!
//! A reply is what a party sends to be decrypted and nothing else. It is switched to one or two limbs, in coefficient form,
//! and the low bits of both halves are dropped: the noise has room for their rounding, by
//! [`NoiseModel::reply_shape`]. Where only some coefficients carry results, only these are sent of the first half.

use crate::ciphertext::Ciphertext;
use crate::encoder::{Encoder, Plaintext};
use crate::error::Error;
use crate::evaluator::Evaluator;
use crate::keys::{PublicKey, SecretKey, rounded_message};
use crate::noise::{Noise, NoiseModel};
use crate::parameters::Parameters;
use crate::random::Randomness;
use crate::ring::{Ring, Rows, SecretRows};

/// Most limbs of a reply.
pub const MAX_REPLY_LIMBS: usize = 2;

/// How short a reply is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReplyShape {
    /// Limbs: one or two.
    pub limbs: usize,
    /// Low bits dropped of each half.
    pub low_bits: [u32; 2],
}

/// A short ciphertext for decryption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub(crate) id: u64,
    pub(crate) shape: ReplyShape,
    /// The coefficients that the first half has, in order; `None` means all.
    pub(crate) positions: Option<Vec<u32>>,
    /// The high bits of both halves' coefficients modulo Q.
    pub(crate) halves: [Vec<u128>; 2],
}

impl Reply {
    /// How short it is.
    pub fn shape(&self) -> ReplyShape {
        self.shape
    }
}

/// The reply modulus and its width.
pub(crate) fn modulus(ring: &Ring, limbs: usize) -> (u128, u32) {
    let product = ring.moduli(limbs).fold(1u128, |product, q| product * u128::from(q.value()));
    (product, 128 - product.leading_zeros())
}

impl ReplyShape {
    /// Refuses shapes that do not exist.
    pub(crate) fn check(&self, parameters: &Parameters) -> Result<(), Error> {
        if !(1..=MAX_REPLY_LIMBS.min(parameters.limbs())).contains(&self.limbs) {
            return Err(Error::Level(self.limbs, MAX_REPLY_LIMBS));
        }
        let (_, bits) = modulus(parameters.ring(), self.limbs);
        match self.low_bits.into_iter().find(|low| *low >= bits) {
            Some(low) => Err(Error::Bits(low)),
            None => Ok(()),
        }
    }
}

/// Refuses positions that are not increasing coefficients.
pub(crate) fn check_positions(parameters: &Parameters, positions: &[u32]) -> Result<(), Error> {
    let increasing = positions.windows(2).all(|pair| pair[0] < pair[1]);
    match positions.last() {
        Some(last) if increasing && (*last as usize) < parameters.degree() => Ok(()),
        last => Err(Error::TooMany(last.map_or(0, |last| *last as usize), parameters.degree())),
    }
}

impl NoiseModel {
    /// The shortest reply for a ciphertext of this noise, with `values` coefficients of the first half; `None` if
    /// two limbs do not hold it.
    pub fn reply_shape(&self, noise: Noise, limbs: usize, values: usize) -> Option<ReplyShape> {
        let mut best: Option<(f64, ReplyShape)> = None;
        for to in 1..=MAX_REPLY_LIMBS.min(limbs) {
            let switched = self.switch_down(noise, limbs, to);
            let bits = self.log2_modulus(to).ceil() as u32;
            for low0 in 0..bits {
                // The largest low1 that still decrypts.
                let fits = |low1: u32| self.decrypts(self.drop_bits(switched, low0, low1), to);
                let Some(low1) = (0..bits).take_while(|low1| fits(*low1)).last() else { break };
                let size = f64::from(bits - low0) * values as f64 + f64::from(bits - low1) * self.degree();
                if best.is_none_or(|(least, _)| size < least) {
                    best = Some((size, ReplyShape { limbs: to, low_bits: [low0, low1] }));
                }
            }
        }
        best.map(|(_, shape)| shape)
    }
}

impl Evaluator {
    /// Makes a reply. With `positions`, increasing coefficient numbers, only these are sent of the first half and
    /// only these are decrypted.
    ///
    /// # Errors
    /// If the ciphertext is of other parameters or has fewer limbs than the shape, the shape or the positions
    /// are impossible, or there are positions for a generalised plaintext, whose slots need all coefficients.
    pub fn reply(
        &self,
        a: &Ciphertext,
        shape: ReplyShape,
        positions: Option<&[u32]>,
    ) -> Result<Reply, Error> {
        let parameters = self.parameters();
        shape.check(parameters)?;
        if let Some(positions) = positions {
            check_positions(parameters, positions)?;
            parameters.check_integer()?;
        }
        let mut low = self.switch_down(a, shape.limbs)?;
        low.parts.iter_mut().for_each(|part| parameters.ring().inverse(part));
        Ok(self.shorten(&low, shape, positions))
    }

    /// The reply of a ciphertext in coefficient form that has the shape's limbs.
    pub(crate) fn shorten(&self, low: &Ciphertext, shape: ReplyShape, positions: Option<&[u32]>) -> Reply {
        let ring = self.parameters().ring();
        let everything: Vec<u32> = (0..ring.degree() as u32).collect();
        let halves = [
            high_bits(ring, &low.parts[0], positions.unwrap_or(&everything), shape.low_bits[0]),
            high_bits(ring, &low.parts[1], &everything, shape.low_bits[1]),
        ];
        Reply { id: low.id, shape, positions: positions.map(<[u32]>::to_vec), halves }
    }
}

/// What makes a reply say no more than its results: see [`Evaluator::private_reply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Privacy<'a> {
    /// The slots that carry results. The others are masked.
    pub kept: &'a [usize],
    /// Bits of flooding noise, from [`NoiseModel::flood_bits`] or [`crate::chain::Shape::flood_bits`] for the *bound* of the noise
    /// over everything that is to be hidden.
    pub flood_bits: u32,
    /// How short the reply is.
    pub shape: ReplyShape,
}

impl Evaluator {
    /// The reply of a computation in slots whose factors are to stay hidden from the holder of the secret key: a fresh encryption of
    /// zero is added, so that the second half is fresh; flooding noise, so that the noise is that of any other computation
    /// within the bound, up to a distance of `N 2^(bound - flood_bits + 1)`; and uniform masks in all slots but the
    /// kept ones. What follows, dropping limbs and low bits, sees nothing else and so reveals nothing else.
    ///
    /// # Errors
    /// As [`Self::rerandomise`], [`Self::flood`], [`crate::Encoder::masks`] and [`Self::reply`].
    pub fn private_reply(
        &self,
        a: &Ciphertext,
        privacy: &Privacy<'_>,
        key: &PublicKey,
        randomness: &mut Randomness,
    ) -> Result<Reply, Error> {
        let mut a = a.clone();
        self.rerandomise(&mut a, key, randomness)?;
        self.flood(&mut a, privacy.flood_bits, randomness)?;
        let masks = Encoder::new(self.parameters()).masks(privacy.kept, randomness)?;
        self.add_plain_assign(&mut a, &masks)?;
        self.reply(&a, privacy.shape, None)
    }
}

/// Rounds the coefficients at `positions` to multiples of 2^low.
fn high_bits(ring: &Ring, poly: &Rows, positions: &[u32], low: u32) -> Vec<u128> {
    let (_, bits) = modulus(ring, poly.count());
    let half = (1u128 << low) >> 1;
    let (q0, q1) = (ring.modulus(0), (poly.count() == 2).then(|| ring.modulus(1)));
    let step = q1.map_or(0, |q1| q1.inverse(q1.reduce(q0.value())).unwrap_or(0));
    positions
        .iter()
        .map(|position| {
            let x0 = poly.row(0)[*position as usize];
            let value = match q1 {
                None => u128::from(x0),
                Some(q1) => {
                    let x1 = poly.row(1)[*position as usize];
                    let high = q1.mul(q1.sub(x1, q1.reduce(x0)), step);
                    u128::from(x0) + u128::from(q0.value()) * u128::from(high)
                }
            };
            let rounded = (value + half) >> low;
            // What rounds up to 2^bits is next to the modulus, that is to zero.
            if rounded >> (bits - low) == 0 { rounded } else { 0 }
        })
        .collect()
}

impl SecretKey {
    /// Decrypts a reply. Coefficients that were not sent are zero.
    ///
    /// # Errors
    /// If the reply or the key is of other parameters.
    pub fn decrypt_reply(&self, parameters: &Parameters, reply: &Reply) -> Result<Plaintext, Error> {
        let phase = self.reply_phase(parameters, reply)?;
        let mut message = rounded_message(parameters, &phase.0);
        if let Some(positions) = &reply.positions {
            let mut kept = kernel::modular::Words::zeros(parameters.degree());
            positions.iter().for_each(|p| kept[*p as usize] = message.coefficients[*p as usize]);
            message.coefficients = kept;
        }
        Ok(message)
    }

    /// `c0 + c1 s` of a reply in coefficient form.
    pub(crate) fn reply_phase(&self, parameters: &Parameters, reply: &Reply) -> Result<SecretRows, Error> {
        parameters.check_ring(self.ring_id, "secret key")?;
        parameters.check(reply.id, "reply")?;
        let ring = parameters.ring();
        let [body, other] = [0, 1].map(|half| {
            let mut poly = SecretRows(ring.zeros(reply.shape.limbs));
            for (q, row) in ring.moduli(reply.shape.limbs).zip(poly.0.iter_mut()) {
                for (index, value) in reply.halves[half].iter().enumerate() {
                    let position = match &reply.positions {
                        Some(positions) if half == 0 => positions[index] as usize,
                        _ => index,
                    };
                    row[position] = q.reduce_wide(value << reply.shape.low_bits[half]);
                }
            }
            poly
        });
        let mut phase = other;
        ring.forward(&mut phase.0);
        ring.mul_assign(&mut phase.0, &self.rows.0);
        ring.inverse(&mut phase.0);
        ring.add_assign(&mut phase.0, &body.0);
        Ok(phase)
    }
}
