//! What a plan may ask of the two parties. The bounds follow from its shapes alone and are checked before anything is
//! computed or sent: a valid plan of a few hundred bytes can describe a computation of centuries.

use model::fixed::{FixedGraph, Node, NumberFormat, Op, Window};
use model::graph::{Graph, Layer};

use super::dots::Dots;
use super::options::FirstLayer;
use super::split::{Product, Split};
use super::walk::last_uses;
use crate::error::Error;
use crate::handshake::Reveal;

/// Most bytes of garbled tables: hours of computation.
pub const MAX_TABLE_BYTES: u64 = 1 << 42;

/// Most bytes of labels that are alive at one time, most of them in a temporary file ([`super::spill`]).
pub const MAX_LABEL_BYTES: u64 = 1 << 33;

/// Most bytes of what is in memory whatever its size: inputs, results, shares of products, and where moved elements come from.
pub const MAX_RESIDENT_BYTES: u64 = 144 << 20;

/// Bytes of a label, and of a row of a table.
const BLOCK: u64 = 16;

/// Rows of tables that a product takes where a word has 16 bits and a weight 12, as deep networks want.
const USUAL_ROWS: u64 = 366;

/// Whether this engine can run a network at a sensible size, as far as its products say: before it is turned into
/// integers, which may take long.
///
/// # Errors
/// [`Error::Refused`], with the reason.
pub fn supports(graph: &Graph) -> Result<(), Error> {
    let mut public: Vec<bool> = Vec::with_capacity(graph.nodes.len());
    let mut products = 0u64;
    for (id, node) in graph.nodes.iter().enumerate() {
        let known = node.inputs.iter().all(|&input| public[input]);
        let linear = matches!(node.layer, Layer::Conv { .. } | Layer::Dense { .. });
        // What reads the input alone goes by transfers, which are cheaper.
        if linear && !known {
            products = products.saturating_add(graph.node_products(id));
        }
        let secret = linear || matches!(node.layer, Layer::Affine { .. } | Layer::PRelu { .. });
        public.push(known && !secret);
    }
    within(products.saturating_mul(USUAL_ROWS).saturating_mul(BLOCK), "garbled tables", MAX_TABLE_BYTES)
}

/// Refuses what needs more than the most.
fn within(needed: u64, what: &str, most: u64) -> Result<(), Error> {
    if needed <= most {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "as one garbled circuit this network needs about {} of {what}; at most {} are allowed: a smaller network or \
         another protocol is needed",
        size(needed),
        size(most)
    )))
}

/// Whether this engine can run a plan, and at a sensible size. Cheap: a few operations a node.
///
/// # Errors
/// [`Error::Refused`], with the reason.
pub fn check(plan: &FixedGraph, reveal: Reveal, first: FirstLayer) -> Result<(), Error> {
    if plan.number != NumberFormat::Word16 {
        return Err(Error::Refused(
            "garbled circuits compute on saturating words; the plan is for another protocol".into(),
        ));
    }
    let split = Split::of(plan, first);
    within(table_bytes(plan, &split), "garbled tables and transfers", MAX_TABLE_BYTES)?;
    within(label_bytes(plan, &split, reveal), "room for labels", MAX_LABEL_BYTES)?;
    within(resident_bytes(plan, &split, reveal), "memory", MAX_RESIDENT_BYTES)
}

/// About the most bytes that are in memory beside labels.
fn resident_bytes(plan: &FixedGraph, split: &Split, reveal: Reveal) -> u64 {
    const NUMBER: u64 = 8;
    const PLACE: u64 = 4;
    // Integers, a copy for the layers that are computed in the clear, and a share each where there are two.
    let inputs = sum(plan.inputs.iter().map(|input| 3 * NUMBER * elements(&plan.nodes[*input])));
    let shares = sum(split.products.iter().map(|product| 2 * NUMBER * product.elements() as u64));
    let outputs = plan.outputs.iter().map(|output| &plan.nodes[output.node]);
    let outputs = match reveal {
        // Bits, packed and not, the other party's too, and the numbers.
        Reveal::Scores => sum(outputs.map(|node| labels(node).saturating_mul(3) + NUMBER * elements(node))),
        Reveal::Label => outputs.take(1).map(candidates).max().unwrap_or(0).saturating_mul(BLOCK),
    };
    // Both threads of the server have them.
    let moved = |node: &Node| match &node.op {
        Op::Reshape => 0,
        op if op.movement().is_some() => {
            let from = node.inputs.iter().map(|input| elements(&plan.nodes[*input]));
            sum(from).saturating_add(elements(node)).saturating_mul(2 * PLACE)
        }
        Op::AveragePool { .. } => elements(node).saturating_mul(2 * PLACE),
        // Where results are made in another order than they stand in.
        Op::Conv { .. } | Op::Dense { .. } => elements(node).saturating_mul(4 * PLACE),
        _ => 0,
    };
    let moved = plan.nodes.iter().map(moved).max().unwrap_or(0);
    inputs.saturating_add(shares).saturating_add(outputs).saturating_add(moved)
}

