//! A graph as an ONNX file of standard operators.
//!
//! What comes out is what an import reads again into a network of the same meaning, and what any other ONNX runtime runs.

use std::collections::BTreeSet;

use prost::Message;

use super::proto::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto, element,
};
use crate::error::Error;
use crate::fixed::{NodeId, Post, Window};
use crate::graph::{Graph, Layer, Node};
use crate::tensor::Tensor;

/// The version of the operators: the first with dilated average pools.
const OPSET: i64 = 19;
/// The version of the file format that belongs to it.
const IR: i64 = 9;

/// ONNX's numbers for kinds of attributes.
const FLOAT: i32 = 1;
const INT: i32 = 2;
const INTS: i32 = 7;

/// The bytes of an ONNX file that holds the graph.
///
/// # Errors
/// If a node's operand does not exist.
pub fn to_bytes(graph: &Graph) -> Result<Vec<u8>, Error> {
    let names = names(graph);
    let inputs = graph.inputs.iter().map(|&id| graph.nodes[id].name.clone());
    let outputs = graph.outputs.iter().map(|output| output.name.clone());
    let taken = names.iter().cloned().chain(inputs).chain(outputs).collect();
    let mut writer = Writer { graph, names, taken, proto: GraphProto::default() };
    graph.nodes.iter().enumerate().try_for_each(|(id, _)| writer.node(id))?;
    writer.outputs()?;
    let name = if graph.name.is_empty() { "network".into() } else { graph.name.clone() };
    let proto = GraphProto { name, ..writer.proto };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: OPSET }];
    Ok(ModelProto { ir_version: IR, graph: Some(proto), opset_import }.encode_to_vec())
}

/// A name for each node's tensor: the graph's output where it is one as it stands, else the node's own with a number where it is
/// taken or empty.
fn names(graph: &Graph) -> Vec<String> {
    let mut taken: BTreeSet<String> = graph.outputs.iter().map(|o| o.name.clone()).collect();
    let mut names = vec![String::new(); graph.nodes.len()];
    for &id in &graph.inputs {
        names[id] = graph.nodes[id].name.clone();
        taken.insert(names[id].clone());
    }
    for output in &graph.outputs {
        if output.post == Post::None && names[output.node].is_empty() {
            names[output.node] = output.name.clone();
        }
    }
    for (id, node) in graph.nodes.iter().enumerate() {
        if names[id].is_empty() {
            let plain = !node.name.is_empty() && !taken.contains(&node.name);
            names[id] = if plain { node.name.clone() } else { format!("{}#{id}", node.name) };
            taken.insert(names[id].clone());
        }
    }
    names
}

struct Writer<'a> {
    graph: &'a Graph,
    names: Vec<String>,
    /// Names of tensors that stand in the file, or will.
    taken: BTreeSet<String>,
    proto: GraphProto,
}

