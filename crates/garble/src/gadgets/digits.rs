//! Products by recoded factors: see [`crate::known`] for the digits.

use core::ops::Range;

use super::add::{add_with_carry, add_wrapping, invert_if, negate_if};
use super::{concat_bits, resize, shift_left, shift_right};
use crate::gates::Gates;
use crate::word::{Bit, Word};

/// A bit of a recoded factor: known to the evaluator, or an ordinary bit.
pub(super) enum Selector<G: Gates> {
    /// Known to the evaluator: an AND with it is half as long.
    Known(G::Known),
    /// Any bit.
    Secret(Bit<G::Wires>),
}

impl<G: Gates> Selector<G> {
    fn and(&self, g: &mut G, bit: &Bit<G::Wires>) -> Result<Bit<G::Wires>, G::Error> {
        match self {
            Self::Known(known) => bit.and_known(g, known),
            Self::Secret(other) => bit.and(g, other),
        }
    }

    /// `(self & bit) ^ x ^ y`.
    fn and_xor(
        &self,
        g: &mut G,
        bit: &Bit<G::Wires>,
        x: &Bit<G::Wires>,
        y: &Bit<G::Wires>,
    ) -> Result<Bit<G::Wires>, G::Error> {
        match self {
            Self::Known(known) => bit.and_known_xor(g, known, x, y),
            Self::Secret(other) => {
                let sum = x.xor(g, y);
                bit.and_xor(g, other, &sum)
            }
        }
    }

    fn bit(&self, g: &G) -> Bit<G::Wires> {
        match self {
            Self::Known(known) => Bit::Wire(g.forget(known)),
            Self::Secret(bit) => bit.clone(),
        }
    }
}

/// A digit in {-3, -1, 1, 3}, or in {-1, 1} where `three` is missing.
pub(super) struct Digit<G: Gates> {
    pub(super) three: Option<Selector<G>>,
    pub(super) negative: Selector<G>,
}

/// A number and three times it, from which all its products are made. Three times it is held as the bits in which the two
/// differ.
#[derive(Clone, Debug)]
pub struct Multiples<W> {
    one: Word<W>,
    difference: Word<W>,
}

impl<W: Clone> Multiples<W> {
    /// Prepares a number of w bits: w ANDs. Once is enough for all products that it takes part in.
    ///
    /// # Errors
    /// When the stream of tables fails.
    pub fn new<G: Gates<Wires = W>>(g: &mut G, x: &Word<W>) -> Result<Self, G::Error> {
        Self::modulo(g, x, x.width() + 2)
    }

    /// The bits in which a number and three times it differ, for [`Self::with`]: w ANDs for w bits.
    ///
    /// # Errors
    /// When the stream of tables fails.
    pub fn difference<G: Gates<Wires = W>>(g: &mut G, x: &Word<W>) -> Result<Word<W>, G::Error> {
        Ok(Self::new(g, x)?.difference)
    }

    /// The multiples of a number whose [`Self::difference`] was made before, in parts for instance.
    pub fn with(one: Word<W>, difference: Word<W>) -> Self {
        Self { one, difference }
    }

    /// The same with three times the number known modulo `2^width` only.
    pub(super) fn modulo<G: Gates<Wires = W>>(
        g: &mut G,
        x: &Word<W>,
        width: usize,
    ) -> Result<Self, G::Error> {
        let width = width.min(x.width() + 2);
        let three = add_wrapping(g, x, &shift_left(x, 1), width)?;
        let difference = (0..three.width()).map(|i| x.bit(i).xor(g, &three.bit(i))).collect();
        Ok(Self { one: x.clone(), difference: Word::new(difference, x.lanes()) })
    }

    /// The multiples whose instance i is instance `lanes[i]` of these. Free.
    pub fn gather<G: Gates<Wires = W>>(&self, g: &G, lanes: &[u32]) -> Self {
        Self {
            one: super::gather(g, &self.one, lanes),
            difference: super::gather(g, &self.difference, lanes),
        }
    }
}

