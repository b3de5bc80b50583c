//! Operators that move data, and those that compute shapes.

use std::sync::Arc;

use crate::fixed::NodeId;
use crate::graph::Layer;
use crate::shapes::broadcast;

use super::attributes::NodeView;
use super::constant::{Constant, Data};
use super::import::{Importer, Results, Stop, Value};
use super::proto::element;

/// The largest number of pieces a gather or split is cut into.
pub(super) const MAX_PIECES: usize = 4096;
/// The largest constant that a range or fill makes.
const MAX_MADE: usize = 1 << 24;

fn made(shape: Vec<usize>, data: Data) -> Value {
    Value::Constant(Arc::new(Constant { shape, data }))
}

fn lengths(node: NodeView<'_>, values: &[i64]) -> Result<Vec<usize>, Stop> {
    let list: Result<Vec<usize>, _> = values.iter().map(|&v| usize::try_from(v)).collect();
    list.map_err(|_| node.error(format!("shape {values:?}")).into())
}

pub(super) fn reshape<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let x = im.operand(node, 0)?;
    let shape = im.shape(&x)?;
    let wanted = im.optional_ints(node, 1, "shape")?.ok_or_else(|| node.error("its shape is missing"))?;
    let allow_zero = node.int("allowzero", 0) != 0;
    if wanted.len() > crate::tensor::MAX_RANK {
        return Err(node.error(format!("a shape with {} axes", wanted.len())).into());
    }
    let mut target = Vec::with_capacity(wanted.len());
    let mut open = None;
    for (i, &length) in wanted.iter().enumerate() {
        target.push(match length {
            -1 if open.replace(i).is_none() => 1,
            0 if !allow_zero => {
                *shape.get(i).ok_or_else(|| node.error("it copies an axis that is not there"))?
            }
            _ => usize::try_from(length).map_err(|_| node.error(format!("shape {wanted:?}")))?,
        });
    }
    if let Some(i) = open {
        let rest = target.iter().try_fold(1usize, |a, &b| a.checked_mul(b)).unwrap_or(0);
        let count: usize = shape.iter().product();
        if rest == 0 || !count.is_multiple_of(rest) {
            return Err(node.error(format!("{count} elements do not fill the shape {wanted:?}")).into());
        }
        target[i] = count / rest;
    }
    Ok(vec![im.movement(node, Layer::Reshape, &x, &target)?])
}

pub(super) fn flatten<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let x = im.operand(node, 0)?;
    let shape = im.shape(&x)?;
    let axis = match node.int("axis", 1) {
        axis if axis == shape.len() as i64 => shape.len(),
        axis => node.axis(axis, shape.len())?,
    };
    let target = [shape[..axis].iter().product(), shape[axis..].iter().product()];
    Ok(vec![im.movement(node, Layer::Reshape, &x, &target)?])
}

pub(super) fn squeeze<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let x = im.operand(node, 0)?;
    let shape = im.shape(&x)?;
    let given = match node.ints("axes") {
        Some(axes) => Some(axes.to_vec()),
        None => im.optional_ints(node, 1, "axes")?,
    };
    let target = if node.op() == "Squeeze" {
        let axes = match given {
            Some(axes) => node.axes(&axes, shape.len())?,
            None => (0..shape.len()).filter(|&a| shape[a] == 1).collect(),
        };
        if let Some(axis) = axes.iter().find(|&&a| shape[a] != 1) {
            return Err(node.error(format!("axis {axis} has length {}, not 1", shape[*axis])).into());
        }
        (0..shape.len()).filter(|a| !axes.contains(a)).map(|a| shape[a]).collect::<Vec<_>>()
    } else {
        let axes = given.ok_or_else(|| node.error("its axes are missing"))?;
        let rank = shape.len() + axes.len();
        if rank > crate::tensor::MAX_RANK {
            return Err(node.error(format!("a result with {rank} axes")).into());
        }
        let axes = node.axes(&axes, rank)?;
        let mut rest = shape.iter();
        (0..rank).map(|a| if axes.contains(&a) { 1 } else { rest.next().copied().unwrap_or(1) }).collect()
    };
    Ok(vec![im.movement(node, Layer::Reshape, &x, &target)?])
}

