//! What a prediction says and what it cost.

use model::fixed::FixedGraph;
use protocol::Reveal;
use protocol::meter::Snapshot;

use crate::error::Error;
use crate::usage::peak_rss_bytes;

/// The largest resident sets of both sides so far, in bytes; 0 where unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeakRss {
    /// This side's.
    pub client: u64,
    /// The server's, as it says.
    pub server: u64,
}

/// A prediction.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// Index of the first output's largest value, the first on ties.
    pub class: usize,
    /// The name of the class, where the model has names.
    pub label: Option<String>,
    /// The outputs' names and real numbers, their last step (softmax) applied; none where only the label was revealed.
    pub outputs: Vec<(String, Vec<f32>)>,
    /// The integers that the protocol gave.
    pub integers: Vec<Vec<i128>>,
    /// Cost of each phase and layer as the client saw it; set-up is in the session's first prediction.
    pub cost: Snapshot,
    /// Memory.
    pub peak_rss_bytes: PeakRss,
}

impl Prediction {
    /// Reads what the engine gave.
    pub(super) fn read(
        graph: &FixedGraph,
        labels: &[String],
        reveal: Reveal,
        integers: Vec<Vec<i128>>,
        cost: Snapshot,
        server_peak: u64,
    ) -> Result<Self, Error> {
        let wrong = |why: String| Error::from(protocol::Error::malformed("result", why));
        let first = integers.first().ok_or_else(|| wrong("it is empty".into()))?;
        let (class, outputs) = match reveal {
            Reveal::Scores => {
                let values = integers.iter().enumerate().map(|(index, values)| {
                    let real = graph.dequantise_wide(index, values).map_err(|e| wrong(e.to_string()))?;
                    Ok((graph.outputs[index].name.clone(), real))
                });
                (arg_max(first), values.collect::<Result<Vec<_>, Error>>()?)
            }
            Reveal::Label => {
                let class = first.first().and_then(|&index| usize::try_from(index).ok());
                (class.ok_or_else(|| wrong("it is no index".into()))?, Vec::new())
            }
        };
        let label = labels.get(class).cloned();
        let peak_rss_bytes = PeakRss { client: peak_rss_bytes(), server: server_peak };
        Ok(Self { class, label, outputs, integers, cost, peak_rss_bytes })
    }
}

/// Index of the largest value, the first on ties.
fn arg_max(values: &[i128]) -> usize {
    let best = values.iter().enumerate().max_by(|(i, a), (j, b)| a.cmp(b).then(j.cmp(i)));
    best.map_or(0, |(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_largest() {
        assert_eq!(arg_max(&[1, 5, -3, 5]), 1);
        assert_eq!(arg_max(&[-7]), 0);
        assert_eq!(arg_max(&[]), 0);
    }
}
