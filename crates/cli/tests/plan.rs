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

/// Runs a planned network between two processes, and holds it against its integers: exactly, but where squares drop bits on shares.
fn equals_its_reference(oribi: &Oribi, file: &str, protocol: &str) {
    let picture = model("digits/7.png");
    let output = |command: &str| -> Vec<f64> {
        let line = oribi.json(&[command, file, &picture, "--protocol", protocol, "--json"]).remove(0);
        line["output"].as_array().unwrap().iter().map(|score| score.as_f64().unwrap()).collect()
    };
    let (own, wanted) = (output("demo"), output("run"));
    let largest = wanted.iter().fold(1f64, |most, score| most.max(score.abs()));
    let most = if protocol == "deepsecure" { 0.0 } else { 0.02 * largest };
    assert_eq!(own.len(), wanted.len());
    assert!(own.iter().zip(&wanted).all(|(a, b)| (a - b).abs() <= most), "{own:?} and {wanted:?}");
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
    equals_its_reference(&oribi, file, "deepsecure");
    // What would be written over is refused.
    let text = oribi.refusal(2, &["plan", file, "--train", &data, "--out", folder, "--epochs", "1"]);
    assert!(text.contains("name another folder"), "{text}");
}

/// Which zeros are public is the model owner's decision where the side file states it.
#[test]
fn pruning_leaves_what_a_side_file_says_of_layers() {
    let oribi = Oribi::new();
    let data = pictures(&oribi, "train", &labels(60));
    let network = oribi.file("m.onnx", &std::fs::read(model("deepsecure_b1.onnx")).unwrap());
    let side = std::fs::read_to_string(model("deepsecure_b1.oribi.toml")).unwrap();
    oribi.file("m.oribi.toml", (side + "\n[sparsity]\nGemm_4 = \"rounded\"\n").as_bytes());
    let out = oribi.folder().join("out");
    let base = ["plan", &network, "--train", &data, "--out", out.to_str().unwrap(), "--epochs", "1"];
    let pruned = oribi.run(&[&base[..], &["--prune", "0.2", "--json"]].concat());
    let text = String::from_utf8(pruned.stderr).unwrap();
    assert!(pruned.status.success() && text.contains("[sparsity]"), "{text}");
    let row: serde_json::Value = serde_json::from_slice(&pruned.stdout).unwrap();
    let file = row["file"].as_str().unwrap();
    let side = std::fs::read_to_string(file.replace(".onnx", ".oribi.toml")).unwrap();
    assert!(side.contains("Gemm_4 = \"rounded\"") && !side.contains("sparsity = "), "{side}");
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
    assert_eq!(table["integers_on"], "validation");
    for row in rows {
        assert!(out.join(row["file"].as_str().unwrap()).is_file());
        let [floats, integers] =
            ["validation_accuracy", "integer_accuracy"].map(|name| row[name].as_f64().unwrap());
        assert!((floats - integers).abs() < 0.15, "{row}");
        assert!(row["cost"].as_f64().unwrap() > 0.0, "{row}");
    }
    // What is quadratic is not garbled.
    assert!(rows[1]["cost"].as_f64() < rows[0]["cost"].as_f64(), "{table}");
    assert!(std::fs::read_to_string(out.join("accuracy-against-cost.svg")).unwrap().contains("<circle"));
    assert!(out.join("table.json").is_file());
    assert!(std::fs::read_to_string(out.join("accuracy-against-seconds.svg")).unwrap().contains("<circle"));
    let found = out.join(rows[1]["file"].as_str().unwrap());
    equals_its_reference(&oribi, found.to_str().unwrap(), "delphi");
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
    let ample = ["--max-online", "20s", "--max-bytes", "50MB", "--prune", "0.2", "--json"];
    let output = oribi.run(&[&base[..], &ample].concat());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && text.contains("nothing is pruned"), "{text}");
    let chosen: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        chosen["online_seconds"].as_f64().unwrap() <= 20.0 && chosen["accuracy"].as_f64().unwrap() >= 0.3
    );
    assert!(chosen["bytes"].as_u64().unwrap() <= 50_000_000, "{chosen}");
    assert!(out.join(chosen["network"].as_str().unwrap()).is_file() && out.join("chosen.json").is_file());
    assert!(!out.join("deepsecure_b1-pruned.onnx").exists() && !out.join("unfinished-search").exists());
}

