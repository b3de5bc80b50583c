//! Shared numbers in a circuit.

use super::{add_wrapping, resize, shift_right};
use crate::gates::Gates;
use crate::word::Word;

/// The number that two shares modulo `2^width` add up to, as a signed word, without its low `drop` bits: width - 1 ANDs.
///
/// # Errors
/// When the stream of tables fails.
pub fn reconstruct<G: Gates>(
    g: &mut G,
    a: &Word<G::Wires>,
    b: &Word<G::Wires>,
    width: usize,
    drop: usize,
) -> Result<Word<G::Wires>, G::Error> {
    let sum = add_wrapping(g, &resize(a, width), &resize(b, width), width)?;
    Ok(shift_right(&sum, drop))
}