/// The sum of a word and a bit in its lowest place, not yet added up: the bit rides into the next addition as its carry.
#[derive(Clone, Debug)]
pub struct Pending<W> {
    word: Word<W>,
    carry: Bit<W>,
}

impl<W: Clone> Pending<W> {
    /// Number of instances.
    pub fn lanes(&self) -> usize {
        self.word.lanes()
    }

    /// The sum of two, one bit wider than the wider: w ANDs.
    ///
    /// # Errors
    /// When the stream of tables fails.
    pub fn add<G: Gates<Wires = W>>(&self, g: &mut G, other: &Self) -> Result<Self, G::Error> {
        let width = self.word.width().max(other.word.width()) + 1;
        let word = add_with_carry(g, &self.word, &other.word, &self.carry, width)?;
        Ok(Self { word, carry: other.carry.clone() })
    }

    /// This added to a word, modulo `2^width`: width - 1 ANDs.
    ///
    /// # Errors
    /// When the stream of tables fails.
    pub fn add_to<G: Gates<Wires = W>>(
        &self,
        g: &mut G,
        sum: &Word<W>,
        width: usize,
    ) -> Result<Word<W>, G::Error> {
        add_with_carry(g, sum, &self.word, &self.carry, width)
    }

    /// The sum whose instance i is instance `lanes[i]` of this. Free.
    pub fn gather<G: Gates<Wires = W>>(&self, g: &G, lanes: &[u32]) -> Self {
        let carry = Word::new(vec![self.carry.clone()], self.word.lanes());
        Self { word: super::gather(g, &self.word, lanes), carry: super::gather(g, &carry, lanes).bit(0) }
    }

    /// The instances of all parts, one after the other. Free.
    pub fn concat<G: Gates<Wires = W>>(g: &mut G, parts: &[&Self]) -> Self {
        let words: Vec<&Word<W>> = parts.iter().map(|part| &part.word).collect();
        let carries: Vec<(Bit<W>, usize)> =
            parts.iter().map(|part| (part.carry.clone(), part.lanes())).collect();
        Self { word: super::concat(g, &words), carry: concat_bits(g, &carries) }
    }
}

/// `x` or `3 x` as the digit's magnitude says, all bits inverted if it is negative: w + 1 ANDs (known ones for a known digit).
fn multiple<G: Gates>(
    g: &mut G,
    x: &Multiples<G::Wires>,
    digit: &Digit<G>,
) -> Result<Word<G::Wires>, G::Error> {
    // The lowest bits of x and 3 x are equal.
    multiple_from(g, x, digit, 1)
}

/// The same of multiples whose lowest `equal` bits are alike.
fn multiple_from<G: Gates>(
    g: &mut G,
    x: &Multiples<G::Wires>,
    digit: &Digit<G>,
    equal: usize,
) -> Result<Word<G::Wires>, G::Error> {
    let negative = digit.negative.bit(g);
    let Some(three) = &digit.three else { return Ok(invert_if(g, &negative, &x.one)) };
    let mut bits = Vec::with_capacity(x.difference.width());
    for i in 0..x.difference.width() {
        bits.push(if i < equal {
            x.one.bit(i).xor(g, &negative)
        } else {
            three.and_xor(g, &x.difference.bit(i), &x.one.bit(i), &negative)?
        });
    }
    Ok(Word::new(bits, x.one.lanes()))
}

/// A sum that grows from its low end: low bits that no later digit touches, and a high part.
struct Growing<W> {
    low: Vec<Bit<W>>,
    high: Word<W>,
}

impl<W: Clone> Growing<W> {
    /// Adds a digit times x at bit `place`, where the whole sum then fits in `total` bits.
    fn add_digit<G: Gates<Wires = W>>(
        &mut self,
        g: &mut G,
        x: &Multiples<W>,
        digit: &Digit<G>,
        place: usize,
        total: usize,
    ) -> Result<(), G::Error> {
        let settled = place.saturating_sub(self.low.len());
        self.low.extend((0..settled).map(|i| self.high.bit(i)));
        let high = shift_right(&self.high, settled);
        let width = total.saturating_sub(place);
        let x = Multiples { one: narrowed(&x.one, width), difference: narrowed(&x.difference, width) };
        let part = multiple(g, &x, digit)?;
        let negative = digit.negative.bit(g);
        self.high = add_with_carry(g, &high, &part, &negative, width)?;
        Ok(())
    }

