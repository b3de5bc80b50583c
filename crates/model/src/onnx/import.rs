//! Walks the file's graph in dependency order and makes ours.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use prost::bytes::Bytes;

use crate::error::{Error, Unsupported, quote};
use crate::fixed::{NodeId, Output, Post};
use crate::graph::{Graph, Layer};
use crate::movement::Move;
use crate::tensor::elements;

use super::attributes::NodeView;
use super::constant::{Constant, Data};
use super::proto::{GraphProto, ModelProto, ValueInfoProto, element};
use super::{Options, activations, arithmetic, classical, linear, moves, padding, pools};

/// What a name of the file stands for.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// A constant, known now.
    Constant(Arc<Constant>),
    /// A tensor that depends on the input.
    Node(NodeId),
    /// The result of an operator that is not supported; whatever follows it is skipped.
    Unknown,
}

/// Why a node cannot be taken over.
pub(super) enum Stop {
    /// The file is wrong.
    Wrong(Error),
    /// The operator, in this use, is not supported; with what to do.
    Unsupported(String),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Wrong(error)
    }
}

/// Results of a node, in order.
pub(super) type Results = Result<Vec<Value>, Stop>;

/// The largest number of elements of all constants that are computed from the file's.
const MAX_FOLDED: usize = 1 << 28;
/// The most multiplications that one of them may take.
const MAX_FOLDING: u64 = 1 << 30;

/// How an operator is taken over.
type Handler<'a> = fn(&mut Importer<'a>, NodeView<'a>) -> Results;

/// The import under way.
pub(super) struct Importer<'a> {
    pub graph: Graph,
    pub opset: i64,
    pub folder: Option<&'a Path>,
    values: HashMap<&'a str, Value>,
    /// Elements of all constants that were computed.
    folded: usize,
    unsupported: BTreeMap<(String, String), Unsupported>,
}

/// Imports a decoded model.
pub(super) fn import(
    mut model: ModelProto,
    folder: Option<&Path>,
    options: &Options,
) -> Result<Graph, Error> {
    if model.graph.is_none() {
        return Err(Error::Decode("it has no graph".into()));
    }
    let opset = opset(&model)?;
    let proto = model.graph.get_or_insert_default();
    let constants = initializers(proto, folder)?;
    let proto = &*proto;
    if !proto.sparse_initializer.is_empty() {
        return Err(Error::Decode("sparse initializers are not supported; export dense weights".into()));
    }
    let order = order(proto, &constants)?;
    let graph = Graph { name: proto.name.clone(), ..Graph::default() };
    let values = constants.iter().map(|(name, c)| (name.as_str(), Value::Constant(c.clone()))).collect();
    let mut import = Importer { graph, opset, folder, values, folded: 0, unsupported: BTreeMap::new() };
    for input in &proto.input {
        if !import.values.contains_key(input.name.as_str()) {
            import.input(input, options)?;
        }
    }
    for node in order {
        import.node(node)?;
    }
    if !import.unsupported.is_empty() {
        return Err(Error::Unsupported(import.unsupported.into_values().collect()));
    }
    for output in &proto.output {
        let id = import.output(&output.name)?;
        import.graph.outputs.push(Output { name: output.name.clone(), node: id, post: Post::None });
    }
    Ok(import.graph)
}

/// The file's initializers by name.
type Constants = HashMap<String, Arc<Constant>>;

/// Reads the initializers and lets go of the file's bytes, all of which live as long as one tensor refers to them.
fn initializers(proto: &mut GraphProto, folder: Option<&Path>) -> Result<Constants, Error> {
    let mut constants = HashMap::new();
    for tensor in std::mem::take(&mut proto.initializer) {
        let constant = Arc::new(Constant::read(&tensor, folder)?);
        if constants.insert(tensor.name.clone(), constant).is_some() {
            return Err(Error::at(&tensor.name, "is given twice"));
        }
    }
    for attribute in proto.node.iter_mut().flat_map(|n| &mut n.attribute) {
        attribute.s = Bytes::copy_from_slice(&attribute.s);
        if let Some(tensor) = &mut attribute.t {
            tensor.raw_data = Bytes::copy_from_slice(&tensor.raw_data);
        }
    }
    Ok(constants)
}

