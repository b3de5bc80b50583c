//! Element-wise arithmetic: folded on constants, a scale with one constant, a sum or product of two private tensors.

use std::sync::Arc;

use crate::graph::Layer;
use crate::movement::Move;
use crate::shapes::broadcast;

use super::attributes::NodeView;
use super::constant::{Constant, Data};
use super::import::{Importer, Results, Stop, Value};

/// Both operands with the shape they broadcast to, a constant excepted where the other already has that shape.
fn aligned<'a>(
    im: &mut Importer<'a>,
    node: NodeView<'a>,
    a: &Value,
    b: &Value,
) -> Result<(Value, Value), Stop> {
    let (sa, sb) = (im.shape(a)?, im.shape(b)?);
    let shape = broadcast(&sa, &sb).map_err(|e| node.error(e.to_string()))?;
    let mut grow = |value: &Value, other: &Value| match (value, other) {
        (Value::Constant(_), Value::Node(_)) => Ok(value.clone()),
        _ => im.movement(node, Layer::Expand, value, &shape),
    };
    Ok((grow(a, b)?, grow(b, a)?))
}

/// A constant element by element with a private tensor.
fn scaled<'a>(
    im: &mut Importer<'a>,
    node: NodeView<'a>,
    x: &Value,
    factor: Option<Constant>,
    addend: Option<Constant>,
) -> Result<Value, Stop> {
    let tensor = |c: Option<Constant>| match c {
        Some(c) => c.tensor().map(|t| Some(Arc::new(t))).map_err(|e| node.error(e.to_string())),
        None => Ok(None),
    };
    let layer = Layer::Affine { factor: tensor(factor)?, addend: tensor(addend)? };
    Ok(im.push(node, layer, &[x], &[])?)
}

fn mapped(c: &Constant, f: impl Fn(f32) -> f32) -> Constant {
    Constant { shape: c.shape.clone(), data: Data::floats(c.to_floats().iter().copied().map(f).collect()) }
}

pub(super) fn sum<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let mut total = im.operand(node, 0)?;
    let minus = node.op() == "Sub";
    for index in 1..node.proto.input.len() {
        let next = im.operand(node, index)?;
        let (a, b) = aligned(im, node, &total, &next)?;
        total = match (&a, &b) {
            (Value::Constant(a), Value::Constant(b)) => {
                if minus {
                    folded(node, a, b, |x, y| x - y, i64::wrapping_sub)?
                } else {
                    folded(node, a, b, |x, y| x + y, i64::wrapping_add)?
                }
            }
            (Value::Node(_), Value::Constant(c)) => {
                let addend = if minus { mapped(c, |v| -v) } else { (**c).clone() };
                scaled(im, node, &a, None, Some(addend))?
            }
            (Value::Constant(c), Value::Node(_)) => {
                let factor = minus.then(|| one(-1.0));
                scaled(im, node, &b, factor, Some((**c).clone()))?
            }
            _ => im.push(node, Layer::Sum { negative: vec![false, minus] }, &[&a, &b], &[])?,
        };
    }
    Ok(vec![total])
}

fn one(value: f32) -> Constant {
    Constant { shape: vec![], data: Data::floats(vec![value]) }
}

pub(super) fn mul<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let (a, b) = (im.operand(node, 0)?, im.operand(node, 1)?);
    let (a, b) = aligned(im, node, &a, &b)?;
    Ok(vec![match (&a, &b) {
        (Value::Constant(a), Value::Constant(b)) => folded(node, a, b, |x, y| x * y, i64::wrapping_mul)?,
        (Value::Node(_), Value::Constant(c)) => scaled(im, node, &a, Some((**c).clone()), None)?,
        (Value::Constant(c), Value::Node(_)) => scaled(im, node, &b, Some((**c).clone()), None)?,
        _ => im.push(node, Layer::Product, &[&a, &b], &[])?,
    }])
}

