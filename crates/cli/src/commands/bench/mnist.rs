//! Handwritten digits for tables: the MNIST test set where it is given, else the ten that are built in.

use std::path::{Path, PathBuf};

use oribi::input::{Example, InputSpec};

use crate::builtin::DIGITS;
use crate::failure::Failure;

/// Digits with their labels.
pub struct Digits {
    pub examples: Vec<Example>,
    pub labels: Vec<usize>,
    /// Whether they are all ten thousand test images.
    pub complete: bool,
}

/// Bytes before an IDX file's labels.
const LABEL_HEADER: usize = 8;

impl Digits {
    /// The test set below `data`, or the built-in digits.
    ///
    /// # Errors
    /// If a file that is there cannot be read, or the network does not take such pictures.
    pub fn load(data: Option<&Path>, specs: &[InputSpec]) -> Result<Self, Failure> {
        if let Some(images) = data.and_then(|data| find(data, "t10k-images-idx3-ubyte"))
            && let Some(labels) = data.and_then(|data| find(data, "t10k-labels-idx1-ubyte"))
        {
            return Self::files(&images, &labels, specs);
        }
        let [spec] = specs else { return Err(Failure::bad("the network takes no single picture")) };
        let examples = DIGITS.iter().map(|digit| digit.example(spec)).collect::<Result<Vec<_>, _>>()?;
        let labels = DIGITS.iter().filter_map(|digit| digit.label.parse().ok()).collect();
        Ok(Self { examples, labels, complete: false })
    }

    fn files(images: &Path, labels: &Path, specs: &[InputSpec]) -> Result<Self, Failure> {
        let bytes = std::fs::read(labels).map_err(|e| Failure::bad(format!("{}: {e}", labels.display())))?;
        let labels: Vec<usize> = bytes.iter().skip(LABEL_HEADER).map(|label| usize::from(*label)).collect();
        let file = oribi::input::open(&images.to_string_lossy(), specs)?;
        let examples = file.take(labels.len()).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { examples, labels, complete: true })
    }
}

/// A file in a folder or in its `mnist`.
fn find(data: &Path, name: &str) -> Option<PathBuf> {
    [data.join(name), data.join("mnist").join(name)].into_iter().find(|path| path.is_file())
}
