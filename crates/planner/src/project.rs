//! Data projection (DeepSecure, section 3.2.1): fewer inputs, by a public basis.
//!
//! A dictionary `D` of directions is found in one pass over the data `A` such that `|A - D C|_F <= eps |A|_F`. The paper publishes
//! `W = D D+`, which maps m values to m; here the client multiplies by the l rows of an orthonormal basis of the range of D, and the
//! network is trained on those l coordinates. The basis tells the range of the owner's data, and nothing of the weights.

use std::sync::Arc;

use model::graph::{Graph, Layer};

use crate::data::Data;
use crate::error::Error;

/// Rounds of Jacobi's method: it converges quadratically, so that ten do for any size here.
const SWEEPS: usize = 12;

/// An orthonormal basis of a subspace.
#[derive(Clone, Debug, PartialEq)]
pub struct Basis {
    /// Values of an input.
    pub width: usize,
    /// `rows() * width` numbers, a row after the other.
    pub values: Vec<f32>,
    /// The share of the data's norm that lies outside: `|A - U U^T A|_F / |A|_F`.
    pub error: f64,
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `x` less its part in the span of orthonormal rows.
fn residual(rows: &[Vec<f64>], x: &[f64]) -> Vec<f64> {
    let mut rest = x.to_vec();
    // Twice, since once leaves rounding of the size of x.
    for _ in 0..2 {
        for row in rows {
            let along = dot(row, &rest);
            rest.iter_mut().zip(row).for_each(|(r, v)| *r -= along * v);
        }
    }
    rest
}

impl Basis {
    /// Number of coordinates.
    pub fn rows(&self) -> usize {
        self.values.len() / self.width.max(1)
    }

    /// The basis with fewest rows, within what a streaming sketch of the first inputs of all examples finds, whose error is at most `error`.
    ///
    /// # Errors
    /// If the error does not lie in (0, 1), or all data are zero.
    pub fn find(data: &Data, error: f64) -> Result<Self, Error> {
        if !(error > 0.0 && error < 1.0) {
            return Err(Error::Setting(format!(
                "the projection's error must lie between 0 and 1, not {error}"
            )));
        }
        let row =
            |example: usize| -> Vec<f64> { data.input(example, 0).iter().map(|v| f64::from(*v)).collect() };
        // One pass: what the dictionary does not reach within the error becomes one of its directions. So every example is within
        // the error, and all of them together.
        let mut rows: Vec<Vec<f64>> = Vec::new();
        for example in 0..data.len() {
            let x = row(example);
            let rest = residual(&rows, &x);
            let (left, whole) = (dot(&rest, &rest), dot(&x, &x));
            if left > error * error * whole && rows.len() < x.len() {
                let scale = left.sqrt().recip();
                rows.push(rest.into_iter().map(|v| v * scale).collect());
            }
        }
        let width = data.input(0, 0).len();
        let (mut energy, mut inside) = (0.0, vec![vec![0.0; rows.len()]; rows.len()]);
        for example in 0..data.len() {
            let x = row(example);
            energy += dot(&x, &x);
            let c: Vec<f64> = rows.iter().map(|row| dot(row, &x)).collect();
            for (line, a) in inside.iter_mut().zip(&c) {
                line.iter_mut().zip(&c).for_each(|(v, b)| *v += a * b);
            }
        }
        if energy == 0.0 {
            return Err(Error::Data("all inputs are zero: there is nothing to project".into()));
        }
        // The directions of the sketch's range in which the data are largest; the last are left out while the error allows it.
        let mut axes = eigen(inside);
        axes.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut outside = energy - axes.iter().map(|axis| axis.0).sum::<f64>();
        while let Some(axis) = axes.last()
            && axes.len() > 1
            && outside + axis.0 <= error * error * energy
        {
            outside += axis.0;
            axes.pop();
        }
        let mut values = Vec::with_capacity(axes.len() * width);
        for (_, axis) in &axes {
            let mut line = vec![0.0; width];
            for (row, part) in rows.iter().zip(axis) {
                line.iter_mut().zip(row).for_each(|(v, r)| *v += part * r);
            }
            values.extend(line.into_iter().map(|v| v as f32));
        }
        Ok(Self { width, values, error: (outside.max(0.0) / energy).sqrt() })
    }

