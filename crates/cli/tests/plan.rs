//! `oribi plan`, at a small size: training, pruning, a search, and what it refuses.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod common;

use common::{Oribi, model};

/// Pictures of 28 x 28 and their labels as IDX files; returns the pictures' path. What the labels are does not matter here.
fn pictures(oribi: &Oribi, name: &str, labels: &[u8]) -> String {
    let count = labels.len() as u32;
    let header = |axes: &[u32]| {
        let magic = [0, 0, 8, axes.len() as u8];
        magic.into_iter().chain(axes.iter().flat_map(|axis| axis.to_be_bytes())).collect::<Vec<u8>>()
    };
    let pixels = labels.iter().enumerate().flat_map(|(i, label)| {
        (0..28 * 28).map(move |p| if p / 60 == *label as usize { 200 } else { (p * 7 + i * 13) as u8 % 50 })
    });
    let images: Vec<u8> = header(&[count, 28, 28]).into_iter().chain(pixels).collect();
    let all: Vec<u8> = header(&[count]).into_iter().chain(labels.iter().copied()).collect();
    oribi.file(&format!("{name}-labels-idx1-ubyte"), &all);
    oribi.file(&format!("{name}-images-idx3-ubyte"), &images)
}

fn labels(count: usize) -> Vec<u8> {
    (0..count).map(|i| (i * 7 % 10) as u8).collect()
}

#[test]
fn trained_and_pruned_networks_are_networks() {
    let oribi = Oribi::new();
    let (network, data) = (model("deepsecure_b1.onnx"), pictures(&oribi, "train", &labels(200)));
    let test = pictures(&oribi, "t10k", &labels(40));
    let out = oribi.folder().join("out");
    let folder = out.to_str().unwrap();
    let base =
        ["plan", &network, "--train", &data, "--test", &test, "--out", folder, "--epochs", "8", "--json"];
    let rows = oribi.json(&[&base[..], &["--shift", "1", "--momentum", "0.9"]].concat());
    let file = rows[0]["file"].as_str().unwrap();
    assert!(rows[0]["test_accuracy"].as_f64().unwrap() > 0.5, "{rows:?}");
    assert!(out.join("deepsecure_b1.oribi.toml").is_file() && !out.join("training.checkpoint").exists());
    assert_eq!(
        oribi.json(&["run", file, &model("digits/7.png"), "--json"])[0]["output"].as_array().unwrap().len(),
        10
    );

    let rows = oribi.json(&[&base[..], &["--prune", "0.2", "--mask", "block:2"]].concat());
    let file = rows[0]["file"].as_str().unwrap();
    let side = std::fs::read_to_string(file.replace(".onnx", ".oribi.toml")).unwrap();
    assert!(side.contains("sparsity = \"public\"") && side.contains("[input]"), "{side}");
    oribi.stdout(&["inspect", file, "--protocol", "deepsecure"]);
}

#[test]
fn a_search_leaves_networks_a_table_and_a_picture() {
    let oribi = Oribi::new();
    let (network, data) = (model("deepsecure_b1.onnx"), pictures(&oribi, "train", &labels(200)));
    let out = oribi.folder().join("out");
    let folder = out.to_str().unwrap();
    let small = ["--epochs", "3", "--population", "1", "--steps", "1", "--rate", "0.002"];
    let base = ["plan", &network, "--train", &data, "--out", folder];
    let table = &oribi.json(&[&base[..], &small, &["--min-accuracy", "0.3", "--json"]].concat())[0];
    let rows = table["rows"].as_array().unwrap();
    assert!(rows.len() >= 2, "{table}");
    for row in rows {
        assert!(out.join(row["file"].as_str().unwrap()).is_file());
        assert!(row["cost"].as_f64().unwrap() > 0.0, "{row}");
    }
    // What is quadratic is not garbled.
    assert!(rows[1]["cost"].as_f64() < rows[0]["cost"].as_f64(), "{table}");
    assert!(std::fs::read_to_string(out.join("accuracy-against-cost.svg")).unwrap().contains("<circle"));
    assert!(out.join("table.json").is_file());
    assert!(std::fs::read_to_string(out.join("accuracy-against-seconds.svg")).unwrap().contains("<circle"));
    let file = rows[1]["file"].as_str().unwrap().replace(".onnx", ".plan.json");
    let plan: serde_json::Value = serde_json::from_slice(&std::fs::read(out.join(file)).unwrap()).unwrap();
    assert!(
        plan["choices"].as_array().unwrap().iter().any(|choice| choice["protocol"] == "delphi"),
        "{plan}"
    );
    // Labels that say nothing of their pictures.
    let unknowable: Vec<u8> = (0..200).map(|i| (i / 20) as u8).collect();
    let header = [0, 0, 8, 1, 0, 0, 0, 200];
    let wrong = oribi.file("unknowable", &[&header[..], &unknowable].concat());
    let text = oribi.refusal(1, &[&base[..], &small, &["--min-accuracy", "1", "--labels", &wrong]].concat());
    assert!(text.contains("no candidate reached") && text.contains("the best reached"), "{text}");
}

