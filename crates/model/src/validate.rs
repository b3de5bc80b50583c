//! Checks of a fixed-point graph that comes from a peer or a file: after [`FixedGraph::validate`] an engine may trust
//! every index, shape, width and shift in it.

use crate::error::Error;
use crate::fixed::{FixedGraph, Format, Limits, Node, NumberFormat, Op, ParamId, Post, Window};
use crate::shapes;
use crate::tensor::elements;

/// The widest accumulator: products and sums of words stay below 2^62.
const ACCUMULATOR: u32 = 62;
/// The largest shift.
const MAX_SHIFT: u32 = 62;
/// The most units that 1 may be in an input.
const MAX_LEVELS: u32 = 1 << 24;

impl FixedGraph {
    /// Checks everything that an engine relies on: order and arity of nodes, shapes (computed again and compared),
    /// formats, shifts, parameters, the width of every sum in words, and sizes against limits.
    ///
    /// # Errors
    /// With the first rule that is broken and its node. It never panics, whatever the graph holds.
    pub fn validate(&self, limits: &Limits) -> Result<(), Error> {
        let whole = |problem: String| Error::Fixed { node: 0, problem };
        if self.nodes.is_empty() || self.nodes.len() > limits.nodes {
            return Err(whole(format!("{} nodes; 1 to {} are allowed", self.nodes.len(), limits.nodes)));
        }
        if let NumberFormat::Ring { bits } = self.number
            && !(24..=64).contains(&bits)
        {
            return Err(whole(format!("a ring of {bits} bits; 24 to 64 are allowed")));
        }
        self.check_params(limits).map_err(whole)?;
        let mut total = 0usize;
        for (id, node) in self.nodes.iter().enumerate() {
            let check = Check { graph: self, id, node };
            let count = check.node(limits).map_err(|problem| Error::Fixed { node: id, problem })?;
            total = total.saturating_add(count);
        }
        if total > limits.total {
            return Err(whole(format!("{total} values in all; {} are allowed", limits.total)));
        }
        self.check_ends().map_err(whole)
    }

    fn check_params(&self, limits: &Limits) -> Result<(), String> {
        if self.params.len() > limits.nodes.saturating_mul(2) {
            return Err(format!("{} parameters", self.params.len()));
        }
        let mut total = 0usize;
        for (id, info) in self.params.iter().enumerate() {
            let count = elements(&info.shape).map_err(|e| format!("parameter {id}: {e}"))?;
            if !(1..=127).contains(&info.bits) || self.number != NumberFormat::Exact && info.bits > 63 {
                return Err(format!("parameter {id} has {} bits", info.bits));
            }
            if info.support.as_ref().is_some_and(|support| !support.fits(count)) {
                return Err(format!("parameter {id} has a map of zeros of another length"));
            }
            total = total.saturating_add(count);
        }
        if total > limits.parameters {
            return Err(format!("{total} parameters; {} are allowed", limits.parameters));
        }
        Ok(())
    }

