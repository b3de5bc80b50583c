//! Help, version, and what stands in them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod common;

use common::Oribi;

const COMMANDS: [&str; 12] = [
    "proxy",
    "demo",
    "serve",
    "predict",
    "prepare",
    "models",
    "inspect",
    "run",
    "plan",
    "calibrate",
    "bench",
    "store",
];

#[test]
fn every_command_explains_itself() {
    let oribi = Oribi::new();
    let all = oribi.stdout(&["--help"]);
    for command in COMMANDS {
        assert!(all.contains(&format!("\n  {command} ")), "{all}");
        let text = oribi.stdout(&[command, "--help"]);
        assert!(text.contains(&format!("Usage: oribi {command}")), "{text}");
        assert!(!text.contains("--tether"), "{text}");
        // Each option has a sentence.
        for line in text.lines().filter(|line| line.trim_start().starts_with("--")) {
            let following = text.lines().skip_while(|other| *other != line).nth(1).unwrap_or("");
            assert!(line.trim().contains("  ") || !following.trim().is_empty(), "{command}: {line}");
        }
        assert!(oribi.stdout(&[command, "-h"]).contains("Usage:"));
    }
}

#[test]
fn only_protocols_that_exist_are_named() {
    let oribi = Oribi::new();
    for command in COMMANDS {
        let text = oribi.stdout(&[command, "--help"]).to_lowercase();
        for absent in ["cheetah", "spu"] {
            assert!(!text.contains(absent), "{command}: {text}");
        }
    }
}

#[test]
fn version_names_commit_and_vector_tier() {
    let oribi = Oribi::new();
    let text = oribi.stdout(&["--version"]);
    assert!(text.starts_with("oribi 0.") && text.contains("commit "), "{text}");
    assert!(["portable", "aesni", "avx512"].iter().any(|tier| text.contains(tier)), "{text}");
    let output = oribi.command(&["--version"]).env("ORIBI_TIER", "portable").output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("vectors portable"));
}
