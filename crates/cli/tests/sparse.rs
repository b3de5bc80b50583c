//! Networks whose zeros are public: what the side file declares is what is saved, and results stay the reference's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod common;

use common::{Oribi, model};
use serde_json::Value;

/// Writes the pruned network with a side file, runs it with both forms of first layers, holds the results to the reference, and
/// gives the bytes of the messages: by garbled circuits alone, and with the first layer by transfers.
fn run(oribi: &Oribi, name: &str, side: &str, options: &[&str]) -> [u64; 2] {
    let side = format!("{side}\n[input]\nrange = [-3.0, 3.0]\n[tensors]\nhidden = [-8.0, 8.0]\n");
    let network =
        oribi.file(&format!("{name}.onnx"), &std::fs::read(model("../tests/twins/pruned.onnx")).unwrap());
    // A table at the top level has to follow the words there.
    oribi.file(&format!("{name}.oribi.toml"), side.as_bytes());
    let input = model("../tests/twins/pruned.npy");
    let ends = [options, &["--protocol", "deepsecure", "--json"]].concat();
    let reference = oribi.json(&[&["run", network.as_str(), &input, "--fixed"], &ends[..]].concat());
    ["garbled", "ot"].map(|form| {
        let lines =
            oribi.json(&[&["demo", network.as_str(), &input, "--first-layer", form], &ends[..]].concat());
        assert_eq!(lines[0]["output"], reference[0]["output"], "{name}, {form}");
        bytes(&lines[0])
    })
}

fn bytes(line: &Value) -> u64 {
    line["online"]["client_bytes"].as_u64().unwrap() + line["online"]["server_bytes"].as_u64().unwrap()
}

#[test]
fn zeros_that_are_public_cost_nothing() {
    let oribi = Oribi::new();
    let eight = ["--weight-bits", "8"];
    let secret = run(&oribi, "secret", "", &eight);
    let public = run(&oribi, "public", "sparsity = \"public\"", &eight);
    let hidden = run(&oribi, "hidden", "[sparsity]\nhidden = \"public\"", &eight);
    for form in 0..2 {
        // Four weights of five are zero.
        assert!(public[form] * 100 < secret[form] * 30, "{public:?}, {secret:?}");
        // The first layer is another.
        assert!(
            public[form] < hidden[form] && hidden[form] < secret[form],
            "{public:?}, {hidden:?}, {secret:?}"
        );
    }
}

#[test]
fn a_map_of_few_zeros_costs_nothing_and_rounding_makes_more_of_them() {
    let oribi = Oribi::new();
    let two = ["--weight-bits", "2"];
    let sparsity = |word: &str| run(&oribi, word, &format!("sparsity = \"{word}\""), &two);
    let (secret, public, rounded) = (sparsity("secret"), sparsity("public"), sparsity("rounded"));
    for form in 0..2 {
        assert!(
            public[form] < secret[form] && rounded[form] < public[form],
            "{rounded:?}, {public:?}, {secret:?}"
        );
    }
    let digits = std::fs::read(model("digits.onnx")).unwrap();
    let side = std::fs::read_to_string(model("digits.oribi.toml")).unwrap();
    let seven = model("digits/7.png");
    let [secret, public] = ["secret", "public"].map(|word| {
        let network = oribi.file(&format!("digits-{word}.onnx"), &digits);
        oribi.file(&format!("digits-{word}.oribi.toml"), format!("sparsity = \"{word}\"\n{side}").as_bytes());
        let ends = ["--weight-bits", "2", "--first-layer", "garbled", "--json"];
        bytes(&oribi.json(&[&["demo", network.as_str(), &seven], &ends[..]].concat())[0])
    });
    assert!(public <= secret, "{public}, {secret}");
}

#[test]
fn layers_that_are_not_there_are_refused_by_name() {
    let oribi = Oribi::new();
    let network = oribi.file("wrong.onnx", &std::fs::read(model("../tests/twins/pruned.onnx")).unwrap());
    for (side, words) in [
        ("[sparsity]\nhiden = \"public\"", ["hiden", "hidden"]),
        ("sparsity = \"open\"", ["line 1", "open"]),
        ("[sparsity]\nhidden = \"open\"", ["line ", "open"]),
    ] {
        oribi.file("wrong.oribi.toml", side.as_bytes());
        let text = oribi.refusal(2, &["inspect", &network]);
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    }
}
