//! Operations inside a circuit, on integers modulo 2^k: what `model::fixed::Op` states under a ring, gate by gate.

use std::collections::BTreeMap;

use garble::gadgets;
use garble::meaning::Format as Width;
use garble::projection::Project;
use garble::word::Word;
use model::fixed::{FixedGraph, Format, Node, NodeId, Op, ParamId, Term, Window};

use super::circuit::Party;
use super::lanes::{Lanes, TILE, join};
use super::program::Program;
use crate::garbled::elementwise::broadcast_index;
use crate::garbled::pool::{View, Views, half, most};

/// The low bits of a sum, read as a signed number and shifted to the right.
fn settle<W: Clone>(x: &Word<W>, bits: u32, shift: u32) -> Word<W> {
    let width = x.width().min(bits as usize);
    gadgets::shift_right(&gadgets::resize(x, width), shift as usize)
}

fn width(format: Format) -> Width {
    Width { bits: format.bits, frac: format.frac }
}

/// `(x * factor + addend) >> shift` with public numbers.
fn affine<G: Project>(
    g: &mut G,
    x: &Word<G::Wires>,
    (factor, addend, shift): (i64, i64, u32),
    bits: u32,
) -> Result<Word<G::Wires>, G::Error> {
    let product = gadgets::mul_constant(g, x, factor)?;
    if addend == 0 {
        return Ok(settle(&product, bits, shift));
    }
    let addend = Word::public(addend, garble::meaning::width_of(addend), x.lanes());
    let wide = product.width().max(addend.width()) + 1;
    let sum = gadgets::add_wrapping(g, &product, &addend, wide.min(bits as usize))?;
    Ok(settle(&sum, bits, shift))
}

/// An operation on elements by themselves: `lanes` are the elements, `operands` the operands' words of them.
pub fn elementwise<G: Project, P: Party<G>>(
    g: &mut G,
    program: &Program,
    (id, node): (NodeId, &Node),
    (operands, lanes): (&[Word<G::Wires>], &Lanes),
    party: &mut P,
) -> Result<Word<G::Wires>, G::Error> {
    let (ring, x) = (program.ring, &operands[0]);
    let sum_bits = |shift: u32| program.graph.sum_bits(id, shift);
    match &node.op {
        Op::Relu => gadgets::relu(g, x),
        Op::Clamp { low, high } => gadgets::clamp(g, x, *low, *high),
        Op::LeakyRelu { factor, shift } => {
            let scaled = affine(g, x, (*factor, half(*shift), *shift), ring)?;
            gadgets::mux_sign(g, x, &scaled)
        }
        Op::PRelu { slope, shift } => {
            let slopes = parameter(g, program.graph, node, *slope, lanes, party)?;
            let product = gadgets::mul_low(g, x, &slopes, most_bits(x, &slopes, ring))?;
            let scaled = affine(g, &product, (1, half(*shift), *shift), ring)?;
            gadgets::mux_sign(g, x, &scaled)
        }
        Op::Sigmoid | Op::Tanh => {
            let from = program.graph.nodes[node.inputs[0]].format;
            let clamped = gadgets::saturate(g, x, from.bits as usize)?;
            let function = if node.op == Op::Sigmoid { gadgets::sigmoid } else { gadgets::tanh };
            function(g, &clamped, width(from), width(node.format))
        }
        Op::PublicAffine { factor, addend, shift } => {
            affine(g, x, (*factor, *addend, *shift), sum_bits(*shift))
        }
        Op::Affine { weight, left, bias, shift } => {
            let product = match weight {
                Some(weight) => {
                    let weights = parameter(g, program.graph, node, *weight, lanes, party)?;
                    gadgets::mul_low(g, x, &weights, most_bits(x, &weights, sum_bits(*shift)))?
                }
                None => gadgets::shift_left(x, *left as usize),
            };
            let bias = parameter(g, program.graph, node, *bias, lanes, party)?;
            let wide = product.width().max(bias.width()) + 1;
            let sum = gadgets::add_wrapping(g, &product, &bias, wide.min(sum_bits(*shift) as usize))?;
            Ok(settle(&sum, sum_bits(*shift), *shift))
        }
        Op::Sum { terms, shift } => sum(g, operands, terms, *shift, sum_bits(*shift)),
        Op::Product { shift } => {
            let product = if node.inputs[0] == node.inputs[1] {
                gadgets::square_low(g, x, most_bits(x, x, sum_bits(*shift)))?
            } else {
                let y = operands.get(1).unwrap_or(x);
                gadgets::mul_low(g, x, y, most_bits(x, y, sum_bits(*shift)))?
            };
            affine(g, &product, (1, half(*shift), *shift), sum_bits(*shift))
        }
        // Every other operation has its own function; none reaches this one.
        _ => Ok(x.clone()),
    }
}

