//! The stages of a graph: which operation runs where, on shares, on ciphertexts or in a garbled circuit.

use std::sync::Arc;

use garble::modulus::ShareModulus;
use linear::coefficients::{Need, Shape};
use model::fixed::{FixedGraph, Node, NodeId, NumberFormat, Op};

use super::bits;
use crate::error::Error;
use crate::handshake::Reveal;

/// Windows of an average pool up to which it is added inside a circuit; larger ones are added on shares, where it is free, at the
/// price of one more stage.
const POOL_IN_CIRCUIT: usize = 16;

/// Most elements of all tensors together that a program handles.
const MOST_ELEMENTS: usize = 1 << 28;

/// Most transfers for products on shares, of a network: 1 GiB at the client. Products beyond are computed in circuits.
const MOST_TRANSFERS: u64 = 1 << 26;

/// Widest ring: sums have a guard bit more, and shares are words.
const MOST_BITS: u32 = 62;

/// In which form a tensor first exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Shares of its values.
    Share,
    /// Shares of sums whose low bits are yet to be dropped: the shift of its operation, and `guard` bits more.
    Sum {
        /// Bits below the sum.
        guard: u32,
    },
    /// Wires of a garbled circuit.
    Wires,
}

/// Where a tensor comes from.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Its form.
    pub form: Form,
    /// The stage that makes it.
    pub stage: usize,
    /// Whether the server's share is zero: nothing but inputs, moved.
    pub clients: bool,
    /// Whether the server has its share only once the input is known: products on shares, and what is computed from them.
    pub late: bool,
    /// Of a sum that is added to a layer's sums before these are shifted: which operand is the layer.
    pub base: Option<usize>,
    /// Whether the result depends on it.
    pub needed: bool,
    /// Bits that hold each of its values as a signed number, as the operations before it imply.
    pub bits: u32,
}

/// The low bits that are yet to be dropped of a tensor that exists as sums.
#[derive(Clone, Debug)]
struct Low {
    /// One number, or one for each channel.
    shifts: Arc<[u32]>,
    /// Elements of a channel that stand together.
    inner: usize,
}

/// A step of a stage's circuit: an operation, or the entry of a tensor that exists in shares.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The tensor.
    pub node: NodeId,
    /// Whether the tensor enters as it is; otherwise its operation is computed.
    pub entry: bool,
    /// The operand that enters with this step, tile by tile, and is used by nothing else.
    pub takes: Option<usize>,
    /// Uses as wires by later steps.
    pub uses: usize,
    /// Whether shares of it leave the circuit.
    pub export: bool,
    /// Whether the client learns it: the output's index.
    pub reveal: Option<usize>,
}

/// A stage: operations on shares, then linear layers, then a circuit.
#[derive(Clone, Debug, Default)]
pub struct Stage {
    /// Operations on shares, in order; online products among them.
    pub local: Vec<NodeId>,
    /// Linear layers, which do not depend on each other: indices into [`Program::linear`].
    pub linear: Vec<usize>,
    /// Sums on shares of sums, in order.
    pub merged: Vec<NodeId>,
    /// Products on shares that are prepared ahead, whose results are shares from the next stage on.
    pub products: Vec<NodeId>,
    /// The circuit.
    pub steps: Vec<Step>,
}

/// When the heavy part of a prediction runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Linear layers on ciphertexts once the input is known.
    Online,
    /// Everything heavy before.
    Ahead,
}

/// A graph cut into stages.
#[derive(Clone, Debug)]
pub struct Program<'a> {
    /// The graph.
    pub graph: &'a FixedGraph,
    /// When linear layers meet ciphertexts.
    pub when: When,
    /// Bits k of the ring: integers with their sign.
    pub ring: u32,
    /// What shares are modulo, but for sums with a guard.
    pub modulus: ShareModulus,
    /// What the client learns.
    pub reveal: Reveal,
    /// A place for each node.
    pub places: Vec<Place>,
    /// What [`Program::shifts`] says of each node.
    lows: Vec<Low>,
    /// The linear layers.
    pub linear: Vec<NodeId>,
    /// The stages.
    pub stages: Vec<Stage>,
    /// Transfers for products on shares.
    crossed: u64,
}

