//! `oribi models`: what a server offers.

use oribi::Fingerprint;

use crate::client::offers;
use crate::console::out;
use crate::failure::Failure;

/// List a server's models, their inputs and protocols.
#[derive(clap::Args)]
pub struct Arguments {
    /// The server's address and port.
    #[arg(long, value_name = "ADDRESS")]
    server: String,
    /// The fingerprint of the server's certificate, as `oribi serve` prints it; without it, the one seen at first contact.
    #[arg(long, value_name = "FINGERPRINT")]
    fingerprint: Option<Fingerprint>,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    for model in offers(&arguments.server, arguments.fingerprint)? {
        out(&model.name)?;
        for input in &model.inputs {
            let shape: Vec<String> = input.shape.iter().map(usize::to_string).collect();
            out(&format!("  input      {} {}", input.name, shape.join("x")))?;
        }
        match model.labels.len() {
            0 => {}
            count => out(&format!("  classes    {count}: {}", shortened(&model.labels)))?,
        }
        for protocol in &model.protocols {
            let outputs: Vec<&str> = protocol.reveals.iter().map(|reveal| reveal.name()).collect();
            out(&format!("  protocol   {} ({})", protocol.name, outputs.join(" or ")))?;
        }
    }
    Ok(())
}

/// The first names of a list.
fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 12;
    let text = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{text}, ...") } else { text }
}
