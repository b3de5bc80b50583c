//! Constants of a model file: initializers, `Constant` nodes and what folds from them.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path};
use std::sync::Arc;

use crate::error::{Error, quote};
use crate::tensor::{MAX_ELEMENTS, MAX_RANK, Tensor};

use super::proto::{StringStringEntryProto, TensorProto, element};

/// A constant. An axis may have length zero here (an empty list of axes is one).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Constant {
    pub shape: Vec<usize>,
    pub data: Data,
}

/// Values of a constant; all of ONNX's integer types and booleans count as integers.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    Float(Arc<Vec<f32>>),
    Int(Vec<i64>),
}

impl Data {
    pub(super) fn floats(values: Vec<f32>) -> Self {
        Self::Float(Arc::new(values))
    }
}

impl Constant {
    pub(super) fn ints(values: Vec<i64>) -> Self {
        Self { shape: vec![values.len()], data: Data::Int(values) }
    }

    pub(super) fn len(&self) -> usize {
        match &self.data {
            Data::Float(v) => v.len(),
            Data::Int(v) => v.len(),
        }
    }

    /// The values as integers, if they are integers.
    pub(super) fn as_ints(&self) -> Option<&[i64]> {
        match &self.data {
            Data::Int(v) => Some(v),
            Data::Float(_) => None,
        }
    }

    /// The values as floats.
    pub(super) fn to_floats(&self) -> Arc<Vec<f32>> {
        match &self.data {
            Data::Float(v) => v.clone(),
            Data::Int(v) => Arc::new(v.iter().map(|&i| i as f32).collect()),
        }
    }

    /// The one value of a scalar or a tensor with one element.
    pub(super) fn scalar(&self) -> Option<f32> {
        if self.len() != 1 {
            return None;
        }
        match &self.data {
            Data::Float(v) => v.first().copied(),
            Data::Int(v) => v.first().map(|&i| i as f32),
        }
    }

    /// As a tensor of the graph, which holds finite numbers only.
    pub(super) fn tensor(&self) -> Result<Tensor, Error> {
        let data = self.to_floats();
        if let Some(at) = data.iter().position(|v| !v.is_finite()) {
            return Err(Error::Shape(format!(
                "value {at} of a constant is {}; weights must be finite",
                data[at]
            )));
        }
        Tensor::shared(self.shape.clone(), data)
    }

    /// Reads a tensor of the file; `folder` is where external data may lie.
    pub(super) fn read(proto: &TensorProto, folder: Option<&Path>) -> Result<Self, Error> {
        let bad = |problem: String| Error::at(&proto.name, problem);
        let shape = dims(&proto.dims).map_err(bad)?;
        let count: usize = shape.iter().product();
        let external;
        let raw: &[u8] = if proto.data_location == 1 || !proto.external_data.is_empty() {
            let width = width(proto.data_type).ok_or_else(|| bad(unknown(proto.data_type)))?;
            external = read_external(&proto.external_data, folder, count * width).map_err(bad)?;
            &external
        } else {
            &proto.raw_data
        };
        let data = if raw.is_empty() { typed(proto) } else { decode(proto.data_type, raw) }.map_err(bad)?;
        let constant = Self { shape, data };
        if constant.len() != count {
            let shape = &constant.shape;
            return Err(bad(format!(
                "holds {} values where its shape {shape:?} needs {count}",
                constant.len()
            )));
        }
        constant.finite().map_err(bad)?;
        Ok(constant)
    }

    /// Refuses NaN and infinities, but for a lone infinity: bounds of `Clip` are exported as that.
    fn finite(&self) -> Result<(), String> {
        match &self.data {
            Data::Float(v) if v.len() == 1 && v[0].is_infinite() => Ok(()),
            Data::Float(v) => match v.iter().position(|x| !x.is_finite()) {
                Some(at) => Err(format!("value {at} is {}; weights must be finite", v[at])),
                None => Ok(()),
            },
            Data::Int(_) => Ok(()),
        }
    }
}

/// Checked dimensions of a tensor in a file.
fn dims(dims: &[i64]) -> Result<Vec<usize>, String> {
    if dims.len() > MAX_RANK {
        return Err(format!("has {} axes; at most {MAX_RANK} are supported", dims.len()));
    }
    let mut count = 1usize;
    let mut shape = Vec::with_capacity(dims.len());
    for &dim in dims {
        let length = usize::try_from(dim).map_err(|_| format!("has the dimension {dim}"))?;
        count = count
            .checked_mul(length)
            .filter(|&c| c <= MAX_ELEMENTS)
            .ok_or_else(|| format!("shape {dims:?} is larger than 2^27 elements"))?;
        shape.push(length);
    }
    Ok(shape)
}

fn unknown(kind: i32) -> String {
    format!("has the element type {kind}; numbers and booleans are supported")
}

fn width(kind: i32) -> Option<usize> {
    Some(match kind {
        element::UINT8 | element::INT8 | element::BOOL => 1,
        element::UINT16 | element::INT16 | element::FLOAT16 | element::BFLOAT16 => 2,
        element::FLOAT | element::INT32 | element::UINT32 => 4,
        element::INT64 | element::DOUBLE | element::UINT64 => 8,
        _ => return None,
    })
}

