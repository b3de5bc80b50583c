//! `Pad` in all its modes: constant margins are a layer, margins made of the operand's own elements are slices.

use crate::graph::Layer;

use super::attributes::NodeView;
use super::import::{Importer, Results, Stop, Value};
use super::moves::{MAX_PIECES, joined, piece};

pub(super) fn pad<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let mut x = im.operand(node, 0)?;
    let rank = im.shape(&x)?.len();
    let pads = match node.ints("pads") {
        Some(pads) => pads.to_vec(),
        None => im.optional_ints(node, 1, "pads")?.ok_or_else(|| node.error("its pads are missing"))?,
    };
    let value = match im.optional(node, 2) {
        Some(_) => im
            .constant(node, 2, "value")?
            .scalar()
            .ok_or_else(|| node.error("its value is not one number"))?,
        None => node.float("value", 0.0)?,
    };
    let axes = match im.optional_ints(node, 3, "axes")? {
        Some(axes) => node.axes(&axes, rank)?,
        None => (0..rank).collect(),
    };
    let fits = |v: &i64| v.unsigned_abs() <= crate::tensor::MAX_ELEMENTS as u64;
    if pads.len() != 2 * axes.len() || !pads.iter().all(fits) || !value.is_finite() {
        return Err(node.error(format!("pads {pads:?} with {value} on {} axes", axes.len())).into());
    }
    let (mut before, mut after) = (vec![0; rank], vec![0; rank]);
    for (i, &axis) in axes.iter().enumerate() {
        (before[axis], after[axis]) = (pads[i], pads[axes.len() + i]);
    }
    x = crop(im, node, x, &before, &after)?;
    let grow = |v: &[i64]| v.iter().map(|&v| v.max(0) as usize).collect::<Vec<_>>();
    let (before, after) = (grow(&before), grow(&after));
    if before.iter().chain(&after).all(|&v| v == 0) {
        return Ok(vec![x]);
    }
    match node.text("mode").unwrap_or(b"constant") {
        b"constant" => Ok(vec![im.push(node, Layer::Pad { before, after, value }, &[&x], &[])?]),
        mode @ (b"reflect" | b"edge" | b"wrap") => {
            for axis in 0..rank {
                x = border(im, node, &x, axis, before[axis], after[axis], mode)?;
            }
            Ok(vec![x])
        }
        other => Err(node.error(format!("mode {:?}", String::from_utf8_lossy(other))).into()),
    }
}

/// Negative padding takes elements away.
fn crop<'a>(
    im: &mut Importer<'a>,
    node: NodeView<'a>,
    mut x: Value,
    before: &[i64],
    after: &[i64],
) -> Result<Value, Stop> {
    for axis in 0..before.len() {
        let (first, cut) = ((-before[axis]).max(0) as usize, (-after[axis]).max(0) as usize);
        if first + cut > 0 {
            let length = im.shape(&x)?[axis];
            let count = length.checked_sub(first + cut).filter(|&c| c > 0);
            let count = count.ok_or_else(|| node.error("the padding takes the whole axis away"))?;
            x = piece(im, node, &x, axis, first, 1, count)?;
        }
    }
    Ok(x)
}

/// Margins made of the operand's own elements.
fn border<'a>(
    im: &mut Importer<'a>,
    node: NodeView<'a>,
    x: &Value,
    axis: usize,
    before: usize,
    after: usize,
    mode: &[u8],
) -> Result<Value, Stop> {
    let length = im.shape(x)?[axis];
    let most = if mode == b"edge" {
        MAX_PIECES
    } else if mode == b"reflect" {
        length - 1
    } else {
        length
    };
    if before > most || after > most {
        return Err(node.error(format!("a margin of {} on an axis of {length}", before.max(after))).into());
    }
    let mut parts = Vec::new();
    if before > 0 {
        match mode {
            b"reflect" => parts.push(piece(im, node, x, axis, before, -1, before)?),
            b"wrap" => parts.push(piece(im, node, x, axis, length - before, 1, before)?),
            _ => parts.push(repeated(im, node, x, axis, 0, before)?),
        }
    }
    parts.push(x.clone());
    if after > 0 {
        match mode {
            b"reflect" => parts.push(piece(im, node, x, axis, length - 2, -1, after)?),
            b"wrap" => parts.push(piece(im, node, x, axis, 0, 1, after)?),
            _ => parts.push(repeated(im, node, x, axis, length - 1, after)?),
        }
    }
    joined(im, node, &parts, axis)
}

fn repeated<'a>(
    im: &mut Importer<'a>,
    node: NodeView<'a>,
    x: &Value,
    axis: usize,
    at: usize,
    count: usize,
) -> Result<Value, Stop> {
    let edge = piece(im, node, x, axis, at, 1, 1)?;
    let mut shape = im.shape(&edge)?;
    shape[axis] = count;
    Ok(im.movement(node, Layer::Expand, &edge, &shape)?)
}