/// The version of the standard operators.
fn opset(model: &ModelProto) -> Result<i64, Error> {
    let standard = |domain: &str| domain.is_empty() || domain == "ai.onnx";
    let version = model.opset_import.iter().find(|o| standard(&o.domain)).map(|o| o.version);
    match version {
        Some(v @ 7..=26) => Ok(v),
        Some(v) => Err(Error::Decode(format!("opset {v}; export with opset 9 to 21"))),
        None => Err(Error::Decode("it names no version of the standard operators".into())),
    }
}

/// The nodes that the outputs need, in dependency order.
fn order<'a>(proto: &'a GraphProto, constants: &Constants) -> Result<Vec<NodeView<'a>>, Error> {
    if proto.output.is_empty() {
        return Err(Error::Decode("the graph has no output".into()));
    }
    if proto.node.len() > crate::graph::MAX_NODES {
        return Err(Error::Decode(format!("{} nodes", proto.node.len())));
    }
    let given: HashSet<&str> =
        proto.input.iter().map(|v| v.name.as_str()).chain(constants.keys().map(String::as_str)).collect();
    let mut producer: HashMap<&str, usize> = HashMap::new();
    for (index, node) in proto.node.iter().enumerate() {
        for name in node.output.iter().filter(|n| !n.is_empty()) {
            if given.contains(name.as_str()) || producer.insert(name, index).is_some() {
                return Err(Error::at(name, "is made twice"));
            }
        }
    }
    // Depth-first from the outputs, with an explicit stack: (node, next operand to look at).
    let mut state = vec![State::New; proto.node.len()];
    let mut order = Vec::new();
    for output in &proto.output {
        let Some(&root) = producer.get(output.name.as_str()) else {
            if given.contains(output.name.as_str()) {
                continue;
            }
            return Err(Error::at(&output.name, "is an output of the graph that no node makes"));
        };
        let mut stack = vec![(root, 0)];
        while let Some((index, next)) = stack.pop() {
            let view = NodeView { proto: &proto.node[index] };
            if next == 0 {
                match state[index] {
                    State::Done => continue,
                    State::Open => return Err(view.error("the graph has a cycle through this node")),
                    State::New => state[index] = State::Open,
                }
            }
            let Some(name) = view.proto.input.get(next) else {
                state[index] = State::Done;
                order.push(view);
                continue;
            };
            stack.push((index, next + 1));
            match producer.get(name.as_str()) {
                _ if name.is_empty() || given.contains(name.as_str()) => {}
                Some(&before) if state[before] == State::Done => {}
                Some(&before) if state[before] == State::Open => {
                    return Err(view.error("the graph has a cycle through this node"));
                }
                Some(&before) => stack.push((before, 0)),
                None => return Err(view.error(format!("its input {} does not exist", quote(name)))),
            }
        }
    }
    Ok(order)
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    New,
    Open,
    Done,
}

impl<'a> Importer<'a> {
    fn input(&mut self, info: &'a ValueInfoProto, options: &Options) -> Result<(), Error> {
        let bad = |problem: String| Error::at(&info.name, format!("input {problem}"));
        let tensor = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
        let tensor = tensor.ok_or_else(|| bad("is not a tensor".into()))?;
        let shape = match options.shapes.get(&info.name).or(options.only.as_ref()) {
            Some(shape) => shape.clone(),
            None => {
                let dims = tensor
                    .shape
                    .as_ref()
                    .ok_or_else(|| bad("has no shape; give it in the side file as shape = [..]".into()))?;
                let mut shape = Vec::with_capacity(dims.dim.len().min(64));
                for (axis, dim) in dims.dim.iter().enumerate() {
                    shape.push(match dim.dim_value {
                        Some(length) => usize::try_from(length)
                            .ok()
                            .filter(|&l| l > 0)
                            .ok_or_else(|| bad(format!("has the dimension {length}")))?,
                        None if axis == 0 => 1,
                        None => {
                            return Err(bad(format!(
                                "leaves axis {axis} open; export with a fixed size or give shape = [..] in the side file"
                            )));
                        }
                    });
                }
                shape
            }
        };
        elements(&shape).map_err(|e| bad(e.to_string()))?;
        match tensor.elem_type {
            element::FLOAT | element::FLOAT16 | element::BFLOAT16 | element::DOUBLE | element::UINT8 => {
                let bytes = tensor.elem_type == element::UINT8;
                let id = self.graph.push(&info.name, Layer::Input { bytes }, vec![], &shape)?;
                self.graph.inputs.push(id);
                self.values.insert(&info.name, Value::Node(id));
            }
            _ => {
                // A parameter that arrives as an input (a shape, a flag): whoever uses it says what to do.
                self.values.insert(&info.name, Value::Unknown);
                let advice =
                    "it is an integer input; give it as a constant (initializer) in the file".to_owned();
                self.refuse(&format!("input {}", info.name), &info.name, advice);
            }
        }
        Ok(())
    }

