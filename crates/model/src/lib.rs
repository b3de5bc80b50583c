//! Tensors, ONNX import, the network graph, fixed point, and the float and integer references.
//!
//! Data flows one way: an ONNX file becomes a [`Graph`] of float layers ([`onnx`]), passes make it small, [`ranges`] says
//! how large its tensors get, [`quantise`] makes a [`fixed::FixedGraph`] with secret [`fixed::Params`], and
//! [`mod@reference`] defines the integers that every protocol must reproduce.

pub mod error;
pub mod fixed;
pub mod float;
mod generated;
pub mod graph;
mod kernels;
pub mod movement;
pub mod onnx;
pub mod passes;
pub mod quantise;
pub mod ranges;
pub mod reference;
pub mod shapes;
pub mod side;
pub mod sparsity;
mod summary;
mod support;
pub mod tensor;
mod validate;
mod values;

pub use error::Error;
pub use graph::Graph;
pub use side::{Meta, Side};
pub use summary::{End, LayerSummary, Summary, summary};
pub use support::Support;
pub use tensor::Tensor;

/// Reads a model and the side file beside it.
///
/// # Errors
/// If either cannot be used, or nothing goes into the model; the text names the file and the place.
pub fn open(path: &std::path::Path) -> Result<(Graph, Side), Error> {
    let side = Side::load(path)?;
    let graph = onnx::load_with(path, &side.options())?;
    if graph.inputs.is_empty() {
        let inner = Error::Decode("the graph has no input: its outputs are the same for everybody".into());
        return Err(Error::In { path: path.to_owned(), inner: Box::new(inner) });
    }
    Ok((graph, side))
}