fn ints(name: &str, values: impl IntoIterator<Item = usize>) -> AttributeProto {
    let ints = values.into_iter().map(|v| v as i64).collect();
    AttributeProto { name: name.into(), ints, r#type: INTS, ..Default::default() }
}

fn int(name: &str, value: usize) -> AttributeProto {
    AttributeProto { name: name.into(), i: value as i64, r#type: INT, ..Default::default() }
}

fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { name: name.into(), f: value, r#type: FLOAT, ..Default::default() }
}

fn window(window: &Window) -> Vec<AttributeProto> {
    vec![
        ints("kernel_shape", window.kernel),
        ints("strides", window.stride),
        ints("dilations", window.dilation),
        ints("pads", window.pads),
    ]
}

fn value(name: &str, element: i32, shape: &[usize]) -> ValueInfoProto {
    let dim = |&length: &usize| DimensionProto { dim_value: Some(length as i64), dim_param: None };
    let shape = Some(TensorShapeProto { dim: shape.iter().map(dim).collect() });
    let tensor_type = Some(TensorTypeProto { elem_type: element, shape });
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
}

impl Writer<'_> {
    /// A tensor that belongs to a node: named after its role there, with a number where a node is called so.
    fn named(&mut self, id: NodeId, role: &str) -> String {
        let plain = format!("{}.{role}", self.names[id]);
        let mut name = plain.clone();
        let mut number = 2;
        while !self.taken.insert(name.clone()) {
            name = format!("{plain}#{number}");
            number += 1;
        }
        name
    }

    /// A tensor of floats as an initializer; returns its name.
    fn floats(&mut self, name: String, shape: &[usize], values: impl IntoIterator<Item = f32>) -> String {
        let raw: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
        self.initializer(name, element::FLOAT, shape, raw)
    }

    /// Integers as an initializer; returns its name.
    fn integers(&mut self, name: String, values: &[i64]) -> String {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.initializer(name, element::INT64, &[values.len()], raw)
    }

    fn initializer(&mut self, name: String, data_type: i32, shape: &[usize], raw: Vec<u8>) -> String {
        self.proto.initializer.push(TensorProto {
            dims: shape.iter().map(|&l| l as i64).collect(),
            data_type,
            name: name.clone(),
            raw_data: raw.into(),
            ..Default::default()
        });
        name
    }

    fn tensor(&mut self, id: NodeId, role: &str, tensor: &Tensor) -> String {
        let name = self.named(id, role);
        self.floats(name, tensor.shape(), tensor.data().iter().copied())
    }

    fn push(
        &mut self,
        op: &str,
        name: &str,
        inputs: Vec<String>,
        output: &str,
        attribute: Vec<AttributeProto>,
    ) {
        let (op_type, name, output) = (op.into(), name.into(), vec![output.into()]);
        self.proto.node.push(NodeProto {
            input: inputs,
            output,
            name,
            op_type,
            attribute,
            domain: String::new(),
        });
    }

    /// An operator in a chain: to an inner name unless it is the last.
    fn chain(&mut self, id: NodeId, steps: Vec<(&str, Vec<String>)>) {
        let count = steps.len();
        let mut last: Option<String> = None;
        for (index, (op, mut inputs)) in steps.into_iter().enumerate() {
            if let Some(last) = last.take() {
                inputs.insert(0, last);
            }
            let last_one = index + 1 == count;
            let output = if last_one { self.names[id].clone() } else { self.named(id, &index.to_string()) };
            let name = if last_one { self.graph.nodes[id].name.clone() } else { output.clone() };
            self.push(op, &name, inputs, &output, vec![]);
            last = Some(output);
        }
    }

    fn node(&mut self, id: NodeId) -> Result<(), Error> {
        let node = &self.graph.nodes[id];
        if node.inputs.iter().any(|&i| i >= id) {
            return Err(Error::at(&node.name, "its operand comes after it"));
        }
        let operands: Vec<String> = node.inputs.iter().map(|&i| self.names[i].clone()).collect();
        match &node.layer {
            Layer::Input { bytes: false } => {
                self.proto.input.push(value(&node.name, element::FLOAT, &node.shape));
            }
            Layer::Input { bytes: true } => {
                self.proto.input.push(value(&node.name, element::UINT8, &node.shape));
                // Everybody behind it reads the cast.
                self.names[id] = self.named(id, "float");
                let to = vec![int("to", element::FLOAT as usize)];
                self.push(
                    "Cast",
                    &self.names[id].clone(),
                    vec![node.name.clone()],
                    &self.names[id].clone(),
                    to,
                );
            }
            Layer::Constant(tensor) => {
                self.floats(self.names[id].clone(), tensor.shape(), tensor.data().iter().copied());
            }
            Layer::Conv { window: over, groups, weight, bias } => {
                let inputs = vec![
                    operands[0].clone(),
                    self.tensor(id, "weight", weight),
                    self.tensor(id, "bias", bias),
                ];
                let mut attributes = window(over);
                attributes.push(int("group", *groups));
                self.push("Conv", &node.name, inputs, &self.names[id].clone(), attributes);
            }
            Layer::Dense { weight, bias } => self.dense(id, operands, weight, bias),
            Layer::AveragePool { window, factor } => self.average(id, operands, window, factor),
            Layer::Sum { negative } => self.sum(id, &operands, negative),
            Layer::Affine { factor, addend } => {
                let mut steps = Vec::new();
                if let Some(factor) = factor {
                    steps.push(("Mul", vec![self.tensor(id, "factor", factor)]));
                }
                if let Some(addend) = addend {
                    steps.push(("Add", vec![self.tensor(id, "addend", addend)]));
                }
                self.scaled(id, operands, steps);
            }
            Layer::PublicAffine { factor, addend } => {
                let [first, second] = ["factor", "addend"].map(|role| self.named(id, role));
                let factor = self.floats(first, &[], [*factor]);
                let addend = self.floats(second, &[], [*addend]);
                self.scaled(id, operands, vec![("Mul", vec![factor]), ("Add", vec![addend])]);
            }
            _ => self.plain(node, id, operands),
        }
        Ok(())
    }

    /// Steps on the first operand; an identity where there is none.
    fn scaled(&mut self, id: NodeId, operands: Vec<String>, mut steps: Vec<(&str, Vec<String>)>) {
        match steps.first_mut() {
            Some((_, inputs)) => inputs.splice(0..0, operands).for_each(drop),
            None => steps.push(("Identity", operands)),
        }
        self.chain(id, steps);
    }

    fn dense(&mut self, id: NodeId, operands: Vec<String>, weight: &Tensor, bias: &Tensor) {
        let node = &self.graph.nodes[id];
        let bias = self.tensor(id, "bias", bias);
        if node.shape.len() == 2 {
            let inputs = [operands, vec![self.tensor(id, "weight", weight), bias]].concat();
            self.push("Gemm", &node.name, inputs, &self.names[id].clone(), vec![int("transB", 1)]);
            return;
        }
        let [rows, columns] = [weight.shape()[0], weight.shape()[1]];
        let turned = (0..columns).flat_map(|c| (0..rows).map(move |r| (r, c)));
        let turned = turned.map(|(r, c)| weight.data()[r * columns + c]);
        let name = self.named(id, "weight");
        let weight = self.floats(name, &[columns, rows], turned);
        self.scaled(id, operands, vec![("MatMul", vec![weight]), ("Add", vec![bias])]);
    }

    /// ONNX's averages divide by the taps of the window, or by those inside the plane; any other factor is one of those and a scale.
    fn average(&mut self, id: NodeId, operands: Vec<String>, over: &Window, factor: &[f32]) {
        let node = &self.graph.nodes[id];
        let whole = self.names[id].clone();
        let usual = 1.0 / over.taps() as f32;
        let plain = factor.iter().all(|f| *f == usual);
        let mut attributes = window(over);
        attributes.push(int("count_include_pad", 1));
        if plain {
            return self.push("AveragePool", &node.name, operands, &whole, attributes);
        }
        let inner = self.named(id, "mean");
        self.push("AveragePool", &inner, operands, &inner, attributes);
        let shape = if factor.len() == 1 { vec![] } else { vec![1, 1, node.shape[2], node.shape[3]] };
        let factors = factor.iter().map(|f| f * over.taps() as f32);
        let name = self.named(id, "factor");
        let scale = self.floats(name, &shape, factors.collect::<Vec<_>>());
        self.push("Mul", &node.name, vec![inner, scale], &whole, vec![]);
    }

    fn sum(&mut self, id: NodeId, operands: &[String], negative: &[bool]) {
        let mut steps: Vec<(&str, Vec<String>)> = Vec::new();
        for (index, (operand, minus)) in operands.iter().zip(negative).enumerate() {
            match (index, minus) {
                (0, false) if operands.len() > 1 => steps.push(("", vec![operand.clone()])),
                (0, false) => steps.push(("Identity", vec![operand.clone()])),
                (0, true) => steps.push(("Neg", vec![operand.clone()])),
                (_, false) => steps.push(("Add", vec![operand.clone()])),
                (_, true) => steps.push(("Sub", vec![operand.clone()])),
            }
        }
        // The first operand as it is goes into the second step.
        if steps.first().is_some_and(|(op, _)| op.is_empty()) {
            let (_, first) = steps.remove(0);
            steps[0].1.splice(0..0, first);
        }
        self.chain(id, steps);
    }

    /// Layers that are one operator.
    fn plain(&mut self, node: &Node, id: NodeId, mut inputs: Vec<String>) {
        let whole = self.names[id].clone();
        let mut attributes = Vec::new();
        let lengths = |shape: &[usize]| shape.iter().map(|&l| l as i64).collect::<Vec<_>>();
        let op = match &node.layer {
            Layer::Product => "Mul",
            Layer::Relu => "Relu",
            Layer::Sigmoid => "Sigmoid",
            Layer::Tanh => "Tanh",
            Layer::MaxPool { window: over } => {
                attributes = window(over);
                "MaxPool"
            }
            Layer::Clamp { low, high } => {
                for (role, bound) in [("min", low), ("max", high)] {
                    inputs.push(if bound.is_finite() {
                        let name = self.named(id, role);
                        self.floats(name, &[], [*bound])
                    } else {
                        String::new()
                    });
                }
                "Clip"
            }
            Layer::LeakyRelu { slope } => {
                attributes.push(float("alpha", *slope));
                "LeakyRelu"
            }
            Layer::PRelu { slope } => {
                inputs.push(self.tensor(id, "slope", slope));
                "PRelu"
            }
            Layer::Softmax { axis, log } => {
                attributes.push(int("axis", *axis));
                if *log { "LogSoftmax" } else { "Softmax" }
            }
            Layer::ArgMax { axis, last } => {
                attributes.extend([int("axis", *axis), int("select_last_index", usize::from(*last))]);
                "ArgMax"
            }
            Layer::Transpose { perm } => {
                attributes.push(ints("perm", perm.iter().copied()));
                "Transpose"
            }
            Layer::Concat { axis } => {
                attributes.push(int("axis", *axis));
                "Concat"
            }
            Layer::Slice { start, step } => {
                let first = lengths(start);
                let ends = first.iter().zip(step).zip(&node.shape).map(|((first, step), length)| {
                    let end = first + step * *length as i64;
                    if end < 0 { i64::MIN } else { end }
                });
                let ends: Vec<i64> = ends.collect();
                let axes: Vec<i64> = (0..start.len() as i64).collect();
                for (role, values) in [("starts", &first), ("ends", &ends), ("axes", &axes), ("steps", step)]
                {
                    let name = self.named(id, role);
                    inputs.push(self.integers(name, values));
                }
                "Slice"
            }
            Layer::Pad { before, after, value } => {
                let [pads, filling] = ["pads", "value"].map(|role| self.named(id, role));
                inputs.push(self.integers(pads, &lengths(&[&before[..], after].concat())));
                inputs.push(self.floats(filling, &[], [*value]));
                "Pad"
            }
            Layer::Expand => {
                let name = self.named(id, "shape");
                inputs.push(self.integers(name, &lengths(&node.shape)));
                "Expand"
            }
            _ => {
                let name = self.named(id, "shape");
                inputs.push(self.integers(name, &lengths(&node.shape)));
                "Reshape"
            }
        };
        self.push(op, &node.name, inputs, &whole, attributes);
    }

    fn outputs(&mut self) -> Result<(), Error> {
        for output in &self.graph.outputs {
            let node = self
                .graph
                .nodes
                .get(output.node)
                .ok_or_else(|| Error::at(&output.name, "is made by no node"))?;
            let from = vec![self.names[output.node].clone()];
            match output.post {
                Post::Softmax { axis } => {
                    self.push("Softmax", "", from, &output.name, vec![int("axis", axis)])
                }
                Post::LogSoftmax { axis } => {
                    self.push("LogSoftmax", "", from, &output.name, vec![int("axis", axis)]);
                }
                Post::None if from[0] != output.name => self.push("Identity", "", from, &output.name, vec![]),
                Post::None => {}
            }
            let index = matches!(node.layer, Layer::ArgMax { .. }) && output.post == Post::None;
            let element = if index { element::INT64 } else { element::FLOAT };
            self.proto.output.push(value(&output.name, element, &node.shape));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{from_bytes, load};
    use super::*;
    use crate::float;

    /// Inputs that differ from element to element.
    fn inputs(graph: &Graph) -> Vec<Tensor> {
        let value = |i: usize| ((i * 37 % 101) as f32 - 50.0) / 40.0;
        let of = |shape: &Vec<usize>| {
            Tensor::new(shape.clone(), (0..shape.iter().product()).map(value).collect()).unwrap()
        };
        graph.inputs.iter().map(|&id| of(&graph.nodes[id].shape)).collect()
    }

    fn survives(path: &Path) {
        let graph = load(path).unwrap();
        let again = from_bytes(&to_bytes(&graph).unwrap(), None).unwrap();
        assert_eq!(graph.outputs.len(), again.outputs.len(), "{path:?}");
        let x = inputs(&graph);
        let (before, after) = (float::run(&graph, &x).unwrap(), float::run(&again, &x).unwrap());
        for (a, b) in before.iter().zip(&after) {
            assert_eq!(a.shape(), b.shape(), "{path:?}");
            let same = a.data().iter().zip(b.data()).all(|(a, b)| (a - b).abs() <= 1e-6 * (1.0 + a.abs()));
            assert!(
                same,
                "{path:?}: {:?} {:?}",
                &a.data()[..4.min(a.data().len())],
                &b.data()[..4.min(b.data().len())]
            );
        }
        // A second writing leaves the layers as they are.
        let kinds = |graph: &Graph| graph.nodes.iter().map(|node| node.layer.kind()).collect::<Vec<_>>();
        assert_eq!(kinds(&again), kinds(&from_bytes(&to_bytes(&again).unwrap(), None).unwrap()), "{path:?}");
    }

    #[test]
    fn a_node_may_be_called_as_a_bound_of_another() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let graph = load(&here.join("../../models/minionn_mnist.onnx")).unwrap();
        let mut graph = crate::passes::simplify(graph).unwrap();
        for node in &mut graph.nodes {
            if matches!(node.layer, Layer::Relu) {
                node.layer = Layer::Clamp { low: 0.0, high: 6.0 };
            }
        }
        // The pass that puts pools first names them so.
        assert!(graph.nodes.iter().any(|node| node.name.ends_with(".max")));
        let again = from_bytes(&to_bytes(&graph).unwrap(), None).unwrap();
        let x = inputs(&graph);
        assert_eq!(float::run(&graph, &x).unwrap(), float::run(&again, &x).unwrap());
    }

    #[test]
    fn exports_of_many_frameworks_survive_being_written() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        for folder in ["tests/data", "../../tests/twins", "../../models"] {
            let files = std::fs::read_dir(here.join(folder)).unwrap();
            let files = files.map(|file| file.unwrap().path());
            let mut files: Vec<_> =
                files.filter(|path| path.extension().is_some_and(|e| e == "onnx")).collect();
            files.sort();
            files.iter().for_each(|path| survives(path));
            assert!(!files.is_empty());
        }
    }
}
