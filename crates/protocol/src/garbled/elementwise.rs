//! Operations on single elements, and the movement of elements: lanes that are permuted, which is free.

use std::ops::Range;

use garble::gadgets;
use garble::gates::Gates;
use garble::meaning::{Format as Width, width_of};
use garble::word::Word;
use model::fixed::{FixedGraph, Format, Node, Op, ParamId, Term};
use model::movement::{Places, places};

use super::pieces::Pieces;
use super::pool::half;
use super::tiles::blocks;
use super::weights::{Encoding, Weights};

/// Lanes worked on at a time, so that the live wires of a gadget stay within a second-level cache.
pub const TILE: usize = 2048;

/// Candidates of an arg-max side by side, over all lanes.
const CANDIDATES: usize = 1 << 15;

/// Runs an element-by-element computation tile by tile.
pub fn in_tiles<G: Gates>(
    gates: &mut G,
    lanes: usize,
    mut compute: impl FnMut(&mut G, Range<usize>) -> Result<Word<G::Wires>, G::Error>,
) -> Result<Word<G::Wires>, G::Error> {
    let mut pieces = Pieces::default();
    for tile in blocks(lanes, TILE) {
        let part = compute(gates, tile)?;
        pieces.push(gates, part);
    }
    Ok(pieces.finish(gates))
}

fn tile<G: Gates>(gates: &G, x: &Word<G::Wires>, lanes: &Range<usize>) -> Word<G::Wires> {
    gadgets::gather(gates, x, &lanes.clone().map(|lane| lane as u32).collect::<Vec<_>>())
}

fn width(format: Format) -> Width {
    Width { bits: format.bits, frac: format.frac }
}

/// Any operation whose result at an element depends on the operands' same elements (or, for the arg-max, on an axis).
pub fn compute<G: Gates, W: Weights<G>>(
    gates: &mut G,
    plan: &FixedGraph,
    node: &Node,
    operands: &[Word<G::Wires>],
    weights: &mut W,
) -> Result<Word<G::Wires>, G::Error> {
    if let Op::ArgMax { axis, last } = node.op {
        let index = arg_max(gates, (plan, node), (axis, last), &operands[0])?;
        return Ok(gadgets::resize(&index, node.format.bits as usize));
    }
    let lanes = node.shape.iter().product();
    in_tiles(gates, lanes, |gates, lanes| {
        let parts: Vec<Word<G::Wires>> = operands.iter().map(|x| tile(gates, x, &lanes)).collect();
        with_tile(gates, plan, node, &parts, weights, lanes)
    })
}

fn with_tile<G: Gates, W: Weights<G>>(
    gates: &mut G,
    plan: &FixedGraph,
    node: &Node,
    parts: &[Word<G::Wires>],
    weights: &mut W,
    lanes: Range<usize>,
) -> Result<Word<G::Wires>, G::Error> {
    let bits = node.format.bits;
    let x = &parts[0];
    match &node.op {
        Op::Affine { weight, left, bias, shift } => {
            let product = match weight {
                Some(weight) => {
                    let digits = broadcast(gates, plan, node, *weight, weights, (&lanes, true))?;
                    gadgets::mul_known(gates, x, &digits)?
                }
                None => gadgets::shift_left(x, *left as usize),
            };
            let bias = broadcast(gates, plan, node, *bias, weights, (&lanes, false))?;
            let bias = gadgets::known_word(gates, &bias, &(0..lanes.len() as u32).collect::<Vec<_>>());
            let sum = gadgets::add_signed(gates, &product, &bias)?;
            gadgets::saturate(gates, &gadgets::shift_right(&sum, *shift as usize), bits as usize)
        }
        Op::PublicAffine { factor, addend, shift } => {
            gadgets::affine(gates, x, *factor, *addend, *shift, bits)
        }
        Op::Sum { terms, shift } => sum(gates, parts, terms, *shift, bits),
        Op::Product { shift } => {
            let product = if node.inputs[0] == node.inputs[1] {
                gadgets::square(gates, x)?
            } else {
                gadgets::mul(gates, x, &parts[1])?
            };
            gadgets::affine(gates, &product, 1, half(*shift), *shift, bits)
        }
        Op::Relu => gadgets::relu(gates, x),
        Op::Clamp { low, high } => gadgets::clamp(gates, x, *low, *high),
        Op::LeakyRelu { factor, shift } => {
            let scaled = gadgets::affine(gates, x, *factor, half(*shift), *shift, bits)?;
            gadgets::mux_sign(gates, x, &scaled)
        }
        Op::PRelu { slope, shift } => {
            let digits = broadcast(gates, plan, node, *slope, weights, (&lanes, true))?;
            let product = gadgets::mul_known(gates, x, &digits)?;
            let scaled = gadgets::affine(gates, &product, 1, half(*shift), *shift, bits)?;
            gadgets::mux_sign(gates, x, &scaled)
        }
        Op::Sigmoid => gadgets::sigmoid(gates, x, width(operand(plan, node)), width(node.format)),
        Op::Tanh => gadgets::tanh(gates, x, width(operand(plan, node)), width(node.format)),
        Op::PiecewiseSigmoid => {
            gadgets::piecewise_sigmoid(gates, x, width(operand(plan, node)), width(node.format))
        }
        Op::PiecewiseTanh => {
            gadgets::piecewise_tanh(gates, x, width(operand(plan, node)), width(node.format))
        }
        // Every other operation has its own function; none reaches this one.
        _ => Ok(x.clone()),
    }
}

fn operand(plan: &FixedGraph, node: &Node) -> Format {
    plan.nodes[node.inputs[0]].format
}

