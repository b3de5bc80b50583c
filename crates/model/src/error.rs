//! What can be wrong with a model, its side file or its inputs, in words a person can act on.

use std::path::PathBuf;

/// An operator of a file that cannot be computed privately, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// The operator's ONNX name, with its domain where that is not the standard one.
    pub operator: String,
    /// The first node that uses it.
    pub node: String,
    /// How many nodes are concerned.
    pub count: usize,
    /// What to do instead.
    pub advice: String,
}

/// An error of this crate. Its text is one line, names the place and fits standard error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// An error inside a file.
    #[error("{}: {inner}", .path.display())]
    In {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        inner: Box<Error>,
    },
    /// The bytes are not a model, or a damaged one.
    #[error("not a valid ONNX model: {0}")]
    Decode(String),
    /// Something about a place in a model is wrong.
    #[error("{place}: {problem}")]
    Model {
        /// The node, tensor or input.
        place: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// Operators without a private form, all of them.
    #[error("{}", list(.0))]
    Unsupported(Vec<Unsupported>),
    /// A tensor of impossible shape.
    #[error("{0}")]
    Shape(String),
    /// An input that does not suit the model.
    #[error("input {0}")]
    Input(String),
    /// A network that cannot be expressed in a number format.
    #[error("{0}")]
    Quantise(String),
    /// A fixed-point graph that breaks a rule.
    #[error("fixed-point graph, node {node}: {problem}")]
    Fixed {
        /// The node's index.
        node: usize,
        /// The rule.
        problem: String,
    },
    /// A side file that cannot be used.
    #[error("{0}")]
    Side(String),
}

impl Error {
    /// An error at a node, tensor or input of a model. Names come from files, so they are quoted and cut.
    pub fn at(place: &str, problem: impl Into<String>) -> Self {
        Self::Model { place: quote(place), problem: problem.into() }
    }

    /// The same error with the file it is about.
    pub fn in_file(self, path: &std::path::Path) -> Self {
        match self {
            Self::Read { .. } | Self::In { .. } => self,
            inner => Self::In { path: path.to_owned(), inner: Box::new(inner) },
        }
    }
}

/// A name from a file, between backquotes, without control characters and at most 60 characters long.
pub fn quote(name: &str) -> String {
    let clean: String = name.chars().map(|c| if c.is_control() { '?' } else { c }).take(60).collect();
    let cut = if name.chars().nth(60).is_some() { "..." } else { "" };
    format!("`{clean}{cut}`")
}

fn list(items: &[Unsupported]) -> String {
    let each: Vec<String> = items
        .iter()
        .map(|item| {
            let more = if item.count > 1 { format!(" and {} more", item.count - 1) } else { String::new() };
            format!("{} (node {}{more}): {}", quote(&item.operator), quote(&item.node), item.advice)
        })
        .collect();
    let noun = if items.len() == 1 { "operator is" } else { "operators are" };
    format!("{} {noun} not supported: {}", items.len(), each.join("; "))
}
