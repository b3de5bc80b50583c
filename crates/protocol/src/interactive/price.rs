//! What circuits cost, and in which order shares enter them: the circuits' own walk under the counting interpreter.

use garble::count::{CountedWires, Counter, Counts};
use garble::word::{Bit, Word};
use model::fixed::{FixedGraph, NodeId, ParamId};
use ot::ferret::{CorrectionMessage, RESERVE};
use ot::softspoken::message_len;
use serde::Serialize;

use super::circuit::{Entry, Party, run};
use super::lanes::Lanes;
use super::products::Quadratic;
use super::program::{Program, is_elementwise};
use super::transfers::{Batches, SILENT_FROM};
use crate::error::Error;
use crate::garbled::client::OutputWord;
use crate::handshake::Reveal;

/// A stage's circuit, counted.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// What enters, in order.
    pub entries: Vec<Entry>,
    /// Bits of the client that enter.
    pub late: usize,
    /// Rows of tables.
    pub rows: usize,
    /// Wires that the client learns the value of.
    pub colours: usize,
    /// The words that it learns, with their outputs.
    pub shown: Vec<(usize, OutputWord)>,
    /// Bits of the server's parameters that enter.
    pub secret: usize,
    /// Gates.
    pub counts: Counts,
}

/// Most bits that enter one circuit, and most rows of its tables: 16 GiB each.
const MOST: u64 = 1 << 30;

/// Collects what the walk asks for.
#[derive(Default)]
struct Counting {
    entries: Vec<Entry>,
    late: u64,
    colours: usize,
    shown: Vec<(usize, OutputWord)>,
    secret: u64,
}

impl Party<Counter<Error>> for Counting {
    fn enter(&mut self, g: &mut Counter<Error>, entry: &Entry) -> Result<[Word<CountedWires>; 2], Error> {
        let lanes = entry.lanes.len();
        self.late += u64::from(entry.width) * lanes as u64;
        if self.late > MOST || g.counts().table_bytes() / size_of::<kernel::block::Block>() as u64 > MOST {
            return Err(Error::Refused("a layer of the network is too large for this protocol".into()));
        }
        self.entries.push(entry.clone());
        let client = Word::from_wires(vec![g.input(lanes); entry.width as usize], lanes);
        let server =
            if entry.clients { Word::public(0, entry.width as usize, lanes) } else { client.clone() };
        Ok([server, client])
    }

    fn parameter(
        &mut self,
        g: &mut Counter<Error>,
        _param: ParamId,
        indices: &[usize],
        bits: u32,
    ) -> Result<Word<CountedWires>, Error> {
        self.secret += indices.len() as u64 * u64::from(bits);
        Ok(Word::from_wires(vec![g.input(indices.len()); bits as usize], indices.len()))
    }

    fn export(&mut self, _node: NodeId, _lanes: &Lanes, _shares: &[u64]) {}

    fn reveal(&mut self, _g: &mut Counter<Error>, output: usize, word: &Word<CountedWires>) {
        let wires = word.bits().iter().filter(|bit| matches!(bit, Bit::Wire(_)));
        self.colours += wires.count() * word.lanes();
        if self.colours as u64 <= MOST {
            self.shown.push((output, OutputWord::of(word, |_| vec![false; word.lanes()])));
        }
    }
}

impl Survey {
    /// Counts the circuit of a stage.
    ///
    /// # Errors
    /// If it is too large.
    pub fn new(program: &Program, stage: usize) -> Result<Self, Error> {
        let (mut g, mut party) = (Counter::<Error>::default(), Counting::default());
        run(&mut g, program, stage, &mut party)?;
        let counts = g.counts();
        let rows = counts.table_bytes() / size_of::<kernel::block::Block>() as u64;
        if rows > MOST || party.colours as u64 > MOST || party.secret > MOST {
            return Err(Error::Refused("a layer of the network is too large for this protocol".into()));
        }
        Ok(Self {
            entries: party.entries,
            late: party.late as usize,
            rows: rows as usize,
            colours: party.colours,
            shown: party.shown,
            secret: party.secret as usize,
            counts,
        })
    }
}