pub(super) fn transpose<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let x = im.operand(node, 0)?;
    let shape = im.shape(&x)?;
    let perm = match node.ints("perm") {
        Some(perm) => node.axes(perm, shape.len())?,
        None => (0..shape.len()).rev().collect(),
    };
    if perm.len() != shape.len() {
        return Err(node.error(format!("perm {perm:?} for shape {shape:?}")).into());
    }
    let target: Vec<usize> = perm.iter().map(|&p| shape[p]).collect();
    if perm.is_sorted() {
        return Ok(vec![x]);
    }
    Ok(vec![im.movement(node, Layer::Transpose { perm }, &x, &target)?])
}

pub(super) fn concat<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let mut values = Vec::new();
    for index in 0..node.proto.input.len() {
        values.push(im.operand(node, index)?);
    }
    let rank = values.first().map(|v| im.shape(v)).transpose()?.map_or(0, |s| s.len());
    let axis = node.axis(node.int("axis", 0), rank)?;
    Ok(vec![joined(im, node, &values, axis)?])
}

/// Joins values along an axis; empty constants add nothing.
pub(super) fn joined<'a>(
    im: &mut Importer<'a>,
    node: NodeView<'a>,
    values: &[Value],
    axis: usize,
) -> Result<Value, Stop> {
    let full: Vec<&Value> =
        values.iter().filter(|v| !matches!(v, Value::Constant(c) if c.len() == 0)).collect();
    let Some(first) = full.first() else {
        return values.first().cloned().ok_or_else(|| node.error("no operand").into());
    };
    if full.len() == 1 {
        return Ok((*first).clone());
    }
    let ints: Option<Vec<&Arc<Constant>>> = full
        .iter()
        .map(|v| match v {
            Value::Constant(c) if c.as_ints().is_some() => Some(c),
            _ => None,
        })
        .collect();
    if let Some(constants) = ints {
        let shapes: Vec<&[usize]> = constants.iter().map(|c| c.shape.as_slice()).collect();
        let movement = crate::movement::Move::Concat(axis);
        let shape = movement.shape(&shapes, &[]).map_err(|e| node.error(e.to_string()))?;
        let views: Vec<(&[usize], &[i64])> =
            constants.iter().filter_map(|c| Some((c.shape.as_slice(), c.as_ints()?))).collect();
        let data = Data::Int(movement.apply(&views, &shape, 0));
        return Ok(made(shape, data));
    }
    Ok(im.push(node, Layer::Concat { axis }, &full, &[])?)
}

/// A piece of a value along one axis.
pub(super) fn piece<'a>(
    im: &mut Importer<'a>,
    node: NodeView<'a>,
    x: &Value,
    axis: usize,
    first: usize,
    step: i64,
    count: usize,
) -> Result<Value, Stop> {
    let mut shape = im.shape(x)?;
    let mut start = vec![0; shape.len()];
    let mut steps = vec![1; shape.len()];
    (start[axis], steps[axis]) = (first, step);
    if step == 1 && count == shape[axis] {
        return Ok(x.clone());
    }
    shape[axis] = count;
    Ok(im.movement(node, Layer::Slice { start, step: steps }, x, &shape)?)
}

pub(super) fn split<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let x = im.operand(node, 0)?;
    let shape = im.shape(&x)?;
    let axis = node.axis(node.int("axis", 0), shape.len())?;
    let given = match node.ints("split") {
        Some(split) => Some(split.to_vec()),
        None => im.optional_ints(node, 1, "split")?,
    };
    let parts = match given {
        Some(split) => lengths(node, &split)?,
        None => {
            let count = node.proto.output.len().clamp(1, MAX_PIECES);
            let each = shape[axis].div_ceil(count);
            (0..count).map(|i| each.min(shape[axis].saturating_sub(i * each))).collect()
        }
    };
    if parts.iter().try_fold(0usize, |a, &b| a.checked_add(b)) != Some(shape[axis]) || parts.contains(&0) {
        return Err(node.error(format!("parts {parts:?} of an axis of {}", shape[axis])).into());
    }
    let mut first = 0;
    let mut pieces = Vec::with_capacity(parts.len());
    for count in parts {
        pieces.push(piece(im, node, &x, axis, first, 1, count)?);
        first += count;
    }
    Ok(pieces)
}

