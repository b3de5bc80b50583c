//! The normal form of a network: tensors that are ciphertexts, each an input, a linear image of earlier ones, or a product of two.

use std::collections::BTreeMap;

use linear::slots::{Pattern, Relation};
use model::fixed::{FixedGraph, NodeId, NumberFormat, Op, Window};

use super::Refusal;
use super::affine::{Affine, Visit, check_node};

/// Most elements of a pattern that is not made of axes.
const MAX_ROWS: usize = 1 << 25;

/// Most values of a tensor.
const MAX_VALUES: usize = 1 << 22;

/// A network as its products and the linear maps between them.
#[derive(Debug)]
pub(super) struct Network {
    /// In an order in which operands come first.
    pub tensors: Vec<Tensor>,
    /// For each node its tensor, if it is one.
    pub of_node: Vec<Option<usize>>,
    /// The tensors of the graph's outputs.
    pub outputs: Vec<usize>,
}

/// A tensor that is held in ciphertexts.
#[derive(Debug)]
pub(super) struct Tensor {
    /// The node whose value it is.
    pub node: NodeId,
    /// Its axes without leading ones.
    pub dims: Vec<usize>,
    /// How it is made.
    pub kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// An input of the graph.
    Input,
    /// The sum of linear images, and a constant.
    Linear(Vec<Path>),
    /// The product, element by element.
    Product(usize, usize),
}

/// A linear map from a tensor.
#[derive(Clone, Debug)]
pub(super) struct Path {
    /// The tensor.
    pub source: usize,
    /// Where the matrix may be non-zero.
    pub pattern: Pattern,
}

/// Axes without leading ones; a single value has one axis.
fn dims(shape: &[usize]) -> Vec<usize> {
    let dims: Vec<usize> = shape.iter().copied().skip_while(|size| *size == 1).collect();
    if dims.is_empty() {
        return vec![1];
    }
    // A plane of one channel keeps its channel axis.
    if shape.len() == 4 && dims.len() < 3 && shape[1..].iter().product::<usize>() > 1 {
        return shape[1..].to_vec();
    }
    dims
}

impl Network {
    /// Lowers a graph.
    ///
    /// # Errors
    /// With the first layer that cannot be computed under encryption.
    pub fn new(graph: &FixedGraph) -> Result<Self, Refusal> {
        if graph.number != NumberFormat::Exact {
            return Err(Refusal::Invalid("the network's integers are not exact ones".into()));
        }
        (0..graph.nodes.len()).try_for_each(|id| check_node(graph, id))?;
        let mut materialised = vec![false; graph.nodes.len()];
        for (id, node) in graph.nodes.iter().enumerate() {
            if matches!(node.op, Op::Input) {
                materialised[id] = true;
            } else if matches!(node.op, Op::Product { .. }) {
                materialised[id] = true;
                node.inputs.iter().for_each(|input| materialised[*input] = true);
            }
        }
        graph.outputs.iter().for_each(|output| materialised[output.node] = true);
        let mut network =
            Self { tensors: Vec::new(), of_node: vec![None; graph.nodes.len()], outputs: Vec::new() };
        let affine = Affine::new(graph, None, &materialised);
        for id in (0..graph.nodes.len()).filter(|id| materialised[*id]) {
            let tensor = network.tensor(graph, &affine, &materialised, id)?;
            network.of_node[id] = Some(network.tensors.len());
            network.tensors.push(tensor);
        }
        network.outputs = graph.outputs.iter().filter_map(|output| network.of_node[output.node]).collect();
        Ok(network)
    }

    /// For each node whether it is a tensor here.
    pub fn materialised(&self) -> Vec<bool> {
        self.of_node.iter().map(Option::is_some).collect()
    }

    fn tensor(
        &self,
        graph: &FixedGraph,
        affine: &Affine<'_>,
        materialised: &[bool],
        id: NodeId,
    ) -> Result<Tensor, Refusal> {
        let node = &graph.nodes[id];
        let refuse = |reason: &str| Refusal::Layer { name: node.name.clone(), reason: reason.into() };
        if node.shape.iter().product::<usize>() > MAX_VALUES {
            return Err(refuse("too many values to hold in ciphertexts"));
        }
        let find = |id: NodeId| self.of_node[id].ok_or_else(|| refuse("an operand is missing"));
        let kind = match node.op {
            Op::Input => Kind::Input,
            Op::Product { .. } => {
                let (a, b) = (find(node.inputs[0])?, find(*node.inputs.last().unwrap_or(&0))?);
                Kind::Product(a, b)
            }
            _ => {
                let patterns = match (Structure { graph, materialised }).node(id, true) {
                    Some(patterns) => {
                        patterns.into_iter().map(|(id, axes)| (id, Pattern::Axes(axes))).collect()
                    }
                    None => rows(graph, affine, id).ok_or_else(|| refuse("its matrix is too large"))?,
                };
                if patterns.is_empty() {
                    return Err(refuse("it does not depend on the input"));
                }
                let path = |(id, pattern)| Ok(Path { source: find(id)?, pattern });
                Kind::Linear(patterns.into_iter().map(path).collect::<Result<_, Refusal>>()?)
            }
        };
        Ok(Tensor { node: id, dims: dims(&node.shape), kind })
    }
}