#[test]
fn a_budget_prunes_what_it_brings_within_it() {
    let oribi = Oribi::new();
    let (network, data) = (model("deepsecure_b1.onnx"), pictures(&oribi, "train", &labels(200)));
    let out = oribi.folder().join("out");
    // So far away that round trips count, and one garbled circuit has the fewest.
    let base = ["plan", &network, "--train", &data, "--out", out.to_str().unwrap(), "--min-accuracy", "0.3"];
    let small = ["--epochs", "3", "--population", "1", "--steps", "1", "--batch", "16"];
    let budget = ["--prune", "0.2", "--output", "label", "--link", "10gbit,2s", "--max-online", "3500ms"];
    let base = [&base[..], &small, &budget].concat();
    let refused = oribi.run(&[&base[..], &["--max-bytes", "1kB"]].concat());
    let text = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{text}");
    assert!(text.contains("no network keeps within") && text.contains("the nearest: "), "{text}");
    assert!(
        text.contains("beyond the budget even pruned") && text.contains("what was trained is kept"),
        "{text}"
    );
    assert!(!out.join("deepsecure_b1-pruned.onnx").exists());

    let again = oribi.run(&[&base[..], &["--max-bytes", "250MB", "--json"]].concat());
    let text = String::from_utf8(again.stderr).unwrap();
    assert!(again.status.success() && text.contains("going on from what an earlier run left"), "{text}");
    let chosen: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(chosen["protocol"], "deepsecure", "{chosen}");
    assert!(chosen["products"].as_f64().unwrap() <= 0.2 && chosen["accuracy"].as_f64().unwrap() >= 0.3);
    assert!(
        chosen["online_seconds"].as_f64().unwrap() <= 3.5 && chosen["bytes"].as_u64().unwrap() <= 250_000_000
    );
    let bought = chosen["bought"].as_array().unwrap();
    let pruning = bought.last().unwrap();
    assert!(pruning["what"] == "pruning" && pruning["without"]["protocol"] == "deepsecure", "{chosen}");
    assert!(pruning["bytes"].as_i64().unwrap() > 100_000_000, "{chosen}");
    assert!(!out.join("unfinished-search").exists());

    // Zeros cheapen one circuit, and nothing else.
    let whole = model("deepsecure_b1.onnx");
    let name = chosen["network"].as_str().unwrap();
    assert!(name.ends_with("-pruned.onnx"), "{chosen}");
    let pruned = out.join("deepsecure_b1-pruned.onnx");
    if pruned.is_file() {
        let bytes = |path: &str, protocol: &str| {
            let report = &oribi.json(&["plan", path, "--json"])[0];
            let of =
                report["choices"].as_array().unwrap().iter().find(|choice| choice["protocol"] == protocol);
            of.unwrap()["total"]["server_bytes"].as_f64().unwrap()
        };
        let pruned = pruned.to_str().unwrap();
        assert!(bytes(pruned, "deepsecure") < 0.5 * bytes(&whole, "deepsecure"));
        assert!(bytes(pruned, "gazelle") > 0.8 * bytes(&whole, "gazelle"));
    }
}

