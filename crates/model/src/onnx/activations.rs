//! Activations, and the steps at a network's end.

use std::sync::Arc;

use crate::graph::Layer;

use super::attributes::NodeView;
use super::import::{Importer, Results, Stop, Value};

/// Bounds beyond this are no bounds: exporters write the largest float.
const UNBOUNDED: f32 = 3.0e38;

pub(super) fn relu<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let x = im.operand(node, 0)?;
    Ok(vec![im.push(node, Layer::Relu, &[&x], &[])?])
}

pub(super) fn leaky<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let x = im.operand(node, 0)?;
    let slope = node.float("alpha", 0.01)?;
    Ok(vec![im.push(node, Layer::LeakyRelu { slope }, &[&x], &[])?])
}

pub(super) fn prelu<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let x = im.operand(node, 0)?;
    let slope = Arc::new(im.constant(node, 1, "slope")?.tensor()?);
    Ok(vec![im.push(node, Layer::PRelu { slope }, &[&x], &[])?])
}

pub(super) fn clip<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let x = im.operand(node, 0)?;
    let mut bounds = [f32::NEG_INFINITY, f32::INFINITY];
    for (i, name) in ["min", "max"].iter().enumerate() {
        if im.optional(node, i + 1).is_some() {
            let constant = im.constant(node, i + 1, name)?;
            bounds[i] = constant.scalar().ok_or_else(|| node.error(format!("{name} is not one number")))?;
        } else if im.opset < 11 && node.has(name) {
            bounds[i] = node.float(name, 0.0)?;
        }
    }
    Ok(vec![clamp(im, node, &x, bounds[0], bounds[1])?])
}

/// A clamp, or the simpler layer that it is.
pub(super) fn clamp<'a>(
    im: &mut Importer<'a>,
    node: NodeView<'a>,
    x: &Value,
    low: f32,
    high: f32,
) -> Result<Value, Stop> {
    if low.is_nan() || high.is_nan() {
        return Err(node.error("a bound is not a number").into());
    }
    // All values become `high` where the bounds are the wrong way round.
    let low = if low <= -UNBOUNDED { f32::NEG_INFINITY } else { low.min(high) };
    let high = if high >= UNBOUNDED { f32::INFINITY } else { high };
    Ok(match (low, high) {
        (f32::NEG_INFINITY, f32::INFINITY) => x.clone(),
        (0.0, f32::INFINITY) => im.push(node, Layer::Relu, &[x], &[])?,
        _ => im.push(node, Layer::Clamp { low, high }, &[x], &[])?,
    })
}

pub(super) fn hard_sigmoid<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let x = im.operand(node, 0)?;
    let (factor, addend) = (node.float("alpha", 0.2)?, node.float("beta", 0.5)?);
    Ok(vec![ramp(im, node, &x, factor, addend)?])
}

pub(super) fn hard_swish<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let x = im.operand(node, 0)?;
    let gate = ramp(im, node, &x, 1.0 / 6.0, 0.5)?;
    Ok(vec![im.push(node, Layer::Product, &[&x, &gate], &[])?])
}

/// `min(max(factor x + addend, 0), 1)`.
fn ramp<'a>(
    im: &mut Importer<'a>,
    node: NodeView<'a>,
    x: &Value,
    factor: f32,
    addend: f32,
) -> Result<Value, Stop> {
    let line = im.push(node, Layer::PublicAffine { factor, addend }, &[x], &[])?;
    Ok(im.push(node, Layer::Clamp { low: 0.0, high: 1.0 }, &[&line], &[])?)
}

pub(super) fn smooth<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let x = im.operand(node, 0)?;
    let layer = if node.op() == "Sigmoid" { Layer::Sigmoid } else { Layer::Tanh };
    Ok(vec![im.push(node, layer, &[&x], &[])?])
}

/// Before opset 13 softmax ran over all axes from `axis` on, which defaulted to 1.
pub(super) fn softmax<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let x = im.operand(node, 0)?;
    let log = node.op() == "LogSoftmax";
    let shape = im.shape(&x)?;
    if im.opset >= 13 {
        let axis = node.axis(node.int("axis", -1), shape.len())?;
        return Ok(vec![im.push(node, Layer::Softmax { axis, log }, &[&x], &[])?]);
    }
    let axis = match node.int("axis", 1) {
        axis if axis == shape.len() as i64 => shape.len(),
        axis => node.axis(axis, shape.len())?,
    };
    let long: Vec<usize> = (axis..shape.len()).filter(|&a| shape[a] > 1).collect();
    if let ([] | [_], Some(&first)) = (long.as_slice(), long.first().or(shape.len().checked_sub(1).as_ref()))
    {
        return Ok(vec![im.push(node, Layer::Softmax { axis: first, log }, &[&x], &[])?]);
    }
    let flat = [shape[..axis].iter().product(), shape[axis..].iter().product()];
    let rows = im.movement(node, Layer::Reshape, &x, &flat)?;
    let soft = im.push(node, Layer::Softmax { axis: 1, log }, &[&rows], &[])?;
    Ok(vec![im.movement(node, Layer::Reshape, &soft, &shape)?])
}

pub(super) fn arg_max<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let x = im.operand(node, 0)?;
    let mut shape = im.shape(&x)?;
    let axis = node.axis(node.int("axis", 0), shape.len())?;
    let last = node.int("select_last_index", 0) != 0;
    let index = im.push(node, Layer::ArgMax { axis, last }, &[&x], &[])?;
    if node.int("keepdims", 1) != 0 {
        return Ok(vec![index]);
    }
    shape.remove(axis);
    Ok(vec![im.movement(node, Layer::Reshape, &index, &shape)?])
}
