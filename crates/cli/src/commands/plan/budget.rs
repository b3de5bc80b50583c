//! A search under one budget: which network, which protocol, and what each replaced layer and the pruning bought.

use std::cmp::Ordering;
use std::path::Path;

use model::Graph;
use planner::cost::{Cost, Estimate, Rates};
use planner::network::Activations;
use planner::search::activations;
use planner::{Data, Network};
use protocol::Reveal;
use protocol::shape::Link;
use serde::Serialize;

use super::Arguments;
use super::cost::Choice;
use super::search::Found;
use super::train::{Work, failed};
use crate::calibration;
use crate::choice::{Numbers, Size};
use crate::console::{note, out};
use crate::failure::Failure;
use crate::pricing::{Priced, Variant, price};
use crate::report::{bytes, seconds};
use crate::source::Source;

/// What a prediction may take at most, and the accuracy it keeps at least.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Budget {
    online_seconds: Option<f64>,
    bytes: Option<u64>,
    accuracy: f64,
}

/// How prices are made.
pub struct Prices {
    rates: Rates,
    link: Option<Link>,
    reveal: Reveal,
}

/// A network with a protocol.
struct Way<'a> {
    found: &'a Found,
    variant: Variant,
    online: Cost,
    total: Cost,
}

/// What a quadratic layer bought, or the pruning.
#[derive(Serialize)]
struct Bought {
    /// A layer, or `pruning`.
    what: String,
    online_seconds: f64,
    bytes: i64,
    /// How the network runs without it: as chosen, or, where that cannot be, as comes nearest to the budget.
    without: Run,
}

/// A protocol with its options.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
struct Run {
    protocol: &'static str,
    options: &'static str,
}

/// The file beside a network: its plan, priced for every choice.
#[derive(Serialize)]
struct PlanFile<'a> {
    network: &'a str,
    validation_accuracy: f64,
    quadratic_layers: &'a [String],
    link: String,
    choices: Vec<Choice<'a>>,
}

/// The object of `--json` and of `chosen.json`.
#[derive(Serialize)]
struct Chosen<'a> {
    network: &'a str,
    #[serde(flatten)]
    run: Run,
    /// On the data that were held out from training, in the protocol's integers: what the budget's accuracy is held against.
    accuracy: f64,
    /// On the test data, likewise; no choice depends on it.
    test_accuracy: Option<f64>,
    online_seconds: f64,
    bytes: u64,
    /// The share of products that stay.
    products: f64,
    budget: Budget,
    /// What each quadratic layer and the pruning save, against the same network without it.
    bought: Vec<Bought>,
}

impl Arguments {
    /// Whether there is a budget.
    pub(super) fn has_budget(&self) -> bool {
        self.max_online.is_some() || self.max_bytes.is_some()
    }
}

/// Writes a plan beside each network, and chooses where there is a budget: by the accuracy on data that are held out from training, first
/// in floats, then in the protocol's integers.
///
/// # Errors
/// If nothing fits the budget: the best that was.
pub fn choose(
    work: &Work<'_>,
    prices: &Prices,
    budget: Option<&Budget>,
    (found, validation): (&[Found], &Data),
) -> Result<(), Failure> {
    for found in found {
        let file = PlanFile {
            network: &found.file,
            validation_accuracy: found.validation,
            quadratic_layers: &found.quadratic,
            link: work.arguments.way().to_string(),
            choices: found.priced.iter().map(Choice::new).collect(),
        };
        write(&work.folder.join(&found.file).with_extension("plan.json"), &file)?;
    }
    let Some(budget) = budget else { return Ok(()) };
    let options: Vec<Way<'_>> = found.iter().flat_map(options).collect();
    let mut within: Vec<&Way<'_>> =
        options.iter().filter(|way| budget.over(way, way.found.validation) <= 0.0).collect();
    within.sort_by(|a, b| better(a, b));
    let mut missed = None;
    for best in within {
        let (path, number) = (work.folder.join(&best.found.file), best.variant.number());
        let accuracy = work.accuracy(&path, number, validation)?;
        if accuracy < budget.accuracy {
            let text = format!("{}; {:.2} % in integers", best.text(), 100.0 * accuracy);
            note(&text);
            missed = missed.or(Some(text));
            continue;
        }
        let chosen = Chosen {
            network: &best.found.file,
            run: Run::of(best.variant),
            accuracy,
            test_accuracy: work.tested(&path, number)?,
            online_seconds: best.online.seconds,
            bytes: best.total.bytes(),
            products: best.found.products.unwrap_or(1.0),
            budget: *budget,
            bought: bought(work, prices, budget, best)?,
        };
        write(&work.folder.join("chosen.json"), &chosen)?;
        return if work.arguments.json {
            out(&serde_json::to_string(&chosen).map_err(Failure::running)?)
        } else {
            chosen.lines(best).iter().try_for_each(|line| out(line))
        };
    }
    Err(budget.unmet(&options, missed))
}