#[test]
fn a_budget_chooses_a_network_and_a_protocol_or_names_the_nearest() {
    let oribi = Oribi::new();
    let (network, data) = (model("deepsecure_b1.onnx"), pictures(&oribi, "train", &labels(200)));
    let out = oribi.folder().join("out");
    let folder = out.to_str().unwrap();
    let small = ["--epochs", "3", "--population", "1", "--steps", "1", "--rate", "0.002"];
    let base =
        ["plan", &network, "--train", &data, "--out", folder, "--min-accuracy", "0.3", "--link", "wan"];
    let base = [&base[..], &small].concat();
    let chosen =
        &oribi.json(&[&base[..], &["--max-online", "20s", "--max-bytes", "50MB", "--json"]].concat())[0];
    assert!(
        chosen["online_seconds"].as_f64().unwrap() <= 20.0 && chosen["accuracy"].as_f64().unwrap() >= 0.3
    );
    assert!(chosen["bytes"].as_u64().unwrap() <= 50_000_000, "{chosen}");
    assert!(out.join(chosen["network"].as_str().unwrap()).is_file() && out.join("chosen.json").is_file());
    assert!(!out.join("deepsecure_b1-pruned.onnx").exists());
    let text = oribi.refusal(1, &[&base[..], &["--max-bytes", "1kB", "--prune", "0.3", "--json"]].concat());
    assert!(out.join("deepsecure_b1-pruned.plan.json").is_file());
    assert!(text.contains("no network keeps within") && text.contains("the nearest"), "{text}");
}

#[test]
fn costs_need_no_data() {
    let oribi = Oribi::new();
    let network = model("deepsecure_b1.onnx");
    let report = &oribi.json(&["plan", &network, "--link", "400mbit,40ms", "--json"])[0];
    let choices = report["choices"].as_array().unwrap();
    let of = |name: &'static str| choices.iter().filter(move |choice| choice["protocol"] == name);
    assert!(
        of("lola").all(|choice| choice["refused"].as_str().is_some_and(|why| why.contains("ciphertexts")))
    );
    for name in ["deepsecure", "gazelle", "delphi"] {
        assert_eq!(of(name).count(), 2);
        for choice in of(name) {
            assert!(choice["total"]["seconds"].as_f64().unwrap() > 0.1, "two round trips at least: {choice}");
            assert!(choice["layers"].as_array().unwrap().len() >= 3, "{choice}");
        }
    }
    assert!(of("delphi").all(|choice| choice["stored_bytes"][0].as_u64().unwrap() > 50));
    let best = report["recommended"]["protocol"].as_str().unwrap();
    assert!(best != "lola" && report["prepared"]["protocol"] == "delphi", "{report}");
    // The same word in other commands.
    let inspected = &oribi.json(&["inspect", &network, "--protocol", "auto", "--json"])[0];
    assert!(["gazelle", "delphi", "deepsecure"].contains(&inspected["protocol"].as_str().unwrap()));
    let text = oribi.stdout(&["plan", &network, "--link", "lan", "--output", "label"]);
    assert!(text.contains("recommended") && text.contains("refused     lola"), "{text}");
    assert!(oribi.refusal(2, &["plan", &network, "--link", "fast"]).contains("no such link"));
}

#[test]
fn what_does_not_fit_is_named() {
    let oribi = Oribi::new();
    let network = model("deepsecure_b1.onnx");
    let out = oribi.folder().join("out");
    let base = ["plan", &network, "--out", out.to_str().unwrap(), "--train"];
    let refusal = |more: &[&str]| oribi.refusal(2, &[&base[..], more].concat());
    let beyond = pictures(&oribi, "beyond", &[1, 2, 10]);
    assert!(refusal(&[&beyond]).contains("label 10 of example #2: the network has 10 classes"));
    let good = pictures(&oribi, "good", &labels(20));
    let other = oribi.file("few", &[0, 0, 8, 1, 0, 0, 0, 2, 1, 1]);
    assert!(refusal(&[&good, "--labels", &other]).contains("holds 20 inputs"));
    assert!(refusal(&[&good, "--labels", &good]).contains("of pictures, not of labels"));
    assert!(refusal(&[oribi.folder().to_str().unwrap()]).contains("train-images-idx3-ubyte"));
    assert!(refusal(&["nowhere.npz"]).contains("nowhere.npz"));
    assert!(refusal(&[&good, "--prune", "2"]).contains("(0, 1]"));
    assert!(refusal(&[&good, "--min-accuracy", "98.7"]).contains("0.987"));
    assert!(refusal(&[&good, "--prune", "0.5", "--mask", "some"]).contains("block:N"));
    assert!(oribi.refusal(2, &["plan", &network, "--prune", "0.5"]).contains("--train"));
    assert!(refusal(&[&good, "--max-online", "1s"]).contains("--min-accuracy"));
    assert!(refusal(&[&good, "--min-accuracy", "0.5", "--max-online", "soon"]).contains("250ms"));
}

#[test]
fn a_projected_network_takes_coordinates() {
    let oribi = Oribi::new();
    let data = pictures(&oribi, "train", &labels(200));
    let out = oribi.folder().join("out");
    let folder = out.to_str().unwrap();
    let base =
        ["plan", "builtin:deepsecure-2", "--train", &data, "--out", folder, "--epochs", "25", "--json"];
    let rows = oribi.json(&[&base[..], &["--projection-error", "0.3"]].concat());
    let file = rows[0]["file"].as_str().unwrap();
    let basis = out.join("deepsecure-2-projected.basis.npy");
    let picture = format!("{data}#3");
    let line = &oribi.json(&["run", file, &picture, "--projection", basis.to_str().unwrap(), "--json"])[0];
    assert_eq!(line["output"].as_array().unwrap().len(), 10);
    assert_eq!(line["class"], labels(4)[3]);
    // The side file names the basis.
    assert_eq!(&oribi.json(&["run", file, &picture, "--json"])[0]["output"], &line["output"]);
    let network = model("deepsecure_b1.onnx");
    let other = ["plan", &network, "--train", &data, "--out", folder, "--projection-error", "0.3"];
    assert!(oribi.refusal(2, &other).contains("fully connected"));
}