/// About how many bytes of garbled tables and of products by transfers a plan takes. What the client computes alone counts like
/// gates: it must be bounded too.
pub fn table_bytes(plan: &FixedGraph, split: &Split) -> u64 {
    let rows = plan.nodes.iter().enumerate().map(|(id, node)| match split.product(id) {
        Some((_, product)) => product_rows(product, node),
        None => rows(plan, node),
    });
    sum(rows).saturating_mul(BLOCK)
}

/// A product by transfers: per bit of a weight the transfer and a word for each position, then the opening of each result.
fn product_rows(product: &Product, node: &Node) -> u64 {
    let transfers = product.transfers().saturating_mul(2);
    let words = product.transfers().saturating_mul(product.dots.positions as u64) / 2;
    let opening = elements(node).saturating_mul(4 * u64::from(product.bits));
    transfers.saturating_add(words).saturating_add(opening).saturating_add(steps(&product.dots))
}

/// What looking through a map of zeros takes, as rows of tables: nothing else bounds a layer whose weights are all zero.
fn steps(dots: &Dots) -> u64 {
    match dots.support {
        Some(_) => product(&[dots.rows as u64, dots.terms as u64, dots.positions as u64]) / 4,
        None => 0,
    }
}

/// About the most bytes of labels that are alive at one time.
pub fn label_bytes(plan: &FixedGraph, split: &Split, reveal: Reveal) -> u64 {
    peak(plan, split, reveal).saturating_mul(BLOCK)
}

fn size(bytes: u64) -> String {
    if bytes == u64::MAX {
        return "more than 10^19 bytes".into();
    }
    format!("{:.1} GB", bytes as f64 / 1e9)
}

fn sum(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}

fn product(numbers: &[u64]) -> u64 {
    numbers.iter().fold(1, |product, number| product.saturating_mul(*number))
}

fn elements(node: &Node) -> u64 {
    node.shape.iter().product::<usize>() as u64
}

/// Labels of a node's tensor.
fn labels(node: &Node) -> u64 {
    product(&[elements(node), u64::from(node.format.bits)])
}

/// About how many rows of tables a node takes, from the gates that the gadgets state.
fn rows(plan: &FixedGraph, node: &Node) -> u64 {
    let operand = |index: usize| node.inputs.get(index).and_then(|input| plan.nodes.get(*input));
    let Some(first) = operand(0) else { return 0 };
    let (x, y) = (u64::from(first.format.bits), u64::from(node.format.bits));
    let param = |id: &usize| plan.params.get(*id).map_or(0, |info| u64::from(info.bits));
    // A product by a secret number of w bits, with its addition.
    let by_known = |w: u64| 3 * (x + 1) * w / 2 + 2 * (x + w + 2);
    // Half of a public number's digits, each an addition.
    let by_public =
        |factor: i64| (u64::from(64 - factor.unsigned_abs().leading_zeros()) / 2 + 1) * 2 * (x + 32);
    let each = match &node.op {
        Op::Conv { weight, .. } | Op::Dense { weight, .. } => {
            let Some(dots) = Dots::of(plan, node) else { return 0 };
            let (terms, positions) = (dots.terms as u64, dots.positions as u64);
            let cost = |weights: u64, summed: u64| {
                let products = product(&[weights, positions, by_known(param(weight))]);
                products.saturating_add(product(&[summed, positions, 2 * (x + 8)]))
            };
            // A map of zeros that does not pay is not followed.
            let whole = cost(product(&[dots.rows as u64, terms]), product(&[dots.groups() as u64, terms]));
            let kept = dots.weights() as u64;
            let least = if dots.support.is_some() { whole.min(cost(kept, kept)) } else { whole };
            return least.saturating_add(steps(&dots)).saturating_add(product(&[elements(first), 2 * x]));
        }
        Op::Affine { weight, bias, .. } => {
            weight.as_ref().map_or(0, |w| by_known(param(w))) + 2 * (x + param(bias))
        }
        Op::PublicAffine { factor, .. } | Op::LeakyRelu { factor, .. } => by_public(*factor) + 2 * (x + y),
        Op::PRelu { slope, .. } => by_known(param(slope)) + 2 * (x + y),
        Op::Sum { terms, .. } => product(&[terms.len() as u64, 2 * (x + 8)]) + 2 * y,
        Op::Product { .. } => {
            2 * (x + 2) * operand(1).map_or(x, |other| u64::from(other.format.bits)) + 2 * y
        }
        Op::AveragePool { window, factor, .. } => {
            let most = factor.iter().map(|factor| by_public(*factor)).max().unwrap_or(0);
            product(&[taps(first, window), 2 * (x + 8)]).saturating_add(most)
        }
        Op::MaxPool { window } => product(&[taps(first, window), 4 * x]),
        Op::Relu => 2 * x,
        Op::Clamp { .. } => 8 * x,
        Op::Sigmoid | Op::Tanh => 6 * (y + 5) * (y + 5),
        Op::PiecewiseSigmoid | Op::PiecewiseTanh => 12 * (x + y),
        Op::ArgMax { .. } => return product(&[elements(first), 4 * x]),
        _ => 0,
    };
    product(&[elements(node), each])
}

