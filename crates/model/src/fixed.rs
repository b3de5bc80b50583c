//! The fixed-point graph: what a network means on integers.
//!
//! A tensor holds signed integers; an integer `v` stands for `v / 2^frac`. Every operation below states its exact
//! integer result, rounding and saturation included, so that a protocol can be held to it bit by bit. The graph is
//! public (both parties know the architecture, formats and shifts); the [`Params`] are the server's secret.

use serde::{Deserialize, Serialize};

use crate::movement::Move;
use crate::support::Support;

/// Index of a node, and of the one tensor it makes.
pub type NodeId = usize;

/// Index into [`FixedGraph::params`] and [`Params::tensors`].
pub type ParamId = usize;

/// How the integers of a graph behave (DESIGN section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NumberFormat {
    /// DeepSecure's words: two's complement of [`Format::bits`] bits (16 unless a tensor needs more), results saturate.
    Word16,
    /// Integers modulo 2^k; ranges are proven or stated, results wrap.
    Ring {
        /// The ring's width k, 24 to 64.
        bits: u32,
    },
    /// Integers without truncation or wrap: every right shift is zero, and formats may have up to 126 bits.
    Exact,
}

/// Sizes up to which a graph from a peer is accepted.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Nodes.
    pub nodes: usize,
    /// Values of one tensor.
    pub elements: usize,
    /// Values of all tensors.
    pub total: usize,
    /// Values of all parameters.
    pub parameters: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { nodes: 10_000, elements: 1 << 26, total: 1 << 30, parameters: 1 << 29 }
    }
}

/// The integers of one tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// Values lie in `[-2^(bits-1), 2^(bits-1))`.
    pub bits: u32,
    /// Fraction bits; an integer v stands for `v / 2^frac`. May be negative.
    pub frac: i32,
}

/// A network on integers, without its weights. Nodes stand in an order in which inputs come first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixedGraph {
    /// How integers behave.
    pub number: NumberFormat,
    /// The nodes, each making one tensor.
    pub nodes: Vec<Node>,
    /// What the weights look like, not what they are.
    pub params: Vec<ParamInfo>,
    /// The graph's inputs in order.
    pub inputs: Vec<NodeId>,
    /// For each input how many units 1 is, where that is no power of two (255 for bytes of pictures over 255; the layers
    /// behind it know); 0 where it is, and [`Format::frac`] tells. Empty where it is for all.
    #[serde(default)]
    pub input_levels: Vec<u32>,
    /// Under [`NumberFormat::Ring`], for each node: what is left of its sum after a right shift of at least one bit is read as a
    /// signed number of so many bits. Empty where it has all the bits that the ring leaves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub result_bits: Vec<u32>,
    /// The graph's outputs in order.
    pub outputs: Vec<Output>,
}

/// One operation and the tensor it makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The name of the ONNX node (or tensor) it came from.
    pub name: String,
    /// What is computed.
    pub op: Op,
    /// The operands, all smaller than this node's own index.
    pub inputs: Vec<NodeId>,
    /// Shape of the result, batch axis included where the model has one.
    pub shape: Vec<usize>,
    /// Format of the result.
    pub format: Format,
}

/// A secret tensor's public facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParamInfo {
    /// The name of the initializer it came from.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Values lie in `[-2^(bits-1), 2^(bits-1))`.
    pub bits: u32,
    /// Which values may differ from zero, where that is public.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support: Option<Support>,
}

/// An output of the graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The model's name for it.
    pub name: String,
    /// The node that makes it.
    pub node: NodeId,
    /// What the client applies to it in the clear.
    pub post: Post,
}

/// A step that the client applies to an output in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Post {
    /// Nothing.
    None,
    /// Softmax over the axis.
    Softmax {
        /// The axis, counted from the front.
        axis: usize,
    },
    /// Logarithm of softmax over the axis.
    LogSoftmax {
        /// The axis, counted from the front.
        axis: usize,
    },
}

/// A window sliding over the last two axes of an `[N, C, H, W]` tensor (one-dimensional windows have height 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Height and width of the window, in taps.
    pub kernel: [usize; 2],
    /// Steps between outputs.
    pub stride: [usize; 2],
    /// Steps between taps.
    pub dilation: [usize; 2],
    /// Padding: top, left, bottom, right.
    pub pads: [usize; 4],
}

