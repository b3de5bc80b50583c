//! Convolutions, matrix products and batch normalisation.

use std::sync::Arc;

use rayon::prelude::*;

use crate::error::Error;
use crate::fixed::Window;
use crate::graph::Layer;
use crate::movement::Move;
use crate::shapes::broadcast;
use crate::tensor::Tensor;

use super::attributes::NodeView;
use super::constant::Constant;
use super::import::{Importer, Results, Stop, Value};
use super::pools::{Axis, window_axes};

pub(super) fn conv<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let x = im.operand(node, 0)?;
    let weight = im.constant(node, 1, "weight")?;
    let (shape, mut filter) = (im.shape(&x)?, weight.shape.clone());
    let rank = shape.len().saturating_sub(2);
    if filter.len() != shape.len() || !(1..=2).contains(&rank) {
        if rank == 3 && filter.len() == 5 {
            return Err(Stop::Unsupported(
                "convolutions over 3 axes have no private form; use 1 or 2".into(),
            ));
        }
        return Err(node.error(format!("input of shape {shape:?} with weights {filter:?}")).into());
    }
    if let Some(kernel) = node.ints("kernel_shape")
        && (kernel.len() != rank || kernel.iter().zip(&filter[2..]).any(|(&k, &w)| k != w as i64))
    {
        return Err(node
            .error(format!("kernel_shape {kernel:?} is not that of the weights {filter:?}"))
            .into());
    }
    let mut axes = window_axes(node, &shape[2..], &filter[2..])?;
    let mut plane = shape.clone();
    if rank == 1 {
        axes.insert(0, Axis::ONE);
        filter.insert(2, 1);
        plane.insert(2, 1);
    }
    let groups = usize::try_from(node.int("group", 1)).unwrap_or(0);
    let weight = Tensor::new(filter, weight.tensor()?.into_data())?;
    let bias = match im.optional(node, 2) {
        Some(_) => im.constant(node, 2, "bias")?.tensor()?,
        None => Tensor::filled(vec![weight.shape()[0]], 0.0)?,
    };
    let window = Axis::window(&axes);
    let layer = Layer::Conv { window, groups, weight: Arc::new(weight), bias: Arc::new(bias) };
    let x = im.movement(node, Layer::Reshape, &x, &plane)?;
    let y = im.push(node, layer, &[&x], &[])?;
    if rank == 2 {
        return Ok(vec![y]);
    }
    let mut shape = im.shape(&y)?;
    shape.remove(2);
    Ok(vec![im.movement(node, Layer::Reshape, &y, &shape)?])
}

/// Side of the squares in which a matrix is transposed: both sides of the copy stay in cache.
const SQUARE: usize = 32;

/// A matrix with its axes exchanged.
fn transposed(tensor: &Tensor) -> Result<Tensor, Error> {
    let [rows, columns] = *tensor.shape() else {
        return Err(Error::Shape(format!("{:?} is not a matrix", tensor.shape())));
    };
    let from = tensor.data();
    let mut data = vec![0.0; from.len()];
    data.par_chunks_mut(SQUARE * rows).enumerate().for_each(|(block, to)| {
        for first in (0..rows).step_by(SQUARE) {
            for (line, to) in to.chunks_mut(rows).enumerate() {
                let column = block * SQUARE + line;
                for row in first..rows.min(first + SQUARE) {
                    to[row] = from[row * columns + column];
                }
            }
        }
    });
    Tensor::new(vec![columns, rows], data)
}

/// `x w^T + b` for a matrix of weights `[out, in]`.
fn dense<'a>(
    im: &mut Importer<'a>,
    node: NodeView<'a>,
    x: &Value,
    weight: Tensor,
    bias: Option<Tensor>,
) -> Result<Value, Stop> {
    let bias = match bias {
        Some(bias) => bias,
        None => Tensor::filled(vec![weight.shape()[0]], 0.0)?,
    };
    Ok(im.push(node, Layer::Dense { weight: Arc::new(weight), bias: Arc::new(bias) }, &[x], &[])?)
}

/// Exchanges the last two axes.
fn swapped<'a>(im: &mut Importer<'a>, node: NodeView<'a>, x: &Value) -> Result<Value, Stop> {
    let mut shape = im.shape(x)?;
    let rank = shape.len();
    let mut perm: Vec<usize> = (0..rank).collect();
    perm.swap(rank - 1, rank - 2);
    shape.swap(rank - 1, rank - 2);
    Ok(im.movement(node, Layer::Transpose { perm }, x, &shape)?)
}

