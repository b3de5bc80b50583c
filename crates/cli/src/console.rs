//! Standard output, standard error and progress.

use std::io::{ErrorKind, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::failure::Failure;

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
pub struct Progress(ProgressBar);

impl Progress {
    /// A bar of `total` steps, or a spinner for none.
    pub fn new(total: u64, what: &str) -> Self {
        let target = if std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let template = if total == 0 { "{spinner} {msg} {elapsed}" } else { "{msg} [{bar:30}] {pos}/{len} {elapsed}" };
        let bar = ProgressBar::with_draw_target((total > 0).then_some(total), target);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// One step done.
    pub fn step(&self) {
        self.0.inc(1);
    }

    /// Takes the bar away while `work` prints.
    pub fn suspend<T>(&self, work: impl FnOnce() -> T) -> T {
        self.0.suspend(work)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
