//! `run` and `inspect` on the repository's models.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod common;

use common::{Oribi, model};
use serde_json::Value;

const MODELS: [&str; 4] = ["digits", "deepsecure_b1", "lola_small", "minionn_mnist"];

fn reference() -> Value {
    serde_json::from_str(&std::fs::read_to_string(model("reference.json")).unwrap()).unwrap()
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// The ten digits as arguments.
fn digits() -> Vec<String> {
    (0..10).map(|digit| model(&format!("digits/{digit}.png"))).collect()
}

fn run(name: &str, options: &[&str]) -> Vec<Value> {
    let path = model(&format!("{name}.onnx"));
    let digits = digits();
    let inputs: Vec<&str> = digits.iter().map(String::as_str).collect();
    Oribi::new().json(&[&["run", &path], &inputs[..], options, &["--json"]].concat())
}

fn arg_max(values: &[f64]) -> usize {
    (0..values.len()).max_by(|a, b| values[*a].total_cmp(&values[*b])).unwrap()
}

#[test]
fn floats_are_those_of_onnxruntime() {
    let reference = reference();
    for name in MODELS {
        for (digit, line) in run(name, &["--float"]).iter().enumerate() {
            let wanted = numbers(&reference[name]["scores"][format!("{digit}.png")]);
            let found = numbers(&line["output"]);
            let largest = wanted.iter().fold(1.0, |a: f64, b| a.max(b.abs()));
            let error = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(found.len() == 10 && error <= 1e-4 * largest, "{name} {digit}: {error}");
            assert_eq!(line["class"], arg_max(&wanted));
            assert_eq!(line["label"], arg_max(&wanted).to_string());
            assert_eq!((&line["model"], &line["protocol"]), (&Value::from(name), &Value::from("float")));
            assert!(line["input"].as_str().unwrap().ends_with(&format!("{digit}.png")));
            for phase in ["setup", "offline", "online", "peak_rss_bytes"] {
                assert!(line.get(phase).is_none());
            }
        }
    }
}

#[test]
fn integers_stay_near_the_floats() {
    let reference = reference();
    for name in MODELS {
        for (digit, line) in run(name, &["--fixed", "--protocol", "deepsecure"]).iter().enumerate() {
            let wanted = numbers(&reference[name]["scores"][format!("{digit}.png")]);
            let found = numbers(&line["output"]);
            let largest = wanted.iter().fold(1.0, |a: f64, b| a.max(b.abs()));
            let error = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(error <= 0.02 * largest, "{name} {digit}: {error} of {largest}");
            assert_eq!(line["class"], arg_max(&wanted), "{name} {digit}");
            assert_eq!(line["protocol"], "deepsecure");
        }
    }
}

#[test]
fn for_people_too() {
    let oribi = Oribi::new();
    let text = oribi.stdout(&["run", "builtin:digits", &model("digits/7.png")]);
    assert!(text.contains("7.png: 7"), "{text}");
}

#[test]
fn inspect_shows_layers_formats_and_cost() {
    let oribi = Oribi::new();
    for name in MODELS {
        let path = model(&format!("{name}.onnx"));
        let text = oribi.stdout(&["inspect", &path]);
        assert!(text.contains(name) && text.contains("1x1x28x28"), "{text}");
        let lines = oribi.json(&["inspect", &path, "--json"]);
        let [object] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!(object["model"], name);
        assert!(!object["layers"].as_array().unwrap().is_empty());
    }
    let object = &oribi.json(&["inspect", "builtin:digits", "--json"])[0];
    assert_eq!(object["products"], 17920);
    let layers = object["layers"].as_array().unwrap();
    assert_eq!(layers.iter().map(|layer| layer["products"].as_u64().unwrap()).sum::<u64>(), 17920);
    let gates = object["non_xor_gates"].as_u64().unwrap();
    assert!(gates > 17920 * 20 && object["table_bytes"].as_u64().unwrap() >= 16 * gates, "{object}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let oribi = Oribi::new();
    let mut child = oribi
        .command(&["inspect", "builtin:digits"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn calibration_narrows_the_ranges() {
    let (path, digit) = (model("deepsecure_b1.onnx"), model("digits/7.png"));
    let widest = |options: &[&str]| {
        let report = Oribi::new().json(&[&["inspect", &path, "--json"], options].concat());
        let layers = report[0]["layers"].as_array().unwrap().clone();
        let highs = layers.iter().map(|layer| layer["high"].as_f64().unwrap());
        highs.fold(f64::NEG_INFINITY, f64::max)
    };
    assert_ne!(widest(&[]), widest(&["--calibrate", &digit]));
    let refusal = Oribi::new().refusal(2, &["inspect", &path, "--calibrate", "missing.npz"]);
    assert!(refusal.contains("missing.npz"), "{refusal}");
}

#[test]
fn integers_without_truncation() {
    let reference = reference();
    for (digit, line) in run("lola_small", &["--fixed", "--protocol", "lola"]).iter().enumerate() {
        let wanted = numbers(&reference["lola_small"]["scores"][format!("{digit}.png")]);
        let found = numbers(&line["output"]);
        let largest = wanted.iter().fold(1.0, |a: f64, b| a.max(b.abs()));
        let error = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(error > 0.0 && error <= 0.02 * largest, "{digit}: {error} of {largest}");
        assert_eq!(
            (&line["class"], &line["protocol"]),
            (&Value::from(arg_max(&wanted)), &Value::from("lola"))
        );
    }
    let path = model("lola_small.onnx");
    let report = &Oribi::new().json(&["inspect", &path, "--protocol", "lola", "--json"])[0];
    let bits = report["widest"].as_u64().unwrap();
    assert!((35..=55).contains(&bits), "{bits}");
    assert!(Oribi::new().refusal(2, &["run", &path, "x.npy", "--protocol", "nonsense"]).contains("lola"));
}

#[test]
fn clipped_inputs_are_said_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bright.json");
    std::fs::write(&file, serde_json::to_string(&vec![vec![vec![vec![40.0; 28]; 28]; 1]; 2]).unwrap())
        .unwrap();
    let oribi = Oribi::new();
    let run = oribi.command(&["run", &model("lola_small.onnx"), file.to_str().unwrap(), "--fixed", "--json"]);
    let output = { run }.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.matches("clipped").count() == 1, "{text}");
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        serde_json::from_str::<Value>(line).unwrap();
    }
}

#[test]
fn inputs_outside_the_stated_range_are_said_once() {
    let oribi = Oribi::new();
    let picture = |value: f64| vec![vec![vec![vec![value; 28]; 28]; 1]; 2];
    let said = |name: &str, value: f64, options: &[&str]| {
        let file = oribi.file(name, serde_json::to_string(&picture(value)).unwrap().as_bytes());
        let path = model("digits.onnx");
        let output = oribi.command(&[&["run", &path, &file], options].concat()).output().unwrap();
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    // The words hold it, but the side file says 0 to 1.
    for protocol in ["deepsecure", "gazelle"] {
        let text = said("bright.json", 1.5, &["--protocol", protocol, "--json"]);
        assert!(text.matches("784 input values").count() == 1 && text.contains("0 to 1"), "{text}");
    }
    for (name, value) in [("white.json", 1.0), ("black.json", 0.0)] {
        assert_eq!(said(name, value, &["--fixed", "--json"]), "");
    }
    assert_eq!(said("bright.json", 1.5, &["--float", "--json"]), "");
}
