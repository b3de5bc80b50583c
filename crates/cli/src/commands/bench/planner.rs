//! The planner's real runs: what training on MNIST buys, and what it costs in accuracy. Delphi's search on MiniONN's network, and
//! DeepSecure's compaction (Table 4) of benchmarks 1 and 2, and one budget over all of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use planner::measure::integer_accuracy;
use protocol::Reveal;
use protocol::garbled::{FirstLayer, price};
use serde_json::Value;

use super::Arguments;
use super::private::{Folder, Run, measure};
use super::table::{Figures, Row, Table, heading};
use crate::choice::{Numbers, Protocol};
use crate::console::note;
use crate::dataset::{self, Part};
use crate::failure::Failure;
use crate::pricing::Variant;
use crate::source::{Number, Source};

/// The table `planner`.
pub struct Planner;

impl Table for Planner {
    fn name(&self) -> &'static str {
        "planner"
    }

    fn run(&self, arguments: &Arguments) -> Result<usize, Failure> {
        heading(
            arguments,
            &[
                "The planner on MNIST: Delphi's search for quadratic activations (section 5), DeepSecure's pruning and projection (Table 4), and one budget over placements, pruning and protocols.",
                "Accuracies are those of the 10 000 test images, in each protocol's integers.",
                "Before these, the cost model: what `oribi plan` predicts of the networks of all tables, and what they take.",
            ],
        )?;
        let predicted = super::predicted::run(arguments)?;
        let searched = if arguments.wants(SEARCH) { search(arguments)? } else { 0 };
        let chosen = if arguments.wants(BUDGET) { budgeted(arguments)? } else { 0 };
        Ok(predicted + searched + chosen + preprocessed(arguments)?)
    }
}

const SEARCH: &str = "MiniONN MNIST, quadratic activations";
const BUDGET: &str = "benchmark 1, one budget";
/// The accuracy that planned networks keep at least.
const LEAST: f64 = 0.987;
/// The share of a searched network's activations that are quadratic at least.
const QUADRATIC: f64 = 0.6;
/// What the table leaves out.
const ABSENT: &str = "Table 4's benchmarks 3 and 4 are not run again: their data (ISOLET's speech, \
                      sensors of daily and sports activities) are not at hand.";

/// A row of Table 4 whose data are at hand.
struct Compacted {
    number: usize,
    /// The share of the data's norm that projection leaves out, if there is one.
    projection: Option<&'static str>,
    /// The share of products that stays.
    keep: &'static str,
    /// Epochs of retraining.
    epochs: &'static str,
    /// Shifts of pictures, in pixels.
    shift: &'static str,
    /// The paper's non-XOR gates, bytes and seconds.
    paper: (u64, u64, f64),
    /// What has to hold, if anything.
    bound: Option<Bound>,
}

/// What compaction has to reach.
struct Bound {
    /// The factor by which there are fewer gates, at least.
    improvement: f64,
    /// The accuracy that is lost, at most.
    loss: f64,
}

/// How networks are pruned and retrained. What stays is what the paper's gates ask for. The rest was picked without the test images: by the
/// accuracy on the last 10,000 training images after training on the first 50,000. Benchmark 1, shifts of a pixel: 98.96 % after 12 epochs,
/// 98.86 % after 24, 98.92 % after 40 (24 at half the rate: 98.93 %); without shifts 98.54 % after 6, 98.83 % after 12. Benchmark 2, shifts:
/// 98.32 % after 12, 98.57 % after 24; without, 98.41 % after 12. Benchmark 2 on coordinates: 98.44 % after 12, 98.50 % after 24; of those
/// that leave out 0.3 of the norm, 98.21 % after 24. Ten of these images are 0.1 %; all of them are what the networks were made from, before
/// they were pruned, so that these figures are higher than those of the test images can be.
const COMPACTED: [Compacted; 3] = [
    Compacted {
        number: 1,
        projection: None,
        keep: "0.165",
        epochs: "12",
        shift: "1",
        paper: (2_760_000, 88_200_000, 1.08),
        bound: Some(Bound { improvement: 5.0, loss: 0.003 }),
    },
    Compacted {
        number: 2,
        projection: None,
        keep: "0.07",
        epochs: "24",
        shift: "1",
        paper: (6_570_000, 210_000_000, 2.57),
        bound: None,
    },
    Compacted {
        number: 2,
        projection: Some("0.2"),
        keep: "0.2",
        epochs: "24",
        shift: "0",
        paper: (6_570_000, 210_000_000, 2.57),
        bound: None,
    },
];

