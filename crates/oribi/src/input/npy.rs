//! NumPy's `.npy`: a magic string, a Python dictionary as text, then the numbers.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::array::{ArrayReader, Element, ElementKind};
use super::{InputError, InputSpec, shape};

/// The longest header that is read; a plain array needs about a hundred bytes.
const HEADER_LIMIT: usize = 16 << 10;

/// What the header of an array says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) element: Element,
    pub(super) shape: Vec<usize>,
    /// Bytes before the numbers.
    pub(super) length: usize,
}

impl Header {
    /// Bytes of the numbers.
    pub(super) fn data_bytes(&self) -> Option<u64> {
        (shape::elements(&self.shape)? as u64).checked_mul(self.element.bytes() as u64)
    }
}

/// An `.npy` file for one input of a model, and how many inputs it holds.
pub(super) fn open(
    path: &Path,
    mut file: File,
    spec: &InputSpec,
) -> Result<(ArrayReader, usize), InputError> {
    let refuse = |reason: String| InputError::new(path, reason);
    let length = file.metadata().map_err(|error| InputError::io(path, &error))?.len();
    let header = read_header(&mut file).map_err(refuse)?;
    let present = length.saturating_sub(header.length as u64);
    check_length(&header, present).map_err(refuse)?;
    let (reader, count) =
        fit(header, Box::new(std::io::BufReader::new(file)), spec, "the array").map_err(refuse)?;
    Ok((reader, count))
}

/// Refuses an array whose numbers are not all there.
pub(super) fn check_length(header: &Header, present: u64) -> Result<(), String> {
    match header.data_bytes() {
        Some(needed) if needed <= present => Ok(()),
        Some(needed) => Err(format!(
            "the array is truncated: shape {} needs {needed} bytes and {present} are there",
            shape::text(&header.shape)
        )),
        None => Err(format!("the array's shape {} is absurd", shape::text(&header.shape))),
    }
}

/// Fits an array to a model's input; `what` names it in messages.
pub(super) fn fit(
    header: Header,
    reader: Box<dyn Read + Send>,
    spec: &InputSpec,
    what: &str,
) -> Result<(ArrayReader, usize), String> {
    let mismatch = || shape::mismatch(what, &header.shape, &spec.name, &spec.shape);
    let count = shape::count(&header.shape, &spec.shape).ok_or_else(mismatch)?;
    let elements = shape::elements(&spec.shape).ok_or_else(mismatch)?;
    Ok((ArrayReader::new(reader, header.element, elements, what.to_owned()), count))
}

/// Reads the header; the reader then stands at the first number.
pub(super) fn read_header(reader: &mut impl Read) -> Result<Header, String> {
    let mut fixed = [0u8; 10];
    let short = |_| "the .npy header is truncated".to_owned();
    reader.read_exact(&mut fixed).map_err(short)?;
    if !fixed.starts_with(b"\x93NUMPY") {
        return Err("is not an .npy array".to_owned());
    }
    let (prefix, length) = match fixed[6] {
        1 => (10, usize::from(u16::from_le_bytes([fixed[8], fixed[9]]))),
        2 | 3 => {
            let mut high = [0u8; 2];
            reader.read_exact(&mut high).map_err(short)?;
            (12, u32::from_le_bytes([fixed[8], fixed[9], high[0], high[1]]) as usize)
        }
        version => return Err(format!("the .npy format version {version} is unknown")),
    };
    if length > HEADER_LIMIT {
        return Err(format!(
            "the .npy header claims {length} bytes; a plain array has at most {HEADER_LIMIT}"
        ));
    }
    let mut text = vec![0u8; length];
    reader.read_exact(&mut text).map_err(short)?;
    let text = std::str::from_utf8(&text).map_err(|_| "the .npy header is not text".to_owned())?;
    let (element, shape) = parse_header(text)?;
    Ok(Header { element, shape, length: prefix + length })
}

/// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
fn parse_header(text: &str) -> Result<(Element, Vec<usize>), String> {
    let damaged = || "the .npy header is damaged".to_owned();
    let descr = field(text, "descr").ok_or_else(damaged)?;
    let order = field(text, "fortran_order").ok_or_else(damaged)?;
    let dimensions = field(text, "shape").ok_or_else(damaged)?;
    let descr = match descr.strip_prefix(['\'', '"']).and_then(|rest| rest.split(['\'', '"']).next()) {
        Some(descr) => descr,
        None => return Err("is a structured array; save a plain one of numbers".to_owned()),
    };
    let element = parse_element(descr)?;
    if order.starts_with("True") {
        return Err(
            "is stored in Fortran order; save numpy.ascontiguousarray(x) instead, which is in C order"
                .to_owned(),
        );
    }
    if !order.starts_with("False") {
        return Err(damaged());
    }
    let inner = dimensions.strip_prefix('(').and_then(|rest| rest.split(')').next()).ok_or_else(damaged)?;
    let mut shape = Vec::new();
    for axis in inner.split(',').map(str::trim).filter(|axis| !axis.is_empty()) {
        shape.push(axis.trim_end_matches('L').parse().map_err(|_| damaged())?);
    }
    if shape.len() > 32 {
        return Err(format!("the array has {} axes", shape.len()));
    }
    Ok((element, shape))
}

/// The text after `'name':`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    [format!("'{name}'"), format!("\"{name}\"")]
        .iter()
        .find_map(|key| text.split_once(key.as_str()))
        .and_then(|(_, rest)| rest.trim_start().strip_prefix(':'))
        .map(str::trim_start)
}

/// Reads `<f4` and its like.
fn parse_element(descr: &str) -> Result<Element, String> {
    let (big_endian, kind) = match descr.as_bytes() {
        [b'>', ..] => (true, &descr[1..]),
        [b'<' | b'|' | b'=', ..] => (false, &descr[1..]),
        _ => (false, descr),
    };
    let kind = match kind {
        "f2" => ElementKind::F16,
        "f4" => ElementKind::F32,
        "f8" => ElementKind::F64,
        "i1" => ElementKind::Int(1),
        "i2" => ElementKind::Int(2),
        "i4" => ElementKind::Int(4),
        "i8" => ElementKind::Int(8),
        "u1" | "b1" => ElementKind::Uint(1),
        "u2" => ElementKind::Uint(2),
        "u4" => ElementKind::Uint(4),
        "u8" => ElementKind::Uint(8),
        other if other.starts_with('O') => {
            return Err(
                "holds pickled Python objects, which are never loaded; save x.astype('float32')".to_owned()
            );
        }
        other => {
            let shown: String = other.chars().take(16).collect();
            return Err(format!("holds elements of type {shown:?}; save x.astype('float32') instead"));
        }
    };
    Ok(Element { kind, big_endian })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let (element, shape) =
            parse_header("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }   \n").unwrap();
        assert_eq!(element, Element { kind: ElementKind::F32, big_endian: false });
        assert_eq!(shape, [3, 4]);
        assert_eq!(parse_header("{'descr': '|u1', 'fortran_order': False, 'shape': (7,)}").unwrap().1, [7]);
        assert!(parse_header("{'descr': '|u1', 'fortran_order': False, 'shape': ()}").unwrap().1.is_empty());
        for (text, word) in [
            ("{'descr': '|O', 'fortran_order': False, 'shape': (3,)}", "pickled"),
            ("{'descr': '<c8', 'fortran_order': False, 'shape': (3,)}", "c8"),
            ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,)}", "structured"),
            ("{'descr': '<f4', 'fortran_order': True, 'shape': (3, 4)}", "Fortran"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (-3,)}", "damaged"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999,)}", "damaged"),
            ("{'descr': '<f4', 'shape': (3,)}", "damaged"),
            ("{}", "damaged"),
        ] {
            let error = parse_header(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