pub(super) fn div<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let (a, b) = (im.operand(node, 0)?, im.operand(node, 1)?);
    let Value::Constant(divisor) = &b else {
        let advice =
            "a division by a value computed from the input has no private form; divide by a constant";
        return Err(Stop::Unsupported(advice.into()));
    };
    if divisor.to_floats().contains(&0.0) {
        return Err(node.error("a division by zero").into());
    }
    let (a, b) = aligned(im, node, &a, &b)?;
    Ok(vec![match (&a, &b) {
        (Value::Constant(a), Value::Constant(b)) => {
            folded(node, a, b, |x, y| x / y, |x, y| x.wrapping_div(y))?
        }
        (_, Value::Constant(c)) => scaled(im, node, &a, Some(mapped(c, |v| 1.0 / v)), None)?,
        _ => return Err(node.error("operands").into()),
    }])
}

pub(super) fn pow<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let x = im.operand(node, 0)?;
    let exponent = im.constant(node, 1, "exponent")?;
    if let Value::Constant(c) = &x {
        return Ok(vec![folded(node, c, &exponent, f32::powf, |x, y| {
            u32::try_from(y).map_or(0, |y| x.wrapping_pow(y))
        })?]);
    }
    match exponent.scalar() {
        Some(1.0) => Ok(vec![x]),
        Some(2.0) => Ok(vec![im.push(node, Layer::Product, &[&x, &x], &[])?]),
        Some(3.0) => {
            let square = im.push(node, Layer::Product, &[&x, &x], &[])?;
            Ok(vec![im.push(node, Layer::Product, &[&square, &x], &[])?])
        }
        _ => Err(Stop::Unsupported("only the exponents 1, 2 and 3 have a private form".into())),
    }
}

pub(super) fn negate<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let x = im.operand(node, 0)?;
    Ok(vec![match &x {
        Value::Constant(c) => Value::Constant(Arc::new(Constant {
            shape: c.shape.clone(),
            data: match &c.data {
                Data::Float(v) => Data::floats(v.iter().map(|v| -v).collect()),
                Data::Int(v) => Data::Int(v.iter().map(|v| v.wrapping_neg()).collect()),
            },
        })),
        _ => im.push(node, Layer::PublicAffine { factor: -1.0, addend: 0.0 }, &[&x], &[])?,
    }])
}

/// `Min` and `Max` with one number are clamps.
pub(super) fn bound<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let least = node.op() == "Min";
    let mut total = im.operand(node, 0)?;
    for index in 1..node.proto.input.len() {
        let next = im.operand(node, index)?;
        total = match (&total, &next) {
            (Value::Constant(a), Value::Constant(b)) if least => folded(node, a, b, f32::min, i64::min)?,
            (Value::Constant(a), Value::Constant(b)) => folded(node, a, b, f32::max, i64::max)?,
            (Value::Node(_), Value::Constant(c)) | (Value::Constant(c), Value::Node(_)) => {
                let x = if matches!(total, Value::Node(_)) { &total } else { &next };
                let Some(limit) = c.scalar().filter(|_| c.shape.len() <= im.shape(x).map_or(0, |s| s.len()))
                else {
                    return Err(Stop::Unsupported("only a single number can be the bound".into()));
                };
                let (low, high) = if least { (f32::NEG_INFINITY, limit) } else { (limit, f32::INFINITY) };
                super::activations::clamp(im, node, x, low, high)?
            }
            _ => {
                let advice =
                    "of two values computed from the input; write it with Relu: max(a, b) = a + Relu(b - a)";
                return Err(Stop::Unsupported(advice.into()));
            }
        };
    }
    Ok(vec![total])
}

/// Comparisons and the like, on constants alone.
pub(super) fn constant_binary<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let (a, b) = (im.constant(node, 0, "operand")?, im.constant(node, 1, "operand")?);
    let flag = |b: bool| i64::from(b);
    let op = node.op();
    if let ("Mod", Some(_), Some(divisors)) = (op, a.as_ints(), b.as_ints()) {
        if divisors.contains(&0) {
            return Err(node.error("a division by zero").into());
        }
        return Ok(vec![folded(node, &a, &b, f32::rem_euclid, modulo)?]);
    }
    let ints = |x: i64, y: i64| {
        flag(match op {
            "Equal" => x == y,
            "Less" => x < y,
            "Greater" => x > y,
            "LessOrEqual" => x <= y,
            "GreaterOrEqual" => x >= y,
            "And" => x != 0 && y != 0,
            _ => x != 0 || y != 0,
        })
    };
    // A comparison of floats is one of the order of their differences.
    let order = |c: &Constant| match &c.data {
        Data::Int(_) => c.clone(),
        Data::Float(v) => {
            Constant { shape: c.shape.clone(), data: Data::Int(v.iter().map(|&f| ordered(f)).collect()) }
        }
    };
    Ok(vec![folded(node, &order(&a), &order(&b), |x, _| x, ints)?])
}

