//! Linear layers on encrypted shares, by either method.

use bfv::{Ciphertext, Multiplicand};
use kernel::seed::Seed;
use linear::{coefficients, gazelle};
use rayon::prelude::*;

use super::wire;
use crate::error::Error;
use crate::frame::Length;
use crate::session::{Inbox, Outbox};
use crate::work::{Amounts, Unit};

/// Rotation keys that are made at a time.
const KEYS: usize = 8;

/// Bytes of encoded weights that a server keeps for a model unless told otherwise.
pub const WEIGHTS_MEMORY: usize = 1_000_000_000;

/// The parameters of a network's layers.
pub enum Setting {
    /// Products of polynomials.
    Coefficients(coefficients::Setting),
    /// Products in slots.
    Slots(gazelle::Setting),
}

/// How many messages a layer takes one way, and their bytes.
type Messages = Vec<usize>;

impl Setting {
    /// The parameters of the encryption.
    fn parameters(&self) -> &bfv::Parameters {
        match self {
            Self::Coefficients(setting) => &setting.parameters,
            Self::Slots(setting) => &setting.parameters,
        }
    }

    /// Bytes of each message of a layer to the server.
    pub fn sent(&self, layer: usize) -> Messages {
        match self {
            Self::Coefficients(setting) => {
                let layout = &setting.layouts[layer];
                let count = layout.channel_tiles() * layout.blocks();
                vec![coefficients::Client::sent_bytes(&setting.parameters); count]
            }
            Self::Slots(setting) => {
                let count = setting.products[layer].read().len();
                vec![gazelle::Client::sent_bytes(&setting.parameters); count]
            }
        }
    }

    /// Bytes of each reply of a layer.
    pub fn returned(&self, layer: usize) -> Messages {
        match self {
            Self::Coefficients(setting) => {
                let (layout, reply) = (&setting.layouts[layer], setting.replies[layer]);
                let bytes =
                    |index| coefficients::Client::reply_bytes(&setting.parameters, layout, reply, index);
                (0..layout.filter_tiles() * layout.blocks()).map(bytes).collect()
            }
            Self::Slots(setting) => {
                let bytes = gazelle::Client::reply_bytes(&setting.parameters, setting.replies[layer]);
                vec![bytes; setting.products[layer].returned()]
            }
        }
    }

    /// Bytes of the client's keys: the public key's, and those of rotations.
    pub fn key_bytes(&self) -> [u64; 2] {
        let rotations = match self {
            Self::Coefficients(_) => 0,
            Self::Slots(setting) => setting.steps().len() * gazelle::Client::key_bytes(&setting.parameters),
        };
        [bfv::PublicKey::wire_bytes(self.parameters()) as u64, rotations as u64]
    }

    /// Whether there are keys of rotations.
    pub fn has_rotations(&self) -> bool {
        matches!(self, Self::Slots(_))
    }

    /// Bytes of the client's keys in the server's memory, at most: uniform halves expanded, rows padded, and the public key as words.
    pub fn key_memory(&self) -> u64 {
        let [public, rotations] = self.key_bytes();
        let primes = &self.parameters().literal().data;
        let narrowest = primes.iter().map(|prime| u64::from(64 - prime.leading_zeros())).min();
        public * 2 * 64 / narrowest.unwrap_or(1).max(1) + rotations * 2 + rotations / 32
    }

    /// All that keys depend on besides their seed.
    pub fn description(&self) -> String {
        let steps = match self {
            Self::Coefficients(_) => Vec::new(),
            Self::Slots(setting) => setting.steps(),
        };
        let modulus = self.parameters().slot_modulus();
        let literal = self.parameters().literal();
        format!("{} {:?} {:?} {modulus:?} {steps:?}", literal.degree, literal.data, literal.special)
    }

