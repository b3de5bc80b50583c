//! What the half gates ask of a set of registers.

use crate::block::Block;

/// Registers that carry `LANES` blocks, one per gate. `Self` is a token whose existence proves that the processor has the
/// instructions, which is what makes the methods safe to call.
pub trait Lanes: Copy {
    /// `LANES` blocks.
    type Register: Copy;
    /// Gates that one register carries.
    const LANES: usize;

    /// The first `LANES` blocks of a slice.
    fn load(self, blocks: &[Block]) -> Self::Register;

    /// Writes the first `LANES` blocks of a slice.
    fn store(self, register: Self::Register, blocks: &mut [Block]);

    /// Alternating blocks, as the rows of AND gates lie: (the even ones, the odd ones) of `2 * LANES`.
    fn load_pairs(self, blocks: &[Block]) -> (Self::Register, Self::Register);

    /// The inverse of `load_pairs`.
    fn store_pairs(self, even: Self::Register, odd: Self::Register, blocks: &mut [Block]);

    /// The rows of gates that have R each, gate after gate: one register for each row of a gate.
    #[inline(always)]
    fn load_rows<const R: usize>(self, blocks: &[Block]) -> [Self::Register; R] {
        let (even, odd) =
            if R == 2 { self.load_pairs(blocks) } else { (self.load(blocks), self.load(blocks)) };
        let mut rows = [even; R];
        if let Some(second) = rows.get_mut(1) {
            *second = odd;
        }
        rows
    }

    /// The inverse of `load_rows`.
    #[inline(always)]
    fn store_rows<const R: usize>(self, rows: [Self::Register; R], blocks: &mut [Block]) {
        match rows[..] {
            [even, odd] => self.store_pairs(even, odd, blocks),
            [row] => self.store(row, blocks),
            _ => {}
        }
    }

    /// One block in every lane.
    fn broadcast(self, block: Block) -> Self::Register;

    /// Lane i holds the number `first + step * i` (modulo 2^64).
    fn count(self, first: u64, step: u64) -> Self::Register;

    /// `a ^ b`.
    fn xor(self, a: Self::Register, b: Self::Register) -> Self::Register;

    /// `value` in the lanes where the lowest bit of `bits` is set, else zero, without a branch.
    fn select(self, bits: Self::Register, value: Self::Register) -> Self::Register;

    /// The orthomorphism `l || r -> (l ^ r) || l`.
    fn sigma(self, x: Self::Register) -> Self::Register;

    /// `E_k(x) ^ x` for each of P inputs under each of K keys per lane.
    fn compress<const K: usize, const P: usize>(
        self,
        keys: [Self::Register; K],
        x: [[Self::Register; P]; K],
    ) -> [[Self::Register; P]; K];
}
