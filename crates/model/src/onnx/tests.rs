//! Damaged and hostile files: each gives an error that names the place, none a panic.

use std::path::{Path, PathBuf};

use prost::Message;

use super::proto::*;
use super::{from_bytes, load};
use crate::{Graph, Tensor, float};

fn floats(name: &str, dims: &[i64], value: f32) -> TensorProto {
    let count = dims.iter().product::<i64>().clamp(0, 1000) as usize;
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: element::FLOAT,
        float_data: vec![value; count],
        ..Default::default()
    }
}

fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: op.into(),
        name: format!("{op}_{output}"),
        input: inputs.iter().map(|s| s.to_string()).collect(),
        output: vec![output.into()],
        ..Default::default()
    }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { name: name.into(), ints: values.to_vec(), ..Default::default() }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i: value, ..Default::default() }
}

fn info(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = |&d: &i64| DimensionProto { dim_value: Some(d), dim_param: None };
    let shape = Some(TensorShapeProto { dim: dims.iter().map(dim).collect() });
    let tensor_type = Some(TensorTypeProto { elem_type: element::FLOAT, shape });
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
}

/// A model from `x` to `y`.
fn model(input: &[i64], nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> ModelProto {
    let graph = GraphProto {
        node: nodes,
        name: "test".into(),
        initializer,
        input: vec![info("x", input)],
        output: vec![info("y", &[])],
        sparse_initializer: vec![],
    };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
    ModelProto { ir_version: 8, graph: Some(graph), opset_import }
}

fn import(model: &ModelProto) -> Result<Graph, crate::Error> {
    from_bytes(&model.encode_to_vec(), None)
}

/// The message of a refused model: one line that mentions all of `words`.
fn refused(model: &ModelProto, words: &[&str]) {
    let text = import(model).unwrap_err().to_string();
    assert!(!text.contains('\n'), "{text}");
    for word in words {
        assert!(text.contains(word), "`{text}` does not mention `{word}`");
    }
}

fn conv(weight: &[i64], attributes: Vec<AttributeProto>) -> ModelProto {
    let node = NodeProto { attribute: attributes, ..node("Conv", &["x", "w"], "y") };
    model(&[1, 3, 8, 8], vec![node], vec![floats("w", weight, 0.5)])
}

#[test]
fn a_sound_model_passes() {
    assert!(import(&conv(&[4, 3, 3, 3], vec![])).is_ok());
}

#[test]
fn impossible_convolutions_are_refused() {
    refused(&conv(&[4, 2, 3, 3], vec![]), &["Conv_y", "channel mismatch", "3 channels"]);
    refused(&conv(&[4, 3, 3, 3], vec![ints("strides", &[0, 1])]), &["Conv_y", "strides", "at least 1"]);
    refused(&conv(&[4, 3, 3, 3], vec![ints("strides", &[-1, 1])]), &["strides"]);
    refused(&conv(&[4, 3, 3, 3], vec![ints("dilations", &[0, 0])]), &["dilations"]);
    refused(&conv(&[4, 3, 3, 3], vec![ints("pads", &[-1, 0, 0, 0])]), &["pads"]);
    refused(&conv(&[4, 3, 3, 3], vec![ints("pads", &[i64::MAX, 0, 0, 0])]), &["pads"]);
    refused(&conv(&[4, 3, 9, 9], vec![]), &["Conv_y", "exceeds the padded input"]);
    refused(&conv(&[4, 3, 3, 3], vec![int("group", 0)]), &["channel mismatch"]);
    refused(&conv(&[4, 3, 3, 3], vec![int("group", i64::MIN)]), &["channel mismatch"]);
    refused(&conv(&[4, 3, 3, 3], vec![ints("kernel_shape", &[5, 5])]), &["kernel_shape"]);
}

#[test]
fn impossible_dimensions_are_refused() {
    let relu = |dims: &[i64]| model(dims, vec![node("Relu", &["x"], "y")], vec![]);
    refused(&relu(&[1, -3, 4]), &["`x`", "-3"]);
    refused(&relu(&[1, 0]), &["`x`", "0"]);
    refused(&relu(&[1 << 40, 1 << 40]), &["`x`", "2^27"]);
    refused(&relu(&[1; 40]), &["`x`", "axes"]);
    for dims in [&[-1i64][..], &[i64::MAX, i64::MAX], &[1 << 30], &[3]] {
        let mut weight = floats("w", &[1], 1.0);
        weight.dims = dims.to_vec();
        refused(&model(&[1, 2], vec![node("Add", &["x", "w"], "y")], vec![weight]), &["`w`"]);
    }
}

#[test]
fn weights_must_be_finite() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let add = model(&[1, 2], vec![node("Add", &["x", "w"], "y")], vec![floats("w", &[2], value)]);
        refused(&add, &["`w`", "finite"]);
    }
}