/// The most elements of the input that a window sees.
fn taps(input: &Node, window: &Window) -> u64 {
    let mut plane = input.shape.iter().rev();
    let [width, height] = [(); 2].map(|()| plane.next().copied().unwrap_or(1));
    product(&[window.kernel[0].min(height) as u64, window.kernel[1].min(width) as u64])
}

/// In labels: the tensors that are still to be read, and what a node works with.
fn peak(plan: &FixedGraph, split: &Split, reveal: Reveal) -> u64 {
    let last = last_uses(plan);
    let mut dying: Vec<Vec<usize>> = vec![Vec::new(); plan.nodes.len()];
    for (node, last) in last.iter().enumerate() {
        if let Some(dying) = dying.get_mut(*last) {
            dying.push(node);
        }
    }
    let (mut alive, mut most) = (0u64, 0u64);
    for (index, node) in plan.nodes.iter().enumerate() {
        alive = alive.saturating_add(labels(node));
        let work = match split.product(index) {
            // Both shares of each result as words, and the result in parts.
            Some(_) => 2 * labels(node).saturating_add(4 * elements(node)),
            None => work(plan, node),
        };
        most = most.max(alive.saturating_add(work));
        for dead in &dying[index] {
            alive = alive.saturating_sub(labels(&plan.nodes[*dead]));
        }
    }
    let outputs = plan.outputs.iter().map(|output| &plan.nodes[output.node]);
    let ends = match reveal {
        Reveal::Scores => sum(outputs.map(labels)),
        Reveal::Label => outputs.take(1).map(candidates).max().unwrap_or(0),
    };
    most.max(alive.saturating_add(ends))
}

/// Labels that a node works with beside its operands and its result.
fn work(plan: &FixedGraph, node: &Node) -> u64 {
    let inputs = || node.inputs.iter().map(|input| &plan.nodes[*input]);
    let own = match &node.op {
        // Three times the inputs, the sums of inputs, and a block of rows of accumulators.
        Op::Conv { .. } | Op::Dense { .. } => {
            let Some(dots) = Dots::of(plan, node) else { return 0 };
            let columns = dots.positions as u64;
            let accumulators = product(&[columns.max(64), 64]);
            let sums = if dots.support.is_some() { 3 * dots.rows } else { dots.groups() } as u64;
            sum(inputs().map(|input| 2 * (labels(input) + 2 * elements(input))))
                .saturating_add(product(&[sums, columns, 64]))
                .saturating_add(accumulators)
        }
        Op::ArgMax { .. } => sum(inputs().map(candidates)),
        // Operands joined, and an index of places for each element.
        op if op.movement().is_some() => sum(inputs().map(|input| labels(input) + 4 * elements(input))),
        _ => 0,
    };
    // A result is first made in parts.
    own.saturating_add(2 * labels(node)).saturating_add(4 * elements(node))
}

/// Labels of a tensor cut into single elements, each wire in a buffer of its own.
fn candidates(node: &Node) -> u64 {
    const SMALLEST_BUFFER: u64 = 24;
    labels(node).saturating_mul(SMALLEST_BUFFER)
}
