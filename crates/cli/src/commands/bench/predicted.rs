//! The cost model held to reality: what `oribi plan` predicts of the networks of all tables, beside what they take.

use planner::cost::{Estimate, Rates};
use protocol::Reveal;
use protocol::garbled::FirstLayer;
use protocol::interactive::{Garbler, Method};
use protocol::shape::Link;
use protocol::work::Work;

use super::Arguments;
use super::private::{Cost, Run, measure};
use super::table::{Figures, Row};
use crate::builtin;
use crate::calibration::Probes;
use crate::choice::Numbers;
use crate::console::{Human, note};
use crate::failure::Failure;
use crate::pricing::Variant;
use crate::source::Source;

/// Links, by the words of `--link`; the first is loopback as it is.
const NEAR: &[Option<&str>] = &[None];
const LINKS: &[Option<&str>] = &[None, Some("lan"), Some("wan")];

/// Passes over all that is measured, probes and networks alike: a machine is faster at some minutes than at others, which then concerns both.
/// Medians count.
const PASSES: usize = 3;

/// Runs of a network in each pass: of short ones more, which vary more.
const RUNS: usize = 3;

/// A network of another table, and how it is run there.
struct Entry {
    network: &'static str,
    variant: Variant,
    links: &'static [Option<&'static str>],
    /// Whether it takes more than some seconds.
    long: bool,
}

const fn entry(
    network: &'static str,
    variant: Variant,
    links: &'static [Option<&'static str>],
    long: bool,
) -> Entry {
    Entry { network, variant, links, long }
}

const OT: Variant = Variant::DeepSecure(FirstLayer::Ot);
const GARBLED: Variant = Variant::DeepSecure(FirstLayer::Garbled);
const COEFFICIENTS: Variant = Variant::Gazelle(Method::HeCoefficients);
const SLOTS: Variant = Variant::Gazelle(Method::HeSlots);
const DELPHI: Variant = Variant::Delphi(Garbler::Server, Method::HeCoefficients);

const ENTRIES: &[Entry] = &[
    entry("builtin:deepsecure-1", OT, LINKS, false),
    entry("builtin:deepsecure-1", GARBLED, NEAR, false),
    entry("builtin:deepsecure-2", OT, NEAR, false),
    entry("builtin:deepsecure-2", GARBLED, NEAR, false),
    entry("builtin:deepsecure-3", OT, NEAR, false),
    entry("builtin:deepsecure-3", GARBLED, NEAR, false),
    entry("builtin:deepsecure-4", OT, NEAR, true),
    entry("builtin:deepsecure-4", GARBLED, NEAR, true),
    entry(builtin::SQUARES, Variant::Lola, LINKS, false),
    entry(builtin::SMALL, Variant::Lola, NEAR, false),
    entry("builtin:lola-head", Variant::Lola, NEAR, false),
    entry("builtin:lola-cifar", Variant::Lola, NEAR, true),
    entry(builtin::SQUARES, Variant::LolaBatch, NEAR, true),
    entry("builtin:gazelle-a", COEFFICIENTS, LINKS, false),
    entry("builtin:gazelle-a", SLOTS, NEAR, false),
    entry("builtin:gazelle-b", COEFFICIENTS, LINKS, false),
    entry("builtin:gazelle-b", SLOTS, NEAR, false),
    entry("builtin:gazelle-c", COEFFICIENTS, LINKS, false),
    entry("builtin:gazelle-c", SLOTS, NEAR, false),
    entry("builtin:gazelle-d", COEFFICIENTS, LINKS, false),
    entry("builtin:gazelle-d", SLOTS, NEAR, false),
    entry("builtin:gazelle-cifar10", COEFFICIENTS, LINKS, true),
    entry("builtin:gazelle-cifar10", SLOTS, NEAR, true),
    entry("builtin:gazelle-cifar10", DELPHI, LINKS, true),
    entry("builtin:gazelle-c", DELPHI, LINKS, false),
    entry("builtin:gazelle-d", DELPHI, LINKS, false),
    entry("builtin:gazelle-b", DELPHI, NEAR, false),
    entry("builtin:gazelle-d", Variant::Delphi(Garbler::Client, Method::HeCoefficients), NEAR, false),
    entry("builtin:delphi-resnet32-0", DELPHI, LINKS, true),
    entry("builtin:delphi-resnet32-26", DELPHI, LINKS, true),
    entry("builtin:delphi-resnet32-0", Variant::Delphi(Garbler::Client, Method::HeCoefficients), LINKS, true),
];

