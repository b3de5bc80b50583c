//! Arithmetic circuits over [`Word`]s.
//!
//! Costs are stated in AND gates per instance for operands without public bits; `w` is a width. Every gadget is exact unless it
//! says otherwise.

mod add;
mod compare;
mod constant;
mod digits;
mod divide;
mod multiply;
mod piecewise;
mod shares;
mod smooth;

pub use add::{add_signed, add_with_carry, add_wrapping, neg, sub_signed, sub_wrapping};
pub use compare::{
    Largest, arg_max, arg_max_with_value, clamp, equal, less_than, max, max_of, min, mux, mux_sign, relu,
    saturate,
};
pub use constant::{affine, mul_constant};
pub use digits::{Multiples, Pending, mul_known, mul_known_odd};
pub use divide::divide;
pub use multiply::{mul, mul_low, mul_truncated, square, square_low};
pub use piecewise::{piecewise_sigmoid, piecewise_tanh};
pub use shares::{reconstruct, reconstruct_modulo};
pub use smooth::{sigmoid, tanh};

use crate::gates::Gates;
use crate::word::{Bit, Word};

/// A public number in `width` bits.
pub fn public<W: Clone>(value: i64, width: usize, lanes: usize) -> Word<W> {
    Word::public(value, width, lanes)
}

/// Public numbers, one an instance, in `width` bits. Free; a bit stays public where it is the same in all of them.
pub fn public_lanes<G: Gates>(g: &mut G, values: &[i64], width: usize) -> Word<G::Wires> {
    let zero = g.constant(false, 1);
    let one = g.constant(true, 1);
    let either = g.concat(&[&zero, &one]);
    let bits = (0..width).map(|i| {
        let lanes: Vec<u32> = values.iter().map(|value| (value >> i.min(63) & 1) as u32).collect();
        match lanes.first() {
            Some(first) if lanes.iter().any(|lane| lane != first) => Bit::Wire(g.gather(&either, &lanes)),
            first => Bit::Public(first == Some(&1)),
        }
    });
    Word::new(bits.collect(), values.len())
}

/// The word in `width` bits: its sign repeated, or its high bits dropped. Free.
pub fn resize<W: Clone>(x: &Word<W>, width: usize) -> Word<W> {
    Word::new((0..width).map(|i| x.bit(i)).collect(), x.lanes())
}

/// The word with a zero sign put on top: its bits as an unsigned number. Free.
pub fn zero_extend<W: Clone>(x: &Word<W>) -> Word<W> {
    let bits = x.bits().iter().cloned().chain([Bit::Public(false)]).collect();
    Word::new(bits, x.lanes())
}

/// `x * 2^by`, wider by as much. Free.
pub fn shift_left<W: Clone>(x: &Word<W>, by: usize) -> Word<W> {
    let zeros = std::iter::repeat_n(Bit::Public(false), by);
    Word::new(zeros.chain(x.bits().iter().cloned()).collect(), x.lanes())
}

/// `floor(x / 2^by)`, narrower by as much but never without a sign. Free.
pub fn shift_right<W: Clone>(x: &Word<W>, by: usize) -> Word<W> {
    let width = x.width().saturating_sub(by).max(x.width().min(1));
    Word::new((0..width).map(|i| x.bit(i.saturating_add(by))).collect(), x.lanes())
}

/// The word whose instance i is instance `lanes[i]` of x. Free.
pub fn gather<G: Gates>(g: &G, x: &Word<G::Wires>, lanes: &[u32]) -> Word<G::Wires> {
    let bits = x.bits().iter().map(|bit| match bit {
        Bit::Public(bit) => Bit::Public(*bit),
        Bit::Wire(wire) => Bit::Wire(g.gather(wire, lanes)),
    });
    Word::new(bits.collect(), lanes.len())
}

/// The instances of all words, one after the other, in the widest width. Free; a bit stays public where it is the same
/// in all parts.
pub fn concat<G: Gates>(g: &mut G, parts: &[&Word<G::Wires>]) -> Word<G::Wires> {
    let width = parts.iter().map(|part| part.width()).max().unwrap_or(0);
    let lanes = parts.iter().map(|part| part.lanes()).sum();
    let bits = (0..width).map(|i| {
        let bits: Vec<(Bit<G::Wires>, usize)> =
            parts.iter().map(|part| (part.bit(i), part.lanes())).collect();
        concat_bits(g, &bits)
    });
    Word::new(bits.collect(), lanes)
}

/// The instances of all bits, one after the other.
fn concat_bits<G: Gates>(g: &mut G, bits: &[(Bit<G::Wires>, usize)]) -> Bit<G::Wires> {
    let mut filled = bits.iter().filter(|(_, lanes)| *lanes > 0).map(|(bit, _)| bit);
    if let Some(Bit::Public(first)) = filled.next()
        && filled.all(|bit| matches!(bit, Bit::Public(other) if other == first))
    {
        return Bit::Public(*first);
    }
    let wires: Vec<G::Wires> = bits
        .iter()
        .map(|(bit, lanes)| match bit {
            Bit::Public(bit) => g.constant(*bit, *lanes),
            Bit::Wire(wire) => wire.clone(),
        })
        .collect();
    Bit::Wire(g.concat(&wires.iter().collect::<Vec<_>>()))
}

/// A word whose bits the evaluator knows, as an ordinary one, instance i being instance `lanes[i]`. Free.
pub fn known_word<G: Gates>(g: &G, bits: &[G::Known], lanes: &[u32]) -> Word<G::Wires> {
    Word::from_wires(bits.iter().map(|bit| g.forget(&g.gather_known(bit, lanes))).collect(), lanes.len())
}