pub(super) fn slice<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let mut x = im.operand(node, 0)?;
    let rank = im.shape(&x)?.len();
    let read = |im: &Importer<'a>, index: usize, name: &str| -> Result<Option<Vec<i64>>, Stop> {
        if im.opset < 10 {
            Ok(node.ints(name).map(<[i64]>::to_vec))
        } else {
            im.optional_ints(node, index, name)
        }
    };
    let missing = || node.error("its starts or ends are missing");
    let starts = read(im, 1, "starts")?.ok_or_else(missing)?;
    let ends = read(im, 2, "ends")?.ok_or_else(missing)?;
    let axes = read(im, 3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = read(im, 4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        return Err(node.error("starts, ends, axes and steps differ in length").into());
    }
    let axes = node.axes(&axes, rank)?;
    for (i, &axis) in axes.iter().enumerate() {
        let length = im.shape(&x)?[axis];
        let (first, count) = bounds(starts[i], ends[i], steps[i], length as i64)
            .ok_or_else(|| node.error("a step of zero"))?;
        if count == 0 && !matches!(x, Value::Constant(_)) {
            return Err(node.error(format!("the slice of axis {axis} is empty")).into());
        }
        x = if count == 0 {
            let mut shape = im.shape(&x)?;
            shape[axis] = 0;
            let Value::Constant(c) = &x else { return Err(node.error("empty").into()) };
            let empty = if c.as_ints().is_some() { Data::Int(vec![]) } else { Data::floats(vec![]) };
            made(shape, empty)
        } else {
            piece(im, node, &x, axis, first, steps[i], count)?
        };
    }
    Ok(vec![x])
}

/// First index and number of elements of a slice, ends clamped as ONNX says.
fn bounds(start: i64, end: i64, step: i64, length: i64) -> Option<(usize, usize)> {
    let from_end = |v: i64| if v < 0 { v.saturating_add(length) } else { v };
    let (start, end) = (from_end(start), from_end(end));
    let (first, span) = match step {
        0 => return None,
        1.. => {
            let first = start.clamp(0, length);
            (first, end.clamp(0, length) - first)
        }
        _ => {
            let first = start.clamp(-1, length - 1);
            (first, first - end.clamp(-1, length - 1))
        }
    };
    let count = if span <= 0 { 0 } else { (span as u64).div_ceil(step.unsigned_abs()) };
    Some((usize::try_from(first).unwrap_or(0), usize::try_from(count).unwrap_or(0)))
}

pub(super) fn gather<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let x = im.operand(node, 0)?;
    let shape = im.shape(&x)?;
    let axis = node.axis(node.int("axis", 0), shape.len())?;
    let indices = im.constant(node, 1, "indices")?;
    let Some(list) = indices.as_ints().filter(|l| l.len() <= MAX_PIECES && !l.is_empty()) else {
        return Err(Stop::Unsupported(format!("only up to {MAX_PIECES} constant integers can be indices")));
    };
    let mut pieces = Vec::with_capacity(list.len());
    for &index in list {
        let first = node.axis(index, shape[axis])?;
        pieces.push(piece(im, node, &x, axis, first, 1, 1)?);
    }
    let all = joined(im, node, &pieces, axis)?;
    let target = [&shape[..axis], &indices.shape, &shape[axis + 1..]].concat();
    Ok(vec![im.movement(node, Layer::Reshape, &all, &target)?])
}

