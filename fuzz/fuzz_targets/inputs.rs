//! Input files of every kind: the first byte chooses the model's input, the rest is the file.
#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use oribi::input::{InputSpec, Pixels, open};

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, content)) = bytes.split_first() else { return };
    let shape = match choice % 4 {
        0 => vec![1, 1, 28, 28],
        1 => vec![1, 3, 4, 4],
        2 => vec![1, 8],
        _ => vec![2, 2],
    };
    let spec = InputSpec { range: None, name: "input".into(), shape, pixels: Pixels::default() };
    let path = std::env::temp_dir().join(format!("oribi-fuzz-input-{}", std::process::id()));
    let Ok(mut file) = std::fs::File::create(&path) else { return };
    if file.write_all(content).is_err() {
        return;
    }
    if let Ok(examples) = open(&path.display().to_string(), std::slice::from_ref(&spec)) {
        for example in examples.take(4).flatten() {
            assert_eq!(example.tensors[0].len(), spec.shape.iter().product::<usize>());
            assert!(example.tensors[0].iter().all(|value| value.is_finite()));
        }
    }
});
