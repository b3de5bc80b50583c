//! The interpreter that counts: what kernels cost.

use core::ops::{Add, AddAssign};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::slots::cycle::Cycle;
use crate::slots::operations::Slots;

/// Numbers of operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operations {
    /// Rotations that decompose their operand themselves.
    pub rotations: u64,
    /// Decompositions for several rotations.
    pub hoists: u64,
    /// Rotations of decomposed ciphertexts.
    pub hoisted: u64,
    /// Products with vectors of plaintexts.
    pub products: u64,
    /// Products with numbers.
    pub scalars: u64,
    /// Squares and products of ciphertexts, each with its relinearisation.
    pub squares: u64,
    /// Additions of ciphertexts, those inside sums of products included.
    pub additions: u64,
    /// Additions of plaintexts.
    pub addends: u64,
}

impl Add for Operations {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            rotations: self.rotations + other.rotations,
            hoists: self.hoists + other.hoists,
            hoisted: self.hoisted + other.hoisted,
            products: self.products + other.products,
            scalars: self.scalars + other.scalars,
            squares: self.squares + other.squares,
            additions: self.additions + other.additions,
            addends: self.addends + other.addends,
        }
    }
}

impl AddAssign for Operations {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Operations {
    /// Key switches: rotations, hoisted or not, and relinearisations.
    pub const fn key_switches(&self) -> u64 {
        self.rotations + self.hoisted + self.squares
    }
}

/// Counts operations; vectors have no contents.
#[derive(Debug)]
pub struct Count {
    cycle: Cycle,
    operations: Mutex<Operations>,
}

impl Count {
    /// Nothing counted yet.
    pub fn new(cycle: Cycle) -> Self {
        Self { cycle, operations: Mutex::new(Operations::default()) }
    }

    /// What was counted since the last call.
    pub fn take(&self) -> Operations {
        let mut guard = self.operations.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        core::mem::take(&mut guard)
    }

    fn count(&self, change: impl FnOnce(&mut Operations)) {
        change(&mut self.operations.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }
}

impl Slots for Count {
    type Cipher = ();
    type Hoisted = ();
    type Factor = ();
    type Addend = ();

    fn cycle(&self) -> Cycle {
        self.cycle
    }

    fn factor(&self, _: &[i128], _: usize) -> Result<(), Error> {
        Ok(())
    }

    fn addend(&self, _: &[i128]) -> Result<(), Error> {
        Ok(())
    }

    fn rotate(&self, (): &(), step: usize) -> Result<(), Error> {
        self.count(|o| o.rotations += u64::from(step != 0));
        Ok(())
    }

    fn hoist(&self, (): &()) -> Result<(), Error> {
        self.count(|o| o.hoists += 1);
        Ok(())
    }

    fn rotate_hoisted(&self, (): &(), step: usize) -> Result<(), Error> {
        self.count(|o| o.hoisted += u64::from(step != 0));
        Ok(())
    }

    fn add_assign(&self, (): &mut (), (): &()) -> Result<(), Error> {
        self.count(|o| o.additions += 1);
        Ok(())
    }

    fn add_plain_assign(&self, (): &mut (), (): &()) -> Result<(), Error> {
        self.count(|o| o.addends += 1);
        Ok(())
    }

    fn dot(&self, terms: &[(&(), &())]) -> Result<(), Error> {
        let count = terms.len() as u64;
        let more = count.checked_sub(1).ok_or(Error::Empty)?;
        self.count(|o| {
            o.products += count;
            o.additions += more;
        });
        Ok(())
    }

    fn dot_scalars(&self, terms: &[(&(), i128)]) -> Result<(), Error> {
        let count = terms.len() as u64;
        let more = count.checked_sub(1).ok_or(Error::Empty)?;
        self.count(|o| {
            o.scalars += count;
            o.additions += more;
        });
        Ok(())
    }

    fn square(&self, (): &()) -> Result<(), Error> {
        self.count(|o| o.squares += 1);
        Ok(())
    }

    fn multiply(&self, (): &(), (): &()) -> Result<(), Error> {
        self.count(|o| o.squares += 1);
        Ok(())
    }

    fn switch_down(&self, (): &(), _: usize) -> Result<(), Error> {
        Ok(())
    }
}
