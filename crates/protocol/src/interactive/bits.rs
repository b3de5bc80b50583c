//! How many bits the values of a tensor take, as far as the operations before it imply it: with so many its shares enter a circuit.

use model::fixed::{FixedGraph, NodeId, Op};

/// Bits of a node's values as signed numbers, from those of its operands; at most the ring's.
pub fn of(graph: &FixedGraph, id: NodeId, ring: u32, operand: impl Fn(NodeId) -> u32) -> u32 {
    let node = &graph.nodes[id];
    let widest = || node.inputs.iter().map(|input| operand(*input)).max().unwrap_or(ring);
    let after = |shift: u32| graph.sum_bits(id, shift).saturating_sub(shift).max(1);
    let bits = match &node.op {
        Op::Input => node.format.bits,
        Op::Constant { values } => values.iter().map(|value| signed(*value)).max().unwrap_or(1),
        Op::Conv { shift, .. } | Op::Dense { shift, .. } => {
            shift.iter().map(|shift| after(*shift)).max().unwrap_or(ring)
        }
        Op::AveragePool { window, factor, shift: 0 } => {
            let factor = factor.iter().map(|factor| signed(*factor)).max().unwrap_or(ring);
            widest() + window.taps().next_power_of_two().trailing_zeros() + factor - 1
        }
        Op::Sum { terms, shift: 0 } => {
            let term = |(input, left): (&NodeId, u32)| operand(*input).saturating_add(left);
            let most = node.inputs.iter().zip(terms.iter().map(|term| term.left)).map(term).max();
            let negated = u32::from(terms.iter().any(|term| term.negative));
            most.unwrap_or(ring) + negated + terms.len().next_power_of_two().trailing_zeros()
        }
        Op::AveragePool { shift, .. }
        | Op::Sum { shift, .. }
        | Op::PublicAffine { shift, .. }
        | Op::Affine { shift, .. }
        | Op::Product { shift } => after(*shift),
        Op::Relu | Op::MaxPool { .. } => widest(),
        Op::Clamp { low, high } => widest().max(signed(*low)).max(signed(*high)),
        Op::Pad { value, .. } => widest().max(signed(*value)),
        op if op.movement().is_some() => widest(),
        _ => ring,
    };
    bits.clamp(1, ring)
}

/// Bits of a signed number.
fn signed(value: i64) -> u32 {
    65 - (value ^ value >> 63).leading_zeros()
}

#[cfg(test)]
mod tests {
    use super::signed;

    #[test]
    fn signed_numbers() {
        let cases =
            [(0, 1), (-1, 1), (1, 2), (-2, 2), (-3, 3), (127, 8), (-128, 8), (i64::MIN, 64), (i64::MAX, 64)];
        for (value, bits) in cases {
            assert_eq!(signed(value), bits, "{value}");
        }
    }
}
