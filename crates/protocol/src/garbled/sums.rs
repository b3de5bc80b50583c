//! Sums of lanes that belong to the same output.

use garble::gadgets;
use garble::gates::Gates;
use garble::word::Word;

use super::tiles::pairwise;

/// Adds the lanes of each output pairwise until one is left: `outputs[i]`, below `count`, is the output of lane i. Returns
/// the sums, one bit wider a level, and the outputs that they belong to.
///
/// # Errors
/// When the stream of tables fails.
#[allow(clippy::type_complexity)]
pub fn sum_lanes<G: Gates>(
    gates: &mut G,
    lanes: Word<G::Wires>,
    outputs: Vec<u32>,
    count: usize,
) -> Result<(Word<G::Wires>, Vec<usize>), G::Error> {
    let (levels, left) = pairwise(outputs, count);
    let mut partial = lanes;
    for level in &levels {
        let first = gadgets::gather(gates, &partial, &level.first);
        let second = gadgets::gather(gates, &partial, &level.second);
        let added = gadgets::add_signed(gates, &first, &second)?;
        partial = if level.rest.is_empty() {
            added
        } else {
            let rest = gadgets::gather(gates, &partial, &level.rest);
            gadgets::concat(gates, &[&added, &rest])
        };
    }
    Ok((partial, left.into_iter().map(|output| output as usize).collect()))
}
