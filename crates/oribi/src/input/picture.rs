//! PNG and JPEG pictures of exactly the model's size.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use image::{ColorType, DynamicImage, ImageFormat, ImageReader, Limits};

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

/// The input of this shape as a picture: one or three channels, first or last, after a batch axis of one if any.
pub(super) fn plane(input: &[usize]) -> Option<Plane> {
    let last = |height, width, channels| Plane { channels, height, width, channels_last: true };
    let first = |channels, height, width| Plane { channels, height, width, channels_last: false };
    match *input {
        [1, c @ (1 | 3), h, w] | [c @ (1 | 3), h, w] => Some(first(c, h, w)),
        [1, h, w, c @ (1 | 3)] | [h, w, c @ (1 | 3)] => Some(last(h, w, c)),
        [h, w] if h > 1 && w > 1 => Some(first(1, h, w)),
        _ => None,
    }
}

/// A picture as the model's input values.
///
/// Its size is compared with the model's before anything is decoded, so memory is a small multiple of the input.
/// Colour becomes grey for a model that takes grey, and grey becomes colour for one that takes colour.
pub(super) fn read(path: &Path, file: File, png: bool, spec: &InputSpec) -> Result<Vec<f32>, InputError> {
    let refuse = |reason: String| InputError::new(path, reason);
    let plane = plane(&spec.shape).ok_or_else(|| {
        let wanted = shape::text(&spec.shape);
        refuse(format!(
            "is a picture, and the model's input {:?} is {wanted}; use .npy, .npz or JSON",
            spec.name
        ))
    })?;
    let format = if png { ImageFormat::Png } else { ImageFormat::Jpeg };
    let damaged = |error: image::ImageError| {
        let text: String = error.to_string().chars().filter(|c| !c.is_control()).take(160).collect();
        InputError::new(path, format!("the picture is damaged: {text}"))
    };
    let open = |file| ImageReader::with_format(BufReader::new(file), format);
    let found = open(file).into_dimensions().map_err(damaged)?;
    if (found.0 as usize, found.1 as usize) != (plane.width, plane.height) {
        let (width, height) = found;
        return Err(refuse(format!(
            "is {width} x {height} pixels, and the model takes {}; resize or crop it",
            plane.text()
        )));
    }
    let mut reader = open(File::open(path).map_err(|error| InputError::io(path, &error))?);
    let mut limits = Limits::default();
    limits.max_alloc =
        Some((plane.width as u64 * plane.height as u64).saturating_mul(64).saturating_add(1 << 20));
    reader.limits(limits);
    let decoded = reader.decode().map_err(damaged)?;
    let pixels = opaque(decoded).map_err(refuse)?;
    Ok(arrange(&pixels, plane, spec))
}

/// Refuses transparency, which has no meaning for a model; an opaque alpha channel is dropped.
fn opaque(picture: DynamicImage) -> Result<DynamicImage, String> {
    let alpha =
        matches!(picture.color(), ColorType::La8 | ColorType::La16 | ColorType::Rgba8 | ColorType::Rgba16);
    if alpha && picture.to_luma_alpha8().pixels().any(|pixel| pixel.0[1] != 255) {
        return Err("has transparent pixels; save it without transparency".to_owned());
    }
    Ok(picture)
}

/// Scaled values in the order that the model takes them.
fn arrange(picture: &DynamicImage, plane: Plane, spec: &InputSpec) -> Vec<f32> {
    let bytes =
        if plane.channels == 1 { picture.to_luma8().into_raw() } else { picture.to_rgb8().into_raw() };
    let area = plane.height * plane.width;
    let value = |pixel: usize, channel: usize| {
        let stored = if spec.pixels.bgr && plane.channels == 3 { 2 - channel } else { channel };
        spec.pixels.value(bytes[pixel * plane.channels + stored], channel)
    };
    if plane.channels_last {
        (0..area)
            .flat_map(|pixel| (0..plane.channels).map(move |c| (pixel, c)))
            .map(|(p, c)| value(p, c))
            .collect()
    } else {
        (0..plane.channels)
            .flat_map(|c| (0..area).map(move |pixel| (pixel, c)))
            .map(|(p, c)| value(p, c))
            .collect()
    }
}