#[test]
fn inputs_must_be_finite() {
    let graph = import(&model(&[1, 2], vec![node("Relu", &["x"], "y")], vec![])).unwrap();
    let x = Tensor::new(vec![1, 2], vec![0.0, f32::NAN]).unwrap();
    assert!(float::run(&graph, &[x]).unwrap_err().to_string().contains("NaN"));
}

#[test]
fn broken_graphs_are_refused() {
    let cycle = vec![node("Relu", &["b"], "a"), node("Relu", &["a"], "b"), node("Add", &["x", "a"], "y")];
    refused(&model(&[1, 2], cycle, vec![]), &["cycle"]);
    refused(
        &model(&[1, 2], vec![node("Add", &["x", "ghost"], "y")], vec![]),
        &["Add_y", "ghost", "does not exist"],
    );
    refused(&model(&[1, 2], vec![node("Relu", &["x"], "z")], vec![]), &["`y`", "no node makes"]);
    refused(&model(&[1, 2], vec![node("Relu", &["x"], "y"), node("Tanh", &["x"], "y")], vec![]), &["twice"]);
    refused(&model(&[1, 2], vec![node("Relu", &[], "y")], vec![]), &["Relu_y", "missing"]);
    let inner = vec![node("Softmax", &["x"], "s"), node("Mul", &["s", "s"], "y")];
    refused(&model(&[1, 2], inner, vec![]), &["Softmax_s", "softmax"]);
    let own = vec![node("Relu", &["y"], "y")];
    refused(&model(&[1, 2], own, vec![]), &["cycle"]);
}

#[test]
fn unsupported_operators_are_listed_together() {
    let nodes = vec![
        node("Elu", &["x"], "a"),
        node("LSTM", &["a"], "b"),
        node("Elu", &["b"], "c"),
        NodeProto { domain: "com.example".into(), ..node("Magic", &["c"], "d") },
        node("Relu", &["d"], "y"),
        node("Unused", &["x"], "nobody"),
    ];
    refused(
        &model(&[1, 2], nodes.clone(), vec![]),
        &["3 operators", "`Elu`", "1 more", "`LSTM`", "com.example.Magic"],
    );
    assert!(!import(&model(&[1, 2], nodes, vec![])).unwrap_err().to_string().contains("Unused"));
}

#[test]
fn versions_are_checked() {
    let mut old = model(&[1, 2], vec![node("Relu", &["x"], "y")], vec![]);
    old.opset_import[0].version = 3;
    refused(&old, &["opset 3", "9 to 21"]);
    old.opset_import.clear();
    refused(&old, &["version"]);
    refused(&ModelProto { ir_version: 8, ..Default::default() }, &["no graph"]);
}

fn external(location: &str) -> ModelProto {
    let entry = |key: &str, value: &str| StringStringEntryProto { key: key.into(), value: value.into() };
    let weight = TensorProto {
        float_data: vec![],
        data_location: 1,
        external_data: vec![entry("location", location), entry("offset", "4"), entry("length", "8")],
        ..floats("w", &[2], 0.0)
    };
    model(&[1, 2], vec![node("Add", &["x", "w"], "y")], vec![weight])
}

