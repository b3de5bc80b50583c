//! What the offline phase makes, stage by stage. Used once: the online phase takes it by value.

use garble::late::LatePads;
use kernel::block::Block;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::products::Kept;
use super::transfers::Received;

/// The server's material of a stage.
#[derive(Default)]
pub struct ServerStage {
    /// For each linear layer its share of the operand, and the number under which the replies' masks are drawn.
    pub operands: Vec<Vec<u64>>,
    /// Its shares of products, but for what the client sends.
    pub products: Vec<Vec<u64>>,
    /// What answers the client's corrections.
    pub pads: LatePads,
}

impl Drop for ServerStage {
    fn drop(&mut self) {
        self.operands.zeroize();
        self.products.zeroize();
    }
}

/// The client's material of a stage. Erased on drop.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
pub struct ClientStage {
    /// Garbled tables.
    pub tables: Vec<Block>,
    /// Transfers.
    pub transfers: Received,
    /// Colours of the zero-labels of results that the client learns.
    pub colours: Vec<bool>,
    /// What products on shares need.
    pub products: Vec<Kept>,
}

/// Bytes of material that are made ahead: stages beyond wait until those before have run. A stage larger than that is made
/// alone.
pub const AHEAD_BYTES: usize = 2 << 30;

/// Cuts stages into groups whose material, in bytes, fits [`AHEAD_BYTES`].
pub fn groups(bytes: &[usize]) -> Vec<std::ops::Range<usize>> {
    let mut groups: Vec<std::ops::Range<usize>> = Vec::new();
    let mut sum = 0usize;
    for (stage, bytes) in bytes.iter().enumerate() {
        sum = sum.saturating_add(*bytes);
        match groups.last_mut() {
            Some(group) if sum <= AHEAD_BYTES => group.end = stage + 1,
            _ => {
                groups.push(stage..stage + 1);
                sum = *bytes;
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_grouped_by_memory() {
        let half = AHEAD_BYTES / 2;
        assert_eq!(groups(&[half, half, 1, 2 * AHEAD_BYTES, half, half]), [0..2, 2..3, 3..4, 4..6]);
        assert!(groups(&[]).is_empty());
    }
}