/// Refuses too many intermediate values.
pub fn within(elements: usize) -> Result<(), Error> {
    if elements > MOST_ELEMENTS {
        return Err(Error::Refused(format!(
            "the network has {elements} intermediate values, at most {MOST_ELEMENTS} fit"
        )));
    }
    Ok(())
}

impl<'a> Program<'a> {
    /// Cuts a validated graph.
    ///
    /// # Errors
    /// If its number format is no ring that fits, or it is too large.
    pub fn new(graph: &'a FixedGraph, reveal: Reveal) -> Result<Self, Error> {
        Self::cut(graph, reveal, When::Online, None)
    }

    /// Cuts a validated graph whose linear layers are prepared before the input is known: shares of sums are exact then, and both
    /// parties have one of every tensor.
    ///
    /// # Errors
    /// As [`Program::new`].
    pub fn ahead(graph: &'a FixedGraph, reveal: Reveal) -> Result<Self, Error> {
        Self::cut(graph, reveal, When::Ahead, None)
    }

    fn cut(
        graph: &'a FixedGraph,
        reveal: Reveal,
        when: When,
        odd: Option<ShareModulus>,
    ) -> Result<Self, Error> {
        let refuse = |why: String| Err(Error::Refused(why));
        let NumberFormat::Ring { bits: ring } = graph.number else {
            return refuse(
                "the interactive engine computes modulo 2^k; this plan has another number format".into(),
            );
        };
        if ring > MOST_BITS {
            return refuse(format!(
                "the network needs integers of {ring} bits, and this protocol has {MOST_BITS}: state smaller ranges"
            ));
        }
        within(graph.nodes.iter().map(elements).fold(0, usize::saturating_add))?;
        let mut program = Self {
            graph,
            when,
            ring,
            modulus: odd.unwrap_or(ShareModulus::PowerOfTwo(ring)),
            reveal,
            places: Vec::new(),
            lows: Vec::new(),
            linear: Vec::new(),
            stages: Vec::new(),
            crossed: 0,
        };
        program.place();
        program.prune();
        program.stage();
        Ok(program)
    }

    /// The same with shares modulo an odd number above `2^k`. Sums need no guard then: replies of slots do not round.
    ///
    /// # Errors
    /// As [`Program::new`], or if the number is none, or too small.
    pub fn modulo(graph: &'a FixedGraph, reveal: Reveal, modulus: u64) -> Result<Self, Error> {
        Self::cut_modulo(graph, reveal, When::Online, modulus)
    }

    /// As [`Program::ahead`] with shares modulo an odd number above `2^k`: products are computed in circuits then.
    ///
    /// # Errors
    /// As [`Program::modulo`].
    pub fn ahead_modulo(graph: &'a FixedGraph, reveal: Reveal, modulus: u64) -> Result<Self, Error> {
        Self::cut_modulo(graph, reveal, When::Ahead, modulus)
    }

    fn cut_modulo(graph: &'a FixedGraph, reveal: Reveal, when: When, modulus: u64) -> Result<Self, Error> {
        let odd = ShareModulus::odd(modulus);
        let program = Self::cut(graph, reveal, when, odd)?;
        if odd.is_some_and(|odd| odd.bits() > program.ring) {
            Ok(program)
        } else {
            Err(Error::Refused(format!("shares modulo {modulus}")))
        }
    }

    /// Elements of a tensor.
    pub fn elements(&self, node: NodeId) -> usize {
        elements(&self.graph.nodes[node])
    }