pub(super) fn expand<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let x = im.operand(node, 0)?;
    let wanted = im.optional_ints(node, 1, "shape")?.ok_or_else(|| node.error("its shape is missing"))?;
    let target =
        broadcast(&im.shape(&x)?, &lengths(node, &wanted)?).map_err(|e| node.error(e.to_string()))?;
    Ok(vec![im.movement(node, Layer::Expand, &x, &target)?])
}

pub(super) fn identity<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    Ok(vec![im.operand(node, 0)?])
}

pub(super) fn dropout<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    if im.optional(node, 2).is_some() && im.constant(node, 2, "training_mode")?.scalar() != Some(0.0) {
        let advice = "it is in training mode; export the model for inference (model.eval())";
        return Err(Stop::Unsupported(advice.into()));
    }
    let x = im.operand(node, 0)?;
    let shape = im.shape(&x)?;
    let mut results = vec![x];
    if node.proto.output.get(1).is_some_and(|o| !o.is_empty()) {
        // Outside training nothing is dropped: the mask is all ones.
        let count = shape.iter().product();
        results.push(made(shape, Data::Int(vec![1; count])));
    }
    Ok(results)
}

pub(super) fn cast<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let x = im.operand(node, 0)?;
    let kind = i32::try_from(node.int("to", 0)).unwrap_or(0);
    let float = matches!(kind, element::FLOAT | element::FLOAT16 | element::BFLOAT16 | element::DOUBLE);
    let Value::Constant(c) = &x else {
        // Indices stay what they are under any type.
        if float || matches!(&x, Value::Node(id) if is_index(im, *id)) {
            return Ok(vec![x]);
        }
        return Err(Stop::Unsupported(
            "a value computed from the input cannot become an integer; drop the cast".into(),
        ));
    };
    let data = match (&c.data, float) {
        (_, true) => Data::Float(c.to_floats()),
        (Data::Int(v), _) if kind == element::BOOL => {
            Data::Int(v.iter().map(|&v| i64::from(v != 0)).collect())
        }
        (Data::Float(v), _) if kind == element::BOOL => {
            Data::Int(v.iter().map(|&v| i64::from(v != 0.0)).collect())
        }
        (Data::Int(v), _) => Data::Int(v.clone()),
        (Data::Float(v), _) => Data::Int(v.iter().map(|&v| v as i64).collect()),
    };
    Ok(vec![made(c.shape.clone(), data)])
}

/// Whether a tensor holds indices of classes, moved at most.
fn is_index(im: &Importer<'_>, mut id: NodeId) -> bool {
    while let [operand] = im.graph.nodes[id].inputs[..]
        && im.graph.nodes[id].layer.movement().is_some()
    {
        id = operand;
    }
    matches!(im.graph.nodes[id].layer, Layer::ArgMax { .. })
}

pub(super) fn constant<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    Ok(vec![Value::Constant(Arc::new(node.constant(im.folder)?))])
}

pub(super) fn shape<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let x = im.operand(node, 0)?;
    let shape: Vec<i64> = im.shape(&x)?.iter().map(|&l| l as i64).collect();
    if node.op() == "Size" {
        return Ok(vec![made(vec![], Data::Int(vec![shape.iter().product()]))]);
    }
    let rank = shape.len() as i64;
    let at = |v: i64| (if v < 0 { v.saturating_add(rank) } else { v }).clamp(0, rank) as usize;
    let (start, end) = (at(node.int("start", 0)), at(node.int("end", rank)));
    Ok(vec![Value::Constant(Arc::new(Constant::ints(shape.get(start..end).unwrap_or_default().to_vec())))])
}

