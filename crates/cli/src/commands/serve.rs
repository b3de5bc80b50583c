//! `oribi serve`: models for private predictions.

use protocol::shape::Link;

use crate::choice::{Output, Protocol};
use crate::failure::Failure;

/// Serve models for private predictions until Ctrl-C.
///
/// Clients learn predictions and nothing of the weights; the server learns nothing of the inputs.
#[derive(clap::Args)]
pub struct Arguments {
    /// The networks, ONNX files; a side file MODEL.oribi.toml beside each is read too.
    #[arg(value_name = "MODEL", required = true)]
    models: Vec<String>,
    /// Where to listen; port 0 picks a free one. 0.0.0.0:6174 listens for other machines too.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:6174")]
    listen: String,
    /// Offer this protocol alone: deepsecure. All that the model supports by default.
    #[arg(long, value_name = "PROTOCOL")]
    protocol: Option<Protocol>,
    /// Offer this output alone: scores or label. Both by default.
    #[arg(long, value_name = "WHAT")]
    output: Option<Output>,
    /// Most clients at a time; others are told to come back.
    #[arg(long, value_name = "COUNT", default_value_t = 32)]
    sessions: usize,
    /// A certificate chain of your own, in PEM, with --key. By default one is made at the first start and kept.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<std::path::PathBuf>,
    /// The certificate's private key, in PEM.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<std::path::PathBuf>,
    /// Slow the connections down: lan, wan, or RATE,RTT such as 100mbit,40ms.
    #[arg(long, value_name = "LINK")]
    link: Option<Link>,
    /// End with the process at the other end of standard input, and announce the address in one line of JSON.
    #[arg(long, hide = true)]
    tether: bool,
}
