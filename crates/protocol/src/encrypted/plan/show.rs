//! A plan in words.

use core::fmt;

use linear::slots::{Factors, Kernel, Layout, Operations};
use model::fixed::FixedGraph;

use super::lower::Network;
use super::{Plan, Refusal, Space, Step, View};

/// One step of a plan, in words and numbers.
#[derive(Clone, Debug, serde::Serialize)]
pub struct StepSummary {
    /// The layer that ends in this tensor.
    pub name: String,
    /// What is computed.
    pub kind: String,
    /// How the result stands in slots.
    pub layout: String,
    /// Limbs of the modulus.
    pub level: usize,
    /// Operations.
    pub operations: Operations,
}

/// A layout in words.
fn describe(layout: &Layout) -> String {
    let axis = |axis: &linear::slots::Axis| {
        let digit = |digit: &linear::slots::Digit| {
            if digit.ciphertexts > 0 {
                format!("{}:ct", digit.size)
            } else {
                format!("{}:{}", digit.size, digit.stride)
            }
        };
        axis.digits.iter().map(digit).collect::<Vec<_>>().join("/")
    };
    let axes: Vec<String> = layout.axes.iter().map(axis).collect();
    let count = |digits: &[linear::slots::Digit]| digits.iter().map(|digit| digit.size).product::<usize>();
    let mut out = format!("{} ct [{}]", layout.ciphertexts, axes.join(" x "));
    if count(&layout.copies) > 1 {
        out += &format!(", {} copies", count(&layout.copies));
    }
    if count(&layout.partials) > 1 {
        out += &format!(", {} partial sums", count(&layout.partials));
    }
    out
}

/// A kernel in words.
fn describe_kernel(kernel: &Kernel) -> String {
    let factors = match kernel.factors {
        Factors::Slots => "diagonals",
        Factors::Scalars => "scalars",
        Factors::Ones => "moves",
    };
    let fold = kernel.fold.map_or(String::new(), |fold| {
        let by = if kernel.by_client { " by the client" } else { "" };
        format!(", fold of {}{by}", 1usize << fold.log2)
    });
    format!("{factors}{fold}")
}

impl Plan {
    /// The steps in words, with their operations.
    ///
    /// # Errors
    /// If the plan is not one for this network.
    pub fn summary(&self, graph: &FixedGraph) -> Result<Vec<StepSummary>, Refusal> {
        let network = Network::new(graph)?;
        let operations = self.operations(graph)?;
        let top = self.scheme.data.len();
        Ok(self
            .steps
            .iter()
            .zip(&network.tensors)
            .zip(operations)
            .map(|((step, tensor), operations)| {
                let mut parts: Vec<String> = Vec::new();
                let mut level = top;
                match step {
                    Step::Input { view: View::Patches, .. } => parts.push("input as patches".into()),
                    Step::Input { .. } => parts.push("input".into()),
                    Step::Product { level: own, .. } => {
                        parts.push("product".into());
                        level = *own;
                    }
                    Step::Linear { stages } => level = stages.first().map_or(top, |stage| stage.level),
                }
                parts.extend(step.stages().iter().map(|stage| describe_kernel(&stage.kernel)));
                let kind = parts.join("; ");
                let name = graph.nodes[tensor.node].name.clone();
                StepSummary { name, kind, layout: describe(step.layout()), level, operations }
            })
            .collect())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spaces: Vec<String> = self
            .scheme
            .spaces
            .iter()
            .map(|space| match space {
                Space::Generalised { base, power } => format!("{base}^{power} + 1"),
                Space::Prime(prime) => prime.to_string(),
            })
            .collect();
        write!(
            f,
            "plan {}: N = {}, {} limbs, slots modulo {}, about {:.1} ms on one core",
            self.name,
            self.scheme.degree,
            self.scheme.data.len(),
            spaces.join(", "),
            1e3 * self.seconds
        )
    }
}
