//! `oribi run`: the plaintext references.

use crate::choice::Protocol;
use crate::failure::Failure;

/// Compute predictions in the clear, on this machine.
///
/// With --float as any ONNX runtime does; with --fixed in the integers that a private prediction gives exactly.
#[derive(clap::Args)]
pub struct Arguments {
    /// The network, an ONNX file.
    #[arg(value_name = "MODEL")]
    model: String,
    /// Files with inputs: PNG, JPEG, .npy, .npz, IDX or JSON; FILE#3 is one input of a file that holds several.
    #[arg(value_name = "INPUT", required = true)]
    inputs: Vec<String>,
    /// The float reference (the default).
    #[arg(long, conflicts_with = "fixed")]
    float: bool,
    /// The integer reference.
    #[arg(long)]
    fixed: bool,
    /// Which protocol's integers: deepsecure. Implies --fixed.
    #[arg(long, value_name = "PROTOCOL", conflicts_with = "float")]
    protocol: Option<Protocol>,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}
