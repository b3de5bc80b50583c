//! Queries under encryption as a user sees them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod common;

use common::{Oribi, model};
use serde_json::Value;

fn twin(name: &str) -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/twins/").to_owned() + name
}

/// The integers' scores, in the clear.
fn reference(oribi: &Oribi, network: &str, inputs: &[&str]) -> Vec<Value> {
    oribi.json(&[&["run", network], inputs, &["--protocol", "lola", "--json"]].concat())
}

#[test]
fn the_demo_gets_ten_digits_right_in_one_round_trip_each() {
    let oribi = Oribi::new();
    let output = oribi.run(&["demo", "--protocol", "lola", "--json"]);
    let people = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{people}");
    let lines: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(people.contains("10 of 10 right"), "{people}");
    let digits: Vec<String> = (0..10).map(|digit| model(&format!("digits/{digit}.png"))).collect();
    let paths: Vec<&str> = digits.iter().map(String::as_str).collect();
    let expected = reference(&oribi, "builtin:lola-small", &paths);
    for (digit, (line, wanted)) in lines.iter().zip(&expected).enumerate() {
        assert_eq!(line["output"], wanted["output"]);
        assert_eq!((&line["protocol"], &line["label"]), (&"lola".into(), &digit.to_string().into()));
        // Two flights: the request and the reply.
        assert_eq!(line["online"]["rounds"], 2);
        let keys = line["setup"]["client_bytes"].as_u64().unwrap();
        assert_eq!(keys > 1000, digit == 0, "keys go once");
        assert_eq!(line["online"]["client_bytes"], lines[0]["online"]["client_bytes"]);
        assert_eq!(line["online"]["server_bytes"], lines[0]["online"]["server_bytes"]);
    }
    assert_eq!(lines.len(), 10);
}

#[test]
fn a_head_on_deep_features_and_keys_that_are_kept() {
    let oribi = Oribi::new();
    let (network, features) = (twin("head.onnx"), twin("head.npy"));
    let server = oribi.serve(&[&network, "--protocol", "lola", "--batch", "--threads", "1"]);
    let base =
        ["predict", &features, "--server", &server.address, "--fingerprint", &server.fingerprint, "--json"];
    let expected = reference(&oribi, &network, &[&features]);
    let keys = oribi.folder().join("keys");
    let store = ["--protocol", "lola", "--store", keys.to_str().unwrap()];
    let (first, second) =
        (oribi.json(&[&base[..], &store].concat()), oribi.json(&[&base[..], &store].concat()));
    for line in [&first[0], &second[0]] {
        assert_eq!(line["output"], expected[0]["output"]);
    }
    let sent = |line: &Value| line["setup"]["client_bytes"].as_u64().unwrap();
    assert!(sent(&second[0]) < 20_000 && sent(&first[0]) > sent(&second[0]));
    // Several inputs in one pass: one line each, in order, the pass charged to the first.
    let batch = oribi.json(&[&base[..2], &[&features, &features], &base[2..], &["--batch"]].concat());
    assert_eq!(batch.len(), 3);
    for (number, line) in batch.iter().enumerate() {
        assert_eq!(line["output"], expected[0]["output"]);
        assert_eq!(line["protocol"], "lola-batch");
        assert_eq!(line["online"]["rounds"], if number == 0 { 2 } else { 0 });
    }
    let text = oribi.refusal(2, &[&base[..6], &["--protocol", "lola", "--output", "label"]].concat());
    assert!(text.contains("cannot compare"), "{text}");
    let text = oribi.refusal(2, &[&base[..6], &["--protocol", "deepsecure", "--batch"]].concat());
    assert!(text.contains("--batch is for lola"), "{text}");
    server.finish();
}

#[test]
fn what_ciphertexts_cannot_do_is_refused_with_the_reason() {
    let oribi = Oribi::new();
    let digits = model("digits.onnx");
    let served = oribi.refusal(2, &["serve", &digits, "--protocol", "lola"]);
    let inspected = oribi.stdout(&["inspect", &digits, "--protocol", "lola"]);
    for text in [served, inspected] {
        assert!(text.contains("squares") && text.contains("deepsecure"), "{text}");
    }
    for command in ["demo", "serve"] {
        let network = twin("head.onnx");
        let text = oribi.refusal(2, &[command, &network, "--protocol", "lola", "--output", "label"]);
        assert!(text.contains("cannot compare"), "{text}");
    }
    let text = oribi.refusal(2, &["serve", &twin("head.onnx"), "--protocol", "lola", "--plan", "nonsense"]);
    assert!(text.contains("nonsense"), "{text}");
    assert!(oribi.refusal(2, &["serve", "m.onnx", "--key-memory", "much"]).contains("500MB"));
}

#[test]
fn plans_are_shown_with_their_figures() {
    let (oribi, network) = (Oribi::new(), twin("head.onnx"));
    for more in [&[][..], &["--batch"]] {
        let arguments = [&["inspect", &network, "--protocol", "lola"], more].concat();
        let text = oribi.stdout(&arguments);
        for word in ["ring degree", "slots modulo", "request", "keys", "memory", "flooded"] {
            assert!(text.contains(word), "{word}: {text}");
        }
        let report = &oribi.json(&[&arguments[..], &["--json"]].concat())[0];
        let plan = &report["encrypted"];
        assert!(plan["modulus_bits"].as_u64().unwrap() > 50);
        assert!(
            plan["request_bytes"].as_u64().unwrap() > 1000 && plan["memory_bytes"].as_u64().unwrap() > 1000
        );
    }
}
