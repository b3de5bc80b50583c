//! The demo's server: the same program as a child process, which ends when this one does.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::failure::{FAILED, Failure};

/// Longest first line of a server.
const LINE_LIMIT: u64 = 4096;
/// How long a server may take to read its models.
const START: Duration = Duration::from_secs(600);
/// How long a server may take to end.
const END: Duration = Duration::from_secs(5);

/// What a tethered server prints once it listens, as one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// Address and port.
    pub listen: String,
    /// The certificate's fingerprint.
    pub fingerprint: String,
}

/// A running server.
pub struct ServerProcess {
    child: Child,
    /// The tether: the server ends when this pipe closes, which it also does when this process is killed.
    tether: Option<ChildStdin>,
    /// Where it listens.
    pub announcement: Announcement,
}

impl ServerProcess {
    /// Starts `oribi serve --tether ARGUMENTS` and waits until it listens.
    ///
    /// # Errors
    /// If it cannot be started, or ends with an error, which it has then printed itself.
    pub fn start(arguments: &[String]) -> Result<Self, Failure> {
        let cannot = |error: std::io::Error| {
            Failure::running(format!("the server process cannot be started: {error}"))
        };
        let program = std::env::current_exe().map_err(cannot)?;
        let mut child = Command::new(program)
            .args(["serve", "--tether"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(cannot)?;
        let tether = child.stdin.take();
        let Some(stdout) = child.stdout.take() else {
            return Err(Failure::running("the server process has no output"));
        };
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(stdout.take(LINE_LIMIT)).read_line(&mut line);
            // The receiver may have given up.
            let _ = sender.send(read.map(|_| line));
        });
        let line = receiver.recv_timeout(START);
        let mut server = Self {
            child,
            tether,
            announcement: Announcement { listen: String::new(), fingerprint: String::new() },
        };
        match line {
            Ok(Ok(line)) if !line.is_empty() => {
                server.announcement = serde_json::from_str(&line).map_err(|error| {
                    Failure::running(format!("the server process speaks otherwise: {error}"))
                })?;
                Ok(server)
            }
            Err(RecvTimeoutError::Timeout) => Err(Failure::running("the server process does not start")),
            _ => Err(Failure::printed(server.wait().and_then(|status| status.code()))),
        }
    }

    /// Its process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Lets the server go and waits for its end.
    fn wait(&mut self) -> Option<ExitStatus> {
        drop(self.tether.take());
        let end = Instant::now() + END;
        while Instant::now() < end {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if self.wait().is_none() {
            // It is this process's own child, and it had its time.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Failure {
    /// A failure that the child process has already printed.
    fn printed(status: Option<i32>) -> Self {
        let status = status.and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0);
        Self::silent(status.unwrap_or(FAILED))
    }
}

/// For the server's side of the tether: returns when standard input ends.
pub fn wait_for_parent() {
    let mut sink = [0u8; 64];
    let mut stdin = std::io::stdin().lock();
    while matches!(stdin.read(&mut sink), Ok(count) if count > 0) {}
}
