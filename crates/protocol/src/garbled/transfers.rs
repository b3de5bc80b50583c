//! Labels of the server's weights: correlated transfers in chunks, cut to the pieces that the circuit asks for.

use kernel::block::Block;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::error::Error;

/// Transfers in one chunk: 256 KiB of extension message, 1 MiB of labels.
pub const CHUNK: usize = 1 << 16;

/// Lengths of the chunks of a plan.
pub fn chunks(total: u64) -> impl Iterator<Item = usize> {
    (0..total.div_ceil(CHUNK as u64))
        .map(move |chunk| (total - chunk * CHUNK as u64).min(CHUNK as u64) as usize)
}

/// A chunk of labels, and the evaluator's bits where it is the evaluator that holds it. Erased on drop.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
pub struct Chunk {
    /// Labels.
    pub labels: Vec<Block>,
    /// Bits; none on the garbler's side.
    pub bits: Vec<bool>,
}

/// Reads labels across chunks.
pub struct Reader<F> {
    next: F,
    chunk: Chunk,
    position: usize,
}

impl<F: FnMut() -> Result<Chunk, Error>> Reader<F> {
    /// A reader that asks `next` for chunks.
    pub fn new(next: F) -> Self {
        Self { next, chunk: Chunk::default(), position: 0 }
    }

    /// Whether the next `count` labels must be waited for.
    pub fn lacks(&self, count: usize) -> bool {
        self.chunk.labels.len() - self.position < count
    }

    /// The next `count` labels with their bits.
    ///
    /// # Errors
    /// When no more chunks come.
    pub fn take(&mut self, count: usize) -> Result<Chunk, Error> {
        let mut taken = Chunk { labels: Vec::with_capacity(count), bits: Vec::with_capacity(count) };
        while taken.labels.len() < count {
            if self.position == self.chunk.labels.len() {
                self.chunk = (self.next)()?;
                self.position = 0;
                if self.chunk.labels.is_empty() {
                    return Err(Error::Refused("the plan asks for more weights than it announced".into()));
                }
            }
            let end = self.chunk.labels.len().min(self.position + count - taken.labels.len());
            taken.labels.extend_from_slice(&self.chunk.labels[self.position..end]);
            taken.bits.extend(self.chunk.bits.get(self.position..end).unwrap_or_default());
            self.position = end;
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_add_up() {
        for total in [0, 1, CHUNK as u64 - 1, CHUNK as u64, CHUNK as u64 + 1, 10 * CHUNK as u64 + 7] {
            assert_eq!(chunks(total).map(|chunk| chunk as u64).sum::<u64>(), total);
            assert!(chunks(total).all(|chunk| chunk > 0 && chunk <= CHUNK));
        }
    }

    #[test]
    fn labels_are_read_in_order_across_chunks() {
        let mut sizes = [3, 1, 4].into_iter();
        let mut counter = 0;
        let mut reader = Reader::new(|| {
            let labels: Vec<Block> = (0..sizes.next().unwrap_or(0)).map(|i| Block(counter + i)).collect();
            counter += labels.len() as u128;
            Ok(Chunk { bits: vec![true; labels.len()], labels })
        });
        for (count, first) in [(2, 0), (5, 2), (1, 7)] {
            assert_eq!(reader.lacks(count), first < 7);
            let taken = reader.take(count).unwrap();
            assert_eq!(taken.bits.len(), count);
            assert!(taken.labels.iter().zip(first..).all(|(label, expected)| label.0 == expected));
        }
        assert!(reader.take(1).is_err());
    }
}
