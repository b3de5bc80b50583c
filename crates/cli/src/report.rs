//! What a prediction cost and said: the JSON line that programs read and the table that people read.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::failure::Failure;

/// One line of `--json`. The shape is a contract; fields may be added, never changed.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// The model's name.
    pub model: String,
    /// The protocol, or the reference (`float`, `ring`) for `run`.
    pub protocol: String,
    /// The input as [`oribi::input::Example::name`] has it.
    pub input: String,
    /// Index of the largest score.
    pub class: usize,
    /// The class's name, or its index where the model has no names.
    pub label: String,
    /// The first output; empty where only the label was asked for.
    pub output: Vec<f32>,
    /// All outputs by name, where there are several.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, Vec<f32>>,
    /// The phases; absent for `run`.
    #[serde(flatten)]
    pub costs: Option<Costs>,
    /// Seconds of each part of the online phase, where they are asked for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, f64>,
}

/// What a prediction cost.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Costs {
    /// Once a session; charged to its first prediction.
    pub setup: Cost,
    /// Before the input is known.
    pub offline: Cost,
    /// From the input to the prediction.
    pub online: Cost,
    /// The largest resident sets so far.
    pub peak_rss_bytes: PeakRss,
}

/// What a phase cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cost {
    /// Wall-clock seconds as the client sees them.
    pub seconds: f64,
    /// Bytes that the client sent.
    pub client_bytes: u64,
    /// Bytes that the server sent.
    pub server_bytes: u64,
    /// Flights that had to wait for one another.
    pub rounds: u64,
}

/// The largest resident set of each party, in bytes; 0 where unknown.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct PeakRss {
    /// The client's.
    pub client: u64,
    /// The server's.
    pub server: u64,
}

impl Costs {
    /// The phases with their names, in order.
    pub fn phases(&self) -> [(&'static str, Cost); 3] {
        [("set-up", self.setup), ("offline", self.offline), ("online", self.online)]
    }

    /// Bytes that crossed, both ways, all phases.
    pub fn bytes(&self) -> u64 {
        self.phases().iter().map(|(_, cost)| cost.client_bytes + cost.server_bytes).sum()
    }

    /// Seconds of all phases.
    pub fn seconds(&self) -> f64 {
        self.phases().iter().map(|(_, cost)| cost.seconds).sum()
    }
}

impl Line {
    /// The line as text.
    ///
    /// # Errors
    /// If a number is not finite, which JSON cannot say.
    pub fn to_json(&self) -> Result<String, Failure> {
        let finite = |values: &Vec<f32>| values.iter().all(|value| value.is_finite());
        if !finite(&self.output) || !self.outputs.values().all(finite) {
            return Err(Failure::running(format!("{}: the model's output is not finite", self.input)));
        }
        serde_json::to_string(self).map_err(Failure::running)
    }
}

/// The outputs of a prediction, in the graph's order, by name.
pub struct Outputs<'a> {
    values: Vec<(&'a str, Vec<f32>)>,
    /// Whether the first output is a class's index and not its scores.
    index: bool,
}

impl<'a> Outputs<'a> {
    /// Outputs in the graph's order; `index` tells that the first is the index of a class.
    pub fn new(values: Vec<(&'a str, Vec<f32>)>, index: bool) -> Self {
        Self { values, index }
    }

    /// The line that reports them.
    pub fn line(self, model: &str, protocol: &str, input: &str, labels: &[String]) -> Line {
        let several = self.values.len() > 1;
        let output = self.values.first().map_or_else(Vec::new, |(_, values)| values.clone());
        let class = match output.as_slice() {
            [class] if self.index && *class >= 0.0 => *class as usize,
            scores => arg_max(scores),
        };
        let named = self.values.into_iter().filter(|_| several);
        Line {
            model: model.to_owned(),
            protocol: protocol.to_owned(),
            input: input.to_owned(),
            class,
            label: label(class, labels),
            output,
            outputs: named.map(|(name, values)| (name.to_owned(), values)).collect(),
            costs: None,
            parts: BTreeMap::new(),
        }
    }
}

/// Index of the largest value, the first on ties; 0 for none.
fn arg_max(values: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}

/// The name of a class, or its index.
pub fn label(class: usize, labels: &[String]) -> String {
    labels.get(class).cloned().unwrap_or_else(|| class.to_string())
}

/// The `top` largest scores, one a line, largest first; the smaller index first on ties.
pub fn best(scores: &[f32], labels: &[String], top: usize) -> Vec<String> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
    order.truncate(top);
    let names: Vec<String> = order.iter().map(|class| label(*class, labels)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    order
        .iter()
        .zip(&names)
        .map(|(class, name)| format!("{name:<width$}  {:>10.4}", scores[*class]))
        .collect()
}

/// `12.3 MB`, in powers of ten.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `0.012 s`, with three decimals below ten seconds and one above.
pub fn seconds(value: f64) -> String {
    if value < 10.0 { format!("{value:.3} s") } else { format!("{value:.1} s") }
}

/// One line for each phase that was used.
pub fn phase_lines(costs: &Costs) -> Vec<String> {
    let used = costs.phases().into_iter().filter(|(_, cost)| *cost != Cost::default());
    used.map(|(name, cost)| {
        format!(
            "{name:<8} {:>8}   sent {:>8}   received {:>8}   rounds {}",
            seconds(cost.seconds),
            bytes(cost.client_bytes),
            bytes(cost.server_bytes),
            cost.rounds
        )
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line {
            model: "m".into(),
            protocol: "deepsecure".into(),
            input: "7.png".into(),
            class: 1,
            label: "one".into(),
            output: vec![0.5, 1.25],
            outputs: BTreeMap::new(),
            costs: Some(Costs::default()),
            parts: BTreeMap::new(),
        }
    }

    #[test]
    fn the_contract_to_the_letter() {
        let zero = r#"{"seconds":0.0,"client_bytes":0,"server_bytes":0,"rounds":0}"#;
        let expected = format!(
            r#"{{"model":"m","protocol":"deepsecure","input":"7.png","class":1,"label":"one","output":[0.5,1.25],"setup":{zero},"offline":{zero},"online":{zero},"peak_rss_bytes":{{"client":0,"server":0}}}}"#
        );
        assert_eq!(line().to_json(), Ok(expected));
        let plain = Line { costs: None, ..line() };
        assert!(plain.to_json().is_ok_and(|text| text.ends_with("[0.5,1.25]}")));
        assert!(Line { output: vec![f32::NAN], ..line() }.to_json().is_err());
    }

    #[test]
    fn words_for_numbers() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1000), "1.0 kB");
        assert_eq!(bytes(999_949), "999.9 kB");
        assert_eq!(bytes(999_951), "1.0 MB");
        assert_eq!(bytes(84_000_000), "84.0 MB");
        assert_eq!(seconds(0.0123), "0.012 s");
        assert_eq!(seconds(61.26), "61.3 s");
        assert_eq!(arg_max(&[1.0, 3.0, 3.0]), 1);
        assert_eq!(label(1, &["a".into()]), "1");
        assert_eq!(
            best(&[0.5, 2.0, 0.5], &["a".into(), "bc".into()], 2),
            ["bc      2.0000", "a       0.5000"]
        );
    }
}