pub(super) fn constant_of_shape<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let wanted = im.optional_ints(node, 0, "shape")?.ok_or_else(|| node.error("its shape is missing"))?;
    let shape = lengths(node, &wanted)?;
    let count = shape.iter().try_fold(1usize, |a, &b| a.checked_mul(b)).filter(|&c| c <= MAX_MADE);
    let count = count.ok_or_else(|| node.error(format!("shape {wanted:?} is too large")))?;
    let value = match node.tensor("value") {
        Some(tensor) => Constant::read(tensor, im.folder)?,
        None => Constant { shape: vec![1], data: Data::floats(vec![0.0]) },
    };
    let data = match &value.data {
        Data::Float(v) if v.len() == 1 => Data::floats(vec![v[0]; count]),
        Data::Int(v) if v.len() == 1 => Data::Int(vec![v[0]; count]),
        _ => return Err(node.error("its value is not one number").into()),
    };
    Ok(vec![made(shape, data)])
}

pub(super) fn range<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let mut ends = Vec::new();
    for (index, name) in ["start", "limit", "delta"].iter().enumerate() {
        ends.push(im.constant(node, index, name)?);
    }
    let too_long = || node.error("the range has no end or is too long");
    if let [Some(&[start]), Some(&[limit]), Some(&[delta])] =
        [ends[0].as_ints(), ends[1].as_ints(), ends[2].as_ints()]
    {
        let span = i128::from(limit) - i128::from(start);
        let count = if delta == 0 {
            i128::MAX
        } else {
            (span + i128::from(delta) - i128::from(delta.signum())) / i128::from(delta)
        };
        let count = usize::try_from(count.max(0)).ok().filter(|&c| c <= MAX_MADE).ok_or_else(too_long)?;
        let values = (0..count as i64).map(|i| start.wrapping_add(i.wrapping_mul(delta))).collect();
        return Ok(vec![Value::Constant(Arc::new(Constant::ints(values)))]);
    }
    let number =
        |i: usize| ends[i].scalar().map(f64::from).ok_or_else(|| node.error("an end is not one number"));
    let (start, limit, delta) = (number(0)?, number(1)?, number(2)?);
    let count = ((limit - start) / delta).ceil();
    if count.is_nan() || count > MAX_MADE as f64 {
        return Err(too_long().into());
    }
    let values: Vec<f32> = (0..count as usize).map(|i| (start + i as f64 * delta) as f32).collect();
    Ok(vec![made(vec![values.len()], Data::floats(values))])
}

/// `Where` on constants.
pub(super) fn choose<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let flag = im.constant(node, 0, "condition")?;
    let (a, b) = (im.operand(node, 1)?, im.operand(node, 2)?);
    let flags =
        flag.as_ints().filter(|f| !f.is_empty()).ok_or_else(|| node.error("its condition is not boolean"))?;
    let shape = broadcast(&broadcast(&flag.shape, &im.shape(&a)?)?, &im.shape(&b)?)
        .map_err(|e| node.error(e.to_string()))?;
    if let Some(first) =
        [flags.iter().all(|&f| f != 0), flags.iter().all(|&f| f == 0)].iter().position(|&all| all)
    {
        let chosen = if first == 0 { &a } else { &b };
        return Ok(vec![im.movement(node, Layer::Expand, chosen, &shape)?]);
    }
    let (Value::Constant(x), Value::Constant(y)) = (&a, &b) else {
        return Err(Stop::Unsupported(
            "a mixed choice of values computed from the input; multiply by a mask".into(),
        ));
    };
    let grow = crate::movement::Move::Expand;
    let flags = grow.apply(&[(&flag.shape, flags)], &shape, 0);
    let data = match (&x.data, &y.data) {
        (Data::Int(p), Data::Int(q)) => {
            let (p, q) = (grow.apply(&[(&x.shape, p)], &shape, 0), grow.apply(&[(&y.shape, q)], &shape, 0));
            Data::Int((0..flags.len()).map(|i| if flags[i] != 0 { p[i] } else { q[i] }).collect())
        }
        _ => {
            let p = grow.apply(&[(&x.shape, &x.to_floats())], &shape, 0.0);
            let q = grow.apply(&[(&y.shape, &y.to_floats())], &shape, 0.0);
            Data::floats((0..flags.len()).map(|i| if flags[i] != 0 { p[i] } else { q[i] }).collect())
        }
    };
    Ok(vec![made(shape, data)])
}
