//! Integers in slots: residues for each plaintext modulus on the way in, the Chinese remainder theorem on the way out.

use bfv::{Parameters, PlainModulus};
use model::fixed::FixedGraph;

use super::outline::{Answer, EMPTY, Outline, Request};
use crate::error::Error;

/// The plaintext modulus of a parameter set, where it is a prime with slots.
pub fn prime(parameters: &Parameters) -> Result<u64, Error> {
    match parameters.plain() {
        PlainModulus::Prime(t) => Ok(t),
        PlainModulus::PowerOfTwo(_) => Err(Error::malformed("plan", "its plaintext modulus has no slots")),
    }
}

/// The slots of ciphertext number `ciphertext` of a request, modulo `t`. `batch` holds the integers of each input of each
/// member.
pub fn request_slots(outline: &Outline, ciphertext: usize, batch: &[Vec<Vec<i64>>], t: u64) -> Vec<u64> {
    let residue = |value: i64| i128::from(value).rem_euclid(i128::from(t)) as u64;
    let element = |member: &Vec<Vec<i64>>, number: usize| {
        let mut rest = number;
        for tensor in member {
            match tensor.get(rest) {
                Some(value) => return residue(*value),
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

/// The results' elements of each member, modulo `t`, from the slots of the reply's ciphertexts.
pub fn answer_residues(outline: &Outline, slots: &[Vec<u64>], members: usize, t: u64) -> Vec<Vec<u64>> {
    let slot =
        |ciphertext: usize, slot: usize| slots.get(ciphertext).and_then(|held| held.get(slot)).copied();
    match &outline.answer {
        Answer::Slots { elements, .. } => {
            let sum = |places: &Vec<super::Place>| {
                let values = places.iter().filter_map(|p| slot(p.ciphertext as usize, p.slot as usize));
                values.fold(0, |sum, value| ((u128::from(sum) + u128::from(value)) % u128::from(t)) as u64)
            };
            vec![elements.iter().map(sum).collect()]
        }
        Answer::Batch { elements } => (0..members)
            .map(|member| (0..*elements).map(|element| slot(element, member).unwrap_or(0)).collect())
            .collect(),
    }
}

/// The integer next to zero with these residues.
///
/// # Errors
/// Where the moduli are not coprime or their product is too large, which a checked outline excludes.
pub fn centred(outline: &Outline, residues: &[u64]) -> Result<i128, Error> {
    let moduli: Vec<PlainModulus> = outline.parameters.iter().map(Parameters::plain).collect();
    let wrong = || Error::malformed("plan", "its plaintext moduli have no common product");
    let value = bfv::compose(&moduli, residues).ok_or_else(wrong)?;
    let product = moduli.iter().try_fold(1u128, |product, modulus| match modulus {
        PlainModulus::Prime(t) => product.checked_mul(u128::from(*t)),
        PlainModulus::PowerOfTwo(_) => None,
    });
    let product = product.ok_or_else(wrong)?;
    Ok(if value > product / 2 { -((product - value) as i128) } else { value as i128 })
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