/// Runs the wanted rows, rates being measured in the same minutes.
///
/// # Errors
/// If a run fails.
pub fn run(arguments: &Arguments) -> Result<usize, Failure> {
    let wanted: Vec<(&'static Entry, Option<&'static str>)> = ENTRIES
        .iter()
        .flat_map(|entry| entry.links.iter().map(move |link| (entry, *link)))
        .filter(|(entry, link)| arguments.wants(&entry.row(*link)))
        .filter(|(entry, link)| !entry.long || arguments.wants_long(&entry.row(*link)))
        .collect();
    if wanted.is_empty() {
        return Ok(0);
    }
    let mut rows = wanted.into_iter().map(Measured::new).collect::<Result<Vec<_>, _>>()?;
    let mut probes: Option<Probes> = None;
    for pass in 1..=PASSES {
        note(&format!("pass {pass} of {PASSES}: this machine's rates, then {} rows", rows.len()));
        let more = Probes::run(1, &mut |_| ())?;
        match &mut probes {
            Some(probes) => probes.add(more),
            None => probes = Some(more),
        }
        rows.iter_mut().try_for_each(Measured::run)?;
    }
    let rates = probes.map_or_else(Rates::default, |probes| probes.rates());
    let ratios = rows.iter().map(|row| row.print(arguments, &rates)).collect::<Result<Vec<_>, _>>()?;
    let human = Human::new(arguments.json);
    let within = ratios.iter().filter(|ratio| (0.75..=1.25).contains(*ratio)).count();
    human.line("")?;
    human.line(&format!("predicted within 25 % of measured: {within} of {} rows", ratios.len()))?;
    Ok(ratios.len())
}

impl Entry {
    fn row(&self, link: Option<&str>) -> String {
        let network = self.network.trim_start_matches("builtin:");
        let options = self.variant.options().rsplit(' ').next().unwrap_or("");
        let choice = format!("{} {options}", self.variant.protocol().name());
        let link = link.map_or(String::new(), |link| format!(", {link}"));
        format!("predicted {network}, {}{link}", choice.trim_end())
    }
}

/// A row under way.
struct Measured {
    entry: &'static Entry,
    link: Option<&'static str>,
    shaped: Option<Link>,
    source: Source,
    work: Work,
    runs: Vec<Cost>,
}

impl Measured {
    fn new((entry, link): (&'static Entry, Option<&'static str>)) -> Result<Self, Failure> {
        let source = Source::load(entry.network, &Numbers::default())?;
        let (graph, _) = source.quantise(entry.variant.number())?;
        let shaped: Option<Link> = link.map(str::parse).transpose().map_err(Failure::running)?;
        let work = entry.variant.work(&graph, Reveal::Scores, shaped).map_err(Failure::running)?;
        Ok(Self { entry, link, shaped, source, work, runs: Vec::new() })
    }

    /// A pass.
    fn run(&mut self) -> Result<(), Failure> {
        let variant = self.entry.variant;
        let slowed: Vec<&str> = self.link.iter().flat_map(|link| ["--link", link]).collect();
        let serving: Vec<&str> = variant.options().split_whitespace().chain(slowed.clone()).collect();
        let asking = [&slowed, variant.client_options()].concat();
        let run = Run {
            source: &self.source,
            protocol: variant.protocol(),
            number: variant.number(),
            server: &serving,
            client: &asking,
        };
        for _ in 0..if self.entry.long { 1 } else { RUNS } {
            self.runs.push(measure(&run)?);
        }
        Ok(())
    }

    /// Prints the row; returns predicted by measured seconds.
    fn print(&self, arguments: &Arguments, rates: &Rates) -> Result<f64, Failure> {
        let (estimate, cost) = (Estimate::new(&self.work, rates, self.shaped), Cost::usual(&self.runs));
        let measured = cost.phases[1].seconds + cost.phases[2].seconds;
        let ratio = estimate.total().seconds / measured.max(1e-9);
        let row = Row {
            table: "planner-cost",
            row: self.entry.row(self.link),
            measured: figures(&estimate, &cost).real("ratio", ratio),
            paper: Figures::default(),
            note: "both phases of a prediction; set-up is once a session; processors' time with set-up"
                .into(),
        };
        row.print(arguments.json)?;
        Ok(ratio)
    }
}

fn figures(estimate: &Estimate, cost: &Cost) -> Figures {
    let [setup, offline, online] = cost.phases;
    let all = estimate.setup.plus(estimate.total());
    let figures = Figures::default()
        .real("predicted_offline_seconds", estimate.offline.seconds)
        .real("measured_offline_seconds", offline.seconds)
        .real("predicted_online_seconds", estimate.online.seconds)
        .real("measured_online_seconds", online.seconds)
        .real("predicted_setup_seconds", estimate.setup.seconds)
        .real("measured_setup_seconds", setup.seconds)
        .whole("predicted_communication_bytes", estimate.total().bytes())
        .whole("measured_communication_bytes", offline.bytes + online.bytes)
        .real("predicted_processor_seconds", all.processor_seconds);
    match cost.cpu_seconds {
        Some(seconds) => figures.real("measured_processor_seconds", seconds),
        None => figures,
    }
    .real("predicted_seconds", estimate.total().seconds)
    .real("measured_seconds", offline.seconds + online.seconds)
}