/// The pattern of a node by walking from each of its elements.
fn rows(graph: &FixedGraph, affine: &Affine<'_>, id: NodeId) -> Option<BTreeMap<NodeId, Pattern>> {
    struct Columns(BTreeMap<NodeId, Vec<u32>>);
    impl Visit for Columns {
        fn element(&mut self, source: NodeId, element: usize, _: i128) {
            self.0.entry(source).or_default().push(element as u32);
        }
        fn constant(&mut self, _: i128) {}
    }
    let count: usize = graph.nodes[id].shape.iter().product();
    let mut found: BTreeMap<NodeId, Vec<Vec<u32>>> = BTreeMap::new();
    let mut total = 0;
    for element in 0..count {
        let mut columns = Columns(BTreeMap::new());
        affine.walk(id, element, 1, &mut columns);
        for (source, mut row) in columns.0 {
            row.sort_unstable();
            row.dedup();
            total += row.len();
            found.entry(source).or_insert_with(|| vec![Vec::new(); count])[element] = row;
        }
        if total > MAX_ROWS {
            return None;
        }
    }
    let pattern = |(source, rows): (NodeId, Vec<Vec<u32>>)| {
        let inputs = graph.nodes[source].shape.iter().product();
        (source, Pattern::Rows { inputs, rows })
    };
    Some(found.into_iter().map(pattern).collect())
}

/// Relations for each axis, by source: one matrix each.
type Axes = BTreeMap<NodeId, Vec<Relation>>;

/// Finds patterns that are products of relations between axes.
struct Structure<'a> {
    graph: &'a FixedGraph,
    materialised: &'a [bool],
}

impl Structure<'_> {
    /// The relations between the axes of sources and of a node; `None` where they are no such product.
    fn node(&self, id: NodeId, top: bool) -> Option<Axes> {
        let node = &self.graph.nodes[id];
        let own = dims(&node.shape);
        if self.materialised[id] && !top {
            let same = own.iter().map(|size| Relation::Same { size: *size }).collect();
            return Some(BTreeMap::from([(id, same)]));
        }
        match &node.op {
            Op::Conv { window, groups: 1, .. } => {
                let full = |inner: &Relation| Relation::Full { inputs: inner.inputs(), outputs: own[0] };
                self.windowed(node.inputs[0], window, &own, full)
            }
            Op::AveragePool { window, .. } => self.windowed(node.inputs[0], window, &own, |inner| *inner),
            Op::Dense { .. } if own.len() == 1 => {
                let mut sources = Vec::new();
                self.sources(node.inputs[0], &mut sources);
                let full = |id: NodeId| {
                    let relations = dims(&self.graph.nodes[id].shape).into_iter().enumerate();
                    let outputs = |axis| if axis == 0 { own[0] } else { 1 };
                    relations
                        .map(|(axis, inputs)| Relation::Full { inputs, outputs: outputs(axis) })
                        .collect()
                };
                Some(sources.into_iter().map(|id| (id, full(id))).collect())
            }
            Op::Affine { .. } | Op::PublicAffine { .. } => self.node(node.inputs[0], false),
            Op::Reshape if dims(&self.graph.nodes[node.inputs[0]].shape) == own => {
                self.node(node.inputs[0], false)
            }
            Op::Sum { .. } => {
                let mut all = Axes::new();
                for input in &node.inputs {
                    for (source, axes) in self.node(*input, false)? {
                        if all.insert(source, axes.clone()).is_some_and(|other| other != axes) {
                            return None;
                        }
                    }
                }
                Some(all)
            }
            _ => None,
        }
    }

    /// The tensors that a node depends on.
    fn sources(&self, id: NodeId, found: &mut Vec<NodeId>) {
        if self.materialised[id] {
            if !found.contains(&id) {
                found.push(id);
            }
        } else {
            self.graph.nodes[id].inputs.iter().for_each(|input| self.sources(*input, found));
        }
    }

    fn windowed(
        &self,
        input: NodeId,
        window: &Window,
        out: &[usize],
        channels: impl Fn(&Relation) -> Relation,
    ) -> Option<Axes> {
        let mut axes = self.node(input, false)?;
        for relations in axes.values_mut() {
            let [c, y, x] = relations.as_slice() else { return None };
            let [_, height, width] = out else { return None };
            let rows = slide(window, 0, *height, y);
            *relations = vec![channels(c), rows, slide(window, 1, *width, x)];
        }
        Some(axes)
    }
}

/// A window on an axis that is itself the image of another.
fn slide(window: &Window, axis: usize, outputs: usize, inner: &Relation) -> Relation {
    let (taps, stride) = (window.kernel[axis], window.stride[axis]);
    let (dilation, pad) = (window.dilation[axis], window.pads[axis]);
    match *inner {
        Relation::Full { inputs, .. } => Relation::Full { inputs, outputs },
        Relation::Same { size } => Relation::Window { inputs: size, outputs, taps, stride, dilation, pad },
        Relation::Window { inputs, taps: t, stride: s, dilation: d, pad: p, .. } => Relation::Window {
            inputs,
            outputs,
            taps: (taps - 1) * dilation * s + (t - 1) * d + 1,
            stride: stride * s,
            dilation: 1,
            pad: p + pad * s,
        },
    }
}
