//! The client's input as words of wires.

use garble::word::{Bit, Word};
use model::fixed::{FixedGraph, NodeId};

use super::split::Split;

/// Width and number of elements of each input of a plan.
pub fn shapes(plan: &FixedGraph) -> impl Iterator<Item = (usize, usize)> {
    plan.inputs.iter().map(|input: &NodeId| {
        let node = &plan.nodes[*input];
        (node.format.bits as usize, node.shape.iter().product())
    })
}

/// Builds the plan's inputs, asking for their wires in order: input by input, bit by bit, one lane an element. An input that the
/// circuit does not need has none.
pub fn words<W>(
    (plan, split): (&FixedGraph, &Split),
    mut wire: impl FnMut(usize, usize, usize) -> W,
) -> Vec<Word<W>> {
    shapes(plan)
        .enumerate()
        .map(|(input, (bits, lanes))| {
            if !split.wants(plan.inputs[input]) {
                return Word::default();
            }
            Word::new((0..bits).map(|bit| Bit::Wire(wire(input, bit, lanes))).collect(), lanes)
        })
        .collect()
}
