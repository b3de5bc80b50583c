//! What a layer of multipliers makes of a public map of zeros, and the sums of inputs that its products need.
//!
//! A product by `2 w + 1` is one by w twice and the input once more, so that each output needs the sum of the inputs that its weights
//! meet. Without a map all rows of a group share that sum. With a map the rows have sums of their own, of the inputs they meet or
//! of those they do not: additions that a few saved products may not be worth. Each row takes the cheapest of the three.

use garble::gadgets;
use garble::gates::Gates;
use garble::word::Word;
use model::Support;

use super::dots::Dots;
use super::elementwise::in_tiles;
use super::sums::sum_inputs;

/// How a row gets the sum of the inputs that its weights meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputSum {
    /// The group's: all of the row's weights are multiplied.
    Group,
    /// Its own, of what its weights meet.
    Listed,
    /// The group's less what meets a zero.
    Rest,
}

/// The dot products with the zeros that are worth leaving out, and how each row gets its sum of inputs. `input` and `weight` are widths.
pub fn settle(mut dots: Dots, input: u32, weight: u32) -> (Dots, Vec<InputSum>) {
    let Some(support) = dots.support.take() else {
        let all = vec![InputSum::Group; dots.rows];
        return (dots, all);
    };
    let costs = Costs::new(dots.terms, input, weight);
    let meetings: Vec<u64> = (0..dots.terms).map(|term| dots.meetings(term)).collect();
    let positions = dots.positions as u64;
    let rows = (0..dots.rows).map(|row| {
        let (mut kept, mut zeros) = (0, 0);
        for (term, meetings) in meetings.iter().enumerate() {
            *(if support.contains(row * dots.terms + term) { &mut kept } else { &mut zeros }) += meetings;
        }
        costs.cheapest(kept, zeros, positions)
    });
    let rows: Vec<InputSum> = rows.collect();
    if rows.iter().any(|row| *row != InputSum::Group) {
        let whole = |index: usize| rows[index / dots.terms] == InputSum::Group;
        let kept = |index: usize| whole(index) || support.contains(index);
        dots.support = Some(Support::new(dots.rows * dots.terms, kept));
    }
    (dots, rows)
}

/// Rows of tables, over all positions of a row of weights: those that are saved counted low, those that are spent high.
struct Costs {
    /// Of a product with its addition.
    product: u64,
    /// Of adding one more input to a sum.
    term: u64,
    /// Of taking one sum from another.
    difference: u64,
}

impl Costs {
    fn new(terms: usize, input: u32, weight: u32) -> Self {
        let (x, w) = (u64::from(input), u64::from(weight));
        let digits = w.div_ceil(2).max(1);
        let widest = x + u64::from(terms.max(1).next_power_of_two().trailing_zeros());
        Self {
            // A choice between x and 3 x for each digit of two bits, additions of digits, one to the sum.
            product: (w / 2) * (x + 1) + (digits - 1) * 2 * x + 2 * (x + 1),
            term: 2 * (x + 2),
            difference: 2 * (widest + 1),
        }
    }

    /// The cheapest form for a row whose weights meet `kept` inputs at all positions together, and its zeros `zeros`.
    fn cheapest(&self, kept: u64, zeros: u64, positions: u64) -> InputSum {
        let group = zeros * self.product;
        let listed = kept * self.term;
        let rest = zeros * self.term + positions * self.difference;
        if listed <= rest && listed < group {
            InputSum::Listed
        } else if rest < group {
            InputSum::Rest
        } else {
            InputSum::Group
        }
    }
}

/// Sums of inputs, and where each row's begin.
pub struct Sums<W> {
    /// One lane a position, for each row or group in turn.
    pub word: Word<W>,
    /// For each row the lane of its first position.
    pub first: Vec<usize>,
}

/// The sums of inputs of all rows.
///
/// # Errors
/// When the stream of tables fails.
pub fn input_sums<G: Gates>(
    gates: &mut G,
    dots: &Dots,
    rows: &[InputSum],
    input: &Word<G::Wires>,
) -> Result<Sums<G::Wires>, G::Error> {
    let with = |form: InputSum| (0..dots.rows).filter(|row| rows[*row] == form).collect::<Vec<_>>();
    let (listed, rest) = (with(InputSum::Listed), with(InputSum::Rest));
    let needed = if listed.len() < dots.rows { dots.groups() } else { 0 };
    let groups: Vec<usize> = (0..needed).map(|group| dots.first_row(group)).collect();
    let totals = sums(gates, dots, &groups, input, |_, _| true)?;
    let own = sums(gates, dots, &listed, input, |row, term| dots.counts(row, term))?;
    let zeros = sums(gates, dots, &rest, input, |row, term| !dots.counts(row, term))?;
    let width = totals.width();
    let differences = in_tiles(gates, zeros.lanes(), |gates, tile| {
        let lane =
            |lane: usize| dots.group(rest[lane / dots.positions]) * dots.positions + lane % dots.positions;
        let total: Vec<u32> = tile.clone().map(|i| lane(i) as u32).collect();
        let taken: Vec<u32> = tile.map(|lane| lane as u32).collect();
        let (total, taken) =
            (gadgets::gather(gates, &totals, &total), gadgets::gather(gates, &zeros, &taken));
        gadgets::sub_wrapping(gates, &total, &taken, width)
    })?;
    let mut first: Vec<usize> = (0..dots.rows).map(|row| dots.group(row) * dots.positions).collect();
    for (turn, row) in listed.iter().chain(&rest).enumerate() {
        first[*row] = totals.lanes() + turn * dots.positions;
    }
    Ok(Sums { word: gadgets::concat(gates, &[&totals, &own, &differences]), first })
}

/// For each of some rows and each position the sum of the inputs that meet a term which `counts`.
fn sums<G: Gates>(
    gates: &mut G,
    dots: &Dots,
    rows: &[usize],
    input: &Word<G::Wires>,
    counts: impl Fn(usize, usize) -> bool,
) -> Result<Word<G::Wires>, G::Error> {
    in_tiles(gates, rows.len() * dots.positions, |gates, tile| {
        sum_inputs(gates, input, tile.len(), dots.terms, |output, term| {
            let lane = tile.start + output;
            let row = rows[lane / dots.positions];
            if counts(row, term) { dots.input(row, lane % dots.positions, term) } else { None }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_followed_where_it_pays() {
        let costs = Costs::new(100, 12, 8);
        assert_eq!(costs.cheapest(100, 0, 1), InputSum::Group);
        assert_eq!(costs.cheapest(90, 10, 1), InputSum::Rest);
        assert_eq!(costs.cheapest(20, 80, 1), InputSum::Listed);
        assert_eq!(costs.cheapest(0, 100, 1), InputSum::Listed);
        // With weights of one bit a product costs little more than an addition.
        let costs = Costs::new(100, 12, 1);
        assert_eq!(costs.cheapest(70, 30, 1), InputSum::Group);
        assert_eq!(costs.cheapest(30, 70, 1), InputSum::Listed);
    }
}