    /// The network over coordinates: its first layer, fully connected, takes the basis in.
    ///
    /// # Errors
    /// If the network has several inputs or does not begin with a fully connected layer.
    pub fn apply(&self, graph: &Graph) -> Result<Graph, Error> {
        let other = || {
            Error::Setting(
                "a projection needs a network of one input that begins with a fully connected layer; pictures keep no \
                 neighbours under it"
                    .into(),
            )
        };
        let &[input] = &graph.inputs[..] else { return Err(other()) };
        let (mut at, uses) = (input, graph.uses());
        let first = loop {
            let mut readers = (0..graph.nodes.len()).filter(|&id| graph.nodes[id].inputs.contains(&at));
            let reader = readers.next().filter(|_| uses[at] == 1).ok_or_else(other)?;
            match graph.nodes[reader].layer {
                Layer::Reshape => at = reader,
                Layer::Dense { .. } => break reader,
                _ => return Err(other()),
            }
        };
        let mut graph = graph.clone();
        let Layer::Dense { weight, .. } = &mut graph.nodes[first].layer else { return Err(other()) };
        let [outputs, width] = *weight.shape() else { return Err(other()) };
        if width != self.width {
            return Err(Error::Setting(format!(
                "the basis is for {} values, the network takes {width}",
                self.width
            )));
        }
        let mut values = Vec::with_capacity(outputs * self.rows());
        for row in weight.data().chunks(width) {
            let along = |basis: &[f32]| {
                row.iter().zip(basis).map(|(w, u)| f64::from(*w) * f64::from(*u)).sum::<f64>()
            };
            values.extend(self.values.chunks(width).map(|basis| along(basis) as f32));
        }
        *weight = Arc::new(model::Tensor::new(vec![outputs, self.rows()], values)?);
        let mut shape = graph.nodes[first].shape.clone();
        if let Some(last) = shape.last_mut() {
            *last = self.rows();
        }
        graph.nodes[first].inputs = vec![input];
        graph.nodes[input].shape = shape;
        graph.nodes[input].layer = Layer::Input { bytes: false };
        Ok(model::passes::prune(graph))
    }
}

/// Eigenvalues and eigenvectors of a symmetric matrix, by Jacobi's rotations.
fn eigen(mut matrix: Vec<Vec<f64>>) -> Vec<(f64, Vec<f64>)> {
    let n = matrix.len();
    let mut vectors: Vec<Vec<f64>> =
        (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    for _ in 0..SWEEPS {
        let mut off = 0.0;
        for p in 0..n {
            for q in p + 1..n {
                let apq = matrix[p][q];
                off += apq * apq;
                if apq.abs() <= 1e-14 * (matrix[p][p] * matrix[q][q]).abs().sqrt() {
                    continue;
                }
                let theta = (matrix[q][q] - matrix[p][p]) / (2.0 * apq);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let (c, s) = ((t * t + 1.0).sqrt().recip(), t / (t * t + 1.0).sqrt());
                rotate_columns(&mut matrix, p, q, c, s);
                rotate_rows(&mut matrix, p, q, c, s);
                rotate_rows(&mut vectors, p, q, c, s);
            }
        }
        let scale: f64 = (0..n).map(|i| matrix[i][i] * matrix[i][i]).sum();
        if off <= 1e-24 * scale {
            break;
        }
    }
    vectors.into_iter().enumerate().map(|(i, vector)| (matrix[i][i], vector)).collect()
}

fn rotate_rows(matrix: &mut [Vec<f64>], p: usize, q: usize, c: f64, s: f64) {
    let (above, below) = matrix.split_at_mut(q);
    for (a, b) in above[p].iter_mut().zip(&mut below[0]) {
        (*a, *b) = (c * *a - s * *b, s * *a + c * *b);
    }
}

fn rotate_columns(matrix: &mut [Vec<f64>], p: usize, q: usize, c: f64, s: f64) {
    for row in matrix {
        (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws::Draws;

    /// Examples near a subspace of three dimensions of twenty.
    fn data(noise: f64) -> Data {
        let mut draws = Draws::new(1, 1);
        let axes: Vec<Vec<f64>> = (0..3).map(|_| (0..20).map(|_| draws.normal()).collect()).collect();
        let mut values = Vec::new();
        for _ in 0..300 {
            let parts: Vec<f64> = (0..3).map(|_| draws.normal()).collect();
            values.extend((0..20).map(|i| {
                (parts.iter().zip(&axes).map(|(p, axis)| p * axis[i]).sum::<f64>() + noise * draws.normal())
                    as f32
            }));
        }
        Data::new(vec![values], &[20], vec![0; 300], 1).unwrap()
    }

    #[test]
    fn a_basis_is_orthonormal_small_and_within_its_error() {
        for (noise, error, most) in [(0.0, 0.01, 3), (0.05, 0.2, 3), (0.05, 0.01, 20)] {
            let data = data(noise);
            let basis = Basis::find(&data, error).unwrap();
            assert!(basis.rows() <= most && basis.rows() >= 2, "{}", basis.rows());
            let rows: Vec<Vec<f64>> =
                basis.values.chunks(20).map(|row| row.iter().map(|v| f64::from(*v)).collect()).collect();
            for (i, a) in rows.iter().enumerate() {
                for (j, b) in rows.iter().enumerate() {
                    assert!((dot(a, b) - f64::from(u8::from(i == j))).abs() < 1e-5);
                }
            }
            let (mut outside, mut all) = (0.0, 0.0);
            for example in 0..data.len() {
                let x: Vec<f64> = data.input(example, 0).iter().map(|v| f64::from(*v)).collect();
                let rest = residual(&rows, &x);
                outside += dot(&rest, &rest);
                all += dot(&x, &x);
            }
            let measured = (outside / all).sqrt();
            assert!(
                measured <= error + 1e-4 && (measured - basis.error).abs() < 1e-4,
                "{measured} {}",
                basis.error
            );
        }
        assert!(Basis::find(&data(0.0), 1.0).is_err());
    }

    #[test]
    fn eigenvectors_of_a_known_matrix() {
        let mut axes = eigen(vec![vec![2.0, 1.0, 0.0], vec![1.0, 2.0, 0.0], vec![0.0, 0.0, 5.0]]);
        axes.sort_by(|a, b| a.0.total_cmp(&b.0));
        let values: Vec<f64> = axes.iter().map(|axis| axis.0).collect();
        assert!(values.iter().zip([1.0, 3.0, 5.0]).all(|(a, b)| (a - b).abs() < 1e-12), "{values:?}");
        let half = 0.5f64.sqrt();
        assert!((axes[1].1[0].abs() - half).abs() < 1e-12 && (axes[1].1[0] - axes[1].1[1]).abs() < 1e-12);
    }

    #[test]
    fn a_network_over_coordinates_gives_what_it_gave_over_data_in_the_span() {
        let data = data(0.0);
        let basis = Basis::find(&data, 0.001).unwrap();
        let mut graph = Graph::default();
        let input = graph.push("x", Layer::Input { bytes: false }, vec![], &[1, 4, 5]).unwrap();
        graph.inputs.push(input);
        let flat = graph.push("flat", Layer::Reshape, vec![input], &[1, 20]).unwrap();
        let weight =
            model::Tensor::new(vec![2, 20], (0..40).map(|v| (v % 7) as f32 - 3.0).collect()).unwrap();
        let bias = model::Tensor::vector(vec![0.5, -1.0]);
        let dense = Layer::Dense { weight: Arc::new(weight), bias: Arc::new(bias) };
        let node = graph.push("dense", dense, vec![flat], &[]).unwrap();
        let post = model::fixed::Post::None;
        graph.outputs.push(model::fixed::Output { name: "y".into(), node, post });
        let smaller = basis.apply(&graph).unwrap();
        let coordinates = data.projected(&basis.values).unwrap();
        for example in 0..5 {
            let run = |graph: &Graph, shape: &[usize], data: &Data| {
                let x = model::Tensor::new(shape.to_vec(), data.input(example, 0).to_vec()).unwrap();
                model::float::run(graph, &[x]).unwrap()[0].data().to_vec()
            };
            let (a, b) = (run(&graph, &[1, 4, 5], &data), run(&smaller, &[1, basis.rows()], &coordinates));
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-3), "{a:?} {b:?}");
        }
    }
}