/// DeepSecure's Table 4: benchmarks 1 and 2 after pre-processing. The paper's benchmarks 3 and 4 are not run
/// again: their data, ISOLET's speech and the sensors of daily and sports activities, are not at hand.
///
/// # Errors
/// If a training or a protocol fails, or a row does not reach its bound.
pub fn preprocessed(arguments: &Arguments) -> Result<usize, Failure> {
    let mut rows = 0;
    if COMPACTED.iter().any(|compacted| arguments.wants(&compacted.row())) {
        heading(arguments, &[ABSENT])?;
    }
    for compacted in &COMPACTED {
        if arguments.wants(&compacted.row()) {
            rows += compacted.run(arguments)?;
        }
    }
    Ok(rows)
}

/// A file below the data folder, and the folder, if both are there.
fn given<'a>(arguments: &'a Arguments, file: &str, row: &str) -> Option<(PathBuf, &'a Path)> {
    let found = arguments.network(file).zip(arguments.data.as_deref());
    if found.is_none() {
        note(&format!("{row}: trains on real data; --data FOLDER says where {file} and MNIST's files are"));
    } else if !arguments.wants_long(row) {
        note(&format!("{row}: takes up to twenty minutes; --full or --row runs it"));
        return None;
    }
    found
}

/// Runs `oribi plan` and returns what it printed, and its seconds.
fn plan(model: &Path, data: &Path, folder: &Path, more: &[&str]) -> Result<(Value, f64), Failure> {
    let begun = Instant::now();
    let program = std::env::current_exe().map_err(Failure::running)?;
    let output = Command::new(program)
        .args(["plan".as_ref(), model.as_os_str(), "--train".as_ref(), data.as_os_str()])
        .args(["--out".as_ref(), folder.as_os_str(), "--json".as_ref()])
        .args(more)
        .stderr(Stdio::inherit())
        .output()
        .map_err(Failure::running)?;
    if !output.status.success() {
        return Err(Failure::silent(1));
    }
    let value = serde_json::from_slice(&output.stdout).map_err(Failure::running)?;
    Ok((value, begun.elapsed().as_secs_f64()))
}

fn search(arguments: &Arguments) -> Result<usize, Failure> {
    let Some((model, data)) = given(arguments, "minionn_mnist.onnx", SEARCH) else { return Ok(0) };
    let out = Folder::new("search")?;
    let (table, seconds) =
        plan(&model, data, &out.0, &["--min-accuracy", &LEAST.to_string(), "--epochs", "1"])?;
    if table["integers_on"] != "test" {
        return Err(Failure::bad(format!("{SEARCH}: --data has no test images")));
    }
    let rows = table["rows"].as_array().cloned().unwrap_or_default();
    let accuracy = |row: &Value| row["integer_accuracy"].as_f64().unwrap_or(0.0);
    let share = |row: &Value| {
        row["quadratic_elements"].as_f64().unwrap_or(0.0) / row["elements"].as_f64().unwrap_or(1.0)
    };
    let good = rows.iter().filter(|row| accuracy(row) >= LEAST);
    let best = good.max_by(|a, b| share(a).total_cmp(&share(b)));
    let best = best
        .ok_or_else(|| Failure::running(format!("{SEARCH}: no network kept {LEAST} on the test images")))?;
    let path = out.0.join(best["file"].as_str().unwrap_or_default());
    let source = Source::load(&path.to_string_lossy(), &Numbers::default())?;
    let cost = measure(&Run {
        source: &source,
        protocol: Protocol::Delphi,
        number: Number::Of(Protocol::Delphi),
        server: &[],
        client: &[],
    })?;
    let measured = Figures::default()
        .real("accuracy", accuracy(best))
        .real("quadratic_share", share(best))
        .real("delphi_megabytes", best["cost"].as_f64().unwrap_or(0.0))
        .real("relu6_megabytes", rows.first().and_then(|row| row["cost"].as_f64()).unwrap_or(0.0))
        .real("online_seconds", cost.phases[2].seconds)
        .real("planning_seconds", seconds);
    let paper = Figures::default();
    let note =
        "the network with most quadratic elements of 98.7 %, run by delphi, equal to its reference".into();
    Row { table: "planner", row: SEARCH.into(), measured, paper, note }.print(arguments.json)?;
    if share(best) < QUADRATIC {
        return Err(Failure::running(format!(
            "{SEARCH}: networks of {LEAST} have at most {:.3} of activations quadratic, not {QUADRATIC}",
            share(best)
        )));
    }
    Ok(1)
}