    fn finish(self, total: usize) -> Word<W> {
        let lanes = self.high.lanes();
        let mut bits = self.low;
        bits.extend(self.high.bits().iter().cloned());
        resize(&Word::new(bits, lanes), total)
    }
}

fn narrowed<W: Clone>(x: &Word<W>, width: usize) -> Word<W> {
    resize(x, x.width().min(width))
}

/// `x * w`, where `digits` are those of w, modulo `2^width` (exact in as many bits as both have together).
pub(super) fn product<G: Gates>(
    g: &mut G,
    x: &Multiples<G::Wires>,
    digits: &[Digit<G>],
    width: usize,
) -> Result<Word<G::Wires>, G::Error> {
    let n = x.one.width();
    let Some((first, rest)) = digits.split_first() else { return Ok(Word::public(0, 1, x.one.lanes())) };
    let mut sum = Growing { low: Vec::new(), high: first_digit(g, &x.one, first, width.min(n + 2))? };
    for (k, digit) in rest.iter().enumerate() {
        // Digits d_k of 2 w + 1 stand at bit 2 k, hence at 2 k - 1 of w.
        let bits = 2 * (k + 2) - usize::from(digit.three.is_none());
        sum.add_digit(g, x, digit, 2 * k + 1, width.min(n + bits))?;
    }
    let total = width.min(n + digit_bits(digits));
    Ok(sum.finish(total))
}

/// Bits of the factor that some digits encode.
fn digit_bits<G: Gates>(digits: &[Digit<G>]) -> usize {
    digits.iter().map(|digit| 1 + usize::from(digit.three.is_some())).sum()
}

/// `x (d - 1) / 2` for the lowest digit d, which is x times -2, -1, 0 or 1: 3 w ANDs, 2 w of them known for a known digit.
fn first_digit<G: Gates>(
    g: &mut G,
    x: &Word<G::Wires>,
    digit: &Digit<G>,
    width: usize,
) -> Result<Word<G::Wires>, G::Error> {
    let magnitude = first_magnitude(g, x, digit, 0..width.min(x.width() + 1))?;
    let negative = digit.negative.bit(g);
    negate_if(g, &negative, &magnitude, width)
}

/// Some bits of x, 2 x, 0 or x for the lowest digit -1, -3, 1 or 3; the last of the range is the sign.
fn first_magnitude<G: Gates>(
    g: &mut G,
    x: &Word<G::Wires>,
    digit: &Digit<G>,
    range: Range<usize>,
) -> Result<Word<G::Wires>, G::Error> {
    let lanes = x.lanes();
    // d = -1 and d = -3 give x and 2 x, to be negated; d = 3 gives x; d = 1 gives 0.
    let mut if_negative = Vec::new();
    for bit in x.bits() {
        if_negative.push(digit.negative.and(g, bit)?);
    }
    let single = Word::new(if_negative, lanes);
    let Some(three) = &digit.three else { return Ok(single) };
    let doubled = shift_left(&single, 1);
    let mut bits = Vec::new();
    for i in range {
        let change = x.bit(i).xor(g, &doubled.bit(i));
        bits.push(three.and_xor(g, &change, &single.bit(i), &Bit::Public(false))?);
    }
    Ok(Word::new(bits, lanes))
}

