//! The options that choose numbers: protocol and reference follow them alike.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod common;

use common::{Oribi, model};
use serde_json::Value;

/// Runs the demo, every layer garbled, and the reference on the same input, holds their outputs equal, and gives the demo's line.
fn demo_as_reference(oribi: &Oribi, network: &str, input: &str, options: &[&str]) -> Value {
    let ends = [options, &["--protocol", "deepsecure", "--json"]].concat();
    let private = oribi.json(&[&["demo", network, input, "--first-layer", "garbled"], &ends[..]].concat());
    let reference = oribi.json(&[&["run", network, input, "--fixed"], &ends[..]].concat());
    assert_eq!((private.len(), reference.len()), (1, 1));
    assert_eq!(private[0]["output"], reference[0]["output"], "{options:?}");
    private[0].clone()
}

fn online_bytes(line: &Value) -> u64 {
    line["online"]["client_bytes"].as_u64().unwrap() + line["online"]["server_bytes"].as_u64().unwrap()
}

#[test]
fn narrower_weights_cost_less() {
    let oribi = Oribi::new();
    let (network, seven) = (model("digits.onnx"), model("digits/7.png"));
    let run = |bits| demo_as_reference(&oribi, &network, &seven, &["--weight-bits", bits]);
    let (wide, narrow) = (run("12"), run("5"));
    assert_ne!(wide["output"], narrow["output"]);
    assert!(online_bytes(&narrow) < online_bytes(&wide));
}

#[test]
fn straight_lines_cost_less_than_rotations() {
    let oribi = Oribi::new();
    let network = model("../tests/twins/tanh_sigmoid.onnx");
    // Three channels of 8 x 8.
    let value = |channel: usize, row: usize, column: usize| {
        ((channel * 64 + row * 8 + column) * 37 % 101) as f64 / 101.0
    };
    let row = |channel, row| (0..8).map(|column| value(channel, row, column)).collect::<Vec<_>>();
    let values: Vec<Vec<_>> = (0..3).map(|channel| (0..8).map(|line| row(channel, line)).collect()).collect();
    let input = oribi.file("input.json", serde_json::to_string(&values).unwrap().as_bytes());
    let run = |kind| demo_as_reference(&oribi, &network, &input, &["--activations", kind]);
    let (rotations, lines) = (run("cordic"), run("piecewise"));
    assert_ne!(rotations["output"], lines["output"]);
    assert!(online_bytes(&lines) < online_bytes(&rotations));
}
