//! The garbled circuit of a stage, written once for all interpreters.

use garble::gadgets;
use garble::modulus::ShareModulus;
use garble::projection::Project;
use garble::word::{Bit, Word};
use model::fixed::{NodeId, Op, ParamId};

use super::activations;
use super::lanes::{Lanes, join, ranges, tiles};
use super::program::{Form, Program, Step, is_elementwise};
use crate::error::Error;
use crate::garbled::elementwise::{self, arg_max_of_lanes};
use crate::garbled::pool;
use crate::handshake::Reveal;

/// The operands of a step; one that enters with it is missing.
type Operands<W> = Vec<Option<Word<W>>>;

/// What a circuit asks of the party that runs it, always in the same order.
pub trait Party<G: Project> {
    /// The shares of some elements, `width` bits each: the server's and the client's. `clients` says that the server's is zero,
    /// publicly.
    ///
    /// # Errors
    /// When labels are missing.
    fn enter(&mut self, g: &mut G, entry: &Entry) -> Result<[Word<G::Wires>; 2], G::Error>;

    /// Some of the server's parameters, `bits` bits each.
    ///
    /// # Errors
    /// When labels are missing.
    fn parameter(
        &mut self,
        g: &mut G,
        param: ParamId,
        indices: &[usize],
        bits: u32,
    ) -> Result<Word<G::Wires>, G::Error>;

    /// This party's part of shares of elements whose sums [`Entry::settled`] says, which it computes alone. Only parties that hold shares of
    /// such sums are asked.
    fn settled(&self, entry: &Entry) -> Vec<u64> {
        vec![0; entry.lanes.len()]
    }

    /// Takes this party's shares of some elements of a result.
    fn export(&mut self, node: NodeId, lanes: &Lanes, shares: &[u64]);

    /// Takes a result that the client learns.
    fn reveal(&mut self, g: &mut G, output: usize, word: &Word<G::Wires>);
}

/// Elements that enter.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Their tensor.
    pub node: NodeId,
    /// Which.
    pub lanes: Lanes,
    /// Bits of a share.
    pub width: u32,
    /// Whether the server's share is zero.
    pub clients: bool,
    /// Where sums leave as shares and only carries are computed: the place of the highest bit that counts, which enters last, behind
    /// the low bits (`Run::settle`).
    pub top: Option<u32>,
}

impl Entry {
    /// A share whose bits enter, in order: for carries the low ones, and behind them the highest.
    pub fn entering(&self, share: u64) -> u64 {
        match self.top {
            Some(top) => {
                let low = self.width - 1;
                share & !(u64::MAX << low) | (share >> top & 1) << low
            }
            None => share,
        }
    }

    /// What the server adds to its share before it enters, so that sums are not negative.
    pub fn lift(&self) -> u64 {
        self.top.map_or(0, |top| 1 << (top - 1))
    }

    /// A party's share of sums without their low bits, from its share of the sums, but for carries.
    pub fn settle(&self, share: u64) -> u64 {
        let bits = self.top.map_or(64, |top| top + 1);
        (share & u64::MAX >> (64 - bits)) >> (self.width - 1)
    }
}

/// The tiles in which a tensor enters, and how many low bits are dropped of each.
fn entries(program: &Program, node: NodeId) -> Vec<(u32, Lanes)> {
    match program.places[node].form {
        Form::Sum { guard } => {
            let (shifts, inner) = program.shifts(node);
            let tiles = tiles(program.elements(node), (shifts.to_vec(), inner));
            tiles.into_iter().map(|(shift, lanes)| (shift + guard, lanes)).collect()
        }
        _ => ranges(program.elements(node)).into_iter().map(|lanes| (0, lanes)).collect(),
    }
}

/// Bits of a tensor's shares that count when elements enter a circuit of which `drop` low bits are dropped.
fn kept_bits(program: &Program, node: NodeId, drop: u32) -> u32 {
    match program.places[node].form {
        Form::Sum { guard } => program.graph.sum_bits(node, drop.saturating_sub(guard)) + guard,
        _ => program.places[node].bits,
    }
}