/// Non-XOR gates of a network, with its first layer in the circuit.
fn gates(source: &Source) -> Result<u64, Failure> {
    let (graph, _) = source.quantise(Number::Of(Protocol::DeepSecure))?;
    let gates = price(&graph, Reveal::Scores, FirstLayer::Garbled);
    Ok(gates.ands + gates.known_ands)
}

/// The accuracy on the test images, of a network as it stands.
fn standing(source: &Source, data: &Path) -> Result<f64, Failure> {
    let (graph, params) = source.quantise(Number::Of(Protocol::DeepSecure))?;
    let test = dataset::load(&data.to_string_lossy(), None, Part::Test, &source.inputs(), 10, None)?;
    integer_accuracy(&graph, &params, &test).map_err(Failure::running)
}

impl Compacted {
    fn row(&self) -> String {
        let projected = if self.projection.is_some() { "projected and " } else { "" };
        format!("benchmark {}, {projected}pruned", self.number)
    }

    fn run(&self, arguments: &Arguments) -> Result<usize, Failure> {
        let row = self.row();
        let Some((model, data)) = given(arguments, &format!("deepsecure_b{}.onnx", self.number), &row) else {
            return Ok(0);
        };
        let out = Folder::new(&format!("compacted-{}", self.number))?;
        let (made, seconds) = plan(&model, data, &out.0, &self.how())?;
        let whole = Source::load(&model.to_string_lossy(), &Numbers::default())?;
        let source = Source::load(made["file"].as_str().unwrap_or_default(), &Numbers::default())?;
        let (before, after) = (gates(&whole)?, gates(&source)?);
        let improvement = before as f64 / after.max(1) as f64;
        let accuracy = (standing(&whole, data)?, made["test_accuracy"].as_f64().unwrap_or(0.0));
        let form = ["--first-layer", FirstLayer::Garbled.name()];
        let cost = measure(&Run {
            source: &source,
            protocol: Protocol::DeepSecure,
            number: Number::Of(Protocol::DeepSecure),
            server: &form,
            client: &[],
        })?;
        let measured = Figures::default()
            .whole("non_xor_gates", after)
            .whole("non_xor_gates_before", before)
            .real("improvement", improvement)
            .real("accuracy", accuracy.1)
            .real("accuracy_before", accuracy.0)
            .real("training_seconds", seconds);
        let (measured, paper, note) = (cost.figures(measured), self.paper(), self.note());
        Row { table: "deepsecure-4", row, measured, paper, note }.print(arguments.json)?;
        self.check(improvement, accuracy)?;
        Ok(1)
    }

    /// What `oribi plan` is to do.
    fn how(&self) -> Vec<&'static str> {
        let mut how =
            vec!["--prune", self.keep, "--epochs", self.epochs, "--batch", "128", "--rate", "0.002"];
        match self.projection {
            Some(error) => how.extend(["--projection-error", error]),
            None => how.extend(["--shift", self.shift]),
        }
        how
    }

    fn paper(&self) -> Figures {
        let (gates, bytes, seconds) = self.paper;
        Figures::default()
            .whole("non_xor_gates", gates)
            .whole("communication_bytes", bytes)
            .real("execution_seconds", seconds)
    }

    fn note(&self) -> String {
        let coordinates = match self.projection {
            Some(error) => format!("on coordinates that leave out {error} of the data's norm; "),
            None => String::new(),
        };
        format!(
            "{coordinates}{} of the products stay; the places of zeros are public; run by deepsecure, equal to its reference",
            self.keep
        )
    }

    /// Holds against the bound by what factor gates are fewer, and the accuracy before and after.
    fn check(&self, improvement: f64, (before, after): (f64, f64)) -> Result<(), Failure> {
        let Some(bound) = &self.bound else { return Ok(()) };
        if improvement < bound.improvement {
            return Err(Failure::running(format!(
                "{}: {improvement:.3} times fewer non-XOR gates, and not {} times",
                self.row(),
                bound.improvement
            )));
        }
        // A loss of exactly so many pictures is allowed, however the difference is rounded.
        if before - after > bound.loss + 1e-9 {
            return Err(Failure::running(format!(
                "{}: accuracy falls from {before:.4} to {after:.4}, by more than {}",
                self.row(),
                bound.loss
            )));
        }
        Ok(())
    }
}