/// `sat((sum of +-(x << left) + half) >> shift)`.
fn sum<G: Gates>(
    gates: &mut G,
    parts: &[Word<G::Wires>],
    terms: &[Term],
    shift: u32,
    bits: u32,
) -> Result<Word<G::Wires>, G::Error> {
    let mut total: Option<Word<G::Wires>> = None;
    for (part, term) in parts.iter().zip(terms) {
        let part = gadgets::shift_left(part, term.left as usize);
        total = Some(match (total, term.negative) {
            (None, false) => part,
            (None, true) => gadgets::neg(gates, &part)?,
            (Some(total), false) => gadgets::add_signed(gates, &total, &part)?,
            (Some(total), true) => gadgets::sub_signed(gates, &total, &part)?,
        });
    }
    gadgets::affine(gates, &total.unwrap_or_default(), 1, half(shift), shift, bits)
}

/// The elements of a parameter that stand against some lanes of a node, broadcast as in ONNX.
fn broadcast<G: Gates, W: Weights<G>>(
    gates: &mut G,
    plan: &FixedGraph,
    node: &Node,
    param: ParamId,
    weights: &mut W,
    (lanes, digits): (&Range<usize>, bool),
) -> Result<Vec<G::Known>, G::Error> {
    let info = &plan.params[param];
    let indices: Vec<usize> =
        lanes.clone().map(|lane| broadcast_index(&node.shape, &info.shape, lane)).collect();
    let encoding =
        if digits { Encoding::Digits { bits: info.bits } } else { Encoding::Plain { bits: info.bits } };
    weights.load(gates, param, &indices, encoding)
}

/// Index into a tensor of shape `small` that stands against element `lane` of a tensor of shape `shape`.
pub fn broadcast_index(shape: &[usize], small: &[usize], mut lane: usize) -> usize {
    let (mut index, mut stride) = (0, 1);
    for axis in (0..shape.len()).rev() {
        let coordinate = lane % shape[axis];
        lane /= shape[axis];
        if let Some(small_axis) = (axis + small.len()).checked_sub(shape.len()) {
            if small[small_axis] != 1 {
                index += coordinate * stride;
            }
            stride *= small[small_axis];
        }
    }
    index
}

/// Data movement: each element of the result, in its format's width, is one of an operand's or a public constant.
pub fn movement<G: Gates>(
    gates: &mut G,
    plan: &FixedGraph,
    node: &Node,
    operands: &[Word<G::Wires>],
) -> Word<G::Wires> {
    gadgets::resize(&moved(gates, plan, node, operands), node.format.bits as usize)
}

/// The elements that a node moves, as wide as the widest of its operands and constants.
pub fn moved<G: Gates>(
    gates: &mut G,
    plan: &FixedGraph,
    node: &Node,
    operands: &[Word<G::Wires>],
) -> Word<G::Wires> {
    if let (Op::Reshape, [operand]) = (&node.op, operands) {
        return operand.clone();
    }
    let Places { places, constants } = places(plan, node);
    let mut parts: Vec<Word<G::Wires>> = operands.to_vec();
    if !constants.is_empty() {
        let wide = constants.iter().map(|value| width_of(*value)).max().unwrap_or(1);
        parts.push(gadgets::public_lanes(gates, &constants, wide));
    }
    let joined = gadgets::concat(gates, &parts.iter().collect::<Vec<_>>());
    gadgets::gather(gates, &joined, &places)
}

/// Index of the largest value along an axis, as wide as it needs.
pub fn arg_max<G: Gates>(
    gates: &mut G,
    (plan, node): (&FixedGraph, &Node),
    (axis, last): (usize, bool),
    x: &Word<G::Wires>,
) -> Result<Word<G::Wires>, G::Error> {
    let shape = &plan.nodes[node.inputs[0]].shape;
    let inner: usize = shape[axis + 1..].iter().product();
    let outer: usize = shape[..axis].iter().product();
    let classes = shape[axis];
    let mut pieces = Pieces::default();
    // All candidates of a tile are in memory together.
    for tile in blocks(outer * inner, (CANDIDATES / classes.max(1)).max(1)) {
        let candidates: Vec<Word<G::Wires>> = (0..classes)
            .map(|class| {
                let place = |lane: usize| (lane / inner * classes + class) * inner + lane % inner;
                let lanes: Vec<u32> = tile.clone().map(|lane| place(lane) as u32).collect();
                gadgets::gather(gates, x, &lanes)
            })
            .collect();
        let largest = gadgets::arg_max(gates, &candidates, last)?;
        pieces.push(gates, largest);
    }
    Ok(pieces.finish(gates))
}

/// Index of the lane with the largest value, the first of several.
pub fn arg_max_of_lanes<G: Gates>(gates: &mut G, x: &Word<G::Wires>) -> Result<Word<G::Wires>, G::Error> {
    let candidates: Vec<Word<G::Wires>> =
        (0..x.lanes() as u32).map(|lane| gadgets::gather(gates, x, &[lane])).collect();
    gadgets::arg_max(gates, &candidates, false)
}

#[cfg(test)]
mod tests {
    use super::broadcast_index;

    #[test]
    fn broadcasting_follows_onnx() {
        let index = |small: &[usize], lane| broadcast_index(&[2, 3, 4], small, lane);
        assert_eq!(index(&[], 17), 0);
        assert_eq!(index(&[4], 17), 1);
        assert_eq!(index(&[3, 1], 17), 1);
        assert_eq!(index(&[2, 1, 4], 17), 5);
        assert_eq!(index(&[2, 3, 4], 17), 17);
    }
}
