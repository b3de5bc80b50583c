//! The program as a process, for the tests.

#![allow(dead_code)] // Each test file uses its part.

pub mod bundles;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use serde_json::Value;

/// A path below the repository's `models`.
pub fn model(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models").join(name).to_str().unwrap().to_owned()
}

/// The program, with a configuration folder of its own.
pub struct Oribi {
    home: tempfile::TempDir,
}

impl Oribi {
    pub fn new() -> Self {
        Self { home: tempfile::TempDir::new().unwrap() }
    }

    /// A folder for files.
    pub fn folder(&self) -> &Path {
        self.home.path()
    }

    /// Writes a file into the folder.
    pub fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path: PathBuf = self.home.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oribi"));
        command.args(arguments).current_dir(self.home.path());
        command
            .env("HOME", self.home.path())
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_DATA_HOME")
            .env_remove("XDG_CACHE_HOME");
        command
    }

    /// Runs to the end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs to the end, which is good, and gives standard output.
    pub fn stdout(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The lines that `--json` prints.
    pub fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let lines = self.stdout(arguments);
        lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect()
    }

    /// Runs to a refusal with this exit status: a few lines of words on standard error, nothing on standard output.
    pub fn refusal(&self, status: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {text}");
        assert!((1..=4).contains(&text.lines().count()), "{arguments:?}: {text}");
        assert!(!text.contains("panicked"), "{arguments:?}: {text}");
        assert!(output.stdout.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
        text
    }

    /// Starts a server on a free port, which ends with the returned value.
    pub fn serve(&self, arguments: &[&str]) -> Server {
        self.listen("serve", arguments)
    }

    /// Starts a command that listens on a free port, and ends with the returned value.
    pub fn listen(&self, command: &str, arguments: &[&str]) -> Server {
        let mut command = self.command(&[command, "--listen", "127.0.0.1:0", "--tether"]);
        let mut child = command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Ok(announced) = serde_json::from_str::<Value>(&line) else {
            let mut text = String::new();
            child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
            panic!("{line}{text}");
        };
        let field = |name: &str| announced[name].as_str().unwrap().to_owned();
        let tether = child.stdin.take();
        Server { child, tether, address: field("listen"), fingerprint: field("fingerprint") }
    }
}

/// A running server.
pub struct Server {
    child: Child,
    tether: Option<ChildStdin>,
    pub address: String,
    pub fingerprint: String,
}

impl Server {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Lets go of the tether and waits for a clean end.
    pub fn finish(mut self) {
        drop(self.tether.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.tether.take());
        let _ = self.child.wait();
    }
}
