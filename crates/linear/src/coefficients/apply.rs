//! Weights as factors, and a layer's execution.

use rayon::prelude::*;

use super::layout::Layout;
use super::products::Products;
use crate::Error;

/// A layer's weights: encoded once, or made when they are needed.
pub struct Factors<F> {
    /// For each tile of filters those of the tiles of channels that it reads.
    kept: Option<Vec<Vec<F>>>,
}

impl<F: Send + Sync> Factors<F> {
    /// Bytes that all factors of a layout take.
    pub fn bytes<P: Products<Factor = F>>(products: &P, layout: &Layout) -> usize {
        let pairs: usize = (0..layout.filter_tiles()).map(|filters| layout.met(filters).len()).sum();
        pairs.saturating_mul(products.factor_bytes())
    }

    /// Encodes all weights.
    ///
    /// # Errors
    /// If a weight does not fit the ring.
    pub fn encode<P: Products<Factor = F>>(
        products: &P,
        layout: &Layout,
        weight: impl Fn(usize) -> i64 + Sync,
    ) -> Result<Self, Error> {
        let row = |filters: usize| {
            let factor = |channels| products.factor(&layout.factor(filters, channels, &weight));
            layout.met(filters).map(factor).collect::<Result<Vec<F>, Error>>()
        };
        Ok(Self {
            kept: Some((0..layout.filter_tiles()).into_par_iter().map(row).collect::<Result<_, _>>()?),
        })
    }

    /// Factors that are made each time.
    pub fn on_the_fly() -> Self {
        Self { kept: None }
    }
}

/// Runs a layer. Operands come tile of channels by tile, each with all blocks; results likewise tile of filters by tile.
///
/// # Errors
/// If operands are missing or of another ring.
pub fn apply<P: Products>(
    products: &P,
    layout: &Layout,
    factors: &Factors<P::Factor>,
    weight: impl Fn(usize) -> i64 + Sync,
    operands: &[P::Ciphertext],
) -> Result<Vec<P::Ciphertext>, Error> {
    let (blocks, channels) = (layout.blocks(), layout.channel_tiles());
    if operands.len() != blocks * channels {
        return Err(Error::TooMany(operands.len(), blocks * channels));
    }
    let tile = |filters: usize| {
        let met = layout.met(filters);
        let made: Vec<P::Factor>;
        let row = match factors.kept.as_ref().map(|rows| rows.get(filters)) {
            Some(row) => row.ok_or(Error::Empty)?,
            None => {
                let factor = |c| products.factor(&layout.factor(filters, c, &weight));
                made = met.clone().map(factor).collect::<Result<_, _>>()?;
                &made
            }
        };
        let sum = |block: usize| {
            let terms = met.clone().map(|c| &operands[c * blocks + block]).zip(row);
            products.dot(&terms.collect::<Vec<_>>())
        };
        (0..blocks).into_par_iter().map(sum).collect::<Result<Vec<_>, _>>()
    };
    let tiles: Vec<Vec<P::Ciphertext>> =
        (0..layout.filter_tiles()).into_par_iter().map(tile).collect::<Result<_, _>>()?;
    Ok(tiles.into_iter().flatten().collect())
}