pub(super) fn gemm<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let (mut a, mut b) = (im.operand(node, 0)?, im.operand(node, 1)?);
    for value in [&a, &b] {
        if im.shape(value)?.len() != 2 {
            return Err(node
                .error(format!("operand of shape {:?} is not a matrix", im.shape(value)?))
                .into());
        }
    }
    if node.int("transA", 0) != 0 {
        a = swapped(im, node, &a)?;
    }
    // Constant weights are wanted with the outputs first, which is what transB says they are.
    let exchanged = node.int("transB", 0) != 0;
    let columns = im.shape(&b)?[usize::from(!exchanged)];
    if exchanged && !matches!(b, Value::Constant(_)) {
        b = swapped(im, node, &b)?;
    }
    let (alpha, beta) = (node.float("alpha", 1.0)?, node.float("beta", 1.0)?);
    let (outputs, out_shape) = (columns, vec![im.shape(&a)?[0], columns]);
    let addend = im.optional(node, 2);
    let (bias, mut later) = match &addend {
        Some(Value::Constant(c)) => split_addend(node, c, beta, outputs)?,
        _ => (None, None),
    };
    let mut y = match (&a, &b) {
        (_, Value::Constant(c)) => {
            let mut weight = if exchanged { c.tensor()? } else { transposed(&c.tensor()?)? };
            if alpha != 1.0 {
                weight.data_mut().iter_mut().for_each(|v| *v *= alpha);
            }
            dense(im, node, &a, weight, bias)?
        }
        _ => {
            later = later.or(bias);
            let y = product(im, node, &a, &b)?;
            times(im, node, y, alpha)?
        }
    };
    if let Some(c) = later {
        if broadcast(c.shape(), &out_shape).ok().as_ref() != Some(&out_shape) {
            return Err(node.error(format!("C of shape {:?} does not fit", c.shape())).into());
        }
        y = im.push(node, Layer::Affine { factor: None, addend: Some(Arc::new(c)) }, &[&y], &[])?;
    }
    if let Some(c @ Value::Node(_)) = addend {
        let c = times(im, node, c, beta)?;
        let c = im.movement(node, Layer::Expand, &c, &out_shape)?;
        y = im.push(node, Layer::Sum { negative: vec![false, false] }, &[&y, &c], &[])?;
    }
    Ok(vec![y])
}

/// The constant C of a Gemm: a bias where it is one row, else a tensor to add to the result.
fn split_addend(
    node: NodeView<'_>,
    c: &Constant,
    beta: f32,
    outputs: usize,
) -> Result<(Option<Tensor>, Option<Tensor>), Stop> {
    let mut c = c.tensor().map_err(|e| node.error(e.to_string()))?;
    c.data_mut().iter_mut().for_each(|v| *v *= beta);
    let row = c.shape().iter().rev().skip(1).all(|&l| l == 1);
    if !row || broadcast(c.shape(), &[1, outputs]).ok().as_deref() != Some(&[1, outputs]) {
        return Ok((None, Some(c)));
    }
    let bias = Move::Expand.apply(&[(c.shape(), c.data())], &[1, outputs], 0.0);
    Ok((Some(Tensor::vector(bias)), None))
}

/// A public factor, if it is not 1.
fn times<'a>(im: &mut Importer<'a>, node: NodeView<'a>, x: Value, factor: f32) -> Result<Value, Stop> {
    if factor == 1.0 {
        return Ok(x);
    }
    Ok(im.push(node, Layer::PublicAffine { factor, addend: 0.0 }, &[&x], &[])?)
}

pub(super) fn matmul<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let (a, b) = (im.operand(node, 0)?, im.operand(node, 1)?);
    let (sa, sb) = (im.shape(&a)?, im.shape(&b)?);
    if sa.is_empty() || sb.is_empty() {
        return Err(node.error("a matrix product of a scalar").into());
    }
    let left = if sa.len() == 1 { im.movement(node, Layer::Reshape, &a, &[1, sa[0]])? } else { a };
    let right = if sb.len() == 1 { im.movement(node, Layer::Reshape, &b, &[sb[0], 1])? } else { b };
    let y = product(im, node, &left, &right)?;
    let mut shape = im.shape(&y)?;
    if sb.len() == 1 {
        shape.pop();
    }
    if sa.len() == 1 {
        shape.remove(shape.len() - 1 - usize::from(sb.len() != 1));
    }
    Ok(vec![im.movement(node, Layer::Reshape, &y, &shape)?])
}

/// A matrix product of operands with at least two axes.
fn product<'a>(im: &mut Importer<'a>, node: NodeView<'a>, a: &Value, b: &Value) -> Result<Value, Stop> {
    let (sa, sb) = (im.shape(a)?, im.shape(b)?);
    let (m, k, n) = (sa[sa.len() - 2], sa[sa.len() - 1], sb[sb.len() - 1]);
    if sb[sb.len() - 2] != k {
        return Err(node.error(format!("shapes {sa:?} and {sb:?} do not multiply")).into());
    }
    match (a, b) {
        (Value::Constant(_), Value::Node(_)) => {
            let (a, b) = (swapped(im, node, a)?, swapped(im, node, b)?);
            let y = product(im, node, &b, &a)?;
            swapped(im, node, &y)
        }
        (_, Value::Constant(c)) if sb[..sb.len() - 2].iter().all(|&l| l == 1) => {
            let weight = transposed(&c.tensor()?.reshaped(vec![k, n])?)?;
            let x = if sa.len() < sb.len() {
                let mut shape = vec![1; sb.len() - sa.len()];
                shape.extend(&sa);
                im.movement(node, Layer::Reshape, a, &shape)?
            } else {
                a.clone()
            };
            dense(im, node, &x, weight, None)
        }
        _ => {
            let batch =
                broadcast(&sa[..sa.len() - 2], &sb[..sb.len() - 2]).map_err(|e| node.error(e.to_string()))?;
            let with = |rows: usize, columns: usize| [batch.as_slice(), &[rows, columns]].concat();
            let a = im.movement(node, Layer::Expand, a, &with(m, k))?;
            let b = im.movement(node, Layer::Expand, b, &with(k, n))?;
            let count = batch.iter().product();
            match &b {
                Value::Constant(c) => batched(im, node, &a, c, [count, m, k, n], &batch),
                _ => private(im, node, &a, &b, [count, m, k, n], &batch),
            }
        }
    }
}

