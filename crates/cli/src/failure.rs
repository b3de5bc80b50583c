//! How the program ends when something is wrong: an exit status and at most four lines.

use std::fmt::Display;

/// Exit status for a bad argument or input.
pub const BAD: u8 = 2;
/// Exit status for a failure while running.
pub const FAILED: u8 = 1;

/// Most lines on standard error.
const LINES: usize = 4;
/// Longest line, in characters; file and peer may hold anything.
const WIDTH: usize = 4000;

/// Why the program ends early.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// [`BAD`] or [`FAILED`].
    pub status: u8,
    message: String,
}

impl Failure {
    /// A bad argument or input.
    pub fn bad(message: impl Display) -> Self {
        Self { status: BAD, message: message.to_string() }
    }

    /// A failure while running.
    pub fn running(message: impl Display) -> Self {
        Self { status: FAILED, message: message.to_string() }
    }

    /// A failure that has been printed already.
    pub fn silent(status: u8) -> Self {
        Self { status, message: String::new() }
    }

    /// What to print: no empty lines, no control characters, bounded.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for line in self.message.lines().filter(|line| !line.trim().is_empty()).take(LINES) {
            let mut text: String = line.chars().filter(|c| !c.is_control()).take(WIDTH).collect();
            if lines.is_empty() {
                text.insert_str(0, "oribi: ");
            }
            lines.push(text);
        }
        lines
    }
}

impl Failure {
    /// The same failure with the place it is about.
    pub fn at(mut self, place: &str) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }
}

impl Failure {
    /// The same failure with one more line.
    pub fn and(mut self, line: &str) -> Self {
        self.message = format!("{}\n{line}", self.message);
        self
    }
}

impl From<oribi::Error> for Failure {
    fn from(error: oribi::Error) -> Self {
        if error.is_usage() { Self::bad(error) } else { Self::running(error) }
    }
}

impl From<oribi::input::InputError> for Failure {
    fn from(error: oribi::input::InputError) -> Self {
        Self::bad(error)
    }
}

impl From<clap::Error> for Failure {
    /// The sentence and the tips of clap's message, without its usage block.
    fn from(error: clap::Error) -> Self {
        let text = error.to_string();
        let text = text.trim_start_matches("error: ");
        let mut lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
            .take(LINES - 1)
            .collect();
        lines.push("  `oribi help` lists the commands, and `oribi COMMAND --help` explains one.");
        Self::bad(lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_four_clean_lines() {
        let failure = Failure::bad("one\n\n\x1b[31mtwo\u{7}\nthree\nfour\nfive");
        assert_eq!(failure.lines(), ["oribi: one", "[31mtwo", "three", "four"]);
        assert!(Failure::running("x".repeat(9000)).lines()[0].len() < 5000);
    }
}
