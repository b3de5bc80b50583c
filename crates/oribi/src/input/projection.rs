//! Inputs under a public basis: what a client multiplies its data by before the protocol (DeepSecure, section 3.2.1).

use std::path::Path;

use super::{InputError, InputSpec, Pixels, identify, npy};

/// Most numbers of a basis.
const MOST: usize = 1 << 26;

/// A matrix that inputs are multiplied by, as the model's owner publishes it beside the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    width: usize,
    values: Vec<f32>,
}

impl Projection {
    /// Reads an `.npy` of `[coordinates, values of an input]`.
    ///
    /// # Errors
    /// If the file is no such array.
    pub fn load(path: &str) -> Result<Self, InputError> {
        let path = Path::new(path);
        let refuse = |reason: String| InputError::new(path, reason);
        let (mut file, _) = identify(path)?;
        let shape = npy::read_header(&mut file).map_err(refuse)?.shape;
        let [rows, width] = shape[..] else {
            return Err(refuse("is no basis: wanted an array of two axes".into()));
        };
        if rows == 0 || width == 0 || rows.checked_mul(width).is_none_or(|count| count > MOST) {
            return Err(refuse(format!("is no basis: its shape is [{rows}, {width}]")));
        }
        let (file, _) = identify(path)?;
        let spec = InputSpec { name: "basis".into(), shape, pixels: Pixels::default(), range: None };
        let (mut reader, _) = npy::open(path, file, &spec)?;
        let values = reader.next_values().map_err(refuse)?;
        Self::new(width, values).ok_or_else(|| refuse("is no basis: a value is no finite number".into()))
    }

    /// A basis of these rows, each of `width` values; none where they are not whole rows of finite numbers.
    pub fn new(width: usize, values: Vec<f32>) -> Option<Self> {
        let whole = width > 0 && !values.is_empty() && values.len().is_multiple_of(width);
        (whole && values.iter().all(|value| value.is_finite())).then_some(Self { width, values })
    }

    /// Values of what it is applied to.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Coordinates that it gives.
    pub fn rows(&self) -> usize {
        self.values.len() / self.width
    }

    /// Its rows, one after the other.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Whether so many inputs of coordinates could not as well be values that the basis is yet to be applied to.
    pub(super) fn tells(&self, inputs: usize) -> bool {
        inputs.checked_mul(self.rows()).is_some_and(|values| !values.is_multiple_of(self.width))
    }

    /// What files hold for a model that takes its coordinates: plain vectors; pixels count from 0 to 1.
    pub(super) fn spec(&self, path: &Path, specs: &[InputSpec]) -> Result<InputSpec, InputError> {
        let refuse = |reason: String| InputError::new(path, reason);
        let [spec] = specs else { return Err(refuse("a projection is for models of one input".into())) };
        let (wanted, rows) = (spec.shape.iter().product::<usize>(), self.rows());
        if wanted != rows {
            return Err(refuse(format!("the projection gives {rows} values, and the model takes {wanted}")));
        }
        let shape = vec![1, self.width];
        Ok(InputSpec { name: spec.name.clone(), shape, pixels: Pixels::default(), range: None })
    }

    /// The coordinates of an input.
    pub(super) fn apply(&self, input: &[f32]) -> Vec<f32> {
        let row =
            |row: &[f32]| row.iter().zip(input).map(|(u, x)| f64::from(*u) * f64::from(*x)).sum::<f64>();
        self.values.chunks(self.width).map(|basis| row(basis) as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::open_projected;
    use super::*;

    /// An `.npy` of floats.
    fn npy(shape: &str, values: &[f32]) -> Vec<u8> {
        let head = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
        let head = format!("{head:<117}\n");
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((head.len() as u16).to_le_bytes());
        file.extend(head.as_bytes());
        values.iter().for_each(|v| file.extend(v.to_le_bytes()));
        file
    }

    /// Its path.
    fn write(folder: &Path, name: &str, bytes: Vec<u8>) -> String {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_client_multiplies_by_the_basis() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: Vec<u8>| write(folder.path(), name, bytes);
        let basis = write("basis.npy", npy("(2, 3)", &[1.0, 0.0, -1.0, 0.5, 0.5, 0.5]));
        let inputs = write("x.npy", npy("(2, 3)", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        let projection = Arc::new(Projection::load(&basis).unwrap());
        let spec = |count: usize| InputSpec {
            name: "x".into(),
            shape: vec![1, count],
            pixels: Pixels::default(),
            range: None,
        };
        let read = open_projected(&inputs, &[spec(2)], Some(&projection)).unwrap();
        let all: Vec<Vec<f32>> = read.map(|example| example.unwrap().tensors.remove(0)).collect();
        assert_eq!(all, [[-2.0, 3.0], [-2.0, 7.5]]);
        let error = open_projected(&inputs, &[spec(3)], Some(&projection)).unwrap_err().to_string();
        assert!(error.contains("gives 2 values, and the model takes 3"), "{error}");
        let flat = write("flat.npy", npy("(3,)", &[1.0, 0.0, -1.0]));
        assert!(Projection::load(&flat).unwrap_err().to_string().contains("two axes"));
        let wrong = write("nan.npy", npy("(2, 3)", &[1.0, 0.0, f32::NAN, 0.5, 0.5, 0.5]));
        assert!(Projection::load(&wrong).unwrap_err().to_string().contains("finite"));
        for (width, count) in [(0, 3), (3, 0), (3, 4)] {
            assert!(Projection::new(width, vec![0.5; count]).is_none());
        }
    }

    #[test]
    fn coordinates_are_taken_as_they_are_where_their_number_tells() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: Vec<u8>| write(folder.path(), name, bytes);
        let spec =
            [InputSpec { name: "x".into(), shape: vec![1, 2], pixels: Pixels::default(), range: None }];
        let read = |path: &str, width: usize| {
            let projection = Projection::new(width, vec![1.0; 2 * width]).map(Arc::new);
            let opened = open_projected(path, &spec, projection.as_ref())?;
            opened.map(|example| Ok(example?.tensors.remove(0))).collect::<Result<Vec<_>, InputError>>()
        };
        let one = write("one.npy", npy("(2,)", &[5.0, 6.0]));
        let two = write("two.npy", npy("(2, 2)", &[5.0, 6.0, 7.0, 8.0]));
        let json = write("x.json", b"[5, 6]".to_vec());
        assert_eq!(read(&one, 3).unwrap(), [[5.0, 6.0]]);
        assert_eq!(read(&two, 3).unwrap(), [[5.0, 6.0], [7.0, 8.0]]);
        assert_eq!(read(&json, 3).unwrap(), [[5.0, 6.0]]);
        // Two coordinates of two inputs may as well be the four values of one, in another shape; and two of two are multiplied.
        let error = read(&two, 4).unwrap_err().to_string();
        assert!(error.contains("2x2") && error.contains("1x4"), "{error}");
        assert_eq!(read(&one, 2).unwrap(), [[11.0, 11.0]]);
        // What fits neither is held against what the basis takes.
        assert!(read(&one, 5).is_ok());
        let three = write("three.npy", npy("(3,)", &[1.0; 3]));
        assert!(read(&three, 5).unwrap_err().to_string().contains("1x5"));
    }
}