/// What a node computes. `sat` clamps to the node's format under [`NumberFormat::Word16`] and is the identity
/// otherwise; `>>` is the arithmetic shift (floor). Where rounding is wanted its half is in the bias or stated.
///
/// Under [`NumberFormat::Ring`] every sum and product is an element of Z_{2^k}, read as a signed number before it is
/// shifted; [`Format::bits`] then states the range that is expected, and values beyond it (but within k bits) stay as they
/// are, unless [`FixedGraph::result_bits`] says how many bits of a shifted sum count: its layer then computes with fewer bits
/// than the widest sum of the network needs. Sigmoid and tanh clamp their operand to its format first, under every number format.
///
/// Operations that only choose or move values (`Relu`, `Clamp`, `MaxPool`, `LeakyRelu`, `PRelu` and the data movements)
/// have the format of their operand; a `Concat` has its operands' `frac` and at least their `bits`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// One of the graph's inputs.
    Input,
    /// `y[o] = sat((sum_t w[o, t] x[t] + b[o]) >> shift[o])`. Weights `[out, in / groups, kh, kw]`, input
    /// `[N, in, H, W]`; taps in the padding count as zero. The bias has one entry an output channel, at the
    /// accumulator's scale, rounding included.
    Conv {
        /// The window.
        window: Window,
        /// Groups of channels.
        groups: usize,
        /// Weights.
        weight: ParamId,
        /// Bias at the accumulator's scale.
        bias: ParamId,
        /// One entry, or one an output channel.
        shift: Vec<u32>,
    },
    /// `y[r, o] = sat((sum_i x[r, i] w[o, i] + b[o]) >> shift[o])`: the last axis of the input is contracted, all
    /// others are rows. Weights `[out, in]`.
    Dense {
        /// Weights.
        weight: ParamId,
        /// Bias at the accumulator's scale, rounding included.
        bias: ParamId,
        /// One entry, or one an output.
        shift: Vec<u32>,
    },
    /// `y = sat((x * w + b) >> shift)`, element by element; `w` and `b` are broadcast against x as in ONNX. Without `w`
    /// the product is `x << left`.
    Affine {
        /// Factor, if any.
        weight: Option<ParamId>,
        /// Left shift of x where there is no factor.
        left: u32,
        /// Addend at the product's scale, rounding included.
        bias: ParamId,
        /// Right shift of the sum.
        shift: u32,
    },
    /// `y = sat((x * factor + addend) >> shift)` with public numbers, the same for every element.
    PublicAffine {
        /// Factor.
        factor: i64,
        /// Addend, rounding included.
        addend: i64,
        /// Right shift of the sum.
        shift: u32,
    },
    /// `y = sat((sum_i sign_i (x_i << left_i) + half) >> shift)` with `half = 2^(shift - 1)`, or 0 where shift is 0.
    /// All operands have the node's shape.
    Sum {
        /// For each operand its left shift and whether it is subtracted.
        terms: Vec<Term>,
        /// Right shift of the sum.
        shift: u32,
    },
    /// `y = sat((a * b + half) >> shift)` of two secret tensors of the same shape; a square where both operands are the
    /// same node.
    Product {
        /// Right shift of the product.
        shift: u32,
    },
    /// `y[p] = sat((factor[p] * sum of the window's taps + half) >> shift)`; `factor` has one entry, or one for each
    /// position of the output plane (windows over padding average fewer values).
    AveragePool {
        /// The window.
        window: Window,
        /// Public factors, in units of `2^-shift`.
        factor: Vec<i64>,
        /// Right shift.
        shift: u32,
    },
    /// Largest value under the window; taps in the padding are left out.
    MaxPool {
        /// The window.
        window: Window,
    },
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, low), high)`.
    Clamp {
        /// Smallest result.
        low: i64,
        /// Largest result.
        high: i64,
    },
    /// `y = x` where `x >= 0`, else `sat((x * factor + half) >> shift)`: a leaky ReLU with a public slope.
    LeakyRelu {
        /// The slope, in units of `2^-shift`.
        factor: i64,
        /// Right shift.
        shift: u32,
    },
    /// As `LeakyRelu` with secret slopes, broadcast against x.
    PRelu {
        /// Slopes in units of `2^-shift`.
        slope: ParamId,
        /// Right shift.
        shift: u32,
    },
    /// The logistic function; the exact integers are those of `garble::meaning::sigmoid`.
    Sigmoid,
    /// The hyperbolic tangent; the exact integers are those of `garble::meaning::tanh`.
    Tanh,
    /// The logistic function by straight lines; the exact integers are those of `garble::meaning::piecewise_sigmoid`.
    PiecewiseSigmoid,
    /// The hyperbolic tangent by straight lines; the exact integers are those of `garble::meaning::piecewise_tanh`.
    PiecewiseTanh,
    /// Index of the largest value along an axis, the first on ties; an integer (frac 0).
    ArgMax {
        /// The axis, counted from the front.
        axis: usize,
        /// Whether the last of several largest values counts.
        last: bool,
    },
    /// The same elements in the same order under another shape.
    Reshape,
    /// Axes permuted: axis i of the result is axis `perm[i]` of the operand.
    Transpose {
        /// The permutation.
        perm: Vec<usize>,
    },
    /// `y[i...] = x[start + i * step ...]`, for each axis.
    Slice {
        /// First index on each axis.
        start: Vec<usize>,
        /// Step on each axis; may be negative.
        step: Vec<i64>,
    },
    /// Operands joined along an axis.
    Concat {
        /// The axis.
        axis: usize,
    },
    /// Constant margins on every axis.
    Pad {
        /// Elements before, for each axis.
        before: Vec<usize>,
        /// Elements after, for each axis.
        after: Vec<usize>,
        /// The value of the margin.
        value: i64,
    },
    /// Broadcast to the node's shape as in ONNX.
    Expand,
    /// A public constant tensor, for the rare graph that mixes one in where nothing can fold it.
    Constant {
        /// The values, in row-major order.
        values: Vec<i64>,
    },
}

impl FixedGraph {
    /// Bits of a node's sum that count before a right shift: the ring's, or what [`FixedGraph::result_bits`] leaves of them.
    pub fn sum_bits(&self, node: NodeId, shift: u32) -> u32 {
        let NumberFormat::Ring { bits } = self.number else { return 64 };
        match self.result_bits.get(node) {
            Some(result) if shift > 0 => bits.min(result.saturating_add(shift)),
            _ => bits,
        }
    }
}

impl Op {
    /// The data movement that this operation is, if it is one.
    pub fn movement(&self) -> Option<Move<'_>> {
        Some(match self {
            Self::Reshape => Move::Reshape,
            Self::Transpose { perm } => Move::Transpose(perm),
            Self::Slice { start, step } => Move::Slice(start, step),
            Self::Concat { axis } => Move::Concat(*axis),
            Self::Pad { before, after, .. } => Move::Pad(before, after),
            Self::Expand => Move::Expand,
            _ => return None,
        })
    }
}

/// An operand of [`Op::Sum`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// Left shift.
    pub left: u32,
    /// Whether the operand is subtracted.
    pub negative: bool,
}

/// The server's secret integers. They never leave it, and the client's half does not have this type in its hands.
#[derive(Clone)]
pub struct Params {
    /// One tensor for each entry of [`FixedGraph::params`], in row-major order.
    pub tensors: Vec<ParamData>,
}

impl Format {
    /// Smallest and largest value, as far as 64 bits hold them.
    pub fn limits(&self) -> (i64, i64) {
        let half = 1i64 << (self.bits.clamp(1, 63) - 1);
        if self.bits > 63 { (i64::MIN, i64::MAX) } else { (-half, half - 1) }
    }

    /// What one unit stands for.
    pub fn unit(&self) -> f64 {
        2f64.powi(-self.frac)
    }
}

/// The values of one secret tensor, as narrow as they fit.
#[derive(Clone)]
pub enum ParamData {
    /// Up to 32 bits.
    I32(Vec<i32>),
    /// Up to 64 bits (biases at an accumulator's scale).
    I64(Vec<i64>),
    /// More (biases of networks without truncation).
    I128(Vec<i128>),
}

impl ParamData {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::I32(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::I128(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One value as it stands in any network.
    pub fn get_wide(&self, index: usize) -> i128 {
        match self {
            Self::I128(values) => values[index],
            _ => i128::from(self.get(index)),
        }
    }

    /// One value; a wide one is clamped to 64 bits, which no network that truncates has.
    pub fn get(&self, index: usize) -> i64 {
        match self {
            Self::I32(values) => i64::from(values[index]),
            Self::I64(values) => values[index],
            Self::I128(values) => values[index].clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64,
        }
    }
}