    /// Outputs that the client learns.
    pub fn revealed(&self) -> impl Iterator<Item = (usize, NodeId)> + '_ {
        let count = match self.reveal {
            Reveal::Scores => self.graph.outputs.len(),
            Reveal::Label => 1,
        };
        self.graph.outputs.iter().take(count).map(|output| output.node).enumerate()
    }

    /// The stage from which a tensor's shares can be used.
    fn shared_from(&self, node: NodeId) -> usize {
        let place = self.places[node];
        if place.form == Form::Share { place.stage } else { place.stage + 1 }
    }

    fn place(&mut self) {
        let mut readers: Vec<Vec<NodeId>> = vec![Vec::new(); self.graph.nodes.len()];
        for (id, node) in self.graph.nodes.iter().enumerate() {
            node.inputs.iter().for_each(|input| readers[*input].push(id));
        }
        // Tensors that only linear layers read, perhaps moved.
        let mut linear = vec![false; self.graph.nodes.len()];
        for id in (0..linear.len()).rev() {
            let op = |id: NodeId| &self.graph.nodes[id].op;
            let reads = |id: &NodeId| match op(*id) {
                Op::Conv { .. } | Op::Dense { .. } => true,
                op => op.movement().is_some() && linear[*id],
            };
            let shown = self.graph.outputs.iter().any(|output| output.node == id);
            linear[id] = !shown && !readers[id].is_empty() && readers[id].iter().all(reads);
        }
        for (id, node) in self.graph.nodes.iter().enumerate() {
            let base = self.base_of(node);
            let (form, stage) = self.place_of(node, linear[id], base);
            let clients = match node.op {
                _ if self.when == When::Ahead => false,
                Op::Input => true,
                // What is added is in the server's share.
                Op::Constant { .. } | Op::Product { .. } | Op::Affine { .. } => false,
                Op::Pad { value: added, .. } | Op::PublicAffine { addend: added, .. } if added != 0 => false,
                _ => form == Form::Share && node.inputs.iter().all(|input| self.places[*input].clients),
            };
            let product = self.when == When::Online && matches!(node.op, Op::Product { .. });
            let late =
                form == Form::Share && (product || node.inputs.iter().any(|input| self.places[*input].late));
            if late && product {
                self.crossed += self.transfers_of(node);
            }
            let bits = bits::of(self.graph, id, self.ring, |input| self.places[input].bits);
            self.lows.push(self.low_of(node, base));
            self.places.push(Place { form, stage, clients, late, base, needed: false, bits });
        }
    }

    /// The operand of a sum, if there is one, that exists as a layer's sums, and to which all others can be added before the low
    /// bits are dropped: `floor(a / 2^f) + b` is `floor((a + b 2^f) / 2^f)`. A circuit then takes in one number instead of several. Of several
    /// layers' sums all but one must be whole: nothing is dropped of them.
    fn base_of(&self, node: &Node) -> Option<usize> {
        let Op::Sum { terms, shift } = &node.op else { return None };
        if self.when == When::Online {
            return None;
        }
        let is_sum = |at: &usize| matches!(self.places[node.inputs[*at]].form, Form::Sum { .. });
        // The one of which most is dropped, as it is.
        let plain = |at: usize| terms[at].left == 0 && !terms[at].negative;
        let key = |at: &usize| (self.lowest(node.inputs[*at]), plain(*at));
        let base = (0..node.inputs.len()).filter(is_sum).max_by_key(key)?;
        let layer = node.inputs[base];
        let below = self.lowest(layer);
        let fits = node.format.bits + below + shift + u32::from(*shift > 0) <= self.ring;
        let mut others = (0..node.inputs.len()).filter(|at| *at != base);
        let stage = self.places[layer].stage;
        let known = |at: usize| match is_sum(&at) {
            true => self.lowest(node.inputs[at]) == 0 && self.places[node.inputs[at]].stage <= stage,
            false => self.shared_from(node.inputs[at]) <= stage,
        };
        let once = node.inputs.iter().filter(|id| **id == layer).count() == 1;
        (fits && plain(base) && once && others.all(known)).then_some(base)
    }

    /// The stage in which a product is computed on shares, if it is: from sums as they are, before their low bits are dropped. Dropping
    /// bits of shares is right for numbers within a quarter of the ring alone; others stay in circuits.
    fn product_stage(&self, node: &Node) -> Option<usize> {
        let Op::Product { shift } = node.op else { return None };
        let fits = |bits: u32, shift: u32| shift == 0 || bits.saturating_add(shift) < self.ring;
        let low = |id: &NodeId| match self.places[*id].form {
            Form::Sum { .. } => self.lowest(*id),
            _ => 0,
        };
        let from = |id: &NodeId| match self.places[*id].form {
            Form::Wires => self.places[*id].stage + 1,
            _ => self.places[*id].stage,
        };
        let factor = |id: &NodeId| fits(self.graph.nodes[*id].format.bits, low(id));
        let whole = node.inputs.len() == 2 && node.inputs.iter().all(factor) && fits(node.format.bits, shift);
        let stage = node.inputs.iter().map(from).max();
        // Truncation on shares, and products by transfers, are for shares modulo a power of two.
        let modular = matches!(self.modulus, ShareModulus::PowerOfTwo(_));
        stage.filter(|_| self.when == When::Ahead && whole && modular)
    }

    /// The stage in which a product is computed on shares that the server has only then, if it is: where nothing is to be dropped of it, and
    /// nothing but linear layers reads it. Transfers are for shares modulo a power of two.
    fn late_stage(&self, node: &Node, read_by_linear: bool) -> Option<usize> {
        let whole = node.op == Op::Product { shift: 0 } && matches!(node.inputs.len(), 1 | 2);
        let modular = matches!(self.modulus, ShareModulus::PowerOfTwo(_));
        let fits = self.crossed.saturating_add(self.transfers_of(node)) <= MOST_TRANSFERS;
        let stage = node.inputs.iter().map(|input| self.shared_from(*input)).max();
        stage.filter(|_| self.when == When::Online && whole && modular && read_by_linear && fits)
    }

    /// Transfers that a product on shares takes: one for each bit of a mask of each factor.
    fn transfers_of(&self, node: &Node) -> u64 {
        (elements(node) as u64).saturating_mul(u64::from(self.ring) * node.inputs.len() as u64)
    }

    /// The low bits that are yet to be dropped of a tensor that exists as sums: one number, or one for each channel, and the elements
    /// of a channel that stand together.
    pub fn shifts(&self, id: NodeId) -> (&[u32], usize) {
        (&self.lows[id].shifts, self.lows[id].inner)
    }

    /// The most of them.
    fn lowest(&self, id: NodeId) -> u32 {
        self.lows[id].shifts.iter().copied().max().unwrap_or(0)
    }

    /// What [`Program::shifts`] says of a node, from what it says of those before.
    fn low_of(&self, node: &Node, base: Option<usize>) -> Low {
        let low = |shifts: &[u32], inner| Low { shifts: shifts.into(), inner };
        match (&node.op, base.map(|base| &self.lows[node.inputs[base]])) {
            // Sums of sums may be many: those that drop no more share the list.
            (Op::Sum { shift: 0, .. }, Some(below)) => below.clone(),
            (Op::Sum { shift, .. }, Some(below)) => {
                Low { shifts: below.shifts.iter().map(|below| below + shift).collect(), inner: below.inner }
            }
            (Op::Conv { shift, .. }, _) => low(shift, node.shape[2..].iter().product::<usize>().max(1)),
            (Op::Dense { shift, .. }, _) => low(shift, 1),
            (
                Op::Sum { shift, .. }
                | Op::AveragePool { shift, .. }
                | Op::PublicAffine { shift, .. }
                | Op::Affine { shift, .. },
                _,
            ) => low(&[*shift], 1),
            _ => low(&[0], 1),
        }
    }

    fn place_of(&self, node: &Node, read_by_linear: bool, base: Option<usize>) -> (Form, usize) {
        let places = || node.inputs.iter().map(|input| self.places[*input]);
        let all_shared = places().all(|place| place.form == Form::Share);
        let latest = places().map(|place| place.stage).max().unwrap_or(0);
        let shared = node.inputs.iter().map(|input| self.shared_from(*input)).max().unwrap_or(0);
        let sum = |shift: u32| if shift == 0 { Form::Share } else { Form::Sum { guard: 0 } };
        if let Some(base) = base {
            return (Form::Sum { guard: 0 }, self.places[node.inputs[base]].stage);
        }
        if let Some(stage) = self.product_stage(node) {
            return (Form::Share, stage + 1);
        }
        if let Some(stage) = self.late_stage(node, read_by_linear) {
            return (Form::Share, stage);
        }
        let guarded = self.when == When::Online && matches!(self.modulus, ShareModulus::PowerOfTwo(_));
        match &node.op {
            Op::Input | Op::Constant { .. } => (Form::Share, 0),
            // Masked replies round modulo 2^k, those of slots do not.
            Op::Conv { .. } | Op::Dense { .. } => (Form::Sum { guard: u32::from(guarded) }, shared),
            Op::AveragePool { shift, .. } if all_shared => (sum(*shift), latest),
            // A sum: adding shares is free, and giving all of them back costs less than adding in the circuit.
            Op::AveragePool { shift: 0, .. } if read_by_linear => (Form::Share, shared),
            Op::AveragePool { window, shift, .. }
                if window.taps() > POOL_IN_CIRCUIT && places().all(|place| place.form == Form::Wires) =>
            {
                (sum(*shift), shared)
            }
            Op::PublicAffine { shift, .. } | Op::Sum { shift, .. } if all_shared => (sum(*shift), latest),
            Op::Affine { weight: None, shift, .. } if all_shared => (sum(*shift), latest),
            op if op.movement().is_some() && all_shared => (Form::Share, latest),
            // Joining tensors of different stages: on shares, unless a circuit wants the result anyway.
            op if op.movement().is_some()
                && read_by_linear
                && places().any(|place| place.form == Form::Share || place.stage < latest) =>
            {
                (Form::Share, shared)
            }
            _ => (Form::Wires, latest),
        }
    }

    /// Finds what the result depends on.
    fn prune(&mut self) {
        let mut open: Vec<NodeId> = self.revealed().map(|(_, node)| node).collect();
        while let Some(id) = open.pop() {
            if !std::mem::replace(&mut self.places[id].needed, true) {
                open.extend(&self.graph.nodes[id].inputs);
            }
        }
    }

    fn stage(&mut self) {
        let count =
            self.places.iter().filter(|place| place.needed).map(|place| place.stage + 1).max().unwrap_or(0);
        let mut stages = vec![Stage::default(); count];
        for (id, node) in self.graph.nodes.iter().enumerate().filter(|(id, _)| self.places[*id].needed) {
            let place = self.places[id];
            match (&node.op, place.form) {
                (Op::Conv { .. } | Op::Dense { .. }, _) => {
                    stages[place.stage].linear.push(self.linear.len());
                    self.linear.push(id);
                }
                (Op::Input, _) | (_, Form::Wires) => {}
                // A product in the form of shares is computed a stage before these can be used.
                (Op::Product { .. }, _) if self.when == When::Ahead => {
                    stages[place.stage - 1].products.push(id);
                }
                _ if place.base.is_some() => stages[place.stage].merged.push(id),
                _ => stages[place.stage].local.push(id),
            }
        }
        for (number, stage) in stages.iter_mut().enumerate() {
            stage.steps = self.steps(number);
        }
        self.stages = stages;
    }

    /// Whether some reader needs shares of a tensor that has another form at first.
    fn exported(&self, id: NodeId) -> bool {
        let place = self.places[id];
        let needs_share = |reader: &Node, reads: Place| match reads.form {
            // A sum can enter a later circuit as it is.
            Form::Wires => place.form == Form::Wires && reads.stage > place.stage,
            _ if reads.base.is_some() && matches!(place.form, Form::Sum { .. }) => false,
            _ if self.when == When::Ahead
                && matches!(reader.op, Op::Product { .. })
                && matches!(place.form, Form::Sum { .. }) =>
            {
                false
            }
            _ => reader.inputs.contains(&id),
        };
        place.form != Form::Share
            && self.graph.nodes.iter().zip(&self.places).any(|(reader, reads)| {
                reads.needed && reader.inputs.contains(&id) && needs_share(reader, *reads)
            })
    }

    /// The circuit of a stage.
    fn steps(&self, number: usize) -> Vec<Step> {
        let computed = |id: NodeId| {
            let place = self.places[id];
            place.needed && place.form == Form::Wires && place.stage == number
        };
        let count = self.graph.nodes.len();
        // How often each tensor is read as wires, and by whom last.
        let (mut uses, mut reader) = (vec![0; count], vec![0; count]);
        for id in (0..count).filter(|id| computed(*id)) {
            for input in &self.graph.nodes[id].inputs {
                uses[*input] += 1;
                reader[*input] = id;
            }
        }
        let revealed: Vec<(usize, NodeId)> = self.revealed().collect();
        let mut steps = Vec::new();
        for id in 0..count {
            let place = self.places[id];
            let own = place.needed && place.stage == number;
            let reveal = revealed.iter().find(|(_, node)| own && *node == id).map(|(index, _)| *index);
            let export = own && self.exported(id);
            let entry = !computed(id);
            if entry && uses[id] == 0 && reveal.is_none() && !export {
                continue;
            }
            let lonely = entry && uses[id] == 1 && reveal.is_none() && !export;
            if lonely && is_elementwise(&self.graph.nodes[reader[id]].op) {
                continue;
            }
            steps.push(Step { node: id, entry, takes: None, uses: uses[id], export, reveal });
        }
        let present: Vec<NodeId> = steps.iter().map(|step| step.node).collect();
        // What has no step of its own enters with its reader: the first of such operands; others get a step after all.
        let mut late = Vec::new();
        for step in steps.iter_mut().filter(|step| !step.entry) {
            let inputs = &self.graph.nodes[step.node].inputs;
            let mut absent = (0..inputs.len()).filter(|at| present.binary_search(&inputs[*at]).is_err());
            step.takes = absent.next();
            late.extend(absent.map(|at| inputs[at]));
        }
        late.sort_unstable();
        late.dedup();
        let entry =
            |node| Step { node, entry: true, takes: None, uses: uses[node], export: false, reveal: None };
        steps.extend(late.into_iter().map(entry));
        // Entries first, then operations in the graph's order: an entry may be of a tensor behind its readers' operands.
        steps.sort_by_key(|step| (step.node, !step.entry));
        steps
    }

    /// Whether shares of what a step's sums become are computed on shares, but for two carries: where products on shares alone read
    /// them, and the ring has a bit more than the sums' stated width. Beyond that width the reference wraps, as the product will in
    /// any case; only within it the results are the reference's.
    pub fn settles(&self, step: &Step) -> bool {
        let place = self.places[step.node];
        let fits = |shift: &u32| *shift > 0 && self.graph.sum_bits(step.node, *shift) < self.ring;
        let multiplies = |(node, place): (&Node, &Place)| {
            let reads = place.needed && node.inputs.contains(&step.node);
            !reads || place.form == Form::Wires || place.late && matches!(node.op, Op::Product { .. })
        };
        step.entry
            && step.export
            && step.uses == 0
            && step.reveal.is_none()
            && self.when == When::Online
            && matches!(place.form, Form::Sum { .. })
            && matches!(self.modulus, ShareModulus::PowerOfTwo(_))
            && self.shifts(step.node).0.iter().all(fits)
            && self.graph.nodes.iter().zip(&self.places).all(multiplies)
    }

    /// The linear layers as their parameters see them.
    pub fn needs(&self) -> Vec<Need> {
        self.linear.iter().map(|id| need(self.graph, *id)).collect()
    }
}

