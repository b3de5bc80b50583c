//! ONNX's own node tests on the float reference: each passes, or is refused by name for a stated reason.

// Helpers outside of test functions may fail a test as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;

use common::npz;
use model::{Error, float, onnx};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors/onnx-node-tests")
}

/// The largest difference that the tests of ONNX allow: 1e-3 relative and 1e-7 absolute.
fn close(got: f32, wanted: f64) -> bool {
    (f64::from(got) - wanted).abs() <= 1e-7 + 1e-3 * wanted.abs()
}

/// Runs one file; the reason where the model is refused.
fn try_one(file: &str, name: &str) -> Result<(), Error> {
    let graph = onnx::load(&folder().join(file))?;
    let arrays: BTreeMap<_, _> = npz(&folder().join(format!("{name}.npz")));
    let inputs: Vec<_> =
        graph.inputs.iter().map(|&i| arrays[&format!("in_{}", graph.nodes[i].name)].tensor()).collect();
    let outputs = float::run(&graph, &inputs)?;
    for (output, tensor) in graph.outputs.iter().zip(&outputs) {
        let wanted = &arrays[&format!("out_{}", output.name)];
        assert_eq!(tensor.shape(), wanted.shape, "{file}");
        for (i, (&got, &want)) in tensor.data().iter().zip(&wanted.values).enumerate() {
            assert!(close(got, want), "{file}, element {i}: {got} where {want} is right");
        }
    }
    Ok(())
}

#[test]
fn every_node_test_passes_or_is_refused_for_a_reason() {
    let list = std::fs::read_to_string(folder().join("LIST.tsv")).unwrap();
    let refused = std::fs::read_to_string(folder().join("REFUSED.tsv")).unwrap();
    let refused: BTreeMap<&str, &str> = refused.lines().skip(1).filter_map(|l| l.split_once('\t')).collect();
    let (mut passed, mut named) = (0, 0);
    for line in list.lines().skip(1) {
        let name = line.split('\t').next().unwrap();
        let baked = format!("{name}.baked.onnx");
        let mut files = vec![format!("{name}.onnx")];
        if folder().join(&baked).exists() {
            files.push(baked);
        }
        for file in files {
            match (try_one(&file, name), refused.get(file.as_str())) {
                (Ok(()), None) => {
                    println!("pass    {file}");
                    passed += 1;
                }
                (Err(error), Some(reason)) => {
                    let text = error.to_string();
                    assert!(text.contains(reason), "{file}: refused with `{text}`, not for `{reason}`");
                    println!("refused {file}: {reason}");
                    named += 1;
                }
                (Ok(()), Some(_)) => panic!("{file} passes, though REFUSED.tsv lists it"),
                (Err(error), None) => panic!("{file} is refused: {error}"),
            }
        }
    }
    println!("{passed} files pass, {named} are refused");
    assert!(passed >= 200, "{passed}");
}
