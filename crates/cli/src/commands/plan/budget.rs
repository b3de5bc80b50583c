//! A search under one budget: which network, which protocol, and what each replaced layer bought.

use std::path::Path;

use model::Graph;
use planner::Network;
use planner::cost::{Cost, Estimate, Rates};
use planner::network::Activations;
use planner::search::{Candidate, activations};
use protocol::Reveal;
use protocol::shape::Link;
use serde::Serialize;

use super::Arguments;
use super::cost::Choice;
use super::train::Work;
use crate::calibration;
use crate::choice::{Numbers, Size};
use crate::console::{note, out};
use crate::failure::Failure;
use crate::pricing::{Priced, Variant, price};
use crate::report::{bytes, seconds};
use crate::source::Source;

/// What a prediction may take at most, and the accuracy it keeps at least.
#[derive(Clone, Copy, Debug, Serialize)]
struct Budget {
    online_seconds: Option<f64>,
    bytes: Option<u64>,
    accuracy: f64,
}

/// How prices are made.
struct Prices {
    rates: Rates,
    link: Option<Link>,
    reveal: Reveal,
}

/// A network that was found, and how it may run.
pub struct Found {
    /// Its file's name.
    pub file: String,
    /// On test data where there are some, in integers; else on validation data.
    pub accuracy: f64,
    /// Its quadratic layers.
    pub quadratic: Vec<String>,
}

/// A network with a protocol.
struct Way<'a> {
    found: &'a Found,
    variant: Variant,
    online: Cost,
    total: Cost,
}

/// What a quadratic layer bought.
#[derive(Serialize)]
struct Bought {
    layer: String,
    online_seconds: f64,
    bytes: i64,
}

/// The file beside a network: its plan, priced for every choice.
#[derive(Serialize)]
struct PlanFile<'a> {
    network: &'a str,
    accuracy: f64,
    quadratic_layers: &'a [String],
    link: String,
    choices: Vec<Choice<'a>>,
}

/// The object of `--json` and of `chosen.json`.
#[derive(Serialize)]
struct Chosen<'a> {
    network: &'a str,
    protocol: &'static str,
    options: &'static str,
    accuracy: f64,
    online_seconds: f64,
    bytes: u64,
    budget: Budget,
    /// What each quadratic layer saves, against the same network with that layer as it was.
    bought: Vec<Bought>,
}

impl Arguments {
    /// Whether there is a budget.
    pub(super) fn has_budget(&self) -> bool {
        self.max_online.is_some() || self.max_bytes.is_some()
    }
}

/// Prices what was found, writes a plan beside each network, and chooses.
///
/// # Errors
/// If nothing fits the budget: the best that was.
pub fn choose(work: &Work<'_>, arguments: &Arguments, found: &[Found]) -> Result<(), Failure> {
    let prices = Prices {
        rates: calibration::rates().0,
        link: arguments.link.0,
        reveal: Reveal::from(arguments.output),
    };
    let priced = found
        .iter()
        .map(|found| prices.of(&work.folder.join(&found.file)))
        .collect::<Result<Vec<Vec<Priced>>, Failure>>()?;
    for (found, priced) in found.iter().zip(&priced) {
        let file = PlanFile {
            network: &found.file,
            accuracy: found.accuracy,
            quadratic_layers: &found.quadratic,
            link: arguments.link.to_string(),
            choices: priced.iter().map(Choice::new).collect(),
        };
        write(&work.folder.join(&found.file).with_extension("plan.json"), &file)?;
    }
    if !arguments.has_budget() {
        return Ok(());
    }
    let budget = Budget {
        online_seconds: arguments.max_online.map(|Seconds(seconds)| seconds),
        bytes: arguments.max_bytes.map(|Size(bytes)| bytes),
        accuracy: arguments.min_accuracy.unwrap_or(0.0),
    };
    let options: Vec<Way<'_>> =
        found.iter().zip(&priced).flat_map(|(found, priced)| options(found, priced)).collect();
    let best = options.iter().filter(|option| budget.over(option) <= 0.0).max_by(|a, b| {
        // The most accurate; of equals the quickest.
        a.found.accuracy.total_cmp(&b.found.accuracy).then(b.online.seconds.total_cmp(&a.online.seconds))
    });
    let Some(best) = best else { return Err(budget.unmet(&options)) };
    let chosen = Chosen {
        network: &best.found.file,
        protocol: best.variant.protocol().name(),
        options: best.variant.options(),
        accuracy: best.found.accuracy,
        online_seconds: best.online.seconds,
        bytes: best.total.bytes(),
        budget,
        bought: bought(work, &prices, best)?,
    };
    write(&work.folder.join("chosen.json"), &chosen)?;
    if arguments.json {
        return out(&serde_json::to_string(&chosen).map_err(Failure::running)?);
    }
    out("")?;
    out(&format!("within the budget: {}", best.text()))?;
    chosen.bought.iter().try_for_each(|bought| {
        let bytes =
            format!("{}{}", if bought.bytes < 0 { "-" } else { "" }, bytes(bought.bytes.unsigned_abs()));
        out(&format!(
            "  {} as a quadratic saves {:.3} s online and {bytes}",
            bought.layer, bought.online_seconds
        ))
    })
}