fn elements(node: &Node) -> usize {
    node.shape.iter().fold(1, |product, axis| product.saturating_mul(*axis))
}

/// Operations whose result at an element depends on the operands' same elements.
pub(super) fn is_elementwise(op: &Op) -> bool {
    matches!(
        op,
        Op::Relu
            | Op::Clamp { .. }
            | Op::LeakyRelu { .. }
            | Op::PRelu { .. }
            | Op::Sigmoid
            | Op::Tanh
            | Op::Affine { .. }
            | Op::PublicAffine { .. }
            | Op::Sum { .. }
            | Op::Product { .. }
    )
}

fn need(graph: &FixedGraph, id: NodeId) -> Need {
    let node = &graph.nodes[id];
    let operand = &graph.nodes[node.inputs[0]].shape;
    match &node.op {
        Op::Conv { window, groups, weight, .. } => Need {
            shape: Shape {
                batch: operand[0],
                channels: operand[1],
                plane: [operand[2], operand[3]],
                filters: node.shape[1],
                groups: *groups,
                kernel: window.kernel,
                stride: window.stride,
                dilation: window.dilation,
                pads: window.pads,
                channels_last: false,
            },
            weight_bits: graph.params[*weight].bits,
        },
        Op::Dense { weight, .. } => {
            let inputs = operand.last().copied().unwrap_or(1);
            let rows = elements(&graph.nodes[node.inputs[0]]) / inputs.max(1);
            let outputs = node.shape.last().copied().unwrap_or(1);
            Need { shape: Shape::dense(rows, inputs, outputs), weight_bits: graph.params[*weight].bits }
        }
        _ => Need { shape: Shape::dense(1, 1, 1), weight_bits: 1 },
    }
}