/// What a tensor's shares are modulo before a circuit.
pub fn share_modulus(program: &Program, node: NodeId) -> ShareModulus {
    match (program.places[node].form, program.modulus) {
        (Form::Sum { guard }, ShareModulus::PowerOfTwo(ring)) => ShareModulus::PowerOfTwo(ring + guard),
        (_, modulus) => modulus,
    }
}

/// A circuit under way.
struct Run<'a, G: Project, P> {
    program: &'a Program<'a>,
    g: &'a mut G,
    party: &'a mut P,
    /// Tensors that later steps read, and how often.
    words: Vec<Option<(Word<G::Wires>, usize)>>,
}

/// Runs the circuit of a stage.
///
/// # Errors
/// When the stream of tables or labels fails, or the program is not one that was made for this graph.
pub fn run<G: Project, P: Party<G>>(
    g: &mut G,
    program: &Program,
    stage: usize,
    party: &mut P,
) -> Result<(), G::Error>
where
    G::Error: From<Error>,
{
    let words = (0..program.graph.nodes.len()).map(|_| None).collect();
    let mut run = Run { program, g, party, words };
    for step in &program.stages[stage].steps {
        run.step(step)?;
    }
    Ok(())
}

impl<G: Project, P: Party<G>> Run<'_, G, P>
where
    G::Error: From<Error>,
{
    fn step(&mut self, step: &Step) -> Result<(), G::Error> {
        let node = &self.program.graph.nodes[step.node];
        if step.entry {
            let tiles = entries(self.program, step.node);
            if self.program.settles(step) {
                return tiles.iter().try_for_each(|(drop, lanes)| self.settle(step.node, *drop, lanes));
            }
            return self.in_tiles(step, tiles, |run, drop, lanes| run.enter(step.node, drop, lanes));
        }
        if is_elementwise(&node.op) {
            let tiles = match step.takes {
                Some(at) => entries(self.program, node.inputs[at]),
                None => {
                    ranges(self.program.elements(step.node)).into_iter().map(|lanes| (0, lanes)).collect()
                }
            };
            let operands = self.operands(step)?;
            return self.in_tiles(step, tiles, |run, drop, lanes| {
                let mut words = Vec::with_capacity(operands.len());
                for (at, operand) in operands.iter().enumerate() {
                    words.push(match operand {
                        Some(word) => lanes.of(run.g, word),
                        None => run.enter(node.inputs[at], drop, lanes)?,
                    });
                }
                activations::elementwise(run.g, run.program, (step.node, node), (&words, lanes), run.party)
            });
        }
        let operands: Vec<Word<G::Wires>> = self.operands(step)?.into_iter().flatten().collect();
        let word = self.whole(step.node, &operands)?;
        drop(operands);
        let tiles = ranges(word.lanes()).into_iter().map(|lanes| (0, lanes)).collect();
        self.in_tiles(step, tiles, |run, _, lanes| Ok(lanes.of(run.g, &word)))
    }

    /// Operations that look at more than one element.
    fn whole(&mut self, id: NodeId, operands: &[Word<G::Wires>]) -> Result<Word<G::Wires>, G::Error> {
        let (program, g) = (self.program, &mut *self.g);
        let node = &program.graph.nodes[id];
        let Some(x) = operands.first() else { return Err(misfit().into()) };
        match &node.op {
            Op::MaxPool { window } => pool::max(g, (program.graph, node), window, x),
            Op::AveragePool { window, factor, shift } => {
                activations::average(g, program, (id, node), (window, factor, *shift), x)
            }
            Op::ArgMax { axis, last } => elementwise::arg_max(g, (program.graph, node), (*axis, *last), x),
            _ => Ok(elementwise::moved(g, program.graph, node, operands)),
        }
    }

    /// The operands of a step as words; the one that enters with it is missing.
    fn operands(&mut self, step: &Step) -> Result<Operands<G::Wires>, G::Error> {
        let inputs = &self.program.graph.nodes[step.node].inputs;
        let mut operands = Vec::with_capacity(inputs.len());
        for (at, input) in inputs.iter().enumerate() {
            if step.takes == Some(at) {
                operands.push(None);
                continue;
            }
            let Some((word, uses)) = &mut self.words[*input] else { return Err(misfit().into()) };
            operands.push(Some(word.clone()));
            *uses -= 1;
            if *uses == 0 {
                self.words[*input] = None;
            }
        }
        Ok(operands)
    }

    /// Elements that exist in shares, their low bits dropped.
    fn enter(&mut self, node: NodeId, drop: u32, lanes: &Lanes) -> Result<Word<G::Wires>, G::Error> {
        let clients = self.program.places[node].clients;
        let kept = kept_bits(self.program, node, drop);
        // Modulo 2^k the low bits of shares are shares of the low bits.
        let modulus = match self.program.modulus {
            ShareModulus::PowerOfTwo(_) => ShareModulus::PowerOfTwo(kept),
            odd => odd,
        };
        let entry = Entry { node, lanes: lanes.clone(), width: modulus.bits(), clients, top: None };
        let [mut servers, clients] = self.party.enter(self.g, &entry)?;
        if entry.clients {
            servers = Word::public(modulus.entering(0) as i64, entry.width as usize, lanes.len());
        }
        let word = gadgets::reconstruct_modulo(self.g, (&servers, &clients), &modulus, drop as usize)?;
        let left = kept.saturating_sub(drop).max(1) as usize;
        Ok(gadgets::resize(&word, word.width().min(left)))
    }

    /// Shares of elements that exist as sums and are read as shares alone, their low bits dropped. Lifted so that they are not
    /// negative, sums of w bits have shares modulo `2^(w+1)` whose highest bits say whether they wrap: exactly where one of them is set. So
    /// the parties drop the low bits of shares each alone, and a circuit gives the two carries, from the low bits and the highest.
    fn settle(&mut self, node: NodeId, drop: u32, lanes: &Lanes) -> Result<(), G::Error> {
        let ring = self.program.ring;
        let top = kept_bits(self.program, node, drop);
        let entry = Entry { node, lanes: lanes.clone(), width: drop + 1, clients: false, top: Some(top) };
        let [servers, clients] = self.party.enter(self.g, &entry)?;
        let mut carry = Bit::Public(false);
        for place in 0..drop as usize {
            carry = carry.carry(self.g, &servers.bit(place), &clients.bit(place))?;
        }
        let wrap = servers.sign().or(self.g, &clients.sign())?;
        let mut shares = self.party.settled(&entry);
        // A wrap counts `2^(top + 1 - drop)`.
        let parts = [(carry, 0), (wrap, top + 1 - drop)];
        for (bit, place) in parts.into_iter().filter(|(_, place)| *place < ring) {
            let word = Word::new(vec![bit, Bit::Public(false)], lanes.len());
            let part = self.g.project(&word, ring - place)?;
            for (share, part) in shares.iter_mut().zip(part) {
                let part = part << place;
                *share = if place == 0 { share.wrapping_add(part) } else { share.wrapping_sub(part) };
            }
        }
        shares.iter_mut().for_each(|share| *share = self.program.modulus.reduce(*share));
        self.party.export(node, lanes, &shares);
        Ok(())
    }

    /// Computes a tensor tile by tile, and hands each to whom it is for.
    fn in_tiles(
        &mut self,
        step: &Step,
        tiles: Vec<(u32, Lanes)>,
        mut compute: impl FnMut(&mut Self, u32, &Lanes) -> Result<Word<G::Wires>, G::Error>,
    ) -> Result<(), G::Error> {
        let keep = step.uses > 0 || step.reveal.is_some();
        let mut words = Vec::new();
        for (drop, lanes) in &tiles {
            let word = compute(self, *drop, lanes)?;
            if step.export {
                let shares = self.g.project_modulo(&word, &self.program.modulus)?;
                self.party.export(step.node, lanes, &shares);
            }
            if keep {
                words.push(word);
            }
        }
        if keep {
            let lanes: Vec<Lanes> = tiles.into_iter().map(|(_, lanes)| lanes).collect();
            let word = join(self.g, &lanes, &words, self.program.elements(step.node));
            drop(words);
            if let Some(output) = step.reveal {
                let shown = match self.program.reveal {
                    Reveal::Scores => word.clone(),
                    Reveal::Label => arg_max_of_lanes(self.g, &word)?,
                };
                self.party.reveal(self.g, output, &shown);
            }
            if step.uses > 0 {
                self.words[step.node] = Some((word, step.uses));
            }
        }
        Ok(())
    }
}

fn misfit() -> Error {
    Error::Refused("the stages do not fit the graph".into())
}
