//! Pools: the largest or the mean value under a window.

use std::collections::BTreeMap;

use garble::gadgets;
use garble::gates::Gates;
use garble::word::Word;
use model::fixed::{FixedGraph, Node, Window};

use super::dots::tap_coordinate;
use super::elementwise::in_tiles;
use super::linear::inverse;
use super::sums::sum_lanes;

/// For each output element the input elements under its window.
fn taps(plan: &FixedGraph, node: &Node, window: &Window) -> Vec<Vec<u32>> {
    let input = &plan.nodes[node.inputs[0]].shape;
    let (&[.., h, w], &[.., oh, ow]) = (&input[..], &node.shape[..]) else { return Vec::new() };
    let planes = node.shape.iter().product::<usize>() / (oh * ow).max(1);
    let mut taps = Vec::with_capacity(planes * oh * ow);
    for plane in 0..planes {
        for pixel in 0..oh * ow {
            let tap = |tap: usize| {
                let y = tap_coordinate(window, 0, pixel / ow, tap / window.kernel[1], h)?;
                let x = tap_coordinate(window, 1, pixel % ow, tap % window.kernel[1], w)?;
                Some(((plane * h + y) * w + x) as u32)
            };
            taps.push((0..window.kernel[0] * window.kernel[1]).filter_map(tap).collect());
        }
    }
    taps
}

/// Largest value under the window. Windows with fewer taps than others (at the margin) repeat one of theirs.
pub fn max<G: Gates>(
    gates: &mut G,
    (plan, node): (&FixedGraph, &Node),
    window: &Window,
    x: &Word<G::Wires>,
) -> Result<Word<G::Wires>, G::Error> {
    let taps = taps(plan, node, window);
    let most = taps.iter().map(Vec::len).max().unwrap_or(0);
    in_tiles(gates, taps.len(), |gates, lanes| {
        let tap = |index: usize| -> Vec<u32> {
            taps[lanes.clone()]
                .iter()
                .map(|taps| taps.get(index).or(taps.first()).copied().unwrap_or(0))
                .collect()
        };
        let mut largest = gadgets::gather(gates, x, &tap(0));
        for index in 1..most {
            let next = gadgets::gather(gates, x, &tap(index));
            largest = gadgets::max(gates, &largest, &next)?;
        }
        Ok(largest)
    })
}

/// Mean under the window: the sum of the taps by a public factor, rounded.
pub fn average<G: Gates>(
    gates: &mut G,
    (plan, node): (&FixedGraph, &Node),
    window: &Window,
    factors: &[i64],
    shift: u32,
    x: &Word<G::Wires>,
) -> Result<Word<G::Wires>, G::Error> {
    let taps = taps(plan, node, window);
    let positions = node.shape.iter().rev().take(2).product::<usize>().max(1);
    let factor = |lane: usize| factors.get(lane % positions).or(factors.first()).copied().unwrap_or(0);
    let mut by_factor: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for lane in 0..taps.len() {
        let lane_factor = if factors.len() == 1 { factors[0] } else { factor(lane) };
        by_factor.entry(lane_factor).or_default().push(lane);
    }
    let mut parts = Vec::new();
    let mut places = Vec::new();
    for (factor, lanes) in by_factor {
        parts.push(in_tiles(gates, lanes.len(), |gates, tile| {
            let chosen: Vec<&Vec<u32>> = lanes[tile].iter().map(|lane| &taps[*lane]).collect();
            let sum = sum_taps(gates, x, &chosen)?;
            gadgets::affine(gates, &sum, factor, half(shift), shift, node.format.bits)
        })?);
        places.extend(lanes);
    }
    let joined = gadgets::concat(gates, &parts.iter().collect::<Vec<_>>());
    Ok(gadgets::gather(gates, &joined, &inverse(&places)))
}

/// For each lane the sum of its taps.
fn sum_taps<G: Gates>(
    gates: &mut G,
    x: &Word<G::Wires>,
    taps: &[&Vec<u32>],
) -> Result<Word<G::Wires>, G::Error> {
    let most = taps.iter().map(|taps| taps.len()).max().unwrap_or(0);
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    for index in 0..most {
        for (output, taps) in taps.iter().enumerate() {
            if let Some(tap) = taps.get(index) {
                inputs.push(*tap);
                outputs.push(output as u32);
            }
        }
    }
    let lanes = gadgets::gather(gates, x, &inputs);
    let (sums, places) = sum_lanes(gates, lanes, outputs, taps.len())?;
    Ok(gadgets::gather(gates, &sums, &inverse(&places)))
}

/// Half of the unit that a right shift leaves: adding it rounds to nearest.
pub fn half(shift: u32) -> i64 {
    if shift == 0 { 0 } else { 1 << (shift - 1) }
}
