//! The integer reference: the integers that every protocol must reproduce, exactly as [`crate::fixed::Op`] states them.

mod int;
mod step;

use crate::error::{Error, quote};
use crate::fixed::{FixedGraph, Limits, NumberFormat, Params};

use int::Int;
use step::{Operand, Step};

/// Runs a fixed-point network on the integers of its inputs (see [`FixedGraph::quantise_input`]).
///
/// # Errors
/// If the graph breaks a rule, or inputs or parameters are not the graph's, or its integers exceed 63 bits (only without
/// truncation; see [`run_wide`]).
pub fn run(graph: &FixedGraph, params: &Params, inputs: &[Vec<i64>]) -> Result<Vec<Vec<i64>>, Error> {
    graph.validate(&Limits::default())?;
    check(graph, params, inputs)?;
    if let Some(node) = graph.nodes.iter().position(|n| n.format.bits > 63) {
        return Err(Error::Fixed { node, problem: "integers of more than 63 bits".into() });
    }
    trace(graph, params, inputs, |_, _| {})
}

/// As [`run`] for networks without truncation, whose integers may have up to 126 bits.
///
/// # Errors
/// As [`run`], and for other number formats than [`NumberFormat::Exact`].
pub fn run_wide(graph: &FixedGraph, params: &Params, inputs: &[Vec<i64>]) -> Result<Vec<Vec<i128>>, Error> {
    graph.validate(&Limits::default())?;
    check(graph, params, inputs)?;
    if graph.number != NumberFormat::Exact {
        return Err(Error::Fixed {
            node: 0,
            problem: "wide integers are those of networks without truncation".into(),
        });
    }
    walk(graph, params, inputs, |_, _: &[i128]| {})
}

/// Runs a network of any number format and returns its outputs as real numbers, their last step in the clear applied.
///
/// # Errors
/// As [`run`].
pub fn predict(graph: &FixedGraph, params: &Params, inputs: &[Vec<i64>]) -> Result<Vec<Vec<f32>>, Error> {
    let mut outputs = scores(graph, params, inputs)?;
    for (values, output) in outputs.iter_mut().zip(&graph.outputs) {
        crate::float::apply_post(output.post, &graph.nodes[output.node].shape, values);
    }
    Ok(outputs)
}

/// As [`predict`], without the last step: scores instead of probabilities.
///
/// # Errors
/// As [`run`].
pub fn scores(graph: &FixedGraph, params: &Params, inputs: &[Vec<i64>]) -> Result<Vec<Vec<f32>>, Error> {
    if graph.number == NumberFormat::Exact {
        let wide = run_wide(graph, params, inputs)?;
        return wide.iter().enumerate().map(|(i, v)| graph.dequantise_wide_raw(i, v)).collect();
    }
    let words = run(graph, params, inputs)?;
    words.iter().enumerate().map(|(i, v)| graph.dequantise_raw(i, v)).collect()
}

/// Runs a checked graph and shows each node's integers to `observe`.
///
/// # Errors
/// If an operand is missing, which a checked graph excludes.
pub fn trace(
    graph: &FixedGraph,
    params: &Params,
    inputs: &[Vec<i64>],
    observe: impl FnMut(usize, &[i64]),
) -> Result<Vec<Vec<i64>>, Error> {
    walk(graph, params, inputs, observe)
}

fn walk<T: Int>(
    graph: &FixedGraph,
    params: &Params,
    inputs: &[Vec<i64>],
    mut observe: impl FnMut(usize, &[T]),
) -> Result<Vec<Vec<T>>, Error> {
    let mut uses = vec![0usize; graph.nodes.len()];
    for id in graph.nodes.iter().flat_map(|n| &n.inputs).chain(graph.outputs.iter().map(|o| &o.node)) {
        uses[*id] += 1;
    }
    let mut values: Vec<Option<Vec<T>>> = vec![None; graph.nodes.len()];
    for (id, node) in graph.nodes.iter().enumerate() {
        let given = graph.inputs.iter().position(|&i| i == id).and_then(|at| inputs.get(at));
        let value = match given {
            Some(given) => given.iter().map(|&v| T::of(v)).collect(),
            None => {
                let operand = |&i: &usize| {
                    let from = &graph.nodes[i];
                    Some(Operand { shape: &from.shape, format: from.format, values: values[i].as_deref()? })
                };
                let operands: Option<Vec<Operand<T>>> = node.inputs.iter().map(operand).collect();
                let missing = || Error::Fixed { node: id, problem: "an operand has no value".into() };
                Step { graph, params, node, id }.compute(&operands.ok_or_else(missing)?)
            }
        };
        observe(id, &value);
        values[id] = (uses[id] > 0).then_some(value);
        for &operand in &node.inputs {
            uses[operand] -= 1;
            if uses[operand] == 0 {
                values[operand] = None;
            }
        }
    }
    let missing = |node| Error::Fixed { node, problem: "an output has no value".into() };
    graph.outputs.iter().map(|o| values[o.node].clone().ok_or_else(|| missing(o.node))).collect()
}

fn check(graph: &FixedGraph, params: &Params, inputs: &[Vec<i64>]) -> Result<(), Error> {
    if inputs.len() != graph.inputs.len() {
        return Err(Error::Input(format!(
            "count {} where the graph takes {}",
            inputs.len(),
            graph.inputs.len()
        )));
    }
    for (values, &id) in inputs.iter().zip(&graph.inputs) {
        let node = &graph.nodes[id];
        let wanted: usize = node.shape.iter().product();
        let (low, high) = node.format.limits();
        if values.len() != wanted || values.iter().any(|v| *v < low || *v > high) {
            return Err(Error::Input(format!(
                "{} is not {wanted} integers of its format",
                quote(&node.name)
            )));
        }
    }
    if params.tensors.len() != graph.params.len() {
        return Err(Error::Shape(format!("{} parameters, not {}", params.tensors.len(), graph.params.len())));
    }
    for (data, info) in params.tensors.iter().zip(&graph.params) {
        if data.len() != info.shape.iter().product::<usize>() {
            return Err(Error::Shape(format!("parameter {} has {} values", quote(&info.name), data.len())));
        }
    }
    Ok(())
}
