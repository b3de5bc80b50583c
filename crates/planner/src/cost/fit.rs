//! Rates from measured predictions: least squares of relative errors, held near the rates before.
//!
//! A few networks do not tell forty rates apart, and need not: what they leave open follows the built-in rates, all slower or
//! faster by what the machine is.

use protocol::work::{Amounts, Unit};

use super::rates::Rates;

/// A phase of a prediction, or all of it, as it was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Observation {
    /// What was done.
    pub amounts: Amounts,
    /// Seconds that it took.
    pub seconds: f64,
}

const UNITS: usize = Unit::ALL.len();

/// How much a rate that is twice what the others say weighs, against an observation that is wrong by all of itself. Small networks scatter by a
/// tenth from run to run; of what is less than that the built-in rates know more.
const STIFFNESS: f64 = 0.1;

/// Rates are held within so many times what the machine as a whole says.
const SPREAD: f64 = 8.0;

/// Seconds below which a measurement is mostly noise, and weighs less.
const NOISE: f64 = 2e-3;

/// Sweeps over all rates: far more than it takes.
const SWEEPS: usize = 500;

/// Rates of the machine that made the observations: of wall clock, and of processor time.
pub fn fit(wall: &[Observation], processor: &[Observation], before: &Rates) -> Rates {
    let [first, second] = before.columns();
    Rates::new(column(wall, first), column(processor, second))
}

/// An observation, as an equation between the factors of the rates before.
struct Row {
    /// What each unit takes at its rate before, as a part of what was measured.
    shares: [f64; UNITS],
    /// What they should add up to: one, or less where the measurement is mostly noise.
    goal: f64,
}

impl Row {
    fn new(seen: &Observation, before: &[f64; UNITS]) -> Option<Self> {
        let mut shares = [0.0; UNITS];
        let whole = seen.seconds + NOISE;
        for (unit, amount) in seen.amounts.iter() {
            shares[unit as usize] = amount * before[unit as usize] / whole;
        }
        let counts =
            seen.seconds.is_finite() && seen.seconds > 0.0 && shares.iter().any(|share| *share > 0.0);
        counts.then_some(Self { shares, goal: seen.seconds / whole })
    }

    fn sum(&self, factors: &[f64; UNITS]) -> f64 {
        self.shares.iter().zip(factors).map(|(share, factor)| share * factor).sum()
    }
}

fn column(observations: &[Observation], before: &[f64; UNITS]) -> [f64; UNITS] {
    let rows: Vec<Row> = observations.iter().filter_map(|seen| Row::new(seen, before)).collect();
    let scale = machine(&rows);
    // Coordinate descent: the best factor of each unit in turn, the others being what they are.
    let mut factors = [scale; UNITS];
    for _ in 0..SWEEPS {
        for unit in 0..UNITS {
            // Of the stiffness, in units of the machine's own factor.
            let (mut weight, mut pull) = (STIFFNESS / (scale * scale), STIFFNESS / scale);
            for row in &rows {
                let share = row.shares[unit];
                let others = row.sum(&factors) - share * factors[unit];
                weight += share * share;
                pull += share * (row.goal - others);
            }
            factors[unit] = (pull / weight).clamp(scale / SPREAD, scale * SPREAD);
        }
    }
    let mut rates = *before;
    rates.iter_mut().zip(factors).for_each(|(rate, factor)| *rate *= factor);
    rates
}

/// How many times slower the machine is as a whole: the median of all observations, 1 if there are none.
fn machine(rows: &[Row]) -> f64 {
    let mut times: Vec<f64> = rows.iter().map(|row| row.goal / row.sum(&[1.0; UNITS])).collect();
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(units: &[(Unit, u64)], rates: &Rates) -> Observation {
        let amounts = units.iter().fold(Amounts::default(), |sum, (unit, count)| sum.with(*unit, *count));
        Observation { amounts, seconds: rates.seconds(&amounts) }
    }

    /// A machine half as fast, but for one unit that is as fast.
    fn truth(before: &Rates) -> Rates {
        let [wall, processor] = before.columns();
        let mut wall = wall.map(|rate| 2.0 * rate);
        wall[Unit::GarbledRow as usize] /= 2.0;
        Rates::new(wall, *processor)
    }

    #[test]
    fn rates_that_the_networks_tell_apart_are_found_and_others_follow_the_machine() {
        let before = Rates::default();
        let truth = truth(&before);
        let networks = [
            seen(&[(Unit::GarbledRow, 50_000_000), (Unit::LateBit, 1_000)], &truth),
            seen(&[(Unit::GarbledRow, 5_000_000), (Unit::LateBit, 50_000_000)], &truth),
            seen(&[(Unit::StreamedAnd, 20_000_000)], &truth),
            seen(&[(Unit::StreamedAnd, 10_000_000), (Unit::StreamedKnownAnd, 30_000_000)], &truth),
        ];
        let found = fit(&networks, &[], &before);
        for unit in [Unit::GarbledRow, Unit::LateBit, Unit::StreamedAnd, Unit::StreamedKnownAnd] {
            let ratio = found.get(unit)[0] / truth.get(unit)[0];
            assert!((0.8..1.25).contains(&ratio), "{unit:?}: {ratio}");
        }
        // Seen in no network.
        let ratio = found.get(Unit::Bundle)[0] / before.get(Unit::Bundle)[0];
        assert!((1.9..2.1).contains(&ratio), "{ratio}");
        assert_eq!(found.get(Unit::Bundle)[1], before.get(Unit::Bundle)[1]);
    }

    #[test]
    fn what_was_not_measured_changes_nothing() {
        let before = Rates::default();
        let nothing = Observation::default();
        let endless = Observation { seconds: f64::INFINITY, ..seen(&[(Unit::LateBit, 5)], &before) };
        let found = fit(&[nothing, endless], &[], &before);
        for unit in Unit::ALL {
            assert!((found.get(unit)[0] / before.get(unit)[0] - 1.0).abs() < 1e-9);
        }
    }
}
