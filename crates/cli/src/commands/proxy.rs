//! `oribi proxy`: garbles for clients that only share their input.

use std::path::PathBuf;
use std::sync::Arc;

use oribi::Fingerprint;
use oribi::proxy::{Proxy, ProxyConfig};

use crate::child::{Announcement, wait_for_parent};
use crate::client::trust;
use crate::commands::serve::{complain, identity, log};
use crate::console::out;
use crate::failure::{FAILED, Failure};

/// Garble for clients that cannot: each shares its input between this proxy and the server.
///
/// Proxy and server must not work together: with both shares they would see the input. Each alone sees nothing of it.
#[derive(clap::Args)]
pub struct Arguments {
    /// The server's address and port.
    #[arg(long, value_name = "ADDRESS")]
    server: String,
    /// The fingerprint of the server's certificate; without it, the one seen at first contact.
    #[arg(long, value_name = "FINGERPRINT")]
    fingerprint: Option<Fingerprint>,
    /// Where to listen; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:6175")]
    listen: String,
    /// Most clients at a time; others are told to come back.
    #[arg(long, value_name = "COUNT", default_value_t = 32)]
    sessions: usize,
    /// A certificate chain of your own, in PEM, with --key. By default one is made at the first start and kept.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The certificate's private key, in PEM.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Where the proxy's own certificate is kept; in the user's data folder by default.
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
    /// End with the process at the other end of standard input, and announce the address in one line of JSON.
    #[arg(long, hide = true)]
    tether: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let trust = trust(arguments.fingerprint)?;
    let pem = arguments.cert.as_deref().zip(arguments.key.as_deref());
    let identity = identity(pem, arguments.tether, arguments.state.as_deref())?;
    let mut config = ProxyConfig::new(&arguments.server, trust);
    config.max_sessions = arguments.sessions;
    config.observer = if arguments.tether { Arc::new(complain) } else { Arc::new(log) };
    let proxy = Proxy::bind(&arguments.listen, &identity, config)?;
    stop_on_interrupt(&proxy)?;
    if arguments.tether {
        let handle = proxy.handle();
        std::thread::spawn(move || {
            wait_for_parent();
            handle.stop();
        });
    }
    announce(arguments, &proxy)?;
    if proxy.run() {
        Ok(())
    } else {
        Err(Failure::running("some predictions did not end in time and were cut off"))
    }
}

/// The first Ctrl-C lets predictions finish, the second does not.
fn stop_on_interrupt(proxy: &Proxy) -> Result<(), Failure> {
    let (handle, again) = (proxy.handle(), std::sync::atomic::AtomicBool::new(false));
    ctrlc::set_handler(move || {
        if again.swap(true, std::sync::atomic::Ordering::Relaxed) {
            std::process::exit(i32::from(FAILED));
        }
        handle.stop();
    })
    .map_err(|error| Failure::running(format!("Ctrl-C cannot be caught: {error}")))
}

fn announce(arguments: &Arguments, proxy: &Proxy) -> Result<(), Failure> {
    let (listen, fingerprint) = (proxy.address().to_string(), proxy.fingerprint().to_string());
    if arguments.tether {
        let line = serde_json::to_string(&Announcement { listen, fingerprint }).map_err(Failure::running)?;
        return out(&line);
    }
    out(&format!("server       {}", arguments.server))?;
    out(&format!("address      {listen}"))?;
    out(&format!("fingerprint  {fingerprint}"))?;
    out(&format!(
        "A client:    oribi predict INPUT --server {} --proxy {listen} --proxy-fingerprint {fingerprint}",
        arguments.server
    ))?;
    out("Ctrl-C ends the proxy.")
}
