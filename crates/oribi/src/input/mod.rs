//! Input files: pictures, NumPy arrays, IDX and JSON, turned into what a model takes.
//!
//! A file is recognised by its content. `.npy`, `.npz` and JSON hold the model's own input values; pictures and IDX
//! files hold pixels of 0 to 255, scaled as the model's side file says ([`Pixels`]). A file may hold many inputs along
//! a leading axis; they are read one at a time, so memory follows the model's input and not the file. Everything a
//! file claims is checked against the model before it is believed, and a refusal names the file and the place.

mod array;
mod idx;
mod json;
mod labels;
mod npy;
mod npz;
mod picture;
mod projection;
mod shape;
mod zip;

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use array::ArrayReader;
pub use labels::labels;
pub use projection::Projection;

/// What a model takes as one of its inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct InputSpec {
    /// The graph's name for it.
    pub name: String,
    /// Its shape, batch axis included where the model has one.
    pub shape: Vec<usize>,
    /// How pixels become values.
    pub pixels: Pixels,
    /// Smallest and largest value that the model is made for, where that is known.
    pub range: Option<[f32; 2]>,
}

impl InputSpec {
    /// How many values lie outside the range. A ten-thousandth of its width is rounding.
    pub fn outside(&self, values: &[f32]) -> usize {
        let Some([low, high]) = self.range else { return 0 };
        let slack = 1e-4 * (high - low);
        values.iter().filter(|&&value| value < low - slack || value > high + slack).count()
    }
}

/// How a pixel of 0 to 255 becomes an input value: `value = pixel * scale + offset`.
#[derive(Clone, Debug, PartialEq)]
pub struct Pixels {
    /// One factor, or one for each channel.
    pub scale: Vec<f32>,
    /// One addend, or one for each channel.
    pub offset: Vec<f32>,
    /// Whether the channels are blue, green, red instead of red, green, blue. `scale` and `offset` are in the model's
    /// order.
    pub bgr: bool,
}

impl Default for Pixels {
    /// Values from 0 to 1.
    fn default() -> Self {
        Self { scale: vec![1.0 / 255.0], offset: vec![0.0], bgr: false }
    }
}

impl Pixels {
    /// The value of a pixel in a channel.
    fn value(&self, pixel: u8, channel: usize) -> f32 {
        let of = |list: &[f32], default| list.get(channel).or(list.first()).copied().unwrap_or(default);
        f32::from(pixel) * of(&self.scale, 1.0) + of(&self.offset, 0.0)
    }
}

/// One input of a model: a flat row-major tensor for each of the graph's inputs, in the graph's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// Where it came from: the file, with `#3` where the file holds several.
    pub name: String,
    /// The tensors; each has as many values as its [`InputSpec::shape`].
    pub tensors: Vec<Vec<f32>>,
}

/// A file that cannot be used: which, where in it, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct InputError {
    file: String,
    reason: String,
}

impl InputError {
    fn new(path: &Path, reason: impl Into<String>) -> Self {
        Self { file: path.display().to_string(), reason: reason.into() }
    }

    fn io(path: &Path, error: &std::io::Error) -> Self {
        let reason = match error.kind() {
            std::io::ErrorKind::NotFound => "no such file".to_owned(),
            std::io::ErrorKind::PermissionDenied => "may not be read (permission denied)".to_owned(),
            std::io::ErrorKind::UnexpectedEof => "the file ends too early".to_owned(),
            _ => format!("cannot be read: {error}"),
        };
        Self::new(path, reason)
    }
}

/// An open input file: an iterator over the inputs it holds.
pub struct InputFile {
    path: PathBuf,
    source: Source,
    count: usize,
    /// Whether it holds input values, and not pixels.
    holds_values: bool,
    selected: Option<usize>,
    next: usize,
    projection: Option<Arc<Projection>>,
}

impl std::fmt::Debug for InputFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InputFile")
            .field("path", &self.path)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

enum Source {
    /// Decoded whole: a picture, or the inputs of a JSON file; last first.
    Ready(Vec<Vec<Vec<f32>>>),
    /// One stream for each of the graph's inputs.
    Arrays(Vec<ArrayReader>),
    /// A stream of pixels.
    Pixels(ArrayReader, Pixels, usize),
}

