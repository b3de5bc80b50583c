//! From real numbers to a graph's integers and back.

use crate::error::Error;
use crate::fixed::FixedGraph;
use crate::float::apply_post;

impl FixedGraph {
    /// The integers of an input (by its position): each value rounded to the nearest unit and clamped to the format.
    ///
    /// # Errors
    /// If there is no such input, the count is not the input's, or a value is a NaN or an infinity.
    pub fn quantise_input(&self, input: usize, values: &[f32]) -> Result<Vec<i64>, Error> {
        let id = *self.inputs.get(input).ok_or_else(|| Error::Input(format!("{input} does not exist")))?;
        let node = &self.nodes[id];
        let wanted: usize = node.shape.iter().product();
        let name = crate::error::quote(&node.name);
        if values.len() != wanted {
            return Err(Error::Input(format!("{name} has {} values, not {wanted}", values.len())));
        }
        let (low, high) = node.format.limits();
        let scale = self.input_scale(input);
        let round = |(i, &v): (usize, &f32)| {
            if v.is_finite() {
                Ok(((f64::from(v) * scale).round() as i64).clamp(low, high))
            } else {
                Err(Error::Input(format!("{name} holds a NaN or an infinity at element {i}")))
            }
        };
        values.iter().enumerate().map(round).collect()
    }

    /// How many units 1 is in an input.
    fn input_scale(&self, input: usize) -> f64 {
        match (self.input_levels.get(input), self.inputs.get(input)) {
            (None | Some(0), Some(&id)) => 2f64.powi(self.nodes[id].format.frac),
            (levels, _) => f64::from(levels.copied().unwrap_or(1)),
        }
    }

    /// How many values of an input lie beyond its format by more than one unit, and are clamped.
    pub fn clipped(&self, input: usize, values: &[f32]) -> usize {
        let Some(node) = self.inputs.get(input).and_then(|&id| self.nodes.get(id)) else { return 0 };
        let (low, high) = node.format.limits();
        let unit = 1.0 / self.input_scale(input);
        let (low, high) = ((low - 1) as f64 * unit, (high + 1) as f64 * unit);
        values.iter().filter(|&&v| f64::from(v) < low || f64::from(v) > high).count()
    }

    /// The real numbers of an output (by its position), its last step in the clear applied.
    ///
    /// # Errors
    /// If there is no such output or the count is not the output's.
    pub fn dequantise(&self, output: usize, values: &[i64]) -> Result<Vec<f32>, Error> {
        let mut real = self.dequantise_raw(output, values)?;
        let output = &self.outputs[output];
        apply_post(output.post, &self.nodes[output.node].shape, &mut real);
        Ok(real)
    }

    /// As [`FixedGraph::dequantise`], without the last step: scores instead of probabilities.
    ///
    /// # Errors
    /// As [`FixedGraph::dequantise`].
    pub fn dequantise_raw(&self, output: usize, values: &[i64]) -> Result<Vec<f32>, Error> {
        self.real(output, values, |v| v as f64)
    }

    /// As [`FixedGraph::dequantise`] for the integers of [`crate::reference::run_wide`].
    ///
    /// # Errors
    /// As [`FixedGraph::dequantise`].
    pub fn dequantise_wide(&self, output: usize, values: &[i128]) -> Result<Vec<f32>, Error> {
        let mut real = self.dequantise_wide_raw(output, values)?;
        let output = &self.outputs[output];
        apply_post(output.post, &self.nodes[output.node].shape, &mut real);
        Ok(real)
    }

    /// As [`FixedGraph::dequantise_raw`] for the integers of [`crate::reference::run_wide`].
    ///
    /// # Errors
    /// As [`FixedGraph::dequantise`].
    pub fn dequantise_wide_raw(&self, output: usize, values: &[i128]) -> Result<Vec<f32>, Error> {
        self.real(output, values, |v| v as f64)
    }

    fn real<T: Copy>(
        &self,
        output: usize,
        values: &[T],
        double: impl Fn(T) -> f64,
    ) -> Result<Vec<f32>, Error> {
        let unknown = || Error::Shape(format!("there is no output {output}"));
        let node = self.outputs.get(output).and_then(|o| self.nodes.get(o.node)).ok_or_else(unknown)?;
        let wanted: usize = node.shape.iter().product();
        if values.len() != wanted {
            return Err(Error::Shape(format!("output {output} has {} values, not {wanted}", values.len())));
        }
        let unit = node.format.unit();
        Ok(values.iter().map(|&v| (double(v) * unit) as f32).collect())
    }
}
