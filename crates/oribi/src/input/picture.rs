//! PNG and JPEG pictures of exactly the model's size.

use std::io::{BufRead, Seek};
use std::path::Path;

use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::{InputError, InputSpec, shape};

/// A model's input seen as a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plane {
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    /// Height, width, channels instead of channels, height, width.
    pub(super) channels_last: bool,
}

impl Plane {
    /// `28 x 28 pixels, grey`.
    pub(super) fn text(self) -> String {
        let colour = if self.channels == 1 { "grey" } else { "colour" };
        format!("{} x {} pixels, {colour}", self.width, self.height)
    }
}

/// The input of this shape as a picture: one or three channels, first or last, after a batch axis of one if any; or a
/// square of grey pixels in a row, as networks of fully connected layers take them.
pub(super) fn plane(input: &[usize]) -> Option<Plane> {
    let last = |height, width, channels| Plane { channels, height, width, channels_last: true };
    let first = |channels, height, width| Plane { channels, height, width, channels_last: false };
    match *input {
        [1, c @ (1 | 3), h, w] | [c @ (1 | 3), h, w] => Some(first(c, h, w)),
        [1, h, w, c @ (1 | 3)] | [h, w, c @ (1 | 3)] => Some(last(h, w, c)),
        [h, w] if h > 1 && w > 1 => Some(first(1, h, w)),
        [1, n] | [n] if n > 16 && n.isqrt() * n.isqrt() == n => Some(first(1, n.isqrt(), n.isqrt())),
        _ => None,
    }
}

/// Pixels as they come out of a decoder: one byte a channel.
struct Decoded {
    bytes: Vec<u8>,
    /// 1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha.
    channels: usize,
}

/// A picture as the model's input values.
///
/// Its size is compared with the model's before anything is decoded, so memory is a small multiple of the input.
/// Colour becomes grey for a model that takes grey, and grey becomes colour for one that takes colour.
pub(super) fn read(
    path: &Path,
    file: impl BufRead + Seek,
    is_png: bool,
    spec: &InputSpec,
) -> Result<Vec<f32>, InputError> {
    let refuse = |reason: String| InputError::new(path, reason);
    let plane = plane(&spec.shape).ok_or_else(|| {
        let wanted = shape::text(&spec.shape);
        refuse(format!(
            "is a picture, and the model's input {:?} is {wanted}; use .npy, .npz or JSON",
            spec.name
        ))
    })?;
    let decoded = if is_png { decode_png(file, plane) } else { decode_jpeg(file, plane) }.map_err(refuse)?;
    Ok(arrange(&flatten(decoded, plane).map_err(refuse)?, plane, spec))
}

/// Refuses a picture of another size.
fn check_size(found: (usize, usize), plane: Plane) -> Result<(), String> {
    if found == (plane.width, plane.height) {
        return Ok(());
    }
    let (width, height) = found;
    Err(format!("is {width} x {height} pixels, and the model takes {}; resize or crop it", plane.text()))
}

fn damaged(error: &dyn std::fmt::Debug) -> String {
    let text: String = format!("{error:?}").chars().filter(|c| !c.is_control()).take(160).collect();
    format!("the picture is damaged or truncated: {text}")
}

fn decode_png(file: impl BufRead + Seek, plane: Plane) -> Result<Decoded, String> {
    let fail = |error: png::DecodingError| damaged(&error.to_string());
    let area = plane.width.saturating_mul(plane.height);
    let limits = png::Limits { bytes: area.saturating_mul(16).saturating_add(1 << 20) };
    let mut decoder = png::Decoder::new_with_limits(file, limits);
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info().map_err(fail)?;
    check_size((header.width as usize, header.height as usize), plane)?;
    let mut reader = decoder.read_info().map_err(fail)?;
    let length = reader.output_buffer_size().ok_or_else(|| damaged(&"absurd size"))?;
    let mut bytes = vec![0; length];
    reader.next_frame(&mut bytes).map_err(fail)?;
    reader.finish().map_err(fail)?;
    Ok(Decoded { channels: length / area.max(1), bytes })
}

fn decode_jpeg(file: impl BufRead + Seek, plane: Plane) -> Result<Decoded, String> {
    let fail = |error: zune_jpeg::errors::DecodeErrors| damaged(&error);
    let options = DecoderOptions::default().set_strict_mode(true).jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(file, options);
    decoder.decode_headers().map_err(fail)?;
    let (width, height) = decoder.dimensions().ok_or_else(|| damaged(&"no size"))?;
    check_size((width, height), plane)?;
    let bytes = decoder.decode().map_err(fail)?;
    Ok(Decoded { channels: bytes.len() / (width * height).max(1), bytes })
}

/// Grey or colour as the model takes it, without alpha. Transparency has no meaning for a model and is refused; an
/// opaque alpha channel is dropped. Grey is the luma of ITU-R BT.601, which JPEG and Pillow use too.
fn flatten(picture: Decoded, plane: Plane) -> Result<Vec<u8>, String> {
    let Decoded { bytes, channels } = picture;
    if !(1..=4).contains(&channels) || bytes.len() != channels * plane.width * plane.height {
        return Err(damaged(&"an unknown pixel format"));
    }
    let pixels = bytes.chunks_exact(channels);
    if channels % 2 == 0 && pixels.clone().any(|pixel| pixel[channels - 1] != 255) {
        return Err("has transparent pixels; save it without transparency".to_owned());
    }
    let luma = |pixel: &[u8]| {
        let weighted = 299 * u32::from(pixel[0]) + 587 * u32::from(pixel[1]) + 114 * u32::from(pixel[2]);
        ((weighted + 500) / 1000) as u8
    };
    Ok(match (channels >= 3, plane.channels == 3) {
        (false, false) => pixels.map(|pixel| pixel[0]).collect(),
        (false, true) => pixels.flat_map(|pixel| [pixel[0]; 3]).collect(),
        (true, false) => pixels.map(luma).collect(),
        (true, true) => pixels.flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(),
    })
}

/// Scaled values in the order that the model takes them.
fn arrange(bytes: &[u8], plane: Plane, spec: &InputSpec) -> Vec<f32> {
    let area = plane.height * plane.width;
    let value = |pixel: usize, channel: usize| {
        let stored = if spec.pixels.bgr && plane.channels == 3 { 2 - channel } else { channel };
        spec.pixels.value(bytes[pixel * plane.channels + stored], channel)
    };
    if plane.channels_last {
        (0..area * plane.channels)
            .map(|index| value(index / plane.channels, index % plane.channels))
            .collect()
    } else {
        (0..area * plane.channels).map(|index| value(index % area, index / area)).collect()
    }
}
