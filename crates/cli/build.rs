//! Puts the commit into the program, read from the files of `.git` so that no tool is needed; `unknown` without them.

use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    let commit = git_directory().and_then(|git| head_commit(&git));
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=ORIBI_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
}

/// The repository's `.git`, which is a file naming another place in a linked worktree.
fn git_directory() -> Option<PathBuf> {
    let git = Path::new(&std::env::var_os("CARGO_MANIFEST_DIR")?).join("../../.git");
    if git.is_dir() {
        return Some(git);
    }
    let text = fs::read_to_string(&git).ok()?;
    Some(git.parent()?.join(text.strip_prefix("gitdir:")?.trim()))
}

/// The first twelve digits of the commit that is checked out.
fn head_commit(git: &Path) -> Option<String> {
    let common = fs::read_to_string(git.join("commondir")).map(|text| git.join(text.trim()));
    let common = common.unwrap_or_else(|_| git.to_owned());
    let head = read(&git.join("HEAD"))?;
    let hash = match head.strip_prefix("ref:").map(str::trim) {
        None => head,
        Some(name) => {
            read(&common.join(name)).or_else(|| packed(&read(&common.join("packed-refs"))?, name))?
        }
    };
    let hash = hash.trim();
    (hash.len() >= 12 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| hash[..12].to_owned())
}

fn packed(refs: &str, name: &str) -> Option<String> {
    refs.lines().find_map(|line| line.strip_suffix(name)?.strip_suffix(' ').map(str::to_owned))
}

/// A file's text; the build script runs again when it changes.
fn read(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    println!("cargo::rerun-if-changed={}", path.display());
    Some(text)
}
