//! Where a circuit's secret weights come from.

use std::ops::Range;

use garble::gates::Gates;
use model::fixed::ParamId;

/// How weights enter a circuit as bits that the evaluator knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Recoded digits, for multiplication.
    Digits {
        /// Bits of a weight.
        bits: u32,
    },
    /// Two's complement, for addition.
    Plain {
        /// Bits of the word.
        bits: u32,
    },
}

impl Encoding {
    /// Number of known wires that one weight takes.
    pub fn wires(self) -> usize {
        match self {
            Self::Digits { bits } => garble::known::encoded_bits(bits),
            Self::Plain { bits } => bits as usize,
        }
    }
}

/// A supply of weights, read in the order of the circuit's walk: the schedule of the oblivious transfers.
pub trait Weights<G: Gates> {
    /// The known wires of some weights of a parameter: wire by wire, one lane for each index. The server's shares of products by
    /// transfers are numbered on behind the parameters.
    ///
    /// # Errors
    /// When the supply fails, as a session does.
    fn load(
        &mut self,
        gates: &mut G,
        param: ParamId,
        indices: &[usize],
        encoding: Encoding,
    ) -> Result<Vec<G::Known>, G::Error>;

    /// The wires of the garbler's shares of some results of a product by transfers, bit by bit, one lane for each.
    ///
    /// # Errors
    /// When the supply fails.
    fn garblers_share(
        &mut self,
        gates: &mut G,
        product: usize,
        lanes: Range<usize>,
        bits: u32,
    ) -> Result<Vec<G::Wires>, G::Error>;
}
