//! Labelled examples for tables: those that `--data` holds, or the ten digits that are built in.

use std::path::{Path, PathBuf};

use oribi::input::{self, Example, InputSpec};

use crate::builtin::DIGITS;
use crate::dataset::{self, Part};
use crate::failure::Failure;

/// Examples with their labels.
pub struct Labelled {
    pub examples: Vec<Example>,
    pub labels: Vec<usize>,
    /// Whether they are a whole test set.
    pub complete: bool,
}

impl Labelled {
    /// The MNIST test set below `data`, or the built-in digits.
    ///
    /// # Errors
    /// If a file that is there cannot be read, or the network does not take such pictures.
    pub fn digits(data: Option<&Path>, specs: &[InputSpec]) -> Result<Self, Failure> {
        if let Some((images, labels)) = data.and_then(|data| dataset::mnist(data, Part::Test)) {
            return Self::files(&images, &labels, specs);
        }
        let [spec] = specs else { return Err(Failure::bad("the network takes no single picture")) };
        let examples = DIGITS.iter().map(|digit| digit.example(spec)).collect::<Result<Vec<_>, _>>()?;
        let labels = DIGITS.iter().filter_map(|digit| digit.label.parse().ok()).collect();
        Ok(Self { examples, labels, complete: false })
    }

    /// The inputs of an `.npz` below `data` with its array `labels`, if there is such a file.
    ///
    /// # Errors
    /// As [`Labelled::digits`].
    pub fn npz(data: Option<&Path>, name: &str, specs: &[InputSpec]) -> Result<Option<Self>, Failure> {
        let file = data.and_then(|data| find(data, name));
        file.map(|file| Self::files(&file, &file, specs)).transpose()
    }

    fn files(inputs: &Path, labels: &Path, specs: &[InputSpec]) -> Result<Self, Failure> {
        let name = labels.to_string_lossy();
        let labels: Vec<usize> = input::labels(&name)?.into_iter().map(|label| label as usize).collect();
        let file = input::open(&inputs.to_string_lossy(), specs)?;
        if file.len() != labels.len() {
            let (count, wanted) = (file.len(), labels.len());
            return Err(Failure::bad(format!("{name}: holds {wanted} labels for {count} inputs")));
        }
        let examples = file.collect::<Result<Vec<_>, _>>()?;
        Ok(Self { examples, labels, complete: true })
    }
}

/// A file in a folder or in its `mnist`.
fn find(data: &Path, name: &str) -> Option<PathBuf> {
    [data.join(name), data.join("mnist").join(name)].into_iter().find(|path| path.is_file())
}