/// The remainder with the divisor's sign.
fn modulo(x: i64, y: i64) -> i64 {
    let r = x.wrapping_rem(y);
    if r != 0 && (r < 0) != (y < 0) { r.wrapping_add(y) } else { r }
}

/// An integer that is ordered as the float is.
fn ordered(f: f32) -> i64 {
    let bits = i64::from((f + 0.0).to_bits() as i32);
    if bits < 0 { i64::from(i32::MIN) - bits } else { bits }
}

pub(super) fn constant_unary<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let Value::Constant(c) = im.operand(node, 0)? else {
        return Err(Stop::Unsupported(super::advice(node.op()).into()));
    };
    let data = match (&c.data, node.op()) {
        (Data::Int(v), "Not") => Data::Int(v.iter().map(|&b| i64::from(b == 0)).collect()),
        (Data::Int(v), "Abs") => Data::Int(v.iter().map(|b| b.wrapping_abs()).collect()),
        (Data::Int(v), "Sign") => Data::Int(v.iter().map(|b| b.signum()).collect()),
        (_, op) => {
            let f: fn(f32) -> f32 = match op {
                "Sqrt" => f32::sqrt,
                "Floor" => f32::floor,
                "Ceil" => f32::ceil,
                "Exp" => f32::exp,
                "Log" => f32::ln,
                "Reciprocal" => |v| 1.0 / v,
                "Abs" => f32::abs,
                "Sign" => |v| if v == 0.0 { 0.0 } else { v.signum() },
                _ => return Err(node.error("of floats").into()),
            };
            Data::floats(c.to_floats().iter().copied().map(f).collect())
        }
    };
    Ok(vec![Value::Constant(Arc::new(Constant { shape: c.shape.clone(), data }))])
}

/// A product over all of a constant of integers, the only form that shape computations use.
pub(super) fn reduce_prod<'a>(im: &mut Importer<'a>, node: NodeView<'a>) -> Results {
    let c = im.constant(node, 0, "operand")?;
    let Some(values) = c.as_ints().filter(|_| c.shape.len() <= 1) else {
        return Err(Stop::Unsupported("only products over a shape are folded".into()));
    };
    let product = values.iter().fold(1i64, |a, &b| a.wrapping_mul(b));
    let shape = if node.int("keepdims", 1) != 0 { vec![1; c.shape.len()] } else { vec![] };
    Ok(vec![Value::Constant(Arc::new(Constant { shape, data: Data::Int(vec![product]) }))])
}

/// An operation on two constants, broadcast.
fn folded(
    node: NodeView<'_>,
    a: &Constant,
    b: &Constant,
    floats: impl Fn(f32, f32) -> f32,
    ints: impl Fn(i64, i64) -> i64,
) -> Result<Value, Stop> {
    if a.len() == 0 || b.len() == 0 {
        return Err(node.error("an operand is empty").into());
    }
    let shape = broadcast(&a.shape, &b.shape).map_err(|e| node.error(e.to_string()))?;
    let data = match (&a.data, &b.data) {
        (Data::Int(x), Data::Int(y)) => {
            let x = Move::Expand.apply(&[(&a.shape, x)], &shape, 0);
            let y = Move::Expand.apply(&[(&b.shape, y)], &shape, 0);
            Data::Int(x.iter().zip(&y).map(|(&x, &y)| ints(x, y)).collect())
        }
        _ => {
            let x = Move::Expand.apply(&[(&a.shape, &a.to_floats())], &shape, 0.0);
            let y = Move::Expand.apply(&[(&b.shape, &b.to_floats())], &shape, 0.0);
            Data::floats(x.iter().zip(&y).map(|(&x, &y)| floats(x, y)).collect())
        }
    };
    Ok(Value::Constant(Arc::new(Constant { shape, data })))
}