/// Each way in which a network can run.
fn options<'a>(found: &'a Found, priced: &'a [Priced]) -> impl Iterator<Item = Way<'a>> {
    priced.iter().filter_map(move |priced| {
        let estimate: &Estimate = priced.estimate.as_ref().ok()?;
        Some(Way { found, variant: priced.variant, online: estimate.online, total: estimate.total() })
    })
}

impl Way<'_> {
    fn text(&self) -> String {
        let (name, options) = (self.variant.protocol().name(), self.variant.options());
        format!(
            "{} by {} at {:.2} %: {} online, {} in both phases",
            self.found.file,
            format!("{name} {options}").trim_end(),
            100.0 * self.found.accuracy,
            seconds(self.online.seconds),
            bytes(self.total.bytes())
        )
    }
}

impl Budget {
    /// By what factor an option exceeds the budget, less one; accuracy counts by its error. Nothing within it.
    fn over(&self, option: &Way<'_>) -> f64 {
        let over = |most: Option<f64>, is: f64| most.map_or(0.0, |most| is / most.max(1e-12) - 1.0);
        let short = (self.accuracy - option.found.accuracy) / (1.0 - self.accuracy).max(1e-3);
        over(self.online_seconds, option.online.seconds)
            .max(over(self.bytes.map(|bytes| bytes as f64), option.total.bytes() as f64))
            .max(short)
            .max(0.0)
    }

    fn unmet(&self, options: &[Way<'_>]) -> Failure {
        let mut wanted = vec![format!("{:.2} %", 100.0 * self.accuracy)];
        wanted.extend(self.online_seconds.map(|limit| format!("{} online", seconds(limit))));
        wanted.extend(self.bytes.map(bytes));
        let nearest = options.iter().min_by(|a, b| self.over(a).total_cmp(&self.over(b)));
        let nearest = nearest.map_or("no protocol runs any of them".to_owned(), Way::text);
        Failure::running(format!("no network keeps within {}; the nearest: {nearest}", wanted.join(", ")))
    }
}

impl Prices {
    fn of(&self, path: &Path) -> Result<Vec<Priced>, Failure> {
        let source = Source::load(&path.to_string_lossy(), &Numbers::default())?;
        Ok(price(&source, &Variant::ALL, self.reveal, (&self.rates, self.link)))
    }

