//! IDX, the format of MNIST's files: a magic number, big-endian axis lengths, then unsigned bytes.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::GzDecoder;

use super::array::{ArrayReader, Element, ElementKind};
use super::{InputError, InputSpec, picture, shape};

/// A stream of pictures as pixels of 0 to 255, elements between two channels, and the number of pictures.
///
/// The first axis counts pictures. A picture fits where its shape does, or, for a model whose input is a plain vector,
/// where the number of pixels does.
pub(super) fn open(
    path: &Path,
    mut file: File,
    gzip: bool,
    spec: &InputSpec,
) -> Result<(ArrayReader, usize, usize), InputError> {
    let refuse = |reason: String| InputError::new(path, reason);
    let length = file.metadata().map_err(|error| InputError::io(path, &error))?.len();
    let (shape, reader): (_, Box<dyn Read + Send>) = if gzip {
        let mut unpacked = GzDecoder::new(BufReader::new(file));
        (read_header(&mut unpacked).map_err(refuse)?, Box::new(BufReader::new(unpacked)))
    } else {
        let shape = read_header(&mut file).map_err(refuse)?;
        let needed = shape::elements(&shape).map(|bytes| bytes as u64);
        let present = length.saturating_sub(4 + 4 * shape.len() as u64);
        if needed.is_none_or(|needed| needed > present) {
            let text = shape::text(&shape);
            return Err(refuse(format!(
                "is short: an IDX file of {text} bytes has {present} after its header"
            )));
        }
        (shape, Box::new(BufReader::new(file)))
    };
    let [count, picture @ ..] = shape.as_slice() else {
        return Err(refuse("the IDX file has no axes".to_owned()));
    };
    if picture.is_empty() {
        return Err(refuse("is an IDX file of labels, not of pictures".to_owned()));
    }
    let plane = picture::plane(&spec.shape);
    let vector = spec.shape.iter().filter(|axis| **axis != 1).count() <= 1;
    let same_size = shape::elements(picture) == shape::elements(&spec.shape);
    if shape::count(picture, &spec.shape) != Some(1) && !(vector && same_size) {
        let wanted = plane.map_or_else(|| shape::text(&spec.shape), |plane| plane.text());
        let text = shape::text(picture);
        return Err(refuse(format!(
            "holds pictures of {text}, and the model's input {:?} takes {wanted}",
            spec.name
        )));
    }
    let elements = shape::elements(picture).unwrap_or(0);
    let channel_stride = match plane {
        Some(plane) if !plane.channels_last && plane.channels > 1 => plane.height * plane.width,
        _ => elements.max(1),
    };
    let element = Element { kind: ElementKind::Uint(1), big_endian: false };
    Ok((ArrayReader::new(reader, element, elements, "the IDX file".to_owned()), channel_stride, *count))
}

/// The axis lengths.
pub(super) fn read_header(reader: &mut impl Read) -> Result<Vec<usize>, String> {
    let short = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "the IDX header is truncated".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    let mut magic = [0u8; 4];
    reader.read_exact(&mut magic).map_err(short)?;
    let [0, 0, kind, axes] = magic else {
        return Err("is not an IDX file (gzipped files are read as IDX)".to_owned());
    };
    if kind != 0x08 {
        return Err(format!("is an IDX file of element type {kind:#04x}; pictures are unsigned bytes, 0x08"));
    }
    if axes > 8 {
        return Err(format!("the IDX header claims {axes} axes"));
    }
    let mut shape = Vec::new();
    for _ in 0..axes {
        let mut axis = [0u8; 4];
        reader.read_exact(&mut axis).map_err(short)?;
        shape.push(u32::from_be_bytes(axis) as usize);
    }
    Ok(shape)
}
