//! The layer order: a crate uses only crates that stand above it in the workspace's list of members.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The members in the order of the root `Cargo.toml`, by the last part of their paths.
fn members(manifest: &str) -> Vec<String> {
    let (_, list) = manifest.split_once("members = [").expect("the workspace lists its members");
    let (list, _) = list.split_once(']').expect("the list ends");
    list.split(',')
        .map(|entry| entry.trim().trim_matches('"'))
        .filter(|entry| !entry.is_empty())
        .map(|path| path.rsplit('/').next().unwrap_or(path).to_owned())
        .collect()
}

/// The edges that point upward: `(crate, what it uses)`.
fn wrong_edges(order: &[String], packages: &[Value]) -> Vec<(String, String)> {
    let place = |name: &str| order.iter().position(|member| member == name);
    let mut wrong = Vec::new();
    for package in packages {
        let name = package["name"].as_str().expect("a package has a name");
        let own = place(name).unwrap_or_else(|| panic!("{name} is not among the members {order:?}"));
        for dependency in package["dependencies"].as_array().expect("a package has dependencies") {
            let used = dependency["name"].as_str().expect("a dependency has a name");
            if place(used).is_some_and(|used| used >= own) {
                wrong.push((name.to_owned(), used.to_owned()));
            }
        }
    }
    wrong
}

/// What the program is built with: dependencies and features of crates that let toy parameters in.
fn toys(packages: &[Value]) -> Vec<String> {
    let names = |value: &Value| value.to_string().contains("insecure-toys");
    let mut found = Vec::new();
    for package in packages {
        let name = package["name"].as_str().expect("a package has a name");
        let dependencies = package["dependencies"].as_array().expect("a package has dependencies");
        if dependencies.iter().any(|used| used["kind"] != "dev" && names(&used["features"])) {
            found.push(format!("{name} depends on them"));
        }
        let features = package["features"].as_object().expect("a package has features");
        if features.values().any(names) {
            found.push(format!("a feature of {name} turns them on"));
        }
    }
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

#[test]
fn a_crate_uses_only_what_stands_above_it() {
    let order = members(&std::fs::read_to_string(root().join("Cargo.toml")).unwrap());
    let packages = packages();
    assert_eq!(packages.len(), order.len(), "each member has one package of the same name");
    assert_eq!(wrong_edges(&order, &packages), []);
}

#[test]
fn toy_parameters_are_out_of_reach_of_the_program() {
    assert_eq!(toys(&packages()), Vec::<String>::new());
    let package = |kind: &str, feature: &str| {
        let used = serde_json::json!([{"name": "bfv", "kind": kind, "features": ["insecure-toys"]}]);
        serde_json::json!({"name": "a", "dependencies": used, "features": {"more": [feature]}})
    };
    assert!(toys(&[package("dev", "serde")]).is_empty());
    assert_eq!(toys(&[package("normal", "serde")]), ["a depends on them"]);
    assert_eq!(toys(&[package("dev", "bfv/insecure-toys")]), ["a feature of a turns them on"]);
}

#[test]
fn an_upward_edge_is_found() {
    let order = members("members = [\n    \"crates/low\",\n    \"crates/high\",\n]");
    let package =
        |name: &str, uses: &str| serde_json::json!({"name": name, "dependencies": [{"name": uses}]});
    assert_eq!(wrong_edges(&order, &[package("low", "serde"), package("high", "low")]), []);
    let found = wrong_edges(&order, &[package("low", "high"), package("high", "serde")]);
    assert_eq!(found, [("low".to_owned(), "high".to_owned())]);
}
