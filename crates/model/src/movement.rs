//! Data movement: operations whose every result element is one operand element or a constant.
//!
//! All of them are strided copies. One executor serves floats, integers and, run on indices instead of values, the map
//! that tells an engine where each element comes from ([`sources`]).

use crate::error::Error;
use crate::fixed::{FixedGraph, Node, Op};
use crate::tensor::elements;

/// A data movement, borrowed from a layer of either graph.
#[derive(Clone, Copy, Debug)]
pub enum Move<'a> {
    /// Same order, other shape.
    Reshape,
    /// Axis i of the result is axis `perm[i]` of the operand.
    Transpose(&'a [usize]),
    /// First index and step on each axis.
    Slice(&'a [usize], &'a [i64]),
    /// Operands joined along an axis.
    Concat(usize),
    /// Elements before and after on each axis; the margin's value is the caller's.
    Pad(&'a [usize], &'a [usize]),
    /// Broadcast to the result's shape.
    Expand,
}

/// Where an element of a result comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Element of an operand, both counted from zero.
    Element {
        /// Position among the node's operands.
        operand: usize,
        /// Row-major index.
        index: usize,
    },
    /// A public constant.
    Constant(i64),
}

/// Steps in memory between neighbours along each axis.
pub fn strides(shape: &[usize]) -> Vec<usize> {
    let mut out = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        out[axis - 1] = out[axis].saturating_mul(shape[axis]);
    }
    out
}

impl Move<'_> {
    /// Checks the operands and, where they determine it, returns the result's shape: for `Reshape`, `Slice` and
    /// `Expand` the wanted shape is given as `target` and only checked.
    ///
    /// # Errors
    /// If arity, rank or an index does not fit.
    pub fn shape(&self, inputs: &[&[usize]], target: &[usize]) -> Result<Vec<usize>, Error> {
        let bad = |what: &str| Error::Shape(format!("{what}: operands {inputs:?}, result {target:?}"));
        let first = *inputs.first().ok_or_else(|| bad("no operand"))?;
        if inputs.len() != 1 && !matches!(self, Self::Concat(_)) {
            return Err(bad("one operand is needed"));
        }
        let shape = match self {
            Self::Reshape => {
                if elements(first)? != elements(target)? {
                    return Err(bad("a reshape keeps the number of elements"));
                }
                target.to_vec()
            }
            Self::Transpose(perm) => {
                let mut seen = vec![false; first.len()];
                if perm.len() != first.len()
                    || perm.iter().any(|&p| p >= seen.len() || std::mem::replace(&mut seen[p], true))
                {
                    return Err(bad("not a permutation of the axes"));
                }
                perm.iter().map(|&p| first[p]).collect()
            }
            Self::Slice(start, step) => {
                if start.len() != first.len() || step.len() != first.len() || target.len() != first.len() {
                    return Err(bad("a slice needs a start and a step for each axis"));
                }
                for axis in 0..first.len() {
                    if !slice_fits(first[axis], target[axis], start[axis], step[axis]) {
                        return Err(bad("a slice leaves its operand"));
                    }
                }
                target.to_vec()
            }
            Self::Concat(axis) => concat_shape(inputs, *axis).ok_or_else(|| bad("cannot be joined"))?,
            Self::Pad(before, after) => {
                if before.len() != first.len() || after.len() != first.len() {
                    return Err(bad("padding needs two numbers for each axis"));
                }
                let axis = |i: usize| first[i].checked_add(before[i])?.checked_add(after[i]);
                (0..first.len()).map(axis).collect::<Option<_>>().ok_or_else(|| bad("absurd padding"))?
            }
            Self::Expand => {
                if crate::shapes::broadcast(first, target)? != target {
                    return Err(bad("does not broadcast to the result"));
                }
                target.to_vec()
            }
        };
        elements(&shape)?;
        Ok(shape)
    }

    /// Moves values. Shapes must have passed [`Move::shape`]; `fill` is the value of margins.
    pub fn apply<T: Copy>(&self, inputs: &[(&[usize], &[T])], out: &[usize], fill: T) -> Vec<T> {
        let Some(&(shape, data)) = inputs.first() else { return Vec::new() };
        let own: Vec<i64> = strides(shape).into_iter().map(|s| s as i64).collect();
        match self {
            Self::Reshape => data.to_vec(),
            Self::Transpose(perm) => {
                let step: Vec<i64> = perm.iter().map(|&p| own[p]).collect();
                view(data, 0, &step, out)
            }
            Self::Slice(start, step) => {
                let offset = start.iter().zip(&own).map(|(&s, &o)| s as i64 * o).sum();
                let step: Vec<i64> = step.iter().zip(&own).map(|(&s, &o)| s * o).collect();
                view(data, offset, &step, out)
            }
            Self::Expand => view(data, 0, &broadcast_strides(shape, out), out),
            Self::Concat(axis) => {
                let outer: usize = out[..*axis].iter().product();
                let mut result = Vec::with_capacity(out.iter().product());
                for row in 0..outer {
                    for (shape, data) in inputs {
                        let block: usize = shape[*axis..].iter().product();
                        result.extend_from_slice(&data[row * block..(row + 1) * block]);
                    }
                }
                result
            }
            Self::Pad(before, _) => pad(data, shape, before, out, fill),
        }
    }
}

