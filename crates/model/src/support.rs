//! Which weights of a tensor may differ from zero, where its owner makes that public.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::fixed::NodeId;
use crate::graph::{Graph, Layer};
use crate::tensor::Tensor;

/// A bit for each weight, clear where it is zero. Never inferred: it is information about the weights, so that a model's side
/// file must ask for it (`sparsity = "public"`). On the wire hexadecimal, the first weight in the lowest place of the
/// first byte. Copies share it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Support(Arc<[u8]>);

impl Support {
    /// Of a tensor of `count` values, of which `kept` may differ from zero.
    pub fn new(count: usize, kept: impl Fn(usize) -> bool) -> Self {
        let byte = |start: usize| {
            (start..count.min(start + 8)).rev().fold(0, |byte, index| byte << 1 | u8::from(kept(index)))
        };
        Self((0..count).step_by(8).map(byte).collect())
    }

    /// Whether a weight may differ from zero; none beyond the end does.
    pub fn contains(&self, index: usize) -> bool {
        self.0.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
    }

    /// How many may.
    pub fn count(&self) -> usize {
        self.0.iter().map(|byte| byte.count_ones() as usize).sum()
    }

    /// Whether this is of a tensor of `count` values.
    pub(crate) fn fits(&self, count: usize) -> bool {
        let spare = if count.is_multiple_of(8) { 0 } else { 8 - count % 8 };
        self.0.len() == count.div_ceil(8)
            && self.0.last().is_none_or(|last| last.leading_zeros() as usize >= spare)
    }
}

impl From<Support> for String {
    fn from(support: Support) -> Self {
        let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
        support.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
    }
}

impl TryFrom<String> for Support {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err("a map of zeros is written in hexadecimal digits"),
        };
        let (pairs, rest) = text.as_bytes().as_chunks();
        if !rest.is_empty() {
            return Err("a map of zeros has an even number of digits");
        }
        pairs
            .iter()
            .map(|[high, low]| Ok(digit(*high)? << 4 | digit(*low)?))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// The linear layers in order, with their weights.
pub(crate) fn linear_layers(graph: &Graph) -> impl Iterator<Item = (NodeId, &Tensor)> {
    graph.nodes.iter().enumerate().filter_map(|(id, node)| match &node.layer {
        Layer::Conv { weight, .. } | Layer::Dense { weight, .. } => Some((id, weight.as_ref())),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_survive_the_wire_and_have_one_form() {
        let support = Support::new(19, |i| i % 3 != 0);
        assert_eq!(support.count(), 12);
        assert!((0..19).all(|i| support.contains(i) == (i % 3 != 0)));
        assert!(!support.contains(19) && !support.contains(1000));
        let text = String::from(support.clone());
        assert_eq!(text, "b66d03");
        assert_eq!(Support::try_from(text), Ok(support.clone()));
        assert!(
            support.fits(19)
                && support.fits(18)
                && !support.fits(17)
                && !support.fits(25)
                && !support.fits(16)
        );
        assert!(Support::try_from("b66".to_owned()).is_err());
        assert!(Support::try_from("B66D03".to_owned()).is_err());
    }
}