    fn check_ends(&self) -> Result<(), String> {
        let mut seen = vec![false; self.nodes.len()];
        for &id in &self.inputs {
            let is_input = self.nodes.get(id).is_some_and(|n| matches!(n.op, Op::Input));
            if !is_input || std::mem::replace(&mut seen[id], true) {
                return Err(format!("input {id} is not an input node, or stands twice"));
            }
        }
        let levels = self.input_levels.len();
        if levels != 0 && levels != self.inputs.len() || self.input_levels.iter().any(|&l| l > MAX_LEVELS) {
            return Err(format!("levels of {levels} inputs, not {}, or more than 2^24", self.inputs.len()));
        }
        let results = self.result_bits.len();
        if results != 0 && (results != self.nodes.len() || !matches!(self.number, NumberFormat::Ring { .. }))
            || self.result_bits.iter().any(|bits| !(2..=64).contains(bits))
        {
            return Err(format!("bits of {results} results, not {}, or not 2 to 64", self.nodes.len()));
        }
        let count = self.nodes.iter().filter(|n| matches!(n.op, Op::Input)).count();
        if count != self.inputs.len() {
            return Err(format!("{count} input nodes, {} inputs", self.inputs.len()));
        }
        if self.outputs.is_empty() || self.outputs.len() > self.nodes.len() {
            return Err(format!("{} outputs", self.outputs.len()));
        }
        for output in &self.outputs {
            let node =
                self.nodes.get(output.node).ok_or_else(|| format!("output of node {}", output.node))?;
            match output.post {
                Post::Softmax { axis } | Post::LogSoftmax { axis } if axis >= node.shape.len() => {
                    return Err(format!("softmax over axis {axis} of shape {:?}", node.shape));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// One node under check.
struct Check<'a> {
    graph: &'a FixedGraph,
    id: usize,
    node: &'a Node,
}

type Checked = Result<(), String>;

fn ensure(condition: bool, problem: impl FnOnce() -> String) -> Checked {
    if condition { Ok(()) } else { Err(problem()) }
}

impl Check<'_> {
    /// Checks the node and returns the number of its values.
    fn node(&self, limits: &Limits) -> Result<usize, String> {
        let node = self.node;
        ensure(node.inputs.iter().all(|&i| i < self.id), || "an operand does not stand before it".into())?;
        let count = elements(&node.shape).map_err(|e| e.to_string())?;
        ensure(count <= limits.elements, || format!("{count} values; {} are allowed", limits.elements))?;
        let widest = match self.graph.number {
            NumberFormat::Word16 => 48,
            NumberFormat::Ring { .. } => 63,
            NumberFormat::Exact => 126,
        };
        let Format { bits, frac } = node.format;
        ensure((1..=widest).contains(&bits) && (-64..=128).contains(&frac), || {
            format!("format {bits} bits, {frac}")
        })?;
        if let NumberFormat::Ring { bits: k } = self.graph.number {
            ensure(bits <= k, || format!("{bits} bits in a ring of {k}"))?;
        }
        let arity = match &node.op {
            Op::Input | Op::Constant { .. } => 0,
            Op::Product { .. } => 2,
            Op::Sum { terms, .. } => terms.len().max(1),
            Op::Concat { .. } => node.inputs.len().max(1),
            _ => 1,
        };
        ensure(node.inputs.len() == arity, || format!("{} operands, not {arity}", node.inputs.len()))?;
        let operands: Vec<&[usize]> =
            node.inputs.iter().map(|&i| self.graph.nodes[i].shape.as_slice()).collect();
        let shape = self.shape(&operands)?;
        ensure(shape == node.shape, || format!("shape {:?} where {shape:?} follows", node.shape))?;
        self.format()?;
        self.numbers()?;
        Ok(count)
    }

    fn words(&self) -> bool {
        self.graph.number == NumberFormat::Word16
    }

    fn operand(&self, index: usize) -> Format {
        self.node.inputs.get(index).map_or(self.node.format, |&i| self.graph.nodes[i].format)
    }

    fn param(&self, id: ParamId) -> Result<(&[usize], u32), String> {
        let info = self.graph.params.get(id).ok_or_else(|| format!("there is no parameter {id}"))?;
        Ok((&info.shape, info.bits))
    }

    fn broadcasts(&self, id: ParamId, x: &[usize]) -> Checked {
        let (small, _) = self.param(id)?;
        let fits = shapes::broadcast(x, small).is_ok_and(|s| s == x);
        ensure(fits, || format!("a parameter of shape {small:?} does not broadcast to {x:?}"))
    }

    /// The shape that follows from the operands.
    fn shape(&self, operands: &[&[usize]]) -> Result<Vec<usize>, String> {
        let text = |e: Error| e.to_string();
        let target = &self.node.shape;
        if let Some(movement) = self.node.op.movement() {
            return movement.shape(operands, target).map_err(text);
        }
        let Some(&x) = operands.first() else {
            if let Op::Constant { values } = &self.node.op {
                ensure(elements(target).is_ok_and(|n| n == values.len()), || {
                    "values do not fill the shape".into()
                })?;
            }
            return Ok(target.clone());
        };
        match &self.node.op {
            Op::Conv { window, groups, weight, bias, .. } => {
                let shape = shapes::convolution(x, self.param(*weight)?.0, *groups, window).map_err(text)?;
                ensure(self.param(*bias)?.0 == [shape[1]], || "bias".into())?;
                Ok(shape)
            }
            Op::Dense { weight, bias, .. } => {
                crate::graph::dense(x, self.param(*weight)?.0, self.param(*bias)?.0).map_err(text)
            }
            Op::AveragePool { window, .. } => shapes::pool(x, window).map_err(text),
            Op::MaxPool { window } => {
                let shape = shapes::pool(x, window).map_err(text)?;
                let sees = window.always_sees([x[2], x[3]], [shape[2], shape[3]]);
                ensure(sees, || "a window lies in the padding alone".into())?;
                Ok(shape)
            }
            Op::ArgMax { axis, .. } => {
                let mut shape = x.to_vec();
                *shape.get_mut(*axis).ok_or_else(|| format!("axis {axis}"))? = 1;
                Ok(shape)
            }
            Op::Affine { weight, bias, .. } => {
                weight.iter().chain([bias]).try_for_each(|&p| self.broadcasts(p, x))?;
                Ok(x.to_vec())
            }
            Op::PRelu { slope, .. } => self.broadcasts(*slope, x).map(|()| x.to_vec()),
            Op::Sum { .. } | Op::Product { .. } => {
                ensure(operands.iter().all(|o| *o == x), || "operands differ in shape".into())?;
                Ok(x.to_vec())
            }
            _ => Ok(x.to_vec()),
        }
    }

    /// How the result's format follows from the operands'.
    fn format(&self) -> Checked {
        let (own, x) = (self.node.format, self.operand(0));
        let same = match &self.node.op {
            Op::Relu | Op::Clamp { .. } | Op::MaxPool { .. } | Op::LeakyRelu { .. } | Op::PRelu { .. } => {
                own == x
            }
            Op::Concat { .. } => (0..self.node.inputs.len()).all(|i| {
                let x = self.operand(i);
                x.frac == own.frac && x.bits <= own.bits
            }),
            Op::ArgMax { axis, .. } => {
                let count = self.node.inputs.first().map_or(1, |&i| self.graph.nodes[i].shape[*axis]);
                own.frac == 0 && own.bits < 63 && count as u64 <= 1 << (own.bits - 1)
            }
            Op::Sigmoid | Op::Tanh | Op::PiecewiseSigmoid | Op::PiecewiseTanh => {
                let fits = |f: Format| (2..=32).contains(&f.bits) && (0..=32).contains(&f.frac);
                fits(own) && fits(x)
            }
            op if op.movement().is_some() => own == x,
            _ => true,
        };
        ensure(same, || format!("format {own:?} after {x:?}"))
    }

    /// Shifts, constants and the width of sums.
    fn numbers(&self) -> Checked {
        let (own, x) = (self.node.format, self.operand(0));
        match &self.node.op {
            Op::Conv { weight, bias, shift, groups, .. } => {
                let terms = self.param(*weight)?.0.iter().skip(1).product();
                debug_assert!(*groups > 0);
                self.linear(*weight, *bias, shift, self.node.shape.get(1).copied(), terms)
            }
            Op::Dense { weight, bias, shift } => {
                let terms = self.param(*weight)?.0.last().copied().unwrap_or(1);
                self.linear(*weight, *bias, shift, self.node.shape.last().copied(), terms)
            }
            Op::Affine { weight, left, bias, shift } => {
                self.shift(*shift)?;
                self.shift(*left)?;
                let product = x.bits + weight.map_or(Ok(0), |w| self.param(w).map(|p| p.1))? + left;
                self.sum(product.max(self.param(*bias)?.1) + 1)
            }
            Op::PublicAffine { factor, addend, shift } => {
                self.shift(*shift)?;
                self.sum((x.bits + width(*factor)).max(width(*addend)) + 1)
            }
            Op::Sum { terms, shift } => {
                self.shift(*shift)?;
                ensure(!terms.is_empty() && terms.len() <= 1 << 16, || format!("{} terms", terms.len()))?;
                let mut widest = *shift;
                for (i, term) in terms.iter().enumerate() {
                    self.shift(term.left)?;
                    widest = widest.max(self.operand(i).bits + term.left);
                }
                self.sum(widest + log2(terms.len() + 1))
            }
            Op::Product { shift } => {
                self.shift(*shift)?;
                self.sum(x.bits + self.operand(1).bits + 1)
            }
            Op::AveragePool { window, factor, shift } => {
                self.shift(*shift)?;
                let plane = self.node.shape[2] * self.node.shape[3];
                ensure(factor.len() == 1 || factor.len() == plane, || format!("{} factors", factor.len()))?;
                let most = factor.iter().map(|&f| width(f)).max().unwrap_or(1);
                self.sum(x.bits + log2(self.taps(window)) + most + 1)
            }
            Op::LeakyRelu { factor, shift } => {
                self.shift(*shift)?;
                self.sum(x.bits + width(*factor) + 1)
            }
            Op::PRelu { slope, shift } => {
                self.shift(*shift)?;
                self.sum(x.bits + self.param(*slope)?.1 + 1)
            }
            Op::Clamp { low, high } => {
                let (least, most) = own.limits();
                ensure(low <= high && *low >= least && *high <= most, || format!("bounds {low} and {high}"))
            }
            Op::Pad { value, .. } => self.holds(*value),
            Op::Constant { values } => values.iter().try_for_each(|&v| self.holds(v)),
            _ => Ok(()),
        }
    }

    fn taps(&self, window: &Window) -> usize {
        let plane: usize =
            self.node.inputs.first().map_or(1, |&i| self.graph.nodes[i].shape.iter().skip(2).product());
        window.taps().min(plane)
    }

    fn holds(&self, value: i64) -> Checked {
        let (low, high) = self.node.format.limits();
        ensure((low..=high).contains(&value), || format!("the constant {value} does not fit its format"))
    }

    fn shift(&self, shift: u32) -> Checked {
        ensure(shift <= MAX_SHIFT, || format!("a shift by {shift}"))?;
        if let NumberFormat::Ring { bits } = self.graph.number {
            ensure(shift < bits, || format!("a shift by {shift} in a ring of {bits} bits"))?;
        }
        Ok(())
    }

    /// A sum that must not overflow: words promise it, rings wrap, and without truncation the ranges answer for it.
    fn sum(&self, bits: u32) -> Checked {
        ensure(!self.words() || bits <= ACCUMULATOR, || {
            format!("a sum of {bits} bits; {ACCUMULATOR} are allowed")
        })
    }

    fn linear(
        &self,
        weight: ParamId,
        bias: ParamId,
        shift: &[u32],
        outputs: Option<usize>,
        terms: usize,
    ) -> Checked {
        let fits = shift.len() == 1 || Some(shift.len()) == outputs;
        ensure(fits, || format!("{} shifts", shift.len()))?;
        shift.iter().try_for_each(|&s| self.shift(s))?;
        let products = self.operand(0).bits + self.param(weight)?.1 + log2(terms);
        self.sum(products.max(self.param(bias)?.1) + 1)
    }
}

/// Bits of a two's complement number.
fn width(v: i64) -> u32 {
    65 - (if v < 0 { !v } else { v }).leading_zeros()
}

/// The smallest b with `count <= 2^b`.
fn log2(count: usize) -> u32 {
    count.max(1).checked_next_power_of_two().map_or(64, usize::trailing_zeros)
}