/// Strides with which `shape` is read as if it had the shape `out`.
pub(crate) fn broadcast_strides(shape: &[usize], out: &[usize]) -> Vec<i64> {
    let own = strides(shape);
    let skip = out.len() - shape.len();
    (0..out.len()).map(|i| if i < skip || shape[i - skip] == 1 { 0 } else { own[i - skip] as i64 }).collect()
}

fn slice_fits(length: usize, count: usize, start: usize, step: i64) -> bool {
    if start >= length || count == 0 {
        return false;
    }
    let last = i64::try_from(count - 1)
        .ok()
        .and_then(|c| c.checked_mul(step))
        .and_then(|d| d.checked_add(start as i64));
    last.is_some_and(|at| at >= 0 && (at as u64) < length as u64)
}

fn concat_shape(inputs: &[&[usize]], axis: usize) -> Option<Vec<usize>> {
    let mut shape = inputs.first()?.to_vec();
    if axis >= shape.len() {
        return None;
    }
    for other in &inputs[1..] {
        if other.len() != shape.len() || (0..shape.len()).any(|i| i != axis && other[i] != shape[i]) {
            return None;
        }
        shape[axis] = shape[axis].checked_add(other[axis])?;
    }
    Some(shape)
}

/// Copies a strided view: element `[i...]` is `data[offset + sum i * step]`.
fn view<T: Copy>(data: &[T], offset: i64, step: &[i64], out: &[usize]) -> Vec<T> {
    let count: usize = out.iter().product();
    let mut result = Vec::with_capacity(count);
    let Some((&width, outer)) = out.split_last() else {
        return data.first().copied().into_iter().collect();
    };
    let inner = step[outer.len()];
    let mut index = vec![0usize; outer.len()];
    let mut base = offset;
    while result.len() < count {
        match inner {
            1 => result.extend_from_slice(&data[base as usize..base as usize + width]),
            _ => result.extend((0..width).map(|i| data[(base + i as i64 * inner) as usize])),
        }
        for axis in (0..outer.len()).rev() {
            index[axis] += 1;
            base += step[axis];
            if index[axis] < outer[axis] {
                break;
            }
            base -= step[axis] * outer[axis] as i64;
            index[axis] = 0;
        }
    }
    result
}

fn pad<T: Copy>(data: &[T], shape: &[usize], before: &[usize], out: &[usize], fill: T) -> Vec<T> {
    let mut result = vec![fill; out.iter().product()];
    let Some((&width, outer)) = shape.split_last() else { return data.to_vec() };
    let to = strides(out);
    for (row, values) in data.chunks_exact(width).enumerate() {
        let mut rest = row;
        let mut at = before[outer.len()];
        for axis in (0..outer.len()).rev() {
            at += (rest % outer[axis] + before[axis]) * to[axis];
            rest /= outer[axis];
        }
        result[at..at + width].copy_from_slice(values);
    }
    result
}

/// Where the elements of a data movement's result come from, as numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// For each element of the result its number: the elements of all operands are counted through, then the constants.
    pub places: Vec<u32>,
    /// Public constants, each once.
    pub constants: Vec<i64>,
}

/// As [`sources`], in a fifth of the memory; for tensors of fewer than 2^32 elements in all.
pub fn places(graph: &FixedGraph, node: &Node) -> Places {
    if let Op::Constant { values } = &node.op {
        let mut constants = values.to_vec();
        constants.sort_unstable();
        constants.dedup();
        let place = |value| constants.binary_search(value).unwrap_or(0) as u32;
        return Places { places: values.iter().map(place).collect(), constants };
    }
    let Some(movement) = node.op.movement() else { return Places::default() };
    let shapes: Vec<&[usize]> = node.inputs.iter().map(|&i| graph.nodes[i].shape.as_slice()).collect();
    let mut next = 0;
    let mut numbers = Vec::with_capacity(shapes.len());
    for shape in &shapes {
        let count = shape.iter().product::<usize>() as u32;
        numbers.push((next..next + count).collect::<Vec<u32>>());
        next += count;
    }
    let views: Vec<(&[usize], &[u32])> =
        shapes.iter().zip(&numbers).map(|(shape, numbers)| (*shape, numbers.as_slice())).collect();
    let places = movement.apply(&views, &node.shape, next);
    let constants = match node.op {
        Op::Pad { value, .. } if places.len() > next as usize => vec![value],
        _ => Vec::new(),
    };
    Places { places, constants }
}

/// For each element of a data movement's result in a checked graph, where it comes from; a public constant comes from
/// itself. Empty for operations that compute.
pub fn sources(graph: &FixedGraph, node: &Node) -> Vec<Source> {
    if let Op::Constant { values } = &node.op {
        return values.iter().map(|&v| Source::Constant(v)).collect();
    }
    let Some(movement) = node.op.movement() else { return Vec::new() };
    let fill = if let Op::Pad { value, .. } = node.op { value } else { 0 };
    let shapes: Vec<&[usize]> = node.inputs.iter().map(|&i| graph.nodes[i].shape.as_slice()).collect();
    let elements: Vec<Vec<Source>> = shapes
        .iter()
        .enumerate()
        .map(|(operand, shape)| {
            (0..shape.iter().product()).map(|index| Source::Element { operand, index }).collect()
        })
        .collect();
    let views: Vec<(&[usize], &[Source])> =
        shapes.iter().zip(&elements).map(|(s, e)| (*s, e.as_slice())).collect();
    movement.apply(&views, &node.shape, Source::Constant(fill))
}
