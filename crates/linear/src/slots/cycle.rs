//! How the slots of one ciphertext are arranged, and the rotations that act on them.

use serde::{Deserialize, Serialize};

/// The slots of a ciphertext: `rows` cycles of `columns` slots, that rotate together, and the rows among themselves.
///
/// Plain BFV has two rows of N/2 slots, generalised BFV one row. Slot numbers run along the rows. A *step* is a
/// difference of slots and is numbered as the slot that it leads to from slot 0; rotating by a step `d` brings slot
/// `s + d` to slot `s`. Slots and steps are the group `Z_rows x Z_columns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cycle {
    /// Rows: 1 or 2.
    pub rows: usize,
    /// Slots in a row: a power of two.
    pub columns: usize,
}

impl Cycle {
    /// One row.
    pub const fn single(columns: usize) -> Self {
        Self { rows: 1, columns }
    }

    /// All slots.
    pub const fn slots(&self) -> usize {
        self.rows * self.columns
    }

    /// Whether this is an arrangement that ciphertexts can have.
    pub const fn is_valid(&self) -> bool {
        matches!(self.rows, 1 | 2) && self.columns.is_power_of_two() && self.columns <= 1 << 16
    }

    /// `a + b`. Both lengths are powers of two, so that this is a few operations on bits: encoding does it for each weight.
    pub const fn add(&self, a: usize, b: usize) -> usize {
        (a ^ b) & self.upper() | a.wrapping_add(b) & (self.columns - 1)
    }

    /// `-a`.
    pub const fn neg(&self, a: usize) -> usize {
        self.sub(0, a)
    }

    /// `a - b`.
    pub const fn sub(&self, a: usize, b: usize) -> usize {
        (a ^ b) & self.upper() | a.wrapping_sub(b) & (self.columns - 1)
    }

    /// The bit that tells the row.
    const fn upper(&self) -> usize {
        (self.rows - 1) * self.columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group() {
        for cycle in [Cycle { rows: 2, columns: 8 }, Cycle::single(16)] {
            for a in 0..16 {
                assert_eq!(cycle.add(a, cycle.neg(a)), 0);
                for b in 0..16 {
                    assert_eq!(cycle.add(a, b), cycle.add(b, a));
                    assert_eq!(cycle.add(cycle.sub(a, b), b), a);
                }
            }
        }
        assert_eq!(Cycle { rows: 2, columns: 8 }.add(7, 1), 0);
        assert_eq!(Cycle::single(16).add(7, 9), 0);
    }
}