/// The more accurate comes first, of equals the quicker.
fn better(a: &Way<'_>, b: &Way<'_>) -> Ordering {
    b.found.validation.total_cmp(&a.found.validation).then(a.online.seconds.total_cmp(&b.online.seconds))
}

/// Each way in which a network can run.
fn options(found: &Found) -> impl Iterator<Item = Way<'_>> {
    found.priced.iter().filter_map(move |priced| {
        let estimate: &Estimate = priced.estimate.as_ref().ok()?;
        Some(Way { found, variant: priced.variant, online: estimate.online, total: estimate.total() })
    })
}

impl Run {
    fn of(variant: Variant) -> Self {
        Self { protocol: variant.protocol().name(), options: variant.options() }
    }

    fn text(self) -> String {
        format!("{} {}", self.protocol, self.options).trim_end().to_owned()
    }
}

impl Way<'_> {
    fn text(&self) -> String {
        format!(
            "{} by {} at {:.2} %: {} online, {} in both phases",
            self.found.file,
            Run::of(self.variant).text(),
            100.0 * self.found.validation,
            seconds(self.online.seconds),
            bytes(self.total.bytes())
        )
    }
}

impl Chosen<'_> {
    fn lines(&self, best: &Way<'_>) -> Vec<String> {
        let tested = self.test_accuracy.map_or(String::new(), |test| {
            format!("; {:.2} % on the test data in the integers of {}", 100.0 * test, self.run.protocol)
        });
        let mut lines = vec![String::new(), format!("within the budget: {}{tested}", best.text())];
        lines.extend(self.bought.iter().map(|bought| {
            let what = match bought.what.as_str() {
                "pruning" => format!("pruning to {:.1} % of the products", 100.0 * self.products),
                layer => format!("{layer} as a quadratic"),
            };
            let size = bytes(bought.bytes.unsigned_abs());
            let sign = if bought.bytes < 0 { "-" } else { "" };
            let without = if bought.without == self.run {
                String::new()
            } else {
                format!(", for without it {} is nearest", bought.without.text())
            };
            format!("  {what} saves {:.3} s online and {sign}{size}{without}", bought.online_seconds)
        }));
        lines
    }
}

impl Budget {
    /// The one that was asked for.
    pub fn of(arguments: &Arguments) -> Option<Self> {
        arguments.has_budget().then(|| Self {
            online_seconds: arguments.max_online.map(|Seconds(seconds)| seconds),
            bytes: arguments.max_bytes.map(|Size(bytes)| bytes),
            accuracy: arguments.min_accuracy.unwrap_or(0.0),
        })
    }

    /// Whether any choice costs no more.
    pub fn holds(&self, priced: &[Priced]) -> bool {
        let able = priced.iter().filter_map(|priced| priced.estimate.as_ref().ok());
        able.into_iter().any(|estimate| self.costs(&estimate.online, &estimate.total()) <= 0.0)
    }

    /// By what factor costs exceed the budget, less one; nothing or less within it.
    fn costs(&self, online: &Cost, total: &Cost) -> f64 {
        let over =
            |most: Option<f64>, is: f64| most.map_or(f64::NEG_INFINITY, |most| is / most.max(1e-12) - 1.0);
        over(self.online_seconds, online.seconds)
            .max(over(self.bytes.map(|bytes| bytes as f64), total.bytes() as f64))
    }

    /// By what factor an option exceeds the budget, less one; accuracy counts by its error. Nothing within it.
    fn over(&self, option: &Way<'_>, accuracy: f64) -> f64 {
        let short = (self.accuracy - accuracy) / (1.0 - self.accuracy).max(1e-3);
        self.costs(&option.online, &option.total).max(short).max(0.0)
    }

    /// That nothing fits, and what comes nearest: of those that miss the accuracy in integers alone the first, else by the numbers.
    fn unmet(&self, options: &[Way<'_>], missed: Option<String>) -> Failure {
        let mut wanted = vec![format!("{:.2} %", 100.0 * self.accuracy)];
        wanted.extend(self.online_seconds.map(|limit| format!("{} online", seconds(limit))));
        wanted.extend(self.bytes.map(bytes));
        let over = |way: &Way<'_>| self.over(way, way.found.validation);
        let nearest = options.iter().min_by(|a, b| over(a).total_cmp(&over(b)));
        let nearest = nearest.map_or("no protocol runs any of them".to_owned(), Way::text);
        let nearest = missed.unwrap_or(nearest);
        Failure::running(format!("no network keeps within {}; the nearest: {nearest}", wanted.join(", ")))
    }
}

impl Prices {
    /// For what the command asks.
    pub fn new(arguments: &Arguments) -> Self {
        Self {
            rates: calibration::told(arguments.has_budget()),
            link: arguments.way().0,
            reveal: Reveal::from(arguments.output),
        }
    }

