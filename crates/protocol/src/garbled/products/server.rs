//! The server's half: it knows the weights, and chooses by their bits.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use kernel::block::Block;
use kernel::prg::Prg;
use kernel::seed::Seed;
use model::fixed::Params;
use ot::random::Pads;
use ot::softspoken::Receiver;
use zeroize::Zeroizing;

use super::bits::{Reader, Writer};
use super::{Cut, SHARES, mask, stretch, word};
use crate::error::Error;
use crate::frame::Length;
use crate::garbled::split::Product;
use crate::garbled::tiles::blocks;
use crate::garbled::wire;
use crate::session::{Inbox, Outbox};

/// Chunks of transfers that the sending thread may be ahead: they bound its memory.
const AHEAD: usize = 4;

/// The server's shares of a product's results: uniform modulo `2^bits`.
pub fn draw(product: &Product, seed: &Seed) -> Zeroizing<Vec<i64>> {
    let mut prg = Prg::new(seed);
    let mut shares = Zeroizing::new(vec![0i64; product.elements()]);
    for share in shares.iter_mut() {
        *share = (prg.block().0 as u64 & mask(product.bits)) as i64;
    }
    shares
}

/// Runs the transfers of one product, so that the client's share is the result less `shares`.
///
/// # Errors
/// When the session fails.
pub fn server(
    product: &Product,
    params: &Params,
    shares: &[i64],
    receiver: &mut Receiver,
    (inbox, outbox): (&mut Inbox, &mut Outbox),
) -> Result<(), Error> {
    let cut = Cut::new(product);
    let pads = Pads::new(receiver.session());
    let mut work = Work::new(product);
    // The extension messages depend on nothing that the client sends from here on.
    outbox.pin();
    thread::scope(|scope| {
        let (sender, queue) = sync_channel::<Strings>(AHEAD);
        let (cut, outbox) = (&cut, &mut *outbox);
        let feeder = scope.spawn(move || feed(cut, params, receiver, outbox, sender));
        let worked = cut.chunks().try_for_each(|chunk| {
            let Ok(Strings { first, strings, bits }) = queue.recv() else { return Err(starved(inbox)) };
            let strings = Zeroizing::new(pads.of_receiver(first, &strings));
            work.chunk(cut, chunk, (&strings, &bits), inbox)
        });
        drop(queue);
        let fed =
            feeder.join().unwrap_or_else(|_| Err(Error::Refused("a thread of the server failed".into())));
        match (worked, fed) {
            (Err(Error::Refused(_)), Err(error)) => Err(error),
            (worked, fed) => worked.and(fed),
        }
    })?;
    outbox.unpin();
    work.send(params, shares, outbox)
}

/// Why the feeding thread has failed: what the client said last, or what the thread says itself.
fn starved(inbox: &mut Inbox) -> Error {
    let words = inbox.recv(wire::PRODUCTS, Length::AtMost(0));
    words.err().unwrap_or_else(|| Error::Refused("the weights' transfers ended early".into()))
}

/// What the transfers of a chunk give.
struct Strings {
    first: u64,
    strings: Zeroizing<Vec<Block>>,
    bits: Zeroizing<Vec<bool>>,
}

/// Sends the extension messages for the weights' bits.
fn feed(
    cut: &Cut<'_>,
    params: &Params,
    receiver: &mut Receiver,
    outbox: &mut Outbox,
    queue: SyncSender<Strings>,
) -> Result<(), Error> {
    let product = cut.product;
    let weights = &params.tensors[product.weight];
    for chunk in cut.chunks() {
        let bits = chunk.flat_map(|turn| {
            let weight = weights.get(cut.place(turn));
            (0..product.weight_bits).map(move |bit| weight >> bit & 1 == 1)
        });
        let bits = Zeroizing::new(bits.collect::<Vec<bool>>());
        let first = receiver.position();
        let (message, strings) = receiver.extend(&Zeroizing::new(wire::pack(&bits)), bits.len())?;
        outbox.send(wire::EXTENSION, &message.encode())?;
        outbox.flush()?;
        if queue.send(Strings { first, strings: Zeroizing::new(strings), bits }).is_err() {
            // The other thread has given up, and says why itself.
            return Ok(());
        }
    }
    Ok(())
}

struct Work<'a> {
    product: &'a Product,
    sums: Zeroizing<Vec<u64>>,
    outputs: Vec<usize>,
    scratch: Zeroizing<Vec<Block>>,
}

impl<'a> Work<'a> {
    fn new(product: &'a Product) -> Self {
        let sums = Zeroizing::new(vec![0; product.elements()]);
        Self { product, sums, outputs: Vec::new(), scratch: Zeroizing::default() }
    }

    /// Receives the corrections of a chunk and adds its products.
    fn chunk(
        &mut self,
        cut: &Cut<'_>,
        chunk: std::ops::Range<usize>,
        (strings, bits): (&[Block], &[bool]),
        inbox: &mut Inbox,
    ) -> Result<(), Error> {
        let width = self.product.weight_bits as usize;
        for (weights, length) in cut.pieces(chunk.clone()) {
            let length = usize::try_from(length.div_ceil(8)).unwrap_or(usize::MAX);
            let message = inbox.recv(wire::PRODUCTS, Length::Exactly(length))?;
            let mut reader = Reader::new(&message);
            for weight in weights {
                let at = (weight - chunk.start) * width;
                self.weight(cut, weight, (&strings[at..at + width], &bits[at..at + width]), &mut reader);
            }
        }
        Ok(())
    }

    fn weight(
        &mut self,
        cut: &Cut<'_>,
        weight: usize,
        (strings, bits): (&[Block], &[bool]),
        reader: &mut Reader<'_>,
    ) {
        self.outputs.clear();
        cut.meet(weight, |_, output| self.outputs.push(output));
        for (bit, (string, chosen)) in (0..).zip(strings.iter().zip(bits)) {
            stretch(*string, self.outputs.len(), &mut self.scratch);
            let chosen = u64::from(*chosen).wrapping_neg();
            for (index, output) in self.outputs.iter().enumerate() {
                let correction = reader.pull(self.product.bits - bit) & chosen;
                let share = word(&self.scratch, index).wrapping_add(correction);
                self.sums[*output] = self.sums[*output].wrapping_add(share << bit);
            }
        }
    }

    /// Sends the sums with their biases less the server's shares.
    fn send(self, params: &Params, shares: &[i64], outbox: &mut Outbox) -> Result<(), Error> {
        let (product, bias) = (self.product, &params.tensors[self.product.bias]);
        let mut biased = self.sums;
        for row in 0..product.dots.rows {
            let bias = bias.get(row) as u64;
            for position in 0..product.dots.positions {
                let output = product.dots.output(row, position);
                biased[output] = biased[output].wrapping_add(bias);
            }
        }
        let mut writer = Writer::default();
        for range in blocks(product.elements(), SHARES) {
            for (sum, share) in biased[range.clone()].iter().zip(&shares[range]) {
                writer.push(sum.wrapping_sub(*share as u64) & mask(product.bits), product.bits);
            }
            outbox.send(wire::SHARES, &writer.finish())?;
        }
        outbox.flush()
    }
}