    fn output(&mut self, name: &str) -> Result<NodeId, Error> {
        match self.values.get(name).cloned() {
            Some(Value::Node(id)) => Ok(id),
            Some(Value::Constant(c)) => {
                let tensor = Arc::new(c.tensor()?);
                self.graph.push(name, Layer::Constant(tensor), vec![], &[])
            }
            _ => Err(Error::at(name, "is an output of the graph that no node makes")),
        }
    }

    fn refuse(&mut self, operator: &str, node: &str, advice: String) {
        self.unsupported
            .entry((operator.to_owned(), advice.clone()))
            .and_modify(|u| u.count += 1)
            .or_insert_with(|| Unsupported {
                operator: operator.to_owned(),
                node: node.to_owned(),
                count: 1,
                advice,
            });
    }

    fn node(&mut self, node: NodeView<'a>) -> Result<(), Error> {
        let standard = node.proto.domain.is_empty() || node.proto.domain == "ai.onnx";
        let handled = match node.proto.domain.as_str() {
            _ if standard => self.dispatch(node),
            classical::DOMAIN => classical_handler(node),
            _ => None,
        };
        let inputs = &node.proto.input;
        let unknown = inputs.iter().any(|n| matches!(self.values.get(n.as_str()), Some(Value::Unknown)));
        let results = match handled {
            None => {
                let name = if standard {
                    node.op().to_owned()
                } else {
                    format!("{}.{}", node.proto.domain, node.op())
                };
                self.refuse(&name, node.name(), super::advice(node.op()).to_owned());
                Vec::new()
            }
            Some(_) if unknown => Vec::new(),
            Some(handler) => match handler(self, node) {
                Ok(results) => results,
                Err(Stop::Wrong(error)) => return Err(error),
                Err(Stop::Unsupported(advice)) => {
                    self.refuse(node.op(), node.name(), advice);
                    Vec::new()
                }
            },
        };
        let mut results = results.into_iter();
        for name in &node.proto.output {
            let value = results.next().unwrap_or(Value::Unknown);
            if let Value::Constant(c) = &value {
                self.folded = self.folded.saturating_add(c.len());
                if self.folded > MAX_FOLDED {
                    return Err(node.error("the constants that follow from the file are too large"));
                }
            }
            self.values.insert(name, value);
        }
        Ok(())
    }