/// Bits of a product that count.
fn most_bits<W>(a: &Word<W>, b: &Word<W>, bits: u32) -> usize {
    (a.width() + b.width()).min(bits as usize)
}

/// `(sum of +-(x << left) + half) >> shift`.
fn sum<G: Project>(
    g: &mut G,
    operands: &[Word<G::Wires>],
    terms: &[Term],
    shift: u32,
    bits: u32,
) -> Result<Word<G::Wires>, G::Error> {
    let mut total: Option<Word<G::Wires>> = None;
    for (operand, term) in operands.iter().zip(terms) {
        let part = gadgets::shift_left(operand, term.left as usize);
        let part = gadgets::resize(&part, part.width().min(bits as usize));
        total = Some(match (total, term.negative) {
            (None, false) => part,
            (None, true) => gadgets::neg(g, &part)?,
            (Some(total), negative) => {
                let wide = (total.width().max(part.width()) + 1).min(bits as usize);
                let add = if negative { gadgets::sub_wrapping } else { gadgets::add_wrapping };
                add(g, &total, &part, wide)?
            }
        });
    }
    affine(g, &total.unwrap_or_default(), (1, half(shift), shift), bits)
}

/// The server's parameters that stand against some elements of a node, broadcast as in ONNX.
fn parameter<G: Project, P: Party<G>>(
    g: &mut G,
    graph: &FixedGraph,
    node: &Node,
    param: ParamId,
    lanes: &Lanes,
    party: &mut P,
) -> Result<Word<G::Wires>, G::Error> {
    let info = &graph.params[param];
    let indices: Vec<usize> =
        lanes.iter().map(|lane| broadcast_index(&node.shape, &info.shape, lane)).collect();
    party.parameter(g, param, &indices, info.bits)
}

/// Mean under the window: the sum of the taps by a public factor, rounded.
pub fn average<G: Project>(
    g: &mut G,
    program: &Program,
    (id, node): (NodeId, &Node),
    (window, factors, shift): (&Window, &[i64], u32),
    x: &Word<G::Wires>,
) -> Result<Word<G::Wires>, G::Error> {
    let views = Views::new((program.graph, node), window);
    let count: usize = node.shape.iter().product();
    let mut by_factor: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    for lane in 0..count {
        let factor = factors.get(lane % views.positions()).or(factors.first()).copied().unwrap_or(0);
        by_factor.entry(factor).or_default().push(lane as u32);
    }
    let (mut tiles, mut words) = (Vec::new(), Vec::new());
    for (factor, lanes) in by_factor {
        for tile in lanes.chunks(TILE) {
            let seen: Vec<View> = tile.iter().map(|lane| views.of(*lane as usize)).collect();
            let sum = add_taps(g, x, &seen)?;
            let bits = program.graph.sum_bits(id, shift);
            words.push(affine(g, &sum, (factor, half(shift), shift), bits)?);
            tiles.push(Lanes::Set(tile.to_vec()));
        }
    }
    Ok(join(g, &tiles, &words, count))
}

/// The sum of each view's taps; views at the margin have fewer.
fn add_taps<G: Project>(g: &mut G, x: &Word<G::Wires>, views: &[View]) -> Result<Word<G::Wires>, G::Error> {
    // Behind the last element stands a zero, for the taps that a view lacks.
    let zero = Word::public(0, 1, 1);
    let padded = gadgets::concat(g, &[x, &zero]);
    let mut level: Vec<Word<G::Wires>> = (0..most(views))
        .map(|tap| {
            let lanes: Vec<u32> =
                views.iter().map(|view| view.tap(tap).unwrap_or(x.lanes()) as u32).collect();
            gadgets::gather(g, &padded, &lanes)
        })
        .collect();
    while level.len() > 1 {
        let mut next = Vec::with_capacity(level.len().div_ceil(2));
        for pair in level.chunks(2) {
            next.push(match pair {
                [a, b] => gadgets::add_signed(g, a, b)?,
                _ => pair[0].clone(),
            });
        }
        level = next;
    }
    Ok(level.pop().unwrap_or_else(|| Word::public(0, 1, views.len())))
}
