//! Integers in slots: residues for each plaintext modulus on the way in, the Chinese remainder theorem on the way out.

use bfv::Parameters;
use model::fixed::FixedGraph;

use super::outline::{Answer, EMPTY, Outline, Place, Request};
use crate::error::Error;

/// What the slots of a parameter set count modulo.
///
/// # Errors
/// Where it has no slots.
pub fn modulus(parameters: &Parameters) -> Result<i128, Error> {
    let modulus = parameters.slot_modulus().and_then(|modulus| i128::try_from(modulus).ok());
    modulus.ok_or_else(|| Error::malformed("plan", "its plaintext modulus has no slots"))
}

/// The residue next to zero.
pub fn centre(value: i128, modulus: i128) -> i128 {
    let residue = value.rem_euclid(modulus);
    if residue > modulus / 2 { residue - modulus } else { residue }
}

/// The slots of ciphertext number `ciphertext` of a request, modulo `modulus`. `batch` holds the integers of each input of
/// each member.
pub fn request_slots(
    outline: &Outline,
    ciphertext: usize,
    batch: &[Vec<Vec<i64>>],
    modulus: i128,
) -> Vec<i128> {
    let element = |member: &Vec<Vec<i64>>, number: usize| {
        let mut rest = number;
        for tensor in member {
            match tensor.get(rest) {
                Some(value) => return centre(i128::from(*value), modulus),
                None => rest -= tensor.len(),
            }
        }
        0
    };
    match &outline.request {
        Request::Slots(held) => {
            let held = held.get(ciphertext).map_or(&[][..], Vec::as_slice);
            let one = |number: &u32| match batch {
                [member] if *number != EMPTY => element(member, *number as usize),
                _ => 0,
            };
            held.iter().map(one).collect()
        }
        Request::Batch { .. } => batch.iter().map(|member| element(member, ciphertext)).collect(),
    }
}

/// The results' elements of each member, modulo `modulus`, from the slots of the reply's ciphertexts.
pub fn answer_residues(
    outline: &Outline,
    slots: &[Vec<i128>],
    members: usize,
    modulus: i128,
) -> Vec<Vec<i128>> {
    let slot =
        |ciphertext: usize, slot: usize| slots.get(ciphertext).and_then(|held| held.get(slot)).copied();
    match &outline.answer {
        Answer::Slots { elements, .. } => {
            let sum = |places: &Vec<Place>| {
                let values = places.iter().filter_map(|p| slot(p.ciphertext as usize, p.slot as usize));
                values.fold(0, |sum, value| centre(sum + value, modulus))
            };
            vec![elements.iter().map(sum).collect()]
        }
        Answer::Batch { elements } => (0..members)
            .map(|member| (0..*elements).map(|element| slot(element, member).unwrap_or(0)).collect())
            .collect(),
    }
}

/// The integer next to zero with these residues, one for each plaintext modulus, by the Chinese remainder theorem.
///
/// # Errors
/// Where the moduli are not coprime or too large, which a checked outline excludes.
pub fn compose(outline: &Outline, residues: &[i128]) -> Result<i128, Error> {
    if let [only] = residues {
        return Ok(*only);
    }
    let wrong = || Error::malformed("plan", "its plaintext moduli have no common product");
    let (mut value, mut product) = (0i128, 1i128);
    for (parameters, residue) in outline.parameters.iter().zip(residues) {
        let p = modulus(parameters)?;
        if p >> 62 != 0 {
            return Err(wrong());
        }
        let inverse = inverse(product.rem_euclid(p), p).ok_or_else(wrong)?;
        let step = (residue - value).rem_euclid(p) * inverse % p;
        value += product * step;
        product = product.checked_mul(p).ok_or_else(wrong)?;
    }
    Ok(centre(value, product))
}

/// The inverse of `a` modulo `p`, by Euclid's algorithm.
fn inverse(a: i128, p: i128) -> Option<i128> {
    let (mut r, mut s) = ((p, a), (0, 1));
    while r.1 != 0 {
        let quotient = r.0 / r.1;
        r = (r.1, r.0 - quotient * r.1);
        s = (s.1, s.0 - quotient * s.1);
    }
    (r.0 == 1).then(|| s.0.rem_euclid(p))
}

/// Cuts a result's elements into the graph's outputs. Each must lie in its format: beyond it the plaintext space may have
/// wrapped around, and a ciphertext that did not decrypt almost surely leaves it.
///
/// # Errors
/// [`Error::Malformed`] where one does not.
pub fn outputs(graph: &FixedGraph, elements: &[i128]) -> Result<Vec<Vec<i128>>, Error> {
    let mut rest = elements;
    let mut outputs = Vec::with_capacity(graph.outputs.len());
    for output in &graph.outputs {
        let node =
            graph.nodes.get(output.node).ok_or_else(|| Error::malformed("plan", "an output is missing"))?;
        let count = node.shape.iter().product::<usize>().min(rest.len());
        let (values, after) = rest.split_at(count);
        let half = 1i128 << (node.format.bits.clamp(1, 126) - 1);
        if values.iter().any(|value| !(-half..half).contains(value)) {
            return Err(Error::malformed(
                "encrypted result",
                "a value lies beyond the range that the network's output has; the input may be far from those that the \
                 ranges were measured on",
            ));
        }
        outputs.push(values.to_vec());
        rest = after;
    }
    Ok(outputs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn residues_make_the_integer_again() {
        assert_eq!((centre(6, 7), centre(-4, 7), centre(3, 7)), (-1, 3, 3));
        for (a, p) in [(3, 7), (5, 65537), (123_456_789, (1 << 61) - 1)] {
            assert_eq!(a * inverse(a, p).unwrap() % p, 1);
        }
        assert_eq!(inverse(6, 9), None);
    }
}