    /// Seconds of computing, about.
    ///
    /// # Errors
    /// None, with a setting that was checked.
    pub fn seconds(&self) -> Result<f64, Error> {
        match self {
            Self::Coefficients(setting) => {
                let degree = setting.parameters.degree();
                let layers = setting.layouts.iter().map(|layout| {
                    let cost = layout.tiling().cost(layout.shape(), degree).map_err(failed)?;
                    // A link on which bytes take no time.
                    Ok(cost.seconds(degree, coefficients::Link { rate: f64::INFINITY }))
                });
                layers.sum()
            }
            Self::Slots(setting) => setting.seconds().map_err(failed),
        }
    }

    /// What a layer takes.
    ///
    /// # Errors
    /// None, with a setting that was checked.
    pub fn amounts(&self, layer: usize) -> Result<Amounts, Error> {
        let residues = (self.parameters().degree() * self.parameters().limbs()) as u64;
        match self {
            Self::Coefficients(setting) => {
                let layout = &setting.layouts[layer];
                let cost =
                    layout.tiling().cost(layout.shape(), setting.parameters.degree()).map_err(failed)?;
                let replied = setting.replies[layer].limbs as u64 * setting.parameters.degree() as u64;
                Ok(Amounts::default()
                    .with(Unit::EncryptedLayer, 1)
                    .with(Unit::EncryptedResidue, cost.sent * residues)
                    .with(Unit::MultipliedResidue, cost.products * residues)
                    .with(Unit::RepliedResidue, cost.returned * replied))
            }
            Self::Slots(setting) => {
                let cost = setting.products[layer].cost().map_err(failed)?;
                let o = cost.operations;
                Ok(Amounts::default()
                    .with(Unit::EncryptedLayer, 1)
                    .with(Unit::EncryptedResidue, cost.sent * residues)
                    .with(Unit::RotatedResidue, (o.hoisted + o.hoists + 2 * o.rotations) * residues)
                    .with(Unit::MultipliedResidue, (o.products + o.scalars) * residues)
                    .with(Unit::FloodedResidue, cost.returned * residues))
            }
        }
    }

    /// Bytes of a layer's weights, encoded.
    fn weight_bytes(&self, layer: usize) -> usize {
        match self {
            Self::Coefficients(setting) => {
                let scheme = coefficients::Bfv::new(&setting.parameters);
                coefficients::Factors::<Multiplicand>::bytes(&scheme, &setting.layouts[layer])
            }
            Self::Slots(setting) => gazelle::Factors::bytes(setting, layer),
        }
    }

    /// Residues of each layer's weights that a server of [`WEIGHTS_MEMORY`] encodes when they are needed; none of those that it keeps.
    pub fn encoded_each_time(&self) -> Vec<u64> {
        let mut left = WEIGHTS_MEMORY;
        let each = |layer| match self.weight_bytes(layer) {
            bytes if bytes > left => (bytes / size_of::<u64>()) as u64,
            bytes => {
                left -= bytes;
                0
            }
        };
        (0..self.layers()).map(each).collect()
    }

    /// Residues of the rotation keys, digit by digit.
    pub fn key_residues(&self) -> u64 {
        match self {
            Self::Coefficients(_) => 0,
            Self::Slots(setting) => {
                let (degree, limbs) = (setting.parameters.degree(), setting.parameters.limbs());
                (setting.steps().len() * degree * limbs * limbs) as u64
            }
        }
    }

    /// Layers.
    pub fn layers(&self) -> usize {
        match self {
            Self::Coefficients(setting) => setting.layouts.len(),
            Self::Slots(setting) => setting.products.len(),
        }
    }
}

/// An error of the linear layers that no message of the peer's caused.
pub fn failed(error: linear::Error) -> Error {
    Error::Refused(format!("a linear layer failed: {error}"))
}

/// The client: it holds the key.
pub enum Holder {
    /// Products of polynomials.
    Coefficients(coefficients::Client),
    /// Products in slots.
    Slots(gazelle::Client),
}

