//! The interpreter on ciphertexts: how kernels are executed.

use std::sync::atomic::{AtomicU64, Ordering};

use bfv::{
    Ciphertext, Compact, Encoder, Evaluator, GaloisKeys, Hoisted, Multiplicand, Parameters, Plaintext,
    RelinearisationKey,
};

use crate::error::Error;
use crate::slots::cycle::Cycle;
use crate::slots::operations::Slots;

/// Executes on ciphertexts of one parameter set.
///
/// Factors are kept ready for products while they fit a budget of memory; beyond it they are kept modulo the plaintext
/// modulus, a coefficient in as many bits as it needs, and transformed when they are used.
#[derive(Debug)]
pub struct Bfv<'a> {
    encoder: Encoder,
    evaluator: Evaluator,
    relinearisation: Option<&'a RelinearisationKey>,
    galois: Option<&'a GaloisKeys>,
    cycle: Cycle,
    budget: AtomicU64,
}

/// A prepared addend.
pub type Addend = Plaintext;

/// A prepared factor.
#[derive(Clone, Debug)]
pub enum Factor {
    /// In evaluation form.
    Ready(Multiplicand),
    /// Modulo the plaintext modulus.
    Compact(Compact),
}

/// The arrangement of the slots of a parameter set.
///
/// # Errors
/// If its plaintext modulus has no slots.
pub fn cycle_of(parameters: &Parameters) -> Result<Cycle, Error> {
    let shape = parameters.slot_shape().ok_or(bfv::Error::NoSlots)?;
    Ok(Cycle { rows: shape.rows, columns: shape.columns })
}

/// The automorphism `X -> X^g` that rotates by a step.
pub fn exponent_of(parameters: &Parameters, step: usize) -> usize {
    let columns = parameters.slot_shape().map_or(1, |shape| shape.columns);
    let mask = 2 * parameters.degree() - 1;
    let power = parameters.rotation_exponent((step % columns) as i64);
    if step / columns == 1 { (mask + 1 - power) & mask } else { power }
}

impl<'a> Bfv<'a> {
    /// An executor: of weights when it has no keys, of programs when it has them. `budget` is the number of bytes that
    /// factors in evaluation form may take.
    ///
    /// # Errors
    /// If the parameters have no slots.
    pub fn new(
        parameters: &Parameters,
        relinearisation: Option<&'a RelinearisationKey>,
        galois: Option<&'a GaloisKeys>,
        budget: u64,
    ) -> Result<Self, Error> {
        Ok(Self {
            cycle: cycle_of(parameters)?,
            encoder: Encoder::new(parameters),
            evaluator: Evaluator::new(parameters),
            relinearisation,
            galois,
            budget: AtomicU64::new(budget),
        })
    }

    /// Limbs of a fresh ciphertext.
    pub fn limbs(&self) -> usize {
        self.parameters().limbs()
    }

    fn parameters(&self) -> &Parameters {
        self.evaluator.parameters()
    }

    fn galois(&self) -> Result<&GaloisKeys, Error> {
        self.galois.ok_or(Error::Key("rotation"))
    }

    /// The message with these slots, modulo the slot modulus.
    ///
    /// # Errors
    /// If there are too many.
    pub fn message(&self, slots: &[i128]) -> Result<Plaintext, Error> {
        let modulus = self.parameters().slot_modulus().and_then(|modulus| i128::try_from(modulus).ok());
        let Some(modulus) = modulus else { return Err(bfv::Error::NoSlots.into()) };
        // Constants of a network whose values are known by several residues are wider than one.
        if slots.iter().all(|value| value.unsigned_abs() < (modulus / 2).unsigned_abs()) {
            return Ok(self.encoder.slots_wide(slots)?);
        }
        let centred = |value: &i128| {
            let residue = value.rem_euclid(modulus);
            if residue > modulus / 2 { residue - modulus } else { residue }
        };
        Ok(self.encoder.slots_wide(&slots.iter().map(centred).collect::<Vec<_>>())?)
    }