/// The product with its columns below `column` cut from each digit's multiple, plus `addend` units of that column, modulo
/// `2^width` of them. See [`crate::meaning::mul_truncated`].
pub(super) fn truncated<G: Gates>(
    g: &mut G,
    x: &Multiples<G::Wires>,
    digits: &[Digit<G>],
    (column, addend): (usize, i64),
    width: usize,
) -> Result<Word<G::Wires>, G::Error> {
    let lanes = x.one.lanes();
    let Some((first, rest)) = digits.split_first() else { return Ok(Word::public(0, 1, lanes)) };
    let n = x.one.width();
    let magnitude = match &first.three {
        Some(_) => first_magnitude(g, &x.one, first, column.min(n)..n + 1)?,
        None => shift_right(&first_magnitude(g, &x.one, first, 0..n)?, column),
    };
    let negative = first.negative.bit(g);
    let magnitude = invert_if(g, &negative, &resize(&magnitude, magnitude.width().max(1)));
    let addend = Word::public(addend, crate::meaning::width_of(addend), lanes);
    // The product so far, and beside it the addend and a unit for each digit's cut.
    let beside = addend.width().max(crate::meaning::width_of(digits.len() as i64));
    let total = |bits: usize| ((n + bits).saturating_sub(column).max(beside + 1) + 1).min(width);
    let mut sum = add_with_carry(g, &magnitude, &addend, &negative, total(2))?;
    for (k, digit) in rest.iter().enumerate() {
        let place = 2 * k + 1;
        let cut = column.saturating_sub(place);
        let shifted =
            Multiples { one: shift_right(&x.one, cut), difference: shift_right(&x.difference, cut) };
        let part = multiple_from(g, &shifted, digit, usize::from(cut == 0))?;
        let negative = digit.negative.bit(g);
        let at = place.saturating_sub(column).min(width);
        let low: Vec<_> = (0..at).map(|i| sum.bit(i)).collect();
        let high = total(2 * (k + 2)).saturating_sub(at);
        let high = add_with_carry(g, &shift_right(&sum, at), &part, &negative, high)?;
        sum = Word::new(low.into_iter().chain(high.bits().iter().cloned()).collect(), lanes);
    }
    Ok(sum)
}

/// The digits that [`crate::known::encode`] gives, as known wires.
fn known_digits<G: Gates>(known: &[G::Known]) -> Vec<Digit<G>> {
    known
        .chunks(2)
        .map(|pair| match pair {
            [three, negative] => Digit {
                three: Some(Selector::Known(three.clone())),
                negative: Selector::Known(negative.clone()),
            },
            _ => Digit { three: None, negative: Selector::Known(pair[0].clone()) },
        })
        .collect()
}

/// `x * w` exactly, in as many bits as both have together, for a weight w that the evaluator knows and has encoded with
/// [`crate::known::encode`]. A sum of products is cheaper with [`mul_known_odd`].
///
/// # Errors
/// When the stream of tables fails.
pub fn mul_known<G: Gates>(
    g: &mut G,
    x: &Word<G::Wires>,
    digits: &[G::Known],
) -> Result<Word<G::Wires>, G::Error> {
    let multiples = Multiples::new(g, x)?;
    product(g, &multiples, &known_digits::<G>(digits), x.width() + digits.len())
}

/// `x * (2 w + 1)` exactly, up to a carry that the next addition absorbs: for w of b bits and x of n, `(n + 1) b / 2` known ANDs
/// and `(n + 1) (b / 2 - 1)` ANDs.
///
/// A dot product plus a bias is then `(2 bias - sum x_i + sum x_i (2 w_i + 1)) / 2`, whose numerator is even; the sum of the x_i is
/// shared by all dot products over the same x.
///
/// # Errors
/// When the stream of tables fails.
pub fn mul_known_odd<G: Gates>(
    g: &mut G,
    x: &Multiples<G::Wires>,
    digits: &[G::Known],
) -> Result<Pending<G::Wires>, G::Error> {
    let n = x.one.width();
    let digits = known_digits::<G>(digits);
    let Some((first, rest)) = digits.split_first() else {
        return Ok(Pending { word: x.one.clone(), carry: Bit::Public(false) });
    };
    let carry = first.negative.bit(g);
    let mut sum = Growing { low: Vec::new(), high: multiple(g, x, first)? };
    for (k, digit) in rest.iter().enumerate() {
        let bits = 2 * (k + 2) - usize::from(digit.three.is_none());
        sum.add_digit(g, x, digit, 2 * (k + 1), n + bits)?;
    }
    Ok(Pending { word: sum.finish(n + digit_bits(&digits)), carry })
}