/// What a network's circuits cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Price {
    /// Stages: each is two round trips.
    pub stages: usize,
    /// Elements that are worked on one by one: ReLUs and the like, in circuits, and products.
    pub activations: u64,
    /// Bits of the client's shares that enter: a transfer before, and 16 bytes and a bit once the input is known.
    pub late_bits: u64,
    /// Transfers of products on shares, before the input is known.
    pub crossed: u64,
    /// Bytes that the server sends for them.
    pub crossed_bytes: u64,
    /// Bytes that the client sends for products on shares once the input is known.
    pub opened_bytes: u64,
    /// Bytes of garbled tables.
    pub table_bytes: u64,
    /// AND gates.
    pub ands: u64,
}

impl Price {
    /// Both together.
    fn plus(self, other: &Self) -> Self {
        Self {
            stages: self.stages + other.stages,
            activations: self.activations + other.activations,
            late_bits: self.late_bits + other.late_bits,
            crossed: self.crossed + other.crossed,
            crossed_bytes: self.crossed_bytes + other.crossed_bytes,
            opened_bytes: self.opened_bytes + other.opened_bytes,
            table_bytes: self.table_bytes + other.table_bytes,
            ands: self.ands + other.ands,
        }
    }

    /// Whether silent transfers are worth their reserve.
    pub fn silent(&self) -> bool {
        self.late_bits >= SILENT_FROM
    }

    /// Bytes that the client and the server send before the input is known: transfers, tables, products.
    pub fn offline_bytes(&self) -> [u64; 2] {
        let [late, crossed] =
            [self.late_bits, self.crossed].map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        let products = if crossed == 0 { 0 } else { message_len(crossed) as u64 };
        let server = self.table_bytes + self.crossed_bytes;
        if self.silent() {
            let corrections = Batches::default().before(late) * CorrectionMessage::ENCODED_LEN;
            [products + message_len(RESERVE) as u64, server + corrections as u64]
        } else {
            [products + message_len(late) as u64, server]
        }
    }

    /// Bytes that the client and the server send for activations once the input is known: corrections and masked
    /// factors, and labels.
    pub fn online_bytes(&self) -> [u64; 2] {
        [
            self.late_bits.div_ceil(8) + self.opened_bytes,
            self.late_bits.saturating_mul(size_of::<kernel::block::Block>() as u64),
        ]
    }
}

/// Prices the circuits of a graph.
///
/// # Errors
/// If the engine does not take it.
pub fn price(graph: &FixedGraph, reveal: Reveal) -> Result<Price, Error> {
    price_of(&Program::new(graph, reveal)?)
}

/// Prices the circuits of a program.
///
/// # Errors
/// If one is too large.
pub(super) fn price_of(program: &Program) -> Result<Price, Error> {
    (0..program.stages.len()).try_fold(Price::default(), |sum, number| {
        Ok(sum.plus(&stage_price(program, number, &Survey::new(program, number)?)))
    })
}

/// Prices the circuit of a stage, and the products on shares before it.
pub(super) fn stage_price(program: &Program, number: usize, survey: &Survey) -> Price {
    let (graph, stage) = (program.graph, &program.stages[number]);
    let computed =
        stage.steps.iter().filter(|step| !step.entry && is_elementwise(&graph.nodes[step.node].op));
    let computed = computed.map(|step| program.elements(step.node) as u64);
    let mut price = Price {
        stages: 1,
        activations: computed.sum(),
        late_bits: survey.late as u64,
        table_bytes: survey.counts.table_bytes(),
        ands: survey.counts.ands,
        ..Price::default()
    };
    for product in Quadratic::of(program, number) {
        price.activations += product.count as u64;
        price.crossed += product.transfers() as u64;
        price.crossed_bytes += product.sent_bytes();
        price.opened_bytes += product.opened_bytes();
    }
    price
}
