//! The client's half: it knows the inputs, and sends the corrections.

use kernel::block::Block;
use ot::random::Pads;
use ot::softspoken::{ExtendMessage, Sender, message_len};
use zeroize::Zeroizing;

use super::bits::{Reader, Writer};
use super::{Cut, SHARES, mask, stretch, word};
use crate::error::Error;
use crate::frame::Length;
use crate::garbled::split::Product;
use crate::garbled::tiles::blocks;
use crate::garbled::wire;
use crate::session::{Inbox, Outbox};

/// Runs the transfers of one product; returns the client's share of each result, modulo `2^bits`.
///
/// # Errors
/// When the session fails.
pub fn client(
    product: &Product,
    operand: &[i64],
    sender: &mut Sender,
    (inbox, outbox): (&mut Inbox, &mut Outbox),
) -> Result<Zeroizing<Vec<u64>>, Error> {
    let cut = Cut::new(product);
    let pads = Pads::new(sender.session());
    let mut work = Work::new(product, operand);
    for chunk in cut.chunks() {
        let count = chunk.len() * product.weight_bits as usize;
        let message = inbox.recv(wire::EXTENSION, Length::Exactly(message_len(count)))?;
        let first = sender.position();
        let zeros = Zeroizing::new(sender.extend(&ExtendMessage::decode(&message)?, count)?);
        let strings = Zeroizing::new(pads.of_sender(first, sender.delta(), &zeros));
        for (weights, _) in cut.pieces(chunk.clone()) {
            for weight in weights {
                let at = (weight - chunk.start) * product.weight_bits as usize;
                work.weight(&cut, weight, &strings[at..at + product.weight_bits as usize]);
            }
            outbox.send(wire::PRODUCTS, &work.writer.finish())?;
        }
        outbox.flush()?;
    }
    receive(product, work.sums, inbox)
}

/// Adds what the server sends of its share.
fn receive(
    product: &Product,
    mut sums: Zeroizing<Vec<u64>>,
    inbox: &mut Inbox,
) -> Result<Zeroizing<Vec<u64>>, Error> {
    for range in blocks(product.elements(), SHARES) {
        let bytes = (range.len() * product.bits as usize).div_ceil(8);
        let message = inbox.recv(wire::SHARES, Length::Exactly(bytes))?;
        let mut reader = Reader::new(&message);
        for sum in &mut sums[range] {
            *sum = sum.wrapping_add(reader.pull(product.bits)) & mask(product.bits);
        }
    }
    Ok(sums)
}

struct Work<'a> {
    product: &'a Product,
    operand: &'a [i64],
    sums: Zeroizing<Vec<u64>>,
    writer: Writer,
    /// The inputs that a weight meets, and the results they go to.
    met: Vec<(u64, usize)>,
    scratch: [Zeroizing<Vec<Block>>; 2],
}

impl<'a> Work<'a> {
    fn new(product: &'a Product, operand: &'a [i64]) -> Self {
        let sums = Zeroizing::new(vec![0; product.elements()]);
        let scratch = [(); 2].map(|()| Zeroizing::default());
        Self { product, operand, sums, writer: Writer::default(), met: Vec::new(), scratch }
    }

    /// The corrections of one weight, from both strings of each of its bits.
    fn weight(&mut self, cut: &Cut<'_>, weight: usize, strings: &[[Block; 2]]) {
        self.met.clear();
        cut.meet(weight, |input, output| self.met.push((self.operand[input] as u64, output)));
        let [zero, one] = &mut self.scratch;
        for (bit, strings) in (0..).zip(strings) {
            let width = self.product.bits - bit;
            let negative = bit + 1 == self.product.weight_bits;
            stretch(strings[0], self.met.len(), zero);
            stretch(strings[1], self.met.len(), one);
            for (index, (x, output)) in self.met.iter().enumerate() {
                let x = if negative { x.wrapping_neg() } else { *x };
                let (zero, one) = (word(zero, index), word(one, index));
                self.writer.push(zero.wrapping_sub(one).wrapping_add(x) & mask(width), width);
                self.sums[*output] = self.sums[*output].wrapping_sub(zero << bit);
            }
        }
    }
}