    fn one(&self, path: &Path, variant: Variant) -> Result<Option<Estimate>, Failure> {
        let source = Source::load(&path.to_string_lossy(), &Numbers::default())?;
        let priced = price(&source, &[variant], self.reveal, (&self.rates, self.link));
        Ok(priced.into_iter().next().and_then(|priced| priced.estimate.ok()))
    }
}

/// Each quadratic layer of a network made what it was, the others staying: the difference is what it bought.
fn bought(work: &Work<'_>, prices: &Prices, best: &Way<'_>) -> Result<Vec<Bought>, Failure> {
    let graph: &Graph = &work.graph;
    let places: Vec<usize> = activations(graph)
        .into_iter()
        .filter(|&id| best.found.quadratic.contains(&graph.nodes[id].name))
        .collect();
    let mut list = Vec::new();
    for place in &places {
        let quadratic = places.iter().copied().filter(|other| other != place).collect();
        let network = Network::with_activations(graph, &Activations { clipped: true, quadratic });
        let made = network.and_then(|network| network.to_graph()).map_err(Failure::running)?;
        let path = work.write(&made, ".without", false)?;
        let estimate = prices.one(&path, best.variant);
        for file in [model::Side::path(&path), path] {
            // It served for its price alone.
            let _ = std::fs::remove_file(file);
        }
        let layer = graph.nodes[*place].name.clone();
        match estimate? {
            Some(estimate) => list.push(Bought {
                layer,
                online_seconds: estimate.online.seconds - best.online.seconds,
                bytes: estimate.total().bytes() as i64 - best.total.bytes() as i64,
            }),
            None => note(&format!(
                "{layer}: {} cannot run the network without it",
                best.variant.protocol().name()
            )),
        }
    }
    Ok(list)
}

fn write(path: &Path, what: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(what).map_err(Failure::running)?;
    std::fs::write(path, text).map_err(|error| Failure::running(format!("{}: {error}", path.display())))
}

impl Found {
    /// A candidate of the search.
    pub fn new(file: &str, candidate: &Candidate, test: Option<f64>) -> Self {
        Self {
            file: file.to_owned(),
            accuracy: test.unwrap_or(candidate.validation),
            quadratic: candidate.layers.clone(),
        }
    }
}

/// A number of seconds such as 1s or 250ms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seconds(f64);

impl std::str::FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a time is a number with s or ms after it, such as 1s or 250ms".to_owned();
        let lower = text.trim().to_ascii_lowercase();
        let (digits, factor) = match (lower.strip_suffix("ms"), lower.strip_suffix('s')) {
            (Some(digits), _) => (digits, 1e-3),
            (None, Some(digits)) => (digits, 1.0),
            _ => return Err(wrong()),
        };
        let value: f64 = digits.trim().parse().map_err(|_| wrong())?;
        if value.is_finite() && value > 0.0 { Ok(Self(value * factor)) } else { Err(wrong()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(found: &Found, seconds: f64, bytes: u64) -> Way<'_> {
        let online = Cost { seconds, client_bytes: bytes, ..Cost::default() };
        Way { found, variant: Variant::Lola, online, total: online }
    }

    #[test]
    fn budgets_name_the_nearest() {
        let found = Found { file: "q.onnx".into(), accuracy: 0.98, quadratic: vec![] };
        let budget = Budget { online_seconds: Some(1.0), bytes: Some(1_000), accuracy: 0.97 };
        assert!(budget.over(&option(&found, 0.9, 900)) <= 0.0);
        let [slow, large] = [option(&found, 1.5, 900), option(&found, 0.5, 4_000)];
        assert!(budget.over(&slow) > 0.0 && budget.over(&large) > budget.over(&slow));
        let words = budget.unmet(&[large, slow]).lines().join(" ");
        assert!(words.contains("97.00 %") && words.contains("1.500 s online"), "{words}");
        let exact = Budget { accuracy: 0.99, ..budget };
        assert!(exact.over(&option(&found, 0.5, 10)) > 0.0);
    }

    #[test]
    fn times_have_units() {
        assert_eq!("1s".parse(), Ok(Seconds(1.0)));
        assert_eq!("250 ms".parse(), Ok(Seconds(0.25)));
        for wrong in ["", "1", "-1s", "0s", "infs", "1m"] {
            assert!(wrong.parse::<Seconds>().is_err(), "{wrong}");
        }
    }
}
