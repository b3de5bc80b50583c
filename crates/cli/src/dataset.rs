//! Labelled examples from files, for training and for tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use oribi::input::{self, InputSpec, Projection};
use planner::Data;

use crate::failure::Failure;

/// Which half of a folder with MNIST's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `train-*`.
    Train,
    /// `t10k-*`.
    Test,
}

impl Part {
    /// How the names of its files begin.
    fn prefix(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "t10k",
        }
    }
}

/// Reads `DATA`: a folder with MNIST's four files (or with a folder `mnist` of them), an IDX file of pictures whose labels lie beside
/// it or in `labels`, or an `.npz` with the inputs and an array `labels`. `most` examples are read at most.
///
/// # Errors
/// If a file is missing or damaged, or does not fit the model; the text names it.
pub fn load(
    data: &str,
    labels: Option<&str>,
    part: Part,
    specs: &[InputSpec],
    classes: usize,
    most: Option<usize>,
) -> Result<Data, Failure> {
    load_projected(data, labels, part, (specs, None), classes, most)
}

/// As [`load`], inputs being multiplied by a basis first where there is one.
///
/// # Errors
/// As [`load`].
pub fn load_projected(
    data: &str,
    labels: Option<&str>,
    part: Part,
    (specs, basis): (&[InputSpec], Option<&Arc<Projection>>),
    classes: usize,
    most: Option<usize>,
) -> Result<Data, Failure> {
    let (pictures, beside) = files(data, part)?;
    let labels = match (labels, beside) {
        (Some(given), _) => given.to_owned(),
        (None, beside) => beside.to_string_lossy().into_owned(),
    };
    let mut all = input::labels(&labels)?;
    let file = input::open_projected(&pictures.to_string_lossy(), specs, basis)?;
    if file.len() != all.len() {
        let (count, wanted) = (file.len(), all.len());
        return Err(Failure::bad(format!("{data}: holds {count} inputs, and {labels} {wanted} labels")));
    }
    let count = most.unwrap_or(all.len()).min(all.len());
    all.truncate(count);
    let widths: Vec<usize> = specs.iter().map(|spec| spec.shape.iter().product()).collect();
    let mut inputs: Vec<Vec<f32>> = vec![Vec::new(); specs.len()];
    for example in file.take(count) {
        for (all, values) in inputs.iter_mut().zip(example?.tensors) {
            all.extend(values);
        }
    }
    Data::new(inputs, &widths, all, classes).map_err(|error| Failure::bad(format!("{labels}: {error}")))
}

/// MNIST's pictures and labels in a folder or in its `mnist`, packed or not, if both are there.
pub fn mnist(folder: &Path, part: Part) -> Option<(PathBuf, PathBuf)> {
    let find = |kind: &str| {
        let names = ["", ".gz"].map(|end| format!("{}-{kind}-ubyte{end}", part.prefix()));
        let folders = [folder.to_owned(), folder.join("mnist")];
        folders
            .iter()
            .flat_map(|folder| names.iter().map(|name| folder.join(name)))
            .find(|file| file.is_file())
    };
    Some((find("images-idx3")?, find("labels-idx1")?))
}

/// The file of inputs, and where its labels would be.
fn files(data: &str, part: Part) -> Result<(PathBuf, PathBuf), Failure> {
    let path = Path::new(data);
    if !path.is_dir() {
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let beside = name.replace("images-idx3", "labels-idx1");
        // An .npz holds its labels itself.
        return Ok((path.to_owned(), path.with_file_name(beside)));
    }
    mnist(path, part).ok_or_else(|| {
        let prefix = part.prefix();
        Failure::bad(format!(
            "{data}: has no {prefix}-images-idx3-ubyte and {prefix}-labels-idx1-ubyte (also .gz)"
        ))
    })
}