/// A batch of products with weights of their own is one grouped 1x1 convolution.
fn batched<'a>(
    im: &mut Importer<'a>,
    node: NodeView<'a>,
    a: &Value,
    b: &Constant,
    [count, m, k, n]: [usize; 4],
    batch: &[usize],
) -> Result<Value, Stop> {
    let a = swapped(im, node, a)?;
    let a = im.movement(node, Layer::Reshape, &a, &[1, count * k, 1, m])?;
    let data = Move::Transpose(&[0, 2, 1]).apply(&[(&[count, k, n], &b.to_floats())], &[count, n, k], 0.0);
    let weight = Arc::new(Tensor::new(vec![count * n, k, 1, 1], data)?);
    let bias = Arc::new(Tensor::filled(vec![count * n], 0.0)?);
    let layer = Layer::Conv { window: Window::new([1, 1]), groups: count, weight, bias };
    let y = im.push(node, layer, &[&a], &[])?;
    let y = im.movement(node, Layer::Reshape, &y, &[batch, &[n, m]].concat())?;
    swapped(im, node, &y)
}

/// A product of two private matrices: all pairs multiplied, then summed over the inner axis.
fn private<'a>(
    im: &mut Importer<'a>,
    node: NodeView<'a>,
    a: &Value,
    b: &Value,
    [count, m, k, n]: [usize; 4],
    batch: &[usize],
) -> Result<Value, Stop> {
    let all = [count, m, n, k];
    let a = im.movement(node, Layer::Reshape, a, &[count, m, 1, k])?;
    let a = im.movement(node, Layer::Expand, &a, &all)?;
    let b = swapped(im, node, b)?;
    let b = im.movement(node, Layer::Reshape, &b, &[count, 1, n, k])?;
    let b = im.movement(node, Layer::Expand, &b, &all)?;
    let pairs = im.push(node, Layer::Product, &[&a, &b], &[])?;
    let sum = Layer::AveragePool { window: Window::new([1, k]), factor: vec![1.0] };
    let y = im.push(node, sum, &[&pairs], &[])?;
    Ok(im.movement(node, Layer::Reshape, &y, &[batch, &[m, n]].concat())?)
}

pub(super) fn batch_norm<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    if node.int("training_mode", 0) != 0 {
        let advice = "it is in training mode; export the model for inference (model.eval())";
        return Err(Stop::Unsupported(advice.into()));
    }
    let x = im.operand(node, 0)?;
    let shape = im.shape(&x)?;
    let channels = if shape.len() > 1 { shape[1] } else { 1 };
    let mut columns = Vec::new();
    for (index, name) in ["scale", "bias", "mean", "variance"].iter().enumerate() {
        let constant = im.constant(node, index + 1, name)?;
        if constant.len() != channels {
            let problem =
                format!("channel mismatch: {name} has {} entries for {channels} channels", constant.len());
            return Err(node.error(problem).into());
        }
        columns.push(constant.tensor()?.into_data());
    }
    let epsilon = f64::from(node.float("epsilon", 1e-5)?);
    let [scale, bias, mean, variance] = &columns[..] else {
        return Err(node.error("its statistics are missing").into());
    };
    let mut factor = Vec::with_capacity(channels);
    let mut addend = Vec::with_capacity(channels);
    for (c, (&variance, &mean)) in variance.iter().zip(mean).enumerate() {
        let spread = f64::from(variance) + epsilon;
        if spread <= 0.0 {
            return Err(node.error(format!("variance {variance} of channel {c}")).into());
        }
        let f = f64::from(scale[c]) / spread.sqrt();
        factor.push(f as f32);
        addend.push((f64::from(bias[c]) - f64::from(mean) * f) as f32);
    }
    let mut column = vec![1; shape.len().saturating_sub(1).max(1)];
    column[0] = channels;
    let factor = Some(Arc::new(Tensor::new(column.clone(), factor)?));
    let addend = Some(Arc::new(Tensor::new(column, addend)?));
    Ok(vec![im.push(node, Layer::Affine { factor, addend }, &[&x], &[])?])
}
