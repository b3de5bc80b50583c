//! The planner's real runs: what training on MNIST buys, and what it costs in accuracy. Delphi's search on MiniONN's network, and
//! DeepSecure's pruning (Table 4) on benchmarks 1 and 2.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use planner::measure::integer_accuracy;
use protocol::Reveal;
use protocol::garbled::{FirstLayer, price};
use serde_json::Value;

use super::Arguments;
use super::private::{Run, measure};
use super::table::{Figures, Row, Table, heading};
use crate::choice::{Numbers, Protocol};
use crate::console::note;
use crate::dataset::{self, Part};
use crate::failure::Failure;
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
                "The planner on MNIST: Delphi's search for quadratic activations (section 5), and DeepSecure's pruning (Table 4).",
                "Accuracies are those of the 10 000 test images, in each protocol's integers.",
                "Before these, the cost model: what `oribi plan` predicts of the networks of all tables, and what they take.",
            ],
        )?;
        let predicted = super::predicted::run(arguments)?;
        let searched = if arguments.wants(SEARCH) { search(arguments)? } else { 0 };
        Ok(predicted + searched + preprocessed(arguments)?)
    }
}

const SEARCH: &str = "MiniONN MNIST, quadratic activations";
/// The accuracy that planned networks keep at least.
const LEAST: f64 = 0.987;

/// Rows of Table 4 whose data are at hand: number, share of products that stays, and the paper's non-XOR gates, bytes and seconds.
const PRUNED: [(usize, f64, u64, u64, f64); 2] =
    [(1, 0.165, 2_760_000, 88_200_000, 1.08), (2, 0.07, 6_570_000, 210_000_000, 2.57)];

/// How pruned networks are retrained.
const RETRAINED: [&str; 8] = ["--epochs", "24", "--shift", "1", "--batch", "128", "--rate", "0.002"];

/// DeepSecure's Table 4: benchmarks after pre-processing.
///
/// # Errors
/// If a training or a protocol fails.
pub fn preprocessed(arguments: &Arguments) -> Result<usize, Failure> {
    let mut rows = 0;
    for (number, keep, gates, bytes, seconds) in PRUNED {
        let row = format!("benchmark {number}, pruned");
        let paper = Figures::default()
            .whole("non_xor_gates", gates)
            .whole("communication_bytes", bytes)
            .real("execution_seconds", seconds);
        if arguments.wants(&row) {
            rows += prune(arguments, (number, keep), row, paper)?;
        }
    }
    Ok(rows)
}

/// A file below the data folder, and the folder, if both are there.
fn given<'a>(arguments: &'a Arguments, file: &str, row: &str) -> Option<(PathBuf, &'a Path)> {
    let data = arguments.data.as_deref();
    let found = data.and_then(|data| {
        let path =
            [data.join(file), data.join("models").join(file)].into_iter().find(|path| path.is_file())?;
        Some((path, data))
    });
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

fn folder(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("oribi-bench-{name}-{}", std::process::id()))
}

fn search(arguments: &Arguments) -> Result<usize, Failure> {
    let Some((model, data)) = given(arguments, "minionn_mnist.onnx", SEARCH) else { return Ok(0) };
    let out = folder("search");
    let (table, seconds) = plan(&model, data, &out, &["--min-accuracy", &LEAST.to_string()])?;
    let rows = table["rows"].as_array().cloned().unwrap_or_default();
    let accuracy = |row: &Value| row["test_accuracy"].as_f64().unwrap_or(0.0);
    let share = |row: &Value| {
        row["quadratic_elements"].as_f64().unwrap_or(0.0) / row["elements"].as_f64().unwrap_or(1.0)
    };
    let good = rows.iter().filter(|row| accuracy(row) >= LEAST);
    let best = good.max_by(|a, b| share(a).total_cmp(&share(b)));
    let best = best
        .ok_or_else(|| Failure::running(format!("{SEARCH}: no network kept {LEAST} on the test images")))?;
    let path = out.join(best["file"].as_str().unwrap_or_default());
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
    std::fs::remove_dir_all(&out).map_err(Failure::running)?;
    Ok(1)
}

/// Non-XOR gates and the accuracy on the test images, of a network as it stands.
fn standing(source: &Source, data: &Path) -> Result<(u64, f64), Failure> {
    let (graph, params) = source.quantise(Number::Of(Protocol::DeepSecure))?;
    let gates = price(&graph, Reveal::Scores, FirstLayer::Garbled);
    let test = dataset::load(&data.to_string_lossy(), None, Part::Test, &source.inputs(), 10, None)?;
    let accuracy = integer_accuracy(&graph, &params, &test).map_err(Failure::running)?;
    Ok((gates.ands + gates.known_ands, accuracy))
}

fn prune(
    arguments: &Arguments,
    (number, keep): (usize, f64),
    row: String,
    paper: Figures,
) -> Result<usize, Failure> {
    let Some((model, data)) = given(arguments, &format!("deepsecure_b{number}.onnx"), &row) else {
        return Ok(0);
    };
    let out = folder(&format!("prune-{number}"));
    let (made, seconds) =
        plan(&model, data, &out, &[&["--prune", &keep.to_string()], &RETRAINED[..]].concat())?;
    let before = standing(&Source::load(&model.to_string_lossy(), &Numbers::default())?, data)?;
    let source = Source::load(made["file"].as_str().unwrap_or_default(), &Numbers::default())?;
    let after = standing(&source, data)?;
    let form = ["--first-layer", FirstLayer::Garbled.name()];
    let cost = measure(&Run {
        source: &source,
        protocol: Protocol::DeepSecure,
        number: Number::Of(Protocol::DeepSecure),
        server: &form,
        client: &[],
    })?;
    let measured = Figures::default()
        .whole("non_xor_gates", after.0)
        .whole("non_xor_gates_before", before.0)
        .real("improvement", before.0 as f64 / after.0.max(1) as f64)
        .real("accuracy", after.1)
        .real("accuracy_before", before.1)
        .real("training_seconds", seconds);
    let note = format!(
        "{keep} of the products stay; the places of zeros are public; run by deepsecure, equal to its reference"
    );
    Row { table: "deepsecure-4", row, measured: cost.figures(measured), paper, note }
        .print(arguments.json)?;
    std::fs::remove_dir_all(&out).map_err(Failure::running)?;
    Ok(1)
}
