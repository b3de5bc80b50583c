//! A table's rows: what this machine measures beside what the paper says.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::Arguments;
use crate::console::{Human, out};
use crate::failure::Failure;
use crate::report::{bytes, seconds};

/// A paper's table.
pub trait Table: Sync {
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// Runs the wanted rows and prints each as it is done; returns how many were wanted.
    ///
    /// # Errors
    /// If a row fails, or its result is not the reference's.
    fn run(&self, arguments: &Arguments) -> Result<usize, Failure>;
}

/// One row. Fields are named after the table's columns and end with their unit: `_bytes`, `_seconds`; others are counts.
#[derive(Serialize)]
pub struct Row {
    /// The table, such as `deepsecure-3`.
    pub table: &'static str,
    /// The row's name in the paper.
    pub row: String,
    /// This machine's figures.
    pub measured: Figures,
    /// The paper's.
    pub paper: Figures,
    /// What was run, and what was left out.
    pub note: String,
}

/// A figure of a table.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Figure {
    /// A whole number.
    Whole(u64),
    /// A measured one.
    Real(f64),
}

/// Figures by column, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures(pub Vec<(&'static str, Figure)>);

impl Figures {
    /// With another whole number.
    pub fn whole(mut self, column: &'static str, value: u64) -> Self {
        self.0.push((column, Figure::Whole(value)));
        self
    }

    /// With another real number.
    pub fn real(mut self, column: &'static str, value: f64) -> Self {
        self.0.push((column, Figure::Real(value)));
        self
    }

    fn get(&self, column: &str) -> Option<Figure> {
        self.0.iter().find(|(name, _)| *name == column).map(|(_, figure)| *figure)
    }
}

impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, figure) in &self.0 {
            map.serialize_entry(name, figure)?;
        }
        map.end()
    }
}

impl Row {
    /// Prints the row: an object, or a small table for people.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn print(&self, json: bool) -> Result<(), Failure> {
        if json {
            return out(&serde_json::to_string(self).map_err(Failure::running)?);
        }
        out("")?;
        out(&format!("{}: {}", self.table, self.row))?;
        if !self.note.is_empty() {
            out(&format!("  {}", self.note))?;
        }
        out(&format!("  {:<26} {:>16} {:>16}", "", "this machine", "the paper"))?;
        self.columns().iter().try_for_each(|column| {
            let text = |figures: &Figures| figures.get(column).map_or("-".to_owned(), |f| f.text(column));
            let (measured, paper) = (text(&self.measured), text(&self.paper));
            out(&format!("  {:<26} {measured:>16} {paper:>16}", column.replace('_', " ")))
        })
    }

    /// Columns of either side, this machine's first.
    fn columns(&self) -> Vec<&'static str> {
        let mut columns: Vec<&str> = Vec::new();
        for (name, _) in self.measured.0.iter().chain(&self.paper.0) {
            if !columns.contains(name) {
                columns.push(name);
            }
        }
        columns
    }
}

impl Figure {
    fn text(self, column: &str) -> String {
        match self {
            Self::Whole(count) if column.ends_with("_bytes") => bytes(count),
            Self::Whole(count) => grouped(count),
            Self::Real(value) if column.ends_with("_seconds") => seconds(value),
            Self::Real(value) => format!("{value:.3}"),
        }
    }
}

/// Digits in groups of three.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// What a table says before it starts: for people alone.
///
/// # Errors
/// If it cannot be written.
pub fn heading(arguments: &Arguments, lines: &[&str]) -> Result<(), Failure> {
    let human = Human::new(arguments.json);
    lines.iter().try_for_each(|line| human.line(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_to_the_letter() {
        let row = Row {
            table: "deepsecure-3",
            row: "benchmark 1".into(),
            measured: Figures::default().whole("non_xor_gates", 5).real("execution_seconds", 0.5),
            paper: Figures::default().real("execution_seconds", 9.67),
            note: "n".into(),
        };
        let text = serde_json::to_string(&row).unwrap();
        let expected = r#"{"table":"deepsecure-3","row":"benchmark 1","measured":{"non_xor_gates":5,"execution_seconds":0.5},"paper":{"execution_seconds":9.67},"note":"n"}"#;
        assert_eq!(text, expected);
        assert_eq!(row.columns(), ["non_xor_gates", "execution_seconds"]);
    }

    #[test]
    fn figures_for_people() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(24_700_000), "24 700 000");
        assert_eq!(Figure::Whole(791_000_000).text("communication_bytes"), "791.0 MB");
        assert_eq!(Figure::Real(9.67).text("execution_seconds"), "9.670 s");
    }
}