/// One budget over placements, pruning and protocols: DeepSecure's benchmark 1 over a wide-area link.
fn budgeted(arguments: &Arguments) -> Result<usize, Failure> {
    let Some((model, data)) = given(arguments, "deepsecure_b1.onnx", BUDGET) else { return Ok(0) };
    let out = Folder::new("budget")?;
    // Of 20 MB there is nothing to choose: the network as it came takes 3 MB by delphi.
    let wanted = ["--min-accuracy", "0.98", "--max-online", "1s", "--max-bytes", "2MB", "--link", "wan"];
    let how = ["--prune", "0.165", "--epochs", "1"];
    let (chosen, seconds) = plan(&model, data, &out.0, &[&wanted[..], &how[..]].concat())?;
    let text = |name: &str| chosen[name].as_str().unwrap_or_default().to_owned();
    let real = |value: &Value, name: &str| value[name].as_f64().unwrap_or(0.0);
    let path = out.0.join(text("network"));
    let source = Source::load(&path.to_string_lossy(), &Numbers::default())?;
    let variant = Variant::ALL
        .into_iter()
        .find(|variant| {
            (variant.protocol().name(), variant.options()) == (&text("protocol"), &text("options"))
        })
        .ok_or_else(|| Failure::running(format!("{BUDGET}: no such protocol as {}", text("protocol"))))?;
    let cost = measure(&Run {
        source: &source,
        protocol: variant.protocol(),
        number: variant.number(),
        server: &variant.options().split_whitespace().chain(["--link", "wan"]).collect::<Vec<_>>(),
        client: &["--link", "wan"],
    })?;
    let measured = Figures::default()
        .real("accuracy", real(&chosen, "test_accuracy"))
        .real("validation_accuracy", real(&chosen, "accuracy"))
        .real("products_share", real(&chosen, "products"))
        .real("predicted_online_seconds", real(&chosen, "online_seconds"))
        .whole("predicted_bytes", chosen["bytes"].as_u64().unwrap_or(0))
        .real("online_seconds", cost.online_seconds)
        .whole("bytes", cost.phases[1].bytes + cost.phases[2].bytes)
        .real("planning_seconds", seconds);
    let bought = chosen["bought"].as_array().into_iter().flatten().map(|bought| {
        let megabytes = real(bought, "bytes") / 1e6;
        let what = bought["what"].as_str().unwrap_or_default();
        format!("{what} bought {:.3} s online and {megabytes:.2} MB", real(bought, "online_seconds"))
    });
    let run = format!("{} by {} {}", text("network"), text("protocol"), text("options"));
    let note =
        [format!("{}, equal to its reference", run.trim_end())].into_iter().chain(bought).collect::<Vec<_>>();
    Row { table: "planner", row: BUDGET.into(), measured, paper: Figures::default(), note: note.join("; ") }
        .print(arguments.json)?;
    Ok(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_to_the_last_picture() {
        let [first, second, _] = &COMPACTED;
        assert_eq!(first.check(5.0, (0.989, 0.986)), Ok(()));
        assert!(first.check(4.99, (0.989, 0.989)).is_err());
        assert!(first.check(6.0, (0.989, 0.9859)).is_err());
        // Only benchmark 1 has a bound.
        assert_eq!(second.check(1.0, (0.989, 0.5)), Ok(()));
    }
}