/// What the first bytes of a file say it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Png,
    Jpeg,
    Npy,
    Npz,
    Idx,
    IdxGzip,
    Json,
}

/// Opens `FILE` or `FILE#3` (the fourth input of a file that holds several) for a model that takes `specs`.
///
/// # Errors
/// The file is missing, of no known kind, damaged, or does not fit the model.
pub fn open(argument: &str, specs: &[InputSpec]) -> Result<InputFile, InputError> {
    let (path, selected) = split_selection(argument);
    let (file, kind) = identify(&path)?;
    let single = |what: &str| match specs {
        [one] => Ok(one),
        _ => Err(InputError::new(
            &path,
            format!(
                "{what} holds one tensor, and the model takes {} ({}); use an .npz file with arrays of these names",
                specs.len(),
                shape::names(specs.iter().map(|spec| spec.name.as_str()))
            ),
        )),
    };
    let (source, count) = match kind {
        Kind::Png | Kind::Jpeg => {
            let spec = single("a picture")?;
            (
                Source::Ready(vec![vec![picture::read(
                    &path,
                    BufReader::new(file),
                    kind == Kind::Png,
                    spec,
                )?]]),
                1,
            )
        }
        Kind::Npy => {
            let (reader, count) = npy::open(&path, file, single("an .npy file")?)?;
            (Source::Arrays(vec![reader]), count)
        }
        Kind::Npz => {
            let (readers, count) = npz::open(&path, file, specs)?;
            (Source::Arrays(readers), count)
        }
        Kind::Idx | Kind::IdxGzip => {
            let spec = single("an IDX file")?;
            let (reader, channel_stride, count) = idx::open(&path, file, kind == Kind::IdxGzip, spec)?;
            (Source::Pixels(reader, spec.pixels.clone(), channel_stride), count)
        }
        Kind::Json => {
            let mut examples = json::read(&path, file, specs)?;
            let count = examples.len();
            examples.reverse();
            (Source::Ready(examples), count)
        }
    };
    let holds_values = matches!(kind, Kind::Npy | Kind::Npz | Kind::Json);
    let mut opened = InputFile { path, source, count, holds_values, selected, next: 0, projection: None };
    opened.select()?;
    Ok(opened)
}

/// As [`open`] for a model that takes coordinates under a public basis: files hold the inputs as they are, and what is read from them is
/// multiplied by the basis. Arrays that hold coordinates already are taken as they are, where their length cannot mean anything else. Without a
/// basis it is [`open`].
///
/// # Errors
/// As [`open`], and if the basis is not the model's.
pub fn open_projected(
    argument: &str,
    specs: &[InputSpec],
    projection: Option<&Arc<Projection>>,
) -> Result<InputFile, InputError> {
    let Some(projection) = projection else { return open(argument, specs) };
    let whole = projection.spec(Path::new(argument), specs)?;
    match open(argument, &[whole]) {
        Ok(opened) => Ok(InputFile { projection: Some(Arc::clone(projection)), ..opened }),
        Err(error) => {
            let projected = open(argument, specs).ok();
            projected.filter(|file| file.holds_values && projection.tells(file.count)).ok_or(error)
        }
    }
}

/// An input from a PNG picture in memory, for a model that takes one tensor; `name` stands for the file.
///
/// # Errors
/// The picture is damaged or not of the model's size.
pub fn from_png(name: &str, bytes: &[u8], spec: &InputSpec) -> Result<Example, InputError> {
    let tensor = picture::read(Path::new(name), Cursor::new(bytes), true, spec)?;
    Ok(Example { name: name.to_owned(), tensors: vec![tensor] })
}

impl InputFile {
    /// How many inputs it yields.
    pub fn len(&self) -> usize {
        if self.selected.is_some() { 1 } else { self.count }
    }

