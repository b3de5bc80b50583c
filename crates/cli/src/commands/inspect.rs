//! `oribi inspect`: what the program makes of a model.

use crate::choice::Protocol;
use crate::failure::Failure;

/// Show a model's layers, shapes, number formats, ranges and operations.
#[derive(clap::Args)]
pub struct Arguments {
    /// The network, an ONNX file.
    #[arg(value_name = "MODEL")]
    model: String,
    /// For which protocol: deepsecure.
    #[arg(long, value_name = "PROTOCOL")]
    protocol: Option<Protocol>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}
