//! The interpreter on plain integers: what kernels mean.

use crate::error::Error;
use crate::slots::cycle::Cycle;
use crate::slots::operations::Slots;

/// Slots are integers modulo an odd number below 2^125, in the clear.
#[derive(Clone, Copy, Debug)]
pub struct Clear {
    cycle: Cycle,
    modulus: i128,
}

/// A vector in the clear: residues in `(-p/2, p/2)`, and the level that a ciphertext would have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClearSlots {
    /// The residues.
    pub slots: Vec<i128>,
    /// The level.
    pub level: usize,
}

impl Clear {
    /// Slots modulo `modulus`; `None` unless it is odd and from 3 to 2^125.
    pub fn new(cycle: Cycle, modulus: i128) -> Option<Self> {
        (cycle.is_valid() && modulus % 2 == 1 && (3..1 << 125).contains(&modulus))
            .then_some(Self { cycle, modulus })
    }

    /// The residue in `(-p/2, p/2)`.
    pub const fn centre(&self, x: i128) -> i128 {
        let r = x % self.modulus;
        let half = self.modulus / 2;
        if r > half {
            r - self.modulus
        } else if r < -half {
            r + self.modulus
        } else {
            r
        }
    }

    /// A vector of these slots; missing ones are zero.
    ///
    /// # Errors
    /// If there are too many.
    pub fn vector(&self, slots: &[i128], level: usize) -> Result<ClearSlots, Error> {
        Ok(ClearSlots { slots: self.residues(slots)?, level })
    }

    fn residues(&self, slots: &[i128]) -> Result<Vec<i128>, Error> {
        if slots.len() > self.cycle.slots() {
            return Err(Error::TooMany(slots.len(), self.cycle.slots()));
        }
        let mut out: Vec<i128> = slots.iter().map(|x| self.centre(*x)).collect();
        out.resize(self.cycle.slots(), 0);
        Ok(out)
    }

    /// `a b` modulo p, of centred residues.
    fn mul(&self, a: i128, b: i128) -> i128 {
        if let Some(product) = a.checked_mul(b) {
            return self.centre(product);
        }
        // Bit by bit from the top: every step stays below 2^126.
        let (magnitude, negative) = (b.unsigned_abs(), b < 0);
        let mut sum = 0i128;
        for bit in (0..125).rev() {
            sum = self.centre(sum * 2);
            if magnitude >> bit & 1 == 1 {
                sum = self.centre(sum + a);
            }
        }
        if negative { -sum } else { sum }
    }

    fn zip(
        &self,
        a: &ClearSlots,
        b: &ClearSlots,
        f: impl Fn(i128, i128) -> i128,
    ) -> Result<ClearSlots, Error> {
        if a.level != b.level {
            return Err(Error::Level(a.level, b.level));
        }
        let slots = a.slots.iter().zip(&b.slots).map(|(a, b)| f(*a, *b)).collect();
        Ok(ClearSlots { slots, level: a.level })
    }
}

impl Slots for Clear {
    type Cipher = ClearSlots;
    type Hoisted = ClearSlots;
    type Factor = Vec<i128>;
    type Addend = Vec<i128>;

    fn cycle(&self) -> Cycle {
        self.cycle
    }

    fn factor(&self, slots: &[i128], _level: usize) -> Result<Vec<i128>, Error> {
        self.residues(slots)
    }

    fn addend(&self, slots: &[i128]) -> Result<Vec<i128>, Error> {
        self.residues(slots)
    }

    fn rotate(&self, a: &ClearSlots, step: usize) -> Result<ClearSlots, Error> {
        let slots = (0..a.slots.len()).map(|s| a.slots[self.cycle.add(s, step)]).collect();
        Ok(ClearSlots { slots, level: a.level })
    }

    fn hoist(&self, a: &ClearSlots) -> Result<ClearSlots, Error> {
        Ok(a.clone())
    }

    fn rotate_hoisted(&self, a: &ClearSlots, step: usize) -> Result<ClearSlots, Error> {
        self.rotate(a, step)
    }

    fn add_assign(&self, a: &mut ClearSlots, b: &ClearSlots) -> Result<(), Error> {
        *a = self.zip(a, b, |a, b| self.centre(a + b))?;
        Ok(())
    }

    fn add_plain_assign(&self, a: &mut ClearSlots, addend: &Vec<i128>) -> Result<(), Error> {
        a.slots.iter_mut().zip(addend).for_each(|(a, b)| *a = self.centre(*a + b));
        Ok(())
    }

    fn dot(&self, terms: &[(&ClearSlots, &Vec<i128>)]) -> Result<ClearSlots, Error> {
        let (first, _) = terms.first().ok_or(Error::Empty)?;
        let mut slots = vec![0i128; first.slots.len()];
        for (a, factor) in terms {
            if a.level != first.level {
                return Err(Error::Level(a.level, first.level));
            }
            for ((sum, a), b) in slots.iter_mut().zip(&a.slots).zip(*factor) {
                if *b != 0 {
                    *sum = self.centre(*sum + self.mul(*a, *b));
                }
            }
        }
        Ok(ClearSlots { slots, level: first.level })
    }

    fn dot_scalars(&self, terms: &[(&ClearSlots, i128)]) -> Result<ClearSlots, Error> {
        let factors: Vec<_> =
            terms.iter().map(|(a, scalar)| vec![self.centre(*scalar); a.slots.len()]).collect();
        let terms: Vec<_> = terms.iter().zip(&factors).map(|((a, _), factor)| (*a, factor)).collect();
        self.dot(&terms)
    }

    fn square(&self, a: &ClearSlots) -> Result<ClearSlots, Error> {
        self.multiply(a, a)
    }

    fn multiply(&self, a: &ClearSlots, b: &ClearSlots) -> Result<ClearSlots, Error> {
        self.zip(a, b, |a, b| self.mul(a, b))
    }

    fn switch_down(&self, a: &ClearSlots, level: usize) -> Result<ClearSlots, Error> {
        Ok(ClearSlots { slots: a.slots.clone(), level: a.level.min(level) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_products_agree_with_narrow_ones() {
        let p = (1i128 << 124) - 59;
        let wide = Clear::new(Cycle::single(2), p).unwrap();
        // (2^62 + 1)^2 = 2^124 + 2^63 + 1.
        assert_eq!(wide.mul((1 << 62) + 1, (1 << 62) + 1), (1 << 63) + 60);
        // (p - 1)^2 = 1, and -1 is the centred p - 1.
        assert_eq!(wide.mul(-1, -1), 1);
        let half = p / 2;
        // 2 half = -1, so 4 half^2 = 1.
        assert_eq!(wide.mul(4, wide.mul(half, half)), 1);
        assert_eq!(wide.mul(-half, half), -wide.mul(half, half));
    }
}
