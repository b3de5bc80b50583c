//! Shares become a layer's results inside the circuit.

use garble::gadgets;
use garble::gates::Gates;
use garble::word::Word;
use model::fixed::{FixedGraph, Node};

use crate::garbled::elementwise::in_tiles;
use crate::garbled::linear::shift_and_saturate;
use crate::garbled::split::Product;
use crate::garbled::weights::{Encoding, Weights};

/// The results of a layer whose shares both parties have: their sum modulo `2^bits`, shifted and saturated as the plan says. `number` is
/// the product's place in the split.
///
/// # Errors
/// When the stream of tables or of weights fails.
pub fn open<G: Gates, W: Weights<G>>(
    gates: &mut G,
    weights: &mut W,
    (plan, node): (&FixedGraph, &Node),
    (number, product): (usize, &Product),
) -> Result<Word<G::Wires>, G::Error> {
    in_tiles(gates, product.elements(), |gates, tile| {
        let mine = weights.garblers_share(gates, number, tile.clone(), product.bits)?;
        let mine = Word::from_wires(mine, tile.len());
        // The server's shares stand behind the plan's parameters.
        let indices: Vec<usize> = tile.clone().collect();
        let encoding = Encoding::Plain { bits: product.bits };
        let theirs = weights.load(gates, plan.params.len() + number, &indices, encoding)?;
        let lanes: Vec<u32> = (0..tile.len() as u32).collect();
        let theirs = gadgets::known_word(gates, &theirs, &lanes);
        let sum = gadgets::add_wrapping(gates, &mine, &theirs, product.bits as usize)?;
        let shifts: Vec<u32> = tile.map(|output| product.shift(product.dots.row_of(output))).collect();
        shift_and_saturate(gates, &sum, &shifts, node.format.bits as usize)
    })
}
