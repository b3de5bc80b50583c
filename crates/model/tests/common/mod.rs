//! What the tests share: reading NumPy archives and finding the development data.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use model::Tensor;

/// The development data, where this machine has it.
pub fn data() -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var("ORIBI_DATA").unwrap_or_else(|_| "/work/shared/data".into()));
    path.is_dir().then_some(path)
}

/// An array of a NumPy archive, as floats.
#[derive(Clone, Debug)]
pub struct Array {
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

impl Array {
    /// The values with the order of the axes reversed.
    fn backwards(&self) -> Vec<f64> {
        let count = self.values.len();
        let mut out = Vec::with_capacity(count);
        for i in 0..count {
            // Coordinates of the result, last axis first, are those of the source, first axis first.
            let (mut rest, mut at, mut stride) = (i, 0, count);
            for &length in &self.shape {
                stride /= length;
                at += rest % length * stride;
                rest /= length;
            }
            out.push(self.values[at]);
        }
        out
    }

    pub fn tensor(&self) -> Tensor {
        Tensor::new(self.shape.clone(), self.values.iter().map(|&v| v as f32).collect()).unwrap()
    }

    /// Row `i` of the first axis, which stays with length 1.
    pub fn row(&self, i: usize) -> Tensor {
        let each = self.values.len() / self.shape[0];
        let mut shape = self.shape.clone();
        shape[0] = 1;
        let values = self.values[i * each..(i + 1) * each].iter().map(|&v| v as f32).collect();
        Tensor::new(shape, values).unwrap()
    }
}

/// Reads an `.npz` written by NumPy.
pub fn npz(path: &Path) -> BTreeMap<String, Array> {
    let bytes = std::fs::read(path).unwrap();
    let u16_at = |at: usize| u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()) as usize;
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let end = bytes.windows(4).rposition(|w| w == b"PK\x05\x06").unwrap();
    let (count, mut at) = (u16_at(end + 10), u32_at(end + 16));
    let mut arrays = BTreeMap::new();
    for _ in 0..count {
        let (method, packed, name_len) = (u16_at(at + 10), u32_at(at + 20), u16_at(at + 28));
        let local = u32_at(at + 42);
        let name = String::from_utf8(bytes[at + 46..at + 46 + name_len].to_vec()).unwrap();
        let start = local + 30 + u16_at(local + 26) + u16_at(local + 28);
        let raw = &bytes[start..start + packed];
        let mut data = Vec::new();
        match method {
            0 => data.extend_from_slice(raw),
            _ => drop(flate2::read::DeflateDecoder::new(raw).read_to_end(&mut data).unwrap()),
        }
        if let Some(array) = npy(&data) {
            arrays.insert(name.trim_end_matches(".npy").to_owned(), array);
        }
        at += 46 + name_len + u16_at(at + 30) + u16_at(at + 32);
    }
    arrays
}

/// Reads an `.npy`; none where it does not hold numbers.
pub fn npy(data: &[u8]) -> Option<Array> {
    assert_eq!(&data[..6], b"\x93NUMPY");
    let length = u16::from_le_bytes([data[8], data[9]]) as usize;
    let header = std::str::from_utf8(&data[10..10 + length]).unwrap();
    let kind = header.split("'descr': '").nth(1)?.split('\'').next()?;
    let shape: Vec<usize> = header
        .split("'shape': (")
        .nth(1)?
        .split(')')
        .next()?
        .split(',')
        .filter_map(|s| s.trim().parse().ok())
        .collect();
    let body = &data[10 + length..];
    let values = match kind {
        "<f4" => body.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect(),
        "<f8" => body.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
        "<i8" => body.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b) as f64).collect(),
        "|u1" | "|b1" => body.iter().map(|&b| f64::from(b)).collect(),
        _ => return None,
    };
    if header.contains("'fortran_order': True") {
        let reversed: Vec<usize> = shape.iter().rev().copied().collect();
        let flat = Array { shape: reversed, values };
        return Some(Array { values: flat.backwards(), shape });
    }
    Some(Array { shape, values })
}

/// Images of an IDX file, in [0, 1].
pub fn mnist() -> Option<Vec<Vec<f32>>> {
    let bytes = std::fs::read(data()?.join("mnist/t10k-images-idx3-ubyte")).ok()?;
    Some(bytes[16..].chunks_exact(784).map(|c| c.iter().map(|&b| f32::from(b) / 255.0).collect()).collect())
}

/// Largest difference over `max(1, largest wanted value)`.
pub fn error(got: &[f32], wanted: &[f64]) -> f64 {
    assert_eq!(got.len(), wanted.len());
    let top = wanted.iter().fold(1.0f64, |a, v| a.max(v.abs()));
    got.iter().zip(wanted).map(|(&g, w)| (f64::from(g) - w).abs()).fold(0.0, f64::max) / top
}
