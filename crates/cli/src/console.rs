//! Standard output, standard error and progress.

use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use protocol::shape::Link;

use crate::failure::Failure;
use crate::report::bytes;

/// Prints a line on standard output.
///
/// # Errors
/// If it cannot be written. A reader that went away (`oribi run ... | head`) ends the program quietly.
pub fn out(line: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::running(format!("standard output cannot be written: {error}"))),
    }
}

/// Prints a line on standard error; if that fails there is nobody to tell.
pub fn note(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Does some work, and says what it is on standard error if it is not done soon: nobody should look at a silent program.
pub fn patiently<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let (done, waiting) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if waiting.recv_timeout(SOON) == Err(RecvTimeoutError::Timeout) {
                note(&format!("oribi: {what} ..."));
            }
        });
        let made = work();
        drop(done);
        made
    })
}

/// How long a program may be silent.
const SOON: Duration = Duration::from_secs(2);

/// Where a command prints what people read: standard output, or standard error when that belongs to `--json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Human {
    on_stderr: bool,
}

impl Human {
    /// For a command with or without `--json`.
    pub fn new(json: bool) -> Self {
        Self { on_stderr: json }
    }

    /// Prints a line.
    ///
    /// # Errors
    /// As [`out`].
    pub fn line(self, text: &str) -> Result<(), Failure> {
        if self.on_stderr {
            note(text);
            return Ok(());
        }
        out(text)
    }

    /// Whether a person at a terminal reads it.
    pub fn is_terminal(self) -> bool {
        if self.on_stderr { std::io::stderr().is_terminal() } else { std::io::stdout().is_terminal() }
    }
}

/// A progress bar on standard error; it shows nothing unless that is a terminal.
pub struct Progress {
    bar: ProgressBar,
    what: String,
    link: Option<Link>,
    /// Inputs done.
    done: AtomicU64,
    /// An estimate was shown.
    estimated: AtomicBool,
}

/// Bytes of garbled tables a second that two cores make, send and evaluate under TLS, about.
const TABLE_RATE: f64 = 8e8;

/// Seconds from which on an estimate is shown first.
const LONG: f64 = 60.0;

/// Steps of the bar for each input.
const STEPS: u64 = 1000;

impl Progress {
    /// A bar for so many inputs, over a connection that is slowed to `link`.
    pub fn new(inputs: u64, what: &str, link: Option<Link>) -> Self {
        let target = if std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(inputs.saturating_mul(STEPS)), target);
        if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:40}] {percent} %  {elapsed}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what.to_owned());
        let (done, estimated) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { bar, what: what.to_owned(), link, done, estimated }
    }

    /// One input done.
    pub fn step(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        self.bar.set_position(done.saturating_mul(STEPS));
    }

    /// Takes the bar away while `work` prints.
    pub fn suspend<T>(&self, work: impl FnOnce() -> T) -> T {
        self.bar.suspend(work)
    }
}

impl protocol::Progress for Progress {
    fn report(&self, done: u64, total: u64) {
        let part = STEPS as f64 * done as f64 / total.max(1) as f64;
        let before = self.done.load(Ordering::Relaxed).saturating_mul(STEPS);
        self.bar.set_position(before.saturating_add(part.min(STEPS as f64) as u64));
    }

    fn expect(&self, expected: u64) {
        let rate = self.link.map_or(TABLE_RATE, |link| TABLE_RATE.min(link.up as f64 / 8.0));
        let seconds = expected as f64 / rate;
        if seconds < LONG || self.estimated.swap(true, Ordering::Relaxed) {
            return;
        }
        let minutes = (seconds / 60.0).ceil();
        let (sent, unit) = (bytes(expected), if minutes > 1.0 { "minutes" } else { "minute" });
        self.suspend(|| {
            note(&format!("oribi: {sent} will be sent for each input: about {minutes} {unit} or more."))
        });
    }

    fn layer(&self, name: &str) {
        let name: String = name.chars().filter(|letter| !letter.is_control()).take(24).collect();
        self.bar.set_message(format!("{}, {name}", self.what));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_gives_its_result() {
        assert_eq!(patiently("something quick", || 7), 7);
    }
}