/// Starts a command, and kills it as soon as a file is there.
fn kill_at(oribi: &Oribi, arguments: &[&str], file: &std::path::Path) {
    let mut child = oribi.command(arguments);
    let mut child =
        child.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    while !file.is_file() {
        assert!(child.try_wait().unwrap().is_none(), "it ended without {}", file.display());
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn killed_searches_and_prunings_go_on_to_the_same_files() {
    let oribi = Oribi::new();
    let (network, data) = (model("deepsecure_b1.onnx"), pictures(&oribi, "train", &labels(400)));
    let small = ["--epochs", "2", "--population", "2", "--steps", "1", "--min-accuracy", "0.1"];
    let pruning = ["--prune", "0.2", "--epochs", "16"];
    // Files that stay until the end, and are read again: those of single members go once their count is done.
    let search = ("unfinished-search/count-1.part", "quadratic-2.onnx");
    let rounds = ("unfinished-deepsecure_b1-pruned/round-2.part", "deepsecure_b1-pruned.onnx");
    for (what, (part, result)) in [(&small[..], search), (&pruning[..], rounds)] {
        let folders = ["whole", "killed"].map(|name| oribi.folder().join(name));
        let command = |folder: usize| {
            let out = folders[folder].to_str().unwrap();
            [&["plan", &network, "--train", &data, "--json", "--out", out], what].concat()
        };
        oribi.stdout(&command(0));
        let part = folders[1].join(part);
        kill_at(&oribi, &command(1), &part);
        // Other settings have no use for what is there, and damage is seen.
        let text = oribi.refusal(2, &[&command(1)[..], &["--seed", "2"]].concat());
        assert!(text.contains("other settings") && text.contains("remove the folder"), "{text}");
        let good = std::fs::read(&part).unwrap();
        std::fs::write(&part, &good[..good.len() - 1]).unwrap();
        let damaged = oribi.run(&command(1));
        let text = String::from_utf8(damaged.stderr).unwrap();
        assert!(damaged.status.code() == Some(2) && text.contains("damaged; remove it"), "{text}");
        std::fs::write(&part, &good).unwrap();
        let again = oribi.run(&command(1));
        let text = String::from_utf8(again.stderr).unwrap();
        assert!(again.status.success() && text.contains("going on from"), "{text}");
        let [whole, killed] = folders.map(|folder| std::fs::read(folder.join(result)).unwrap());
        assert!(whole == killed, "{result}");
        assert!(!part.parent().unwrap().exists());
    }
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
    for (name, count) in [("deepsecure", 2), ("gazelle", 2), ("delphi", 4)] {
        assert_eq!(of(name).count(), count, "{name}");
        for choice in of(name) {
            assert!(choice["total"]["seconds"].as_f64().unwrap() > 0.1, "two round trips at least: {choice}");
            let layers = choice["layers"].as_array().unwrap();
            assert!(layers.len() >= 3, "{choice}");
            let stored = |of: &serde_json::Value, side| of["stored_bytes"][side].as_u64().unwrap();
            for side in [0, 1] {
                let sum: u64 = layers.iter().map(|layer| stored(layer, side)).sum();
                assert_eq!(sum, stored(choice, side), "{choice}");
            }
        }
    }
    assert!(of("delphi").all(|choice| choice["stored_bytes"][0].as_u64().unwrap() > 50));
    let best = report["recommended"]["protocol"].as_str().unwrap();
    assert!(best != "lola" && report["prepared"]["protocol"] == "delphi", "{report}");
    // The same word in other commands.
    let inspected = &oribi.json(&["inspect", &network, "--protocol", "auto", "--json"])[0];
    assert!(["gazelle", "delphi", "deepsecure"].contains(&inspected["protocol"].as_str().unwrap()));
    assert!(report["batch"].is_null(), "{report}");
    let squares = &oribi.json(&["plan", &model("cryptonets.onnx"), "--json"])[0];
    assert!(squares["batch"]["inputs"].as_u64().unwrap() >= 8192, "{squares}");
    assert!(squares["batch"]["total"]["seconds"].as_f64().unwrap() > 1.0, "{squares}");
    assert!(oribi.stdout(&["plan", &model("cryptonets.onnx")]).contains("inputs in one pass take"));
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
    assert!(refusal(&[&good, "--min-accuracy", "0.5", "--max-bytes", "20"]).contains("500MB"));
    assert!(refusal(&[&good, "--min-accuracy", "0.5", "--prune", "1.5"]).contains("(0, 1]"));
    assert!(refusal(&[&good, "--projection-error", "0.3", "--shift", "1"]).contains("--shift"));
    let empty = pictures(&oribi, "empty", &[]);
    assert!(refusal(&[&empty]).contains("holds no inputs"));
    assert!(refusal(&[&good, "--examples", "0"]).contains("no examples"));
    let squares = ["plan", "builtin:lola-small", "--train", &good, "--min-accuracy", "0.5", "--out"];
    let folder = out.to_str().unwrap();
    assert!(oribi.refusal(2, &[&squares[..], &[folder]].concat()).contains("no ReLU that could become"));
    let below = format!("{good}/folder");
    assert!(oribi.refusal(2, &[&squares[..], &[&below]].concat()).contains("cannot be written"));
}

/// A server publishes the basis: its clients need no option, and another basis is refused.
fn published(oribi: &Oribi, network: &str, (picture, basis): (&str, &str)) {
    let wanted = &oribi.json(&["run", network, picture, "--protocol", "gazelle", "--json"])[0];
    let server = oribi.serve(&[network, "--protocol", "gazelle"]);
    let peer = ["--server", &server.address, "--fingerprint", &server.fingerprint];
    let predict = |input: &str, more: &[&str]| {
        oribi.json(&[&["predict", input, "--json"], &peer[..], more].concat()).remove(0)
    };
    assert_eq!(predict(picture, &[])["output"], wanted["output"]);
    assert_eq!(predict(picture, &["--projection", basis])["output"], wanted["output"]);
    // Coordinates are taken as they are.
    let bytes = std::fs::read(basis).unwrap();
    let head = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let text = String::from_utf8_lossy(&bytes[10..head]).into_owned();
    let shape = text.split_once("'shape': (").unwrap().1;
    let rows: usize = shape.split_once(',').unwrap().0.trim().parse().unwrap();
    let numbers: Vec<String> = vec!["0.125".to_owned(); rows];
    let coordinates = oribi.file("coordinates.json", format!("[{}]", numbers.join(", ")).as_bytes());
    let line = predict(&coordinates, &[]);
    let own = &oribi.json(&["run", network, &coordinates, "--protocol", "gazelle", "--json"])[0];
    assert_eq!(line["output"], own["output"]);
    assert_ne!(line["output"], wanted["output"]);
    // One number off.
    let mut other = bytes;
    other[head + 1] ^= 1;
    let other = oribi.file("other.npy", &other);
    let base = [&["predict", picture, "--projection", other.as_str()], &peer[..]].concat();
    let text = oribi.refusal(2, &base);
    assert!(text.contains("not the basis that the server publishes"), "{text}");
    server.finish();
    let line = &oribi.json(&["demo", network, picture, "--protocol", "gazelle", "--json"])[0];
    assert_eq!(line["output"], wanted["output"]);
}

/// What takes coordinates is trained on the same data as what it came from, and keeps its basis beside it.
fn pruned_again(oribi: &Oribi, (file, basis): (&str, &std::path::Path), data: &str) {
    let out = oribi.folder().join("again");
    let pruning = ["--prune", "0.5", "--epochs", "1", "--json"];
    let base = ["plan", file, "--train", data, "--out", out.to_str().unwrap()];
    let made = &oribi.json(&[&base[..], &pruning].concat())[0];
    let beside = out.join(basis.file_name().unwrap());
    assert_eq!(std::fs::read(beside).unwrap(), std::fs::read(basis).unwrap());
    let picture = format!("{data}#3");
    let line = &oribi.json(&["run", made["file"].as_str().unwrap(), &picture, "--json"])[0];
    assert_eq!(line["output"].as_array().unwrap().len(), 10);
    let twice = [&base[..], &["--projection-error", "0.3"]].concat();
    assert!(oribi.refusal(2, &twice).contains("takes coordinates already"));
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
    published(&oribi, file, (&picture, basis.to_str().unwrap()));
    pruned_again(&oribi, (file, &basis), &data);
    let network = model("deepsecure_b1.onnx");
    let other = ["plan", &network, "--train", &data, "--out", folder, "--projection-error", "0.3"];
    assert!(oribi.refusal(2, &other).contains("fully connected"));
}
