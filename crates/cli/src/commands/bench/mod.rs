//! `oribi bench`: the papers' tables beside this machine's.
//!
//! A table is one file here and one entry in [`TABLES`].

mod clients;
mod convolutions;
mod deepsecure;
mod delphi;
mod gazelle;
mod kernels;
mod labelled;
mod lola;
mod planner;
mod plot;
mod predicted;
pub mod private;
mod table;

use std::path::PathBuf;

use crate::failure::Failure;
use table::Table;

/// All tables, in the order of `all`.
const TABLES: [&dyn Table; 5] =
    [&deepsecure::DeepSecure, &gazelle::Gazelle, &delphi::Delphi, &lola::Lola, &planner::Planner];

/// The names of the tables that later versions are to have.
const PLANNED: [&str; 1] = ["peers"];

/// Run the papers' tables on this machine, and print their figures beside its own.
///
/// Networks are generated from fixed seeds unless --data gives real ones.
#[derive(clap::Args)]
pub struct Arguments {
    /// Which table: deepsecure, gazelle, delphi, lola, planner, or all.
    #[arg(value_name = "TABLE", default_value = "all")]
    table: String,
    /// A folder with real networks, such as deepsecure_b1.onnx, and with the MNIST files, or with folders `models` and `mnist`, and with
    /// cifar10_test.npz; what it lacks is generated or reduced.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Run the rows, even long ones, whose names hold this text; "benchmark 4" for one.
    #[arg(long, value_name = "TEXT")]
    row: Option<String>,
    /// Run the rows that take more than a minute too; without it they are counted but not run.
    #[arg(long)]
    full: bool,
    /// deepsecure: Table 4 instead, networks that are pruned and retrained first; takes --data.
    #[arg(long)]
    preprocessed: bool,
    /// delphi: write the figures into this folder, one SVG each.
    #[arg(long, value_name = "FOLDER")]
    plots: Option<PathBuf>,
    /// Print one JSON object a row.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Whether a row is wanted at all.
    fn wants(&self, row: &str) -> bool {
        self.row.as_ref().is_none_or(|text| row.contains(text.as_str()))
    }

    /// A network's file in the data folder, or in its `models`, if it is there.
    fn network(&self, file: &str) -> Option<PathBuf> {
        let data = self.data.as_deref()?;
        [data.join(file), data.join("models").join(file)].into_iter().find(|path| path.is_file())
    }

    /// Whether a row that takes long is to be run.
    fn wants_long(&self, row: &str) -> bool {
        self.full || self.row.as_ref().is_some_and(|text| row.contains(text.as_str()))
    }
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    if let Some(folder) = &arguments.data
        && !folder.is_dir()
    {
        return Err(Failure::bad(format!("{}: no such folder", folder.display())));
    }
    let name = arguments.table.as_str();
    let tables: Vec<&dyn Table> =
        TABLES.into_iter().filter(|table| name == "all" || table.name() == name).collect();
    if tables.is_empty() {
        return Err(unknown(name));
    }
    let mut rows = 0;
    for table in tables {
        rows += table.run(arguments)?;
    }
    match (&arguments.row, rows) {
        (Some(text), 0) => Err(Failure::bad(format!("no row's name holds {text:?}"))),
        _ => Ok(()),
    }
}

fn unknown(name: &str) -> Failure {
    let tables: Vec<&str> = TABLES.iter().map(|table| table.name()).collect();
    let what = if PLANNED.contains(&name) { "not in this version" } else { "no table" };
    Failure::bad(format!("{name}: {what}; there is {}, and all", tables.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_a_name_of_its_own() {
        let names: Vec<&str> = TABLES.iter().map(|table| table.name()).collect();
        assert!(names.iter().enumerate().all(|(i, name)| !names[..i].contains(name) && *name != "all"));
        assert!(unknown("none").lines()[0].contains("deepsecure"));
    }
}
