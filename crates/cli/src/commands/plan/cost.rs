//! What each protocol would cost on a link, layer by layer.

use planner::cost::{Cost, Estimate, LayerCost};
use protocol::Reveal;
use protocol::measure::Measured;
use serde::Serialize;

use super::Arguments;
use crate::calibration;
use crate::commands::inspect::printable;
use crate::console::{Human, note, out, patiently};
use crate::failure::Failure;
use crate::pricing::{Pass, Priced, Variant, best, pass, price};
use crate::report::{bytes, seconds};
use crate::source::Source;

/// The object of `--json`.
#[derive(Serialize)]
struct Report<'a> {
    model: &'a str,
    link: String,
    /// What was measured of it, where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    measured: Option<Measured>,
    /// Whether the rates are this machine's own.
    calibrated: bool,
    choices: Vec<Choice<'a>>,
    /// The choice of least time, both phases together, and why.
    recommended: Option<Recommended>,
    /// The same among those that are prepared ahead: of least time once the input is known.
    prepared: Option<Recommended>,
    /// Many inputs in one pass, where a protocol has that.
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<Batch<'a>>,
}

/// Many inputs in one pass, with the price of all of them.
#[derive(Serialize)]
struct Batch<'a> {
    inputs: usize,
    #[serde(flatten)]
    choice: Choice<'a>,
}

/// A choice with its price.
#[derive(Serialize)]
pub struct Choice<'a> {
    protocol: &'static str,
    options: &'static str,
    /// Why it cannot run the model, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<&'a str>,
    /// Both phases together.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<Cost>,
    #[serde(flatten)]
    estimate: Option<&'a Estimate>,
}

#[derive(Serialize)]
struct Recommended {
    protocol: &'static str,
    options: &'static str,
    why: String,
}

impl<'a> Batch<'a> {
    fn new(Pass { inputs, priced }: &'a Pass) -> Self {
        Self { inputs: *inputs, choice: Choice::new(priced) }
    }

    /// For people.
    fn line(&self) -> String {
        let Choice { protocol, options, .. } = self.choice;
        let Some(estimate) = self.choice.estimate else {
            return format!("many        refused: {}", self.choice.refused.unwrap_or_default());
        };
        let (total, inputs) = (estimate.total(), self.inputs.max(1));
        format!(
            "many        {protocol} {options}: {inputs} inputs in one pass take {} and {}, {:.2} ms and {} each",
            seconds(total.seconds),
            bytes(total.bytes()),
            1e3 * total.seconds / inputs as f64,
            bytes(total.bytes() / inputs as u64)
        )
    }
}

/// Runs the command without data.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let source = Source::load(&arguments.model, &arguments.numbers)?;
    let (rates, origin, wrong) = calibration::rates();
    if let Some(why) = wrong {
        note(&format!("oribi: {why}"));
    }
    let link = arguments.way().0;
    let reveal = Reveal::from(arguments.output);
    let (priced, batch) = patiently("looking for the best plans; large networks take a minute", || {
        (price(&source, &Variant::ALL, reveal, (&rates, link)), pass(&source, reveal, (&rates, link)))
    });
    let report = Report {
        model: &source.meta.name,
        link: arguments.way().to_string(),
        measured: arguments.measured.get().map(|way| way.measured),
        calibrated: origin == calibration::Origin::Measured,
        choices: priced.iter().map(Choice::new).collect(),
        recommended: recommend(&priced, false),
        prepared: recommend(&priced, true),
        batch: batch.as_ref().map(Batch::new),
    };
    if arguments.json {
        out(&serde_json::to_string(&report).map_err(Failure::running)?)?;
    } else {
        show(&report, &priced, arguments.layers)?;
        Human::new(false).line(&format!("rates       {}", origin.text()))?;
    }
    if report.recommended.is_none() {
        return Err(Failure::bad(format!("{}: no protocol can run it", arguments.model)));
    }
    Ok(())
}

impl<'a> Choice<'a> {
    /// As it was priced.
    pub fn new(priced: &'a Priced) -> Self {
        let estimate = priced.estimate.as_ref();
        Self {
            protocol: priced.variant.protocol().name(),
            options: priced.variant.options(),
            refused: estimate.err().map(String::as_str),
            total: estimate.ok().map(Estimate::total),
            estimate: estimate.ok(),
        }
    }
}

/// The best, and how far behind the next protocol is.
fn recommend(priced: &[Priced], prepared: bool) -> Option<Recommended> {
    let (chosen, estimate) = best(priced, prepared)?;
    let cost = |estimate: &Estimate| if prepared { estimate.online } else { estimate.total() };
    let own = cost(estimate);
    let others = priced.iter().filter(|other| other.variant.protocol() != chosen.variant.protocol());
    let others = others
        .filter_map(|other| Some((other.variant.protocol().name(), cost(other.estimate.as_ref().ok()?))));
    let next = others.min_by(|(_, a), (_, b)| a.seconds.total_cmp(&b.seconds));
    let mut why = format!("{} and {}", seconds(own.seconds), bytes(own.bytes()));
    if prepared {
        why += &format!(
            " once the input is known; {} kept by the client, {} by the server",
            bytes(estimate.stored_bytes[0]),
            bytes(estimate.stored_bytes[1])
        );
    } else if let Some((name, next)) = next {
        why += &format!("; {name} would take {} and {}", seconds(next.seconds), bytes(next.bytes()));
    }
    Some(Recommended { protocol: chosen.variant.protocol().name(), options: chosen.variant.options(), why })
}

