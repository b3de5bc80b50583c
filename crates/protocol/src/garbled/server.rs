//! The server's half: it evaluates, with the weights as its private inputs.

use std::sync::mpsc::{Receiver as Queue, SyncSender, sync_channel};
use std::thread;

use garble::evaluator::Evaluator;
use garble::labels::{ActiveLabels, Labels};
use kernel::seed::Seed;
use model::fixed::{FixedGraph, Node, ParamId, Params};
use ot::base::Suite;
use ot::softspoken::{Receiver, ReceiverSetup, SetupRequest};
use zeroize::Zeroize;

use super::client::OutputWord;
use super::inputs;
use super::schedule::{choices, price};
use super::transfers::{CHUNK, Chunk, Reader};
use super::walk::{Observer, walk};
use super::weights::{Encoding, Weights};
use super::wire::{self, Start, TableReader};
use crate::error::Error;
use crate::frame::Length;
use crate::handshake::Reveal;
use crate::meter::{Meter, Phase};
use crate::session::{Inbox, Outbox, Session};

/// Chunks of transfers that the feeding thread may be ahead of the evaluation: they bound its memory.
const AHEAD: usize = 4;

/// Serves one prediction of a validated plan. All secrets derive from `seed`, which must be fresh.
///
/// # Errors
/// When the session fails.
pub fn predict(
    plan: &FixedGraph,
    params: &Params,
    reveal: Reveal,
    session: &mut Session,
    seed: &Seed,
) -> Result<(), Error> {
    let price = price(plan, reveal);
    let receiver = set_up(session, seed)?;
    let Session { outbox, inbox, meter } = session;
    meter.enter(Phase::Online, "input");
    let (chunks, queue) = sync_channel(AHEAD);
    // The extension messages depend on nothing that the client sends from here on.
    outbox.pin();
    let outputs = thread::scope(|scope| {
        let outbox = &mut *outbox;
        let feeder = scope.spawn(move || feed(plan, params, reveal, outbox, receiver, chunks));
        let outputs = evaluate(plan, reveal, (inbox, meter), queue, price.table_bytes);
        match feeder.join() {
            Ok(Ok(())) => outputs,
            // Where the feeder failed, the evaluation only starved.
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::Refused("a thread of the server failed".into())),
        }
    })?;
    outbox.unpin();
    meter.enter(Phase::Online, "result");
    let colours: Vec<bool> = outputs.iter().flat_map(OutputWord::colours).collect();
    outbox.send(wire::COLOURS, &wire::pack(&colours))?;
    outbox.flush()
}

fn set_up(session: &mut Session, seed: &Seed) -> Result<Receiver, Error> {
    let request =
        session.inbox.recv(wire::REQUEST, Length::Exactly(SetupRequest::encoded_len(Suite::Ristretto255)))?;
    let request = SetupRequest::decode(&request)?;
    let (receiver, reply) = ReceiverSetup::respond(&request, &seed.child("garbled/transfers", 0));
    session.outbox.send(wire::REPLY, &reply.encode())?;
    session.outbox.flush()?;
    Ok(receiver)
}

/// Sends extension messages for the weights in the circuit's order, and hands the labels to the evaluation.
fn feed(
    plan: &FixedGraph,
    params: &Params,
    reveal: Reveal,
    outbox: &mut Outbox,
    mut receiver: Receiver,
    chunks: SyncSender<Chunk>,
) -> Result<(), Error> {
    let mut pending: Vec<bool> = Vec::with_capacity(CHUNK);
    let mut result = Ok(true);
    let mut send = |bits: Vec<bool>| -> Result<bool, Error> {
        let (message, labels) = receiver.extend(&wire::pack(&bits), bits.len())?;
        outbox.send(wire::EXTENSION, &message.encode())?;
        outbox.flush()?;
        // A closed queue means that the evaluation has failed, and says why itself.
        Ok(chunks.send(Chunk { labels, bits }).is_ok())
    };
    choices(plan, params, reveal, &mut |mut bits| {
        while let Ok(true) = result {
            let (now, later) = bits.split_at(bits.len().min(CHUNK - pending.len()));
            pending.extend_from_slice(now);
            bits = later;
            if pending.len() < CHUNK {
                break;
            }
            result = send(std::mem::replace(&mut pending, Vec::with_capacity(CHUNK)));
        }
        matches!(result, Ok(true))
    });
    if matches!(result, Ok(true)) && !pending.is_empty() {
        result = send(std::mem::take(&mut pending));
    }
    pending.zeroize();
    result.map(|_| ())
}

/// Evaluates the network; returns the colours of its outputs.
fn evaluate(
    plan: &FixedGraph,
    reveal: Reveal,
    (inbox, meter): (&mut Inbox, &Meter),
    queue: Queue<Chunk>,
    table_bytes: u64,
) -> Result<Vec<OutputWord>, Error> {
    let start = Start::receive(inbox)?;
    let mut gates = Evaluator::new(start.hash, TableReader::new(inbox, table_bytes));
    let mut active = ActiveLabels::new(start.input);
    let words = inputs::words(plan, |_, _, lanes| gates.input(&mut active, lanes));
    // A closed queue means that the feeding thread has failed; its error is the one that is told.
    let closed = || Error::Refused("the weights' transfers ended early".into());
    let mut weights = Transfers { reader: Reader::new(|| queue.recv().map_err(|_| closed())) };
    let outputs = walk(&mut gates, plan, words, &mut weights, reveal, &mut Watch(meter))?;
    Ok(outputs.iter().map(|word| OutputWord::of(word, |wire| gates.colours(wire))).collect())
}

struct Transfers<F> {
    reader: Reader<F>,
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
}

/// Accounts to layers.
struct Watch<'a>(&'a Meter);

impl Observer for Watch<'_> {
    fn node(&mut self, _index: usize, node: &Node) {
        self.0.enter(Phase::Online, &node.name);
    }
}