impl Holder {
    /// Makes keys, and sends what the server needs of them unless it has that. `seed` is used for these keys alone.
    ///
    /// # Errors
    /// When the session fails.
    pub fn set_up(setting: &Setting, seed: &Seed, outbox: Option<&mut Outbox>) -> Result<Self, Error> {
        match setting {
            Setting::Coefficients(setting) => {
                let (holder, key) = coefficients::Client::new(&setting.parameters, seed).map_err(failed)?;
                outbox.map_or(Ok(()), |outbox| outbox.send(wire::KEY, &key))?;
                Ok(Self::Coefficients(holder))
            }
            Setting::Slots(setting) => {
                let holder = gazelle::Client::new(&setting.parameters, seed);
                let Some(outbox) = outbox else { return Ok(Self::Slots(holder)) };
                outbox.send(wire::KEY, &holder.public_key(seed).map_err(failed)?)?;
                for steps in setting.steps().chunks(KEYS) {
                    let key = |step: &usize| holder.rotation_key(*step, seed);
                    let keys = steps.par_iter().map(key).collect::<Result<Vec<_>, _>>().map_err(failed)?;
                    keys.iter().try_for_each(|key| outbox.send(wire::ROTATION, key))?;
                }
                Ok(Self::Slots(holder))
            }
        }
    }

    /// Encrypts a share of a layer's operand. `seed` must be fresh.
    ///
    /// # Errors
    /// If the operand is not the layer's.
    pub fn encrypt(
        &self,
        setting: &Setting,
        layer: usize,
        share: &[u64],
        seed: &Seed,
    ) -> Result<Vec<Vec<u8>>, Error> {
        match (self, setting) {
            (Self::Coefficients(holder), Setting::Coefficients(setting)) => {
                holder.encrypt(&setting.layouts[layer], share, seed).map_err(failed)
            }
            (Self::Slots(holder), Setting::Slots(setting)) => {
                holder.encrypt(&setting.products[layer], share, seed).map_err(failed)
            }
            _ => Err(misfit()),
        }
    }

    /// Decrypts replies into a share of a layer's sums.
    ///
    /// # Errors
    /// If they are malformed.
    pub fn decrypt(&self, setting: &Setting, layer: usize, replies: &[Vec<u8>]) -> Result<Vec<u64>, Error> {
        let share = match (self, setting) {
            (Self::Coefficients(holder), Setting::Coefficients(setting)) => {
                holder.decrypt(&setting.layouts[layer], setting.replies[layer], replies)
            }
            (Self::Slots(holder), Setting::Slots(setting)) => holder.decrypt(setting, layer, replies),
            _ => return Err(misfit()),
        };
        share.map_err(|error| Error::malformed("masked reply", error.to_string()))
    }
}

/// The server: it computes on the client's ciphertexts.
pub enum Computer {
    /// Products of polynomials.
    Coefficients(coefficients::Server),
    /// Products in slots.
    Slots(Box<gazelle::Server>),
}

impl Computer {
    /// Receives the client's keys.
    ///
    /// # Errors
    /// When the session fails, or a key is malformed.
    pub fn set_up(setting: &Setting, inbox: &mut Inbox) -> Result<Self, Error> {
        let length = Length::Exactly(bfv::PublicKey::wire_bytes(setting.parameters()));
        let key = inbox.recv(wire::KEY, length)?;
        let malformed = |error: linear::Error| Error::malformed("public key", error.to_string());
        match setting {
            Setting::Coefficients(setting) => {
                let made = coefficients::Server::new(&setting.parameters, &key);
                Ok(Self::Coefficients(made.map_err(malformed)?))
            }
            Setting::Slots(setting) => {
                let mut made = gazelle::Server::new(&setting.parameters, &key).map_err(malformed)?;
                let length = Length::Exactly(gazelle::Client::key_bytes(&setting.parameters));
                for step in setting.steps() {
                    let taken = made.take_key(step, &inbox.recv(wire::ROTATION, length)?);
                    taken.map_err(|error| Error::malformed("rotation key", error.to_string()))?;
                }
                Ok(Self::Slots(Box::new(made)))
            }
        }
    }

