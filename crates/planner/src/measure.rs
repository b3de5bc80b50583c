//! Accuracy as it counts: on held-out data, under the integer reference.

use model::fixed::{FixedGraph, Params};
use model::reference;
use rayon::prelude::*;

use crate::data::Data;
use crate::error::Error;
use crate::network::largest;

/// The share of examples whose largest score, computed in integers, is the label's.
///
/// # Errors
/// If the data are not the network's.
pub fn integer_accuracy(graph: &FixedGraph, params: &Params, data: &Data) -> Result<f64, Error> {
    let inputs = graph.inputs.len();
    let right = |example: usize| -> Result<usize, Error> {
        let quantised = (0..inputs).map(|input| graph.quantise_input(input, data.input(example, input)));
        let scores = reference::scores(graph, params, &quantised.collect::<Result<Vec<_>, _>>()?)?;
        Ok(usize::from(scores.first().is_some_and(|row| largest(row) == data.label(example) as usize)))
    };
    let right: usize = (0..data.len()).into_par_iter().map(right).sum::<Result<usize, Error>>()?;
    Ok(right as f64 / data.len() as f64)
}
