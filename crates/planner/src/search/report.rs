//! The result of a search as a table and as a picture: accuracy against cost (in kind the paper's Figures 7 to 11).

use std::fmt::Write;

use serde::Serialize;

/// A row of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The file with the network.
    pub file: String,
    /// Quadratic layers.
    pub quadratic_layers: Vec<String>,
    /// Elements of quadratic activations.
    pub quadratic_elements: usize,
    /// Elements of all activations.
    pub elements: usize,
    /// The share of products that stay; less than one if it is pruned.
    pub products: f64,
    /// On the validation data, in floats.
    pub validation_accuracy: f64,
    /// On the data that [`Table::integers_on`] names, under the integer reference.
    pub integer_accuracy: f64,
    /// The paper's score.
    pub score: f64,
    /// What a prediction costs, in the unit of [`Table::cost`].
    pub cost: Option<f64>,
    /// Seconds of a prediction once its input is known, on the link that was planned for.
    pub online_seconds: Option<f64>,
}

/// Data that no network was trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MeasuredOn {
    /// The search never saw them.
    Test,
    /// The search chose by them.
    Validation,
}

impl MeasuredOn {
    /// The words for it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Test => "test data",
            Self::Validation => "held-out data",
        }
    }
}

/// All rows.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    /// What the costs are, with their unit.
    pub cost: &'static str,
    /// Where the accuracy in integers was measured.
    pub integers_on: MeasuredOn,
    /// The rows, the network of ReLU6 first.
    pub rows: Vec<Row>,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
const MARGIN: f64 = 70.0;

impl Table {
    /// Lines for people.
    pub fn lines(&self) -> Vec<String> {
        let percent = |share: f64| format!("{:.2} %", 100.0 * share);
        let mut lines = vec![format!(
            "{:<24} {:>9} {:>9} {:>11} {:>11} {:>8} {:>16} {:>9}",
            "network", "quadratic", "products", "validation", "integers", "score", self.cost, "online"
        )];
        lines.extend(self.rows.iter().map(|row| {
            let share = row.quadratic_elements as f64 / row.elements.max(1) as f64;
            let cost = row.cost.map_or("-".into(), |cost| format!("{cost:.3}"));
            let online = row.online_seconds.map_or("-".into(), |seconds| format!("{seconds:.3} s"));
            format!(
                "{:<24} {:>9} {:>9} {:>11} {:>11} {:>8.4} {:>16} {:>9}",
                row.file,
                percent(share),
                percent(row.products),
                percent(row.validation_accuracy),
                percent(row.integer_accuracy),
                row.score,
                cost,
                online
            )
        }));
        lines.push(format!(
            "validation: on held-out data, in floats; integers: on {}, in those of delphi, or of deepsecure where it is pruned",
            self.integers_on.text()
        ));
        lines
    }

    /// A point a row: what `of` says of it across, in words `unit`, and accuracy in integers up.
    pub fn svg(&self, unit: &str, of: impl Fn(&Row) -> Option<f64>) -> String {
        let points: Vec<(f64, f64, &str)> = self
            .rows
            .iter()
            .filter_map(|row| Some((of(row)?, row.integer_accuracy, row.file.as_str())))
            .collect();
        let span = |of: fn(&(f64, f64, &str)) -> f64| {
            let low = points.iter().map(of).fold(f64::INFINITY, f64::min);
            let high = points.iter().map(of).fold(f64::NEG_INFINITY, f64::max);
            let room = ((high - low) * 0.15).max(1e-9 + high.abs() * 1e-3);
            if low <= high { (low - room, high + room) } else { (0.0, 1.0) }
        };
        let ((left, right), (bottom, top)) = (span(|p| p.0), span(|p| p.1));
        let x = |v: f64| MARGIN + (v - left) / (right - left) * (WIDTH - 2.0 * MARGIN);
        let y = |v: f64| HEIGHT - MARGIN - (v - bottom) / (top - bottom) * (HEIGHT - 2.0 * MARGIN);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n"
        );
        // Writing to a string cannot fail.
        let mut line = |text: String| {
            let _ = writeln!(svg, "{text}");
        };
        line(format!("<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>"));
        line(format!(
            "<path d=\"M{MARGIN} {MARGIN}V{0}H{1}\" fill=\"none\" stroke=\"black\"/>",
            HEIGHT - MARGIN,
            WIDTH - MARGIN
        ));
        line(format!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            WIDTH / 2.0,
            HEIGHT - 20.0,
            escaped(unit)
        ));
        line(format!(
            "<text x=\"{MARGIN}\" y=\"{}\">accuracy in integers, on {}</text>",
            MARGIN - 20.0,
            self.integers_on.text()
        ));
        for (share, anchor) in [(0.0, "start"), (1.0, "end")] {
            line(format!(
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{:.2}</text>",
                x(left + share * (right - left)),
                HEIGHT - MARGIN + 18.0,
                left + share * (right - left)
            ));
            line(format!(
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{:.2} %</text>",
                MARGIN - 6.0,
                y(bottom + share * (top - bottom)) + 4.0,
                100.0 * (bottom + share * (top - bottom))
            ));
        }
        for (cost, accuracy, name) in points {
            line(format!(
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"#1b6ca8\"/>",
                x(cost),
                y(accuracy)
            ));
            line(format!(
                "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                x(cost) + 7.0,
                y(accuracy) - 6.0,
                escaped(name)
            ));
        }
        line("</svg>".into());
        svg
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
