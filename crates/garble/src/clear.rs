//! The interpreter that computes in the clear: the oracle of tests.

use core::convert::Infallible;
use std::sync::Arc;

use crate::gates::Gates;

/// Computes on plain bits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clear;

/// One wire in the clear, a bit an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClearWires(Arc<[bool]>);

impl ClearWires {
    /// The wire with these values.
    pub fn new(bits: &[bool]) -> Self {
        Self(bits.into())
    }

    /// The values.
    pub fn bits(&self) -> &[bool] {
        &self.0
    }
}

fn pairwise(a: &ClearWires, b: &ClearWires, f: impl Fn(bool, bool) -> bool) -> ClearWires {
    debug_assert_eq!(a.0.len(), b.0.len());
    ClearWires(a.0.iter().zip(b.0.iter()).map(|(a, b)| f(*a, *b)).collect())
}

impl Gates for Clear {
    type Wires = ClearWires;
    type Known = ClearWires;
    type Error = Infallible;

    fn and(&mut self, a: &ClearWires, b: &ClearWires) -> Result<ClearWires, Infallible> {
        Ok(pairwise(a, b, |a, b| a & b))
    }

    fn and_known(&mut self, a: &ClearWires, b: &ClearWires) -> Result<ClearWires, Infallible> {
        self.and(a, b)
    }

    fn xor(&mut self, a: &ClearWires, b: &ClearWires) -> ClearWires {
        pairwise(a, b, |a, b| a ^ b)
    }

    fn not(&mut self, a: &ClearWires) -> ClearWires {
        ClearWires(a.0.iter().map(|bit| !bit).collect())
    }

    fn constant(&mut self, bit: bool, lanes: usize) -> ClearWires {
        ClearWires(vec![bit; lanes].into())
    }

    fn forget(&self, known: &ClearWires) -> ClearWires {
        known.clone()
    }

    fn gather(&self, a: &ClearWires, lanes: &[u32]) -> ClearWires {
        ClearWires(lanes.iter().map(|lane| a.0[*lane as usize]).collect())
    }

    fn slice(&self, a: &ClearWires, lanes: core::ops::Range<usize>) -> ClearWires {
        ClearWires(a.0[lanes].into())
    }

    fn gather_known(&self, known: &ClearWires, lanes: &[u32]) -> ClearWires {
        self.gather(known, lanes)
    }

    fn concat(&self, parts: &[&ClearWires]) -> ClearWires {
        ClearWires(parts.iter().flat_map(|part| part.0.iter().copied()).collect())
    }
}
