//! The server's half: it evaluates, with the weights as its private inputs.

use std::ops::Range;
use std::sync::mpsc::{Receiver as Queue, SyncSender, sync_channel};
use std::thread;

use garble::evaluator::Evaluator;
use garble::labels::{ActiveLabels, Labels};
use kernel::seed::Seed;
use model::fixed::{FixedGraph, Node, ParamId, Params};
use ot::softspoken::{Receiver, ReceiverSetup, SetupRequest, Width};
use zeroize::Zeroizing;

use super::client::{self, OutputWord};
use super::schedule::{Secrets, choices};
use super::shared::join;
use super::spill::spill;
use super::split::Split;
use super::transfers::{CHUNK, Chunk, Reader};
use super::walk::{Observer, walk};
use super::weights::{Encoding, Weights};
use super::wire::{self, Start, TableReader};
use super::{FirstLayer, Options, check, inputs, products};
use crate::error::Error;
use crate::frame::Length;
use crate::handshake::Reveal;
use crate::meter::{Meter, Phase};
use crate::session::{Inbox, Outbox, Session};

/// Chunks of transfers that the feeding thread may be ahead of the evaluation: they bound its memory.
const AHEAD: usize = 4;

/// Serves one prediction of a validated plan with the parameters that it describes. All secrets derive from `seed`, which must be
/// fresh.
///
/// # Errors
/// When the plan is too large (see [`check`]), or the session fails.
pub fn predict(
    plan: &FixedGraph,
    options: Options,
    params: &Params,
    reveal: Reveal,
    session: &mut Session,
    seed: &Seed,
) -> Result<(), Error> {
    check(plan, reveal, options.first_layer)?;
    let split = &Split::agreed(plan, options);
    let mut receiver = set_up(session, options, seed)?;
    let mut shares = Vec::new();
    for (number, product) in (0..).zip(&split.products) {
        session.meter.enter(Phase::Online, &plan.nodes[product.node].name);
        let share = products::draw(product, &seed.child("garbled/shares", number));
        let ends = (&mut session.inbox, &mut session.outbox);
        products::server(product, params, &share, &mut receiver, ends)?;
        shares.push(share);
    }
    let secrets = Secrets { params, shares: &shares };
    let outputs = run((plan, split), &secrets, reveal, session, receiver)?;
    session.meter.enter(Phase::Online, "result");
    let colours: Vec<bool> = outputs.iter().flat_map(OutputWord::colours).collect();
    session.outbox.send(wire::COLOURS, &wire::pack(&colours))?;
    session.outbox.flush()
}

/// Evaluates a prediction that a proxy garbles, of whose input this party has a share ([`super::shared`]); returns the outputs' colours,
/// output by output, bit by bit. All secrets derive from `seed`, which must be fresh.
///
/// # Errors
/// When the plan is too large or is not one for a proxy, or the session fails.
pub fn evaluate_shared(
    plan: &FixedGraph,
    options: Options,
    (params, share): (&Params, &[Vec<i64>]),
    reveal: Reveal,
    session: &mut Session,
    seed: &Seed,
) -> Result<Vec<bool>, Error> {
    let split = &Split::agreed(plan, options);
    check(plan, reveal, FirstLayer::Garbled)?;
    if !split.shared {
        return Err(Error::Refused("the plan is not one for a proxy".into()));
    }
    let receiver = set_up(session, options, seed)?;
    let shares: Vec<Zeroizing<Vec<i64>>> =
        share.iter().map(|values| Zeroizing::new(values.clone())).collect();
    let secrets = Secrets { params, shares: &shares };
    let outputs = run((plan, split), &secrets, reveal, session, receiver)?;
    Ok(std::mem::take(&mut *client::dense(&outputs, plan, reveal, false)))
}

/// The circuit: a thread feeds the transfers, this one evaluates.
fn run(
    plan: (&FixedGraph, &Split),
    secrets: &Secrets<'_>,
    reveal: Reveal,
    session: &mut Session,
    receiver: Receiver,
) -> Result<Vec<OutputWord>, Error> {
    let Session { outbox, inbox, meter } = session;
    meter.enter(Phase::Online, "input");
    let (chunks, queue) = sync_channel(AHEAD);
    // The extension messages depend on nothing that the client sends from here on.
    outbox.pin();
    let outputs = thread::scope(|scope| {
        let outbox = &mut *outbox;
        let feeder = scope.spawn(move || feed(plan, secrets, reveal, outbox, receiver, chunks));
        let outputs = evaluate(plan, reveal, (inbox, meter), queue);
        let fed =
            feeder.join().unwrap_or_else(|_| Err(Error::Refused("a thread of the server failed".into())));
        match (outputs, fed) {
            // The evaluation only starved, for a reason that the feeder knows.
            (Err(Error::Refused(_)), Err(error)) => Err(error),
            // Otherwise it has read what the peer said last.
            (Err(error), _) | (Ok(_), Err(error)) => Err(error),
            (Ok(outputs), Ok(())) => Ok(outputs),
        }
    })?;
    outbox.unpin();
    Ok(outputs)
}