    fn dispatch(&self, node: NodeView<'a>) -> Option<Handler<'a>> {
        let handler: Handler<'a> = match node.op() {
            "Conv" => |im, node| linear::conv(im, node),
            "Gemm" => |im, node| linear::gemm(im, node),
            "MatMul" => |im, node| linear::matmul(im, node),
            "BatchNormalization" => |im, node| linear::batch_norm(im, node),
            "Add" | "Sub" | "Sum" => |im, node| arithmetic::sum(im, node),
            "Mul" => |im, node| arithmetic::mul(im, node),
            "Div" => |im, node| arithmetic::div(im, node),
            "Pow" => |im, node| arithmetic::pow(im, node),
            "Neg" => |im, node| arithmetic::negate(im, node),
            "Min" | "Max" => |im, node| arithmetic::bound(im, node),
            "Equal" | "Less" | "Greater" | "LessOrEqual" | "GreaterOrEqual" | "And" | "Or" | "Mod" => {
                |im, node| arithmetic::constant_binary(im, node)
            }
            "Not" | "Sqrt" | "Floor" | "Ceil" | "Exp" | "Log" | "Reciprocal" | "Abs" | "Sign" => {
                |im, node| arithmetic::constant_unary(im, node)
            }
            "ReduceProd" => |im, node| arithmetic::reduce_prod(im, node),
            "AveragePool" | "MaxPool" => |im, node| pools::pool(im, node),
            "GlobalAveragePool" | "GlobalMaxPool" => |im, node| pools::global(im, node),
            "ReduceMean" | "ReduceSum" | "ReduceMax" => |im, node| pools::reduce(im, node),
            "Relu" => |im, node| activations::relu(im, node),
            "LeakyRelu" => |im, node| activations::leaky(im, node),
            "PRelu" => |im, node| activations::prelu(im, node),
            "Clip" => |im, node| activations::clip(im, node),
            "HardSigmoid" => |im, node| activations::hard_sigmoid(im, node),
            "HardSwish" => |im, node| activations::hard_swish(im, node),
            "Sigmoid" | "Tanh" => |im, node| activations::smooth(im, node),
            "Softmax" | "LogSoftmax" => |im, node| activations::softmax(im, node),
            "ArgMax" => |im, node| activations::arg_max(im, node),
            "Reshape" => |im, node| moves::reshape(im, node),
            "Flatten" => |im, node| moves::flatten(im, node),
            "Squeeze" | "Unsqueeze" => |im, node| moves::squeeze(im, node),
            "Transpose" => |im, node| moves::transpose(im, node),
            "Concat" => |im, node| moves::concat(im, node),
            "Split" => |im, node| moves::split(im, node),
            "Slice" => |im, node| moves::slice(im, node),
            "Gather" => |im, node| moves::gather(im, node),
            "Pad" => |im, node| padding::pad(im, node),
            "Expand" => |im, node| moves::expand(im, node),
            "Identity" => |im, node| moves::identity(im, node),
            "Dropout" => |im, node| moves::dropout(im, node),
            "Cast" => |im, node| moves::cast(im, node),
            "Constant" => |im, node| moves::constant(im, node),
            "Shape" | "Size" => |im, node| moves::shape(im, node),
            "ConstantOfShape" => |im, node| moves::constant_of_shape(im, node),
            "Range" => |im, node| moves::range(im, node),
            "Where" => |im, node| moves::choose(im, node),
            _ => return None,
        };
        Some(handler)
    }

    /// An operand of a node; none where it is left out.
    pub(super) fn optional(&self, node: NodeView<'a>, index: usize) -> Option<Value> {
        let name = node.proto.input.get(index).filter(|n| !n.is_empty())?;
        self.values.get(name.as_str()).cloned()
    }

    /// An operand that must be there.
    pub(super) fn operand(&self, node: NodeView<'a>, index: usize) -> Result<Value, Error> {
        self.optional(node, index).ok_or_else(|| node.error(format!("input {index} is missing")))
    }

    /// An operand that must be a constant; where it is not, `advice` says what to do.
    pub(super) fn constant(
        &self,
        node: NodeView<'a>,
        index: usize,
        what: &str,
    ) -> Result<Arc<Constant>, Stop> {
        match self.operand(node, index)? {
            Value::Constant(c) => Ok(c),
            _ => Err(Stop::Unsupported(format!(
                "its {what} is computed from the input; export the model with {what} as a constant"
            ))),
        }
    }

    /// A constant operand of integers, if it is given.
    pub(super) fn optional_ints(
        &self,
        node: NodeView<'a>,
        index: usize,
        what: &str,
    ) -> Result<Option<Vec<i64>>, Stop> {
        if self.optional(node, index).is_none() {
            return Ok(None);
        }
        let constant = self.constant(node, index, what)?;
        let ints = constant.as_ints().ok_or_else(|| node.error(format!("{what} must be integers")))?;
        Ok(Some(ints.to_vec()))
    }

    /// Shape of a value.
    pub(super) fn shape(&self, value: &Value) -> Result<Vec<usize>, Error> {
        match value {
            Value::Constant(c) => Ok(c.shape.clone()),
            Value::Node(id) => self.graph.shape(*id).map(<[usize]>::to_vec),
            Value::Unknown => Err(Error::Shape("a value without a shape".into())),
        }
    }

