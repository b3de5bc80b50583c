//! Tensors that are made piece by piece, so that a whole one need not be in memory at any time.

use garble::gadgets;
use garble::gates::Gates;
use garble::word::Word;

use super::linear::inverse;

/// Instances that are joined as soon as they are there: small pieces are in memory, large ones need not be.
const JOINED: usize = 1 << 14;

/// Instances of a word, in order.
pub struct Pieces<W> {
    joined: Vec<Word<W>>,
    parts: Vec<Word<W>>,
    /// Instances of the parts.
    lanes: usize,
}

impl<W> Default for Pieces<W> {
    fn default() -> Self {
        Self { joined: Vec::new(), parts: Vec::new(), lanes: 0 }
    }
}

impl<W: Clone> Pieces<W> {
    /// Adds instances behind those that are there.
    pub fn push<G: Gates<Wires = W>>(&mut self, gates: &mut G, part: Word<W>) {
        self.lanes += part.lanes();
        self.parts.push(part);
        if self.lanes >= JOINED {
            self.join(gates);
        }
    }

    fn join<G: Gates<Wires = W>>(&mut self, gates: &mut G) {
        let parts = std::mem::take(&mut self.parts);
        self.joined.push(gadgets::concat(gates, &parts.iter().collect::<Vec<_>>()));
        self.lanes = 0;
    }

    /// All instances as one word.
    pub fn finish<G: Gates<Wires = W>>(mut self, gates: &mut G) -> Word<W> {
        if !self.parts.is_empty() || self.joined.is_empty() {
            self.join(gates);
        }
        gadgets::concat(gates, &self.joined.iter().collect::<Vec<_>>())
    }
}

/// Where the elements of a tensor belong that are made in another order; nothing is kept as long as the order is right.
#[derive(Default)]
pub struct Places {
    in_order: u32,
    places: Vec<u32>,
}

impl Places {
    /// The next element belongs here.
    pub fn push(&mut self, place: usize) {
        let place = place as u32;
        if self.places.is_empty() && place == self.in_order {
            self.in_order += 1;
            return;
        }
        if self.places.is_empty() {
            self.places.extend(0..self.in_order);
        }
        self.places.push(place);
    }

    /// Puts the elements where they belong.
    pub fn arrange<G: Gates>(&self, gates: &G, made: &Word<G::Wires>) -> Word<G::Wires> {
        if self.places.is_empty() {
            return made.clone();
        }
        gadgets::gather(gates, made, &inverse(&self.places))
    }
}

#[cfg(test)]
mod tests {
    use garble::clear::{Clear, ClearWires};
    use garble::word::Bit;

    use super::*;

    #[test]
    fn places_are_kept_only_where_the_order_is_wrong() {
        let word = |bits: [bool; 4]| Word::new(vec![Bit::Wire(ClearWires::new(&bits))], 4);
        let made = word([true, false, false, true]);
        let arranged = |order: [usize; 4]| {
            let mut places = Places::default();
            order.into_iter().for_each(|place| places.push(place));
            (places.places.is_empty(), places.arrange(&Clear, &made))
        };
        assert_eq!(arranged([0, 1, 2, 3]), (true, made.clone()));
        assert_eq!(arranged([0, 2, 3, 1]), (false, word([true, true, false, false])));
    }
}