fn set_up(session: &mut Session, options: Options, seed: &Seed) -> Result<Receiver, Error> {
    let suite = options.base_ot.suite();
    let request = session.inbox.recv(wire::REQUEST, Length::Exactly(SetupRequest::encoded_len(suite)))?;
    let request = SetupRequest::decode(&request)?;
    if request.width() != Width::DEFAULT || request.suite() != suite {
        return Err(Error::malformed("transfer request", "another width or base transfer than was agreed"));
    }
    let (receiver, reply) = ReceiverSetup::respond(&request, &seed.child("garbled/transfers", 0));
    session.outbox.send(wire::REPLY, &reply.encode())?;
    session.outbox.flush()?;
    Ok(receiver)
}

/// Why the feeder stops.
enum Stop {
    /// The evaluation is over, and says why itself.
    Unwanted,
    Failed(Error),
}

/// Sends extension messages for the weights in the circuit's order, and hands the labels to the evaluation.
fn feed(
    plan: (&FixedGraph, &Split),
    secrets: &Secrets<'_>,
    reveal: Reveal,
    outbox: &mut Outbox,
    mut receiver: Receiver,
    chunks: SyncSender<Chunk>,
) -> Result<(), Error> {
    let mut send = |bits: Vec<bool>| {
        let mut chunk = Chunk { labels: Vec::new(), bits };
        extend(&mut receiver, outbox, &mut chunk).map_err(Stop::Failed)?;
        chunks.send(chunk).map_err(|_| Stop::Unwanted)
    };
    let mut pending = Zeroizing::new(Vec::with_capacity(CHUNK));
    let walked = choices(plan, secrets, reveal, &mut |mut bits| {
        while !bits.is_empty() {
            let (now, later) = bits.split_at(bits.len().min(CHUNK - pending.len()));
            pending.extend_from_slice(now);
            bits = later;
            if pending.len() == CHUNK {
                send(std::mem::replace(&mut pending, Vec::with_capacity(CHUNK)))?;
            }
        }
        Ok(())
    });
    let rest = std::mem::take(&mut *pending);
    match walked.and_then(|()| if rest.is_empty() { Ok(()) } else { send(rest) }) {
        Ok(()) | Err(Stop::Unwanted) => Ok(()),
        Err(Stop::Failed(error)) => Err(error),
    }
}

/// Runs the transfers of a chunk's bits.
fn extend(receiver: &mut Receiver, outbox: &mut Outbox, chunk: &mut Chunk) -> Result<(), Error> {
    let packed = Zeroizing::new(wire::pack(&chunk.bits));
    let (message, labels) = receiver.extend(&packed, chunk.bits.len())?;
    chunk.labels = labels;
    outbox.send(wire::EXTENSION, &message.encode())?;
    outbox.flush()
}

/// Evaluates the network; returns the colours of its outputs.
fn evaluate(
    plan: (&FixedGraph, &Split),
    reveal: Reveal,
    (inbox, meter): (&mut Inbox, &Meter),
    queue: Queue<Chunk>,
) -> Result<Vec<OutputWord>, Error> {
    let start = Start::receive(inbox)?;
    let mut gates = Evaluator::new(start.hash, TableReader::new(inbox)).spilling(spill()?);
    let mut active = ActiveLabels::new(start.input);
    let words = inputs::words(plan, |_, _, lanes| gates.input(&mut active, lanes));
    // A closed queue means that the feeding thread has failed; its error is the one that is told.
    let closed = || Error::Refused("the weights' transfers ended early".into());
    let reader = Reader::new(|| queue.recv().map_err(|_| closed()));
    let mut weights = Transfers { reader, active };
    let words = join(&mut gates, &mut weights, plan, words)?;
    let outputs = walk(&mut gates, plan, words, &mut weights, reveal, &mut Watch(meter))?;
    gates.source().finish()?;
    let colours = outputs.iter().map(|word| OutputWord::of(word, |wire| gates.colours(wire))).collect();
    gates.check()?;
    Ok(colours)
}

struct Transfers<F> {
    reader: Reader<F>,
    active: ActiveLabels,
}

impl<F: FnMut() -> Result<Chunk, Error>> Weights<Evaluator<TableReader<'_>>> for Transfers<F> {
    fn load(
        &mut self,
        gates: &mut Evaluator<TableReader<'_>>,
        _param: ParamId,
        indices: &[usize],
        encoding: Encoding,
    ) -> Result<Vec<Labels>, Error> {
        let wire = |_| {
            let chunk = self.reader.take(indices.len())?;
            Ok(gates.known(&chunk.labels, &chunk.bits))
        };
        (0..encoding.wires()).map(wire).collect()
    }

    fn garblers_share(
        &mut self,
        gates: &mut Evaluator<TableReader<'_>>,
        _product: usize,
        lanes: Range<usize>,
        bits: u32,
    ) -> Result<Vec<Labels>, Error> {
        Ok((0..bits).map(|_| gates.input(&mut self.active, lanes.len())).collect())
    }
}

/// Accounts to layers.
struct Watch<'a>(&'a Meter);

impl<G> Observer<G> for Watch<'_> {
    fn node(&mut self, _gates: &G, node: &Node) {
        self.0.enter(Phase::Online, &node.name);
    }
}
