//! Import of ONNX files, and their writing (`export`).
//!
//! The files are decoded by `prost` from a hand-written subset of ONNX's schema (`proto`): the alternatives bring a
//! whole inference engine (tract), a build script with `protoc`, or a second decoder to keep safe. ONNX's types do not
//! leave this module; what comes out is a [`Graph`].
//!
//! Opsets 9 to 21 are the ones users have; 7, 8 and 22 to 26 are taken as well, since the operators here kept their
//! meaning in them. Whatever can be computed from constants and shapes is computed now.

mod activations;
mod arithmetic;
mod attributes;
mod classical;
mod constant;
mod export;
mod guard;
mod import;
mod linear;
mod moves;
mod padding;
mod pools;
mod proto;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use prost::Message;
use prost::bytes::Bytes;

use crate::error::Error;
use crate::graph::Graph;

pub use export::to_bytes;

/// The largest model file: 1 GiB.
pub const MAX_FILE: u64 = 1 << 30;

/// Settings of an import.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Shapes of inputs by name, for files that leave them open.
    pub shapes: BTreeMap<String, Vec<usize>>,
    /// Shape of the only input, whatever its name.
    pub only: Option<Vec<usize>>,
}

/// Reads a model file. External data is read from the file's own folder only.
///
/// # Errors
/// If the file cannot be read, is damaged, or holds something that is not supported; the text names file and place.
pub fn load(path: &Path) -> Result<Graph, Error> {
    load_with(path, &Options::default())
}

/// As [`load`], with settings.
///
/// # Errors
/// As [`load`].
pub fn load_with(path: &Path, options: &Options) -> Result<Graph, Error> {
    let read = |source| Error::Read { path: path.to_owned(), source };
    let meta = std::fs::metadata(path).map_err(read)?;
    if !meta.is_file() {
        return Err(Error::Decode("not a file".into()).in_file(path));
    }
    if meta.len() > MAX_FILE {
        return Err(Error::Decode("larger than 1 GiB".into()).in_file(path));
    }
    let bytes = std::fs::read(path).map_err(read)?;
    let folder = path.parent().map(|p| if p.as_os_str().is_empty() { Path::new(".") } else { p });
    decode(bytes.into(), folder, options).map_err(|e| e.in_file(path))
}

/// Imports a model from its bytes; without a folder, external data is refused.
///
/// # Errors
/// As [`load`].
pub fn from_bytes(bytes: &[u8], base_dir: Option<&Path>) -> Result<Graph, Error> {
    decode(Bytes::copy_from_slice(bytes), base_dir, &Options::default())
}

fn decode(bytes: Bytes, folder: Option<&Path>, options: &Options) -> Result<Graph, Error> {
    if bytes.is_empty() {
        return Err(Error::Decode("the file is empty".into()));
    }
    guard::check(&bytes)?;
    let model = proto::ModelProto::decode(bytes).map_err(|e| Error::Decode(e.to_string()))?;
    crate::passes::simplify(import::import(model, folder, options)?)
}

/// What to do instead of an operator that has no private form here.
fn advice(operator: &str) -> &'static str {
    match operator {
        "Elu" | "Selu" | "Celu" | "Softplus" | "Softsign" | "Gelu" | "Erf" | "Mish" | "Swish"
        | "ThresholdedRelu" => "replace it by Relu, HardSwish, Sigmoid or Tanh and retrain",
        "LSTM" | "GRU" | "RNN" | "Loop" | "If" | "Scan" => "unroll it before the export",
        "ConvTranspose" | "Resize" | "Upsample" => "only networks that shrink their input are supported",
        "LayerNormalization" | "InstanceNormalization" | "GroupNormalization" | "LRN" | "LpNormalization" => {
            "use BatchNormalization, which folds into the layers around it"
        }
        "QuantizeLinear"
        | "DequantizeLinear"
        | "QLinearConv"
        | "ConvInteger"
        | "MatMulInteger"
        | "DynamicQuantizeLinear" => "export the float model; it is quantised here",
        "NonMaxSuppression" | "TopK" => "cut the model before it and do this step on the client's side",
        _ => "remove or replace it before the export; see `oribi inspect` for what is supported",
    }
}