    /// Every choice for a file.
    pub fn of(&self, path: &Path) -> Result<Vec<Priced>, Failure> {
        self.some(path, &Variant::ALL)
    }

    fn some(&self, path: &Path, variants: &[Variant]) -> Result<Vec<Priced>, Failure> {
        let source = Source::load(&path.to_string_lossy(), &Numbers::default())?;
        Ok(price(&source, variants, self.reveal, (&self.rates, self.link)))
    }

    /// Some choices for a network that is not written for good.
    pub fn of_unwritten(
        &self,
        work: &Work<'_>,
        graph: &Graph,
        sparse: bool,
        variants: &[Variant],
    ) -> Result<Vec<Priced>, Failure> {
        let path = work.write(graph, ".tried", sparse)?;
        let priced = self.some(&path, variants);
        for file in [model::Side::path(&path), path] {
            // It served for its price alone.
            let _ = std::fs::remove_file(file);
        }
        priced
    }
}

/// Each quadratic layer of a network made a ReLU6, as where the search began, the others staying, and the network before it was pruned: the difference is what it
/// bought.
fn bought(work: &Work<'_>, prices: &Prices, budget: &Budget, best: &Way<'_>) -> Result<Vec<Bought>, Failure> {
    let graph: &Graph = &work.graph;
    let network = best.found.snapshot.network(graph).map_err(failed)?;
    let quadratic = &network.activations().quadratic;
    let mut list = Vec::new();
    for place in activations(graph).into_iter().filter(|place| quadratic.contains(place)) {
        let others = quadratic.iter().copied().filter(|other| *other != place).collect();
        let mut without = Network::with_activations(graph, &Activations { clipped: true, quadratic: others })
            .map_err(failed)?;
        without.adopt(&network).map_err(failed)?;
        let made = without.to_graph().map_err(failed)?;
        let priced = prices.of_unwritten(work, &made, best.found.products.is_some(), &Variant::ALL)?;
        list.extend(best.against(graph.nodes[place].name.clone(), &priced, budget));
    }
    if let Some(whole) = &best.found.whole {
        list.extend(best.against("pruning".to_owned(), &prices.of(Path::new(whole))?, budget));
    }
    Ok(list)
}

impl Way<'_> {
    /// What is saved against a network with these prices, if any protocol runs it.
    fn against(&self, what: String, priced: &[Priced], budget: &Budget) -> Option<Bought> {
        let able =
            || priced.iter().filter_map(|priced| Some((priced.variant, priced.estimate.as_ref().ok()?)));
        let over = |estimate: &Estimate| budget.costs(&estimate.online, &estimate.total());
        let same = able().find(|(variant, _)| *variant == self.variant);
        let nearest = || able().min_by(|(_, a), (_, b)| over(a).total_cmp(&over(b)));
        let (variant, estimate) = same.or_else(nearest)?;
        Some(Bought {
            what,
            online_seconds: estimate.online.seconds - self.online.seconds,
            bytes: estimate.total().bytes() as i64 - self.total.bytes() as i64,
            without: Run::of(variant),
        })
    }
}

fn write(path: &Path, what: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(what).map_err(Failure::running)?;
    std::fs::write(path, text).map_err(|error| Failure::running(format!("{}: {error}", path.display())))
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

    fn found() -> Found {
        Found::named("q.onnx", 0.98)
    }

    fn option(found: &Found, seconds: f64, bytes: u64) -> Way<'_> {
        let online = Cost { seconds, client_bytes: bytes, ..Cost::default() };
        Way { found, variant: Variant::Lola, online, total: online }
    }

    #[test]
    fn budgets_name_the_nearest() {
        let found = found();
        let over = |budget: &Budget, way: &Way<'_>| budget.over(way, way.found.validation);
        let budget = Budget { online_seconds: Some(1.0), bytes: Some(1_000), accuracy: 0.97 };
        assert!(over(&budget, &option(&found, 0.9, 900)) <= 0.0);
        let [slow, large] = [option(&found, 1.5, 900), option(&found, 0.5, 4_000)];
        assert!(over(&budget, &slow) > 0.0 && over(&budget, &large) > over(&budget, &slow));
        let words = budget.unmet(&[large, slow], None).lines().join(" ");
        assert!(words.contains("97.00 %") && words.contains("1.500 s online"), "{words}");
        let exact = Budget { accuracy: 0.99, ..budget };
        assert!(over(&exact, &option(&found, 0.5, 10)) > 0.0);
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