    /// The server's share of a layer's sums, before their bias. `seed` is that of [`Computer::run`].
    ///
    /// # Errors
    /// None, with a setting that was checked.
    pub fn shares(&self, setting: &Setting, layer: usize, seed: &Seed) -> Result<Vec<u64>, Error> {
        match (self, setting) {
            (Self::Coefficients(computer), Setting::Coefficients(setting)) => {
                computer.shares(&setting.layouts[layer], setting.replies[layer], seed).map_err(failed)
            }
            (Self::Slots(computer), Setting::Slots(setting)) => {
                computer.shares(setting, layer, seed).map_err(failed)
            }
            _ => Err(misfit()),
        }
    }

    /// Receives a layer's encrypted operand and adds this party's share.
    ///
    /// # Errors
    /// When the session fails, or a message is malformed.
    pub fn receive(
        &self,
        setting: &Setting,
        layer: usize,
        share: &[u64],
        inbox: &mut Inbox,
    ) -> Result<Vec<Ciphertext>, Error> {
        let receive = |bytes| inbox.recv(wire::CIPHERTEXT, Length::Exactly(bytes));
        let messages = setting.sent(layer).into_iter().map(receive).collect::<Result<Vec<_>, _>>()?;
        let received = match (self, setting) {
            (Self::Coefficients(computer), Setting::Coefficients(setting)) => {
                computer.receive(&setting.layouts[layer], share, &messages)
            }
            (Self::Slots(computer), Setting::Slots(setting)) => {
                computer.receive(&setting.products[layer], share, &messages)
            }
            _ => return Err(misfit()),
        };
        received.map_err(|error| Error::malformed("encrypted share", error.to_string()))
    }

    /// Runs a layer and masks the results. `seed` is for this call alone.
    ///
    /// # Errors
    /// If the operands are not the layer's.
    pub fn run(
        &self,
        (setting, layer): (&Setting, usize),
        (factors, weight): (Option<&Factors>, impl Fn(usize) -> i64 + Sync),
        operands: &[Ciphertext],
        seed: &Seed,
    ) -> Result<Vec<Vec<u8>>, Error> {
        match (self, setting) {
            (Self::Coefficients(computer), Setting::Coefficients(setting)) => {
                let none = coefficients::Factors::on_the_fly();
                let factors = match factors {
                    Some(Factors::Coefficients(factors)) => factors,
                    _ => &none,
                };
                let (layout, reply) = (&setting.layouts[layer], setting.replies[layer]);
                computer.run(layout, reply, (factors, weight), operands, seed).map_err(failed)
            }
            (Self::Slots(computer), Setting::Slots(setting)) => {
                let none = gazelle::Factors::on_the_fly();
                let factors = match factors {
                    Some(Factors::Slots(factors)) => factors,
                    _ => &none,
                };
                computer.run((setting, layer), (factors, weight), operands, seed).map_err(failed)
            }
            _ => Err(misfit()),
        }
    }
}

/// A layer's weights, encoded.
pub enum Factors {
    /// As polynomials.
    Coefficients(coefficients::Factors<Multiplicand>),
    /// As slots.
    Slots(gazelle::Factors),
}

impl Factors {
    /// Encodes a layer's weights, and says what they take, where that is no more than `budget` bytes.
    ///
    /// # Errors
    /// If a weight does not fit.
    pub fn encode(
        (setting, layer): (&Setting, usize),
        weight: impl Fn(usize) -> i64 + Sync,
        budget: usize,
    ) -> Result<Option<(Self, usize)>, Error> {
        let bytes = setting.weight_bytes(layer);
        if bytes > budget {
            return Ok(None);
        }
        let encoded = match setting {
            Setting::Coefficients(setting) => {
                let scheme = coefficients::Bfv::new(&setting.parameters);
                coefficients::Factors::encode(&scheme, &setting.layouts[layer], weight)
                    .map(Self::Coefficients)
            }
            Setting::Slots(setting) => gazelle::Factors::encode(setting, layer, weight).map(Self::Slots),
        };
        Ok(Some((encoded.map_err(failed)?, bytes)))
    }
}

/// Both halves come from one plan.
fn misfit() -> Error {
    Error::Refused("a linear layer of another method than the plan's".into())
}
