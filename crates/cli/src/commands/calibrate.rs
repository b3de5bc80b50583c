//! `oribi calibrate`: what this machine's work takes.

use planner::cost::Rates;
use protocol::work::Unit;

use crate::calibration::{self, Probes, Residual};
use crate::console::{Human, note, out};
use crate::failure::Failure;

/// Measure this machine's rates, and keep them for `oribi plan` and --protocol auto.
///
/// Runs small networks by every protocol, each between two processes over TLS, for a minute. The rates are for both parties on
/// machines like this one.
#[derive(clap::Args)]
pub struct Arguments {
    /// Run each network so many times, and take what is usual: the median.
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=20))]
    times: u8,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let human = Human::new(arguments.json);
    let quiet = !human.is_terminal();
    let mut tell = |what: &str| {
        if !quiet {
            note(&format!("measuring {what}"));
        }
    };
    let probes = Probes::run(usize::from(arguments.times), &mut tell)?;
    let rates = probes.rates();
    let path = calibration::keep(&rates)?;
    if arguments.json {
        let of = |unit: &Unit| (unit.name(), rates.get(*unit));
        let list: std::collections::BTreeMap<_, _> = Unit::ALL.iter().map(of).collect();
        let object = serde_json::json!({
            "machine": calibration::machine(),
            "file": path.display().to_string(),
            "seconds_and_processor_seconds": list,
        });
        return out(&object.to_string());
    }
    out(&format!("{:<44} {:>12} {:>14} {:>12}", calibration::machine(), "", "", "built in"))?;
    out(&format!("{:<44} {:>12} {:>14} {:>12}", "", "seconds", "processors'", "seconds"))?;
    lines(&rates).iter().try_for_each(|line| out(line))?;
    out("")?;
    out(
        "How far these rates explain what they were measured on: milliseconds of set-up, offline and online, measured / by the rates",
    )?;
    probes.residuals(&rates).iter().try_for_each(|probe| out(&residual(probe)))?;
    out(&format!("kept in {}", path.display()))
}

fn residual(probe: &Residual) -> String {
    let pairs = probe.measured.iter().zip(probe.fitted);
    let pairs: Vec<String> = pairs.map(|(a, b)| format!("{:>7.1} / {:<7.1}", 1e3 * a, 1e3 * b)).collect();
    format!("{:<44} {}", probe.name, pairs.join(" "))
}

/// Each unit's seconds, beside those built in.
fn lines(rates: &Rates) -> Vec<String> {
    let before = Rates::default();
    let line = |unit: Unit| {
        let [wall, processor] = rates.get(unit);
        let [usual, _] = before.get(unit);
        format!("{:<44} {:>12} {:>14} {:>12}", unit.words(), brief(wall), brief(processor), brief(usual))
    };
    Unit::ALL.into_iter().map(line).collect()
}

/// Seconds in the unit that suits them.
fn brief(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s < 1e-6 => (s * 1e9, "ns"),
        s if s < 1e-3 => (s * 1e6, "us"),
        s if s < 1.0 => (s * 1e3, "ms"),
        s => (s, "s"),
    };
    format!("{value:.3} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_brief() {
        assert_eq!(brief(45.2e-9), "45.200 ns");
        assert_eq!(brief(0.5e-3), "500.000 us");
        assert_eq!(brief(2.5), "2.500 s");
        assert_eq!(lines(&Rates::default()).len(), Unit::ALL.len());
    }
}