    fn reserve(&self, bytes: u64) -> bool {
        let take = |left: u64| left.checked_sub(bytes);
        self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

impl Slots for Bfv<'_> {
    type Cipher = Ciphertext;
    type Hoisted = Hoisted;
    type Factor = Factor;
    type Addend = Plaintext;

    fn cycle(&self) -> Cycle {
        self.cycle
    }

    fn factor(&self, slots: &[i128], level: usize) -> Result<Factor, Error> {
        let message = self.message(slots)?;
        if self.reserve((8 * level * self.parameters().degree()) as u64) {
            Ok(Factor::Ready(self.evaluator.multiplicand(&message, level)?))
        } else {
            Ok(Factor::Compact(message.compact(self.parameters())?))
        }
    }

    fn addend(&self, slots: &[i128]) -> Result<Plaintext, Error> {
        self.message(slots)
    }

    fn rotate(&self, a: &Ciphertext, step: usize) -> Result<Ciphertext, Error> {
        Ok(self.evaluator.automorphism(a, exponent_of(self.parameters(), step), self.galois()?)?)
    }

    fn hoist(&self, a: &Ciphertext) -> Result<Hoisted, Error> {
        Ok(self.evaluator.hoist(a)?)
    }

    fn rotate_hoisted(&self, a: &Hoisted, step: usize) -> Result<Ciphertext, Error> {
        let exponent = exponent_of(self.parameters(), step);
        Ok(self.evaluator.automorphism_hoisted(a, exponent, self.galois()?)?)
    }

    fn add_assign(&self, a: &mut Ciphertext, b: &Ciphertext) -> Result<(), Error> {
        Ok(self.evaluator.add_assign(a, b)?)
    }

    fn add_plain_assign(&self, a: &mut Ciphertext, addend: &Plaintext) -> Result<(), Error> {
        Ok(self.evaluator.add_plain_assign(a, addend)?)
    }

    fn dot(&self, terms: &[(&Ciphertext, &Factor)]) -> Result<Ciphertext, Error> {
        let (mut ready, mut compact) = (Vec::new(), Vec::new());
        for (a, factor) in terms {
            match factor {
                Factor::Ready(factor) => ready.push((*a, factor)),
                Factor::Compact(factor) => compact.push((*a, factor)),
            }
        }
        if compact.is_empty() {
            return Ok(self.evaluator.dot_plain(&ready)?);
        }
        let mut sum = self.evaluator.dot_compact(&compact)?;
        if !ready.is_empty() {
            self.evaluator.add_assign(&mut sum, &self.evaluator.dot_plain(&ready)?)?;
        }
        Ok(sum)
    }

    fn dot_scalars(&self, terms: &[(&Ciphertext, i128)]) -> Result<Ciphertext, Error> {
        let mut sum: Option<Ciphertext> = None;
        for (a, scalar) in terms {
            let mut product = (*a).clone();
            let scalar = i64::try_from(*scalar).map_err(|_| bfv::Error::Value(*scalar))?;
            self.evaluator.mul_scalar_assign(&mut product, scalar)?;
            match &mut sum {
                Some(sum) => self.evaluator.add_assign(sum, &product)?,
                None => sum = Some(product),
            }
        }
        sum.ok_or(Error::Empty)
    }

    fn square(&self, a: &Ciphertext) -> Result<Ciphertext, Error> {
        let key = self.relinearisation.ok_or(Error::Key("relinearisation"))?;
        Ok(self.evaluator.square(a, key)?)
    }

    fn multiply(&self, a: &Ciphertext, b: &Ciphertext) -> Result<Ciphertext, Error> {
        let key = self.relinearisation.ok_or(Error::Key("relinearisation"))?;
        Ok(self.evaluator.multiply(a, b, key)?)
    }

    fn switch_down(&self, a: &Ciphertext, level: usize) -> Result<Ciphertext, Error> {
        Ok(self.evaluator.switch_down(a, level.min(a.limbs()))?)
    }
}