    /// The node of a value; a constant becomes one.
    pub(super) fn node_of(&mut self, node: NodeView<'a>, value: &Value) -> Result<NodeId, Error> {
        match value {
            Value::Node(id) => Ok(*id),
            Value::Constant(c) => {
                let tensor = c.tensor().map_err(|e| node.error(e.to_string()))?;
                self.graph.push(node.name(), Layer::Constant(Arc::new(tensor)), vec![], &[])
            }
            Value::Unknown => Err(node.error("an operand has no value")),
        }
    }

    /// Adds a layer. Where all operands are constants it is computed now.
    pub(super) fn push(
        &mut self,
        node: NodeView<'a>,
        layer: Layer,
        inputs: &[&Value],
        target: &[usize],
    ) -> Result<Value, Error> {
        let ids: Vec<NodeId> = inputs.iter().map(|v| self.node_of(node, v)).collect::<Result<_, _>>()?;
        let constant = |id: NodeId| match &self.graph.nodes[id].layer {
            Layer::Constant(t) => Some(t.clone()),
            _ => None,
        };
        let known: Option<Vec<_>> = ids.iter().map(|&id| constant(id)).collect();
        let id = self.graph.push(node.name(), layer, ids, target).map_err(|e| with_op(node, e))?;
        let Some(known) = known.filter(|k| !k.is_empty()) else { return Ok(Value::Node(id)) };
        if self.graph.node_products(id) > MAX_FOLDING {
            return Err(node.error("a constant that takes too long to compute"));
        }
        let operands: Vec<(&[usize], &[f32])> = known.iter().map(|t| (t.shape(), t.data())).collect();
        let made = &self.graph.nodes[id];
        let data = Data::floats(crate::float::layer(made, &operands)?);
        let shape = made.shape.clone();
        self.graph.nodes.pop();
        Ok(Value::Constant(Arc::new(Constant { shape, data })))
    }

    /// Moves data: constants keep their type, everything else becomes a layer. Nothing is added where nothing moves.
    pub(super) fn movement(
        &mut self,
        node: NodeView<'a>,
        layer: Layer,
        value: &Value,
        target: &[usize],
    ) -> Result<Value, Error> {
        let shape = self.shape(value)?;
        if shape == target && matches!(layer, Layer::Reshape | Layer::Expand) {
            return Ok(value.clone());
        }
        match (value, layer.movement()) {
            (Value::Constant(c), Some(movement)) => {
                let out = moved_shape(movement, &shape, target).map_err(|e| node.error(e.to_string()))?;
                Ok(Value::Constant(Arc::new(moved(movement, c, out))))
            }
            _ => self.push(node, layer, &[value], target),
        }
    }
}

fn classical_handler<'a>(node: NodeView<'a>) -> Option<Handler<'a>> {
    match node.op() {
        "ArrayFeatureExtractor" => Some(|im, node| classical::array_feature_extractor(im, node)),
        "ZipMap" => Some(|im, node| classical::zip_map(im, node)),
        _ => None,
    }
}

fn with_op(node: NodeView<'_>, error: Error) -> Error {
    match error {
        Error::Model { place, problem } => {
            Error::Model { place, problem: format!("{}: {problem}", node.op()) }
        }
        other => node.error(other.to_string()),
    }
}

/// A moved constant's shape. Empty constants only ever keep their elements.
fn moved_shape(movement: Move<'_>, shape: &[usize], target: &[usize]) -> Result<Vec<usize>, Error> {
    if shape.contains(&0) {
        let empty = target.contains(&0);
        return if empty {
            Ok(target.to_vec())
        } else {
            Err(Error::Shape("an empty constant cannot grow".into()))
        };
    }
    movement.shape(&[shape], target)
}

fn moved(movement: Move<'_>, constant: &Constant, out: Vec<usize>) -> Constant {
    if out.contains(&0) {
        let data = match constant.data {
            Data::Float(_) => Data::floats(vec![]),
            Data::Int(_) => Data::Int(vec![]),
        };
        return Constant { shape: out, data };
    }
    let data = match &constant.data {
        Data::Float(v) => Data::floats(movement.apply(&[(&constant.shape, v)], &out, 0.0)),
        Data::Int(v) => Data::Int(movement.apply(&[(&constant.shape, v)], &out, 0)),
    };
    Constant { shape: out, data }
}