/// A new folder for one test.
fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("oribi-model-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

#[test]
fn external_data_stays_in_the_models_folder() {
    let outer = folder("external");
    let inner = outer.join("inner");
    std::fs::create_dir_all(&inner).unwrap();
    let bytes: Vec<u8> = [9f32, 1.0, 2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    std::fs::write(inner.join("w.bin"), &bytes).unwrap();
    std::fs::write(outer.join("secret.bin"), &bytes).unwrap();
    std::os::unix::fs::symlink(outer.join("secret.bin"), inner.join("link.bin")).unwrap();
    let try_one = |location: &str| from_bytes(&external(location).encode_to_vec(), Some(&inner));
    let graph = try_one("w.bin").unwrap();
    let y = float::run(&graph, &[Tensor::new(vec![1, 2], vec![0.0; 2]).unwrap()]).unwrap();
    assert_eq!(y[0].data(), [1.0, 2.0]);
    let absolute = outer.join("secret.bin");
    for location in ["../secret.bin", "a/../../secret.bin", absolute.to_str().unwrap(), "link.bin", ""] {
        let text = try_one(location).unwrap_err().to_string();
        assert!(text.contains("outside") || text.contains("No such file"), "{location}: {text}");
    }
    assert!(try_one("absent.bin").unwrap_err().to_string().contains("absent.bin"));
    assert!(from_bytes(&external("w.bin").encode_to_vec(), None).is_err());
    std::fs::write(inner.join("w.bin"), &bytes[..8]).unwrap();
    assert!(try_one("w.bin").unwrap_err().to_string().contains("file of 8"));
    std::fs::remove_dir_all(outer).unwrap();
}

#[test]
fn files_that_are_no_models_are_named() {
    let folder = folder("files");
    for (name, bytes) in
        [("empty", &b""[..]), ("text", b"hello, world\n"), ("zeros", &[0; 64]), ("cut", &[0x3a, 0xff, 0x7f])]
    {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        let text = load(&path).unwrap_err().to_string();
        assert!(text.contains(name) && !text.contains('\n'), "{text}");
    }
    assert!(load(&folder).unwrap_err().to_string().contains("not a file"));
    assert!(load(Path::new("/nowhere/model.onnx")).unwrap_err().to_string().contains("/nowhere"));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_flood_of_empty_messages_is_refused() {
    // A graph of ten million empty nodes in 20 MB, which would take gigabytes once decoded.
    let body: Vec<u8> = [0x0a, 0x00].repeat(10_000_000);
    let mut bytes = vec![0x3a];
    prost::encoding::encode_varint(body.len() as u64, &mut bytes);
    bytes.extend(body);
    assert!(from_bytes(&bytes, None).unwrap_err().to_string().contains("parts"));
}

#[test]
fn constants_cannot_explode() {
    let huge = TensorProto {
        data_type: element::INT64,
        int64_data: vec![1 << 40, 1 << 40],
        float_data: vec![],
        ..floats("s", &[2], 0.0)
    };
    for op in ["ConstantOfShape", "Expand", "Reshape"] {
        let inputs: &[&str] = if op == "ConstantOfShape" { &["s"] } else { &["x", "s"] };
        let nodes = vec![node(op, inputs, "c"), node("Add", &["c", "x"], "y")];
        assert!(import(&model(&[1, 2], nodes, vec![huge.clone()])).is_err(), "{op}");
    }
}

/// A generator of repeatable noise (SplitMix64).
fn noise(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[test]
fn damaged_files_never_panic() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut state = 1;
    for name in ["norms", "keras", "torch_shapes", "branches", "signals", "matrices", "opset9"] {
        let bytes = std::fs::read(folder.join(format!("{name}.onnx"))).unwrap();
        for length in 0..bytes.len() {
            let _ = from_bytes(&bytes[..length], None);
        }
        for _ in 0..2000 {
            let mut damaged = bytes.clone();
            for _ in 0..1 + noise(&mut state) % 4 {
                let at = noise(&mut state) as usize % damaged.len();
                damaged[at] = match noise(&mut state) % 4 {
                    0 => damaged[at] ^ (1 << (noise(&mut state) % 8)),
                    1 => 0xff,
                    2 => damaged[at].wrapping_add(1),
                    _ => noise(&mut state) as u8,
                };
            }
            if let Ok(graph) = from_bytes(&damaged, None)
                && graph.nodes.iter().map(|n| n.shape.iter().product::<usize>()).sum::<usize>() < 100_000
            {
                let inputs: Vec<Tensor> = graph
                    .inputs
                    .iter()
                    .map(|&i| Tensor::filled(graph.nodes[i].shape.clone(), 0.5).unwrap())
                    .collect();
                let _ = float::run(&graph, &inputs);
            }
        }
    }
}

#[test]
fn absurd_windows_are_refused_at_once() {
    let pool = |op: &str, attributes: Vec<AttributeProto>| {
        let node = NodeProto { attribute: attributes, ..node(op, &["x"], "y") };
        model(&[1, 1, 1 << 13, 1 << 13], vec![node], vec![])
    };
    let kernel = |k: i64| ints("kernel_shape", &[k, k]);
    refused(&pool("AveragePool", vec![kernel(1 << 40)]), &["kernel_shape"]);
    refused(&pool("MaxPool", vec![]), &["kernel_shape"]);
    refused(&pool("MaxPool", vec![kernel(0)]), &["kernel_shape"]);
    refused(&pool("MaxPool", vec![kernel(2), ints("pads", &[65536, 65536, 65536, 65536])]), &["y"]);
    refused(&pool("AveragePool", vec![kernel(2), ints("pads", &[9000, 9000, 9000, 9000])]), &["y"]);
    assert!(import(&pool("AveragePool", vec![kernel(8000), int("count_include_pad", 1)])).is_ok());
}