fn show(report: &Report<'_>, priced: &[Priced], all: bool) -> Result<(), Failure> {
    out(&format!("model       {}", printable(report.model)))?;
    out(&format!("link        {}", report.link))?;
    if let Some(measured) = &report.measured {
        out(&format!("measured    {}", words(measured)))?;
    }
    out("costs       a prediction, both parties on machines like this one; set-up is once a session")?;
    out("")?;
    out(&format!(
        "{:<11} {:<34} {:>9} {:>9} {:>9} {:>9} {:>10} {:>10} {:>10} {:>8}",
        "protocol", "choice", "set-up", "offline", "online", "total", "offline", "online", "stored", "CPU"
    ))?;
    priced.iter().try_for_each(|priced| out(&row(priced)))?;
    let refusals = report.choices.iter().filter_map(|choice| choice.refused);
    let mut named: Vec<&str> = refusals.collect();
    named.dedup();
    named.iter().try_for_each(|why| out(&format!("refused     {why}")))?;
    for priced in priced {
        let chosen = report.recommended.as_ref().is_some_and(|best| {
            (best.protocol, best.options) == (priced.variant.protocol().name(), priced.variant.options())
        });
        if let Ok(estimate) = &priced.estimate
            && (all || chosen)
        {
            show_layers(priced.variant.protocol().name(), priced.variant.options(), estimate)?;
        }
    }
    if let Some(choice) = report.batch.as_ref().map(|batch| &batch.choice)
        && let Some(estimate) = choice.estimate.filter(|_| all)
    {
        show_layers(choice.protocol, choice.options, estimate)?;
    }
    out("")?;
    let lines = [("recommended", &report.recommended), ("prepared", &report.prepared)];
    for (what, best) in lines {
        if let Some(Recommended { protocol, options, why }) = best {
            out(&format!("{what:<11} {protocol} {options}: {why}"))?;
        }
    }
    report.batch.as_ref().map_or(Ok(()), |batch| out(&batch.line()))
}

/// An estimate layer by layer.
fn show_layers(protocol: &str, options: &str, estimate: &Estimate) -> Result<(), Failure> {
    out("")?;
    out(&format!("layers of {protocol} {options}"))?;
    out(&format!(
        "  {:<32} {:>9} {:>9} {:>10} {:>10} {:>10}",
        "", "offline", "online", "offline", "online", "stored"
    ))?;
    estimate.layers.iter().filter(|layer| any(layer)).try_for_each(|layer| out(&layer_row(layer)))
}

/// What was measured, for people.
fn words(measured: &Measured) -> String {
    let megabits = |bits: f64| format!("{:.1} Mbit/s", bits / 1e6);
    format!(
        "{} up, {} down, a round trip of {}; {} probes, {}",
        megabits(measured.up_bits_per_second),
        megabits(measured.down_bits_per_second),
        seconds(measured.round_trip_seconds),
        measured.probes,
        bytes(measured.bytes)
    )
}

fn row(priced: &Priced) -> String {
    let (name, options) = (priced.variant.protocol().name(), priced.variant.options());
    match &priced.estimate {
        Err(_) => format!("{name:<11} {options:<34} {:>9}", "refused"),
        Ok(estimate) => {
            let total = estimate.total();
            format!(
                "{name:<11} {options:<34} {:>9} {:>9} {:>9} {:>9} {:>10} {:>10} {:>10} {:>8}",
                seconds(estimate.setup.seconds),
                seconds(estimate.offline.seconds),
                seconds(estimate.online.seconds),
                seconds(total.seconds),
                bytes(estimate.offline.bytes()),
                bytes(estimate.online.bytes()),
                stored(estimate.stored_bytes),
                seconds(total.processor_seconds),
            )
        }
    }
}

/// What both parties keep.
fn stored(both: [u64; 2]) -> String {
    match both {
        [0, 0] => "-".to_owned(),
        [client, server] => bytes(client.saturating_add(server)),
    }
}

fn any(layer: &LayerCost) -> bool {
    layer.offline.seconds + layer.online.seconds > 0.0 || layer.offline.bytes() + layer.online.bytes() > 0
}

fn layer_row(layer: &LayerCost) -> String {
    let name = if layer.layer.is_empty() { "(all together)".to_owned() } else { printable(&layer.layer) };
    let name: String = name.chars().take(32).collect();
    format!(
        "  {name:<32} {:>9} {:>9} {:>10} {:>10} {:>10}",
        seconds(layer.offline.seconds),
        seconds(layer.online.seconds),
        bytes(layer.offline.bytes()),
        bytes(layer.online.bytes()),
        stored(layer.stored_bytes)
    )
}