    /// Whether it yields none; a file without inputs is refused when it is opened, so never.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Skips to the selected input.
    fn select(&mut self) -> Result<(), InputError> {
        if self.count == 0 {
            return Err(InputError::new(&self.path, "holds no inputs"));
        }
        let Some(selected) = self.selected else { return Ok(()) };
        if selected >= self.count {
            let reason =
                format!("has no input #{selected}: it holds {} (#0 to #{})", self.count, self.count - 1);
            return Err(InputError::new(&self.path, reason));
        }
        match &mut self.source {
            Source::Ready(examples) => examples.truncate(self.count - selected),
            Source::Arrays(readers) => {
                for reader in readers {
                    reader.skip(selected).map_err(|reason| InputError::new(&self.path, reason))?;
                }
            }
            Source::Pixels(reader, ..) => {
                reader.skip(selected).map_err(|reason| InputError::new(&self.path, reason))?;
            }
        }
        self.next = selected;
        Ok(())
    }

    fn read(&mut self) -> Result<Example, InputError> {
        let refuse = |reason: String| InputError::new(&self.path, reason);
        let tensors = match &mut self.source {
            Source::Ready(examples) => {
                examples.pop().ok_or_else(|| refuse("the file ends too early".to_owned()))?
            }
            Source::Arrays(readers) => readers
                .iter_mut()
                .map(ArrayReader::next_values)
                .collect::<Result<Vec<_>, _>>()
                .map_err(refuse)?,
            Source::Pixels(reader, pixels, channel_stride) => {
                let mut values = reader.next_values().map_err(refuse)?;
                for (index, value) in values.iter_mut().enumerate() {
                    *value = pixels.value(*value as u8, index / *channel_stride);
                }
                vec![values]
            }
        };
        let tensors = match &self.projection {
            Some(projection) => tensors.iter().map(|tensor| projection.apply(tensor)).collect(),
            None => tensors,
        };
        let path = self.path.display();
        let name = if self.count == 1 { path.to_string() } else { format!("{path}#{}", self.next) };
        Ok(Example { name, tensors })
    }
}

impl Iterator for InputFile {
    type Item = Result<Example, InputError>;

    fn next(&mut self) -> Option<Self::Item> {
        let end = self.selected.map_or(self.count, |selected| selected + 1);
        if self.next >= end {
            return None;
        }
        let example = self.read();
        self.next = if example.is_ok() { self.next + 1 } else { end };
        Some(example)
    }
}

/// Splits `FILE#3`; a file whose own name has the `#` wins.
fn split_selection(argument: &str) -> (PathBuf, Option<usize>) {
    let whole = PathBuf::from(argument);
    if let (false, Some((file, number))) = (whole.exists(), argument.rsplit_once('#'))
        && let Ok(index) = number.parse()
    {
        return (PathBuf::from(file), Some(index));
    }
    (whole, None)
}

/// Opens the file and looks at its first bytes.
fn identify(path: &Path) -> Result<(File, Kind), InputError> {
    let io = |error: std::io::Error| InputError::io(path, &error);
    let metadata = std::fs::metadata(path).map_err(io)?;
    if !metadata.is_file() {
        return Err(InputError::new(path, "is not a file"));
    }
    let mut file = File::open(path).map_err(io)?;
    let mut head = Vec::new();
    file.by_ref().take(64).read_to_end(&mut head).map_err(io)?;
    std::io::Seek::rewind(&mut file).map_err(io)?;
    if head.is_empty() {
        return Err(InputError::new(path, "the file is empty"));
    }
    match kind_of(&head) {
        Some(kind) => Ok((file, kind)),
        None if path.extension().is_some_and(|end| end == "json") => Ok((file, Kind::Json)),
        None => Err(InputError::new(
            path,
            "is no input file: wanted PNG, JPEG, .npy, .npz, IDX (also gzipped) or JSON",
        )),
    }
}

fn kind_of(head: &[u8]) -> Option<Kind> {
    let first_visible = head.iter().find(|byte| !byte.is_ascii_whitespace());
    match head {
        [0x89, b'P', b'N', b'G', ..] => Some(Kind::Png),
        [0xff, 0xd8, 0xff, ..] => Some(Kind::Jpeg),
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Some(Kind::Npy),
        [b'P', b'K', 3 | 5, 4 | 6, ..] => Some(Kind::Npz),
        [0, 0, 0x08..=0x0e, 1..=8, ..] => Some(Kind::Idx),
        [0x1f, 0x8b, ..] => Some(Kind::IdxGzip),
        _ => matches!(first_visible, Some(b'[' | b'{')).then_some(Kind::Json),
    }
}

#[cfg(test)]
mod tests;
