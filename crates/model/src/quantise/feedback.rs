//! Weights rounded with an eye on what they meet.
//!
//! The error that rounding one weight causes on sample inputs is made good by how the next ones are rounded (the
//! greedy scheme of Lybrand and Saab, "A Greedy Algorithm for Quantizing Neural Networks", 2021). Inputs of a layer are
//! alike in many directions, brightness first of all, and there the errors cancel instead of adding up: the same outputs
//! with a bit or two less in every weight.

use rayon::prelude::*;

use crate::error::Error;
use crate::fixed::Window;
use crate::float;
use crate::graph::{Graph, Layer};
use crate::ranges::Ranges;

/// Rows of inputs that a layer is fitted to.
const ROWS: usize = 192;
/// How much a weight's own error counts beside the samples', relative to a weight's mean square of inputs: samples are
/// few, and an input unlike them should not suffer.
const OWN: f64 = 1.0;
/// Elements of rows that are kept for one layer.
const MOST: usize = 1 << 22;

/// What the layers with weights are multiplied with on samples: for each node, for each group of channels, columns (one a
/// weight of a row) of equal length.
pub(super) struct Columns {
    nodes: Vec<Vec<Group>>,
}

/// The columns of a group of channels: `count` numbers for each weight of a row.
struct Group {
    count: usize,
    columns: Vec<f32>,
}

impl Columns {
    /// Looks at three of four samples; the others stay unseen, so that errors measured on all are honest.
    pub(super) fn new(graph: &Graph, ranges: &Ranges) -> Result<Self, Error> {
        let mut rows: Vec<Vec<Vec<f32>>> = vec![Vec::new(); graph.nodes.len()];
        let kept: Vec<_> =
            ranges.samples.iter().enumerate().filter(|(i, _)| i % 4 != 3).map(|s| s.1).collect();
        let each = ROWS.div_ceil(kept.len().max(1));
        for (number, sample) in kept.iter().enumerate() {
            let mut values: Vec<Vec<f32>> = Vec::with_capacity(graph.nodes.len());
            float::trace(graph, sample, |_, v| values.push(v.to_vec()))?;
            for (id, node) in graph.nodes.iter().enumerate() {
                if let Some(&x) = node.inputs.first() {
                    let shape = &graph.nodes[x].shape;
                    take(&node.layer, &values[x], shape, &node.shape, each, number, &mut rows[id]);
                }
            }
        }
        let nodes = graph.nodes.iter().zip(rows).map(|(node, rows)| transposed(&node.layer, rows)).collect();
        Ok(Self { nodes })
    }

    /// The weights of a layer, rounded to `2^-frac`; none where nothing was seen.
    pub(super) fn rounded(&self, id: usize, weights: &[f32], outputs: usize, frac: i32) -> Option<Vec<f32>> {
        let groups = &self.nodes[id];
        let terms = weights.len() / outputs.max(1);
        let each = outputs / groups.len().max(1);
        if groups.is_empty() || each == 0 || groups.iter().any(|g| g.columns.len() != g.count * terms) {
            return None;
        }
        let energy: Vec<Vec<f64>> = groups.iter().map(Group::energies).collect();
        let mut rounded = weights.to_vec();
        rounded.par_chunks_mut(terms).enumerate().for_each(|(row, weights)| {
            let at = (row / each).min(groups.len() - 1);
            groups[at].round(weights, &energy[at], frac);
        });
        Some(rounded)
    }
}

impl Group {
    fn energies(&self) -> Vec<f64> {
        let square = |column: &[f32]| column.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
        self.columns.chunks_exact(self.count).map(square).collect()
    }

    /// Rounds one row of weights, those with the largest inputs first.
    fn round(&self, weights: &mut [f32], energy: &[f64], frac: i32) {
        let own = OWN * energy.iter().sum::<f64>() / energy.len().max(1) as f64 + f64::MIN_POSITIVE;
        let (up, down) = (2f64.powi(frac), 2f64.powi(-frac));
        let mut order: Vec<usize> = (0..weights.len()).collect();
        order.sort_by(|&a, &b| energy[b].total_cmp(&energy[a]));
        let mut owed = vec![0f64; self.count];
        for at in order {
            let column = &self.columns[at * self.count..(at + 1) * self.count];
            let along: f64 = owed.iter().zip(column).map(|(o, &v)| o * f64::from(v)).sum();
            let wanted = f64::from(weights[at]);
            let got = ((wanted + along / (energy[at] + own)) * up).round() * down;
            for (o, &v) in owed.iter_mut().zip(column) {
                *o += (wanted - got) * f64::from(v);
            }
            weights[at] = got as f32;
        }
    }
}

/// Takes rows of a layer's operand: for each group, what one row of weights is multiplied with. The groups of a row
/// stand one after the other.
fn take(
    layer: &Layer,
    x: &[f32],
    shape: &[usize],
    result: &[usize],
    most: usize,
    number: usize,
    rows: &mut Vec<Vec<f32>>,
) {
    match layer {
        Layer::Dense { weight, .. } => {
            let terms = weight.shape()[1];
            let count = x.len() / terms.max(1);
            for i in 0..most.min(count) {
                let row = (i * count / most.min(count) + number) % count;
                rows.push(x[row * terms..(row + 1) * terms].to_vec());
            }
        }
        Layer::Conv { window, .. } => {
            let positions = result[2] * result[3];
            for i in 0..most.min(positions) {
                // Steps of the golden ratio spread over the plane, and differently in every sample.
                let share = ((i + number * most) as f64 * 0.618_033_988_749_895).fract();
                let at = (share * positions as f64) as usize % positions;
                rows.push(patch(x, shape, window, at / result[3], at % result[3]));
            }
        }
        _ => {}
    }
}

/// The taps under a window, all channels.
fn patch(x: &[f32], shape: &[usize], window: &Window, row: usize, column: usize) -> Vec<f32> {
    let mut taps = Vec::with_capacity(shape[1] * window.kernel[0] * window.kernel[1]);
    for channel in 0..shape[1] {
        for i in 0..window.kernel[0] {
            for j in 0..window.kernel[1] {
                let y = (row * window.stride[0] + i * window.dilation[0]).wrapping_sub(window.pads[0]);
                let z = (column * window.stride[1] + j * window.dilation[1]).wrapping_sub(window.pads[1]);
                let inside = y < shape[2] && z < shape[3];
                taps.push(if inside { x[(channel * shape[2] + y) * shape[3] + z] } else { 0.0 });
            }
        }
    }
    taps
}

/// Columns from rows; none where they would be too many.
fn transposed(layer: &Layer, rows: Vec<Vec<f32>>) -> Vec<Group> {
    let groups = if let Layer::Conv { groups, .. } = layer { *groups } else { 1 };
    let Some(width) = rows.first().map(Vec::len) else { return Vec::new() };
    if width * rows.len() > MOST || groups == 0 {
        return Vec::new();
    }
    let terms = width / groups;
    let columns = |group: usize| {
        (0..terms).flat_map(|t| rows.iter().map(move |row| row[group * terms + t])).collect::<Vec<f32>>()
    };
    (0..groups).map(|g| Group { count: rows.len(), columns: columns(g) }).collect()
}
