//! The ONNX importer: any bytes give a graph or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = model::onnx::from_bytes(bytes, None);
});
