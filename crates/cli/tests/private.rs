//! Private predictions between real processes, held against the integer reference.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod common;

use common::{Oribi, model};
use serde_json::Value;

/// The fields of the contract.
fn check_contract(line: &Value) {
    let object = line.as_object().unwrap();
    let mut fields: Vec<&str> = object.keys().map(String::as_str).collect();
    fields.sort_unstable();
    let wanted = [
        "class",
        "input",
        "label",
        "model",
        "offline",
        "online",
        "output",
        "peak_rss_bytes",
        "protocol",
        "setup",
    ];
    assert_eq!(fields, wanted);
    for phase in ["setup", "offline", "online"] {
        assert!(line[phase]["seconds"].as_f64().unwrap() >= 0.0);
        for count in ["client_bytes", "server_bytes", "rounds"] {
            assert!(line[phase][count].is_u64(), "{line}");
        }
        assert_eq!(line[phase].as_object().unwrap().len(), 4);
    }
    assert!(line["peak_rss_bytes"]["client"].as_u64().unwrap() > 0);
    assert!(line["peak_rss_bytes"]["server"].as_u64().unwrap() > 0);
}

/// What `run --fixed` says of these inputs.
fn reference(oribi: &Oribi, inputs: &[&str]) -> Vec<Value> {
    let model = model("digits.onnx");
    oribi.json(&[&["run", &model], inputs, &["--fixed", "--protocol", "deepsecure", "--json"]].concat())
}

#[test]
fn the_demo_predicts_what_the_reference_says() {
    let oribi = Oribi::new();
    let output = oribi.run(&["demo", "--json"]);
    let people = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{people}");
    let lines: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 10);
    let paths: Vec<String> = (0..10).map(|digit| model(&format!("digits/{digit}.png"))).collect();
    let expected = reference(&oribi, &paths.iter().map(String::as_str).collect::<Vec<_>>());
    for (digit, (line, wanted)) in lines.iter().zip(&expected).enumerate() {
        check_contract(line);
        assert_eq!(line["output"], wanted["output"]);
        assert_eq!(line["class"], wanted["class"]);
        assert_eq!(line["label"], digit.to_string());
        assert_eq!(line["model"], "digits");
        assert_eq!(line["protocol"], "deepsecure");
        assert_eq!(line["input"], format!("{digit}.png"));
        assert!(line["online"]["client_bytes"].as_u64().unwrap() > 0);
        assert!(digit > 0 || line["setup"]["client_bytes"].as_u64().unwrap() > 0);
    }
    assert!(people.contains("10 of 10 right"), "{people}");
    assert!(people.contains("true label  7   right"), "{people}");
    assert!(!people.contains('\x1b'), "no colours where there is no terminal");
}

#[test]
fn the_label_alone() {
    let oribi = Oribi::new();
    let seven = model("digits/7.png");
    let lines = oribi.json(&["demo", "builtin:digits", &seven, "--output", "label", "--json"]);
    assert_eq!(lines.len(), 1);
    check_contract(&lines[0]);
    assert_eq!((&lines[0]["class"], &lines[0]["output"]), (&Value::from(7), &Value::from(Vec::<f64>::new())));
}

#[test]
fn post_quantum_base_transfers_are_agreed_on() {
    let oribi = Oribi::new();
    let seven = model("digits/7.png");
    let setup = |arguments: &[&str]| {
        let lines = oribi.json(&[&["demo", "builtin:digits", &seven, "--json"], arguments].concat());
        assert_eq!(lines[0]["class"], Value::from(7));
        let online = &lines[0]["online"];
        let total =
            |line: &Value| line["client_bytes"].as_u64().unwrap() + line["server_bytes"].as_u64().unwrap();
        total(online) + total(&lines[0]["setup"])
    };
    assert!(setup(&["--base-ot", "ml-kem"]) > setup(&[]) + 400_000);
    let server = oribi.serve(&[&model("digits.onnx"), "--base-ot", "ml-kem"]);
    let base = ["--server", &server.address, "--fingerprint", &server.fingerprint];
    let predict = |arguments: &[&str]| oribi.run(&[&["predict", &seven], &base[..], arguments].concat());
    assert!(predict(&[]).status.success());
    let refused = predict(&["--base-ot", "ristretto"]);
    assert!(!refused.status.success());
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(text.contains("ristretto") && text.contains("ml-kem"), "{text}");
    server.finish();
}

#[test]
fn a_picture_an_array_and_an_idx_file_by_hand() {
    let oribi = Oribi::new();
    let server = oribi.serve(&[&model("digits.onnx")]);
    let (address, fingerprint) = (server.address.as_str(), server.fingerprint.as_str());
    let pixels = vec![128u8; 2 * 784];
    let idx = [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 28, 0, 0, 0, 28][..], &pixels].concat();
    let idx = oribi.file("idx3-ubyte", &idx);
    let mut header = "{'descr': '<f4', 'fortran_order': False, 'shape': (28, 28), }".to_owned();
    header.push_str(&" ".repeat(117 - header.len()));
    header.push('\n');
    let mut npy = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    npy.extend_from_slice(header.as_bytes());
    npy.extend((0..784).flat_map(|index| (index as f32 / 784.0).to_le_bytes()));
    let npy = oribi.file("values.npy", &npy);
    let png = model("digits/3.png");
    let inputs = [png.as_str(), &npy, &idx];
    let base = ["--server", address, "--fingerprint", fingerprint, "--json"];
    let lines = oribi.json(&[&["predict"], &inputs[..], &base].concat());
    let expected = reference(&oribi, &inputs);
    assert_eq!(lines.len(), 4, "the IDX file holds two");
    for (line, wanted) in lines.iter().zip(&expected) {
        check_contract(line);
        assert_eq!((&line["input"], &line["output"]), (&wanted["input"], &wanted["output"]));
    }
    assert!(lines[3]["input"].as_str().unwrap().ends_with("idx3-ubyte#1"));
    assert_eq!(lines[2]["output"], lines[3]["output"]);
    assert_eq!(lines[0]["label"], "3");

    let text = oribi.stdout(&["models", "--server", address, "--fingerprint", fingerprint]);
    assert!(text.contains("digits") && text.contains("1x1x28x28") && text.contains("deepsecure"), "{text}");
    server.finish();
}

#[test]
fn a_fingerprint_seen_once_is_held_to() {
    let oribi = Oribi::new();
    let models = model("digits.onnx");
    let first = oribi.serve(&[&models]);
    let address = first.address.clone();
    let said = oribi.run(&["models", "--server", &address]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert!(String::from_utf8_lossy(&said.stderr).contains(&first.fingerprint));
    // A second visit is silent.
    let said = oribi.run(&["models", "--server", &address]);
    assert!(said.status.success() && said.stderr.is_empty(), "{}", String::from_utf8_lossy(&said.stderr));
    first.finish();
}

#[test]
fn the_server_ends_with_its_tether() {
    let oribi = Oribi::new();
    oribi.serve(&[&model("digits.onnx")]).finish();
}

#[cfg(unix)]
#[test]
fn an_interrupted_server_ends_in_good_order() {
    let oribi = Oribi::new();
    let server = oribi.serve(&[&model("digits.onnx")]);
    let status =
        std::process::Command::new("kill").args(["-INT", &server.id().to_string()]).status().unwrap();
    assert!(status.success());
    server.finish();
}