/// Values from their little-endian bytes.
fn decode(kind: i32, raw: &[u8]) -> Result<Data, String> {
    let size = width(kind).ok_or_else(|| unknown(kind))?;
    if !raw.len().is_multiple_of(size) {
        return Err(format!("has {} bytes, not a multiple of {size}", raw.len()));
    }
    let four = || raw.as_chunks::<4>().0.iter();
    let eight = || raw.as_chunks::<8>().0.iter();
    let two = || raw.as_chunks::<2>().0.iter();
    Ok(match kind {
        element::FLOAT => Data::floats(four().map(|b| f32::from_le_bytes(*b)).collect()),
        element::DOUBLE => Data::floats(eight().map(|b| f64::from_le_bytes(*b) as f32).collect()),
        element::FLOAT16 => Data::floats(two().map(|b| half(u16::from_le_bytes(*b))).collect()),
        element::BFLOAT16 => {
            Data::floats(two().map(|b| f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16)).collect())
        }
        element::INT64 => Data::Int(eight().map(|b| i64::from_le_bytes(*b)).collect()),
        element::UINT64 => Data::Int(eight().map(|b| clip(u64::from_le_bytes(*b))).collect()),
        element::INT32 => Data::Int(four().map(|b| i64::from(i32::from_le_bytes(*b))).collect()),
        element::UINT32 => Data::Int(four().map(|b| i64::from(u32::from_le_bytes(*b))).collect()),
        element::INT16 => Data::Int(two().map(|b| i64::from(i16::from_le_bytes(*b))).collect()),
        element::UINT16 => Data::Int(two().map(|b| i64::from(u16::from_le_bytes(*b))).collect()),
        element::INT8 => Data::Int(raw.iter().map(|&b| i64::from(b as i8)).collect()),
        _ => Data::Int(raw.iter().map(|&b| i64::from(b)).collect()),
    })
}

/// Values from the typed fields, which older exporters and hand-made files use.
fn typed(proto: &TensorProto) -> Result<Data, String> {
    let halves = || proto.int32_data.iter().map(|&v| v as u16);
    Ok(match proto.data_type {
        element::FLOAT => Data::floats(proto.float_data.clone()),
        element::DOUBLE => Data::floats(proto.double_data.iter().map(|&v| v as f32).collect()),
        element::FLOAT16 => Data::floats(halves().map(half).collect()),
        element::BFLOAT16 => Data::floats(halves().map(|v| f32::from_bits(u32::from(v) << 16)).collect()),
        element::INT64 => Data::Int(proto.int64_data.clone()),
        element::UINT32 | element::UINT64 => Data::Int(proto.uint64_data.iter().map(|&v| clip(v)).collect()),
        kind if width(kind).is_some() => Data::Int(proto.int32_data.iter().map(|&v| i64::from(v)).collect()),
        kind => return Err(unknown(kind)),
    })
}

fn clip(v: u64) -> i64 {
    i64::try_from(v).unwrap_or(i64::MAX)
}

/// IEEE half precision to single.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    sign * match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f32.powi(exponent - 15),
    }
}

/// Reads external data: a plain file inside the model's own folder, nothing else.
fn read_external(
    entries: &[StringStringEntryProto],
    folder: Option<&Path>,
    wanted: usize,
) -> Result<Vec<u8>, String> {
    let entry = |key: &str| entries.iter().find(|e| e.key == key).map(|e| e.value.as_str());
    let location = entry("location").ok_or("external data without a location")?;
    let number = |key: &str| match entry(key) {
        None => Ok(None),
        Some(text) => {
            text.parse::<u64>().map(Some).map_err(|_| format!("external data: {key} is {}", quote(text)))
        }
    };
    let place = quote(location);
    let path = Path::new(location);
    let outside = || format!("external data {place} lies outside the model's folder and is not read");
    if location.is_empty()
        || !path.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir))
    {
        return Err(outside());
    }
    let folder = folder.ok_or_else(|| format!("external data {place}: the model was not given as a file"))?;
    let missing = |e: std::io::Error| format!("external data {place}: {e}");
    let root = folder.canonicalize().map_err(missing)?;
    let file = folder.join(path).canonicalize().map_err(missing)?;
    if !file.starts_with(&root) {
        return Err(outside());
    }
    let mut file = File::open(file).map_err(missing)?;
    let meta = file.metadata().map_err(missing)?;
    if !meta.is_file() {
        return Err(format!("external data {place} is not a plain file"));
    }
    let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?.unwrap_or(wanted as u64));
    if length != wanted as u64 || offset.checked_add(length).is_none_or(|end| end > meta.len()) {
        let have = meta.len();
        return Err(format!("external data {place}: {wanted} bytes at offset {offset} of a file of {have}"));
    }
    file.seek(SeekFrom::Start(offset)).map_err(missing)?;
    let mut bytes = vec![0; wanted];
    file.read_exact(&mut bytes).map_err(missing)?;
    Ok(bytes)
}
